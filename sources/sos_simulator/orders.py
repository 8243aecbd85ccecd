"""Orders that deprive a child of liberty, which returns tell from 2026-27 on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sos_simulator.dates import Flags, between, year_end, year_start

ORDERS = "deprivation_orders"
"""Their record table."""
FIRST_YEAR = 2026
"""April-year of the first return that has the orders."""
HOME = "K2"
"""Where a child under such an order lives: a children's home."""
_SHARE, _AGAIN = 0.4, 0.4
_FIRST_DAYS, _SHORTEST, _LONGEST, _LONGEST_PAUSE = 20, 14, 90, 10


def orders_of(rng: np.random.Generator, episodes: pd.DataFrame, years: range) -> pd.DataFrame:
    """Draw the orders of children in children's homes: one, or a second after a few days.

    Args:
        rng: Random numbers.
        episodes: In the order of unit, child and start.
        years: April-years of the returns.

    Returns:
        One row an order that a return shows, in the order of unit, child and start: ``unit``,
        ``child``, ``start``, ``end`` (days; the end may lie after the data) and ``episode``, the
        row of the episode in which it lies.
    """
    homes = np.flatnonzero((episodes["placement"] == HOME) & (years[-1] >= FIRST_YEAR))
    begun, over = (episodes[c].to_numpy()[homes] for c in ("start", "end"))
    n = len(homes)
    chosen = rng.random(n) < _SHARE
    start = np.maximum(begun, year_start(FIRST_YEAR)) + between(rng, 1, np.full(n, _FIRST_DAYS))
    end = np.minimum(start + between(rng, _SHORTEST, np.full(n, _LONGEST)), over)
    again = end + between(rng, 1, np.full(n, _LONGEST_PAUSE))
    last = np.minimum(again + between(rng, _SHORTEST, np.full(n, _LONGEST)), over)
    second = chosen & (rng.random(n) < _AGAIN)
    parts = [
        _rows(episodes, homes, start, end, chosen & (start < over)),
        _rows(episodes, homes, again, last, second & (start < over) & (again < last)),
    ]
    frame = pd.concat(parts, ignore_index=True)
    seen = (frame["start"] <= year_end(years[-1])) & (frame["end"] >= year_start(years[0]))
    return frame[seen].sort_values(["unit", "child", "start"], kind="stable", ignore_index=True)


def _rows(
    episodes: pd.DataFrame, rows: np.ndarray, start: np.ndarray, end: np.ndarray, kept: Flags
) -> pd.DataFrame:
    place = rows[kept]
    return pd.DataFrame(
        {
            "unit": episodes["unit"].to_numpy()[place],
            "child": episodes["child"].to_numpy()[place],
            "start": start[kept],
            "end": end[kept],
            "episode": place,
        }
    )
