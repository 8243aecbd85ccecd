"""Where record tables live: DuckDB on this machine, or Spark; both through Ibis."""

from sos_plugins.backends.choose import BackendName, as_backend
from sos_plugins.backends.duckdb import duckdb_backend, limits_of, scratch_database
from sos_plugins.backends.failures import (
    INTERRUPTED,
    failures_in_words,
    interrupted,
    refuse_interrupted,
    spark_in_words,
)
from sos_plugins.backends.spark import (
    MEND_JAVA,
    MEND_SPARK,
    SHUFFLE,
    SPARK_SETTINGS,
    jvm_size,
    missing_spark,
    spark_backend,
)
from sos_plugins.backends.tables import drop, put, read_parquet, write_parquet

__all__ = [
    "INTERRUPTED",
    "MEND_JAVA",
    "MEND_SPARK",
    "SHUFFLE",
    "SPARK_SETTINGS",
    "BackendName",
    "as_backend",
    "drop",
    "duckdb_backend",
    "failures_in_words",
    "interrupted",
    "jvm_size",
    "limits_of",
    "missing_spark",
    "put",
    "read_parquet",
    "refuse_interrupted",
    "scratch_database",
    "spark_backend",
    "spark_in_words",
    "write_parquet",
]
