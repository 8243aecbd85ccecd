"""Two-stage difference-in-differences: estimator ``two-stage``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from sos_estimators.regression.least_squares import group_sums
from sos_estimators.staggered import engine_did2s, engine_r
from sos_estimators.staggered.averages import Averages, Effects, list_averages, list_effects
from sos_estimators.staggered.cohort_cells import Cells, make_cells
from sos_estimators.staggered.first_stage import Compared, first_stage, imputable
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.result import Found, build_estimate
from sos_estimators.staggered.settings import ImputedSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl


class TwoStageSettings(ImputedSettings):
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
    cells = imputable(make_cells(sample, options, options.control), options.control)
    effects = list_effects(cells, leads=options.aggregate == "event", reference=False)
    return cells, effects, list_averages(effects, options)


def fit_python(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    return assemble(two_stage(cells, effects, averages, options.control), cells, options)


def two_stage(cells: Cells, effects: Effects, averages: Averages, control: Compared) -> Found:
    """Regress what the first stage leaves on indicators; errors that allow for the first stage.

    Each average is the coefficient of its own indicator in a second stage without intercept:
    ``overall`` of the treated periods, ``event=e`` of an event time, and so on. The variance is
    that of two-step GMM (Newey and McFadden 1994; Butts and Gardner 2022, R Journal 14(3)):
    scores of the second stage less what the first stage adds, without small-sample correction.
    """
    stage = first_stage(cells, control)
    weights = averages.cell_weights(effects, cells)
    estimates = weights.T @ stage.residual
    factors = weights * (stage.residual[:, None] - estimates)
    factors += stage.influence(weights, cells.weight) * stage.residual[:, None]
    return Found.of(averages.names, estimates, group_sums(factors, cells.codes("cluster")))


def assemble(plain: Found, cells: Cells, options: TwoStageSettings) -> Estimate:
    """Apply the convention to plain standard errors and complete the result."""
    n = cells.n_clusters
    wider = np.sqrt(n / (n - 1)) if options.vcov == "CR1" else 1.0
    found = replace(
        plain,
        std_errors=plain.std_errors * wider,
        scores=None if plain.scores is None else plain.scores * wider,
    )
    return build_estimate(found, cells, options, vcov=f"{options.vcov}, both stages", df=n - 1)


def fit_pyfixest(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with ``did2s`` of pyfixest.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    return assemble(engine_did2s.two_stage(cells, effects, averages), cells, options)


def fit_r(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with ``two_stage.R``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    found = engine_r.call("two_stage.R", "two_stage", cells, options, control=options.control)
    return assemble(engine_r.in_order(found, averages.names), cells, options)


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
        engine_did2s.engine(fit_pyfixest, prepare),
        r_engine(fit_r),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``two-stage``."""
    register(TwoStage())
