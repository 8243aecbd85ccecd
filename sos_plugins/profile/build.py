"""The whole profile of records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.contract.rules import RecordRule
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records
from sos_plugins.groundwork.own_names import OwnNames
from sos_plugins.profile.cells import trust_cells
from sos_plugins.profile.counts import Counted, count_rows, empty_faults
from sos_plugins.profile.looked_for import LOOKED_FOR
from sos_plugins.profile.record_profile import RecordProfile, rule_table
from sos_plugins.profile.repeats import count_repeats
from sos_plugins.profile.rule_checks import PERIOD, RULE
from sos_plugins.profile.series import (
    breaks_in_filling,
    breaks_in_numbers,
    covered_years,
    missing_years,
)
from sos_plugins.profile.settings import ProfileSettings

FIRST_MONTH = 4


def profile_records(
    records: Records,
    rules: Sequence[RecordRule],
    session: Session,
    settings: ProfileSettings | None = None,
) -> RecordProfile:
    """Profile records, table by table: one aggregate query each, one more for repeats.

    Args:
        records: The records; tables that no profile knows are passed over.
        rules: Rules on record tables; those on tables that are not there are passed over.
        session: Where what rules look up is put.
        settings: Cut-offs; the defaults unless given.
    """
    settings = settings or ProfileSettings()
    records, own_names = _out_of_the_way(records)
    names = [name for name in records.tables if name in LOOKED_FOR]
    counted = []
    repeats = []
    with session.progress.step("Profiling records", len(names)) as advance:
        for name in names:
            counted.append(count_rows(records, name, rules, settings, session))
            repeats.append(_with_n(count_repeats(records, name, session), counted[-1]))
            advance()
    cells = _stack([c.cells for c in counted], ("table", "unit", "period", "n", "n_faulty"))
    filled = _stack(
        [c.filled for c in counted], ("table", "column", "unit", "period", "n", "n_filled")
    )
    years = covered_years(cells, _year(records.start), _year(records.end), settings)
    series = _joined(
        missing_years(_by_return(records, cells), years, settings),
        breaks_in_numbers(cells, years, settings),
        breaks_in_filling(filled, years, settings),
    )
    faults = _joined(*(c.faults for c in counted), *repeats, series)
    profile = RecordProfile(
        completeness=filled,
        faults=faults,
        cells=trust_cells(cells, faults, records.quality.checks, years),
        rows=cells,
        rules=rule_table(counted),
        first_year=years.start if len(years) else None,
        last_year=years.stop - 1 if len(years) else None,
        settings=settings.model_dump(mode="json"),
    )
    return own_names.show(profile) if own_names.own else profile


def _out_of_the_way(records: Records) -> tuple[Records, OwnNames]:
    """Hide the further columns of cases that have the name of one that a profile makes."""
    if "cases" not in records.tables:
        return records, OwnNames(())
    table = records.table("cases")
    clash = [c for c in table.columns if c.lower() == PERIOD or c.lower().startswith(RULE)]
    own_names = OwnNames(tuple(clash))
    renamed = table.rename(dict(zip(own_names.hide(clash), clash, strict=True)))
    return replace(records, tables={**records.tables, "cases": renamed}), own_names


def _by_return(records: Records, cells: pd.DataFrame) -> pd.DataFrame:
    """Count rows by the return they come from, where a table tells, instead of by their date."""
    parts = [cells]
    for name, about in RECORD_TABLES.items():
        if not about.version or name not in records.tables:
            continue
        table = records.table(name)
        counted = table.group_by(unit=table["unit"], period=table[about.version])
        told = counted.aggregate(n=table.count()).to_pandas().assign(table=name, n_faulty=0)
        if told["period"].notna().any():
            parts = [part[part["table"] != name] for part in parts] + [told]
    return _stack(parts, ("table", "unit", "period", "n"))


def _year(day: dt.date | None) -> int | None:
    return None if day is None else day.year - (day.month < FIRST_MONTH)


def _with_n(repeats: pd.DataFrame, counted: Counted) -> pd.DataFrame:
    """Fill in how many rows were looked at."""
    if repeats.empty:
        return repeats
    n = counted.cells[["unit", "period", "n"]]
    return repeats.drop(columns="n").merge(n, on=["unit", "period"], how="left")[
        list(empty_faults().columns)
    ]


def _stack(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(filled, ignore_index=True)[list(columns)]


def _joined(*frames: pd.DataFrame) -> pd.DataFrame:
    return _stack(list(_typed(frames)), tuple(empty_faults().columns))


def _typed(frames: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
    for frame in frames:
        if len(frame):
            yield frame.astype({"period": "Int64", "n": "int64", "n_flagged": "int64"})
