"""Dates: arithmetic, working days, days around bank holidays."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import holidays
import ibis
import numpy as np
import pyarrow as pa

from sos_plugins.contract.session import Session
from sos_plugins.errors import DataError, listing
from sos_plugins.tables import period_codes
from sos_plugins.tables.file_columns import read_columns

FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Years that calendars cover; a date beyond them is a slip of the pen."""
CALENDAR = range(FIRST_YEAR, LAST_YEAR + 1)


def add_days(date: Any, days: int) -> Any:
    """Return the date a number of days later (earlier if negative).

    Args:
        date: Date expression.
        days: How many days later.
    """
    return (date.cast("timestamp") + ibis.interval(days=days)).date()


def april_year(date: Any) -> Any:
    """Return the April-year of a date: 2008 for 1 April 2008 to 31 March 2009.

    Args:
        date: Date expression.

    Returns:
        Whole-number expression; null where the date is.
    """
    return (date.year() - (date.month() < 4).cast("int64")).cast("int64")


def completed_years(birth: Any, date: Any) -> Any:
    """Return the age in completed years: -1 in the year before the (expected) birth.

    A child born on 29 February completes a year on 1 March of a common year.

    Args:
        birth: Date expression, the birth or the expected birth.
        date: Date expression, the day at which the age is taken.

    Returns:
        Whole-number expression, in years; null where a date is.
    """
    not_yet = (date.month() * 100 + date.day()) < (birth.month() * 100 + birth.day())
    return (date.year() - birth.year() - not_yet.cast("int64")).cast("int64")


def bank_holidays(years: Iterable[int], *, nation: str = "ENG") -> dict[dt.date, str]:
    """Return the bank holidays of a part of the United Kingdom, from the package ``holidays``.

    Days moved to a weekday and one-off holidays are there.

    Args:
        years: Calendar years.
        nation: ``ENG``, ``WLS``, ``SCT`` or ``NIR``.

    Returns:
        The name of each holiday by its day.
    """
    return dict(holidays.country_holidays("GB", subdiv=nation, years=list(years)))


def add_working_days(
    table: ibis.Table, session: Session, *, start: str, end: str, name: str, nation: str = "ENG"
) -> ibis.Table:
    """Add column ``name``: working days after ``start``, up to and including ``end``.

    A working day is a weekday that is no bank holiday. The first day does not count and the last
    does: the same day gives 0, Monday to Tuesday 1, Friday to Monday 1, Saturday to Monday 1.
    This is ``numpy.busday_count(start + 1, end + 1)``.

    Args:
        table: Table with the columns ``start`` and ``end``.
        session: Where the calendar is put, once for all outcomes.
        start: Column of dates from which days are counted.
        end: Column of dates up to which they are counted.
        name: Column to add: null where a date is missing or lies outside 1900-2199, negative or 0
            where ``end`` is before ``start``.
        nation: Part of the United Kingdom whose bank holidays count, as in :func:`bank_holidays`.

    Returns:
        The table with the column added.
    """
    calendar = _working_days(session, nation)
    for side in (start, end):
        until = calendar.select(_day="day", **{f"_{side}": "worked"})
        table = table.left_join(until, [table[side].cast("date") == until["_day"]]).drop("_day")
    passed = table[f"_{end}"] - table[f"_{start}"]
    return table.mutate(**{name: passed}).drop(f"_{start}", f"_{end}")


def add_working_day_limit(
    table: ibis.Table, session: Session, *, start: str, days: int, name: str, nation: str = "ENG"
) -> ibis.Table:
    """Add column ``name``: the last day up to which :func:`add_working_days` gives ``days``.

    It is the day before the next working day: for 1 day after a Thursday the Sunday.

    Args:
        table: Table with the column ``start``.
        session: Where the calendar is put, once for all outcomes.
        start: Column of dates from which days are counted.
        days: How many working days.
        name: Column of dates to add, null where :func:`add_working_days` is.
        nation: Part of the United Kingdom whose bank holidays count, as in :func:`bank_holidays`.

    Returns:
        The table with the column added.
    """
    calendar = _working_days(session, nation)
    begun = calendar.select(_day="day", _begun="worked")
    table = table.left_join(begun, [table[start].cast("date") == begun["_day"]])
    table = table.mutate(_until=table["_begun"] + days).drop("_day", "_begun")
    ends = calendar.group_by(_passed=calendar["worked"]).aggregate(_last=calendar["day"].max())
    table = table.left_join(ends, [table["_until"] == ends["_passed"]])
    return table.mutate(**{name: table["_last"]}).drop("_until", "_passed", "_last")


def _working_days(session: Session, nation: str) -> ibis.Table:
    key = ("working days", nation)
    return session.once("working_days", key, lambda: _calendar(CALENDAR, nation))


def _calendar(years: range, nation: str) -> pa.Table:
    """Return ``day, worked``: how many working days there are up to and including each day."""
    days = np.arange(f"{years.start}-01-01", f"{years.stop}-01-01", dtype="datetime64[D]")
    free = np.array(list(bank_holidays(years, nation=nation)), dtype="datetime64[D]")
    worked = np.cumsum(np.is_busday(days, holidays=free))
    return pa.table({"day": days, "worked": worked})


def add_near_holiday(
    table: ibis.Table,
    session: Session,
    *,
    date: str,
    name: str,
    named: Sequence[str],
    days: int,
    nation: str = "ENG",
) -> ibis.Table:
    """Add column ``name``: "yes" where ``date`` is within ``days`` days of a named bank holiday.

    Args:
        table: A table with the column ``date``.
        session: Where the calendar is put, once for all outcomes.
        date: Column to look at.
        name: Column to add: "yes" or "no".
        named: Names of bank holidays, such as "Christmas Day"; the day itself counts, not the
            weekday to which it is moved.
        days: How near, before and after.
        nation: Part of the United Kingdom, as in :func:`bank_holidays`.

    Returns:
        The table with the column added.

    Raises:
        DataError: If a name is no bank holiday.
    """
    known = holidays.country_holidays("GB", subdiv=nation, years=list(CALENDAR), observed=False)
    unknown = sorted(set(named) - set(known.values()))
    if unknown:
        raise DataError(
            f"'{unknown[0]}' is no bank holiday between {FIRST_YEAR} and {LAST_YEAR}. "
            f"Bank holidays: {', '.join(sorted(set(known.values())))}."
        )
    near = {
        day + dt.timedelta(days=shift)
        for day, label in known.items()
        if label in named
        for shift in range(-days, days + 1)
    }
    if not near:
        return table.mutate(**{name: ibis.literal("no")})
    return _flagged(table, session, date, name, near, ("near holidays", nation, tuple(named), days))


@dataclass(frozen=True)
class HolidayCalendar:
    """Holidays that a user names, such as those of schools.

    Attributes:
        path: The file that has them.
        days: First and last day of each, (n,).
    """

    path: Path
    days: tuple[tuple[dt.date, dt.date], ...]

    def refuse_other_years(self, years: Iterable[int]) -> None:
        """Refuse years in which there is no holiday: the file does not reach them.

        Args:
            years: April-years of cases.

        Raises:
            DataError: That names them.
        """
        known = {period_codes.april_year(day) for day in itertools.chain(*self.days)}
        if beyond := sorted(set(years) - known):
            raise DataError(
                f"{self.path} has no holiday in the years from April {listing(map(str, beyond))}, "
                "of which there are cases. Complete the calendar, or leave it out "
                "(holiday_calendar) and name bank holidays (holiday_names)."
            )


def read_holidays(path: Path) -> HolidayCalendar:
    """Read a calendar of holidays: a CSV with ``start, end`` (yyyy-mm-dd) and anything else.

    Args:
        path: The file.

    Raises:
        DataError: If the file or a column is missing, a cell is no date, or a holiday ends before
            it starts; with its line.
    """
    if not path.exists():
        raise DataError(f"There is no calendar of holidays at {path} (holiday_calendar).")
    columns = read_columns(path)
    for name in ("start", "end"):
        if name not in columns.names:
            raise DataError(
                f"{path} has no column '{name}'. Its columns: {listing(columns.names)}. Expected: "
                "start, end, and anything else, such as name."
            )
    starts, ends = (columns.days(name) for name in ("start", "end"))
    for name, values in (("start", starts), ("end", ends)):
        if values.null_count:
            columns.refuse(
                name, values.is_null().to_numpy(zero_copy_only=False), "a date is needed"
            )
    days = tuple(zip(starts.to_pylist(), ends.to_pylist(), strict=True))
    backwards = np.array([end < start for start, end in days])
    if backwards.any():
        columns.refuse("end", backwards, "a holiday ends on the day it starts or later")
    return HolidayCalendar(path, days)


def add_in_holidays(
    table: ibis.Table,
    session: Session,
    *,
    date: str,
    name: str,
    calendar: HolidayCalendar,
    days: int,
) -> ibis.Table:
    """Add column ``name``: "yes" where ``date`` is in a holiday, or within ``days`` days of one.

    Args:
        table: A table with the column ``date``.
        session: Where the calendar is put, once for all outcomes.
        date: Column to look at.
        name: Column to add: "yes" or "no".
        calendar: The holidays.
        days: How near, before the first day and after the last.

    Returns:
        The table with the column added.
    """
    margin = dt.timedelta(days=days)
    near = {
        start - margin + dt.timedelta(days=shift)
        for start, end in calendar.days
        for shift in range((end - start).days + 2 * days + 1)
    }
    return _flagged(table, session, date, name, near, ("in holidays", calendar.days, days))


def _flagged(
    table: ibis.Table,
    session: Session,
    date: str,
    name: str,
    near: Collection[dt.date],
    key: tuple[Any, ...],
) -> ibis.Table:
    dates = session.once("holidays", key, lambda: pa.table({"_near": sorted(near)}))
    joined = table.left_join(dates, [table[date].cast("date") == dates["_near"]])
    return joined.mutate(**{name: ibis.ifelse(joined["_near"].notnull(), "yes", "no")}).drop(
        "_near"
    )
