"""What a file of a user's is, as a source knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileDescription:
    """What a source makes of one file.

    Attributes:
        file: The file, relative to the folder that was asked for.
        release: Which release of which collection it is; empty where that is not known.
        about: What the file says of itself.
        first_period: First April-year of its figures; None where it has none.
        last_period: Last April-year of its figures.
        levels: Geographic levels of its rows, as the file calls them.
        gives: Measures or record tables that are read from it.
        explains: Files that are read with its help.
        unread: Names of columns that are not read.
        why: Why it is not read, or not whole; empty where nothing is amiss.
    """

    file: str
    release: str = ""
    about: str = ""
    first_period: int | None = None
    last_period: int | None = None
    levels: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the source reads something from it."""
        return bool(self.gives or self.explains)
