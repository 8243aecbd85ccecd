"""The same row in several returns, made one.

A row recurs in later returns, and sometimes twice in one. Rows with the same key become one; each
column takes the latest value that is not missing, in the order of ``ord`` (returns by year, rows
within a file). A column whose values differ counts as a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sos_plugins.contract.types import QualityProfile
from sos_sources.sql.sql_checks import SqlCheck, profile

YEAR_SHIFT = 80
FILLED_SHIFT = 72
"""Bits of a 128-bit order: the year of the return, whether the row is filled, ``ord`` (62 bits)."""


@dataclass(frozen=True)
class Merge:
    """How one record table is merged.

    Attributes:
        table: Name of the table; rows are read from the relation ``<table>_typed``, which
            has ``unit``, ``period`` (year of the return), ``file``, ``line`` and ``ord``, and
            written to ``<table>_merged``.
        key: Expressions in which rows of one thing agree, by name.
        values: Columns that take the latest value.
        together: Columns that are taken from one row of the last return, missing values too:
            whether a case is open is what its last return says. Of several rows of that return a
            filled one is taken, the last of them.
        order: For single columns, SQL that replaces ``ord``.
        conflict: For single columns, SQL of the value compared for conflicts.
        label: Name of the table in the profile, when it is not ``table``.
        where: Which rows are merged; the others are dropped and must be counted by a check.
        checks: Checks on the merged table.
        called: What columns are called in the profile, where that is not their name.
    """

    table: str
    key: Mapping[str, str]
    values: Sequence[str]
    together: Sequence[str] = ()
    order: Mapping[str, str] = field(default_factory=dict)
    conflict: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    where: str = "true"
    checks: Sequence[SqlCheck] = ()
    called: Mapping[str, str] = field(default_factory=dict)


def merge(con: Any, plan: Merge, *, source: str, examples: int) -> QualityProfile:
    """Write ``<table>_merged`` and count duplicates, recurrences and conflicts.

    Most rows have a key of their own. Only the others are grouped, which takes long.
    """
    con.execute(_again(plan))
    con.execute(_repeated(plan))
    con.execute(_merged(plan))
    label = plan.label or plan.table
    repeats = (
        SqlCheck(label, "", "duplicate", "nth > 0", "merged"),
        SqlCheck(label, "", "recurrence", "nth = 0 AND period < last_period", "merged"),
    )
    conflicts = tuple(
        SqlCheck(
            label,
            plan.called.get(column, column),
            "conflict",
            f"{column}__conflict",
            "merged",
            "n_rows > 1",
        )
        for column in (*plan.values, *plan.together)
    )
    return profile(
        con, f"{plan.table}_repeated", repeats, source=source, examples=examples
    ) + profile(
        con, f"{plan.table}_merged", (*conflicts, *plan.checks), source=source, examples=examples
    )


def _rows(plan: Merge) -> str:
    """Return SQL of all rows with a digest of their key; two keys may share one."""
    return (
        f"(SELECT *, hash({', '.join(plan.key.values())}) AS digest "
        f"FROM {plan.table}_typed WHERE {plan.where})"
    )


def _again(plan: Merge) -> str:
    """Return SQL for the digests that more than one row has."""
    return (
        f"CREATE TABLE {plan.table}_again AS SELECT digest FROM {_rows(plan)} "
        "GROUP BY digest HAVING count(*) > 1"
    )


def _alone(plan: Merge) -> str:
    """Return SQL of the rows whose key no other row has."""
    return f"FROM {_rows(plan)} ANTI JOIN {plan.table}_again USING (digest)"


def _keyed(plan: Merge, *columns: str) -> str:
    """Return SQL of the rows to merge: their key as ``key__<name>``, then the columns."""
    keys = [f"{sql} AS key__{name}" for name, sql in plan.key.items()]
    head = ["period", "file", "line", "ord"]
    chosen = ", ".join([*keys, *head, *columns])
    return f"(SELECT {chosen} FROM {_rows(plan)} SEMI JOIN {plan.table}_again USING (digest))"


def _by(plan: Merge) -> str:
    return ", ".join(f"key__{name}" for name in plan.key)


def _repeated(plan: Merge) -> str:
    """Return SQL for the rows as read: the how-manieth of their key within their return."""
    by = _by(plan)
    return (
        f"CREATE TABLE {plan.table}_repeated AS WITH counted AS (SELECT {by}, period, "
        "count(*) AS n, arg_max(file, ord) AS file, arg_max(line, ord) AS line "
        f"FROM {_keyed(plan)} GROUP BY {by}, period), "
        f"placed AS (SELECT key__unit AS unit, period, file, line, n, "
        f"max(period) OVER (PARTITION BY {by}) AS last_period FROM counted) "
        "SELECT * EXCLUDE (n), unnest(range(n)) AS nth FROM placed "
        f"UNION ALL SELECT {plan.key['unit']}, period, file, line, period, 0 {_alone(plan)}"
    )


def _merged(plan: Merge) -> str:
    parts = [f"key__{name} AS {name}" for name in plan.key]
    alone = [f"{sql} AS {name}" for name, sql in plan.key.items()]
    alone += [
        f"{c}, false AS {c}__conflict" if c not in plan.key else f"false AS {c}__conflict"
        for c in (*plan.values, *plan.together)
    ]
    keyed_by_period = "period" in plan.key
    alone += [*([] if keyed_by_period else ["period"]), "file", "line", "1 AS n_rows"]
    for column in plan.values:
        compared = plan.conflict.get(column, column)
        parts += [
            f"arg_max({column}, {plan.order.get(column, 'ord')}) AS {column}",
            f"coalesce(min({compared}) <> max({compared}), false) AS {column}__conflict",
        ]
    for column in plan.together:
        last = f"arg_max_null({column}, last_filled)"
        parts += [
            f"{last} AS {column}",
            f"coalesce(min({column}) <> max({column}), false) OR (count({column}) > 0 AND "
            f"{last} IS NULL) AS {column}__conflict",
        ]
    parts += [
        *([] if keyed_by_period else ["max(period) AS period"]),
        "arg_max(file, ord) AS file",
        "arg_max(line, ord) AS line",
        "count(*) AS n_rows",
    ]
    filled = " OR ".join(f"{c} IS NOT NULL" for c in plan.together) or "false"
    order = (
        f"(period::HUGEINT << {YEAR_SHIFT}) + (({filled})::INT::HUGEINT << {FILLED_SHIFT}) + ord "
        "AS last_filled"
    )
    columns = [c for c in (*plan.values, *plan.together) if c not in plan.key]
    return (
        f"CREATE TABLE {plan.table}_merged AS SELECT {', '.join(parts)} "
        f"FROM {_keyed(plan, *columns, order)} GROUP BY {_by(plan)} "
        f"UNION ALL BY NAME SELECT {', '.join(alone)} {_alone(plan)}"
    )
