"""From the text of census returns to record tables: types, one row a thing, faults counted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import EXAMPLE_COLUMNS, QualityProfile
from sos_plugins.tables.row_accounts import account
from sos_sources import codes
from sos_sources.cin.rows import BETWEEN, EXTRA, TEXT
from sos_sources.cin.staging import Workspace
from sos_sources.cin.xml import RawReturn
from sos_sources.extra_columns import ExtraColumn, Extras, with_extras
from sos_sources.sql.merging import Merge, merge
from sos_sources.sql.sql_checks import SqlCheck, profile
from sos_sources.sql.sql_columns import (
    SqlColumn,
    coded,
    date,
    iso_date,
    mapped,
    missing,
    out_of_order,
    quoted,
    whole,
    yes_no,
)

SOURCE = "cin-census"
ROW_BITS = 40
"""Bits of ``ord`` that number the rows of one file; the bits above number the files."""
PRESENT = "{0} IS NOT NULL"


@dataclass(frozen=True)
class Bounds:
    """Between which dates an entry is possible.

    Attributes:
        earliest_event: First day on which something can have happened.
        earliest_birth: First day on which a child of these records can be born.
        days_after_return: How long after the last day of its return's year an event may lie.
        days_expected: The same for what is yet to come: an expected birth, a conference target.
    """

    earliest_event: dt.date
    earliest_birth: dt.date
    days_after_return: int
    days_expected: int


@dataclass(frozen=True)
class Return:
    """One census return: number and name of its file, authority, April-year, what was found."""

    number: int
    file: str
    unit: str
    year: int
    raw: RawReturn


@dataclass(frozen=True)
class LostRows:
    """A file of which nothing could be read, not even whose it is."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Tables:
    """The record tables on the session's backend, how many referrals, and what was wrong."""

    tables: Mapping[str, ibis.Table]
    n_referrals: int
    quality: QualityProfile


def build(
    space: Workspace,
    returns: Sequence[Return],
    bounds: Bounds,
    *,
    examples: int,
    lost: Sequence[LostRows] = (),
    asked: Sequence[ExtraColumn] = (),
    extras: Extras = MappingProxyType({}),
) -> Tables:
    """Build the record tables of :data:`sos_plugins.contract.record_tables.TABLES` from returns.

    Args:
        space: Holds the rows of the returns.
        returns: The returns; where two tell of the same thing the later year wins, and within a
            year the later place in this sequence.
        bounds: What dates are possible.
        examples: How many examples a check gives at most.
        lost: Files that gave nothing, to be counted.
        asked: Further columns in the order in which their texts were read.
        extras: Those of each table.
    """
    con = space.con
    ordered = sorted(returns, key=lambda r: r.year)
    _number(con, ordered)
    quality = _coverage(con, ordered, examples) + _oddities(ordered, lost, examples)
    con.execute(_NAMELESS)
    columns = _columns(bounds)
    given: dict[str, ibis.Table] = {}
    for known in _MERGES:
        table = known.table
        further = extras.get(table, ())
        plan = with_extras(known, further)
        typed = (*columns[table], *(_further(one, asked) for one in further))
        con.execute(_typed(table, typed, bounds))
        con.execute(f"DROP TABLE {table}_raw")
        checks = tuple(check for column in columns[table] for check in column.checks)
        checks += _ROW_CHECKS[table]
        quality += profile(con, f"{table}_typed", checks, source=SOURCE, examples=examples)
        quality += merge(con, plan, source=SOURCE, examples=examples)
        for done in ("typed", "again", "repeated"):
            con.execute(f"DROP TABLE {table}_{done}")
        n_given = con.execute(f"SELECT count(*) FROM {table}_merged").fetchone()[0]
        n_read = sum(one.raw.n_rows[table] for one in ordered)
        quality += account(quality, source=SOURCE, table=table, n_read=n_read, n_given=n_given)
        given[table] = _final(space, plan, further)
        if table != "referrals":
            con.execute(f"DROP TABLE {table}_merged")
    n_referrals = con.execute("SELECT count(*) FROM referrals_merged").fetchone()[0]
    return Tables(given, n_referrals, quality)


def _number(con: Any, returns: Sequence[Return]) -> None:
    """Put a table of the files on the connection; ``place`` orders them by year."""
    files = pa.table(
        {
            "file_no": pa.array([r.number for r in returns], pa.int64()),
            "place": pa.array(range(len(returns)), pa.int64()),
            "file": pa.array([r.file for r in returns], pa.string()),
            "unit": pa.array([r.unit for r in returns], pa.string()),
            "period": pa.array([r.year for r in returns], pa.int64()),
            "last_day": pa.array([dt.date(r.year + 1, 3, 31) for r in returns], pa.date32()),
        }
    )
    con.register("files_here", files)
    # One of a few names a row: as text they would be most of what a row takes.
    con.execute(
        "CREATE TYPE file_name AS ENUM (SELECT DISTINCT file FROM files_here ORDER BY file)"
    )
    con.execute("CREATE TABLE files AS SELECT * REPLACE (file::file_name AS file) FROM files_here")
    con.unregister("files_here")


def _columns(bounds: Bounds) -> dict[str, tuple[SqlColumn, ...]]:
    """Return the typed columns of each table; the children and referrals come first."""

    def event(table: str, name: str, raw: str, days: int = bounds.days_after_return) -> SqlColumn:
        low, high = f"DATE '{bounds.earliest_event}'", f"last_day + {days}"
        return date(table, name, _given(raw), _read(raw), low=low, high=high)

    birth_low = f"DATE '{bounds.earliest_birth}'"
    birth_high = f"last_day + {bounds.days_after_return}"
    sexes = {key: value and quoted(value) for key, value in codes.SEX.items()}
    return {
        "children": (
            date(
                "children",
                "birth_date",
                _given("birth"),
                _read("birth"),
                low=birth_low,
                high=birth_high,
            ),
            event("children", "expected_birth_date", "expected", bounds.days_expected),
            mapped("children", "sex", "r.sex", sexes),
            coded("children", "ethnicity", "r.ethnicity", codes.ETHNICITY),
            _disability(),
        ),
        "referrals": (
            event("referrals", "referral_date", "referral"),
            coded("referrals", "referral_source", "r.source", codes.REFERRAL_SOURCE),
            coded("referrals", "primary_need", "r.need", codes.PRIMARY_NEED),
            yes_no("referrals", "nfa", "r.nfa"),
            event("referrals", "closure_date", "closure"),
            coded("referrals", "closure_reason", "r.reason", codes.CLOSURE_REASON),
            event("referrals", "icpc_date", "icpc"),
        ),
        "assessments": (
            event("assessments", "start_date", "start"),
            event("assessments", "review_date", "review", bounds.days_expected),
            event("assessments", "authorised_date", "authorised"),
        ),
        "section47s": (
            event("section47s", "start_date", "start"),
            event("section47s", "icpc_target_date", "target", bounds.days_expected),
            event("section47s", "icpc_date", "icpc"),
            yes_no("section47s", "icpc_not_required", "r.not_required"),
        ),
        "protection_plans": (
            event("protection_plans", "start_date", "start"),
            event("protection_plans", "end_date", "end"),
            coded("protection_plans", "initial_category", "r.initial", codes.ABUSE_CATEGORY),
            coded("protection_plans", "latest_category", "r.latest", codes.ABUSE_CATEGORY),
            whole("protection_plans", "n_previous", "r.previous"),
        ),
    }


def _read(raw: str) -> str:
    """Return SQL of a date: read with the file, or out of its text."""
    return f"coalesce(r.{raw}, {iso_date(f'r.{raw}{TEXT}')})"


def _given(raw: str) -> str:
    """Return SQL of the text of a date, empty where the date was read with the file."""
    return f"CASE WHEN r.{raw} IS NULL THEN r.{raw}{TEXT} ELSE '' END"


def _disability() -> SqlColumn:
    known = ", ".join(quoted(c) for c in sorted(codes.DISABILITY))
    return SqlColumn(
        "disabled",
        (
            "string_split(upper(r.disabilities), ',') AS disabled__codes",
            f"NOT list_has_all(['{codes.NO_DISABILITY}'], disabled__codes) AS disabled",
        ),
        (
            SqlCheck(
                "children",
                "disabled",
                "unknown-code",
                f"NOT list_has_all([{known}], disabled__codes)",
                "kept",
                PRESENT.format("disabled"),
            ),
        ),
    )


_NAMELESS = (
    "CREATE TABLE nameless AS SELECT file_no, child_no, concat('no-id-', f.period, '-', "
    "row_number() OVER (PARTITION BY f.unit, f.period ORDER BY f.place, r.row_no)) AS child "
    "FROM children_raw r JOIN files f USING (file_no) WHERE r.id IS NULL"
)
"""Identifiers for children who have none."""


def _typed(table: str, columns: Sequence[SqlColumn], bounds: Bounds) -> str:
    """Return SQL that makes ``<table>_typed``: keys, typed columns and flags."""
    own = "r.id" if table == "children" else "r.child"
    head = [
        "f.unit",
        "f.period",
        "f.file",
        "f.last_day",
        "r.line",
        f"(f.place << {ROW_BITS}) + r.row_no AS ord",
        f"coalesce({own}, n.child) AS child",
    ]
    if table == "children":
        head.append("r.id IS NULL AS child__missing")
    elif table != "referrals":
        low, high = f"DATE '{bounds.earliest_event}'", f"last_day + {bounds.days_after_return}"
        head.append(f"{_read('referral')} AS referral__read")
        possible = f"referral__read BETWEEN {low} AND {high}"
        head.append(f"CASE WHEN {possible} THEN referral__read END AS referral_date")
    expressions = [e for column in columns for e in column.expressions]
    return (
        f"CREATE TABLE {table}_typed AS SELECT {', '.join([*head, *expressions])} "
        f"FROM {table}_raw r JOIN files f USING (file_no) "
        "LEFT JOIN nameless n USING (file_no, child_no)"
    )


def _further(one: ExtraColumn, asked: Sequence[ExtraColumn]) -> SqlColumn:
    """Return a further column: its text among those of all that were asked for."""
    place = list(asked).index(one) + 1
    return one.typed(f"nullif(string_split(r.{EXTRA}, chr({ord(BETWEEN)}))[{place}], '')")


def _final(space: Workspace, plan: Merge, further: Sequence[ExtraColumn]) -> ibis.Table:
    schema = TABLES[plan.table]
    extra = {"uasc": "CAST(NULL AS BOOLEAN) AS uasc", "return_year": "period AS return_year"}
    known = (extra.get(name, name) for name in schema.names)
    columns = ", ".join([*known, *(one.given for one in further)])
    return space.give(plan.table, columns, f"{plan.table}_merged", ", ".join(plan.key))


_ROW_CHECKS: dict[str, tuple[SqlCheck, ...]] = {
    "children": (SqlCheck("children", "child", "missing", "child__missing", "kept"),),
    "referrals": (missing("referrals", "referral_date", action="dropped"),),
    "assessments": (),
    "section47s": (),
    "protection_plans": (),
}


def _module_key(undated: str) -> dict[str, str]:
    """Return the key of what belongs to a referral: its start, or for want of it ``undated``."""
    return {
        "unit": "unit",
        "child": "child",
        "referral_date": "referral_date",
        "start_date": "start_date",
        "undated": f"CASE WHEN start_date IS NULL THEN {undated} END",
    }


_CHILD_KEY = {"unit": "unit", "child": "child"}
_STATED = ", ".join(quoted(c) for c in sorted(codes.ETHNICITY_NOT_STATED))
_MERGES = (
    Merge(
        "children",
        _CHILD_KEY,
        ("birth_date", "expected_birth_date", "sex", "ethnicity", "disabled"),
        order={"ethnicity": f"((ethnicity NOT IN ({_STATED}))::INT::HUGEINT << 64) + ord"},
        conflict={
            "ethnicity": f"CASE WHEN ethnicity NOT IN ({_STATED}) THEN ethnicity END",
            "expected_birth_date": "NULL::DATE",
            "disabled": "NULL::BOOLEAN",
        },
        checks=(
            missing("children", "birth_date", looked_at="expected_birth_date IS NULL"),
            missing("children", "sex", looked_at="birth_date IS NOT NULL"),
            missing("children", "ethnicity"),
            missing("children", "disabled"),
        ),
    ),
    Merge(
        "referrals",
        {**_CHILD_KEY, "referral_date": "referral_date"},
        ("referral_source", "primary_need", "nfa", "icpc_date"),
        together=("closure_date", "closure_reason"),
        where=PRESENT.format("referral_date"),
        checks=(
            missing("referrals", "referral_source"),
            missing("referrals", "primary_need"),
            missing("referrals", "nfa"),
            missing("referrals", "closure_reason", looked_at=PRESENT.format("closure_date")),
            missing("referrals", "closure_date", looked_at=PRESENT.format("closure_reason")),
            out_of_order("referrals", "closure_date", "referral_date"),
            out_of_order("referrals", "icpc_date", "referral_date"),
        ),
    ),
    Merge(
        "assessments",
        _module_key("coalesce(authorised_date, review_date)"),
        ("review_date", "authorised_date"),
        checks=(
            missing("assessments", "referral_date"),
            missing("assessments", "start_date"),
            missing("assessments", "authorised_date"),
            out_of_order("assessments", "authorised_date", "start_date"),
            out_of_order("assessments", "start_date", "referral_date"),
        ),
    ),
    Merge(
        "section47s",
        _module_key("coalesce(icpc_date, icpc_target_date)"),
        ("icpc_target_date", "icpc_date", "icpc_not_required"),
        checks=(
            missing("section47s", "referral_date"),
            missing("section47s", "start_date"),
            missing("section47s", "icpc_not_required"),
            out_of_order("section47s", "icpc_date", "start_date"),
        ),
    ),
    Merge(
        "protection_plans",
        _module_key("end_date"),
        ("end_date", "initial_category", "latest_category", "n_previous"),
        conflict={"latest_category": "NULL::VARCHAR"},
        checks=(
            missing("protection_plans", "referral_date"),
            missing("protection_plans", "start_date"),
            missing("protection_plans", "initial_category"),
            missing("protection_plans", "latest_category"),
            missing("protection_plans", "n_previous"),
            out_of_order("protection_plans", "end_date", "start_date"),
        ),
    ),
)


def _coverage(con: Any, returns: Sequence[Return], examples: int) -> QualityProfile:
    """Count authorities' years without a return, and with more than one."""
    years = range(min(r.year for r in returns), max(r.year for r in returns) + 1)
    con.register("years", pa.table({"period": pa.array(list(years), pa.int64())}))
    con.execute(
        "CREATE TABLE coverage AS "
        "SELECT u.unit, y.period, count(f.file) AS n_files, "
        "max(f.file) AS file, CAST(NULL AS BIGINT) AS line "
        "FROM (SELECT DISTINCT unit FROM files) u CROSS JOIN years y "
        "LEFT JOIN files f ON f.unit = u.unit AND f.period = y.period GROUP BY u.unit, y.period"
    )
    checks = (
        SqlCheck("returns", "", "missing-return", "n_files = 0"),
        SqlCheck("returns", "", "duplicate", "n_files > 1", "merged"),
        SqlCheck("returns", "LEA", "unknown-code", "NOT regexp_full_match(unit, '\\d{3}')"),
    )
    return profile(con, "coverage", checks, source=SOURCE, examples=examples)


def _oddities(returns: Sequence[Return], lost: Sequence[LostRows], examples: int) -> QualityProfile:
    """Return what the reader found besides rows: stray text, unknown elements, breaks."""
    actions = {"unreadable": "dropped", "unknown-element": "dropped", "conflict": "merged"}
    rows: list[dict[str, Any]] = []
    lines_shown: list[tuple[Any, ...]] = []
    for item in returns:
        base = {"source": SOURCE, "unit": item.unit, "period": item.year}
        for oddity, n in item.raw.oddities.items():
            column = (
                oddity.where if oddity.text == "stray text" else f"{oddity.where}/{oddity.text}"
            )
            label = {"table": "returns", "column": column, "check": oddity.check}
            counts = {"n": n, "n_flagged": n, "action": actions[oddity.check]}
            rows.append({**base, **label, **counts})
            lines = item.raw.lines[oddity][:examples]
            head = (SOURCE, "returns", column, oddity.check, item.unit, item.file)
            lines_shown += [(*head, line, oddity.text) for line in lines]
    broken = [
        (r.unit, r.year, r.file, r.raw.broken_line, r.raw.broken) for r in returns if r.raw.broken
    ] + [(None, None, one.file, one.line, one.reason) for one in lost]
    label = {"source": SOURCE, "table": "returns", "column": "file", "check": "unreadable"}
    for unit, year, file, line, reason in broken:
        where = {"unit": unit, "period": year}
        rows.append({**label, **where, "n": 1, "n_flagged": 1, "action": "dropped"})
        lines_shown.append((*label.values(), unit, file, line, reason))
    checks = QualityProfile.of(rows).checks.astype({"period": "Int64"})
    return QualityProfile(checks, pd.DataFrame(lines_shown, columns=list(EXAMPLE_COLUMNS)))
