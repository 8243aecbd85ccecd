"""Interaction-weighted event study: estimator ``sun-abraham``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.feols import FIXEST_STOPS, R_FIXEST
from sos_estimators.regression.least_squares import Convention
from sos_estimators.staggered import engine_r
from sos_estimators.staggered.adjustment import additive
from sos_estimators.staggered.averages import Effects, list_averages, list_effects
from sos_estimators.staggered.cohort_cells import Cells, make_cells
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.result import Found, build_estimate
from sos_estimators.staggered.saturated import fit_in_pyfixest, fit_saturated
from sos_estimators.staggered.settings import StaggeredSettings
from sos_plugins import Engine, Estimate, Estimator, Sample, hookimpl
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import DataError, EstimationError

ABSORB = ("owner", "period")


class SunAbrahamSettings(StaggeredSettings):
    """Arguments of ``sun-abraham``."""

    control: Literal["nevertreated", "lasttreated"] = Field(
        "nevertreated",
        description="who is compared with: units never treated, or, where there are none, "
        "the cohort treated last",
    )
    vcov: Convention = Field(
        "CR1", description="small-sample convention of the variance clustered by 'cluster'"
    )


def prepare(
    sample: Sample, options: SunAbrahamSettings, *, compress: bool = True
) -> tuple[Cells, Effects]:
    """Check and collapse a sample, and list the effects: of every period but the reference."""
    cells = make_cells(sample, options, options.control, compress=compress)
    return cells, list_effects(cells, leads=True, reference=True)


def fit_python(sample: Sample, options: SunAbrahamSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`make_cells` and :func:`fit_saturated`.
    """
    cells, effects = prepare(sample, options)
    averages = list_averages(effects, options)
    found = fit_saturated(cells, effects, averages, absorb=ABSORB, vcov=options.vcov)
    return _estimate(found, cells, options)


def fit_pyfixest(sample: Sample, options: SunAbrahamSettings) -> Estimate:
    """Estimate with ``feols`` of pyfixest.

    Raises:
        EngineError: If pyfixest fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    cells, effects = prepare(sample, options)
    averages = list_averages(effects, options)
    found = fit_in_pyfixest(cells, effects, averages, absorb=ABSORB, vcov=options.vcov)
    return _estimate(found, cells, options)


def fit_r(sample: Sample, options: SunAbrahamSettings) -> Estimate:
    """Estimate with ``sun_abraham.R``: ``lm`` and ``sandwich::vcovCL``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    cells, effects = prepare(sample, options)
    averages = list_averages(effects, options)
    answer = engine_r.call(
        "sun_abraham.R",
        "sun_abraham",
        cells,
        options,
        vcov=options.vcov,
    )
    return _estimate(
        engine_r.averaged(answer, cells, averages, additive(cells), ABSORB), cells, options
    )


def _estimate(found: Found, cells: Cells, options: SunAbrahamSettings) -> Estimate:
    return build_estimate(found, cells, options, vcov=options.vcov, df=cells.n_clusters - 1)


def fit_fixest(sample: Sample, options: SunAbrahamSettings) -> Estimate:
    """Estimate with ``feols`` and ``sunab`` of the R package ``fixest``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    cells, effects = prepare(sample, options, compress=False)
    averages = list_averages(effects, options)
    answer = engine_r.call(
        "sun_abraham_fixest.R", "sun_abraham_fixest", cells, options, vcov=options.vcov
    )
    return _estimate(engine_r.in_order(answer, averages.names), cells, options)


def fixest_limits(sample: Sample, options: SunAbrahamSettings) -> str | None:
    """Say what ``sunab`` cannot do of what is asked."""
    if options.vcov == "CR1S":
        return "fixest counts effects nested in clusters as one intercept; use vcov=fixest"
    try:
        cells, listed = prepare(sample, options, compress=False)
    except (DataError, EstimationError):
        return None  # the fit says why
    if (cells.frame["n_cases"] % 1 != 0).any():
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
    Settings = SunAbrahamSettings
    citation = (
        "Sun, L. and Abraham, S. (2021), Estimating dynamic treatment effects in event studies "
        "with heterogeneous treatment effects, Journal of Econometrics 225(2), 175-199"
    )
    engines = (
        python_engine(fit_python),
        engine_pyfixest.engine(fit_pyfixest),
        r_engine(fit_r),
        Engine(
            name="r-fixest",
            fit=fit_fixest,
            requires=(R_BASE, R_FIXEST),
            limits=fixest_limits,
            tolerance_estimate=FIXEST_STOPS,
            tolerance_std_error=FIXEST_STOPS,
            packages=("fixest",),
            takes_cells=True,
        ),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``sun-abraham``."""
    register(SunAbraham())
