"""Where the rows of a balanced panel stand, found without sorting or hashing rows where it can be.

It takes columns as one value a unit of observation, or as a row a unit and a column a period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sos_estimators.arrays import Ints

WIDEST = 10_000
"""Span of periods beyond which they are not counted one by one."""


@dataclass(frozen=True)
class Layout:
    """Rows of n units of observation in T periods.

    Attributes:
        periods: Ascending; (T,).
        n_units: n.
        place: Where the periods of each unit stand in a unit's rows, (T,).
        order: Rows by unit and period, (n x T,); none where they stand by unit already, with the
            periods of each in the same order.
    """

    periods: Ints
    n_units: int
    place: Ints
    order: Ints | None

    def wide(self, values: Any) -> Any:
        """Arrange a column of numbers: a row a unit, a column a period; (n, T).

        Args:
            values: One number a row; (n x T,).
        """
        array = np.asarray(values)
        if self.order is not None:
            array = array[self.order]
        table = array.reshape(self.n_units, len(self.periods))
        in_order = bool((self.place == np.arange(len(self.place))).all())
        return table if self.order is not None or in_order else table[:, self.place]

    def fixed(self, values: pd.Series) -> Any:
        """Return what each unit has in all its periods, (n,): an array of numpy or of text.

        None where a unit has several values, or a text is missing.

        Args:
            values: One a row; (n x T,).
        """
        text = _text(values)
        if text is None:
            return _same(self.wide(_numbers(values)))
        if text.null_count:
            return None
        if self.order is not None:
            codes, levels = pd.factorize(values)
            same = _same(self.wide(codes))
            return None if same is None else pa.array(levels).take(pa.array(same))
        return _repeated(text, len(self.periods))


def layout(ids: pd.Series, periods: pd.Series) -> Layout | None:
    """Find the units and periods of rows; None where these are no balanced panel.

    Args:
        ids: Of each row.
        periods: Of each row.
    """
    seen = _periods(periods)
    if seen is None or len(ids) % len(seen):
        return None
    n, width = len(ids) // len(seen), len(seen)
    of_rows = periods.to_numpy().astype(np.int64, copy=False)
    by_unit = of_rows.reshape(n, width)
    if (by_unit == by_unit[0]).all() and len(np.unique(by_unit[0])) == width:
        of_units = Layout(seen, n, np.argsort(by_unit[0]), None)
        named = of_units.fixed(ids)
        if named is not None and _n_distinct(named) == n:
            return of_units
    codes = _codes(ids, n)
    if codes is None:
        return None
    place = codes * width + np.searchsorted(seen, of_rows)
    order = np.full(n * width, -1, dtype=np.int64)
    order[place] = np.arange(len(place))
    return None if (order < 0).any() else Layout(seen, n, np.arange(width), order)


def plain(values: pd.Series) -> pd.Series | None:
    """Return a column of numbers, truth values, categories or text; None if it is none of these.

    Args:
        values: A column.
    """
    kind = values.dtype
    if isinstance(kind, pd.StringDtype | pd.CategoricalDtype):
        return values
    if isinstance(kind, np.dtype) and kind.kind in "biuf":
        return values
    try:
        text = pa.array(values.to_numpy(dtype=object), pa.large_string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return text.to_pandas().set_axis(values.index) if len(text) else values


def coded(values: Any) -> tuple[Ints, int]:
    """Number the distinct values of an array of numpy or of text, (n,), and count them.

    Args:
        values: (n,).
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        encoded = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        encoded = encoded.dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
    codes, levels = pd.factorize(np.asarray(values))
    return codes.astype(np.int64), len(levels)


def sorted_order(values: Any) -> Ints:
    """Return the order that sorts distinct values, as grouping by them does; (n,).

    Args:
        values: (n,).
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return np.asarray(pc.sort_indices(values).to_numpy(), dtype=np.int64)
    return np.argsort(values, kind="stable")


def same_values(first: Any, second: Any) -> bool:
    """Whether two arrays of numpy or of text are equal.

    Args:
        first: (n,).
        second: (n,).
    """
    if isinstance(first, pa.Array) and isinstance(second, pa.Array):
        return bool(first.equals(second))
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return bool(np.array_equal(first, second))
    return False


def finite(values: Any) -> bool:
    """Whether all numbers are finite.

    Args:
        values: Numbers, of any shape.
    """
    return bool(np.isfinite([np.min(values), np.max(values)]).all())


def _periods(values: pd.Series) -> Ints | None:
    """The periods of rows, each with as many rows; None where that is not so."""
    if not len(values) or not pd.api.types.is_integer_dtype(values.dtype) or values.hasnans:
        return None
    numbers = values.to_numpy()
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > WIDEST:
        return None
    counts = np.bincount(numbers - low)
    there = np.flatnonzero(counts)
    return there + low if (counts[there] == counts[there[0]]).all() else None


def _codes(ids: pd.Series, n: int) -> Ints | None:
    """Number the ids of rows from 0; None where these are not n."""
    if pd.api.types.is_integer_dtype(ids.dtype) and not ids.hasnans:
        numbers = ids.to_numpy().astype(np.int64, copy=False)
        low, high = int(numbers.min()), int(numbers.max())
        if high - low == n - 1:
            return numbers - low
    codes, levels = pd.factorize(ids)
    return codes.astype(np.int64) if len(levels) == n and codes.min() >= 0 else None


def _numbers(values: pd.Series) -> Any:
    """A column that is not text: its numbers, or the numbers of its categories."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy()
    return values.to_numpy()


def _text(values: pd.Series) -> pa.Array | None:
    """A column of text; None for numbers, truth values and categories."""
    if not isinstance(values.dtype, pd.StringDtype):
        return None
    text = pa.array(values)
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text


def _same(table: Any) -> Any:
    """The value of each row of a table, (n,); None where a row has several."""
    first = table[:, 0]
    return first.copy() if (table == table[:, :1]).all() else None


def _repeated(text: pa.Array, times: int) -> pa.Array | None:
    """Every n-th text of rows in which each stands so many times in succession."""
    first = text.take(pa.array(np.arange(0, len(text), times)))
    changes = pc.not_equal(text.slice(1), text.slice(0, len(text) - 1))
    changed = np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1
    return None if (changed % times).any() else first


def _n_distinct(values: Any) -> int:
    if isinstance(values, np.ndarray) and (np.diff(values) > 0).all():
        return len(values)
    return coded(values)[1]
