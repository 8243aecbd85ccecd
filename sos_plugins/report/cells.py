"""CSV text that is safe to open in a spreadsheet.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break for a
formula, whoever wrote it. Text of others reaches our tables: names of authorities, labels, codes.
Such a cell gets an apostrophe in front, which spreadsheets take for "this is text". Plain numbers
stay. A carriage return becomes a line break: where only that is quoted, the other would begin a row
of its own. Nothing here is read back by us: results are read from ``result.json``.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

_NUMBER = re.compile(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?%?|[+-]?inf|-")
_SIGNS = ("=", "+", "-", "@", "\t", "\n")


def harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula.

    >>> [harmless(cell) for cell in ("=1+1", "-1.5", -1.5, "- none", "a-b")]
    ["'=1+1", '-1.5', -1.5, "'- none", 'a-b']
    """
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    if cell.startswith(_SIGNS) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def csv_of(frame: pd.DataFrame) -> str:
    """Write a table as CSV text of which no cell is a formula; missing values are empty."""
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    safe = pd.DataFrame(
        {
            place: column
            if pd.api.types.is_numeric_dtype(column)
            else column.map(harmless, na_action="ignore")
            for place, column in enumerate(columns)
        },
        index=frame.index,
    )
    safe.columns = pd.Index([harmless(str(name)) for name in frame.columns])
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text
