"""The kinds that validation rules are of: an order of dates, a pair of codes, an age, a length.

Each function returns a condition: given a table, an expression that is true for a row that breaks
the rule and null where a value that it needs is missing. Columns that begin with ``_`` are those
of :mod:`sos_sources.rules.lookups`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import ibis

from sos_plugins import RecordRule
from sos_plugins.authors.derive import completed_years

Condition = Callable[[ibis.Table], Any]
Codes = Mapping[str, Collection[str]]
"""Codes by column."""


@dataclass(frozen=True)
class Numbering:
    """How the rules of one collection are named, and where they are published.

    Attributes:
        prefix: What the name of a fault begins with, such as ``"cin"``.
        source: The publication.
        word: What it calls a rule.
        usual: Fields of :class:`~sos_plugins.RecordRule` that its rules share.
    """

    prefix: str
    source: str
    word: str
    usual: Mapping[str, Any]

    def rule(
        self,
        number: str,
        table: str,
        columns: tuple[str, ...],
        sentence: str,
        broken: Condition,
        **more: Any,
    ) -> RecordRule:
        """Return a rule.

        Args:
            number: Its published number.
            table: The record table whose rows are judged.
            columns: The columns that contradict each other, the one most likely wrong first.
            sentence: What is wrong with a row that breaks it.
            broken: The condition.
            more: Further fields of :class:`~sos_plugins.RecordRule`.
        """
        source = f"{self.source}, {self.word} {number}"
        values = {**self.usual, "source": source, **more}
        return RecordRule(f"{self.prefix}:{number}", sentence, table, columns, broken, **values)


def text(column: ibis.Value) -> Any:
    """Return a column whose missing values compare as an empty text."""
    return column.fill_null("")


def before(first: str, second: str) -> Condition:
    """The first date lies before the second."""
    return lambda t: t[first] < t[second]


def not_after(first: str, second: str) -> Condition:
    """The first date lies before the second or on the same day."""
    return lambda t: t[first] <= t[second]


def same_day(first: str, second: str) -> Condition:
    """Two dates are the same day."""
    return lambda t: t[first] == t[second]


def after_the_end(column: str) -> Condition:
    """A date lies after the end of the records, which is that of their last return."""
    return lambda t: t[column] > t["_end"]


def both(codes: Codes) -> Condition:
    """Every one of some columns has one of its codes."""
    return lambda t: reduce(and_, (t[column].isin(sorted(of)) for column, of in codes.items()))


def without(codes: Codes, wanted: Codes) -> Condition:
    """Columns have their codes, and one of the wanted columns does not: it has another or none."""

    def broken(t: ibis.Table) -> Any:
        found = reduce(and_, (text(t[c]).isin(sorted(of)) for c, of in wanted.items()))
        return both(codes)(t) & ~found

    return broken


def empty_for(column: str, codes: Codes) -> Condition:
    """A column is empty although others have these codes."""
    return lambda t: t[column].isnull() & both(codes)(t)


def filled_for(column: str, codes: Codes) -> Condition:
    """A column is filled although others have these codes."""
    return lambda t: t[column].notnull() & both(codes)(t)


def longer(days: int, codes: Codes, *, until: str = "end_date") -> Condition:
    """What has these codes lasts more days than it may, from ``start_date`` on."""
    return lambda t: both(codes)(t) & (t[until].delta(t["start_date"], unit="day") > days)


def younger(years: int, on: str, codes: Codes) -> Condition:
    """The child has not reached an age on a day."""
    return lambda t: both(codes)(t) & (age(t, on) < years)


def reached(years: int, on: str, codes: Codes) -> Condition:
    """The child has reached an age on a day."""
    return lambda t: both(codes)(t) & (age(t, on) >= years)


def past(t: ibis.Table, years: int, on: str) -> Any:
    """Return whether a day lies after the birthday on which a child becomes so many years old."""
    return completed_years(t["_birth_date"], t[on] - ibis.interval(days=1)) >= years


def age(t: ibis.Table, on: str) -> Any:
    """Return the completed years of the child on a day."""
    return completed_years(t["_birth_date"], t[on])
