"""Tables of Excel, Stata and SPSS: written by other programs' libraries, read as the CSV is."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import openpyxl
import pandas as pd
import pyreadstat
import pytest
import xlsxwriter

from sos_plugins.errors import DataError
from sos_plugins.tables.file_columns import read_columns, read_names
from sos_plugins.tables.small_tables import read_small_table

FRAME = pd.DataFrame(
    {
        "LA code": ["E06000005", "E06000001", "E06000005"],
        "Year": [2014, 2014, 2015],
        "Rate": [1.5, 2.0, None],
        "Day": [dt.date(2019, 4, 3), dt.date(2019, 12, 31), None],
        "Sex": [1.0, 2.0, 1.0],
    }
)


def workbook(path: Path, frame: pd.DataFrame = FRAME) -> Path:
    with xlsxwriter.Workbook(path, {"default_date_format": "dd/mm/yyyy"}) as book:
        page = book.add_worksheet("Cases")
        rows = [list(frame), *frame.astype(object).where(frame.notna(), None).to_numpy().tolist()]
        for n, row in enumerate(rows):
            page.write_row(n, 0, row)
    return path


def test_a_workbook_has_what_was_written(tmp_path: Path) -> None:
    path = workbook(tmp_path / "cases.xlsx")
    columns = read_columns(path)
    assert columns.names == read_names(path) == tuple(FRAME)
    assert columns.texts("LA code").to_pylist() == FRAME["LA code"].tolist()
    assert columns.texts("Year").to_pylist() == ["2014", "2014", "2015"]
    assert columns.numbers("Rate")[:2].tolist() == [1.5, 2.0]
    assert columns.days("Day").to_pylist() == [*FRAME["Day"][:2], None]
    assert columns.raw("Rate").null_count == 1


def test_rows_are_those_of_the_sheet_and_empty_ones_are_none(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    for row in ([], ["unit", "y"], [7, 1], [None, None], ["8", "soon"]):
        page.append(row)
    path = tmp_path / "cases.xlsx"
    book.save(path)
    columns = read_columns(path)
    assert columns.texts("unit").to_pylist() == ["7", "8"]
    with pytest.raises(DataError, match=r"a number was expected; found 'soon' \(row 5\)"):
        columns.numbers("y")


def test_dates_of_which_excel_understood_some_are_a_mixture(tmp_path: Path) -> None:
    """An American Excel takes 03/04/2019 for 4 March and leaves 31/12/2019 as text."""
    book = openpyxl.Workbook()
    for row in (["day"], [dt.date(2019, 3, 4)], ["31/12/2019"]):
        book.active.append(row)
    path = tmp_path / "cases.xlsx"
    book.save(path)
    with pytest.raises(DataError, match=r"'2019-03-04' \(row 2\), '31/12/2019' \(row 3\)"):
        read_columns(path).days("day")


def test_a_sheet_is_named_where_there_are_several(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active["A1"] = "See the other sheet"
    page = book.create_sheet("Cases")
    page.append(["unit"])
    page.append(["1"])
    path = tmp_path / "cases.xlsx"
    book.save(path)
    assert read_columns(path, sheet="Cases").texts("unit").to_pylist() == ["1"]
    with pytest.raises(DataError, match="2 sheets with cells: Cases, Notes"):
        read_columns(path)
    with pytest.raises(DataError, match=r"no sheet 'cases'\. Did you mean 'Cases'"):
        read_columns(path, sheet="cases")
    book["Notes"].sheet_state = "hidden"
    book.save(path)
    assert read_names(path) == ("unit",)
    with pytest.raises(DataError, match=r"is no workbook .* has no sheet 'Cases'"):
        read_columns(tmp_path / "cases.csv", sheet="Cases")


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [("#N/A", r"an error such as #N/A .* stands in B2"), ("=A1", "never calculated stands in B2")],
)
def test_a_cell_that_would_seem_empty_is_refused(tmp_path: Path, cell: str, sentence: str) -> None:
    book = openpyxl.Workbook()
    book.active.append(["unit", "y"])
    book.active.append(["1", cell])
    path = tmp_path / "cases.xlsx"
    book.save(path)
    with pytest.raises(DataError, match=sentence):
        read_columns(path)


@pytest.mark.parametrize("suffix", [".dta", ".sav"])
def test_stata_and_spss_give_what_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cases{suffix}"
    frame = FRAME.rename(columns={"LA code": "la"})
    labels = {"Sex": {1: "Female", 2: "Male"}, "Rate": {1.5: "Low"}}
    if suffix == ".dta":
        pyreadstat.write_dta(frame, str(path), variable_value_labels={"Sex": labels["Sex"]})
    else:
        pyreadstat.write_sav(frame, str(path), variable_value_labels=labels)
    columns = read_columns(path, used=["la", "Year", "Day", "Sex", "Rate"])
    assert read_names(path) == tuple(frame)
    assert columns.texts("la").to_pylist() == FRAME["LA code"].tolist()
    assert columns.texts("Year").to_pylist() == ["2014", "2014", "2015"]
    assert columns.days("Day").to_pylist() == [*FRAME["Day"][:2], None]
    assert columns.covariate("Sex").tolist() == ["Female", "Male", "Female"]
    assert columns.numbers("Sex").tolist() == [1.0, 2.0, 1.0]  # what is stored, where numbers are
    assert columns.covariate("Rate")[:2].tolist() == [1.5, 2.0]
    if suffix == ".sav":
        assert any("only some of its values have labels (1.5 'Low')" in n for n in columns.notes())


def test_stata_as_pandas_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "cases.dta"
    days = pd.to_datetime(["2019-04-03", "2019-12-31"])
    kinds = pd.Categorical(["town", "county"])
    frame = pd.DataFrame({"day": days, "kind": kinds, "n": [1, 2]})
    frame.to_stata(path, write_index=False, convert_dates={"day": "td"})
    columns = read_columns(path)
    assert columns.days("day").to_pylist() == [day.date() for day in days]
    assert columns.covariate("kind").tolist() == ["town", "county"]
    assert columns.texts("n").to_pylist() == ["1", "2"]


def test_values_that_spss_declares_missing_are_told(tmp_path: Path) -> None:
    path = tmp_path / "cases.sav"
    frame = pd.DataFrame({"age": [4.0, -9.0]})
    pyreadstat.write_sav(frame, str(path), missing_ranges={"age": [-9]})
    columns = read_columns(path)
    assert columns.raw("age").null_count == 1
    assert columns.notes() == (
        "cases.sav, column 'age': the values that the file declares missing (-9) were read as "
        "missing.",
    )


@pytest.mark.parametrize(
    ("name", "module"), [("a.xlsx", "python_calamine"), ("a.dta", "pyreadstat")]
)
def test_a_reader_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    path = workbook(tmp_path / name)
    if name == "a.dta":
        FRAME[["Year"]].to_stata(path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=r'pip install "sos-plugins\[formats\]"'):
        read_columns(path)


@pytest.mark.parametrize("suffix", [".xlsx", ".dta", ".sav"])
def test_other_bytes_are_a_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("unit,y\n1,2\n")
    with pytest.raises(DataError, match="cannot be read as"):
        read_columns(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    with pytest.raises(DataError, match="an old Excel workbook, or one with a password"):
        read_columns(path)


def test_a_small_table_is_text_whatever_it_is_read_from(tmp_path: Path) -> None:
    frame = pd.DataFrame({"LA": [841, 330], "From": [dt.date(2014, 4, 1), None]})
    path = workbook(tmp_path / "pilots.xlsx", frame)
    frame.to_csv(tmp_path / "pilots.csv", index=False)
    names = {"unit": "LA", "start": "From"}
    read = read_small_table(path, names=["unit"], columns=names)
    assert read.to_dict("list") == {"unit": ["841", "330"], "start": ["2014-04-01", ""]}
    assert (read.index.name, list(read.index)) == ("row", [2, 3])
    same = read_small_table(tmp_path / "pilots.csv", names=["unit"], columns=names)
    assert same.to_numpy().tolist() == read.to_numpy().tolist()
    with pytest.raises(DataError, match=r"no column 'la', which the study calls unit\. Did you"):
        read_small_table(path, columns={"unit": "la"})
