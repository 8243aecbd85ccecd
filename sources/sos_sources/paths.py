"""From what a setting names to the files that are read, and those that are left out.

A folder or a pattern covers whatever lies inside. Each path is either read or counted with its
reason; what cannot be listed or opened is refused, since nobody would miss what it holds.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sos_plugins.contract.session import Session
from sos_plugins.contract.types import EXAMPLE_COLUMNS, QualityProfile
from sos_plugins.errors import DataError
from sos_plugins.tables.readable import cannot_open
from sos_plugins.tables.row_accounts import FILES, account

WILD = "*?["
HIDDEN = "hidden"
OUT_OF_SCOPE = "out-of-scope"
NOT_ASKED_FOR = "not-asked-for"
UNREADABLE = "unreadable"
"""Checks of the table ``files``: why a path that a setting covers is not read."""
PARTS_SHOWN = 3
"""Parts of a path from elsewhere that results show."""
HOMES = ("home", "Users")


@dataclass(frozen=True)
class LeftOut:
    """A path that a setting covers and that is not read: which check counts it, and why."""

    path: Path
    check: str
    reason: str


@dataclass(frozen=True)
class Covered:
    """What settings cover: files to read, each once and sorted, and paths that are left out."""

    files: tuple[Path, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def inputs(self) -> list[Path]:
        """All that a reading rests on: the files, and what lies beside them, which is told."""
        return [*self.files, *(one.path for one in self.left_out)]


def as_tuple(value: object) -> object:
    """Let one text stand for a list of one, for validators of settings."""
    return (value,) if isinstance(value, str | Path) else value


def find_files(entries: Iterable[str], session: Session, *, suffix: str) -> list[Path]:
    """Return the files that :func:`cover` finds."""
    return list(cover(entries, session, suffix=suffix).files)


def cover(
    entries: Iterable[str], session: Session, *, suffix: str, further: Sequence[str] = ()
) -> Covered:
    """Return the files that files, folders (searched through) and patterns name, each once.

    Args:
        entries: Paths relative to ``session.base``, or absolute.
        session: Gives the base folder.
        suffix: What files in folders end in, such as ``".xml"``, in either case.
        further: Other endings of files that are read.

    Raises:
        DataError: If an entry names nothing, a folder cannot be listed, or what is named like a
            file is none: a link to nothing, an empty folder, a pipe.
    """
    suffixes = (suffix, *further)
    by_real_path: dict[Path, Path] = {}
    left_out: dict[Path, LeftOut] = {}
    for entry in entries:
        hits = 0
        for hit in sorted(_expand(entry, session, suffixes), key=_path_of):
            if isinstance(hit, LeftOut):
                left_out.setdefault(hit.path.resolve(), hit)
            else:
                hits += 1
                by_real_path.setdefault(hit.resolve(), hit)
        if not hits:
            named = " or ".join(suffixes)
            raise DataError(
                f"'{entry}' names no {named} file (looked for {session.path(entry)}). "
                "Expected a file, a folder or a pattern such as 'returns/*" + suffix + "'."
            )
    rest = (one for real, one in left_out.items() if real not in by_real_path)
    return Covered(tuple(sorted(by_real_path.values())), tuple(rest))


def covered_by(folder: Path, *, suffix: str) -> Covered:
    """Return what one folder covers; nothing need be there. Errors as in :func:`cover`."""
    inside = sorted(_inside(folder, (suffix,), frozenset()), key=_path_of)
    files = tuple(one for one in inside if isinstance(one, Path))
    return Covered(files, tuple(one for one in inside if isinstance(one, LeftOut)))


def count_files(
    n_read: int, left_out: Sequence[LeftOut], session: Session, *, source: str, examples: int
) -> QualityProfile:
    """Count the files that are read and, one row each, what else settings cover, with reasons."""
    label = {"source": source, "table": FILES}
    rows = [
        {
            **label,
            "column": shown(one.path, session),
            "check": one.check,
            "n": 1,
            "n_flagged": 1,
            "action": "dropped",
        }
        for one in left_out
    ]
    places = [
        (source, FILES, row["column"], row["check"], None, row["column"], None, one.reason)
        for row, one in zip(rows, left_out, strict=True)
    ]
    counted = QualityProfile(
        QualityProfile.of(rows).checks.astype({"period": "Int64"}),
        pd.DataFrame(places[:examples], columns=list(EXAMPLE_COLUMNS)),
    )
    n = n_read + len(left_out)
    return counted + account(counted, source=source, table=FILES, n_read=n, n_given=n_read)


def _path_of(one: Path | LeftOut) -> Path:
    return one if isinstance(one, Path) else one.path


def _expand(entry: str, session: Session, suffixes: Sequence[str]) -> Iterator[Path | LeftOut]:
    path = session.path(entry)
    if _is_folder(path):
        yield from _inside(path, suffixes, frozenset())
    elif os.path.lexists(path):
        _refuse_no_file(path)
        yield path
    elif any(sign in entry for sign in WILD):
        for hit in _matching(path):
            if _is_folder(hit):
                yield from _inside(hit, suffixes, frozenset())
            else:
                _refuse_no_file(hit)
                yield hit


def _inside(
    folder: Path, suffixes: Sequence[str], above: frozenset[Path]
) -> Iterator[Path | LeftOut]:
    """Yield all that lies in a folder and those inside it, links to folders among them."""
    real = folder.resolve()
    if real in above:
        yield LeftOut(folder, HIDDEN, "a link to a folder that holds it")
        return
    n = 0
    for one in _listed(folder):
        n += 1
        if one.name.startswith("."):
            yield LeftOut(one, HIDDEN, "its name begins with a dot")
        elif _is_folder(one):
            inner = list(_inside(one, suffixes, above | {real}))
            if one.suffix.lower() in suffixes and not any(isinstance(f, Path) for f in inner):
                raise DataError(
                    f"{one} is a folder where a {one.suffix} file was expected, and none is "
                    "inside. Put the file there, or take the folder away."
                )
            yield from inner
        elif one.suffix.lower() in suffixes:
            _refuse_no_file(one)
            yield one
        else:
            yield LeftOut(one, OUT_OF_SCOPE, f"no {' or '.join(suffixes)} file, by its name")
    if not n:
        yield LeftOut(folder, OUT_OF_SCOPE, "an empty folder")


def _matching(pattern: Path) -> Iterator[Path]:
    """Yield the paths that a pattern names, ``**`` for any folders in between.

    Unlike :mod:`glob` this tells of folders that cannot be listed.
    """
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in WILD))
    yield from _matching_in(Path(*parts[:fixed]), parts[fixed:])


def _matching_in(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    if not parts:
        yield folder
        return
    head, rest = parts[0], parts[1:]
    if not any(sign in head for sign in WILD):
        if os.path.lexists(folder / head):
            yield from _matching_in(folder / head, rest)
        return
    if not _is_folder(folder):
        return
    if head == "**":
        yield from _matching_in(folder, rest)
    for one in _listed(folder):
        if one.name.startswith(".") and not head.startswith("."):
            continue
        if head == "**":
            if _is_folder(one) and not one.is_symlink():
                yield from _matching_in(one, parts)
        elif fnmatch.fnmatchcase(one.name, head):
            yield from _matching_in(one, rest)


def _listed(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries)
    except OSError as error:
        raise cannot_open(folder, error) from None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # a folder above that may not be entered
        raise cannot_open(path, error) from None


def _refuse_no_file(path: Path) -> None:
    """Refuse what is named like a file and is none, before any is read."""
    try:
        if path.is_file():
            return
    except OSError as error:
        raise cannot_open(path, error) from None
    if path.is_symlink():
        raise DataError(
            f"{path} is a link to {path.readlink()}, which is not there. Mend the link or take it "
            "away."
        )
    raise DataError(f"{path} is no file but a pipe, socket or device. Take it away.")


def shown(path: Path, session: Session) -> str:
    """Return a path as results show it.

    It is relative to the base folder, or to a folder that both lie in; of a path from elsewhere
    the last parts are shown. Results go to others, who need not learn whose folders these are.
    """
    real, base = path.resolve(), session.base.resolve()
    if real.is_relative_to(base):
        return real.relative_to(base).as_posix()
    common = Path(os.path.commonpath((real, base)))
    private = 3 if common.parts[1:2] and common.parts[1] in HOMES else 2
    if len(common.parts) >= private and common != Path(common.anchor):
        return Path(os.path.relpath(real, base)).as_posix()
    kept = real.parts[-PARTS_SHOWN:]
    return Path("...", *(p for p in kept if p != real.anchor)).as_posix()
