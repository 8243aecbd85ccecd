"""Group-time effects of staggered adoption: estimator ``callaway-santanna``.

Effects ATT(g,t) on the units first treated in period g, in period t, and their averages, from
panels or repeated cross-sections, by outcome regression, weighting or both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sos_estimators.callaway_santanna import engine_differences, engine_python, engine_r
from sos_estimators.callaway_santanna.compress import cells_limit
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.reassignment.inference_table import tables_by_python
from sos_estimators.references import CALLAWAY_SANTANNA_2021, SANTANNA_ZHAO_2020
from sos_plugins import Engine, Estimator, Requirement, Sample, Tolerance, hookimpl
from sos_plugins.contract.columns import ON_THE_TREATED, OVER_EVENT_TIMES
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics

SAME_FORMULAS = Tolerance(
    1e-7, 1e-7, "the same formulas; the logits of the propensity end at different steps"
)
SAME_SCORES = Tolerance(
    1e-6, 1e-9, "the same influence functions; the logits of the propensity end at different steps"
)
EARLIER_STEP = Tolerance(
    2e-5, 1e-9, "statsmodels takes the covariance of the logit from the step before the last"
)
R_DID = Requirement("r", "did", 'in R: install.packages("did")')
R_DRDID = Requirement("r", "DRDID", 'in R: install.packages("DRDID")')
"""did hands every comparison of two groups and two periods to it."""
DIFFERENCES = Requirement("python", "differences", "pip install differences==0.3.0")


class CallawaySantAnna(Estimator):
    """Group-time average treatment effects and their averages."""

    name = "callaway-santanna"
    label = "Group-time effects of staggered adoption (Callaway and Sant'Anna 2021)"
    short_label = "Callaway and Sant'Anna"
    Settings = CallawaySantAnnaSettings
    citation = (
        "Callaway, B. and Sant'Anna, P. H. C. (2021), Difference-in-differences with multiple "
        "time periods, Journal of Econometrics 225(2), 200-230; doubly robust and weighting: "
        "Sant'Anna, P. H. C. and Zhao, J. (2020), Doubly robust difference-in-differences "
        "estimators, Journal of Econometrics 219(1), 101-122"
    )
    references = (
        CALLAWAY_SANTANNA_2021,
        SANTANNA_ZHAO_2020,
    )
    sample = "calendar"
    family = "staggered"
    event_study = True
    baseline = "last"
    averages: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        ON_THE_TREATED: {"aggregate": "simple", "min_event": None, "max_event": None},
        OVER_EVENT_TIMES: {"aggregate": "event"},
    }
    engines = tables_by_python(
        Engine(
            name="python",
            fit=engine_python.fit,
            limits=cells_limit,
            packages=("numpy", "pandas", "scipy"),
            takes_cells=True,
        ),
        Engine(
            name="differences",
            fit=engine_differences.fit,
            requires=(DIFFERENCES,),
            limits=engine_differences.limits,
            tolerance_estimate=SAME_FORMULAS,
            tolerance_std_error=EARLIER_STEP,
            packages=("differences",),
        ),
        Engine(
            name="r",
            fit=engine_r.fit,
            requires=(R_BASE,),
            tolerance_estimate=SAME_FORMULAS,
            tolerance_std_error=SAME_SCORES,
        ),
        Engine(
            name="r-did",
            fit=engine_r.fit_did,
            requires=(R_BASE, R_DID),
            limits=engine_r.did_limits,
            tolerance_estimate=SAME_FORMULAS,
            tolerance_std_error=SAME_SCORES,
            decides=(R_DRDID,),
        ),
    )

    def reassigned(self, sample: Sample, options: Any, draws: AssignmentDraws) -> DrawnStatistics:
        """Return the t statistic of own effects, and those under assignments by common lots."""
        return engine_python.by_lot(sample, options, draws)

    def headline(self, options: Any) -> str:  # noqa: ARG002
        """Return ``overall``: every aggregation has its own.

        Args:
            options: Not used.
        """
        return "overall"


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``callaway-santanna``.

    Args:
        register: Takes the estimator.
    """
    register(CallawaySantAnna())
