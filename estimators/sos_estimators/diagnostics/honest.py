"""Honest bounds of an effect when trends need not be parallel, and where a conclusion breaks down.

Rambachan and Roth (2023), "A More Credible Approach to Parallel Trends", Review of Economic
Studies 90(5), 2555-2591.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.diagnostics.coefficients import EventCoefficients
from sos_estimators.diagnostics.relative_magnitudes import DRAWS, RelativeMagnitudes, draw_noise
from sos_estimators.diagnostics.smoothness import Smoothness
from sos_estimators.inference.distributions import normal_quantile, normal_tail
from sos_plugins.errors import EstimationError

Delta = Literal["relative-magnitudes", "smoothness"]

LARGEST_RELATIVE = 1000.0
"""A breakdown value above this counts as infinite: no violation of trends would be that large."""
LARGEST_IN_ERRORS = 1e6
"""Likewise for smoothness, in standard errors of the target."""
HALVINGS = 14
"""Halvings of a breakdown value's bracket: four digits."""


@dataclass(frozen=True)
class RobustInterval:
    """What is known of the target when trends may diverge by ``m``.

    Attributes:
        m: How much. Relative magnitudes: times the largest step before adoption. Smoothness:
            change of slope a period, in units of the outcome.
        estimate: Relative magnitudes: as with parallel trends. Smoothness: the centre of the
            interval, which extrapolates the trend before adoption.
        std_error: Of the estimate.
        p_value: Of the hypothesis that the target is zero.
        conf_low: Lower end of the robust confidence interval.
        conf_high: Upper end.
    """

    m: float
    estimate: float
    std_error: float
    p_value: float
    conf_low: float
    conf_high: float


@dataclass(frozen=True)
class HonestBounds:
    """Robust confidence intervals of one target.

    Attributes:
        delta: The restriction on trends.
        target: ``"average"`` of the lags, or ``"event=0"`` ...
        conf_level: Of the intervals.
        parallel: The usual interval, which takes trends to be parallel (normal quantiles).
        intervals: One for each m, in the order given.
        breakdown: The smallest m whose interval holds zero: 0 when already that of m = 0 does, inf
            when none does. Below it the sign of the effect is told.
    """

    delta: Delta
    target: str
    conf_level: float
    parallel: RobustInterval
    intervals: tuple[RobustInterval, ...]
    breakdown: float


def honest_bounds(
    path: EventCoefficients,
    *,
    delta: Delta = "relative-magnitudes",
    m: Sequence[float],
    target: str = "average",
    conf_level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> HonestBounds:
    """Bound an effect under violations of parallel trends.

    The coefficients may come from any estimator, in Python or R, that gives them and their
    covariance with the last period before adoption as reference for all of them.

    Args:
        path: Coefficients and covariance.
        delta: ``"relative-magnitudes"``: a step of the differential trend after adoption is at
            most m times the largest step before it. ``"smoothness"``: its slope changes by at most
            m from one period to the next; m = 0 extrapolates a straight line.
        m: Values of m, 0 or more.
        target: ``"average"`` of the lags, or one of them such as ``"event=0"``.
        conf_level: Level of the intervals.
        draws: Draws for the first stage of the tests of relative magnitudes.
        seed: Of these draws.

    Raises:
        EstimationError: If there is no such lag, an m is negative, or, under smoothness, the
            covariance is singular.
    """
    if not all(np.isfinite(value) and value >= 0 for value in m):
        raise EstimationError(f"Values of m must be 0 or more: {', '.join(map(str, m))}.")
    weights = path.weights(target)
    if delta == "smoothness":
        intervals, breakdown = _smooth(path, weights, m, conf_level)
    else:
        intervals, breakdown = _relative(path, weights, m, conf_level, draws, seed)
    parallel = parallel_trends(path, weights, conf_level)
    return HonestBounds(delta, target, conf_level, parallel, tuple(intervals), breakdown)


def parallel_trends(path: EventCoefficients, weights: Floats, conf_level: float) -> RobustInterval:
    """Return the usual estimate and interval of a target, on the normal distribution."""
    estimate = float(weights @ path.estimates[path.post])
    error = float(np.sqrt(weights @ path.covariance[path.post, path.post] @ weights))
    half = float(normal_quantile((1 + conf_level) / 2)) * error
    p_value = 2 * float(normal_tail(abs(estimate) / error))
    return RobustInterval(0.0, estimate, error, p_value, estimate - half, estimate + half)


def _relative(
    path: EventCoefficients,
    weights: Floats,
    m: Sequence[float],
    conf_level: float,
    draws: int,
    seed: int,
) -> tuple[list[RobustInterval], float]:
    noise = draw_noise(path, draws=draws, seed=seed)

    def at(value: float) -> RelativeMagnitudes:
        return RelativeMagnitudes.of(path, weights, value, noise=noise)

    size = 1 - conf_level
    usual = parallel_trends(path, weights, conf_level)
    intervals = []
    for value in m:
        tests = at(value)
        low, high = tests.interval(size)
        intervals.append(
            RobustInterval(value, usual.estimate, usual.std_error, tests.p_value(), low, high)
        )
    where = breakdown_value(
        lambda value: at(value).accepts(0.0, size), first=1.0, largest=LARGEST_RELATIVE
    )
    return intervals, where


def _smooth(
    path: EventCoefficients, weights: Floats, m: Sequence[float], conf_level: float
) -> tuple[list[RobustInterval], float]:
    estimators = Smoothness.of(path, weights)
    intervals = []
    for value in m:
        best = estimators.shortest(value, conf_level)
        intervals.append(
            RobustInterval(value, best.estimate, best.std_error, best.p_value(), *best.interval)
        )

    def holds_zero(value: float) -> bool:
        low, high = estimators.shortest(value, conf_level).interval
        return low <= 0 <= high

    error = parallel_trends(path, weights, conf_level).std_error
    where = breakdown_value(holds_zero, first=error, largest=LARGEST_IN_ERRORS * error)
    return intervals, where


def breakdown_value(holds_zero: Callable[[float], bool], *, first: float, largest: float) -> float:
    """Find the smallest m whose interval holds zero, by doubling and then halving.

    Args:
        holds_zero: Whether the interval at some m holds zero.
        first: Where to start.
        largest: Beyond this the value is infinite.
    """
    if holds_zero(0.0):
        return 0.0
    low, high = 0.0, first
    while not holds_zero(high):
        low, high = high, 2 * high
        if high > largest:
            return float("inf")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds_zero(middle) else (middle, high)
    return high
