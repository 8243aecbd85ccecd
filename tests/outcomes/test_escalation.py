"""Re-referral that escalates to a plan or to care, edge by edge."""

from __future__ import annotations

import datetime as dt

import pytest
from outcome_helpers import END, after, by_child, check_contract, day, derive, dropped, records
from sos_outcomes.escalation import Escalation, EscalationSettings

from sos_plugins import Session
from sos_plugins.errors import SettingsError
from sos_plugins.host.settings import validate

NFA = day("2015-01-05")
AGAIN = after(NFA, 100)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def referrals(child: str = "a", *again: dt.date) -> list[dict[str, object]]:
    """An NFA referral and later ones that are open."""
    first = {"child": child, "referral_date": NFA, "nfa": True}
    return [first, *({"child": child, "referral_date": d, "nfa": False} for d in again)]


def plan(date: dt.date, child: str = "a", **other: object) -> dict[str, object]:
    return {"child": child, "start_date": date, **other}


def episode(date: dt.date, **other: object) -> dict[str, object]:
    row = {"child": "a", "start_date": date, "reason_start": "S", "period_of_care": 1}
    return {**row, **other}


def test_an_escalation_starts_within_180_days_of_the_rereferral(session):
    values = {-1: 0, 0: 1, 180: 1, 181: 0}
    rows = [row for n in values for row in referrals(f"{n}", AGAIN)]
    plans = [plan(after(AGAIN, n), child=f"{n}") for n in values]
    episodes = [episode(after(AGAIN, n), child=f"{n}") for n in values]
    for tables in ({"protection_plans": plans}, {"protection_plans": [], "episodes": episodes}):
        cases = derive(Escalation(), records(session, referrals=rows, **tables), session)
        check_contract(cases)
        assert by_child(cases) == {f"{n}": value for n, value in values.items()}


def test_a_plan_without_rereferral_is_no_escalation_but_stays_in_the_denominator(session):
    given = records(
        session,
        referrals=referrals("a") + referrals("late", after(NFA, 184)),
        protection_plans=[plan(after(NFA, 5)), plan(after(NFA, 190), child="late")],
    )
    assert by_child(derive(Escalation(), given, session)) == {"a": 0, "late": 0}


def test_plans_of_others_do_not_count(session):
    given = records(
        session,
        referrals=referrals("a", AGAIN),
        protection_plans=[plan(AGAIN, child="b"), plan(AGAIN, unit="331")],
    )
    assert by_child(derive(Escalation(), given, session)) == {"a": 0}


def test_only_the_start_of_a_period_of_care_counts(session):
    for episodes in (
        [episode(AGAIN, reason_start="L")],
        [episode(after(NFA, -50)), episode(AGAIN, reason_start="P")],
    ):
        given = records(
            session, referrals=referrals("a", AGAIN), protection_plans=[], episodes=episodes
        )
        assert by_child(derive(Escalation(), given, session)) == {"a": 0}


def test_records_without_episodes_say_that_only_plans_count(session):
    given = records(session, referrals=referrals("a", AGAIN), protection_plans=[plan(AGAIN)])
    cases = derive(Escalation(), given, session)
    assert "only plans count" in cases.attrition["reason"].iloc[0]


def test_follow_up_is_363_days_from_the_nfa_date_and_360_by_the_quirk_of_2021(session):
    for days, quirk in ((363, {}), (360, {"follow_up_days": 360, "short_follow_up": True})):
        last = after(END, -days)
        rows = [
            {"child": "last", "referral_date": last, "nfa": True},
            {"child": "late", "referral_date": after(last, 1), "nfa": True},
        ]
        given = records(session, referrals=rows, protection_plans=[])
        cases = derive(Escalation(), given, session, **quirk)
        assert by_child(cases, "follow_up_end") == {"last": END}
        assert dropped(cases) == {"follow-up complete": 1}
        told = [
            "360 days, but an escalation may come up to day 363" in c for c in cases.info.cautions
        ]
        assert told == [True] * bool(quirk)


def test_a_follow_up_shorter_than_the_windows_is_refused_unless_it_is_the_quirk():
    with pytest.raises(SettingsError, match=r"follow_up_days = 360 ends before .* up to day 363"):
        validate(EscalationSettings, {"follow_up_days": 360}, where="test")
    longer = validate(EscalationSettings, {"escalation_days": 365}, where="test")
    assert longer.followed_days == 183 + 365
    preset = validate(EscalationSettings, {"definition": "wwcsc-2021"}, where="test")
    assert preset.followed_days == 360
    named = {"definition": "wwcsc-2021", "short_follow_up": False}
    with pytest.raises(SettingsError, match="Give 363 or more"):
        validate(EscalationSettings, named, where="test")


def test_first_or_last_rereferral_changes_the_value(session):
    # A plan 170 days after the first re-referral is before the last but one day.
    first, last = after(NFA, 2), after(NFA, 183)
    early = records(
        session, referrals=referrals("a", first, last), protection_plans=[plan(after(first, 100))]
    )
    assert by_child(derive(Escalation(), early, session)) == {"a": 1}
    assert by_child(derive(Escalation(), early, session, last_rereferral=True)) == {"a": 0}
    late = records(
        session, referrals=referrals("a", first, last), protection_plans=[plan(after(last, 100))]
    )
    assert by_child(derive(Escalation(), late, session)) == {"a": 0}
    assert by_child(derive(Escalation(), late, session, last_rereferral=True)) == {"a": 1}


def test_the_quirk_that_drops_cases_with_a_plan_before_the_rereferral(session):
    given = records(
        session,
        referrals=[
            *referrals("between", AGAIN),
            *referrals("same-day", AGAIN),
            *referrals("on-nfa-day", AGAIN),
            *referrals("not-again"),
            *referrals("before-nfa", AGAIN),
        ],
        protection_plans=[
            plan(after(AGAIN, -1), child="between"),
            plan(AGAIN, child="same-day"),
            plan(NFA, child="on-nfa-day"),
            plan(after(NFA, 3), child="not-again"),
            plan(after(NFA, -1), child="before-nfa"),
        ],
    )
    everybody = {"between": 0, "same-day": 1, "on-nfa-day": 0, "not-again": 0, "before-nfa": 0}
    assert by_child(derive(Escalation(), given, session)) == everybody
    quirk = derive(Escalation(), given, session, drop_plan_before_rereferral=True)
    assert by_child(quirk) == {"same-day": 1, "not-again": 0, "before-nfa": 0}
    assert dropped(quirk)["no plan or care before the re-referral"] == 2


def test_the_preset_and_the_definition_for_sensitivity_are_the_same():
    preset = validate(EscalationSettings, {"definition": "wwcsc-2021"}, where="test")
    assert preset.last_rereferral
    assert preset.label_by_nfa_date
    assert preset.rc9_unknown
    assert preset.drop_plan_before_rereferral
    chosen = validate(EscalationSettings, {}, where="test").model_dump()
    chosen.update(Escalation.definitions["wwcsc-2021"])
    assert validate(EscalationSettings, chosen, where="test") == preset
