"""Duration of assessments, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
from outcome_helpers import END, after, by_child, check_contract, day, derive, dropped, records
from sos_outcomes.assessment_duration import AssessmentDuration

from sos_plugins import Session
from sos_plugins.errors import DataError

MONDAY = day("2015-06-01")


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def assessment(child: str = "a", days: int | None = 7, **other: object) -> dict[str, object]:
    """An assessment that was authorised some calendar days after it started on a Monday."""
    ended = None if days is None else after(MONDAY, days)
    return {"child": child, "start_date": MONDAY, "authorised_date": ended, **other}


def test_a_duration_in_working_days(session):
    given = records(session, assessments=[assessment("week", 7), assessment("same-day", 0)])
    cases = derive(AssessmentDuration(), given, session)
    check_contract(cases)
    assert by_child(cases) == {"week": 5, "same-day": 0}


def test_a_case_is_followed_up_when_it_is_authorised(session):
    row = derive(AssessmentDuration(), records(session, assessments=[assessment()]), session).frame
    assert row["date"].dt.date.tolist() == [MONDAY]
    assert row["follow_up_end"].dt.date.tolist() == [after(MONDAY, 7)]
    assert row["period"].tolist() == [2015]


def test_open_and_disordered_assessments_are_counted_and_no_cases(session):
    rows = [
        assessment("done"),
        assessment("open", None),
        assessment("before", -1),
        assessment("future", 3000),
    ]
    cases = derive(AssessmentDuration(), records(session, assessments=rows), session)
    check_contract(cases)
    assert set(by_child(cases)) == {"done"}
    assert dropped(cases) == {"authorised": 1, "dates in order": 2}
    assert cases.completeness.values.tolist() == [["330", 2015, 4, 1]]


def test_the_records_go_on_for_53_days_after_the_start(session):
    last = after(END, -53)
    rows = [
        assessment("last", start_date=last, authorised_date=after(last, 1)),
        assessment("late", start_date=after(last, 1), authorised_date=after(last, 2)),
    ]
    cases = derive(AssessmentDuration(), records(session, assessments=rows), session)
    assert set(by_child(cases)) == {"last"}
    assert dropped(cases) == {"follow-up complete": 1}


def test_assessments_count_from_april_2011(session):
    rows = [
        assessment("before", start_date=day("2011-03-31"), authorised_date=day("2011-04-05")),
        assessment("from", start_date=day("2011-04-01"), authorised_date=day("2011-04-05")),
    ]
    given = records(session, assessments=rows)
    assert set(by_child(derive(AssessmentDuration(), given, session))) == {"from"}
    assert len(derive(AssessmentDuration(), given, session, first_year=2010).frame) == 2


def test_unborn_children_are_in_and_adults_are_out(session):
    children = [
        {"child": "unborn", "expected_birth_date": after(MONDAY, 200)},
        {"child": "born-since", "birth_date": after(MONDAY, 90)},
        {"child": "17", "birth_date": day("1997-06-02")},
        {"child": "18", "birth_date": day("1997-06-01")},
        {"child": "typing-error", "expected_birth_date": day("2017-01-01")},
    ]
    given = records(
        session, assessments=[assessment(c["child"]) for c in children], children=children
    )
    cases = derive(AssessmentDuration(), given, session)
    assert by_child(cases, "age_band") == {
        "unborn": "unborn", "born-since": "unborn", "17": "13 to 17",
    }  # fmt: skip
    born = derive(AssessmentDuration(), given, session, min_age=0)
    assert set(by_child(born)) == {"17"}


def test_of_two_ends_for_one_start_the_later_counts(session):
    rows = [assessment("a", 7), assessment("a", 14), assessment("a", None), assessment("b", 7)]
    cases = derive(AssessmentDuration(), records(session, assessments=rows), session)
    assert by_child(cases) == {"a": 10, "b": 5}
    assert dropped(cases) == {"recorded once": 2}


def test_durations_above_the_fence_go(session):
    # In weeks: quartiles of 1..8 and 30 by linear interpolation are 3 and 7, the fence is 13.
    weeks = [1, 2, 3, 4, 5, 6, 7, 8, 30]
    rows = [assessment(f"c{w}", 7 * w) for w in weeks]
    given = records(session, assessments=rows)
    everything = derive(AssessmentDuration(), given, session, outlier_iqr=None)
    values = everything.frame["value"].to_numpy()
    q1, q3 = np.percentile(values, [25, 75], method="linear")
    cases = derive(AssessmentDuration(), given, session)
    assert dropped(cases) == {"no outlier": 1}
    assert set(cases.frame["value"]) == set(values[values <= q3 + 1.5 * (q3 - q1)])
    assert f"{q3 + 1.5 * (q3 - q1):g}" in cases.attrition["reason"].iloc[-1]


def test_a_duration_on_the_fence_stays(session):
    # Days 0 to 4 within one week: quartiles 1 and 3; with a multiple of 0.5 the fence is 4.
    rows = [assessment(f"c{n}", n) for n in range(5)]
    given = records(session, assessments=rows)
    assert len(derive(AssessmentDuration(), given, session, outlier_iqr=0.5).frame) == 5
    assert len(derive(AssessmentDuration(), given, session, outlier_iqr=0.49).frame) == 4


def test_no_authorised_assessment_is_an_error(session):
    given = records(session, assessments=[assessment("a", None)])
    with pytest.raises(DataError, match="the step 'authorised'"):
        derive(AssessmentDuration(), given, session)
