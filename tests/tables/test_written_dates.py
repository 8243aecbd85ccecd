"""Dates written as text: one form a column, nothing guessed, and the same in SQL."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from sos_sources.sql.sql_columns import written_date

from sos_plugins.errors import DataError
from sos_plugins.tables.file_columns import read_columns
from sos_plugins.tables.written_dates import UnclearDatesError, read_dates

THE_DAY = dt.date(2019, 4, 3)


@pytest.mark.parametrize(
    ("texts", "order", "form"),
    [
        (["2019-04-03", "2019-12-31"], "auto", "year-first"),
        (["2019-04-03 00:00:00"], "auto", "year-first"),
        (["2019-04-03T13:05"], "auto", "year-first"),
        (["2019/4/3"], "auto", "year-first"),
        (["03/04/2019", "31/12/2019"], "auto", "day-first"),
        (["03/04/2019 13:05", "31/12/2019 1:05:10 PM"], "auto", "day-first"),
        (["3.4.2019", "31.12.2019"], "auto", "day-first"),
        (["03/04/2019"], "day-first", "day-first"),
        (["04/03/2019", "12/31/2019"], "month-first", "month-first"),
        (["03-Apr-2019", "31-Dec-2019"], "auto", "named"),
        (["3 April 2019", "1 Sept 2019"], "auto", "named"),
        (["03APR2019"], "auto", "named"),
        (["43558"], "excel", "excel"),  # Excel shows 43558 as 3 April 2019
        (["43558.545"], "excel", "excel"),
    ],
)
def test_a_column_is_read_in_one_form_by_python_and_by_sql(texts, order, form) -> None:
    read = read_dates(texts, order)
    assert (read.form, read.days[texts[0]]) == (form, THE_DAY)
    sql = written_date("x", form)
    rows = duckdb.sql(f"SELECT {sql} FROM (SELECT unnest(?) AS x)", params=[[*texts, "NA", ""]])
    assert [day for (day,) in rows.fetchall()] == [*read.days.values(), None, None]


def test_pandas_reads_the_same_days() -> None:
    days = pd.date_range("1995-01-01", "2019-12-31", freq="11D")
    texts = [f"{day:%d/%m/%Y}" for day in days]
    read = read_dates(texts)
    told = pd.to_datetime(pd.Series(texts), format="%d/%m/%Y").dt.date
    assert [read.days[text] for text in texts] == told.tolist()


@pytest.mark.parametrize(
    ("texts", "order", "sentence", "shown"),
    [
        (["03/04/2019"], "auto", "day first and month first, and no cell tells", {"03/04/2019"}),
        (["31/12/2019", "12/31/2019"], "auto", "not day first .* and month first", None),
        (["03/04/2019", "2019-12-31"], "auto", "not .*year first", None),
        (["12/31/2019", "03/04/2019"], "auto", "have the month there", {"12/31/2019"}),
        (["12/31/2019"], "day-first", "the day first", {"12/31/2019"}),
        (["31/12/2019"], "month-first", "the month first", {"31/12/2019"}),
        (["31/06/2019"], "auto", "on a day that there is", {"31/06/2019"}),
        (["31/12/19"], "auto", "all four digits", {"31/12/19"}),
        (["43558"], "auto", 'dates = "excel"', {"43558"}),
        (["10"], "excel", "a date such as", {"10"}),
        (["1 Smarch 2019"], "auto", "a date such as", {"1 Smarch 2019"}),
    ],
)
def test_what_is_not_clear_is_refused(texts, order, sentence, shown) -> None:
    with pytest.raises(UnclearDatesError, match=sentence) as raised:
        read_dates(texts, order)
    assert set(raised.value.texts) == (shown or set(texts))


def test_earlier_rows_of_a_column_decide_for_later_ones() -> None:
    assert read_dates(["03/04/2019"], earlier="day-first").days["03/04/2019"] == THE_DAY
    with pytest.raises(UnclearDatesError, match="written in one way"):
        read_dates(["2019-04-03"], earlier="day-first")
    with pytest.raises(UnclearDatesError, match="month first"):
        read_dates(["12/31/2019"], earlier="day-first")


def test_a_mixture_is_told_with_a_line_of_each_form(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("day\n03/04/2019\n31/12/2019\n31/12/2019\n2019-12-31\n")
    with pytest.raises(DataError, match=r"'31/12/2019' \(line 3\), '2019-12-31' \(line 5\)"):
        read_columns(path).days("day")


def test_how_a_column_was_read_is_told_where_another_way_is_thought_of(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("a,b\n03/04/2019,2019-04-03\n31/12/2019,2019-12-31\n")
    columns = read_columns(path)
    assert columns.days("a").equals(columns.days("b"))
    assert columns.notes() == ("cases.csv, column 'a': dates were read day first (31/12/2019).",)
