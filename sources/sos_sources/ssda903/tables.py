"""From the text of SSDA903 files to children, orders and episodes, chained into periods of care."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from sos_plugins import Session
from sos_plugins.backends import scratch_database
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import EXAMPLE_COLUMNS, QualityProfile
from sos_plugins.errors import DataError
from sos_plugins.tables.csv_text import TextTable
from sos_plugins.tables.row_accounts import account
from sos_sources import codes
from sos_sources.extra_columns import ExtraColumn, Extras, schema_with_extras, with_extras
from sos_sources.sql.merging import Merge, merge
from sos_sources.sql.sql_checks import SqlCheck, form, line_breaks, profile
from sos_sources.sql.sql_columns import (
    SqlColumn,
    coded,
    date,
    listed,
    mapped,
    missing,
    out_of_order,
    quoted,
    uk_date,
)

SOURCE = "ssda903"
ORDERS = "deprivation_orders"
ROW_BITS = 40
"""Bits of ``ord`` that number the rows of one file; the bits above number the files."""

COLUMNS: dict[str, dict[str, bool]] = {
    "episodes": {
        "CHILD": True,
        "DECOM": True,
        "RNE": True,
        "LS": True,
        "CIN": False,
        "PLACE": True,
        "PLACE_PROVIDER": False,  # not in returns before 2014-15
        "DEC": True,
        "REC": True,
    },
    "header": {"CHILD": True, "SEX": True, "DOB": True, "ETHNIC": True},
    "uasc": {"CHILD": True},
    "dolo": {"CHILD": True, "DOB": False, "DOLO_START": True, "DOLO_END": True},
}
"""Columns read from each file, and whether a file without them is an error."""
TABLE_OF = {"episodes": "episodes", "header": "children"}
"""Record tables that get further columns, by kind of file."""
DATED = {"episodes": "DECOM", "header": "DOB", "dolo": "DOLO_START"}
"""The column of dates that every row of a file must have."""


@dataclass(frozen=True)
class Limits:
    """What is possible, and how episodes chain; see the settings of the source."""

    earliest_event: dt.date
    earliest_birth: dt.date
    days_after_return: int
    max_gap_days: int
    year_share: float
    unreadable_share: float


@dataclass(frozen=True)
class File:
    """One CSV file: its kind, the name shown, its text, and where its columns stand."""

    kind: str
    shown: str
    text: TextTable
    places: Mapping[str, int | None]


@dataclass(frozen=True)
class Ssda903Return:
    """One return: an authority, its April-year if a name told it, and its files."""

    unit: str
    year: int | None
    files: tuple[File, ...]

    def kind(self, kind: str) -> Iterable[File]:
        """Return the file of a kind, if there is one."""
        return (file for file in self.files if file.kind == kind)

    @property
    def name(self) -> str:
        """Name of the file of episodes."""
        return next(iter(self.kind("episodes"))).shown


@dataclass(frozen=True)
class Built903:
    """The tables in Arrow, what was wrong, and the first and last April-year covered."""

    tables: Mapping[str, pa.Table]
    quality: QualityProfile
    first_year: int
    last_year: int


@dataclass(frozen=True)
class _Span:
    first: int
    last: int


def build(
    returns: Sequence[Ssda903Return],
    limits: Limits,
    extras: Extras,
    *,
    examples: int,
    session: Session,
) -> Built903:
    """Build ``children`` and ``episodes`` from returns, and the orders where a return tells any.

    Args:
        returns: The returns.
        limits: What is possible.
        extras: Further columns by kind of file.
        examples: How many places of a fault are listed.
        session: What the work may take of memory and disk.

    Raises:
        DataError: If the dates of a file are in another format, the year of a return contradicts
            its dates, or no episode is usable.
    """
    with scratch_database(session.backend) as con:
        con.execute("SET preserve_insertion_order TO false")
        _load(con, returns, extras)
        _refuse_unreadable(con, limits.unreadable_share)
        spans = _spans(con, returns, limits)
        _number(con, returns, spans)
        quality = _coverage(con, returns, spans, examples) + _misfits(returns, spans, examples)
        for file in (file for one in returns for file in one.files):
            quality += line_breaks(file.text, source=SOURCE, file=file.shown)
        for table, known in _typed_columns(limits).items():
            further = extras.get(table, ())
            columns = (*known, *(one.typed(f"r.{one.column}") for one in further))
            con.execute(_typed(table, columns))
            checks = tuple(check for column in columns for check in column.checks)
            quality += profile(
                con,
                f"{table}_typed",
                (*checks, *_DROPS[table]),
                source=SOURCE,
                examples=examples,
            )
            plan = with_extras(_MERGES[table], further)
            quality += merge(con, plan, source=SOURCE, examples=examples)
        con.execute(_UASC)
        con.execute(_chained(limits))
        con.execute(_children(extras.get("header", ())))
        for relation, of_relation in (
            ("uasc_typed", _UASC_CHECKS),
            ("chained", _chain_checks(limits)),
            ("everyone", _CHILD_CHECKS),
        ):
            quality += profile(con, relation, of_relation, source=SOURCE, examples=examples)
        quality += _accounts(con, returns, quality)
        told = any(file.kind == "dolo" for one in returns for file in one.files)
        given = {**TABLE_OF, **({"dolo": ORDERS} if told else {})}
        tables = {table: _final(con, table, extras.get(kind, ())) for kind, table in given.items()}
    _refuse_empty(returns, tables["episodes"].num_rows)
    first, last = min(s.first for s in spans), max(s.last for s in spans)
    return Built903(tables, quality, first, last)


def _load(con: Any, returns: Sequence[Ssda903Return], extras: Extras) -> None:
    """Put the text of all files on the connection."""
    schemas = {kind: _raw_schema(kind, extras.get(kind, ())) for kind in COLUMNS}
    parts = {kind: [schema.empty_table()] for kind, schema in schemas.items()}
    for number, one in enumerate(returns):
        for file in one.files:
            parts[file.kind].append(_numbered(file, number, schemas[file.kind]))
    for kind, tables in parts.items():
        con.register(f"{kind}_raw", pa.concat_tables(tables))


def _refuse_unreadable(con: Any, share: float) -> None:
    """Refuse a file whose dates are mostly in another format: it would lose most of its rows."""
    for kind, column in DATED.items():
        unreadable = con.execute(
            f"SELECT file, count({column}) AS n, count(shape) AS bad, mode(shape) FROM "
            f"(SELECT return_no, file, {column}, "
            f"CASE WHEN {uk_date(column)} IS NULL THEN {form(column)} END AS shape "
            f"FROM {kind}_raw) GROUP BY return_no, file HAVING bad > {share} * n ORDER BY file"
        ).fetchone()
        if unreadable is not None:
            file, n, bad, shape = unreadable
            raise DataError(
                f"{file}, column {column}: {bad} of {n} dates cannot be read, most of them of the "
                f"form {shape}; expected dd/mm/yyyy. Write the dates of the file as dd/mm/yyyy. To "
                "read it without these dates, set 'unreadable_share' to 1."
            )


def _spans(con: Any, returns: Sequence[Ssda903Return], limits: Limits) -> list[_Span]:
    """Return the first and last April-year of each return, by name or from its dates."""
    starts, ends = _years(con, "DECOM", limits), _years(con, "DEC", limits)
    spans = []
    for number, one in enumerate(returns):
        begun = starts.get(number, {})
        if one.year is not None:
            _refuse_other_year(one, one.year, begun)
            spans.append(_Span(one.year, one.year))
            continue
        usual = _usual(begun, limits.year_share)
        if not usual:
            raise DataError(
                f"{one.name}: no start of an episode (DECOM) can be read as dd/mm/yyyy and is "
                f"after {limits.earliest_event}."
            )
        first = min([max(usual), *_usual(ends.get(number, {}), limits.year_share)])
        spans.append(_Span(first, max(usual)))
    return spans


def _refuse_other_year(one: Ssda903Return, year: int, begun: dict[int, int]) -> None:
    late = sum(n for other, n in begun.items() if other > year)
    if 2 * late > sum(begun.values()):
        raise DataError(
            f"{one.name}: by its name the return is of April {year} to March {year + 1}, but "
            f"{late} of {sum(begun.values())} episodes start later. Rename it, or set "
            'years = "data".'
        )


def _usual(years: dict[int, int], share: float) -> list[int]:
    total = sum(years.values())
    return [year for year, n in years.items() if n >= share * total]


def _years(con: Any, column: str, limits: Limits) -> dict[int, dict[int, int]]:
    """Count the readable dates of a column of the episodes by return and April-year."""
    years = con.execute(
        "SELECT return_no, year(day) - (month(day) < 4)::INT AS april, count(*) "
        f"FROM (SELECT return_no, {uk_date(column)} AS day FROM episodes_raw) "
        f"WHERE day >= DATE '{limits.earliest_event}' GROUP BY return_no, april ORDER BY ALL"
    ).fetchall()
    counts: dict[int, dict[int, int]] = {}
    for number, year, n in years:
        counts.setdefault(number, {})[int(year)] = int(n)
    return counts


def _number(con: Any, returns: Sequence[Ssda903Return], spans: Sequence[_Span]) -> None:
    """Put a table of the returns on the connection; ``rank`` orders them by year."""
    last = [span.last for span in spans]
    order = sorted(range(len(returns)), key=lambda i: last[i])
    places = {number: place for place, number in enumerate(order)}
    con.register(
        "returns",
        pa.table(
            {
                "return_no": pa.array(range(len(returns)), pa.int64()),
                "rank": pa.array([places[i] for i in range(len(returns))], pa.int64()),
                "unit": pa.array([one.unit for one in returns], pa.string()),
                "period": pa.array(last, pa.int64()),
                "last_day": pa.array([dt.date(year + 1, 3, 31) for year in last], pa.date32()),
            }
        ),
    )


def _raw_schema(kind: str, extras: Sequence[ExtraColumn]) -> pa.Schema:
    head = [
        ("return_no", pa.int64()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("row_no", pa.int64()),
    ]
    names = (*COLUMNS[kind], *(one.column for one in extras))
    return pa.schema([*head, *((name, pa.string()) for name in names)])


def _numbered(file: File, number: int, schema: pa.Schema) -> pa.Table:
    n = file.text.n_rows
    head = [
        pa.array([number] * n, pa.int64()),
        pa.array([file.shown] * n, pa.string()),
        pa.array(file.text.line_numbers(), pa.int64()),
        pa.array(range(n), pa.int64()),
    ]
    places = [file.places[name] for name in schema.names[len(head) :]]
    columns = [
        pa.nulls(n, pa.string()) if place is None else file.text.columns[place] for place in places
    ]
    return pa.table([*head, *columns], schema=schema)


def _typed_columns(limits: Limits) -> dict[str, tuple[SqlColumn, ...]]:
    def day(table: str, name: str, raw: str, low: dt.date) -> SqlColumn:
        high = f"last_day + {limits.days_after_return}"
        return date(table, name, raw, uk_date(raw), low=f"DATE '{low}'", high=high)

    sexes = {key: value and quoted(value) for key, value in codes.SEX.items()}
    return {
        "episodes": (
            day("episodes", "start_date", "DECOM", limits.earliest_event),
            coded("episodes", "reason_start", "RNE", codes.REASON_NEW_EPISODE),
            coded("episodes", "legal_status", "LS", codes.LEGAL_STATUS),
            coded("episodes", "cin", "r.CIN", codes.NEED_LOOKED_AFTER),
            coded("episodes", "placement", "PLACE", codes.PLACEMENT),
            coded("episodes", "placement_provider", "r.PLACE_PROVIDER", codes.PLACEMENT_PROVIDER),
            day("episodes", "end_date", "DEC", limits.earliest_event),
            coded("episodes", "reason_end", "REC", codes.REASON_CEASED),
        ),
        "header": (
            day("children", "birth_date", "DOB", limits.earliest_birth),
            mapped("children", "sex", "r.SEX", sexes),
            coded("children", "ethnicity", "ETHNIC", codes.ETHNICITY),
        ),
        "dolo": (
            day("children", "birth_date", "DOB", limits.earliest_birth),
            day(ORDERS, "start_date", "DOLO_START", limits.earliest_event),
            day(ORDERS, "end_date", "DOLO_END", limits.earliest_event),
        ),
    }


def _typed(table: str, columns: Sequence[SqlColumn]) -> str:
    expressions = ", ".join(e for column in columns for e in column.expressions)
    return (
        f"CREATE TABLE {table}_typed AS SELECT unit, period, last_day, file, line, "
        f"(returns.rank << {ROW_BITS}) + row_no AS ord, r.CHILD AS child, {expressions} "
        f"FROM {table}_raw r JOIN returns USING (return_no)"
    )


def _other_year() -> str:
    """Return SQL that finds placement codes in episodes of years that did not have them."""
    until = [
        f"(placement = '{code}' AND start_date >= DATE '{year}-04-01')"
        for code, year in codes.PLACEMENT_UNTIL.items()
    ]
    since = [
        f"(placement = '{code}' AND end_date < DATE '{year}-04-01')"
        for code, year in codes.PLACEMENT_SINCE.items()
    ]
    return f"coalesce({' OR '.join([*until, *since])}, false)"


_HAS_CHILD = "child IS NOT NULL"
_DROPS: dict[str, tuple[SqlCheck, ...]] = {
    "episodes": (
        missing("episodes", "child", action="dropped"),
        missing("episodes", "start_date", looked_at=_HAS_CHILD, action="dropped"),
    ),
    "header": (missing("children", "child", action="dropped"),),
    "dolo": (missing(ORDERS, "child", action="dropped"),),
}
_STATED = f"ethnicity NOT IN {listed(codes.ETHNICITY_NOT_STATED)}"
_MERGES = {
    "episodes": Merge(
        "episodes",
        {"unit": "unit", "child": "child", "start_date": "start_date"},
        ("reason_start", "legal_status", "cin", "placement", "placement_provider"),
        together=("end_date", "reason_end"),
        where=f"{_HAS_CHILD} AND start_date IS NOT NULL",
        checks=(
            SqlCheck(
                "episodes",
                "placement",
                "code-of-another-year",
                _other_year(),
                "kept",
                f"placement IN {listed({*codes.PLACEMENT_UNTIL, *codes.PLACEMENT_SINCE})}",
                "placement",
            ),
            missing("episodes", "reason_start"),
            missing("episodes", "legal_status"),
            missing("episodes", "placement"),
            missing("episodes", "reason_end", looked_at="end_date IS NOT NULL"),
            missing("episodes", "end_date", looked_at="reason_end IS NOT NULL"),
            out_of_order("episodes", "end_date", "start_date"),
        ),
    ),
    "header": Merge(
        "header",
        {"unit": "unit", "child": "child"},
        ("birth_date", "sex", "ethnicity"),
        order={"ethnicity": f"(({_STATED})::INT::HUGEINT << 64) + ord"},
        conflict={"ethnicity": f"CASE WHEN {_STATED} THEN ethnicity END"},
        where=_HAS_CHILD,
        label="children",
    ),
    "dolo": Merge(
        "dolo",
        {
            "unit": "unit",
            "child": "child",
            "start_date": "start_date",
            # For want of a start the end tells one order from another.
            "instead": "CASE WHEN start_date IS NULL THEN end_date END",
        },
        ("birth_date",),
        together=("end_date",),
        where=_HAS_CHILD,
        label=ORDERS,
        checks=(missing(ORDERS, "start_date"), out_of_order(ORDERS, "end_date", "start_date")),
    ),
}


def _chained(limits: Limits) -> str:
    """Return SQL that numbers the periods of care of each child.

    REC of the episode before decides: X1 joins, if the next episode follows at once; any other
    ends the period. Where REC is missing, RNE S starts a new period and a gap does.
    """
    near = f"(before_end IS NULL OR start_date - before_end <= {limits.max_gap_days})"
    return (
        "CREATE TABLE chained AS WITH neighbours AS (SELECT *, "
        "lag(end_date) OVER w AS before_end, lag(reason_end) OVER w AS before_reason, "
        "lead(start_date) OVER w AS next_start, row_number() OVER w AS nth "
        "FROM episodes_merged WINDOW w AS (PARTITION BY unit, child ORDER BY start_date)), "
        "joined AS (SELECT *, CASE WHEN nth = 1 THEN false "
        f"WHEN before_reason = '{codes.SAME_CARE}' THEN {near} "
        "WHEN before_reason IS NOT NULL THEN false "
        f"WHEN reason_start = '{codes.STARTS_CARE}' THEN false ELSE {near} END AS goes_on "
        "FROM neighbours) "
        "SELECT *, sum((NOT goes_on)::BIGINT) OVER "
        "(PARTITION BY unit, child ORDER BY start_date)::BIGINT AS period_of_care FROM joined"
    )


def _chain_checks(limits: Limits) -> tuple[SqlCheck, ...]:
    starts = f"reason_start = '{codes.STARTS_CARE}'"
    followed = f"next_start - end_date <= {limits.max_gap_days}"
    return (
        SqlCheck(
            "episodes",
            "reason_start",
            "conflict",
            f"goes_on = ({starts})",
            "kept",
            "nth > 1 AND reason_start IS NOT NULL",
        ),
        SqlCheck(
            "episodes",
            "reason_end",
            "conflict",
            f"next_start IS NULL OR NOT ({followed})",
            "kept",
            f"reason_end = '{codes.SAME_CARE}' AND end_date IS NOT NULL",
        ),
        SqlCheck(
            "episodes",
            "start_date",
            "out-of-order",
            "start_date < before_end",
            "kept",
            "before_end IS NOT NULL",
        ),
        SqlCheck(
            "episodes",
            "end_date",
            "missing",
            "end_date IS NULL",
            "kept",
            "next_start IS NOT NULL AND reason_end IS NULL",
        ),
    )


_UASC = (
    "CREATE TABLE uasc_typed AS SELECT unit, period, file, line, r.CHILD AS child, "
    "row_number() OVER (PARTITION BY unit, r.CHILD ORDER BY period DESC, return_no, row_no) AS nth "
    "FROM uasc_raw r JOIN returns USING (return_no)"
)
_UASC_CHECKS = (
    missing("uasc", "child", action="dropped"),
    SqlCheck("uasc", "", "duplicate", "nth > 1", "merged", _HAS_CHILD),
)
_CHILDREN = """
CREATE TABLE everyone AS
WITH asylum AS (SELECT DISTINCT unit, child FROM uasc_typed WHERE child IS NOT NULL),
knowing AS (SELECT DISTINCT unit FROM uasc_typed),
told AS (SELECT unit, child, arg_max(birth_date, (period, file, line)) AS birth_date
         FROM dolo_merged GROUP BY unit, child),
named AS (SELECT unit, child, max(period) AS period, min(file) AS file,
                 arg_min(line, (file, line)) AS line
          FROM (SELECT unit, child, period, file, line FROM header_merged
                UNION ALL SELECT unit, child, period, file, line FROM episodes_merged
                UNION ALL SELECT unit, child, period, file, line FROM uasc_typed
                UNION ALL SELECT unit, child, period, file, line FROM dolo_merged)
          WHERE child IS NOT NULL GROUP BY unit, child)
SELECT n.unit, n.child, n.period, n.file, n.line, h.child IS NOT NULL AS has_header,
       coalesce(h.birth_date, d.birth_date) AS birth_date,
       CAST(NULL AS DATE) AS expected_birth_date, h.sex, h.ethnicity,
       CAST(NULL AS BOOLEAN) AS disabled,
       CASE WHEN a.child IS NOT NULL THEN true WHEN k.unit IS NOT NULL THEN false END AS uasc
       {further}
FROM named n
LEFT JOIN header_merged h ON h.unit = n.unit AND h.child = n.child
LEFT JOIN asylum a ON a.unit = n.unit AND a.child = n.child
LEFT JOIN knowing k ON k.unit = n.unit
LEFT JOIN told d ON d.unit = n.unit AND d.child = n.child
"""


def _children(extras: Sequence[ExtraColumn]) -> str:
    """Return SQL of the children, with further columns of the headers."""
    return _CHILDREN.format(further="".join(f", h.{one.column}" for one in extras))


_CHILD_CHECKS = (
    SqlCheck("children", "header", "missing", "NOT has_header"),
    missing("children", "birth_date"),
    missing("children", "sex"),
    missing("children", "ethnicity"),
    missing("children", "uasc"),
)


_WRITTEN = {(ORDERS, "return_year"): "period AS return_year"}


def _final(con: Any, table: str, extras: Sequence[ExtraColumn]) -> pa.Table:
    relation = {"children": "everyone", "episodes": "chained", ORDERS: "dolo_merged"}[table]
    own = [_WRITTEN.get((table, name), name) for name in TABLES[table].names]
    columns = ", ".join([*own, *(one.given for one in extras)])
    rows = con.sql(f"SELECT {columns} FROM {relation} ORDER BY ALL").to_arrow_table()
    return rows.cast(schema_with_extras(table, extras))


def _coverage(
    con: Any, returns: Sequence[Ssda903Return], spans: Sequence[_Span], examples: int
) -> QualityProfile:
    """Count authorities' years without a return, and with more than one."""
    pairs = [
        (one.unit, year, one.name)
        for one, span in zip(returns, spans, strict=True)
        for year in range(span.first, span.last + 1)
    ]
    units, years, names = zip(*pairs, strict=True)
    con.register(
        "covered",
        pa.table(
            {
                "unit": pa.array(units, pa.string()),
                "period": pa.array(years, pa.int64()),
                "file": pa.array(names, pa.string()),
            }
        ),
    )
    con.execute(
        "CREATE TABLE coverage AS SELECT u.unit, y.period, count(c.file) AS n_returns, "
        "max(c.file) AS file, CAST(NULL AS BIGINT) AS line "
        "FROM (SELECT DISTINCT unit FROM covered) u "
        f"CROSS JOIN (SELECT unnest(range({min(years)}, {max(years) + 1})) AS period) y "
        "LEFT JOIN covered c ON c.unit = u.unit AND c.period = y.period GROUP BY u.unit, y.period"
    )
    checks = (
        SqlCheck("returns", "", "missing-return", "n_returns = 0"),
        SqlCheck("returns", "", "duplicate", "n_returns > 1", "merged"),
    )
    return profile(con, "coverage", checks, source=SOURCE, examples=examples)


def _misfits(
    returns: Sequence[Ssda903Return], spans: Sequence[_Span], examples: int
) -> QualityProfile:
    """Count rows with too few or too many fields; they are not in any table."""
    rows, lines_shown = [], []
    for one, span in zip(returns, spans, strict=True):
        for file in one.files:
            bad = file.text.misfits
            if not bad:
                continue
            merges = _MERGES.get(file.kind)
            table = (merges.label if merges else "") or file.kind
            label = {"source": SOURCE, "table": table, "column": "", "check": "unreadable"}
            n = file.text.n_rows + len(bad)
            counts = {"n": n, "n_flagged": len(bad), "action": "dropped"}
            rows.append({**label, "unit": one.unit, "period": span.last, **counts})
            head = (*label.values(), one.unit, file.shown)
            lines_shown += [(*head, m.line, f"{m.n_fields} fields") for m in bad[:examples]]
    checks = QualityProfile.of(rows).checks.astype({"period": "Int64"})
    return QualityProfile(checks, pd.DataFrame(lines_shown, columns=list(EXAMPLE_COLUMNS)))


def _accounts(
    con: Any, returns: Sequence[Ssda903Return], quality: QualityProfile
) -> QualityProfile:
    """Count the rows of each kind of file; rows of headers and of the uasc file are children."""
    accounts = QualityProfile()
    given = {
        "episodes": "episodes_merged",
        "header": "header_merged",
        "uasc": "uasc_typed",
        "dolo": "dolo_merged",
    }
    for kind, relation in given.items():
        where = f"{_HAS_CHILD} AND nth = 1" if kind == "uasc" else "true"
        ((n_given,),) = con.execute(f"SELECT count(*) FROM {relation} WHERE {where}").fetchall()
        texts = [file.text for one in returns for file in one.kind(kind)]
        n_read = sum(text.n_rows + len(text.misfits) for text in texts)
        label = _MERGES[kind].label if kind in _MERGES else ""
        accounts += account(
            quality,
            source=SOURCE,
            table=label or kind,
            n_read=n_read,
            n_given=n_given,
        )
    return accounts


def _refuse_empty(returns: Sequence[Ssda903Return], n_episodes: int) -> None:
    if n_episodes:
        return
    n = sum(file.text.n_rows for one in returns for file in one.kind("episodes"))
    raise DataError(
        f"Of {n} looked-after episodes in {', '.join(one.name for one in returns)} none is usable: "
        "a child (CHILD) and a start (DECOM) that can be read as dd/mm/yyyy are needed."
    )
