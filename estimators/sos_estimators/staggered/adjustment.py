"""How covariates enter a regression with a coefficient for every cohort and period.

Additive: they shift levels. Interacted: their slopes differ with every effect, by cohort and by
period, so that effects may differ with covariates and trends too; sections 5 and 6 of Wooldridge
(2025), Empirical Economics 69, 2545-2587.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.regression.least_squares import Absorber, group_sums, side_by_side
from sos_estimators.staggered.averages import Effects
from sos_estimators.staggered.cohort_cells import CohortCells

Centre = Literal["cohort-period", "cohort"]

NEGLIGIBLE = 1e-9
"""What is smaller than this share of a covariate's largest value is zero but for rounding."""


@dataclass(frozen=True)
class Slope:
    """A covariate's product with an effect, a cohort or a period.

    Attributes:
        name: Of the covariate, or its level.
        of: ``ATT(2015,2017)``, ``cohort 2015`` or ``period 2017``.
        effect: Number of the effect; -1 for a cohort or period.
        shift: Where the effect is given, less the mean of its cases.
    """

    name: str
    of: str
    effect: int = -1
    shift: float = 0.0


@dataclass(frozen=True)
class Adjustment:
    """Columns beside those of effects.

    Attributes:
        columns: Covariates as numbers, before the effects in pivot order, (m, k).
        names: Their names, k.
        products: After the effects in pivot order: where untreated cases say nothing of a level in
            a cohort, its slope there is left out, and no effect, (m, q).
        slopes: What each product is, q.
    """

    columns: Floats
    names: tuple[str, ...]
    products: Floats
    slopes: tuple[Slope, ...] = ()

    def dropped(
        self, kept: Sequence[bool] | Bools, cells: CohortCells, absorb: Iterable[str]
    ) -> str:
        """Tell in a sentence what is left out for collinearity, or nothing.

        A product that is zero throughout, or that the absorbed effects take out, is no news.

        Args:
            kept: Which columns and products are not collinear, (k + q,).
            cells: The cells.
            absorb: Columns of the cells whose effects are taken out.
        """
        n, flags = len(self.names), np.asarray(kept, dtype=bool)
        used = {*np.array(self.names)[flags[:n]]}
        used |= {s.name for s, here in zip(self.slopes, flags[n:], strict=True) if here}
        told = [name for name in self.names if name not in used]
        lost = np.flatnonzero(~flags[n:])
        if len(lost):
            effects = tuple(cells.codes(column) for column in absorb)
            left = Absorber(effects, cells.weight).residuals(self.products[:, lost])
            largest = np.abs(self.columns).max()
            lost = lost[np.abs(left).max(axis=0) > NEGLIGIBLE * largest]
        told += [f"{self.slopes[i].name} of {self.slopes[i].of}" for i in lost]
        return ", ".join(told)


def additive(cells: CohortCells) -> Adjustment:
    """Take covariates as they are.

    Args:
        cells: The cells, m of them.
    """
    columns, names = cells.covariate_columns()
    return Adjustment(columns, names, np.empty((len(columns), 0)))


def interacted(cells: CohortCells, effects: Effects, centre: Centre) -> Adjustment:
    """Multiply covariates by effects, cohorts and periods, in this order.

    Within an effect they are measured from the mean of its cases, so that its coefficient is the
    average over these. ``centre = "cohort"`` gives effects at the mean of the cohort instead: the
    same where the covariates of a cohort do not change between periods.

    Args:
        cells: The cells, m of them.
        effects: The K effects.
        centre: Where effects are given.
    """
    raw, names = cells.covariate_columns()
    x = raw - (cells.weight @ raw) / cells.weight.sum()
    own = _means(x, cells.weight, effects.of_cell + 1, len(effects.names) + 1)
    departure = _rounded(x - own[effects.of_cell + 1], x)
    shifts = _rounded(_cohort_means(x, cells, effects) - own[1:], x) * (centre == "cohort")
    products, slopes = [], []
    for k in np.flatnonzero(~effects.reference):
        products.append(departure * (effects.of_cell == k)[:, None])
        slopes += [
            Slope(name, effects.names[k], int(k), float(by))
            for name, by in zip(names, shifts[k], strict=True)
        ]
    for word in ("cohort", "period"):
        values = cells.frame[word].to_numpy()
        for value in np.unique(values)[1:]:
            products.append(x * (values == value)[:, None])
            slopes += [Slope(name, f"{word} {value}") for name in names]
    return Adjustment(raw, names, side_by_side(products, len(x)), tuple(slopes))


def _rounded(values: Floats, x: Floats) -> Floats:
    largest = np.abs(x).max(axis=0, initial=0.0)
    return np.where(np.abs(values) <= NEGLIGIBLE * largest, 0.0, values)


def _cohort_means(x: Floats, cells: CohortCells, effects: Effects) -> Floats:
    cohorts = np.unique(cells.frame["cohort"])
    means = _means(x, cells.weight, cells.codes("cohort"), len(cohorts))
    return np.asarray(means[np.searchsorted(cohorts, effects.table["cohort"])])


def _means(columns: Floats, weight: Floats, codes: Ints, n: int) -> Floats:
    """Weighted means of columns by code, (n, p); zero where there is no cell."""
    total = np.bincount(codes, weight, n)[:, None]
    sums = np.zeros((n, columns.shape[1]))
    sums[: codes.max() + 1] = group_sums(columns * weight[:, None], codes)
    return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
