"""Codes of financial years are read as years, 0 is no never where it is a period."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sos_sources.sql.database import Database, DatabaseSettings
from sos_sources.tables.records import RecordsSettings, RecordTables
from sos_sources.tables.tidy import Tidy, TidySettings
from variants import examples

from sos_plugins import Sample, Session
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, SettingsError
from sos_plugins.host.registry import load_plugins
from sos_plugins.host.settings import validate
from sos_plugins.study.estimate import run_engine
from sos_plugins.study.file import DesignTable, PilotRow
from sos_plugins.tables.period_codes import are_years
from sos_plugins.tables.read_table import TidySample, read_sample

FORMS: dict[str, Callable[[int], str]] = {
    "201415": lambda y: f"{y}{(y + 1) % 100:02}",
    "2014/15": lambda y: f"{y}/{(y + 1) % 100:02}",
    "2014-15": lambda y: f"{y}-{(y + 1) % 100:02}",
    "2014_15": lambda y: f"{y}_{(y + 1) % 100:02}",
    "2014/2015": lambda y: f"{y}/{y + 1}",
    "20142015": lambda y: f"{y}{y + 1}",
}
COLUMNS = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}


def panel(first: int, n_years: int, adopted: dict[str, int | None]) -> pd.DataFrame:
    rows = [
        (area, year, first_treated, 1.0 + i + 0.3 * (year - first) ** 1.1 + 2.0 * treated)
        for i, (area, first_treated) in enumerate(adopted.items())
        for year in range(first, first + n_years)
        for treated in [first_treated is not None and year >= first_treated]
    ]
    return pd.DataFrame(rows, columns=["area", "year", "adopted", "score"])


def write(folder: Path, frame: pd.DataFrame, name: str = "data.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder / name


def coded(frame: pd.DataFrame, form: Callable[[int], str], never: str = "") -> pd.DataFrame:
    adopted = [never if pd.isna(a) else form(int(a)) for a in frame["adopted"]]
    return frame.assign(year=frame["year"].map(form), adopted=adopted)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1950, 2090),
    st.integers(3, 25),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(["", "0", "NA", "inf"]),
    st.data(),
)
def test_codes_of_years_give_the_sample_of_the_calendar(
    tmp_path: Path, first: int, n: int, form: str, never: str, data: st.DataObject
) -> None:
    adoption = st.none() | st.integers(first + 1, first + n - 1)
    frame = panel(first, n, {area: data.draw(adoption) for area in "ABCD"})
    calendar = read_sample(write(tmp_path, frame.astype({"adopted": "Int64"})), **COLUMNS)
    by_code = read_sample(write(tmp_path, coded(frame, FORMS[form], never), "codes.csv"), **COLUMNS)
    pd.testing.assert_frame_equal(by_code.sample.frame, calendar.sample.frame)
    assert any("codes of years" in note for note in by_code.notes)


def test_whole_numbers_of_parquet_are_read_alike(tmp_path: Path) -> None:
    frame = panel(2011, 6, {"A": 2014, "B": None, "C": None})
    codes = coded(frame, FORMS["201415"], "0").astype({"year": "int64", "adopted": "int64"})
    codes.to_parquet(tmp_path / "data.parquet")
    rows_read = read_sample(tmp_path / "data.parquet", **COLUMNS).sample.frame
    assert rows_read["period"].tolist() == frame["year"].tolist()
    assert rows_read["cohort"].tolist() == frame["adopted"].fillna(0).astype(int).tolist()


@pytest.mark.parametrize("estimator", ["callaway-santanna", "sun-abraham", "imputation", "stacked"])
def test_anticipation_acts_as_in_calendar_years(tmp_path: Path, estimator: str) -> None:
    frame = panel(2008, 8, {"A": 2012, "B": 2013, "C": None, "D": None, "E": None})
    frame.loc[(frame["year"] == frame["adopted"] - 1), "score"] += 1.0
    registry = load_plugins(None)
    options = registry.settings("estimator", estimator, {"anticipation": 1}, "test")

    def terms(sample: TidySample) -> pd.DataFrame:
        tidy = run_engine(registry, estimator, None, sample.sample, options).estimate.tidy
        return tidy[["term", "estimate"]]

    calendar = read_sample(write(tmp_path, frame.astype({"adopted": "Int64"})), **COLUMNS)
    codes = read_sample(write(tmp_path, coded(frame, FORMS["2014/15"]), "codes.csv"), **COLUMNS)
    pd.testing.assert_frame_equal(terms(codes), terms(calendar))


OTHERS = {
    "months": ([201004, 201012, 201101], "year with a month"),
    "quarters": ([20101, 20104, 20111], "year with a month, quarter"),
    "weeks": ([201452, 201501], "week"),
    "days": ([20140131, 20140201], "or day"),
    "days of years": ([2014365, 2015001], "or day"),
    "a typing error": ([201415, 201516, 201618], "201618 looks like"),
    "two forms": ([2013, 201415], "several forms, such as 2013 and 201415"),
    "no century": ([1314, 1415], "without its century"),
    "texts of months": (["2010-01", "2010-02"], "a financial year such as 2014/15"),
    "texts of quarters": (["2010Q1", "2010Q2"], "number quarters, months and days 1, 2, 3"),
    "texts of days": (["2010-01-31", "2010-02-28"], "number quarters, months and days 1, 2, 3"),
    "texts in two forms": (["2013", "2014/15"], r"found '2013' \(line 2\)"),
}


@pytest.mark.parametrize("periods,said", OTHERS.values(), ids=OTHERS)  # noqa: PT006
def test_other_codes_are_refused_with_the_mend(
    tmp_path: Path, periods: list[Any], said: str
) -> None:
    frame = pd.DataFrame({"area": "A", "year": periods, "adopted": "", "score": 1.0})
    with pytest.raises(DataError, match=rf"column 'year'.*{said}"):
        read_sample(write(tmp_path, frame), **COLUMNS)
    values = {"path": "data.csv", "unit": "area", "period": "year", "value": "score"}
    with pytest.raises(DataError, match=rf"column 'year'.*{said}"):
        Tidy().read(validate(TidySettings, values, where="test"), Session(base=tmp_path))


@pytest.mark.parametrize(
    "periods",
    [
        [2010, 2012, 2014],
        [201501, 201502, 201512],  # the months of one year
        [1, 2, 3],
        [-3, 0, 4],
        [1920, 2019],
        [19723, 19724, 19730],  # days since 1970
        [42005, 42370],
        [9999],
    ],
)
def test_numbers_that_are_distances_stay(periods: list[int]) -> None:
    assert not are_years(periods)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.integers(-50, 2300), min_size=1, max_size=30, unique=True))
def test_small_numbers_are_never_taken_for_years(periods: list[int]) -> None:
    try:
        assert not are_years(periods)
    except DataError:  # 1415, 1516: all of them look like two years in succession
        assert all((p // 100 + 1) % 100 == p % 100 for p in periods)
        assert len(periods) > 1


@pytest.mark.parametrize("adopted", ["2014", "2014/15", "201401"])
@pytest.mark.parametrize("form", ["2014", "201415", "2014-15"])
def test_first_treated_periods_in_another_form_are_refused(
    tmp_path: Path, form: str, adopted: str
) -> None:
    written = FORMS.get(form, str)
    frame = coded(panel(2012, 5, {"A": 2014, "B": None}), written)
    frame.loc[frame["area"] == "A", "adopted"] = adopted
    path = write(tmp_path, frame)
    if adopted == form or (adopted == "2014/15" and form != "2014"):
        assert set(read_sample(path, **COLUMNS).sample.frame["cohort"]) == {0, 2014}
        return
    with pytest.raises(DataError, match=r"column 'adopted'.*form"):
        read_sample(path, **COLUMNS)


# 0 and below.


def test_0_is_no_never_where_a_period_is_0_or_less(tmp_path: Path) -> None:
    frame = panel(-2, 5, {"A": 0, "B": 2, "C": None}).astype({"adopted": "Int64"})
    path = write(tmp_path, frame)
    with pytest.raises(DataError, match=r"0 cannot mean never .* period -2; leave .*'0' \(line 2"):
        read_sample(path, **COLUMNS)
    values = {"path": "data.csv", "unit": "area", "period": "year", "value": "score"}
    chosen = validate(TidySettings, {**values, "cohort": "adopted"}, where="test")
    with pytest.raises(DataError, match="0 cannot mean never"):
        Tidy().read(chosen, Session(base=tmp_path))
    below = write(tmp_path, frame.assign(adopted=frame["adopted"] - 1))
    with pytest.raises(DataError, match=r"a first treated period was expected.*add a number"):
        read_sample(below, **COLUMNS)


def test_0_is_no_never_in_a_database(tmp_path: Path) -> None:
    frame = panel(-2, 5, {"A": 0, "B": None}).rename(columns={"score": "value", "area": "unit"})
    named = frame.rename(columns={"year": "period", "adopted": "cohort"})
    con = duckdb.connect(str(tmp_path / "data.duckdb"))
    con.register("named", named)
    con.execute("CREATE TABLE cases AS SELECT * FROM named")
    con.close()
    values = {"url": "duckdb://data.duckdb", "tables": {"cases": "cases"}}
    with pytest.raises(DataError, match="0 cannot mean never"):
        Database().read(validate(DatabaseSettings, values, where="test"), Session(base=tmp_path))


@pytest.mark.parametrize(
    "estimator",
    ["did", "event-study", "callaway-santanna", "sun-abraham", "imputation", "two-stage",
     "extended-twfe", "stacked", "bacon"],
)  # fmt: skip
def test_periods_below_0_give_the_estimates_of_later_ones(tmp_path: Path, estimator: str) -> None:
    frame = panel(-3, 8, {"A": 1, "B": 2, "C": 2, "D": None, "E": None, "F": None})
    frame["score"] += np.sin(np.arange(len(frame)))
    frame = frame.astype({"adopted": "Int64"})
    later = frame.assign(year=frame["year"] + 2000, adopted=frame["adopted"] + 2000)
    registry = load_plugins(None)
    options = registry.settings("estimator", estimator, {}, "test")
    estimates = [
        run_engine(
            registry, estimator, None, read_sample(path, **COLUMNS, id="area").sample, options
        )
        for path in (write(tmp_path, frame), write(tmp_path, later, "later.csv"))
    ]
    below, above = (named.estimate.tidy["estimate"].to_numpy(float) for named in estimates)
    np.testing.assert_allclose(below, above, atol=1e-10)


def test_a_sample_in_which_0_is_a_cohort_of_the_treated_is_refused() -> None:
    frame = panel(-2, 5, {"A": 0, "B": None}).rename(columns={"year": "period", "score": "value"})
    treated = (frame["area"] == "A").astype(int)
    made = frame.assign(unit=frame["area"], cohort=0, weight=1.0, cluster=frame["area"])
    made = made.assign(treated=treated, post=treated * (frame["period"] >= 0))
    with pytest.raises(DataError, match="5 treated cases whose first treated period is 0 or less"):
        Sample(made)


# Settings and records.


def test_periods_of_a_study_are_read_as_those_of_its_records() -> None:
    row = validate(PilotRow, {"unit": "1", "cohort": "2014/15"}, where="test")
    assert row.cohort == validate(PilotRow, {"unit": "1", "cohort": 201415}, where="test").cohort
    assert row.cohort == 2014
    table = {"pilots": "pilots.csv", "first_period": 201011, "last_period": "2018/19"}
    design = validate(DesignTable, table, where="test")
    assert (design.first_period, design.last_period) == (2010, 2018)
    for wrong in (201404, 20141, 0, -1):
        with pytest.raises(SettingsError, match="cohort"):
            validate(PilotRow, {"unit": "1", "cohort": wrong}, where="test")


def test_years_of_record_tables_that_are_none_are_a_sentence(tmp_path: Path) -> None:
    for year in (201415, 99_999, 14):
        row = {"unit": "1", "unit_name": "A", "period": year, "measure": "m", "value": 1.0}
        rows = {name: [row.get(name)] for name in TABLES["published"].names}
        pq.write_table(pa.table(rows, schema=TABLES["published"]), tmp_path / "published.parquet")
        chosen = validate(RecordsSettings, {"folder": "."}, where="test")
        with pytest.raises(DataError, match=f"column 'period': {year} is no April-year"):
            RecordTables().read(chosen, Session(base=tmp_path))
