"""What a station may use: the backend, the base folder, the seed and the progress display."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import duckdb
import ibis
import pandas as pd
import pyarrow as pa

from sos_plugins.errors import DataError


class Progress(Protocol):
    """Shows how far a long step has come."""

    def step(self, label: str, total: int | None = None) -> Any:
        """Open a context manager that yields a function ``advance(n=1)``."""


class NoProgress:
    """Shows nothing."""

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Any]:  # noqa: ARG002
        """Yield a function that does nothing."""
        yield lambda n=1: None  # noqa: ARG005


@dataclass(frozen=True)
class Session:
    """The surroundings of one run.

    Attributes:
        backend: Ibis connection on which all record tables live; DuckDB in memory by default.
        base: Folder against which relative paths in settings are resolved.
        seed: Seed for everything random.
        progress: Where progress is shown.
    """

    backend: Any = field(default_factory=lambda: ibis.duckdb.connect())
    base: Path = field(default_factory=Path.cwd)
    seed: int = 0
    progress: Progress = field(default_factory=NoProgress)
    _names: Iterator[int] = field(default_factory=count, repr=False, compare=False)

    def path(self, text: str | Path) -> Path:
        """Resolve a path of a settings file: ``~`` and relative paths work."""
        path = Path(text).expanduser()
        return path if path.is_absolute() else (self.base / path)

    def table(self, data: pa.Table | pd.DataFrame | ibis.Table, name: str = "table") -> ibis.Table:
        """Put data, or what an expression gives, on the backend under a fresh name."""
        return self.backend.create_table(f"{name}_{next(self._names)}", data, temp=True)


def duckdb_backend(memory: str) -> Any:
    """Connect to DuckDB with a limit of memory; what goes beyond is kept on disk.

    The disk is the folder for temporary files of the system (``TMPDIR``); the files there are
    removed with the connection.

    Args:
        memory: Such as ``"4GB"`` or ``"500 MiB"``.
    """
    spill = tempfile.mkdtemp(prefix="sos-plugins-")
    backend = ibis.duckdb.connect(memory_limit=memory, temp_directory=spill)
    weakref.finalize(backend, shutil.rmtree, spill, ignore_errors=True)
    return backend


@contextmanager
def within_memory() -> Iterator[None]:
    """Turn DuckDB's complaint that memory or disk is not enough into a sentence.

    Raises:
        DataError: In its place.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            "The records need more memory, or more disk for temporary files, than there is: "
            f"{str(error).splitlines()[0]}. Give more with 'memory' in [study] or --memory, and "
            "set TMPDIR to a folder on a larger disk."
        ) from None
