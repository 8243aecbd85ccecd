"""Rows judged by rules: one boolean column a rule, true where the row breaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ibis

from sos_plugins.authors.derive import april_year
from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.contract.rules import RecordRule
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records

PERIOD = "_period"
"""Column of the April-year in which a row counts; null where no date tells."""
RULE = "_rule_"
"""What the columns of rules begin with, before their number."""


@dataclass(frozen=True)
class Judged:
    """A table whose rows are judged.

    Attributes:
        table: The record table, :data:`PERIOD`, and one boolean column a rule, never null.
        rules: The rules by column.
        left_out: Rules that need a table the records do not have.
    """

    table: ibis.Table
    rules: Mapping[str, RecordRule]
    left_out: tuple[RecordRule, ...] = ()


def check_rules(
    records: Records, name: str, rules: Sequence[RecordRule], session: Session
) -> Judged:
    """Judge every row of one record table.

    Args:
        records: The records.
        name: Name of the table.
        rules: Rules on any tables; those on others are passed over.
        session: Where what several rules look up is put.
    """
    table = with_period(records, name)
    own = [rule for rule in rules if rule.table == name]
    ready = [rule for rule in own if set(rule.needs) <= set(records.tables)]
    for adds in dict.fromkeys(rule.adds for rule in ready):
        if adds is not None:
            table = adds(table, records, session)
    columns = {f"{RULE}{number}": rule for number, rule in enumerate(ready)}
    broken = {column: _broken(table, rule) for column, rule in columns.items()}
    if broken:
        table = table.mutate(**broken)
    return Judged(table, columns, tuple(rule for rule in own if rule not in ready))


def _broken(table: ibis.Table, rule: RecordRule) -> ibis.Value:
    broken = rule.broken(table).fill_null(False)
    if rule.first_year is not None:
        broken &= (table[PERIOD] >= rule.first_year).fill_null(False)
    if rule.last_year is not None:
        broken &= (table[PERIOD] <= rule.last_year).fill_null(False)
    return broken


def with_period(records: Records, name: str) -> ibis.Table:
    """Return a record table with the April-year in which each of its rows counts.

    A child counts in the year of its first referral or episode, all else in that of its date.
    """
    table, about = records.table(name), RECORD_TABLES[name]
    if about.dates:
        date = ibis.coalesce(*(table[column] for column in about.dates))
        return table.mutate(**{PERIOD: april_year(date)})
    if about.period:
        return table.mutate(**{PERIOD: table[about.period].cast("int64")})
    return _with_first_year(records, table)


def _with_first_year(records: Records, table: ibis.Table) -> ibis.Table:
    events = [
        records.table(name).select(
            _of_unit="unit",
            _of_child="child",
            _date=records.table(name)[RECORD_TABLES[name].dates[0]],
        )
        for name in ("referrals", "episodes")
        if name in records.tables
    ]
    if not events:
        return table.mutate(**{PERIOD: ibis.null("int64")})
    first = (
        (ibis.union(*events) if len(events) > 1 else events[0])
        .group_by(["_of_unit", "_of_child"])
        .aggregate(_first=lambda t: t["_date"].min())
    )
    same = [table["unit"] == first["_of_unit"], table["child"] == first["_of_child"]]
    joined = table.left_join(first, same)
    return joined.mutate(**{PERIOD: april_year(joined["_first"])}).drop(
        "_of_unit", "_of_child", "_first"
    )
