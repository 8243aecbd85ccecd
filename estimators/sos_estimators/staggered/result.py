"""From averages to the result that every engine returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.multiplier import Bootstrapped, bootstrap, in_band
from sos_estimators.inference.results import about_no_error, fitted_exactly, negligible
from sos_estimators.regression.design import Fitted
from sos_estimators.regression.least_squares import Regression
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.settings import CommonSettings
from sos_plugins.contract.columns import ON_THE_TREATED
from sos_plugins.contract.types import Estimate

OF_VARIANCES = 1000.0
"""So much larger is the rounding error of a root of a variance than that of sums by cluster."""
ITERATED = 1e-3
"""Errors below this share of the values' standard deviation may be what an iteration left."""


def build_estimate(
    terms: Fitted,
    cells: CohortCells,
    options: CommonSettings,
    *,
    vcov: str,
    further: Mapping[str, Any] | None = None,
) -> Estimate:
    """Complete what an engine gives to an ``Estimate``.

    A standard error that is zero but for rounding is missing; unless the effect is zero by
    definition, a warning says so. Draws are made here, of what each cluster adds: engines that give
    this have the same draws. One that does not has no band, and no errors where they are to be
    drawn.

    Args:
        terms: The terms.
        cells: Whose values, counts and warnings these are.
        options: Settings.
        vcov: The variance in words.
        further: What is particular to the estimator, for the one-row summary.
    """
    least = negligible(cells.value) * (1 if terms.scores is not None else OF_VARIANCES)
    none = ~(terms.std_errors > least)
    if terms.iterated and (terms.std_errors <= ITERATED * cells.value.std()).any():
        none = none | fitted_exactly(_saturated(cells))
    told = list(terms.warnings)
    zero = none & ~np.isnan(terms.std_errors)
    each = zip(terms.names, zero, terms.estimates, strict=True)
    lost = [name for name, gone, value in each if gone and value]
    if lost:
        told.append(about_no_error(lost, exactly=fitted_exactly(_saturated(cells))))
    drawn = _drawn(terms, np.where(none, np.nan, terms.std_errors), options)
    lacks = terms.lacks or (options.cannot_draw if terms.scores is None else "")
    return replace(terms, std_errors=drawn.std_errors, lacks=lacks).estimate(
        options.conf_level,
        {
            **cells.counts(),
            "estimand": _estimand(options),
            "vcov": options.described(vcov),
            "conf_level": options.conf_level,
            **(further or {}),
        },
        (*cells.warnings, *told),
        covariance=terms.covariance_of_scores,
        critical=drawn.critical if options.band and terms.scores is not None else None,
    )


def _estimand(options: CommonSettings) -> str:
    latest = getattr(options, "max_event", None)
    return ON_THE_TREATED if latest is None else f"{ON_THE_TREATED} up to event time {latest}"


def _saturated(cells: CohortCells) -> Regression:
    """Unit and period effects, covariates, and one effect for each cohort and treated period."""
    table = cells.frame
    effect = np.where(cells.treated, cells.codes("cohort", "period") + 1, 0)
    numbers = np.unique(effect[effect > 0])
    return cells.regression(
        ("owner", "period"),
        terms=np.empty((len(table), 0)),
        term_names=(),
        further=(effect[:, None] == numbers).astype(float),
        further_names=tuple(str(number) for number in numbers),
    )


def _drawn(terms: Fitted, errors: Floats, options: CommonSettings) -> Bootstrapped:
    """Standard errors as asked for and the width of the band, where there are contributions."""
    if terms.scores is None:
        return Bootstrapped(errors, float("nan"))
    return bootstrap(
        terms.scores,
        errors,
        options,
        conf_level=options.conf_level,
        in_band=in_band(terms.names),
        df=float(np.min(terms.df)),
    )
