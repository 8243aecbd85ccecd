"""Where record tables live: DuckDB on this machine, or Spark; both through Ibis."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import duckdb
import ibis
import pandas as pd
import pyarrow as pa

from sos_plugins.errors import DataError
from sos_plugins.system.memory import SIZE, in_bytes, share_of_records, threads_within
from sos_plugins.system.scratch import remove, scratch_folder

BackendName = Literal["duckdb", "spark"]

MEND_SPARK = "pip install 'sos-plugins[spark]'"
MEND_JAVA = "Debian: sudo apt-get install default-jre-headless"
SPARK_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
"""What a Spark that is started here is given; a session given from outside is left as it is."""
SHUFFLE, DEFAULT_SHUFFLE, TASKS_PER_CORE = "spark.sql.shuffle.partitions", "200", 2
"""On one machine 200 parts of a small table cost more than they gain."""
INTERRUPTED = "Query interrupted"
"""The message of the ``RuntimeError`` that DuckDB raises in place of ``KeyboardInterrupt``."""


def duckdb_backend(memory: str | None = None) -> Any:
    """Connect to DuckDB, perhaps with a limit of memory; what goes beyond is kept on disk.

    The disk is a folder of one's own in the system's folder for temporary files (``TMPDIR``); it
    is removed with the connection, or by a later run if this process is killed.

    Args:
        memory: Such as ``"4GB"`` or ``"500 MiB"``.

    Raises:
        DataError: If there is a limit of memory and no place for files.
    """
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
    return duckdb.connect(config={"temp_directory": "", **limits_of(backend)})


def missing_spark() -> str | None:
    """Say what Spark lacks on this machine, or None."""
    if importlib.util.find_spec("pyspark") is None:
        return f"PySpark is not installed ({MEND_SPARK})"
    if os.environ.get("SPARK_REMOTE"):
        return None
    home = os.environ.get("JAVA_HOME")
    if not (home and shutil.which("java", path=os.path.join(home, "bin"))) and not shutil.which(  # noqa: PTH118 (a search path)
        "java"
    ):
        return f"Java is not installed, neither in JAVA_HOME nor in PATH ({MEND_JAVA})"
    return None


def spark_backend(session: Any = None, *, memory: str | None = None) -> Any:
    """Connect to Spark.

    Args:
        session: A ``SparkSession``; by default the one that is active, else one is started with
            the settings of this machine (``spark-defaults.conf``, ``spark-submit``,
            ``SPARK_REMOTE``), which without any is a Spark on this machine alone.
        memory: Most memory of a Spark that is started here, such as ``"4GB"``.

    Raises:
        DataError: If PySpark or Java is missing, or Spark does not start.
    """
    if reason := missing_spark():
        raise DataError(f"The backend 'spark' cannot be used: {reason}.")
    with spark_in_words():
        return ibis.pyspark.connect(session if session is not None else _start_spark(memory))


def _start_spark(memory: str | None) -> Any:
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    builder = SparkSession.builder.appName("sos-plugins")
    given = os.environ.get("SPARK_REMOTE") or os.environ.get("SPARK_CONF_DIR")
    for name, value in () if given else SPARK_SETTINGS.items():
        builder = builder.config(name, value)
    if memory is not None:
        builder = builder.config("spark.driver.memory", jvm_size(memory))
    spark = builder.getOrCreate()
    with suppress(Exception):  # a remote Spark has no log here
        spark.sparkContext.setLogLevel("ERROR")
    master = spark.conf.get("spark.master", "") or ""
    if master.startswith("local") and spark.conf.get(SHUFFLE) == DEFAULT_SHUFFLE:
        spark.conf.set(SHUFFLE, str(TASKS_PER_CORE * (os.cpu_count() or 1)))
    return spark


def jvm_size(memory: str) -> str:
    """Write a size of memory as Java does: "4GB" is "4g", "0.5 TiB" is "524288m"."""
    number, unit = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)i?B?\s*", memory, re.I).groups()  # type: ignore[union-attr]
    powers = {"K": -1, "M": 0, "G": 1, "T": 2}
    return f"{max(1, round(float(number) * 1024 ** powers.get(unit.upper(), -2)))}m"


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
    if isinstance(given, ibis.backends.BaseBackend):
        return given
    if type(given).__name__ == "SparkSession":
        return spark_backend(given)
    what = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    raise DataError(
        f"A backend is 'duckdb', 'spark', a Spark session or an Ibis backend; this is {what}."
    )


def put(backend: Any, name: str, data: pa.Table | pd.DataFrame | ibis.Table) -> ibis.Table:
    """Put data, or what an expression gives, on a backend under a name, for this run only."""
    if backend.name != "pyspark":
        return backend.create_table(name, data, temp=True)
    if isinstance(data, ibis.Table):
        backend.create_view(name, data)
        # What many queries read is computed once; a Spark without a cache computes it again.
        with _but_interrupts():
            backend.raw_sql(f"CACHE LAZY TABLE `{name}`")
    else:
        _send_to_spark(backend, name, data)
    return backend.table(name)


def read_parquet(backend: Any, name: str, files: Sequence[str]) -> ibis.Table:
    """Put Parquet files of one table on a backend under a name, without reading their rows."""
    if backend.name != "pyspark":
        return backend.read_parquet(list(files), table_name=name)
    spark = backend.raw_sql("SELECT 1").sparkSession
    spark.read.parquet(*files).createOrReplaceTempView(name)
    return backend.table(name)


def _send_to_spark(backend: Any, name: str, data: pa.Table | pd.DataFrame) -> None:
    table = data if isinstance(data, pa.Table) else pa.Table.from_pandas(data, preserve_index=False)
    spark = backend.raw_sql("SELECT 1").sparkSession
    try:
        frame = spark.createDataFrame(table)
    except TypeError:  # before Spark 4
        from ibis.backends.pyspark.datatypes import PySparkSchema

        schema = PySparkSchema.from_ibis(ibis.Schema.from_pyarrow(table.schema))
        rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        frame = spark.createDataFrame(rows, schema)
    frame.createOrReplaceTempView(name)


def drop(backend: Any, names: Sequence[str]) -> None:
    """Forget tables that :func:`put` has put on a backend, the last one first."""
    for name in reversed(names):
        with _but_interrupts():
            if backend.name == "pyspark":
                backend.raw_sql(f"UNCACHE TABLE IF EXISTS `{name}`")
                backend.drop_view(name, force=True)
            else:
                backend.drop_table(name, force=True)


def interrupted(error: BaseException) -> bool:
    """Whether an exception is Ctrl-C, or what DuckDB makes of it in the middle of a query.

    Errors that it was raised from, or raised while handling, count too.
    """
    seen: set[int] = set()
    told: BaseException | None = error
    while told is not None and id(told) not in seen:
        seen.add(id(told))
        if isinstance(told, (KeyboardInterrupt, duckdb.InterruptException)):
            return True
        if isinstance(told, RuntimeError) and str(told) == INTERRUPTED:
            return True
        told = told.__cause__ or told.__context__
    return False


def refuse_interrupted(error: BaseException) -> None:
    """Raise ``KeyboardInterrupt`` for what Ctrl-C has become, so that no handler takes it in.

    For handlers of every exception, before they make an ordinary failure of one.
    """
    if interrupted(error):
        raise KeyboardInterrupt from None


@contextmanager
def _but_interrupts() -> Iterator[None]:
    """Let pass what fails in the block, but not Ctrl-C."""
    try:
        yield
    except Exception as error:
        refuse_interrupted(error)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn the complaints of DuckDB about memory, and those of Spark, into a sentence.

    Raises:
        DataError: In their place.
        KeyboardInterrupt: For Ctrl-C in the middle of a query, so that nobody takes it for a fault.
    """
    try:
        with spark_in_words():
            yield
    except (RuntimeError, duckdb.InterruptException) as error:
        refuse_interrupted(error)
        raise
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            "The records need more memory, or more disk for temporary files, than there is: "
            f"{_first_line(error)}. Give more with 'memory' in [study] or --memory, and "
            "set TMPDIR to a folder on a larger disk."
        ) from None


@contextmanager
def spark_in_words() -> Iterator[None]:
    """Turn what Spark raises into a sentence with the first line of its message.

    Raises:
        DataError: In its place.
    """
    try:
        yield
    except Exception as error:
        if not _of_spark(error):
            raise
        raise DataError(f"Spark failed: {_first_line(error)}") from None


def _of_spark(error: Exception) -> bool:
    """Whether an exception is PySpark's or the Java bridge's."""
    found = []
    if "pyspark" in sys.modules:
        from pyspark.errors import PySparkException

        found.append(PySparkException)
    if "py4j" in sys.modules:
        from py4j.protocol import Py4JError

        found.append(Py4JError)
    return isinstance(error, tuple(found))


def _first_line(error: Exception) -> str:
    """Return the first line that says what is wrong, not that a call failed."""
    java = getattr(error, "java_exception", None)
    text = str(java.toString() if java is not None else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def write_parquet(backend: Any, table: ibis.Table, file: Path) -> None:
    """Write a table to a file.

    Raises:
        OSError: If the disk is full or cannot be written to, as for any other file.
    """
    try:
        backend.to_parquet(table, file)
    except duckdb.IOException as error:
        raise OSError(f"{file} cannot be written: {_first_line(error)}") from error
