"""Weights that are no less than zero and add up to one: exact solutions, many problems at once.

A problem has blocks, one for each series that is to be followed: weights ``g_j`` on the units,
``x_j - A_j' g_j`` being what they leave of it. All leave ``r``, and

    r' W r / 2 + ridge / 2 * sum_j |g_j|^2

is to be least. With ``y = W r`` and ``v_j`` for the sums of weights, weights are
``max(0, A_j y_j + v_j) / ridge``, and (y, v) are where a convex, piecewise quadratic function is
least: Newton's method ends there after finitely many steps (Qi and Sun 1993, Mathematical
Programming 58), whatever the number of units. How far a solution may be from the best is known from
its gap, the bound of Frank and Wolfe (1956), and a solution with a gap is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from sos_estimators.arrays import Bools, Floats, Ints
from sos_plugins.errors import EstimationError

GAP = 1e-10
"""How far the sum that is to be least may be above the least, as a share of its own scale."""
STEPS = 200
HALVINGS = 40
SETTLED = 1e-13
"""Newton's method stops where slopes are below this share of their terms: rounding."""
DESCENT = 1e-4
"""Armijo's rule: a step keeps at least this share of the descent that its slope promises."""
ROUNDING = 1e-14


@dataclass(frozen=True)
class Following:
    """B problems of J blocks: series to be followed by units, G of them, in L places.

    Attributes:
        units: What units have, (J, G, L).
        target: What is to be followed, (B, J, L).
        allowed: Units that may have a weight, (B, G).
        inverse: Inverse of W, (B, J * L, J * L).
        ridge: Factor of the squared weights, positive, (B,).
    """

    units: Floats
    target: Floats
    allowed: Bools
    inverse: Floats
    ridge: Floats


def follow(problem: Following) -> Floats:
    """Solve the problems.

    Args:
        problem: B problems of J blocks.

    Returns:
        Weights, (B, J, G), zero for units that are not allowed.

    Raises:
        EstimationError: If a problem has no exact solution in double precision.
    """
    whole = _Dual.of(problem)
    points = whole.start()
    places = np.arange(len(points))
    for _ in range(STEPS):
        dual, point = whole.only(places), points[places]
        slope, curvature = dual.slope(point)
        still = ~_settled(slope, dual, point)
        if not still.any():
            break
        step = np.asarray(-np.linalg.solve(curvature, slope[:, :, None])[:, :, 0], dtype=float)
        taken = _shortened(dual, point, slope, step)
        points[places] = point + np.where(still, taken, 0.0)[:, None] * step
        places = places[still & (taken > 0)]
    weights = whole.weights(points)
    total = weights.sum(axis=2, keepdims=True)
    weights = weights / np.where(total > 0, total, 1.0)
    _refuse_gap(whole, weights)
    return weights


@dataclass(frozen=True)
class _Dual:
    """The dual of the problems, in units in which series have the size one."""

    units: Floats
    target: Floats
    allowed: Bools
    inverse: Floats

    @classmethod
    def of(cls, problem: Following) -> _Dual:
        b, j, length = problem.target.shape
        size = float(np.abs(problem.units).max(initial=0.0)) or 1.0
        return cls(
            problem.units / size,
            problem.target.reshape(b, j * length) / size,
            problem.allowed,
            problem.inverse * problem.ridge[:, None, None] / size**2,
        )

    def only(self, places: Ints) -> _Dual:
        """Keep some of the problems, by their places."""
        return _Dual(self.units, self.target[places], self.allowed[places], self.inverse[places])

    @property
    def shape(self) -> tuple[int, int, int]:
        """B, J and L."""
        j, _, length = self.units.shape
        return len(self.target), j, length

    def start(self) -> Floats:
        """Begin at equal weights: y of zero, and v that makes the weights add up to one."""
        b, j, length = self.shape
        point = np.zeros((b, j * length + j))
        point[:, j * length :] = (1 / self.allowed.sum(axis=1))[:, None]
        return point

    def weights(self, point: Floats) -> Floats:
        """Return weights, (B, J, G); the point has y over the ridge, and v over the ridge."""
        b, j, length = self.shape
        y = point[:, : j * length].reshape(b, j, length)
        raw = np.matmul(self.units[None], y[:, :, :, None])[:, :, :, 0]
        raw += point[:, j * length :, None]
        return np.asarray(np.maximum(raw, 0.0) * self.allowed[:, None, :])

    def value(self, point: Floats) -> Floats:
        """Return what is to be least, (B,)."""
        _, j, length = self.shape
        y, v = point[:, : j * length], point[:, j * length :]
        squares = np.square(self.weights(point)).sum(axis=(1, 2)) / 2
        quadratic = np.einsum("bi,bik,bk->b", y, self.inverse, y) / 2
        return np.asarray(squares + quadratic - (y * self.target).sum(axis=1) - v.sum(axis=1))

    def slope(self, point: Floats) -> tuple[Floats, Floats]:
        """Return the slopes (B, m) and the curvature (B, m, m), m = J L + J."""
        b, j, length = self.shape
        n = j * length
        weights = self.weights(point)
        on = (weights > 0).astype(float)
        units = np.broadcast_to(self.units, (b, *self.units.shape))
        followed = np.matmul(weights[:, :, None, :], units)[:, :, 0, :]
        slope = np.empty((b, n + j))
        slope[:, :n] = np.einsum("bik,bk->bi", self.inverse, point[:, :n])
        slope[:, :n] += followed.reshape(b, n) - self.target
        slope[:, n:] = weights.sum(axis=2) - 1
        curvature = np.zeros((b, n + j, n + j))
        curvature[:, :n, :n] = self.inverse
        sums = np.matmul(on[:, :, None, :], units)[:, :, 0, :]
        for k in range(j):
            place = slice(k * length, (k + 1) * length)
            chosen = self.units[k][None] * on[:, k, :, None]
            curvature[:, place, place] += np.matmul(chosen.transpose(0, 2, 1), self.units[k][None])
            curvature[:, place, n + k] = curvature[:, n + k, place] = sums[:, k]
            curvature[:, n + k, n + k] = np.maximum(on[:, k].sum(axis=1), ROUNDING)
        return slope, curvature


def _settled(slope: Floats, dual: _Dual, point: Floats) -> Bools:
    """Whether slopes are rounding errors of the terms that they are sums of, (B,)."""
    terms = 1 + np.abs(dual.target).max(axis=1, initial=0.0) + np.abs(point).max(axis=1)
    return np.asarray(np.abs(slope).max(axis=1) <= SETTLED * terms)


def _shortened(dual: _Dual, point: Floats, slope: Floats, step: Floats) -> Floats:
    """Return how much of each step to take, (B,): halved until it descends, zero if none does."""
    taken = np.ones(len(point))
    before = dual.value(point)
    promised = (slope * step).sum(axis=1)
    allowed = ROUNDING * (1 + np.abs(before))
    for _ in range(HALVINGS):
        after = dual.value(point + taken[:, None] * step)
        good = after <= before + DESCENT * taken * promised + allowed
        if good.all():
            return taken
        taken = np.where(good, taken, taken / 2)
    return np.where(good, taken, 0.0)


def _refuse_gap(dual: _Dual, weights: Floats) -> None:
    """See that no problem is farther from its best than rounding."""
    b, j, length = dual.shape
    units = np.broadcast_to(dual.units, (b, *dual.units.shape))
    followed = np.matmul(weights[:, :, None, :], units).reshape(b, j * length)
    left = dual.target - followed
    pulled = np.linalg.solve(dual.inverse, left[:, :, None]).reshape(b, j, length)
    slope = weights - np.matmul(units, pulled[:, :, :, None])[:, :, :, 0]
    least = np.where(dual.allowed[:, None, :], slope, np.inf).min(axis=2)
    gap = ((slope * weights).sum(axis=2) - least).sum(axis=1)
    size = (pulled.reshape(b, -1) * left).sum(axis=1) + np.square(weights).sum(axis=(1, 2))
    if not (gap <= GAP * np.maximum(size, 1.0)).all():
        raise EstimationError(
            "The weights of the comparison authorities have no solution in double precision: "
            f"the best found is {gap.max():.1e} from it. Values far from zero can do this: take "
            "their mean off, or choose a larger penalty."
        )


def nearest_to_zero(columns: Floats, ridge: float) -> Floats:
    """Find the mixture p of columns for which |columns p|^2 + ridge |p|^2 is least.

    It is the least-squares problem without a sum of weights to be kept, with a row of ones that is
    to give one, divided by its own sum: scipy's active-set method is exact on it,
    but for squares, which lose half of the digits: what it finds is solved once more without them.

    Args:
        columns: (n, k), n no less than k or not.
        ridge: Factor of the squared weights, zero or more.

    Returns:
        p, (k,), no less than zero and adding up to one.
    """
    k = columns.shape[1]
    size = float(np.abs(columns).max(initial=0.0)) or 1.0
    rows = np.vstack([columns / size, np.sqrt(ridge) / size * np.eye(k), np.ones((1, k))])
    aim = np.zeros(len(rows))
    aim[-1] = 1.0
    mixture = np.asarray(nnls(rows, aim)[0], dtype=float)
    on = mixture > 0
    closer = np.linalg.lstsq(rows[:, on], aim, rcond=None)[0]
    if (closer >= 0).all():
        mixture[on] = closer
    return np.asarray(mixture / mixture.sum())
