"""What a step of a study may use: backend, base folder, seed and progress display."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sos_plugins import backends
from sos_plugins.system.progress import NoProgress, Progress

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa


@dataclass(eq=False)
class Session:
    """The surroundings of one run: a service that notes what it put on the backend, no data.

    Attributes:
        backend: Ibis connection on which all record tables live, DuckDB (in memory by default) or
            Spark.
        base: Folder against which relative paths in settings are resolved.
        seed: Seed for everything random.
        progress: Where progress is shown: ``with session.progress.step("Reading", 3) as advance:``,
            and ``advance()`` after each of the three.
    """

    backend: Any = field(default_factory=backends.duckdb_backend)
    base: Path = field(default_factory=Path.cwd)
    seed: int = 0
    progress: Progress = field(default_factory=NoProgress)
    _token: str = field(default_factory=lambda: uuid4().hex[:8], repr=False, compare=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False, compare=False)
    _made: list[str] = field(default_factory=list, repr=False, compare=False)
    _shared: dict[Hashable, ibis.Table] = field(default_factory=dict, repr=False, compare=False)

    def path(self, text: str | Path) -> Path:
        """Resolve a path of a settings file: ``~`` and relative paths work.

        Args:
            text: The path as it is given; it need not exist.
        """
        path = Path(text).expanduser()
        return path if path.is_absolute() else (self.base / path)

    def table(self, data: pa.Table | pd.DataFrame | ibis.Table, name: str = "table") -> ibis.Table:
        """Put data, or what an expression gives, on the backend under a fresh name.

        It is there until :meth:`release`, or the connection is closed.

        Args:
            data: Rows in memory, or an expression of this backend.
            name: What the table begins its name with.
        """
        full = f"{name}_{self._token}_{next(self._numbers)}"
        made = backends.put(self.backend, full, data)
        self._made.append(full)
        return made

    def parquet(self, files: Sequence[Path], name: str = "table") -> ibis.Table:
        """Name the Parquet files of one table on the backend.

        Args:
            files: Files that the backend can see, at least one, of the same columns.
            name: What the table begins its name with.
        """
        full = f"{name}_{self._token}_{next(self._numbers)}"
        made = backends.read_parquet(self.backend, full, [str(file) for file in files])
        self._made.append(full)
        return made

    def once(
        self, name: str, key: Hashable, make: Callable[[], pa.Table | ibis.Table]
    ) -> ibis.Table:
        """Put what several outcomes share on the backend when it is first asked for.

        Args:
            name: What the table begins its name with.
            key: What tells it from all else; of an expression, its ``op()``.
            make: Gives the data or the expression.
        """
        if key not in self._shared:
            self._shared[key] = self.table(make(), name)
        return self._shared[key]

    def release(self) -> None:
        """Remove from the backend all that this session has put there."""
        backends.drop(self.backend, self._made)
        self._made.clear()
        self._shared.clear()
