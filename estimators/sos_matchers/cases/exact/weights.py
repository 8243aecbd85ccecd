"""Which cases are matched exactly, and what they weigh: on whole numbers, whatever made them.

A case of a comparator in stratum s weighs (T_s / C_s) x (C / T) times what it starts with, T and C
being what matched cases of pilots and comparators start with, in the stratum and in all; a case of
a pilot keeps what it starts with (Iacus, King and Porro 2012). All weights of comparators then add
up to what they start with, as in MatchIt and in the 2021 analysis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def on_both_sides(key: Ints, treated: Flags, present: Flags, n_keys: int) -> Flags:
    """Return which keys have present cases of pilots and of comparators, (n_keys,).

    Args:
        key: Numbers from 0 to n_keys - 1, (rows,).
        treated: Whether a row is a pilot's, (rows,).
        present: Whether a row counts, (rows,).
        n_keys: How many keys there are.
    """
    found = np.zeros((2, n_keys), dtype=bool)
    for side in (0, 1):
        found[side, key[present & (treated == bool(side))]] = True
    return np.asarray(found[0] & found[1])


def sums(key: Ints, values: Floats, n_keys: int, *, in_order: bool = False) -> Floats:
    """Add up by key; the order of rows changes no digit.

    Args:
        key: Numbers from 0 to n_keys - 1, (rows,).
        values: What is added up, (rows,).
        n_keys: How many keys there are.
        in_order: Whether the rows come in an order that what they say fixes.
    """
    # Whole numbers add up exactly in any order.
    if not in_order and not (values == np.rint(values)).all():
        order = np.argsort(values)
        key, values = key[order], values[order]
    return np.asarray(np.bincount(key, values, minlength=n_keys), dtype=float)


def start_weights(weight: Floats, occasion: Ints, kept: Flags) -> Floats:
    """Divide weights by the times that the same occasion is kept; 0 for rows that are not.

    Args:
        weight: What each row weighs by itself, (rows,).
        occasion: The same number for the same authority, child and date, (rows,).
        kept: Whether a row is matched, (rows,).
    """
    times = np.bincount(occasion[kept], minlength=int(occasion.max(initial=0)) + 1)
    return np.where(kept, weight / np.maximum(times, 1)[occasion], 0.0)


def strata_factors(key: Ints, treated: Flags, start: Floats, n_keys: int) -> Floats:
    """Return what a comparator's case in each stratum is multiplied with, (n_keys,).

    Strata with one side alone have 0.

    Args:
        key: Stratum of each row, (rows,).
        treated: Whether a row is a pilot's, (rows,).
        start: What a row starts with, 0 if it is not matched, (rows,).
        n_keys: How many strata there are.
    """
    pilots = sums(key, np.where(treated, start, 0.0), n_keys)
    others = sums(key, np.where(treated, 0.0, start), n_keys)
    both = (pilots > 0) & (others > 0)
    total = pilots[both].sum()
    scale = others[both].sum() / total if total > 0 else 0.0
    return np.where(both, pilots / np.where(both, others, 1.0) * scale, 0.0)


def matched_weights(key: Ints, treated: Flags, start: Floats, n_keys: int) -> Floats:
    """Return the weights of rows, (rows,): 0 where the stratum has one side alone.

    Arguments are those of :func:`strata_factors`.
    """
    factor = strata_factors(key, treated, start, n_keys)[key]
    return np.where(factor > 0, start * np.where(treated, 1.0, factor), 0.0)
