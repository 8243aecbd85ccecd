"""What must hold for a linker of children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from sos_plugins.authors.testing.core import (
    Check,
    Given,
    NotApplicableError,
    check,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.examples import example_moved_children
from sos_plugins.contract.interfaces import Linker
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import FIGURE_COLUMNS, Link, Records
from sos_plugins.errors import DataError

CHILD = ["unit", "child"]


def check_linker(linker: Linker, settings: Given = None) -> None:
    """Check that a linker keeps its contract, on children some of whom moved between authorities.

    Args:
        linker: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(linker_checks(linker, settings))


def linker_checks(linker: Linker, settings: Given = None) -> list[Check]:
    """Return the checks of a linker one by one, for ``pytest.mark.parametrize``.

    Args:
        linker: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
    """
    return checks_of(LinkerSubject(linker, settings), CHECKS)


@dataclass
class LinkerSubject:
    """A linker under check.

    Attributes:
        plugin: The linker.
        given: The settings that its author gave.
    """

    plugin: Linker
    given: Given = None
    kind: str = "linker"

    @cached_property
    def session(self) -> Session:
        """Where the records live."""
        return Session(seed=1)

    @cached_property
    def records(self) -> Records:
        """Children some of whom moved."""
        return example_moved_children(self.session)

    def link(self, records: Records | None = None) -> Link:
        """Link the children of the example, or of other records.

        Args:
            records: Other records.

        Raises:
            NotApplicableError: If they do not hold what the linker needs.
        """
        settings = settings_of(self)
        try:
            return self.plugin.link(records or self.records, settings, self.session)
        except DataError as error:
            raise NotApplicableError(f"There is not enough to link by: {error}") from error

    @cached_property
    def found(self) -> Link:
        """The links of the example."""
        return self.link()

    @cached_property
    def same(self) -> pd.DataFrame:
        """The linked children in memory."""
        return pd.DataFrame(self.found.same.to_pandas())


@check
def links_children_of_the_records(subject: LinkerSubject) -> None:
    """It names children of the records, and of each person at least two."""
    demand(set(subject.same) == {*CHILD, "person"}, f"The columns are {list(subject.same)}.")
    there = subject.records.table("children").select(*CHILD).to_pandas()
    named = subject.same.drop_duplicates(CHILD)
    demand(len(named.merge(there, on=CHILD)) == len(named), "Some are not in the records.")
    alone = int((named.groupby("person").size() < 2).sum())
    demand(not alone, f"{alone} persons are one child only.")


@check
def names_no_child_twice(subject: LinkerSubject) -> None:
    """A child is one person."""
    twice = int(subject.same.duplicated(CHILD).sum())
    demand(not twice, f"{twice} children are named twice.")


@check
def says_how_good_the_links_are(subject: LinkerSubject) -> None:
    """There is a sentence, and a figure at least, each with its number."""
    figures = subject.found.figures
    demand(bool(subject.found.sentence.strip()), "There is no sentence.")
    demand(list(figures) == list(FIGURE_COLUMNS), f"Figures have the columns {list(figures)}.")
    demand(len(figures) > 0 and bool(figures["value"].notna().all()), "Figures lack numbers.")


@check
def finds_nobody_among_no_children(subject: LinkerSubject) -> None:
    """Records without children have no links."""
    children = subject.records.table("children")
    nobody = {**subject.records.tables, "children": children.filter(children.unit == "none")}
    found = subject.link(replace(subject.records, tables=nobody))
    n = int(found.same.count().to_pyarrow().as_py())
    demand(n == 0, f"{n} children are linked.")


@check
def rests_on_the_records_alone(subject: LinkerSubject) -> None:
    """The same children in another order give the same links."""
    children = subject.records.table("children")
    turned = children.to_pyarrow()
    turned = subject.session.table(turned.take(list(range(len(turned)))[::-1]), "turned")
    tables = {**subject.records.tables, "children": turned}
    again = subject.link(replace(subject.records, tables=tables))
    first, second = (
        set(frame[[*CHILD, "person"]].itertuples(index=False, name=None))
        for frame in (subject.same, again.same.to_pandas())
    )
    demand(first == second, f"{len(first ^ second)} linked children are other ones.")


CHECKS: tuple[Callable[[Any], None], ...] = (
    links_children_of_the_records,
    names_no_child_twice,
    says_how_good_the_links_are,
    finds_nobody_among_no_children,
    rests_on_the_records_alone,
)
