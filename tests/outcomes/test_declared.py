"""Outcomes declared in a study file: those of the page, next to plugins and cases by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import declared_outcomes
import pandas as pd
import pytest
from outcome_helpers import (
    END,
    START,
    after,
    by_child,
    day,
    derive,
    dropped,
    random_tables,
    records,
)
from sos_outcomes.assessment_duration import AssessmentDuration, AssessmentWithin45Days
from sos_outcomes.declared import conditions, settings
from sos_outcomes.declared.plugin import Declared
from sos_outcomes.escalation import Escalation
from sos_outcomes.icpc import Icpc
from sos_outcomes.rereferral import Rereferral
from sos_simulator.source import Simulated
from sos_sources.cin.census import CinCensus

from sos_plugins import Outcome, Records, Session
from sos_plugins.authors import derive as helpers
from sos_plugins.authors.testing import check_outcome
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.settings import describe, validate

ON_PAGE = declared_outcomes.BY_NAME
DECLARED = Declared()


def in_time(**duration: Any) -> dict[str, Any]:
    """The declaration of assessments with another duration, from April 2011 as the plugins."""
    first = ON_PAGE["long-assessment"]
    population = {**first["population"], "where": {"start_date": {"at_least": day("2011-04-01")}}}
    until = {"until": "authorised_date", "days": "working"}
    return {**first, "population": population, "duration": {**until, **duration}}


SAME: dict[str, tuple[Outcome, dict[str, Any]]] = {
    "icpc": (Icpc(), ON_PAGE["declared-icpc"]),
    "rereferral": (Rereferral(), ON_PAGE["declared-rereferral"]),
    "escalation": (Escalation(), ON_PAGE["declared-escalation"]),
    "within": (AssessmentWithin45Days(), in_time(within=45)),
    "restricted": (AssessmentDuration(), in_time(restricted_to=60)),
}


def assert_same(given: Records, session: Session, name: str) -> None:
    """Same cases, follow-up, values, covariates and completeness as the plugin in Python."""
    plugin, declared = SAME[name]
    mine, theirs = derive(DECLARED, given, session, **declared), derive(plugin, given, session)
    assert len(theirs.frame) > 0
    pd.testing.assert_frame_equal(mine.frame, theirs.frame)
    pd.testing.assert_frame_equal(mine.completeness, theirs.completeness)
    assert mine.info.binary == theirs.info.binary
    assert mine.info.measure == theirs.info.measure


@pytest.mark.parametrize("name", SAME)
def test_a_declaration_gives_the_cases_of_the_plugin(session, name):
    assert_same(records(session, **random_tables(5)), session, name)


@pytest.fixture(scope="module")
def simulated() -> tuple[Session, Records]:
    session = Session()
    values = {
        "authorities": 4, "pilots": 1, "external_pilots": 0, "escalation_pretrend_pilots": 0,
        "first_year": 2012, "last_year": 2016, "first_window": day("2014-11-01"),
        "last_window": day("2015-03-01"), "referrals_per_year": 100.0, "care_starts_per_year": 15.0,
    }  # fmt: skip
    return session, Simulated().read(validate(Simulated.Settings, values, where="test"), session)


@pytest.mark.parametrize("name", SAME)
def test_it_does_so_on_simulated_records(simulated, name):
    session, given = simulated
    assert_same(given, session, name)


@pytest.mark.parametrize("name", ["rereferral", "escalation"])
def test_it_does_so_on_the_sample_of_the_census(session, shared, name):
    file = shared / "data" / "cin_census" / "fake_CIN_data.xml"
    given = CinCensus().read(validate(CinCensus.Settings, {"paths": str(file)}, where="t"), session)
    beyond = given.end + dt.timedelta(days=400)
    assert_same(replace(given, end=beyond), session, name)


@pytest.mark.parametrize("name", ["left-care", "declared-icpc"])
def test_what_the_page_declares_keeps_the_contract(name):
    tables = random_tables(7, n_children=40)
    check_outcome(DECLARED, records(Session(), **tables), ON_PAGE[name])


def test_over_is_the_rest_of_within(session):
    given = records(session, **random_tables(6))
    over = derive(DECLARED, given, session, **in_time(over=45)).frame
    within = derive(AssessmentWithin45Days(), given, session).frame
    assert (over["value"] == 1 - within["value"]).all()
    assert over["value"].nunique() == 2


def test_days_of_the_calendar_count_from_the_day_of_the_case(session):
    start = day("2015-03-02")
    ends = {"a": 9, "b": 10, "c": 11, "d": None}
    rows = [
        {"child": c, "start_date": start, "authorised_date": d and after(start, d)}
        for c, d in ends.items()
    ]
    given = records(session, assessments=rows)
    plain = {"until": "authorised_date"}
    one = {**ON_PAGE["long-assessment"], "duration": {**plain, "over": 10}}
    assert by_child(derive(DECLARED, given, session, **one)) == {"a": 0, "b": 0, "c": 1, "d": 1}
    one["duration"] = {**plain, "restricted_to": 10}
    cases = derive(DECLARED, given, session, **one)
    assert by_child(cases) == {"a": 9, "b": 10, "c": 10, "d": 10}
    assert set(by_child(cases, "follow_up_end").values()) == {after(start, 10)}
    assert (cases.info.binary, cases.info.measure) == (False, "days")


def test_a_case_whose_window_the_records_do_not_cover_is_left_out(session):
    dates = {"whole": after(END, -90), "cut": after(END, -89), "before": after(START, -1)}
    rows = [{"child": c, "referral_date": d, "nfa": False} for c, d in dates.items()]
    cases = derive(DECLARED, records(session, referrals=rows), session, **ON_PAGE["declared-icpc"])
    assert by_child(cases, "follow_up_end") == {"whole": END}
    assert dropped(cases) == {"dated within the records": 1, "follow-up complete": 1}


def test_the_follow_up_goes_on_to_the_entry_that_alone_makes_a_case(session):
    date = day("2015-01-01")
    closed = {"closure_date": after(date, 200), "closure_reason": "RC1"}
    rows = [
        {"child": "open", "referral_date": date, "nfa": False, **closed},
        {"child": "unknown", "referral_date": date, **closed},
        {"child": "early", "referral_date": date, **closed, "closure_date": after(date, 20)},
    ]
    cases = derive(DECLARED, records(session, referrals=rows), session, **ON_PAGE["declared-icpc"])
    assert by_child(cases, "follow_up_end") == {
        "open": after(date, 90), "unknown": after(date, 200), "early": after(date, 90),
    }  # fmt: skip


def test_conditions_on_the_child_and_the_first_episode(session):
    date = day("2013-05-01")
    start = {"start_date": date, "reason_start": "S", "period_of_care": 1}
    exits = {
        "home": ("E4A", 100),
        "moved": ("X1", 100),
        "stays": (None, None),
        "late": ("E11", 731),
    }
    rows = [
        {"child": c, **start, "reason_end": why, "end_date": d and after(date, d)}
        for c, (why, d) in exits.items()
    ]
    rows += [
        {"child": "moved", "start_date": after(date, 100), "reason_start": "P", "period_of_care": 1,
         "reason_end": "E13", "end_date": after(date, 730)},
        {**rows[0], "child": "asylum"},
        {**rows[0], "child": "other start", "reason_start": "L"},
    ]  # fmt: skip
    names = {row["child"] for row in rows}
    children = [{"child": c, "uasc": c == "asylum", "birth_date": day("2010-01-01")} for c in names]
    given = records(session, episodes=rows, children=children)
    cases = derive(DECLARED, given, session, **ON_PAGE["left-care"])
    assert by_child(cases) == {"home": 1, "moved": 1, "stays": 0, "late": 0}
    assert dropped(cases) == {"in the population": 2}


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ("RC8", "b"),
        (["RC8", "RC9"], "bc"),
        ({"not": "RC8"}, "acd"),
        ({"missing": True}, "d"),
        ({"missing": False, "not": ["RC8"]}, "ac"),
        ({"has": ["RC1", "8"]}, "a"),
    ],
)
def test_what_a_condition_says_of_values_and_of_missing_ones(session, condition, fits):
    reasons = {"a": "RC1", "b": "RC8", "c": "RC9", "d": None}
    rows = [
        {"child": c, "referral_date": day("2015-01-01"), "closure_reason": r}
        for c, r in reasons.items()
    ]
    population = {"table": "referrals", "date": "referral_date"}
    one = {
        **ON_PAGE["declared-icpc"],
        "population": {**population, "where": {"closure_reason": condition}},
    }
    cases = derive(DECLARED, records(session, referrals=rows), session, **one)
    assert sorted(by_child(cases)) == sorted(fits)


@pytest.mark.parametrize(
    ("condition", "fits"),
    [({"above": 1}, "c"), ({"at_least": 1}, "bc"), ({"below": 1}, "a"), ({"at_most": 1}, "ab")],
)
def test_numbers_are_compared(session, condition, fits):
    rows = [
        {"child": c, "start_date": day("2015-01-01"), "n_previous": n}
        for c, n in {"a": 0, "b": 1, "c": 2, "d": None}.items()
    ]
    where = {"n_previous": condition}
    one = {
        "label": "Plans over a year",
        "population": {"table": "protection_plans", "date": "start_date", "where": where},
        "duration": {"until": "end_date", "over": 365},
    }
    cases = derive(DECLARED, records(session, protection_plans=rows), session, **one)
    assert sorted(by_child(cases)) == sorted(fits)


def test_further_tables_of_events_count_where_the_records_have_them(session):
    date = day("2015-01-01")
    referral = {"child": "a", "referral_date": date, "nfa": False}
    held = {"child": "a", "referral_date": date, "icpc_date": after(date, 5)}
    declared = ON_PAGE["declared-icpc"]
    with_it = records(session, referrals=[referral], section47s=[held])
    assert by_child(derive(DECLARED, with_it, session, **declared)) == {"a": 1}
    less = derive(DECLARED, records(session, referrals=[referral]), session, **declared)
    assert by_child(less) == {"a": 0}
    assert less.warnings == ("The records have no table section47s, so events of it do not count.",)


def test_a_further_column_of_the_return_can_be_a_condition(session):
    rows = [
        {"child": c, "start_date": day("2013-05-01"), "reason_start": "S", "period_of_care": 1}
        for c in "ab"
    ]
    given = records(session, episodes=rows)
    near = given.tables["episodes"].child == "a"
    table = given.tables["episodes"].mutate(PL_POST=near.ifelse("SW1A", None))
    declared = {**ON_PAGE["left-care"]}
    declared["population"] = {**declared["population"], "where": {"PL_POST": {"missing": False}}}
    found = Records({**given.tables, "episodes": table}, start=START, end=END)
    assert set(by_child(derive(DECLARED, found, session, **declared))) == {"a"}
    with pytest.raises(
        DataError, match=r"episodes of these records has no column 'PL_POST'.*extra"
    ):
        derive(DECLARED, given, session, **declared)


REFERRALS = {"table": "referrals", "date": "referral_date"}
AGAIN = {**REFERRALS, "from_day": 1, "within_days": 90}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"population": {**REFERRALS, "table": "referal"}},
            "Did you mean 'referrals'\\?",
        ),
        ({"population": {**REFERRALS, "date": "closed"}}, "no date of referrals .*closure_date"),
        (
            {"population": {**REFERRALS, "where": {"closure_reson": "RC8"}}},
            "no column 'closure_reson'. Did you mean 'closure_reason'\\? Columns: child, ",
        ),
        (
            {"population": {**REFERRALS, "where": {"closure_reason": 8}}},
            'where.closure_reason: the column holds text, such as "RC8"; 8 was given',
        ),
        ({"population": {**REFERRALS, "where": {"nfa": {"above": 1}}}}, "'above' is for numbers"),
        ({"population": {**REFERRALS, "where": {"nfa": {"nto": 1}}}}, "Did you mean 'not'\\?"),
        ({"population": {**REFERRALS, "where": "nfa"}}, "expected conditions on columns"),
        ({"population": 5}, "expected a table"),
        ({"event": {**AGAIN, "from_day": 0}}, "each would count itself. Give from_day = 1"),
        ({"event": {**AGAIN, "from_day": 91}}, "from_day \\(91\\) is after within_days \\(90\\)"),
        (
            {"event": {**AGAIN, "where": {"closure_reason": "RC8"}}},
            "closure_reason is known only on the closure_date",
        ),
        ({"event": {**AGAIN, "then": REFERRALS}}, "'event.then.within_days' is missing"),
        ({"event": {**AGAIN, "then": {**AGAIN, "from_day": 0}}}, "then.from_day is 0"),
        ({"event": None}, "expected either .outcomes.event. or .outcomes.duration."),
        (
            {"event": None, "duration": {"until": "closure_date", "over": 1, "within": 2}},
            "expected one of over, within and restricted_to; found over, within",
        ),
        ({"event": None, "duration": {"until": "nfa", "over": 1}}, "'nfa' is no date of referrals"),
        ({"better": "less"}, "'lower', 'higher' or 'unclear'"),
    ],
)
def test_a_slip_in_a_declaration_is_a_sentence(changes, sentence):
    values = {"label": "x", "population": REFERRALS, "event": AGAIN, **changes}
    with pytest.raises(SettingsError, match=sentence):
        validate(DECLARED.Settings, values, where="[[outcomes]] 1")


def test_the_page_has_every_key_in_the_words_of_the_code():
    own = set(helpers.ChildSettings.model_fields)
    models = (
        settings.DeclaredSettings, settings.Population, settings.Event, settings.Duration,
        conditions.Comparison,
    )  # fmt: skip
    for model in models:
        for row in describe(model):
            values = row["values"].replace(" | ", " or ")
            line = f"| `{row['setting']}` | {values} | `{row['default']}` | {row['description']} |"
            assert row["setting"] in own or line in declared_outcomes.PAGE
