"""Tables as text for a terminal: no word is broken and no number folded, however narrow it is."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

NO_TERMINAL = 120
"""Columns of text where there is no terminal."""
BETWEEN = 3
"""Columns of text from one column of a table to the next."""
UNBOUND = 100_000
"""Wider than any table: its columns have the widths that were worked out here."""


def width() -> int:
    """Return the columns of text that the terminal has."""
    return Console().width if sys.stdout.isatty() else NO_TERMINAL


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> str:
    """Lay out a table as text, as wide as the terminal (120 columns where there is none).

    Texts are set in lines, broken between words and after hyphens. Where even that is too wide,
    each row becomes a block with a line for each column. Everything is shown as it is: brackets and
    colons of a user's text are no markup.

    Args:
        columns: Headings.
        rows: Values; see :func:`text_of`.
        title: What stands above.
    """
    cells = [[text_of(value) for value in row] for row in rows]
    widths = widths_of([columns, *cells], width())
    if widths is None:
        return _printed(title, _blocks(columns, cells))
    table = Table(show_edge=False, pad_edge=False)
    for head, wide in zip(columns, widths, strict=True):
        table.add_column(Text(in_lines(head, wide)), no_wrap=True)
    for row in cells:
        table.add_row(*(Text(in_lines(c, w)) for c, w in zip(row, widths, strict=True)))
    return _printed(title, table)


def _printed(title: str, table: Table) -> str:
    console = Console(width=UNBOUND, highlight=False)
    with console.capture() as capture:
        if title:
            console.print(Text(in_lines(title, width()), style="italic"))
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Write each row as lines of heading and text, in two columns."""
    table = Table(box=box.SIMPLE, show_header=False, show_edge=False, pad_edge=False)
    heads = max(map(len, columns))
    room = max(1, width() - heads - BETWEEN)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for row in rows:
        for head, cell in zip(columns, row, strict=True):
            table.add_row(Text(head), Text(in_lines(cell, room)))
        table.add_section()
    return table


def widths_of(rows: Sequence[Sequence[str]], available: int) -> list[int] | None:
    """Return the widths of columns, or None if their longest words do not fit.

    Columns that need more than the rest give way first.

    Args:
        rows: Texts, the headings among them.
        available: Columns of text.

    >>> widths_of([["engine", "why"], ["r-did", "it is not installed here"]], 24)
    [6, 15]
    >>> widths_of([["engine", "why"], ["r-did", "uninstallable"]], 20) is None
    True
    """
    columns = list(zip(*rows, strict=True))
    least = [max(_longest(in_lines(text, 1)) for text in column) for column in columns]
    most = [max(map(_longest, column)) for column in columns]
    room = available - BETWEEN * (len(columns) - 1)
    if sum(least) > room:
        return None

    def within(cap: int) -> list[int]:
        return [min(high, max(low, cap)) for low, high in zip(least, most, strict=True)]

    cap = max(range(room + 1), key=lambda c: (sum(within(c)) <= room, c))
    return within(cap)


def in_lines(text: str, wide: int) -> str:
    r"""Set a text in lines of a width, broken between words and after hyphens of names alone.

    >>> in_lines("callaway-santanna -0.05", 9)
    'callaway-\nsantanna\n-0.05'
    """
    lines = [
        textwrap.wrap(line, max(1, wide), break_long_words=False) or [""]
        for line in text.split("\n")
    ]
    return "\n".join(part for parts in lines for part in parts)


def _longest(text: str) -> int:
    return max(map(len, text.split("\n")))


def text_of(value: Any) -> str:
    """Write a value for a table: numbers to six significant digits, missing as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if value != value else f"{value:.6g}"
    return str(value)
