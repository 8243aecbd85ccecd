"""A table in memory as columns, whatever library made it: through Arrow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from sos_plugins.errors import DataError
from sos_plugins.tables.file_columns import Columns

IN_MEMORY = Path("The data frame")
"""What errors call a table that is no file."""


def frame_columns(
    data: Any, *, used: Collection[str] | None = None, missing: Sequence[str] = ()
) -> Columns:
    """Return the columns of a table in memory.

    Args:
        data: A pandas or Polars frame, an Arrow table, a DuckDB relation, an Ibis table, anything
            else that offers its rows through the Arrow C stream interface, or a mapping of names to
            columns. Named levels of an index of pandas are columns too.
        used: Columns that will be asked for; None for all.
        missing: Texts that stand for a missing value.

    Raises:
        DataError: If it is none of these, has no rows, or a column that is used holds values of
            several types.
    """
    names, table = _read(data, used)
    if not table.num_rows:
        raise DataError(f"{IN_MEMORY} has no rows.")
    given = dict(zip(table.column_names, table.columns, strict=True))
    repeated = len(set(names)) < len(names)
    columns = table.columns if repeated else [given.get(name) for name in names]
    plain = tuple(None if column is None else _plain(column) for column in columns)
    return Columns(IN_MEMORY, names, plain, "", missing=tuple(missing))


def _read(data: Any, used: Collection[str] | None) -> tuple[tuple[str, ...], pa.Table]:
    """Return the names of all columns, and a table of those that are used at least."""
    try:
        if isinstance(data, Mapping):
            data = pd.DataFrame(dict(data))
        if isinstance(data, pd.DataFrame):
            return _of_pandas(data, used)
        table = data.to_pyarrow() if hasattr(data, "to_pyarrow") else pa.table(data)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(
            "A table was expected (of pandas, Polars, Arrow, DuckDB or Ibis, or the path of a "
            f"file); this {type(data).__name__} cannot be read as one: {error}"
        ) from None
    return tuple(table.column_names), table


def _of_pandas(
    frame: pd.DataFrame, used: Collection[str] | None
) -> tuple[tuple[str, ...], pa.Table]:
    levels = [name for name in frame.index.names if name is not None and name not in frame]
    whole = frame.reset_index(level=levels) if levels else frame
    names = tuple(str(name) for name in whole.columns)
    unique = len(set(names)) == len(names)
    chosen = [i for i, name in enumerate(names) if used is None or not unique or name in used]
    kept = chosen or range(len(names))
    columns = [_of_series(whole.iloc[:, i], names[i]) for i in kept]
    return names, pa.table(columns, names=[names[i] for i in kept])


def _of_series(values: pd.Series, name: str) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError) as error:
        why = str(error.args[0]).strip().rstrip(".")
        raise DataError(
            f"{IN_MEMORY}, column '{name}' cannot be read: {why}. Give it values of one type."
        ) from None


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write categories, and texts of any layout, as plain values."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column
