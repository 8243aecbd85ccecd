"""Counting faults: conditions in SQL become rows of a quality profile.

A relation that is checked has the columns ``unit``, ``period``, ``file`` and ``line``. All checks
of a relation are counted in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sos_plugins.contract.types import EXAMPLE_COLUMNS, QUALITY_COLUMNS, QualityProfile
from sos_plugins.tables.csv_text import TextTable

LONGEST_CODE = 6
"""A text up to this long is shown as it is where a code was expected."""
LONGEST_TEXT = 30


@dataclass(frozen=True)
class SqlCheck:
    """One condition on the rows of a table.

    Attributes:
        table: Record table, as users know it.
        column: Its column, or "" for the row.
        check: Name of the check, see :class:`sos_plugins.contract.types.QualityProfile`.
        flagged: SQL condition that a faulty row meets.
        action: What is done with it.
        looked_at: SQL condition on the rows that the check applies to.
        text: SQL for the text of an example.
    """

    table: str
    column: str
    check: str
    flagged: str
    action: str = "kept"
    looked_at: str = "true"
    text: str = "''"


def form(column: str) -> str:
    """Return SQL that shows the form of a text and hides what it says: ``99/99/9999``."""
    masked = f"regexp_replace({column}, '[[:digit:]]', '9', 'g')"
    return f"left(regexp_replace({masked}, '[[:alpha:]]', 'A', 'g'), {LONGEST_TEXT})"


def code(column: str) -> str:
    """Return SQL that shows a short text as it is, and of a longer one its form."""
    return f"CASE WHEN length({column}) <= {LONGEST_CODE} THEN {column} ELSE {form(column)} END"


def line_breaks(text: TextTable, *, source: str, file: str) -> QualityProfile:
    """Count the rows of a CSV file that have cells with line breaks; nothing where none has."""
    if not text.broken:
        return QualityProfile()
    label = {"source": source, "table": "files", "column": file, "check": "line-break"}
    counts = {"n": text.n_rows, "n_flagged": len(text.broken), "action": "kept"}
    rows = QualityProfile.of([{**label, **counts}])
    return QualityProfile(rows.checks.astype({"period": "Int64"}))


def profile(
    con: Any, relation: str, checks: Sequence[SqlCheck], *, source: str, examples: int
) -> QualityProfile:
    """Count checks by unit and period; a check that found nothing is one row for all.

    Args:
        con: DuckDB connection.
        relation: Table or view that is checked.
        checks: The conditions.
        source: Name of the source, for the profile.
        examples: How many examples a check gives at most.
    """
    if not checks:
        return QualityProfile()
    conditions = _conditions(checks)
    counts = con.execute(_counting(relation, conditions)).fetchall()
    places = {condition: 2 + i for i, condition in enumerate(conditions)}
    rows: list[tuple[Any, ...]] = []
    rows_shown: list[tuple[Any, ...]] = []
    for check in checks:
        label = (source, check.table, check.column, check.check)
        n, n_flagged = places[check.looked_at], places[_faulty(check)]
        triples = [(r[0], r[1], r[n], r[n_flagged]) for r in counts if r[n]]
        if any(t[3] for t in triples):
            rows += [(*label, *t, check.action) for t in triples]
            rows_shown += [(*label, *e) for e in _examples(con, relation, check, examples)]
        else:
            rows.append((*label, None, None, sum(t[2] for t in triples), 0, check.action))
    counted = pd.DataFrame(rows, columns=list(QUALITY_COLUMNS)).astype({"period": "Int64"})
    return QualityProfile(
        checks=counted,
        examples=pd.DataFrame(rows_shown, columns=list(EXAMPLE_COLUMNS)),
    )


def _faulty(check: SqlCheck) -> str:
    return f"({check.looked_at}) AND ({check.flagged})"


def _conditions(checks: Sequence[SqlCheck]) -> list[str]:
    """Return the conditions that are counted, each once: many checks look at the same rows."""
    both = [condition for c in checks for condition in (c.looked_at, _faulty(c))]
    return list(dict.fromkeys(both))


def _counting(relation: str, conditions: Sequence[str]) -> str:
    counts = ", ".join(f"count_if({condition})" for condition in conditions)
    return f"SELECT unit, period, {counts} FROM {relation} GROUP BY unit, period ORDER BY ALL"


def _examples(con: Any, relation: str, check: SqlCheck, limit: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = con.execute(
        f"SELECT unit, file, line, {check.text} FROM {relation} "
        f"WHERE ({check.looked_at}) AND ({check.flagged}) ORDER BY file, line LIMIT {limit}"
    ).fetchall()
    return rows
