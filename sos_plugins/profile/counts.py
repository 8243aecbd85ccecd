"""One pass over a record table: what is filled and which rows are at fault, by unit and year."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

import ibis
import pandas as pd

from sos_plugins.contract.record_tables import AHEAD, BIRTH, EVENT, RECORD_TABLES
from sos_plugins.contract.rules import RecordRule
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records
from sos_plugins.profile.looked_for import LOOKED_FOR
from sos_plugins.profile.rule_checks import PERIOD, Judged, check_rules
from sos_plugins.profile.settings import ProfileSettings

IMPOSSIBLE = "impossible-date"
MISSING = "missing"
BACKWARDS = "out-of-order"


@dataclass(frozen=True)
class Counted:
    """What one pass over a table found.

    Attributes:
        cells: Frame ``table, unit, period, n, n_faulty``: rows, and those with any fault.
        filled: Frame ``table, column, unit, period, n, n_filled``.
        faults: Frame ``fault, table, column, unit, period, n, n_flagged``, found ones only.
        rules: Every rule that was judged.
        left_out: Rules that need a table the records do not have.
    """

    cells: pd.DataFrame
    filled: pd.DataFrame
    faults: pd.DataFrame
    rules: tuple[RecordRule, ...]
    left_out: tuple[RecordRule, ...]


def count_rows(
    records: Records,
    name: str,
    rules: Sequence[RecordRule],
    settings: ProfileSettings,
    session: Session,
) -> Counted:
    """Count a table's rows, filled values and faults in one aggregate query."""
    own = general_rules(records, name, settings)
    checked = check_rules(records, name, [*own, *rules], session)
    wide = _aggregate(checked, _columns(records, name))
    counted = _unfold(wide, name, checked)
    if LOOKED_FOR[name].variable:
        return replace(counted, filled=_by_variable(checked.table, name))
    return counted


def general_rules(records: Records, name: str, settings: ProfileSettings) -> list[RecordRule]:
    """Return the rules that hold for every source: possible dates, and what is always filled.

    A column that the source never fills is not given, and so not missing row by row.
    """
    about, filled = RECORD_TABLES[name], LOOKED_FOR[name].filled
    bounds = _bounds(records, settings)
    given = _given(records.table(name), list(filled))
    rules = [
        RecordRule(
            IMPOSSIBLE,
            f"{column} of {name} lies outside what is possible.",
            name,
            (column,),
            _outside(column, *bounds[sort]),
        )
        for column, sort in about.sorts.items()
    ]
    rules += [
        RecordRule(
            f"{MISSING}:{column}",
            f"{column} of {name} is not filled.",
            name,
            (column,),
            _empty(column, expected),
        )
        for column, expected in filled.items()
        if column in given
    ]
    if "end_date" in about.sorts and name == "protection_plans":
        rules.append(
            RecordRule(
                BACKWARDS,
                "The plan ends before it starts.",
                name,
                ("end_date", "start_date"),
                lambda t: t["end_date"] < t["start_date"],
            )
        )
    return rules


def _given(table: ibis.Table, columns: Sequence[str]) -> list[str]:
    """Return those columns that the source fills at all."""
    if not columns:
        return []
    n_filled = table.aggregate(**{c: table[c].count() for c in columns}).to_pandas().iloc[0]
    return [column for column in columns if n_filled[column] > 0]


def _bounds(records: Records, s: ProfileSettings) -> dict[str, tuple[dt.date, dt.date | None]]:
    """Return the first and last possible day of each sort of date."""
    end = records.end
    last = None if end is None else end + dt.timedelta(days=s.days_after)
    ahead = None if end is None else end + dt.timedelta(days=s.days_ahead)
    return {
        EVENT: (s.earliest_event, last),
        BIRTH: (s.earliest_birth, last),
        AHEAD: (s.earliest_birth, ahead),
    }


def _outside(column: str, low: dt.date, high: dt.date | None) -> Any:
    def outside(table: ibis.Table) -> Any:
        early = table[column] < ibis.date(low)
        return early if high is None else early | (table[column] > ibis.date(high))

    return outside


def _empty(column: str, expected: Any) -> Any:
    def empty(table: ibis.Table) -> Any:
        gone = table[column].isnull()
        return gone if expected is None else gone & expected(table)

    return empty


def _columns(records: Records, name: str) -> list[str]:
    return [column for column in records.table(name).columns if column != "unit"]


def _aggregate(checked: Judged, columns: Sequence[str]) -> pd.DataFrame:
    table = checked.table
    counts: dict[str, Any] = {"n": table.count()}
    counts |= {f"filled_{c}": table[c].count() for c in columns}
    counts |= {f"n{c}": table[c].cast("int64").sum() for c in checked.rules}
    if checked.rules:
        at_fault = reduce(or_, (table[c] for c in checked.rules))
        counts["n_faulty"] = at_fault.cast("int64").sum()
    grouped = table.group_by(unit=table["unit"], period=table[PERIOD]).aggregate(**counts)
    frame: pd.DataFrame = grouped.to_pandas()
    frame["period"] = frame["period"].astype("Int64")
    if not checked.rules:
        frame["n_faulty"] = 0
    whole = [str(column) for column in frame if column not in ("unit", "period")]
    frame[whole] = frame[whole].fillna(0).astype("int64")
    return frame.sort_values(["unit", "period"], ignore_index=True)


def _by_variable(table: ibis.Table, name: str) -> pd.DataFrame:
    """Count values by what they are, for tables that hold several variables below each other."""
    variable = table[LOOKED_FOR[name].variable]
    keys = {"unit": table["unit"], "period": table[PERIOD], "column": variable}
    counted = table.group_by(**keys).aggregate(n=table.count(), n_filled=table["value"].count())
    frame: pd.DataFrame = counted.to_pandas().assign(table=name)
    frame["period"] = frame["period"].astype("Int64")
    return frame.sort_values(["column", "unit", "period"], ignore_index=True)


def _unfold(wide: pd.DataFrame, name: str, checked: Judged) -> Counted:
    base = wide[["unit", "period", "n"]].assign(table=name)
    cells = base.assign(n_faulty=wide["n_faulty"])
    filled = [
        base.assign(column=c.removeprefix("filled_"), n_filled=wide[c])
        for c in map(str, wide)
        if c.startswith("filled_")
    ]
    faults = [
        part for c, rule in checked.rules.items() if len(part := _faults(base, wide[f"n{c}"], rule))
    ]
    return Counted(
        cells=cells,
        filled=pd.concat(filled, ignore_index=True),
        faults=pd.concat(faults, ignore_index=True) if faults else empty_faults(),
        rules=tuple(checked.rules.values()),
        left_out=checked.left_out,
    )


FAULT_COLUMNS = ("fault", "table", "column", "unit", "period", "n", "n_flagged")


def empty_faults() -> pd.DataFrame:
    """Return a frame of no faults."""
    return pd.DataFrame(columns=list(FAULT_COLUMNS))


def _faults(base: pd.DataFrame, flagged: pd.Series[int], rule: RecordRule) -> pd.DataFrame:
    flags = base.assign(fault=rule.name, column=rule.column, n_flagged=flagged)
    return flags.loc[flags["n_flagged"] > 0, list(FAULT_COLUMNS)]
