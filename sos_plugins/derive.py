"""What outcome plugins share: dates, ages, nearest events, categories, counted filter steps.

Everything here takes and returns Ibis expressions, so that the same outcome runs on DuckDB and on
Spark; only counts and the bank holidays are brought into memory. An outcome usually

1. finds its candidates and their value (:func:`event_in_window`, :func:`working_days`),
2. adds what is known of the child (:func:`add_child`),
3. keeps the cases step by step (:class:`Attrition`, :func:`keep_observed`, :func:`keep_ages`),
4. counts what could be judged (:func:`completeness`) and returns :func:`to_cases`.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import holidays
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from ibis import _
from pydantic import Field, field_validator

from sos_plugins.errors import DataError
from sos_plugins.schema import CASE_COLUMNS
from sos_plugins.session import Session
from sos_plugins.settings import Settings
from sos_plugins.types import Cases, OutcomeInfo, Records

MISSING = "Missing"
"""Level of a text covariate where the records say nothing."""

FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Years that calendars cover; a date beyond them is a slip of the pen."""

KEY = ("unit", "child")
"""What identifies a child: identifiers are unique within one authority only."""

ETHNIC_GROUPS = {
    "W": "White",
    "M": "Mixed",
    "A": "Asian",
    "B": "Black",
    "C": "Chinese",
    "O": "Other",
    "REFU": "Refused or not obtained",
    "NOBT": "Refused or not obtained",
}
"""Ethnic group by census code or the beginning of one."""

Covariate = Literal["age", "age_band", "sex", "ethnic_group", "disabled", "uasc", "previous_plan"]


class ChildSettings(Settings):
    """Settings that every outcome with one row a child has."""

    min_age: int = Field(
        -1, description="Youngest age in completed years at the date; -1 lets unborn children in."
    )
    max_age: int = Field(17, description="Oldest age in completed years at the date.")
    age_cuts: tuple[float, ...] = Field(
        (0, 4.5, 12.5, 18), description="Ages in completed years at which a new age band begins."
    )
    ethnic_groups: Mapping[str, str] = Field(
        ETHNIC_GROUPS,
        description="Ethnic group by census code or the beginning of one; the longest fit counts.",
    )
    covariates: tuple[Covariate, ...] = Field(
        ("age_band", "sex", "ethnic_group", "disabled", "uasc", "previous_plan"),
        description="Covariates of the child; 'age' leaves out cases of unknown age, and "
        "'previous_plan' is there only if the records have protection plans.",
    )
    entered_in_data: bool = Field(
        True,
        description="Leave out cases dated before the records start: only those that stayed open "
        "are in the records at all.",
    )
    data_end: dt.date | None = Field(
        None, description="Last day the records cover, where the source does not say."
    )

    @field_validator("age_cuts")
    @classmethod
    def _cuts_rise(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if not cuts or list(cuts) != sorted(set(cuts)):
            raise ValueError("give at least one age, each higher than the one before")
        return cuts


# Dates ------------------------------------------------------------------------------------------


def add_days(date: Any, days: int) -> Any:
    """Return the date a number of days later (earlier if negative)."""
    return (date.cast("timestamp") + ibis.interval(days=days)).date()


def april_year(date: Any) -> Any:
    """Return the April-year of a date: 2008 for 1 April 2008 to 31 March 2009."""
    return (date.year() - (date.month() < 4).cast("int64")).cast("int64")


def completed_years(birth: Any, date: Any) -> Any:
    """Return the age in completed years: -1 in the year before the (expected) birth.

    A child born on 29 February completes a year on 1 March of a common year.
    """
    not_yet = (date.month() * 100 + date.day()) < (birth.month() * 100 + birth.day())
    return (date.year() - birth.year() - not_yet.cast("int64")).cast("int64")


def bank_holidays(years: Iterable[int], *, nation: str = "ENG") -> dict[dt.date, str]:
    """Return the bank holidays of a part of the United Kingdom with their names.

    Days moved to a weekday and one-off holidays are there. From the package ``holidays``.
    """
    return dict(holidays.country_holidays("GB", subdiv=nation, years=list(years)))


def add_working_days(
    table: ibis.Table, session: Session, *, start: str, end: str, name: str, nation: str = "ENG"
) -> ibis.Table:
    """Add column ``name``: working days after ``start``, up to and including ``end``.

    A working day is a weekday that is no bank holiday. The first day does not count and the last
    does: the same day gives 0, Monday to Tuesday 1, Friday to Monday 1, Saturday to Monday 1.
    This is ``numpy.busday_count(start + 1, end + 1)``. Null where a date is missing or lies
    outside 1900-2199; negative or 0 where ``end`` is before ``start``.
    """
    calendar = session.table(_calendar(_years(table, start, end), nation), "working_days")
    for side in (start, end):
        until = calendar.select(_day="day", **{f"_{side}": "worked"})
        table = table.left_join(until, [table[side].cast("date") == until["_day"]]).drop("_day")
    passed = table[f"_{end}"] - table[f"_{start}"]
    return table.mutate(**{name: passed}).drop(f"_{start}", f"_{end}")


def _calendar(years: range, nation: str) -> pa.Table:
    """Return ``day, worked``: how many working days there are up to and including each day."""
    days = np.arange(f"{years.start}-01-01", f"{years.stop}-01-01", dtype="datetime64[D]")
    free = np.array(list(bank_holidays(years, nation=nation)), dtype="datetime64[D]")
    worked = np.cumsum(np.is_busday(days, holidays=free))
    return pa.table({"day": days, "worked": worked})


def _years(table: ibis.Table, *columns: str) -> range:
    """Return the years that the dates in these columns span, within the calendar."""
    ends = table.aggregate(
        **{f"first_{c}": table[c].year().min() for c in columns},
        **{f"last_{c}": table[c].year().max() for c in columns},
    ).to_pandas()
    known = ends.iloc[0].dropna()
    first, last = (known.min(), known.max()) if len(known) else (FIRST_YEAR, FIRST_YEAR)
    return range(max(int(first), FIRST_YEAR), min(int(last), LAST_YEAR) + 1)


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
        session: Where the calendar is put.
        date: Column to look at.
        name: Column to add.
        named: Names of bank holidays, such as "Christmas Day"; the day itself counts, not the
            weekday to which it is moved.
        days: How near, before and after.
        nation: Part of the United Kingdom.

    Raises:
        DataError: If a name is no bank holiday.
    """
    years = _years(table, date)
    years = range(years.start - 1, years.stop + 1)
    known = holidays.country_holidays("GB", subdiv=nation, years=list(years), observed=False)
    unknown = sorted(set(named) - set(known.values()))
    if unknown:
        raise DataError(
            f"'{unknown[0]}' is no bank holiday between {years.start} and {years.stop - 1}. "
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
    dates = session.table(pa.table({"_near": sorted(near)}), "holidays")
    joined = table.left_join(dates, [table[date].cast("date") == dates["_near"]])
    return joined.mutate(**{name: yes_no(joined["_near"].notnull())}).drop("_near")


# Events -----------------------------------------------------------------------------------------


def number_repeats(table: ibis.Table, *, key: Sequence[str], latest: Sequence[str]) -> ibis.Table:
    """Add column ``repeat``: 0 for one row of every key, 1, 2 ... for its repeats.

    The row numbered 0 is the one with the highest ``latest``, column by column; a missing value is
    the lowest. Follow it with ``steps.keep("recorded once", _.repeat == 0, ...)``.
    """
    order = [part for c in latest for part in (table[c].isnull().asc(), ibis.desc(table[c]))]
    rank = ibis.row_number().over(ibis.window(group_by=list(key), order_by=order))
    return table.mutate(repeat=rank.cast("int64"))


def event_in_window(
    table: ibis.Table,
    events: ibis.Table,
    *,
    event: str,
    name: str,
    date: str = "date",
    from_day: int | None = 0,
    to_day: int | None = None,
    last: bool = False,
) -> ibis.Table:
    """Add column ``name``: the date of the child's first event within a window of days.

    Args:
        table: Table with ``unit``, ``child`` and the column ``date``.
        events: Table with ``unit``, ``child`` and the column ``event``; the same child in the same
            authority is meant.
        event: Column of ``events`` that holds the date of the event.
        name: Column to add; null where no event falls into the window.
        date: Column of ``table`` from which days are counted.
        from_day: First day of the window, counted from ``date``; None for no limit.
        to_day: Last day of the window, itself included; None for no limit.
        last: Take the last event in the window and not the first.
    """
    dates = table.select(_unit="unit", _child="child", _date=table[date]).distinct()
    happened = events.select(*KEY, _event=events[event])
    within = [dates["_unit"] == happened["unit"], dates["_child"] == happened["child"]]
    if from_day is not None:
        within.append(happened["_event"] >= add_days(dates["_date"], from_day))
    if to_day is not None:
        within.append(happened["_event"] <= add_days(dates["_date"], to_day))
    pairs = dates.inner_join(happened, within)
    found = pairs.group_by(["_unit", "_child", "_date"]).aggregate(
        **{name: pairs["_event"].max() if last else pairs["_event"].min()}
    )
    same = [
        table["unit"] == found["_unit"],
        table["child"] == found["_child"],
        table[date] == found["_date"],
    ]
    return table.left_join(found, same).drop("_unit", "_child", "_date")


def periods_of_care(episodes: ibis.Table) -> ibis.Table:
    """Return one row a period of care: its first episode.

    ``start_date``, ``reason_start``, ``legal_status`` and ``placement`` are those of the first
    episode of the period, however many episodes and years it spans.
    """
    key = [*KEY, "period_of_care"]
    ended = episodes["end_date"]
    order = [episodes["start_date"].asc(), ended.isnull().asc(), ended.asc()]
    rank = ibis.row_number().over(ibis.window(group_by=key, order_by=order))
    first = episodes.mutate(_rank=rank).filter(_._rank == 0)
    return first.select(*key, "start_date", "reason_start", "legal_status", "placement")


# Covariates -------------------------------------------------------------------------------------


def yes_no(condition: Any) -> Any:
    """Write a condition as the text "yes", "no" or, where it is null, "Missing"."""
    return ibis.cases((condition.isnull(), MISSING), (condition, "yes"), else_="no")


def ethnic_group(code: Any, groups: Mapping[str, str] = ETHNIC_GROUPS) -> Any:
    """Return the ethnic group of a census code; "Missing" for null and for an unknown code."""
    longest_first = sorted(groups, key=len, reverse=True)
    branches = [(code.upper().startswith(start), groups[start]) for start in longest_first]
    return ibis.cases(*branches, else_=MISSING)


def age_band(age: Any, cuts: Sequence[float]) -> Any:
    """Return the age band of an age in completed years, as text.

    Cuts at 0, 4.5, 12.5 and 18 give "unborn" (below 0), "0 to 4", "5 to 12", "13 to 17" and
    "18 and over"; "Missing" for null.
    """
    whole = [math.ceil(cut) for cut in cuts]
    below = "unborn" if whole[0] == 0 else f"under {whole[0]}"
    names = [below, *(f"{a} to {b - 1}" for a, b in itertools.pairwise(whole))]
    branches = [(age < cut, name) for cut, name in zip(whole, names, strict=True)]
    return ibis.cases((age.isnull(), MISSING), *branches, else_=f"{whole[-1]} and over")


def add_child(
    table: ibis.Table, records: Records, settings: ChildSettings, *, date: str = "date"
) -> ibis.Table:
    """Add what is known of the child at ``date``: the covariates of :data:`Covariate`.

    ``age`` is in completed years (-1: unborn), null if unknown; all others are text with the level
    "Missing". ``previous_plan`` is "yes" when a child protection plan of the child started before
    the date. Records without the table ``protection_plans`` give no such column.
    """
    children = records.table("children")
    facts = ["birth_date", "expected_birth_date", "sex", "ethnicity", "disabled", "uasc"]
    # A child is one row; were there two, a case must still count once.
    once = children.group_by(_unit=children.unit, _child=children.child).aggregate(
        **{fact: children[fact].max() for fact in facts}
    )
    joined = table.left_join(once, [table.unit == once["_unit"], table.child == once["_child"]])
    born = ibis.coalesce(joined.birth_date, joined.expected_birth_date)
    joined = joined.mutate(age=completed_years(born, joined[date]))
    joined = joined.mutate(
        age_band=age_band(joined.age, settings.age_cuts),
        sex=joined.sex.fill_null(MISSING),
        ethnic_group=ethnic_group(joined.ethnicity, settings.ethnic_groups),
        disabled=yes_no(joined.disabled),
        uasc=yes_no(joined.uasc),
    ).drop("_unit", "_child", "birth_date", "expected_birth_date", "ethnicity")
    if "protection_plans" not in records.tables:
        return joined
    plans = records.table("protection_plans")
    joined = event_in_window(
        joined, plans, event="start_date", name="_plan", date=date, from_day=None, to_day=-1
    )
    return joined.mutate(previous_plan=yes_no(joined["_plan"].notnull())).drop("_plan")


# Steps ------------------------------------------------------------------------------------------


class Attrition:
    """Keeps records step by step and counts what each step drops.

    All steps are counted in one pass when :meth:`frame` is called.

    >>> steps = Attrition(ibis.memtable({"n": [1, 2, 3]}), "numbers", "all of them")
    >>> steps.keep("odd", _.n % 2 == 1, "even numbers")
    >>> steps.frame()[["step", "n_before", "n_dropped", "n_after"]].to_dict("split")["data"]
    [['numbers', 3, 0, 3], ['odd', 3, 1, 2]]
    """

    def __init__(self, table: ibis.Table, step: str, reason: str) -> None:
        self._all = table
        self._names = [(step, reason)]
        self._conditions: list[Any] = []

    def keep(self, step: str, condition: Any, reason: str) -> None:
        """Add a step.

        Args:
            step: What the records that stay are.
            condition: Boolean expression, usually with ``ibis._``; null drops the record.
            reason: Which records go, and why.
        """
        self._names.append((step, reason))
        self._conditions.append(self._all.bind(condition)[0].fill_null(False))

    @property
    def table(self) -> ibis.Table:
        """The records that all steps so far keep."""
        return self._all.filter(self._conditions) if self._conditions else self._all

    def frame(self) -> pd.DataFrame:
        """Return ``step, reason, n_before, n_dropped, n_after``, one row a step."""
        kept, sums = ibis.literal(True), {"0": self._all.count()}
        for number, condition in enumerate(self._conditions, start=1):
            kept = kept & condition
            sums[str(number)] = kept.cast("int64").sum().fill_null(0)
        after = [int(n) for n in self._all.aggregate(**sums).to_pandas().iloc[0]]
        before = [after[0], *after[:-1]]
        return pd.DataFrame(
            {
                "step": [step for step, _reason in self._names],
                "reason": [reason for _step, reason in self._names],
                "n_before": before,
                "n_dropped": [b - a for b, a in zip(before, after, strict=True)],
                "n_after": after,
            }
        )


def data_end(records: Records, settings: ChildSettings) -> dt.date:
    """Return the last day that the records cover.

    Raises:
        DataError: If neither the records nor the settings say.
    """
    end = settings.data_end or records.end
    if end is None:
        raise DataError(
            "The records do not say on which day they end, so nobody can tell whose follow-up is "
            "complete. Set 'data_end' of the outcome to the last day that the records cover."
        )
    return end


def keep_observed(
    steps: Attrition, records: Records, settings: ChildSettings, *, until: str = "follow_up_end"
) -> None:
    """Keep records of a known child and date whose follow-up lies within the data.

    Args:
        steps: Steps over a table with ``unit``, ``child``, ``date`` and the column ``until``.
        records: Give the first and last day.
        settings: Of the outcome.
        until: Column with the day up to which a record must be observed.
    """
    end = data_end(records, settings)
    steps.keep(
        "authority, child and date known",
        _.unit.notnull() & _.child.notnull() & _.date.notnull(),
        "no authority, child identifier or date",
    )
    if settings.entered_in_data and records.start is not None:
        steps.keep(
            "dated within the records",
            _.date >= records.start,
            f"dated before the records start on {records.start}",
        )
    steps.keep(
        "follow-up complete", _[until] <= end, f"follow-up not complete when the data end on {end}"
    )


def keep_ages(steps: Attrition, settings: ChildSettings) -> None:
    """Keep children within the age bounds, and those of unknown age unless age is a covariate."""
    low, high = settings.min_age, settings.max_age
    steps.keep(
        "age within bounds",
        _.age.isnull() | _.age.between(low, high),
        f"age in completed years below {low} or above {high}; an unknown age stays",
    )
    if "age" in settings.covariates:
        steps.keep("age known", _.age.notnull(), "age unknown, and age is a covariate")


def completeness(candidates: ibis.Table, usable: Any) -> pd.DataFrame:
    """Count, by authority and period, the candidates and those that can be judged.

    Args:
        candidates: Table with ``unit`` and ``period``, one row a candidate.
        usable: Boolean expression; null is false.
    """
    flagged = candidates.mutate(_usable=usable).mutate(_usable=_._usable.fill_null(False))
    counted = flagged.group_by(["unit", "period"]).aggregate(
        n_candidates=_.count(), n_usable=_._usable.cast("int64").sum()
    )
    frame: pd.DataFrame = counted.order_by(["unit", "period"]).to_pandas()
    return frame.astype({"period": "int64", "n_candidates": "int64", "n_usable": "int64"})


def to_cases(
    steps: Attrition,
    *,
    info: OutcomeInfo,
    settings: Settings,
    covariates: Sequence[str],
    completeness: pd.DataFrame,
    extra: Sequence[str] = (),
) -> Cases:
    """Return what the steps keep as cases.

    Args:
        steps: Their table has the columns of :data:`sos_plugins.schema.CASE_COLUMNS`.
        info: The outcome.
        settings: The settings used.
        covariates: Columns that are covariates; those that the table lacks are left out.
        completeness: Of :func:`completeness`.
        extra: Columns that are kept without being covariates.

    Raises:
        DataError: If no case is left; the message names the step that dropped the last.
    """
    attrition = steps.frame()
    if attrition["n_after"].iloc[-1] == 0:
        raise DataError(_nothing_left(info.name, attrition))
    table = steps.table
    listed = tuple(c for c in covariates if c in table.columns)
    wanted = [*CASE_COLUMNS, *listed, *(c for c in extra if c in table.columns)]
    return Cases(
        table=table.mutate(value=_.value.cast("float64")).select(list(dict.fromkeys(wanted))),
        info=info,
        covariates=listed,
        attrition=attrition,
        completeness=completeness,
        settings=settings.model_dump(),
    )


def _nothing_left(name: str, attrition: pd.DataFrame) -> str:
    first = attrition.iloc[0]
    if first["n_after"] == 0:
        return f"Outcome '{name}' has no cases: there are no {first['step']}."
    last = attrition[attrition["n_after"] == 0].iloc[0]
    return (
        f"Outcome '{name}' has no cases: of {first['n_after']:,} {first['step']}, the last "
        f"{last['n_dropped']:,} were dropped at the step '{last['step']}' ({last['reason']}). "
        "Look at the records or change the settings of that step."
    )
