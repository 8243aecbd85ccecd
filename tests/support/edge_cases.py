"""Children at the edges of every definition, by hand: who is a case, with what value.

The names of children begin with the outcome that they are about.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from outcome_helpers import after, day

UNIT = "332"
LEAP = day("2012-02-29")
NFA = day("2014-05-10")
CARE = day("2015-03-01")

Rows = list[dict[str, Any]]

EXPECTED: dict[str, dict[str, float]] = {
    "icpc": {
        "icpc day 0": 1, "icpc day 90": 1, "icpc day 91": 0, "icpc day before": 0,
        "icpc in the referral": 1, "icpc open": 0, "icpc unborn": 0, "icpc leap child": 0,
        "icpc leap child later": 0,
    },
    "rereferral": {
        "rereferral day 0": 0, "rereferral day 1": 1, "rereferral day 183": 1,
        "rereferral day 184": 0, "rereferral nfa flag": 1, "rereferral no closure date": 1,
    },
    "escalation": {
        "escalation day 0": 1, "escalation day 180": 1, "escalation day 181": 0,
        "escalation before": 0, "escalation care": 1, "escalation care outside": 0,
        "escalation second counts not": 0, "escalation none": 0,
    },
    "kinship-care": {
        "kinship-care day 365": 1, "kinship-care day 366": 0, "kinship-care C2": 1,
        "kinship-care exit day 365": 1, "kinship-care exit day 366": 0, "kinship-care parents": 0,
        "kinship-care years later": 0,
    },
    "assessment-duration": {
        "assessment-duration Christmas": 4, "assessment-duration leap day": 1,
        "assessment-duration same day": 0, "assessment-duration Saturday": 1,
        "assessment-duration jubilee": 3, "assessment-duration twice": 4,
        "assessment-duration open": 60, "assessment-duration day 59": 59,
        "assessment-duration day 60": 60, "assessment-duration day 61": 60,
        "assessment-duration later": 60, "assessment-duration twice, once late": 2,
    },
    "assessment-within-45-days": {
        "assessment-within-45-days day 45": 1, "assessment-within-45-days day 46": 0,
        "assessment-within-45-days weekend": 1, "assessment-within-45-days open": 0,
    },
}  # fmt: skip
"""Value by child; a child of the table that is not here is no case of its outcome."""


def tables() -> dict[str, Rows]:
    """Return the rows of these children, one authority."""
    made: dict[str, Rows] = {
        name: []
        for name in ("referrals", "assessments", "section47s", "protection_plans", "episodes")
    }
    _icpc(made)
    _rereferral(made)
    _escalation(made)
    _kinship(made)
    _durations(made)
    born = {"icpc leap child": day("2004-02-29"), "icpc leap child later": day("2004-02-29")}
    names = {row["child"] for rows in made.values() for row in rows}
    unborn = {"icpc unborn": day("2016-06-01"), "icpc not yet conceived": day("2018-06-01")}
    made["children"] = [
        {
            "unit": UNIT,
            "child": name,
            "birth_date": None if name in unborn else born.get(name, day("2008-05-05")),
            "expected_birth_date": unborn.get(name),
        }
        for name in sorted(names)
    ]
    return {name: [{"unit": UNIT, **row} for row in rows] for name, rows in made.items()}


def _referral(child: str, date: dt.date | None, **other: Any) -> dict[str, Any]:
    known = {"nfa": False, "closure_reason": "RC1", "return_year": 2014}
    return {"child": child, "referral_date": date, **known, **other}


def _icpc(made: dict[str, Rows]) -> None:
    for name, days in (("day 0", 0), ("day 90", 90), ("day 91", 91), ("day before", -1)):
        made["referrals"].append(_referral(f"icpc {name}", LEAP, closure_date=LEAP))
        held = {"child": f"icpc {name}", "referral_date": LEAP, "icpc_date": after(LEAP, days)}
        made["section47s"].append(held)
    made["referrals"] += [
        _referral("icpc in the referral", LEAP, icpc_date=after(LEAP, 15)),
        _referral("icpc open", LEAP, closure_reason=None),
        _referral("icpc RC8", LEAP, closure_reason="RC8", closure_date=LEAP),
        _referral("icpc RC9", LEAP, closure_reason="RC9", closure_date=LEAP),
        _referral("icpc no date", None),
        _referral("icpc closed for no reason", LEAP, closure_reason=None, closure_date=LEAP),
        _referral("icpc unborn", day("2016-03-01")),
        _referral("icpc not yet conceived", day("2016-03-01")),
        _referral("icpc leap child", day("2017-02-28")),
        _referral("icpc leap child later", day("2017-03-01")),
        _referral("icpc too late", day("2019-01-01")),
    ]


def _again(child: str, days: int, **other: Any) -> Rows:
    first = {"closure_reason": "RC8", "closure_date": NFA, **other}
    return [
        _referral(child, after(NFA, -9), **first),
        _referral(child, after(NFA, days)),
    ]


def _rereferral(made: dict[str, Rows]) -> None:
    for days in (0, 1, 183, 184):
        made["referrals"] += _again(f"rereferral day {days}", days)
    made["referrals"] += _again("rereferral RC9", 5, closure_reason="RC9")
    made["referrals"] += _again("rereferral nfa flag", 5, nfa=True, closure_reason=None)
    made["referrals"] += _again("rereferral no closure date", 150, closure_date=None)
    made["referrals"] += _again("rereferral closed before", 5, closure_date=after(NFA, -20))


def _escalation(made: dict[str, Rows]) -> None:
    again = after(NFA, 20)
    for name, days in (("day 0", 0), ("day 180", 180), ("day 181", 181), ("before", -1)):
        child = f"escalation {name}"
        made["referrals"] += _again(child, 20)
        made["protection_plans"].append({"child": child, "start_date": after(again, days)})
    made["referrals"] += _again("escalation none", 200)
    child = "escalation second counts not"  # 181 days after the first re-referral
    made["referrals"] += [*_again(child, 20), _referral(child, after(NFA, 100))]
    made["protection_plans"].append({"child": child, "start_date": after(again, 181)})
    for child, reason in (("escalation care", "S"), ("escalation care outside", "P")):
        made["referrals"] += _again(child, 20)
        made["episodes"].append(
            {**_episode(child, after(again, 30), "V2", "U4"), "reason_start": reason}
        )


def _episode(child: str, start: dt.date, status: str | None, place: str | None) -> dict[str, Any]:
    known = {"reason_start": "S", "period_of_care": 1}
    return {
        "child": child,
        "start_date": start,
        "legal_status": status,
        "placement": place,
        **known,
    }


def _kinship(made: dict[str, Rows]) -> None:
    def chain(name: str, *, status: str | None = "C1", days: int = 10, **last: Any) -> None:
        child, moved = f"kinship-care {name}", after(CARE, days)
        first = {**_episode(child, CARE, status, "U4"), "end_date": moved, "reason_end": "X1"}
        later = {**_episode(child, moved, "V2", "U4"), "reason_start": "P", **last}
        made["episodes"] += [later, first]

    chain("day 365", days=365, placement="Q1")
    chain("day 366", days=366, placement="Q1")
    chain("C2", status="C2", placement="U1")
    chain("V2", status="V2", placement="U1")
    chain("no status", status=None, placement="U1")
    chain("exit day 365", end_date=after(CARE, 365), reason_end="E45")
    chain("exit day 366", end_date=after(CARE, 366), reason_end="E47")
    chain("parents", placement="P1", end_date=after(CARE, 100), reason_end="E4A")
    chain("years later", days=800, placement="U1")


def _durations(made: dict[str, Rows]) -> None:
    for name, start, end in (
        ("Christmas", "2015-12-24", "2016-01-04"),
        ("leap day", "2016-02-26", "2016-02-29"),
        ("same day", "2016-03-02", "2016-03-02"),
        ("Saturday", "2016-03-05", "2016-03-07"),
        ("jubilee", "2012-05-31", "2012-06-07"),
        ("twice", "2016-06-06", "2016-06-08"),
        ("twice", "2016-06-06", "2016-06-10"),
        ("open", "2016-06-06", None),
        ("backwards", "2016-06-06", "2016-06-03"),
        # From Monday 6 June 2016: 60 working days are 12 weeks and the bank holiday of 29 August.
        ("day 59", "2016-06-06", "2016-08-26"),
        ("day 60", "2016-06-06", "2016-08-30"),
        ("day 61", "2016-06-06", "2016-08-31"),
        ("later", "2016-06-06", "2018-06-06"),
        ("twice, once late", "2016-06-06", "2016-06-08"),
        ("twice, once late", "2016-06-06", "2016-12-08"),
        ("too early", "2011-03-31", "2011-04-20"),
    ):
        ended = None if end is None else day(end)
        child = f"assessment-duration {name}"
        made["assessments"].append(
            {"child": child, "start_date": day(start), "authorised_date": ended}
        )
    # From Friday 3 June 2016: 45 working days are nine weeks, to Friday 5 August.
    for name, end in (
        ("day 45", "2016-08-05"),
        ("weekend", "2016-08-07"),
        ("day 46", "2016-08-08"),
        ("open", None),
    ):
        child, ended = f"assessment-within-45-days {name}", None if end is None else day(end)
        made["assessments"].append(
            {"child": child, "start_date": day("2016-06-03"), "authorised_date": ended}
        )
