"""Columns of periods and of first treated periods, read in one form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sos_plugins.errors import DataError
from sos_plugins.tables.file_columns import Columns
from sos_plugins.tables.period_codes import SEPARATED, are_years, financial_year

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Periods:
    """A column of periods.

    Attributes:
        column: Its name.
        values: Whole numbers, NaN where missing; (n,).
        distinct: Those that there are, sorted; as in the file.
        are_years: Whether the file has codes of financial years; ``values`` are the years in which
            they begin.
    """

    column: str
    values: Floats
    distinct: tuple[int, ...]
    are_years: bool


def read_periods(columns: Columns, name: str) -> Periods:
    """Read a column of periods: whole numbers, or codes of financial years such as 2014/15.

    Raises:
        DataError: If a cell is neither, or the numbers are codes whose differences are no distances
            in time (:mod:`sos_plugins.tables.period_codes`).
    """
    years = _years_of_text(columns, name)
    if years is not None:
        return Periods(name, years, _distinct(years), are_years=True)
    try:
        exact = columns.integers(name)
        values = columns.whole_numbers(name) if exact is None else exact.astype(np.float64)
    except DataError as error:
        raise DataError(
            f"{error} A period is a whole number or a year such as 2014/15; number quarters, "
            "months and days 1, 2, 3 ... in their order."
        ) from None
    distinct = _distinct(values)
    if not _are_years(columns, name, distinct):
        return Periods(name, values, distinct, are_years=False)
    _note_years(columns, name, str(distinct[0]))
    return Periods(name, _begun(values, distinct), distinct, are_years=True)


def read_cohorts(columns: Columns, name: str, periods: Periods) -> npt.NDArray[np.int64]:
    """Read a column of first treated periods; 0, empty, NaN and infinite mean never (0).

    Raises:
        DataError: If a cell is no period or is written in another form than the periods, or 0 may
            mean a period as well as never.
    """
    other_form = DataError(
        f"{columns.path}, column '{name}': first treated periods must be written in the form of "
        f"the periods in column '{periods.column}', and be empty (or 0) for never."
    )
    years = _years_of_text(columns, name)
    if years is not None:
        if not periods.are_years:
            raise other_form
        return _never_is_0(years)
    exact = columns.integers(name)
    values = columns.whole_numbers(name, infinite=True) if exact is None else exact.astype(float)
    _refuse_ambiguous(columns, name, values, periods)
    first = _distinct(values[values != 0])
    if periods.are_years:
        if not all(financial_year(str(p)) for p in first):
            raise other_form
        if first:
            _note_years(columns, name, str(first[0]))
        return _never_is_0(_begun(values, first))
    if _are_years(columns, name, {*periods.distinct, *first}):
        raise other_form
    return _never_is_0(values)


def _refuse_ambiguous(columns: Columns, name: str, values: Floats, periods: Periods) -> None:
    """Refuse 0 for never where a period is 0 or less, and first treated periods below 0."""
    lowest = min(periods.distinct, default=1)
    never, below = values == 0, np.isfinite(values) & (values < 0)
    shift = "add a number to the periods and the first treated periods so that all are above 0"
    if lowest <= 0 and never.any():
        columns.refuse(
            name,
            never,
            f"0 cannot mean never treated, since column '{periods.column}' has the period "
            f"{lowest}; leave the cells of units never treated empty, and where 0 is a first "
            f"treated period, {shift}",
        )
    if below.any():
        expected = "a first treated period was expected, or 0 for never"
        columns.refuse(name, below, f"{expected}; {shift}" if lowest <= 0 else expected)


def _years_of_text(columns: Columns, name: str) -> Floats | None:
    """Return the beginnings of years such as 2014/15, None if no cell is written like that."""
    kind = columns.raw(name).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    cells = columns.typed_texts(name)
    distinct = [text for text in pc.unique(cells).to_pylist() if text is not None]
    coded = [text for text in distinct if SEPARATED.fullmatch(text)]
    if not coded:
        return None
    years = {text: _first_year(text) for text in distinct}
    if wrong := [text for text, year in years.items() if year is None]:
        faulty = pc.fill_null(pc.is_in(cells, value_set=pa.array(wrong, pa.string())), False)
        columns.refuse(
            name,
            faulty.to_numpy(zero_copy_only=False),
            "a financial year such as 2014/15 was expected, as in other cells (number months, "
            "quarters and days 1, 2, 3 ... in their order)",
        )
    _note_years(columns, name, coded[0])
    begins = pa.array([years[text] for text in distinct], pa.float64())
    places = pc.index_in(cells, value_set=pa.array(distinct, pa.string()))
    first_years: Floats = begins.take(places).to_numpy(zero_copy_only=False)
    return first_years


def _first_year(text: str) -> float | None:
    """Return the year of a text, 0 or infinity for never, None if it is neither."""
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    return number if number in (0.0, np.inf) else financial_year(text)


def _are_years(columns: Columns, name: str, periods: Collection[int]) -> bool:
    try:
        return are_years(periods)
    except DataError as error:
        raise DataError(f"{columns.path}, column '{name}': {error}.") from None


def _begun(values: Floats, coded: Collection[int]) -> Floats:
    """Put the year in which a code's year begins in its place; other values stay."""
    begins: Mapping[float, float] = {
        float(code): float(financial_year(str(code)) or np.nan) for code in coded
    }
    first_years = pd.Series(values).map(begins).to_numpy(dtype=np.float64)
    return np.where(np.isnan(first_years), values, first_years)


def _never_is_0(values: Floats) -> npt.NDArray[np.int64]:
    return np.where(np.isfinite(values), values, 0.0).astype(np.int64)


def _distinct(values: Floats) -> tuple[int, ...]:
    codes = pd.unique(values)
    return tuple(sorted(int(v) for v in codes[np.isfinite(codes)]))


def _note_years(columns: Columns, name: str, example: str) -> None:
    columns.note(
        f"{name} as years",
        f"{columns.path.name}, column '{name}': codes of years were read as the year in which they "
        f"begin, such as {financial_year(example)} for {example}.",
    )
