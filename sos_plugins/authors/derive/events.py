"""Events of a child: the nearest within a window, repeats, periods of care."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
from ibis import _

from sos_plugins.authors.derive.dates import add_days
from sos_plugins.contract.session import Session

KEY = ("unit", "child")
"""What identifies a child: identifiers are unique within one authority only."""


def number_repeats(table: ibis.Table, *, key: Sequence[str], latest: Sequence[str]) -> ibis.Table:
    """Add column ``repeat``: 0 for one row of every key, 1, 2 ... for its repeats.

    Follow it with ``steps.keep("recorded once", _["repeat"] == 0, ...)``.

    Args:
        table: Table with the columns of ``key`` and ``latest``.
        key: Columns that a row shares with its repeats.
        latest: Columns that choose the row numbered 0: the one with the highest values, column by
            column; a missing value is the lowest.

    Returns:
        The table with the column added, in any order.
    """
    # Few rows are repeated, so only they are put in order; the others need no more than a count.
    counted = table.group_by(list(key)).aggregate(_rows=_.count())
    again = counted.filter(_["_rows"] > 1).select(*key)
    once = table.anti_join(again, list(key)).mutate(repeat=ibis.literal(0, "int64"))
    several = table.semi_join(again, list(key))
    order = [part for c in latest for part in (several[c].isnull().asc(), ibis.desc(several[c]))]
    rank = ibis.row_number().over(ibis.window(group_by=list(key), order_by=order))
    return ibis.union(once, several.mutate(repeat=rank.cast("int64")))


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
    key: Sequence[str] = KEY,
    session: Session | None = None,
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
        key: Columns of both tables in which a row and its events agree: those of a child, and
            perhaps of one of its referrals.
        session: Where the events of each child are listed once for all outcomes.

    Returns:
        The table with the column added, one row for each of its rows.
    """
    names = {column: f"_key_{n}" for n, column in enumerate(key)}
    happened = events.select(_event=events[event], **{n: events[c] for c, n in names.items()})
    happened = happened.filter(happened["_event"].notnull())
    # A list a child: one pass over the events and one join, however many rows a child has.
    lists = happened.group_by(list(names.values())).aggregate(_events=_["_event"].collect())
    if session is not None:
        listed = lists
        lists = session.once("events", listed.op(), lambda: listed)
    same = [table[column] == lists[name] for column, name in names.items()]
    joined = table.left_join(lists, same)

    def within(day: Any) -> Any:
        inside = joined[date].notnull()
        if from_day is not None:
            inside &= day >= add_days(joined[date], from_day)
        if to_day is not None:
            inside &= day <= add_days(joined[date], to_day)
        return inside

    matching = joined["_events"].filter(within)
    dates = matching.maxs() if last else matching.mins()
    return joined.mutate(**{name: dates}).drop(*names.values(), "_events")


def periods_of_care(episodes: ibis.Table, *, further: Sequence[str] = ()) -> ibis.Table:
    """Return one row a period of care: its first episode.

    ``start_date``, ``reason_start``, ``legal_status`` and ``placement`` are those of the first
    episode of the period, however many episodes and years it spans. Of several that start on one
    day, that which also ended on it is the first; later ends do not matter, as they may not have
    been known yet.

    Args:
        episodes: The record table ``episodes``.
        further: Further columns of the first episode.

    Returns:
        Table ``unit, child, period_of_care, start_date, reason_start, legal_status, placement`` and
        the further columns.
    """
    key = [*KEY, "period_of_care"]
    begun = episodes["start_date"]
    at_once = (episodes["end_date"] == begun).fill_null(False)
    facts = ("reason_start", "legal_status", "placement", *further)
    told = [episodes[c] for c in facts]
    order = [begun.asc(), at_once.desc()]
    order += [part for c in told for part in (c.isnull().asc(), c.desc())]
    rank = ibis.row_number().over(ibis.window(group_by=key, order_by=order))
    first = episodes.mutate(_rank=rank).filter(_._rank == 0)
    return first.select(*key, "start_date", *facts)
