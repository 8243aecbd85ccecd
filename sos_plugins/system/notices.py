"""Sentences for whoever waits, on standard error: what goes on, not what was found."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """Print a line to standard error, where there is one."""
    with suppress(OSError, ValueError, AttributeError):  # closed with its terminal
        print(text, file=sys.stderr, flush=True)
