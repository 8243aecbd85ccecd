"""The tables of the report: each is a frame for the CSV file and a way to show its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sos_plugins.groundwork.plain import plain
from sos_plugins.report import formatting as words
from sos_plugins.report.cells import csv_of

Row = Mapping[str, Any]

NO_FIGURE = "there is no figure, because it does not arise here or was not reported"


@dataclass(frozen=True)
class Column:
    """A column as shown.

    Attributes:
        heading: Its heading.
        cell: What a row shows in it.
        numeric: Whether it is aligned to the right.
        wide: Whether it holds sentences and needs room.
    """

    heading: str
    cell: Callable[[Row], str]
    numeric: bool = False
    wide: bool = False

    @property
    def kind(self) -> str:
        """Its class in the page, or an empty text."""
        return "num" if self.numeric else "roomy" if self.wide else ""


@dataclass(frozen=True)
class Table:
    """A table of the report and of its CSV file.

    Attributes:
        name: Stem of the CSV file and anchor, unique in the report.
        caption: What it shows.
        frame: Raw values, one row a row.
        columns: What is shown; empty for a table that is written to CSV only.
        group: Column of the frame whose values head groups of rows, or empty.
        note: A sentence beneath the table.
        missing_note: What an en dash means in it.
        raw: What the CSV file holds where it is not ``frame``.
        in_page: Whether the page shows it; else it names its file.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...] = ()
    group: str = ""
    note: str = ""
    missing_note: str = NO_FIGURE
    raw: pd.DataFrame | None = None
    in_page: bool = True

    @property
    def groups(self) -> list[tuple[str, list[list[str]]]]:
        """Rows of shown cells by group; one group without a name when there are no groups."""
        groups: dict[str, list[list[str]]] = {}
        for row in rows_of(self.frame):
            name = words.text(row[self.group]) if self.group else ""
            groups.setdefault(name, []).append([column.cell(row) for column in self.columns])
        return list(groups.items())

    @property
    def shows_missing(self) -> bool:
        """Whether a cell shows that there is no figure."""
        return any(words.MISSING in row for _, rows in self.groups for row in rows)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame with plain values."""
    return [{str(k): plain(v) for k, v in row.items()} for row in frame.to_dict("records")]


def column(
    key: str, heading: str, show: Callable[[Any], str] = words.text, *, numeric: bool = False
) -> Column:
    """Make a column that shows one column of the frame."""
    return Column(heading, lambda row: show(row.get(key)), numeric)


def counts(key: str, heading: str) -> Column:
    """Make a column of counts."""
    return column(key, heading, words.count, numeric=True)


def frame_of(rows: Iterable[Row], columns: Iterable[str]) -> pd.DataFrame:
    """Build a frame with these columns from rows, every value as it is."""
    names = list(columns)
    return pd.DataFrame([[row.get(n) for n in names] for row in rows], columns=names, dtype=object)


def pairs(name: str, caption: str, values: Mapping[str, Any], *, first: str, second: str) -> Table:
    """Make a table of two columns from a mapping, nested mappings flattened with dots."""
    rows = [{"name": k, "value": words.setting(v)} for k, v in _flat(values)]
    columns = (column("name", first), column("value", second))
    return Table(name, caption, frame_of(rows, ("name", "value")), columns)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{words.clean(str(key))}"
        if isinstance(value, Mapping) and value:
            flat.extend(_flat(value, f"{name}."))
        else:
            flat.append((name, value))
    return flat


def to_csv(table: Table) -> str:
    """Write the raw values of a table as CSV text; missing values are empty."""
    frame = table.frame if table.raw is None else table.raw
    return csv_of(frame)
