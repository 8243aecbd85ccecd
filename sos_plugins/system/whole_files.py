"""Files that appear whole or not at all, and of which a killed writer leaves nothing behind."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

LEFT = r"\.{name}\.([a-z0-9_]{{8}}|earlier|part)"
"""Names under which a writer that was killed may have left a file beside its place."""


@dataclass
class WholeFile:
    """A file that is written and waits to appear at its place.

    On Linux it has no name until it appears, so that it is gone with its writer; elsewhere, or on
    a file system without such files, it has a hidden name beside its place.

    Attributes:
        place: Where it will appear.
        handle: The file without a name; -1 where it has one.
        beside: The name, where it has one.
    """

    place: Path
    handle: int = -1
    beside: Path | None = None

    @classmethod
    def written(cls, place: Path, content: bytes) -> WholeFile:
        """Write the content, in the folder of the place, which is made where it is missing.

        Raises:
            OSError: If it cannot be written; nothing is left of it.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        made = cls(place, *_open(place))
        try:
            with os.fdopen(os.dup(made.handle), "wb") as file:
                file.write(content)
            if made.beside is not None:
                made._close()
        except BaseException:
            made.forget()
            raise
        return made

    def appear(self) -> None:
        """Take the place, in place of what is there."""
        if self.beside is None:
            beside = self.place.with_name(f".{self.place.name}.{uuid4().hex[:8]}")
            # Only with a folder's handle does the system follow the link to the file itself.
            os.link(f"/proc/self/fd/{self.handle}", beside, src_dir_fd=0, follow_symlinks=True)
            self.beside = beside
        self.beside.replace(self.place)
        self.beside = None
        self._close()

    def forget(self) -> None:
        """Remove what has not appeared."""
        self._close()
        if self.beside is not None:
            self.beside.unlink(missing_ok=True)

    def _close(self) -> None:
        if self.handle >= 0:
            with suppress(OSError):
                os.close(self.handle)
            self.handle = -1


def put(place: Path, content: bytes) -> None:
    """Write one file whole.

    Raises:
        OSError: If it cannot be written; what was there stays.
    """
    clear(place)
    file = WholeFile.written(place, content)
    try:
        file.appear()
    finally:
        file.forget()


def clear(place: Path) -> None:
    """Remove what a killed writer of this file has left beside it."""
    left = re.compile(LEFT.format(name=re.escape(place.name)))
    with suppress(OSError):
        for path in place.parent.iterdir():
            if left.fullmatch(path.name) and path.is_file():
                path.unlink()


def _open(place: Path) -> tuple[int, Path | None]:
    """Open a file without a name, or with a hidden one; its mode is that of any new file."""
    if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
        with suppress(OSError):
            return os.open(place.parent, os.O_TMPFILE | os.O_WRONLY, 0o666), None
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, 0o666 & ~_umask())
    return handle, Path(name)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
