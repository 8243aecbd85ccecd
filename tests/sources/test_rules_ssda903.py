"""Each published check of the return on children looked after, on rows that break it or do not.

The rows stand in ``ssda903_cases``. They, and random ones, were also given to a validator that
local authorities use; docs/validation-rules.md says where it differs.
"""

from __future__ import annotations

from typing import Any

import pytest
from outcome_helpers import day
from rule_helpers import broken, counts_that_differ
from sos_sources.rules.ssda903 import Ssda903Rules, Ssda903RulesSettings
from ssda903_cases import CASES, END, FIRST, LEFT, MOVE, ONE_DAY, SECOND, care, changed

from sos_plugins import Session
from sos_plugins.authors.testing.rules import rule_set_checks


def test_rows_that_break_a_check_are_found_and_no_others(session: Session) -> None:
    rules = Ssda903Rules().rules(Ssda903RulesSettings())
    assert counts_that_differ(CASES, rules, session) == {}


def test_every_published_check_has_cases() -> None:
    rules = Ssda903Rules().rules(Ssda903RulesSettings())
    assert {rule.name for rule in rules if ":" in rule.name} == set(CASES)


def test_a_child_whose_care_is_told_well_breaks_nothing(session: Session) -> None:
    back = {**FIRST, "start_date": END + ONE_DAY, "end_date": None, "reason_end": None}
    both = {**SECOND, "reason_start": "B", "legal_status": "V2"}
    children = {"moved and back": care(FIRST, SECOND, back), "both changed": care(FIRST, both)}
    rules = Ssda903Rules().rules(Ssda903RulesSettings())
    assert broken(children, rules, session) == {"moved and back": [], "both changed": []}


def test_episodes_follow_each_other_whatever_their_order_in_the_table(session: Session) -> None:
    rules = Ssda903Rules().rules(Ssda903RulesSettings())
    assert broken({"told backwards": care(SECOND, FIRST)}, rules, session)["told backwards"] == []


def test_children_of_the_same_number_in_two_authorities_are_two(session: Session) -> None:
    rules = Ssda903Rules().rules(Ssda903RulesSettings())
    rows = care(LEFT, {**SECOND, "unit": "331", "reason_start": "S"})
    assert broken({"twice": rows}, rules, session)["twice"] == []


def test_the_codes_that_checks_name_are_settings(session: Session) -> None:
    settings = Ssda903RulesSettings(temporary=("U1",), continues=())
    rows_at_fault = broken({"child": changed(start_date=MOVE + ONE_DAY)},
                   Ssda903Rules().rules(settings), session)  # fmt: skip
    assert rows_at_fault == {"child": ["ssda903:380", "ssda903:388"]}


def test_codes_in_lower_case_are_told_from_those_that_no_year_knows(session: Session) -> None:
    children = {
        "lower": care({**FIRST, "reason_end": "x1", "end_date": None}),
        "unknown": care({**LEFT, "placement": "UU1"}),
        "of an old year": care({**LEFT, "placement": "Q1", "start_date": day("2014-06-01")}),
    }
    rules = Ssda903Rules().rules(Ssda903RulesSettings())
    rows_at_fault = broken(children, rules, session)
    assert rows_at_fault["lower"] == ["lower-case-code", "ssda903:148"]
    assert rows_at_fault["unknown"] == ["misspelt-code"]
    assert rows_at_fault["of an old year"] == []


@pytest.mark.parametrize("check", rule_set_checks(Ssda903Rules()), ids=str)
def test_the_rules_keep_their_contract(check: Any) -> None:
    check()
