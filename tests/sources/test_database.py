"""Record tables out of databases: the same as from files, and every mistake a sentence."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pytest
from ibis.backends.sqlite import Backend as SQLite
from sos_sources.sql import database
from sos_sources.sql.database import Database, DatabaseSettings
from sos_sources.tables.tidy import Tidy, TidySettings

from sos_plugins import Records, Session, backends
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate

CASES = pd.DataFrame(
    {
        "la": ["006", "006", "330", "330", None],
        "period": [2012, 2015, 2012, 2015, 2015],
        "value": [1.5, 2.5, None, 0.5, 1.0],
        "pop": [10.0, 11.0, 20.0, 21.0, 22.0],
        "kind": ["town", "town", "county", "county", "county"],
    }
)
PLANS = """CREATE TABLE plans (unit TEXT, child TEXT, referral_date DATE, start_date TEXT,
    end_date DATE, initial_category TEXT, latest_category TEXT, n_previous INTEGER)"""
ROWS = [
    ("006", "b", "2015-03-30", "2015-03-31", None, "NEG", "NEG", 0),
    ("006", "a", "2015-04-01", "2015-04-01", "2016-01-02", "NEG", "EMO", 1),
    (None, "c", "2015-04-01", "2015-04-01", "2016-01-02", "NEG", "EMO", 1),
]


def fill(folder: Path, kind: str, rows: list[tuple[Any, ...]] = ROWS) -> str:
    """Make a database of the kind and return its address."""
    path = folder / f"records.{kind}"
    con: Any = duckdb.connect(str(path)) if kind == "duckdb" else sqlite3.connect(path)
    con.execute("CREATE TABLE cases (la TEXT, period INTEGER, value DOUBLE, pop DOUBLE, kind TEXT)")
    cells = CASES.astype(object).where(CASES.notna(), None)
    con.executemany("INSERT INTO cases VALUES (?, ?, ?, ?, ?)", cells.to_numpy().tolist())
    con.execute(PLANS)
    con.executemany("INSERT INTO plans VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    con.commit()
    con.close()
    return f"{kind}://{path.name}"


def read(folder: Path, url: str, **values: Any) -> Records:
    chosen = {"url": url, "tables": {"protection_plans": "plans"}, **values}
    settings = validate(DatabaseSettings, chosen, where="test")
    return Database().read(settings, Session(base=folder))


ONE_AT_A_TIME: dict[str, Any] = {"tables": {"protection_plans": "plans"}}
KINDS = pytest.mark.parametrize("kind", ["duckdb", "sqlite"])


@KINDS
def test_cases_are_those_of_the_tidy_source(tmp_path: Path, kind: str) -> None:
    CASES.to_csv(tmp_path / "cases.csv", index=False)
    tidy = Tidy().read(TidySettings(path="cases.csv", unit="la"), Session(base=tmp_path))
    records = read(
        tmp_path,
        fill(tmp_path, kind),
        tables={"cases": "cases"},
        columns={"cases": {"unit": "la"}},
    )
    order = ["unit", "period"]
    pd.testing.assert_frame_equal(
        records.tables["cases"].to_pandas().sort_values(order, ignore_index=True),
        tidy.tables["cases"].to_pandas().sort_values(order, ignore_index=True),
    )
    columns = ["column", "check", "unit", "period", "n", "n_flagged", "action"]
    left, right = (r.quality.checks[columns].astype(object) for r in (records, tidy))
    assert sorted(map(str, left.to_numpy().tolist())) == sorted(map(str, right.to_numpy().tolist()))


@KINDS
def test_records_are_typed_and_counted(tmp_path: Path, kind: str) -> None:
    url = fill(tmp_path, kind)
    records = read(tmp_path, url)
    table = records.tables["protection_plans"].to_pyarrow()
    assert table.schema.equals(TABLES["protection_plans"])
    given = [tuple(None if v is None else str(v) for v in r.values()) for r in table.to_pylist()]
    expected = [tuple(None if v is None else str(v) for v in row) for row in ROWS[:2]]
    assert sorted(given, key=str) == sorted(expected, key=str)
    flagged = records.quality.checks.query("n_flagged > 0")
    assert sorted(zip(flagged["column"], flagged["action"], flagged["period"], strict=True)) == [
        ("end_date", "kept", 2014),
        ("unit", "dropped", 2015),
    ]
    assert records.files == (f"records.{kind}: plans",)
    assert records.data_hash == read(tmp_path, url).data_hash


def test_both_databases_give_the_same(tmp_path: Path) -> None:
    hashes = {read(tmp_path, fill(tmp_path, kind)).data_hash for kind in ("duckdb", "sqlite")}
    assert len(hashes) == 1


@KINDS
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"tables": {"protection_plans": "plan"}}, "no table 'plan'. Did you mean 'plans'"),
        ({"tables": {"plans": "plans"}}, "'plans' in the setting 'tables' is none"),
        ({"columns": {"children": {}}}, "'children' in the setting 'columns' is none"),
        ({"columns": {"protection_plans": {"unit": "la"}}}, "has no column 'la'"),
        ({"columns": {"protection_plans": {"unti": "unit"}}}, "Did you mean 'unit'"),
        ({"absent": {"protection_plans": ["child"]}}, "cannot be absent"),
        (
            {"columns": {"protection_plans": {"end_date": "n_previous"}}},
            "column 'n_previous': a date was expected, not int",
        ),
        (
            {"columns": {"protection_plans": {"n_previous": "latest_category"}}},
            "column 'latest_category': a number was expected; found the form 'AAA'",
        ),
        ({"tables": {"children": "plans"}}, "has no column 'birth_date'"),
    ],
)
def test_mistakes(tmp_path: Path, kind: str, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, fill(tmp_path, kind), **values)
    assert sentence in str(caught.value)


@KINDS
def test_a_cell_is_shown_by_its_form(tmp_path: Path, kind: str) -> None:
    rows = [("006", "b", None, "2015-02-30", None, "NEG", "NEG", 0)]
    with pytest.raises(DataError, match=r"a date such as .* found the form '9999-99-99' \(1 of 1"):
        read(tmp_path, fill(tmp_path, kind, rows))


@KINDS
def test_an_absent_column_is_missing(tmp_path: Path, kind: str) -> None:
    records = read(tmp_path, fill(tmp_path, kind), absent={"protection_plans": ["n_previous"]})
    assert records.tables["protection_plans"].to_pandas()["n_previous"].isna().all()


@KINDS
def test_a_key_stands_once(tmp_path: Path, kind: str) -> None:
    absent = [c for c in TABLES["children"].names if c not in ("unit", "child")]
    url = fill(tmp_path, kind, [*ROWS, ROWS[0]])
    with pytest.raises(DataError, match="1 rows repeat unit, child"):
        read(tmp_path, url, tables={"children": "plans"}, absent={"children": absent})


@KINDS
def test_no_database_is_made(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="There is no database file"):
        read(tmp_path, f"{kind}://none.db")
    assert not list(tmp_path.iterdir())


@KINDS
def test_a_file_of_another_kind(tmp_path: Path, kind: str) -> None:
    (tmp_path / "text.db").write_text("no database " * 1000)
    with pytest.raises(DataError, match=r"Cannot connect to text\.db"):
        read(tmp_path, f"{kind}://text.db")


def test_a_driver_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(url: str) -> None:
        raise ImportError(url)

    monkeypatch.setenv("DB_PASSWORD", "s3cr/t")
    monkeypatch.setattr(ibis, "connect", connect)
    with pytest.raises(DataError, match=r'pip install "ibis-framework\[postgres\]"') as caught:
        read(tmp_path, "postgresql://a:${DB_PASSWORD}@host/x")
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("password", ["s3cr/t@x", "plain-s3cr"])
def test_a_password_is_filled_in_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    asked = []

    def connect(url: str) -> None:
        asked.append(url)
        raise OSError(f"no route for {url} with password {password}")

    monkeypatch.setenv("DB_PASSWORD", password)
    monkeypatch.setattr(ibis, "connect", connect)
    with pytest.raises(DataError, match="Cannot connect to database") as caught:
        read(tmp_path, "mssql://a:${DB_PASSWORD}@host/x")
    assert "s3cr" in asked[0]
    assert asked[0].endswith("@host/x")
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgres://a:s3cr@host/x", "mssql://host/x?pwd=s3cr"])
def test_a_password_in_the_settings_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="holds a password") as caught:
        read(tmp_path, url)
    assert "s3cr" not in str(caught.value)


def test_an_unset_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    with pytest.raises(DataError, match="unset environment variables: DB_PASSWORD"):
        read(tmp_path, "postgres://a:${DB_PASSWORD}@host/x")


# The backend itself.


def _frame() -> pd.DataFrame:
    columns = TABLES["protection_plans"].names
    frame = pd.DataFrame(ROWS, columns=columns)
    for column in ("referral_date", "end_date"):
        frame[column] = pd.to_datetime(frame[column]).dt.date
    return frame


def _expected() -> list[tuple[str, ...]]:
    return sorted(tuple(str(v) for v in row) for row in ROWS[:2])


def _told(records: Records) -> list[tuple[str, ...]]:
    rows = records.tables["protection_plans"].to_pyarrow().to_pylist()
    return sorted(tuple(str(v) for v in row.values()) for row in rows)


def test_tables_of_the_backend_of_the_study() -> None:
    session = Session()
    session.backend.create_table("plans", _frame())
    settings_ = DatabaseSettings(url="backend", tables={"protection_plans": "plans"})
    records = Database().read(settings_, session)
    assert _told(records) == _expected()
    assert records.files == ("backend duckdb: plans",)
    assert "plans" in session.backend.list_tables()  # the connection is still there
    wrong = DatabaseSettings(url="backend", tables={"children": "kids"})
    with pytest.raises(DataError, match="backend duckdb has no table 'kids'"):
        Database().read(wrong, session)


@pytest.mark.spark
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_tables_of_a_spark_catalogue(spark: Any) -> None:
    session = Session(backend=spark)
    plans = pa.Table.from_pandas(_frame(), preserve_index=False)
    plans = plans.cast(TABLES["protection_plans"].set(3, pa.field("start_date", pa.string())))
    backends.put(session.backend, "catalogue_plans", plans)
    settings_ = DatabaseSettings(url="backend", tables={"protection_plans": "catalogue_plans"})
    try:
        records = Database().read(settings_, session)
        assert _told(records) == _expected()
        assert records.tables["protection_plans"].get_backend().name == "pyspark"
        checks = records.quality.checks
        dropped = checks[(checks["action"] == "dropped") & (checks["n_flagged"] > 0)]
        assert dropped["n_flagged"].sum() == 1
    finally:
        backends.drop(session.backend, ["catalogue_plans"])
        session.release()


# A real PostgreSQL, in a folder of its own, where its programs are installed.


def postgres_programs() -> Path | None:
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), Path("/opt/homebrew/bin")]
    initdb = shutil.which("initdb")
    places += [Path(initdb).parent] if initdb else []
    return next((p for p in places if (p / "initdb").exists() and (p / "pg_ctl").exists()), None)


def as_nobody(command: list[str]) -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() == 0:
        return ["runuser", "-u", "nobody", "--", *command]
    return command


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a running server that trusts its socket."""
    programs = postgres_programs()
    if programs is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL or psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    folder.chmod(0o777)
    data = folder / "data"
    run = partial(subprocess.run, check=True, capture_output=True, cwd=folder)
    run(as_nobody([str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "analyst"]))
    start = f"-k {folder} -c listen_addresses=''"
    run(
        as_nobody([str(programs / "pg_ctl"), "-D", str(data), "-w", "-o", start, "start"]),
        capture_output=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"postgres://analyst@/postgres?host={folder}"
    run(as_nobody([str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]))
    shutil.rmtree(folder, ignore_errors=True)


def test_records_from_postgresql(postgres: str, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(postgres) as con:
        con.execute("CREATE SCHEMA mart")
        con.execute(
            PLANS.replace("plans", "mart.plans").replace("start_date TEXT", "start_date DATE")
        )
        with con.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO mart.plans VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", ROWS
            )
    values = {"tables": {"protection_plans": "mart.plans"}}
    records = read(tmp_path, postgres, **values)
    table = records.tables["protection_plans"].to_pyarrow()
    assert table.schema.equals(TABLES["protection_plans"])
    given = [tuple(None if v is None else str(v) for v in r.values()) for r in table.to_pylist()]
    expected = [tuple(None if v is None else str(v) for v in row) for row in ROWS[:2]]
    assert sorted(given, key=str) == sorted(expected, key=str)
    files = read(tmp_path, fill(tmp_path, "duckdb"))
    assert records.data_hash == files.data_hash
    with pytest.raises(DataError, match=r"has no table 'mart\.plan'"):
        read(tmp_path, postgres, tables={"protection_plans": "mart.plan"})
    with pytest.raises(DataError, match="Cannot connect to database"):
        read(tmp_path, postgres.replace("analyst", "nobody"), **values)


def test_many_rows_come_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(tmp_path, fill(tmp_path, "duckdb", ROWS[:2] * 50), **ONE_AT_A_TIME)
    monkeypatch.setattr("sos_sources.sql.database.ROWS_AT_ONCE", 7)
    parts = read(tmp_path, "duckdb://records.duckdb", **ONE_AT_A_TIME)
    assert parts.tables["protection_plans"].count().execute() == 100
    assert parts.data_hash == whole.data_hash
    pd.testing.assert_frame_equal(parts.quality.checks, whole.quality.checks)


# An SQLite database is only read ------------------------------------------------------------


def logged(folder: Path) -> Path:
    """Make the SQLite database one that writes ahead into a log, closed and without one."""
    fill(folder, "sqlite")
    path = folder / "records.sqlite"
    con = sqlite3.connect(path)
    con.execute("PRAGMA journal_mode = wal")
    con.close()
    return path


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_nothing_can_be_written_to_an_sqlite_database_that_is_read(tmp_path, monkeypatch):
    fill(tmp_path, "sqlite")
    opened = []
    made = SQLite.list_tables

    def listed(backend, **place):
        opened.append(backend.con)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            backend.con.execute("DELETE FROM plans")
        return made(backend, **place)

    monkeypatch.setattr(SQLite, "list_tables", listed)
    read(tmp_path, "sqlite://records.sqlite")
    assert opened


def test_no_file_is_made_beside_an_sqlite_database_with_a_log(tmp_path):
    path = logged(tmp_path)
    before = state(tmp_path)
    records = read(tmp_path, f"sqlite://{path.name}")
    assert records.tables["protection_plans"].count().execute() == len(ROWS) - 1
    assert state(tmp_path) == before


def test_an_sqlite_database_whose_log_is_there_is_read_with_it(tmp_path):
    path = logged(tmp_path)
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("INSERT INTO plans VALUES ('007', 'z', '2015-04-01', NULL, NULL, 'A', 'B', 0)")
    writer.commit()
    records = read(tmp_path, f"sqlite://{path.name}")
    writer.close()
    assert records.tables["protection_plans"].count().execute() == len(ROWS)


def test_an_sqlite_database_written_to_while_it_is_read_without_a_lock_is_refused(
    tmp_path, monkeypatch
):
    path = logged(tmp_path)

    def write_too(*given):
        con = sqlite3.connect(path)
        con.execute("DELETE FROM plans")
        con.commit()
        con.close()
        return original(*given)

    original = database._profiled
    monkeypatch.setattr(database, "_profiled", write_too)
    with pytest.raises(DataError, match=r"records\.sqlite was written to while it was read"):
        read(tmp_path, f"sqlite://{path.name}")


def test_an_sqlite_database_whose_writer_was_cut_off_is_a_sentence(tmp_path):
    (tmp_path / "other").mkdir()
    fill(tmp_path / "other", "sqlite")
    whole = tmp_path / "other" / "records.sqlite"
    writer = sqlite3.connect(whole)
    writer.execute("PRAGMA cache_size = 5")
    writer.execute("CREATE TABLE more (n INTEGER)")
    writer.executemany("INSERT INTO more VALUES (?)", [(n,) for n in range(20_000)])
    writer.commit()
    writer.execute("UPDATE more SET n = n + 1")
    for name in ("records.sqlite", "records.sqlite-journal"):
        shutil.copy(whole.parent / name, tmp_path / name)
    writer.close()
    with pytest.raises(DataError, match=r"was cut off, .* reading only\. Open it"):
        read(tmp_path, "sqlite://records.sqlite")


def test_a_name_with_marks_of_an_address_is_the_name_of_a_file(tmp_path):
    fill(tmp_path, "sqlite")
    (tmp_path / "records.sqlite").rename(tmp_path / "a%20b&mode=rw#c.sqlite")
    records = read(tmp_path, "sqlite://a%20b&mode=rw#c.sqlite")
    assert records.tables["protection_plans"].count().execute() == len(ROWS) - 1


def test_ctrl_c_while_a_database_is_read_is_no_fault_of_it(tmp_path, monkeypatch):
    url = fill(tmp_path, "sqlite")

    def stopped(*_args, **_named):
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(SQLite, "table", stopped)
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, url)


@KINDS
def test_a_further_column_with_the_name_of_a_role_is_read_under_another(tmp_path, kind):
    url = fill(tmp_path, kind)
    path = tmp_path / f"records.{kind}"
    con: Any = duckdb.connect(str(path)) if kind == "duckdb" else sqlite3.connect(path)
    chosen = "la, period, value, pop AS weight, kind AS unit"
    con.execute(f"CREATE TABLE own AS SELECT {chosen} FROM cases")
    con.commit()
    con.close()
    tables = {"tables": {"cases": "own"}}
    with pytest.raises(DataError, match=r"such as cases\.own_unit = 'unit'"):
        read(tmp_path, url, **tables, columns={"cases": {"unit": "la"}})
    names = {"unit": "la", "own_unit": "unit", "own_weight": "weight"}
    records = read(tmp_path, url, **tables, columns={"cases": names}).tables["cases"].to_pandas()
    assert "weight" not in records
    assert set(records["own_weight"]) == {10.0, 11.0, 20.0, 21.0}
    assert set(records["own_unit"]) == {"town", "county"}
    assert set(records["unit"]) == {"006", "330"}


def test_dates_in_text_are_read_in_one_form_over_all_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second piece has a date that could be read in two ways, had the first not told."""
    monkeypatch.setattr(database, "ROWS_AT_ONCE", 1)
    kids = pd.DataFrame(
        {"unit": "Darlington", "child": ["1", "2"], "birth": ["31/12/2014", "03/04/2015"]}
    )
    with duckdb.connect(tmp_path / "r.duckdb") as con:
        con.register("frame", kids)
        con.execute("CREATE TABLE kids AS SELECT * FROM frame")
    absent = [n for n in TABLES["children"].names if n not in ("unit", "child", "birth_date")]
    values: dict[str, Any] = {
        "tables": {"children": "kids"},
        "columns": {"children": {"birth_date": "birth"}},
        "absent": {"children": absent},
        "codes": "dfe",
    }
    records = read(tmp_path, "duckdb://r.duckdb", **values)
    rows = records.tables["children"].to_pandas()
    assert set(rows["unit"]) == {"841"}
    assert sorted(map(str, pd.to_datetime(rows["birth_date"]).dt.date)) == [
        "2014-12-31",
        "2015-04-03",
    ]
