"""Balance of covariates from sums over cells: the definitions of ``balance_table``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sos_matchers.cases.exact.bins import Cuts
from sos_matchers.cases.exact.weights import Flags, Floats, Ints

EQUAL = 1e-9
"""Means closer than this share of the spread are equal: sums over millions are rounded so far."""


def centre_of(fine: Cuts) -> float:
    """Return what a number is measured from, so that sums of squares keep their digits.

    Zero for a number from 0 to 1, of which the sums then say whether it is 0 or 1 everywhere.

    Args:
        fine: Bins of equal width over the range of the number.
    """
    low, high = fine.start or 0.0, (fine.start or 0.0) + fine.step * (len(fine.points) + 1)
    return 0.0 if (low, high) == (0.0, 1.0) else (low + high) / 2


@dataclass(frozen=True)
class SideMoments:
    """Mean and variance of one side, weighted."""

    mean: float
    variance: float
    total: float
    squares: float


@dataclass(frozen=True)
class CellWeights:
    """Weights of cells, before and after.

    Attributes:
        treated: Whether a cell has pilots' cases, (cells,).
        weight: Sum of the weights of its cases before, (cells,).
        squares: Sum of their squares, (cells,).
        ratio: What weights are multiplied with by matching; 0 for the unmatched, (cells,).
    """

    treated: Flags
    weight: Floats
    squares: Floats
    ratio: Floats

    def of_levels(self, names: Sequence[str], level: Ints) -> list[dict[str, str | float]]:
        """Return the balance of every level of a category.

        Args:
            names: What to call each.
            level: Number of the level of each cell's cases, (cells,).
        """
        n = len(names)
        key = level * 2 + self.treated
        shares = []
        for weight in (self.weight, self.weight * self.ratio):
            of = np.bincount(key, weight, minlength=2 * n).reshape(n, 2)
            shares.append(of / np.where(of.sum(axis=0) > 0, of.sum(axis=0), np.nan))
        total = np.bincount(self.treated, self.weight, minlength=2).astype(float)
        return [_level_row(name, shares[0][k], shares[1][k], total) for k, name in enumerate(names)]

    def of_number(
        self, name: str, z: Floats, zz: Floats, known: Flags, centre: float
    ) -> dict[str, str | float]:
        """Return the balance of a number.

        Args:
            name: The covariate.
            z: Weighted sums of the number less ``centre``, (cells,).
            zz: Weighted sums of its square, (cells,).
            known: Whether the number is known, (cells,).
            centre: What it is measured from.
        """
        binary = centre == 0 and bool((z[known] == zz[known]).all())
        row = self._row(name, z, zz, known, binary=binary)
        for column in row:
            if column.startswith("mean_"):
                row[column] = float(row[column]) + centre
        return row

    def _row(
        self, name: str, z: Floats, zz: Floats, known: Flags, *, binary: bool
    ) -> dict[str, str | float]:
        of = {
            (side, when): self._moments(rows & known, z, zz, ratio, binary=binary)
            for side, rows in (("treated", self.treated), ("control", ~self.treated))
            for when, ratio in (("before", np.ones_like(z)), ("after", self.ratio))
        }
        sd = _sd(of["treated", "before"], of["control", "before"], binary=binary)
        row: dict[str, str | float] = {
            "covariate": name,
            "mean_treated": of["treated", "before"].mean,
            "mean_treated_after": of["treated", "after"].mean,
            "mean_control_before": of["control", "before"].mean,
            "mean_control_after": of["control", "after"].mean,
        }
        for when in ("before", "after"):
            one, two = of["treated", when], of["control", when]
            row[f"smd_{when}"] = _difference(one.mean, two.mean, sd)
            ratio = one.variance / two.variance if two.variance > 0 else np.nan
            row[f"variance_ratio_{when}"] = np.nan if binary else ratio
            row |= _distances(abs(one.mean - two.mean) if binary else np.nan, when)
        return row

    def _moments(
        self, rows: Flags, z: Floats, zz: Floats, ratio: Floats, *, binary: bool
    ) -> SideMoments:
        times = ratio[rows]
        total = float((self.weight[rows] * times).sum())
        squares = float((self.squares[rows] * times**2).sum())
        if total <= 0:
            return SideMoments(np.nan, np.nan, 0.0, 0.0)
        mean = float((z[rows] * times).sum()) / total
        variance = max(float((zz[rows] * times).sum()) / total - mean**2, 0.0)
        left = 1.0 if binary else 1 - squares / total**2
        return SideMoments(mean, variance / left if left > 0 else np.nan, total, squares)


def _level_row(name: str, before: Floats, after: Floats, total: Floats) -> dict[str, str | float]:
    """Return the balance of a level from its shares among comparators and pilots, (2,)."""
    sides = [SideMoments(p, p * (1 - p), t, 0.0) for p, t in zip(before, total, strict=True)]
    sd = _sd(sides[1], sides[0], binary=True)
    return {
        "covariate": name,
        "mean_treated": before[1],
        "mean_treated_after": after[1],
        "mean_control_before": before[0],
        "mean_control_after": after[0],
        "smd_before": _difference(before[1], before[0], sd),
        "smd_after": _difference(after[1], after[0], sd),
        "variance_ratio_before": np.nan,
        "variance_ratio_after": np.nan,
        **_distances(float(abs(before[1] - before[0])), "before"),
        **_distances(float(abs(after[1] - after[0])), "after"),
    }


def _distances(gap: float, when: str) -> dict[str, float]:
    """Of zeros and ones the distances of distributions are those of the means."""
    return {f"ks_{when}": gap, f"l1_{when}": gap}


def _sd(one: SideMoments, two: SideMoments, *, binary: bool) -> float:
    """Return the SD of the treated, or that pooled within both sides where there is none."""
    if one.variance > 0:
        return float(np.sqrt(one.variance))
    total, squares = one.total + two.total, one.squares + two.squares
    left = 1.0 if binary else 1 - squares / total**2
    inner = 1.0 if binary else 1 - two.squares / two.total**2
    return float(np.sqrt(two.variance * inner * two.total / total / left))


def _difference(one: float, two: float, sd: float) -> float:
    if abs(one - two) <= EQUAL * sd:
        return 0.0
    return (one - two) / sd if sd > 0 else np.nan
