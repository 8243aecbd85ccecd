"""What DuckDB and Spark complain of, in sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sos_plugins.errors import DataError

INTERRUPTED = "Query interrupted"
"""The message of the ``RuntimeError`` that DuckDB raises in place of ``KeyboardInterrupt``."""


def interrupted(error: BaseException) -> bool:
    """Whether an exception is Ctrl-C, or what DuckDB makes of it in the middle of a query.

    Errors that it was raised from, or raised while handling, count too.
    """
    import duckdb

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
def failures_in_words() -> Iterator[None]:
    """Turn the complaints of DuckDB about memory, and those of Spark, into a sentence.

    Raises:
        DataError: In their place.
        KeyboardInterrupt: For Ctrl-C in the middle of a query, so that nobody takes it for a fault.
    """
    import duckdb

    try:
        with spark_in_words():
            yield
    except (RuntimeError, duckdb.InterruptException) as error:
        refuse_interrupted(error)
        raise
    except duckdb.OutOfMemoryException as error:
        raise DataError(
            "The records need more memory, or more disk for temporary files, than there is: "
            f"{first_line(error)}. Give more with 'memory' in [study] or --memory, and "
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
        raise DataError(f"Spark failed: {first_line(error)}") from None


def _of_spark(error: Exception) -> bool:
    """Whether an exception is PySpark's or the Java bridge's."""
    kinds = []
    if "pyspark" in sys.modules:
        from pyspark.errors import PySparkException

        kinds.append(PySparkException)
    if "py4j" in sys.modules:
        from py4j.protocol import Py4JError

        kinds.append(Py4JError)
    return isinstance(error, tuple(kinds))


def first_line(error: Exception) -> str:
    """Return the first line that says what is wrong, not that a call failed."""
    java = getattr(error, "java_exception", None)
    text = str(java.toString() if java is not None else error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
