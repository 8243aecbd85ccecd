"""Tables whose file says of what type each column is, as they come from their readers."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sos_plugins.errors import DataError

EXTRA = "formats"
"""Extra of the project with what reads these files."""


@dataclass(frozen=True, eq=False)
class TypedTable:
    """A table as its file has it.

    Attributes:
        names: Names of the columns, in the order of the file; they may repeat.
        columns: Their cells, null where empty; None where a column was not asked for.
        n_rows: Number of rows.
        rows: Number of each row in the file, as a user counts them, (n,); None for 1, 2, 3 ...
        labels: Labels of the values of a column, by its name.
        notes: Sentences on how cells were read, by column.
    """

    names: tuple[str, ...]
    columns: tuple[pa.ChunkedArray | None, ...]
    n_rows: int
    rows: npt.NDArray[np.int64] | None = None
    labels: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def moment(day: dt.date) -> dt.datetime:
    """Return a day as the moment at which it begins, for columns that have both; moments stay."""
    return day if isinstance(day, dt.datetime) else dt.datetime(day.year, day.month, day.day)


def needs(module: str, package: str, path: Path) -> Any:
    """Import what reads a kind of file.

    Args:
        module: Name of the module.
        package: Name of the package that has it.
        path: The file that is to be read.

    Raises:
        DataError: If it is not installed, with the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DataError(
            f"{path}: files of the kind {path.suffix} need {package}, which is not installed: "
            f'pip install "sos-plugins[{EXTRA}]", or pip install {package}. Or save the table as '
            "CSV."
        ) from None
