"""How a test asks which rows of hand-made records break which rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import outcome_helpers

from sos_plugins import RecordRule, Session
from sos_plugins.profile.rule_checks import check_rules

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by record table, of one child."""


def broken(
    children: Mapping[str, Rows],
    rules: Sequence[RecordRule],
    session: Session,
    number: str = "",
    **bounds: Any,
) -> dict[str, list[str]]:
    """Judge the rows of several children at once.

    Args:
        children: What the records hold of each child.
        rules: The rules asked.
        session: Where the records are put.
        number: Only rules of this name count.
        bounds: Start and end of the records.

    Returns:
        Names of broken rules by child, one for each row that breaks it, sorted; children that
        break none are there too.
    """
    rules = [rule for rule in rules if number in ("", rule.name)]
    tables: dict[str, list[dict[str, Any]]] = {rule.table: [] for rule in rules}
    tables |= {name: [] for rule in rules for name in rule.needs}
    for child, rows in children.items():
        for name, part in rows.items():
            tables.setdefault(name, []).extend({"child": child, **row} for row in part)
    if "children" in tables:
        tables["children"] += outcome_helpers.unknown_children(tables)
    records = outcome_helpers.records(session, **bounds, **tables)
    rules_of: dict[str, list[str]] = {child: [] for child in children}
    for name in {rule.table for rule in rules}:
        result = check_rules(records, name, rules, session)
        assert not result.left_out
        rows = result.table.to_pandas()
        for column, rule in result.rules.items():
            for child in rows.loc[rows[column], "child"]:
                rules_of[child].append(rule.name)
    return {child: sorted(names) for child, names in rules_of.items()}


def counts_that_differ(
    cases: Mapping[str, Mapping[str, tuple[int, Rows]]],
    rules: Sequence[RecordRule],
    session: Session,
) -> dict[str, tuple[int, int]]:
    """Judge all cases at once; each is one child.

    Args:
        cases: By rule and case, how many rows break the rule, and the rows.
        rules: The rules.
        session: Where the records are put.

    Returns:
        By rule and case, how many rows should break it and how many do, where these differ.
    """
    rows = {f"{rule} {case}": one for rule in cases for case, (_, one) in cases[rule].items()}
    found = broken(rows, rules, session)
    told = {
        f"{rule} {case}": (n, found[f"{rule} {case}"].count(rule))
        for rule in cases
        for case, (n, _) in cases[rule].items()
    }
    return {case: (right, n) for case, (right, n) in told.items() if right != n}
