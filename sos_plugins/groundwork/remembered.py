"""What was made once, for whoever asks again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
MOST_ROWS = 100_000
"""What is made of more rows is not kept: it would fill the memory."""


class Remembered:
    """Makes things when they are asked for the first time, and keeps them.

    An object that does not change holds one for what follows from it. It is no part of the object:
    neither a changed copy nor another process gets it.

    Args:
        n_rows: Rows of the object; with more than :data:`MOST_ROWS` nothing is kept, and everything
            is made whenever it is asked for.
    """

    def __init__(self, n_rows: int = 0) -> None:
        self._keeps = n_rows <= MOST_ROWS
        self._made: dict[Hashable, Any] = {}

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` gives, from memory where it was made before.

        Args:
            what: Names what is made, with all that it rests on beside the object.
            make: Makes it; an exception passes through and nothing is kept. Whoever gets what it
                made leaves it as it is.
        """
        if not self._keeps:
            return make()
        if what not in self._made:
            self._made[what] = make()
        made: T = self._made[what]
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}
