"""Typed columns out of text columns, in SQL, with the faults each kind of column can have.

A :class:`SqlColumn` gives SQL for its value and the checks on it
(:class:`~sos_sources.sql.sql_checks.SqlCheck`). The SQL is a list of expressions for one SELECT
over a table of text; later expressions use the names of earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sos_plugins.tables.file_columns import MISSING
from sos_plugins.tables.written_dates import EXCEL_DAY_0
from sos_sources.sql.sql_checks import SqlCheck, code, form

LONG_DATE = r"\d{4}-\d{2}-\d{2}([T ][\d:.]+)?(Z|[+-]\d{2}:\d{2})?"
"""xs:date with the time zone that it allows, and with the time that some exports add."""
UK_DATE = r"\d{1,2}/\d{1,2}/\d{4}"


def iso_date(column: str) -> str:
    """Return SQL that reads ``yyyy-mm-dd``, null when it is none."""
    return (
        f"CASE WHEN {column} LIKE '____-__-__' THEN try_cast({column} AS DATE) "
        f"WHEN regexp_full_match({column}, '{LONG_DATE}') "
        f"THEN try_cast(left({column}, 10) AS DATE) END"
    )


def uk_date(column: str) -> str:
    """Return SQL that reads ``dd/mm/yyyy``, null when it is none."""
    return (
        f"CASE WHEN regexp_full_match({column}, '{UK_DATE}') "
        f"THEN CAST(try_strptime({column}, '%d/%m/%Y') AS DATE) END"
    )


def is_written(column: str) -> str:
    """Return the SQL condition of a text that is there and stands for no missing value."""
    return f"trim({column}) NOT IN ('', {', '.join(quoted(text) for text in MISSING)})"


def written_date(column: str, form: str) -> str:
    """Return SQL that reads dates of one form.

    Args:
        column: SQL of the text.
        form: ``form`` of the :class:`~sos_plugins.tables.written_dates.WrittenDates` that read all
            texts of the column.
    """
    number = f"CAST(trim({column}) AS DOUBLE)"
    day = f"DATE '{EXCEL_DAY_0}' + CAST(floor({number}) AS INTEGER)"
    if form == "named":
        pattern = r"(\d+)[- ]?([A-Za-z]{3})[A-Za-z]*[- ]?(\d{4})"
        words = f"regexp_extract({column}, '{pattern}', ['d', 'm', 'y'])"
        day = f"CAST(strptime({words}.d || {words}.m || {words}.y, '%d%b%Y') AS DATE)"
    elif form != "excel":
        parts = f"regexp_extract({column}, '(\\d+)[-/.](\\d+)[-/.](\\d+)', ['a', 'b', 'c'])"
        places = {"year-first": "abc", "month-first": "cab"}.get(form, "cba")
        day = f"make_date({', '.join(f'CAST({parts}.{place} AS INTEGER)' for place in places)})"
    return f"CASE WHEN {is_written(column)} THEN {day} END"


def quoted(text: str) -> str:
    """Return a text as an SQL literal.

    >>> quoted("St John's")
    "'St John''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def listed(codes: Iterable[str]) -> str:
    """Return codes as an SQL list in brackets."""
    return "(" + ", ".join(quoted(c) for c in sorted(codes)) + ")"


@dataclass(frozen=True)
class SqlColumn:
    """One column of a record table: ``expressions`` make it, ``checks`` are its faults."""

    name: str
    expressions: tuple[str, ...]
    checks: tuple[SqlCheck, ...] = ()


def date(table: str, name: str, raw: str, parsed: str, *, low: str, high: str) -> SqlColumn:
    """Return a column of dates; unreadable and impossible ones become missing.

    Args:
        table: Record table.
        name: SqlColumn.
        raw: The text column.
        parsed: SQL that reads it.
        low: SQL of the earliest possible date.
        high: SQL of the latest possible date.
    """
    read = f"{name}__read"
    return SqlColumn(
        name,
        (
            f"{parsed} AS {read}",
            f"CASE WHEN {read} BETWEEN {low} AND {high} THEN {read} END AS {name}",
            f"({raw} IS NOT NULL AND {read} IS NULL) AS {name}__unreadable",
            f"coalesce({read} NOT BETWEEN {low} AND {high}, false) AS {name}__impossible",
            f"{raw} AS {name}__raw",
        ),
        (
            SqlCheck(
                table,
                name,
                "unreadable",
                f"{name}__unreadable",
                "set to missing",
                f"{name}__raw IS NOT NULL",
                form(f"{name}__raw"),
            ),
            SqlCheck(
                table,
                name,
                "impossible-date",
                f"{name}__impossible",
                "set to missing",
                f"{name}__raw IS NOT NULL",
                f"CASE WHEN {read} < {low} THEN 'too early' ELSE 'too late' END",
            ),
        ),
    )


def coded(table: str, name: str, raw: str, codes: Iterable[str]) -> SqlColumn:
    """Return a column of codes in upper case; lower case is mended, an unknown code kept."""
    known = listed(codes)
    return SqlColumn(
        name,
        (f"upper({raw}) AS {name}", f"({raw} <> upper({raw})) AS {name}__lower"),
        (
            SqlCheck(
                table,
                name,
                "lower-case-code",
                f"{name}__lower AND {name} IN {known}",
                "mended",
                f"{name} IS NOT NULL",
                code(name),
            ),
            SqlCheck(
                table,
                name,
                "unknown-code",
                f"{name} NOT IN {known}",
                "kept",
                f"{name} IS NOT NULL",
                code(name),
            ),
        ),
    )


def mapped(
    table: str,
    name: str,
    raw: str,
    values: Mapping[str, str | None],
    *,
    check: str = "unknown-code",
) -> SqlColumn:
    """Return a column of values that codes stand for; an unknown code becomes missing.

    ``values`` gives the SQL literal for each code in upper case, None for null.
    """
    cases = " ".join(
        f"WHEN {quoted(key)} THEN {value if value is not None else 'NULL'}"
        for key, value in values.items()
    )
    return SqlColumn(
        name,
        (f"CASE upper({raw}) {cases} END AS {name}", f"upper({raw}) AS {name}__raw"),
        (
            SqlCheck(
                table,
                name,
                check,
                f"{name}__raw NOT IN {listed(values)}",
                "set to missing",
                f"{name}__raw IS NOT NULL",
                code(f"{name}__raw"),
            ),
        ),
    )


def yes_no(table: str, name: str, raw: str) -> SqlColumn:
    """Return a column of truth values: true, false, 1, 0 in any case."""
    values = {"TRUE": "true", "1": "true", "FALSE": "false", "0": "false"}
    return mapped(table, name, raw, values, check="unreadable")


def whole(table: str, name: str, raw: str) -> SqlColumn:
    """Return a column of whole numbers from 0."""
    return SqlColumn(
        name,
        (
            f"CASE WHEN regexp_full_match({raw}, '\\d{{1,9}}') THEN CAST({raw} AS BIGINT) END "
            f"AS {name}",
            f"{raw} AS {name}__raw",
        ),
        (
            SqlCheck(
                table,
                name,
                "unreadable",
                f"{name} IS NULL",
                "set to missing",
                f"{name}__raw IS NOT NULL",
                form(f"{name}__raw"),
            ),
        ),
    )


def missing(table: str, name: str, *, looked_at: str = "true", action: str = "kept") -> SqlCheck:
    """Return the check that a column is filled."""
    return SqlCheck(table, name, "missing", f"{name} IS NULL", action, looked_at)


def out_of_order(table: str, later: str, earlier: str) -> SqlCheck:
    """Return the check that one date is not before another."""
    both = f"{later} IS NOT NULL AND {earlier} IS NOT NULL"
    return SqlCheck(table, later, "out-of-order", f"{later} < {earlier}", "kept", both)
