"""The backend that a name, a Spark session or an Ibis backend means."""

from __future__ import annotations

from typing import Any, Literal

from sos_plugins.backends.duckdb import duckdb_backend
from sos_plugins.backends.spark import spark_backend
from sos_plugins.errors import DataError
from sos_plugins.system.memory import share_of_records

BackendName = Literal["duckdb", "spark"]


def as_backend(given: Any, *, memory: str | None = None) -> Any:
    """Return the Ibis backend for a name, a ``SparkSession`` or an Ibis backend.

    Args:
        given: The name or the backend.
        memory: For DuckDB the most that this process may take, of which it gets what is left; for
            a Spark that is started here the most that its driver may take.

    Raises:
        DataError: If it is none of these, Spark cannot be used, or the memory is too little.
    """
    if given == "duckdb":
        return duckdb_backend(None if memory is None else f"{share_of_records(memory) // 1024}KiB")
    if given == "spark":
        return spark_backend(memory=memory)
    from ibis.backends import BaseBackend

    if isinstance(given, BaseBackend):
        return given
    if type(given).__name__ == "SparkSession":
        return spark_backend(given)
    what = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    raise DataError(
        f"A backend is 'duckdb', 'spark', a Spark session or an Ibis backend; this is {what}."
    )
