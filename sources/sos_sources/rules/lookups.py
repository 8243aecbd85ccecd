"""What rules look up in other rows and tables: the end of the records, the child, overlaps.

Each function adds columns that begin with ``_`` and leaves one row one row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import ibis

from sos_plugins import Records, Session

CHILD = ("unit", "child")
REFERRAL = ("unit", "child", "referral_date")
NEVER = dt.date(9999, 12, 31)
"""The end of what goes on, where records have no end."""


def keys(table: ibis.Table, *names: str) -> dict[str, ibis.Value]:
    """Return columns under the names that :func:`same` compares and :func:`joined` drops."""
    return {f"_of_{name}": table[name] for name in names}


def same(table: ibis.Table, other: ibis.Table, *names: str) -> list[ibis.Value]:
    """Return that two tables agree in columns, those of the other made by :func:`keys`."""
    return [table[name] == other[f"_of_{name}"] for name in names]


def joined(table: ibis.Table, other: ibis.Table, *names: str) -> ibis.Table:
    """Add the columns of another table, which has each key once, to the rows with that key."""
    wide = table.left_join(other, same(table, other, *names))
    return wide.drop(*(f"_of_{name}" for name in names))


def day_number(column: ibis.Value) -> Any:
    """Return the days since 1970, by which a window may run over what lies on the same day."""
    return column.delta(ibis.date("1970-01-01"), unit="day")


def in_order(table: ibis.Table, **bounds: Any) -> Any:
    """Return the window over a child's rows by start, then by end; those that lack one come last.

    Args:
        table: The rows.
        bounds: ``preceding`` and ``following`` of :func:`ibis.window`.
    """
    start, end = table["start_date"], table["end_date"]
    order = [start.isnull(), start, end.isnull(), end]
    return ibis.window(group_by=CHILD, order_by=order, **bounds)


def with_end(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add ``_end``, the last day of the records; empty where they have none."""
    return table.mutate(_end=ibis.literal(records.end, type="date"))


def with_birth(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add ``_birth_date`` and ``_expected_birth_date`` of the child, and ``_end``."""
    children = records.table("children")
    born = children.group_by(**keys(children, *CHILD)).aggregate(
        _birth_date=children["birth_date"].max(),
        _expected_birth_date=children["expected_birth_date"].max(),
    )
    return with_end(joined(table, born, *CHILD), records, session)


def last_day(records: Records) -> dt.date:
    """Return the last day of the records, or a day that nothing reaches."""
    return records.end or NEVER


def starts_within(
    table: ibis.Table, by: Collection[str], start: str, until: ibis.Value
) -> ibis.Value:
    """Return whether a row starts while another of the same key runs, the last day included.

    Args:
        table: The rows.
        by: The key.
        start: Column of the first day; rows without one overlap none.
        until: Last day of each row; one without overlaps no other.
    """
    key = [*by, table[start].isnull()]
    order = [day_number(table[start]), until]
    whole = ibis.window(group_by=key, order_by=order)
    earlier = ibis.window(group_by=key, order_by=order, preceding=(None, 1))
    reach = until.max().over(earlier)
    twin = (table[start].lead().over(whole) == table[start]) & until.lead().over(whole).notnull()
    return ((table[start] <= reach).fill_null(False) | twin.fill_null(False)) & (
        table[start].notnull()
    )
