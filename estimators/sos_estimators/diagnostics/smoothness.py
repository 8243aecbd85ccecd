"""Bounds when the slope of a differential trend changes by at most M from period to period.

Rambachan and Roth (2023): the restriction Delta^SD(M), and fixed-length confidence intervals about
the affine estimator that makes them shortest (Donoho 1994; Armstrong and Kolesar 2018).

An estimator weights leads by v so that a linear trend has no effect on it. Let u_s be the sum of
(t - s) v_-t over leads more than s periods before the reference. The worst bias is then M times
(a constant + sum |u_s|), the variance a quadratic function of u: the best trade-offs between the
two are the path of a lasso, whose pieces are linear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri

from sos_estimators.arrays import Floats
from sos_estimators.diagnostics.coefficients import EventCoefficients
from sos_plugins.errors import EstimationError

PER_PIECE = 12
"""Estimators looked at on each piece of the path before the best is refined."""
HALVINGS = 60
"""Halvings of the quantile's bracket, whose width is below 1: rounding remains."""
PRECISION = 1e-10
"""Share of a piece to which the best estimator is refined."""


def folded_normal_quantile(share: float, bias: Floats | float) -> Floats:
    """Return the quantile of |N(bias, 1)|."""
    b = np.abs(np.asarray(bias, float))
    low, high = np.maximum(b + ndtri(share), 0.0), b + ndtri((1 + share) / 2)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = ndtr(middle - b) - ndtr(-middle - b) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2  # type: ignore[no-any-return]


@dataclass(frozen=True)
class FixedLength:
    """The shortest interval for one m.

    Attributes:
        estimate: Of the affine estimator.
        std_error: Its standard deviation.
        bias: Its worst bias.
        half_length: Of the interval.
        weights: Of the leads, (n_pre,).
    """

    estimate: float
    std_error: float
    bias: float
    half_length: float
    weights: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.estimate - self.half_length, self.estimate + self.half_length

    def p_value(self, theta: float = 0.0) -> float:
        """Return the p value of a value of the target, for this estimator at its worst bias."""
        distance, bias = abs(self.estimate - theta) / self.std_error, self.bias / self.std_error
        return float(ndtr(bias - distance) + ndtr(-distance - bias))


@dataclass(frozen=True)
class Smoothness:
    """The estimators that trade worst bias against variance best, for any m.

    Attributes:
        estimates: Leads and lags, (p,).
        covariance: Theirs, (p, p).
        knots: Weights of all coefficients at the knots of the path, (n_knots, p); between two of
            them, straight lines.
        unit_bias: Worst bias for m = 1 at the knots, (n_knots,).
        n_pre: Number of leads.
    """

    estimates: Floats
    covariance: Floats
    knots: Floats
    unit_bias: Floats
    n_pre: int

    @classmethod
    def of(cls, path: EventCoefficients, weights: Floats) -> Smoothness:
        """Find the path for the target ``weights @ effects``.

        Raises:
            EstimationError: If the covariance is singular: variances of zero would win.
        """
        refuse_singular(path)
        fixed, change = _parametrised(path.n_pre, weights)
        lags = np.arange(path.n_post)
        ahead = np.clip(lags[:, None] - lags[None, :], 0, None)
        after = np.abs(weights @ ahead).sum() + abs(_slope(weights))
        moved = _lasso_path(path.covariance, fixed, change)
        return cls(
            path.estimates,
            path.covariance,
            fixed + moved @ change,
            after + np.abs(moved).sum(axis=1),
            path.n_pre,
        )

    def shortest(self, m: float, level: float) -> FixedLength:
        """Return the shortest interval of a confidence level under Delta^SD(m)."""
        pieces = max(len(self.knots) - 1, 1)
        positions = np.linspace(0, len(self.knots) - 1, pieces * PER_PIECE + 1)
        lengths = self._half_lengths(positions, m, level)
        best = int(lengths.argmin())
        around = positions[max(best - 1, 0)], positions[min(best + 1, len(positions) - 1)]
        at = positions[best]
        if around[1] > around[0] and m > 0:
            shortest = minimize_scalar(
                lambda x: float(self._half_lengths(np.array([x]), m, level)[0]),
                bounds=around,
                method="bounded",
                options={"xatol": PRECISION},
            )
            at = shortest.x if shortest.fun < lengths[best] else at
        return self._at(float(at), m, level)

    def _on_path(self, positions: Floats) -> tuple[Floats, Floats, Floats]:
        """Return weights (n, p), standard deviations (n,) and biases for m = 1 on the path."""
        left = np.minimum(positions.astype(int), len(self.knots) - 1)
        right = np.minimum(left + 1, len(self.knots) - 1)
        share = positions - left
        v = (1 - share)[:, None] * self.knots[left] + share[:, None] * self.knots[right]
        bias = (1 - share) * self.unit_bias[left] + share * self.unit_bias[right]
        return v, np.sqrt(np.einsum("ij,jk,ik->i", v, self.covariance, v)), bias

    def _half_lengths(self, positions: Floats, m: float, level: float) -> Floats:
        _, sd, bias = self._on_path(positions)
        return folded_normal_quantile(level, m * bias / sd) * sd

    def _at(self, position: float, m: float, level: float) -> FixedLength:
        v, sd, bias = (part[0] for part in self._on_path(np.array([position])))
        half = float(folded_normal_quantile(level, m * bias / sd) * sd)
        return FixedLength(
            float(v @ self.estimates), float(sd), float(m * bias), half, v[: self.n_pre]
        )


def refuse_singular(path: EventCoefficients) -> None:
    """Stop where the covariance has no inverse, which bounds under smoothness need.

    Raises:
        EstimationError: If so.
    """
    if path.is_singular:
        raise EstimationError(
            "The covariance of the event-study coefficients is singular, as with fewer "
            "clusters than coefficients: bounds under smoothness need its inverse. Bin event "
            "times with min_event and max_event, or use relative magnitudes."
        )


def _slope(weights: Floats) -> float:
    """Return what a linear trend of slope one adds to the target."""
    return float(np.arange(1, len(weights) + 1) @ weights)


def _parametrised(n_pre: int, weights: Floats) -> tuple[Floats, Floats]:
    """Return weights of all coefficients for u = 0, (p,), and their change with u, (n_pre - 1, p).

    Leads are counted back from the reference: v_1 is the weight of event time -2. u_s is the sum
    of (t - s) v_t over t > s, so v_t = u_(t-1) - 2 u_t + u_(t+1) with u_0 the slope of the target.
    """
    n = n_pre - 1
    second = np.zeros((n_pre, n_pre))
    for t in range(1, n_pre + 1):
        for s, amount in ((t - 1, 1.0), (t, -2.0), (t + 1, 1.0)):
            if s < n_pre:
                second[t - 1, s] = amount
    leads = second[::-1]
    fixed = np.concatenate([leads[:, 0] * _slope(weights), weights])
    return fixed, np.hstack([leads[:, 1:].T, np.zeros((n, len(weights)))])


def _lasso_path(covariance: Floats, fixed: Floats, change: Floats) -> Floats:
    """Return u at the knots of the path from u = 0 to the least variance, (n_knots, n_pre - 1)."""
    if not len(change):
        return np.zeros((1, 0))
    gram = change @ covariance @ change.T
    scale = float(np.trace(gram)) / len(gram)
    from sklearn.linear_model import lars_path_gram  # a second to import: only when asked for

    _, _, path = lars_path_gram(
        Xy=-(change @ covariance @ fixed) / scale,
        Gram=gram / scale,
        n_samples=1,
        method="lasso",
        alpha_min=0.0,
    )
    return np.asarray(path.T, float)
