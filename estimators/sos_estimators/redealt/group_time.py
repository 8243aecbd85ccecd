"""``callaway-santanna`` without covariates under any assignment of dates: means of cohorts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.redealt.averages import Masks, Redealt, by_weight
from sos_estimators.redealt.table import UnitTable


@dataclass(frozen=True)
class GroupTimeUnits:
    """Averages of changes of cohorts against changes of those untreated.

    Attributes:
        table: The table.
        masks: Effects and averages; of a plain mean over averages, ``plain``.
        base: Place of the base period of each effect, (K,).
        not_yet: Whether units not treated yet serve for comparison too.
        by_cohort: Whether averages are of cohorts over their periods, all counting alike.
        plain: Averages whose plain mean the overall effect is: their places; empty: by weight.
    """

    table: UnitTable
    masks: Masks
    base: Ints
    not_yet: bool
    by_cohort: bool
    plain: Ints

    @property
    def names(self) -> tuple[str, ...]:
        """Of the averages."""
        return self.masks.names

    def without(self, unit: int) -> GroupTimeUnits:
        """Leave out a unit: see :class:`sos_estimators.redealt.averages.Evaluate`."""
        return replace(self, table=self.table.without(unit))

    def __call__(self, cohort: Ints) -> Redealt:
        """Evaluate an assignment: see :class:`sos_estimators.redealt.averages.Evaluate`."""
        table, masks = self.table, self.masks
        att, scores = self._effects(cohort)
        size = table.weight.sum(axis=1)
        belongs = cohort[:, None] == masks.cohort
        of_units = size[:, None] * belongs
        shares = by_weight(masks.chosen, of_units.sum(axis=0))
        if self.by_cohort:
            shares = self._cohort_means(of_units.sum(axis=0))
        own = np.divide(of_units, of_units.sum(axis=0), where=belongs, out=np.zeros(belongs.shape))
        estimates = shares @ att
        contributions = np.einsum("jk,gkv->gjv", shares, scores + own[:, :, None] * att)
        counted = own @ shares.T
        if len(self.plain):
            estimates[0] = estimates[self.plain].mean(axis=0)
            contributions[:, 0] = contributions[:, self.plain].mean(axis=1)
            counted[:, 0] = counted[:, self.plain].mean(axis=1)
        return Redealt(estimates, contributions, counted)

    def _cohort_means(self, size: Floats) -> Floats:
        """Plain means over the periods of each cohort, and their mean by the size of cohorts."""
        means = by_weight(self.masks.chosen[1:], np.ones(len(size)))
        of_cohort = (self.masks.chosen[1:] * size).max(axis=1)
        return np.vstack([of_cohort @ means / of_cohort.sum(), means])

    def _effects(self, cohort: Ints) -> tuple[Floats, Floats]:
        """Effects (K, V) and what each unit adds to their errors, (G, K, V)."""
        masks, table = self.masks, self.table
        att = np.zeros((len(masks.cohort), table.value.shape[2]))
        scores = np.zeros((table.shape[0], *att.shape))
        for g in np.unique(masks.cohort):
            effects = np.flatnonzero((masks.cohort == g) & (masks.period != self.base))
            later, earlier = masks.period[effects], self.base[effects]
            pilots = np.flatnonzero(cohort == g)
            if not len(pilots):
                continue
            mean, drawn = self._means(pilots)
            att[effects] = mean[later] - mean[earlier]
            scores[np.ix_(pilots, effects)] = drawn[:, later] - drawn[:, earlier]
            for latest in np.unique(np.maximum(later, earlier)) if self.not_yet else [-1]:
                these = effects[np.maximum(later, earlier) == latest] if self.not_yet else effects
                t, b = masks.period[these], self.base[these]
                compared = self._compared(cohort, int(g), int(latest))
                mean, drawn = self._means(compared)
                att[these] -= mean[t] - mean[b]
                scores[np.ix_(compared, these)] -= drawn[:, t] - drawn[:, b]
        return att, scores

    def _compared(self, cohort: Ints, g: int, latest: int) -> Ints:
        """Units that serve for comparison up to a period."""
        compared = cohort == 0
        if self.not_yet:
            until = self.table.periods[latest] + self.table.anticipation
            compared = compared | ((cohort > until) & (cohort != g))
        return np.flatnonzero(compared)

    def _means(self, units: Ints) -> tuple[Floats, Floats]:
        """Means of units by period, (T, V), and how far each unit draws them, (n, T, V)."""
        weight, value = self.table.weight[units], self.table.value[units]
        total = weight.sum(axis=0)
        share = np.divide(weight, total, out=np.full_like(weight, np.nan), where=total > 0)
        mean = np.einsum("nt,ntv->tv", share, value)
        return mean, share[:, :, None] * (value - mean)


def bases(
    table: UnitTable, cohort: Ints, period: Ints, base: Literal["varying", "universal"]
) -> Ints:
    """Return the place of the base period of each effect, (K,); -1 where there is none.

    Args:
        table: The table.
        cohort: Of the effects, (K,).
        period: Place of their periods, (K,).
        base: Of effects before treatment.
    """
    last = np.searchsorted(table.periods, cohort - table.anticipation) - 1
    if base == "universal":
        return np.asarray(last)
    return np.asarray(np.where(table.periods[period] >= cohort, last, period - 1))
