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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sos_estimators.did.callaway_santanna.settings import CallawaySantAnnaSettings

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_ITERATIONS = 100
DEVIANCE_CHANGE = 1e-12
"""Newton steps of the logit end when the deviance changes by less than this share."""


class ComparisonError(Exception):
    """A comparison cannot be made; the text says why, as the end of a sentence."""


@dataclass(frozen=True)
class Comparison:
    """Rows of one comparison.

    Attributes:
        y: Outcome, or its change in a panel; (n,).
        treated: Whether the row is of the treated group; (n,).
        design: Covariates with a column of ones first; (n, k).
        weight: Sampling weights, positive; (n,).
        post: Whether the row is of the later period; (n,). None in a panel.
    """

    y: FloatArray
    treated: BoolArray
    design: FloatArray
    weight: FloatArray
    post: BoolArray | None = None


@dataclass(frozen=True)
class Effect:
    """The effect on the treated.

    Attributes:
        att: The point estimate.
        scores: What each row contributes to the estimation error; (n,). They sum to zero, and the
            sum of their squares over independent rows is the squared standard error.
    """

    att: float
    scores: FloatArray


@dataclass(frozen=True)
class Nuisance:
    """A fitted regression or propensity.

    Attributes:
        fitted: Prediction for every row; (n,).
        residual: Weighted residual, zero outside the rows it was fitted on; (n,).
        design: (n, k).
        information: Negative second derivative of the criterion; (k, k).
    """

    fitted: FloatArray
    residual: FloatArray
    design: FloatArray
    information: FloatArray

    def along(self, direction: FloatArray) -> FloatArray:
        """Return each row's contribution to the error of ``direction @ coefficients``; (n,)."""
        return self.residual * (self.design @ np.linalg.solve(self.information, direction))


def effect(rows: Comparison, options: CallawaySantAnnaSettings) -> Effect:
    """Estimate the effect on the treated in one comparison.

    Args:
        rows: At least one treated and one comparison row in each period.
        options: ``method``, ``overlap``, ``trim`` and ``scores`` are used.

    Raises:
        ComparisonError: If covariates are collinear among the rows that a regression needs, or
            the treated and the comparison rows do not overlap.
    """
    propensity = require_estimable(rows, options)
    if rows.post is None:
        return _of_changes(rows, propensity, options)
    if propensity is None:
        return _regression_of_cross_sections(rows, rows.post)
    if options.method == "ipw":
        return _weighted_cross_sections(rows, rows.post, propensity, options)
    return _robust_cross_sections(rows, rows.post, propensity, options)


def require_estimable(rows: Comparison, options: CallawaySantAnnaSettings) -> Nuisance | None:
    """Return the propensity if the method uses one, and check the covariates.

    Raises:
        ComparisonError: As :func:`effect`.
    """
    propensity = None
    if options.method != "reg":
        propensity = logit(rows.treated, rows.design, rows.weight)
        if propensity.fitted.max() >= options.overlap:
            raise ComparisonError(
                "the covariates tell treated from comparison cases apart "
                f"(a propensity reaches {options.overlap:g})"
            )
    if options.method != "ipw":
        _require_variation(rows, with_treated=options.method == "dr" and rows.post is not None)
    return propensity


def _require_variation(rows: Comparison, *, with_treated: bool) -> None:
    groups = {"comparison": ~rows.treated, **({"treated": rows.treated} if with_treated else {})}
    post = rows.post
    periods = [np.ones(len(rows.y), bool)] if post is None else [post, ~post]
    for who, chosen in groups.items():
        for period in periods:
            design = rows.design[chosen & period]
            if _singular(design.T @ design):
                raise ComparisonError(f"the covariates are collinear among its {who} cases")


def least_squares(y: FloatArray, design: FloatArray, weight: FloatArray) -> Nuisance:
    """Fit weighted least squares on the rows of positive weight."""
    information = design.T @ (weight[:, None] * design)
    fitted = design @ np.linalg.solve(information, design.T @ (weight * y))
    return Nuisance(fitted, weight * (y - fitted), design, information)


def logit(outcome: BoolArray, design: FloatArray, weight: FloatArray) -> Nuisance:
    """Fit a weighted logit by Newton's method.

    Raises:
        ComparisonError: If the covariates are collinear, or the classes separate so far that the
            information matrix is singular.
    """
    scaled = weight / weight.mean()
    y = outcome.astype(float)
    share = float(np.average(y, weights=scaled))
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(share / (1 - share))
    deviance = np.inf
    for _ in range(MAX_ITERATIONS):
        index = np.clip(design @ coefficients, -30, 30)
        fitted = 1 / (1 + np.exp(-index))
        information = design.T @ ((scaled * fitted * (1 - fitted))[:, None] * design)
        before, deviance = deviance, 2 * float(scaled @ (np.logaddexp(0, index) - y * index))
        if _singular(information):
            raise ComparisonError("the covariates are collinear or separate the groups")
        if abs(before - deviance) <= DEVIANCE_CHANGE * (abs(deviance) + 0.1):
            break
        step = np.linalg.solve(information, design.T @ (scaled * (y - fitted)))
        coefficients = coefficients + step
    return Nuisance(fitted, scaled * (y - fitted), design, information)


def _singular(information: FloatArray) -> bool:
    if not np.isfinite(information).all():
        return True
    condition = np.linalg.cond(information, 1)
    return not condition < 1 / np.finfo(float).eps


def _shares(weight: FloatArray) -> FloatArray:
    total = weight.sum()
    if not total > 0:
        raise ComparisonError("no comparison case is left after trimming")
    share: FloatArray = weight / total
    return share


def _odds(rows: Comparison, propensity: Nuisance, trim: float) -> FloatArray:
    """Weights that make comparison rows look like the treated ones; zero for the treated."""
    kept = ~rows.treated & (propensity.fitted < trim)
    return np.where(kept, rows.weight * propensity.fitted / (1 - propensity.fitted), 0.0)


def _of_changes(
    rows: Comparison, propensity: Nuisance | None, options: CallawaySantAnnaSettings
) -> Effect:
    share = _shares(rows.weight * rows.treated)
    y, design = rows.y, rows.design
    scores = np.zeros(len(y))
    if options.method != "ipw":
        change = least_squares(y, design, rows.weight * ~rows.treated)
        y = y - change.fitted
        scores = scores - change.along(share @ design)
    att = float(share @ y)
    scores = scores + share * (y - att)
    if propensity is None:
        return Effect(att, scores)
    compared = _shares(_odds(rows, propensity, options.trim))
    level = float(compared @ y)
    spread = compared * (y - level)
    scores = scores - spread - propensity.along(spread @ design)
    if options.method == "dr":
        scores = scores + change.along(compared @ design)
    return Effect(att - level, scores)


def _regression_of_cross_sections(rows: Comparison, post: BoolArray) -> Effect:
    y, design, weight, treated = rows.y, rows.design, rows.weight, rows.treated
    after = least_squares(y, design, weight * (~treated & post))
    before = least_squares(y, design, weight * (~treated & ~post))
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
    rows: Comparison, post: BoolArray, propensity: Nuisance, options: CallawaySantAnnaSettings
) -> Effect:
    odds = _odds(rows, propensity, options.trim)
    own = rows.weight * rows.treated
    att, scores, drift = 0.0, np.zeros(len(rows.y)), np.zeros(rows.design.shape[1])
    for period, sign in ((post, 1.0), (~post, -1.0)):
        share, compared = _shares(own * period), _shares(odds * period)
        level, level_compared = float(share @ rows.y), float(compared @ rows.y)
        spread = compared * (rows.y - level_compared)
        att += sign * (level - level_compared)
        scores = scores + sign * (share * (rows.y - level) - spread)
        drift = drift + sign * (spread @ rows.design)
    return Effect(att, scores - propensity.along(drift))


def _robust_cross_sections(
    rows: Comparison, post: BoolArray, propensity: Nuisance, options: CallawaySantAnnaSettings
) -> Effect:
    """The locally efficient estimator.

    With an intercept among the covariates, weighted residuals of the treated regressions average
    to zero in each period, so the treated outcome needs the regressions only.
    """
    y, design, weight, treated = rows.y, rows.design, rows.weight, rows.treated
    odds, share = _odds(rows, propensity, options.trim), _shares(weight * treated)
    centre = share @ design
    att, scores = 0.0, np.zeros(len(y))
    effects, drift = np.zeros(len(y)), np.zeros(design.shape[1])
    for period, sign in ((post, 1.0), (~post, -1.0)):
        own = least_squares(y, design, weight * (treated & period))
        other = least_squares(y, design, weight * (~treated & period))
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
    scores = scores + share * (effects - mean_effect) - propensity.along(drift)
    return Effect(att + mean_effect, scores)


def _published_slip(rows: Comparison, period: BoolArray, compared: FloatArray) -> FloatArray:
    """Difference in mean covariates that the published scores count with the opposite sign.

    The R package DRDID (``drdid_rc``, up to version 1.2.3) adds, for the comparison regression of
    the earlier period, what the derivative of the estimator subtracts. The difference is of no
    account in large samples where the propensity model holds, for then both means are the same.
    """
    own = _shares(rows.weight * (rows.treated & period))
    return (own - compared) @ rows.design
