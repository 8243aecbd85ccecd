"""Two-way regression with an effect for every cohort and period: estimator ``extended-twfe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from sos_estimators.did.least_squares import Convention
from sos_estimators.did.staggered import engine_r
from sos_estimators.did.staggered.averages import (
    Effects,
    list_averages,
    list_effects,
)
from sos_estimators.did.staggered.cells import Cells, make_cells
from sos_estimators.did.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.did.staggered.result import Found, build_estimate
from sos_estimators.did.staggered.saturated import fit_saturated
from sos_estimators.did.staggered.settings import StaggeredSettings
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
    vcov: Convention = Field(
        "CR1", description="small-sample convention of the variance clustered by 'cluster'"
    )


def prepare(sample: Sample, options: ExtendedTwfeSettings) -> tuple[Cells, Effects]:
    """Check and collapse a sample, and list the effects to estimate."""
    cells = make_cells(sample, options, options.control)
    never = options.control == "nevertreated"
    return cells, list_effects(cells, leads=never, reference=never)


def fit_python(sample: Sample, options: ExtendedTwfeSettings) -> Estimate:
    """Estimate with numpy.

    Raises:
        DataError, EstimationError: As :func:`make_cells` and :func:`fit_saturated`.
    """
    cells, effects = prepare(sample, options)
    averages = list_averages(effects, options)
    owner = "owner" if options.effects == "unit" else "cohort"
    found = fit_saturated(cells, effects, averages, absorb=(owner, "period"), vcov=options.vcov)
    return _estimate(found, cells, options)


def fit_r(sample: Sample, options: ExtendedTwfeSettings) -> Estimate:
    """Estimate with ``extended_twfe.R``: ``lm`` and ``sandwich::vcovCL``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`fit_python`.
    """
    cells, effects = prepare(sample, options)
    averages = list_averages(effects, options)
    answer = engine_r.call(
        "extended_twfe.R",
        "extended_twfe",
        cells,
        options,
        vcov=options.vcov,
        control=options.control,
        effects=options.effects,
    )
    return _estimate(engine_r.averaged(answer, averages.names, cells), cells, options)


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
        r_engine(fit_r),
    )


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``extended-twfe``."""
    register(ExtendedTwfe())
