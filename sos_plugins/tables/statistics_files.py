"""Files of Stata (.dta) and SPSS (.sav) as typed columns, with the labels of their values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sos_plugins.errors import DataError
from sos_plugins.tables.readable import STATISTICS, readable, refuse_unreadable
from sos_plugins.tables.typed_tables import TypedTable, moment, needs

STATISTICS_SUFFIXES = (".dta", ".sav", ".zsav")
_READERS = {".dta": "read_dta", ".sav": "read_sav", ".zsav": "read_sav"}


def read_statistics_file(path: Path, used: Collection[str] | None) -> TypedTable:
    """Read a file of Stata or SPSS.

    Values are those that are stored, not their labels. Values that SPSS declares missing, and
    Stata's ``.a`` to ``.z``, are null.

    Args:
        path: The file.
        used: Columns that will be asked for; all if None.

    Raises:
        DataError: If the file cannot be read.
    """
    names, about = _described(path)
    wanted = [name for name in names if used is None or name in used]
    frame, _ = _read(path, usecols=wanted) if wanted else (pd.DataFrame(), None)
    columns = tuple(_typed(path, n, frame[n]) if n in wanted else None for n in names)
    ranges: Mapping[str, Sequence[Mapping[str, Any]]] = about.missing_ranges or {}
    notes = {name: _declared(path, name, ranges[name]) for name in wanted if ranges.get(name)}
    labels = {n: some for n, some in (about.variable_value_labels or {}).items() if n in wanted}
    n_rows = len(frame) if wanted else int(about.number_rows or 0)
    return TypedTable(names, columns, n_rows, labels=labels, notes=notes)


def statistics_names(path: Path) -> tuple[str, ...]:
    """Return the names of the columns; errors as of :func:`read_statistics_file`."""
    return _described(path)[0]


def _described(path: Path) -> tuple[tuple[str, ...], Any]:
    further = {} if path.suffix.lower() == ".dta" else {"user_missing": True}
    _, about = _read(path, metadataonly=True, **further)
    return tuple(about.column_names), about


def _read(path: Path, **options: Any) -> tuple[pd.DataFrame, Any]:
    refuse_unreadable(path, expected=STATISTICS)
    library = needs("pyreadstat", "pyreadstat", path)
    try:
        with readable(path):
            read: tuple[pd.DataFrame, Any] = getattr(library, _READERS[path.suffix.lower()])(
                str(path), **options
            )
    except (library.ReadstatError, UnicodeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a file of Stata or SPSS: {str(error).rstrip('.')}. Save it "
            "again, or as CSV."
        ) from None
    return read


def _typed(path: Path, name: str, column: pd.Series) -> pa.ChunkedArray:
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        moments = [
            None if pd.isna(cell) else moment(cell) if isinstance(cell, dt.date) else cell
            for cell in column
        ]
        try:
            array = pa.array(moments, pa.timestamp("us"))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            raise DataError(f"{path}, column '{name}': its cells are of several kinds.") from None
    if pa.types.is_large_string(array.type):
        array = array.cast(pa.string())
    return pa.chunked_array([array])


def _declared(path: Path, name: str, ranges: Sequence[Mapping[str, Any]]) -> str:
    shown = [_number(r["lo"]) if r["lo"] == r["hi"] else _span(r) for r in ranges]
    return (
        f"{path.name}, column '{name}': the values that the file declares missing "
        f"({', '.join(shown)}) were read as missing."
    )


def _span(limits: Mapping[str, Any]) -> str:
    return f"{_number(limits['lo'])} to {_number(limits['hi'])}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
