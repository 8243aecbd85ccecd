"""Simulations written authority by authority: the same in any number of processes, in any form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sos_simulator import RECORDS, SimulatedSettings, simulate_into
from sos_simulator.folders import WRITTEN
from sos_simulator.source import Simulated
from sos_sources.tables.records import RecordsSettings, RecordTables

from sos_plugins import Records, Session
from sos_plugins.contract.record_tables import TABLES

SMALL = {
    "preset": "clean",
    "authorities": 4,
    "pilots": 1,
    "external_pilots": 0,
    "first_year": 2013,
    "last_year": 2016,
    "first_window": "2014-11-01",
    "last_window": "2015-03-01",
    "referrals_per_year": 200.0,
    "care_starts_per_year": 30.0,
    "streams": "by-authority",
}


def made(folder: Path, **values: Any) -> Path:
    simulate_into(SimulatedSettings(**{**SMALL, **values}), folder)
    return folder


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("parquet") / "made", form="parquet", processes=2)


def rows(records: Records, name: str) -> pd.DataFrame:
    names = TABLES[name].names
    frame = records.table(name).to_pyarrow().select(names).to_pandas()
    return frame.astype(object).where(frame.notna(), None).sort_values(names[:4], ignore_index=True)


def test_processes_do_not_change_the_records(parquet: Path, tmp_path: Path) -> None:
    alone = made(tmp_path / "alone", form="parquet")
    for name in WRITTEN:
        one, two = (pq.read_table(f / RECORDS / f"{name}.parquet") for f in (alone, parquet))
        assert one.num_rows > 0
        assert one.equals(two)
    truths = [(f / "truth.json").read_text() for f in (alone, parquet)]
    assert truths[0].replace('"processes": 1', '"processes": 2') == truths[1]


def test_record_tables_written_are_read_back(parquet: Path) -> None:
    records = RecordTables().read(RecordsSettings(folder=RECORDS), Session(base=parquet))
    for name in WRITTEN:
        wanted = pq.read_table(parquet / RECORDS / f"{name}.parquet")
        order = [(c, "ascending") for c in wanted.schema.names[:4]]
        given = records.table(name).to_pyarrow().select(wanted.schema.names)
        assert given.sort_by(order).equals(wanted.sort_by(order))


def test_returns_of_the_same_simulation_hold_the_same_records(
    parquet: Path, tmp_path: Path
) -> None:
    folder = made(tmp_path / "returns", processes=2)
    settings = SimulatedSettings(folder=".")
    returned = Simulated().read(settings, Session(base=folder))
    tables = Simulated().read(settings, Session(base=parquet))
    assert returned.truth is not None
    for name in WRITTEN:
        pd.testing.assert_frame_equal(rows(returned, name), rows(tables, name))
