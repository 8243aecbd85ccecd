"""DuckDB on this machine, within a limit of memory."""

from __future__ import annotations

import weakref
from typing import Any

from sos_plugins.errors import DataError
from sos_plugins.system.memory import SIZE, in_bytes, threads_within
from sos_plugins.system.scratch import remove, scratch_folder


def duckdb_backend(memory: str | None = None) -> Any:
    """Connect to DuckDB, perhaps with a limit of memory; what goes beyond is kept on disk.

    The disk is a folder of one's own in the system's folder for temporary files (``TMPDIR``); it
    is removed with the connection, or by a later run if this process is killed.

    Args:
        memory: Such as ``"4GB"`` or ``"500 MiB"``.

    Raises:
        DataError: If there is a limit of memory and no place for files.
    """
    import ibis

    config: dict[str, Any] = {}
    if memory is not None:
        # Rows have no order of their own here; to keep the order of a file takes memory.
        config = {"memory_limit": memory, "preserve_insertion_order": False}
        if SIZE.fullmatch(memory):
            config["threads"] = threads_within(in_bytes(memory))
    try:
        spill = scratch_folder()
    except OSError as error:
        if memory is not None:
            raise DataError(
                "There is no folder for what goes beyond the limit of memory: "
                f"{error.strerror or error}. Name one that can be written to in TMPDIR."
            ) from None
        return ibis.duckdb.connect(temp_directory="", **config)  # else '.tmp' where one works
    backend = ibis.duckdb.connect(temp_directory=str(spill), **config)
    weakref.finalize(backend, remove, spill)
    return backend


def limits_of(backend: Any) -> dict[str, str]:
    """Return what a backend may take of memory and disk, as settings of DuckDB."""
    if backend.name != "duckdb":
        return {}
    names = ("memory_limit", "threads", "temp_directory")
    asked = ", ".join(f"current_setting('{name}')::VARCHAR" for name in names)
    (values,) = backend.con.execute(f"SELECT {asked}").fetchall()
    return {name: value for name, value in zip(names, values, strict=True) if value}


def scratch_database(backend: Any) -> Any:
    """Open an empty DuckDB for the work of a source, within the limits of the session's backend.

    It spills where the session's does, and never into the folder that one works in.
    """
    import duckdb

    return duckdb.connect(config={"temp_directory": "", **limits_of(backend)})
