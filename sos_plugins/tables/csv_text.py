"""Reading a CSV file as text, with the line of every row at hand for messages.

Numbers, dates and codes with leading zeros are made from the text by whoever knows what a column
holds; nothing is guessed here. UTF-8 (with or without a byte order mark), UTF-16 with its mark and
Windows-1252 are read; fields are separated by commas, semicolons, tabs or vertical bars, as the
header shows.

A quotation mark that stands where it should not makes one cell of many rows. Every reader of CSV
files goes through this one, which counts cells that hold line breaks and refuses those that look
like rows.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from sos_plugins.errors import DataError
from sos_plugins.tables.readable import CSV_TEXT, readable, refuse_other_header, refuse_unreadable

T = TypeVar("T")

DELIMITERS = (",", ";", "\t", "|")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
LONGEST_CELL_IN_LINES = 50
"""A cell of more lines means a quotation mark that was never closed."""
BREAK = re.compile(r"\r\n|\r|\n")
LAST = "\x1e"
"""What the cells of the row hold that is read after the end of a file: an open quotation mark
swallows it."""


@dataclass(frozen=True)
class Misfit:
    """A row whose number of fields is not that of the header; it is not in the table."""

    line: int
    n_fields: int


@dataclass(frozen=True)
class TextTable:
    """A CSV file as text.

    Attributes:
        path: The file.
        names: The header, trimmed, in the order of the file; names may repeat.
        columns: One text array a column, trimmed, null where empty, and null throughout where the
            column was not asked for.
        misfits: Rows left out because they have too few or too many fields.
        sha256: Digest of the bytes of the file.
        encoding: How the bytes were read.
        delimiter: What separates the fields.
        broken: Lines on which rows start that have cells with line breaks, misfits left out.
        n_broken_cells: How many cells hold line breaks.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[pa.ChunkedArray, ...]
    misfits: tuple[Misfit, ...]
    sha256: str
    encoding: str = field(repr=False, default="utf-8")
    delimiter: str = field(repr=False, default=",")
    broken: tuple[int, ...] = field(repr=False, default=())
    n_broken_cells: int = field(repr=False, default=0)

    @property
    def n_rows(self) -> int:
        """Number of rows, misfits left out."""
        return len(self.columns[0]) if self.columns else 0

    def lines(self, rows: Sequence[int]) -> list[int]:
        """Return the line (1 = first of the file) on which each of these rows starts.

        The file is read once more, so ask for the few rows that a message names.
        """
        wanted = set(rows)
        last = max(wanted, default=-1)
        line_of: dict[int, int] = {}
        for row, line in enumerate(_good_lines(self)):
            if row in wanted:
                line_of[row] = line
            if row >= last:
                break
        return [line_of.get(row, row + 2) for row in rows]

    def bare(self, column: int, text: str) -> npt.NDArray[np.bool_]:
        """Say of each row whether its cell in a column is this text without quotation marks; (n,).

        The file is read once more.
        """
        padded = [f"{a}{text}{b}" for a in ("", " ") for b in ("", " ")]
        parsed = _parse(self.path, len(self.names), self.encoding, self.delimiter, {column}, padded)
        kept = parsed.table.column(0).slice(1, self.n_rows)
        same = pc.and_(pc.equal(self.columns[column], text), pc.is_null(kept))
        bare: npt.NDArray[np.bool_] = pc.fill_null(same, False).to_numpy()
        return bare

    def line_numbers(self) -> npt.NDArray[np.int64]:
        """Return the line on which each row starts."""
        with readable(self.path), self.path.open("rb") as file:
            n_breaks = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
            file.seek(max(0, self.path.stat().st_size - 1))
            n_lines = n_breaks + (file.read(1) != b"\n")
        if n_lines == self.n_rows + 1 and self.encoding != "utf-16":  # one line a row
            return np.arange(2, self.n_rows + 2, dtype=np.int64)
        lines = np.fromiter(_good_lines(self), dtype=np.int64)
        whole = np.arange(2, self.n_rows + 2, dtype=np.int64)
        return lines if len(lines) == self.n_rows else whole


def decoded(content: bytes) -> str:
    """Return UTF-8, or UTF-16 with its mark, as text with plain ends of lines.

    Raises:
        UnicodeDecodeError: If it is neither.
    """
    encoding = "utf-16" if content[:2] in UTF16_MARKS else "utf-8-sig"
    return BREAK.sub("\n", content.decode(encoding))


def read_text(path: Path, *, used: Collection[str] | None = None) -> TextTable:
    """Read a CSV file as text.

    Args:
        path: The file.
        used: Names of the columns that will be asked for; all if none. The rows are checked whole.

    Raises:
        DataError: If there is no such file, it is empty or of another kind, it cannot be decoded,
            a quotation mark is never closed, or a cell holds what looks like further rows.
    """
    refuse_unreadable(path, expected=CSV_TEXT)
    with readable(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _in_some_encoding(path, lambda encoding: _read(path, encoding, digest, used))


def read_header(path: Path) -> tuple[str, ...]:
    """Read only the names of the columns, trimmed.

    Raises:
        DataError: As :func:`read_text`.
    """
    refuse_unreadable(path, expected=CSV_TEXT)
    return _in_some_encoding(path, lambda encoding: _header(path, encoding)[0])


def read_frame(path: Path, *, names: Collection[str] = ()) -> pd.DataFrame:
    """Read a small CSV file as a frame of text, "" where empty, indexed by line.

    Args:
        path: The file.
        names: Columns that it must have, in whatever case; a title above them is told.

    Raises:
        DataError: As :func:`read_text`; and if the names of the columns stand under a title, two
            columns have one name, or a row has too few or too many fields.
    """
    refuse_unreadable(path, expected=CSV_TEXT)
    if names:
        needed = {name.casefold() for name in names}
        refuse_other_header(path, lambda header: needed <= {name.casefold() for name in header})
    text = read_text(path)
    refuse_misfits(text)
    twice = sorted({name for name in text.names if text.names.count(name) > 1})
    if "" in twice:
        raise DataError(
            f"{path}: the first line leaves {text.names.count('')} of {len(text.names)} columns "
            "without a name. Names of the columns were expected there: delete a title above them, "
            "and columns that are empty."
        )
    if twice:
        raise DataError(f"{path} has more than one column '{twice[0]}'; rename all but one.")
    columns = {n: c.to_pylist() for n, c in zip(text.names, text.columns, strict=True)}
    lines = pd.Index(text.line_numbers(), name="line")
    return pd.DataFrame(columns, index=lines, dtype=object).fillna("")


def refuse_misfits(text: TextTable) -> None:
    """Raise a DataError if rows have too few or too many fields."""
    if text.misfits:
        first = text.misfits[0]
        raise DataError(
            f"{text.path}, line {first.line}: {first.n_fields} fields, but the header names "
            f"{len(text.names)} columns ({len(text.misfits)} such rows). Mend the rows, or quote "
            "cells that hold a separator."
        )


def _in_some_encoding(path: Path, read: Callable[[str], T]) -> T:
    with readable(path):
        with path.open("rb") as file:
            wide = file.read(2) in UTF16_MARKS
        for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
            try:
                return read(encoding)
            except UnicodeError:
                continue
    raise DataError(f"{path} is neither UTF-8 nor Windows-1252 text; save it as CSV in UTF-8.")


def _read(path: Path, encoding: str, digest: str, used: Collection[str] | None) -> TextTable:
    n_lines = _count_lines(path, encoding)
    names, delimiter = _header(path, encoding)
    wanted = {i for i, name in enumerate(names) if used is None or name in used}
    parsed = _parse(path, len(names), encoding, delimiter, wanted, [""])
    if parsed.open_at_end:
        text = TextTable(path, names, (), (), digest, encoding, delimiter)
        _refuse_open_quote(text, at_end=parsed.table.num_columns > 0)
    n_rows = parsed.table.num_rows - 1
    read = parsed.table.slice(1)
    nothing = pa.chunked_array([pa.nulls(n_rows, pa.string())])
    columns = tuple(_clean(read[str(i)]) if i in wanted else nothing for i in range(len(names)))
    text = TextTable(path, names, columns, (), digest, encoding, delimiter)
    if n_rows + 1 + len(parsed.rejected) < n_lines:
        text = _with_breaks(text)
    if not parsed.rejected:
        return text
    numbers = parsed.rejected
    lines = dict(zip(numbers, _record_lines(text, set(numbers)), strict=True))
    misfits = tuple(Misfit(lines[number], n) for number, n in sorted(numbers.items()))
    return replace(text, misfits=misfits)


def _count_lines(path: Path, encoding: str) -> int:
    """Count the lines that are not empty.

    Raises:
        UnicodeError: If the file is in another encoding.
    """
    n, in_line = 0, False
    with path.open(encoding=encoding, newline="") as text:
        while chunk := text.read(CHUNK):
            codes = np.frombuffer(chunk.encode("utf-8"), dtype=np.uint8)
            within = (codes != ord("\n")) & (codes != ord("\r"))
            n += int(np.count_nonzero(within[1:] & ~within[:-1])) + bool(within[0] and not in_line)
            in_line = bool(within[-1])
    return n


def _header(path: Path, encoding: str) -> tuple[tuple[str, ...], str]:
    with path.open(encoding=encoding, newline="") as file:
        first = next((line for line in file if line.strip("\r\n")), None)
    if first is None:
        raise DataError(f"{path} is empty; a header and rows were expected.")
    delimiter = max(DELIMITERS, key=re.sub('"[^"]*"', "", first).count)
    try:
        names = next(csv.reader([first], delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}: the header cannot be read: {error}.") from None
    return tuple(name.strip() for name in names), delimiter


CHUNK = 1 << 20
"""Characters or bytes read at a time."""
LONGEST_ROW = 64 * CHUNK
"""Bytes of a row beyond which a quotation mark was never closed."""


@dataclass(frozen=True)
class _Parsed:
    """The rows of a file, the header among them.

    Attributes:
        table: Text; columns have the names "0", "1" ...
        rejected: Number of fields of the misfits, by number of the record.
        open_at_end: Whether a quotation mark is open at the end of the file.
    """

    table: pa.Table
    rejected: Mapping[int, int]
    open_at_end: bool


class _AndOneRow(io.RawIOBase):
    """The bytes of a file and, on a line of its own, one row more."""

    def __init__(self, path: Path, row: bytes) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._row = row

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._file.readinto(buffer)
        if not n:
            n = min(len(buffer), len(self._row))
            buffer[:n], self._row = self._row[:n], self._row[n:]
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


def _one_row(path: Path, row: str, encoding: str) -> bytes:
    if encoding != "utf-16":
        return row.encode()
    with path.open("rb") as file:
        return row.encode("utf-16-le" if file.read(2) == UTF16_MARKS[0] else "utf-16-be")


def _parse(
    path: Path,
    n_columns: int,
    encoding: str,
    delimiter: str,
    wanted: Collection[int],
    nulls: Sequence[str],
    block: int = CHUNK,
) -> _Parsed:
    """Parse the file; cells of ``nulls`` without quotation marks become null."""
    rejected: dict[int, int] = {}

    def reject(row: pa_csv.InvalidRow) -> str:
        rejected[row.number] = row.actual_columns
        return "skip"

    places = [str(i) for i in range(n_columns)]
    included = [place for i, place in enumerate(places) if i in wanted] or places[:1]
    last = _one_row(path, f"\n{delimiter.join([LAST] * n_columns)}\n", encoding)
    try:
        with readable(path), _AndOneRow(path, last) as file:
            table = pa_csv.read_csv(
                file,
                pa_csv.ReadOptions(
                    block_size=block,
                    use_threads=False,  # rows are numbered only in a serial read
                    column_names=places,
                    encoding="utf8" if encoding == "utf-8-sig" else encoding,
                ),
                pa_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=reject
                ),
                pa_csv.ConvertOptions(
                    column_types={place: pa.string() for place in included},
                    include_columns=included,
                    null_values=list(nulls),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise UnicodeError(str(error)) from None
        if "straddl" in str(error):  # a row longer than a block
            if block < LONGEST_ROW:
                return _parse(path, n_columns, encoding, delimiter, wanted, nulls, LONGEST_ROW)
            return _Parsed(pa.table({}), {}, open_at_end=True)
        raise DataError(f"{path} cannot be read as CSV: {error}.") from None
    if 1 in rejected:
        raise DataError(
            f"{path}: the header is not one line of names; a name may hold no line break."
        )
    whole = table.num_rows > 1 and table.column(0)[-1].as_py() == LAST
    return _Parsed(table.slice(0, table.num_rows - whole), rejected, not whole)


def _clean(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _refuse_open_quote(text: TextTable, *, at_end: bool) -> None:
    """Refuse a file that ends within a cell, or that has a row longer than any should be."""
    worst, span = (1, 1), -1
    for first, last, _ in _records(text):
        if at_end or last - first > span:
            worst, span = (first, last), last - first
    raise DataError(
        f"{text.path}, line {worst[0]}: a quotation mark of the row that starts here is never "
        f"closed: all to line {worst[1]} would be one cell. Mend the line."
    )


def _with_breaks(text: TextTable) -> TextTable:
    """Note the rows that have cells with line breaks.

    Raises:
        DataError: If such a cell holds what looks like further rows.
    """
    lines, n_cells = [], 0
    for line, last, record in _records(text):
        cells = [(i, cell) for i, cell in enumerate(record) if BREAK.search(cell)]
        if not cells:
            continue
        fits = len(record) == len(text.names)
        _refuse_swallowed(text, (line, last), cells, fits=fits)
        if fits:
            lines.append(line)
            n_cells += len(cells)
    return replace(text, broken=tuple(lines), n_broken_cells=n_cells)


def _refuse_swallowed(
    text: TextTable, place: tuple[int, int], cells: list[tuple[int, str]], *, fits: bool
) -> None:
    """Refuse a record one of whose quotation marks swallowed rows.

    Rows that were swallowed leave in the cells, for every line break, as many separators as the
    header has; and where the number of fields is wrong too, any separator counts.
    """
    one_row = len(text.names) - 1
    parts = [[part for part in BREAK.split(cell) if part] for _, cell in cells]
    n_lines = sum(max(len(part) - 1, 0) for part in parts)
    n_separators = sum(cell.count(text.delimiter) for _, cell in cells)
    as_rows = one_row > 0 and n_lines > 0 and n_separators >= n_lines * one_row
    inner = (line for part in parts for line in part[1:-1])
    one_is_row = one_row > 1 and any(line.count(text.delimiter) == one_row for line in inner)
    longest = max(len(BREAK.split(cell)) for _, cell in cells)
    too_long = longest > LONGEST_CELL_IN_LINES
    if as_rows or one_is_row or too_long or (not fits and n_separators):
        index = cells[0][0]
        name = text.names[index] if index < len(text.names) else str(index + 1)
        raise DataError(
            f"{text.path}, line {place[0]}, column '{name}': a cell of {longest} lines starts here "
            f"(the row ends on line {place[1]}) and seems to hold rows of the table; a quotation "
            "mark is probably never closed, or stands where it should not. Mend the line, or take "
            "the line breaks out of the cell."
        )


def _records(text: TextTable) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the first line, the last and the fields of every record; blank lines are skipped."""
    with readable(text.path), text.path.open(encoding=text.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=text.delimiter)
        before = 0
        try:
            for record in reader:
                if record:
                    yield before + 1, reader.line_num, record
                before = reader.line_num
        except csv.Error as error:
            raise DataError(
                f"{text.path}, line {before + 1}: {error}; a quotation mark is probably never "
                "closed. Mend the line."
            ) from None


def _good_lines(text: TextTable) -> Iterator[int]:
    records = _records(text)
    next(records, None)
    return (line for line, _, record in records if len(record) == len(text.names))


def _record_lines(text: TextTable, numbers: set[int]) -> list[int]:
    last = max(numbers)
    lines = []
    for number, (line, _, _) in enumerate(_records(text), start=1):
        if number in numbers:
            lines.append(line)
        if number >= last:
            break
    return lines
