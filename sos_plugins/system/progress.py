"""How far a long step has come, shown or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """Shows how far a long step has come."""

    def step(self, label: str, total: int | None = None) -> Any:
        """Open a context manager that yields a function ``advance(n=1)``.

        Args:
            label: What is done, for a reader.
            total: How often ``advance`` will be called; None if nobody knows.
        """


class NoProgress:
    """Shows nothing."""

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Any]:  # noqa: ARG002
        """Yield a function that does nothing.

        Args:
            label: Not looked at.
            total: Not looked at.
        """
        yield lambda n=1: None  # noqa: ARG005
