"""What was made once, for whoever asks again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Remembered:
    """Makes things when they are asked for the first time, and keeps them.

    An object that does not change holds one for what follows from it; it is no part of the object.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` gives, from memory where it was made before.

        Args:
            what: Names what is made.
            make: Makes it; an exception passes through and nothing is kept.
        """
        if what not in self._made:
            self._made[what] = make()
        made: T = self._made[what]
        return made
