"""The record tables that sources write and outcomes read: columns, keys, dates.

Every table is an Ibis table on the session's backend. A source gives the tables it has; an outcome
names the tables and columns it needs. ``unit`` is the authority's three-digit code as text
(``"330"``), ``child`` the authority's own child identifier; the pair is unique to a child within
one authority. A missing value is null, never an empty text or a sentinel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

_T, _D, _B, _I, _F = pa.string(), pa.date32(), pa.bool_(), pa.int64(), pa.float64()
EVENT, BIRTH, AHEAD = "event", "birth", "ahead"
"""Sorts of date: something that has happened, a birth, and what may lie ahead of the data."""


@dataclass(frozen=True)
class RecordTable:
    """What a record table is.

    Attributes:
        columns: Their names and types.
        key: Columns that tell one thing from another.
        needed: Columns without which a row is no record.
        unique: Whether a source gives each key once.
        dates: Columns whose first known date places a row in a year; with the first of them a row
            of a table of events comes into the records.
        learnt: Dates that are written into a row later, and the columns known from then on.
        period: Column with the year, for tables without dates.
        version: Column that may differ between rows of the same thing without a repeat.
        sorts: Sort of each date column.
    """

    columns: pa.Schema
    key: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    unique: bool = False
    dates: tuple[str, ...] = ()
    learnt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    period: str = ""
    version: str = ""
    sorts: Mapping[str, str] = field(default_factory=dict)


RECORD_TABLES: dict[str, RecordTable] = {
    # One row a child.
    "children": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("birth_date", _D),  # null for an unborn child
                ("expected_birth_date", _D),
                ("sex", _T),  # "male", "female", "indeterminate" (9) or null (0, unknown)
                ("ethnicity", _T),  # the census code, upper case: WBRI, MWBC, ...
                ("disabled", _B),  # any disability code other than NONE; null if not recorded
                ("uasc", _B),  # unaccompanied asylum-seeking child; null if the source cannot say
            ]
        ),
        key=("unit", "child"),
        sorts={"birth_date": BIRTH, "expected_birth_date": AHEAD},
        needed=("unit", "child"),
        unique=True,
    ),
    # One row a referral (a CIN episode); unit + child + referral_date is unique.
    "referrals": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("referral_date", _D),
                ("referral_source", _T),
                ("primary_need", _T),  # N0-N9
                ("nfa", _B),  # closed with no further action at referral
                ("closure_date", _D),  # null: open at the end of the data
                ("closure_reason", _T),  # RC1-RC9
                ("icpc_date", _D),  # DateOfInitialCPC of the CINdetails module
                ("return_year", _I),  # April-year of the return the row was taken from
            ]
        ),
        dates=("referral_date",),
        key=("unit", "child", "referral_date"),
        version="return_year",
        sorts={"referral_date": EVENT, "closure_date": EVENT, "icpc_date": EVENT},
        needed=("unit", "child", "referral_date"),
        unique=True,
        learnt={"closure_date": ("closure_date", "closure_reason"), "icpc_date": ("icpc_date",)},
    ),
    "assessments": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("referral_date", _D),
                ("start_date", _D),
                ("review_date", _D),
                ("authorised_date", _D),
            ]
        ),
        dates=("start_date", "referral_date"),
        key=("unit", "child", "referral_date", "start_date"),
        sorts={"start_date": EVENT, "review_date": AHEAD, "authorised_date": EVENT},
        needed=("unit", "child"),
        learnt={"authorised_date": ("authorised_date",)},
    ),
    "section47s": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("referral_date", _D),
                ("start_date", _D),
                ("icpc_target_date", _D),
                ("icpc_date", _D),
                ("icpc_not_required", _B),
            ]
        ),
        dates=("start_date", "referral_date"),
        key=("unit", "child", "referral_date", "start_date"),
        sorts={"start_date": EVENT, "icpc_target_date": AHEAD, "icpc_date": EVENT},
        needed=("unit", "child"),
        learnt={"icpc_date": ("icpc_date",)},
    ),
    "protection_plans": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("referral_date", _D),
                ("start_date", _D),
                ("end_date", _D),
                ("initial_category", _T),
                ("latest_category", _T),
                ("n_previous", _I),
            ]
        ),
        dates=("start_date", "referral_date"),
        key=("unit", "child", "referral_date", "start_date"),
        sorts={"start_date": EVENT, "end_date": EVENT},
        needed=("unit", "child"),
        learnt={"end_date": ("end_date",)},
    ),
    # One row an episode of being looked after (SSDA903).
    "episodes": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("start_date", _D),  # DECOM
                ("reason_start", _T),  # RNE
                ("legal_status", _T),  # LS
                ("cin", _T),
                ("placement", _T),  # PLACE
                ("placement_provider", _T),
                ("end_date", _D),  # DEC
                ("reason_end", _T),  # REC
                ("period_of_care", _I),  # number within unit + child, 1 = first
            ]
        ),
        dates=("start_date",),
        key=("unit", "child", "start_date"),
        sorts={"start_date": EVENT, "end_date": EVENT},
        needed=("unit", "child", "start_date"),
        unique=True,
        learnt={"end_date": ("end_date", "reason_end")},
    ),
    # One row an order that deprives a child of liberty (SSDA903, returns from 2026-27 on).
    "deprivation_orders": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("child", _T),
                ("start_date", _D),  # DOLO_START
                ("end_date", _D),  # DOLO_END; null: in force at the end of its return
                ("return_year", _I),  # April-year of the last return that has the order
            ]
        ),
        dates=("start_date", "end_date"),
        key=("unit", "child", "start_date"),
        version="return_year",
        sorts={"start_date": EVENT, "end_date": EVENT},
        needed=("unit", "child"),
        learnt={"end_date": ("end_date",)},
    ),
    # Published statistics: one row an authority, year and measure.
    "published": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("unit_name", _T),
                ("period", _I),  # April-year: 2013 = April 2013 to March 2014
                ("measure", _T),
                ("value", _F),  # null when not published; see symbol
                ("denominator", _F),
                ("symbol", _T),  # z, x, c, low, k, u, ":" where the figure is a symbol; else null
            ]
        ),
        period="period",
        key=("unit", "period", "measure"),
        needed=("unit", "period", "measure"),
        unique=True,
    ),
    # Statistical neighbours of an authority: rank 1 is the nearest.
    "neighbours": RecordTable(
        columns=pa.schema(
            [
                ("unit", _T),
                ("neighbour", _T),
                ("rank", _I),
                ("closeness", _T),  # "very close", "close", "somewhat close", "not close"
            ]
        ),
        key=("unit", "neighbour"),
        needed=("unit", "neighbour"),
        unique=True,
    ),
    # A user's own table of cases; any further column is kept as a covariate.
    "cases": RecordTable(
        columns=pa.schema([("unit", _T), ("period", _I), ("value", _F)]),
        period="period",
        needed=("unit", "period"),
    ),
}
"""Every record table by its name."""

TABLES: dict[str, pa.Schema] = {name: table.columns for name, table in RECORD_TABLES.items()}
"""The columns of every record table, with their types."""

PUPIL_NUMBERS = ("UPN", "FormerUPN")
"""Further columns of ``children`` with unique pupil numbers, that of today and an earlier one. They
are the same in every authority, and sources read them only where they are asked to."""
