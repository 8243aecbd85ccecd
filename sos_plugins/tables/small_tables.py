"""Small tables of any kind as frames of text: lists of pilots, of groups, of authorities."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.tables.csv_text import read_frame
from sos_plugins.tables.file_columns import CSV_SUFFIXES, SUFFIXES, Columns, read_columns


def read_small_table(
    path: Path,
    *,
    names: Collection[str] = (),
    sheet: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read a small table as text, "" where empty; dates of its own type are yyyy-mm-dd.

    Args:
        path: The file. Text of any other suffix than those of tables is read as CSV.
        names: Columns that it must have, in whatever case; a title above them is told.
        sheet: Sheet of a workbook; the only one with cells if none is named.
        columns: Name -> column of the file, which is given that name.

    Returns:
        A frame indexed by ``line``, or by ``row`` where a file has no lines.

    Raises:
        DataError: As :func:`sos_plugins.tables.file_columns.read_columns`; and if two columns have
            one name, or one that is renamed is not there.
    """
    suffix = path.suffix.lower()
    renamed = dict(columns or {})
    if (suffix in CSV_SUFFIXES or suffix not in SUFFIXES) and sheet is None:
        frame = read_frame(path, names=[renamed.get(name, name) for name in names])
    else:
        frame = _as_text(read_columns(path, sheet=sheet))
    for name, given in renamed.items():
        if given not in frame:
            raise DataError(
                f"{path} has no column '{given}', which the study calls {name}."
                f"{did_you_mean(given, frame.columns)} Its columns: {listing(frame.columns)}."
            )
        if name in frame and given != name:
            raise DataError(
                f"{path} has a column '{name}', and the study calls its column '{given}' {name} "
                "too. Rename one."
            )
    return frame.rename(columns={given: name for name, given in renamed.items()})


def _as_text(columns: Columns) -> pd.DataFrame:
    named = [name for name in columns.names if name]
    cells = {name: _cells(columns, name) for name in named}
    index = pd.Index(columns.line_numbers(), name="row")
    return pd.DataFrame(cells, index=index, dtype=object).fillna("")


def _cells(columns: Columns, name: str) -> list[str | None]:
    kind = columns.raw(name).type
    if pa.types.is_floating(kind):
        values = columns.raw(name).to_pylist()
        return [None if v is None else f"{v:.15g}" for v in values]
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        found: list[str | None] = columns.days(name).cast(pa.string()).to_pylist()
        return found
    texts: list[str | None] = columns.texts(name).to_pylist()
    return texts
