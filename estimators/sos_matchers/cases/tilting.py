"""Exponential tilting: the weights nearest to given ones under which means take given values.

Entropy balancing (Hainmueller 2012) seeks weights of controls that are as near as possible, by
Kullback and Leibler's divergence, to base weights ``q`` while the means of the moments ``z`` equal
those of the treated, ``m``. Its dual has no constraint: with ``w_i`` in proportion to
``q_i exp(l'z_i)`` the multipliers ``l`` minimise ``log sum q_i exp(l'(z_i - m))``, which is convex
and smooth. Where strata keep their shares the dual is the sum of such terms, one a stratum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import pinvh

MOST_STEPS = 200
"""Newton steps. Where weights exist ten are usual; where none exist a step adds about one to the
multipliers, so that this many leave weights below the smallest number."""

ARMIJO = 1e-4
"""Least share of the promised decrease that a step must bring (Armijo 1966)."""

SHORTEST = 2.0**-40
"""Shortest share of a Newton step that is tried."""

FACE = 1e-10
"""A moment, in standard deviations, that is nearer than this to the mean sought has that mean."""

BLOCK = 4096
"""Rows that are summed at a time: so many stay in the caches of a processor."""

ABREAST = 64
"""Rows that are compared at a time."""

NEAR_SINGULAR = 1e-13
"""Eigenvalues of the second derivatives below this share of the largest are directions in which no
moment varies."""


@dataclass(frozen=True)
class Problem:
    """Means to be reached by weighting.

    Attributes:
        gaps: Array (rows, moments): moments of controls, in standard deviations, less the means
            sought.
        base: Array (rows,) of base weights, above 0.
        stratum: Array (rows,) of numbers of strata, from 0 without gaps.
        shares: Array (strata,), which add up to 1: what each stratum is to weigh.
    """

    gaps: np.ndarray
    base: np.ndarray
    stratum: np.ndarray
    shares: np.ndarray

    def of_moments(self, columns: np.ndarray) -> Problem:
        """Return the problem with some of the moments only, by their positions."""
        return replace(self, gaps=self.gaps[:, columns])


@dataclass(frozen=True)
class Tilt:
    """Weights that were found.

    Attributes:
        weights: Array (rows,), which add up to 1.
        largest_gap: Largest difference left between a mean and the one sought.
    """

    weights: np.ndarray
    largest_gap: float


@dataclass(frozen=True)
class _Point:
    """The dual at one place: its value, the weights, its slopes and second derivatives."""

    value: float
    weights: np.ndarray
    slopes: np.ndarray
    second: np.ndarray


def tilt(problem: Problem, tolerance: float) -> Tilt:
    """Find the weights by Newton's method with halved steps.

    Rows that no weighting could keep, because every other value of a moment lies on one side of
    the mean sought, get weight 0.

    Args:
        problem: What is to be reached.
        tolerance: Largest difference allowed between a mean and the one sought.
    """
    kept = on_face(problem)
    if not kept.all():
        inner = tilt(_of_rows(problem, kept), tolerance) if kept.any() else None
        weights = np.zeros(len(kept))
        if inner is None or not _keeps_strata(problem, kept):
            return Tilt(weights, np.inf)
        weights[kept] = inner.weights
        return replace(inner, weights=weights)
    return _newton(problem, tolerance)


def _newton(problem: Problem, tolerance: float) -> Tilt:
    multipliers = np.zeros(problem.gaps.shape[1])
    point = _dual(problem, multipliers)
    for _ in range(MOST_STEPS):
        if _largest(point.slopes) <= tolerance:
            break
        step = _newton_step(point)
        size, further = _damped(problem, multipliers, point, step)
        if further is None:
            break
        multipliers, point = multipliers - size * step, further
    return Tilt(point.weights, _largest(point.slopes))


def on_face(problem: Problem) -> np.ndarray:
    """Whether each row can have weight at all, (rows,).

    Where the mean sought is the smallest or the largest value of a moment, only rows with that
    value can have any; without the others it may be so for a further moment.
    """
    kept = np.ones(len(problem.gaps), dtype=bool)
    while kept.any():
        low, high = _ends(problem.gaps if kept.all() else problem.gaps[kept])
        below = (np.abs(high) <= FACE) & (low < -FACE)
        above = (np.abs(low) <= FACE) & (high > FACE)
        if not (below | above).any():
            break
        column = int(np.flatnonzero(below | above)[0])
        kept &= np.abs(problem.gaps[:, column]) <= FACE
    return kept


def _ends(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of every column; many rows at a time, which is faster."""
    n, k = gaps.shape
    whole = n // ABREAST * ABREAST
    wide = np.ascontiguousarray(gaps[:whole]).reshape(-1, ABREAST * k)
    parts = [gaps[whole:]]
    if len(wide):
        parts += [wide.min(axis=0).reshape(ABREAST, k), wide.max(axis=0).reshape(ABREAST, k)]
    ends = np.concatenate(parts)
    return ends.min(axis=0), ends.max(axis=0)


def _of_rows(problem: Problem, rows: np.ndarray) -> Problem:
    return replace(
        problem,
        gaps=problem.gaps[rows],
        base=problem.base[rows],
        stratum=problem.stratum[rows],
    )


def _keeps_strata(problem: Problem, rows: np.ndarray) -> bool:
    return len(np.unique(problem.stratum[rows])) == len(problem.shares)


def _dual(problem: Problem, multipliers: np.ndarray) -> _Point:
    """The dual with its slopes, the gaps that the weights leave, and second derivatives."""
    n_strata = len(problem.shares)
    weights = problem.gaps @ multipliers
    if n_strata == 1:
        top = np.array([weights.max()])
        weights -= top[0]
    else:
        top = np.full(n_strata, -np.inf)
        np.maximum.at(top, problem.stratum, weights)
        weights -= top[problem.stratum]
    np.exp(weights, out=weights)
    weights *= problem.base
    totals = _totals(problem, weights)
    factor = problem.shares / totals
    weights *= factor[0] if n_strata == 1 else factor[problem.stratum]
    value = float(problem.shares @ (top + np.log(totals)))
    return _Point(value, weights, *_sums(problem, weights))


def _totals(problem: Problem, values: np.ndarray) -> np.ndarray:
    """Add up values by stratum, (strata,)."""
    if len(problem.shares) == 1:
        return np.array([values.sum()])
    return np.bincount(problem.stratum, values, minlength=len(problem.shares))


def _sums(problem: Problem, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of the gaps, and their weighted covariance within strata."""
    n, k = problem.gaps.shape
    slopes, second = np.zeros(k), np.zeros((k, k))
    for start in range(0, n, BLOCK):
        rows = problem.gaps[start : start + BLOCK]
        weighted = rows * weights[start : start + BLOCK, None]
        slopes += weighted.sum(axis=0)
        second += weighted.T @ rows
    if len(problem.shares) == 1:
        return slopes, second - np.outer(slopes, slopes)
    own = np.column_stack([_totals(problem, weights * column) for column in problem.gaps.T])
    means = own / np.sqrt(problem.shares)[:, None]
    return slopes, second - means.T @ means


def _newton_step(point: _Point) -> np.ndarray:
    return np.asarray(pinvh(point.second, rtol=NEAR_SINGULAR) @ point.slopes)


def _damped(
    problem: Problem, multipliers: np.ndarray, point: _Point, step: np.ndarray
) -> tuple[float, _Point | None]:
    """Halve a step until the dual falls enough; None where no share of it makes it fall."""
    promised = float(point.slopes @ step)
    size = 1.0
    while size >= SHORTEST and np.isfinite(promised):
        further = _dual(problem, multipliers - size * step)
        gained = point.value - further.value
        if (
            gained >= ARMIJO * size * promised
            or _largest(further.slopes) < _largest(point.slopes) / 2
        ):
            return size, further
        size /= 2
    return size, None


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))
