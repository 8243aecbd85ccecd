"""The profile finds what the simulator plants, fault by fault, and nothing else.

Counts are compared by authority and year with the simulator's own list of faults, which it writes
without looking at the profile. Where they differ by design, the test says why, and so does
docs/profile.md.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sos_simulator import simulate
from sos_simulator.fault_kinds import CHOSEN
from sos_simulator.source import Simulated, SimulatedSettings

from sos_plugins import Records, Session
from sos_plugins.host.registry import load_plugins
from sos_plugins.profile.build import profile_records
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.profile.rules_of import rules_for

SIZE: dict[str, Any] = {
    "authorities": 8,
    "pilots": 2,
    "external_pilots": 1,
    "referrals_per_year": 150.0,
    "care_starts_per_year": 40.0,
    "first_year": 2012,
    "last_year": 2018,
    "first_window": dt.date(2014, 11, 1),
    "last_window": dt.date(2015, 3, 1),
    "escalation_pretrend_pilots": 0,
}
START, END = "2012-04-01", "2019-03-31"
FIRST_LIMIT = "2013-04-01"
"""Assessments from this day on have 45 working days (rule 8670)."""
ELSEWHERE = {"cin:2884": "section47s", "cin:8832": "protection_plans"}
"""Rules counted in another table than the one in which the fault was planted: by authority only."""
CAUSES = ("missing-reason", "missing-closure-date")
"""What the simulator did; the rules that it breaks, 8805 and 8810, have lines of their own."""
BY_COMPLETENESS = ("missing:sex", "missing:disabled", "missing:placement_provider")
"""Columns that are empty in sound records too: no fault of a row, but completeness tells."""
UNTOLD = ("cin:2991", "cin:8540", "cin:8875")
"""What the simulator lets happen and does not list: an enquiry without an assessment, a disability
that is not recorded, a conference on a weekend."""
AS_IT_HAPPENS = ("ssda903:146",)
"""Rules that simulated records break as real ones may; nothing is planted."""
Counts = dict[tuple[str, str, int], int]


def simulated(folder: Path, **settings: Any) -> tuple[pd.DataFrame, Records, RecordProfile]:
    """Simulate into a folder; return the planted faults, the records and their profile."""
    chosen = SimulatedSettings(**{**SIZE, **settings})
    Simulated().write(chosen, folder, Session())
    session, registry = Session(base=folder), load_plugins()
    read = SimulatedSettings(folder=str(folder))
    records = Simulated().read(read, session)
    profile = profile_records(records, rules_for(registry, records), session)
    if chosen.form == "parquet":
        return pq.read_table(folder / "faults.parquet").to_pandas(), records, profile
    return pd.read_csv(folder / "faults.csv", dtype={"unit": str, "child": str}), records, profile


def planted_rows(faults: pd.DataFrame, records: Records) -> pd.DataFrame:
    """Keep one line a row at fault, without those that are no fault by the rule's own words."""
    rows = faults[~faults["fault"].isin((*CAUSES, *BY_COMPLETENESS))]
    rows = rows.drop_duplicates(["fault", "table", "unit", "child", "record"])
    record = rows["record"].fillna("").str
    start = record.rsplit("/", n=1).str[-1]
    referrals = records.table("referrals").to_pandas()
    nfa = referrals.loc[referrals["nfa"].fillna(False).astype(bool)]
    closed = set(zip(nfa["unit"], nfa["child"], nfa["referral_date"].astype(str), strict=True))
    keys = list(zip(rows["unit"], rows["child"], record[:10], strict=True))
    needless = pd.Series([key in closed for key in keys], index=rows.index)
    fault, date = rows["fault"], start.where(rows["table"] != "children", "")
    return rows[
        ~((fault == "cin:8670") & (date < FIRST_LIMIT))
        & ~((fault == "cin:2885") & (date < START))
        & ~((fault == "missing:primary_need") & needless)
        & ~((fault == "impossible-date") & (rows["planted"] < END))
    ].assign(date=date)


def by_cell(planted: pd.DataFrame) -> Counts:
    """Count planted rows by fault, authority and April-year of the row; year 0 for any."""
    counts: Counts = {}
    for fault, table, unit, date in planted[["fault", "table", "unit", "date"]].itertuples(
        index=False
    ):
        year = int(date[:4]) - (date[5:] < "04-01") if date and fault not in ELSEWHERE else 0
        key = (f"{fault} {ELSEWHERE.get(fault, table)}", unit, year)
        counts[key] = counts.get(key, 0) + 1
    return counts


def planted_or_general(fault: str) -> bool:
    return fault in (*CHOSEN, *AS_IT_HAPPENS) or not fault.startswith(("cin:", "ssda903:"))


def found_cells(profile: RecordProfile) -> Counts:
    """Count found rows in the same way, by rules that the simulator breaks on purpose.

    What it plants may break further published rules: a code that is left out, say, or two codes
    that do not go together any more.
    """
    counts: Counts = {}
    for row in profile.faults.itertuples():
        if not planted_or_general(row.fault):
            continue
        whole = row.table == "children" or row.fault in ELSEWHERE
        key = (f"{row.fault} {row.table}", row.unit, 0 if whole else int(row.period))
        counts[key] = counts.get(key, 0) + row.n_flagged
    return counts


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dirty") / "records"
    return simulated(folder, form="parquet", poor_authority_years=0.3, faults={"all": 0.03})


def test_every_planted_row_is_found_in_its_authority_and_year(dirty):
    faults, records, whole = dirty
    profile = RecordProfile(
        faults=whole.faults[~whole.faults["fault"].isin(["series-break", "missing-year"])]
    )
    # The source merged the duplicates, and tells so; tables have one row of each child.
    rows = faults[~faults["fault"].str.contains("duplicate|conflict")]
    planted = by_cell(planted_rows(rows, records))
    assert found_cells(profile) == planted
    assert len({name for name, _, _ in planted}) >= 35


def test_what_a_source_does_about_planted_faults_is_told(dirty):
    faults, records, _ = dirty
    checks = records.quality.checks
    merged = checks[(checks["check"] == "duplicate") & (checks["table"] == "referrals")]
    assert merged["n_flagged"].sum() == (faults["fault"] == "duplicate").sum() > 0


def test_empty_cells_that_are_no_fault_are_told_by_completeness(dirty):
    faults, _, profile = dirty
    given = {"form": "parquet", "poor_authority_years": 0.3, "faults": {"all": 0.03}}
    truth = simulate(SimulatedSettings(**{**SIZE, **given})).tables()
    filled = profile.filling().set_index(["table", "column"])
    for name in BY_COMPLETENESS:
        lines = faults[faults["fault"] == name]
        (table,), column = lines["table"].unique(), name.partition(":")[2]
        empty = filled.loc[(table, column), "n"] - filled.loc[(table, column), "n_filled"]
        assert empty == truth[table].column(column).null_count + len(lines), name


def test_clean_records_have_only_what_happened_so(tmp_path):
    """Nothing is planted: what breaks rules happened in the simulated authorities themselves."""
    faults, records, profile = simulated(tmp_path / "clean", form="parquet", preset="clean")
    assert faults["planted"].isna().all()
    assert set(faults["fault"]) == {"cin:2884", "cin:2885", "cin:8670", "ssda903:146"}
    usual = {*faults["fault"], *UNTOLD}
    assert set(profile.faults["fault"]) - {"series-break"} == usual
    rows = profile.faults[profile.faults["fault"] != "series-break"]
    assert found_cells(RecordProfile(faults=rows)) == by_cell(planted_rows(faults, records))


def test_returns_give_the_same_counts_as_tables_but_for_what_reading_mends(tmp_path, dirty):
    faults, records, profile = simulated(
        tmp_path / "returns", poor_authority_years=0.3, faults={"all": 0.03}
    )
    checks = records.quality.checks
    counts = {
        fault: int(part["n_flagged"].sum())
        for fault, part in profile.faults.groupby("fault")
        if planted_or_general(fault)
    }
    _, _, tables = dirty
    expected = {
        fault: int(part["n_flagged"].sum())
        for fault, part in tables.faults.groupby("fault")
        if fault not in ("lower-case-code", "impossible-date", "series-break")
        and planted_or_general(fault)
    }
    # Reading sets a closure a hundred years late to missing, in every return that has it: its
    # reason stands alone, and a case without further action overlaps no other any more.
    lines = faults[faults["fault"] == "impossible-date"]
    late = (lines["planted"] > END).sum()
    assert flagged(checks, "closure_date", "impossible-date") >= late > 0
    counts.pop("series-break", None)
    differ = {name for name in expected if counts.get(name) != expected[name]}
    assert differ <= {"cin:8810", "cin:8820"}
    assert counts["cin:8810"] - expected["cin:8810"] == late
    assert 0 <= expected["cin:8820"] - counts["cin:8820"] <= late
    assert set(counts) == set(expected)
    # Codes in lower case are mended, and counted in every return that has them.
    planted = faults[faults["fault"] == "lower-case-code"]
    assert flagged(checks, None, "lower-case-code") >= len(planted) > 0
    for column, fault in (
        ("birth_date", "conflicting-birth-date"),
        ("sex", "conflicting-gender"),
        ("ethnicity", "conflicting-ethnicity"),
        ("referral_source", "conflict-between-years"),
    ):
        assert flagged(checks, column, "conflict") == (faults["fault"] == fault).sum() > 0
    assert flagged(checks, "CINdetails", "unreadable") == (faults["fault"] == "stray-text").sum()
    unknown = checks[checks["check"] == "unknown-element"]["n_flagged"].sum()
    assert unknown == (faults["fault"] == "unknown-element").sum() > 0


def flagged(checks: pd.DataFrame, column: str | None, check: str) -> int:
    hit = checks["check"] == check
    if column is not None:
        hit &= checks["column"] == column
    return int(checks.loc[hit, "n_flagged"].sum())


def test_returns_that_are_missing_are_found_where_they_are_missing(tmp_path):
    faults, _, profile = simulated(
        tmp_path / "gaps", form="parquet", preset="clean", faults={"missing-year": 0.06}
    )
    lines = faults[(faults["fault"] == "missing-year") & (faults["table"] == "referrals")]
    told = profile.faults[profile.faults["fault"] == "missing-year"]
    told = told[told["table"] == "referrals"]
    pairs = {(unit, int(year)) for unit, year in zip(told["unit"], told["period"], strict=True)}
    assert pairs == set(zip(lines["unit"], lines["year"], strict=True))
    assert pairs


def test_a_break_in_the_series_is_found_in_its_year_and_nowhere_else(tmp_path):
    faults, _, profile = simulated(
        tmp_path / "breaks",
        form="parquet",
        preset="clean",
        referrals_per_year=600.0,
        series_break_drop=0.5,
        faults={"series-break": 0.4},
    )
    lines = faults[faults["fault"] == "series-break"]
    told = profile.faults[profile.faults["fault"] == "series-break"]
    told = told[(told["table"] == "referrals") & (told["column"] == "")]
    pairs = {(unit, int(year)) for unit, year in zip(told["unit"], told["period"], strict=True)}
    assert pairs == set(zip(lines["unit"], lines["year"], strict=True))
    assert pairs
