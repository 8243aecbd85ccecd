"""``sun-abraham`` and ``extended-twfe`` under any assignment of dates.

Both are least squares with unit and period effects and a dummy for cohorts and periods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.reassignment.averages import (
    Masks,
    Reassigned,
    cell_weights,
    over_columns,
    over_periods,
)
from sos_estimators.reassignment.imputed import inverse_of
from sos_estimators.reassignment.table import Sums, UnitTable, sums

ROUNDING = 1e-10
"""Less than this share of a dummy, left of it by the others, is rounding error."""


@dataclass(frozen=True)
class SaturatedUnits:
    """Averages of coefficients of dummies of cohorts and periods.

    Attributes:
        table: The table.
        masks: Effects and averages.
        reference: Effects without a dummy, (K,).
        whole: Sums of all units over all periods.
        inverse: Of their summed products, (m, m).
        total: Their summed scores, (m, V).
    """

    table: UnitTable
    masks: Masks
    reference: Bools
    whole: Sums
    inverse: Floats
    total: Floats

    @classmethod
    def of(cls, table: UnitTable, masks: Masks, reference: Bools) -> SaturatedUnits:
        """Take the sums that no assignment changes.

        Args:
            table: The table.
            masks: Effects and averages.
            reference: Effects without a dummy, (K,).
        """
        every = np.arange(table.shape[0])
        whole = sums(table, every, np.ones(table.shape, dtype=bool))
        inverse = inverse_of(whole.products.sum(axis=0))
        return cls(table, masks, reference, whole, inverse, whole.scores.sum(axis=0))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the averages."""
        return self.masks.names

    @property
    def least(self) -> float:
        """See :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.table.least

    def without(self, unit: int) -> SaturatedUnits:
        """Leave out a unit: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.of(self.table.without(unit), self.masks, self.reference)

    def __call__(self, cohort: Ints) -> Reassigned:
        """Evaluate an assignment: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        table, whole, n_periods = self.table, self.whole, self.table.shape[1]
        pilots = np.flatnonzero(cohort > 0)
        codes = self.masks.codes(cohort[pilots], n_periods)
        weight = table.weight[pilots]
        shares, within = cell_weights(self.masks.chosen, codes, weight)
        used = codes >= 0
        cases: Floats = np.asarray(
            np.bincount(codes[used], weight[used], minlength=len(self.reference)), dtype=float
        )
        dummies = np.flatnonzero(~self.reference & (cases > 0))
        if not len(dummies):
            return self._none(self.total.shape[1])
        Z = (codes[:, :, None] == dummies).astype(float)
        rows = whole.products[pilots][:, :n_periods]
        values = whole.scores[pilots][:, :n_periods]
        LZ = rows[:, :, :n_periods] @ Z
        flat = Z.reshape(-1, len(dummies)).T
        ZZ = flat @ LZ.reshape(-1, len(dummies))
        ZB = flat @ rows.reshape(-1, rows.shape[2])
        total = self.total
        right = flat @ values.reshape(-1, values.shape[2]) - ZB @ (self.inverse @ total)
        products = ZZ - ZB @ self.inverse @ ZB.T
        if not _independent(products, cases[dummies]):
            return self._none(total.shape[1])
        both = np.linalg.solve(products, np.column_stack([right, shares[:, dummies].T]))
        delta, pulled = both[:, : right.shape[1]], both[:, right.shape[1] :]
        b = self.inverse @ (total - ZB.T @ delta)
        kappa = self.inverse @ (ZB.T @ pulled)
        left = whole.scores - whole.products @ b
        left[pilots] -= rows.transpose(0, 2, 1) @ (Z @ delta)
        contributions = -over_columns(left, kappa)
        contributions[pilots] += over_periods(Z @ pulled, values - rows @ b - LZ @ delta)
        # A coefficient stands for the cells of its dummy by their weight, not by their leverage.
        att = np.zeros((len(self.masks.cohort) + 1, right.shape[1]))
        att[dummies] = delta
        contributions[pilots] += over_periods(within, att[codes])
        of_units = np.zeros((table.shape[0], len(self.names)))
        of_units[pilots] = within.sum(axis=1)
        return Reassigned(shares[:, dummies] @ delta, contributions, of_units)

    def _none(self, n_values: int) -> Reassigned:
        n, j = self.table.shape[0], len(self.names)
        return Reassigned(
            np.full((j, n_values), np.nan), np.full((n, j, n_values), np.nan), np.zeros((n, j))
        )


def _independent(products: Floats, cases: Floats) -> bool:
    """Whether the dummies can be told apart, and from the effects of units and periods.

    A pivot of Cholesky's decomposition is what the dummies before it leave of a dummy.

    Args:
        products: Of the dummies, without what the effects explain of them, (D, D).
        cases: Weight of the cells of each dummy, (D,).
    """
    scale = 1 / np.sqrt(cases)
    try:
        factor = np.linalg.cholesky(products * np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return False
    return bool((np.square(np.diag(factor)) > ROUNDING).all())
