"""Unit and time weights of synthetic difference-in-differences.

Arkhangelsky, Athey, Hirshberg, Imbens and Wager (2021), American Economic Review 111(12),
4088-4118: algorithm 1, for each date of adoption with the authorities that are never treated, as in
their appendix and Clarke, Pailanir, Athey and Imbens (2024), Stata Journal 24(4).
"""

from __future__ import annotations

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.synthetic.followed import Followed, cell_weights, in_window
from sos_estimators.synthetic.panel import Panel
from sos_estimators.synthetic.settings import SyntheticDidSettings
from sos_estimators.synthetic.simplex import Following, follow, nearest_to_zero

OF_TIMES = 1e-6
"""Penalty of time weights, as a share of the noise: it only decides between equally good ones."""


def weigh(panel: Panel, units: Ints, options: SyntheticDidSettings) -> Followed:
    """Find the weights under some assignments.

    Args:
        panel: The panel.
        units: Who takes the place of each pilot, (B, J).
        options: ``by``, ``shape``, ``average`` and ``max_event`` are used.

    Raises:
        EstimationError: If a problem has no exact solution.
    """
    n, (g, t) = len(units), panel.value.shape
    dates = panel.dates
    block = np.arange(len(dates))
    if options.by == "cohort":
        block = np.searchsorted(np.unique(dates), dates)
    allowed = free_of(panel, units)
    before = np.array([panel.before(int(date)) for date in dates])
    after = in_window(panel.periods[None] - dates[:, None], options)
    counts = (cell_weights(panel, units, options) * after).sum(axis=2)
    shaped = np.array([panel.shaped(int(date), options.shape) for date in dates])
    weights, times = np.zeros((n, len(dates), g)), np.zeros((n, len(dates), t))
    for date in np.unique(dates):
        first = int(np.flatnonzero(dates == date)[0])
        early, late, series = before[first], after[first], shaped[first]
        noise = noise_of(series[:, early], allowed)
        of_times = time_weights(series, early, late, allowed, noise, panel.least)
        for number in np.unique(block[dates == date]):
            inside = np.flatnonzero(block == number)
            share = counts[:, inside] / counts[:, inside].sum(axis=1, keepdims=True)
            target = (share[:, :, None] * series[units[:, inside]]).sum(axis=1)
            strength = np.sqrt(len(inside) * late.sum()) * np.square(noise) * early.sum()
            ridge = np.maximum(strength, panel.least_noise**2)
            weights[:, inside] = unit_weights(series[:, early], target[:, early], allowed, ridge)
            times[np.ix_(np.arange(n), inside, np.flatnonzero(early))] = of_times[:, None]
    return Followed(shaped, units, weights, times, block, counts, before, allowed)


def free_of(panel: Panel, units: Ints) -> Bools:
    """Say which units of the pool take no pilot's place, (B, G).

    Args:
        panel: The panel.
        units: Who takes the place of each pilot, (B, J).
    """
    allowed = np.tile(panel.pool, (len(units), 1))
    np.put_along_axis(allowed, units, False, axis=1)
    return allowed


def noise_of(series: Floats, allowed: Bools) -> Floats:
    """Return the standard deviation of changes from period to period in the pool, (B,).

    Args:
        series: Before treatment, (G, L).
        allowed: Units of the pool, (B, G).
    """
    changes = np.diff(series, axis=1)
    n = allowed.sum(axis=1) * changes.shape[1]
    mean = (allowed @ changes.sum(axis=1)) / n
    squares = allowed @ np.square(changes).sum(axis=1) - n * np.square(mean)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0) / np.maximum(n - 1, 1)))


def unit_weights(series: Floats, target: Floats, allowed: Bools, ridge: Floats) -> Floats:
    """Find the weights on units with which their series follow a target, (B, 1, G).

    Args:
        series: Of units before treatment, each less its mean, (G, L).
        target: Likewise, (B, L).
        allowed: Units that may have a weight, (B, G).
        ridge: Penalty of squared weights, (B,).
    """
    b, length = target.shape
    inverse = np.broadcast_to(np.eye(length), (b, length, length))
    return follow(Following(series[None], target[:, None], allowed, inverse, ridge))


def time_weights(
    series: Floats, early: Bools, late: Bools, allowed: Bools, noise: Floats, least: float
) -> Floats:
    """Find the weights on earlier periods with which they foretell the later ones, (B, L).

    Where all units change alike any periods do: all count the same.

    Args:
        series: Of units, (G, T).
        early: Periods before treatment, L of T.
        late: Periods after it.
        allowed: Units of the pool, (B, G).
        noise: Standard deviation of changes, (B,).
        least: Noise up to which it is rounding error.
    """
    ahead = series[:, early] - series[:, late].mean(axis=1)[:, None]
    n = allowed.sum(axis=1)
    centred = (ahead[None] - (allowed @ ahead / n[:, None])[:, None]) * allowed[:, :, None]
    triangles = np.linalg.qr(centred, mode="r")
    ridges = n * np.square(OF_TIMES * noise)
    weights = np.full((len(noise), ahead.shape[1]), 1 / ahead.shape[1])
    for b in np.flatnonzero(noise > least):
        weights[b] = nearest_to_zero(triangles[b], float(ridges[b]))
    return weights
