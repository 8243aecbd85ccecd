"""Interaction-weighted event study: estimator ``sun-abraham``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from sos_estimators.inference.vcov import VCOV_ON_CELLS, VarianceOnCells
from sos_estimators.reassignment import estimators as reassignment
from sos_estimators.reassignment.inference_table import tables_by_python, with_inference_table
from sos_estimators.references import SUN_ABRAHAM_2021
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.fit import FITS, by_engine, r_fixest_engine
from sos_estimators.staggered import engine_r
from sos_estimators.staggered.averages import Effects, list_averages, list_effects
from sos_estimators.staggered.cohort_cells import CohortCells, make_cells
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.saturated import fit_on_cells, saturated
from sos_estimators.staggered.settings import StaggeredSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl
from sos_plugins.cells.compression import counts
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics
from sos_plugins.errors import DataError, EstimationError

ABSORB = ("owner", "period")


class SunAbrahamSettings(StaggeredSettings):
    """Arguments of ``sun-abraham``."""

    control: Literal["nevertreated", "lasttreated"] = Field(
        "nevertreated",
        description="who is compared with: units never treated, or, where there are none, "
        "the cohort treated last",
    )
    vcov: VarianceOnCells = Field("CR1", description=VCOV_ON_CELLS)


def prepare(
    sample: Sample, options: SunAbrahamSettings, *, compress: bool = True
) -> tuple[CohortCells, Effects]:
    """Check and collapse a sample, and list the effects: of every period but the reference.

    Args:
        sample: Cases in calendar periods.
        options: Settings.
        compress: As in :func:`make_cells`.
    """
    cells = make_cells(sample, options, options.control, compress=compress)
    return cells, list_effects(cells, leads=True, reference=True)


def fit(sample: Sample, options: SunAbrahamSettings, engine: str = "python") -> Estimate:
    """Estimate by an engine: ``python``, ``pyfixest``, ``r`` or ``r-fixest``.

    Sun and Abraham (2021), Journal of Econometrics 225(2), 175-199.

    Args:
        sample: Cases in calendar periods.
        options: Settings.
        engine: Which engine.

    Returns:
        The term ``overall`` and those of ``aggregate``, in units of the value.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If an effect cannot be estimated; the sentence says why.
        EngineError: If the package or R fails.
    """
    cells, effects = prepare(sample, options, compress=engine != "r-fixest")
    options = cells.decided(options)

    def ask_r(engine: str) -> Mapping[str, Any]:
        function = "sun_abraham" if engine == "r" else "sun_abraham_fixest"
        return engine_r.call(
            f"{function}.R",
            function,
            cells,
            options,
            leave_out=() if engine == "r" else ("own_effects",),
            vcov=options.vcov,
        )

    averages = list_averages(effects, options)
    design = saturated(cells, effects, averages, absorb=ABSORB, vcov=options.vcov, ask_r=ask_r)
    estimate = fit_on_cells([design], engine, cells, options)
    if engine != "python":
        return estimate
    return with_inference_table(
        estimate, options, lambda: reassignment.saturated(cells, options, leads=True)
    )


fit_python, fit_pyfixest, fit_r, fit_r_fixest = by_engine(fit, *FITS)


def fixest_limits(sample: Sample, options: SunAbrahamSettings) -> str | None:
    """Say what ``sunab`` cannot do of what is asked."""
    if options.vcov == "CR1S":
        return "fixest counts effects nested in clusters as one intercept; use vcov=fixest"
    try:
        cells, listed = prepare(sample, options, compress=False)
    except (DataError, EstimationError):
        return None  # the fit says why
    if (counts(cells.frame) % 1 != 0).any():
        return "fixest counts cases, and the rows of this compressed sample are no whole cases"
    effects = listed.table
    if (effects.loc[effects["reference"], "event"] != -1 - options.anticipation).any():
        return (
            "sunab compares with one event time, and some cohort has no case in the last period "
            "before its treatment"
        )
    return None


class SunAbraham(StaggeredEstimator):
    """Leads and lags of each cohort, averaged by the weight of its cases."""

    name = "sun-abraham"
    label = "Interaction-weighted event study (Sun and Abraham 2021)"
    short_label = "Sun and Abraham"
    Settings = SunAbrahamSettings
    citation = (
        "Sun, L. and Abraham, S. (2021), Estimating dynamic treatment effects in event studies "
        "with heterogeneous treatment effects, Journal of Econometrics 225(2), 175-199"
    )
    references = (SUN_ABRAHAM_2021,)
    baseline = "last"
    engines = tables_by_python(
        python_engine(fit_python),
        engine_pyfixest.engine(fit_pyfixest),
        r_engine(fit_r),
        r_fixest_engine(fit_r_fixest, fixest_limits, takes_cells=True),
    )

    def reassigned(self, sample: Sample, options: Any, draws: AssignmentDraws) -> DrawnStatistics:
        """Return the t statistic of own effects, and those under assignments by common lots."""
        cells, _ = prepare(sample, options)
        return reassignment.by_lot(cells, reassignment.saturated(cells, options, leads=True), draws)


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``sun-abraham``."""
    register(SunAbraham())
