"""Placebo pilots: the dates of adoption dealt out to authorities that were never treated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Ints
from sos_estimators.synthetic.panel import FEWEST_POOL, Panel


@dataclass(frozen=True)
class Assignments:
    """Who takes the place of each pilot.

    Attributes:
        units: Places of units in the panel, one for each pilot's date, (B, J).
        complete: Whether they are all there are.
    """

    units: Ints
    complete: bool


def number_of_placebos(panel: Panel) -> int:
    """Count the ways to deal out the dates to the pool; zero if too few would remain to compare.

    Args:
        panel: The panel.
    """
    pool, dates = int(panel.pool.sum()), panel.dates
    if pool - len(dates) < FEWEST_POOL:
        return 0
    ways = math.perm(pool, len(dates))
    for size in np.unique(dates, return_counts=True)[1]:
        ways //= math.factorial(int(size))
    return ways


def placebos(panel: Panel, *, draws: int, seed: int) -> Assignments:
    """List all ways to deal out the dates to the pool if they are no more than draws, else draw.

    Args:
        panel: The panel, with enough authorities in the pool.
        draws: B.
        seed: Of the draws.
    """
    pool = np.flatnonzero(panel.pool)
    if number_of_placebos(panel) <= draws:
        sizes = np.unique(panel.dates, return_counts=True)[1]
        return Assignments(np.array(list(_every(tuple(pool), tuple(sizes))), dtype=np.int64), True)
    rng = np.random.default_rng(seed)
    dealt = rng.permuted(np.tile(pool, (draws, 1)), axis=1)
    return Assignments(dealt[:, : len(panel.dates)], False)


def _every(free: tuple[int, ...], sizes: tuple[int, ...]) -> Iterator[list[int]]:
    """Yield every way to choose groups of these sizes, one after the other."""
    if not sizes:
        yield []
        return
    for chosen in itertools.combinations(free, int(sizes[0])):
        rest = tuple(unit for unit in free if unit not in chosen)
        for others in _every(rest, sizes[1:]):
            yield [*chosen, *others]
