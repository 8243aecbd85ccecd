"""Record tables out of a database, through Ibis: DuckDB, SQLite, PostgreSQL, SQL Server."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, unquote_plus, urlsplit

import duckdb
import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.errors import DataError, did_you_mean
from sos_plugins.schema import CASE_COLUMNS, SAMPLE_COLUMNS, TABLES
from sos_plugins.tidy_table import SHOWN, Columns
from sos_plugins.types import QualityProfile
from sos_sources.checks import Check, profile
from sos_sources.paths import shown

KEYS: Mapping[str, tuple[str, ...]] = {
    "children": ("unit", "child"),
    "referrals": ("unit", "child", "referral_date"),
    "assessments": ("unit", "child"),
    "section47s": ("unit", "child"),
    "protection_plans": ("unit", "child"),
    "episodes": ("unit", "child", "start_date"),
    "published": ("unit", "period", "measure"),
    "neighbours": ("unit", "neighbour"),
    "cases": ("unit", "period"),
}
"""Columns without which a row is dropped."""
UNIQUE = ("children", "referrals", "episodes", "published", "neighbours")
"""Tables in which a key stands once."""
YEARS = ("period", "return_year")
DAYS = ("referral_date", "start_date")
"""Columns that say to which April-year a row belongs, the first there is."""
ROLES: Mapping[str, pa.DataType] = {
    "cohort": pa.int64(),
    "id": pa.string(),
    "weight": pa.float64(),
    "cluster": pa.string(),
    "child": pa.string(),
    "date": pa.date32(),
    "follow_up_end": pa.date32(),
}
"""Columns that cases may have besides those of the schema."""
RESERVED = frozenset((*CASE_COLUMNS, *SAMPLE_COLUMNS))
FILES = ("duckdb", "sqlite")
SECRET_KEYS = ("password", "passwd", "pwd", "token")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class DatabaseSettings(Settings):
    """Which database, and which of its tables is what."""

    url: str = Field(
        description="Such as duckdb://records.duckdb, sqlite://records.sqlite or "
        "postgres://reader:${DB_PASSWORD}@host/database; ${NAME} is an environment variable."
    )
    tables: dict[str, str] = Field(
        min_length=1,
        description="Record table -> its name in the database, with or without 'schema.'.",
    )
    columns: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Record table -> its columns that are named otherwise in the database.",
    )
    absent: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Record table -> columns that the database does not have; they are missing.",
    )
    start: dt.date | None = Field(None, description="First day that the records cover.")
    end: dt.date | None = Field(None, description="Last day that the records cover.")
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")


class Cells(Columns):
    """Columns of records of children: a message shows the form of a cell, not what it says."""

    def refuse(self, name: str, faulty: npt.NDArray[np.bool_], expected: str) -> None:
        """Raise a DataError that counts the faulty rows and shows the form of the first ones."""
        rows = np.flatnonzero(faulty)
        forms = dict.fromkeys(_form(self.raw(name)[int(row)].as_py()) for row in rows[:SHOWN])
        raise DataError(
            f"{self.path}, column '{name}': {expected}; found the form "
            f"{', '.join(repr(form) for form in forms)} ({len(rows)} of {self.n_rows} rows)."
        )


class Database(Source):
    """Reads record tables as they stand in a database; nothing is written there."""

    name: ClassVar[str] = "database"
    label: ClassVar[str] = "Record tables in a database (DuckDB, SQLite, PostgreSQL, SQL Server)"
    Settings: ClassVar[type[Settings]] = DatabaseSettings
    citation: ClassVar[str] = ""
    gives: ClassVar[tuple[str, ...]] = tuple(TABLES)

    def read(self, settings: DatabaseSettings, session: Session) -> Records:
        """Read the tables.

        Rows without their key are dropped and counted; other empty cells are kept and counted.

        Raises:
            DataError: If a driver, the database, a table or a column is missing, a cell is of the
                wrong type, a key stands twice or no row is left. No message shows a password.
        """
        _known("tables", settings.tables)
        _known("columns", settings.columns, within=settings.tables)
        _known("absent", settings.absent, within=settings.tables)
        database = _Connection(settings.url, session)
        quality = QualityProfile()
        tables: dict[str, Any] = {}
        digest = hashlib.sha256()
        files = []
        try:
            for name, source in settings.tables.items():
                place = f"{database.label}: {source}"
                typed = _typed(name, database.table(source), settings)
                kept, found = _checked(name, typed, place, settings.examples)
                quality = quality + found
                tables[name] = session.table(kept, name)
                digest.update(name.encode() + _content(kept))
                files.append(place)
        finally:
            database.close()
        return Records(
            tables=tables,
            quality=quality,
            start=settings.start,
            end=settings.end,
            files=tuple(files),
            data_hash=digest.hexdigest(),
        )


class _Connection:
    """A database, and sentences for what goes wrong with it."""

    def __init__(self, url: str, session: Session) -> None:
        _refuse_password(url)
        full, self._secrets = _filled(url)
        scheme, _, rest = full.partition("://")
        self.label = "database"
        if scheme in FILES:
            path = session.path(rest)
            self.label = shown(path, session)
            if not path.is_file():
                raise DataError(f"There is no database file {path}.")
        try:
            if scheme == "duckdb":
                self._backend = ibis.duckdb.connect(path, read_only=True)
            elif scheme == "sqlite":
                self._backend = ibis.sqlite.connect(path)
                self._backend.list_tables()
            else:
                self._backend = ibis.connect(full)
        except ImportError:
            kind = {"postgresql": "postgres"}.get(scheme, scheme)
            raise DataError(
                f"Databases of the kind '{scheme}' need a driver that is not installed: "
                f'pip install "ibis-framework[{kind}]".'
            ) from None
        except Exception as error:  # Drivers have no error in common.
            raise DataError(f"Cannot connect to {self.label}: {self._plain(error)}.") from None

    def table(self, source: str) -> Cells:
        """Return a table as read."""
        schema, _, name = source.rpartition(".")
        try:
            names = self._backend.list_tables(**({"database": schema} if schema else {}))
        except Exception as error:
            raise DataError(
                f"The tables of {self.label} cannot be listed: {self._plain(error)}."
            ) from None
        if name not in names:
            raise DataError(
                f"{self.label} has no table '{source}'.{did_you_mean(name, names)} "
                f"Tables: {', '.join(sorted(names)) or 'none'}."
            )
        try:
            found = self._backend.table(name, **({"database": schema} if schema else {}))
            data = found.to_pyarrow()
        except Exception as error:
            raise DataError(
                f"Table '{source}' of {self.label} cannot be read "
                f"({type(error).__name__}). Are all cells of the type of their column?"
            ) from None
        columns = tuple(
            c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in data.columns
        )
        return Cells(Path(f"Table '{source}'"), tuple(data.column_names), columns, "")

    def close(self) -> None:
        """Leave the database."""
        self._backend.disconnect()

    def _plain(self, error: Exception) -> str:
        text = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _refuse_password(url: str) -> None:
    try:
        parts = urlsplit(url)
        given = [parts.password, *(v for k, v in parse_qsl(parts.query) if _is_secret(k))]
    except ValueError:
        raise DataError("The setting 'url' is no address of a database.") from None
    if any(text and not VARIABLE.fullmatch(text) for text in given):
        raise DataError(
            "The setting 'url' holds a password. Put it into an environment variable and write "
            "its name, such as postgres://reader:${DB_PASSWORD}@host/database."
        )


def _is_secret(key: str) -> bool:
    return key.lower() in SECRET_KEYS


def _filled(url: str) -> tuple[str, set[str]]:
    """Return the address with its variables filled in, and the texts that no message may show."""
    unset = sorted({name for name in VARIABLE.findall(url) if not os.environ.get(name)})
    if unset:
        raise DataError(f"The setting 'url' names unset environment variables: {', '.join(unset)}.")
    login = url.rfind("@") if url.partition("://")[0] not in FILES else -1
    query = url.find("?") if login >= 0 else -1

    def fill(found: re.Match[str]) -> str:
        value = os.environ[found[1]]
        inside = found.start() < login or 0 <= query < found.start()
        return quote(value, safe="") if inside else value

    full = VARIABLE.sub(fill, url)
    secrets = {os.environ[name] for name in VARIABLE.findall(url)} | {full}
    try:
        parts = urlsplit(full)
        given = [parts.password, *(v for k, v in parse_qsl(parts.query) if _is_secret(k))]
    except ValueError:
        raise DataError("The setting 'url' is no address of a database.") from None
    for text in (t for t in given if t):
        secrets |= {text, unquote_plus(text)}
    return full, secrets | {quote(s, safe="") for s in secrets}


def _known(setting: str, given: Mapping[str, Any], within: Mapping[str, Any] = TABLES) -> None:
    for name in given:
        if name not in within:
            raise DataError(
                f"'{name}' in the setting '{setting}' is none of the record tables "
                f"{', '.join(within)}.{did_you_mean(name, within)}"
            )


def _typed(name: str, cells: Cells, settings: DatabaseSettings) -> pa.Table:
    """Return the columns of the schema, and of cases the further ones."""
    names = settings.columns.get(name, {})
    absent = settings.absent.get(name, ())
    wanted: dict[str, pa.DataType] = dict(zip(TABLES[name].names, TABLES[name].types, strict=True))
    if name == "cases":
        wanted |= {c: k for c, k in ROLES.items() if c in names or c in cells.names}
    for column in (*names, *absent):
        if column not in wanted and name != "cases":
            raise DataError(
                f"The record table '{name}' has no column '{column}'."
                f"{did_you_mean(column, wanted)} Columns: {', '.join(wanted)}."
            )
    for column in absent:
        if column in KEYS[name]:
            raise DataError(f"The column '{column}' of '{name}' cannot be absent: it is a key.")
    made: dict[str, pa.Array] = {}
    for column, kind in wanted.items():
        if column in absent:
            made[column] = pa.nulls(cells.n_rows, kind)
        else:
            made[column] = _column(cells, names.get(column, column), column, kind)
    if name == "cases":
        made |= _covariates(cells, names, wanted)
    return pa.table(made)


def _covariates(
    cells: Cells, names: Mapping[str, str], wanted: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    used = {names.get(column, column) for column in wanted}
    labels = {source: label for label, source in names.items() if label not in wanted}
    for source in labels:
        cells.raw(source)
    made = {}
    for source in (n for n in cells.names if n not in used):
        label = labels.get(source, source)
        if label in RESERVED or label in wanted:
            raise DataError(f"{cells.path}: the column '{label}' has a name that is taken.")
        series = cells.covariate(source)
        kind = pa.string() if series.dtype == object else None
        made[label] = pa.Array.from_pandas(series, type=kind)
    return made


def _column(cells: Cells, source: str, name: str, kind: pa.DataType) -> pa.Array:
    if name == "cohort":
        return pa.array(cells.cohorts(source))
    if name == "weight":
        return pa.array(cells.weights(source))
    if pa.types.is_null(cells.raw(source).type):
        return pa.nulls(cells.n_rows, kind)
    if pa.types.is_date(kind):
        return _dates(cells, source)
    if pa.types.is_boolean(kind):
        return _truths(cells, source)
    if pa.types.is_integer(kind):
        return pa.array(cells.whole_numbers(source), from_pandas=True).cast(pa.int64())
    if pa.types.is_floating(kind):
        return pa.array(cells.numbers(source), from_pandas=True)
    return cells.texts(source)


def _dates(cells: Cells, name: str) -> pa.Array:
    raw = cells.raw(name)
    kind = raw.type
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        return raw.cast(pa.date32(), safe=False).combine_chunks()
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{cells.path}, column '{name}': a date was expected, not {kind}.")
    text = cells.texts(name)
    read = {t: _date(t) for t in pc.unique(text).to_pylist() if t is not None}
    days = pa.array([read.get(t) for t in text.to_pylist()], type=pa.date32())
    _refuse_lost(cells, name, text, days, "a date such as 2015-03-31 was expected")
    return days


def _date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def _truths(cells: Cells, name: str) -> pa.Array:
    raw = cells.raw(name)
    if pa.types.is_boolean(raw.type):
        return raw.combine_chunks()
    text = cells.texts(name)
    found = pa.array(
        [None if t is None else TRUTHS.get(t.lower()) for t in text.to_pylist()], type=pa.bool_()
    )
    _refuse_lost(cells, name, text, found, "true, false, 1 or 0 was expected")
    return found


def _refuse_lost(cells: Cells, name: str, text: pa.Array, read: pa.Array, expected: str) -> None:
    lost = pc.and_(pc.is_valid(text), pc.is_null(read)).to_numpy(zero_copy_only=False)
    if lost.any():
        cells.refuse(name, lost, expected)


def _checked(
    name: str, typed: pa.Table, place: str, examples: int
) -> tuple[pa.Table, QualityProfile]:
    """Return the rows with a key, in order, and the faults of all rows."""
    keys = KEYS[name]
    labels = typed.column_names
    plain = typed.rename_columns([f"c{i}" for i in range(typed.num_columns)])
    at = {label: f"c{i}" for i, label in enumerate(labels)}
    year = next((at[c] for c in YEARS if c in at), None)
    day = next((at[c] for c in DAYS if c in at), None)
    if year is None:
        year = f"year({day}) - (month({day}) < 4)::INT" if day else "NULL::BIGINT"
    with duckdb.connect() as con:
        con.register("plain", plain)
        con.execute(
            f"CREATE TABLE located AS SELECT *, {at['unit']} AS unit, {year} AS period, "
            "$place AS file, row_number() OVER () AS line FROM (SELECT * FROM plain ORDER BY ALL)",
            {"place": place},
        )
        quality = profile(
            con, "located", _checks(name, at), source=Database.name, examples=examples
        )
        filled = " AND ".join(f"{at[k]} IS NOT NULL" for k in keys)
        kept = con.execute(
            f"SELECT {', '.join(at.values())} FROM located WHERE {filled} ORDER BY line"
        ).fetch_arrow_table()
    kept = kept.rename_columns(labels).cast(typed.schema)
    if kept.num_rows == 0:
        raise DataError(f"{place}: no row has {', '.join(keys)}.")
    if name in UNIQUE:
        n = kept.num_rows - kept.select(list(keys)).group_by(list(keys)).aggregate([]).num_rows
        if n:
            raise DataError(
                f"{place}: {n} rows repeat {', '.join(keys)} of another row; '{name}' has one row "
                "for each. Name a view of the database that holds one."
            )
    return kept, quality


def _checks(name: str, at: Mapping[str, str]) -> tuple[Check, ...]:
    made = []
    before = "true"
    for key in KEYS[name]:
        flagged = f"{at[key]} IS NULL"
        made.append(Check(name, key, "missing", flagged, "dropped", before))
        before += f" AND {at[key]} IS NOT NULL"
    made += [
        Check(name, column, "missing", f"{sql} IS NULL")
        for column, sql in at.items()
        if column not in KEYS[name]
    ]
    return tuple(made)


def _content(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).digest()


def _form(value: object) -> str:
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", str(value)))[:30]


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Database())
