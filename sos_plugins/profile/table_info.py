"""What a profile has to know of each record table: its dates, its keys, what is always filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ibis

EVENT, BIRTH, AHEAD = "event", "birth", "ahead"
"""Sorts of date: something that has happened, a birth, and what may lie ahead of the data."""


@dataclass(frozen=True)
class TableInfo:
    """What is known of a record table.

    Attributes:
        dates: Columns whose first known date places a row in a year.
        period: Column with the year, for tables without dates.
        key: Columns that tell one thing from another.
        version: Column that may differ between rows of the same thing without a repeat.
        sorts: Sort of each date column.
        filled: Columns that are always filled, with the rows of which that is expected
            (None: all of them).
        conflicts: Name of the fault when rows of one key differ in a column.
        variable: Column that names what ``value`` is, in tables that hold several variables below
            each other.
    """

    dates: tuple[str, ...] = ()
    period: str = ""
    key: tuple[str, ...] = ()
    version: str = ""
    sorts: Mapping[str, str] = field(default_factory=dict)
    filled: Mapping[str, Callable[[ibis.Table], Any] | None] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    variable: str = ""


def _born(table: ibis.Table) -> Any:
    return table["expected_birth_date"].isnull()


def _in_need(table: ibis.Table) -> Any:
    return ~table["nfa"].fill_null(False)


BETWEEN_YEARS = "conflict-between-years"

FACTS: dict[str, TableInfo] = {
    "children": TableInfo(
        key=("unit", "child"),
        sorts={"birth_date": BIRTH, "expected_birth_date": AHEAD},
        filled={"birth_date": _born, "ethnicity": None},
        conflicts={
            "birth_date": "conflicting-birth-date",
            "sex": "conflicting-gender",
            "ethnicity": "conflicting-ethnicity",
        },
    ),
    "referrals": TableInfo(
        dates=("referral_date",),
        key=("unit", "child", "referral_date"),
        version="return_year",
        sorts={"referral_date": EVENT, "closure_date": EVENT, "icpc_date": EVENT},
        filled={
            "referral_date": None,
            "referral_source": None,
            "primary_need": _in_need,
            "nfa": None,
        },
        conflicts=dict.fromkeys(
            ("closure_date", "closure_reason", "primary_need", "nfa"), BETWEEN_YEARS
        ),
    ),
    "assessments": TableInfo(
        dates=("start_date", "referral_date"),
        key=("unit", "child", "referral_date", "start_date"),
        sorts={"start_date": EVENT, "review_date": AHEAD, "authorised_date": EVENT},
        filled={"start_date": None},
    ),
    "section47s": TableInfo(
        dates=("start_date", "referral_date"),
        key=("unit", "child", "referral_date", "start_date"),
        sorts={"start_date": EVENT, "icpc_target_date": AHEAD, "icpc_date": EVENT},
        filled={"start_date": None},
    ),
    "protection_plans": TableInfo(
        dates=("start_date", "referral_date"),
        key=("unit", "child", "referral_date", "start_date"),
        sorts={"start_date": EVENT, "end_date": EVENT},
        filled=dict.fromkeys(
            ("start_date", "initial_category", "latest_category", "n_previous"), None
        ),
    ),
    "episodes": TableInfo(
        dates=("start_date",),
        key=("unit", "child", "start_date"),
        sorts={"start_date": EVENT, "end_date": EVENT},
        filled=dict.fromkeys(
            ("start_date", "reason_start", "legal_status", "cin", "placement"), None
        ),
    ),
    "published": TableInfo(
        period="period",
        key=("unit", "period", "measure"),
        filled={"value": None},
        variable="measure",
    ),
    "cases": TableInfo(period="period", filled={"value": None}),
}
"""Tables that a profile looks at; ``neighbours`` is no record."""

SERIES = ("referrals", "assessments", "section47s", "protection_plans", "episodes")
"""Tables whose yearly numbers are looked at for breaks."""
