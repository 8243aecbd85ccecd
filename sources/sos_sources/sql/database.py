"""Record tables out of a database, through Ibis: DuckDB, SQLite, PostgreSQL, SQL Server, Spark."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote_plus, urlsplit

import duckdb
import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from sos_plugins import Records, Session, Settings, Source, hookimpl
from sos_plugins.backends import limits_of, refuse_interrupted, scratch_database
from sos_plugins.contract.columns import CASE_COLUMNS
from sos_plugins.contract.record_tables import RECORD_TABLES, TABLES
from sos_plugins.contract.types import QualityProfile
from sos_plugins.errors import DataError, did_you_mean
from sos_plugins.groundwork.names_alike import refuse_alike
from sos_plugins.system.secrets import HIDDEN, masked, secrets_in
from sos_plugins.tables.file_columns import SHOWN, Columns, is_text
from sos_plugins.tables.period_columns import read_cohorts, read_periods
from sos_plugins.tables.readable import refuse_closed
from sos_plugins.tables.row_accounts import account
from sos_plugins.tables.unit_codes import CODES_HELP, Codes, units_of
from sos_plugins.tables.written_dates import DATES_HELP, DateOrder
from sos_sources.paths import shown
from sos_sources.sql.sql_checks import SqlCheck, profile
from sos_sources.sql.sql_columns import identifier, quoted
from sos_sources.tables.tidy import RESERVED

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
FILES = ("duckdb", "sqlite")
BACKEND = "backend"
"""In place of an address: the backend that the study runs on."""
ROWS_AT_ONCE = 500_000
"""Rows of the database that are in memory at a time."""
STAGED, LOCATED = "database_rows_read", "database_rows_located"
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class DatabaseSettings(Settings):
    """Which database, and which of its tables is what."""

    url: str = Field(
        description="Such as duckdb://records.duckdb, sqlite://records.sqlite or "
        "postgres://reader:${DB_PASSWORD}@host/database; ${NAME} is an environment variable. "
        "'backend': the tables of the backend that the study runs on, such as a Spark catalogue."
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
    missing: tuple[str, ...] = Field(
        (),
        description="Texts that stand for a missing value in any column, besides null, the empty "
        "text and, among numbers and dates, the usual ones.",
    )
    dates: DateOrder = Field("auto", description=DATES_HELP)
    codes: Codes = Field("as-written", description=CODES_HELP)
    start: dt.date | None = Field(None, description="First day that the records cover.")
    end: dt.date | None = Field(None, description="Last day that the records cover.")
    examples: int = Field(20, ge=0, description="How many places of each fault are listed.")


class RecordColumns(Columns):
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
    label: ClassVar[str] = (
        "Record tables in a database (DuckDB, SQLite, PostgreSQL, SQL Server, Spark catalogue)"
    )
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
        database = _Connection(settings.url, session, settings.missing, settings.dates)
        quality = QualityProfile()
        notes: list[str] = []
        tables: dict[str, Any] = {}
        digest = hashlib.sha256()
        files = []
        try:
            for name, source in settings.tables.items():
                place = f"{database.label}: {source}"
                with _staging(session) as con:
                    batches = database.batches(source, whole=name == "cases")
                    schema = _load(con, name, batches, settings, notes)
                    profiled = _profiled(con, name, schema, place, settings.examples)
                    kept = _kept(con, name, schema, place)
                    profiled += _account(con, name, kept, profiled)
                    digest.update(name.encode() + _content(con, kept))
                    tables[name] = _handed_over(con, kept, schema, name, session)
                quality = quality + profiled
                files.append(place)
            database.refuse_written()
        finally:
            database.close()
        return Records(
            tables=tables,
            quality=quality,
            start=settings.start,
            end=settings.end,
            files=tuple(files),
            data_hash=digest.hexdigest(),
            notes=tuple(dict.fromkeys(notes)),
        )


class _Connection:
    """A database, and sentences for what goes wrong with it."""

    def __init__(
        self,
        url: str,
        session: Session,
        missing: tuple[str, ...] = (),
        dates: DateOrder = "auto",
    ) -> None:
        self._secrets: set[str] = set()
        self._missing, self._dates = missing, dates
        self._own = url != BACKEND
        self._unlocked: Mapping[Path, tuple[int, int]] = {}
        if not self._own:
            self.label, self._backend = f"backend {session.backend.name}", session.backend
            return
        _refuse_password(url)
        full, self._secrets = _filled(url)
        scheme, _, rest = full.partition("://")
        self.label = "database"
        if scheme in FILES:
            path = session.path(rest)
            self.label = shown(path, session)
            if not path.exists():
                raise DataError(f"There is no database file {path}.")
            refuse_closed(path)
        try:
            if scheme == "duckdb":
                self._backend = _locked(path, session)
            elif scheme == "sqlite":
                self._backend, self._unlocked = _sqlite(path)
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
            refuse_interrupted(error)
            told = f"Cannot connect to {self.label}: {self._plain(error)}."
            if scheme == "sqlite" and Path(f"{path}-journal").exists():
                told += (
                    " Whoever wrote it last was cut off, and it is opened for reading only. Open "
                    "it once with the program that writes it, which brings it in order."
                )
            raise DataError(told) from None

    def batches(self, source: str, *, whole: bool) -> Iterator[RecordColumns]:
        """Yield a table some rows at a time, or in one piece; one piece at least."""
        schema, _, name = source.rpartition(".")
        place = {"database": schema} if schema else {}
        try:
            names = self._backend.list_tables(**place)
        except Exception as error:
            refuse_interrupted(error)
            raise DataError(
                f"The tables of {self.label} cannot be listed: {self._plain(error)}."
            ) from None
        if name not in names:
            raise DataError(
                f"{self.label} has no table '{source}'.{did_you_mean(name, names)} "
                f"Tables: {', '.join(sorted(names)) or 'none'}."
            )
        forms: dict[str, str] = {}  # how dates are written, as earlier rows show

        def columns(data: pa.Table) -> RecordColumns:
            return _columns(source, data, self._missing, self._dates, forms)

        try:
            table = self._backend.table(name, **place)
            if whole:
                yield columns(table.to_pyarrow())
                return
            reader = table.to_pyarrow_batches(chunk_size=ROWS_AT_ONCE)
            none = True
            for batch in reader:
                none = False
                yield columns(pa.Table.from_batches([batch]))
            if none:
                yield columns(reader.schema.empty_table())
        except DataError:
            raise
        except duckdb.PermissionException:
            raise DataError(
                f"'{source}' of {self.label} is a view that reads outside of the database file, "
                "which is not done: whoever made the file could have any file of yours read. "
                "Make it a table (CREATE TABLE ... AS SELECT ...) and name that."
            ) from None
        except Exception as error:
            refuse_interrupted(error)
            raise DataError(
                f"Table '{source}' of {self.label} cannot be read "
                f"({type(error).__name__}). Are all cells of the type of their column?"
            ) from None

    def refuse_written(self) -> None:
        """Raise a DataError if a file that is read without a lock was written to meanwhile."""
        for path, before in self._unlocked.items():
            if _state(path) != before:
                raise DataError(
                    f"{self.label} was written to while it was read. Read it when nobody writes."
                )

    def close(self) -> None:
        """Leave the database, unless it is the backend itself."""
        if self._own:
            self._backend.disconnect()

    def _plain(self, error: Exception) -> str:
        text = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return masked(text)


def _locked(path: Path, session: Session) -> Any:
    """Open a DuckDB file that others made: nothing is written, loaded or read outside of it.

    What the session may take of memory and disk is set first, for later nothing can be set.
    """
    backend = ibis.duckdb.connect(path, read_only=True, **limits_of(session.backend))
    for setting in (
        "autoload_known_extensions = false",
        "autoinstall_known_extensions = false",
        "allow_community_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        backend.raw_sql(f"SET {setting}")
    return backend


def _sqlite(path: Path) -> tuple[Any, Mapping[Path, tuple[int, int]]]:
    """Open an SQLite file for reading only; no file is made beside it.

    Where its log (``-wal``) is not there, SQLite would make one even to read; such a file is read
    without a lock.

    Returns:
        The backend, and the state of the file by its path where it is read without a lock.
    """
    from ibis.backends.sqlite import Backend

    with path.open("rb") as file:
        logged = file.read(20)[18:20] == b"\x02\x02"
    unlocked = logged and not Path(f"{path}-wal").exists()
    before = {path: _state(path)} if unlocked else {}
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if unlocked else ''}"
    return Backend.from_connection(sqlite3.connect(address, uri=True)), before


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _columns(
    source: str,
    data: pa.Table,
    missing: tuple[str, ...],
    dates: DateOrder,
    forms: dict[str, str],
) -> RecordColumns:
    plain = tuple(
        c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in data.columns
    )
    names = tuple(data.column_names)
    path = Path(f"Table '{source}'")
    return RecordColumns(path, names, plain, "", missing=missing, dates=dates, forms=forms)


def _refuse_password(url: str) -> None:
    try:
        given = urlsplit(url).password
    except ValueError:
        raise DataError("The setting 'url' is no address of a database.") from None
    if (given and not VARIABLE.fullmatch(given)) or secrets_in(url):
        raise DataError(
            "The setting 'url' holds a password. Put it into an environment variable and write "
            "its name, such as postgres://reader:${DB_PASSWORD}@host/database."
        )


def _filled(url: str) -> tuple[str, set[str]]:
    """Return the address with its variables filled in, and the texts that no message may show."""
    unset = sorted({name for name in VARIABLE.findall(url) if not os.environ.get(name)})
    if unset:
        raise DataError(f"The setting 'url' names unset environment variables: {', '.join(unset)}.")
    login = url.rfind("@") if url.partition("://")[0] not in FILES else -1
    query = url.find("?") if login >= 0 else -1

    def fill(variable: re.Match[str]) -> str:
        value = os.environ[variable[1]]
        inside = variable.start() < login or 0 <= query < variable.start()
        return quote(value, safe="") if inside else value

    full = VARIABLE.sub(fill, url)
    secrets = {os.environ[name] for name in VARIABLE.findall(url)} | {full}
    try:
        parts = urlsplit(full)
        given = [parts.password, *secrets_in(full)]
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


def _typed(name: str, columns: RecordColumns, settings: DatabaseSettings) -> pa.Table:
    """Return the columns of the schema, and of cases the further ones."""
    names = settings.columns.get(name, {})
    absent = settings.absent.get(name, ())
    wanted: dict[str, pa.DataType] = dict(zip(TABLES[name].names, TABLES[name].types, strict=True))
    if name == "cases":
        free = {*columns.names} - {*names.values()}
        wanted |= {c: k for c, k in ROLES.items() if c in names or c in free}
    for column in (*names, *absent):
        if column not in wanted and name != "cases":
            raise DataError(
                f"The record table '{name}' has no column '{column}'."
                f"{did_you_mean(column, wanted)} Columns: {', '.join(wanted)}."
            )
    for column in absent:
        if column in RECORD_TABLES[name].needed:
            raise DataError(f"The column '{column}' of '{name}' cannot be absent: it is a key.")
    made: dict[str, pa.Array] = {}
    for column, kind in wanted.items():
        if column in absent:
            made[column] = pa.nulls(columns.n_rows, kind)
        elif column == "cohort":
            periods = read_periods(columns, names.get("period", "period"))
            cohorts = read_cohorts(columns, names.get(column, column), periods)
            made[column] = pa.array(cohorts)
        else:
            made[column] = _column(columns, names.get(column, column), column, kind)
    if settings.codes != "as-written":
        made["unit"] = units_of(columns, names.get("unit", "unit"), settings.codes)
    if name == "cases":
        made |= _covariates(columns, names, wanted)
    return pa.table(made)


def _covariates(
    columns: RecordColumns, names: Mapping[str, str], wanted: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    used = {names.get(column, column) for column in wanted}
    labels = {source: label for label, source in names.items() if label not in wanted}
    for source in labels:
        columns.raw(source)
    made = {}
    for source in (n for n in columns.names if n not in used):
        label = labels.get(source, source)
        if label in RESERVED or label in wanted:
            raise DataError(
                f"{columns.path}: the column '{label}' has a name that means something else here. "
                f"Give it another name in the setting 'columns', such as cases.own_{label} = "
                f"'{source}', or name a view of the database without it."
            )
        series = columns.covariate(source)
        kind = pa.string() if series.dtype == object else None
        made[label] = pa.Array.from_pandas(series, type=kind)
    refuse_alike(made, {*wanted, *CASE_COLUMNS}, where=str(columns.path))
    return made


def _column(columns: RecordColumns, source: str, name: str, kind: pa.DataType) -> pa.Array:
    if name in YEARS and not pa.types.is_null(columns.raw(source).type):
        return pa.array(read_periods(columns, source).values, from_pandas=True).cast(pa.int64())
    if name == "weight":
        return pa.array(columns.weights(source))
    if pa.types.is_null(columns.raw(source).type):
        return pa.nulls(columns.n_rows, kind)
    if pa.types.is_date(kind):
        return columns.days(source)
    if pa.types.is_boolean(kind):
        return _truths(columns, source)
    if pa.types.is_integer(kind):
        return pa.array(columns.whole_numbers(source), from_pandas=True).cast(pa.int64())
    if pa.types.is_floating(kind):
        return pa.array(columns.numbers(source), from_pandas=True)
    return columns.texts(source)


def _truths(columns: RecordColumns, name: str) -> pa.Array:
    raw = columns.raw(name)
    if pa.types.is_boolean(raw.type):
        return raw.combine_chunks()
    text = columns.typed_texts(name) if is_text(raw.type) else columns.texts(name)
    truths = pa.array(
        [None if t is None else TRUTHS.get(t.lower()) for t in text.to_pylist()], type=pa.bool_()
    )
    lost = pc.and_(pc.is_valid(text), pc.is_null(truths)).to_numpy(zero_copy_only=False)
    if lost.any():
        columns.refuse(name, lost, "true, false, 1 or 0 was expected")
    return truths


@contextmanager
def _staging(session: Session) -> Iterator[Any]:
    """Give the connection on which rows are collected: the session's, where that is DuckDB."""
    if session.backend.name == "duckdb":
        con = session.backend.con
        try:
            yield con
        finally:
            con.execute(f"DROP VIEW IF EXISTS {LOCATED}")
            con.execute(f"DROP TABLE IF EXISTS {STAGED}")
    else:
        with scratch_database(session.backend) as con:
            yield con


def _load(
    con: Any,
    name: str,
    batches: Iterator[RecordColumns],
    settings: DatabaseSettings,
    notes: list[str],
) -> pa.Schema:
    """Collect the typed rows in one table, whose columns are c0, c1 ...; add to the notes."""
    schema = None
    for batch in batches:
        typed = _typed(name, batch, settings)
        notes.extend(batch.notes())
        con.register("piece", typed.rename_columns([f"c{i}" for i in range(typed.num_columns)]))
        if schema is None:
            schema = typed.schema
            con.execute(f"CREATE TABLE {STAGED} AS SELECT * FROM piece")
        else:
            con.execute(f"INSERT INTO {STAGED} SELECT * FROM piece")
        con.unregister("piece")
    assert schema is not None
    return schema


def _places(schema: pa.Schema) -> dict[str, str]:
    return {label: f"c{i}" for i, label in enumerate(schema.names)}


def _profiled(con: Any, name: str, schema: pa.Schema, place: str, examples: int) -> QualityProfile:
    """Count the faults of all rows; lines count rows in the order of their values."""
    at = _places(schema)
    year = next((at[c] for c in YEARS if c in at), None)
    day = next((at[c] for c in DAYS if c in at), None)
    if year is None:
        year = f"year({day}) - (month({day}) < 4)::INT" if day else "NULL::BIGINT"
    con.execute(
        f"CREATE VIEW {LOCATED} AS SELECT *, {at['unit']} AS unit, {year} AS period, "
        f"{quoted(place)} AS file, NULL::BIGINT AS line FROM {STAGED}"
    )
    return profile(con, LOCATED, _checks(name, at), source=Database.name, examples=examples)


def _kept(con: Any, name: str, schema: pa.Schema, place: str) -> str:
    """Return SQL of the rows that have their key, under their names.

    Raises:
        DataError: If there is none, or a key stands twice where it may not.
    """
    at, keys = _places(schema), RECORD_TABLES[name].needed
    named = ", ".join(f"{sql} AS {identifier(label)}" for label, sql in at.items())
    filled = " AND ".join(f"{at[k]} IS NOT NULL" for k in keys)
    by = ", ".join(at[k] for k in keys)
    ((n, different),) = con.execute(
        f"SELECT count(*), count(DISTINCT ({by})) FROM {STAGED} WHERE {filled}"
    ).fetchall()
    if n == 0:
        raise DataError(f"{place}: no row has {', '.join(keys)}.")
    if RECORD_TABLES[name].unique and n > different:
        raise DataError(
            f"{place}: {n - different} rows repeat {', '.join(keys)} of another row; '{name}' has "
            "one row for each. Name a view of the database that holds one."
        )
    return f"SELECT {named} FROM {STAGED} WHERE {filled}"


def _account(con: Any, name: str, kept: str, quality: QualityProfile) -> QualityProfile:
    ((n_read,),) = con.execute(f"SELECT count(*) FROM {STAGED}").fetchall()
    ((n_given,),) = con.execute(f"SELECT count(*) FROM ({kept})").fetchall()
    return account(quality, source=Database.name, table=name, n_read=n_read, n_given=n_given)


def _handed_over(con: Any, kept: str, schema: pa.Schema, name: str, session: Session) -> Any:
    """Put the rows where the records of the session lie."""
    if session.backend.name == "duckdb":
        return session.table(session.backend.sql(kept), name)
    return session.table(con.sql(kept).to_arrow_table().cast(schema), name)


def _checks(name: str, at: Mapping[str, str]) -> tuple[SqlCheck, ...]:
    made = []
    before = "true"
    for key in RECORD_TABLES[name].needed:
        flagged = f"{at[key]} IS NULL"
        made.append(SqlCheck(name, key, "missing", flagged, "dropped", before))
        before += f" AND {at[key]} IS NOT NULL"
    made += [
        SqlCheck(name, column, "missing", f"{sql} IS NULL")
        for column, sql in at.items()
        if column not in RECORD_TABLES[name].needed
    ]
    return tuple(made)


def _content(con: Any, kept: str) -> bytes:
    """Return what the rows add up to, whatever their order."""
    sums = con.execute(
        "SELECT count(*), bit_xor(hash(t)), sum(hash(t)::HUGEINT % 9007199254740993) "
        f"FROM ({kept}) t"
    ).fetchall()
    return repr(sums).encode()


def _form(value: object) -> str:
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", str(value)))[:30]


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer the source."""
    register(Database())
