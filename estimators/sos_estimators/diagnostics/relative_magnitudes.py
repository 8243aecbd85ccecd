"""Bounds when trends after adoption diverge at most M times as much as they did before.

Rambachan and Roth (2023), "A More Credible Approach to Parallel Trends", Review of Economic
Studies 90(5): the restriction Delta^RM(M), and confidence sets by the hybrid of the conditional
and the least favourable test of Andrews, Roth and Pakes (2023), "Inference for Linear Conditional
Moment Inequalities", Review of Economic Studies 90(6).

The restriction is a union of polyhedra, one for each step between leads that may be the largest,
and each sign of it. Given a value of the target, a polyhedron is a set of inequalities on the lags
with the other effects as nuisance. Their dual has few extreme rays, which are written out here, so
the tests need no linear programming. With steps d_t of the trend after adoption, largest step v
before it, and the target sum_t L_t d_t of steps:

- target above: sum_t L_t d_t <= M sum_t |L_t| v,
- target below: -sum_t L_t d_t <= M sum_t |L_t| v,
- and for each t, 0 <= 2 M v,

each divided by the sum of the standard deviations of the inequalities that it is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from sos_estimators.arrays import Floats
from sos_estimators.diagnostics.coefficients import EventCoefficients

FIRST_STAGE = 0.1
"""Share of the size that the least favourable test takes, as Rambachan and Roth recommend."""
DRAWS = 10_000
"""Draws that the critical value of the least favourable test is taken from."""
SCAN = 201
"""Values at which each polyhedron's interval is scanned before its ends are refined."""
HALVINGS = 30
"""Halvings that refine an end, or a p value: the last is far below the step of the scan."""
NO_VARIANCE = 1e-12
"""An inequality whose variance is below this share of the largest holds by construction."""
SAME = 1e-10
"""Correlations (of a ray with the binding one, as slope) closer to 1 than this are 1."""


@dataclass(frozen=True)
class Polyhedra:
    """The inequalities z + slope * theta <= 0 of every polyhedron, normalised; J of them.

    Attributes:
        z: Values at theta = 0, (J, K); -inf where a ray has no variance.
        slope: Change with theta, (J, K).
        covariance: Of z, (J, K, K).
        rays: What z is made of, (J, K, p): z = rays @ estimates.
    """

    z: Floats
    slope: Floats
    covariance: Floats
    rays: Floats

    @property
    def live(self) -> np.ndarray:
        """Which rays have a variance, (J, K)."""
        return np.isfinite(self.z)


def polyhedra(path: EventCoefficients, weights: Floats, m: float) -> Polyhedra:
    """Write out the inequalities of Delta^RM(m) for the target ``weights @ effects``."""
    steps = np.diff(np.insert(np.eye(len(path.estimates)), path.n_pre, 0.0, axis=0), axis=0)
    before, after = steps[: path.n_pre], steps[path.n_pre :]
    share = np.cumsum(weights[::-1])[::-1]
    made = [
        _rays(path.covariance, sign * step, after, share, m) for step in before for sign in (1, -1)
    ]
    rays, slope = (np.array(part) for part in zip(*made, strict=True))
    covariance = rays @ path.covariance @ rays.transpose(0, 2, 1)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    dead = variance <= NO_VARIANCE * variance.max()
    return Polyhedra(
        np.where(dead, -np.inf, rays @ path.estimates), slope * ~dead, covariance, rays
    )


def _rays(
    covariance: Floats, largest: Floats, after: Floats, share: Floats, m: float
) -> tuple[Floats, Floats]:
    """Return rays (K, p) and their change with theta (K,) of one polyhedron."""
    up, down = after - m * largest, -after - m * largest
    sd_up, sd_down = (
        np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, covariance, rows), 0.0))
        for rows in (up, down)
    )
    size, positive = np.abs(share), share > 0
    above = _or_one(size @ np.where(positive, sd_up, sd_down))
    below = _or_one(size @ np.where(positive, sd_down, sd_up))
    bound = m * size.sum() * largest
    target = share @ after
    pairs = np.outer(1 / _or_one(sd_up + sd_down), -2 * m * largest)
    rays = np.vstack([(target - bound) / above, (-target - bound) / below, pairs])
    return rays, np.array([-1 / above, 1 / below, *np.zeros(len(after))])


def _or_one(size: Any) -> Any:
    """Of zero variance are inequalities that hold anyway: see :data:`NO_VARIANCE`."""
    return np.where(size > 0, size, 1.0)


def draw_noise(path: EventCoefficients, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Draw noise of coefficients; each of the (p, draws / 2) stands for its opposite too."""
    values, vectors = np.linalg.eigh(path.covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    normal = np.random.default_rng(seed).standard_normal((len(values), draws // 2))
    noise: Floats = root @ normal
    return noise


def least_favourable(problem: Polyhedra, noise: Floats) -> Floats:
    """Return the largest inequality when all hold with equality, sorted; (J, draws)."""
    largest = []
    for rays, live in zip(problem.rays, problem.live, strict=True):
        drawn = rays[live] @ noise
        largest.append(np.concatenate([drawn.max(axis=0), -drawn.min(axis=0)]))
    return np.sort(np.array(largest), axis=1)


def accepts(problem: Polyhedra, theta: Floats, critical: Floats, size: float) -> np.ndarray:
    """Test values of the target by the hybrid test, polyhedron by polyhedron.

    Args:
        problem: The inequalities of J polyhedra.
        theta: Values to test, (J, N).
        critical: Critical value of the least favourable first stage, (J,).
        size: Size of the whole test.

    Returns:
        Whether each value is accepted, (J, N).
    """
    z = problem.z[:, None, :] + theta[:, :, None] * problem.slope[:, None, :]
    binding = z.argmax(axis=2)
    eta = np.take_along_axis(z, binding[:, :, None], 2)[:, :, 0]
    rows = np.arange(len(z))[:, None]
    with_binding = problem.covariance[rows, binding]
    variance = np.take_along_axis(with_binding, binding[:, :, None], 2)[:, :, 0]
    low, high = _truncation(z, eta, with_binding / variance[:, :, None])
    high = np.minimum(high, critical[:, None])
    second = (size - FIRST_STAGE * size) / (1 - FIRST_STAGE * size)
    sd = np.sqrt(variance)
    quantile = sd * truncated_normal_quantile(1 - second, low / sd, high / sd)
    return (eta <= critical[:, None]) & (eta <= np.maximum(quantile, 0))  # type: ignore[no-any-return]


def _truncation(z: Floats, eta: Floats, rho: Floats) -> tuple[Floats, Floats]:
    """Return the interval in which the binding inequality stays binding, the rest held fixed."""
    gap = 1 - rho
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = (z - rho * eta[:, :, None]) / gap
    known = np.isfinite(z)
    low = np.where(known & (gap > SAME), ends, -np.inf).max(axis=2)
    high = np.where(known & (gap < -SAME), ends, np.inf).min(axis=2)
    return np.minimum(low, eta), np.maximum(high, eta)


def truncated_normal_quantile(share: float, low: Floats, high: Floats) -> Floats:
    """Return the quantile of the standard normal between two limits, far in a tail too."""
    low, high = np.asarray(low, float), np.maximum(low, high)
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    p = np.where(flip, 1 - share, share)
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log1p(-p) + log_ndtr(a), np.log(p) + log_ndtr(b))
    quantile: Floats = np.clip(np.where(flip, -1, 1) * ndtri_exp(mixed), low, high)
    return quantile


@dataclass(frozen=True)
class RelativeMagnitudes:
    """Tests of the target under Delta^RM(m), ready to be inverted.

    Attributes:
        problem: The inequalities.
        worst: Sorted draws of the least favourable statistic, (J, draws).
        centre: The target when trends are parallel.
    """

    problem: Polyhedra
    worst: Floats
    centre: float

    @classmethod
    def of(
        cls,
        path: EventCoefficients,
        weights: Floats,
        m: float,
        *,
        noise: Floats,
    ) -> RelativeMagnitudes:
        """Set the tests up for one value of m, with noise from :func:`draw_noise`."""
        problem = polyhedra(path, weights, m)
        worst = least_favourable(problem, noise)
        return cls(problem, worst, float(weights @ path.estimates[path.post]))

    def critical(self, size: float) -> Floats:
        """Return the critical value (J,) of the least favourable first stage."""
        last = self.worst.shape[1] - 1
        place = (1 - FIRST_STAGE * size) * last
        left = int(place)
        share = place - left
        right = min(left + 1, last)
        critical: Floats = (1 - share) * self.worst[:, left] + share * self.worst[:, right]
        return critical

    def accepts(self, theta: float, size: float) -> bool:
        """Whether the confidence set of level 1 - size holds a value."""
        values = np.full((len(self.worst), 1), theta)
        return bool(accepts(self.problem, values, self.critical(size), size).any())

    def p_value(self, theta: float = 0.0) -> float:
        """Return the smallest size at which a value is rejected."""
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.accepts(theta, middle) else (low, middle)
        return high

    def interval(self, size: float) -> tuple[float, float]:
        """Return the smallest interval that holds the confidence set of level 1 - size."""
        critical = self.critical(size)
        z, slope = self.problem.z, self.problem.slope
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (critical[:, None] - z) / slope
        first = np.where(slope < 0, ends, -np.inf).max(axis=1)
        last = np.where(slope > 0, ends, np.inf).min(axis=1)
        grid = np.linspace(first, last, SCAN, axis=1)
        inside = np.clip(self.centre, np.minimum(first, last), np.maximum(first, last))
        grid = np.sort(np.column_stack([grid, inside]), axis=1)
        accepted = accepts(self.problem, grid, critical, size) & (last >= first)[:, None]
        some = accepted.any(axis=1)
        low = self._refined(grid, accepted.argmax(axis=1), -1, critical, size)
        last_place = grid.shape[1] - 1 - accepted[:, ::-1].argmax(axis=1)
        high = self._refined(grid, last_place, 1, critical, size)
        return float(low[some].min()), float(high[some].max())

    def _refined(
        self, grid: Floats, place: np.ndarray, side: int, critical: Floats, size: float
    ) -> Floats:
        rows = np.arange(len(grid))
        inner: Floats = grid[rows, place]
        outer = grid[rows, np.clip(place + side, 0, grid.shape[1] - 1)]
        for _ in range(HALVINGS):
            middle = (inner + outer) / 2
            yes = accepts(self.problem, middle[:, None], critical, size)[:, 0]
            inner, outer = np.where(yes, middle, inner), np.where(yes, outer, middle)
        return inner
