"""How far each authority and year can be trusted: one cell each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sos_plugins.profile.repeats import DUPLICATE
from sos_plugins.profile.series import BREAK, MISSING_YEAR

DROPPED, EMPTIED = "dropped", "set to missing"
"""What sources do with what they cannot use."""
NO_FAULTS = ("recurrence", "out-of-scope", "suppressed", "line-break")
"""Checks of sources that say nothing against a row, or that the profile counts as missing."""
ROW_FAULTS_BESIDE = (DUPLICATE,)
CELL_COLUMNS = ("unit", "period", "n", "n_faulty", "share", "missing", "breaks")


def trust_cells(
    rows: pd.DataFrame, faults: pd.DataFrame, checks: pd.DataFrame, years: range
) -> pd.DataFrame:
    """Return one row an authority and covered year.

    Args:
        rows: Frame ``table, unit, period, n, n_faulty``.
        faults: Faults of :data:`sos_plugins.profile.counts.FAULT_COLUMNS`.
        checks: What the sources found while reading.
        years: The years that the records cover.

    Returns:
        Frame of :data:`CELL_COLUMNS`: rows of all tables, with those that the source dropped;
        those at fault, at most (the rows dropped, doubled or at fault, and the values emptied: a
        row with one of them may be at fault otherwise too, and count twice); their share; tables
        without rows in that year; breaks in series.
    """
    known = rows.dropna(subset=["unit", "period"])
    units = sorted(known["unit"].unique())
    index = pd.MultiIndex.from_product([units, list(years)], names=["unit", "period"])
    sums = known.astype({"period": int}).groupby(["unit", "period"])[["n", "n_faulty"]].sum()
    cells = sums.reindex(index, fill_value=0)
    dropped, emptied = (_handled(checks, action) for action in (DROPPED, EMPTIED))
    cells["n"] += dropped.reindex(index, fill_value=0)
    for beside in (dropped, emptied, _of(faults, ROW_FAULTS_BESIDE, "n_flagged")):
        cells["n_faulty"] += beside.reindex(index, fill_value=0)
    cells["n_faulty"] = cells[["n", "n_faulty"]].min(axis=1).astype("int64")
    cells["share"] = (cells["n_faulty"] / cells["n"].where(cells["n"] > 0)).astype(float)
    for name, fault in (("missing", MISSING_YEAR), ("breaks", BREAK)):
        cells[name] = (
            _of(faults, (fault,), "n_flagged").reindex(index, fill_value=0).astype("int64")
        )
    return cells.reset_index()[list(CELL_COLUMNS)]


def _of(faults: pd.DataFrame, names: Sequence[str], value: str) -> pd.Series[Any]:
    return _by_cell(faults[faults["fault"].isin(names)], value)


def _handled(checks: pd.DataFrame, action: str) -> pd.Series[Any]:
    """Count what sources did something about, by authority and year."""
    if checks.empty:
        return _by_cell(checks, "n_flagged")
    handled = (checks["action"] == action) & (checks["n_flagged"] > 0)
    return _by_cell(checks[handled & ~checks["check"].isin(NO_FAULTS)], "n_flagged")


def _by_cell(frame: pd.DataFrame, value: str) -> pd.Series[Any]:
    known = frame.dropna(subset=["unit", "period"])
    known = known.assign(unit=known["unit"].astype(str), period=known["period"].astype(int))
    return known.groupby(["unit", "period"])[value].sum().astype("int64")
