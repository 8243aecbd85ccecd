"""What is left of pilots once weighted authorities of the pool are taken off, and its averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.synthetic.panel import Panel
from sos_estimators.synthetic.settings import SyntheticSettings


@dataclass(frozen=True)
class Followed:
    """J pilots followed by the pool, under each of B assignments.

    Attributes:
        shaped: Values less level or line before the date of each pilot, (J, G, T).
        units: Who takes the place of each pilot, (B, J).
        weights: Of the units in what each pilot is compared with, adding up to one, (B, J, G).
        times: Of the periods in what effects are measured from, adding up to one, or all zero where
            it is the level or line; (B, J, T).
        block: Number of the series that a pilot was followed in, with others or alone, (J,).
        counts: How much each pilot counts in the mean of its block, (B, J).
        before: Periods before each pilot's date, (J, T).
        allowed: Units of the pool that take no pilot's place, (B, G).
    """

    shaped: Floats
    units: Ints
    weights: Floats
    times: Floats
    block: Ints
    counts: Floats
    before: Bools
    allowed: Bools

    @property
    def left(self) -> Floats:
        """What pilots differ by from their weighted authorities, (B, J, T)."""
        each = np.arange(len(self.block))
        own = self.shaped[each[None], self.units]
        return np.asarray(own - np.einsum("bjg,jgt->bjt", self.weights, self.shaped, optimize=True))

    @property
    def gaps(self) -> Floats:
        """Differences less those of the weighted periods: effects, or before none; (B, J, T)."""
        left = self.left
        return np.asarray(left - (left * self.times).sum(axis=2, keepdims=True))

    def adjusted(self) -> Floats:
        """Series of all units in the first assignment, less their weighted periods, (J, G, T)."""
        return np.asarray(self.shaped - self.shaped @ self.times[0][:, :, None])

    def fit(self) -> Fit:
        """Say how closely the series were followed before treatment, (B,) each."""
        each = np.arange(len(self.block))
        own = self.shaped[each[None], self.units]
        even = self.allowed / self.allowed.sum(axis=1, keepdims=True)
        plain = own - np.einsum("bg,jgt->bjt", even, self.shaped, optimize=True)
        return Fit(*(self._size(series) for series in (self.left, plain, own)))

    def _size(self, series: Floats) -> Floats:
        """Root mean square over periods before treatment of the series of blocks, (B,)."""
        total, n = np.zeros(len(self.units)), 0
        for number in np.unique(self.block):
            inside = np.flatnonzero(self.block == number)
            share = self.counts[:, inside] / self.counts[:, inside].sum(axis=1, keepdims=True)
            mean = (share[:, :, None] * series[:, inside]).sum(axis=1)
            total += len(inside) * np.square(mean[:, self.before[inside[0]]]).mean(axis=1)
            n += len(inside)
        return np.asarray(np.sqrt(total / n))


@dataclass(frozen=True)
class Fit:
    """Root mean squares before treatment, in units of the value, (B,) each.

    Attributes:
        rmse: Of what the weights leave.
        rmse_equal: Of what the same authorities leave that count alike.
        size: Of the series themselves, less their level or line.
    """

    rmse: Floats
    rmse_equal: Floats
    size: Floats

    @property
    def explained(self) -> Floats:
        """Share of the variance before treatment that is followed, (B,)."""
        size = np.where(self.size > 0, self.size, np.nan)
        return np.asarray(1 - np.square(self.rmse) / np.square(size))


@dataclass(frozen=True)
class Terms:
    """K averages of effects of pilots in periods.

    Attributes:
        names: (K,).
        chosen: Which pilots and periods each is over, (K, J, T).
    """

    names: tuple[str, ...]
    chosen: Bools


def list_terms(panel: Panel, options: SyntheticSettings) -> Terms:
    """List the overall effect and those of ``aggregate``.

    Args:
        panel: The panel.
        options: Settings.
    """
    event = panel.periods[None] - panel.dates[:, None]
    after = in_window(event, options) & panel.seen
    listed: Mapping[str, Bools] = {}
    if options.aggregate == "event":
        first = event.min() if options.min_event is None else options.min_event
        there = np.unique(event[panel.seen & (event >= first) & ((event < 0) | after)])
        listed = {f"event={e}": panel.seen & (event == e) for e in there}
    elif options.aggregate == "cohort":
        dates = panel.dates[:, None]
        listed = {f"cohort={g}": after & (dates == g) for g in np.unique(panel.dates)}
    elif options.aggregate == "calendar":
        there = panel.periods[after.any(axis=0)]
        listed = {f"calendar={t}": after & (panel.periods == t)[None] for t in there}
    elif options.aggregate == "pilot":
        each = np.eye(len(panel.pilots), dtype=bool)
        names = [panel.units[place] for place in panel.pilots]
        order = np.argsort(names)
        listed = {f"pilot={names[j]}": after & each[j][:, None] for j in order}
    every = {"overall": after, **listed}
    return Terms(tuple(every), np.array(list(every.values())))


def in_window(event: Ints, options: SyntheticSettings) -> Bools:
    """Say which event times count in the overall effect.

    Args:
        event: Periods since adoption, of any shape.
        options: ``max_event`` is used.
    """
    last = np.inf if options.max_event is None else options.max_event
    return np.asarray((event >= 0) & (event <= last))


def cell_weights(panel: Panel, units: Ints, options: SyntheticSettings) -> Floats:
    """Return how much effects of pilots in periods count, (B, J, T): nothing where these have none.

    Args:
        panel: The panel.
        units: Who takes the place of each pilot, (B, J).
        options: ``average`` is used.
    """
    if options.average == "authorities":
        return np.broadcast_to(panel.seen.astype(float), (*units.shape, len(panel.periods)))
    return np.asarray(panel.weight[units] * panel.seen)


def shares(terms: Terms, weight: Floats) -> Floats:
    """Return how much each pilot and period counts in each average, (B, K, J, T).

    Args:
        terms: K averages.
        weight: Of pilots and periods, (B, J, T).
    """
    chosen = terms.chosen[None] * weight[:, None]
    return np.asarray(chosen / chosen.sum(axis=(2, 3), keepdims=True))


def averages(terms: Terms, gaps: Floats, weight: Floats) -> Floats:
    """Average effects, (B, K).

    Args:
        terms: K averages.
        gaps: Effects, (B, J, T).
        weight: Of pilots and periods, (B, J, T).
    """
    chosen = terms.chosen.reshape(len(terms.names), -1).astype(float)
    flat = weight.reshape(len(weight), -1)
    return np.asarray((gaps.reshape(len(gaps), -1) * flat) @ chosen.T / (flat @ chosen.T))
