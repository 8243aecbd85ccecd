"""Pilots, windows and samples: who counts as before, after, treated, compared."""

import datetime as dt

import pandas as pd
import pytest

from sos_plugins import Design, MatchedGroup, Pilot, UnitTask
from sos_plugins.errors import DataError, DesignError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.study import design as designs
from sos_plugins.study.file import DesignTable

PILOT = Pilot("1", dt.date(2015, 9, 1), dt.date(2016, 2, 29), 2015)


BLANK = UnitTask((), pd.DataFrame())


def cases(rows, unit="1"):
    frame = pd.DataFrame(rows, columns=["date", "follow_up_end"]).apply(pd.to_datetime)
    years = [designs.april_year(d) for d in frame["date"]]
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
    assert (sample["period"] - sample["event"]).groupby(sample["group"]).nunique().eq(1).all()


def test_the_calendar_sample_has_every_comparator_case_once_and_pilots_outside_their_window():
    frame = pd.concat([monthly(u) for u in "1289"], ignore_index=True)
    sample, warnings = designs.calendar_sample(frame, two_groups(), (), binary=True)
    sample = sample.frame
    assert len(sample[sample["unit"] == "9"]) == len(monthly("9"))
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
        ("unit,start,end\n1,2015-13-01,2015-01-01\n", "line 2: setting 'start'"),
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
        designs.read_pilots(DesignTable(pilots="none.csv"), tmp_path)


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
        designs.read_pilots(DesignTable(pilots="units.csv"), tmp_path)
    with pytest.raises(DataError, match=sentence):
        designs.read_characteristics(path)


def test_columns_of_pilots_without_a_name_are_told(tmp_path):
    (tmp_path / "pilots.csv").write_text("Table 1,,,\n1,One,2015,3\n")
    with pytest.raises(DesignError, match=r"leaves 3 of 4 columns without a name.*delete a title"):
        designs.read_pilots(DesignTable(pilots="pilots.csv"), tmp_path)


@pytest.mark.parametrize("cohort", [0, -3])
def test_a_first_treated_period_of_0_or_less_is_told_with_its_mend(tmp_path, cohort):
    mend = rf"is {cohort}, but a first treated period is above 0.*add a number to their periods and"
    (tmp_path / "pilots.csv").write_text(f"unit,cohort\n1,{cohort}\n")
    with pytest.raises(SettingsError, match=rf"pilots\.csv, line 2: setting 'cohort': {mend}"):
        designs.read_pilots(DesignTable(pilots="pilots.csv"), tmp_path)
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
