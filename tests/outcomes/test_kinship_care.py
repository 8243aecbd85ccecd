"""Kinship care, edge by edge."""

from __future__ import annotations

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
from sos_outcomes.kinship_care import KinshipCare, KinshipCareSettings

from sos_plugins import Session
from sos_plugins.host.settings import validate

ENTERED = day("2015-01-05")


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def first(child: str = "a", **other: object) -> dict[str, object]:
    """The first episode of a period of care, with strangers, under an interim care order."""
    row = {
        "child": child,
        "start_date": ENTERED,
        "reason_start": "S",
        "legal_status": "C1",
        "placement": "U4",
        "period_of_care": 1,
    }
    return {**row, **other}


def later(days: int, child: str = "a", **other: object) -> dict[str, object]:
    """A later episode of the same period."""
    date = after(ENTERED, days)
    return first(child, **{"start_date": date, "reason_start": "P", **other})


def test_an_episode_with_relatives_counts(session):
    cases = derive(KinshipCare(), records(session, episodes=[first(placement="U1")]), session)
    check_contract(cases)
    row = cases.frame.iloc[0]
    assert row["value"] == 1
    assert row["date"].date() == ENTERED
    assert row["follow_up_end"].date() == after(ENTERED, 365)
    assert row["period"] == 2014


def test_a_placement_counts_up_to_day_365(session):
    values = {1: 1, 364: 1, 365: 1, 366: 0}
    rows = [first(f"{n}", end_date=after(ENTERED, n), reason_end="X1") for n in values]
    rows += [later(n, f"{n}", placement="U3", legal_status="C2") for n in values]
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert by_child(cases) == {f"{n}": value for n, value in values.items()}


def test_an_exit_to_relatives_counts_up_to_day_365(session):
    values = {0: 1, 365: 1, 366: 0}
    rows = [first(f"{n}", end_date=after(ENTERED, n), reason_end="E45") for n in values]
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert by_child(cases) == {f"{n}": value for n, value in values.items()}


def test_a_period_over_episodes_and_years_is_one_case_in_the_year_it_starts(session):
    rows = [
        first(end_date=after(ENTERED, 50), reason_end="X1"),
        later(50, end_date=after(ENTERED, 120), reason_end="X1", legal_status="C2"),
        later(120, end_date=after(ENTERED, 500), reason_end="X1", placement="U2"),
        later(500, end_date=after(ENTERED, 900), reason_end="E11", placement="A5"),
    ]
    cases = derive(KinshipCare(), records(session, episodes=rows[::-1]), session)
    assert by_child(cases) == {"a": 1}
    assert by_child(cases, "period") == {"a": 2014}
    assert cases.attrition["n_before"].iloc[0] == 1


def test_an_episode_recorded_twice_changes_nothing(session):
    rows = [first(), first(), later(10, placement="U1"), later(10, placement="U1")]
    assert by_child(derive(KinshipCare(), records(session, episodes=rows), session)) == {"a": 1}


def test_a_later_period_is_another_case(session):
    rows = [
        first(end_date=after(ENTERED, 100), reason_end="E4B"),
        later(200, reason_start="S", period_of_care=2, placement="U1"),
    ]
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert cases.frame["value"].tolist() == [0, 1]


def test_the_legal_status_is_that_of_the_first_episode(session):
    rows = [
        first("v2", legal_status="V2"),
        later(10, "v2", legal_status="C1", placement="U1"),
        first("c2", legal_status="C2"),
        later(10, "c2", legal_status="V2"),
    ]
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert by_child(cases) == {"c2": 0}
    assert dropped(cases) == {"care order": 1}
    wide = derive(KinshipCare(), records(session, episodes=rows), session, legal_statuses=["V2"])
    assert by_child(wide) == {"v2": 1}


def test_a_period_that_began_outside_the_data_is_no_start(session):
    rows = [
        first("started"),
        first("joined-late", reason_start="L"),
        first("not-said", reason_start=None),
        first("early", start_date=after(START, -1)),
    ]
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert set(by_child(cases)) == {"started", "not-said"}
    assert dropped(cases) == {"dated within the records": 1, "start in the data": 1}


def test_status_and_placement_at_the_start_make_a_record_usable(session):
    rows = [first("a"), first("b", legal_status=None), first("c", placement=None)]
    rows.append(first("d", legal_status="V2"))
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert cases.completeness.values.tolist() == [["330", 2014, 4, 2]]
    assert set(by_child(cases)) == {"a"}


def test_follow_up_is_365_days(session):
    last = after(END, -365)
    rows = [first("last", start_date=last), first("late", start_date=after(last, 1))]
    cases = derive(KinshipCare(), records(session, episodes=rows), session)
    assert by_child(cases, "follow_up_end") == {"last": END}


def test_placements_of_the_two_definitions(session):
    strict = dict.fromkeys(("U1", "U2", "U3", "Q1", "F1", "F4"), 1)
    strict |= dict.fromkeys(("P1", "P2", "U4", "Q2", "A3"), 0)
    given = records(session, episodes=[first(code, placement=code) for code in strict])
    assert by_child(derive(KinshipCare(), given, session)) == strict
    wwcsc = derive(KinshipCare(), given, session, definition="wwcsc-2021")
    assert by_child(wwcsc) == {**strict, "P1": 1}


def test_exits_of_the_two_definitions(session):
    only_wwcsc = dict.fromkeys(("E4A", "E4", "E13", "E41", "E43", "E44"), 0)
    strict = {"E45": 1, "E47": 1, **only_wwcsc}
    strict |= dict.fromkeys(("E46", "E48", "E11", "E4B", "X1"), 0)
    ended = {"end_date": after(ENTERED, 9)}
    given = records(session, episodes=[first(c, reason_end=c, **ended) for c in strict])
    assert by_child(derive(KinshipCare(), given, session)) == strict
    wwcsc = derive(KinshipCare(), given, session, definition="wwcsc-2021")
    assert by_child(wwcsc) == {**strict, **dict.fromkeys(only_wwcsc, 1)}


def test_a_definition_replaces_the_lists_of_the_other_and_a_named_list_wins():
    strict = validate(KinshipCareSettings, {}, where="test")
    for name, codes in KinshipCare.definitions.items():
        replaced = validate(KinshipCareSettings, {**strict.model_dump(), **codes}, where="test")
        assert replaced == validate(KinshipCareSettings, {"definition": name}, where="test")
    mixed = {"definition": "wwcsc-2021", "kinship_exits": ["E45"]}
    assert validate(KinshipCareSettings, mixed, where="test").kinship_exits == ("E45",)
