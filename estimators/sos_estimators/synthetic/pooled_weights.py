"""Weights of the partially pooled, augmented synthetic control of staggered adoption.

Ben-Michael, Feller and Rothstein (2022), Synthetic controls with staggered adoption, Journal of the
Royal Statistical Society B 84(2), 351-381: each treated unit is followed by units of the pool, and
so is their mean by the mean of these; how much either counts is ``pooling``. What weights leave is
taken off by ridge regression: Ben-Michael, Feller and Rothstein (2021), The augmented synthetic
control method, Journal of the American Statistical Association 116(536), 1789-1803.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.synthetic.did_weights import free_of, noise_of
from sos_estimators.synthetic.followed import Fit, Followed, cell_weights, in_window
from sos_estimators.synthetic.panel import Panel
from sos_estimators.synthetic.settings import AugmentedSettings
from sos_estimators.synthetic.simplex import Following, follow

PENALTIES = 10.0 ** np.linspace(0, -8, 21)
"""Penalties of the ridge regression that are tried, as shares of the largest eigenvalue."""
MOST_POOLED = 0.999
"""More than this would leave the single pilots arbitrary."""
FEWEST_LEFT_OUT = 2
"""With fewer earlier periods none can be left out and foretold: the largest penalty is taken."""
FLAT = 1e-12


@dataclass(frozen=True)
class Lagged:
    """Values before treatment, the last at the end, in L places.

    Attributes:
        units: Of all units for each pilot's date, (J, G, L); zero where there is no such period.
        there: Which places are periods, (J, L).
        place: Period of each place, (J, L).
        allowed: Units of the pool that take no pilot's place, (B, G).
        units_of: Who takes the place of each pilot, (B, J).
        noise: Variance of changes in the pool, (B,).
    """

    units: Floats
    there: Bools
    place: Ints
    allowed: Bools
    units_of: Ints
    noise: Floats

    @property
    def target(self) -> Floats:
        """Of those in the pilots' place, (B, J, L)."""
        return np.asarray(self.units[np.arange(len(self.there))[None], self.units_of])

    def without(self, place: int) -> Lagged:
        """Leave out what is in one place.

        Args:
            place: Which, below L.
        """
        there = self.there.copy()
        there[:, place] = False
        units = np.where(there[:, None], self.units, 0.0)
        return Lagged(units, there, self.place, self.allowed, self.units_of, self.noise)


@dataclass(frozen=True)
class Augmented:
    """Pilots followed, and how, (B,) each.

    Attributes:
        followed: With the weights that ridge regression adds.
        fit: Of the weights without these: with them what is left before treatment says little.
        pooling: How much following the mean counted.
        penalty: Of the ridge regression, as a share of the largest eigenvalue; 0 without it.
        together: Root mean square of what weights leave of the mean of the pilots.
        apart: Root mean square of what they leave of each.
    """

    followed: Followed
    fit: Fit
    pooling: Floats
    penalty: Floats
    together: Floats
    apart: Floats


def weigh(panel: Panel, units: Ints, options: AugmentedSettings) -> Augmented:
    """Find the weights under some assignments.

    Args:
        panel: The panel.
        units: Who takes the place of each pilot, (B, J).
        options: ``pooling``, ``augment``, ``penalty``, ``lags`` and ``shape`` are used.

    Raises:
        EstimationError: If a problem has no exact solution.
    """
    dates = panel.dates
    shaped = np.array([panel.shaped(int(date), options.shape) for date in dates])
    before = np.array([panel.before(int(date)) for date in dates])
    lagged = _lagged(panel, units, shaped, before, options)
    alone = _follow(lagged, np.zeros(len(units)), options.penalty)
    together, apart, mean_apart = _sizes(lagged, alone)
    pooling = _pooling(together, mean_apart, lagged.there.shape[1], options)
    weights = alone
    if len(dates) > 1 and (pooling > 0).any():
        ratio = np.square(apart) / np.maximum(np.square(together), FLAT * lagged.noise)
        weights = _follow(lagged, pooling, options.penalty, ratio)
    plain, share = weights, np.zeros(len(units))
    together, apart, _ = _sizes(lagged, weights)
    if options.augment == "ridge":
        share = _choose_penalty(lagged, options.penalty)
        weights = weights + _ridge(lagged, _imbalance(lagged, weights), share)
    event = panel.periods[None] - dates[:, None]
    counts = (cell_weights(panel, units, options) * in_window(event, options)).sum(axis=2)
    times = np.zeros((len(units), len(dates), len(panel.periods)))
    block = np.arange(len(dates))
    allowed = lagged.allowed
    followed = Followed(shaped, units, plain, times, block, counts, before, allowed)
    augmented = replace(followed, weights=weights)
    return Augmented(augmented, followed.fit(), pooling, share, together, apart)


def _lagged(
    panel: Panel, units: Ints, shaped: Floats, before: Bools, options: AugmentedSettings
) -> Lagged:
    n_before = before.sum(axis=1)
    length = int(n_before.max() if options.lags is None else min(options.lags, n_before.max()))
    place = n_before[:, None] - length + np.arange(length)[None]
    there = place >= 0
    chosen = np.take_along_axis(shaped, np.maximum(place, 0)[:, None], axis=2)
    centre = chosen[:, panel.pool].mean(axis=1, keepdims=True)
    allowed = free_of(panel, units)
    noise = np.square(noise_of(panel.value[:, before[-1]], allowed))
    lags = np.where(there[:, None], chosen - centre, 0.0)
    return Lagged(lags, there, place, allowed, units, np.maximum(noise, panel.least**2))


def _follow(
    lagged: Lagged, pooling: Floats, penalty: float, ratio: Floats | None = None
) -> Floats:
    """Find weights that add up to one, (B, J, G).

    Args:
        lagged: What is to be followed.
        pooling: How much the mean counts, (B,).
        penalty: Of squared weights.
        ratio: Mean square of what is left of each over that of the mean, when each is followed by
            itself: it puts both on one scale, (B,).
    """
    n_pilots, length = lagged.there.shape
    n_lags = lagged.there.sum(axis=1)
    ridge = penalty * lagged.noise / n_pilots
    apart = np.repeat(1 / (n_pilots * np.maximum(n_lags, 1)), length)
    if ratio is None:
        blocks = [
            follow(
                Following(
                    lagged.units[[j]],
                    lagged.target[:, [j]],
                    lagged.allowed,
                    np.broadcast_to(
                        np.eye(length) / apart[j * length], (len(pooling), length, length)
                    ),
                    ridge,
                )
            )
            for j in range(n_pilots)
        ]
        return np.concatenate(blocks, axis=1)
    mean = np.tile(np.eye(length), (n_pilots, n_pilots)) / (n_pilots**2 * length)
    both = (1 - pooling)[:, None, None] * np.diag(apart)
    both = both + (pooling * ratio)[:, None, None] * mean
    inverse = np.linalg.inv(both)
    return follow(Following(lagged.units, lagged.target, lagged.allowed, inverse, ridge))


def _imbalance(lagged: Lagged, weights: Floats) -> Floats:
    """What weights leave before treatment, (B, J, L)."""
    followed = np.einsum("bjg,jgl->bjl", weights, lagged.units, optimize=True)
    return np.asarray(lagged.target - followed)


def _sizes(lagged: Lagged, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Root mean squares of what is left of the mean and of each, and the mean length, (B,)."""
    left = _imbalance(lagged, weights)
    length = lagged.there.shape[1]
    together = np.sqrt(np.square(left.mean(axis=1)).sum(axis=1) / length)
    squares = np.square(left).sum(axis=2)
    n_lags = np.maximum(lagged.there.sum(axis=1), 1)
    return together, np.sqrt((squares / n_lags).mean(axis=1)), np.sqrt(squares).mean(axis=1)


def _pooling(
    together: Floats, mean_apart: Floats, length: int, options: AugmentedSettings
) -> Floats:
    """Return how much the mean counts, (B,): the paper's ratio, unless it is given."""
    if options.pooling is not None:
        return np.full(len(together), min(options.pooling, MOST_POOLED))
    ratio = np.zeros_like(together)
    np.divide(together * np.sqrt(length), mean_apart, out=ratio, where=mean_apart > 0)
    return np.minimum(ratio, MOST_POOLED)


def _ridge(lagged: Lagged, left: Floats, share: Floats) -> Floats:
    """Add to weights what takes off by ridge regression what they leave, (B, J, G).

    Args:
        lagged: Values before treatment.
        left: What weights leave of them, (B, J, L).
        share: Penalty as a share of the largest eigenvalue, (B,) or for each of K, (B, K).
    """
    centred, products, largest = _products(lagged)
    length = products.shape[-1]
    penalty = share[:, None] * largest
    solved = np.linalg.solve(
        products + np.maximum(penalty, FLAT)[:, :, None, None] * np.eye(length), left[..., None]
    )
    return np.asarray(np.matmul(centred, solved)[..., 0])


def _products(lagged: Lagged) -> tuple[Floats, Floats, Floats]:
    """Centre units of the pool, (B, J, G, L); cross products; their largest eigenvalues, (B, J)."""
    on = lagged.allowed.astype(float)
    mean = np.einsum("bg,jgl->bjl", on, lagged.units) / on.sum(axis=1)[:, None, None]
    centred = (lagged.units[None] - mean[:, :, None]) * on[:, None, :, None]
    products = np.matmul(centred.transpose(0, 1, 3, 2), centred)
    return centred, products, np.linalg.eigvalsh(products)[..., -1]


def _choose_penalty(lagged: Lagged, penalty: float) -> Floats:
    """Choose the penalty that foretells left-out earlier periods, as a share, (B,).

    Of all within one standard error of the best, the largest.
    """
    n_pilots, length = lagged.there.shape
    errors = np.full((len(lagged.allowed), length, len(PENALTIES)), np.nan)
    for place in range(length):
        has = lagged.there[:, place]
        fewer = lagged.without(place)
        if not (fewer.there[has].sum(axis=1) > 0).all() or not has.any():
            continue
        weights = _follow(fewer, np.zeros(len(lagged.allowed)), penalty)
        base = _left_in(lagged, weights, place)
        centred, products, largest = _products(fewer)
        values, vectors = np.linalg.eigh(products)
        pulled = np.matmul(vectors.transpose(0, 1, 3, 2), _imbalance(fewer, weights)[..., None])
        units = np.einsum("bjgl,jg->bjl", centred, lagged.units[:, :, place], optimize=True)
        seen = np.matmul(vectors.transpose(0, 1, 3, 2), units[..., None])
        product = (pulled * seen)[..., 0]
        for k, share in enumerate(PENALTIES):
            strength = np.maximum(values, 0.0) + np.maximum(share * largest, FLAT)[:, :, None]
            off = base - (product / strength).sum(axis=2)
            errors[:, place, k] = np.square(off[:, has]).mean(axis=1)
    held = ~np.isnan(errors[0, :, 0])
    if held.sum() < FEWEST_LEFT_OUT:
        return np.full(len(errors), PENALTIES[0])
    errors = errors[:, held]
    mean, error = errors.mean(axis=1), errors.std(axis=1, ddof=1) / np.sqrt(held.sum())
    best = mean.argmin(axis=1)
    row = np.arange(len(mean))
    good = mean <= (mean[row, best] + error[row, best])[:, None]
    return np.asarray(PENALTIES[good.argmax(axis=1)])


def _left_in(lagged: Lagged, weights: Floats, place: int) -> Floats:
    """What weights leave in one place, (B, J)."""
    at = lagged.units[:, :, place]
    return np.asarray(lagged.target[:, :, place] - np.einsum("bjg,jg->bj", weights, at))
