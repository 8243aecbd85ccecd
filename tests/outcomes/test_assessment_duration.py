"""Duration of assessments, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
from outcome_helpers import (
    END,
    START,
    after,
    by_child,
    check_contract,
    day,
    derive,
    dropped,
    records,
)
from sos_outcomes.assessment_duration import (
    AssessmentDuration,
    AssessmentDurationSettings,
    AssessmentWithin45Days,
)

from sos_plugins import Session
from sos_plugins.errors import DataError
from sos_plugins.host.settings import validate

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


def test_a_case_is_followed_up_for_60_working_days(session):
    # Twelve weeks from Monday 1 June 2015; the next working day is Tuesday 25 August.
    row = derive(AssessmentDuration(), records(session, assessments=[assessment()]), session).frame
    assert row["date"].dt.date.tolist() == [MONDAY]
    assert row["follow_up_end"].dt.date.tolist() == [day("2015-08-24")]
    assert row["period"].tolist() == [2015]


def test_open_assessments_count_as_long_as_they_are_followed_up(session):
    rows = [
        assessment("done"),
        assessment("open", None),
        assessment("before", -1),
        assessment("much-later", 3000),
        assessment("day-60", 84),
        assessment("day-59", 81),
    ]
    cases = derive(AssessmentDuration(), records(session, assessments=rows), session)
    check_contract(cases)
    assert by_child(cases) == {"done": 5, "open": 60, "much-later": 60, "day-60": 60, "day-59": 59}
    assert dropped(cases) == {"dates in order": 1}
    assert "2 not authorised by then" in cases.attrition["reason"].iloc[-1]
    assert cases.completeness.values.tolist() == [["330", 2015, 6, 5]]
    ten = derive(AssessmentDuration(), records(session, assessments=rows), session, restricted_to=5)
    assert set(by_child(ten).values()) == {5}


def test_whether_an_assessment_is_a_case_does_not_depend_on_its_end(session):
    """Slow assessments of the last months were missing: their mean fell with nothing changed."""
    starts = [after(START, n) for n in range(400, (END - START).days, 7)]
    rows = [
        {"child": f"{slow}{start}", "start_date": start, "authorised_date": after(start, days)}
        for start in starts
        for slow, days in (("slow", 80), ("quick", 20))
    ]
    seen = [r | {"authorised_date": min(r["authorised_date"], END)} for r in rows]
    seen = [r | ({"authorised_date": None} if r["authorised_date"] == END else {}) for r in seen]
    frame = derive(AssessmentDuration(), records(session, assessments=seen), session).frame
    counted = frame["child"].str.startswith("slow").groupby(frame["date"]).mean()
    assert set(counted) == {0.5}
    quick = derive(
        AssessmentDuration(), records(session, assessments=seen), session, definition="wwcsc-2021"
    ).frame
    last = quick[quick["date"].dt.date > day("2019-01-10")]
    assert not last["child"].str.startswith("slow").any()


def test_the_records_go_on_for_the_follow_up(session):
    # Friday 4 January 2019 is 60 working days before Friday 29 March; the records end on Sunday.
    rows = [
        assessment("last", start_date=day("2019-01-04"), authorised_date=day("2019-01-05")),
        assessment("late", start_date=day("2019-01-07"), authorised_date=day("2019-01-08")),
    ]
    cases = derive(AssessmentDuration(), records(session, assessments=rows), session)
    assert by_child(cases, "follow_up_end") == {"last": END}
    assert dropped(cases) == {"follow-up complete": 1}


def test_the_quirk_of_2021_takes_authorised_assessments_only(session):
    rows = [
        assessment("done", 300),
        assessment("open", None),
        assessment("before", -1),
        assessment("future", 3000),
    ]
    given = records(session, assessments=rows)
    cases = derive(AssessmentDuration(), given, session, authorised_only=True)
    check_contract(cases)
    assert by_child(cases, "follow_up_end") == {"done": after(MONDAY, 300)}
    assert by_child(cases)["done"] > 200
    assert dropped(cases) == {"authorised": 1, "dates in order": 2}
    assert cases.completeness.values.tolist() == [["330", 2015, 4, 1]]
    (caution,) = cases.info.cautions
    assert "authorised in the data" in caution
    assert derive(AssessmentDuration(), given, session).info.cautions == ()


def test_the_preset_of_2021(session):
    preset = validate(AssessmentDurationSettings, {"definition": "wwcsc-2021"}, where="test")
    assert preset.authorised_only
    assert preset.outlier_iqr == 1.5
    assert preset.observed_days == 53
    last = after(END, -53)
    rows = [
        assessment("last", start_date=last, authorised_date=after(last, 1)),
        assessment("late", start_date=after(last, 1), authorised_date=after(last, 2)),
    ]
    given = records(session, assessments=rows)
    cases = derive(AssessmentDuration(), given, session, definition="wwcsc-2021")
    assert set(by_child(cases)) == {"last"}
    assert dropped(cases) == {"follow-up complete": 1}


def test_in_time_is_within_45_working_days(session):
    # From Friday 5 June 2015: nine weeks are 45 working days; the Sunday after is still in time.
    friday = day("2015-06-05")
    days = {"day-45": 63, "sunday": 65, "day-46": 66, "open": None, "same-day": 0, "before": -1}
    rows = [
        assessment(c, start_date=friday, authorised_date=None if n is None else after(friday, n))
        for c, n in days.items()
    ]
    given = records(session, assessments=rows)
    cases = derive(AssessmentWithin45Days(), given, session)
    check_contract(cases)
    assert by_child(cases) == {"day-45": 1, "sunday": 1, "day-46": 0, "open": 0, "same-day": 1}
    assert set(by_child(cases, "follow_up_end").values()) == {after(friday, 65)}
    assert dropped(cases) == {"dates in order": 1}
    stricter = derive(AssessmentWithin45Days(), given, session, working_days=0)
    assert by_child(stricter)["same-day"] == 1
    assert sum(by_child(stricter).values()) == 1


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
    everything = derive(AssessmentDuration(), given, session, authorised_only=True)
    values = everything.frame["value"].to_numpy()
    q1, q3 = np.percentile(values, [25, 75], method="linear")
    cases = derive(AssessmentDuration(), given, session, definition="wwcsc-2021")
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
        derive(AssessmentDuration(), given, session, authorised_only=True)
