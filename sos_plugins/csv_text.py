"""Reading a CSV file as text, with the line of every row at hand for messages.

Numbers, dates and codes with leading zeros are made from the text by whoever knows what a column
holds; nothing is guessed here. UTF-8 (with or without a byte order mark), UTF-16 with its mark and
Windows-1252 are read; fields are separated by commas, semicolons, tabs or vertical bars, as the
header shows.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from sos_plugins.errors import DataError
from sos_plugins.readable import CSV_TEXT, refuse_unreadable

T = TypeVar("T")

DELIMITERS = (",", ";", "\t", "|")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
LONGEST_CELL_IN_LINES = 50
"""A cell of more lines means a quotation mark that was never closed."""


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
        columns: One text array a column, trimmed, null where empty.
        misfits: Rows left out because they have too few or too many fields.
        sha256: Digest of the bytes of the file.
        encoding: How the bytes were read.
        delimiter: What separates the fields.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[pa.ChunkedArray, ...]
    misfits: tuple[Misfit, ...]
    sha256: str
    encoding: str = field(repr=False, default="utf-8")
    delimiter: str = field(repr=False, default=",")

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
        found: dict[int, int] = {}
        for row, line in enumerate(_good_lines(self)):
            if row in wanted:
                found[row] = line
            if row >= last:
                break
        return [found.get(row, row + 2) for row in rows]

    def line_numbers(self) -> npt.NDArray[np.int64]:
        """Return the line on which each row starts."""
        with self.path.open("rb") as file:
            n_breaks = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
            file.seek(max(0, self.path.stat().st_size - 1))
            n_lines = n_breaks + (file.read(1) != b"\n")
        if n_lines == self.n_rows + 1 and self.encoding != "utf-16":  # one line a row
            return np.arange(2, self.n_rows + 2, dtype=np.int64)
        lines = np.fromiter(_good_lines(self), dtype=np.int64)
        whole = np.arange(2, self.n_rows + 2, dtype=np.int64)
        return lines if len(lines) == self.n_rows else whole


def read_text(path: Path) -> TextTable:
    """Read a CSV file as text.

    Raises:
        DataError: If there is no such file, it is empty or of another kind, it cannot be decoded,
            or a quotation mark is never closed.
    """
    refuse_unreadable(path, expected=CSV_TEXT)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _in_some_encoding(path, lambda encoding: _read(path, encoding, digest))


def read_header(path: Path) -> tuple[str, ...]:
    """Read only the names of the columns, trimmed.

    Raises:
        DataError: As :func:`read_text`.
    """
    refuse_unreadable(path, expected=CSV_TEXT)
    return _in_some_encoding(path, lambda encoding: _header(path, encoding)[0])


def _in_some_encoding(path: Path, read: Callable[[str], T]) -> T:
    with path.open("rb") as file:
        wide = file.read(2) in UTF16_MARKS
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            return read(encoding)
        except UnicodeError:
            continue
    raise DataError(f"{path} is neither UTF-8 nor Windows-1252 text; save it as CSV in UTF-8.")


def _read(path: Path, encoding: str, digest: str) -> TextTable:
    names, delimiter = _header(path, encoding)
    table, rejected = _parse(path, len(names), encoding, delimiter)
    columns = tuple(_clean(column) for column in table.slice(1).columns)
    text = TextTable(path, names, columns, (), digest, encoding, delimiter)
    _refuse_open_quotes(text)
    if not rejected:
        return text
    lines = dict(zip(rejected, _record_lines(text, set(rejected)), strict=True))
    misfits = tuple(Misfit(lines[number], n) for number, n in sorted(rejected.items()))
    return TextTable(path, names, columns, misfits, digest, encoding, delimiter)


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
"""Characters decoded at a time when the encoding of a file is checked."""


def _parse(
    path: Path, n_columns: int, encoding: str, delimiter: str
) -> tuple[pa.Table, dict[int, int]]:
    """Return the rows (the header among them) and, by number of the record, the misfits."""
    with path.open(encoding=encoding, newline="") as text:
        while text.read(CHUNK):
            pass  # a misfit row in another encoding would not reach ``reject``
    rejected: dict[int, int] = {}

    def reject(row: pa_csv.InvalidRow) -> str:
        rejected[row.number] = row.actual_columns
        return "skip"

    places = [str(i) for i in range(n_columns)]
    try:
        table = pa_csv.read_csv(
            path,
            pa_csv.ReadOptions(
                use_threads=False,  # rows are numbered only in a serial read
                column_names=places,
                encoding="utf8" if encoding == "utf-8-sig" else encoding,
            ),
            pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=reject
            ),
            pa_csv.ConvertOptions(
                column_types={place: pa.string() for place in places},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise UnicodeError(str(error)) from None
        raise DataError(f"{path} cannot be read as CSV: {error}.") from None
    if 1 in rejected:
        raise DataError(
            f"{path}: the header is not one line of names; a name may hold no line break."
        )
    return table, rejected


def _clean(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _refuse_open_quotes(text: TextTable) -> None:
    for column, name in zip(text.columns, text.names, strict=True):
        breaks = pc.max(pc.count_substring(column, "\n")).as_py() or 0
        if breaks > LONGEST_CELL_IN_LINES:
            row = pc.index(pc.count_substring(column, "\n"), breaks).as_py()
            raise DataError(
                f"{text.path}, line {text.lines([row])[0]}, column '{name}': a cell of {breaks} "
                "lines starts here; a quotation mark is probably never closed. Mend the line."
            )


def _records(text: TextTable) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the fields of every record after blank lines are skipped."""
    with text.path.open(encoding=text.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=text.delimiter)
        before = 0
        try:
            for record in reader:
                if record:
                    yield before + 1, record
                before = reader.line_num
        except csv.Error as error:
            raise DataError(f"{text.path}, line {before + 1}: {error}.") from None


def _good_lines(text: TextTable) -> Iterator[int]:
    records = _records(text)
    next(records, None)
    return (line for line, record in records if len(record) == len(text.names))


def _record_lines(text: TextTable, numbers: set[int]) -> list[int]:
    last = max(numbers)
    lines = []
    for number, (line, _) in enumerate(_records(text), start=1):
        if number in numbers:
            lines.append(line)
        if number >= last:
            break
    return lines
