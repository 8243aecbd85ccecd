"""What travels down the line: source -> records -> cases -> sample -> estimates -> rating.

All are frozen dataclasses. Frames inside them are treated as immutable: a step returns a new
object, it never writes into the one it was given.
"""

from sos_plugins.contract.types.assignment import AssignmentDraws, DrawnStatistics
from sos_plugins.contract.types.cases import (
    Cases,
    Expected,
    OutcomeInfo,
)
from sos_plugins.contract.types.design import (
    MatchedGroup,
    Pilot,
    Sample,
    first_of,
)
from sos_plugins.contract.types.estimate import Agreement, Estimate, Tolerance
from sos_plugins.contract.types.evidence import (
    DIRECTIONS,
    AdjustedP,
    Evidence,
    LeadTest,
    Rating,
    Reason,
    Run,
    SmallestEffect,
)
from sos_plugins.contract.types.files import FileDescription
from sos_plugins.contract.types.imputation import ImputationTask, Imputed
from sos_plugins.contract.types.link import FIGURE_COLUMNS, WEIGHT_COLUMNS, Link
from sos_plugins.contract.types.pooling import PilotEffects, PooledEffects
from sos_plugins.contract.types.records import (
    EXAMPLE_COLUMNS,
    QUALITY_COLUMNS,
    QualityProfile,
    Records,
)

__all__ = [
    "DIRECTIONS",
    "EXAMPLE_COLUMNS",
    "FIGURE_COLUMNS",
    "QUALITY_COLUMNS",
    "WEIGHT_COLUMNS",
    "AdjustedP",
    "Agreement",
    "AssignmentDraws",
    "Cases",
    "DrawnStatistics",
    "Estimate",
    "Evidence",
    "Expected",
    "FileDescription",
    "ImputationTask",
    "Imputed",
    "LeadTest",
    "Link",
    "MatchedGroup",
    "OutcomeInfo",
    "Pilot",
    "PilotEffects",
    "PooledEffects",
    "QualityProfile",
    "Rating",
    "Reason",
    "Records",
    "Run",
    "Sample",
    "SmallestEffect",
    "Tolerance",
    "first_of",
]
