"""Outcomes derived from record tables in plain pandas, and difference-in-differences by group.

Written from METHODS alone, without the outcome plugins, so that the simulator is judged by what we
can count by hand.
"""

from __future__ import annotations

import holidays
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats
from sos_simulator import Simulation
from sos_simulator.population import groups_table, pilots_table

Frames = dict[str, pd.DataFrame]


def frames(tables: dict[str, pa.Table]) -> Frames:
    """Return tables as frames with real dates."""
    by_name = {}
    for name, table in tables.items():
        frame = table.to_pandas()
        for column in frame:
            if str(column).endswith("_date"):
                frame[column] = pd.to_datetime(frame[column])
        by_name[name] = frame
    return by_name


def days(number: int) -> pd.Timedelta:
    return pd.Timedelta(days=number)


def first_event(cases: pd.DataFrame, date: str, events: pd.DataFrame, low: int, high: int):
    """Return each case's first event ``low`` to ``high`` days after ``date``, NaT if none."""
    pairs = cases[["unit", "child", date]].reset_index().merge(events, on=["unit", "child"])
    gap = (pairs["event"] - pairs[date]).dt.days
    pairs = pairs[(gap >= low) & (gap <= high)]
    return pairs.groupby("index")["event"].min().reindex(cases.index)


def nfa_cases(f: Frames, start: pd.Timestamp) -> pd.DataFrame:
    referrals = f["referrals"]
    known = referrals["nfa"] | referrals["closure_reason"].notna()
    nfa = referrals["nfa"] | (referrals["closure_reason"] == "RC8")
    nfa_date = referrals["closure_date"].fillna(referrals["referral_date"])
    keep = known & nfa & (referrals["referral_date"] >= start)
    keep &= nfa_date >= referrals["referral_date"]
    cases = referrals.assign(nfa_date=nfa_date)[keep].reset_index(drop=True)
    events = referrals[["unit", "child"]].assign(event=referrals["referral_date"])
    return cases.assign(again=first_event(cases, "nfa_date", events, 1, 183))


def _cases(frame: pd.DataFrame, date, until, value) -> pd.DataFrame:
    columns = {"unit": frame["unit"], "date": date, "until": until, "value": value.astype(float)}
    return pd.DataFrame(columns)


def rereferral(f: Frames, start: pd.Timestamp) -> pd.DataFrame:
    cases = nfa_cases(f, start)
    until = cases["nfa_date"] + days(183)
    return _cases(cases, cases["referral_date"], until, cases["again"].notna())


def escalation(f: Frames, start: pd.Timestamp) -> pd.DataFrame:
    cases = nfa_cases(f, start)
    care = f["episodes"][f["episodes"]["reason_start"] == "S"]
    events = pd.concat(
        [t[["unit", "child"]].assign(event=t["start_date"]) for t in (care, f["protection_plans"])]
    )
    following = first_event(cases[cases["again"].notna()], "again", events, 0, 180)
    value = pd.Series(cases.index.isin(following.dropna().index))
    return _cases(cases, cases["referral_date"], cases["nfa_date"] + days(363), value)


def kinship(
    f: Frames,
    start: pd.Timestamp,
    placements: tuple[str, ...] = ("U1", "U2", "U3", "Q1"),
    exits: tuple[str, ...] = ("E45", "E47"),
) -> pd.DataFrame:
    episodes = f["episodes"]
    first = (episodes["reason_start"] == "S") & episodes["legal_status"].isin(["C1", "C2"])
    key = ["unit", "child", "period_of_care"]
    starts = episodes[first & (episodes["start_date"] >= start)][[*key, "start_date"]]
    starts = starts.rename(columns={"start_date": "entered"}).reset_index(drop=True)
    joined = starts.reset_index().merge(episodes, on=key)
    placed = joined["placement"].isin(placements)
    placed &= joined["start_date"] <= joined["entered"] + days(365)
    left = joined["reason_end"].isin(exits) & (joined["end_date"] <= joined["entered"] + days(365))
    value = (placed | left).groupby(joined["index"]).any()
    return _cases(starts, starts["entered"], starts["entered"] + days(365), value)


def working_days(start: pd.Series, end: pd.Series) -> np.ndarray:
    bank = holidays.country_holidays("GB", subdiv="ENG", years=range(2000, 2030))
    free = np.array(sorted(bank), dtype="datetime64[D]")
    first = start.to_numpy().astype("datetime64[D]") + 1
    return np.busday_count(first, end.to_numpy().astype("datetime64[D]") + 1, holidays=free)


def duration(f: Frames, start: pd.Timestamp) -> pd.DataFrame:
    """All authorised assessments: without the rule on outliers, which would shrink effects."""
    done = f["assessments"].dropna(subset="authorised_date")
    done = done[done["start_date"] >= start].reset_index(drop=True)
    value = pd.Series(working_days(done["start_date"], done["authorised_date"]))
    # Until is the start: an assessment cut by the end of the data would be a short one.
    return _cases(done, done["start_date"], done["start_date"] + days(180), value)


def icpc(f: Frames, start: pd.Timestamp) -> pd.DataFrame:
    referrals = f["referrals"]
    need = ~referrals["nfa"] & (referrals["closure_reason"] != "RC8")
    need &= referrals["closure_reason"].notna() | referrals["closure_date"].isna()
    cases = referrals[need & (referrals["referral_date"] >= start)].reset_index(drop=True)
    events = pd.concat(
        [
            f[name][["unit", "child"]].assign(event=f[name]["icpc_date"])
            for name in ("referrals", "section47s")
        ]
    ).dropna()
    following = first_event(cases, "referral_date", events, 0, 90)
    until = cases["referral_date"] + days(90)
    return _cases(cases, cases["referral_date"], until, following.notna())


DERIVE = {
    "assessment-duration": duration,
    "rereferral": rereferral,
    "escalation": escalation,
    "kinship-care": kinship,
    "icpc": icpc,
}


def derive(simulation: Simulation, name: str, f: Frames) -> pd.DataFrame:
    """Return the cases of an outcome with complete follow-up."""
    settings = simulation.settings
    cases = DERIVE[name](f, pd.Timestamp(settings.first_year, 4, 1))
    return cases[cases["until"] <= pd.Timestamp(settings.last_year + 1, 3, 31)]


def by_pilot(simulation: Simulation, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the 2x2 difference-in-differences of every pilot with its planted comparators."""
    groups = groups_table(simulation.population)
    rows = []
    for pilot in pilots_table(simulation.population).itertuples():
        comparators = groups.loc[groups["pilot"] == pilot.unit, "comparator"]
        mine, theirs = cases["unit"] == pilot.unit, cases["unit"].isin(comparators)
        pre = cases["until"] < pd.Timestamp(pilot.start)
        post = cases["date"] > pd.Timestamp(pilot.end)
        cells = [cases.loc[w & t, "value"] for w in (mine, theirs) for t in (post, pre)]
        means = [cell.mean() for cell in cells]
        variance = sum(cell.var() / len(cell) for cell in cells)
        rows.append(
            {
                "unit": pilot.unit,
                "estimate": means[0] - means[1] - means[2] + means[3],
                "variance": variance,
                "external": pilot.external_support == "true",
                "n_post": len(cells[0]),
            }
        )
    return pd.DataFrame(rows)


def lead_p_values(simulation: Simulation, cases: pd.DataFrame) -> dict[str, float]:
    """Return, by pilot, the p value of "the gap to the comparators was the same in every year".

    Years are counted back from the embedding window; chi-square of the yearly gaps around their
    weighted mean.
    """
    groups = groups_table(simulation.population)
    p_values = {}
    for pilot in pilots_table(simulation.population).itertuples():
        comparators = groups.loc[groups["pilot"] == pilot.unit, "comparator"]
        start = pd.Timestamp(pilot.start)
        pre = cases[cases["until"] < start]
        pre = pre.assign(year=((start - pre["until"]).dt.days - 1) // 365)
        pre = pre[pre["year"] < 5]
        sides = [pre[pre["unit"] == pilot.unit], pre[pre["unit"].isin(comparators)]]
        mine, theirs = (s.groupby("year")["value"].agg(["mean", "var", "count"]) for s in sides)
        gap = mine["mean"] - theirs["mean"]
        weight = 1 / (mine["var"] / mine["count"] + theirs["var"] / theirs["count"])
        centre = (gap * weight).sum() / weight.sum()
        p_values[pilot.unit] = float(
            stats.chi2.sf(((gap - centre) ** 2 * weight).sum(), len(gap) - 1)
        )
    return p_values
