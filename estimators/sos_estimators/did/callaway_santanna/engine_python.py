"""Engine in numpy; the reference of cross-checks."""

from __future__ import annotations

from sos_estimators.did.callaway_santanna.aggregation import covariance, missing_sentences, terms
from sos_estimators.did.callaway_santanna.group_time import group_time, observations
from sos_estimators.did.callaway_santanna.merging import merged
from sos_estimators.did.callaway_santanna.preparation import prepare
from sos_estimators.did.callaway_santanna.result import build_estimate, errors_of
from sos_estimators.did.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_plugins.types import Estimate, Sample


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with our own numpy code.

    Raises:
        DataError, EstimationError: As :func:`prepare` and :func:`terms`.
    """
    prepared = prepare(merged(sample, options), options)
    effects = group_time(observations(prepared), prepared.cells, options)
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
