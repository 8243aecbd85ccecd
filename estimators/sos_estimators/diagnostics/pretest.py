"""What a test of the leads could have seen, and what it lets through.

Roth (2022), "Pretest with Caution: Event-Study Estimates after Testing for Parallel Trends",
American Economic Review: Insights 4(3), 305-322. The test passes when no lead is significant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from sos_estimators.arrays import Floats
from sos_estimators.diagnostics.coefficients import EventCoefficients
from sos_plugins.errors import EstimationError

POINTS = 2**14
"""Points of the lattice on which a box of the normal distribution is integrated: four digits."""
LARGEST_SLOPE = 100.0
"""In standard errors of the most exact lead: every test sees a slope of this size."""
PRECISION = 1e-10
"""Share of the largest slope to which a slope is found."""


@dataclass(frozen=True)
class Box:
    """A multivariate normal in a box: its probability, and its mean (p,) given that it is there."""

    probability: float
    mean: Floats


def normal_in_box(mean: Floats, covariance: Floats, low: Floats, high: Floats) -> Box:
    """Integrate a multivariate normal over a box.

    Variables are drawn one after the other, each truncated given those before (Genz 1992), on a
    fixed lattice: the result is a smooth function of the arguments, without chance.

    Args:
        mean: (p,).
        covariance: (p, p), positive definite.
        low: Lower sides, (p,).
        high: Upper sides, (p,).
    """
    root = np.linalg.cholesky(covariance)
    standard = np.zeros((len(mean), POINTS))
    weight = np.ones(POINTS)
    for i, uniform in enumerate(_lattice(len(mean))):
        known = mean[i] + root[i, :i] @ standard[:i]
        below = ndtr((low[i] - known) / root[i, i])
        mass = ndtr((high[i] - known) / root[i, i]) - below
        weight = weight * mass
        inside = np.clip(below + uniform * mass, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
        standard[i] = ndtri(inside)
    total = float(weight.sum())
    if total <= 0:
        return Box(0.0, np.full(len(mean), np.nan))
    return Box(total / POINTS, mean + (root @ standard) @ weight / total)


@cache
def _lattice(dimensions: int) -> Floats:
    """Return points (dimensions, POINTS) that fill the unit cube evenly, folded at the middle."""
    primes = [n for n in range(2, 400) if all(n % d for d in range(2, n))][:dimensions]
    steps = np.sqrt(np.array(primes, float))[:, None] * np.arange(1, POINTS + 1)
    return np.abs(2 * ((steps + 0.5) % 1) - 1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class PretestPower:
    """What the test of the leads does when trends diverge by ``violation`` and there is no effect.

    Attributes:
        violation: Difference of trends at each coefficient's event time, (p,).
        power: Probability that at least one lead is significant.
        wald_power: Probability that the joint (Wald) test of all leads rejects.
        size: Probability that at least one lead is significant with parallel trends.
        after_passing: Mean of the coefficients when no lead is significant, (p,): those of the
            lags are the bias that a reader sees after a passed test.
        bayes_factor: Probability of passing under this violation over that under parallel trends:
            the smaller, the more a passed test says.
        n_pre: Number of leads.
    """

    violation: Floats
    power: float
    wald_power: float
    size: float
    after_passing: Floats
    bayes_factor: float
    n_pre: int

    def bias(self, weights: Floats) -> float:
        """Return the expected bias of a target (weights of the lags) after a passed test."""
        return float(weights @ self.after_passing[self.n_pre :])


def pretest_power(
    path: EventCoefficients, violation: ArrayLike, *, level: float = 0.05
) -> PretestPower:
    """Work out the power of the test of the leads against a violation of parallel trends.

    Args:
        path: Coefficients and covariance; the estimates play no part.
        violation: Slope of a linear trend (one number: its change a period), or the difference of
            trends at each coefficient's event time, (p,), zero at the reference.
        level: Two-sided level at which one lead is significant.

    Raises:
        EstimationError: If the leads' covariance is singular or the violation has another shape.
    """
    given = np.asarray(violation, float)
    trend = given * path.times if given.ndim == 0 else given
    if trend.shape != path.estimates.shape:
        raise EstimationError(
            f"The violation has shape {given.shape}: give one slope, or {len(path.estimates)} "
            "differences, one for each coefficient."
        )
    cov = _of_leads(path)
    box, none = (_passing(path, mean, level) for mean in (trend[path.pre], 0 * trend[path.pre]))
    moved = path.covariance[path.post, path.pre] @ np.linalg.solve(cov, box.mean - trend[path.pre])
    noncentral = float(trend[path.pre] @ np.linalg.solve(cov, trend[path.pre]))
    from scipy import stats  # half a second to import: only when asked for

    critical = stats.chi2.ppf(1 - level, path.n_pre)
    wald = stats.ncx2.sf(critical, path.n_pre, noncentral) if noncentral > 0 else level
    return PretestPower(
        violation=trend,
        power=1 - box.probability,
        wald_power=float(wald),
        size=1 - none.probability,
        after_passing=np.concatenate([box.mean, trend[path.post] + moved]),
        bayes_factor=box.probability / none.probability,
        n_pre=path.n_pre,
    )


def slope_for_power(path: EventCoefficients, power: float = 0.5, *, level: float = 0.05) -> float:
    """Find the slope of a linear violation that the test of the leads detects with a given power.

    Args:
        path: Coefficients and covariance; the estimates play no part.
        power: Probability that at least one lead is significant.
        level: Two-sided level at which one lead is significant.

    Returns:
        The slope, positive: change of the difference of trends a period, in units of the outcome.

    Raises:
        EstimationError: If parallel trends are rejected that often already, or the covariance of
            the leads is singular.
    """
    times, cov = path.times[path.pre], _of_leads(path)

    def lacking(slope: float) -> float:
        return 1 - _passing(path, slope * times, level).probability - power

    size = lacking(0.0) + power
    if not size < power < 1:
        raise EstimationError(
            f"No slope gives the test of the leads a power of {power:g}: with parallel trends it "
            f"finds a significant lead with probability {size:.2f}; ask for more, below 1."
        )
    largest = LARGEST_SLOPE * float((np.sqrt(np.diag(cov)) / np.abs(times)).min())
    return float(brentq(lacking, 0.0, largest, xtol=PRECISION * largest))


def _passing(path: EventCoefficients, mean: Floats, level: float) -> Box:
    half = float(ndtri(1 - level / 2)) * np.sqrt(np.diag(path.covariance)[path.pre])
    return normal_in_box(mean, path.covariance[path.pre, path.pre], -half, half)


def _of_leads(path: EventCoefficients) -> Floats:
    cov = path.covariance[path.pre, path.pre]
    scale = np.sqrt(np.diag(cov))
    if np.linalg.matrix_rank(cov / np.outer(scale, scale), hermitian=True) < path.n_pre:
        raise EstimationError(
            f"The covariance of the {path.n_pre} leads is singular, as with fewer clusters than "
            "leads: the power of their test cannot be told. Bin leads with min_event."
        )
    return cov
