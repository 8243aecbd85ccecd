"""Whether a programme changed children's lives, and how far to trust the answer."""

from sos_plugins.hookspecs import hookimpl, hookspec
from sos_plugins.kinds import (
    CaseMatch,
    Engine,
    Estimator,
    Matcher,
    Outcome,
    RatingRule,
    Requirement,
    RuleSet,
    Simulator,
    Source,
    UnitMatch,
    UnitTask,
    Variant,
    distribution_version,
)
from sos_plugins.rules import RecordRule
from sos_plugins.session import Session
from sos_plugins.settings import Settings
from sos_plugins.types import (
    Agreement,
    Cases,
    Design,
    Estimate,
    Evidence,
    LeadTest,
    MatchedGroup,
    OutcomeInfo,
    Pilot,
    QualityProfile,
    Rating,
    Reason,
    Records,
    Run,
    Sample,
    Tolerance,
)

__version__ = distribution_version("sos-plugins")

__all__ = [
    "Agreement",
    "CaseMatch",
    "Cases",
    "Design",
    "Engine",
    "Estimate",
    "Estimator",
    "Evidence",
    "LeadTest",
    "MatchedGroup",
    "Matcher",
    "Outcome",
    "OutcomeInfo",
    "Pilot",
    "QualityProfile",
    "Rating",
    "RatingRule",
    "Reason",
    "RecordRule",
    "Records",
    "Requirement",
    "RuleSet",
    "Run",
    "Sample",
    "Session",
    "Settings",
    "Simulator",
    "Source",
    "Tolerance",
    "UnitMatch",
    "UnitTask",
    "Variant",
    "hookimpl",
    "hookspec",
]
