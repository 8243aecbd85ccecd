"""Records as they were known on an earlier day."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import ibis

from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.contract.types import Records


def records_as_known(records: Records, day: dt.date) -> Records:
    """Return the records as returns made on a day would have had them.

    What begins later is not there, what ends later is open, and ``end`` is the day. Rows without a
    date stay; tables that have no events stay as they are.

    Args:
        records: The records as they are.
        day: The last day that the returns cover.
    """
    tables = {name: _as_known(name, table, day) for name, table in records.tables.items()}
    return replace(records, tables=tables, end=day)


def _as_known(name: str, table: ibis.Table, day: dt.date) -> ibis.Table:
    about = RECORD_TABLES[name]
    begins = about.dates[0] if about.dates else ""
    if begins not in table.columns:
        return table
    later = {date: (table[date] > day).fill_null(False) for date in about.learnt}
    known: dict[str, Any] = {
        column: ibis.ifelse(later[date], ibis.null(table[column].type()), table[column])
        for date, columns in about.learnt.items()
        for column in columns
    }
    begun = (table[begins] <= day).fill_null(True)
    return table.filter(begun).mutate(**known)
