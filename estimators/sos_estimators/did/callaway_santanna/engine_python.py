"""Engine in numpy; the reference of cross-checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sos_estimators.did.callaway_santanna.aggregation import (
    Term,
    covariance,
    missing_sentences,
    terms,
)
from sos_estimators.did.callaway_santanna.group_time import group_time, observations
from sos_estimators.did.callaway_santanna.merging import merged
from sos_estimators.did.callaway_santanna.preparation import prepare
from sos_estimators.did.callaway_santanna.result import build_estimate, in_band
from sos_estimators.did.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.did.multiplier import Bootstrapped, bootstrap
from sos_plugins.types import Estimate, Sample


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with our own numpy code.

    Raises:
        DataError, EstimationError: As :func:`prepare` and :func:`terms`.
    """
    prepared = prepare(merged(sample, options), options)
    effects = group_time(observations(prepared), prepared.cells, options)
    found = terms(effects, options)
    errors = _errors(found, options)
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


def _errors(found: Sequence[Term], options: CallawaySantAnnaSettings) -> Bootstrapped:
    """Standard errors by formula or of draws, and the width of a band."""
    return bootstrap(
        np.column_stack([term.scores for term in found]),
        np.array([term.std_error for term in found]),
        options,
        conf_level=options.conf_level,
        in_band=in_band([term.name for term in found]),
    )
