"""What holds for every outcome from records: ages on the birthday, least settings, what it says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
from outcome_helpers import day, derive, dropped, records
from sos_outcomes.assessment_duration import AssessmentDuration, AssessmentWithin45Days
from sos_outcomes.escalation import Escalation
from sos_outcomes.icpc import Icpc
from sos_outcomes.kinship_care import KinshipCare
from sos_outcomes.rereferral import Rereferral

from sos_plugins import Outcome, Session
from sos_plugins.errors import SettingsError
from sos_plugins.host.settings import validate

ENTERED = day("2015-06-15")
NFA = {"referral_date": ENTERED, "nfa": True}
IN_NEED = {"referral_date": ENTERED, "nfa": False, "closure_reason": "RC1", "closure_date": ENTERED}
ASSESSED = {"start_date": ENTERED, "authorised_date": ENTERED}
IN_CARE = {
    "start_date": ENTERED,
    "reason_start": "S",
    "legal_status": "C2",
    "placement": "U4",
    "period_of_care": 1,
}
OUTCOMES: dict[str, tuple[Outcome, str, Mapping[str, Any]]] = {
    "rereferral": (Rereferral(), "referrals", NFA),
    "escalation": (Escalation(), "referrals", NFA),
    "icpc": (Icpc(), "referrals", IN_NEED),
    "kinship-care": (KinshipCare(), "episodes", IN_CARE),
    "assessment-duration": (AssessmentDuration(), "assessments", ASSESSED),
    "assessment-within-45-days": (AssessmentWithin45Days(), "assessments", ASSESSED),
}


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


@pytest.mark.parametrize("name", OUTCOMES)
def test_children_are_cases_until_their_18th_birthday_and_from_a_year_before_birth(
    name: str, session: Session
) -> None:
    outcome, table, row = OUTCOMES[name]
    born: dict[str, dict[str, dt.date]] = {
        "18 today": {"birth_date": day("1997-06-15")},
        "18 tomorrow": {"birth_date": day("1997-06-16")},
        "18 yesterday": {"birth_date": day("1997-06-14")},
        "born today": {"birth_date": ENTERED},
        "due": {"expected_birth_date": day("2016-03-01")},
        "due in a year": {"expected_birth_date": day("2016-06-15")},
        "due too late": {"expected_birth_date": day("2016-06-16")},
        "unknown": {},
    }
    tables: dict[str, list[dict[str, Any]]] = {
        table: [{"child": child, **row} for child in born],
        "children": [{"child": child, **dates} for child, dates in born.items()],
    }
    if name == "escalation":
        tables["protection_plans"] = []
    cases = derive(outcome, records(session, **tables), session)
    kept = {"18 tomorrow", "born today", "due", "due in a year", "unknown"}
    assert set(cases.frame["child"]) == kept
    assert dropped(cases) == {"age within bounds": len(born) - len(kept)}
    bounded = derive(outcome, records(session, **tables), session, min_age=0, max_age=18)
    ages = {"18 today", "18 tomorrow", "18 yesterday", "born today", "unknown"}
    assert set(bounded.frame["child"]) == ages


LEAST = [
    *((name, "window_days", 1) for name in ("rereferral", "escalation")),
    *((name, "window_days", 0) for name in ("icpc", "kinship-care")),
    *((name, "holiday_days", 0) for name in ("rereferral", "escalation")),
    ("escalation", "escalation_days", 0),
    ("assessment-duration", "restricted_to", 1),
    ("assessment-duration", "observed_days", 0),
    ("assessment-duration", "outlier_iqr", 0),
    ("assessment-within-45-days", "working_days", 0),
]


@pytest.mark.parametrize(("name", "setting", "least"), LEAST)
def test_the_least_of_each_setting(name: str, setting: str, least: int) -> None:
    kind = OUTCOMES[name][0].Settings
    assert getattr(validate(kind, {setting: least}, where="test"), setting) == least
    with pytest.raises(SettingsError, match=setting):
        validate(kind, {setting: least - 1}, where="test")


DEFAULTS = [
    ("rereferral", {"window_days": 183, "holiday_days": 5, "holiday_flag": False}),
    ("escalation", {"window_days": 183, "escalation_days": 180, "short_follow_up": False}),
    ("icpc", {"window_days": 90}),
    ("kinship-care", {"window_days": 365}),
    (
        "assessment-duration",
        {"restricted_to": 60, "observed_days": 53, "first_year": 2011, "outlier_iqr": None},
    ),
    ("assessment-within-45-days", {"working_days": 45, "first_year": 2011}),
]
QUIRKS = (
    *("last_rereferral", "label_by_nfa_date", "rc9_unknown", "drop_plan_before_rereferral"),
    *("authorised_only", "short_follow_up"),
)
"""Ways of the 2021 analysis that only its own definition takes."""


@pytest.mark.parametrize(("name", "expected"), DEFAULTS)
def test_the_windows_are_those_of_the_methods(name: str, expected: dict[str, Any]) -> None:
    settings = validate(OUTCOMES[name][0].Settings, {}, where="test").model_dump()
    assert {key: settings[key] for key in expected} == expected
    assert not any(settings.get(quirk) for quirk in QUIRKS)
    ages = {"min_age": -1, "max_age": 17, "entered_in_data": True}
    assert {key: settings[key] for key in ages} == ages


@pytest.mark.parametrize("name", OUTCOMES)
def test_shares_are_binary_and_durations_are_not(name: str) -> None:
    outcome = OUTCOMES[name][0]
    info = outcome.info(validate(outcome.Settings, {}, where="test"))
    binary = name != "assessment-duration"
    assert info.binary is binary
    assert info.measure == ("proportion" if binary else "working days")
    better = {"kinship-care": "increase", "rereferral": "decrease", "icpc": "decrease"}
    assert info.expected == {**better, "escalation": "decrease"}.get(name, "unclear")
