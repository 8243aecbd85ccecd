"""The contract of a rule set, and rows made by hand."""

import datetime as dt

import pytest

from sos_plugins import Session
from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")
START = dt.date(2012, 5, 1)


@pytest.mark.parametrize("check", testing.rule_set_checks(plugin.NewRuleSet()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_a_plan_may_last_up_to_the_last_day_of_the_limit() -> None:
    session, (rule,) = Session(), plugin.NewRuleSet().rules(plugin.NewRuleSetSettings())
    ends = {"a": START + dt.timedelta(days=730), "b": START + dt.timedelta(days=731), "c": None}
    rows = [
        {"unit": "901", "child": child, "start_date": START, "end_date": end}
        for child, end in ends.items()
    ]
    plans = testing.records_of(session, {rule.table: rows}).table(rule.table)
    assert list(plans.filter(rule.broken(plans)).to_pandas()["child"]) == ["b"]
