"""Logit with absorbed effects, its cluster-robust variance and average marginal effects.

Newton steps are weighted least squares in which :class:`~.least_squares.Absorber` takes the
effects out with the working weights of the step, so the fit is that of a logit with a dummy for
each effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sos_estimators.arrays import Bools, Floats
from sos_estimators.regression.least_squares import (
    Absorber,
    Counts,
    Regression,
    absorbed_columns,
    count,
    group_sums,
    side_by_side,
    solve,
)
from sos_plugins.errors import EstimationError

MAX_STEPS = 50
CONVERGED = 1e-10
"""Largest change of a linear predictor in the last step; Newton steps square the error, so the
result is good to rounding."""
LARGEST_PREDICTOR = 25.0
"""A linear predictor beyond this (a probability within 1e-11 of 0 or 1) only occurs when values are
predicted perfectly and the coefficients run away."""


@dataclass(frozen=True)
class LogitFit:
    """A fitted logit with one term, the treatment.

    Attributes:
        log_odds: Coefficient of the treatment.
        effect: Average over the treated cases of the probability with minus without treatment.
        influence: What each cluster adds to ``effect`` and ``log_odds``, (G, 2).
        counts: For small-sample corrections.
        kept: Which columns, covariates first, are not collinear.
    """

    log_odds: float
    effect: float
    influence: Floats
    counts: Counts
    kept: Bools


def logit(regression: Regression) -> LogitFit:
    """Fit by maximum likelihood.

    Args:
        regression: Of values that are means of 0 and 1; its one term is the treatment.

    Raises:
        CollinearTermsError: If the treatment is collinear.
        EstimationError: If the steps do not converge.
    """
    _, kept = absorbed_columns(regression, Absorber(regression.effects, regression.weight))
    raw = side_by_side([regression.covariates, regression.terms], len(regression.value))[:, kept]
    predictor, beta, columns, bread, absorber = _newton(regression, raw)
    probability = expit(predictor)
    working = regression.weight * probability * (1 - probability)
    residuals = regression.weight * (regression.value - probability)
    scores = group_sums(columns, regression.cluster, residuals)
    log_odds = float(beta[-1])
    effect, direction = _marginal(
        regression, predictor, log_odds, working, absorber, columns, bread
    )
    on_effect = group_sums((direction * residuals)[:, None], regression.cluster)
    return LogitFit(
        log_odds=log_odds,
        effect=effect,
        influence=np.column_stack([on_effect, scores @ bread[:, -1:]]),
        counts=count(regression, absorber.rank, kept),
        kept=kept,
    )


def _newton(regression: Regression, raw: Floats) -> tuple[Floats, Floats, Floats, Floats, Absorber]:
    """Return predictor (m,), coefficients, columns with the effects taken out, bread, absorber."""
    value, weight = regression.value, regression.weight
    probability = (weight * value + 0.5) / (weight + 1)
    predictor = np.log(probability / (1 - probability))
    for _ in range(MAX_STEPS):
        probability = expit(predictor)
        variance = probability * (1 - probability)
        absorber = Absorber(regression.effects, weight * variance)
        target = predictor + (value - probability) / variance
        both = absorber.residuals(side_by_side([raw, target], len(value)))
        columns, left = both[:, :-1], both[:, -1]
        bread, beta = solve(columns, left, weight * variance)
        new = target - (left - columns @ beta)
        change = float(np.abs(new - predictor).max())
        predictor = np.clip(new, -LARGEST_PREDICTOR, LARGEST_PREDICTOR)
        if change < CONVERGED:
            return predictor, beta, columns, bread, absorber
    raise EstimationError(
        f"The logit did not converge in {MAX_STEPS} steps: some combination of covariates and "
        "fixed effects predicts the value perfectly. Use fewer covariates, form = 'pilot-post', "
        "or model = 'linear'."
    )


def _marginal(
    regression: Regression,
    predictor: Floats,
    log_odds: float,
    working: Floats,
    absorber: Absorber,
    columns: Floats,
    bread: Floats,
) -> tuple[float, Floats]:
    """Return the average effect on the treated and its derivative in the direction of each score.

    The gradient with respect to all parameters, effects included, is ``Z'u + c e`` with ``Z`` the
    full design, ``u`` non-zero for treated cells only and ``e`` the unit vector of the treatment;
    multiplied by the inverse information and the design it is the fitted value of the weighted
    regression of ``u / working`` on the design, plus c times the column of the treatment.
    """
    share = np.where(regression.terms[:, 0] == 1, regression.weight, 0.0)
    share = share / share.sum()
    with_it, without = expit(predictor), expit(predictor - log_odds)
    slope_with, slope_without = with_it * (1 - with_it), without * (1 - without)
    rise = (share * (slope_with - slope_without) / working)[:, None]
    left = absorber.residuals(rise)
    slopes = bread @ (columns.T @ (left * working[:, None]))
    fitted = (rise - left + columns @ slopes)[:, 0]
    c = float((share * slope_without).sum())
    return float((share * (with_it - without)).sum()), fitted + c * (columns @ bread[:, -1])
