"""A folder of record tables as Parquet, read lazily: for tables that have been read before."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.backends import refuse_interrupted, scratch_database
from sos_plugins.contract.record_tables import RECORD_TABLES, TABLES
from sos_plugins.contract.types import QualityProfile
from sos_plugins.errors import DataError, did_you_mean
from sos_plugins.tables.file_columns import is_text
from sos_plugins.tables.period_codes import PLAUSIBLE
from sos_plugins.tables.readable import PARQUET, refuse_unreadable
from sos_plugins.tables.row_accounts import account
from sos_plugins.tables.written_dates import (
    DATES_HELP,
    DateOrder,
    UnclearDatesError,
    read_dates,
)
from sos_sources.paths import HIDDEN, WILD, LeftOut, count_files, covered_by, shown
from sos_sources.sql.database import YEARS
from sos_sources.sql.sql_checks import SqlCheck, profile
from sos_sources.sql.sql_columns import identifier, is_written, quoted, written_date

SUFFIX = ".parquet"
KNOWN = tuple(name for name in TABLES if name != "cases")
"""``cases`` are a table of the user's own, with further columns: source ``tidy``."""
SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
    pa.bool_(): "BOOLEAN",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
}
IN_WORDS = {
    pa.string(): "text",
    pa.date32(): "dates",
    pa.bool_(): "true or false",
    pa.int64(): "whole numbers",
    pa.float64(): "numbers",
}
YEAR = {
    "referrals": "return_year",
    "published": "period",
    **dict.fromkeys(("assessments", "section47s", "protection_plans", "episodes"), "start_date"),
    "deprivation_orders": "return_year",
}
"""Column that says to which April-year a row belongs."""
BLOCK = 1 << 20
SHOWN = 3
"""How many forms of dates a message shows."""


class RecordsSettings(Settings):
    """Where the tables are, and which days they cover."""

    folder: str = Field(
        description="folder with <table>.parquet, or with folders <table> of Parquet files"
    )
    columns: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="record table -> its columns that the files call otherwise: "
        '{ referrals = { unit = "LA code" } }',
    )
    dates: DateOrder = Field("auto", description=DATES_HELP)
    start: dt.date | None = Field(
        None,
        description="first day that the records cover; by default 1 April of the earliest return "
        "of referrals",
    )
    end: dt.date | None = Field(
        None, description="last day; by default 31 March that ends the latest return of referrals"
    )
    examples: int = Field(20, ge=0, description="how many places of each fault are listed")


@dataclass(frozen=True)
class _Part:
    """The files of one record table.

    Attributes:
        name: Name of the table.
        files: Its files.
        label: What messages call them.
        columns: What the files call a column, where that is something else.
        written: How the dates of a column are written that is text, by its name.
    """

    name: str
    files: tuple[Path, ...]
    label: str
    columns: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def given(self, name: str) -> str:
        """Return what the files call a column."""
        return self.columns.get(name, name)

    @property
    def rows(self) -> str:
        """SQL of all rows as the files have them."""
        return f"read_parquet([{', '.join(quoted(_plain(file)) for file in self.files)}])"

    @property
    def scan(self) -> str:
        """SQL of all rows, in the columns and types of the schema."""
        columns = ", ".join(
            f"{self._typed(field.name, field.type)} AS {identifier(field.name)}"
            for field in TABLES[self.name]
        )
        return f"SELECT {columns} FROM {self.rows}"

    def _typed(self, name: str, kind: pa.DataType) -> str:
        column = identifier(self.given(name))
        if name in self.written:
            return written_date(column, self.written[name])
        return f"CAST({column} AS {SQL_TYPES[kind]})"

    @property
    def filled(self) -> str:
        """SQL condition of a row that has its key."""
        return " AND ".join(
            f"{identifier(key)} IS NOT NULL" for key in RECORD_TABLES[self.name].needed
        )


def _plain(file: Path) -> str:
    """Return a path of which DuckDB takes no sign for a pattern."""
    return "".join(f"[{sign}]" if sign in WILD else sign for sign in str(file))


@contextmanager
def _in_words(label: str) -> Iterator[None]:
    """Turn what DuckDB says of damaged Parquet into a sentence."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        refuse_interrupted(error)
        raise DataError(
            f"The record table {label} cannot be read: {_first_line(error)}. Write it again."
        ) from None


class RecordTables(Source):
    """Reads record tables from Parquet; rows are fetched when an outcome asks for them.

    On Spark the tables are read by Spark, which must see the folder too.
    """

    name: ClassVar[str] = "records"
    label: ClassVar[str] = "A folder of record tables as Parquet"
    Settings: ClassVar[type[Settings]] = RecordsSettings
    citation: ClassVar[str] = ""
    gives: ClassVar[tuple[str, ...]] = KNOWN

    def units(self, settings: RecordsSettings, session: Session) -> set[str] | None:
        """Return the authorities of all tables; None for tables that another system reads."""
        if session.backend.name != "duckdb":
            return None
        parts, _ = _parts(session.path(settings.folder), session, settings.columns)
        found: set[str] = set()
        with scratch_database(session.backend) as con:
            for part in parts:
                _written(part)
                unit = f"CAST({identifier(part.given('unit'))} AS VARCHAR)"
                with _in_words(part.label):
                    rows = con.execute(f"SELECT DISTINCT {unit} FROM {part.rows}").fetchall()
                found |= {unit for (unit,) in rows if unit is not None}
        return found

    def read(self, settings: RecordsSettings, session: Session) -> Records:
        """Check the tables and hand them over without reading them into memory.

        Rows without their key are dropped, rows that repeat a key are merged (the row of the
        latest return stays); both are counted.

        Raises:
            DataError: If the folder, a table or a column is missing, unknown or of another type,
                or no row has its key.
        """
        found, left_out = _parts(session.path(settings.folder), session, settings.columns)
        tables: dict[str, Any] = {}
        quality = QualityProfile()
        parts, notes = [], []
        with scratch_database(session.backend) as con:
            for one in found:
                part, told = _with_dates(con, one, _written(one), settings.dates, session)
                parts.append(part)
                notes += told
                _refuse_other_years(con, part)
                with _in_words(part.label):
                    examined, repeated = _examined(con, part, settings.examples)
                quality = quality + examined
                tables[part.name] = _lazily(session, part, repeated=repeated)
            first, last = _covered(con, parts)
        return Records(
            tables=tables,
            quality=quality
            + count_files(
                sum(len(part.files) for part in parts),
                left_out,
                session,
                source=self.name,
                examples=settings.examples,
            ),
            start=settings.start or first,
            end=settings.end or last,
            files=tuple(shown(file, session) for part in parts for file in part.files),
            data_hash=_content(parts),
            notes=tuple(notes),
        )


def _parts(
    folder: Path, session: Session, columns: Mapping[str, Mapping[str, str]]
) -> tuple[list[_Part], list[LeftOut]]:
    """Return the record tables of a folder, and what else lies in it."""
    for table, names in columns.items():
        if table not in KNOWN:
            raise DataError(
                f"'{table}' in the setting 'columns' is none of the record tables "
                f"{', '.join(KNOWN)}.{did_you_mean(table, KNOWN)}"
            )
        for name in names:
            if name not in TABLES[table].names:
                raise DataError(
                    f"The setting 'columns': '{table}' has no column '{name}'."
                    f"{did_you_mean(name, TABLES[table].names)} Columns: "
                    f"{', '.join(TABLES[table].names)}."
                )
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder} with record tables as Parquet.")
    parts = {}
    covered = covered_by(folder, suffix=SUFFIX)
    inside = [path for path in covered.files if not _aside(path, folder)]
    left_out = [
        *covered.left_out,
        *(LeftOut(p, HIDDEN, "its name begins with _") for p in covered.files if p not in inside),
    ]
    folders = {p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))}
    for entry in sorted(folders | {p for p in inside if p.parent == folder}):
        if entry.stem not in KNOWN:
            raise DataError(
                f"{entry} is none of the record tables {', '.join(KNOWN)}."
                f"{did_you_mean(entry.stem, KNOWN)} Move it elsewhere."
            )
        if (folder / entry.stem).is_dir() and (folder / f"{entry.stem}{SUFFIX}").is_file():
            raise DataError(f"{folder} has '{entry.stem}' as a file and as a folder; leave one.")
        files = tuple(path for path in inside if path == entry or entry in path.parents)
        if not files:
            raise DataError(f"The folder {entry} has no {SUFFIX} file.")
        named = columns.get(entry.stem, {})
        parts[entry.stem] = _Part(entry.stem, files, shown(entry, session), named)
    if not parts:
        raise DataError(f"{folder} has no record table; expected files such as referrals{SUFFIX}.")
    return [parts[name] for name in KNOWN if name in parts], left_out


def _aside(path: Path, folder: Path) -> bool:
    """Whether a path is what programs put beside their files, as Spark does."""
    return any(part.startswith("_") for part in path.relative_to(folder).parts)


def _written(part: _Part) -> frozenset[str]:
    """Refuse files with other columns or types, and return the columns of dates that are text."""
    wanted, written = TABLES[part.name], set()
    given = {part.given(name): name for name in wanted.names}
    for file in part.files:
        refuse_unreadable(file, expected=PARQUET)
        try:
            schema = pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file} cannot be read as Parquet: {_first_line(error)}.") from None
        absent = [name for name in given if name not in schema.names]
        if absent:
            near = "".join(
                did_you_mean(n, [s for s in schema.names if s not in given]) for n in absent
            )
            raise DataError(
                f"{file} lacks the columns {', '.join(absent)} of '{part.name}'.{near} Columns "
                "that hold nothing must be there too; the setting 'columns' says what a file calls "
                "them."
            )
        for name in schema.names:
            if name not in given:
                raise DataError(
                    f"{file}: '{part.name}' has no column '{name}'."
                    f"{did_you_mean(name, wanted.names)} Columns: {', '.join(wanted.names)}."
                )
            field = schema.field(name)
            if pa.types.is_date32(wanted.field(given[name]).type) and is_text(field.type):
                written.add(given[name])
            else:
                _refuse_other_type(file, field, wanted.field(given[name]).type)
    return frozenset(written)


def _with_dates(
    con: Any, part: _Part, written: Collection[str], order: DateOrder, session: Session
) -> tuple[_Part, list[str]]:
    """Find out how dates are written that are text, each column in one way.

    Raises:
        DataError: If they are written in several ways, or day and month cannot be told apart.
    """
    forms, notes = {}, []
    for name in sorted(written):
        column = identifier(part.given(name))
        if session.backend.name != "duckdb":
            raise DataError(
                f"{part.label}, column '{part.given(name)}': dates were expected, not text, where "
                "another system than DuckDB reads the files. Write them as dates."
            )
        with _in_words(part.label):
            found = con.execute(
                f"SELECT DISTINCT trim({column}) FROM {part.rows} WHERE {is_written(column)}"
            ).fetchall()
        try:
            read = read_dates([text for (text,) in found], order)
        except UnclearDatesError as error:
            forms_found = dict.fromkeys(re.sub(r"\w", "9", text) for text in error.texts[:SHOWN])
            raise DataError(
                f"{part.label}, column '{part.given(name)}': {error.expected}; found the form "
                f"{', '.join(repr(form) for form in forms_found)}."
            ) from None
        forms[name] = read.form
        if read.told:
            notes.append(f"{part.label}, column '{part.given(name)}': dates were read {read.told}.")
    return replace(part, written=forms), notes


def _refuse_other_type(file: Path, field: pa.Field, wanted: pa.DataType) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    fits = {
        pa.string(): (pa.types.is_string, pa.types.is_large_string),
        pa.date32(): (pa.types.is_date, _is_moment),
        pa.bool_(): (pa.types.is_boolean,),
        pa.int64(): (pa.types.is_integer,),
        pa.float64(): (pa.types.is_floating, pa.types.is_integer),
    }[wanted]
    if not pa.types.is_null(kind) and not any(test(kind) for test in fits):
        raise DataError(
            f"{file}, column '{field.name}': {IN_WORDS[wanted]} were expected, not {kind}."
        )


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is None)


def _refuse_other_years(con: Any, part: _Part) -> None:
    """Refuse April-years that are none, such as 201415 for 2014."""
    for name in (n for n in YEARS if n in TABLES[part.name].names):
        other = con.execute(
            f"SELECT min({name}) FROM ({part.scan}) "
            f"WHERE {name} NOT BETWEEN {PLAUSIBLE[0]} AND {PLAUSIBLE[-1]}"
        ).fetchone()
        if other[0] is not None:
            raise DataError(
                f"{part.label}, column '{name}': {other[0]} is no April-year; the year in which it "
                "begins was expected, such as 2014 for April 2014 to March 2015."
            )


def _examined(con: Any, part: _Part, examples: int) -> tuple[QualityProfile, bool]:
    """Count rows without a value, without a key and with the key of another row."""
    keys = RECORD_TABLES[part.name].needed
    year = _april_year(part.name)
    relation = (
        f"(SELECT *, {year} AS {'period' if part.name != 'published' else 'april_year'}, "
        f"{quoted(part.label)} AS file, NULL::BIGINT AS line FROM ({part.scan}))"
    )
    checks, before = [], "true"
    for name in (*keys, *(n for n in TABLES[part.name].names if n not in keys)):
        empty, action = f"{identifier(name)} IS NULL", "dropped" if name in keys else "kept"
        looked_at = before if name in keys else "true"
        checks.append(SqlCheck(part.name, name, "missing", empty, action, looked_at))
        before += f" AND NOT ({empty})"  # a row without several keys is dropped once
    quality = profile(con, relation, checks, source=RecordTables.name, examples=examples)
    by, unique = ", ".join(identifier(key) for key in keys), RECORD_TABLES[part.name].unique
    ((n, different),) = con.execute(
        f"SELECT count(*), {f'count(DISTINCT ({by}))' if unique else 'count(*)'} "
        f"FROM ({part.scan}) WHERE {part.filled}"
    ).fetchall()
    if n == 0:
        raise DataError(f"{part.label}: no row has {', '.join(keys)}.")
    ((n_read,),) = con.execute(f"SELECT count(*) FROM ({part.scan})").fetchall()
    if n == different:
        return quality + _account(part, quality, n_read, n), False
    again = f"row_number() OVER (PARTITION BY {by}) > 1"
    repeated = f"(SELECT *, {again} AS again FROM {relation} WHERE {part.filled})"
    check = SqlCheck(part.name, "", "duplicate", "again", "merged")
    quality += profile(con, repeated, [check], source=RecordTables.name, examples=examples)
    return quality + _account(part, quality, n_read, different), True


def _account(part: _Part, quality: QualityProfile, n_read: int, n_given: int) -> QualityProfile:
    name = RecordTables.name
    return account(quality, source=name, table=part.name, n_read=n_read, n_given=n_given)


def _april_year(name: str) -> str:
    column = YEAR.get(name)
    if column is None:
        return "NULL::BIGINT"
    if column.endswith("_date"):
        return f"year({column}) - (month({column}) < 4)::INT"
    return column


def _lazily(session: Session, part: _Part, *, repeated: bool) -> Any:
    """Return the table as an expression on the files."""
    if session.backend.name != "duckdb":
        return _elsewhere(session, part, repeated=repeated)
    rows = f"SELECT * FROM ({part.scan}) WHERE {part.filled}"
    if repeated:
        by = ", ".join(identifier(key) for key in RECORD_TABLES[part.name].needed)
        first = ", ".join(f"{identifier(name)} DESC NULLS LAST" for name in _highest_first(part))
        rows = f"SELECT DISTINCT ON ({by}) * FROM ({rows}) ORDER BY {by}, {first}"
    return session.backend.sql(rows, schema=_ibis_schema(part.name))


def _ibis_schema(name: str) -> Any:
    return ibis.Schema.from_pyarrow(TABLES[name])


def _elsewhere(session: Session, part: _Part, *, repeated: bool) -> Any:
    table = session.parquet(part.files, part.name)
    schema = _ibis_schema(part.name)
    keys = list(RECORD_TABLES[part.name].needed)
    table = table.select(
        [table[part.given(name)].cast(kind).name(name) for name, kind in schema.items()]
    )
    table = table.drop_null(keys)
    if not repeated:
        return table
    order = [
        part_of
        for name in _highest_first(part)
        for part_of in (table[name].isnull().asc(), table[name].desc())
    ]
    rank = ibis.row_number().over(ibis.window(group_by=keys, order_by=order))
    return table.mutate(_rank=rank).filter(ibis._["_rank"] == 0).drop("_rank")


def _highest_first(part: _Part) -> list[str]:
    """Columns that decide which of the rows with one key stays: the highest, column by column.

    The latest return decides first, where there is one; the others settle it, so that every
    backend keeps the same row.
    """
    others = [
        name for name in TABLES[part.name].names if name not in RECORD_TABLES[part.name].needed
    ]
    return sorted(others, key=lambda name: name != "return_year")


def _covered(con: Any, parts: list[_Part]) -> tuple[dt.date | None, dt.date | None]:
    for part in parts:
        if part.name == "referrals":
            ((first, last),) = con.execute(
                f"SELECT min(return_year), max(return_year) FROM ({part.scan})"
            ).fetchall()
            if first is not None:
                return dt.date(first, 4, 1), dt.date(last + 1, 3, 31)
    return None, None


def _content(parts: list[_Part]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.name.encode())
        for file in part.files:
            with file.open("rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(RecordTables())
