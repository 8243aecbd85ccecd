"""Columns of a table in a file (CSV, Parquet, Excel, Stata, SPSS), given out by name and type.

Every error names the file, the line (the row in other files than CSV), the column and what was
expected.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sos_plugins.errors import DataError, did_you_mean
from sos_plugins.groundwork.text_codes import Codes, text_codes, whole_number_codes
from sos_plugins.tables.csv_text import TextTable, read_header, read_text, refuse_misfits
from sos_plugins.tables.readable import (
    CSV_TEXT,
    PARQUET,
    readable,
    refuse_other_header,
    refuse_unreadable,
)
from sos_plugins.tables.statistics_files import (
    STATISTICS_SUFFIXES,
    read_statistics_file,
    statistics_names,
)
from sos_plugins.tables.typed_tables import TypedTable
from sos_plugins.tables.workbooks import WORKBOOK_SUFFIXES, read_workbook, sheet_header
from sos_plugins.tables.written_dates import DateOrder, UnclearDatesError, as_days, read_dates

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES, *WORKBOOK_SUFFIXES, *STATISTICS_SUFFIXES)
KINDS = "CSV, Parquet, Excel (.xlsx), Stata (.dta) or SPSS (.sav)"
"""Files of tables that are read, in words."""
MISSING = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", ".")
"""Texts that stand for a missing value among numbers and dates, besides the empty cell."""
BARE = "NA"
"""Text that stands for a missing value among texts too, where a CSV file has it without quotation
marks: R writes texts within them and missing values without."""
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
INFINITE = r"^[+-]?(inf|Inf|INF|infinity|Infinity)$"
LARGEST_WHOLE = 2.0**53
"""Beyond it doubles skip whole numbers."""
SHOWN = 3
"""How many faulty rows a message names."""
MOST_NAMES = 100
"""How many columns a message names."""

Floats = npt.NDArray[np.float64]


@dataclass(eq=False)
class Columns:
    """The columns of a file, given out by name and type: a reader that notes how it read them.

    Missing are empty cells and the texts of ``missing``; among numbers and dates the texts of
    :data:`MISSING`; among texts only ``NA`` without quotation marks. What a column that was given
    out had of such texts is in :meth:`notes`.

    Attributes:
        path: The file.
        names: In the order of the file. They may repeat.
        columns: As read: text from CSV, typed from others; none where not asked for.
        text: The CSV file the table came from, None for others.
        sha256: Digest of the file's bytes.
        missing: Further texts that stand for a missing value.
        dates: How dates in text are written.
        forms: How the dates of a column are written, by its name, as earlier rows of it showed.
        rows: Number of each row, as a user counts them in the file, (n,); None for 1, 2, 3 ...
        labels: Labels of the values of a column, by its name.
        typed_rows: Number of rows of a file that says it.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[pa.ChunkedArray | None, ...]
    sha256: str
    text: TextTable | None = None
    missing: tuple[str, ...] = ()
    dates: DateOrder = "auto"
    forms: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    rows: npt.NDArray[np.int64] | None = field(default=None, repr=False)
    labels: Mapping[str, Mapping[Any, str]] = field(default_factory=dict, repr=False)
    typed_rows: int | None = field(default=None, repr=False)
    _notes: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        if self.text is not None:  # which knows it even where no column that was asked for is there
            return self.text.n_rows
        if self.typed_rows is not None:
            return self.typed_rows
        return next((len(column) for column in self.columns if column is not None), 0)

    def raw(self, name: str) -> pa.ChunkedArray:
        """Return a column as read.

        Raises:
            DataError: If no column, or more than one, has the name.
        """
        column = self.columns[self._place(name)]
        assert column is not None, f"'{name}' was not asked for when the file was read"
        return column

    def _place(self, name: str) -> int:
        hits = [i for i, known in enumerate(self.names) if known == name]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise DataError(
                f"{self.path} has {len(hits)} columns named '{name}'; rename all but one."
            )
        raise DataError(
            f"{self.path} has no column '{name}'.{did_you_mean(name, self.names)} "
            f"Columns: {', '.join(self.names[:MOST_NAMES])}{' ...' * self._has_many}."
        )

    @property
    def _has_many(self) -> bool:
        return len(self.names) > MOST_NAMES

    def notes(self) -> tuple[str, ...]:
        """Return sentences on how the cells of the columns given out so far were read."""
        breaks = () if self.text is None else line_breaks(self.path.name, self.text)
        return (*breaks, *self._notes.values())

    def texts(self, name: str) -> pa.Array:
        """Return a column as text: leading zeros stay, whole numbers of Parquet lose no digit."""
        column = self.raw(name)
        kind = column.type
        if pa.types.is_floating(kind):
            values = column.to_numpy()
            whole = np.isnan(values) | (values == np.floor(values))
            if not whole.all():
                self.refuse(
                    name, ~whole, "a code or a name was expected, not a number with decimals"
                )
            column = pa.chunked_array([pa.array(values, from_pandas=True)])
            column = column.cast(pa.int64(), safe=False)
        try:
            text = column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(
                f"{self.path}, column '{name}': a code or a name was expected, not {kind}."
            ) from None
        bare = self._bare(name) if is_text(kind) else None
        return self._without(name, text.combine_chunks(), self.missing, bare)

    def typed_texts(self, name: str) -> pa.Array:
        """Return a column of text as the text of numbers or dates."""
        text = self.raw(name).combine_chunks().cast(pa.string())
        return self._without(name, text, (*MISSING, *self.missing))

    def _bare(self, name: str) -> npt.NDArray[np.bool_] | None:
        """Say which cells of a CSV file are NA without quotation marks; None if none can be."""
        place = self._place(name)
        if self.text is None or not pc.any(pc.equal(self.raw(name), BARE)).as_py():
            return None
        return self.text.bare(place, BARE)

    def _without(
        self,
        name: str,
        text: pa.Array,
        absent: Sequence[str],
        bare: npt.NDArray[np.bool_] | None = None,
    ) -> pa.Array:
        """Trim texts, make those that stand for missing values null, and note them."""
        text = _trimmed(text)
        lost = pc.is_in(text, value_set=pa.array(absent, pa.string()))
        if bare is not None:
            lost = pc.or_(lost, pa.array(bare))
        if not pc.any(lost).as_py():
            return text
        counted = text.filter(lost).value_counts().to_pylist()
        self._note_missing(name, {c["values"]: c["counts"] for c in counted}, bare=bare is not None)
        return pc.if_else(lost, pa.scalar(None, pa.string()), text)

    def note(self, key: str, sentence: str) -> None:
        """Add a sentence to :meth:`notes`, in place of an earlier one of the same key."""
        self._notes[key] = sentence

    def _note_missing(self, name: str, counted: Mapping[str, int], *, bare: bool = False) -> None:
        said = ", ".join(
            f"{n} {'cell' if n == 1 else 'cells'} '{text}'" for text, n in sorted(counted.items())
        )
        was = "was" if list(counted.values()) == [1] else "were"
        hint = f" ({BARE} in quotation marks is text)" if bare and BARE in counted else ""
        self.note(name, f"{self._where(name)}: {said} {was} read as missing{hint}.")

    def numbers(self, name: str, *, infinite: bool = False) -> Floats:
        """Return a column as numbers, NaN where missing.

        Raises:
            DataError: If a cell is text, or infinite where that has no meaning.
        """
        column = self.raw(name)
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif is_text(kind):
            column = self._parsed(name)
        elif not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        ):
            raise DataError(f"{self.path}, column '{name}': a number was expected, not {kind}.")
        cast = column.cast(pa.float64(), safe=False)
        values: Floats = np.asarray(cast.to_numpy(zero_copy_only=False), dtype=np.float64)
        values = self._without_numbers(name, values)
        if not infinite and np.isinf(values).any():
            self.refuse(name, np.isinf(values), "a finite number was expected")
        return values

    def _without_numbers(self, name: str, values: Floats) -> Floats:
        absent = [float(t) for t in self.missing if re.fullmatch(NUMBER, t)]
        lost = np.isin(values, absent) if absent else np.zeros(0, dtype=bool)
        if not lost.any():
            return values
        marks, n = np.unique(values[lost], return_counts=True)
        self._note_missing(name, {f"{v:.17g}": int(k) for v, k in zip(marks, n, strict=True)})
        return np.where(lost, np.nan, values)

    def whole_numbers(self, name: str, *, infinite: bool = False) -> Floats:
        """Return a column of whole numbers as floats, NaN where missing."""
        values = self.numbers(name, infinite=infinite)
        exact = (values == np.floor(values)) & (np.abs(values) <= LARGEST_WHOLE)
        broken = np.isfinite(values) & ~exact
        if broken.any():
            self.refuse(name, broken, "a whole number was expected")
        return values

    def integers(self, name: str) -> npt.NDArray[np.int64] | None:
        """Return a column that is whole numbers in the file, none of them missing or too large."""
        column = self.raw(name)
        typed = pa.types.is_integer(column.type)
        if not typed or column.null_count or not len(column) or self.missing:
            return None
        values = column.to_numpy()
        low, high = int(values.min()), int(values.max())
        exact = max(-low, high) <= LARGEST_WHOLE
        return np.asarray(values, dtype=np.int64) if exact else None

    def codes(self, name: str, texts: pd.Series) -> Codes:
        """Number the distinct values of a column that has none missing, given it as text."""
        exact = self.integers(name)
        return text_codes(texts) if exact is None else whole_number_codes(exact)

    def weights(self, name: str) -> Floats:
        """Return a column of weights, none of them missing or negative, not all zero."""
        values = self.numbers(name)
        faulty = ~(values >= 0)
        if faulty.any():
            self.refuse(name, faulty, "a weight of 0 or more was expected")
        if not values.any():
            raise DataError(f"{self.path}, column '{name}': every weight is 0.")
        return values

    def days(self, name: str) -> pa.Array:
        """Return a column of dates, from dates, timestamps without a zone or text.

        Text is read in one form for the whole column (:mod:`sos_plugins.tables.written_dates`).

        Raises:
            DataError: If a cell is no date, dates are written in several ways, or day and month
                cannot be told apart.
        """
        kind = self.raw(name).type
        if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
            return self.raw(name).cast(pa.date32(), safe=False).combine_chunks()
        if pa.types.is_null(kind):
            return pa.nulls(self.n_rows, pa.date32())
        counted = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not is_text(kind) and not (counted and self.dates == "excel"):
            raise DataError(f"{self.path}, column '{name}': a date was expected, not {kind}.")
        text = self.typed_texts(name)
        distinct = [cell for cell in pc.unique(text).to_pylist() if cell is not None]
        try:
            read = read_dates(distinct, self.dates, self.forms.get(name, ""))
        except UnclearDatesError as error:
            wrong = pc.is_in(text, value_set=pa.array(error.texts, pa.string()))
            faulty = pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)
            if error.mixed:
                faulty &= _first_of_each(text)
            self.refuse(name, faulty, error.expected)
        self.forms[name] = read.form
        if read.told:
            self.note(f"{name} as dates", f"{self._where(name)}: dates were read {read.told}.")
        return as_days(text, read)

    def _where(self, name: str) -> str:
        return f"{self.path.name}, column '{name}'"

    def is_numeric(self, name: str) -> bool:
        """Whether every cell of a column is a number or missing, and not all text is missing."""
        column = self.raw(name)
        if pa.types.is_null(column.type):
            return False
        if not is_text(column.type):
            return not pa.types.is_dictionary(column.type)
        text = _trimmed(column.combine_chunks().cast(pa.string()))
        absent = pa.array((*MISSING, *self.missing), pa.string())
        text = text.filter(pc.and_(pc.is_valid(text), pc.invert(pc.is_in(text, absent))))
        return len(text) > 0 and not bool(pc.any(self._strange(text)).as_py())

    def covariate(self, name: str) -> pd.Series:
        """Return a column as numbers when all of it is numeric, else as text.

        A column whose values all have a label is the text of its labels.
        """
        if (labels := self._labels(name)) is not None:
            return pd.Series(labels.to_pandas(), name=name, dtype=object)
        if self.is_numeric(name):
            return pd.Series(self.numbers(name), name=name)
        return pd.Series(self.texts(name).to_pandas(), name=name, dtype=object)

    def factor(self, name: str) -> pd.Series:
        """Return a column as categories: equal numbers are one level, ``1`` and ``1.0`` too."""
        if self._labels(name) is not None or not self.is_numeric(name):
            return self.covariate(name)
        values = self.numbers(name)
        if (np.abs(values) > LARGEST_WHOLE).any():
            return pd.Series(self.texts(name).to_pandas(), name=name, dtype=object)
        levels = [None if np.isnan(v) else f"{v + 0.0:.17g}" for v in values]
        return pd.Series(levels, name=name, dtype=object)

    def _labels(self, name: str) -> pa.Array | None:
        """Return the labels of a column; None if not every value has one, which is noted."""
        labels = self.labels.get(name)
        if not labels:
            return None
        coded = self.raw(name).combine_chunks().dictionary_encode()
        values = coded.dictionary.to_pylist()
        said = [labels.get(value, "").strip() for value in values]
        if without := [v for v, label in zip(values, said, strict=True) if not label]:
            known = [f"{v:g} '{labels[v]}'" for v in values if v in labels and v not in without]
            if known:
                self.note(
                    f"{name} labels",
                    f"{self._where(name)}: was read as numbers, since only some of its values have "
                    f"labels ({', '.join(known[:SHOWN])}). Those that stand for a missing value "
                    "belong in the setting 'missing'.",
                )
            return None
        repeated = {label for label in said if said.count(label) > 1}
        names = [
            f"{label} ({value:g})" if label in repeated and not isinstance(value, str) else label
            for value, label in zip(values, said, strict=True)
        ]
        absent = [float(t) for t in self.missing if re.fullmatch(NUMBER, t)]
        kept = [None if v in absent else label for v, label in zip(values, names, strict=True)]
        return self._without(name, pa.array(kept, pa.string()).take(coded.indices), self.missing)

    def refuse(self, name: str, faulty: npt.NDArray[np.bool_], expected: str) -> None:
        """Raise a DataError that names the first faulty rows of a column."""
        rows = np.flatnonzero(faulty)
        cells = [str(self.raw(name)[int(row)].as_py()) for row in rows[:SHOWN]]
        places = self.places([int(row) for row in rows[:SHOWN]])
        shown = ", ".join(f"'{cell}' ({place})" for cell, place in zip(cells, places, strict=True))
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise DataError(f"{self.path}, column '{name}': {expected}; found {shown}{more}.")

    def places(self, rows: Sequence[int]) -> list[str]:
        """Return "line 7" (CSV) or "row 6" (others) for each row."""
        if self.text is None:
            return [f"row {row + 1 if self.rows is None else self.rows[row]}" for row in rows]
        return [f"line {line}" for line in self.text.lines(rows)]

    def line_numbers(self) -> npt.NDArray[np.int64]:
        """Return the line (CSV) or number of each row; (n,)."""
        if self.text is not None:
            return self.text.line_numbers()
        return np.arange(1, self.n_rows + 1) if self.rows is None else self.rows

    def _strange(self, text: pa.Array) -> pa.Array:
        fine = pc.or_(
            pc.match_substring_regex(text, NUMBER), pc.match_substring_regex(text, INFINITE)
        )
        return pc.fill_null(pc.invert(fine), False)

    def _parsed(self, name: str) -> pa.Array:
        text = self.typed_texts(name)
        strange = self._strange(text).to_numpy(zero_copy_only=False)
        if strange.any():
            self.refuse(name, strange, "a number was expected")
        return pc.utf8_ltrim(text, characters="+").cast(pa.float64())


def is_text(kind: pa.DataType) -> bool:
    """Whether a type of column is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first_of_each(text: pa.Array) -> npt.NDArray[np.bool_]:
    """Say of each row whether it is the first of those with its text; (n,)."""
    first: npt.NDArray[np.bool_] = ~pd.Series(text.to_pandas()).duplicated().to_numpy()
    return first


def _trimmed(text: pa.Array) -> pa.Array:
    """Trim texts; those that are empty become null."""
    distinct = pc.unique(text)
    trimmed = pc.utf8_trim_whitespace(distinct)
    if trimmed.equals(distinct) and not pc.any(pc.equal(distinct, "")).as_py():
        return text
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def line_breaks(label: str, text: TextTable) -> tuple[str, ...]:
    """Say how many cells of a CSV file hold line breaks, if any do."""
    if not text.n_broken_cells:
        return ()
    cells = "1 cell holds" if text.n_broken_cells == 1 else f"{text.n_broken_cells} cells hold"
    lines = ", ".join(str(line) for line in text.broken[:SHOWN])
    more = " ..." if len(text.broken) > SHOWN else ""
    return (f"{label}: {cells} line breaks (rows from line {lines}{more}).",)


def read_columns(
    path: Path,
    *,
    used: Collection[str] | None = None,
    missing: Sequence[str] = (),
    sheet: str | None = None,
    dates: DateOrder = "auto",
) -> Columns:
    """Read a table, of a kind that its suffix says.

    Args:
        path: The file.
        used: Columns that will be asked for; others are not read. All if none.
        missing: Texts that stand for a missing value, in any column.
        sheet: Sheet of a workbook; the only one with cells if none is named.
        dates: How dates in text are written.

    Raises:
        DataError: If the file is missing, of another kind, unreadable, has no rows, or a row has
            too few or too many fields.
    """
    suffix = path.suffix.lower()
    _refuse_sheet(path, sheet)
    if suffix in PARQUET_SUFFIXES:
        columns = _read_parquet(path, used)
    elif suffix in CSV_SUFFIXES:
        columns = _read_csv(path, used)
    elif suffix in WORKBOOK_SUFFIXES:
        columns = _from_typed(path, read_workbook(path, sheet, used))
    elif suffix in STATISTICS_SUFFIXES:
        columns = _from_typed(path, read_statistics_file(path, used))
    else:
        raise DataError(f"{path}: a table is a file of {KINDS}, by its suffix.")
    if columns.n_rows == 0:
        raise DataError(f"{path} has a header but no rows.")
    return replace(columns, missing=tuple(text.strip() for text in missing), dates=dates)


def _refuse_sheet(path: Path, sheet: str | None) -> None:
    if sheet is not None and path.suffix.lower() not in WORKBOOK_SUFFIXES:
        raise DataError(
            f"{path} is no workbook ({', '.join(WORKBOOK_SUFFIXES)}) and has no sheet '{sheet}'. "
            "Name no sheet for it."
        )


def read_names(path: Path, sheet: str | None = None) -> tuple[str, ...]:
    """Return the names of the columns of a file; errors as of :func:`read_columns`."""
    suffix = path.suffix.lower()
    _refuse_sheet(path, sheet)
    if suffix in CSV_SUFFIXES:
        return read_header(path)
    if suffix in WORKBOOK_SUFFIXES:
        return sheet_header(path, sheet)
    if suffix in STATISTICS_SUFFIXES:
        return statistics_names(path)
    if suffix not in PARQUET_SUFFIXES:
        return ()
    with readable(path), path.open("rb") as file:
        try:
            return tuple(pq.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            raise _no_parquet(path, error) from None


def refuse_no_table(path: Path, needed: Collection[str]) -> None:
    """Refuse a CSV file that cannot be read, or has the needed columns under a title.

    Raises:
        DataError: With what to do.
    """
    if path.suffix.lower() in CSV_SUFFIXES:
        refuse_unreadable(path, expected=CSV_TEXT)
        refuse_other_header(path, lambda names: {*needed} <= {*names})


def _from_typed(path: Path, table: TypedTable) -> Columns:
    with readable(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Columns(
        path,
        table.names,
        table.columns,
        digest,
        rows=table.rows,
        labels=table.labels,
        _notes=dict(table.notes),
        typed_rows=table.n_rows,
    )


def _read_csv(path: Path, used: Collection[str] | None) -> Columns:
    text = read_text(path, used=used)
    refuse_misfits(text)
    columns = tuple(
        column if used is None or name in used else None
        for name, column in zip(text.names, text.columns, strict=True)
    )
    return Columns(path, text.names, columns, text.sha256, text)


def _read_parquet(path: Path, used: Collection[str] | None) -> Columns:
    refuse_unreadable(path, expected=PARQUET)
    with readable(path):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            read = pq.ParquetFile(path)
            names = tuple(read.schema_arrow.names)
            wanted = _wanted(names, used)
            table = read.read(columns=wanted)
        except (pa.ArrowException, OSError) as error:
            raise _no_parquet(path, error) from None
    plain = [
        c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in table.columns
    ]
    if wanted is None:
        return Columns(path, names, tuple(plain), digest)
    given = iter(plain)
    return Columns(path, names, tuple(next(given) if n in wanted else None for n in names), digest)


def _no_parquet(path: Path, error: Exception) -> DataError:
    first = str(error).strip().split("\n")[0].rstrip(".")
    return DataError(f"{path} cannot be read as Parquet: {first}.")


def _wanted(names: Sequence[str], used: Collection[str] | None) -> list[str] | None:
    """Columns to read: those that are used; all (None) where none is there, or names repeat."""
    wanted = [name for name in names if used is not None and name in used]
    return wanted if wanted and len(set(names)) == len(names) else None
