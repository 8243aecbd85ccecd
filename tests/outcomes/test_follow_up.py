"""A value is known when the follow-up ends: what comes later changes no case, whatever is set."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import study_helpers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcome_helpers import END, after, day, derive, random_tables, records
from sos_outcomes.assessment_duration import AssessmentDuration, AssessmentWithin45Days
from sos_outcomes.escalation import Escalation
from sos_outcomes.icpc import Icpc
from sos_outcomes.kinship_care import KinshipCare
from sos_outcomes.rereferral import Rereferral
from sos_outcomes.tidy_value import TidyValue

from sos_plugins import Outcome, OutcomeInfo, Session
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study

Tables = dict[str, list[dict[str, Any]]]
FIRST = {"referrals": "referral_date"}
"""Date that brings a row into the records, where it is not start_date."""
LATER = {
    "referrals": {"closure_date": ["closure_reason"], "icpc_date": []},
    "assessments": {"authorised_date": []},
    "section47s": {"icpc_date": []},
    "protection_plans": {"end_date": []},
    "episodes": {"end_date": ["reason_end"]},
}
REASONS = st.sets(st.sampled_from(["RC1", "RC7", "RC8", "RC9"]), min_size=1).map(sorted)
FLAG = st.booleans()
CODES = st.sets(st.sampled_from(["U1", "U3", "Q1", "P1", "U4", "K2"]), min_size=1).map(sorted)


def known_on(tables: Tables, day: dt.date) -> Tables:
    """Return the rows as a return made on that day would have had them."""
    made: Tables = {}
    for name, rows in tables.items():
        made[name] = []
        for row in rows:
            begun = row.get(FIRST.get(name, "start_date"))
            if name != "children" and begun is not None and begun > day:
                continue
            gone = {
                column
                for date, others in LATER.get(name, {}).items()
                if row.get(date) is not None and row[date] > day
                for column in (date, *others)
            }
            made[name].append({c: None if c in gone else v for c, v in row.items()})
    return made


@st.composite
def with_follow_up(draw: st.DrawFn, longest: int, **more: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Draw a window, a follow-up that is none or longer, and further settings."""
    drawn = {name: draw(strategy) for name, strategy in more.items()}
    drawn["window_days"] = draw(st.integers(1, longest))
    extra = draw(st.none() | st.integers(0, 60))
    if extra is not None:
        needed = drawn["window_days"] + drawn.get("escalation_days", 0)
        drawn["follow_up_days"] = needed + extra
    return drawn


REREFERRAL = {
    "nfa_reasons": REASONS,
    "nfa_date": st.sampled_from(["closure", "referral"]),
    "last_rereferral": FLAG,
    "label_by_nfa_date": FLAG,
    "rc9_unknown": FLAG,
}
ESCALATION = {"escalation_days": st.integers(0, 400), "drop_plan_before_rereferral": FLAG}
EVERY: list[tuple[Outcome, st.SearchStrategy[dict[str, Any]]]] = [
    (Rereferral(), with_follow_up(500, **REREFERRAL)),
    (Escalation(), with_follow_up(500, **REREFERRAL, **ESCALATION)),
    (Icpc(), with_follow_up(250, not_in_need_reasons=REASONS, known_reasons=REASONS)),
    (KinshipCare(), with_follow_up(900, kinship_placements=CODES)),
    (AssessmentDuration(), st.fixed_dictionaries({"restricted_to": st.integers(1, 150)})),
    (
        AssessmentDuration(),
        st.fixed_dictionaries({"authorised_only": FLAG, "outlier_iqr": st.none() | st.just(1.5)}),
    ),
    (AssessmentWithin45Days(), st.fixed_dictionaries({"working_days": st.integers(0, 150)})),
]


def values(outcome: Outcome, tables: Tables, end: dt.date, chosen: dict[str, Any]) -> Any:
    """Return values and ends of follow-up by case."""
    session = Session()
    given = records(session, end=end, **tables)
    try:
        frame = derive(outcome, given, session, **chosen).frame
    except DataError:
        return {}
    by_case: dict[Any, list[Any]] = {}
    for row in frame.itertuples():
        case = (row.unit, row.child, row.date.date())
        by_case.setdefault(case, []).append((row.value, row.follow_up_end.date()))
    return by_case


def assert_same_when_cut(
    outcome: Outcome, strategy: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    """Compare cases of drawn records with those of the records as known when a follow-up ended."""
    tables = random_tables(data.draw(st.integers(0, 10_000), label="seed"), n_children=60)
    chosen = data.draw(strategy, label="settings")
    whole = values(outcome, tables, END, chosen)
    if not whole:
        return
    ends = sorted({end for case in whole.values() for _, end in case})
    cut = data.draw(st.sampled_from(ends), label="cut")
    then = values(outcome, known_on(tables, cut), cut, chosen)
    chosen_by_value = chosen.get("authorised_only") or chosen.get("outlier_iqr") is not None
    for case, expected in whole.items():
        if any(end > cut for _, end in expected) or (chosen_by_value and case not in then):
            continue
        assert then.get(case) == expected, (case, cut)


each_outcome = pytest.mark.parametrize(
    ("outcome", "strategy"), EVERY, ids=lambda v: getattr(v, "name", "")
)


@each_outcome
@given(data=st.data())
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
def test_records_cut_when_the_follow_up_ends_give_the_same_value(
    outcome: Outcome, strategy: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    assert_same_when_cut(outcome, strategy, data)


@pytest.mark.long
@each_outcome
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_records_cut_when_the_follow_up_ends_give_the_same_value(
    outcome: Outcome, strategy: st.SearchStrategy[dict[str, Any]], data: st.DataObject
) -> None:
    assert_same_when_cut(outcome, strategy, data)


WINDOWS = [(Rereferral(), 183), (Escalation(), 363), (Icpc(), 90), (KinshipCare(), 365)]


@pytest.mark.parametrize(("outcome", "days"), WINDOWS, ids=lambda v: getattr(v, "name", ""))
def test_the_follow_up_comes_from_the_window_and_less_is_refused(
    outcome: Outcome, days: int
) -> None:
    kind = outcome.Settings
    assert validate(kind, {}, where="test").followed_days == days
    wider = {"window_days": validate(kind, {}, where="test").window_days + 100}
    assert validate(kind, wider, where="test").followed_days == days + 100
    assert validate(kind, {"follow_up_days": days + 1}, where="test").followed_days == days + 1
    with pytest.raises(
        SettingsError, match=rf"= {days - 1} ends before the value is known"
    ) as told:
        validate(kind, {"follow_up_days": days - 1}, where="[[outcomes]] 1")
    assert f"up to day {days}" in str(told.value)
    with pytest.raises(SettingsError, match=r"Give .* or more"):
        validate(kind, {**wider, "follow_up_days": days}, where="test")


def test_a_year_of_rereferrals_waits_a_year() -> None:
    """The same child was 1 with longer records and 0 with shorter ones, both complete."""
    closed = day("2018-01-01")
    rows = [
        {"child": "a", "referral_date": closed, "nfa": True},
        {"child": "a", "referral_date": after(closed, 300), "nfa": False},
    ]
    tables = {"referrals": rows}
    year = {"window_days": 365}
    assert values(Rereferral(), tables, after(closed, 365), year) == {
        ("330", "a", closed): [(1.0, after(closed, 365))]
    }
    half = after(closed, 200)
    assert values(Rereferral(), known_on(tables, half), half, year) == {}


def test_what_a_reader_must_know_of_a_quirk_stands_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TidyValue.info
    sentence = "Cases are followed up for 360 days, but an escalation may come up to day 363."

    def cautious(self: TidyValue, settings: Any) -> OutcomeInfo:
        return replace(plain(self, settings), cautions=(sentence,), measured_after=("sex",))

    monkeypatch.setattr(TidyValue, "info", cautious)
    result = Study.from_toml(study_helpers.write(tmp_path)).crosscheck()
    again = StudyResult.from_json(result.to_json()).outcomes[0]
    assert sentence in result.outcomes[0].warnings
    assert again.info.measured_after == ("sex",)
    assert again.info.cautions == (sentence,)
