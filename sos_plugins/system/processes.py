"""Processes that a run starts end with it, whatever ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SAFE_PATH = "PYTHONSAFEPATH"
"""The variable for Python's option -P."""
BETWEEN_LOOKS = 0.25
"""Seconds between two looks at whether the parent is there."""


def follow_parent(parent: int) -> None:
    """End this process soon after its parent has ended, even when that was killed.

    Called first thing in a process that works for another. Ctrl-C is left to the parent, which
    ends its workers. (Linux can send a signal at the death of a parent, but sends it at the end of
    the *thread* that started the process.)

    Args:
        parent: The parent's process number, as the parent knows it: if it is gone before this
            process looks, this process ends at once.
    """
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":  # there a process keeps the number of a dead parent
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


@contextmanager
def nothing_from_here() -> Iterator[None]:
    """Let Pythons started in the block import nothing from the folder that the user works in."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(BETWEEN_LOOKS)
    os._exit(1)
