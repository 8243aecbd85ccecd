"""Each published rule of the children in need census, on rows that break it and rows that do not.

The rows stand in ``cin_cases``. They, and random ones, were also given to a validator that local
authorities use; docs/validation-rules.md says where it differs.
"""

from __future__ import annotations

from typing import Any

import pytest
from cin_cases import CASES, LAST_START, REFERRED, one, referral
from outcome_helpers import day
from rule_helpers import broken, counts_that_differ
from sos_sources.rules.cin import CinRules, CinRulesSettings

from sos_plugins import Session
from sos_plugins.authors.testing.rules import rule_set_checks


def test_rows_that_break_a_rule_are_found_and_no_others(session: Session) -> None:
    rules = CinRules().rules(CinRulesSettings())
    assert counts_that_differ(CASES, rules, session) == {}


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
        "known": {"referrals": [referral(primary_need="N1", closure_reason="RC7")]},
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
