"""Whether a file is there, can be opened, and holds what its reader expects.

Readers ask here first, so that what is wrong with a file is told once and in one way: where it is,
what it is instead, and what to do.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sos_plugins.errors import DataError

CSV_TEXT, XML, PARQUET = "CSV text", "XML", "Parquet"
WORKBOOK, STATISTICS = "Excel workbook", "Stata or SPSS data"

_ZIP = b"PK\x03\x04"
_SIGNS: Sequence[tuple[bytes, str, str]] = (
    (b"\x1f\x8b", "a gzip archive", "Unpack it"),
    (_ZIP, "a zip archive or an Excel workbook", "Unpack it, or save the sheet as CSV"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Excel workbook, or one with a password",
        "Save the sheet as CSV",
    ),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it"),
    (b"BZh", "a bzip2 archive", "Unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it"),
    (b"%PDF-", "a PDF document", "Ask for the data as a file of its own kind"),
    (b"PAR1", PARQUET, "Name the file as what it is"),
    (b"SQLite format 3\0", "an SQLite database", "Read it with the source 'database'"),
)
_MARKUP = ((b"<?xml", XML), (b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"))
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 512
"""Bytes at the start of a file that show what it is."""

READ = (",", ";", "\t", "|")
"""What stands between the columns of a file that is read."""
SEPARATORS = (*READ, "^", "~", ":", " ")
"""What may stand between the names of columns."""
TITLE_LINES = 40
"""Lines among which the names of columns are looked for."""


def refuse_unreadable(path: Path, *, expected: str, may_be_empty: bool = False) -> None:
    """Refuse a path that is no file, cannot be opened, is empty or holds something else.

    Args:
        path: The file.
        expected: What it should hold: one of :data:`CSV_TEXT`, :data:`XML`, :data:`PARQUET`,
            :data:`WORKBOOK`, :data:`STATISTICS`.
        may_be_empty: Whether an empty file is left to its reader.

    Raises:
        DataError: In each of these cases, with what to do.
    """
    _refuse_no_file(path, expected)
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError as error:
        raise cannot_open(path, error) from None
    if not start and not may_be_empty:
        raise DataError(
            f"{path} is empty; {expected} was expected. Put the file there again, or take it away."
        )
    if (held := _held(start, expected)) is not None:
        what, mend = held
        raise DataError(f"{path} holds {what}, not {expected}. {mend}.")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says about a file while it is read into a sentence.

    Raises:
        DataError: If the file is not there or no longer, is a folder, or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except OSError as error:
        raise cannot_open(path, error) from None


def refuse_closed(path: Path) -> None:
    """Refuse a file that cannot be opened, whatever it holds.

    Raises:
        DataError: With what to do.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise cannot_open(path, error) from None


def cannot_open(path: Path, error: OSError) -> DataError:
    """Return the sentence for a file or folder that the system does not let us read."""
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path} is a folder; a file was expected. Name a file inside it.")
    folder = _is_folder(path)
    kind = "folder" if folder else "file"
    mend = (
        f"Ask for the right to read this {kind}"
        if isinstance(error, PermissionError)
        else f"See to the {kind}"
    )
    lost = " What it holds would be left out without a word." if folder else ""
    return DataError(
        f"The {kind} {path} cannot be {'listed' if folder else 'opened'}: "
        f"{error.strerror or error}.{lost} {mend}, or name in the settings only what can be read."
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _refuse_no_file(path: Path, expected: str) -> None:
    try:
        if path.is_dir():
            raise DataError(
                f"{path} is a folder; a file of {expected} was expected. Name a file inside it."
            )
        there, regular = path.exists(), path.is_file()
        link = path.is_symlink()
    except OSError as error:
        raise cannot_open(path, error) from None
    if link and not there:
        raise DataError(
            f"{path} is a link to {path.readlink()}, which is not there. Mend the link or take it "
            "away."
        )
    if not there:
        raise DataError(f"There is no file {path}.")
    if not regular:
        raise DataError(f"{path} is no file but a pipe, socket or device. Name a file.")


def _held(start: bytes, expected: str) -> tuple[str, str] | None:
    """Return what a file holds and how to mend it, None if it may be what was expected."""
    for sign, what, mend in _SIGNS:
        if start.startswith(sign):
            fits = what == expected or (expected == WORKBOOK and sign == _ZIP)
            return None if fits else (what, mend)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for sign, what in _MARKUP:
        if text.startswith(sign) and what != expected:
            return what, "Ask for the data as a file of its own kind"
    binary = expected == CSV_TEXT and b"\0" in start and not start.startswith(_BYTE_ORDER_MARKS)
    return ("bytes that are no text", "Save it as CSV in UTF-8") if binary else None


def refuse_other_header(path: Path, holds: Callable[[Sequence[str]], bool]) -> None:
    """Refuse a CSV file whose names of columns stand under a title or between other separators.

    Such a file would seem to have no column that is known, and would be passed over.

    Args:
        path: A file of text.
        holds: Whether names are those of the columns looked for.

    Raises:
        DataError: If the names stand elsewhere than in the first line between separators that are
            read; nothing is raised where they are nowhere.
    """
    encoding = _encoding(path)
    try:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            lines = [line for _, line in zip(range(TITLE_LINES), file, strict=False)]
    except OSError as error:
        raise cannot_open(path, error) from None
    filled = [(n, line) for n, line in enumerate(lines, 1) if line.strip("\r\n")]
    names = _place_of_names(filled, READ, holds) or _place_of_names(filled, SEPARATORS, holds)
    if names is None:
        return
    place, separator = names
    if place:
        number = filled[place][0]
        raise DataError(
            f"{path}: the names of the columns stand in line {number}; expected in the first "
            f"line. Delete the {'line' if number == 2 else 'lines'} above them."
        )
    if separator not in READ:
        raise DataError(
            f"{path}: the columns are separated by {separator!r}. Save the file with commas, "
            "semicolons, tabs or vertical bars between them."
        )


def _place_of_names(
    lines: Sequence[tuple[int, str]],
    separators: Sequence[str],
    holds: Callable[[Sequence[str]], bool],
) -> tuple[int, str] | None:
    """Return which line has the names of the columns, and what stands between them."""
    for place, (_, line) in enumerate(lines):
        for separator in separators:
            if holds(_names(line, separator)):
                return place, separator
    return None


def _encoding(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return "utf-16" if file.read(2) in _BYTE_ORDER_MARKS else "utf-8-sig"
    except OSError as error:
        raise cannot_open(path, error) from None


def _names(line: str, separator: str) -> list[str]:
    text = line.strip("\r\n")
    if separator == " ":
        return text.split()
    try:
        return [name.strip() for name in next(csv.reader([text], delimiter=separator), [])]
    except csv.Error:
        return []
