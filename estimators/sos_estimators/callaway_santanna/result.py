"""From terms to the result that every engine returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.callaway_santanna.aggregation import Term, own_effects
from sos_estimators.callaway_santanna.comparisons_2x2 import ComparisonPlan
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.multiplier import bootstrap, in_band
from sos_estimators.inference.own_effects import OwnErrors
from sos_estimators.inference.results import about_no_error
from sos_estimators.regression.design import Fitted
from sos_plugins.authors.results import without_std_errors
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
    df: float | Floats = np.inf,
) -> Estimate:
    """Complete estimates and standard errors, in the order of ``names``, to an ``Estimate``.

    Tests and intervals are from the normal distribution, or Student's with ``df``. ``reference``
    in glance is the event time that all others are compared with, null where leads have bases of
    their own.

    Args:
        names: Of J terms.
        estimates: (J,), in units of the value.
        std_errors: (J,).
        plan: Counts and warnings.
        options: Arguments of the estimator.
        warnings: Further sentences.
        covariance: Of the terms that have a standard error, named by them.
        critical: Half width of a simultaneous band in standard errors; no band if none.
        df: Degrees of freedom, one or (J,).
    """
    values = np.array(list(estimates), dtype=float)
    errors = np.array(list(std_errors), dtype=float)
    none = np.isnan(errors) | (errors <= plan.negligible)
    alone = np.broadcast_to(np.isnan(df), values.shape)
    lost = [
        names[int(j)] for j in np.flatnonzero(none & ~alone & ~np.isnan(values) & (values != 0))
    ]
    told = [about_no_error(lost, exactly=not plan.cancelling)] if lost else []
    return Fitted(tuple(names), values, np.where(none, np.nan, errors), df).estimate(
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
    options = options.decided(few=plan.few)
    names = [term.name for term in terms]
    if options.errors == "own-effects":
        return _of_own_effects(terms, plan, options, warnings)
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


def _of_own_effects(
    terms: Sequence[Term],
    plan: ComparisonPlan,
    options: CallawaySantAnnaSettings,
    warnings: Iterable[str],
) -> Estimate:
    """Complete terms whose errors are from the treated clusters' own effects."""
    own = own_effects(terms)
    values = np.array([term.estimate for term in terms])
    if own is None:
        missing = np.full(len(terms), np.nan)
        bare = build_estimate([t.name for t in terms], values, missing, plan, options, warnings)
        return undrawn(bare, options)
    return estimate_of_own(
        [term.name for term in terms], values, own.errors(values), plan, options, warnings
    )


def estimate_of_own(
    names: Sequence[str],
    values: Floats,
    errors: OwnErrors,
    plan: ComparisonPlan,
    options: CallawaySantAnnaSettings,
    warnings: Iterable[str],
) -> Estimate:
    """Complete estimates and their errors from own effects, and a band.

    Args:
        names: Of J terms.
        values: (J,), in units of the value.
        errors: From the treated clusters' own effects.
        plan: Counts and warnings.
        options: Arguments of the method.
        warnings: Further sentences.
    """
    fitted = Fitted(tuple(names), values, errors.std_errors, errors.df, own_errors=errors)
    known = np.isfinite(errors.std_errors) & (errors.std_errors > plan.negligible)
    scores = np.where(known, errors.scores, 0.0)
    drawn = bootstrap(
        scores,
        np.where(known, errors.std_errors, np.nan),
        options,
        conf_level=options.conf_level,
        in_band=in_band(names),
        df=float(np.min(errors.df[known], initial=np.inf)),
    )
    of_known = [name for name, yes in zip(names, known, strict=True) if yes]
    covariance = pd.DataFrame(
        scores[:, known].T @ scores[:, known], index=of_known, columns=of_known
    )
    return build_estimate(
        names,
        values,
        errors.std_errors,
        plan,
        options,
        (*warnings, *fitted.about_lone()),
        covariance=covariance,
        critical=drawn.critical if options.band else None,
        df=errors.df,
    )


def undrawn(estimate: Estimate, options: CallawaySantAnnaSettings) -> Estimate:
    """Complete what an engine gives that does not draw: no errors where they are to be drawn.

    Args:
        estimate: Of an engine that does not draw.
        options: Arguments of the estimator.
    """
    return without_std_errors(estimate, options.cannot_draw) if options.cannot_draw else estimate
