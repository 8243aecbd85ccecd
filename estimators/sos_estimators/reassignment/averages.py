"""Averages over effects of cohorts and periods, under any assignment of the same dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.reassignment.table import UnitTable


@dataclass(frozen=True)
class Reassigned:
    """Averages under one assignment, of V values.

    Attributes:
        estimates: (J, V); missing where the assignment cannot give it.
        contributions: What each unit adds before it is centred, (G, J, V).
        shares: How much each treated unit counts, (G, J).
    """

    estimates: Floats
    contributions: Floats
    shares: Floats


class Evaluate(Protocol):
    """Gives the averages of an estimator under an assignment."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the J averages."""

    @property
    def least(self) -> float:
        """Size below which an estimate or an error is rounding error about zero."""

    def without(self, unit: int) -> Evaluate:
        """Leave out a unit.

        Args:
            unit: Which, below G.
        """

    def __call__(self, cohort: Ints) -> Reassigned:
        """Evaluate.

        Args:
            cohort: First treated period of each unit, 0 = never, (G,).
        """


@dataclass(frozen=True)
class Masks:
    """K effects of cohorts and periods and the J averages over them.

    Attributes:
        cohort: (K,).
        period: Place among the periods, (K,).
        names: (J,).
        chosen: Which effects an average is over, (J, K).
    """

    cohort: Ints
    period: Ints
    names: tuple[str, ...]
    chosen: Bools

    def codes(self, cohorts: Ints, n_periods: int) -> Ints:
        """Return the effect of each cell of units of some cohorts, or -1, (n, T).

        A cohort without an effect, such as the last where none is never treated, has -1 throughout.

        Args:
            cohorts: (n,).
            n_periods: T.
        """
        known, row = np.unique(np.append(self.cohort, cohorts), return_inverse=True)
        k = len(self.cohort)
        codes = np.full((len(known), n_periods), -1, dtype=np.int64)
        codes[row[:k], self.period] = np.arange(k)
        return np.asarray(codes[row[k:]])


def masks(table: UnitTable, aggregate: str, events: Bools, *, window: Bools) -> Masks:
    """List effects, and averages of them.

    Args:
        table: The table.
        aggregate: ``simple``, ``event``, ``cohort`` or ``calendar``.
        events: Which effects there are, (cohorts, T).
        window: Which of them are inside the window of event times, (cohorts, T).
    """
    cohorts = np.unique(table.cohort[table.cohort > 0])
    row, period = np.nonzero(events)
    cohort, inside = cohorts[row], window[row, period]
    event = table.periods[period] - cohort
    post = (event >= 0) & inside
    by: dict[str, Bools] = {"overall": post}
    if aggregate == "event":
        by |= {f"event={e}": event == e for e in np.unique(event[inside])}
    elif aggregate == "cohort":
        by |= {f"cohort={g}": post & (cohort == g) for g in np.unique(cohort[post])}
    elif aggregate == "calendar":
        calendar = table.periods[period]
        by |= {f"calendar={t}": post & (calendar == t) for t in np.unique(calendar[post])}
    return Masks(cohort, period, tuple(by), np.array(list(by.values())))


def by_weight(chosen: Bools, weight: Floats) -> Floats:
    """Return how much effects count in averages by the weight of their cases, (J, K).

    Args:
        chosen: (J, K).
        weight: Of the effects, (K,).
    """
    counted = chosen * weight
    total = counted.sum(axis=1, keepdims=True)
    missing = np.full_like(counted, np.nan)
    return np.asarray(np.divide(counted, total, out=missing, where=total > 0))


def cell_weights(chosen: Bools, codes: Ints, weight: Floats) -> tuple[Floats, Floats]:
    """Return how much effects count in averages, (J, K), and the cells of treated units, (q, T, J).

    An average over effects of which none has cases is missing.

    Args:
        chosen: Which effects an average is over, (J, K).
        codes: The effect of each cell, or -1, (q, T).
        weight: Of the cells, (q, T).
    """
    used = codes >= 0
    counted = np.bincount(codes[used], weight[used], minlength=chosen.shape[1])
    of_effect: Floats = np.asarray(counted, dtype=float)
    shares = by_weight(chosen, of_effect)
    missing: Bools = np.asarray(np.isnan(shares).any(axis=1))
    per_weight = np.divide(
        np.where(missing[:, None], 0.0, shares),
        of_effect,
        out=np.zeros_like(shares),
        where=of_effect > 0,
    )
    per_weight[missing] = np.nan
    with_none = np.vstack([per_weight.T, np.zeros(len(shares))])
    return shares, np.asarray(with_none[codes] * weight[:, :, None])


def over_columns(left: Floats, pulled: Floats) -> Floats:
    """Multiply columns of units by how much each average draws on them: (G, m, V), (m, J).

    Args:
        left: (G, m, V).
        pulled: (m, J).

    Returns:
        (G, J, V).
    """
    return np.asarray((left.transpose(0, 2, 1) @ pulled).transpose(0, 2, 1))


def over_periods(weights: Floats, values: Floats) -> Floats:
    """Sum values of units over periods, as each average counts them: (q, T, J), (q, T, V).

    Args:
        weights: (q, T, J).
        values: (q, T, V).

    Returns:
        (q, J, V).
    """
    return np.asarray(weights.transpose(0, 2, 1) @ values)
