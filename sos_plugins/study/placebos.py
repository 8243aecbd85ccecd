"""What chance does to an authority, told from the authorities that the programme never reached.

One authority is one cluster: nothing in its own cases tells what befalls the authority as a whole,
a new manager or a recording system, from an effect or a broken trend. The pool tells it: every
authority of the pool is a placebo pilot with the window of the pilot (Conley and Taber 2011, Review
of Economics and Statistics 93(1); Donald and Lang 2007, Review of Economics and Statistics 89(2)).

The spread of the placebos' differences is that of shocks to authorities and that of sampling cases.
The second is known from the cases and depends on how many an authority has, so it is taken out and
that of the pilot and its comparators put in (Ferman and Pinto 2019, Review of Economics and
Statistics 101(3)). All is computed on sums by authority and event time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sos_plugins.cells.compression import counts, is_compressed, squares
from sos_plugins.contract.types import Pilot
from sos_plugins.errors import EstimationError
from sos_plugins.study.collect import MARKS, date_classes
from sos_plugins.study.design import label

Floats = NDArray[np.float64]
Baseline = Literal["all", "last"]

LEAST_PLACEBOS = 10
"""Fewer placebo pilots do not tell how far an authority moves by chance: with nine degrees of
freedom an interval is a sixth wider than with many, with four already two fifths."""
PLACEBOS_PER_LEAD = 4
"""Least placebo pilots for each lead of a joint test; with fewer, the earliest leads are tested as
their mean. A covariance of many leads rests on few authorities then, and finds next to nothing."""
LEAST_DF = 4.0
"""Least degrees of freedom of an error from the pool."""
ROUNDS = 50
"""Most rounds in which the weights of placebos are found."""
SETTLED = 1e-6
"""Share of itself by which no weight moves any more when they are found."""
SUMS = ("_n", "_w", "_ww", "_wy", "_wyy")
"""Of cases: their number, and the sums of weights, squared weights, weighted values and weighted
squares of values."""


@dataclass(frozen=True)
class Pool:
    """Sums of the cases of the authorities that are compared, and which of them are placebos.

    Attributes:
        sums: Frame ``unit, period, date, follow_up_end`` and :data:`SUMS`; all cases of a row lie
            in the same year before or after every pilot's window.
        units: The authorities that no programme reached.
    """

    sums: pd.DataFrame
    units: tuple[str, ...]


def pool_of(
    frame: pd.DataFrame, units: Sequence[str], pilots: Sequence[Pilot], *, binary: bool
) -> Pool:
    """Add up the cases of the pool.

    Args:
        frame: Cases (or rows that stand for many) with
            :data:`sos_plugins.contract.columns.CASE_COLUMNS`.
        units: Codes of the pool, never treated.
        pilots: Those whose windows the sums must keep apart.
        binary: Whether values are 0 or 1.
    """
    cases = frame[frame["unit"].isin(list(units))]
    keys = cases[["unit", "period"]].copy()
    for column in MARKS:
        starts = date_classes(column, pilots)
        keys[column] = _first_day_of_class(cases[column], starts)
    whole = keys.assign(**_sums(cases, binary=binary))
    by = ["unit", "period", *MARKS]
    sums = whole.groupby(by, sort=True, observed=True, dropna=False, as_index=False).sum()
    return Pool(sums, tuple(units))


def _first_day_of_class(dates: pd.Series, starts: NDArray[np.datetime64]) -> pd.Series:
    days = dates.to_numpy("datetime64[D]")
    place = np.clip(np.searchsorted(starts, days, side="right") - 1, 0, None)
    known = ~np.isnat(days)
    first = np.where(known, starts[place], np.datetime64("NaT", "D"))
    return pd.Series(first.astype("datetime64[ns]"), index=dates.index)


def _sums(frame: pd.DataFrame, *, binary: bool) -> dict[str, Floats]:
    """Return the columns :data:`SUMS` of rows, squares missing where rows do not tell them."""
    value = frame["value"].to_numpy(float)
    weighted = "weight" in frame
    n = counts(frame)
    weight = frame["weight"].to_numpy(float) if weighted else n
    squared = squares(frame) if weighted else n
    exact = binary or not is_compressed(frame)
    of_values = weight * value * (1.0 if binary else value)
    columns = (n, weight, squared, weight * value, of_values if exact else np.full(len(n), np.nan))
    return dict(zip(SUMS, columns, strict=True))


@dataclass(frozen=True)
class Path:
    """Means of authorities by event time, each with its variance from sampling cases.

    Attributes:
        units: Codes, (u,).
        events: Event times in order, (e,).
        means: (u, e); missing where an authority has no case.
        weight: Sums of weights, (u, e).
        sampling: Variance of each mean, (u, e); zero where single cases tell nothing of it.
    """

    units: tuple[str, ...]
    events: Floats
    means: Floats
    weight: Floats
    sampling: Floats

    @classmethod
    def of(cls, sums: pd.DataFrame, *, panel: bool) -> Path:
        """Add up a frame with ``unit``, ``event`` and :data:`SUMS`.

        Args:
            sums: The frame.
            panel: Whether values of a unit of observation come again every period, so that their
                spread within a period is no variance of the change.
        """
        of_unit, names = pd.factorize(sums["unit"], sort=True)
        of_event, times = pd.factorize(sums["event"].to_numpy(), sort=True)
        shape, cell = (len(names), len(times)), of_unit * len(times) + of_event
        n, w, ww, wy, wyy = (_added_up(sums[name].to_numpy(float), cell, shape) for name in SUMS)
        events = times.astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = wy / w
            within = np.nansum(wyy - wy * means, axis=1) / np.nansum(w - ww / w, axis=1)
            per_case = ww / w**2
        told = np.isfinite(within) & (np.nansum(n - 1, axis=1) > 0) & np.isfinite(wyy).any(axis=1)
        usual = float(np.mean(within[told])) if told.any() and not panel else 0.0
        variance = np.where(told, within, usual) * (usual > 0)
        units = tuple(str(u) for u in names)
        return cls(units, events, means, w, np.clip(variance, 0, None)[:, None] * per_case)

    def first(self, unit: str) -> Path:
        """Return the path with one authority before the others."""
        order = sorted(range(len(self.units)), key=lambda i: self.units[i] != unit)
        units = tuple(self.units[i] for i in order)
        parts = (v[order] for v in (self.means, self.weight, self.sampling))
        return Path(units, self.events, *parts)

    def at(self, events: Collection[float]) -> Path:
        """Return the path at some event times, missing where no authority has cases."""
        wanted = np.array(sorted(events), float)
        place = {float(e): i for i, e in enumerate(self.events)}
        columns = [place.get(float(e), -1) for e in wanted]
        gap = np.array([c < 0 for c in columns])

        def taken(values: Floats) -> Floats:
            return np.where(gap, np.nan, values[:, columns])

        parts = (taken(v) for v in (self.means, self.weight, self.sampling))
        return Path(self.units, wanted, *parts)


def _added_up(values: Floats, cell: NDArray[np.int64], shape: tuple[int, int]) -> Floats:
    """Add values up by cell; missing where a cell has none that is known."""
    size, known = shape[0] * shape[1], ~np.isnan(values)
    sums = np.bincount(cell[known], values[known], size)
    there = np.bincount(cell[known], minlength=size) > 0
    return np.where(there, sums, np.nan).reshape(shape)


@dataclass(frozen=True)
class Contrasts:
    """Differences over event times of every authority, and their sampling covariance.

    Attributes:
        values: (u, k); missing where an authority lacks cases for them.
        sampling: (u, k, k).
        weights: What each event time counts in them, (u, k, e).
    """

    values: Floats
    sampling: Floats
    weights: Floats

    @classmethod
    def of(cls, path: Path, weights: Floats) -> Contrasts:
        """Apply weights (u, k, e) of event times to a path."""
        used = np.where(weights == 0, 0.0, weights * path.means[:, None, :])
        variance = np.where(weights == 0, 0.0, path.sampling[:, None, :])
        known = np.where(np.isnan(variance), 0.0, variance)
        sampling = np.einsum("uke,ule,uke->ukl", weights, weights, known)
        return cls(used.sum(axis=2), sampling, weights)


def effect_weights(path: Path, baseline: Baseline) -> Floats:
    """Return how event times count in the change of each authority, (u, 1, e).

    Args:
        path: The path.
        baseline: ``all``: cases after the window less those before; ``last``: the mean of the event
            times after it less the last one before.
    """
    post = path.events >= 0
    w = np.nan_to_num(path.weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        if baseline == "all":
            after = np.where(post, w, 0) / np.where(post, w, 0).sum(axis=1, keepdims=True)
            before = np.where(post, 0, w) / np.where(post, 0, w).sum(axis=1, keepdims=True)
        else:
            seen = np.where(post, w > 0, False)
            after = seen / seen.sum(axis=1, keepdims=True)
            before = np.broadcast_to(path.events == -1, w.shape).astype(float)
    return np.asarray((after - before)[:, None, :])


def lead_weights(path: Path, reference: float, leads: Sequence[Floats]) -> Floats:
    """Return how event times count in the leads of an authority, (k, e).

    Each lead is the mean of the cases of some event times, those of the first authority of the
    path, less the reference.
    """
    w = np.nan_to_num(path.weight[0])
    rows = []
    for events in leads:
        inside = np.where(np.isin(path.events, events), w, 0)
        rows.append(inside / inside.sum() - (path.events == reference))
    return np.asarray(rows, float)


@dataclass(frozen=True)
class Shocks:
    """How differences of one authority move by what befalls it as a whole.

    Attributes:
        covariance: (k, k), in squared units of the value.
        spread: The same with the sampling of an authority of the pool, (k, k).
        n_placebos: Authorities of the pool that it rests on.
    """

    covariance: Floats
    spread: Floats
    n_placebos: int

    @classmethod
    def of(cls, placebos: Contrasts) -> Shocks:
        """Take the sampling covariance from the covariance of the placebos' differences.

        Each placebo is compared with the mean of the pool, so what befalls all at once cancels.
        Placebos count by how exactly they are known, as their number of cases says; the weights are
        found in rounds. Directions in which nothing but sampling is left have no
        shocks. Moments of random effects as in DerSimonian and Kacker (2007), Contemporary Clinical
        Trials 28(2), of vectors.

        Raises:
            EstimationError: If fewer than :data:`LEAST_PLACEBOS` have what is compared.
        """
        known = np.isfinite(placebos.values).all(axis=1)
        n = int(known.sum())
        if n < LEAST_PLACEBOS:
            raise EstimationError(
                f"{n} authorities of the pool have cases in all the periods that are compared, and "
                f"what chance does to one authority is told from at least {LEAST_PLACEBOS}."
            )
        values, sampling = placebos.values[known], placebos.sampling[known]
        weight = np.full(n, 1 / n)
        for _ in range(ROUNDS):
            before = weight
            weight = _exactness(_moments(values, sampling, weight)[0] + sampling)
            if np.allclose(weight, before, rtol=SETTLED, atol=0):
                break
        return cls(*_moments(values, sampling, weight), n)


def _exactness(total: Floats) -> Floats:
    """Return weights, (j,), that sum to 1: the inverse of the traces of covariances, (j, k, k)."""
    trace = np.trace(total, axis1=1, axis2=2)
    weight = 1 / trace if (trace > 0).all() else np.ones(len(trace))
    return np.asarray(weight / weight.sum())


def _moments(values: Floats, sampling: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the covariance of shocks and the spread with sampling, given weights that sum to 1."""
    apart = values - weight @ values
    counted = weight * (1 - weight)
    spread = np.einsum("j,jk,jl->kl", weight, apart, apart) / counted.sum()
    of_sampling = np.einsum("j,jkl->kl", counted, sampling) / counted.sum()
    return without_negative_directions(spread - of_sampling), spread


@dataclass(frozen=True)
class Chance:
    """How the mean of the differences of some pilots and comparators moves by chance alone.

    Attributes:
        covariance: (k, k), in squared units of the value.
        df: Degrees of freedom of the covariance.
        n_placebos: Authorities of the pool that it rests on.
    """

    covariance: Floats
    df: float
    n_placebos: int


@dataclass(frozen=True)
class Part:
    """One pilot and its comparators in a mean of several.

    Attributes:
        shocks: In the window of the pilot.
        own: Of the pilot, in the first row, and its comparators.
        shares: Shares of the comparators, (u - 1,), that add up to 1.
        units: Codes of the comparators.
    """

    shocks: Shocks
    own: Contrasts
    shares: Floats
    units: tuple[str, ...]


def chance(parts: Sequence[Part]) -> Chance:
    """Work out the covariance of the mean difference of some pilots from their comparators.

    Every authority has the shocks of the pool and the sampling of its own cases, and counts by the
    square of its share. The shocks of a comparator of several pilots count as the same in each
    window, which they are at most. With J placebos the shocks have J - 1 degrees of freedom; where
    pilots and comparators have many more cases than the pool, what is left of the spread without
    the pool's sampling is less certain, and they shrink as in Satterthwaite (1946). Where less than
    :data:`LEAST_DF` would be left, so much of the spread is kept that it is no less.
    """
    k = len(parts)
    shares: dict[str, float] = {}
    for part in parts:
        for unit, share in zip(part.units, part.shares / k, strict=True):
            shares[unit] = shares.get(unit, 0.0) + float(share)
    covariance, spread = 0.0, 0.0
    for part in parts:
        pull = [shares[u] for u in part.units]
        counted = np.array([1 / k**2, *(np.array(pull) * part.shares / k)])
        sampling = np.einsum("u,ukl->kl", counted, part.own.sampling)
        covariance = covariance + counted.sum() * part.shocks.covariance + sampling
        spread = spread + counted.sum() * part.shocks.spread
    n = min(part.shocks.n_placebos for part in parts)
    return _told(np.asarray(covariance), np.asarray(spread), n)


def _told(covariance: Floats, spread: Floats, n: int) -> Chance:
    """Return a covariance with its degrees of freedom, widened where they would be too few."""
    ratio = float(np.trace(np.linalg.pinv(spread, hermitian=True) @ covariance)) / len(spread)
    least = float(np.sqrt(LEAST_DF / (n - 1)))
    if ratio < least:
        covariance, ratio = covariance + (least - ratio) * spread, least
    return Chance(covariance, (n - 1) * min(1.0, ratio**2), n)


def without_negative_directions(matrix: Floats) -> Floats:
    """Return the nearest symmetric matrix (k, k) without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.clip(values, 0, None)) @ vectors.T)


def event_sums(pool: Pool, pilot: Pilot) -> pd.DataFrame:
    """Return the sums of the pool by ``unit`` and ``event``, in the window of a pilot."""
    labelled = label(pool.sums, pilot)
    return labelled[["unit", "event", *SUMS]]


def own_sums(frame: pd.DataFrame, *, binary: bool) -> pd.DataFrame:
    """Return the sums of the rows of a matched group by ``unit`` and ``event``."""
    return frame[["unit", "event"]].assign(**_sums(frame, binary=binary))


def pooled_leads(events: Sequence[float], most: int) -> tuple[tuple[float, ...], ...]:
    """Return the event times of so many leads at most, the earliest ones as one.

    >>> pooled_leads([-5, -4, -3, -2], 3)
    ((-5, -4), (-3,), (-2,))
    """
    ordered = sorted(events)
    early = max(0, len(ordered) - most)
    return (tuple(ordered[: early + 1]), *((e,) for e in ordered[early + 1 :]))


def shares_of(path: Path) -> Floats:
    """Return the shares of comparators, all but the first authority of a path, in their cases."""
    weight = np.nansum(path.weight[1:], axis=1)
    return np.asarray(weight / weight.sum())
