"""Rows read = rows given + merged + dropped, counted in the files by other means."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st
from sos_simulator import SimulatedSettings, simulate
from sos_simulator import write as write_simulation
from sos_simulator.source import Simulated
from sos_sources.cin.census import CinCensus
from sos_sources.npd.source import Npd
from sos_sources.published.source import Published
from sos_sources.sql.database import Database
from sos_sources.ssda903.source import Ssda903
from sos_sources.tables.records import RecordTables
from sos_sources.tables.tidy import Tidy
from variants import examples

from sos_plugins import QualityProfile, Records, Session
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate
from sos_plugins.tables.row_accounts import account, accounts

SIZE: dict[str, Any] = {
    "authorities": 4,
    "pilots": 1,
    "external_pilots": 0,
    "escalation_pretrend_pilots": 1,
    "referrals_per_year": 40,
    "care_starts_per_year": 15,
}
MODULES = {
    "children": "Child",
    "referrals": "CINdetails",
    "assessments": "Assessments",
    "section47s": "Section47",
    "protection_plans": "ChildProtectionPlans",
}


def read(source: Any, base: Path, /, **values: Any) -> Records:
    settings = validate(source.Settings, values, where="test")
    return source().read(settings, Session(base=base))


def balance(records: Records) -> dict[str, tuple[int, int, int, int]]:
    """The four figures by table; they must add up, and the rows given be those of the table."""
    figures = {}
    for row in accounts(records.quality.checks).itertuples():
        figures[row.table] = (row.n_read, row.n_given, row.n_merged, row.n_dropped)
        assert row.n_read == row.n_given + row.n_merged + row.n_dropped
        assert row.n_dropped >= 0
    return figures


def n_rows(records: Records, table: str) -> int:
    return int(records.table(table).count().execute())


def n_lines(folder: Path, part: str) -> int:
    """Rows of all CSV files with a part in their name, by the csv module."""
    total = 0
    for path in folder.rglob("*.csv"):
        if part in path.stem.lower():
            with path.open(encoding="utf-8-sig", newline="") as file:
                total += sum(bool(row) for row in csv.reader(file)) - 1
    return total


@pytest.mark.parametrize("seed", [1, 2])
def test_returns_with_faults(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "made"
    chosen = SimulatedSettings(**SIZE, seed=seed)
    write_simulation(simulate(chosen), folder, lambda *_: None)
    cin = read(CinCensus, folder, paths="cin")
    counts = dict.fromkeys(MODULES, 0)
    for path in (folder / "cin").rglob("*.xml"):
        names = [element.tag.rsplit("}")[-1] for element in ET.parse(path).iter()]
        for table, element in MODULES.items():
            counts[table] += names.count(element)
    balanced = balance(cin)
    assert {table: balanced[table][0] for table in MODULES} == counts
    assert {table: balanced[table][1] for table in MODULES} == {t: n_rows(cin, t) for t in MODULES}
    assert balanced["referrals"][2] > 0
    assert balanced["files"][0] == len(list((folder / "cin").rglob("*.xml")))
    care = read(Ssda903, folder, paths="ssda903", authority="folder")
    kinds = balance(care)
    assert kinds["episodes"][:2] == (n_lines(folder, "episodes"), n_rows(care, "episodes"))
    assert kinds["children"][0] == n_lines(folder, "header")
    uasc = care.table("children").to_pandas()["uasc"]
    assert kinds["uasc"][:2] == (n_lines(folder, "uasc"), int(uasc.fillna(False).sum()))
    both = read(Simulated, tmp_path, folder="made")
    assert balance(both)["episodes"] == kinds["episodes"]


CELL = st.sampled_from(["330", "", "331", "1"])
CHILD = st.sampled_from(["A", "B", ""])
DAY = st.sampled_from(["2015-05-01", "01/06/2015", "", "x", "2015-05-01"])


@rules(max_examples=examples(30), deadline=None)
@given(
    rows=st.lists(st.tuples(CHILD, CELL, DAY, DAY, st.booleans()), min_size=1, max_size=12),
    again=st.lists(st.tuples(CHILD, CELL, DAY, DAY, st.booleans()), max_size=6),
)
def test_extracts(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], again: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("npd")
    head = "CIN_LAchildID_Anon_SPR{0},CIN_LA_SPR{0},CIN_ReferralDate_SPR{0},CIN_CPPstartDate_SPR{0}"
    written = 0
    for year, part in (("16", [("A", "330", "2015-05-01", "", False), *rows]), ("17", again)):
        lines = [",".join(row[:4]) + ",x" * row[4] for row in part]
        written += len(lines)
        text = "\n".join([head.format(year), *lines]) + "\n"
        (folder / f"cin_{year}.csv").write_text(text)
    (folder / "disabled_16.csv").write_text(
        "CIN_LAchildID_Anon_SPR16,CIN_LA_SPR16,CIN_Disability_SPR16\nA,330,NONE\nA,330,NONE\n,3,X\n"
    )
    try:
        records = read(Npd, folder, paths=".")
    except DataError as error:
        said = str(error)
    else:
        balanced = balance(records)
        assert balanced["referrals"][:2] == (written, n_rows(records, "referrals"))
        assert balanced["protection_plans"][1] == n_rows(records, "protection_plans")
        assert balanced["children"][0] == 3
        said = "cannot be read"
    assert "cannot be read" in said or "none is usable" in said


LINE = st.tuples(
    st.sampled_from(["2021", "2022", "2023", "x", ""]),
    st.sampled_from(["Local authority", "Regional"]),
    st.sampled_from(["330", "331", "940", ""]),
    st.sampled_from(["20", "z", ""]),
)


@rules(max_examples=examples(30), deadline=None)
@given(
    lines=st.lists(LINE, max_size=10, unique_by=lambda x: (x[0], x[2])),
    later=st.lists(LINE, max_size=6, unique_by=lambda x: (x[0], x[2])),
    how=st.sampled_from(["keep", "drop", "join"]),
    misfits=st.integers(0, 2),
    first=st.sampled_from([None, 2021]),
)
def test_published_figures(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[Any],
    later: list[Any],
    how: str,
    misfits: int,
    first: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("published")
    head = "time_period,time_identifier,geographic_level,old_la_code,Re_referrals_percent\n"
    usable = ("2023", "Local authority", "999", "20")
    written = 0
    for name, part in (("a", [usable, *lines]), ("b", later)):
        text = "".join(f"{y},Reporting year,{level},{u},{v}\n" for y, level, u, v in part)
        text += "2023,too,few\n" * misfits
        written += len(part) + misfits
        (folder / f"{name}.csv").write_text(head + text)
    records = read(Published, folder, folder=".", reorganised=how, first_period=first)
    balanced = balance(records)
    assert balanced["published"][:2] == (written, n_rows(records, "published"))
    assert balanced["files"][0] == 2


KEYS = ("unit", "child", "referral_date")
REFERRALS = st.lists(
    st.tuples(
        st.sampled_from(["330", None]),
        st.sampled_from(["A", "B", None]),
        st.sampled_from([dt.date(2015, 5, 1), dt.date(2016, 5, 1), None]),
        st.sampled_from([2015, 2016]),
    ),
    max_size=12,
)


@rules(max_examples=examples(25), deadline=None)
@given(rows=REFERRALS)
def test_record_tables(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("records")
    rows = [("330", "C", dt.date(2015, 5, 1), 2015), *rows]
    frame = pd.DataFrame(rows, columns=[*KEYS, "return_year"])
    for name in ("referral_source", "primary_need", "closure_reason"):
        frame[name] = pd.Series([None] * len(frame), dtype="string")
    frame["nfa"] = False
    frame["icpc_date"] = frame["closure_date"] = frame["referral_date"]
    frame.to_parquet(folder / "referrals.parquet", index=False)
    records = read(RecordTables, folder, folder=".")
    whole = frame.dropna(subset=list(KEYS))
    n_given = len(whole.drop_duplicates(list(KEYS)))
    expected = (len(frame), n_given, len(whole) - n_given, len(frame) - len(whole))
    assert balance(records)["referrals"] == expected
    assert n_rows(records, "referrals") == n_given


@rules(max_examples=examples(25), deadline=None)
@given(cells=st.lists(st.tuples(CELL, st.sampled_from(["2015", "2016", ""])), max_size=10))
def test_tables_of_cases(tmp_path_factory: pytest.TempPathFactory, cells: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("cases")
    cells = [("330", "2015"), *cells]
    text = "".join(f"{unit},{period},1\n" for unit, period in cells)
    (folder / "cases.csv").write_text("unit,period,value\n" + text)
    n_given = sum(bool(unit and period) for unit, period in cells)
    expected = (len(cells), n_given, 0, len(cells) - n_given)
    tidy = read(Tidy, folder, path="cases.csv")
    assert balance(tidy)["cases"] == expected
    assert n_rows(tidy, "cases") == n_given
    with duckdb.connect(str(folder / "cases.duckdb")) as con:
        con.execute("CREATE TABLE cases (unit TEXT, period BIGINT, value DOUBLE)")
        for unit, period in cells:
            con.execute("INSERT INTO cases VALUES (?, ?, 1)", [unit or None, period or None])
    database = read(Database, folder, url="duckdb://cases.duckdb", tables={"cases": "cases"})
    assert balance(database)["cases"] == expected


def test_a_row_that_nobody_counts_stops_the_reading() -> None:
    label = {"source": "x", "table": "t", "column": "", "n": 9}
    quality = QualityProfile.of(
        [
            {**label, "check": "duplicate", "n_flagged": 2, "action": "merged"},
            {**label, "check": "conflict", "n_flagged": 4, "action": "merged"},
            {**label, "check": "missing", "n_flagged": 1, "action": "dropped"},
        ]
    )
    figures = {"source": "x", "table": "t"}
    balanced = account(quality, **figures, n_read=9, n_given=6)
    (row,) = accounts((quality + balanced).checks).itertuples(index=False)
    assert tuple(row) == ("x", "t", 9, 6, 2, 1)
    for n_read, n_given in itertools.product((8, 10), (6,)):
        with pytest.raises(DataError, match="unexplained"):
            account(quality, **figures, n_read=n_read, n_given=n_given)
