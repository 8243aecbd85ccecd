"""The contract of an outcome, and cases made by hand."""

import datetime as dt

import pytest
import sos_second_plan as plugin

from sos_plugins import Session
from sos_plugins.authors import testing


@pytest.mark.parametrize("check", testing.outcome_checks(plugin.SecondPlan()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def values(*plans: tuple[str, str | None]) -> list[float]:
    """Derive the cases of one child with these plans (start, end), in order of their ends."""
    session, key = Session(), {"unit": "901", "child": "a"}
    day = dt.date.fromisoformat
    rows = [{**key, "start_date": day(s), "end_date": e and day(e)} for s, e in plans]
    children = [{**key, "birth_date": dt.date(2005, 1, 1)}]
    records = testing.records_of(session, {"children": children, "protection_plans": rows})
    cases = plugin.SecondPlan().derive(records, plugin.SecondPlanSettings(), session)
    return list(cases.frame.sort_values("date")["value"])


def test_a_plan_within_two_years_counts() -> None:
    assert values(("2011-01-01", "2012-01-01"), ("2013-12-31", None)) == [1.0]


def test_a_plan_on_the_day_after_two_years_does_not_count() -> None:
    assert values(("2011-01-01", "2012-01-01"), ("2014-01-01", None)) == [0.0]


def test_a_plan_that_starts_when_the_last_one_ends_is_a_continuation() -> None:
    assert values(("2011-01-01", "2012-01-01"), ("2012-01-01", "2012-06-01")) == [0.0, 0.0]


def test_each_plan_that_ended_is_a_case() -> None:
    assert values(("2011-01-01", "2011-06-01"), ("2012-01-01", "2012-06-01")) == [1.0, 0.0]


def test_a_plan_recorded_twice_is_one_case() -> None:
    assert values(("2011-01-01", "2011-06-01"), ("2011-01-01", "2011-06-01")) == [0.0]
