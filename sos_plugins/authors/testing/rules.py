"""What must hold for a set of rules on records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    Given,
    check,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.examples import example_records, records_of
from sos_plugins.contract.interfaces import RuleSet
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.rules import RecordRule
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records
from sos_plugins.profile.rule_checks import check_rules

FAULT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(:[a-z0-9_-]+)?")
"""A name of a fault: ``duplicate``, ``cin:1103``."""


def check_rule_set(rules: RuleSet, settings: Given = None) -> None:
    """Check that a set of rules keeps its contract, on example records and on empty tables.

    Args:
        rules: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(rule_set_checks(rules, settings))


def rule_set_checks(rules: RuleSet, settings: Given = None) -> list[Check]:
    """Return the checks of a set of rules one by one, for ``pytest.mark.parametrize``.

    Args:
        rules: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
    """
    return checks_of(RuleSubject(rules, settings), CHECKS)


@dataclass
class RuleSubject:
    """A set of rules under check.

    Attributes:
        plugin: The set.
        given: The settings that its author gave.
    """

    plugin: RuleSet
    given: Given = None
    kind: str = "rule-set"

    @cached_property
    def rules(self) -> Sequence[RecordRule]:
        """The rules under the settings."""
        return self.plugin.rules(settings_of(self))

    def judge(self, rule: RecordRule, records: Records, session: Session) -> pa.Table:
        """Judge the rows of the rule's table, or say what failed.

        Args:
            rule: A rule of the set.
            records: Records with its table.
            session: Where the table lives.

        Returns:
            The table with a boolean column last: true for a row that breaks the rule.

        Raises:
            CheckFailedError: If the rule raises.
        """
        try:
            table = check_rules(records, rule.table, [rule], session).table
            return table.to_pyarrow()
        except Exception as error:
            raise CheckFailedError(
                f"Rule '{rule.name}' on {rule.table} raised {type(error).__name__}: {error}"
            ) from error


@check
def has_rules_of_its_tables(subject: RuleSubject) -> None:
    """There are rules, and ``needs`` names the tables they are about."""
    about = {rule.table for rule in subject.rules}
    demand(bool(about), "It has no rule.")
    demand(about == set(subject.plugin.needs), f"Its rules are about {sorted(about)}.")


@check
def names_tables_and_columns_that_exist(subject: RuleSubject) -> None:
    """Every rule names tables and columns of the schema, and says in words what is wrong."""
    for rule in subject.rules:
        demand(bool(FAULT.fullmatch(rule.name)), f"'{rule.name}' is no name of a fault.")
        demand(bool(rule.sentence.strip()), f"Rule '{rule.name}' has no sentence.")
        unknown = {rule.table, *rule.needs} - set(TABLES)
        demand(not unknown, f"Rule '{rule.name}': there are no tables {sorted(unknown)}.")
        columns = set(rule.columns) - set(TABLES[rule.table].names)
        demand(bool(rule.columns), f"Rule '{rule.name}' names no column.")
        demand(not columns, f"Rule '{rule.name}': {rule.table} has no {sorted(columns)}.")


@check
def tells_its_rules_apart(subject: RuleSubject) -> None:
    """No two rules have the same name, table and columns."""
    keys = [(rule.name, rule.table, rule.columns) for rule in subject.rules]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    demand(not twice, f"Twice: {', '.join(twice)}.")


@check
def judges_every_row_once(subject: RuleSubject) -> None:
    """A rule neither adds nor loses rows, and says true or false of each."""
    session = Session()
    records = example_records(session)
    for rule in subject.rules:
        n = records.table(rule.table).count().to_pyarrow().as_py()
        judged = subject.judge(rule, records, session)
        demand(judged.num_rows == n, f"Rule '{rule.name}': {n} rows became {judged.num_rows}.")
        column = judged.column(judged.column_names[-1])
        demand(column.type == pa.bool_(), f"Rule '{rule.name}' gives {column.type}.")
        demand(column.null_count == 0, f"Rule '{rule.name}' says nothing of some rows.")


@check
def judges_empty_tables(subject: RuleSubject) -> None:
    """Tables without rows are no error."""
    session = Session()
    records = records_of(session, dict.fromkeys(TABLES, ()))
    for rule in subject.rules:
        demand(subject.judge(rule, records, session).num_rows == 0, f"'{rule.name}' made rows.")


CHECKS: tuple[Callable[[Any], None], ...] = (
    has_rules_of_its_tables,
    names_tables_and_columns_that_exist,
    tells_its_rules_apart,
    judges_every_row_once,
    judges_empty_tables,
)
