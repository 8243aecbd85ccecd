"""Engine in numpy; the reference of cross-checks."""

from __future__ import annotations

from collections.abc import Sequence

from sos_estimators.callaway_santanna.aggregation import covariance, missing_sentences, terms
from sos_estimators.callaway_santanna.compress import merged
from sos_estimators.callaway_santanna.group_time import GroupTime, group_time, observations
from sos_estimators.callaway_santanna.panel_effects import panel_effects
from sos_estimators.callaway_santanna.preparation import Plan, Prepared, prepare
from sos_estimators.callaway_santanna.result import build_estimate, errors_of
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.staggered.settings import Aggregate
from sos_plugins.contract.types import Estimate, Sample


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with our own numpy code, a balanced panel from its moments where these do.

    Raises:
        DataError, EstimationError: As :func:`prepare` and :func:`terms`.
    """
    return fit_several(sample, options, (options.aggregate,))[options.aggregate]


def fit_several(
    sample: Sample, options: CallawaySantAnnaSettings, aggregates: Sequence[Aggregate]
) -> dict[Aggregate, Estimate]:
    """Estimate group-time effects once, and give several aggregations of them.

    Raises:
        DataError, EstimationError: As :func:`fit`.
    """
    found = panel_effects(sample, options)
    if found is None:
        return _of_rows(sample, options, aggregates)
    return _estimates(found.effects, found.plan, options, aggregates)


def fit_rows(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate row by row, a panel too.

    Raises:
        DataError, EstimationError: As :func:`fit`.
    """
    return _of_rows(sample, options, (options.aggregate,))[options.aggregate]


def _of_rows(
    sample: Sample, options: CallawaySantAnnaSettings, aggregates: Sequence[Aggregate]
) -> dict[Aggregate, Estimate]:
    """From rows, cases of repeated cross-sections being merged where that loses nothing."""
    prepared = prepare(merged(sample, options), options)
    effects = group_time(observations(prepared), prepared.cells, options)
    return _estimates(effects, prepared, options, aggregates)


def _estimates(
    effects: GroupTime,
    prepared: Prepared | Plan,
    options: CallawaySantAnnaSettings,
    aggregates: Sequence[Aggregate],
) -> dict[Aggregate, Estimate]:
    chosen = {name: options.model_copy(update={"aggregate": name}) for name in aggregates}
    return {name: _estimate(effects, prepared, one) for name, one in chosen.items()}


def _estimate(
    effects: GroupTime, prepared: Prepared | Plan, options: CallawaySantAnnaSettings
) -> Estimate:
    found = terms(effects, options)
    errors = errors_of(found, options)
    return build_estimate(
        [term.name for term in found],
        [term.estimate for term in found],
        errors.std_errors,
        prepared,
        options,
        missing_sentences(effects.missing),
        covariance=covariance(found),
        critical=errors.critical if options.band else None,
    )
