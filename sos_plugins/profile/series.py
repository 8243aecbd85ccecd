"""Series of yearly figures by authority: years that are missing, and years that jump.

A year breaks its series when it departs from the level of the years before by more than a ratio and
by more than chance. What all authorities share in that year (a new return, a national trend) is
taken out first. A year that departs from a level to which the next one returns is a break of its
own; when the next one stays, a new level begins and is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_plugins.profile.facts import SERIES
from sos_plugins.profile.rows import FAULT_COLUMNS
from sos_plugins.profile.settings import ProfileSettings

MISSING_YEAR = "missing-year"
BREAK = "series-break"

Floats = npt.NDArray[np.float64]
Departs = Callable[[int, Floats], bool]
"""Whether the year at an index departs from the years of a level (indices)."""


def covered_years(
    cells: pd.DataFrame, first: int | None, last: int | None, s: ProfileSettings
) -> range:
    """Return the April-years that the records cover.

    Args:
        cells: Frame ``table, unit, period, n``.
        first: First year as far as the records say.
        last: Last year as far as they say.
        s: Says when a year counts as covered where they do not.
    """
    known = cells.dropna(subset=["period", "unit"])
    if known.empty:
        return range(0)
    units = known["unit"].nunique()
    by_year = known.groupby("period")["unit"].nunique()
    full = [int(year) for year in by_year.index[by_year >= s.covered_share * units]]
    low = first if first is not None else min(full, default=int(by_year.index.min()))
    high = last if last is not None else max(full, default=int(by_year.index.max()))
    return range(low, high + 1)


def missing_years(cells: pd.DataFrame, years: range, s: ProfileSettings) -> pd.DataFrame:
    """Find authorities without rows in a covered year, where they have many in others.

    Returns:
        Frame ``fault, table, column, unit, period, n, n_flagged``; ``n`` is the median of the
        authority's other years.
    """
    rows: list[dict[str, Any]] = []
    for (table, unit), counts in _series(cells, years):
        filled = counts[counts > 0]
        usual = float(np.median(filled)) if len(filled) else 0.0
        if usual >= s.missing_from:
            rows += [
                _row(MISSING_YEAR, table, "", unit, years[i], usual)
                for i in np.flatnonzero(counts == 0)
            ]
    return _frame(rows)


def breaks_in_numbers(cells: pd.DataFrame, years: range, s: ProfileSettings) -> pd.DataFrame:
    """Find years in which the number of rows of an authority jumps; frame as above."""
    rows: list[dict[str, Any]] = []
    for table, part in cells[cells["table"].isin(SERIES)].groupby("table"):
        shared = _shared_change(part, years)
        for (_, unit), counts in _series(part, years):
            adjusted = counts / shared
            departs = _by_ratio(counts, adjusted, s)
            rows += [
                _row(BREAK, str(table), "", unit, years[i], counts[i])
                for i in _breaks(np.flatnonzero(counts > 0), departs, s)
            ]
    return _frame(rows)


def breaks_in_filling(filled: pd.DataFrame, years: range, s: ProfileSettings) -> pd.DataFrame:
    """Find years in which the share of filled values of a column jumps; frame as above."""
    rows: list[dict[str, Any]] = []
    inside = filled[filled["period"].isin(list(years))].dropna(subset=["unit"])
    for (table, column), part in inside.groupby(["table", "column"]):
        total = part.groupby("period")[["n", "n_filled"]].sum()
        shared = (total["n_filled"] / total["n"]).reindex(list(years)).to_numpy(dtype=float)
        for unit, own in part.groupby("unit"):
            own = own.set_index("period").reindex(list(years))
            n = own["n"].fillna(0).to_numpy(dtype=float)
            share = own["n_filled"].to_numpy(dtype=float) / np.where(n > 0, n, np.nan) - shared
            departs = _by_share(n, share, s)
            enough = np.flatnonzero(n >= s.break_rows)
            rows += [
                _row(BREAK, str(table), str(column), str(unit), years[i], n[i])
                for i in _breaks(enough, departs, s)
            ]
    return _frame(rows)


def _breaks(known: npt.NDArray[np.intp], departs: Departs, s: ProfileSettings) -> list[int]:
    """Walk through the years of a series and return those in which it breaks."""
    found: list[int] = []
    level: list[int] = []
    order = [int(i) for i in known]
    for place, year in enumerate(order):
        if not level or not departs(year, np.array(level)):
            level = [*level, year][-s.break_years :]
            continue
        found.append(year)
        following = order[place + 1 : place + 2]
        back = following and not departs(following[0], np.array(level))
        if following and not back:
            level = [year]
    return found


def _by_ratio(counts: Floats, adjusted: Floats, s: ProfileSettings) -> Departs:
    def departs(year: int, level: Floats) -> bool:
        before = float(np.median(adjusted[level]))
        now = adjusted[year]
        if min(before, now) <= 0 or max(counts[year], np.median(counts[level])) < s.break_rows:
            return False
        change = abs(np.log(now / before))
        error = np.sqrt(1 / counts[year] + 1 / counts[level].sum())
        return bool(change > np.log(s.break_ratio) and change > s.break_errors * error)

    return departs


def _by_share(n: Floats, share: Floats, s: ProfileSettings) -> Departs:
    def departs(year: int, level: Floats) -> bool:
        error = 0.5 * np.sqrt(1 / n[year] + 1 / n[level].sum())
        change = abs(share[year] - float(np.median(share[level])))
        return bool(change > s.break_filled and change > s.break_errors * error)

    return departs


def _shared_change(part: pd.DataFrame, years: range) -> Floats:
    """Return, year by year, the level that authorities share: the median of their relative size."""
    wide = part.pivot_table(index="unit", columns="period", values="n", aggfunc="sum")
    wide = wide.reindex(columns=list(years)).astype(float)
    relative = wide.div(wide.median(axis=1), axis=0)
    shared = relative.median(axis=0).to_numpy(dtype=float)
    return np.where(np.isfinite(shared) & (shared > 0), shared, 1.0)


def _series(cells: pd.DataFrame, years: range) -> list[tuple[tuple[str, str], Floats]]:
    inside = cells[cells["table"].isin(SERIES)].dropna(subset=["unit", "period"])
    inside = inside[inside["period"].isin(list(years))]
    found = []
    for (table, unit), part in inside.groupby(["table", "unit"]):
        counts = part.groupby("period")["n"].sum().reindex(list(years)).fillna(0)
        found.append(((str(table), str(unit)), counts.to_numpy(dtype=float)))
    return found


def _row(fault: str, table: str, column: str, unit: str, period: int, n: float) -> dict[str, Any]:
    values = {"fault": fault, "table": table, "column": column, "unit": unit}
    return {**values, "period": period, "n": round(n), "n_flagged": 1}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(FAULT_COLUMNS))
