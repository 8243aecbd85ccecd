"""Each published rule of the children in need census, on rows that break it and rows that do not.

What each rule means was read in its published wording. Counts of every rule were compared by hand
with a validator that local authorities use, on 3,000 random referrals with dates at the boundary;
docs/profile.md says what was found.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from outcome_helpers import END, START, day
from rule_helpers import Rows, broken
from sos_sources.rules.cin import CinRules, CinRulesSettings

from sos_plugins import Session
from sos_plugins.authors.testing.rules import rule_set_checks

REFERRED = day("2015-06-01")
BEFORE, AFTER = day("2015-05-31"), day("2015-06-02")
LATER = day("2015-09-01")
LAST_START = day("2019-01-25")
"""Nine weeks without holidays before Friday 29 March 2019, the last working day of the records."""


def referral(date: dt.date = REFERRED, **values: Any) -> dict[str, Any]:
    return {"referral_date": date, "nfa": False, **values}


def one(table: str, *rows: dict[str, Any], **values: Any) -> Rows:
    """A referral, and rows of another table that hang on it."""
    own = [{"referral_date": REFERRED, **row} for row in rows]
    return {"referrals": [referral(**values)], table: own}


def plan(start: dt.date | None, *conferences: dict[str, Any], **values: Any) -> Rows:
    enquiries = [{"referral_date": REFERRED, "start_date": REFERRED, **row} for row in conferences]
    return {**one("protection_plans", {"start_date": start}, **values), "section47s": enquiries}


CASES: dict[str, dict[str, tuple[int, Rows]]] = {
    "cin:1103": {
        "the day before": (1, one("assessments", {"start_date": BEFORE})),
        "the day": (0, one("assessments", {"start_date": REFERRED})),
        "no start": (0, one("assessments", {"start_date": None})),
        "two of three": (
            2,
            one("assessments", *({"start_date": d} for d in (BEFORE, BEFORE, AFTER))),
        ),
        "no known referral": (
            0,
            {"assessments": [{"start_date": BEFORE, "referral_date": None}]},
        ),
    },
    "cin:1104": {
        "the day before": (1, one("section47s", {"icpc_date": BEFORE})),
        "the day": (0, one("section47s", {"icpc_date": REFERRED})),
        "no conference": (0, one("section47s", {"start_date": BEFORE})),
    },
    "cin:1105": {
        "the day before": (1, plan(BEFORE)),
        "the day": (0, plan(REFERRED)),
        "no start": (0, plan(None)),
    },
    "cin:2884": {
        "the same day": (1, one("section47s", {"icpc_date": AFTER}, icpc_date=AFTER)),
        "another day": (0, one("section47s", {"icpc_date": AFTER}, icpc_date=LATER)),
        "only here": (0, one("section47s", {"icpc_date": AFTER})),
        "only there": (0, one("section47s", {"icpc_date": None}, icpc_date=AFTER)),
        "in another referral": (
            1,
            {
                "section47s": [{"referral_date": REFERRED, "icpc_date": LATER}],
                "referrals": [referral(), referral(AFTER, icpc_date=LATER)],
            },
        ),
    },
    "cin:2885": {
        "on the enquiry's": (0, plan(AFTER, {"icpc_date": AFTER})),
        "the day after": (1, plan(AFTER, {"icpc_date": REFERRED})),
        "on one of two": (0, plan(AFTER, {"icpc_date": LATER}, {"icpc_date": AFTER})),
        "on the referral's": (0, plan(AFTER, icpc_date=AFTER)),
        "without any": (1, plan(AFTER)),
        "an enquiry speaks first": (1, plan(AFTER, {"icpc_date": LATER}, icpc_date=AFTER)),
        "an enquiry without": (1, plan(AFTER, {"icpc_date": None})),
        "none was needed": (
            0,
            plan(AFTER, {"icpc_date": LATER, "icpc_not_required": True}, icpc_date=AFTER),
        ),
        "before the records": (0, plan(START - dt.timedelta(days=1))),
        "on their first day": (1, plan(START)),
        "on their last day": (1, plan(END)),
        "after the records": (0, plan(END + dt.timedelta(days=1))),
        "no known referral": (0, {"protection_plans": [{"start_date": AFTER}]}),
    },
    "cin:8608": {
        "the day before": (
            1,
            one("assessments", {"start_date": REFERRED, "authorised_date": BEFORE}),
        ),
        "the day": (0, one("assessments", {"start_date": REFERRED, "authorised_date": REFERRED})),
        "not finished": (0, one("assessments", {"start_date": REFERRED})),
    },
    "cin:8630": {
        "the day before": (1, {"referrals": [referral(closure_date=BEFORE)]}),
        "the day": (0, {"referrals": [referral(closure_date=REFERRED)]}),
        "open": (0, {"referrals": [referral()]}),
    },
    "cin:8670": {
        "a day too early": (
            1,
            one("assessments", {"start_date": LAST_START - dt.timedelta(days=1)}),
        ),
        "within": (0, one("assessments", {"start_date": LAST_START})),
        "finished": (
            0,
            one("assessments", {"start_date": REFERRED, "authorised_date": LATER}),
        ),
        "before there was a limit": (0, one("assessments", {"start_date": day("2013-03-31")})),
        "since there is one": (1, one("assessments", {"start_date": day("2013-04-01")})),
    },
    "cin:8805": {
        "no reason": (1, {"referrals": [referral(closure_date=LATER)]}),
        "a reason": (0, {"referrals": [referral(closure_date=LATER, closure_reason="RC8")]}),
        "open": (0, {"referrals": [referral()]}),
    },
    "cin:8810": {
        "no date": (1, {"referrals": [referral(closure_reason="RC8")]}),
        "a date": (0, {"referrals": [referral(closure_date=LATER, closure_reason="RC8")]}),
        "open": (0, {"referrals": [referral()]}),
    },
    "cin:8820": {
        "the day before": (
            1,
            {"referrals": [referral(closure_date=LATER), referral(LATER - dt.timedelta(days=1))]},
        ),
        "on the day": (0, {"referrals": [referral(closure_date=LATER), referral(LATER)]}),
        "still open": (1, {"referrals": [referral(), referral(LATER)]}),
        "still open, the last day": (0, {"referrals": [referral(), referral(END)]}),
        "no further action": (0, {"referrals": [referral(nfa=True), referral(LATER)]}),
        "one after another": (
            0,
            {
                "referrals": [
                    referral(BEFORE, closure_date=BEFORE),
                    referral(closure_date=LATER),
                    referral(day("2015-10-01")),
                ]
            },
        ),
        "both within the first": (
            1,
            {
                "referrals": [
                    referral(BEFORE, closure_date=day("2016-01-01")),
                    referral(REFERRED, closure_date=AFTER),
                    referral(LATER, closure_date=LATER),
                ]
            },
        ),
        "in another authority": (
            0,
            {"referrals": [referral(unit="331"), referral(LATER)]},
        ),
    },
    "cin:8831": {
        "an assessment": (1, one("assessments", {"start_date": AFTER}, nfa=True)),
        "an assessment's end": (1, one("assessments", {"authorised_date": AFTER}, nfa=True)),
        "an enquiry": (1, one("section47s", {"start_date": AFTER}, nfa=True)),
        "a conference": (1, {"referrals": [referral(nfa=True, icpc_date=AFTER)]}),
        "an assessment without dates": (0, one("assessments", {}, nfa=True)),
        "nothing": (0, {"referrals": [referral(nfa=True)]}),
        "action was taken": (0, one("assessments", {"start_date": AFTER})),
        "not known": (0, one("assessments", {"start_date": AFTER}, nfa=None)),
        "on another referral": (
            0,
            {
                "referrals": [referral(nfa=True), referral(LATER)],
                "assessments": [{"referral_date": LATER, "start_date": LATER}],
            },
        ),
    },
    "cin:8832": {
        "a plan": (1, plan(AFTER, nfa=True)),
        "two plans": (
            2,
            one("protection_plans", {"start_date": AFTER}, {"start_date": LATER}, nfa=True),
        ),
        "action was taken": (0, plan(AFTER)),
        "not known": (0, plan(AFTER, nfa=None)),
    },
}


@pytest.mark.parametrize("number", CASES)
def test_rows_that_break_a_rule_are_found_and_no_others(number: str, session: Session) -> None:
    rules = CinRules().rules(CinRulesSettings())
    rows_at_fault = broken(
        {c: rows for c, (_, rows) in CASES[number].items()}, rules, session, number
    )
    assert {child: len(names) for child, names in rows_at_fault.items()} == {
        child: n for child, (n, _) in CASES[number].items()
    }


def test_every_published_rule_has_cases() -> None:
    rules = CinRules().rules(CinRulesSettings())
    assert {rule.name for rule in rules if ":" in rule.name} == set(CASES)


def test_no_rule_is_asked_of_years_before_the_census(session: Session) -> None:
    old, new = day("2008-03-31"), day("2008-04-01")
    rows_at_fault = broken(
        {
            "before": {"referrals": [referral(old, closure_date=old)]},
            "from then on": {"referrals": [referral(new, closure_date=new)]},
        },
        CinRules().rules(CinRulesSettings()),
        session,
        "cin:8805",
    )
    assert rows_at_fault == {"before": [], "from then on": ["cin:8805"]}


def test_the_limit_of_an_assessment_is_a_setting(session: Session) -> None:
    rules = CinRules().rules(CinRulesSettings(assessment_days=40))
    child = {"within 45": one("assessments", {"start_date": LAST_START})}
    assert broken(child, rules, session, "cin:8670") == {"within 45": ["cin:8670"]}


def test_records_without_an_end_have_no_assessment_that_is_late(session: Session) -> None:
    child = {"open": one("assessments", {"start_date": REFERRED})}
    rules = CinRules().rules(CinRulesSettings())
    assert broken(child, rules, session, "cin:8670", end=None) == {"open": []}


def test_codes_in_lower_case_are_told_from_those_that_no_year_knows(session: Session) -> None:
    children = {
        "known": {"referrals": [referral(primary_need="N1", closure_reason="RC8")]},
        "lower": {"referrals": [referral(primary_need="n1", referral_source="1a")]},
        "unknown": {"referrals": [referral(primary_need="NN1")]},
        "missing": {"referrals": [referral(primary_need=None)]},
    }
    rules = CinRules().rules(CinRulesSettings())
    assert broken(children, rules, session) == {
        "known": ["cin:8810"],
        "lower": ["lower-case-code", "lower-case-code"],
        "unknown": ["misspelt-code"],
        "missing": [],
    }
    off = CinRules().rules(CinRulesSettings(codes_of_years=False))
    assert broken(children, off, session)["unknown"] == []


@pytest.mark.parametrize("check", rule_set_checks(CinRules()), ids=str)
def test_the_rules_keep_their_contract(check: Any) -> None:
    check()
