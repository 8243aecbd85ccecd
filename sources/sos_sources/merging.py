"""The same row in several returns, made one.

A row recurs in later returns, and sometimes twice in one. Rows with the same key become one; each
column takes the latest value that is not missing, in the order of ``ord`` (returns by year, rows
within a file). A column whose values differ counts as a conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sos_plugins.types import QualityProfile
from sos_sources.checks import Check, profile


@dataclass(frozen=True)
class Merge:
    """How one record table is merged.

    Attributes:
        table: Name of the table; rows are read from the relation ``<table>_typed``, which
            has ``unit``, ``period`` (year of the return), ``file``, ``line`` and ``ord``, and
            written to ``<table>_merged``.
        key: Expressions in which rows of one thing agree, by name.
        values: Columns that take the latest value.
        together: Columns that are taken from the last return as they stand there, missing values
            too: whether a case is open is what its last return says.
        order: For single columns, SQL that replaces ``ord``.
        conflict: For single columns, SQL of the value compared for conflicts.
        label: Name of the table in the profile, when it is not ``table``.
        where: Which rows are merged; the others are dropped and must be counted by a check.
        checks: Checks on the merged table.
    """

    table: str
    key: Mapping[str, str]
    values: Sequence[str]
    together: Sequence[str] = ()
    order: Mapping[str, str] = field(default_factory=dict)
    conflict: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    where: str = "true"
    checks: Sequence[Check] = ()


def merge(con: Any, plan: Merge, *, source: str, examples: int) -> QualityProfile:
    """Write ``<table>_merged`` and count duplicates, recurrences and conflicts."""
    con.execute(_ranked(plan))
    con.execute(_merged(plan))
    label = plan.label or plan.table
    repeats = (
        Check(label, "", "duplicate", "nth > 1", "merged"),
        Check(label, "", "recurrence", "nth = 1 AND period < last_period", "merged"),
    )
    conflicts = tuple(
        Check(label, column, "conflict", f"{column}__conflict", "merged", "n_rows > 1")
        for column in (*plan.values, *plan.together)
    )
    return profile(
        con, f"{plan.table}_ranked", repeats, source=source, examples=examples
    ) + profile(
        con, f"{plan.table}_merged", (*conflicts, *plan.checks), source=source, examples=examples
    )


def _ranked(plan: Merge) -> str:
    keys = ", ".join(f"{sql} AS key__{name}" for name, sql in plan.key.items())
    by = ", ".join(f"key__{name}" for name in plan.key)
    return (
        f"CREATE TABLE {plan.table}_ranked AS "
        f"WITH keyed AS (SELECT *, {keys} FROM {plan.table}_typed WHERE {plan.where}) "
        f"SELECT *, row_number() OVER (PARTITION BY {by}, period ORDER BY ord DESC) AS nth, "
        f"max(period) OVER (PARTITION BY {by}) AS last_period FROM keyed"
    )


def _merged(plan: Merge) -> str:
    by = [f"key__{name}" for name in plan.key]
    parts = [f"any_value({key}) AS {key.removeprefix('key__')}" for key in by]
    for column in plan.values:
        compared = plan.conflict.get(column, column)
        parts += [
            f"arg_max({column}, {plan.order.get(column, 'ord')}) AS {column}",
            f"coalesce(min({compared}) <> max({compared}), false) AS {column}__conflict",
        ]
    for column in plan.together:
        filled = " OR ".join(f"{c} IS NOT NULL" for c in plan.together)
        last = f"arg_max_null({column}, (({filled})::INT::HUGEINT << 64) + ord)"
        parts += [
            f"{last} FILTER (WHERE period = last_period) AS {column}",
            f"coalesce(min({column}) <> max({column}), false) OR (count({column}) > 0 AND "
            f"count({column}) FILTER (WHERE period = last_period) = 0) AS {column}__conflict",
        ]
    parts += [
        "max(period) AS period",
        "arg_max(file, ord) AS file",
        "arg_max(line, ord) AS line",
        "count(*) AS n_rows",
    ]
    return (
        f"CREATE TABLE {plan.table}_merged AS SELECT {', '.join(parts)} "
        f"FROM {plan.table}_ranked GROUP BY {', '.join(by)}"
    )
