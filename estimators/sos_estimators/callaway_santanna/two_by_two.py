"""The comparison that every group-time effect is made of: two groups, before and after.

Outcome regression (``reg``), inverse probability weighting with weights that add up to one
(``ipw``) and the locally efficient doubly robust estimator (``dr``), for changes of a balanced
panel and for repeated cross-sections.

Sources: Sant'Anna, P. H. C. and Zhao, J. (2020), Doubly robust difference-in-differences
estimators, Journal of Econometrics 219(1), 101-122; Abadie, A. (2005), Semiparametric
difference-in-differences estimators, Review of Economic Studies 72(1), 1-19.

The outcome enters every formula linearly and rows only through ``weight``, ``weight * x`` and
``weight * y``. So rows that share a design row may be merged into one with the sum of their weights
and their weighted mean outcome: the effect stays the same, and so does the sum of the scores over
every set of merged rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sos_estimators.arrays import Bools, Floats
from sos_estimators.callaway_santanna.nuisance import (
    ComparisonError,
    Nuisance,
    independent_columns,
    least_squares,
    logit,
)
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings

APART = "the covariates tell treated from comparison cases apart (a propensity reaches {:g})"
NONE_LEFT = "no comparison case is left after trimming"


@dataclass(frozen=True)
class TwoByTwoData:
    """Rows of one comparison.

    Attributes:
        y: Outcome, or its change in a panel; (n,).
        treated: Whether the row is of the treated group; (n,).
        design: Covariates with a column of ones first; (n, k).
        weight: Sampling weights, positive; (n,).
        post: Whether the row is of the later period; (n,). None in a panel.
    """

    y: Floats
    treated: Bools
    design: Floats
    weight: Floats
    post: Bools | None = None


@dataclass(frozen=True)
class Effect:
    """The effect on the treated.

    Attributes:
        att: The point estimate.
        scores: What each row contributes to the estimation error; (n,). They sum to zero, and the
            sum of their squares over independent rows is the squared standard error.
    """

    att: float
    scores: Floats


def effect(rows: TwoByTwoData, options: CallawaySantAnnaSettings) -> Effect:
    """Estimate the effect on the treated in one comparison.

    Args:
        rows: At least one treated and one comparison row in each period.
        options: ``method``, ``overlap``, ``trim`` and ``scores`` are used.

    Raises:
        ComparisonError: If the treated and the comparison rows do not overlap, or treated rows
            have covariates from which a regression cannot predict.
    """
    kept = independent_columns(rows.design)
    rows = replace(rows, design=rows.design[:, kept])
    treatment = None
    if options.method != "reg":
        treatment = propensity(rows.treated, rows.design, rows.weight, options.overlap)
    if rows.post is None:
        return _of_changes(rows, treatment, options)
    if treatment is None:
        return _regression_of_cross_sections(rows, rows.post)
    if options.method == "ipw":
        return _weighted_cross_sections(rows, rows.post, treatment, options)
    return _robust_cross_sections(rows, rows.post, treatment, options)


def propensity(treated: Bools, design: Floats, weight: Floats, overlap: float) -> Nuisance:
    """Fit the propensity to be treated.

    Args:
        treated: (n,).
        design: Independent columns, the first of ones; (n, k).
        weight: (n,).
        overlap: No propensity may reach this.

    Raises:
        ComparisonError: If treated and comparison rows do not overlap.
    """
    fit = logit(treated, design, weight)
    if fit.fitted.max() >= overlap:
        raise ComparisonError(APART.format(overlap))
    return fit


def full_rank(rows: TwoByTwoData, options: CallawaySantAnnaSettings) -> bool:
    """Whether every fit of a method has as many independent columns as there are covariates.

    Where not, this module leaves out what does not vary; others cannot go on.

    Args:
        rows: Rows of one comparison.
        options: Arguments of the estimator.
    """
    k = rows.design.shape[1]
    periods = [np.ones(len(rows.y), bool)] if rows.post is None else [rows.post, ~rows.post]
    groups = [] if options.method == "ipw" else [~rows.treated]
    if options.method == "dr" and rows.post is not None:
        groups.append(rows.treated)
    fits = [group & period for group in groups for period in periods]
    fits.append(np.ones(len(rows.y), bool))
    return all(len(independent_columns(rows.design[fit])) == k for fit in fits)


def _shares(weight: Floats) -> Floats:
    total = weight.sum()
    if not total > 0:
        raise ComparisonError(NONE_LEFT)
    share: Floats = weight / total
    return share


def _odds(rows: TwoByTwoData, treatment: Nuisance, trim: float) -> Floats:
    """Weights that make comparison rows look like the treated ones; zero for the treated."""
    kept = ~rows.treated & (treatment.fitted < trim)
    return np.where(kept, rows.weight * treatment.fitted / (1 - treatment.fitted), 0.0)


def _of_changes(
    rows: TwoByTwoData, treatment: Nuisance | None, options: CallawaySantAnnaSettings
) -> Effect:
    share = _shares(rows.weight * rows.treated)
    y, design = rows.y, rows.design
    scores = np.zeros(len(y))
    if options.method != "ipw":
        change = least_squares(y, design, rows.weight * ~rows.treated, rows.treated)
        y = y - change.fitted
        scores = scores - change.along(share @ design)
    att = float(share @ y)
    scores = scores + share * (y - att)
    if treatment is None:
        return Effect(att, scores)
    compared = _shares(_odds(rows, treatment, options.trim))
    level = float(compared @ y)
    spread = compared * (y - level)
    scores = scores - spread - treatment.along(spread @ design)
    if options.method == "dr":
        scores = scores + change.along(compared @ design)
    return Effect(att - level, scores)


def _regression_of_cross_sections(rows: TwoByTwoData, post: Bools) -> Effect:
    y, design, weight, treated = rows.y, rows.design, rows.weight, rows.treated
    after = least_squares(y, design, weight * (~treated & post), treated)
    before = least_squares(y, design, weight * (~treated & ~post), treated)
    share = _shares(weight * treated)
    share_after, share_before = (
        _shares(weight * (treated & post)),
        _shares(weight * (treated & ~post)),
    )
    trend = after.fitted - before.fitted
    level_after, level_before = float(share_after @ y), float(share_before @ y)
    expected = float(share @ trend)
    scores = (
        share_after * (y - level_after)
        - share_before * (y - level_before)
        - share * (trend - expected)
        - after.along(share @ design)
        + before.along(share @ design)
    )
    return Effect(level_after - level_before - expected, scores)


def _weighted_cross_sections(
    rows: TwoByTwoData, post: Bools, treatment: Nuisance, options: CallawaySantAnnaSettings
) -> Effect:
    odds = _odds(rows, treatment, options.trim)
    own = rows.weight * rows.treated
    att, scores, drift = 0.0, np.zeros(len(rows.y)), np.zeros(rows.design.shape[1])
    for period, sign in ((post, 1.0), (~post, -1.0)):
        share, compared = _shares(own * period), _shares(odds * period)
        level, level_compared = float(share @ rows.y), float(compared @ rows.y)
        spread = compared * (rows.y - level_compared)
        att += sign * (level - level_compared)
        scores = scores + sign * (share * (rows.y - level) - spread)
        drift = drift + sign * (spread @ rows.design)
    return Effect(att, scores - treatment.along(drift))


def _robust_cross_sections(
    rows: TwoByTwoData, post: Bools, treatment: Nuisance, options: CallawaySantAnnaSettings
) -> Effect:
    """The locally efficient estimator.

    With an intercept among the covariates, weighted residuals of the treated regressions average
    to zero in each period, so the treated outcome needs the regressions only.
    """
    y, design, weight, treated = rows.y, rows.design, rows.weight, rows.treated
    odds, share = _odds(rows, treatment, options.trim), _shares(weight * treated)
    centre = share @ design
    att, scores = 0.0, np.zeros(len(y))
    effects, drift = np.zeros(len(y)), np.zeros(design.shape[1])
    for period, sign in ((post, 1.0), (~post, -1.0)):
        own = least_squares(y, design, weight * (treated & period), treated)
        other = least_squares(y, design, weight * (~treated & period), treated)
        compared = _shares(odds * period)
        residual = y - other.fitted
        level = float(compared @ residual)
        spread = compared * (residual - level)
        att -= sign * level
        effects = effects + sign * (own.fitted - other.fitted)
        drift = drift + sign * (spread @ design)
        scores = scores + sign * (own.along(centre) - spread)
        scores = scores + sign * other.along(compared @ design - centre)
        if options.scores == "published" and period is not post:
            scores = scores - 2 * other.along(_published_slip(rows, period, compared))
    mean_effect = float(share @ effects)
    scores = scores + share * (effects - mean_effect) - treatment.along(drift)
    return Effect(att + mean_effect, scores)


def _published_slip(rows: TwoByTwoData, period: Bools, compared: Floats) -> Floats:
    """Difference in mean covariates that the published scores count with the opposite sign.

    The R package DRDID (``drdid_rc``, up to version 1.3.0) adds, for the comparison regression of
    the earlier period, what the derivative of the estimator subtracts. The difference is of no
    account in large samples where the treatment model holds, for then both means are the same.
    """
    own = _shares(rows.weight * (rows.treated & period))
    return (own - compared) @ rows.design
