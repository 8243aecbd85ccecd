"""Columns of text as whole numbers, where a million names stand in ten million rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]


def text_codes(values: pd.Series) -> Codes:
    """Number the distinct texts of a column by first appearance, from 0.

    Equal texts in succession, as the periods of a panel often are, are looked up once.

    Args:
        values: Text without missing values; (n,).

    Returns:
        Whole numbers; (n,).
    """
    text = pa.array(values, pa.large_string())
    text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    changes = pc.not_equal(text.slice(1), text.slice(0, max(len(text) - 1, 0)))
    starts = np.concatenate([[True], changes.to_numpy(zero_copy_only=False)])[: len(text)]
    heads = text.take(pa.array(np.flatnonzero(starts)))
    of_heads = heads.dictionary_encode().indices.to_numpy()
    run: Codes = np.cumsum(starts) - 1
    codes: Codes = of_heads.astype(np.int64)[run]
    return codes


def whole_number_codes(values: Codes) -> Codes:
    """Number the distinct whole numbers of an array by first appearance, from 0.

    Args:
        values: Whole numbers; (n,).

    Returns:
        Whole numbers; (n,).
    """
    starts = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
    of_heads, _ = pd.factorize(values[starts])
    run: Codes = np.cumsum(starts) - 1
    codes: Codes = of_heads.astype(np.int64)[run]
    return codes


def is_category(values: pd.Series) -> bool:
    """Whether a covariate enters as dummies: text, booleans and categories do.

    Args:
        values: A column.
    """
    return pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values)


def categories(values: pd.Series) -> pd.Series:
    """Return a column of text without missing values as categories.

    Args:
        values: A column; one that is no text, or has missing values, is returned as it is.
    """
    if not isinstance(values.dtype, pd.StringDtype) or values.hasnans:
        return values
    codes = text_codes(values)
    levels = values.iloc[np.unique(codes, return_index=True)[1]]
    made = pd.Categorical.from_codes(codes, pd.Index(levels.to_numpy(dtype=object)))
    return pd.Series(made, index=values.index, name=values.name)


def categorised(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with text as categories, whose hashes are those of the texts.

    Args:
        frame: Any columns; it is left as it is. Of equal columns the categories are made once.
    """
    made: dict[str, pd.Series] = {}
    texts = [str(name) for name in frame if isinstance(frame[name].dtype, pd.StringDtype)]
    for name in texts:
        twin = next((other for other in made if frame[other].equals(frame[name])), None)
        made[name] = categories(frame[name]) if twin is None else made[twin]
    changed = frame.copy(deep=False)
    for name, values in made.items():
        changed[name] = values
    return changed
