"""Passwords and homes in no output, whatever holds them."""

from __future__ import annotations

import doctest
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from result_factory import make_result
from sos_sources.sql.database import Database, DatabaseSettings
from study_helpers import STUDY, write
from variants import examples

from sos_plugins import Session
from sos_plugins.backends import duckdb_backend
from sos_plugins.cli.main import main
from sos_plugins.contract.settings import Settings
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.report import write_report
from sos_plugins.system import secrets
from sos_plugins.system.secrets import cleaned, cleaned_toml, is_secret_key, masked

SECRET = "s3cr-Hush9"
KEYS = (
    *("password", "sslpassword", "access_token", "token", "private_key", "secret", "pwd", "PWD"),
    *("Passphrase", "client-secret", "API_KEY", "motherduck_token", "AccountKey", "db.password"),
)
ADDRESSES = (
    f"postgres://anna:{SECRET}@host/x",
    f"postgres://:{SECRET}@host:5432/x",
    f"postgres://anna@host/x?sslpassword={SECRET}&sslmode=require",
    f"mssql://host/x?PWD={SECRET}",
    f"mssql://host/x?odbc_connect=DRIVER%3DODBC%3BUID%3Danna%3BPWD%3D{SECRET}%3B",
    f"mssql://host/x?odbc_connect=DRIVER=ODBC;PWD={{{SECRET}}};",
    f"snowflake://anna@host/x?private_key={SECRET}",
    f"databricks://host?access_token={SECRET}",
    f"duckdb://md:x?motherduck_token={SECRET}",
    f"https://store.example/cases.csv?sp=r&sig={SECRET}",
    f"/studies/https:/anna:{SECRET}@host/cases.csv",
)
INNOCENT = ("path", "unit", "phase", "compass", "password_file", "passage", "authority", "author")


@pytest.mark.parametrize("key", KEYS)
def test_keys_that_look_like_secrets(key: str) -> None:
    assert is_secret_key(key)
    assert cleaned({"settings": [{key: SECRET}]}) == {"settings": [{key: "***"}]}
    assert cleaned({key: "${DB}"}) == {key: "${DB}"}
    assert SECRET not in masked(f"connection {key}={SECRET} failed")


@pytest.mark.parametrize("key", INNOCENT)
def test_keys_that_do_not(key: str) -> None:
    assert cleaned({key: "x"}) == {key: "x"}


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_with_a_secret_is_refused_and_masked(tmp_path: Path, url: str) -> None:
    settings = validate(DatabaseSettings, {"url": url, "tables": {"cases": "t"}}, where="test")
    with pytest.raises(DataError, match="environment variable") as caught:
        Database().read(settings, Session(base=tmp_path))
    assert SECRET not in str(caught.value)
    assert SECRET not in masked(f"no route to {url}, tried twice")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://reader:${DB_PASSWORD}@host:5432/x?user=a@b",
        "postgres://host:5432/x?options=a@b",
        "mssql://host/x?PWD=${DB_PASSWORD}&driver=ODBC",
        "duckdb://records.duckdb",
    ],
)
def test_addresses_without_a_secret_stay_as_they_are(url: str) -> None:
    assert masked(url) == url


TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=4, max_size=12)


@rules(max_examples=examples(200), deadline=None)
@given(secret=TEXTS.filter(lambda t: not re.fullmatch(r"\*+|\$\{.*\}|~.*", t)),
       key=st.sampled_from(KEYS))  # fmt: skip
def test_a_copy_of_a_study_holds_no_secret(secret: str, key: str) -> None:
    assume(secret not in f"{key} plugin sources deep kept")  # else its letters go there as well
    line = f'"{key}" = {json.dumps(secret, ensure_ascii=False)}\n'
    text = f'a = "kept"\n[[sources]]\nplugin = "x"\n{line}[sources.deep]\n{line}'
    copy = cleaned_toml(text)
    parsed = tomllib.loads(copy)
    if parsed:
        (source,) = parsed["sources"]
        assert source[key] == "***"
        assert source["deep"][key] == "***"
    else:
        assert copy.startswith("# Left out")


def test_the_copy_keeps_all_else() -> None:
    text = f'# mine\na = "/home/anna/x.csv"\nurl = "{ADDRESSES[0]}"\nb = [1, 2]\n'
    assert cleaned_toml(text) == (
        '# mine\na = "~/x.csv"\nurl = "postgres://anna:***@host/x"\nb = [1, 2]\n'
    )
    assert cleaned_toml(STUDY) == STUDY


def test_no_file_of_a_report_holds_a_secret_or_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    study = make_result()
    outcome = replace(
        study.outcomes[0],
        error="/home/anna/records/a.csv cannot be read",
        warnings=(f"no route to {ADDRESSES[0]}",),
        settings={"sslpassword": SECRET, "path": "/Users/anna/x"},
    )
    text = f'[[sources]]\nplugin = "database"\nurl = "{ADDRESSES[2]}"\npassword = "{SECRET}"\n'
    study = replace(
        study,
        outcomes=(outcome,),
        study_toml=text,
        settings={"sources": [{"plugin": "x", "access_token": SECRET, "base": "/home/anna"}]},
        manifest={**study.manifest, "files": ["/home/anna/records/a.csv"]},
    )
    write_report(study, tmp_path)
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        content = path.read_text(encoding="utf-8")
        assert SECRET not in content, path
        assert "anna/" not in content, path
        assert "/home/" not in content, path


class Further(Settings):
    """Settings of a stranger's source."""

    password: int = 0
    url: int = 0


def test_messages_about_settings_show_no_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        validate(Further, {"password": SECRET, "url": ADDRESSES[0]}, where="test")
    assert SECRET not in str(caught.value)


def test_the_command_line_shows_no_secret(tmp_path: Path) -> None:
    source = STUDY[STUDY.index("[[sources]]") : STUDY.index("[design]")]
    address = f'url = "{ADDRESSES[3]}"\ntables = {{ cases = "t" }}\n\n'
    other = f'[[sources]]\nplugin = "database"\n{address}'
    path = write(tmp_path, STUDY.replace(source, other))
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["run", str(path), "--out", str(out), "--no-stations"])
    assert result.exit_code == 1
    assert SECRET not in result.output
    assert "environment variable" in result.output
    for file in (p for p in out.rglob("*") if p.is_file()):
        assert SECRET not in file.read_text(encoding="utf-8")


# A DuckDB file of others.


def made(folder: Path, *statements: str) -> str:
    with duckdb.connect(str(folder / "theirs.duckdb")) as con:
        for statement in statements:
            con.execute(statement)
    return "duckdb://theirs.duckdb"


def read(folder: Path, url: str, session: Session | None = None, **tables: str) -> Any:
    chosen = {"url": url, "tables": tables or {"cases": "t"}}
    settings = validate(DatabaseSettings, chosen, where="test")
    return Database().read(settings, session or Session(base=folder)).tables


ROW = "SELECT 'a' AS unit, 2015 AS period, 1.0 AS value"


@pytest.mark.parametrize("function", ["read_csv", "read_text", "read_parquet", "glob"])
def test_a_view_that_reads_other_files_is_refused(tmp_path: Path, function: str) -> None:
    own = tmp_path / "own.parquet"
    duckdb.sql(f"COPY ({ROW}) TO '{own}' (FORMAT parquet)")
    (tmp_path / "own.csv").write_text("unit,period,value\na,2015,1\n")
    place = own if function == "read_parquet" else tmp_path / "own.csv"
    columns = "'a' AS unit, 2015 AS period, count(*)::DOUBLE AS value"
    url = made(tmp_path, f"CREATE VIEW t AS SELECT {columns} FROM {function}('{place}')")
    with pytest.raises(DataError, match="reads outside of the database file"):
        read(tmp_path, url)


def test_views_on_its_own_tables_are_read_within_the_memory_of_the_session(tmp_path: Path) -> None:
    url = made(
        tmp_path,
        f"CREATE TABLE kept AS {ROW}",
        "CREATE TABLE many AS SELECT 'a' unit, 2015 period, random() AS value, "
        "repeat('x', 60) || range AS t FROM range(300000)",
        "CREATE VIEW t AS SELECT unit, period, value FROM kept",
        "CREATE VIEW sorted AS SELECT unit, period, value FROM many ORDER BY t, value",
    )
    assert read(tmp_path, url)["cases"].count().execute() == 1
    session = Session(backend=duckdb_backend("100MB"), base=tmp_path)
    assert read(tmp_path, url, session, cases="sorted")["cases"].count().execute() == 300000


def test_nothing_can_be_set_loaded_or_written_afterwards(tmp_path: Path) -> None:
    from sos_sources.sql.database import _locked

    made(tmp_path, f"CREATE TABLE t AS {ROW}")
    con = _locked(tmp_path / "theirs.duckdb", Session(base=tmp_path)).con
    for statement in (
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "LOAD httpfs",
        "INSTALL httpfs",
        f"ATTACH '{tmp_path}/other.duckdb'",
        f"COPY t TO '{tmp_path}/out.csv'",
        "CREATE TABLE other AS SELECT 1",
    ):
        with pytest.raises(duckdb.Error):
            con.execute(statement)


NAMES = ['t"; DROP TABLE t; --', "o'clock", 'a"b', "a;b", "été", "a b", "--", "%s", "{x}"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_tables_and_columns_are_names(tmp_path: Path, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    made(tmp_path, f"CREATE TABLE {quoted} AS SELECT 'a' AS {quoted}, 2015 AS period, 1.0 AS value")
    chosen = {
        "url": "duckdb://theirs.duckdb",
        "tables": {"cases": name},
        "columns": {"cases": {"unit": name}},
    }
    settings = validate(DatabaseSettings, chosen, where="test")
    cases = Database().read(settings, Session(base=tmp_path)).tables["cases"]
    assert cases.to_pyarrow()["unit"].to_pylist() == ["a"]


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(secrets).failed == 0
