"""Rules on codes: one that is written in lower case, and one that no year of a return knows."""

from __future__ import annotations

from collections.abc import Collection

import ibis

from sos_plugins import RecordRule

LOWER_CASE = "lower-case-code"
MISSPELT = "misspelt-code"


def code_rules(table: str, column: str, known: Collection[str]) -> tuple[RecordRule, RecordRule]:
    """Return the two rules on one column of codes.

    Args:
        table: The record table.
        column: Its column.
        known: The codes of all years, in upper case.
    """
    spelt = sorted(known)

    def lower(rows: ibis.Table) -> ibis.Value:
        code = rows[column]
        return code.upper().isin(spelt) & ~code.isin(spelt)

    def unknown(rows: ibis.Table) -> ibis.Value:
        return ~rows[column].upper().isin(spelt)

    what = f"{column} of {table}"
    return (
        RecordRule(LOWER_CASE, f"A code in lower case: {what}.", table, (column,), lower),
        RecordRule(
            MISSPELT, f"A code that no year of the return knows: {what}.", table, (column,), unknown
        ),
    )
