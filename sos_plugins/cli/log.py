"""The log of a command: its steps with their times, versions, warnings, errors.

It can be handed on with a report, whose warnings it has. Passwords are masked and homes of people
left out, as in results. Of an error in data, of one that nobody foresaw and of what libraries warn
of it has the kind and the place, not the text, in which a value of a record could stand.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sos_plugins.errors import DataError, SosError
from sos_plugins.groundwork.installed import distribution_version
from sos_plugins.system.output_folder import OutputError, cannot_write
from sos_plugins.system.secrets import masked, without_home

LOG = logging.getLogger("sos_plugins")
FORM = "%(asctime)s %(levelname)s %(message)s"
OURS = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ")
"""How a line of a log begins."""


class Clean(logging.Formatter):
    """Writes records in one line each, without secrets and homes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return without_home(masked(" ".join(super().format(record).split("\n"))))


@contextmanager
def logged(command: str, *, verbose: bool, file: Path | None) -> Iterator[None]:
    """Log what is done in the block, to standard error, to a file, or to both.

    Args:
        command: Name of the command.
        verbose: Whether to log to standard error.
        file: File that lines are added to; made if needed.

    Raises:
        OutputError: If the file cannot be written to, or is no log.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if verbose else []
    if file is not None:
        handlers.append(_to_file(file))
    with _nowhere_else(handlers or [logging.NullHandler()]):
        if not handlers:
            yield
            return
        with _steps(command):
            yield


@contextmanager
def _nowhere_else(handlers: Sequence[logging.Handler]) -> Iterator[None]:
    """Give the log these handlers alone, whatever a library sets up for all logs of the process."""
    propagate = LOG.propagate
    for handler in handlers:
        handler.setFormatter(Clean(FORM))
        LOG.addHandler(handler)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.propagate = propagate
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


@contextmanager
def _steps(command: str) -> Iterator[None]:
    """Log what is done in the block."""
    level, show = LOG.level, warnings.showwarning
    LOG.setLevel(logging.INFO)
    warnings.showwarning = _warned
    started = time.perf_counter()
    try:
        _begin(command, sys.argv[1:])
        yield
        LOG.info("Finished in %.1f s", time.perf_counter() - started)
    except BaseException as error:
        _failed(error, time.perf_counter() - started)
        raise
    finally:
        warnings.showwarning = show
        LOG.setLevel(level)


@contextmanager
def timed(label: str) -> Iterator[None]:
    """Log that a step begins, and how long it took or that it failed."""
    LOG.info("%s: begun", label)
    started = time.perf_counter()
    try:
        yield
    except BaseException:
        LOG.error("%s: failed after %.2f s", label, time.perf_counter() - started)
        raise
    LOG.info("%s: %.2f s", label, time.perf_counter() - started)


def _to_file(file: Path) -> logging.Handler:
    try:
        if file.is_file():
            with file.open("rb") as there:
                first = there.readline()
            if first and not OURS.match(first):
                raise OutputError(
                    f"{file} is there and is no log: nothing is added to it. Name another file "
                    "with --log."
                )
        return logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise cannot_write("The log", file.parent, error) from None


def _begin(command: str, arguments: Sequence[str]) -> None:
    from sos_plugins.host.distributions import dependencies  # which --help need not wait for

    LOG.info("sos-plugins %s: %s", distribution_version("sos-plugins"), command)
    LOG.info("Arguments: %s", shlex.join(arguments))
    LOG.info("Python %s on %s", platform.python_version(), platform.platform())
    LOG.info("Processors: %s", os.cpu_count())
    told = (f"{name} {distribution_version(name)}" for name in dependencies())
    LOG.info("Versions: %s", ", ".join(told))


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Log where a library warned of what kind of thing; its text could hold a value of a record."""
    del message
    LOG.warning("A library warned: %s at %s", category.__name__, _place(filename, lineno))


def _failed(error: BaseException, seconds: float) -> None:
    if isinstance(error, SystemExit):
        LOG.info("Ended with status %s after %.1f s", error.code, seconds)
    elif isinstance(error, SosError) and not _about_records(error):
        LOG.error("%s: %s", type(error).__name__, error)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        way = " < ".join(_place(f.filename, f.lineno or 0) for f in reversed(frames))
        LOG.error("%s after %.1f s at %s", type(error).__name__, seconds, way)


def _about_records(error: SosError) -> bool:
    return isinstance(error, DataError) and not isinstance(error, OutputError)


def _place(filename: str, line: int) -> str:
    """Name a line of code by the last parts of its file."""
    return f"{'/'.join(Path(filename).parts[-2:])}:{line}"
