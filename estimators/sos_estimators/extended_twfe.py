"""Two-way regression with an effect for every cohort and period: estimator ``extended-twfe``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from sos_estimators.arrays import Ints
from sos_estimators.inference.vcov import VCOV_ON_CELLS, VarianceOnCells
from sos_estimators.reassignment import estimators as reassignment
from sos_estimators.reassignment.averages import Evaluate
from sos_estimators.reassignment.inference_table import tables_by_python, with_inference_table
from sos_estimators.references import WOOLDRIDGE_2025
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.fit import by_engine
from sos_estimators.staggered import engine_r
from sos_estimators.staggered.adjustment import (
    Centre,
    interacted,
)
from sos_estimators.staggered.averages import (
    list_averages,
    list_effects,
)
from sos_estimators.staggered.cohort_cells import CohortCells, make_cells
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.saturated import fit_on_cells, saturated
from sos_estimators.staggered.settings import StaggeredSettings
from sos_plugins import Estimate, Estimator, Sample, hookimpl
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics
from sos_plugins.errors import EstimationError


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
    vcov: VarianceOnCells = Field("CR1", description=VCOV_ON_CELLS)

    @property
    def absorb(self) -> tuple[str, str]:
        """Columns of the cells whose effects are taken out."""
        return ("owner" if self.effects == "unit" else "cohort", "period")


def fit(sample: Sample, options: ExtendedTwfeSettings, engine: str = "python") -> Estimate:
    """Estimate by an engine: ``python``, ``pyfixest`` or ``r``.

    Wooldridge (2025), Empirical Economics 69, 2545-2587.

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
    cells = make_cells(sample, options, options.control)
    options = cells.decided(options)
    never = options.control == "nevertreated"
    effects = list_effects(cells, leads=never, reference=never)
    interact = options.adjustment == "interacted"
    design = saturated(
        cells,
        effects,
        list_averages(effects, options),
        absorb=options.absorb,
        vcov=options.vcov,
        ask_r=lambda _: engine_r.call(
            "extended_twfe.R",
            "extended_twfe",
            cells,
            options,
            interact=interact,
            **options.model_dump(include={"vcov", "control", "effects", "centre"}),
        ),
        adjustment=(
            interacted(cells, effects, options.centre) if interact and cells.covariates else None
        ),
    )
    estimate = fit_on_cells([design], engine, cells, options)
    if engine != "python":
        return estimate
    return with_inference_table(estimate, options, lambda: _reassigned(cells, options))


def _reassigned(cells: CohortCells, options: ExtendedTwfeSettings) -> tuple[Evaluate, Ints]:
    if options.effects == "cohort" or (cells.covariates and options.adjustment == "interacted"):
        raise EstimationError(
            "with slopes that differ by cohort, or effects of cohorts in place of units, a new "
            "assignment changes the covariates too; take adjustment = 'additive', effects = 'unit'"
        )
    return reassignment.saturated(cells, options, leads=options.control == "nevertreated")


fit_python, fit_pyfixest, fit_r = by_engine(fit, "python", "pyfixest", "r")


class ExtendedTwfe(StaggeredEstimator):
    """The two-way regression with an effect for every cohort and treated period."""

    name = "extended-twfe"
    label = "Extended two-way fixed effects (Wooldridge 2025)"
    short_label = "Wooldridge's two-way fixed effects"
    Settings = ExtendedTwfeSettings
    citation = (
        "Wooldridge, J. M. (2025), Two-way fixed effects, the two-way Mundlak regression, and "
        "difference-in-differences estimators, Empirical Economics 69, 2545-2587"
    )
    references = (WOOLDRIDGE_2025,)
    engines = tables_by_python(
        python_engine(fit_python),
        engine_pyfixest.engine(fit_pyfixest),
        r_engine(fit_r),
    )

    def reassigned(self, sample: Sample, options: Any, draws: AssignmentDraws) -> DrawnStatistics:
        """Return the t statistic of own effects, and those under assignments by common lots."""
        cells = make_cells(sample, options, options.control)
        return reassignment.by_lot(cells, _reassigned(cells, options), draws)


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``extended-twfe``."""
    register(ExtendedTwfe())
