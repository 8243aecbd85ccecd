"""A quotation mark where it should not be never makes one cell of several rows."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sos_matchers.listed_groups import read_groups
from variants import examples

from sos_plugins.cells.build import cells
from sos_plugins.errors import DataError, DesignError
from sos_plugins.study.authorities import read_authorities
from sos_plugins.study.file import DesignTable
from sos_plugins.study.pilots import read_pilots
from sos_plugins.tables.csv_text import read_frame, read_text
from sos_plugins.tables.file_columns import read_columns
from sos_plugins.tables.read_table import read_sample

PIECES = ['"', ",", "\n", "a", " ", "1", "\r\n", '""', "\r", ",2", "x\n"]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


@settings(max_examples=examples(500), deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.integers(1, 4))
def test_rows_are_those_of_the_csv_module_or_the_file_is_refused(
    tmp_path: Path, pieces: list[str], n: int
) -> None:
    text = ",".join("abcd"[:n]) + "\n" + "".join(pieces)
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())
    try:
        parsed = read_text(path)
    except DataError:
        return
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row][1:]
    good = [row for row in rows if len(row) == n]
    columns = [column.to_pylist() for column in parsed.columns]
    assert [list(row) for row in zip(*columns, strict=True)] == [
        [cell.strip() or None for cell in row] for row in good
    ]
    assert len(parsed.misfits) == len(rows) - len(good)
    assert parsed.n_broken_cells == sum("\n" in c or "\r" in c for row in good for c in row)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], list[int]]:
    """A table of rows without quotation marks, and where two of them are to stand."""
    n = draw(st.integers(2, 45))
    width = draw(st.integers(3, 7))
    chance = random.Random(draw(st.integers(0, 10**6)))
    rows = [[str(chance.randint(0, 99)) for _ in range(width)] for _ in range(n)]
    first = draw(st.integers(0, n - 1))
    last = draw(st.integers(first, n - 1))
    return rows, [first, last, draw(st.integers(0, width - 1))]


@settings(max_examples=examples(200), deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(tables(), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_inch_marks_never_swallow_a_row(
    tmp_path: Path, table: tuple[list[list[str]], list[int]], delimiter: str, with_end: bool
) -> None:
    rows, (first, last, column) = table
    rows[first][column] = '"' + rows[first][column]
    rows[last][column] += '"'
    lines = [delimiter.join(f"c{i}" for i in range(len(rows[0])))]
    lines += [delimiter.join(row) for row in rows]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n" * with_end, encoding="utf-8")
    if first == last:
        assert read_text(path).n_rows == len(rows)
        return
    with pytest.raises(DataError, match=rf"line {first + 2}[,:].*quotation mark"):
        read_text(path)


INCHES = [f"{area},{year},{adopted},{year / 10},pipe" for area, adopted in (("A", 5), ("B", ""))
          for year in range(1, 21)]  # fmt: skip


def with_marks(*rows: int) -> str:
    lines = list(INCHES)
    for row, mark in zip(rows, ('"6 inch', '4" inch'), strict=False):
        lines[row] = lines[row].removesuffix("pipe") + mark
    return "area,year,adopted,score,note\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("gap", [1, 2, 5, 30, 39])
def test_two_inch_marks_move_no_estimate(tmp_path: Path, gap: int) -> None:
    path = tmp_path / "data.csv"
    path.write_text(with_marks(0, gap))
    columns = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
    with pytest.raises(DataError, match=r"line 2, column 'note': a cell of \d+ lines .*quotation"):
        read_sample(path, **columns)


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_mark_open_at_the_end_is_refused_with_its_line(tmp_path: Path, end: str) -> None:
    path = tmp_path / "data.csv"
    for text in ('a,b\n1,2\n3,"4', '"1,2', '1,"2\n3,4\n5,6'):
        path.write_text(("" if text.startswith("a,b") else "a,b\n") + text + end)
        with pytest.raises(DataError, match=r"line [23]: a quotation mark .* never closed"):
            read_text(path)


def test_a_mark_open_for_longer_than_a_block_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('a,b\n1,"2\n' + "3,4\n" * 700_000)
    with pytest.raises(DataError, match=r"line 2.*quotation mark is probably never closed"):
        read_text(path)


def test_rows_longer_than_a_block_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    names = [f"c{i}" for i in range(30_000)]
    path.write_text("\n".join([",".join(names), *(",".join(["x" * 50] * 30_000) for _ in "ab")]))
    text = read_text(path, used=["c7"])
    assert (text.n_rows, text.columns[7].to_pylist()) == (2, ["x" * 50] * 2)


def test_addresses_on_several_lines_are_read_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    address = '"1 High Street,\r\nLeeds,\r\n\r\nWest Yorkshire"'
    path.write_bytes(f"id,year,y,address\n1,2014,2,{address}\n\n2,2015,3,plain\n".encode())
    text = read_text(path)
    assert (text.n_rows, text.n_broken_cells, text.broken) == (2, 1, (2,))
    assert text.line_numbers().tolist() == [2, 7]
    notes = read_columns(path).notes()
    assert notes == ("data.csv: 1 cell holds line breaks (rows from line 2).",)


def test_utf16_is_checked_alike(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('a,b,c\n1,2,"x\n3,4,y"\n5,6,z\n', encoding="utf-16")
    with pytest.raises(DataError, match="line 2, column 'c'"):
        read_text(path)
    path.write_text('a,b,c\n1,2,"x\ny"\n5,6,z\n', encoding="utf-16")
    assert read_text(path).n_rows == 2


SWALLOWED = {
    "pilots": 'unit,start,end,name\n1,2014-01-01,2015-01-01,"A\n2,2014-01-01,2015-01-01,B"\n',
    "groups": 'pilot,comparator,outcome\n1,2,"x\n1,3,y"\n',
    "authorities": 'unit,people,note\n1,10,"x\n2,20,y"\n',
}


def test_files_of_the_design_are_read_by_the_same_reader(tmp_path: Path) -> None:
    for name, text in SWALLOWED.items():
        (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(DesignError, match="line 2, column 'name'"):
        read_pilots(DesignTable(pilots="pilots.csv"), tmp_path)
    with pytest.raises(DataError, match="line 2, column 'outcome'"):
        read_groups(tmp_path / "groups.csv")
    with pytest.raises(DataError, match="line 2, column 'note'"):
        read_authorities(tmp_path / "authorities.csv")
    with pytest.raises(DataError, match="line 2, column 'note'"):
        cells(tmp_path / "authorities.csv", period="people", value="people")


def test_a_column_that_stands_twice_is_a_sentence_in_files_of_the_design(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("unit,start,end,start\n1,2014-01-01,2015-01-01,2016-01-01\n")
    with pytest.raises(DesignError, match="more than one column 'start'"):
        read_pilots(DesignTable(pilots="twice.csv"), tmp_path)
    path.write_text("unit,people,people\n1,2,3\n")
    with pytest.raises(DataError, match="2 columns named 'people'"):
        read_authorities(path)
    path.write_text("pilot,comparator,pilot\n1,2,3\n")
    with pytest.raises(DataError, match="more than one column 'pilot'"):
        read_groups(path)


def test_rows_of_a_frame_are_named_by_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('a,b\n\n1,"x\ny"\n2,\n')
    frame = read_frame(path)
    assert frame.index.tolist() == [3, 5]
    assert frame["b"].tolist() == ["x\ny", ""]


def test_unit_na_of_the_authorities_file_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "authorities.csv"
    path.write_text('unit,people\n"NA",1\nZA,2\n,\n')
    assert read_authorities(path).rows["unit"].tolist() == ["NA", "ZA"]
    path.write_text("unit,people\nNA,1\nZA,2\n")
    with pytest.raises(DataError, match=r"no cell may be empty; found 'NA' \(line 2\)"):
        read_authorities(path)
