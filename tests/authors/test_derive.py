"""The helpers that outcomes share, against NumPy, the standard library and hand-made cases."""

from __future__ import annotations

import datetime as dt

import holidays
import ibis
import numpy as np
import pandas as pd
import pytest
from ibis import _
from outcome_helpers import END, after, day, records

from sos_plugins import Session
from sos_plugins.authors import derive
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.settings import validate


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def dates_table(session: Session, starts: list[dt.date], ends: list[dt.date]) -> ibis.Table:
    frame = pd.DataFrame({"n": range(len(starts)), "a": starts, "b": ends})
    return session.table(frame.astype({"a": "datetime64[s]", "b": "datetime64[s]"}))


def working(session: Session, starts: list[dt.date], ends: list[dt.date], **options: str) -> list:
    table = derive.add_working_days(
        dates_table(session, starts, ends), session, start="a", end="b", name="days", **options
    )
    return table.order_by("n").to_pandas()["days"].tolist()


def test_working_days_are_numpys_count_of_business_days(session):
    rng = np.random.default_rng(3)
    starts = [after(dt.date(2008, 1, 1), int(n)) for n in rng.integers(0, 6000, 500)]
    ends = [
        after(start, int(n)) for start, n in zip(starts, rng.integers(0, 200, 500), strict=True)
    ]
    free = list(holidays.UnitedKingdom(subdiv="ENG", years=range(2008, 2027)))
    expected = np.busday_count(
        [after(start, 1) for start in starts], [after(end, 1) for end in ends], holidays=free
    )
    assert working(session, starts, ends) == expected.tolist()


def test_working_days_by_hand(session):
    expected = {
        ("2015-06-01", "2015-06-01"): 0,  # the same Monday
        ("2015-06-01", "2015-06-02"): 1,
        ("2015-06-05", "2015-06-08"): 1,  # Friday to Monday
        ("2015-06-06", "2015-06-08"): 1,  # Saturday to Monday
        ("2015-06-05", "2015-06-06"): 0,  # Friday to Saturday
        ("2015-04-02", "2015-04-07"): 1,  # over Good Friday and Easter Monday
        ("2011-04-28", "2011-05-03"): 1,  # royal wedding, May Day
        ("2015-12-24", "2015-12-29"): 1,  # Boxing Day moved to Monday 28
        ("2022-09-16", "2022-09-20"): 1,  # the Queen's funeral
    }
    starts, ends = ([day(pair[side]) for pair in expected] for side in (0, 1))
    assert working(session, starts, ends) == list(expected.values())


def test_bank_holidays_differ_between_nations(session):
    st_andrews = (day("2015-11-29"), day("2015-11-30"))  # Sunday, Monday
    assert working(session, [st_andrews[0]], [st_andrews[1]]) == [1]
    assert working(session, [st_andrews[0]], [st_andrews[1]], nation="SCT") == [0]


def test_a_missing_or_absurd_date_has_no_working_days(session):
    starts = [dt.date(2015, 6, 1), dt.date(1066, 10, 14), None]
    ends = [None, dt.date(2015, 6, 1), None]
    assert pd.isna(working(session, starts, ends)).all()


def test_april_year_turns_on_the_first_of_april(session):
    dates = [day("2009-03-31"), day("2009-04-01"), day("2008-12-31"), day("2009-01-01")]
    table = dates_table(session, dates, dates).mutate(year=derive.april_year(_.a.cast("date")))
    assert table.order_by("n").to_pandas()["year"].tolist() == [2008, 2009, 2008, 2008]


def plain_age(birth: dt.date, date: dt.date) -> int:
    """Count birthdays one by one."""
    years = date.year - birth.year
    try:
        birthday = birth.replace(year=date.year)
    except ValueError:
        birthday = dt.date(date.year, 3, 1)
    return years if date >= birthday else years - 1


def test_completed_years_turn_on_the_birthday(session):
    rng = np.random.default_rng(5)
    births = [after(dt.date(2000, 1, 1), int(n)) for n in rng.integers(0, 4000, 400)]
    dates = [
        after(birth, int(n)) for birth, n in zip(births, rng.integers(-300, 7000, 400), strict=True)
    ]
    births += [day("2004-02-29")] * 3 + [day("2010-06-15")] * 3
    dates += [day("2005-02-28"), day("2005-03-01"), day("2008-02-29")]
    dates += [day("2010-06-14"), day("2010-06-15"), day("2027-06-15")]
    table = dates_table(session, births, dates)
    age = derive.completed_years(_.a.cast("date"), _.b.cast("date"))
    got = table.mutate(age=age).order_by("n").to_pandas()["age"].tolist()
    assert got == [plain_age(b, d) for b, d in zip(births, dates, strict=True)]
    assert got[-3:] == [-1, 0, 17]


def test_age_bands_have_the_cuts_of_the_original(session):
    ages = [-1, 0, 4, 5, 12, 13, 17, 18, None]
    table = session.table(pd.DataFrame({"n": range(9), "age": pd.array(ages, dtype="Int64")}))
    band = derive.age_band(_.age, (0, 4.5, 12.5, 18))
    bands = table.mutate(band=band).order_by("n").to_pandas()["band"].tolist()
    assert bands == [
        "unborn", "0 to 4", "0 to 4", "5 to 12", "5 to 12", "13 to 17", "13 to 17",
        "18 and over", "Missing",
    ]  # fmt: skip


def test_ethnic_groups_from_codes(session):
    expected = {
        "WBRI": "White", "WROM": "White", "MWBC": "Mixed", "MOTH": "Mixed", "AIND": "Asian",
        "BAFR": "Black", "BOTH": "Black", "CHNE": "Chinese", "OOTH": "Other", "wbri": "White",
        "REFU": "Refused or not obtained", "NOBT": "Refused or not obtained",
        "X1": "Missing", None: "Missing",
    }  # fmt: skip
    table = session.table(pd.DataFrame({"code": list(expected)}))
    frame = table.mutate(group=derive.ethnic_group(_.code)).to_pandas()
    assert [expected[c if isinstance(c, str) else None] for c in frame["code"]] == list(
        frame["group"]
    )


def test_near_a_holiday_counts_days_on_both_sides(session):
    flags = {-6: "no", -5: "yes", 0: "yes", 5: "yes", 6: "no"}
    for feast, named in [("2015-12-25", "Christmas Day"), ("2016-03-28", "Easter Monday")]:
        dates = [after(day(feast), shift) for shift in flags]
        table = derive.add_near_holiday(
            dates_table(session, dates, dates),
            session,
            date="a",
            name="near",
            named=[named],
            days=5,
        )
        assert table.order_by("n").to_pandas()["near"].tolist() == list(flags.values())


def test_near_a_holiday_looks_over_the_turn_of_the_year(session):
    dates = [day("2016-12-31")]
    table = derive.add_near_holiday(
        dates_table(session, dates, dates),
        session,
        date="a",
        name="near",
        named=["New Year's Day"],
        days=1,
    )
    assert table.to_pandas()["near"].tolist() == ["yes"]


def test_an_unknown_holiday_is_an_error_that_lists_the_known(session):
    dates = [day("2016-12-31")]
    with pytest.raises(DataError, match=r"'Xmas' is no bank holiday.*Christmas Day"):
        derive.add_near_holiday(
            dates_table(session, dates, dates),
            session,
            date="a",
            name="n",
            named=["Yule", "Xmas"],
            days=1,
        )


def events(session: Session, rows: list[tuple[str, str, str]]) -> ibis.Table:
    frame = pd.DataFrame(rows, columns=["unit", "child", "date"])
    frame["date"] = pd.to_datetime(frame["date"])
    table = session.table(frame)
    return table.mutate(date=table.date.cast("date"))


def found(table: ibis.Table) -> list[str | None]:
    dates = table.order_by("unit", "child", "date").to_pandas()["found"]
    return [None if pd.isna(d) else str(d)[:10] for d in dates]


def test_events_are_those_of_the_same_child_in_the_same_authority(session):
    cases = events(session, [("1", "a", "2015-01-01"), ("1", "b", "2015-01-01")])
    other = events(session, [("2", "a", "2015-01-02"), ("1", "b", "2015-01-03")])
    table = derive.event_in_window(cases, other, event="date", name="found")
    assert found(table) == [None, "2015-01-03"]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({}, "2015-01-01"),
        ({"from_day": 1}, "2015-01-02"),
        ({"from_day": 1, "last": True}, "2015-03-01"),
        ({"from_day": 2, "to_day": 30}, "2015-01-31"),
        ({"from_day": 2, "to_day": 29}, None),
        ({"from_day": None, "to_day": -1}, "2014-12-31"),
        ({"from_day": -1}, "2014-12-31"),
    ],
)
def test_the_window_of_an_event(session, window, expected):
    dates = ["2014-12-31", "2015-01-01", "2015-01-02", "2015-01-31", "2015-03-01"]
    happened = events(session, [("1", "a", d) for d in dates])
    cases = events(session, [("1", "a", "2015-01-01")])
    assert found(derive.event_in_window(cases, happened, event="date", name="found", **window)) == [
        expected
    ]


def test_many_events_do_not_multiply_cases(session):
    twice = events(session, [("1", "a", "2015-01-01")] * 2)
    table = derive.event_in_window(twice, twice, event="date", name="found")
    assert found(table) == ["2015-01-01", "2015-01-01"]


def test_the_latest_of_repeated_rows_is_number_zero(session):
    frame = pd.DataFrame(
        {"k": ["a", "a", "a", "b"], "year": [2015, 2016, None, None], "x": [1, 2, 3, 4]}
    )
    table = derive.number_repeats(session.table(frame), key=["k"], latest=["year"])
    assert sorted(table.filter(_["repeat"] == 0).to_pandas()["x"]) == [2, 4]
    assert sorted(table.to_pandas()["repeat"]) == [0, 0, 1, 2]


def test_a_child_recorded_twice_does_not_double_its_cases(session):
    children = [{"child": "a", "sex": "male"}, {"child": "a", "disabled": True}]
    given = records(session, referrals=[{"child": "a"}], children=children)
    table = derive.add_child(
        given.table("referrals").mutate(date=ibis.date("2015-01-01")),
        given,
        derive.ChildSettings(),
    )
    frame = table.to_pandas()
    assert len(frame) == 1
    assert frame[["sex", "disabled", "uasc", "age_band"]].iloc[0].tolist() == [
        "male", "yes", "Missing", "Missing",
    ]  # fmt: skip


def test_a_previous_plan_started_before_the_day(session):
    given = records(
        session,
        referrals=[{"child": c} for c in ("before", "same-day", "none", "elsewhere")],
        protection_plans=[
            {"child": "before", "start_date": day("2014-12-31")},
            {"child": "same-day", "start_date": day("2015-01-01")},
            {"child": "elsewhere", "start_date": day("2014-12-31"), "unit": "331"},
        ],
    )
    table = derive.add_child(
        given.table("referrals").mutate(date=ibis.date("2015-01-01")),
        given,
        derive.ChildSettings(),
    )
    frame = table.to_pandas().set_index("child")["previous_plan"]
    assert frame.to_dict() == {"before": "yes", "same-day": "no", "none": "no", "elsewhere": "no"}


def previous(session: Session, plans: list[dict], **settings: str) -> dict[str, str]:
    """Return previous_plan of children referred on 1 May 2015, by child, with these plans."""
    date = day("2015-05-01")
    asked = [{"child": c, "referral_date": date} for c in sorted({p["child"] for p in plans})]
    given = records(session, referrals=asked, protection_plans=plans)
    table = given.table("referrals").mutate(date=_.referral_date)
    chosen = validate(derive.ChildSettings, settings, where="test")
    frame = derive.add_child(table, given, chosen).to_pandas()
    assert len(frame) == len(asked)
    return dict(zip(frame["child"], frame["previous_plan"], strict=True))


def test_a_later_plan_that_counts_more_before_it_than_are_recorded_tells_of_a_previous_one(session):
    def plan(child: str, start: str, n: int | None) -> dict:
        return {"child": child, "start_date": day(start), "n_previous": n}

    plans = [
        plan("none before", "2015-06-01", 0),
        plan("one before", "2015-06-01", 1),
        plan("not said", "2015-06-01", None),
        plan("on the day", "2015-05-01", 1),
        # Both plans came after the referral: the second counts the first.
        plan("after", "2015-06-01", 0),
        plan("after", "2017-06-01", 1),
        # One of the two that the second counts is not in the records.
        plan("long ago", "2015-06-01", None),
        plan("long ago", "2017-06-01", 2),
        plan("recorded before", "2014-06-01", 0),
        # Two returns of one plan are one plan.
        plan("twice", "2015-06-01", 0),
        plan("twice", "2015-06-01", 0),
        plan("twice", "2016-06-01", 1),
    ]
    expected = {
        "none before": "no", "one before": "yes", "not said": "no", "on the day": "yes",
        "after": "no", "long ago": "yes", "recorded before": "yes", "twice": "no",
    }  # fmt: skip
    assert previous(session, plans) == expected
    assert previous(session, plans, plan_counts="before") == expected
    unused = dict.fromkeys(expected, "no") | {"recorded before": "yes"}
    assert previous(session, plans, plan_counts="unused") == unused
    assert previous(session, plans, plan_counts="itself") == unused


def test_ten_numbers_of_plans_without_a_0_count_the_plan_itself(session):
    def plans(n: int, unit: str, more: int) -> list[dict]:
        rows = [{"child": f"{unit} first {i}", "n_previous": 1} for i in range(n - 1)]
        rows.append({"child": f"{unit} other", "n_previous": more})
        return [{"unit": unit, "start_date": day("2015-06-01"), **row} for row in rows]

    def told(rows: list[dict]) -> set[str]:
        asked = [{"unit": r["unit"], "child": r["child"]} for r in rows]
        asked = [{**row, "referral_date": day("2015-05-01")} for row in asked]
        given = records(session, referrals=asked, protection_plans=rows)
        table = given.table("referrals").mutate(date=_.referral_date)
        frame = derive.add_child(table, given, derive.ChildSettings()).to_pandas()
        return set(frame.loc[frame["previous_plan"] == "yes", "child"])

    nine, ten, zero = plans(9, "1", 2), plans(10, "2", 2), plans(10, "3", 0)
    counts = told([*nine, *ten, *zero])
    assert counts == {
        *(r["child"] for r in nine),  # too few to tell: at their word
        "2 other",  # the first plans count themselves
        *(r["child"] for r in zero if r["n_previous"] == 1),
    }


@pytest.mark.parametrize("nation", ["ENG", "SCT"])
def test_the_limit_of_working_days_is_the_last_day_with_so_many(session, nation):
    starts = [after(day("2015-03-20"), n) for n in range(40)]
    free = holidays.UnitedKingdom(subdiv=nation, years=range(2014, 2017))
    for days in (0, 1, 45):
        table = dates_table(session, starts, starts)
        table = derive.add_working_day_limit(
            table, session, start="a", days=days, name="limit", nation=nation
        )
        limits = table.order_by("n").to_pandas()["limit"].dt.date
        for start, limit in zip(starts, limits, strict=True):
            counts = [
                np.busday_count(after(start, 1), after(end, 1), holidays=list(free))
                for end in (limit, after(limit, 1))
            ]
            assert counts == [days, days + 1]


def test_previous_plan_without_plans_is_left_out(session):
    given = records(session, referrals=[{"child": "a"}])
    table = given.table("referrals").mutate(date=ibis.date("2015-01-01"))
    assert "previous_plan" not in derive.add_child(table, given, derive.ChildSettings()).columns


def test_attrition_counts_every_step_and_null_drops():
    table = ibis.memtable({"n": [1, 2, 3, None, 5]})
    steps = derive.Attrition(table, "numbers", "all")
    steps.keep("odd", _.n % 2 == 1, "even or missing")
    steps.keep("small", _.n < 5, "large")
    frame = steps.frame()
    assert frame["n_before"].tolist() == [5, 5, 3]
    assert frame["n_dropped"].tolist() == [0, 2, 1]
    assert frame["n_after"].tolist() == [5, 3, 2]
    assert sorted(steps.table.to_pandas()["n"]) == [1, 3]


def test_completeness_counts_null_as_not_usable():
    table = ibis.memtable({"unit": ["b", "a", "a"], "period": [1, 1, 1], "ok": [True, None, True]})
    frame = derive.completeness(table, _.ok)
    assert frame.values.tolist() == [["a", 1, 2, 1], ["b", 1, 1, 1]]


def test_records_without_an_end_ask_for_one(session):
    given = records(session, end=None, referrals=[])
    with pytest.raises(DataError, match="Set 'data_end'"):
        derive.data_end(given, derive.ChildSettings())
    assert derive.data_end(given, derive.ChildSettings(data_end=END)) == END


@pytest.mark.parametrize("cuts", [[], [5, 5], [5, 0]])
def test_age_cuts_must_rise(cuts):
    with pytest.raises(SettingsError, match="each higher than the one before"):
        validate(derive.ChildSettings, {"age_cuts": cuts}, where="test")
