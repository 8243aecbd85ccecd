"""What stands behind a difference-in-differences estimate, as pure functions.

Bounds when trends are not parallel (:func:`honest_bounds`), power of the test of the leads
(:func:`pretest_power`, :func:`slope_for_power`), what a two-way fixed effects estimate is made of
(:func:`decompose`), and effects where there can be none (:func:`placebo_dates`,
:func:`placebo_units`).
"""

from sos_estimators.diagnostics.bacon import (
    Comparison,
    Decomposition,
    decompose,
    panel_means,
)
from sos_estimators.diagnostics.coefficients import EventCoefficients
from sos_estimators.diagnostics.honest import HonestBounds, RobustInterval, honest_bounds
from sos_estimators.diagnostics.placebo import (
    Placebo,
    PlaceboUnits,
    placebo_dates,
    placebo_units,
)
from sos_estimators.diagnostics.pretest import PretestPower, pretest_power, slope_for_power

__all__ = [
    "Comparison",
    "Decomposition",
    "EventCoefficients",
    "HonestBounds",
    "Placebo",
    "PlaceboUnits",
    "PretestPower",
    "RobustInterval",
    "decompose",
    "honest_bounds",
    "panel_means",
    "placebo_dates",
    "placebo_units",
    "pretest_power",
    "slope_for_power",
]
