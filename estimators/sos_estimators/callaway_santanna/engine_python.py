"""Engine in numpy; the reference of cross-checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sos_estimators.arrays import Ints
from sos_estimators.callaway_santanna.aggregation import covariance, missing_sentences, terms
from sos_estimators.callaway_santanna.comparisons_2x2 import ComparisonPlan
from sos_estimators.callaway_santanna.compress import merged
from sos_estimators.callaway_santanna.group_time import GroupTime, group_time, observations
from sos_estimators.callaway_santanna.panel_effects import panel_effects
from sos_estimators.callaway_santanna.preparation import prepare
from sos_estimators.callaway_santanna.result import estimate_of_terms
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.reassignment import estimators as reassignment
from sos_estimators.reassignment.averages import Evaluate
from sos_estimators.reassignment.inference_table import with_inference_table
from sos_estimators.staggered.cohort_cells import make_cells
from sos_estimators.staggered.settings import Aggregate
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics, Estimate, Sample
from sos_plugins.errors import EstimationError


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with our own numpy code, a balanced panel from its moments where these do.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError, EstimationError: As :func:`prepare` and :func:`terms`.
    """
    estimate = fit_several(sample, options, (options.aggregate,))[options.aggregate]
    return with_inference_table(estimate, options, lambda: _reassigned(sample, options))


def _reassigned(sample: Sample, options: CallawaySantAnnaSettings) -> tuple[Evaluate, Ints]:
    if sample.covariates:
        raise EstimationError(
            "with covariates the propensities of a new assignment are others; leave them out"
        )
    evaluate, cohort = reassignment.group_time(
        make_cells(sample, options, options.control), options
    )
    if sample.is_panel and np.ptp(evaluate.table.weight, axis=1).any():
        raise EstimationError(
            "in a panel with gaps, or with weights that change, each comparison leaves out other "
            "units, and means of authorities and periods do not give it; keep the units that "
            "have every period, or leave the column 'id' out"
        )
    return evaluate, cohort


def by_lot(
    sample: Sample, options: CallawaySantAnnaSettings, draws: AssignmentDraws
) -> DrawnStatistics:
    """Return the t statistic of the overall effect, and those under assignments by common lots.

    Args:
        sample: Cases in calendar periods.
        options: Arguments of the estimator.
        draws: The lots.

    Raises:
        EstimationError: If dates cannot be dealt out anew.
    """
    made = _reassigned(sample, options)
    cells = make_cells(sample, options, options.control)
    return reassignment.by_lot(cells, made, draws)


def fit_several(
    sample: Sample, options: CallawaySantAnnaSettings, aggregates: Sequence[Aggregate]
) -> dict[Aggregate, Estimate]:
    """Estimate group-time effects once, and give several aggregations of them.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
        aggregates: Values of ``aggregate``.

    Raises:
        DataError, EstimationError: As :func:`fit`.
    """
    of_panel = panel_effects(sample, options)
    if of_panel is None:
        return _of_rows(sample, options, aggregates)
    return _estimates(*of_panel, options, aggregates)


def fit_rows(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate row by row, a panel too.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError, EstimationError: As :func:`fit`.
    """
    return _of_rows(sample, options, (options.aggregate,))[options.aggregate]


def _of_rows(
    sample: Sample, options: CallawaySantAnnaSettings, aggregates: Sequence[Aggregate]
) -> dict[Aggregate, Estimate]:
    """From rows, cases of repeated cross-sections being merged where that loses nothing."""
    prepared = prepare(merged(sample, options), options)
    effects = group_time(observations(prepared), prepared.plan.comparisons, options)
    return _estimates(effects, prepared.plan, options, aggregates)


def _estimates(
    effects: GroupTime,
    plan: ComparisonPlan,
    options: CallawaySantAnnaSettings,
    aggregates: Sequence[Aggregate],
) -> dict[Aggregate, Estimate]:
    chosen = {name: options.model_copy(update={"aggregate": name}) for name in aggregates}
    return {name: _estimate(effects, plan, one) for name, one in chosen.items()}


def _estimate(
    effects: GroupTime, plan: ComparisonPlan, options: CallawaySantAnnaSettings
) -> Estimate:
    named = terms(effects, options)
    missing = missing_sentences(effects.missing)
    return estimate_of_terms(named, plan, options, missing, covariance=covariance(named))
