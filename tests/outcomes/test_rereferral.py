"""Re-referral after no further action, edge by edge."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from outcome_helpers import (
    END,
    START,
    after,
    by_child,
    check_contract,
    day,
    derive,
    dropped,
    records,
)
from sos_outcomes.rereferral import Rereferral, RereferralSettings

from sos_plugins import Session
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.settings import validate

REFERRED = day("2015-01-05")
CLOSED = day("2015-02-02")


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def rc8(child: str, **other: object) -> dict[str, object]:
    """A referral closed with no further action after an assessment."""
    row = {
        "child": child,
        "referral_date": REFERRED,
        "nfa": False,
        "closure_date": CLOSED,
        "closure_reason": "RC8",
    }
    return {**row, **other}


def in_need(child: str, date: dt.date, **other: object) -> dict[str, object]:
    """A referral that is open, and so no case itself."""
    return {"child": child, "referral_date": date, "nfa": False, **other}


def test_the_window_runs_from_the_day_after_the_nfa_date_to_day_183(session):
    values = {-10: 0, 0: 0, 1: 1, 182: 1, 183: 1, 184: 0}
    rows = [rc8(f"{n}") for n in values] + [in_need(f"{n}", after(CLOSED, n)) for n in values]
    cases = derive(Rereferral(), records(session, referrals=rows), session)
    check_contract(cases)
    assert by_child(cases) == {f"{n}": value for n, value in values.items()}


def test_nfa_at_referral_without_closure_counts_from_the_referral(session):
    nfa = {"child": "a", "referral_date": REFERRED, "nfa": True}
    again = in_need("a", after(REFERRED, 183))
    cases = derive(Rereferral(), records(session, referrals=[nfa, again]), session)
    assert by_child(cases) == {"a": 1}
    row = cases.frame.iloc[0]
    assert row["date"].date() == REFERRED
    assert row["follow_up_end"].date() == after(REFERRED, 183)


def test_a_case_is_dated_by_the_referral_and_followed_from_the_nfa_date(session):
    row = derive(Rereferral(), records(session, referrals=[rc8("a")]), session).frame.iloc[0]
    assert row["date"].date() == REFERRED
    assert row["follow_up_end"].date() == after(CLOSED, 183)
    assert row["period"] == 2014


def test_the_nfa_date_can_be_the_referral_date(session):
    given = records(session, referrals=[rc8("a"), in_need("a", after(REFERRED, 184))])
    assert by_child(derive(Rereferral(), given, session)) == {"a": 1}
    assert by_child(derive(Rereferral(), given, session, nfa_date="referral")) == {"a": 0}
    name, settings = next(iter(Rereferral.definitions.items()))
    assert (name, settings) == ("from-referral-date", {"nfa_date": "referral"})


def test_another_child_and_another_authority_are_no_rereferral(session):
    given = records(
        session,
        referrals=[
            rc8("a"),
            in_need("b", after(CLOSED, 5)),
            in_need("a", after(CLOSED, 5), unit="331"),
        ],
    )
    assert by_child(derive(Rereferral(), given, session)) == {"a": 0}


def test_who_is_a_case_and_whose_status_is_known(session):
    referrals = [
        rc8("rc8"),
        rc8("rc9", closure_reason="RC9"),
        rc8("rc1", closure_reason="RC1"),
        rc8("nfa", nfa=True, closure_reason=None),
        rc8("nfa-known-by-reason", nfa=None),
        rc8("closed-without-reason", closure_reason=None),
        rc8("unknown-code", closure_reason="RC99"),
        {"child": "open", "referral_date": REFERRED, "nfa": False},
        {"child": "open-nfa-unknown", "referral_date": REFERRED, "nfa": None},
    ]
    given = records(session, referrals=referrals)
    cases = derive(Rereferral(), given, session)
    check_contract(cases)
    assert set(by_child(cases)) == {"rc8", "nfa", "nfa-known-by-reason"}
    assert dropped(cases) == {"NFA known": 3, "closed NFA": 3}
    assert cases.completeness.values.tolist() == [["330", 2014, 9, 6]]
    unknown = derive(Rereferral(), given, session, rc9_unknown=True)
    assert set(by_child(unknown)) == set(by_child(cases))
    assert dropped(unknown) == {"NFA known": 4, "closed NFA": 2}
    assert unknown.completeness["n_usable"].tolist() == [5]


def test_code_lists_are_settings(session):
    given = records(session, referrals=[rc8("a"), rc8("b", closure_reason="RC9")])
    cases = derive(Rereferral(), given, session, nfa_reasons=["RC8", "RC9"])
    assert set(by_child(cases)) == {"a", "b"}


def test_follow_up_must_end_within_the_data(session):
    last = after(END, -183)
    given = records(
        session,
        referrals=[
            rc8("last", referral_date=last, closure_date=last),
            rc8("late", referral_date=last, closure_date=after(last, 1)),
        ],
    )
    cases = derive(Rereferral(), given, session)
    assert set(by_child(cases)) == {"last"}
    assert dropped(cases) == {"follow-up complete": 1}
    longer = derive(Rereferral(), given, session, data_end=after(END, 1))
    assert set(by_child(longer)) == {"last", "late"}


def test_referrals_from_before_the_records_are_left_out(session):
    given = records(
        session,
        referrals=[
            rc8("first", referral_date=START, closure_date=START),
            rc8("early", referral_date=after(START, -1), closure_date=START),
        ],
    )
    cases = derive(Rereferral(), given, session)
    assert set(by_child(cases)) == {"first"}
    assert dropped(cases) == {"dated within the records": 1}
    assert len(derive(Rereferral(), given, session, entered_in_data=False).frame) == 2


def test_a_referral_in_two_returns_is_one_case_as_the_later_return_has_it(session):
    early = in_need("a", REFERRED, return_year=2014)
    given = records(session, referrals=[early, rc8("a", return_year=2015), rc8("b"), rc8("b")])
    cases = derive(Rereferral(), given, session)
    assert by_child(cases) == {"a": 0, "b": 0}
    assert dropped(cases) == {"recorded once": 2}


def test_a_row_without_child_or_date_is_counted(session):
    given = records(session, referrals=[rc8("a"), rc8(None), rc8("c", referral_date=None)])
    assert dropped(derive(Rereferral(), given, session)) == {"authority, child and date known": 2}


def test_closed_before_the_referral_is_dropped_or_a_quirk(session):
    wrong = after(REFERRED, -20)
    given = records(session, referrals=[rc8("a"), rc8("wrong", closure_date=wrong)])
    cases = derive(Rereferral(), given, session)
    assert dropped(cases) == {"closed after referral": 1}
    quirk = derive(Rereferral(), given, session, label_by_nfa_date=True)
    assert by_child(quirk, "date") == {"a": REFERRED, "wrong": wrong}
    assert by_child(quirk, "follow_up_end")["wrong"] == after(wrong, 183)


def test_the_first_or_the_last_rereferral(session):
    again = [in_need("a", after(CLOSED, n)) for n in (10, 100, 183, 184)]
    given = records(session, referrals=[rc8("a"), *again])
    first = derive(Rereferral(), given, session)
    last = derive(Rereferral(), given, session, last_rereferral=True)
    assert by_child(first, "rereferral_date") == {"a": after(CLOSED, 10)}
    assert by_child(last, "rereferral_date") == {"a": after(CLOSED, 183)}
    assert by_child(first) == by_child(last) == {"a": 1}


def test_every_nfa_referral_of_a_child_is_a_case(session):
    second = after(CLOSED, 30)
    given = records(
        session, referrals=[rc8("a"), rc8("a", referral_date=second, closure_date=second)]
    )
    assert derive(Rereferral(), given, session).frame["value"].tolist() == [1, 0]


def test_the_holiday_flag(session):
    flags = {"2014-12-19": "no", "2014-12-20": "yes", "2014-12-25": "yes", "2015-04-03": "yes"}
    rows = [rc8(date, referral_date=day(date), closure_date=None) for date in flags]
    given = records(session, referrals=rows)
    cases = derive(Rereferral(), given, session, holiday_flag=True)
    assert by_child(cases, "holiday_referral") == flags
    assert "holiday_referral" in cases.covariates
    without = derive(Rereferral(), given, session)
    assert "holiday_referral" not in without.table.columns
    quirk = derive(Rereferral(), given, session, definition="wwcsc-2021")
    assert by_child(quirk, "holiday_referral") == flags


SCHOOLS = """start,end,name
2014-10-27,2014-10-31,half term
2014-12-22,2015-01-02,Christmas
"""


def test_the_holiday_flag_by_a_calendar_of_schools(session, tmp_path):
    (tmp_path / "schools.csv").write_text(SCHOOLS)
    flags = {"2014-10-23": "no", "2014-10-24": "yes", "2014-10-29": "yes", "2014-11-03": "yes"}
    flags |= {"2014-11-04": "no", "2015-01-05": "yes", "2015-01-06": "no", "2014-04-18": "no"}
    rows = [rc8(date, referral_date=day(date), closure_date=None) for date in flags]
    here = replace(session, base=tmp_path)
    given = records(here, referrals=rows)
    named = {"holiday_flag": True, "holiday_calendar": "schools.csv", "holiday_days": 3}
    cases = derive(Rereferral(), given, here, **named)
    assert by_child(cases, "holiday_referral") == flags


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("first,last\n2014-10-27,2014-10-31\n", "has no column 'start'. Its columns: first, last"),
        ("start,end\n2014-10-27,\n", "column 'end': a date is needed; found .*line 2"),
        ("start,end\n2014-10-27,31/13/2014\n", "column 'end'.*31/13/2014.*line 2"),
        ("start,end\n2014-10-27,2014-10-26\n", "a holiday ends on the day it starts or later"),
        ("start,end\n2012-10-27,2012-10-28\n", "no holiday in the years from April 2014"),
    ],
)
def test_a_wrong_calendar_is_told(session, tmp_path, text, sentence):
    (tmp_path / "schools.csv").write_text(text)
    here = replace(session, base=tmp_path)
    given = records(here, referrals=[rc8("a")])
    with pytest.raises(DataError, match=sentence):
        derive(Rereferral(), given, here, holiday_flag=True, holiday_calendar="schools.csv")
    with pytest.raises(DataError, match="There is no calendar of holidays at"):
        derive(Rereferral(), given, here, holiday_flag=True, holiday_calendar="none.csv")


def test_ages_out_of_bounds_go_and_unborn_or_unknown_stay(session):
    children = [
        {"child": "unborn", "expected_birth_date": after(REFERRED, 100)},
        {"child": "too-early", "expected_birth_date": after(REFERRED, 370)},
        {"child": "17", "birth_date": day("1997-01-06")},
        {"child": "18", "birth_date": day("1997-01-05")},
        {"child": "unknown"},
    ]
    given = records(session, referrals=[rc8(c["child"]) for c in children], children=children)
    cases = derive(Rereferral(), given, session)
    assert by_child(cases, "age_band") == {
        "unborn": "unborn", "17": "13 to 17", "unknown": "Missing",
    }  # fmt: skip
    assert dropped(cases) == {"age within bounds": 2}
    with_age = derive(Rereferral(), given, session, covariates=["age"])
    check_contract(with_age)
    assert by_child(with_age, "age") == {"unborn": -1, "17": 17}
    assert dropped(with_age) == {"age within bounds": 2, "age known": 1}


def test_the_preset_switches_the_quirks_on_and_a_named_setting_wins():
    plain = validate(RereferralSettings, {}, where="test")
    preset = validate(RereferralSettings, {"definition": "wwcsc-2021"}, where="test")
    quirks = ("last_rereferral", "label_by_nfa_date", "rc9_unknown")
    assert [getattr(plain, q) for q in quirks] == [False, False, False]
    assert [getattr(preset, q) for q in quirks] == [True, True, True]
    mixed = {"definition": "wwcsc-2021", "rc9_unknown": False}
    assert not validate(RereferralSettings, mixed, where="test").rc9_unknown
    with pytest.raises(SettingsError, match="definition"):
        validate(RereferralSettings, {"definition": "wwcsc"}, where="test")


def test_no_case_names_the_step_that_dropped_the_last(session):
    given = records(session, referrals=[rc8("a", closure_reason="RC1"), rc8("b", nfa=None)])
    with pytest.raises(
        DataError, match=r"of 2 referrals, the last 1 were dropped at the step 'age"
    ):
        derive(Rereferral(), given, session, min_age=16)
    none = records(session, referrals=[rc8("a", closure_reason="RC1")])
    with pytest.raises(DataError, match="step 'closed NFA'"):
        derive(Rereferral(), none, session)
    with pytest.raises(DataError, match="there are no referrals"):
        derive(Rereferral(), records(session, referrals=[]), session)


def test_a_missing_table_is_named(session):
    with pytest.raises(DataError, match="no table 'referrals'"):
        derive(Rereferral(), records(session, assessments=[]), session)
