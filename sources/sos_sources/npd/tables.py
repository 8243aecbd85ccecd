"""From extracts of the National Pupil Database to record tables, contradictions reconciled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sos_plugins import Session
from sos_plugins.backends import scratch_database
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import EXAMPLE_COLUMNS, QualityProfile
from sos_plugins.errors import DataError
from sos_plugins.tables.csv_text import TextTable, read_text
from sos_plugins.tables.row_accounts import account
from sos_sources import codes
from sos_sources.npd.kinds import KINDS, Header, Kind
from sos_sources.sql.merging import Merge, merge
from sos_sources.sql.sql_checks import SqlCheck, code, form, line_breaks, profile
from sos_sources.sql.sql_columns import (
    SqlColumn,
    date,
    iso_date,
    listed,
    mapped,
    missing,
    out_of_order,
    quoted,
    uk_date,
    whole,
    yes_no,
)

SOURCE = "npd-extract"
ROW_BITS = 40
"""Bits of ``ord`` that number the rows of one file; the bits above number the files by year."""
UNREADABLE_SHARE = 0.5
"""A file of which more dates than this cannot be read is in another format, and is refused."""
USUAL_SHARE = 0.01
"""An April-year with fewer of a file's dates than this is not one that the file covers."""
SAS_DATE = r"\d{2}[A-Za-z]{3}\d{4}(:.*)?"
CONFLICTS = {
    "birth_date": "conflicting-birth-date",
    "sex": "conflicting-gender",
    "ethnicity": "conflicting-ethnicity",
}
"""What should be one value a child, and the check that counts several."""
UNKNOWN_REASONS = {"UNKN": "", "UNKNOWN": "", "UNKNOWNCLOSUREREASON": "", "NON": "", "NONE": ""}
UNMAPPED = {"UNMAPPEDNEEDCODE": ""}
UNIT_DIGITS = 3


@dataclass(frozen=True)
class Extract:
    """One file: the name shown, the file, what it holds and its header."""

    file: str
    path: Path
    kind: Kind
    header: Header


@dataclass(frozen=True)
class Rules:
    """By which rules files are read; see the settings of the source."""

    conflicting: str
    single_year_ends: bool
    spellings: Mapping[str, str]
    missing: tuple[str, ...]
    birth_day: int
    earliest_event: dt.date
    earliest_birth: dt.date
    days_after_return: int


@dataclass(frozen=True)
class Built:
    """The tables in Arrow, what was wrong, the April-years covered, a digest of each file."""

    tables: Mapping[str, pa.Table]
    quality: QualityProfile
    first_year: int
    last_year: int
    digests: tuple[str, ...]


def build(
    extracts: Sequence[Extract],
    rules: Rules,
    *,
    examples: int,
    advance: Callable[[], None],
    session: Session,
) -> Built:
    """Build record tables from extracts, one file in memory at a time.

    Args:
        extracts: The files.
        rules: How to read them.
        examples: How many places of a fault are listed.
        advance: Called after each file.
        session: What the work may take of memory and disk.

    Raises:
        DataError: If most dates of a file cannot be read, its year contradicts its dates, or no
            row is usable.
    """
    with scratch_database(session.backend) as con:
        con.execute("SET preserve_insertion_order TO false")
        for kind in KINDS:
            columns = ", ".join(f"{name} VARCHAR" for name in kind.columns)
            con.execute(
                f"CREATE TABLE {kind.name}_raw (file_no BIGINT, row_no BIGINT, line BIGINT, "
                f"{columns})"
            )
        quality, digests = QualityProfile(), []
        n_read = {kind.name: 0 for kind in KINDS}
        for number, extract in enumerate(extracts):
            text = read_text(extract.path)
            n_read[extract.kind.name] += text.n_rows + len(text.misfits)
            _load(con, extract, number, text, rules)
            quality += _misfits(extract, text, examples)
            quality += line_breaks(text, source=SOURCE, file=extract.file)
            digests.append(text.sha256)
            advance()
        _number(con, extracts, rules)
        for kind in KINDS:
            _typed(con, kind, rules)
            checks = _row_checks(kind, rules)
            quality += profile(con, f"{kind.name}_typed", checks, source=SOURCE, examples=examples)
        quality += _reconciled(con, rules, examples)
        for relation, sql in _DERIVED.items():
            con.execute(f"CREATE TABLE {relation} AS {sql}")
        quality += profile(con, *_FURTHER_PLANS, source=SOURCE, examples=examples)
        for plan in _MERGES:
            quality += merge(con, plan, source=SOURCE, examples=examples)
        quality += _accounts(con, n_read, quality)
        con.execute(_LINKED)
        con.execute(_CARE)
        given = {e.kind.name for e in extracts}
        tables = {name: _final(con, name) for name in _given_tables(given)}
        ((first, last),) = con.execute("SELECT min(first), max(last) FROM files").fetchall()
    if not any(table.num_rows for name, table in tables.items() if name != "children"):
        raise DataError(
            f"Of the rows of {', '.join(e.file for e in extracts)} none is usable: an authority, a "
            "child and a date that can be read are needed."
        )
    return Built(tables, quality, first, last, tuple(digests))


def _load(con: Any, extract: Extract, number: int, text: TextTable, rules: Rules) -> None:
    """Put the columns of one file on the connection, empty cells as null."""
    arrays = [
        pa.array([number] * text.n_rows, pa.int64()),
        pa.array(range(text.n_rows), pa.int64()),
        pa.array(text.line_numbers(), pa.int64()),
    ]
    chosen = []
    for name in extract.kind.columns:
        place = extract.kind.place(name, extract.header)
        empty = pa.nulls(text.n_rows, pa.string())
        arrays.append(empty if place is None else text.columns[place.number])
        chosen.append(f"CASE WHEN upper({name}) NOT IN {listed(rules.missing)} THEN {name} END")
    names = ["file_no", "row_no", "line", *extract.kind.columns]
    con.register("one_file", pa.table(arrays, names=names))
    con.execute(
        f"INSERT INTO {extract.kind.name}_raw SELECT file_no, row_no, line, {', '.join(chosen)} "
        "FROM one_file"
    )
    con.unregister("one_file")


def _any_date(raw: str) -> str:
    """Return SQL that reads 2009-03-31, 31/03/2009 and 31MAR2009, each with or without a time."""
    return (
        f"coalesce({iso_date(f'replace({raw}, chr(32), chr(84))')}, "
        f"{uk_date(f'split_part({raw}, chr(32), 1)')}, "
        f"CASE WHEN regexp_full_match({raw}, '{SAS_DATE}') "
        f"THEN CAST(try_strptime(left({raw}, 9), '%d%b%Y') AS DATE) END)"
    )


def _april_year(day: str) -> str:
    return f"(year({day}) - (month({day}) < 4)::INT)"


def _stated_year(rules: Rules) -> str:
    """Return SQL for the April-year in ``r.year``: 2012/2013, 2012-13, 201213 or one number."""
    start, before = "CAST(left(r.year, 4) AS BIGINT)", int(rules.single_year_ends)
    return (
        f"CASE WHEN regexp_full_match(r.year, '20\\d{{2}}\\D?(20)?\\d{{2}}') THEN {start} "
        f"WHEN regexp_full_match(r.year, '20\\d{{2}}') THEN {start} - {before} END"
    )


def _number(con: Any, extracts: Sequence[Extract], rules: Rules) -> None:
    """Put a table of the files on the connection: their years, in the order of which they count."""
    rows = []
    for number, extract in enumerate(extracts):
        suffixes = [place.year for place in extract.header.values() if place.year is not None]
        suffix = max(set(suffixes), key=suffixes.count) if suffixes else None
        stated = con.execute(
            f"SELECT min({_stated_year(rules)}), max({_stated_year(rules)}) "
            f"FROM {extract.kind.name}_raw r WHERE file_no = {number}"
        ).fetchone()
        seen = _years_of_dates(con, extract, number, rules)
        first, last = stated if stated[0] is not None else (suffix, suffix)
        if last is not None:
            _refuse_other_year(extract, last, seen)
        elif seen:
            first, last = min(seen), max(seen)
        rows.append((number, extract.file, first, last))
    known = [row[3] for row in rows if row[3] is not None]
    if not known:
        raise DataError(
            f"The years of {', '.join(e.file for e in extracts)} cannot be told: no column of "
            "years (CIN_ACADYR), no suffix such as _SPR13, and no date that can be read."
        )
    rows = [(n, f, a if a is not None else min(known), b if b is not None else max(known))
            for n, f, a, b in rows]  # fmt: skip
    order = {number: i for i, (number, *_) in enumerate(sorted(rows, key=lambda r: (r[3], r[0])))}
    files = pd.DataFrame(rows, columns=["file_no", "file", "first", "last"])
    files["rank"] = files["file_no"].map(order)
    con.register("files_frame", files)
    con.execute("CREATE TABLE files AS SELECT * FROM files_frame")


def _years_of_dates(con: Any, extract: Extract, number: int, rules: Rules) -> dict[int, int]:
    """Count the dates of a file by April-year, rare years left out.

    Raises:
        DataError: If most of the dates cannot be read.
    """
    if not extract.kind.day:
        return {}
    raw, day = f"r.{extract.kind.day}", _any_date(f"r.{extract.kind.day}")
    source = f"{extract.kind.name}_raw r WHERE file_no = {number}"
    n, unread, shape = con.execute(
        f"SELECT count({raw}), count(*) FILTER (WHERE {raw} IS NOT NULL AND {day} IS NULL), "
        f"mode({form(raw)}) FILTER (WHERE {day} IS NULL) FROM {source}"
    ).fetchone()
    if unread > UNREADABLE_SHARE * n:
        raise DataError(
            f"{extract.file}, column {extract.kind.columns[extract.kind.day][0]}: {unread} of {n} "
            f"dates cannot be read, most of them of the form {shape}; expected 2009-03-31, "
            "31/03/2009 or 31MAR2009."
        )
    counts = con.execute(
        f"SELECT {_april_year('day')} AS april, count(*) FROM (SELECT {day} AS day FROM {source}) "
        f"WHERE day >= DATE '{rules.earliest_event}' GROUP BY april ORDER BY april"
    ).fetchall()
    total = sum(c for _, c in counts)
    return {int(year): int(c) for year, c in counts if c >= USUAL_SHARE * total}


def _refuse_other_year(extract: Extract, last: int, seen: Mapping[int, int]) -> None:
    late = sum(n for year, n in seen.items() if year > last)
    if 2 * late > sum(seen.values()) > 0:
        raise DataError(
            f"{extract.file}: its columns say April {last} to March {last + 1}, but {late} of "
            f"{sum(seen.values())} rows are dated later. If a year in one number names the year's "
            'start, set single_year = "starting"; else mend the columns\' names.'
        )


def _mended(
    table: str,
    name: str,
    raw: str,
    known: frozenset[str],
    spellings: Mapping[str, str],
    repair: str = "NULL",
) -> SqlColumn:
    """Return a column of codes: case, blanks and near misses are mended, the rest is missing.

    Args:
        table: Record table.
        name: SqlColumn.
        raw: The text column.
        known: The codes.
        spellings: What other texts stand for, without blanks and signs; '' for not known.
        repair: SQL that makes a code of ``{s}``, a text in capitals without blanks and signs.
    """
    bare = f"{name}__bare"
    others = " ".join(
        f"WHEN {quoted(text)} THEN {quoted(meant)}" for text, meant in spellings.items()
    )
    stood_for = f"CASE {bare} {others} END" if others else "NULL"
    return SqlColumn(
        name,
        (
            f"{raw} AS {name}__raw",
            f"regexp_replace(upper({raw}), '[^A-Z0-9]', '', 'g') AS {bare}",
            f"coalesce(CASE WHEN {bare} IN {listed(known)} THEN {bare} END, {stood_for}, "
            f"{repair.format(s=bare)}) AS {name}__meant",
            f"nullif({name}__meant, '') AS {name}",
        ),
        (
            SqlCheck(
                table,
                name,
                "lower-case-code",
                f"{name} = upper({name}__raw) AND {name} <> {name}__raw",
                "mended",
                f"{name}__raw IS NOT NULL",
                code(f"{name}__raw"),
            ),
            SqlCheck(
                table,
                name,
                "misspelt-code",
                f"{name} <> upper({name}__raw)",
                "mended",
                f"{name}__raw IS NOT NULL",
                code(f"{name}__raw"),
            ),
            SqlCheck(
                table,
                name,
                "unknown-code",
                f"{name}__meant IS NULL",
                "set to missing",
                f"{name}__raw IS NOT NULL",
                code(f"{name}__raw"),
            ),
        ),
    )


_REPAIR_REASON = "CASE WHEN regexp_full_match({s}, 'R?C?0*[1-9]') THEN 'RC' || right({s}, 1) END"
_REPAIR_NEED = (
    "CASE WHEN regexp_full_match({s}, 'N?0*[0-9]|NO') "
    "THEN 'N' || replace(right({s}, 1), 'O', '0') END"
)


def _columns(kind: Kind, rules: Rules) -> tuple[SqlColumn, ...]:
    """Return the typed columns of a kind of extract."""
    high = f"make_date(f.last + 1, 3, 31) + {rules.days_after_return}"

    def day(table: str, name: str, raw: str, low: dt.date = rules.earliest_event) -> SqlColumn:
        return date(table, name, f"r.{raw}", _any_date(f"r.{raw}"), low=f"DATE '{low}'", high=high)

    def coded(
        table: str,
        name: str,
        raw: str,
        known: frozenset[str],
        own: Mapping[str, str] | None = None,
        repair: str = "NULL",
    ) -> SqlColumn:
        spellings = {**(own or {}), **rules.spellings}
        return _mended(table, name, f"r.{raw}", known, spellings, repair)

    sexes = {key: value and quoted(value) for key, value in codes.SEX.items()}
    born = day("children", "birth_date", "birth", rules.earliest_birth)
    child = {
        "sex": mapped("children", "sex", "r.sex", sexes),
        "ethnicity": coded("children", "ethnicity", "ethnicity", codes.ETHNICITY),
    }
    if kind.name == "cin":
        return (
            day("referrals", "referral_date", "referral"),
            coded("referrals", "referral_source", "source", codes.REFERRAL_SOURCE),
            coded("referrals", "primary_need", "need", codes.PRIMARY_NEED, UNMAPPED, _REPAIR_NEED),
            yes_no("referrals", "nfa", "r.nfa"),
            day("referrals", "closure_date", "closure"),
            coded(
                "referrals",
                "closure_reason",
                "reason",
                codes.CLOSURE_REASON,
                UNKNOWN_REASONS,
                _REPAIR_REASON,
            ),
            day("referrals", "icpc_date", "icpc"),
            day("protection_plans", "plan_start_date", "plan_start"),
            day("protection_plans", "plan_end_date", "plan_end"),
            coded("protection_plans", "initial_category", "category", codes.ABUSE_CATEGORY),
            coded("protection_plans", "latest_category", "latest", codes.ABUSE_CATEGORY),
            whole("protection_plans", "n_previous", "r.previous"),
            born,
            day("children", "expected_birth_date", "expected"),
            child["sex"],
            child["ethnicity"],
            _disability(),
            _asylum(),
        )
    if kind.name == "assessments":
        return (
            day("assessments", "referral_date", "referral"),
            day("assessments", "start_date", "start"),
            day("assessments", "review_date", "review"),
            day("assessments", "authorised_date", "authorised"),
        )
    if kind.name == "disabilities":
        return (_disability(),)
    return (
        day("episodes", "poc_start", "poc"),
        day("episodes", "start_date", "start"),
        day("episodes", "end_date", "ceased"),
        coded("episodes", "reason_start", "reason_start", codes.REASON_NEW_EPISODE),
        coded("episodes", "legal_status", "legal", codes.LEGAL_STATUS),
        coded("episodes", "cin", "need", codes.NEED_LOOKED_AFTER, UNMAPPED, _REPAIR_NEED),
        coded("episodes", "placement", "placement", codes.PLACEMENT),
        coded("episodes", "placement_provider", "provider", codes.PLACEMENT_PROVIDER),
        coded("episodes", "reason_end", "reason_end", codes.REASON_CEASED),
        child["sex"],
        child["ethnicity"],
        _month_of_birth(rules),
        _asylum(),
    )


def _disability() -> SqlColumn:
    none = listed((codes.NO_DISABILITY, "0", "N", "NO", "FALSE"))
    known = listed((*codes.DISABILITY, "0", "N", "NO", "FALSE", "1", "Y", "YES", "TRUE"))
    return SqlColumn(
        "disabled",
        (
            "upper(r.disability) AS disabled__code",
            f"disabled__code NOT IN {none} AS disabled",
        ),
        (
            SqlCheck(
                "children",
                "disabled",
                "unknown-code",
                f"disabled__code NOT IN {known}",
                "kept",
                "disabled__code IS NOT NULL",
                code("disabled__code"),
            ),
        ),
    )


def _asylum() -> SqlColumn:
    values = {
        "1": "true",
        "Y": "true",
        "TRUE": "true",
        "0": "false",
        "N": "false",
        "FALSE": "false",
    }
    return mapped("children", "uasc", "r.asylum", values)


def _month_of_birth(rules: Rules) -> SqlColumn:
    year, month = "try_cast(r.birth_year AS BIGINT)", "try_cast(r.birth_month AS BIGINT)"
    possible = f"{year} BETWEEN {rules.earliest_birth.year} AND f.last + 1"
    return SqlColumn(
        "birth_month_date",
        (
            f"CASE WHEN {month} BETWEEN 1 AND 12 AND {possible} "
            f"THEN make_date({year}, {month}, {rules.birth_day}) END AS birth_month_date",
            "(r.birth_year IS NOT NULL OR r.birth_month IS NOT NULL) AS birth_month__given",
        ),
        (
            SqlCheck(
                "children",
                "birth_date",
                "unreadable",
                "birth_month_date IS NULL",
                "set to missing",
                "birth_month__given",
            ),
        ),
    )


def _typed(con: Any, kind: Kind, rules: Rules) -> None:
    """Make ``<kind>_typed``: one row a row of the files, with keys, typed columns and flags."""
    columns = _columns(kind, rules)
    day = _any_date(f"r.{kind.day}") if kind.day else "NULL::DATE"
    own = f"coalesce({_stated_year(rules)}, {_april_year(day)})"
    repeated = ", ".join(f"r.{name}" for name in kind.columns)
    head = [
        f"lpad(coalesce(r.unit, r.unit_before), {UNIT_DIGITS}, '0') AS unit",
        "r.child",
        f"least(greatest(coalesce({own}, f.last), f.first), f.last) AS period",
        "f.file",
        "r.line",
        f"(f.rank::BIGINT << {ROW_BITS}) + r.row_no AS ord",
        f"row_number() OVER (PARTITION BY r.file_no, {repeated} ORDER BY r.row_no) > 1 AS again",
    ]
    expressions = [e for column in columns for e in column.expressions]
    con.execute(
        f"CREATE TABLE {kind.name}_typed AS SELECT {', '.join([*head, *expressions])} "
        f"FROM {kind.name}_raw r JOIN files f USING (file_no)"
    )


_DAYS = {"cin": "referral_date", "assessments": "start_date", "episodes": "start_date"}
_LABELS = {"cin": "referrals", "disabilities": "children"}


def _row_checks(kind: Kind, rules: Rules) -> tuple[SqlCheck, ...]:
    """Return the checks on the rows of the files: keys first, which cost a row."""
    label = _LABELS.get(kind.name, kind.name)
    checks = [SqlCheck(label, "", "duplicate", "again", "merged")]
    before = "NOT again"
    for key in ("unit", "child", *([_DAYS[kind.name]] if kind.name in _DAYS else [])):
        checks.append(SqlCheck(label, key, "missing", f"{key} IS NULL", "dropped", before))
        before += f" AND {key} IS NOT NULL"
    digits = f"NOT regexp_full_match(unit, '\\d{{{UNIT_DIGITS}}}')"
    checks.append(SqlCheck(label, "unit", "unknown-code", digits, "kept", "unit IS NOT NULL"))
    return (*checks, *(check for column in _columns(kind, rules) for check in column.checks))


def _reconciled(con: Any, rules: Rules, examples: int) -> QualityProfile:
    """Make ``children_merged``: one row a child, contradictions settled by the rule and counted."""
    rest = (
        "expected_birth_date",
        "birth_month_date",
        "disabled",
        "uasc",
    )
    told = {kind.name: [c.name for c in _columns(kind, rules)] for kind in KINDS}
    parts = [
        f"SELECT unit, child, period, file, line, ord, {_or_null(told[kind.name], 'birth_date')}, "
        f"{_or_null(told[kind.name], 'sex')}, {_or_null(told[kind.name], 'ethnicity')}, "
        + ", ".join(_or_null(told[kind.name], name) for name in rest)
        + f" FROM {kind.name}_typed WHERE NOT again AND unit IS NOT NULL AND child IS NOT NULL"
        for kind in KINDS
    ]
    con.execute(f"CREATE TABLE told AS {' UNION ALL '.join(parts)}")
    for name in CONFLICTS:
        con.execute(_settled(name, rules.conflicting))
    facts = ", ".join(f"s_{n}.value AS {n}_told, s_{n}.n AS {n}__n" for n in CONFLICTS)
    joins = " ".join(
        f"LEFT JOIN settled_{n} s_{n} ON s_{n}.unit = k.unit AND s_{n}.child = k.child"
        for n in CONFLICTS
    )
    con.execute(
        "CREATE TABLE children_merged AS SELECT k.*, birth_date__n IS NULL AND "
        "birth_month_date IS NOT NULL AS by_month, coalesce(birth_date_told, "
        "CASE WHEN birth_date__n IS NULL THEN birth_month_date END) AS birth_date, "
        "sex_told AS sex, ethnicity_told AS ethnicity FROM (SELECT k.*, "
        f"{facts} FROM (SELECT unit, child, max(period) AS period, arg_max(file, ord) AS file, "
        "arg_max(line, ord) AS line, arg_max(expected_birth_date, ord) AS expected_birth_date, "
        "arg_max(birth_month_date, ord) AS birth_month_date, bool_or(disabled) AS disabled, "
        f"bool_or(uasc) AS uasc FROM told GROUP BY unit, child) k {joins}) k"
    )
    action = "set to missing" if rules.conflicting == "missing" else "merged"
    conflicts = tuple(
        SqlCheck(
            "children",
            name,
            CONFLICTS[name],
            f"{name}__n > 1",
            action,
            f"{name}__n IS NOT NULL",
        )
        for name in CONFLICTS
    )
    gaps = tuple(missing("children", n) for n in ("birth_date", "sex", "ethnicity", "disabled"))
    return profile(con, "children_merged", (*conflicts, *gaps), source=SOURCE, examples=examples)


_TYPES = dict(zip(TABLES["children"].names, TABLES["children"].types, strict=True))
_SQL_TYPES = {pa.string(): "VARCHAR", pa.date32(): "DATE", pa.bool_(): "BOOLEAN"}


def _or_null(told: Sequence[str], name: str) -> str:
    kind = _SQL_TYPES[_TYPES.get(name, pa.date32())]
    return name if name in told else f"NULL::{kind} AS {name}"


def _settled(name: str, rule: str) -> str:
    """Return SQL for one value a child: ``value``, and ``n`` different ones that were told."""
    stated = f"value NOT IN {listed(codes.ETHNICITY_NOT_STATED)}" if name == "ethnicity" else "true"
    best = {
        "most-common": "arg_max(value, (strong, n_rows, last))",
        "latest": "arg_max(value, (strong, last))",
        "missing": "CASE WHEN count(*) FILTER (WHERE strong) <= 1 "
        "THEN arg_max(value, (strong, n_rows, last)) END",
    }[rule]
    return (
        f"CREATE TABLE settled_{name} AS WITH each AS (SELECT unit, child, {name} AS value, "
        f"count(*) AS n_rows, max(ord) AS last FROM told WHERE {name} IS NOT NULL "
        f"GROUP BY unit, child, {name}), graded AS (SELECT *, ({stated})::INT = 1 AS strong "
        f"FROM each) SELECT unit, child, {best} AS value, "
        "greatest(count(*) FILTER (WHERE strong), 1) AS n FROM graded GROUP BY unit, child"
    )


_KEYED = "NOT again AND unit IS NOT NULL AND child IS NOT NULL"
_REFERRAL = (
    "unit, child, period, referral_date, referral_source, primary_need, nfa, icpc_date, "
    "closure_date, closure_reason"
)
_DERIVED = {
    "referrals_typed": (
        f"SELECT {_REFERRAL}, arg_min(file, ord) AS file, min(line) AS line, max(ord) AS ord "
        f"FROM cin_typed WHERE {_KEYED} AND referral_date IS NOT NULL GROUP BY ALL"
    ),
    "protection_plans_typed": (
        "SELECT unit, child, period, file, line, ord, referral_date, plan_start_date AS "
        "start_date, plan_end_date AS end_date, initial_category, latest_category, n_previous "
        f"FROM cin_typed WHERE {_KEYED} AND (plan_start_date IS NOT NULL OR plan_end_date IS NOT "
        "NULL)"
    ),
}
"""A row of a children-in-need extract is a referral and perhaps a plan: several rows may repeat
one referral, once for each of its plans."""

_FURTHER_PLANS = (
    f"(SELECT *, row_number() OVER (PARTITION BY {_REFERRAL} ORDER BY ord) AS nth FROM cin_typed "
    f"WHERE {_KEYED} AND referral_date IS NOT NULL)",
    (SqlCheck("referrals", "plan", "recurrence", "nth > 1", "merged"),),
)
"""Where rows are counted that repeat a referral for a further plan."""

_PERSON = {"unit": "unit", "child": "child"}
_MERGES = (
    Merge(
        "referrals",
        {**_PERSON, "referral_date": "referral_date"},
        ("referral_source", "primary_need", "nfa", "icpc_date"),
        together=("closure_date", "closure_reason"),
        checks=(
            missing("referrals", "referral_source"),
            missing("referrals", "primary_need"),
            missing("referrals", "nfa"),
            missing("referrals", "closure_reason", looked_at="closure_date IS NOT NULL"),
            missing("referrals", "closure_date", looked_at="closure_reason IS NOT NULL"),
            out_of_order("referrals", "closure_date", "referral_date"),
            out_of_order("referrals", "icpc_date", "referral_date"),
        ),
    ),
    Merge(
        "protection_plans",
        {
            **_PERSON,
            "start_date": "start_date",
            "undated": "CASE WHEN start_date IS NULL THEN end_date END",
        },
        ("referral_date", "end_date", "initial_category", "latest_category", "n_previous"),
        conflict={"latest_category": "NULL::VARCHAR", "referral_date": "NULL::DATE"},
        checks=(
            missing("protection_plans", "start_date"),
            missing("protection_plans", "initial_category"),
            missing("protection_plans", "n_previous"),
            out_of_order("protection_plans", "end_date", "start_date"),
        ),
    ),
    Merge(
        "assessments",
        {**_PERSON, "start_date": "start_date"},
        ("referral_date", "review_date", "authorised_date"),
        where=f"{_KEYED} AND start_date IS NOT NULL",
        checks=(
            missing("assessments", "authorised_date"),
            out_of_order("assessments", "authorised_date", "start_date"),
        ),
    ),
    Merge(
        "episodes",
        {**_PERSON, "start_date": "start_date"},
        ("reason_start", "legal_status", "cin", "placement", "placement_provider", "poc_start"),
        together=("end_date", "reason_end"),
        where=f"{_KEYED} AND start_date IS NOT NULL",
        checks=(
            missing("episodes", "poc_start"),
            missing("episodes", "legal_status"),
            missing("episodes", "placement"),
            missing("episodes", "reason_end", looked_at="end_date IS NOT NULL"),
            out_of_order("episodes", "end_date", "start_date"),
            out_of_order("episodes", "start_date", "poc_start"),
        ),
    ),
)

_LINKED = """
CREATE TABLE assessments_linked AS
SELECT a.unit, a.child, coalesce(a.referral_date, r.referral_date) AS referral_date,
       a.start_date, a.review_date, a.authorised_date
FROM assessments_merged a
ASOF LEFT JOIN referrals_merged r
ON a.unit = r.unit AND a.child = r.child AND a.start_date >= r.referral_date
"""
"""An assessment that names no referral belongs to the latest one on or before its start."""
_CARE = """
CREATE TABLE episodes_numbered AS
SELECT *, dense_rank() OVER (PARTITION BY unit, child ORDER BY coalesce(poc_start, start_date))
    AS period_of_care
FROM episodes_merged
"""


def _accounts(con: Any, n_read: Mapping[str, int], quality: QualityProfile) -> QualityProfile:
    """Count the rows of each kind of extract, and those that tell of a plan."""

    def count(relation: str) -> int:
        ((n,),) = con.execute(f"SELECT count(*) FROM {relation}").fetchall()
        return int(n)

    told = count(f"disabilities_typed WHERE {_KEYED}")
    pairs = {
        "referrals": (n_read["cin"], count("referrals_merged")),
        "protection_plans": (
            count("protection_plans_typed"),
            count("protection_plans_merged"),
        ),
        "assessments": (n_read["assessments"], count("assessments_merged")),
        "episodes": (n_read["episodes"], count("episodes_merged")),
        "children": (n_read["disabilities"], told),
    }
    accounts = QualityProfile()
    for table, (read, given) in pairs.items():
        accounts += account(quality, source=SOURCE, table=table, n_read=read, n_given=given)
    return accounts


def _given_tables(kinds: set[str]) -> list[str]:
    given = {
        "cin": ("referrals", "protection_plans"),
        "assessments": ("assessments",),
        "episodes": ("episodes",),
    }
    return ["children", *(t for kind, tables in given.items() if kind in kinds for t in tables)]


def _final(con: Any, table: str) -> pa.Table:
    relation = {"assessments": "assessments_linked", "episodes": "episodes_numbered"}
    made = {"return_year": "period AS return_year"}
    columns = ", ".join(made.get(name, name) for name in TABLES[table].names)
    rows = con.sql(
        f"SELECT {columns} FROM {relation.get(table, f'{table}_merged')} ORDER BY ALL"
    ).to_arrow_table()
    return rows.cast(TABLES[table])


def _misfits(extract: Extract, text: TextTable, examples: int) -> QualityProfile:
    """Count rows with too few or too many fields; they are in no table."""
    bad = text.misfits
    if not bad:
        return QualityProfile()
    table = _LABELS.get(extract.kind.name, extract.kind.name)
    label = {"source": SOURCE, "table": table, "column": "", "check": "unreadable"}
    n = text.n_rows + len(bad)
    rows = [{**label, "n": n, "n_flagged": len(bad), "action": "dropped"}]
    head = (*label.values(), None, extract.file)
    lines_shown = [(*head, m.line, f"{m.n_fields} fields") for m in bad[:examples]]
    checks = QualityProfile.of(rows).checks.astype({"period": "Int64"})
    return QualityProfile(checks, pd.DataFrame(lines_shown, columns=list(EXAMPLE_COLUMNS)))
