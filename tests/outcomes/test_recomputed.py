"""Every outcome on random records, computed a second time by plain loops over the rows.

The loops share no code with the outcomes: they read the rows one by one, with dates of the
standard library. Windows and codes are written out, so that a changed default is noticed here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import holidays
import numpy as np
import pytest
from outcome_helpers import END, START, after, check_contract, derive, random_tables, records
from sos_outcomes.assessment_duration import AssessmentDuration, AssessmentWithin45Days
from sos_outcomes.escalation import Escalation
from sos_outcomes.icpc import Icpc
from sos_outcomes.kinship_care import KinshipCare
from sos_outcomes.rereferral import Rereferral

from sos_plugins import Outcome, Session

Rows = list[dict[str, Any]]
Tables = dict[str, Rows]
Plain = dict[tuple[Any, ...], tuple[Any, ...]]
"""(unit, child, date) to (value, follow_up_end, age band, ethnic group, previous plan)."""

FREE = set(holidays.UnitedKingdom(subdiv="ENG", years=range(2005, 2030)))
KNOWN = {f"RC{n}" for n in range(1, 10)}
SEEDS = (1, 2)


def same_child(rows: Rows, row: dict[str, Any]) -> Rows:
    return [r for r in rows if (r["unit"], r["child"]) == (row["unit"], row["child"])]


def latest_returns(referrals: Rows) -> Rows:
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(referrals, key=lambda r: r["return_year"]):
        kept[row["unit"], row["child"], row["referral_date"]] = row
    return list(kept.values())


def age_at(tables: Tables, row: dict[str, Any], date: dt.date) -> int | None:
    (child,) = same_child(tables["children"], row)
    born = child["birth_date"] or child["expected_birth_date"]
    if born is None:
        return None
    return date.year - born.year - ((date.month, date.day) < (born.month, born.day))


def of_age(age: int | None) -> bool:
    return age is None or -1 <= age <= 17


def facts(tables: Tables, row: dict[str, Any], date: dt.date) -> tuple[str, str, str]:
    age = age_at(tables, row, date)
    if age is None:
        band = "Missing"
    elif age < 0:
        band = "unborn"
    else:
        band = "0 to 4" if age < 5 else "5 to 12" if age < 13 else "13 to 17"
    (child,) = same_child(tables["children"], row)
    groups = {
        "WBRI": "White", "MWBC": "Mixed", "AIND": "Asian", "BOTH": "Black", "CHNE": "Chinese",
        "OOTH": "Other", "REFU": "Refused or not obtained", "NOBT": "Refused or not obtained",
    }  # fmt: skip
    plans = same_child(tables["protection_plans"], row)
    previous = any(plan["start_date"] < date for plan in plans) or more_than_recorded(plans)
    return band, groups.get(child["ethnicity"], "Missing"), "yes" if previous else "no"


def more_than_recorded(plans: Rows) -> bool:
    """Return whether a plan says that more came before it than are recorded before it."""
    return any(
        (plan["n_previous"] or 0) > len({p["start_date"] for p in plans if p["start_date"] < begun})
        for plan in plans
        for begun in [plan["start_date"]]
    )


def put(plain: Plain, tables: Tables, row: dict[str, Any], date: dt.date, value: float, until):
    if of_age(age_at(tables, row, date)):
        key = (row["unit"], row["child"], date)
        plain[key] = (value, until, *facts(tables, row, date))


def plain_icpc(tables: Tables) -> Plain:
    plain: Plain = {}
    for row in latest_returns(tables["referrals"]):
        date = row["referral_date"]
        until = after(date, 90)
        if row["nfa"] is None and row["closure_date"] is not None:
            until = max(until, row["closure_date"])
        if not (date >= START and until <= END) or row["nfa"] is True:
            continue
        still_open = row["closure_date"] is None and row["closure_reason"] is None
        if row["closure_reason"] in {"RC8", "RC9"}:
            continue
        if row["closure_reason"] not in KNOWN and not (still_open and row["nfa"] is False):
            continue
        held = [d for d, referred in conferences(tables, row).items() if referred == date]
        value = any(0 <= (d - date).days <= 90 for d in held)
        put(plain, tables, row, date, float(value), until)
    return plain


def conferences(tables: Tables, row: dict[str, Any]) -> dict[dt.date, dt.date]:
    """Return the conferences of the child, each with the date of its one referral."""
    referrals = same_child(tables["referrals"], row)
    possible = {r["referral_date"] for r in referrals if r["nfa"] is not True}
    first_of: dict[dt.date, dt.date] = {}
    rows = [r for r in [*referrals, *same_child(tables["section47s"], row)] if r["icpc_date"]]
    for held in {r["icpc_date"] for r in rows}:
        before = {d for d in possible if d <= held}
        recorded = before & {r["referral_date"] for r in rows if r["icpc_date"] == held}
        if before:
            first_of[held] = max(recorded or before)
    return first_of


def nfa_cases(tables: Tables, buffer: int) -> list[tuple[dict[str, Any], dt.date, list[dt.date]]]:
    """Return every NFA referral with its NFA date and its re-referrals in order."""
    cases = []
    for row in latest_returns(tables["referrals"]):
        nfa_date = row["closure_date"] or row["referral_date"]
        if row["referral_date"] < START or after(nfa_date, buffer) > END:
            continue
        if nfa_date < row["referral_date"]:
            continue
        if row["nfa"] is True or row["closure_reason"] == "RC8":
            dates = {r["referral_date"] for r in same_child(tables["referrals"], row)}
            again = sorted(d for d in dates if 1 <= (d - nfa_date).days <= 183)
            cases.append((row, nfa_date, again))
    return cases


def plain_rereferral(tables: Tables) -> Plain:
    plain: Plain = {}
    for row, nfa_date, again in nfa_cases(tables, 183):
        value = float(len(again) > 0)
        put(plain, tables, row, row["referral_date"], value, after(nfa_date, 183))
    return plain


def starts_of(tables: Tables, row: dict[str, Any]) -> list[dt.date]:
    """Return when plans and periods of care of the child start."""
    dates = [plan["start_date"] for plan in same_child(tables["protection_plans"], row)]
    episodes = same_child(tables["episodes"], row)
    for number in {e["period_of_care"] for e in episodes}:
        period = [e for e in episodes if e["period_of_care"] == number]
        begun = min(period, key=lambda e: e["start_date"])
        if begun["reason_start"] in {"S", None}:
            dates.append(begun["start_date"])
    return dates


def plain_escalation(tables: Tables, *, wwcsc: bool = False) -> Plain:
    plain: Plain = {}
    days = 360 if wwcsc else 363
    for row, nfa_date, again in nfa_cases(tables, days):
        value = 0.0
        starts = starts_of(tables, row)
        if again:
            relevant = again[-1] if wwcsc else again[0]
            value = float(any(0 <= (d - relevant).days <= 180 for d in starts))
            if wwcsc and any(nfa_date <= d < relevant for d in starts):
                continue
        put(plain, tables, row, row["referral_date"], value, after(nfa_date, days))
    return plain


def plain_kinship(tables: Tables, *, wwcsc: bool = False) -> Plain:
    placements = {"U1", "U2", "U3", "Q1", "F1", "F4"} | ({"P1"} if wwcsc else set())
    exits = {"E45", "E47"} | ({"E4A", "E4", "E13", "E41", "E43", "E44"} if wwcsc else set())
    plain: Plain = {}
    periods: dict[tuple[Any, ...], Rows] = {}
    for episode in tables["episodes"]:
        key = (episode["unit"], episode["child"], episode["period_of_care"])
        periods.setdefault(key, []).append(episode)
    for episodes in periods.values():
        begun = min(episodes, key=lambda e: e["start_date"])
        date = begun["start_date"]
        last = after(date, 365)
        if date < START or last > END or begun["reason_start"] not in {"S", None}:
            continue
        if begun["legal_status"] not in {"C1", "C2"} or begun["placement"] is None:
            continue
        placed = any(e["placement"] in placements and e["start_date"] <= last for e in episodes)
        left = any(
            e["reason_end"] in exits and e["end_date"] is not None and e["end_date"] <= last
            for e in episodes
        )
        put(plain, tables, begun, date, float(placed or left), last)
    return plain


def working_days(start: dt.date, end: dt.date) -> int:
    days = [after(start, n) for n in range(1, (end - start).days + 1)]
    return sum(d.weekday() < 5 and d not in FREE for d in days)


def last_day_of(start: dt.date, number: int) -> dt.date:
    """Return the day before the working day that is one too many."""
    day = start
    passed = 0
    while passed <= number:
        day = after(day, 1)
        passed += day.weekday() < 5 and day not in FREE
    return after(day, -1)


def assessments(tables: Tables, number: int) -> Iterator[tuple[dict[str, Any], dt.date, Any]]:
    """Yield each assessment, when its follow-up ends and when it was authorised by then, if it was.

    Of two that start on one day the one authorised last by then counts.
    """
    starts: dict[tuple[Any, ...], Rows] = {}
    for row in tables["assessments"]:
        if row["start_date"] >= dt.date(2011, 4, 1):
            starts.setdefault((row["unit"], row["child"], row["start_date"]), []).append(row)
    for rows in starts.values():
        until = last_day_of(rows[0]["start_date"], number)
        ends = [r["authorised_date"] for r in rows if r["authorised_date"] is not None]
        end = max((e for e in ends if e <= until), default=None)
        if until <= END and (end is None or end >= rows[0]["start_date"]):
            yield rows[0], until, end


def plain_duration(tables: Tables) -> Plain:
    plain: Plain = {}
    for row, until, end in assessments(tables, 60):
        value = 60 if end is None else min(working_days(row["start_date"], end), 60)
        put(plain, tables, row, row["start_date"], float(value), until)
    return plain


def plain_in_time(tables: Tables) -> Plain:
    plain: Plain = {}
    for row, until, end in assessments(tables, 45):
        value = end is not None and working_days(row["start_date"], end) <= 45
        put(plain, tables, row, row["start_date"], float(value), until)
    return plain


def plain_duration_of_2021(tables: Tables) -> Plain:
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in tables["assessments"]:
        key = (row["unit"], row["child"], row["start_date"])
        end = row["authorised_date"] or dt.date.min
        if key not in latest or end > (latest[key]["authorised_date"] or dt.date.min):
            latest[key] = row
    plain: Plain = {}
    for row in latest.values():
        start, end = row["start_date"], row["authorised_date"]
        if start < dt.date(2011, 4, 1) or after(start, 53) > END:
            continue
        if end is None or not start <= end <= END:
            continue
        put(plain, tables, row, start, float(working_days(start, end)), end)
    values = [case[0] for case in plain.values()]
    q1, q3 = np.percentile(values, [25, 75])
    return {k: case for k, case in plain.items() if case[0] <= q3 + 1.5 * (q3 - q1)}


CHECKS: list[tuple[Outcome, dict[str, Any], Callable[[Tables], Plain]]] = [
    (Icpc(), {}, plain_icpc),
    (Rereferral(), {}, plain_rereferral),
    (Escalation(), {}, plain_escalation),
    (
        Escalation(),
        {"definition": "wwcsc-2021", "label_by_nfa_date": False},
        lambda tables: plain_escalation(tables, wwcsc=True),
    ),
    (KinshipCare(), {}, plain_kinship),
    (
        KinshipCare(),
        {"definition": "wwcsc-2021"},
        lambda tables: plain_kinship(tables, wwcsc=True),
    ),
    (AssessmentDuration(), {}, plain_duration),
    (AssessmentDuration(), {"definition": "wwcsc-2021"}, plain_duration_of_2021),
    (AssessmentWithin45Days(), {}, plain_in_time),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_outcomes_are_what_plain_loops_give(seed):
    session = Session()
    tables = random_tables(seed)
    given = records(session, **tables)
    for outcome, settings, plain in CHECKS:
        cases = derive(outcome, given, session, **settings)
        check_contract(cases)
        frame = cases.frame
        columns = ["value", "follow_up_end", "age_band", "ethnic_group", "previous_plan"]
        frame["follow_up_end"] = frame["follow_up_end"].dt.date
        keys = zip(frame["unit"], frame["child"], frame["date"].dt.date, strict=True)
        got = dict(zip(keys, frame[columns].itertuples(index=False, name=None), strict=True))
        expected = plain(tables)
        assert len(got) == len(frame) > 30, outcome.name
        assert got == expected, (outcome.name, settings)
        assert frame["value"].mean() > 0, outcome.name
        april = frame["date"].dt.year - (frame["date"].dt.month < 4)
        assert (frame["period"] == april).all()
