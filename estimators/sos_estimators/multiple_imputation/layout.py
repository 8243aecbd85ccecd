"""The cases of a task as arrays, in an order that does not rest on that of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_plugins import ImputationTask
from sos_plugins.errors import DataError

GAP = -1
"""Code of a missing category."""
MARKS = ("value", "post", "during")
"""Columns of the task that every model holds, beside authority and period."""


@dataclass(frozen=True)
class Category:
    """A covariate with levels.

    Attributes:
        codes: Place of each row's level, the most frequent first; ``GAP`` where it is missing.
        levels: Levels in that order, L.
    """

    codes: Ints
    levels: tuple[Any, ...]

    @property
    def gaps(self) -> np.ndarray:
        """Rows whose level is missing."""
        return np.asarray(self.codes == GAP)


@dataclass(frozen=True)
class Number:
    """A covariate of numbers; ``values`` are missing in gaps."""

    values: Floats

    @property
    def gaps(self) -> np.ndarray:
        """Rows whose number is missing."""
        return np.asarray(np.isnan(self.values))


Variable = Category | Number


@dataclass(frozen=True)
class Layout:
    """The cases, sorted by authority and then by all that is known of them.

    Attributes:
        order: Place of each sorted row in the task's frame, (n,).
        unit: Code of the authority, (n,), rising.
        units: Authorities by code.
        period: The period as a category.
        marks: Outcome, after and within the window of a pilot, as numbers by name.
        variables: The covariates by name, gaps and all.
        targets: Names of those with gaps, the fewest first.
    """

    order: Ints
    unit: Ints
    units: tuple[str, ...]
    period: Category
    marks: Mapping[str, Floats]
    variables: Mapping[str, Variable]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, task: ImputationTask) -> Layout:
        """Sort the cases of a task and turn its columns into arrays.

        Args:
            task: Cases with gaps.

        Raises:
            DataError: If all values of a covariate are missing.
        """
        frame = task.frame
        order = canonical_order(frame, task.covariates)
        codes, units = pd.factorize(frame["unit"], sort=True)
        variables = {name: _variable(frame[name], order, name) for name in task.covariates}
        gaps = {name: int(variables[name].gaps.sum()) for name in task.covariates}
        return cls(
            order=order,
            unit=codes[order],
            units=tuple(map(str, units)),
            period=_category(frame["period"], order),
            marks={name: frame[name].to_numpy(float)[order] for name in MARKS},
            variables=variables,
            targets=tuple(sorted((n for n in gaps if gaps[n]), key=lambda n: gaps[n])),
        )

    @cached_property
    def n_units(self) -> int:
        """Number of authorities."""
        return len(self.units)


def canonical_order(frame: pd.DataFrame, covariates: tuple[str, ...]) -> Ints:
    """Return the places of the rows of a frame sorted by authority, then by every other column.

    Rows that are alike in all columns may change places: nothing tells them apart.

    Args:
        frame: The cases.
        covariates: Columns whose names do not count for the order.
    """
    others = sorted(name for name in frame.columns if name not in (*covariates, "unit"))
    keys = [_ranks(frame[name]) for name in ("unit", *others, *covariates)]
    return np.lexsort(keys[::-1])


def _ranks(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    return pd.factorize(column.astype(object) if column.dtype == object else column, sort=True)[0]


def _variable(column: pd.Series, order: Ints, name: str) -> Variable:
    if column.isna().all():
        raise DataError(
            f"All {len(column)} values of the covariate '{name}' are missing: there is nothing to "
            "impute it from. Leave it out of the covariates."
        )
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return Number(column.to_numpy(float, na_value=np.nan)[order])
    return _category(column, order)


def _category(column: pd.Series, order: Ints) -> Category:
    codes, levels = pd.factorize(column, sort=True)
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    by_size = np.argsort(-counts, kind="stable")
    place = np.empty(len(levels) + 1, dtype=np.int64)
    place[by_size] = np.arange(len(levels))
    place[GAP] = GAP
    return Category(place[codes[order]], tuple(levels[j] for j in by_size))
