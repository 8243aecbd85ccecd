"""Rows that break each rule of the children in need census, and rows at the boundary.

What each rule means was read in its published wording; every case says how many rows break it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outcome_helpers import END, START, day
from rule_helpers import Rows

ONE_DAY = dt.timedelta(days=1)
REFERRED = day("2015-06-01")
BEFORE, AFTER = day("2015-05-31"), day("2015-06-02")
LATER = day("2015-09-01")
LAST_ENQUIRY = day("2019-03-08")
"""Three weeks before Friday 29 March 2019."""
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


def enquiry(*rows: dict[str, Any], **values: Any) -> Rows:
    """A referral and its enquiries, which start on its day and need a conference."""
    usual = {"start_date": REFERRED, "icpc_not_required": False}
    return one("section47s", *({**usual, **row} for row in rows), **values)


def born(birth: dt.date | None, *referrals: dict[str, Any], **child: Any) -> Rows:
    """A child with its referrals."""
    return {
        "children": [{"birth_date": birth, **child}],
        "referrals": referrals or (referral(),),
    }


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
    "cin:2889": {
        "the day before": (1, enquiry({"start_date": BEFORE})),
        "the day": (0, enquiry({})),
    },
    "cin:2990": {
        "an enquiry": (1, enquiry({}, closure_reason="RC8", closure_date=LATER)),
        "a conference": (
            1,
            {"referrals": [referral(closure_reason="RC9", closure_date=LATER, icpc_date=AFTER)]},
        ),
        "a plan": (1, plan(AFTER, closure_reason="RC8", closure_date=LATER)),
        "another reason": (0, plan(AFTER, closure_reason="RC7", closure_date=LATER)),
        "an assessment": (
            0,
            one("assessments", {"start_date": AFTER}, closure_reason="RC8", closure_date=LATER),
        ),
    },
    "cin:2991": {
        "no assessment": (1, enquiry({})),
        "an assessment": (
            0,
            {**enquiry({}), "assessments": [{"referral_date": REFERRED, "start_date": AFTER}]},
        ),
    },
    "cin:8520": {
        "after the end": (1, born(END + ONE_DAY)),
        "on the last day": (0, born(END)),
        "no child in need": (0, {"children": [{"birth_date": END + ONE_DAY}]}),
    },
    "cin:8540": {
        "not told": (1, born(BEFORE)),
        "told that there is none": (0, born(BEFORE, disabled=False)),
        "no further action": (0, born(BEFORE, referral(nfa=True))),
        "not yet born": (0, born(None, expected_birth_date=LATER)),
        "an authority that tells of none": (
            0,
            born(BEFORE, referral(unit="332"), unit="332"),
        ),
    },
    "cin:8565": {
        "assessment starts": (
            1,
            one("assessments", {"start_date": LATER + ONE_DAY}, closure_date=LATER),
        ),
        "assessment ends": (
            1,
            one(
                "assessments",
                {"start_date": AFTER, "authorised_date": LATER + ONE_DAY},
                closure_date=LATER,
            ),
        ),
        "on the day": (
            0,
            one("assessments", {"start_date": AFTER, "authorised_date": LATER}, closure_date=LATER),
        ),
        "enquiry": (1, enquiry({"start_date": LATER + ONE_DAY}, closure_date=LATER)),
        "conference of an enquiry": (
            1,
            enquiry({"icpc_date": LATER + ONE_DAY}, closure_date=LATER),
        ),
        "conference of the case": (
            1,
            {"referrals": [referral(closure_date=LATER, icpc_date=LATER + ONE_DAY)]},
        ),
        "plan": (
            1,
            one(
                "protection_plans",
                {"start_date": AFTER, "end_date": LATER + ONE_DAY},
                closure_date=LATER,
            ),
        ),
        "still open": (0, one("assessments", {"start_date": LATER})),
    },
    "cin:8569": {
        "referred long before": (
            1,
            {"referrals": [referral(day("2015-03-30"), nfa=True, return_year=2015)]},
        ),
        "the working day before": (
            0,
            {"referrals": [referral(day("2015-03-31"), nfa=True, return_year=2015)]},
        ),
        "before a weekend": (
            0,
            {"referrals": [referral(day("2018-03-29"), nfa=True, return_year=2018)]},
        ),
        "in need": (0, {"referrals": [referral(day("2015-03-30"), return_year=2015)]}),
    },
    "cin:8600": {
        "after the end": (1, {"referrals": [referral(END + ONE_DAY)]}),
        "on the last day": (0, {"referrals": [referral(END)]}),
    },
    "cin:8606": {
        "281 days": (1, born(REFERRED + 281 * ONE_DAY)),
        "280 days": (0, born(REFERRED + 280 * ONE_DAY)),
        "281 days before the expected birth": (
            1,
            born(None, expected_birth_date=REFERRED + 281 * ONE_DAY),
        ),
    },
    "cin:8615": {
        "the day before": (1, enquiry({"icpc_date": BEFORE})),
        "the day": (0, enquiry({"icpc_date": REFERRED})),
        "no start": (1, enquiry({"start_date": None, "icpc_date": AFTER})),
        "no conference": (0, enquiry({"start_date": None})),
    },
    "cin:8620": {
        "the year before": (
            1,
            {"referrals": [referral(closure_date=day("2016-03-31"), return_year=2016)]},
        ),
        "the first day": (
            0,
            {"referrals": [referral(closure_date=day("2016-04-01"), return_year=2016)]},
        ),
        "the day after": (
            1,
            {"referrals": [referral(closure_date=day("2017-04-01"), return_year=2016)]},
        ),
    },
    "cin:8675": {
        "a day too early": (1, enquiry({"start_date": LAST_ENQUIRY - ONE_DAY})),
        "within": (0, enquiry({"start_date": LAST_ENQUIRY})),
        "no conference was needed": (0, enquiry({"icpc_not_required": True})),
        "held": (0, enquiry({"icpc_date": AFTER})),
    },
    "cin:8696": {
        "after the end": (
            1,
            one("assessments", {"start_date": AFTER, "authorised_date": END + ONE_DAY}),
        ),
        "on the last day": (0, one("assessments", {"start_date": AFTER, "authorised_date": END})),
    },
    "cin:8715": {
        "after the end": (1, enquiry({"icpc_date": END + ONE_DAY})),
        "on the last day": (0, enquiry({"icpc_date": END})),
    },
    "cin:8720": {
        "after the end": (1, plan(END + ONE_DAY)),
        "on the last day": (0, plan(END)),
    },
    "cin:8730": {
        "less than none": (1, one("protection_plans", {"start_date": AFTER, "n_previous": -1})),
        "none": (0, one("protection_plans", {"start_date": AFTER, "n_previous": 0})),
    },
    "cin:8736": {
        "after the end": (1, one("assessments", {"start_date": END + ONE_DAY})),
        "on the last day": (0, one("assessments", {"start_date": END})),
        "finished": (
            0,
            one("assessments", {"start_date": END + ONE_DAY, "authorised_date": END + ONE_DAY}),
        ),
    },
    "cin:8740": {
        "after the end": (1, enquiry({"start_date": END + ONE_DAY})),
        "on the last day": (0, enquiry({"start_date": END})),
        "no conference was needed": (
            0,
            enquiry({"start_date": END + ONE_DAY, "icpc_not_required": True}),
        ),
    },
    "cin:8750": {
        "a sex": (1, born(None, expected_birth_date=LATER, sex="male")),
        "none": (0, born(None, expected_birth_date=LATER)),
        "born": (0, born(BEFORE, expected_birth_date=LATER, sex="female")),
    },
    "cin:8775": {
        "open at the end": (1, born(END.replace(year=END.year - 25) - ONE_DAY)),
        "25 on the last day": (0, born(END.replace(year=END.year - 25))),
        "closed after": (
            1,
            born(day("1990-08-31"), referral(closure_date=LATER)),
        ),
        "closed on the day": (0, born(day("1990-09-01"), referral(closure_date=LATER))),
    },
    "cin:8815": {
        "two open": (2, {"referrals": [referral(), referral(LATER)]}),
        "one without further action": (
            0,
            {"referrals": [referral(), referral(LATER, nfa=True)]},
        ),
        "one closed": (0, {"referrals": [referral(closure_date=LATER), referral(LATER)]}),
    },
    "cin:8816": {
        "not the latest": (
            1,
            {"referrals": [referral(), referral(LATER, closure_date=LATER)]},
        ),
        "the latest": (0, {"referrals": [referral(closure_date=AFTER), referral(LATER)]}),
    },
    "cin:8825": {
        "none": (1, {"referrals": [referral(closure_reason="RC8", closure_date=LATER)]}),
        "one": (
            0,
            one("assessments", {"start_date": AFTER}, closure_reason="RC9", closure_date=LATER),
        ),
        "another reason": (
            0,
            {"referrals": [referral(closure_reason="RC1", closure_date=LATER)]},
        ),
    },
    "cin:8839": {
        "two waiting": (2, enquiry({}, {"start_date": AFTER})),
        "one held": (0, enquiry({"icpc_date": AFTER}, {"start_date": LATER})),
        "one not needed": (0, enquiry({"icpc_not_required": True}, {"start_date": LATER})),
    },
    "cin:8840": {
        "the same day": (1, one("protection_plans", {"start_date": AFTER, "end_date": AFTER})),
        "the next": (0, one("protection_plans", {"start_date": REFERRED, "end_date": AFTER})),
    },
    "cin:8863": {
        "within another": (
            1,
            one(
                "assessments",
                {"start_date": REFERRED, "authorised_date": LATER},
                {"start_date": LATER},
            ),
        ),
        "after another": (
            0,
            one(
                "assessments",
                {"start_date": REFERRED, "authorised_date": AFTER},
                {"start_date": LATER},
            ),
        ),
        "while another goes on": (
            1,
            one("assessments", {"start_date": REFERRED}, {"start_date": LATER}),
        ),
        "on one day": (
            2,
            one(
                "assessments",
                {"start_date": AFTER, "authorised_date": LATER},
                {"start_date": AFTER},
            ),
        ),
        "a long one, a short one, and a third in the long one": (
            2,
            one(
                "assessments",
                {"start_date": REFERRED, "authorised_date": LATER},
                {"start_date": AFTER, "authorised_date": AFTER},
                {"start_date": AFTER + ONE_DAY, "authorised_date": LATER},
            ),
        ),
    },
    "cin:8867": {
        "not finished": (1, one("assessments", {"start_date": AFTER}, closure_date=LATER)),
        "finished": (
            0,
            one("assessments", {"start_date": AFTER, "authorised_date": AFTER}, closure_date=LATER),
        ),
        "open": (0, one("assessments", {"start_date": AFTER})),
    },
    "cin:8868": {
        "neither": (1, enquiry({}, closure_date=LATER)),
        "both": (
            1,
            enquiry({"icpc_date": AFTER, "icpc_not_required": True}, closure_date=LATER),
        ),
        "held": (0, enquiry({"icpc_date": AFTER}, closure_date=LATER)),
        "not needed": (0, enquiry({"icpc_not_required": True}, closure_date=LATER)),
        "open": (0, enquiry({})),
    },
    "cin:8875": {
        "Saturday": (1, enquiry({"icpc_date": day("2015-06-06")})),
        "Sunday": (1, enquiry({"icpc_date": day("2015-06-07")})),
        "Friday": (0, enquiry({"icpc_date": day("2015-06-05")})),
        "Monday": (0, enquiry({"icpc_date": day("2015-06-08")})),
    },
    "cin:8890": {
        "before the conference of another": (
            1,
            enquiry({"icpc_date": LATER}, {"start_date": LATER, "icpc_date": LATER}),
        ),
        "after it": (
            0,
            enquiry({"icpc_date": AFTER}, {"start_date": LATER, "icpc_date": LATER}),
        ),
        "another awaits one": (1, enquiry({}, {"start_date": LATER, "icpc_date": LATER})),
        "another needs none": (
            0,
            enquiry({"icpc_not_required": True}, {"start_date": LATER, "icpc_date": LATER}),
        ),
    },
    "cin:8896": {
        "two": (2, one("assessments", {"start_date": AFTER}, {"start_date": LATER})),
        "one": (
            0,
            one(
                "assessments",
                {"start_date": AFTER, "authorised_date": AFTER},
                {"start_date": LATER},
            ),
        ),
    },
    "cin:8930": {
        "after the end": (
            1,
            one("protection_plans", {"start_date": AFTER, "end_date": END + ONE_DAY}),
        ),
        "on the last day": (0, one("protection_plans", {"start_date": AFTER, "end_date": END})),
    },
    "cin:8935": {
        "two open": (2, one("protection_plans", {"start_date": AFTER}, {"start_date": LATER})),
        "one ended": (
            0,
            one(
                "protection_plans",
                {"start_date": REFERRED, "end_date": AFTER},
                {"start_date": LATER},
            ),
        ),
    },
    "cin:8940": {
        "on the last day of another": (
            1,
            one(
                "protection_plans",
                {"start_date": REFERRED, "end_date": LATER},
                {"start_date": LATER},
            ),
        ),
        "the day after": (
            0,
            one(
                "protection_plans",
                {"start_date": REFERRED, "end_date": LATER - ONE_DAY},
                {"start_date": LATER},
            ),
        ),
    },
}
