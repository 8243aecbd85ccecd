"""Records as they were known on an earlier day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ibis

from sos_plugins.contract.types import Records

BEGINS: Mapping[str, str] = {
    "referrals": "referral_date",
    "assessments": "start_date",
    "section47s": "start_date",
    "protection_plans": "start_date",
    "episodes": "start_date",
}
"""Date with which a row of a table of events comes into the records."""

LEARNT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "referrals": {"closure_date": ("closure_date", "closure_reason"), "icpc_date": ("icpc_date",)},
    "assessments": {"authorised_date": ("authorised_date",)},
    "section47s": {"icpc_date": ("icpc_date",)},
    "protection_plans": {"end_date": ("end_date",)},
    "episodes": {"end_date": ("end_date", "reason_end")},
}
"""Dates that are written into a row later, and the columns that are known from then on."""


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
    begins = BEGINS.get(name)
    if begins is None or begins not in table.columns:
        return table
    later = {date: (table[date] > day).fill_null(False) for date in LEARNT[name]}
    known: dict[str, Any] = {
        column: ibis.ifelse(later[date], ibis.null(table[column].type()), table[column])
        for date, columns in LEARNT[name].items()
        for column in columns
    }
    begun = (table[begins] <= day).fill_null(True)
    return table.filter(begun).mutate(**known)
