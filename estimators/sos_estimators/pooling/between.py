"""The variance between pilots: restricted maximum likelihood, and an interval by Q-profile.

With effects y and their sampling variances v, the true effects of k pilots are taken as draws with
a common mean and variance tau2, so that y has variance v + tau2.

Viechtbauer, W. (2005), Bias and efficiency of meta-analytic variance estimators in the
random-effects model, Journal of Educational and Behavioral Statistics 30(3), 261-293;
Viechtbauer, W. (2007), Confidence intervals for the amount of heterogeneity in meta-analysis,
Statistics in Medicine 26(1), 37-52.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import chdtri

Array = npt.NDArray[np.float64]

GRID = 200
"""Values between zero and the bound at which the slope of the likelihood is looked at: it may have
more than one maximum."""
SMALLEST = 1e-8
"""The first of them, as a share of the smallest sampling variance."""
ROUNDING = 4 * np.finfo(float).eps
"""Relative precision of a root."""


@dataclass(frozen=True)
class Effects:
    """Effects of at least two pilots and their sampling variances, each (k,), variances above 0."""

    values: Array
    variances: Array

    @property
    def spread(self) -> float:
        """Sum of squared distances from the plain mean."""
        return float(((self.values - self.values.mean()) ** 2).sum())

    def weights(self, tau2: float) -> Array:
        """Return the precision of each effect about the common mean, (k,).

        Args:
            tau2: Variance between pilots, 0 or more.
        """
        return 1 / (self.variances + tau2)

    def mean(self, tau2: float) -> float:
        """Return the weighted mean.

        Args:
            tau2: Variance between pilots, 0 or more.
        """
        return float(np.average(self.values, weights=self.weights(tau2)))

    def distance(self, tau2: float) -> float:
        """Return the weighted sum of squared distances from the mean: Cochran's Q at zero.

        Args:
            tau2: Variance between pilots, 0 or more.
        """
        return float(self.weights(tau2) @ (self.values - self.mean(tau2)) ** 2)


def reml(effects: Effects) -> float:
    """Estimate the variance between pilots by restricted maximum likelihood.

    Where the likelihood has several maxima the highest is taken.

    Args:
        effects: Effects of k pilots.

    Returns:
        The variance in squared units of the effects; 0 where the likelihood falls from there.
    """
    average = effects.spread / (len(effects.values) - 1)
    bound = average + np.sqrt(average * effects.variances.max())
    first = SMALLEST * effects.variances.min()
    if bound <= first:
        return 0.0
    grid = np.array([0.0, *np.geomspace(first, bound, GRID)])
    slopes = np.array([_slope(effects, tau2) for tau2 in grid])
    turns = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    peaks = [0.0, *(_root(lambda t: _slope(effects, t), grid[i], grid[i + 1]) for i in turns)]
    return max(peaks, key=lambda tau2: _likelihood(effects, tau2))


def _slope(effects: Effects, tau2: float) -> float:
    """Twice the slope of the restricted likelihood; below zero beyond the bound of ``reml``."""
    weights = effects.weights(tau2)
    fitted = weights**2 @ (effects.values - effects.mean(tau2)) ** 2
    return float(fitted - weights.sum() + (weights**2).sum() / weights.sum())


def _likelihood(effects: Effects, tau2: float) -> float:
    weights = effects.weights(tau2)
    return float(np.log(weights).sum() - np.log(weights.sum()) - effects.distance(tau2)) / 2


def q_profile(effects: Effects, conf_level: float) -> tuple[float, float]:
    """Return the values of the variance between pilots under which Q is no surprise.

    Args:
        effects: Effects of k pilots.
        conf_level: Level of the interval, between 0 and 1.

    Returns:
        Both ends; both 0 where even no variance at all would let effects differ more.
    """
    tail, df = (1 - conf_level) / 2, len(effects.values) - 1
    return tuple(_where_q_is(effects, float(chdtri(df, p))) for p in (tail, 1 - tail))  # type: ignore[return-value]


def _where_q_is(effects: Effects, value: float) -> float:
    """Return the variance at which the falling Q takes a value, 0 where it is below it already."""
    if effects.distance(0.0) <= value:
        return 0.0
    return _root(lambda t: effects.distance(t) - value, 0.0, effects.spread / value)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    smallest = max(high, np.finfo(float).tiny) * ROUNDING
    return float(brentq(function, low, high, xtol=smallest, rtol=ROUNDING))
