"""Outcomes of children in plain pandas, with default settings, as an analyst would write them.

The plugins are checked against this (tests/backends/test_spark.py) and timed against it
(bench_outcomes.py); the two share no code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import holidays
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

CHILD = ["unit", "child"]
COVARIATES = ["age_band", "sex", "ethnic_group", "disabled", "previous_plan"]
ETHNIC_GROUPS = {"W": "White", "M": "Mixed", "A": "Asian", "B": "Black", "C": "Chinese"}
KNOWN_REASONS = [f"RC{n}" for n in range(1, 10)]
Tables = dict[str, pd.DataFrame]


def read(folder: Path) -> Tables:
    """Read a folder of Parquet record tables; dates become numpy's."""
    tables = {p.stem: pq.read_table(p) for p in sorted(folder.glob("*.parquet"))}
    return {name: as_frame(table.to_pandas(date_as_object=False)) for name, table in tables.items()}


def as_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Give every column of dates the same type, also one that is empty."""
    dates = {c: "datetime64[s]" for c in frame if c.endswith("_date")}
    return frame.astype(dates)


def days(n: int) -> pd.Timedelta:
    """Return a number of days."""
    return pd.Timedelta(days=n)


def april_year(date: pd.Series) -> pd.Series:
    """Return the April-year."""
    return (date.dt.year - (date.dt.month < 4)).astype("int64")


def yes_no(flag: pd.Series) -> pd.Series:
    """Return yes, no or Missing."""
    return flag.map({True: "yes", False: "no"}).fillna("Missing")


def ethnic_group(codes: pd.Series) -> pd.Series:
    """Return the groups of census codes."""
    groups = {"REFU": "Refused or not obtained", "NOBT": "Refused or not obtained"}
    for code in codes.dropna().unique():
        if code not in groups:
            groups[code] = "Other" if code[0] == "O" else ETHNIC_GROUPS.get(code[0], "Missing")
    return codes.map(groups).fillna("Missing")


def add_child(cases: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Add covariates, and keep children up to 17 or of unknown age."""
    kids = tables["children"]
    kids = kids[CHILD].assign(
        born=kids["birth_date"].fillna(kids["expected_birth_date"]),
        sex=kids["sex"].fillna("Missing"),
        ethnic_group=ethnic_group(kids["ethnicity"]),
        disabled=yes_no(kids["disabled"]),
        uasc=yes_no(kids["uasc"]),
    )
    kids = kids.merge(plans_of_children(tables["protection_plans"]), on=CHILD, how="left")
    cases = cases.merge(kids, on=CHILD, how="left")
    date, born = cases["date"], cases["born"]
    not_yet = date.dt.month * 100 + date.dt.day < born.dt.month * 100 + born.dt.day
    age = date.dt.year - born.dt.year - not_yet
    bands = [age.isna(), age < 0, age < 5, age < 13]
    cases["age_band"] = np.select(bands, ["Missing", "unborn", "0 to 4", "5 to 12"], "13 to 17")
    previous = (cases["first_plan"] < date) | cases["earlier_plan"].eq(True)
    cases["previous_plan"] = np.where(previous, "yes", "no")
    return cases[age.isna() | age.between(-1, 17)]


def plans_of_children(plans: pd.DataFrame) -> pd.DataFrame:
    """Return the first plan in the records, and whether a plan tells of one before them."""
    plans = plans.dropna(subset="start_date").groupby([*CHILD, "start_date"], as_index=False)
    plans = plans["n_previous"].max().sort_values("start_date")
    said = plans.groupby("unit")["n_previous"].agg(["count", "min"])
    itself = said.index[(said["count"] >= 10) & (said["min"] > 0)]
    before = plans["n_previous"] - plans["unit"].isin(itself).astype(int)
    plans["earlier_plan"] = before.fillna(0) > plans.groupby(CHILD).cumcount()
    kids = plans.groupby(CHILD, as_index=False)
    return kids.agg(first_plan=("start_date", "min"), earlier_plan=("earlier_plan", "max"))


def first_event(cases: pd.DataFrame, events: pd.DataFrame, *, on: str, within: int, same_day: bool):
    """Return, in the order of cases, the child's first event up to some days after a date."""
    left = cases[[*CHILD, on]].rename(columns={on: "date"}).reset_index(drop=True)
    left["row"] = np.arange(len(left))
    left = left.dropna().sort_values("date")
    events = events.set_axis([*CHILD, "event"], axis=1).dropna().sort_values("event")
    nearest = pd.merge_asof(
        left,
        events,
        left_on="date",
        right_on="event",
        by=CHILD,
        direction="forward",
        tolerance=days(within),
        allow_exact_matches=same_day,
    )
    dates = pd.Series(pd.NaT, index=range(len(cases)), dtype="datetime64[s]")
    dates.loc[nearest["row"].to_numpy()] = nearest["event"].to_numpy()
    return dates.to_numpy()


def latest_referrals(tables: Tables) -> pd.DataFrame:
    """Return every referral as its latest return has it."""
    ordered = tables["referrals"].sort_values("return_year", kind="stable")
    return ordered.drop_duplicates([*CHILD, "referral_date"], keep="last")


def assessments(tables: Tables, start: dt.date, end: dt.date, limit: int) -> pd.DataFrame:
    """Return assessments followed up for working days; ``taken`` is missing where open then."""
    a = tables["assessments"].dropna(subset=[*CHILD, "start_date"])
    bank = holidays.UnitedKingdom(subdiv="ENG", years=range(1990, 2030))
    free, one = np.array(list(bank), "M8[D]"), np.timedelta64(1, "D")
    begun = a["start_date"].to_numpy().astype("M8[D]")
    # The working day after the last, less a day.
    last = np.busday_offset(begun, 0, roll="backward", holidays=free)
    a = a.assign(follow_up_end=np.busday_offset(last, limit + 1, holidays=free) - one)
    done = a["authorised_date"] <= a["follow_up_end"]
    a["authorised_date"] = a["authorised_date"].where(done)
    a = a.sort_values("authorised_date", na_position="first")
    a = a.drop_duplicates([*CHILD, "start_date"], keep="last")
    a = a[(a["start_date"] >= pd.Timestamp(start)) & (a["follow_up_end"] <= pd.Timestamp(end))]
    a = a[(april_year(a["start_date"]) >= 2011) & ~(a["authorised_date"] < a["start_date"])]
    a = add_child(a.assign(date=a["start_date"], period=april_year(a["start_date"])), tables)
    ended = a["authorised_date"].fillna(a["start_date"]).to_numpy().astype("M8[D]") + one
    begun = a["start_date"].to_numpy().astype("M8[D]") + one
    taken = np.busday_count(begun, ended, holidays=free).astype(float)
    return a.assign(taken=np.where(a["authorised_date"].isna(), np.nan, taken))


def assessment_duration(tables: Tables, start: dt.date, end: dt.date) -> pd.DataFrame:
    """Return assessments with their working days, at most 60."""
    a = assessments(tables, start, end, 60)
    return a.assign(value=a["taken"].fillna(60).clip(upper=60))


def assessment_in_time(tables: Tables, start: dt.date, end: dt.date) -> pd.DataFrame:
    """Return assessments, and whether they were authorised within 45 working days."""
    a = assessments(tables, start, end, 45)
    return a.assign(value=(a["taken"] <= 45).astype(float))


def closed_nfa(tables: Tables, start: dt.date, end: dt.date, follow_up: int) -> pd.DataFrame:
    """Return referrals closed NFA with their re-referral."""
    r = latest_referrals(tables)
    r = r[r["nfa"].eq(True) | r["closure_reason"].eq("RC8")]
    r = r.assign(nfa_date=r["closure_date"].fillna(r["referral_date"]), date=r["referral_date"])
    r = r.assign(follow_up_end=r["nfa_date"] + days(follow_up), period=april_year(r["date"]))
    r = r[(r["date"] >= pd.Timestamp(start)) & (r["follow_up_end"] <= pd.Timestamp(end))]
    r = add_child(r[r["nfa_date"] >= r["date"]], tables)
    events = tables["referrals"][[*CHILD, "referral_date"]]
    r["again"] = first_event(r, events, on="nfa_date", within=183, same_day=False)
    feasts = holidays.UnitedKingdom(subdiv="ENG", years=range(1990, 2030), observed=False)
    names = ("Christmas Day", "Good Friday", "Easter Monday")
    near = [
        pd.Timestamp(day) + days(shift)
        for day, name in feasts.items()
        if name in names
        for shift in range(-5, 6)
    ]
    r["holiday_referral"] = np.where(r["date"].isin(near), "yes", "no")
    return r


def rereferral(tables: Tables, start: dt.date, end: dt.date) -> pd.DataFrame:
    """Return referrals closed NFA, and whether the child was referred again."""
    cases = closed_nfa(tables, start, end, 183)
    return cases.assign(value=cases["again"].notna().astype(float))


def escalation(tables: Tables, start: dt.date, end: dt.date) -> pd.DataFrame:
    """Return referrals closed NFA, and whether a re-referral led to a plan or to care."""
    cases = closed_nfa(tables, start, end, 363)
    first = first_episodes(tables)
    first = first[first["reason_start"].isna() | first["reason_start"].eq("S")]
    columns = [*CHILD, "start_date"]
    starts = pd.concat([tables["protection_plans"][columns], first[columns]])
    led = first_event(cases, starts, on="again", within=180, same_day=True)
    return cases.assign(value=(~np.isnat(led)).astype(float))


def first_episodes(tables: Tables) -> pd.DataFrame:
    """Return the first episode of every period of care."""
    ordered = tables["episodes"].sort_values(["start_date", "end_date"])
    return ordered.drop_duplicates([*CHILD, "period_of_care"])


def kinship_care(tables: Tables, start: dt.date, end: dt.date) -> pd.DataFrame:
    """Return periods of care under a care order, and whether they lead to kin."""
    key = [*CHILD, "period_of_care"]
    first = first_episodes(tables)
    all_ = tables["episodes"].merge(
        first[[*key, "start_date"]].rename(columns={"start_date": "begun"}), on=key
    )
    last = all_["begun"] + days(365)
    kin = all_["placement"].isin(["U1", "U2", "U3", "Q1", "F1", "F4"]) & all_["start_date"].le(last)
    kin |= all_["reason_end"].isin(["E45", "E47"]) & all_["end_date"].le(last)
    value = all_.assign(value=kin.astype(float)).groupby(key, as_index=False)["value"].max()
    p = first.merge(value, on=key)
    p = p.assign(date=p["start_date"], follow_up_end=p["start_date"] + days(365))
    p = p[(p["date"] >= pd.Timestamp(start)) & (p["follow_up_end"] <= pd.Timestamp(end))]
    p = p[p["reason_start"].isna() | p["reason_start"].eq("S")]
    p = p[p["legal_status"].isin(["C1", "C2"]) & p["placement"].notna()]
    return add_child(p.assign(period=april_year(p["date"])), tables)


def icpc(tables: Tables, start: dt.date, end: dt.date) -> pd.DataFrame:
    """Return referrals in need, and whether a conference followed."""
    r = latest_referrals(tables)
    nfa, reason = r["nfa"].eq(True), r["closure_reason"]
    still_open = r["closure_date"].isna() & reason.isna() & r["nfa"].notna()
    r = r[(reason.isin(KNOWN_REASONS) | still_open) & ~nfa & ~reason.isin(["RC8", "RC9"])]
    until = r["referral_date"] + days(90)
    told = r["closure_date"].where(r["nfa"].isna()).fillna(until)
    r = r.assign(date=r["referral_date"], follow_up_end=until.where(until > told, told))
    r = r[(r["date"] >= pd.Timestamp(start)) & (r["follow_up_end"] <= pd.Timestamp(end))]
    r = add_child(r.assign(period=april_year(r["date"])), tables)
    held = conferences(tables)
    held = held[held["icpc_date"] - held["referral_date"] <= days(90)]
    key = [*CHILD, "referral_date"]
    value = pd.MultiIndex.from_frame(r[key]).isin(pd.MultiIndex.from_frame(held[key]))
    return r.assign(value=value.astype(float))


def conferences(tables: Tables) -> pd.DataFrame:
    """Return the conferences, each with its referral: the recorded one, else the latest before."""
    columns = [*CHILD, "icpc_date", "referral_date"]
    held = pd.concat([tables["referrals"][columns], tables["section47s"][columns]])
    held = held.dropna(subset="icpc_date").rename(columns={"referral_date": "recorded"})
    referrals = tables["referrals"]
    referrals = referrals[~referrals["nfa"].eq(True)]
    pairs = held.merge(referrals[[*CHILD, "referral_date"]], on=CHILD)
    pairs = pairs[pairs["referral_date"] <= pairs["icpc_date"]]
    pairs["own"] = pairs["recorded"] == pairs["referral_date"]
    pairs = pairs.sort_values(["own", "referral_date"])
    return pairs.drop_duplicates([*CHILD, "icpc_date"], keep="last")[columns]


OUTCOMES: dict[str, tuple[Callable[[Tables, dt.date, dt.date], pd.DataFrame], list[str]]] = {
    "assessment-duration": (assessment_duration, COVARIATES),
    "assessment-within-45-days": (assessment_in_time, COVARIATES),
    "rereferral": (rereferral, COVARIATES),
    "escalation": (escalation, COVARIATES),
    "kinship-care": (kinship_care, [*COVARIATES, "uasc"]),
    "icpc": (icpc, COVARIATES),
}
"""By name: what derives the cases, and their covariates."""


def cells(cases: pd.DataFrame, covariates: list[str]) -> pd.DataFrame:
    """Count and add up cases by authority, period and pattern of covariates."""
    cases = cases.assign(squares=cases["value"] ** 2)
    grouped = cases.groupby(["unit", "period", *covariates], as_index=False, observed=True)
    return grouped.agg(
        n_cases=("value", "size"), value_sums=("value", "sum"), squares=("squares", "sum")
    )
