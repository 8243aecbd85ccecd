"""Columns as whole numbers, so that rows are told apart without looking at their texts again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Ints

LARGEST = np.iinfo(np.int64).max // 2
"""Combinations of levels beyond which numbers of combinations are made dense first."""


@dataclass(frozen=True)
class Coded:
    """A column of n rows.

    Attributes:
        codes: The level of each row, (n,).
        levels: What the codes stand for, in sorted order, each with a row.
    """

    codes: Ints
    levels: pd.Index

    @classmethod
    def of(cls, values: pd.Series) -> Coded:
        """Number the distinct values of a column 0, 1, ... in sorted order.

        Args:
            values: Without missing ones, (n,).
        """
        codes, levels = pd.factorize(values, sort=True)
        return cls(codes.astype(np.int64, copy=False), levels)

    def __len__(self) -> int:
        return len(self.levels)

    def texts(self, rows: Bools) -> list[str]:
        """Return the distinct values of some rows as sorted text.

        Args:
            rows: Which, (n,).
        """
        there = np.flatnonzero(np.bincount(self.codes[rows], minlength=len(self)))
        return sorted(str(level) for level in self.levels[there])

    def have(self, rows: Bools) -> Bools:
        """Return whether the level of each row has one of these rows, (n,).

        Args:
            rows: Which, (n,).
        """
        return np.asarray(np.bincount(self.codes[rows], minlength=len(self))[self.codes] > 0)


@dataclass(frozen=True)
class Combined:
    """The distinct combinations of some columns, in sorted order.

    Attributes:
        codes: The combination of each row, 0, 1, ... without gaps, (n,).
        first: The first row of each combination, (m,).
    """

    codes: Ints
    first: Ints

    @classmethod
    def of(cls, columns: Sequence[Coded]) -> Combined:
        """Number the distinct combinations.

        Args:
            columns: Of the same n rows; at least one.
        """
        key, size = columns[0].codes, len(columns[0])
        for column in columns[1:]:
            if size * len(column) > LARGEST:
                levels, key = np.unique(key, return_inverse=True)
                size = len(levels)
            key, size = key * len(column) + column.codes, size * len(column)
        _, first, codes = np.unique(key, return_index=True, return_inverse=True)
        return cls(codes.astype(np.int64, copy=False), first)
