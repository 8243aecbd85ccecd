"""From the text of published files to one row a figure, symbols kept apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sos_plugins import Session
from sos_plugins.backends import scratch_database
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import QualityProfile
from sos_plugins.errors import DataError
from sos_plugins.tables.csv_text import TextTable
from sos_plugins.tables.period_codes import financial_year
from sos_plugins.tables.row_accounts import account
from sos_sources.published.measures import POPULATION, Measure
from sos_sources.published.reorganised import REORGANISATIONS
from sos_sources.sql.merging import Merge, merge
from sos_sources.sql.sql_checks import SqlCheck, profile
from sos_sources.sql.sql_columns import listed, quoted

SOURCE = "published"
PER = 10_000
DECIMALS = 1
ROW_BITS = 40
"""Bits of ``ord`` that number the rows of one release; the bits above number the releases."""
NUMBER = r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?"
YEAR = re.compile("[0-9]{4}")
LOCAL_AUTHORITY = ("local authority", "la")
YEARS_TO_MARCH = ("reporting year", "financial year", "ry", "fy")
"""Levels and kinds of year in words, and the codes of the statistics service."""
TOTAL = "total"
"""What stands in a column of a breakdown on the row of all of it."""
PLACES = ("time", "kind_of_year", "level", "unit", "unit_name", "figure", "denominator", "only")


@dataclass(frozen=True)
class Release:
    """One measure in one file: where each of :data:`PLACES` stands, None where it is absent.

    ``counted`` says that the figure is a count, to be divided by the child population; ``whole``
    names what the file is a part of, such as the first page of an answer, or the file.
    """

    measure: Measure
    file: str
    whole: str
    text: TextTable
    places: Mapping[str, int | None]
    counted: bool = False


@dataclass(frozen=True)
class Scope:
    """Which figures are kept; see the settings of the source."""

    measures: tuple[str, ...]
    first: int | None
    last: int | None
    reorganised: str
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class BuiltPublished:
    """The table ``published`` in Arrow, what was left out, and the authorities' names.

    ``areas`` gives, for authorities that were joined, the code of their area.
    """

    table: pa.Table
    quality: QualityProfile
    unit_names: Mapping[str, str]
    areas: Mapping[str, str]


def build(
    releases: Sequence[Release], scope: Scope, *, examples: int, session: Session
) -> BuiltPublished:
    """Build one row an authority, year and measure.

    Where several files have a figure, that of the release that reaches furthest wins; of those that
    reach as far, one that publishes the figure before one of whose counts it is made.

    Raises:
        DataError: If a file has several figures of a measure for one authority and year, or no
            figure is left.
    """
    reaches: dict[str, str] = {}
    for one in releases:
        reaches[one.whole] = max(reaches.get(one.whole, ""), _reach(one))
    with scratch_database(session.backend) as con:
        ordered = sorted(releases, key=lambda r: (reaches[r.whole], not r.counted, r.file))
        _load(con, ordered)
        con.execute(_typed(scope))
        _refuse_breakdowns(con)
        con.execute(_COUNTED)
        wanted = "published_wanted"
        con.execute(
            f"CREATE VIEW {wanted} AS SELECT * FROM published_typed "
            f"WHERE measure IN {listed(scope.measures)}"
        )
        checks = _checks(scope)
        quality = profile(con, wanted, checks, source=SOURCE, examples=examples)
        quality += merge(con, _MERGE, source=SOURCE, examples=examples)
        con.execute(_PER_POPULATION)
        con.execute(_joined() if scope.reorganised == "join" else _AS_PUBLISHED)
        quality += profile(con, "whole", _JOINED_CHECKS, source=SOURCE, examples=examples)
        quality += _accounts(con, releases, scope, quality)
        columns = ", ".join(TABLES["published"].names)
        table = con.sql(
            f"SELECT {columns} FROM whole WHERE measure IN {listed(scope.measures)} ORDER BY ALL"
        ).to_arrow_table()
        names = con.execute(
            "SELECT unit, arg_max(unit_name, ord) FROM published_typed "
            "WHERE dropped IS NULL AND unit_name IS NOT NULL GROUP BY unit ORDER BY unit"
        ).fetchall()
        changed = {u for (u,) in con.execute(_CHANGED).fetchall()}
    if table.num_rows == 0:
        raise DataError(
            f"No published figure of {', '.join(scope.measures)} is left in "
            f"{', '.join(sorted({r.file for r in releases}))}: see geographic_level, time_period "
            "and the settings first_period and last_period."
        )
    joined = [one for one in REORGANISATIONS if scope.reorganised == "join"]
    areas = {u: one.joined for one in joined for u in (*one.old, *one.new) if u in changed}
    unit_names = dict(names) | {one.joined: one.names for one in joined}
    return BuiltPublished(table.cast(TABLES["published"]), quality, unit_names, areas)


def _column(release: Release, place: str) -> pa.ChunkedArray:
    index = release.places[place]
    if index is None:
        return pa.chunked_array([pa.nulls(release.text.n_rows, pa.string())])
    return release.text.columns[index]


def _is_part(text: TextTable) -> pa.Array:
    """Say of each row whether it is a part of a breakdown of which another row is the total."""
    part = pa.array(np.zeros(text.n_rows, dtype=bool))
    for column in text.columns:
        total = pc.fill_null(pc.equal(pc.utf8_lower(column), TOTAL), False)
        if pc.any(total).as_py():
            part = pc.or_(part, pc.and_(pc.invert(total), pc.is_valid(column)).combine_chunks())
    return part


def _reach(release: Release) -> str:
    return str(pc.max(_column(release, "time")).as_py() or "")


def _load(con: Any, releases: Sequence[Release]) -> None:
    """Put the text of all releases on the connection, with a table of the releases."""
    parts = []
    for number, one in enumerate(releases):
        n = one.text.n_rows
        head = {
            "release_no": pa.array(np.full(n, number)),
            "row_no": pa.array(np.arange(n)),
            "line": pa.array(one.text.line_numbers()),
        }
        parts.append(
            pa.table(
                {
                    **head,
                    "is_part": _is_part(one.text),
                    **{place: _column(one, place) for place in PLACES},
                }
            )
        )
    figures = pa.concat_tables(parts)
    con.register("figures_raw", figures)
    times = [time for time in pc.unique(figures["time"]).to_pylist() if time is not None]
    ends = pa.array([year_of_end(time) for time in times], pa.int64())
    con.register("times", pa.table({"time": pa.array(times, pa.string()), "ends": ends}))
    con.register(
        "releases",
        pa.table(
            {
                "release_no": pa.array(np.arange(len(releases))),
                "measure": [one.measure.name for one in releases],
                "file": [one.file for one in releases],
                "shift": pa.array([one.measure.shift for one in releases], pa.int64()),
                "category": pa.array(
                    [one.measure.only and one.measure.only.text for one in releases], pa.string()
                ),
                "per_population": [POPULATION in one.measure.denominators for one in releases],
                "joinable": [one.measure.joinable for one in releases],
                "summed": [one.measure.name == POPULATION for one in releases],
                "counted": [one.counted for one in releases],
            }
        ),
    )


def year_of_end(time: str) -> int | None:
    """Return the year in which a published year ends, None if the text is no year.

    >>> [year_of_end(time) for time in ("2024", "202324", "2023/24", "2023Q4")]
    [2024, 2024, 2024, None]
    """
    if YEAR.fullmatch(time):
        return int(time)
    begins = financial_year(time)
    return None if begins is None else begins + 1


def _number(column: str) -> str:
    return (
        f"CASE WHEN regexp_full_match({column}, '{NUMBER}') "
        f"THEN try_cast(replace({column}, ',', '') AS DOUBLE) END"
    )


def _typed(scope: Scope) -> str:
    """Return SQL for every figure with what it says and, in ``dropped``, why it is left out."""
    outside = [
        f"period < {scope.first}" if scope.first is not None else "false",
        f"period > {scope.last}" if scope.last is not None else "false",
    ]
    drop = "reorganised" if scope.reorganised == "drop" else "false"
    return (
        "CREATE TABLE published_typed AS WITH read AS (SELECT r.line, r.unit, r.unit_name, f.*, "
        f"(release_no << {ROW_BITS}) + r.row_no AS ord, r.level, r.figure, r.time, r.kind_of_year, "
        "r.is_part, "
        "t.ends + f.shift AS period, "
        f"{_number('r.figure')} AS value, {_number('r.denominator')} AS denominator, "
        "CASE WHEN value IS NULL THEN lower(r.figure) END AS symbol, "
        "coalesce(f.category IS NOT NULL AND NOT "
        "regexp_matches(lower(r.only), '^' || f.category), "
        "f.category IS NOT NULL) AS of_other_category "
        "FROM figures_raw r JOIN releases f USING (release_no) LEFT JOIN times t USING (time)), "
        f"span AS (SELECT min(period) AS first, max(period) AS last FROM read "
        f"WHERE NOT of_other_category AND NOT is_part AND NOT ({' OR '.join(outside)})) "
        "SELECT read.*, "
        f"({_reorganised()}) AS reorganised, "
        "CASE WHEN of_other_category THEN 'category' WHEN is_part THEN 'part' "
        f"WHEN coalesce(lower(level) NOT IN {listed(LOCAL_AUTHORITY)}, true) THEN 'level' "
        f"WHEN lower(kind_of_year) NOT IN {listed(YEARS_TO_MARCH)} THEN 'kind of year' "
        "WHEN period IS NULL THEN 'time' WHEN unit IS NULL THEN 'unit' "
        f"WHEN {' OR '.join(outside)} THEN 'window' "
        f"WHEN {drop} THEN 'reorganised' END AS dropped FROM read, span"
    )


def _reorganised() -> str:
    """Return SQL: whether an authority came or went within the years kept."""
    return " OR ".join(
        f"(span.first < {one.year} AND span.last >= {one.year} "
        f"AND unit IN {listed((*one.old, *one.new))})"
        for one in REORGANISATIONS
    )


def _checks(scope: Scope) -> tuple[SqlCheck, ...]:
    def left_out(column: str, why: str, check: str, text: str) -> SqlCheck:
        flagged = f"dropped IS NOT DISTINCT FROM {quoted(why)}"
        return SqlCheck("published", column, check, flagged, "dropped", "true", f"left({text}, 30)")

    action = {"keep": "kept", "drop": "dropped", "join": "merged"}[scope.reorganised]
    common = (
        left_out("category", "category", "out-of-scope", "''"),
        left_out("breakdown", "part", "out-of-scope", "''"),
        left_out("geographic_level", "level", "out-of-scope", "level"),
        left_out("time_identifier", "kind of year", "out-of-scope", "kind_of_year"),
        left_out("time_period", "time", "unreadable", "time"),
        left_out("old_la_code", "unit", "missing", "unit_name"),
        left_out("period", "window", "out-of-scope", "time"),
        SqlCheck(
            "published",
            "old_la_code",
            "out-of-scope",
            "reorganised",
            action,
            "coalesce(dropped, 'reorganised') = 'reorganised'",
            "unit",
        ),
        SqlCheck(
            "published",
            "old_la_code",
            "unknown-code",
            "NOT regexp_full_match(unit, '\\d{3}')",
            "kept",
            "dropped IS NULL",
            "left(unit, 30)",
        ),
    )
    return (*common, *(c for name in scope.measures for c in _figure_checks(name, scope)))


def _figure_checks(measure: str, scope: Scope) -> tuple[SqlCheck, ...]:
    here = f"dropped IS NULL AND measure = {quoted(measure)}"
    known = f"symbol IN {listed(scope.symbols)}"
    return (
        SqlCheck("published", measure, "suppressed", known, "set to missing", here, "symbol"),
        SqlCheck(
            "published",
            measure,
            "unknown-code",
            f"symbol IS NOT NULL AND NOT {known}",
            "set to missing",
            here,
            "left(symbol, 30)",
        ),
        SqlCheck("published", measure, "missing", "figure IS NULL", "kept", here),
        SqlCheck(
            "published",
            measure,
            "missing-population",
            "value IS NULL",
            "set to missing",
            f"{here} AND counted AND count IS NOT NULL",
            "period",
        ),
    )


_MERGE = Merge(
    "published",
    {"unit": "unit", "period": "period", "measure": "measure"},
    ("unit_name",),
    together=("value", "symbol", "denominator"),
    conflict={"unit_name": "NULL::VARCHAR"},
    where="dropped IS NULL",
)
_COUNTED = f"""
CREATE TABLE published_rated AS
SELECT t.* EXCLUDE (value), t.value AS count,
       CASE WHEN t.counted THEN round({PER} * t.value / p.value, {DECIMALS})
            ELSE t.value END AS value
FROM published_typed t
LEFT JOIN (SELECT unit, period, arg_max(value, ord) AS value FROM published_typed
           WHERE measure = '{POPULATION}' AND dropped IS NULL GROUP BY unit, period) p
       ON p.unit = t.unit AND p.period = t.period;
DROP TABLE published_typed;
ALTER TABLE published_rated RENAME TO published_typed;
"""
"""Counts become rates with as many decimals as published rates have."""
_PER_POPULATION = f"""
CREATE VIEW finished AS
SELECT m.unit, m.unit_name, m.period, m.measure, m.value, m.symbol,
       CASE WHEN l.per_population THEN p.value ELSE m.denominator END AS denominator
FROM published_merged m
JOIN (SELECT DISTINCT measure, per_population FROM releases) l ON l.measure = m.measure
LEFT JOIN (SELECT unit, period, value FROM published_merged WHERE measure = '{POPULATION}') p
       ON p.unit = m.unit AND p.period = m.period
"""


_CHANGED = "SELECT DISTINCT unit FROM published_typed WHERE reorganised"
_NOWHERE = "NULL::VARCHAR AS file, NULL::BIGINT AS line"
_AS_PUBLISHED = (
    f"CREATE VIEW whole AS SELECT *, false AS joined, 0 AS n_joinable, {_NOWHERE} FROM finished"
)


def _joined() -> str:
    """Return SQL that puts areas that changed hands into one row each, before and after.

    The figure of an area is the mean of its authorities weighted by the denominator, or the sum of
    their populations; it is missing where one of them has no figure, and for medians.
    """
    parts = [
        f"({quoted(unit)}, {quoted(one.joined)}, {quoted(one.names)}, {low}, {high}, {len(units)})"
        for one in REORGANISATIONS
        for units, low, high in ((one.old, -1, one.year - 1), (one.new, one.year, 9999))
        for unit in units
    ]
    return (
        "CREATE TABLE whole AS WITH areas(unit, area, area_name, low, high, n_parts) AS (VALUES "
        f"{', '.join(parts)}), changed AS ({_CHANGED}), "
        "measures AS (SELECT DISTINCT measure, joinable, summed FROM releases), "
        "parts AS (SELECT f.*, a.area, a.area_name, a.n_parts, m.joinable, m.summed "
        "FROM finished f JOIN changed USING (unit) JOIN measures m USING (measure) "
        "JOIN areas a ON a.unit = f.unit AND f.period BETWEEN a.low AND a.high) "
        "SELECT unit, unit_name, period, measure, value, symbol, denominator, false AS joined, "
        f"0::BIGINT AS n_joinable, {_NOWHERE} FROM finished "
        "WHERE unit NOT IN (SELECT unit FROM changed) "
        "UNION ALL SELECT area, any_value(area_name), period, measure, "
        "CASE WHEN count(value) < any_value(n_parts) THEN NULL WHEN any_value(summed) "
        "THEN sum(value) WHEN any_value(joinable) AND count(denominator) = count(value) "
        "THEN sum(value * denominator) / sum(denominator) END, max(symbol), "
        "CASE WHEN count(denominator) = any_value(n_parts) THEN sum(denominator) END, true, "
        f"count(value), {_NOWHERE} FROM parts GROUP BY area, period, measure"
    )


_JOINED_CHECKS = (
    SqlCheck(
        "published",
        "value",
        "not-joinable",
        "value IS NULL",
        "set to missing",
        "joined AND n_joinable > 0",
        "measure",
    ),
)


def _accounts(
    con: Any, releases: Sequence[Release], scope: Scope, quality: QualityProfile
) -> QualityProfile:
    """Count rows with too few or too many fields, those no measure asks for, and all of them."""
    asked = f"measure IN {listed(scope.measures)}"

    def count(relation: str, where: str = asked) -> int:
        ((n,),) = con.execute(f"SELECT count(*) FROM {relation} WHERE {where}").fetchall()
        return int(n)

    n_misfits = sum(len(one.text.misfits) for one in releases)
    n_read = sum(one.text.n_rows for one in releases) + n_misfits
    n_finished, n_whole = count("finished"), count("whole")
    other = f"NOT {asked}"
    n_other = count("published_typed", f"{other} AND dropped IS NOT NULL")
    n_other += count("published_merged", other)
    label = {"source": SOURCE, "table": "published", "column": ""}
    rows = [
        ("unreadable", n_read, n_misfits, "dropped"),
        ("not-asked-for", count("published_typed", other), n_other, "dropped"),
        ("joined", n_finished, n_finished - n_whole, "merged"),
    ]
    counted = QualityProfile.of(
        [
            {**label, "check": check, "n": n, "n_flagged": flagged, "action": action}
            for check, n, flagged, action in rows
        ]
    )
    counts = QualityProfile(counted.checks.astype({"period": "Int64"}))
    return counts + account(
        quality + counts, source=SOURCE, table="published", n_read=n_read, n_given=n_whole
    )


def _refuse_breakdowns(con: Any) -> None:
    """Refuse a file with several figures of one authority and year: none of them is the total."""
    breakdown = con.execute(
        "SELECT file, measure, unit, period, count(*) AS n, min(line), max(line) "
        "FROM published_typed WHERE dropped IS NULL "
        "GROUP BY release_no, file, measure, unit, period HAVING n > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    if breakdown:
        file, measure, unit, period, n, first, last = breakdown
        raise DataError(
            f"{file} has {n} figures of {measure} for authority {unit} in April {period} to March "
            f"{period + 1} (lines {first} to {last}), and none of them is marked as the total. "
            "Keep one row an authority and year, or write Total in the column of the categories."
        )
