"""Effects as what the untreated cases do not explain: ``imputation`` and ``two-stage``.

Both regress the cases not treated yet on unit effects, period effects and covariates, and average
what this leaves of the treated. They differ in what their standard errors measure effects from, and
in what they say of the time before treatment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.inference.vcov import Convention
from sos_estimators.reassignment import estimators as reassignment
from sos_estimators.reassignment.inference_table import tables_by_python, with_inference_table
from sos_estimators.references import BORUSYAK_2024, BUTTS_GARDNER_2022, GARDNER_2022
from sos_estimators.regression.design import Fitted
from sos_estimators.regression.engine_r import FIXEST_STOPS, R_FIXEST, in_order
from sos_estimators.regression.least_squares import group_sums
from sos_estimators.staggered import engine_did2s, engine_r
from sos_estimators.staggered.averages import Averages, Effects, list_averages, list_effects
from sos_estimators.staggered.cohort_cells import CohortCells, make_cells
from sos_estimators.staggered.first_stage import FirstStage, first_stage, imputable
from sos_estimators.staggered.leads import (
    Leads,
    Regress,
    fit_leads,
    in_numpy,
    in_pyfixest,
    leads_of_r,
)
from sos_estimators.staggered.plugin import StaggeredEstimator, python_engine, r_engine
from sos_estimators.staggered.result import build_estimate
from sos_estimators.staggered.settings import StaggeredSettings
from sos_plugins import Engine, Estimate, Estimator, Requirement, Sample, hookimpl
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics

R_DIDIMPUTATION = Requirement("r", "didimputation", 'in R: install.packages("didimputation")')
ALONE = 1e-12
"""A unit that is left less than this share of its squared weight by others is the only one."""
CONSERVATIVE = "conservative, effects centred by cohort and period, summed by cluster"


class ImputedSettings(StaggeredSettings):
    """Arguments of the estimators that impute what the treated would have been."""

    control: Literal["notyettreated", "nevertreated"] = Field(
        "notyettreated",
        description="which cases give period effects and covariates: all that are not treated yet, "
        "or units never treated, whose trend alone then is that of the treated; unit effects are "
        "from all cases of a unit before its treatment",
    )

    @property
    def effects_before(self) -> bool:
        """Whether periods before treatment have effects too: mean residuals."""
        return False


class ImputationSettings(ImputedSettings):
    """Arguments of ``imputation``."""

    leads: bool = Field(
        True,
        description="with aggregate=event: also test the time before treatment, by a regression "
        "of the untreated cases on leads",
    )
    leave_one_out: bool = Field(
        False,
        description="with errors = analytic or bootstrap: measure each unit's effects from the "
        "average of the other units of its cohort and period, which errors of small cohorts need; "
        "a cohort of one unit has none",
    )
    leads_vcov: Convention = Field(
        "CR1", description="small-sample convention of the variance of the leads"
    )

    @property
    def with_leads(self) -> bool:
        """Whether leads are asked for."""
        return self.leads and self.aggregate == "event"


class TwoStageSettings(ImputedSettings):
    """Arguments of ``two-stage``."""

    vcov: Literal["CR0", "CR1"] = Field(
        "CR0",
        description="clustered variance of both stages together: plain, as R's did2s has it, or "
        "widened by G / (G - 1) for G clusters",
    )

    @property
    def effects_before(self) -> bool:
        """Whether periods before treatment have effects too: with aggregate=event."""
        return self.aggregate == "event"


def prepare(sample: Sample, options: ImputedSettings) -> tuple[CohortCells, Effects, Averages]:
    """Check and collapse a sample, leave out what cannot be imputed, list what to estimate.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    cells = imputable(make_cells(sample, options, options.control), options.control)
    effects = list_effects(cells, leads=options.effects_before, reference=False)
    return cells, effects, list_averages(effects, options)


Centres = Callable[[CohortCells, Effects, Floats, FirstStage], Floats]
"""What residuals are measured from, (m, J) or (J,), given how cells count in averages, (m, J)."""


def averages_of_residuals(
    cells: CohortCells,
    effects: Effects,
    averages: Averages,
    options: ImputedSettings,
    centres: Centres,
) -> Fitted:
    """Average what the first stage leaves of the treated; errors that allow for the first stage.

    Args:
        cells: The cells, m of them.
        effects: Effects by cohort and period.
        averages: J averages of effects.
        options: ``control`` is used.
        centres: What residuals are measured from in the errors.

    Returns:
        The averages, with what each cluster adds to them.
    """
    stage = first_stage(cells, options.control)
    weights = averages.cell_weights(effects, cells)
    factors = weights * (stage.residual[:, None] - centres(cells, effects, weights, stage))
    of_others = stage.influence(weights, cells.weight) * stage.residual[:, None]
    cluster = cells.codes("cluster")
    scores = group_sums(factors + of_others, cluster)
    fitted = Fitted.of_scores(averages.names, weights.T @ stage.residual, scores, np.inf)
    contributions = group_sums(weights * stage.residual[:, None] + of_others, cluster)
    return fitted.with_own(OwnEffects(contributions, group_sums(weights, cluster)))


def _of_units(
    cells: CohortCells, effects: Effects, weights: Floats, stage: FirstStage
) -> tuple[Floats, Floats, Ints, Ints]:
    """Sum by unit and period: weights (u, J), weighted effects (u, J), groups (u,), and of cells.

    A group is a cohort and period, or 0 outside the averages.
    """
    unit_period = cells.codes("owner", "period")
    weight = group_sums(weights, unit_period)
    total = group_sums(weights * stage.residual[:, None], unit_period)
    groups = np.zeros(len(weight), dtype=np.int64)
    groups[unit_period] = effects.of_cell + 1
    return weight, total, groups, unit_period


def by_cohort_and_period(
    cells: CohortCells, effects: Effects, weights: Floats, stage: FirstStage
) -> Floats:
    """Return the average effect of each cell's cohort and period, (m, J); zero outside an average.

    Each unit and period counts by the square of its weight: equations 6 to 8 of Borusyak, Jaravel
    and Spiess (2024). The errors are conservative.

    Args:
        cells: The cells, m of them.
        effects: Effects by cohort and period.
        weights: How much each cell counts in each average, (m, J).
        stage: The regression of the untreated cells.
    """
    weight, total, groups, _ = _of_units(cells, effects, weights, stage)
    numerator = group_sums(weight * total, groups)
    denominator = group_sums(weight**2, groups)
    mean = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return np.asarray(mean[effects.of_cell + 1])


def by_others(cells: CohortCells, effects: Effects, weights: Floats, stage: FirstStage) -> Floats:
    """Return the average effect of the other units of each cell's cohort and period, (m, J).

    Each unit and period counts by the square of its weight, as in :func:`by_cohort_and_period`: the
    leave-out version of Borusyak, Jaravel and Spiess (2024). Missing where a unit is the only one.

    Args:
        cells: The cells, m of them.
        effects: Effects by cohort and period.
        weights: How much each cell counts in each average, (m, J).
        stage: The regression of the untreated cells.
    """
    weight, total, groups, unit_period = _of_units(cells, effects, weights, stage)
    numerator = group_sums(weight * total, groups)[groups] - weight * total
    denominator = group_sums(weight**2, groups)[groups] - weight**2
    least = ALONE * weight**2
    others = np.divide(
        numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > least
    )
    return np.asarray(np.where(weight > 0, others, 0.0)[unit_period])


def by_average(cells: CohortCells, effects: Effects, weights: Floats, stage: FirstStage) -> Floats:  # noqa: ARG001
    """Return the averages themselves, (J,): each is a coefficient of its own second stage.

    Without intercept, ``overall`` is the coefficient of an indicator of the treated periods,
    ``event=e`` of an event time, and so on. The variance is that of two-step GMM (Newey and
    McFadden 1994; Butts and Gardner 2022, R Journal 14(3)): scores of the second stage less what
    the first adds, without small-sample correction.

    Args:
        cells: The cells, m of them.
        effects: Effects by cohort and period.
        weights: How much each cell counts in each average, (m, J).
        stage: The regression of the untreated cells.
    """
    return np.asarray(weights.T @ stage.residual)


def impute(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate ``imputation`` with numpy.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    options = cells.decided(options)
    centres = by_others if options.leave_one_out else by_cohort_and_period
    terms = averages_of_residuals(cells, effects, averages, options, centres)
    estimate = _imputation(terms, _leads(cells, options), cells, options)
    return with_inference_table(estimate, options, lambda: reassignment.imputed(cells, options))


def impute_in_pyfixest(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with ``did2s`` of pyfixest, the leads with its ``feols``; without standard errors.

    The two-stage estimates are those of the imputation; the errors are not.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        EngineError: If pyfixest fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    options = cells.decided(options)
    terms = engine_did2s.two_stage(cells, effects, averages)
    terms = replace(
        terms,
        df=np.inf,
        std_errors=np.full(len(averages.names), np.nan),
        lacks="pyfixest has no conservative errors of the imputation",
    )
    return _imputation(terms, _leads(cells, options, in_pyfixest), cells, options)


def impute_in_r(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with ``imputation.R``.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    options = cells.decided(options)
    answer = engine_r.call(
        "imputation.R",
        "imputation",
        cells,
        options,
        control=options.control,
        leads=options.with_leads,
        leads_vcov=options.leads_vcov,
        leave_one_out=options.leave_one_out,
    )
    leads = Leads.none(cells)
    if options.with_leads:
        leads = leads_of_r(answer, cells, options.min_event)
    return _imputation(in_order(answer, averages.names, np.inf), leads, cells, options)


def impute_in_didimputation(sample: Sample, options: ImputationSettings) -> Estimate:
    """Estimate with ``did_imputation`` of the R package ``didimputation``.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    options = cells.decided(options)
    answer = engine_r.call(
        "imputation_didimputation.R",
        "imputation_didimputation",
        cells,
        options,
        leave_out=("own_effects",),
    )
    terms = in_order(answer, averages.names, np.inf)
    return _imputation(terms, Leads.none(cells), cells, options)


def _leads(cells: CohortCells, options: ImputationSettings, regress: Regress = in_numpy) -> Leads:
    if not options.with_leads:
        return Leads.none(cells)
    own = options.errors == "own-effects" and regress is in_numpy
    return fit_leads(cells, options.min_event, options.leads_vcov, regress, own=own)


def _imputation(
    terms: Fitted, leads: Leads, cells: CohortCells, options: ImputationSettings
) -> Estimate:
    """Put the averages and the leads together, the overall effect first."""
    if not options.with_leads:
        return build_estimate(leads.before(terms), cells, options, vcov=CONSERVATIVE)
    test = leads.joint_test(cells)
    if test.reason and leads.own is not None:
        cells = cells.told(f"No joint test of the leads: {test.reason}.")
    return build_estimate(
        leads.before(terms), cells, options, vcov=CONSERVATIVE, further=leads.tested(test)
    )


def didimputation_limits(sample: Sample, options: ImputationSettings) -> str | None:
    """Say what the package ``didimputation`` cannot do of what is asked.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
    """
    if options.leave_one_out:
        return "didimputation 0.5.0 has no leave-out errors"
    if sample.frame["weight"].nunique() > 1:
        return "didimputation 0.5.0 squares weights in its standard errors"
    if not sample.is_panel:
        return "didimputation centres effects case by case, which differs on cross-sections"
    if options.anticipation:
        return "didimputation knows no anticipation"
    if options.control != "notyettreated":
        return "didimputation compares with all cases that are not treated yet"
    if options.with_leads:
        return "didimputation has another variance of the leads; set leads=false"
    return None


def two_stage(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate ``two-stage`` with numpy.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    options = cells.decided(options)
    terms = averages_of_residuals(cells, effects, averages, options, by_average)
    estimate = _two_stage(terms, cells, options)
    return with_inference_table(estimate, options, lambda: reassignment.imputed(cells, options))


def two_stage_in_pyfixest(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with ``did2s`` of pyfixest.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, effects, averages = prepare(sample, options)
    options = cells.decided(options)
    return _two_stage(engine_did2s.two_stage(cells, effects, averages), cells, options)


def two_stage_in_r(sample: Sample, options: TwoStageSettings) -> Estimate:
    """Estimate with ``two_stage.R``.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    cells, _, averages = prepare(sample, options)
    options = cells.decided(options)
    answer = engine_r.call("two_stage.R", "two_stage", cells, options, control=options.control)
    return _two_stage(in_order(answer, averages.names, np.inf), cells, options)


def _two_stage(plain: Fitted, cells: CohortCells, options: TwoStageSettings) -> Estimate:
    """Apply the convention to plain standard errors and complete the result."""
    n = cells.n_clusters
    wider = np.sqrt(n / (n - 1)) if options.vcov == "CR1" else 1.0
    scores = None if plain.scores is None else plain.scores * wider
    terms = replace(plain, std_errors=plain.std_errors * wider, df=n - 1.0, scores=scores)
    return build_estimate(terms, cells, options, vcov=f"{options.vcov}, both stages")


class Imputed(StaggeredEstimator):
    """An estimator of this module; an instance is a plugin that offers itself."""

    def reassigned(self, sample: Sample, options: Any, draws: AssignmentDraws) -> DrawnStatistics:
        """Return the t statistic of own effects, and those under assignments by common lots."""
        cells, _, _ = prepare(sample, options)
        return reassignment.by_lot(cells, reassignment.imputed(cells, options), draws)

    @hookimpl
    def register_estimators(self, register: Callable[[Estimator], None]) -> None:
        """Offer the estimator.

        Args:
            register: Takes the estimator.
        """
        register(self)


class Imputation(Imputed):
    """What the treated would have been is imputed from the cases not treated yet."""

    name = "imputation"
    label = "Imputation of untreated outcomes (Borusyak, Jaravel and Spiess 2024)"
    short_label = "Borusyak, Jaravel and Spiess"
    Settings = ImputationSettings
    citation = (
        "Borusyak, K., Jaravel, X. and Spiess, J. (2024), Revisiting event-study designs: robust "
        "and efficient estimation, Review of Economic Studies 91(6), 3253-3285"
    )
    references = (BORUSYAK_2024,)
    engines = tables_by_python(
        python_engine(impute),
        engine_did2s.engine(impute_in_pyfixest, prepare),
        r_engine(impute_in_r),
        Engine(
            name="r-didimputation",
            fit=impute_in_didimputation,
            requires=(R_BASE, R_DIDIMPUTATION),
            limits=didimputation_limits,
            tolerance_estimate=FIXEST_STOPS,
            tolerance_std_error=FIXEST_STOPS,
            decides=(R_FIXEST,),
        ),
    )


class TwoStage(Imputed):
    """Effects are what unit and period effects of untreated cases leave of the treated."""

    name = "two-stage"
    label = "Two-stage difference-in-differences (Gardner 2022)"
    short_label = "Gardner's two stages"
    Settings = TwoStageSettings
    citation = (
        "Gardner, J. (2022), Two-stage differences in differences, arXiv:2207.05943; standard "
        "errors: Butts, K. and Gardner, J. (2022), did2s: Two-stage difference-in-differences, "
        "The R Journal 14(3), 162-173"
    )
    references = (
        GARDNER_2022,
        BUTTS_GARDNER_2022,
    )
    engines = tables_by_python(
        python_engine(two_stage),
        engine_did2s.engine(two_stage_in_pyfixest, prepare),
        r_engine(two_stage_in_r),
    )


IMPUTATION, TWO_STAGE = Imputation(), TwoStage()
"""What the entry points name."""
