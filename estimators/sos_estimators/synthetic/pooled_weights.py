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
from sos_estimators.synthetic.panel import FEWEST_BEFORE, Panel
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
        allowed: Units of the pool that take no pilot's place, (B, G).
        units_of: Who takes the place of each pilot, (B, J).
        noise: Variance of changes in the pool, (B,).
        date: Date of adoption of each pilot, (J,).
    """

    units: Floats
    there: Bools
    allowed: Bools
    units_of: Ints
    noise: Floats
    date: Ints

    @property
    def target(self) -> Floats:
        """Of those in the pilots' place, (B, J, L)."""
        return np.asarray(self.units[np.arange(len(self.there))[None], self.units_of])


@dataclass(frozen=True)
class LeftOut:
    """Values before treatment without those in one place, which are to be foretold.

    Attributes:
        lagged: The others, less levels or lines that are found without what is left out.
        units: What is left out, of all units for each pilot's date, (J, G).
        target: Of those in the pilots' place, (B, J).
        has: Pilots that have such a period, and enough others, (J,).
    """

    lagged: Lagged
    units: Floats
    target: Floats
    has: Bools


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
    lagged = _lagged(panel, units, options)
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
        share = _choose_penalty(panel, units, options)
        weights = weights + _ridge(lagged, _imbalance(lagged, weights), share)
    event = panel.periods[None] - dates[:, None]
    counts = (cell_weights(panel, units, options) * in_window(event, options)).sum(axis=2)
    times = np.zeros((len(units), len(dates), len(panel.periods)))
    block = np.arange(len(dates))
    shaped = np.array([panel.shaped(int(date), options.shape) for date in dates])
    before = np.array([panel.before(int(date)) for date in dates])
    allowed = lagged.allowed
    followed = Followed(shaped, units, plain, times, block, counts, before, allowed)
    augmented = replace(followed, weights=weights)
    return Augmented(augmented, followed.fit(), pooling, share, together, apart)


def _places(panel: Panel, options: AugmentedSettings) -> tuple[Ints, Bools]:
    """Return the period in each place before treatment, (J, L), and which there are."""
    n_before = np.array([int(panel.before(int(date)).sum()) for date in panel.dates])
    length = int(n_before.max() if options.lags is None else min(options.lags, n_before.max()))
    place = n_before[:, None] - length + np.arange(length)[None]
    return np.maximum(place, 0), place >= 0


def _lagged(panel: Panel, units: Ints, options: AugmentedSettings) -> Lagged:
    place, there = _places(panel, options)
    shaped = np.array([panel.shaped(int(date), options.shape) for date in panel.dates])
    return _lags_of(panel, units, np.take_along_axis(shaped, place[:, None], axis=2), there)


def _lags_of(panel: Panel, units: Ints, lags: Floats, there: Bools) -> Lagged:
    """Take the mean of the pool off, which weights that add up to one do not see."""
    centred = lags - lags[:, panel.pool].mean(axis=1, keepdims=True)
    allowed = free_of(panel, units)
    latest = panel.before(int(panel.dates[-1]))
    noise = np.square(noise_of(panel.value[:, latest], allowed))
    return Lagged(
        np.where(there[:, None], centred, 0.0),
        there,
        allowed,
        units,
        np.maximum(noise, panel.least_noise**2),
        panel.dates,
    )


def _leave_out(panel: Panel, units: Ints, options: AugmentedSettings, at: int) -> LeftOut:
    """Leave out what is in one place: levels and lines that held it would foretell it."""
    place, there = _places(panel, options)
    each = zip(panel.dates, place[:, at], there[:, at], strict=True)
    shaped = np.array(
        [
            panel.shaped(int(date), options.shape, int(period) if is_there else None)
            for date, period, is_there in each
        ]
    )
    lags = np.take_along_axis(shaped, place[:, None], axis=2)
    others = there.copy()
    others[:, at] = False
    has = there[:, at] & (others.sum(axis=1) >= FEWEST_BEFORE[options.shape])
    of_pool = lags[:, panel.pool, at].mean(axis=1)
    left = lags[:, :, at] - of_pool[:, None]
    pilots = np.arange(len(panel.dates))[None]
    return LeftOut(_lags_of(panel, units, lags, others), left, left[pilots, units], has)


def _follow(lagged: Lagged, pooling: Floats, penalty: float, ratio: Floats | None = None) -> Floats:
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
        return _follow_each(lagged, 1 / apart[::length], ridge)
    mean = np.tile(np.eye(length), (n_pilots, n_pilots)) / (n_pilots**2 * length)
    both = (1 - pooling)[:, None, None] * np.diag(apart)
    both = both + (pooling * ratio)[:, None, None] * mean
    inverse = np.linalg.inv(both)
    return follow(Following(lagged.units, lagged.target, lagged.allowed, inverse, ridge))


def _follow_each(lagged: Lagged, scale: Floats, ridge: Floats) -> Floats:
    """Follow each pilot by itself: those of a date have the same units, and are solved at once."""
    n, n_pilots, length = lagged.target.shape
    weights = np.zeros((n, n_pilots, lagged.units.shape[1]))
    for date in np.unique(lagged.date):
        inside = np.flatnonzero(lagged.date == date)
        times = len(inside)
        inverse = np.eye(length) * scale[inside[0]]
        problem = Following(
            lagged.units[inside[:1]],
            lagged.target[:, inside].reshape(n * times, 1, length),
            np.repeat(lagged.allowed, times, axis=0),
            np.broadcast_to(inverse, (n * times, length, length)),
            np.repeat(ridge, times),
        )
        weights[:, inside] = follow(problem).reshape(n, times, -1)
    return weights


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
        products
        + np.maximum(penalty, FLAT * lagged.noise[:, None])[:, :, None, None] * np.eye(length),
        left[..., None],
    )
    return np.asarray(np.matmul(centred, solved)[..., 0])


def _products(lagged: Lagged) -> tuple[Floats, Floats, Floats]:
    """Centre units of the pool, (B, J, G, L); cross products; their largest eigenvalues, (B, J)."""
    on = lagged.allowed.astype(float)
    mean = np.einsum("bg,jgl->bjl", on, lagged.units) / on.sum(axis=1)[:, None, None]
    centred = (lagged.units[None] - mean[:, :, None]) * on[:, None, :, None]
    products = np.matmul(centred.transpose(0, 1, 3, 2), centred)
    return centred, products, np.linalg.eigvalsh(products)[..., -1]


def _choose_penalty(panel: Panel, units: Ints, options: AugmentedSettings) -> Floats:
    """Choose the penalty that foretells left-out earlier periods, as a share, (B,).

    Of all within one standard error of the best, the largest.
    """
    tried = []
    for at in range(_places(panel, options)[0].shape[1]):
        left_out = _leave_out(panel, units, options, at)
        if left_out.has.any():
            tried.append(_foretold(left_out, options.penalty))
    if len(tried) < FEWEST_LEFT_OUT:
        return np.full(len(units), PENALTIES[0])
    errors = np.array(tried)
    mean, error = errors.mean(axis=0), errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
    row, best = np.arange(len(mean)), mean.argmin(axis=1)
    good = mean <= (mean[row, best] + error[row, best])[:, None]
    return np.asarray(PENALTIES[good.argmax(axis=1)])


def _foretold(left_out: LeftOut, penalty: float) -> Floats:
    """Return mean squared errors of foretelling with each penalty of ridge regression, (B, K)."""
    lagged = left_out.lagged
    weights = _follow(lagged, np.zeros(len(lagged.allowed)), penalty)
    base = left_out.target - np.einsum("bjg,jg->bj", weights, left_out.units)
    centred, products, largest = _products(lagged)
    values, vectors = np.linalg.eigh(products)
    turned = vectors.transpose(0, 1, 3, 2)
    pulled = np.matmul(turned, _imbalance(lagged, weights)[..., None])
    together = np.einsum("bjgl,jg->bjl", centred, left_out.units, optimize=True)
    product = (pulled * np.matmul(turned, together[..., None]))[..., 0]
    errors, flat = [], FLAT * lagged.noise[:, None]
    for share in PENALTIES:
        strength = np.maximum(values, 0.0) + np.maximum(share * largest, flat)[:, :, None]
        off = base - (product / strength).sum(axis=2)
        errors.append(np.square(off[:, left_out.has]).mean(axis=1))
    return np.column_stack(errors)
