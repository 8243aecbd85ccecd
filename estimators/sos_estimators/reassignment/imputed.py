"""``imputation`` and ``two-stage`` under any assignment of dates."""

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
from sos_estimators.reassignment.table import Sums, UnitTable, sums

ROUNDING = 1e-6
"""Less than this share of what an average draws on is rounding error of a generalised inverse."""


@dataclass(frozen=True)
class ImputedUnits:
    """Averages of what unit and period effects of untreated cells leave of the treated.

    Attributes:
        table: The table.
        masks: Effects and averages.
        never_only: Whether units never treated alone give period effects and covariates.
        whole: Sums of all units over all periods.
    """

    table: UnitTable
    masks: Masks
    never_only: bool
    whole: Sums

    @classmethod
    def of(cls, table: UnitTable, masks: Masks, *, never_only: bool) -> ImputedUnits:
        """Take the sums that no assignment changes.

        Args:
            table: The table.
            masks: Effects and averages.
            never_only: Whether units never treated alone give period effects and covariates.
        """
        every = np.arange(table.shape[0])
        whole = sums(table, every, np.ones(table.shape, dtype=bool))
        return cls(table, masks, never_only, whole)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the averages."""
        return self.masks.names

    @property
    def least(self) -> float:
        """See :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.table.least

    def without(self, unit: int) -> ImputedUnits:
        """Leave out a unit: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.of(self.table.without(unit), self.masks, never_only=self.never_only)

    def __call__(self, cohort: Ints) -> Reassigned:
        """Evaluate an assignment: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        table, whole = self.table, self.whole
        pilots = np.flatnonzero(cohort > 0)
        free = table.untreated(cohort[pilots])
        own = sums(table, pilots, free)
        products, scores = whole.products.copy(), whole.scores.copy()
        products[pilots] = 0.0 if self.never_only else own.products
        scores[pilots] = 0.0 if self.never_only else own.scores
        inverse = inverse_of(products.sum(axis=0))
        gamma = inverse @ scores.sum(axis=0)
        residual, columns = _imputed(table, pilots, own, gamma)
        weight = table.weight[pilots]
        codes = self.masks.codes(cohort[pilots], table.shape[1])
        of_effects, weights = cell_weights(self.masks.chosen, codes, weight)
        n_averages = len(self.names)
        flat = weights.reshape(-1, n_averages).T
        estimates = flat @ residual.reshape(-1, residual.shape[2])
        estimates[:, (own.weight <= 0).any()] = np.nan
        estimates[np.isnan(of_effects).any(axis=1)] = np.nan  # the sum over no cells would be 0
        drawn = flat @ columns.reshape(-1, columns.shape[2])
        estimates[~_told(drawn, products.sum(axis=0), inverse)] = np.nan
        kappa = inverse @ drawn.T
        left = scores - products @ gamma
        contributions = -over_columns(left, kappa)
        contributions[pilots] += over_periods(weights, residual)
        shares = np.zeros((table.shape[0], n_averages))
        shares[pilots] = weights.sum(axis=1)
        return Reassigned(estimates, contributions, shares)


def inverse_of(products: Floats) -> Floats:
    """Invert cross products in which period effects are known up to a constant.

    Args:
        products: (m, m).
    """
    return np.asarray(np.linalg.pinv(products, rcond=1e-12, hermitian=True))


def _told(drawn: Floats, products: Floats, inverse: Floats) -> Bools:
    """Whether untreated cells tell what averages are compared with, (J,).

    Args:
        drawn: How much each average draws on period effects and covariates, (J, m).
        products: Of the untreated cells, (m, m).
        inverse: Of these, (m, m).
    """
    left = drawn - drawn @ products @ inverse
    return np.asarray(np.abs(left).max(axis=1) <= ROUNDING * np.abs(drawn).max(axis=1, initial=0.0))


def _imputed(table: UnitTable, pilots: Ints, own: Sums, gamma: Floats) -> tuple[Floats, Floats]:
    """Values less what is imputed, (q, T, V), and columns less their mean before, (q, T, m)."""
    n_periods = table.shape[1]
    weight = table.weight[pilots]
    safe = np.where(weight > 0, weight, 1.0)[:, :, None]
    each = np.broadcast_to(np.eye(n_periods), (len(pilots), n_periods, n_periods))
    columns = np.concatenate([each, table.x[pilots] / safe], axis=2) - own.columns[:, None, :]
    return table.value[pilots] - own.mean[:, None, :] - columns @ gamma, columns


def treated_effects(table: UnitTable, *, before: bool) -> Bools:
    """Say which effects of cohorts and periods there are, (cohorts, T).

    Args:
        table: The table.
        before: Whether periods before treatment have effects too.
    """
    cohorts = np.unique(table.cohort[table.cohort > 0])
    if before:
        return np.ones((len(cohorts), table.shape[1]), dtype=bool)
    return ~table.untreated(cohorts)
