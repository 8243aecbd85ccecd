"""Series of yearly figures by authority: years that are missing, and years that jump.

A year breaks its series when it departs from the level of the years before by more than a ratio and
by more than chance. What all authorities share in that year (a new return, a national trend) is
taken out first. A year that departs from a level to which the next one returns is a break of its
own; when the next one stays, a new level begins and is told once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_plugins.profile.counts import FAULT_COLUMNS
from sos_plugins.profile.looked_for import LOOKED_FOR
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
    for table, part in _series(cells, years):
        units, counts = _matrix(part, "n", years)
        for unit, own in zip(units, counts, strict=True):
            usual = float(np.median(own[own > 0])) if (own > 0).any() else 0.0
            if usual >= s.missing_from:
                rows += [
                    _row(MISSING_YEAR, table, "", unit, years[i], usual)
                    for i in np.flatnonzero(own == 0)
                ]
    return _frame(rows)


def breaks_in_numbers(cells: pd.DataFrame, years: range, s: ProfileSettings) -> pd.DataFrame:
    """Find years in which the number of rows of an authority jumps; frame as above."""
    rows: list[dict[str, Any]] = []
    for table, part in _series(cells, years):
        units, counts = _matrix(part, "n", years)
        adjusted = counts / _shared_change(counts)
        for unit, own, level in zip(units, counts, adjusted, strict=True):
            known = own > 0
            if not known.any() or level[known].max() <= s.break_ratio * level[known].min():
                continue  # no two years are far enough apart
            departs = _by_ratio(own, level, s)
            rows += [
                _row(BREAK, table, "", unit, years[i], own[i])
                for i in _breaks(np.flatnonzero(known), departs, s)
            ]
    return _frame(rows)


def breaks_in_filling(filled: pd.DataFrame, years: range, s: ProfileSettings) -> pd.DataFrame:
    """Find years in which the share of filled values of a column jumps; frame as above."""
    rows: list[dict[str, Any]] = []
    for (table, column), part in _inside(filled, years).groupby(["table", "column"]):
        units, counts = _matrix(part, "n", years)
        _, values = _matrix(part, "n_filled", years)
        shares = _less_the_usual(values, counts, s)
        for unit, own, share in zip(units, counts, shares, strict=True):
            known = own >= s.break_rows
            if not known.any() or np.ptp(share[known]) <= s.break_filled:
                continue  # no two years are far enough apart
            departs = _by_share(own, share, s)
            rows += [
                _row(BREAK, str(table), str(column), unit, years[i], own[i])
                for i in _breaks(np.flatnonzero(known), departs, s)
            ]
    return _frame(rows)


def _breaks(known: npt.NDArray[np.intp], departs: Departs, s: ProfileSettings) -> list[int]:
    """Walk through the years of a series and return those in which it breaks."""
    years_of_break: list[int] = []
    level: list[int] = []
    order = [int(i) for i in known]
    for place, year in enumerate(order):
        if not level or not departs(year, np.array(level)):
            level = [*level, year][-s.break_years :]
            continue
        years_of_break.append(year)
        following = order[place + 1 : place + 2]
        back = following and not departs(following[0], np.array(level))
        if following and not back:
            level = [year]
    return years_of_break


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


def _shared_change(counts: Floats) -> Floats:
    """Return, year by year, the level that authorities share: the median of their relative size.

    Args:
        counts: Rows, authorities x years; 0 where an authority has none.
    """
    known = np.where(counts > 0, counts, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a year or an authority without rows
        relative = known / np.nanmedian(known, axis=1, keepdims=True)
        shared = np.nanmedian(relative, axis=0)
    return np.where(np.isfinite(shared) & (shared > 0), shared, 1.0)


def _less_the_usual(values: Floats, counts: Floats, s: ProfileSettings) -> Floats:
    """Return the filled shares of authorities less the median of those with enough rows."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a year in which none has enough
        shares = values / counts
        usual = np.nanmedian(np.where(counts >= s.break_rows, shares, np.nan), axis=0)
    less: Floats = shares - np.nan_to_num(usual)
    return less


def _series(cells: pd.DataFrame, years: range) -> list[tuple[str, pd.DataFrame]]:
    inside = _inside(cells, years)
    counted = [name for name, about in LOOKED_FOR.items() if about.series]
    parts = inside[inside["table"].isin(counted)].groupby("table")
    return [(str(table), part) for table, part in parts]


def _inside(frame: pd.DataFrame, years: range) -> pd.DataFrame:
    known = frame.dropna(subset=["unit", "period"])
    return known[known["period"].isin(list(years))]


def _matrix(part: pd.DataFrame, value: str, years: range) -> tuple[list[str], Floats]:
    """Lay out a figure by authority and year, 0 where there is none."""
    row, units = pd.factorize(part["unit"], sort=True)
    sums = np.zeros((len(units), len(years)))
    column = part["period"].to_numpy(dtype=np.int64) - years.start
    np.add.at(sums, (row, column), part[value].to_numpy(dtype=float))
    return [str(unit) for unit in units], sums


def _row(fault: str, table: str, column: str, unit: str, period: int, n: float) -> dict[str, Any]:
    values = {"fault": fault, "table": table, "column": column, "unit": unit}
    return {**values, "period": period, "n": round(n), "n_flagged": 1}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(FAULT_COLUMNS))
