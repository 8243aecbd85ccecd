"""Engine in numpy; the reference of cross-checks."""

from __future__ import annotations

from sos_estimators.did.callaway_santanna.aggregation import covariance, missing_sentences, terms
from sos_estimators.did.callaway_santanna.group_time import GroupTime, group_time, observations
from sos_estimators.did.callaway_santanna.merging import merged
from sos_estimators.did.callaway_santanna.panel_effects import panel_effects
from sos_estimators.did.callaway_santanna.preparation import Plan, Prepared, prepare
from sos_estimators.did.callaway_santanna.result import build_estimate, errors_of
from sos_estimators.did.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_plugins.types import Estimate, Sample


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with our own numpy code, a balanced panel from its moments where these do.

    Raises:
        DataError, EstimationError: As :func:`prepare` and :func:`terms`.
    """
    of_panel = panel_effects(sample, options)
    if of_panel is None:
        return fit_rows(sample, options)
    return _estimate(of_panel.effects, of_panel.plan, options)


def fit_rows(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate row by row, cases of repeated cross-sections being merged where that loses nothing.

    Raises:
        DataError, EstimationError: As :func:`prepare` and :func:`terms`.
    """
    prepared = prepare(merged(sample, options), options)
    effects = group_time(observations(prepared), prepared.cells, options)
    return _estimate(effects, prepared, options)


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
