"""Whether a programme changed children's lives, and how far to trust the answer.

The names of this package are imported from their modules when first asked for, so that help and
errors of the command line need not wait for pandas and DuckDB.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sos_plugins.contract.hookspecs import hookimpl, hookspec
    from sos_plugins.contract.interfaces import (
        CaseMatch,
        Engine,
        Estimator,
        Imputer,
        Linker,
        Matcher,
        Outcome,
        Pooling,
        RatingRule,
        Requirement,
        RuleSet,
        Simulator,
        Source,
        UnitMatch,
        UnitTask,
        Variant,
    )
    from sos_plugins.contract.reference import Reference
    from sos_plugins.contract.rules import RecordRule
    from sos_plugins.contract.session import Session
    from sos_plugins.contract.settings import Settings
    from sos_plugins.contract.types import (
        AdjustedP,
        Agreement,
        Cases,
        Estimate,
        Evidence,
        FileDescription,
        ImputationTask,
        Imputed,
        LeadTest,
        Link,
        MatchedGroup,
        OutcomeInfo,
        Pilot,
        PilotEffects,
        PooledEffects,
        QualityProfile,
        Rating,
        Reason,
        Records,
        Run,
        Sample,
        SmallestEffect,
        Tolerance,
    )
    from sos_plugins.interactive.estimate import estimate
    from sos_plugins.interactive.fit import Fit
    from sos_plugins.study.pilots_and_pool import Design

try:
    __version__ = version("sos-plugins")
except PackageNotFoundError:
    __version__ = "not installed"

__all__ = [
    "AdjustedP",
    "Agreement",
    "CaseMatch",
    "Cases",
    "Design",
    "Engine",
    "Estimate",
    "Estimator",
    "Evidence",
    "FileDescription",
    "Fit",
    "ImputationTask",
    "Imputed",
    "Imputer",
    "LeadTest",
    "Link",
    "Linker",
    "MatchedGroup",
    "Matcher",
    "Outcome",
    "OutcomeInfo",
    "Pilot",
    "PilotEffects",
    "PooledEffects",
    "Pooling",
    "QualityProfile",
    "Rating",
    "RatingRule",
    "Reason",
    "RecordRule",
    "Records",
    "Reference",
    "Requirement",
    "RuleSet",
    "Run",
    "Sample",
    "Session",
    "Settings",
    "Simulator",
    "SmallestEffect",
    "Source",
    "Tolerance",
    "UnitMatch",
    "UnitTask",
    "Variant",
    "estimate",
    "hookimpl",
    "hookspec",
]

_FURTHER = {
    "Design": "sos_plugins.study.pilots_and_pool",
    "Fit": "sos_plugins.interactive.fit",
    "estimate": "sos_plugins.interactive.estimate",
}
"""What is offered from outside of the contract, and where it is."""
_HOMES = ("hookspecs", "interfaces", "reference", "rules", "session", "settings", "types")

if not TYPE_CHECKING:  # a type checker would take any name for known

    def __getattr__(name: str) -> Any:
        """Import what the package offers from the module that defines it."""
        if name in _FURTHER:
            globals()[name] = vars(import_module(_FURTHER[name]))[name]
            return globals()[name]
        if name in __all__:
            for home in _HOMES:
                module = import_module(f"{__name__}.contract.{home}")
                if name in vars(module):
                    globals()[name] = vars(module)[name]
                    return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """List the public names too."""
        return sorted({*globals(), *__all__})
