"""From terms to the result that every engine returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sos_estimators.callaway_santanna.aggregation import Term
from sos_estimators.callaway_santanna.comparisons_2x2 import ComparisonPlan
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.multiplier import bootstrap, in_band
from sos_estimators.inference.results import about_no_error
from sos_estimators.regression.design import Fitted
from sos_plugins.contract.columns import ON_THE_TREATED, OVER_EVENT_TIMES
from sos_plugins.contract.types import Estimate

OVERALL = {
    "group-time": ON_THE_TREATED,
    "simple": ON_THE_TREATED,
    "event": OVER_EVENT_TIMES,
    "cohort": "average over cohorts of the effect on the treated",
    "calendar": "average over periods of the effect on those treated by then",
}
VCOV = {
    "cluster": "influence functions, summed by cluster",
    "unit-of-observation": "influence functions",
}


def build_estimate(
    names: Sequence[str],
    estimates: Iterable[float],
    std_errors: Iterable[float],
    plan: ComparisonPlan,
    options: CallawaySantAnnaSettings,
    warnings: Iterable[str] = (),
    *,
    covariance: pd.DataFrame | None = None,
    critical: float | None = None,
) -> Estimate:
    """Complete estimates and standard errors, in the order of ``names``, to an ``Estimate``.

    Tests and intervals are from the normal distribution. ``reference`` in glance is the event time
    that all others are compared with, null where leads have bases of their own. ``critical`` is
    the half width of a simultaneous band in standard errors; no band if none.

    Args:
        names: Of J terms.
        estimates: (J,), in units of the value.
        std_errors: (J,).
        plan: Counts and warnings.
        options: Arguments of the estimator.
        warnings: Further sentences.
        covariance: Of the terms that have a standard error, named by them.
        critical: Half width of a simultaneous band in standard errors; no band if none.
    """
    values = np.array(list(estimates), dtype=float)
    errors = np.array(list(std_errors), dtype=float)
    none = np.isnan(errors) | (errors <= plan.negligible)
    lost = [names[int(j)] for j in np.flatnonzero(none & ~np.isnan(values) & (values != 0))]
    told = [about_no_error(lost, exactly=not plan.one_against_one)] if lost else []
    return Fitted(tuple(names), values, np.where(none, np.nan, errors), np.inf).estimate(
        options.conf_level,
        {
            **plan.counts,
            "estimand": OVERALL[options.aggregate],
            "vcov": options.described(VCOV[options.cluster]),
            "conf_level": options.conf_level,
            "reference": -1 - options.anticipation if options.base == "universal" else None,
        },
        (*plan.warnings, *warnings, *told),
        covariance=covariance,
        critical=critical,
    )


def estimate_of_terms(
    terms: Sequence[Term],
    plan: ComparisonPlan,
    options: CallawaySantAnnaSettings,
    warnings: Iterable[str],
    *,
    covariance: pd.DataFrame | None = None,
) -> Estimate:
    """Complete terms to an ``Estimate``, with errors by formula or of draws, and a band.

    Args:
        terms: Effects and averages, with what each cluster adds.
        plan: Counts and warnings.
        options: Arguments of the method.
        warnings: Further sentences.
        covariance: Of the terms that have a standard error, named by them.
    """
    names = [term.name for term in terms]
    drawn = bootstrap(
        np.column_stack([term.scores for term in terms]),
        np.array([term.std_error for term in terms]),
        options,
        conf_level=options.conf_level,
        in_band=in_band(names),
    )
    return build_estimate(
        names,
        [term.estimate for term in terms],
        drawn.std_errors,
        plan,
        options,
        warnings,
        covariance=covariance,
        critical=drawn.critical if options.band else None,
    )


def undrawn(estimate: Estimate, options: CallawaySantAnnaSettings) -> Estimate:
    """Complete what an engine gives that does not draw: no errors where they are to be drawn.

    Args:
        estimate: Of an engine that does not draw.
        options: Arguments of the estimator.
    """
    return estimate.without_std_errors(options.cannot_draw) if options.cannot_draw else estimate
