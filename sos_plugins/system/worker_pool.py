"""Work handed out to several processes, which end with this one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any, cast

import joblib

from sos_plugins.system.processes import follow_parent, nothing_from_here

REPLACED = "A worker stopped while some jobs were given to the executor"
"""How joblib begins to say that it replaces a process, mostly one that holds much memory."""


def in_processes(calls: Iterable[Any], workers: int) -> Generator[Any, None, None]:
    """Yield what some calls return, in their order.

    joblib warns of a process that it replaces in the thread that hands out the work. Where warnings
    are errors (``python -W error``) that would end the thread, and the run would wait for ever. The
    work goes on as before, so this one warning is not shown.

    Args:
        calls: Made by ``joblib.delayed``.
        workers: Processes.
    """
    warnings.filterwarnings("ignore", message=REPLACED, category=UserWarning)
    pool = joblib.Parallel(
        n_jobs=workers,
        return_as="generator",
        batch_size=1,
        max_nbytes=None,  # else columns of cases go to files that others can read
        initializer=follow_parent,
        initargs=(os.getpid(),),
    )
    results = cast(Generator[Any, None, None], pool(calls))
    with nothing_from_here(), closing(results):  # ends the processes when this one is stopped
        yield from results
