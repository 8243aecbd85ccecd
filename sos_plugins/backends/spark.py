"""Spark: the one that is running, or one that is started here."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sos_plugins.backends.failures import spark_in_words
from sos_plugins.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

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
    import ibis

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


def send_to_spark(backend: Any, name: str, data: pa.Table | pd.DataFrame) -> None:
    """Put data on Spark under a name, by Arrow."""
    import pyarrow as pa

    table = data if isinstance(data, pa.Table) else pa.Table.from_pandas(data, preserve_index=False)
    spark = backend.raw_sql("SELECT 1").sparkSession
    try:
        frame = spark.createDataFrame(table)
    except TypeError:  # before Spark 4
        import ibis
        from ibis.backends.pyspark.datatypes import PySparkSchema

        schema = PySparkSchema.from_ibis(ibis.Schema.from_pyarrow(table.schema))
        rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        frame = spark.createDataFrame(rows, schema)
    frame.createOrReplaceTempView(name)
