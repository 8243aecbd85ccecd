"""Two-stage difference-in-differences: estimator ``two-stage``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from sos_estimators.did.least_squares import Floats, group_sums
from sos_estimators.did.staggered import engine_did2s, engine_r
from sos_estimators.did.staggered.averages import Averages, Effects, list_averages, list_effects
from sos_estimators.did.staggered.cells import Cells, make_cells
from sos_estimators.did.staggered.first_stage import first_stage, imputable
from sos_estimators.did.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.did.staggered.result import build_estimate
from sos_estimators.did.staggered.settings import StaggeredSettings
from sos_plugins import Engine, Estimate, Estimator, Requirement, Sample, Tolerance, hookimpl
from sos_plugins.errors import DataError, EstimationError

ALTERNATING = Tolerance(
    1e-4, 1e-5, "pyfixest finds the unit and period effects by iteration, to six digits"
)
PYFIXEST = Requirement("python", "pyfixest", "pip install pyfixest", "0.60")


class TwoStageSettings(StaggeredSettings):
    """Arguments of ``two-stage``."""

    vcov: Literal["CR0", "CR1"] = Field(
        "CR0",
        description="clustered variance of both stages together: plain, as R's did2s has it, or "
        "widened by G / (G - 1) for G clusters",
    )


def prepare(sample: Sample, options: TwoStageSettings) -> tuple[Cells, Effects, Averages]:
    """Check and collapse a sample, and list what to estimate.

    With aggregate=event the periods before treatment have effects too: mean residuals.
    """
    cells = imputable(make_cells(sample, options, "notyettreated"))
    effects = list_effects(cells, leads=options.aggregate == "event", reference=False)
    return cells, effects, list_averages(effects, options)


def fit_python(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    estimates, covariance = two_stage(cells, effects, averages)
    errors = np.sqrt(np.diag(covariance))
    return assemble(cells, averages, estimates, errors, options, covariance=covariance)


def two_stage(cells: Cells, effects: Effects, averages: Averages) -> tuple[Floats, Floats]:
    """Regress what the first stage leaves on indicators; errors that allow for the first stage.

    Each average is the coefficient of its own indicator in a second stage without intercept:
    ``overall`` of the treated periods, ``event=e`` of an event time, and so on. The variance is
    that of two-step GMM (Newey and McFadden 1994; Butts and Gardner 2022, R Journal 14(3)):
    scores of the second stage less what the first stage adds.

    Returns:
        Estimates (J,) and their covariance without small-sample correction (J, J).
    """
    stage = first_stage(cells)
    weights = averages.cell_weights(effects, cells)
    estimates = weights.T @ stage.residual
    factors = weights * (stage.residual[:, None] - estimates)
    factors += stage.influence(weights, cells.weight) * stage.residual[:, None]
    scores = group_sums(factors, cells.codes("cluster"))
    return estimates, scores.T @ scores


def assemble(
    cells: Cells,
    averages: Averages,
    estimates: Floats,
    std_errors: Floats,
    options: TwoStageSettings,
    *,
    warnings: tuple[str, ...] = (),
    covariance: Floats | None = None,
) -> Estimate:
    """Apply the convention to plain standard errors and complete the result."""
    n = cells.n_clusters
    wider = n / (n - 1) if options.vcov == "CR1" else 1.0
    return build_estimate(
        averages.names,
        estimates,
        std_errors * np.sqrt(wider),
        cells,
        options,
        vcov=f"{options.vcov}, both stages",
        df=n - 1,
        warnings=warnings,
        covariance=None if covariance is None else covariance * wider,
    )


def fit_pyfixest(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with ``did2s`` of pyfixest.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    estimates, std_errors = engine_did2s.two_stage(cells, effects, averages)
    return assemble(cells, averages, estimates, std_errors, options)


def fit_r(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with ``two_stage.R``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    found = engine_r.call("two_stage.R", "two_stage", cells, options)
    estimates, std_errors = engine_r.in_order(found, averages.names)
    told = tuple(engine_r.warnings(found))
    return assemble(cells, averages, estimates, std_errors, options, warnings=told)


def pyfixest_limits(sample: Sample, options: TwoStageSettings) -> str | None:
    """Say what pyfixest cannot do of what is asked."""
    try:
        cells = prepare(sample, options)[0]
    except (DataError, EstimationError):
        return None  # the fit says why
    return engine_did2s.limits(cells)


class TwoStage(StaggeredEstimator):
    """Effects are what unit and period effects of untreated cases leave of the treated."""

    name = "two-stage"
    label = "Two-stage difference-in-differences (Gardner 2022)"
    Settings = TwoStageSettings
    citation = (
        "Gardner, J. (2022), Two-stage differences in differences, arXiv:2207.05943; standard "
        "errors: Butts, K. and Gardner, J. (2022), did2s: Two-stage difference-in-differences, "
        "The R Journal 14(3), 162-173"
    )
    engines = (
        python_engine(fit_python),
        Engine(
            name="pyfixest",
            fit=fit_pyfixest,
            requires=(PYFIXEST,),
            limits=pyfixest_limits,
            tolerance_estimate=ALTERNATING,
            tolerance_std_error=ALTERNATING,
            packages=("pyfixest",),
            takes_cells=True,
        ),
        r_engine(fit_r),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``two-stage``."""
    register(TwoStage())
