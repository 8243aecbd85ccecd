"""Tables on a backend: put there, read from Parquet, written, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_plugins.backends.failures import _but_interrupts, first_line
from sos_plugins.backends.spark import send_to_spark

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa


def put(backend: Any, name: str, data: pa.Table | pd.DataFrame | ibis.Table) -> ibis.Table:
    """Put data, or what an expression gives, on a backend under a name, for this run only."""
    if backend.name != "pyspark":
        return backend.create_table(name, data, temp=True)
    import ibis

    if isinstance(data, ibis.Table):
        backend.create_view(name, data)
        # What many queries read is computed once; a Spark without a cache computes it again.
        with _but_interrupts():
            backend.raw_sql(f"CACHE LAZY TABLE `{name}`")
    else:
        send_to_spark(backend, name, data)
    return backend.table(name)


def read_parquet(backend: Any, name: str, files: Sequence[str]) -> ibis.Table:
    """Put Parquet files of one table on a backend under a name, without reading their rows."""
    if backend.name != "pyspark":
        return backend.read_parquet(list(files), table_name=name)
    spark = backend.raw_sql("SELECT 1").sparkSession
    spark.read.parquet(*files).createOrReplaceTempView(name)
    return backend.table(name)


def drop(backend: Any, names: Sequence[str]) -> None:
    """Forget tables that :func:`put` has put on a backend, the last one first."""
    for name in reversed(names):
        with _but_interrupts():
            if backend.name == "pyspark":
                backend.raw_sql(f"UNCACHE TABLE IF EXISTS `{name}`")
                backend.drop_view(name, force=True)
            else:
                backend.drop_table(name, force=True)


def write_parquet(backend: Any, table: ibis.Table, file: Path) -> None:
    """Write a table to a file.

    Raises:
        OSError: If the disk is full or cannot be written to, as for any other file.
    """
    import duckdb

    try:
        backend.to_parquet(table, file)
    except duckdb.IOException as error:
        raise OSError(f"{file} cannot be written: {first_line(error)}") from error
