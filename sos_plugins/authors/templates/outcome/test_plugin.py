"""The contract of an outcome, and a case made by hand."""

import datetime as dt

import pytest

from sos_plugins import Session
from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")


@pytest.mark.parametrize("check", testing.outcome_checks(plugin.NewOutcome()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


@pytest.mark.parametrize(("days", "value"), [(0, 1.0), (365, 1.0), (366, 0.0)])
def test_a_plan_counts_up_to_the_last_day_of_the_window(days: int, value: float) -> None:
    session, referred = Session(), dt.date(2012, 5, 1)
    key = {"unit": "901", "child": "a"}
    records = testing.records_of(
        session,
        {
            "children": [{**key, "birth_date": dt.date(2005, 1, 1)}],
            "referrals": [{**key, "referral_date": referred, "nfa": False}],
            "protection_plans": [{**key, "start_date": referred + dt.timedelta(days=days)}],
        },
    )
    cases = plugin.NewOutcome().derive(records, plugin.NewOutcomeSettings(), session)
    assert list(cases.frame["value"]) == [value]
