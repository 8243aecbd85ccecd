"""Tidy tables as records and as samples: types kept, every mistake a sentence with its line."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from sos_sources.tables.tidy import Tidy, TidySettings
from source_helpers import Changes, changes, damaged
from variants import examples

from sos_plugins import Records, Session
from sos_plugins.errors import DataError, SosError
from sos_plugins.host.settings import validate
from sos_plugins.tables.csv_text import read_text
from sos_plugins.tables.read_table import TidySample, read_sample

PANEL = """la,year,first,y,pop,kind
006,2012,2015,1.5,10,town
006,2015,2015,2.5,11,town
330,2012,0,1,20,county
330,2015,0,0.5,21,county
"""


def write(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def sample(path: Path, **values: Any) -> TidySample:
    chosen = {"unit": "la", "period": "year", "cohort": "first", "value": "y", **values}
    return read_sample(path, **chosen)


def read(folder: Path, name: str = "data.csv", **values: Any) -> Records:
    chosen = {"path": name, "unit": "la", "period": "year", "value": "y", **values}
    return Tidy().read(validate(TidySettings, chosen, where="test"), Session(base=folder))


def cases(records: Records) -> pa.Table:
    return records.tables["cases"].to_pyarrow()


# Samples.


def test_a_panel(tmp_path: Path) -> None:
    tidy = sample(write(tmp_path, PANEL), id="la", covariates=["pop", "kind"])
    expected = pd.DataFrame(
        {
            "unit": ["006", "006", "330", "330"],
            "period": [2012, 2015, 2012, 2015],
            "cohort": [2015, 2015, 0, 0],
            "value": [1.5, 2.5, 1.0, 0.5],
            "weight": [1.0] * 4,
            "cluster": ["006", "006", "330", "330"],
            "id": ["006", "006", "330", "330"],
            "pop": [10.0, 11.0, 20.0, 21.0],
            "kind": ["town", "town", "county", "county"],
            "treated": [1, 1, 0, 0],
            "post": [0, 1, 0, 1],
        }
    )
    pd.testing.assert_frame_equal(tidy.sample.frame, expected, check_dtype=False)
    assert tidy.sample.covariates == ("pop", "kind")
    assert (tidy.sample.binary, tidy.sample.is_panel, tidy.notes) == (False, True, ())


def test_mpdta_row_by_row(from_r: Path) -> None:
    path = from_r / "mpdta.csv"
    frame = read_sample(
        path,
        unit="countyreal",
        period="year",
        cohort="first.treat",
        value="lemp",
        id="countyreal",
        covariates=["lpop"],
    ).sample.frame
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert frame["unit"].tolist() == [r["countyreal"] for r in rows]
    assert frame["value"].tolist() == [float(r["lemp"]) for r in rows]
    assert frame["cohort"].tolist() == [int(r["first.treat"]) for r in rows]
    assert frame["lpop"].tolist() == [float(r["lpop"]) for r in rows]
    assert frame["treated"].tolist() == [int(r["treat"]) for r in rows]
    treated = frame[frame["treated"] == 1]
    assert (treated["post"] == (treated["period"] >= treated["cohort"])).all()
    assert frame.loc[frame["treated"] == 0, "post"].sum() == 0  # three adoption periods


@pytest.mark.parametrize("never", ["0", "", "NaN", "inf", "Inf", "0.0", "NA"])
def test_every_spelling_of_never_treated(tmp_path: Path, never: str) -> None:
    frame = sample(write(tmp_path, PANEL.replace(",0,", f",{never},"))).sample.frame
    assert frame["cohort"].tolist() == [2015, 2015, 0, 0]
    assert frame["post"].tolist() == [0, 1, 0, 1]


def test_parquet_gives_the_same_sample(tmp_path: Path) -> None:
    text = sample(write(tmp_path, PANEL.replace("006", "600")), covariates=["kind"]).sample
    frame = pd.DataFrame(
        {
            "la": [600, 600, 330, 330],
            "year": [2012.0, 2015.0, 2012.0, 2015.0],
            "first": [2015.0, 2015.0, None, np.inf],
            "y": [1.5, 2.5, 1.0, 0.5],
            "kind": pd.Categorical(["town", "town", "county", "county"]),
        }
    )
    frame.to_parquet(tmp_path / "data.parquet")
    parquet = sample(tmp_path / "data.parquet", covariates=["kind"]).sample
    pd.testing.assert_frame_equal(parquet.frame, text.frame, check_dtype=False)


def test_rows_without_a_value_or_covariate_are_left_out_and_said(tmp_path: Path) -> None:
    text = PANEL.replace("1.5", "NA").replace(",21,", ",,").replace("2.5,11", "2.5,")
    tidy = sample(write(tmp_path, text), covariates=["pop", "kind"])
    assert tidy.sample.frame["unit"].tolist() == ["330"]
    assert tidy.notes == (
        "data.csv, column 'y': 1 cell 'NA' was read as missing.",
        "1 row without 'y' left out.",
        "2 rows without 'pop' left out.",
    )
    assert tidy.sample.notes == tidy.notes
    with pytest.raises(DataError, match="no row has a value"):
        sample(write(tmp_path, "la,year,first,y\n1,2012,0,\n"))


def test_binary_values_weights_and_clusters(tmp_path: Path) -> None:
    text = "la,year,first,y,w,c\n1,2012,0,1,2,a\n2,2012,2012,0,0.5,b\n"
    tidy = sample(write(tmp_path, text), weights="w", cluster="c").sample
    assert tidy.binary
    assert tidy.frame["weight"].tolist() == [2.0, 0.5]
    assert tidy.frame["cluster"].tolist() == ["a", "b"]
    assert "id" not in tidy.frame


MISTAKES = [
    (
        PANEL,
        {"value": "yy"},
        r"has no column 'yy'\. Did you mean 'y'\? Columns: la, year, first, y",
    ),
    (PANEL.replace("2.5", "two"), {}, r"column 'y': a number was expected; found 'two' \(line 3\)"),
    (PANEL.replace("2.5", "inf"), {}, r"column 'y': a finite number was expected; .*line 3"),
    (
        PANEL.replace("330,2015", "330,2015.5"),
        {},
        r"column 'year': a whole number .*'2015.5' \(line 5\)",
    ),
    (PANEL.replace("330,2015", "330,1e300"), {}, r"column 'year': a whole number was expected"),
    (PANEL.replace("330,2015", "330,"), {}, r"column 'year': no cell may be empty; .*line 5"),
    (PANEL.replace("330,2015", ",2015"), {}, r"column 'la': no cell may be empty; .*line 5"),
    (PANEL.replace("006,2015,2015", "006,2015,2014.5"), {}, r"column 'first': a whole number"),
    (
        PANEL.replace(",0,", ",-1,"),
        {},
        r"column 'first': a first treated period was expected, or 0",
    ),
    (
        PANEL.replace("006,2015,2015", "006,2015,2014"),
        {},
        r"la '006' has the first treated periods 2014, 2015 \(1 such units\)",
    ),
    (
        PANEL.replace("330,2015", "330,2012"),
        {"id": "la"},
        r"la '330' stands 2 times in year 2012 \(line 4, line 5\)",
    ),
    (
        PANEL.replace(",20,", ",-20,"),
        {"weights": "pop"},
        r"column 'pop': a weight of 0 or more .*line 4",
    ),
    (PANEL, {"weights": "first"}, None),
    (
        PANEL.replace("2015,2.5", "2015,2.5,9"),
        {},
        r"line 3: 7 fields, but the header names 6 columns",
    ),
    (PANEL.replace("pop", "y"), {}, r"has 2 columns named 'y'"),
    (
        PANEL.replace("pop", "weight"),
        {"covariates": ["weight"]},
        r"rename the column 'weight' in the file",
    ),
    ("la,year,first,y\n", {}, r"has a header but no rows"),
    ("Table 1,,,\nla,year,first,y\n1,2012,0,1\n", {}, r"names .* stand in line 2"),
    ("Table 1\n\nla,year,first,y\n1,2012,0,1\n", {}, r"names .* stand in line 3"),
    ("area,time\n1,2012\n", {}, r"has no column 'la'\..*area, time"),
    ("", {}, r"is empty"),
]


@pytest.mark.parametrize(("text", "values", "said"), MISTAKES)
def test_mistakes(tmp_path: Path, text: str, values: dict[str, Any], said: str | None) -> None:
    path = write(tmp_path, text)
    if said is None:
        assert sample(path, **values)
        return
    with pytest.raises(DataError, match=said) as error:
        sample(path, **values)
    assert "data.csv" in str(error.value) or "covariate" in str(error.value)


def test_all_weights_zero_and_rows_of_parquet(tmp_path: Path) -> None:
    text = "la,year,first,y,w\n1,2012,0,1,0\n2,2012,2012,0,0\n"
    with pytest.raises(DataError, match="column 'w': every weight is 0"):
        sample(write(tmp_path, text), weights="w")
    table = pa.table({"la": ["1", "2"], "year": [1, 2], "first": [0, 0], "y": ["1", "x"]})
    pq.write_table(table, tmp_path / "data.parquet")
    with pytest.raises(DataError, match=r"found 'x' \(row 2\)"):
        sample(tmp_path / "data.parquet")


def test_an_empty_column_is_text_and_not_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, PANEL.replace(",10,", ",,").replace(",11,", ",,").replace(",20,", ",,"))
    half_empty = read(tmp_path).tables["cases"].schema()
    assert half_empty["pop"].is_numeric()
    write(tmp_path, path.read_text().replace(",21,", ",,"))
    assert read(tmp_path).tables["cases"].schema()["pop"].is_string()


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        sample(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="There is no file"):
        sample(tmp_path / "absent.parquet")
    with pytest.raises(DataError, match="There is no file"):
        sample(tmp_path / "data.xlsx")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        sample(write(tmp_path, "no parquet", "data.parquet"))


def test_lines_are_right_after_blank_lines_and_cells_with_breaks(tmp_path: Path) -> None:
    text = 'la,year,first,y,note\n\n1,2012,0,1,"a\nb"\n\n2,2012,0,1,c\n3,2012,0,x,d\n'
    with pytest.raises(DataError, match=r"'x' \(line 7\)"):
        sample(write(tmp_path, text))
    assert read_text(tmp_path / "data.csv").line_numbers().tolist() == [3, 6, 7]


def test_a_quotation_mark_never_closed(tmp_path: Path) -> None:
    text = "la,year,first,y\n" + '"1,2012,0,1\n' + "2,2012,0,1\n" * 60
    with pytest.raises(DataError, match=r"line 2: a quotation mark .* is never closed"):
        sample(write(tmp_path, text))
    closed = "y,note\n" + '1,"open\n' + "2,fine\n" * 60 + '3,closed"\n'
    with pytest.raises(DataError, match=r"line 2, column 'note': a cell of 62 lines starts here"):
        read_text(write(tmp_path, closed))


# The source.


def test_cases_keep_their_types_and_zeros(tmp_path: Path) -> None:
    write(tmp_path, PANEL)
    records = read(tmp_path, cohort="first", id="la")
    table = cases(records)
    assert table.column_names == ["unit", "period", "value", "cohort", "id", "pop", "kind"]
    assert table.to_pylist()[0] == {
        "unit": "006",
        "period": 2012,
        "value": 1.5,
        "cohort": 2015,
        "id": "006",
        "pop": 10.0,
        "kind": "town",
    }
    assert records.files == ("data.csv",)
    assert records.quality.checks["n_flagged"].sum() == 0


def test_missing_cells_are_counted_by_unit_and_period(tmp_path: Path) -> None:
    text = PANEL.replace("1.5,10", ",").replace("330,2012", ",2012").replace("330,2015", "330,")
    write(tmp_path, text)
    records = read(tmp_path, covariates=["pop"])
    assert cases(records).to_pylist() == [
        {"unit": "006", "period": 2012, "value": None, "pop": None},
        {"unit": "006", "period": 2015, "value": 2.5, "pop": 11.0},
    ]
    frame = records.quality.checks.query("n_flagged > 0")
    assert {(r.column, r.action, r.n_flagged) for r in frame.itertuples()} == {
        ("unit", "dropped", 1),
        ("period", "dropped", 1),
        ("value", "kept", 1),
        ("pop", "kept", 1),
    }
    value = frame[frame["column"] == "value"].iloc[0]
    assert (value["unit"], value["period"]) == ("006", 2012)
    examples = records.quality.examples
    assert set(zip(examples["column"], examples["line"], strict=True)) == {
        ("unit", 4),
        ("period", 5),
        ("value", 2),
        ("pop", 2),
    }


def test_dates_and_children(tmp_path: Path) -> None:
    write(tmp_path, "la,year,y,who,day\n006,2015,1,07,2015-05-01\n006,2015,1,08,\n")
    table = cases(read(tmp_path, child="who", date="day")).to_pylist()
    assert [(r["child"], r["date"]) for r in table] == [("07", dt.date(2015, 5, 1)), ("08", None)]
    write(tmp_path, "la,year,y,who,day\n006,2015,1,07,May 2015\n")
    with pytest.raises(DataError, match=r"column 'day': a date such as 2015-03-31 .*line 2"):
        read(tmp_path, date="day")


TAKEN = ("unit", "id", "period", "value", "weight", "cohort")


@pytest.mark.parametrize("name", TAKEN)
def test_a_covariate_with_the_name_of_a_role_is_read_under_another(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path, f"la,year,y,{name}\n006,2015,1.5,7\n330,2016,2.5,8\n")
    mend = re.escape(f'(columns = {{ own_{name} = "{name}" }})') + ".*rename the column in"
    for values in ({}, {"covariates": (name,)}):
        with pytest.raises(DataError, match=mend):
            read(tmp_path, **values)
        records = read(tmp_path, columns={f"own_{name}": name}, **values)
        rows = cases(records).to_pylist()
        assert [row[f"own_{name}"] for row in rows] == [7.0, 8.0]
        assert [(row["unit"], row["period"], row["value"]) for row in rows] == [
            ("006", 2015, 1.5),
            ("330", 2016, 2.5),
        ]
        assert not {"weight", "id", "cohort"} & {*records.tables["cases"].columns}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"own": "popp"}, "'popp' is no covariate. Did you mean 'pop'"),
        ({"own": "la"}, "'la' is no covariate"),
        ({"own": "pop", "other": "pop"}, "gives 'pop' two names"),
        ({"treated": "pop"}, "'treated' has a name that means something else"),
        ({"Unit": "pop"}, "'unit' and 'Unit' differ in capitals only"),
    ],
)
def test_other_names_that_do_not_fit_are_sentences(tmp_path: Path, columns, words) -> None:
    write(tmp_path, "la,year,y,pop\n006,2015,1.5,7\n")
    with pytest.raises(DataError, match=re.escape(words)):
        read(tmp_path, columns=columns)


def test_mistakes_of_the_source(tmp_path: Path) -> None:
    write(tmp_path, PANEL.replace("pop", "cohort"))
    with pytest.raises(
        DataError, match="the further column 'cohort' has a name that means something"
    ):
        read(tmp_path)
    with pytest.raises(
        DataError, match=r"the covariate 'cohort' .*rename the column in the file\.$"
    ):
        read(tmp_path, covariates=["cohort"])
    write(tmp_path, PANEL.replace("2.5", "x"))
    with pytest.raises(DataError, match=r"'x' \(line 3\)"):
        read(tmp_path)
    write(tmp_path, "la,year,y\n,2015,1\n")
    with pytest.raises(DataError, match="no row has both an authority"):
        read(tmp_path)


BASE = PANEL.encode()


@settings(max_examples=examples(60), deadline=None)
@given(changes(BASE))
def test_mutated_files_are_cases_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changed: Changes
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "data.csv").write_bytes(damaged(BASE, changed))
    with contextlib.suppress(SosError):
        frame = sample(folder / "data.csv", id="la", covariates=["pop", "kind"]).sample.frame
        assert not frame.isna().any().any()
    with contextlib.suppress(SosError):
        assert cases(read(folder)).num_rows


def test_a_misfit_row_in_another_encoding_is_neither_lost_nor_a_traceback(tmp_path):
    file = tmp_path / "cases.csv"
    file.write_bytes(b"unit,period,value\n1,2015,3\n2,2015,4,\xec\n3,2015,5\n")
    text = read_text(file)
    assert text is not None


def test_columns_have_the_names_of_the_spreadsheet_and_dates_its_form(tmp_path: Path) -> None:
    text = "LA code,Year,Rate,Day,Age at start\nDarlington,2014/15,1,03/04/2014,7\n"
    write(tmp_path, f"{text}841,2014/15,2,31/12/2014,8\n")
    names = {"unit": "LA code", "period": "Year", "value": "Rate", "date": "Day"}
    settings = {"path": "data.csv", "columns": {**names, "age": "Age at start"}, "codes": "dfe"}
    read_as = validate(TidySettings, settings, where="test")
    records = Tidy().read(read_as, Session(base=tmp_path))
    assert [list(row.values()) for row in cases(records).to_pylist()] == [
        ["841", 2014, 1.0, dt.date(2014, 4, 3), 7.0],
        ["841", 2014, 2.0, dt.date(2014, 12, 31), 8.0],
    ]
    assert cases(records).column_names == ["unit", "period", "value", "date", "age"]
    assert any("dates were read day first" in note for note in records.notes)
    assert any("841, Darlington as 841" in note for note in records.notes)
    write(tmp_path, text)
    with pytest.raises(DataError, match=r"no cell tells .*'03/04/2014' \(line 2\)"):
        Tidy().read(read_as, Session(base=tmp_path))
    stated = read_as.model_copy(update={"dates": "month-first"})
    assert cases(Tidy().read(stated, Session(base=tmp_path)))["date"].to_pylist() == [
        dt.date(2014, 3, 4)
    ]
    with pytest.raises(DataError, match=r"no column 'LA kode'\. Did you mean 'LA code'"):
        read(tmp_path, unit="LA kode", period="Year", value="Rate")
    with pytest.raises(SosError, match="leave one of them"):
        validate(TidySettings, {**settings, "unit": "Year"}, where="test")
