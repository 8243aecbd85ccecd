"""From what a setting names to the files that are read."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from sos_plugins.errors import DataError
from sos_plugins.session import Session

WILD = "*?["


def as_tuple(value: object) -> object:
    """Let one text stand for a list of one, for validators of settings."""
    return (value,) if isinstance(value, str | Path) else value


def find_files(entries: Iterable[str], session: Session, *, suffix: str) -> list[Path]:
    """Return the files that files, folders (searched through) and globs name, each once, sorted.

    Args:
        entries: Paths relative to ``session.base``, or absolute.
        session: Gives the base folder.
        suffix: What files in folders end in, such as ``".xml"``, in either case.

    Raises:
        DataError: If an entry names nothing.
    """
    found: dict[Path, Path] = {}
    for entry in entries:
        hits = sorted(_expand(entry, session, suffix))
        if not hits:
            raise DataError(
                f"'{entry}' names no {suffix} file (looked for {session.path(entry)}). Expected a "
                "file, a folder or a pattern such as 'returns/*" + suffix + "'."
            )
        for hit in hits:
            found.setdefault(hit.resolve(), hit)
    return sorted(found.values())


def _expand(entry: str, session: Session, suffix: str) -> Iterator[Path]:
    path = session.path(entry)
    if path.is_dir():
        yield from _inside(path, suffix)
    elif path.is_file():
        yield path
    elif any(sign in entry for sign in WILD):
        for hit in glob.iglob(str(path), recursive=True):  # noqa: PTH207 (patterns may be absolute)
            yield from _inside(Path(hit), suffix) if Path(hit).is_dir() else (Path(hit),)


def _inside(folder: Path, suffix: str) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() == suffix and p.is_file())


def shown(path: Path, session: Session) -> str:
    """Return a path as results show it: relative to the base folder where it lies inside."""
    try:
        return path.resolve().relative_to(session.base.resolve()).as_posix()
    except ValueError:
        return path.as_posix()
