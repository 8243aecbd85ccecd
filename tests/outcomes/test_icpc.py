"""Initial child protection conference, edge by edge."""

from __future__ import annotations

import pytest
from outcome_helpers import END, after, by_child, check_contract, day, derive, dropped, records
from sos_outcomes.icpc import Icpc

from sos_plugins import Session

REFERRED = day("2015-01-05")


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def referral(child: str = "a", **other: object) -> dict[str, object]:
    """A referral judged in need and closed later."""
    row = {
        "child": child,
        "referral_date": REFERRED,
        "nfa": False,
        "closure_date": after(REFERRED, 300),
        "closure_reason": "RC1",
    }
    return {**row, **other}


def test_a_conference_within_90_days_in_either_place(session):
    values = {-1: 0, 0: 1, 90: 1, 91: 0}
    dates = {f"{n}": after(REFERRED, n) for n in values}
    with_referral = {"referrals": [referral(c, icpc_date=d) for c, d in dates.items()]}
    with_section_47 = {
        "referrals": [referral(c) for c in dates],
        "section47s": [{"child": c, "icpc_date": d} for c, d in dates.items()],
    }
    for tables in (with_referral, {**with_referral, "section47s": []}, with_section_47):
        cases = derive(Icpc(), records(session, **tables), session)
        check_contract(cases)
        assert by_child(cases) == {f"{n}": value for n, value in values.items()}


def test_the_earliest_valid_of_two_dates(session):
    expected = {(-1, 10): 10, (10, -1): 10, (20, 10): 10, (10, 20): 10, (0, 5): 0, (91, 95): None}
    rows = [referral(f"{n}", icpc_date=after(REFERRED, n[0])) for n in expected]
    inquiries = [{"child": f"{n}", "icpc_date": after(REFERRED, n[1])} for n in expected]
    cases = derive(Icpc(), records(session, referrals=rows, section47s=inquiries), session)
    assert by_child(cases, "conference") == {
        f"{n}": None if first is None else after(REFERRED, first) for n, first in expected.items()
    }


def test_a_conference_of_another_child_or_authority_does_not_count(session):
    date = after(REFERRED, 5)
    given = records(
        session,
        referrals=[referral()],
        section47s=[
            {"child": "b", "icpc_date": date},
            {"child": "a", "unit": "1", "icpc_date": date},
        ],
    )
    assert by_child(derive(Icpc(), given, session)) == {"a": 0}


def test_who_is_judged_in_need(session):
    rows = [
        referral("rc1"),
        referral("rc8", closure_reason="RC8"),
        referral("rc9", closure_reason="RC9"),
        referral("nfa", nfa=True, closure_reason=None),
        referral("open", closure_date=None, closure_reason=None),
        referral("no-reason", closure_reason=None),
        referral("open-nfa-unknown", nfa=None, closure_date=None, closure_reason=None),
        referral("in-need-by-reason", nfa=None),
    ]
    given = records(session, referrals=rows)
    cases = derive(Icpc(), given, session)
    check_contract(cases)
    assert set(by_child(cases)) == {"rc1", "open", "in-need-by-reason"}
    assert dropped(cases) == {"need known": 2, "not NFA at referral": 1, "judged in need": 2}
    assert cases.completeness.values.tolist() == [["330", 2014, 8, 6]]
    early_help = derive(Icpc(), given, session, not_in_need_reasons=["RC8"])
    assert "rc9" in by_child(early_help)


def test_follow_up_is_90_days(session):
    last = after(END, -90)
    rows = [referral("last", referral_date=last), referral("late", referral_date=after(last, 1))]
    cases = derive(Icpc(), records(session, referrals=rows), session)
    assert by_child(cases, "follow_up_end") == {"last": END}
    assert dropped(cases) == {"follow-up complete": 1}


def test_the_same_referral_in_two_returns_is_one_case(session):
    rows = [referral(return_year=2014, icpc_date=REFERRED), referral(return_year=2015)]
    cases = derive(Icpc(), records(session, referrals=rows), session)
    assert by_child(cases) == {"a": 1}
    assert dropped(cases) == {"recorded once": 1}


def test_one_conference_counts_for_one_referral(session):
    second = after(REFERRED, 30)
    held = after(REFERRED, 60)
    twice = [referral(), referral(referral_date=second)]
    enquiry = {"child": "a", "icpc_date": held}
    for tables, expected in (
        # Nothing says to which it belongs: to the latest referral on or before it.
        ({"referrals": twice, "section47s": [enquiry]}, [0, 1]),
        # It belongs to the referral with which it is recorded, wherever it stands.
        ({"referrals": twice, "section47s": [{**enquiry, "referral_date": REFERRED}]}, [1, 0]),
        ({"referrals": [referral(icpc_date=held), twice[1]]}, [1, 0]),
        ({"referrals": [twice[0], referral(referral_date=second, icpc_date=held)]}, [0, 1]),
        # Recorded with both, it counts for the later.
        ({"referrals": [r | {"icpc_date": held} for r in twice]}, [0, 1]),
        # Recorded with a referral that comes after it: that on or before it.
        ({"referrals": [twice[0], referral(referral_date=second, icpc_date=REFERRED)]}, [1, 0]),
        # A referral closed NFA has no conference.
        ({"referrals": [twice[0], twice[1] | {"nfa": True}], "section47s": [enquiry]}, [1]),
        # Two conferences, one for each.
        (
            {"referrals": twice, "section47s": [enquiry, {"child": "a", "icpc_date": REFERRED}]},
            [1, 1],
        ),
    ):
        cases = derive(Icpc(), records(session, **tables), session)
        check_contract(cases)
        assert cases.frame["value"].tolist() == expected


def test_a_need_that_only_the_closure_tells_is_known_then(session):
    rows = [referral("told", nfa=None), referral("said", nfa=False)]
    cases = derive(Icpc(), records(session, referrals=rows), session)
    assert by_child(cases, "follow_up_end") == {
        "told": after(REFERRED, 300), "said": after(REFERRED, 90),
    }  # fmt: skip
