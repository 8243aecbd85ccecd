"""Pilots, windows and samples: who counts as before, after, treated, compared."""

import datetime as dt
from dataclasses import replace

import pandas as pd
import pytest

from sos_plugins import Design, MatchedGroup, Pilot, UnitTask
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.errors import DataError, DesignError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.study import design as designs
from sos_plugins.study.adoption import Adoption
from sos_plugins.study.authorities import read_authorities
from sos_plugins.study.file import DesignTable
from sos_plugins.study.pilots import read_pilots
from sos_plugins.tables.period_codes import april_year

PILOT = Pilot("1", dt.date(2015, 9, 1), dt.date(2016, 2, 29), 2015)


BLANK = UnitTask((), pd.DataFrame())


def cases(rows, unit="1"):
    frame = pd.DataFrame(rows, columns=["date", "follow_up_end"]).apply(pd.to_datetime)
    years = [april_year(d) for d in frame["date"]]
    return frame.assign(
        unit=unit, period=years, value=[float(i % 2) for i in range(len(frame))], child="c"
    )


@pytest.mark.parametrize(
    ("entered", "followed_up", "post", "event"),
    [
        ("2014-08-01", "2015-08-31", 0, -1),  # follow-up ends on the eve of the window: before
        ("2014-09-01", "2015-09-01", None, None),  # on its first day: within
        ("2015-10-01", "2016-10-01", None, None),
        ("2016-02-29", "2016-08-01", None, None),  # enters on its last day: within
        ("2016-03-01", "2016-08-01", 1, 0),  # the day after: after
        ("2017-02-28", "2017-08-01", 1, 0),  # 365 days after: the first year
        ("2017-03-01", "2017-08-01", 1, 0),  # 366 days after: 365 whole days are no year of 365.25
        ("2017-03-02", "2017-08-01", 1, 1),
        ("2013-08-01", "2014-09-01", 0, -1),  # 365 days before the window: the last year before
        ("2013-08-01", "2014-08-30", 0, -2),
    ],
)
def test_a_case_is_labelled_by_its_follow_up_and_its_entry(entered, followed_up, post, event):
    labelled = designs.label(cases([(entered, followed_up)]), PILOT)
    if post is None:
        assert labelled.empty
    else:
        assert labelled[["post", "event"]].iloc[0].tolist() == [post, event]


def test_without_a_window_event_time_counts_periods_from_the_cohort():
    frame = pd.DataFrame({"unit": "1", "period": [2012, 2013, 2014], "date": pd.NaT})
    labelled = designs.label(frame, Pilot("1", None, None, 2014))
    assert labelled["event"].tolist() == [-2, -1, 0]
    assert labelled["post"].tolist() == [0, 0, 1]


def two_groups():
    other = Pilot("2", dt.date(2017, 4, 1), dt.date(2017, 9, 30), 2017)
    groups = (MatchedGroup("1", ("8", "9")), MatchedGroup("2", ("9",)))
    return Design((PILOT, other), ("8", "9"), groups)


def monthly(unit):
    starts = pd.date_range("2012-04-01", "2019-03-01", freq="MS")
    rows = [(d, d + pd.Timedelta(days=30)) for d in starts]
    return cases(rows, unit)


def test_a_comparator_of_two_groups_stands_in_both_with_each_pilots_window():
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    sample = designs.stacked_sample(frame, two_groups(), (), binary=True).frame
    assert set(sample.loc[sample["unit"] == "9", "group"]) == {"1", "2"}
    assert set(sample.loc[sample["unit"] == "9", "cluster"]) == {"9"}
    assert sample.loc[sample["unit"] == "9", "treated"].sum() == 0
    in_first = sample[(sample["unit"] == "9") & (sample["group"] == "1")]
    pilot = sample[(sample["unit"] == "1")]
    assert in_first["period"].tolist() == pilot["period"].tolist()
    cohorts = sample["group"].map({"1": 2015, "2": 2017})
    assert (sample["period"] - sample["event"]).tolist() == cohorts.tolist()


def test_the_calendar_sample_has_every_comparator_case_once_and_pilots_outside_their_window():
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    sample, warnings = designs.calendar_sample(frame, two_groups(), (), binary=True)
    sample = sample.frame
    assert len(sample[sample["unit"] == "9"]) == len(monthly("9"))
    assert not sample.loc[sample["unit"].isin(["8", "9"]), ["post", "treated", "cohort"]].any(
        axis=None
    )
    pilot = sample[sample["unit"] == "1"]
    # Its window leaves March 2016 of April-year 2015 after it, and April to August before: one
    # month of twelve does not count, and neither do five.
    assert set(pilot["period"]) == {2012, 2013, 2014, 2016, 2017, 2018}
    assert (pilot["post"] == (pilot["period"] >= 2016)).all()
    # The other's window, April to September 2017, leaves six months of 2017: the least that counts.
    assert sample.groupby("unit")["cohort"].first().to_dict() == {
        "1": 2016,
        "2": 2017,
        "8": 0,
        "9": 0,
    }
    n_out = 1 + 5  # of pilot 1, March 2016 and April to August 2015
    assert warnings[0].startswith(f"The staggered sample leaves out {n_out} cases of pilots")


def test_a_gap_before_the_cohort_is_counted_in_periods():
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    sample, _ = designs.calendar_sample(frame, two_groups(), (), binary=True)
    assert designs.empty_periods(sample) == 1  # 2015, between 2014 and 2016


def test_features_are_means_before_the_first_window_of_any_pilot():
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    frame.loc[frame["follow_up_end"] >= "2015-09-01", "value"] = 100.0
    task, warnings = designs.unit_task(frame, two_groups(), (), None, BLANK)
    assert list(task.features.index) == ["1", "2", "8", "9"]
    assert task.features.max().drop("n_cases").max() <= 1.0
    assert not warnings


def test_an_authority_without_cases_in_a_pre_period_cannot_be_a_comparator():
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    frame = frame[~((frame["unit"] == "8") & (frame["period"] == 2013))]
    task, warnings = designs.unit_task(frame, two_groups(), (), None, BLANK)
    assert task.pool == ("9",)
    assert any("1 of 2 authorities of the pool" in w for w in warnings)
    assert "no case in some period" in task.left_out["8"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("code,start\n1,2015-01-01\n", "has no column 'unit'"),
        ("unit,start,end\n1,2015-01-01,\n", "line 2: pilot 1 has only one of start and end"),
        ("unit,start,end\n1,,\n", "line 2: pilot 1 has neither"),
        ("unit,start,end\n1,2016-01-01,2015-01-01\n", "the embedding window ends"),
        ("unit,start,end\n1,2015-13-01,2015-01-01\n", r"'2015-13-01' \(line 2, column 'start'\)"),
        ("unit,cohort\n1,2015\n1,2016\n", "names the pilots 1 more than once"),
        ("unit,cohort\n77,2015\n", "records have none of the pilots 77"),
    ],
)
def test_a_wrong_file_of_pilots_is_named_with_its_line(tmp_path, text, sentence):
    (tmp_path / "pilots.csv").write_text(text)
    table = DesignTable(pilots="pilots.csv")
    with pytest.raises((DesignError, SettingsError), match=sentence):
        designs.make_design(table, tmp_path, ["1", "2"], {})


def test_a_missing_file_of_pilots_is_a_sentence(tmp_path):
    with pytest.raises(DesignError, match="no file of pilots at"):
        read_pilots(DesignTable(pilots="none.csv"), tmp_path)


TITLED = {
    "padded with commas": ("Table 1,,,\nunit,name,cohort,x\n1,One,2015,3\n", 2),
    "an empty line below": ("Table 1\n\nunit,cohort,x\n1,2015,3\n", 3),
    "a title that says 'unit'": ("Pilots by unit and year\nunit;cohort;x\n1;2015;3\n", 2),
}


@pytest.mark.parametrize(("text", "line"), TITLED.values(), ids=TITLED)
def test_names_of_columns_under_a_title_are_told(tmp_path, text, line):
    path = tmp_path / "units.csv"
    path.write_text(text)
    sentence = rf"units\.csv: the names of the columns stand in line {line}; expected in the first"
    with pytest.raises(DesignError, match=sentence):
        read_pilots(DesignTable(pilots="units.csv"), tmp_path)
    with pytest.raises(DataError, match=sentence):
        read_authorities(path)


def test_columns_of_pilots_without_a_name_are_told(tmp_path):
    (tmp_path / "pilots.csv").write_text("Table 1,,,\n1,One,2015,3\n")
    with pytest.raises(DesignError, match=r"leaves 3 of 4 columns without a name.*delete a title"):
        read_pilots(DesignTable(pilots="pilots.csv"), tmp_path)


@pytest.mark.parametrize("cohort", [0, -3])
def test_a_first_treated_period_of_0_or_less_is_told_with_its_mend(tmp_path, cohort):
    mend = rf"is {cohort}, but a first treated period is above 0.*add a number to their periods and"
    (tmp_path / "pilots.csv").write_text(f"unit,cohort\n1,{cohort}\n")
    with pytest.raises(SettingsError, match=rf"pilots\.csv, line 2: setting 'cohort': {mend}"):
        read_pilots(DesignTable(pilots="pilots.csv"), tmp_path)
    values = {"pilots": [{"unit": "1", "cohort": cohort}]}
    with pytest.raises(SettingsError, match=mend):
        validate(DesignTable, values, where="[design]")


def test_an_unknown_authority_in_the_pool_is_named(tmp_path):
    table = DesignTable(pilots=({"unit": "1", "cohort": 2015},), exclude=("33",))
    with pytest.raises(DesignError, match="names the authority '33'"):
        designs.make_design(table, tmp_path, ["1", "32"], {})


def test_a_pilot_that_the_records_lack_is_a_warning(tmp_path):
    table = DesignTable(pilots=({"unit": "1", "cohort": 2015}, {"unit": "5", "cohort": 2015}))
    design, warnings = designs.make_design(table, tmp_path, ["1", "2"], {"1": "One"})
    assert [p.unit for p in design.pilots] == ["1"]
    assert design.pilots[0].name == "One"
    assert warnings == ("Pilot 5 is not in the records and is left out of every outcome.",)


def made(tmp_path, units, adoption=designs.NOTHING_SAID, **table):
    table.setdefault("pilots", ({"unit": "1", "cohort": 2015},))
    return designs.make_design(DesignTable(**table), tmp_path, units, {}, adoption)


@pytest.mark.parametrize(
    ("n", "told"),
    [(12, "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21."), (13, "20, 21 and 1 more.")],
)
def test_of_the_authorities_of_the_records_twelve_are_named(tmp_path, n, told):
    units = [str(10 + k) for k in range(n)]
    with pytest.raises(DesignError) as raised:
        made(tmp_path, units)
    assert told in str(raised.value)
    assert ("more" in str(raised.value)) == (n == 13)


def test_a_code_that_lost_its_zeros_is_pointed_to(tmp_path):
    pilots = ({"unit": "1", "cohort": 2015}, {"unit": "007", "cohort": 2015})
    _, (warning,) = made(tmp_path, ["1", "2", "7", "70", "0007"], pilots=pilots)
    assert warning == (
        "Pilot 007 is not in the records and is left out of every outcome. The records have "
        "'0007': the codes differ in leading zeros."
    )


def test_what_is_in_no_pool_is_no_comparator(tmp_path):
    """Of 1 to 5: 1 is the pilot, 3 is excluded, 4 is treated in the data, 5 after them."""
    adoption = Adoption({"1": 2015, "4": 2016, "5": 2019}, 2020)
    units = ["1", "2", "3", "4", "5"]
    design, warnings = made(tmp_path, units, adoption, exclude=("3",), last_period=2018)
    assert design.pool == ("2", "5")
    assert design.adopted == {"4": 2016}
    assert warnings == (
        "1 authority is treated according to the records and no pilot of the design, so no "
        "comparator either: 4 (from 2016).",
    )
    named, _ = made(tmp_path, units, adoption, pool=("2", "3"), last_period=2018)
    assert named.pool == ("2", "3")
    assert named.adopted == {}
    with pytest.raises(
        DesignError, match=r"pool names authorities .* are treated: 4 \(from 2016\)"
    ):
        made(tmp_path, units, adoption, pool=("2", "4"))
    with pytest.raises(DesignError, match=r"No authority is left .* treated: 4 \(from 2016\)\.$"):
        made(tmp_path, units, adoption, exclude=("2", "3", "5"))
    with pytest.raises(DesignError, match=r"No authority is left .* \[design\] pool\.$"):
        made(tmp_path, ["1", "2"], exclude=("2",))


def test_authorities_treated_are_counted_and_another_first_period_is_told(tmp_path):
    adoption = Adoption({"1": 2014, "3": 2016, "4": 2017}, 2018)
    _, warnings = made(tmp_path, ["1", "2", "3", "4"], adoption)
    assert warnings == (
        "2 authorities are treated according to the records and no pilot of the design, so no "
        "comparator either: 3 (from 2016), 4 (from 2017).",
        "Pilot 1 is treated from 2015 according to the design and from 2014 according to the "
        "records; the design is followed.",
    )


def test_a_pilot_in_the_pool_is_refused(tmp_path):
    with pytest.raises(DesignError, match="1 is a pilot and stands in pool or exclude too"):
        made(tmp_path, ["1", "2"], pool=("1", "2"))


@pytest.mark.parametrize(
    ("table", "years"),
    [
        ({}, [2012, 2013, 2014]),
        ({"first_period": 2013}, [2013, 2014]),
        ({"last_period": 2013}, [2012, 2013]),
        ({"first_period": 2013, "last_period": 2013}, [2013]),
    ],
)
def test_cases_are_narrowed_to_dates_and_periods_step_by_step(table, years):
    """Six cases: two a year; of 2012 one has no date, of 2014 one has no end of follow-up."""
    rows = [(f"{y}-06-01", f"{y}-09-01") for y in (2012, 2012, 2013, 2013, 2014, 2014)]
    frame = cases(rows)
    frame.loc[0, "date"] = frame.loc[5, "follow_up_end"] = pd.NaT
    design = DesignTable(pilots=({"unit": "1", "cohort": 2013},), **table)
    counted = designs.count_cases(frame, pd.DataFrame(columns=["step"]), design)
    assert sorted(set(counted.frame["period"])) == years
    assert counted.steps.index.tolist() == list(range(len(counted.steps)))
    steps = counted.steps.set_index("step")[["n_before", "n_dropped", "n_after"]]
    assert steps.loc["dated"].tolist() == [6, 2, 4]
    n = len(counted.frame)
    assert n == sum({2012: 1, 2013: 2, 2014: 1}[y] for y in years)
    assert ("in the periods of the design" in steps.index) == bool(table)
    if table:
        assert steps.loc["in the periods of the design"].tolist() == [4, 4 - n, n]


def test_cases_of_which_none_has_a_date_are_kept():
    frame = cases([("2012-06-01", "2012-09-01")] * 3).assign(date=pd.NaT, follow_up_end=pd.NaT)
    design = DesignTable(pilots=({"unit": "1", "cohort": 2013},))
    counted = designs.count_cases(frame, pd.DataFrame(columns=["step"]), design)
    assert (len(counted.frame), len(counted.steps)) == (3, 0)


@pytest.mark.parametrize("column", ["date", "follow_up_end"])
def test_where_one_of_the_two_dates_is_known_the_other_is_asked_for(column):
    frame = cases([("2012-06-01", "2012-09-01")] * 3).assign(**{column: pd.NaT})
    design = DesignTable(pilots=({"unit": "1", "cohort": 2013},))
    counted = designs.count_cases(frame, pd.DataFrame(columns=["step"]), design)
    assert counted.steps["n_dropped"].tolist() == [3]
    other = {"date": "follow_up_end", "follow_up_end": "date"}[column]
    frame.loc[1, other] = pd.NaT
    counted = designs.count_cases(frame, pd.DataFrame(columns=["step"]), design)
    assert counted.steps["n_dropped"].tolist() == [3]


def authorities(tmp_path, text):
    path = tmp_path / "authorities.csv"
    path.write_text(text)
    return read_authorities(path).before(9999)


def test_the_numbers_of_the_authorities_file_are_characteristics(tmp_path):
    table = authorities(tmp_path, "unit,people,region,share\n01,10,North,0.5\n\n2,,South,1\n")
    assert table.index.tolist() == ["01", "2"]
    assert list(table.columns) == ["people", "share"]
    assert table["share"].tolist() == [0.5, 1.0]
    assert table["people"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        # More than half are numbers written with signs: three of four, but not two of four.
        (("1,000", "£20", "30%", "none"), "column 'people': 4 values are not plain"),
        (("1,000", "£20", "many", "none"), ""),
        (("1", "2", "3,000", ""), "1 values are not plain numbers, such as '3,000'"),
    ],
)
def test_numbers_that_are_not_plain_are_refused(tmp_path, cells, sentence):
    text = "unit,people\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells))
    if not sentence:
        assert list(authorities(tmp_path, text).columns) == []
        return
    with pytest.raises(DataError, match=sentence):
        authorities(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("code,people\n1,2\n", "has no column 'unit'. Its columns: code, people"),
        ("unit,people\n1,2\n1,3\n2,4\n", "more than one row for the authorities 1"),
        ("unit,people\n1,2\n,3\n", "column 'unit': no cell may be empty; .*line 3"),
    ],
)
def test_a_wrong_file_of_authorities_is_named(tmp_path, text, sentence):
    with pytest.raises(DataError, match=sentence):
        authorities(tmp_path, text)
    with pytest.raises(DataError, match="There is no file of authorities at"):
        read_authorities(tmp_path / "none.csv")


def four(**changes):
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    return frame.assign(**changes)


def test_features_are_shares_of_levels_means_of_numbers_and_cases_a_year():
    """The 36 months of the three years before the first cohort, 2015; the value is 0, 1 in turn.

    The four rows of sex and size come nine times in them.
    """
    frame = four(sex=["f", "m", "m", "m"] * 84, size=[1.0, 2.0, 3.0, 6.0] * 84)
    task, warnings = designs.unit_task(frame, two_groups(), ("sex", "size"), None, BLANK)
    assert not warnings
    one = task.features.loc["1"]
    assert one["n_cases"] == 12.0
    assert one["sex=f"] == pytest.approx(0.25)
    assert one["sex=m"] == pytest.approx(0.75)
    assert one["size"] == pytest.approx(3.0)
    assert one["outcome_pre_2012"] == one["outcome_pre_mean"] == pytest.approx(0.5)
    assert [c for c in task.features if c.startswith("outcome_pre_2")] == [
        "outcome_pre_2012", "outcome_pre_2013", "outcome_pre_2014",
    ]  # fmt: skip


def test_who_lacks_a_characteristic_is_left_out_and_a_pilot_that_lacks_one_costs_it():
    known = pd.DataFrame(
        {"people": [1.0, 2.0, 3.0, None], "homes": [None, 1.0, 1.0, 1.0]}, index=list("1289")
    )
    task, warnings = designs.unit_task(four(), two_groups(), (), known, BLANK)
    assert "x_people" in task.features
    assert "x_homes" not in task.features
    assert task.pool == ("8",)
    assert task.left_out == {"9": "no people in the authorities' file"}
    assert warnings == (
        "Features that a pilot lacks are not matched on: x_homes.",
        "1 of 2 authorities of the pool cannot be comparators: no people in the authorities' file.",
    )


def test_a_pilot_without_cases_before_its_window_is_left_out_and_the_pool_may_not_be_empty():
    frame = four()
    late = frame[(frame["unit"] != "2") | (frame["period"] >= 2017)]
    task, warnings = designs.unit_task(late, two_groups(), (), None, BLANK)
    assert [p.unit for p in task.pilots] == ["1"]
    assert task.features.index.tolist() == ["1", "8", "9"]
    assert warnings == ("Pilot 2  has no case before its embedding window and is left out.",)
    after = frame[frame["period"] >= 2018]
    with pytest.raises(DesignError, match="No pilot has a case before its embedding window"):
        designs.unit_task(after, two_groups(), (), None, BLANK)
    alone = frame[frame["unit"].isin(["1", "2"])]
    with pytest.raises(DesignError, match=r"No authority of the pool can .* 2 of 2 authorities"):
        designs.unit_task(alone, two_groups(), (), None, BLANK)


def test_a_pilot_whose_cases_all_follow_the_first_window_cannot_be_matched():
    """Pilot 2 has cases of 2016 alone: before its own window, not before that of pilot 1."""
    frame = four()
    frame = frame[(frame["unit"] != "2") | (frame["period"] == 2016)]
    task, warnings = designs.unit_task(frame, two_groups(), (), None, BLANK)
    assert [p.unit for p in task.pilots] == ["1"]
    assert warnings == (
        "Pilot 2  has no case before the first embedding window and cannot be matched.",
    )


def test_without_windows_what_precedes_the_first_cohort_is_matched_on():
    pilots = (Pilot("1", None, None, 2016), Pilot("2", None, None, 2014))
    design = Design(pilots, ("8", "9"), two_groups().groups)
    task, _ = designs.unit_task(four(), design, (), None, BLANK)
    assert [c for c in task.features if c.startswith("outcome_pre_2")] == [
        "outcome_pre_2012", "outcome_pre_2013",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "label"),
    [("n_cases", "covariate n_cases"), ("x_people", "covariate x_people"), ("age", "age")],
)
def test_a_covariate_of_the_name_of_a_feature_is_renamed(name, label):
    frame = four(**{name: [1.0, 3.0] * 168})
    task, warnings = designs.unit_task(frame, two_groups(), (name,), None, BLANK)
    assert task.features.loc["8", label] == pytest.approx(2.0)
    assert bool(warnings) == (name != label)


def test_a_sample_carries_weights_clusters_and_children_where_they_are_known():
    plain = designs.stacked_sample(four(), two_groups(), (), binary=True)
    assert set(plain.frame["weight"]) == {1.0}
    assert (plain.frame["cluster"] == plain.frame["unit"]).all()
    assert plain.window_gap
    assert list(plain.frame) == [
        "unit", "period", "cohort", "value", "weight", "cluster", "treated", "post",
        "group", "case", "event", "calendar_period", "date", "child",
    ]  # fmt: skip
    calendar, _ = designs.calendar_sample(four(), two_groups(), (), binary=True)
    assert calendar.window_gap
    frame = four(weight=2.5, cluster="c")
    frame.loc[0, "child"] = None
    given = designs.stacked_sample(frame, two_groups(), (), binary=True).frame
    assert set(given["weight"]) == {2.5}
    assert set(given["cluster"]) == {"c"}
    assert "child" not in given
    assert given.loc[given["unit"] == "9", "cohort"].eq(0).all()
    assert given.loc[given["unit"] == "2", "cohort"].eq(2017).all()
    nothing = replace(two_groups(), groups=())
    with pytest.raises(DesignError, match="There are no matched groups"):
        designs.stacked_sample(four(), nothing, (), binary=True)
    with pytest.raises(DesignError, match="No case lies before or after an embedding window"):
        designs.stacked_sample(four().iloc[:0], two_groups(), (), binary=True)


def split_year(start, end, more=(), last="2018-03-01"):
    """A pilot with a case on the first of each month and no follow-up, and a window in 2015."""
    days = [*pd.date_range("2013-04-01", last, freq="MS"), *pd.to_datetime(list(more))]
    pilot = Pilot("1", dt.date.fromisoformat(start), dt.date.fromisoformat(end), 2015)
    design = Design((pilot,), ("8",), (MatchedGroup("1", ("8",)),))
    frame = pd.concat([cases([(d, d) for d in days], u) for u in "18"], ignore_index=True)
    sample, warnings = designs.calendar_sample(frame, design, (), binary=True)
    own = sample.frame[sample.frame["unit"] == "1"]
    (cohort,) = set(own["cohort"])
    in_2015 = own.loc[own["period"] == 2015, "post"].tolist()
    return cohort, in_2015, designs.empty_periods(sample), warnings


@pytest.mark.parametrize(
    ("start", "end", "more", "cohort", "post", "gap", "left_out"),
    [
        # Six months before and six after: the year is before.
        ("2015-09-15", "2015-09-20", (), 2016, [0] * 6, 0, 6),
        # One more after: the year is after.
        ("2015-09-15", "2015-09-20", ("2015-12-24",), 2015, [1] * 7, 0, 6),
        # Five before are fewer than half of twelve, seven after are not.
        ("2015-08-15", "2015-08-20", (), 2015, [1] * 7, 0, 5),
        # Five before and, after the months of the window, five after: neither counts.
        ("2015-08-15", "2015-10-20", (), 2016, [], 1, 10),
    ],
)
def test_a_year_that_a_window_parts_counts_once_on_the_side_that_has_most_of_it(
    start, end, more, cohort, post, gap, left_out
):
    split = split_year(start, end, more)
    assert split[:3] == (cohort, post, gap)
    assert split[3][0].startswith(f"The staggered sample leaves out {left_out} cases of pilots")


def test_of_a_pilot_without_cases_after_its_window_the_year_of_its_cohort_is_not_before():
    """The data end in September 2015: six months of the cohort's own year are left out."""
    cohort, in_2015, gap, (warning,) = split_year("2015-09-15", "2015-09-20", last="2015-09-01")
    assert (cohort, in_2015, gap) == (2015, [], 0)
    assert warning.startswith("The staggered sample leaves out 6 cases of pilots")


def test_a_window_between_two_years_leaves_nothing_out():
    split = split_year("2015-03-15", "2015-03-20")
    assert split == (2015, [1] * 12, 0, ())


def with_covariates():
    frame = four(sex="f", size=[1.0, None] * 168, area=["N", "S"] * 168, code=7)
    info = OutcomeInfo("tidy-value", "Value", "the value", "Does it?", False, "units")
    nothing = pd.DataFrame()
    names = ("sex", "size", "area", "code")
    return CollectedCases(frame, info, names, nothing, nothing, {})


@pytest.mark.parametrize(
    ("choice", "kept", "gone"),
    [
        ("none", (), ""),
        ("all", ("size", "area"), "code, sex"),
        (("area", "sex"), ("area",), "sex"),
        (("area",), ("area",), ""),
    ],
)
def test_covariates_that_vary_are_adjusted_for_and_a_gap_is_a_value(choice, kept, gone):
    prepared = with_covariates()
    assert designs.chosen_covariates(prepared, choice, prepared.frame) == kept
    told = f"Covariates that are the same in all cases are not adjusted for: {gone}."
    assert designs.constant_covariates(prepared, choice, prepared.frame) == (
        (told,) if gone else ()
    )


def test_a_covariate_that_the_cases_do_not_have_is_named():
    prepared = with_covariates()
    with pytest.raises(DataError, match=r"no covariate 'seks'\. Covariates: area, code, sex, size"):
        designs.chosen_covariates(prepared, ("seks",), prepared.frame)


def test_a_comparator_without_cases_adds_none_to_its_group():
    frame = four()
    sample = designs.stacked_sample(
        frame[frame["unit"] != "8"], two_groups(), (), binary=True
    ).frame
    whole = designs.stacked_sample(frame, two_groups(), (), binary=True).frame
    assert set(sample["unit"]) == {"1", "2", "9"}
    assert len(sample) == len(whole[whole["unit"] != "8"])


def test_pilots_with_windows_are_before_and_after_by_period_where_no_case_has_a_date():
    frame = pd.DataFrame({"unit": "1", "period": [2013, 2014, 2015, 2016], "date": pd.NaT})
    frame["follow_up_end"] = pd.NaT
    labelled = designs.label(frame, PILOT)
    assert labelled["event"].tolist() == [-2, -1, 0, 1]
    assert labelled["post"].tolist() == [0, 0, 1, 1]


def test_a_pilot_without_a_window_keeps_its_years_with_few_cases():
    """Two cases of 2014 are far fewer than half of the usual twelve, and no window took them."""
    pilot = Pilot("1", None, None, 2015)
    design = Design((pilot,), ("8",), (MatchedGroup("1", ("8",)),))
    frame = four()
    own = frame[(frame["unit"] == "1") & (frame["period"] == 2014)]
    sample, warnings = designs.calendar_sample(frame.drop(own.index[2:]), design, (), binary=True)
    assert warnings == ()
    of_pilot = sample.frame[sample.frame["unit"] == "1"]
    assert (of_pilot["period"] == 2014).sum() == 2
    assert designs.empty_periods(sample) == 0


def test_rows_that_stand_for_many_cases_weigh_as_many_in_features():
    """One case and three in turn: the values, and the numbers, of a row are means of its cases."""
    frame = four(size=[1.0, 2.0, 3.0, 6.0] * 84, sex=["f", "m", "m", "m"] * 84)
    n = pd.Series([1, 3] * 168)
    rows = frame.assign(n_cases=n, weight_squares=n, value_sums=n * frame["value"])
    rows = rows.rename(
        columns=dict(zip(("n_cases", "weight_squares", "value_sums"), COMPRESSED, strict=True))
    )
    task, _ = designs.unit_task(rows, two_groups(), ("size", "sex"), None, BLANK)
    one = task.features.loc["1"]
    assert one["n_cases"] == 24.0  # 12 rows a year, of 1 and of 3 cases in turn
    assert one["outcome_pre_2012"] == one["outcome_pre_mean"] == pytest.approx(3 / 4)
    assert one["size"] == pytest.approx((1 + 3 * 2 + 3 + 3 * 6) / 8)
    assert one["sex=f"] == pytest.approx(1 / 8)


def test_a_row_of_the_list_of_pilots_is_named_by_its_number(tmp_path):
    pilots = ({"unit": "1", "cohort": 2015}, {"unit": "2"})
    with pytest.raises(DesignError, match=r"pilots 2: pilot 2 has neither"):
        made(tmp_path, ["1", "2", "3"], pilots=pilots)


def test_the_table_of_groups_goes_by_group_pilot_first_and_counts_each_authority_there():
    """The two groups share 9; month n from April 2012, n = 0, has the value 1 where n is odd.

    Before the window of pilot 1 are n = 0 to 40 (August 2015), with 20 odd ones; after it n = 47 to
    83 (March 2016 to March 2019), with 19.
    """
    sample = designs.stacked_sample(four(weight=2.0), two_groups(), (), binary=True)
    table = designs.group_table(sample)
    assert list(zip(table["group"], table["role"], table["unit"], strict=True)) == [
        ("1", "pilot", "1"), ("1", "comparator", "8"), ("1", "comparator", "9"),
        ("2", "pilot", "2"), ("2", "comparator", "9"),
    ]  # fmt: skip
    first = table.set_index(["group", "unit"]).loc[("1", "9")]
    assert (first["n_pre"], first["n_post"]) == (41, 37)
    assert (first["mean_pre"], first["mean_post"]) == pytest.approx((20 / 41, 19 / 37))


def test_a_pilot_of_one_case_has_a_gap_too():
    frame = four()
    early = frame[(frame["unit"] != "1") | (frame["date"] == "2013-06-01")]
    sample, _ = designs.calendar_sample(early, two_groups(), (), binary=True)
    assert (sample.frame["unit"] == "1").sum() == 1
    assert designs.empty_periods(sample) == 1  # 2014, between 2013 and the cohort 2015
