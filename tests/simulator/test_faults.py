"""Planted faults of every kind: each is found by the readers and counted, and no row is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from sos_simulator import SimulatedSettings, Simulation, simulate, write
from sos_simulator.fault_kinds import CHOSEN, ORDER_RULES, SETTINGS_OF_THEIR_OWN, XML_ONLY
from sos_simulator.fault_log import LEFT_OUT
from sos_sources.cin.census import CinCensus, CinCensusSettings
from sos_sources.ssda903.source import Ssda903, Ssda903Settings

from sos_plugins import Records, Session
from sos_plugins.contract.types import QualityProfile
from sos_plugins.host.registry import load_plugins
from sos_plugins.profile.build import profile_records
from sos_plugins.profile.rules_of import rules_for
from sos_plugins.tables.merged_records import merged

SMALL = {
    "preset": "clean",
    "authorities": 6,
    "pilots": 1,
    "external_pilots": 0,
    "first_year": 2012,
    "last_year": 2017,
    "first_window": "2014-11-01",
    "last_window": "2015-03-01",
    "referrals_per_year": 400.0,
    "care_starts_per_year": 60.0,
}
USUAL = {
    "duplicates": 0.02,
    "impossible_dates": 0.02,
    "missing_closure_date": 0.02,
    "missing_reason_elsewhere": 0.03,
}
RATES = {"all": 0.015, "missing-year": 0.03, "series-break": 0.3}
RARE = ("ssda903:432", "ssda903:436")
"""Faults that few children of so small a simulation can have."""
KEYS = {
    "children": [],
    "referrals": ["referral_date"],
    "episodes": ["start_date"],
    "assessments": ["referral_date", "start_date"],
    "section47s": ["referral_date", "start_date"],
    "protection_plans": ["referral_date", "start_date"],
}
CODES = ("lower-case-code", "misspelt-code")

COUNTED = {
    ("referrals", "referral_source", "missing"): ("missing:referral_source",),
    ("referrals", "primary_need", "missing"): ("missing:primary_need",),
    ("referrals", "closure_reason", "missing"): ("cin:8805",),
    ("referrals", "closure_date", "missing"): ("cin:8810", "late"),
    ("referrals", "closure_date", "out-of-order"): ("cin:8630",),
    ("referrals", "referral_source", "conflict"): ("conflict-between-years",),
    ("referrals", "", "duplicate"): ("duplicate",),
    ("assessments", "start_date", "out-of-order"): ("cin:1103",),
    ("assessments", "authorised_date", "out-of-order"): ("cin:8608",),
    ("section47s", "icpc_date", "out-of-order"): ("cin:1104",),
    ("protection_plans", "initial_category", "missing"): ("missing:initial_category",),
    ("protection_plans", "latest_category", "missing"): ("missing:latest_category",),
    ("children", "birth_date", "conflict"): ("conflicting-birth-date",),
    ("children", "sex", "conflict"): ("conflicting-gender",),
    ("children", "ethnicity", "conflict"): ("conflicting-ethnicity",),
    ("returns", "CINdetails", "unreadable"): ("stray-text",),
    ("returns", "CINdetails/LocalNote", "unknown-element"): ("unknown-element",),
    ("returns", "", "missing-return"): ("missing-year",),
    ("episodes", "end_date", "out-of-order"): ("ssda903:356",),
    ("episodes", "end_date", "missing"): ("ssda903:142",),
    ("episodes", "legal_status", "missing"): ("missing:legal_status",),
    ("episodes", "placement", "missing"): ("missing:placement",),
}
"""Checks that count one row for each fault of these kinds and, without faults, none."""


@dataclass(frozen=True)
class World:
    """A simulation with faults as it was made, as it was written, and as it was read."""

    made: Simulation
    faults: pd.DataFrame
    cin: Records
    care: Records

    def records(self, table: str) -> pd.DataFrame:
        """The merged records, dates as text."""
        rows = merged(self.cin, self.care).table(table).to_pyarrow()
        return as_text(rows)

    def whole(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of authorities of which no return is missing."""
        gone = self.faults.loc[self.faults["fault"] == "missing-year", "unit"]
        return frame[~frame["unit"].isin(gone)]


def as_text(rows: pa.Table) -> pd.DataFrame:
    columns = [c.cast(pa.string()) if pa.types.is_date(c.type) else c for c in rows.itercolumns()]
    frame = pa.table(columns, names=rows.column_names).to_pandas()
    return frame.astype(object).where(frame.notna(), None)


def read(folder: Path, session: Session | None = None) -> tuple[Records, Records]:
    session = session or Session(base=folder)
    care = Ssda903Settings(paths=("ssda903",), authority="folder")
    cin = CinCensus().read(CinCensusSettings(paths=("cin",)), session)
    return cin, Ssda903().read(care, session)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("dirty")
    made = simulate(SimulatedSettings(**SMALL, **USUAL, faults=RATES))
    write(made, folder)
    faults = pd.read_csv(folder / "faults.csv", dtype=str, keep_default_na=False)
    return World(made, faults, *read(folder))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> QualityProfile:
    folder = tmp_path_factory.mktemp("clean")
    write(simulate(SimulatedSettings(**SMALL)), folder)
    cin, care = read(folder)
    return cin.quality + care.quality


def counted(quality: QualityProfile, table: str, column: str, check: str) -> int:
    frame = quality.checks
    hit = (frame["table"] == table) & (frame["column"] == column) & (frame["check"] == check)
    return int(frame.loc[hit, "n_flagged"].sum())


def test_every_kind_is_planted_and_told_of(world: World) -> None:
    told = set(world.faults["fault"])
    assert told >= {*CHOSEN, *SETTINGS_OF_THEIR_OWN} - {*RARE, *ORDER_RULES}
    assert set(XML_ONLY) <= told


@pytest.mark.parametrize("check", COUNTED, ids=lambda c: "/".join(c))
def test_every_planted_fault_is_counted_once(
    world: World, clean: QualityProfile, check: tuple[str, str, str]
) -> None:
    faults = world.faults
    late = (faults["fault"] == "impossible-date") & (faults["planted"] > "2030")
    kinds = faults["fault"].where(~late, "late")
    own = faults["column"].isin(("", check[1]))
    planted = int((kinds.isin(COUNTED[check]) & own).sum())
    assert planted > 0
    assert counted(clean, *check) == 0
    assert counted(world.cin.quality + world.care.quality, *check) == planted


@pytest.mark.parametrize("table", KEYS)
def test_every_planted_value_stands_in_its_record(world: World, table: str) -> None:
    faults = world.faults
    some = faults[(faults["table"] == table) & (faults["column"] != "") & (faults["planted"] != "")]
    rows = world.records(table)
    key = rows[KEYS[table]].astype(str).agg("/".join, axis=1) if KEYS[table] else ""
    joined = some.merge(rows.assign(record=key), on=["unit", "child", "record"], how="left")
    assert len(joined) == len(some) > 0
    for fault in joined.itertuples():
        value = getattr(fault, fault.column)
        if fault.planted == LEFT_OUT:
            assert value is None, fault
        elif fault.fault in CODES:
            assert value == fault.planted.upper(), fault
        elif fault.fault == "impossible-date":
            assert value in (None, fault.planted), fault
        else:
            assert str(value).lower() == str(fault.planted).lower(), fault


@pytest.mark.parametrize("table", KEYS)
def test_no_row_is_lost_and_none_is_made(world: World, table: str) -> None:
    """What is written is read, row by row and column by column, but for what readers mend."""
    wanted = world.whole(as_text(world.made.tables(faults=True)[table]))
    given = world.whole(world.records(table))[list(wanted.columns)]
    for column in ("primary_need", "ethnicity", "placement"):
        if column in wanted:
            wanted[column] = wanted[column].str.upper()
    if table == "referrals":
        wanted.loc[wanted["closure_date"].fillna("") > "2030", "closure_date"] = None
    if table == "episodes":  # how they chain rests on the reasons that faults contradict
        wanted, given = (f.drop(columns="period_of_care") for f in (wanted, given))
    order = list(wanted.columns[:4])
    wanted, given = (
        f.fillna("nothing").sort_values(order, ignore_index=True) for f in (wanted, given)
    )
    pd.testing.assert_frame_equal(given, wanted)


def test_faults_of_orders_are_planted_found_and_told_of(tmp_path: Path) -> None:
    """Orders stand in returns from 2026-27 on; what breaks their rules is what was planted."""
    late = {
        "authorities": 3,
        "first_year": 2025,
        "last_year": 2026,
        "first_window": "2025-06-01",
        "last_window": "2025-07-01",
        "window_months": (2, 4),
        "referrals_per_year": 20.0,
        "care_starts_per_year": 900.0,
    }
    rates = dict.fromkeys(ORDER_RULES, 0.3)
    made = simulate(SimulatedSettings(**{**SMALL, **late}, faults=rates))
    write(made, tmp_path)
    session = Session(base=tmp_path)
    cin, care = read(tmp_path, session)
    wanted = as_text(made.tables(faults=True)["deprivation_orders"])
    given = as_text(care.table("deprivation_orders").to_pyarrow())
    order = list(wanted.columns[:3])
    wanted, given = (f.sort_values(order, ignore_index=True) for f in (wanted, given))
    pd.testing.assert_frame_equal(given, wanted)
    records = replace(merged(cin, care), start=care.start, end=care.end)
    found = profile_records(records, rules_for(load_plugins(), records), session).faults
    orders = found[found["table"] == "deprivation_orders"]
    told = made.planted.table.to_pandas()
    assert orders.groupby("fault")["n_flagged"].sum().to_dict() == (
        told[told["table"] == "deprivation_orders"].groupby("fault").size().to_dict()
    )
    assert set(orders["fault"]) == set(ORDER_RULES)
