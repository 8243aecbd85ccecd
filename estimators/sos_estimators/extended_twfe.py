"""Two-way regression with an effect for every cohort and period: estimator ``extended-twfe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.least_squares import Convention
from sos_estimators.staggered import engine_r
from sos_estimators.staggered.adjustment import (
    Adjustment,
    Centre,
    additive,
    interacted,
)
from sos_estimators.staggered.averages import (
    Averages,
    Effects,
    list_averages,
    list_effects,
)
from sos_estimators.staggered.cohort_cells import Cells, make_cells
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.result import Found, build_estimate
from sos_estimators.staggered.saturated import fit_in_pyfixest, fit_saturated
from sos_estimators.staggered.settings import StaggeredSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl


class ExtendedTwfeSettings(StaggeredSettings):
    """Arguments of ``extended-twfe``."""

    control: Literal["notyettreated", "nevertreated"] = Field(
        "notyettreated",
        description="notyettreated: effects from treatment on, against all cases not treated yet; "
        "nevertreated: effects before treatment too, against units never treated",
    )
    effects: Literal["unit", "cohort"] = Field(
        "unit",
        description="effects beside those of periods: of each unit (in a panel each id) or of "
        "each cohort",
    )
    adjustment: Literal["interacted", "additive"] = Field(
        "interacted",
        description="interacted: the slopes of covariates differ by cohort, by period and with "
        "each effect, as in the paper; additive: covariates shift levels only",
    )
    centre: Centre = Field(
        "cohort-period",
        description="where interacted effects are given: at the mean of their own cases, which "
        "makes them averages over these, or at the mean of all cases of the cohort",
    )
    vcov: Convention = Field(
        "CR1", description="small-sample convention of the variance clustered by 'cluster'"
    )

    @property
    def absorb(self) -> tuple[str, str]:
        """Columns of the cells whose effects are taken out."""
        return ("owner" if self.effects == "unit" else "cohort", "period")


def prepare(
    sample: Sample, options: ExtendedTwfeSettings
) -> tuple[Cells, Effects, Averages, Adjustment]:
    """Check and collapse a sample, list what to estimate, and the columns beside effects."""
    cells = make_cells(sample, options, options.control)
    never = options.control == "nevertreated"
    effects = list_effects(cells, leads=never, reference=never)
    if options.adjustment == "interacted" and cells.covariates:
        adjustment = interacted(cells, effects, options.centre)
    else:
        adjustment = additive(cells)
    return cells, effects, list_averages(effects, options), adjustment


def fit_python(sample: Sample, options: ExtendedTwfeSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`make_cells` and :func:`fit_saturated`.
    """
    return _regress(fit_saturated, sample, options)


def fit_pyfixest(sample: Sample, options: ExtendedTwfeSettings) -> Estimate:
    """Estimate with ``feols`` of pyfixest.

    Raises:
        EngineError: If pyfixest fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    return _regress(fit_in_pyfixest, sample, options)


def _regress(fit: Callable[..., Found], sample: Sample, options: ExtendedTwfeSettings) -> Estimate:
    cells, effects, averages, adjustment = prepare(sample, options)
    found = fit(
        cells,
        effects,
        averages,
        absorb=options.absorb,
        vcov=options.vcov,
        adjustment=adjustment,
    )
    return _estimate(found, cells, options)


def fit_r(sample: Sample, options: ExtendedTwfeSettings) -> Estimate:
    """Estimate with ``extended_twfe.R``: ``lm`` and ``sandwich::vcovCL``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    cells, _, averages, adjustment = prepare(sample, options)
    answer = engine_r.call(
        "extended_twfe.R",
        "extended_twfe",
        cells,
        options,
        vcov=options.vcov,
        control=options.control,
        effects=options.effects,
        interact=options.adjustment == "interacted",
        centre=options.centre,
    )
    found = engine_r.averaged(answer, cells, averages, adjustment, options.absorb)
    return _estimate(found, cells, options)


def _estimate(found: Found, cells: Cells, options: ExtendedTwfeSettings) -> Estimate:
    return build_estimate(found, cells, options, vcov=options.vcov, df=cells.n_clusters - 1)


class ExtendedTwfe(StaggeredEstimator):
    """The two-way regression with an effect for every cohort and treated period."""

    name = "extended-twfe"
    label = "Extended two-way fixed effects (Wooldridge 2025)"
    Settings = ExtendedTwfeSettings
    citation = (
        "Wooldridge, J. M. (2025), Two-way fixed effects, the two-way Mundlak regression, and "
        "difference-in-differences estimators, Empirical Economics 69, 2545-2587"
    )
    engines = (
        python_engine(fit_python),
        engine_pyfixest.engine(fit_pyfixest),
        r_engine(fit_r),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``extended-twfe``."""
    register(ExtendedTwfe())
