"""Record tables out of Parquet: the rows that were written, lazily, and mistakes in sentences."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sos_simulator import SimulatedSettings, simulate
from sos_sources.tables.records import RecordTables

from sos_plugins import Records, Session
from sos_plugins.authors import testing
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate

SIZE = {
    "authorities": 3,
    "pilots": 1,
    "external_pilots": 0,
    "escalation_pretrend_pilots": 1,
    "referrals_per_year": 60,
    "care_starts_per_year": 20,
}


def read(folder: Path, **values: Any) -> Records:
    source = RecordTables()
    settings = validate(source.Settings, {"folder": str(folder), **values}, where="records")
    return source.read(settings, Session())


def plans(**columns: Any) -> pa.Table:
    values = {
        "unit": ["501", "501"],
        "child": ["1", "2"],
        "referral_date": [dt.date(2015, 4, 1), dt.date(2016, 3, 31)],
        "start_date": [dt.date(2015, 4, 1), dt.date(2016, 4, 1)],
        "end_date": [None, dt.date(2016, 9, 1)],
        "initial_category": ["NEG", "EMO"],
        "latest_category": ["NEG", None],
        "n_previous": [1, 2],
        **columns,
    }
    schema = TABLES["protection_plans"]
    arrays = {
        name: value
        if isinstance(value, pa.Array)
        else pa.array(value, schema.field(name).type if name in schema.names else None)
        for name, value in values.items()
    }
    return pa.table(arrays)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, table in simulate(SimulatedSettings(**SIZE)).tables().items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    return tmp_path


def test_every_row_comes_back(folder: Path) -> None:
    records = read(folder)
    assert (records.start, records.end) == (dt.date(2009, 4, 1), dt.date(2020, 3, 31))
    for name, table in simulate(SimulatedSettings(**SIZE)).tables().items():
        order = [(column, "ascending") for column in table.column_names]
        given = records.table(name).to_pyarrow().cast(TABLES[name])
        assert given.sort_by(order).equals(table.sort_by(order)), name
    assert (
        not (records.quality.checks["action"] != "kept").any()
        or (records.quality.checks.query("action != 'kept'")["n_flagged"] == 0).all()
    )


def test_nothing_is_copied_to_the_backend(folder: Path) -> None:
    session = Session()
    RecordTables().read(RecordTables.Settings(folder=str(folder)), session)
    assert session.backend.list_tables() == []


def test_a_table_may_be_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "protection_plans").mkdir()
    for row in range(2):
        pq.write_table(plans().slice(row, 1), tmp_path / "protection_plans" / f"part{row}.parquet")
    (tmp_path / "notes.txt").write_text("mine")
    records = read(tmp_path, start=dt.date(2015, 4, 1), end=dt.date(2017, 3, 31))
    assert records.table("protection_plans").count().execute() == 2
    assert (records.start, records.end) == (dt.date(2015, 4, 1), dt.date(2017, 3, 31))
    assert len(records.files) == 2


def test_other_widths_and_dictionaries_are_the_same_type(tmp_path: Path) -> None:
    table = plans(
        n_previous=pa.array([1, 2], pa.int16()),
        initial_category=pa.array(["NEG", "EMO"]).dictionary_encode(),
        latest_category=pa.nulls(2),
        start_date=pa.array([dt.date(2015, 4, 1), dt.date(2016, 4, 1)], pa.date64()),
    )
    pq.write_table(table, tmp_path / "protection_plans.parquet")
    rows = read(tmp_path).table("protection_plans").to_pyarrow().cast(TABLES["protection_plans"])
    assert rows.sort_by("child")["n_previous"].to_pylist() == [1, 2]
    assert rows["latest_category"].null_count == 2


def test_rows_without_key_are_dropped_and_counted(tmp_path: Path) -> None:
    pq.write_table(plans(child=["1", None]), tmp_path / "protection_plans.parquet")
    records = read(tmp_path)
    assert records.table("protection_plans").count().execute() == 1
    checks = records.quality.checks.query("action == 'dropped' and n_flagged > 0")
    assert checks[["column", "unit", "period", "n_flagged"]].to_numpy().tolist() == [
        ["child", "501", 2016, 1]
    ]


def test_a_repeated_referral_is_merged_to_that_of_the_latest_return(tmp_path: Path) -> None:
    row = {
        "unit": "501",
        "child": "1",
        "referral_date": dt.date(2015, 5, 1),
        "referral_source": None,
        "primary_need": None,
        "nfa": False,
        "closure_date": None,
        "closure_reason": None,
        "icpc_date": None,
    }
    rows = [
        {**row, "return_year": year, "primary_need": need}
        for year, need in ((2016, "N2"), (2015, "N1"))
    ]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=TABLES["referrals"]), tmp_path / "referrals.parquet"
    )
    records = read(tmp_path)
    assert records.table("referrals").to_pyarrow()["primary_need"].to_pylist() == ["N2"]
    merged = records.quality.checks.query("check == 'duplicate'")
    assert merged["n_flagged"].sum() == 1
    assert set(merged["action"]) == {"merged"}


def saved(folder: Path, table: pa.Table, name: str = "protection_plans.parquet") -> None:
    pq.write_table(table, folder / name)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: None, "has no record table; expected files such as referrals.parquet"),
        (lambda f: saved(f, plans(), "protection_plan.parquet"),
         "Did you mean 'protection_plans'?"),
        (lambda f: saved(f, plans(), "cases.parquet"), "is none of the record tables"),
        (lambda f: saved(f, plans().drop(["n_previous"])),
         "lacks the columns n_previous of 'protection_plans'"),
        (lambda f: saved(f, plans(end_dat=[1, 2])), "Did you mean 'end_date'?"),
        (lambda f: saved(f, plans(end_date=pa.array(["03/04/2015", None]))),
         "column 'end_date': dates can be read day first and month first"),
        (lambda f: saved(f, plans(n_previous=pa.array([1.0, 2.0]))),
         "column 'n_previous': whole numbers were expected, not double"),
        (lambda f: saved(f, plans(unit=[None, None])), "no row has unit, child"),
        (lambda f: (f / "referrals.parquet").write_bytes(b"no"), "cannot be read as Parquet"),
        (lambda f: (f / "referrals").mkdir(), "has no .parquet file"),
        (lambda f: (saved(f, plans()), (f / "protection_plans").mkdir()),
         "as a file and as a folder"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_a_sentence(
    tmp_path: Path, make: Any, sentence: str
) -> None:
    make(tmp_path)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert sentence in str(error.value)


def test_the_kit(folder: Path, tmp_path: Path) -> None:
    testing.check_source(
        RecordTables(),
        {"folder": str(folder)},
        unreadable=[{"folder": str(tmp_path / "nowhere")}],
    )


def test_dates_as_text_or_moments_and_columns_of_other_names_give_the_same(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    for folder in (plain, other):
        folder.mkdir()
    saved(plain, plans())
    written = plans(
        start_date=pa.array(["01/04/2015 00:00", "31/03/2016"]),
        end_date=pa.array([None, dt.datetime(2016, 9, 1, 12)], pa.timestamp("us")),
    )
    told = plans(start_date=[dt.date(2015, 4, 1), dt.date(2016, 3, 31)])
    saved(plain, told)
    names = ["LA code" if name == "unit" else name for name in written.column_names]
    saved(other, written.rename_columns(names))
    records = read(other, columns={"protection_plans": {"unit": "LA code"}})
    expected = read(plain).tables["protection_plans"].to_pyarrow()
    assert records.tables["protection_plans"].to_pyarrow().equals(expected)
    assert any("'start_date': dates were read day first" in note for note in records.notes)
    with pytest.raises(DataError, match=r"lacks the columns LA cod.*Did you mean 'LA code'"):
        read(other, columns={"protection_plans": {"unit": "LA cod"}})


def test_the_authorities_are_known_before_the_records_are_read(folder: Path) -> None:
    source = RecordTables()
    settings = validate(source.Settings, {"folder": str(folder)}, where="records")
    units = {row["unit"] for row in read(folder).tables["referrals"].to_pyarrow().to_pylist()}
    found = source.units(settings, Session())
    assert found is not None
    assert units <= found
