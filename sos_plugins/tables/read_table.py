"""Tidy tables of a user's own: typed columns from CSV or Parquet, and a sample for an estimator.

Every error names the file, the line (the row in a Parquet file), the column and what was expected.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sos_plugins.contract.columns import RESERVED_COLUMNS
from sos_plugins.contract.factorize import Codes, text_codes, whole_number_codes
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, did_you_mean
from sos_plugins.tables.csv_text import TextTable, read_header, read_text, refuse_misfits
from sos_plugins.tables.names_alike import told_of_alike
from sos_plugins.tables.period_columns import Periods, read_cohorts, read_periods
from sos_plugins.tables.readable import (
    CSV_TEXT,
    PARQUET,
    readable,
    refuse_other_header,
    refuse_unreadable,
)

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
MISSING = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", ".")
"""Texts that stand for a missing value among numbers and dates, besides the empty cell."""
BARE = "NA"
"""Text that stands for a missing value among texts too, where a CSV file has it without quotation
marks: R writes texts within them and missing values without."""
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
INFINITE = r"^[+-]?(inf|Inf|INF|infinity|Infinity)$"
DAY = r"^\d{4}-\d{2}-\d{2}$"
LARGEST_WHOLE = 2.0**53
"""Beyond it doubles skip whole numbers."""
FACTOR = re.compile(r"factor\(\s*(.*?)\s*\)")
"""How a covariate is written whose numbers are categories."""
SHOWN = 3
"""How many faulty rows a message names."""
MOST_NAMES = 100
"""How many columns a message names."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """The columns of a file, given out by name and type.

    Missing are empty cells and the texts of ``missing``; among numbers and dates the texts of
    :data:`MISSING`; among texts only ``NA`` without quotation marks. What a column that was given
    out had of such texts is in :meth:`notes`.

    Attributes:
        path: The file.
        names: In the order of the file. They may repeat.
        columns: As read: text from CSV, typed from Parquet; none where not asked for.
        text: The CSV file the table came from, None for Parquet.
        sha256: Digest of the file's bytes.
        missing: Further texts that stand for a missing value.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[pa.ChunkedArray | None, ...]
    sha256: str
    text: TextTable | None = None
    missing: tuple[str, ...] = ()
    _notes: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        if self.text is not None:  # which knows it even where no column that was asked for is there
            return self.text.n_rows
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
        if not pa.types.is_integer(text.type) and not _is_text(kind):
            return self._without(name, text.combine_chunks(), self.missing)
        bare = self._bare(name) if _is_text(kind) else None
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
        found = ", ".join(
            f"{n} {'cell' if n == 1 else 'cells'} '{text}'" for text, n in sorted(counted.items())
        )
        was = "was" if list(counted.values()) == [1] else "were"
        hint = f" ({BARE} in quotation marks is text)" if bare and BARE in counted else ""
        self.note(name, f"{self.path.name}, column '{name}': {found} {was} read as missing{hint}.")

    def numbers(self, name: str, *, infinite: bool = False) -> Floats:
        """Return a column as numbers, NaN where missing.

        Raises:
            DataError: If a cell is text, or infinite where that has no meaning.
        """
        column = self.raw(name)
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif _is_text(kind):
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
        found, n = np.unique(values[lost], return_counts=True)
        self._note_missing(name, {f"{v:.17g}": int(k) for v, k in zip(found, n, strict=True)})
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
        """Return a column of dates, from dates, timestamps without a zone or text yyyy-mm-dd."""
        kind = self.raw(name).type
        if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
            return self.raw(name).cast(pa.date32(), safe=False).combine_chunks()
        if not _is_text(kind):
            raise DataError(f"{self.path}, column '{name}': a date was expected, not {kind}.")
        text = self.typed_texts(name)
        read = pc.strptime(text, format="%Y-%m-%d", unit="s", error_is_null=True)
        shaped = pc.match_substring_regex(text, DAY)
        days = pc.if_else(shaped, read, pa.scalar(None, read.type)).cast(pa.date32())
        there = pc.equal(pc.strftime(days, format="%Y-%m-%d"), text)  # 31 June becomes 1 July
        lost = pc.and_(pc.is_valid(text), pc.invert(pc.fill_null(there, False)))
        if pc.any(lost).as_py():
            faulty = lost.to_numpy(zero_copy_only=False)
            self.refuse(name, faulty, "a date such as 2015-03-31 was expected")
        return days

    def is_numeric(self, name: str) -> bool:
        """Whether every cell of a column is a number or missing, and not all text is missing."""
        column = self.raw(name)
        if pa.types.is_null(column.type):
            return False
        if not _is_text(column.type):
            return not pa.types.is_dictionary(column.type)
        text = _trimmed(column.combine_chunks().cast(pa.string()))
        absent = pa.array((*MISSING, *self.missing), pa.string())
        text = text.filter(pc.and_(pc.is_valid(text), pc.invert(pc.is_in(text, absent))))
        return len(text) > 0 and not bool(pc.any(self._strange(text)).as_py())

    def covariate(self, name: str) -> pd.Series:
        """Return a column as numbers when all of it is numeric, else as text."""
        if self.is_numeric(name):
            return pd.Series(self.numbers(name), name=name)
        return pd.Series(self.texts(name).to_pandas(), name=name, dtype=object)

    def factor(self, name: str) -> pd.Series:
        """Return a column as categories: equal numbers are one level, ``1`` and ``1.0`` too."""
        if not self.is_numeric(name):
            return self.covariate(name)
        values = self.numbers(name)
        if (np.abs(values) > LARGEST_WHOLE).any():
            return pd.Series(self.texts(name).to_pandas(), name=name, dtype=object)
        levels = [None if np.isnan(v) else f"{v + 0.0:.17g}" for v in values]
        return pd.Series(levels, name=name, dtype=object)

    def refuse(self, name: str, faulty: npt.NDArray[np.bool_], expected: str) -> None:
        """Raise a DataError that names the first faulty rows of a column."""
        rows = np.flatnonzero(faulty)
        cells = [str(self.raw(name)[int(row)].as_py()) for row in rows[:SHOWN]]
        places = self.places([int(row) for row in rows[:SHOWN]])
        shown = ", ".join(f"'{cell}' ({place})" for cell, place in zip(cells, places, strict=True))
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise DataError(f"{self.path}, column '{name}': {expected}; found {shown}{more}.")

    def places(self, rows: Sequence[int]) -> list[str]:
        """Return "line 7" (CSV) or "row 6" (Parquet) for each row."""
        if self.text is None:
            return [f"row {row + 1}" for row in rows]
        return [f"line {line}" for line in self.text.lines(rows)]

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


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


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
    path: Path, *, used: Collection[str] | None = None, missing: Sequence[str] = ()
) -> Columns:
    """Read a CSV or Parquet file, chosen by its suffix.

    Args:
        path: The file.
        used: Columns that will be asked for; others are not read. All if none.
        missing: Texts that stand for a missing value, in any column.

    Raises:
        DataError: If the file is missing, of another kind, unreadable, has no rows, or a row has
            too few or too many fields.
    """
    suffix = path.suffix.lower()
    if suffix in PARQUET_SUFFIXES:
        found = _read_parquet(path, used)
    elif suffix in CSV_SUFFIXES:
        found = _read_csv(path, used)
    else:
        raise DataError(
            f"{path}: a tidy table is a CSV file ({', '.join(CSV_SUFFIXES)}) or a Parquet file "
            f"({', '.join(PARQUET_SUFFIXES)}), by its suffix."
        )
    if found.n_rows == 0:
        raise DataError(f"{path} has a header but no rows.")
    return replace(found, missing=tuple(text.strip() for text in missing))


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names of the columns of a file; errors as of :func:`read_columns`."""
    if path.suffix.lower() not in PARQUET_SUFFIXES:
        return read_header(path) if path.suffix.lower() in CSV_SUFFIXES else ()
    with readable(path), path.open("rb") as file:
        try:
            return tuple(pq.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            raise _no_parquet(path, error) from None


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
    found = [name for name in names if used is not None and name in used]
    return found if found and len(set(names)) == len(names) else None


@dataclass(frozen=True)
class TidySample:
    """A sample read from a tidy table, and what a reader should know about the reading.

    ``notes`` are sentences: cells read as missing, rows left out and why. The sample carries them
    to the warnings of every estimate.
    """

    sample: Sample
    notes: tuple[str, ...] = ()


def read_sample(
    path: Path,
    *,
    unit: str,
    period: str,
    cohort: str,
    value: str,
    id: str | None = None,
    covariates: Sequence[str] = (),
    weights: str | None = None,
    cluster: str | None = None,
    missing: Sequence[str] = (),
) -> TidySample:
    """Read a tidy table as a sample: one row a case, or a unit and period of a panel.

    Args:
        path: CSV or Parquet file.
        unit: Column of the unit that is treated.
        period: Column of the period, a whole number or a financial year such as 2014/15.
        cohort: Column of the first treated period of the row's unit, in the same form; 0, empty,
            NaN and infinite mean never. Where a period is 0 or less, 0 is refused.
        value: Column of the outcome.
        id: Column that identifies the observed unit of a panel; None for repeated cross-sections.
        covariates: Columns of covariates, numbers or text. ``factor(x)`` makes the numbers of
            the column ``x`` categories.
        weights: Column of weights, not negative; None for weights of 1.
        cluster: Column that standard errors are clustered by; None for the unit.
        missing: Texts that stand for a missing value, besides empty cells, R's NA without
            quotation marks and, among numbers, those of :data:`MISSING`.

    Returns:
        The sample. ``post`` is 1 from the cohort's first period on. Never-treated units are
        "post" from the one adoption period on if there is exactly one, otherwise nowhere.

    Raises:
        DataError: For every fault that would change a result: a column that is not there, text
            where numbers are expected, a cohort that changes within a unit, two rows of an ``id``
            in one period, a negative weight, a covariate that has another role in the analysis or
            the name of a column that it makes.
    """
    roles = {"value": value, "cohort": cohort, "period": period, "unit": unit, "id": id}
    named_in_factors = [found[1] for text in covariates if (found := FACTOR.fullmatch(text))]
    used = [*roles.values(), weights, cluster, *covariates, *named_in_factors]
    if path.suffix.lower() in CSV_SUFFIXES:
        refuse_unreadable(path, expected=CSV_TEXT)
        refuse_other_header(path, lambda names: {*filter(None, roles.values())} <= {*names})
    columns = read_columns(path, used={name for name in used if name is not None}, missing=missing)
    chosen = _covariates(columns, covariates)
    _refuse_roles(columns, chosen, {**roles, "weight": weights, "cluster": cluster})
    named = dict.fromkeys((unit, cluster or unit, *([id] if id is not None else [])))
    texts = {name: _required_text(columns, name) for name in named}
    periods = _required_periods(columns, period)
    frame = pd.DataFrame(
        {
            "unit": texts[unit],
            "period": periods.values.astype(np.int64),
            "cohort": read_cohorts(columns, cohort, periods),
            "value": columns.numbers(value),
            "weight": np.ones(columns.n_rows) if weights is None else columns.weights(weights),
            "cluster": texts[cluster or unit],
        },
        copy=False,
    )
    codes = {name: columns.codes(name, texts[name]) for name in dict.fromkeys((unit, id or unit))}
    if id is not None:
        frame["id"] = texts[id]
        _refuse_repeats(columns, frame, codes[id], id=id, period=period)
    for name, is_factor in chosen.items():
        frame[name] = columns.factor(name) if is_factor else columns.covariate(name)
    _refuse_changing_cohorts(columns, frame, codes[unit], unit=unit, cohort=cohort)
    for sentence in told_of_alike(texts[unit].unique()):
        columns.note("units alike", sentence)
    return _labelled(columns, frame, tuple(chosen), value)


def _covariates(columns: Columns, covariates: Sequence[str]) -> dict[str, bool]:
    """Return the columns of the covariates, and whether each is asked for as categories."""
    chosen: dict[str, bool] = {}
    for text in covariates:
        found = None if text in columns.names else FACTOR.fullmatch(text)
        name = found[1] if found else text
        if chosen.setdefault(name, bool(found)) != bool(found):
            raise DataError(
                f"The covariate '{name}' is asked for as numbers and as factor({name}); give one."
            )
    return chosen


def _refuse_roles(
    columns: Columns, covariates: Mapping[str, bool], roles: Mapping[str, str | None]
) -> None:
    for name in covariates:
        taken = [role for role, column in roles.items() if column == name]
        if taken:
            raise DataError(
                f"{columns.path}: column '{name}' is the {' and '.join(taken)} column and cannot "
                "be a covariate as well; leave it out of the covariates."
            )
        if name in RESERVED_COLUMNS:
            columns.raw(name)
            raise DataError(
                f"{columns.path}: a covariate cannot be named '{name}', since the analysis makes "
                f"a column of that name; rename the column '{name}' in the file."
            )


def _required_text(columns: Columns, name: str) -> pd.Series:
    text = columns.texts(name)
    if text.null_count:
        columns.refuse(name, text.is_null().to_numpy(zero_copy_only=False), "no cell may be empty")
    return pd.Series(text.to_pandas())


def _required_periods(columns: Columns, name: str) -> Periods:
    periods = read_periods(columns, name)
    if np.isnan(periods.values).any():
        columns.refuse(name, np.isnan(periods.values), "no cell may be empty")
    return periods


def _refuse_repeats(
    columns: Columns, frame: pd.DataFrame, codes: Codes, *, id: str, period: str
) -> None:
    repeated = _repeated(codes, frame["period"].to_numpy())
    if not repeated.any():
        return
    key = frame.loc[repeated, ["id", "period"]].iloc[0]
    same = (frame["id"] == key["id"]) & (frame["period"] == key["period"])
    rows = [int(row) for row in np.flatnonzero(same)]
    raise DataError(
        f"{columns.path}: {id} '{key['id']}' stands {len(rows)} times in {period} {key['period']} "
        f"({', '.join(columns.places(rows[:SHOWN]))}). A panel has one row an id and period; leave "
        "the id out for repeated cross-sections."
    )


def _repeated(codes: Codes, periods: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say of each row whether others have its code and period; (n,)."""
    same = codes[1:] == codes[:-1]
    if (codes[1:] >= codes[:-1]).all() and (periods[1:][same] > periods[:-1][same]).all():
        return np.zeros(len(codes), dtype=bool)  # by code, and by period within each
    pairs = pd.DataFrame({"code": codes, "period": periods})
    return pairs.duplicated(keep=False).to_numpy()


def _refuse_changing_cohorts(
    columns: Columns, frame: pd.DataFrame, codes: Codes, *, unit: str, cohort: str
) -> None:
    cohorts = frame["cohort"].to_numpy()
    last = np.empty(codes.max() + 1, dtype=np.int64)
    last[codes] = cohorts
    changes = last[codes] != cohorts
    if not changes.any():
        return
    changing = sorted(frame.loc[changes, "unit"].unique())
    first = str(changing[0])
    values = sorted(frame.loc[frame["unit"] == first, "cohort"].unique())
    raise DataError(
        f"{columns.path}, column '{cohort}': {unit} '{first}' has the first treated periods "
        f"{', '.join(map(str, values))} ({len(changing)} such units). A unit has one, or 0 for "
        "never."
    )


def _labelled(
    columns: Columns, frame: pd.DataFrame, covariates: tuple[str, ...], value: str
) -> TidySample:
    notes = list(columns.notes())
    for name, label in (("value", value), *((c, c) for c in covariates)):
        n = int(frame[name].isna().sum())
        if n:
            notes.append(f"{n} {'row' if n == 1 else 'rows'} without '{label}' left out.")
            frame = frame.dropna(subset=[name])
    frame = frame.reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{columns.path}: no row has a value and every covariate.")
    adoption = sorted(int(g) for g in frame["cohort"].unique() if g)
    start = frame["cohort"].where(
        frame["cohort"] > 0, adoption[0] if len(adoption) == 1 else np.inf
    )
    frame["treated"] = (frame["cohort"] > 0).astype(np.int64)
    frame["post"] = (frame["period"] >= start).astype(np.int64)
    value_of = frame["value"].to_numpy()
    binary = bool(((value_of == 0) | (value_of == 1)).all())
    sample = Sample(frame, covariates=covariates, binary=binary, notes=tuple(notes))
    return TidySample(sample, tuple(notes))
