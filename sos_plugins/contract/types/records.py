"""Records: relational tables, what is wrong with them, and where they came from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from sos_plugins.errors import DataError, listing

if TYPE_CHECKING:
    import ibis

QUALITY_COLUMNS = (
    "source",
    "table",
    "column",
    "check",
    "unit",
    "period",
    "n",
    "n_flagged",
    "action",
)


EXAMPLE_COLUMNS = ("source", "table", "column", "check", "unit", "file", "line", "text")


@dataclass(frozen=True)
class QualityProfile:
    """What is wrong with a source, counted.

    ``checks`` has one row a check with the columns of :data:`QUALITY_COLUMNS`: ``check`` is one of
    ``missing``, ``duplicate``, ``impossible-date``, ``out-of-order``, ``unknown-code``,
    ``unreadable``, ``conflict``, ``unknown-element``, ``missing-return`` (an authority has no
    return for a year that others cover), ``suppressed`` (a published figure is a symbol) or, no
    faults but counted all the same, ``recurrence`` (the row stands in a later return too) and
    ``out-of-scope`` (totals of regions, reorganised authorities, files that are not the source's),
    ``line-break`` (rows of a CSV file that have cells with line breaks), ``rows-read`` and
    ``rows-given`` (see :mod:`sos_plugins.tables.row_accounts`); ``unit`` and ``period`` may be null
    (all); ``n`` rows were looked at, ``n_flagged`` of them failed; ``action`` says what was done:
    ``kept``, ``set to missing``, ``merged``, ``mended`` or ``dropped``. A row that is dropped is
    always here. A check that found nothing may stand as one row for all units and periods.

    ``examples`` says where some of the faults are, a few a check, with the columns of
    :data:`EXAMPLE_COLUMNS`. ``text`` discloses nothing about a child: an unknown code, the name of
    an element, or the form of a value with every digit shown as 9.
    """

    checks: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(QUALITY_COLUMNS))
    )
    examples: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(EXAMPLE_COLUMNS))
    )

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> QualityProfile:
        """Build a profile from rows.

        Args:
            rows: Values by names of :data:`QUALITY_COLUMNS`; those that a row lacks are null.
        """
        return cls(pd.DataFrame(list(rows), columns=list(QUALITY_COLUMNS)))

    def __add__(self, other: QualityProfile) -> QualityProfile:
        return QualityProfile(
            checks=_stack(self.checks, other.checks),
            examples=_stack(self.examples, other.examples),
        )


def _stack(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    frames = [frame for frame in (first, second) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else first


@dataclass(frozen=True)
class Records:
    """Relational tables of records, their quality, and where they came from.

    Attributes:
        tables: Ibis tables by name; columns as in
            :data:`sos_plugins.contract.record_tables.TABLES`.
        quality: Faults found and what was done about them.
        start: First day that the records cover, or None (published panels, tidy tables).
        end: Last day that the records cover: follow-up beyond it cannot be observed.
        files: The files read, in order.
        data_hash: SHA-256 over the content of the files.
        unit_names: Authority code to name, as far as the source knows.
        simulated: True when the records are made up; every page then says so.
        truth: What a simulator knows (true effects by outcome), or None.
        notes: Sentences on how the records were read that the result has among its warnings.
        linked: Whether an identifier of a child is that of one child in every authority.
    """

    tables: Mapping[str, ibis.Table]
    quality: QualityProfile = field(default_factory=QualityProfile)
    start: dt.date | None = None
    end: dt.date | None = None
    files: tuple[str, ...] = ()
    data_hash: str = ""
    unit_names: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    truth: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    linked: bool = False

    def table(self, name: str) -> ibis.Table:
        """Return one table.

        Args:
            name: A key of :data:`sos_plugins.contract.record_tables.TABLES`.

        Raises:
            DataError: If the source has no such table; the message lists those it has.
        """
        if name not in self.tables:
            raise DataError(
                f"The records have no table '{name}'. Tables: {listing(self.tables)}. "
                "Add a source that gives it."
            )
        return self.tables[name]
