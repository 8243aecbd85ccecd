"""What libraries warn of while something is computed, as sentences beside the result."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

FOR_AUTHORS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)
"""Kinds of warning that say nothing about a result."""


@contextmanager
def record_warnings(what: str) -> Iterator[list[str]]:
    """Yield a list that is filled, when the block ends, with what Python was warned of in it.

    Filters stay as they are: what is ignored is not heard, and what is an error is one.

    Args:
        what: What is computed, at the start of each sentence.
    """
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        yield told
    for warning in caught:
        if issubclass(warning.category, FOR_AUTHORS):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        else:
            text = " ".join(str(warning.message).split()).rstrip(".")
            told.append(f"{what} warned ({warning.category.__name__}): {text}.")
    told[:] = dict.fromkeys(told)
