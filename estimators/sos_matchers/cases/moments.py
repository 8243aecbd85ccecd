"""Moments of covariates: what weights are to make equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from sos_matchers.cases.data import text_levels
from sos_matchers.features import standardised

SAME = 1e-9
"""Share of a moment's variation, about a straight line in another, below which the two say the
same: the square of a column of zeros and ones."""


@dataclass(frozen=True)
class Moments:
    """Columns whose means are compared.

    Attributes:
        values: Array (rows, moments), each with mean 0 and standard deviation 1 over all rows.
        names: What each is, in words such as ``"age squared"``.
    """

    values: np.ndarray
    names: tuple[str, ...]


POWERS = ("", " squared", " cubed")
"""Words for the powers of a number."""


def moments_of(
    covariates: pd.DataFrame, highest: int, *, interactions: bool, counts: np.ndarray
) -> Moments:
    """Make the moments of covariates.

    Args:
        covariates: Frame (rows, covariates): numbers, and text or booleans level by level (but for
            one of the levels, which follows from the others).
        highest: The highest power of numbers, 1 to 3.
        interactions: Whether products of any two covariates are moments too.
        counts: Array (rows,) of how many cases each row stands for.

    Returns:
        Moments without those that are constant or the same as an earlier one.
    """
    first = [list(_first_moments(covariates[name], counts)) for name in covariates.columns]
    columns = [
        (f"{name}{POWERS[power - 1]}", values**power)
        for parts in first
        for name, values, number in parts
        for power in range(1, (highest if number else 1) + 1)
    ]
    if interactions:
        columns += [
            (f"{a} x {b}", x * y)
            for one, other in combinations(first, 2)
            for a, x, _ in one
            for b, y, _ in other
        ]
    return _distinct(columns, counts)


def _first_moments(values: pd.Series, counts: np.ndarray) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Yield name, standardised values and whether it is a number with powers of its own."""
    name = str(values.name)
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(float)
        two_valued = bool(((numbers == numbers.min()) | (numbers == numbers.max())).all())
        yield name, standardised(numbers[:, None], counts)[:, 0], not two_valued
        return
    levels = text_levels(values)
    for code, level in enumerate(levels.categories[1:], 1):
        indicator = (levels.codes == code).astype(float)
        yield f"{name}={level}", standardised(indicator[:, None], counts)[:, 0], False


def _distinct(columns: list[tuple[str, np.ndarray]], counts: np.ndarray) -> Moments:
    """Standardise moments; leave out those that do not vary or repeat an earlier one."""
    values = standardised(np.column_stack([column for _, column in columns]), counts)
    correlation = values.T @ (values * counts[:, None]) / (counts.sum() - 1)
    kept: list[int] = []
    for j in range(values.shape[1]):
        repeats = any(abs(correlation[i, j]) > 1 - SAME for i in kept)
        if correlation[j, j] > SAME and not repeats:
            kept.append(j)
    values = values if len(kept) == values.shape[1] else values[:, kept]
    return Moments(values, tuple(columns[j][0] for j in kept))
