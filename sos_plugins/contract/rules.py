"""A rule on records: what a row must not say, as an expression that every backend can compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records

if TYPE_CHECKING:
    import ibis

Adds = Callable[["ibis.Table", Records, Session], "ibis.Table"]
"""Adds what a rule looks up to its table: one row stays one row."""


@dataclass(frozen=True)
class RecordRule:
    """What a row of a record table must not say.

    Attributes:
        name: Name of the fault: ``"cin:1103"`` for a published rule by its number, or the kind of
            fault, such as ``"misspelt-code"``.
        sentence: What is wrong with a row that breaks the rule, in words.
        table: The record table whose rows are judged.
        columns: The columns that contradict each other, the one most likely wrong first.
        broken: ``broken(table)`` is a boolean expression, true for a row that breaks the rule; null
            counts as kept.
        adds: Looks up what stands in other rows or tables. Rules of one table that share a
            function share its work. The columns it adds begin with ``_``.
        needs: Further tables that ``adds`` reads; without them the rule is not judged.
        first_year: First April-year to which the rule applies, None for no limit.
        last_year: Last April-year to which it applies, None for no limit.
        query: True when a row that breaks it may be right and has to be looked at.
        source: Where the rule is published.
        note: What the records cannot tell, where the published rule asks for more.
    """

    name: str
    sentence: str
    table: str
    columns: tuple[str, ...]
    broken: Callable[[ibis.Table], Any]
    adds: Adds | None = None
    needs: tuple[str, ...] = ()
    first_year: int | None = None
    last_year: int | None = None
    query: bool = False
    source: str = ""
    note: str = ""

    @property
    def column(self) -> str:
        """The column most likely wrong."""
        return self.columns[0]
