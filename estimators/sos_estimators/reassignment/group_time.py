"""``callaway-santanna`` without covariates under any assignment of dates: means of cohorts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.reassignment.averages import Masks, Reassigned, by_weight
from sos_estimators.reassignment.table import UnitTable


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

    @property
    def least(self) -> float:
        """See :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.table.least

    def without(self, unit: int) -> GroupTimeUnits:
        """Leave out a unit: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return replace(self, table=self.table.without(unit))

    def __call__(self, cohort: Ints) -> Reassigned:
        """Evaluate an assignment: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        table, masks = self.table, self.masks
        size = table.weight.sum(axis=1)
        known, place = np.unique(masks.cohort, return_inverse=True)
        of_effect = (size @ (cohort[:, None] == known))[place]
        shares = (
            self._cohort_means(of_effect) if self.by_cohort else by_weight(masks.chosen, of_effect)
        )
        shape = (len(cohort), len(self.names))
        contributions, counted = np.zeros((*shape, table.value.shape[2])), np.zeros(shape)
        att = np.zeros((len(of_effect), table.value.shape[2]))
        every = np.eye(table.shape[1])
        steps = every[masks.period] - every[self.base]
        for g in np.unique(masks.cohort[of_effect > 0]):
            effects, pilots = np.flatnonzero(masks.cohort == g), np.flatnonzero(cohort == g)
            mean, drawn = self._means(pilots)
            att[effects] = steps[effects] @ mean
            for these, others in self._comparisons(cohort, int(g), effects):
                theirs, apart = self._means(others)
                att[these] -= steps[these] @ theirs
                contributions[others] -= (shares[:, these] @ steps[these]) @ apart
            contributions[pilots] += (shares[:, effects] @ steps[effects]) @ drawn
            own = size[pilots] / size[pilots].sum()
            levels = shares[:, effects] @ att[effects]
            contributions[pilots] += own[:, None, None] * levels
            counted[pilots] = own[:, None] * shares[:, effects].sum(axis=1)
        estimates = shares @ att
        if len(self.plain):
            estimates[0] = estimates[self.plain].mean(axis=0)
            contributions[:, 0] = contributions[:, self.plain].mean(axis=1)
            counted[:, 0] = counted[:, self.plain].mean(axis=1)
        return Reassigned(estimates, contributions, counted)

    def _cohort_means(self, size: Floats) -> Floats:
        """Plain means over the periods of each cohort, and their mean by the size of cohorts."""
        means = by_weight(self.masks.chosen[1:], (size > 0).astype(float))
        of_cohort = (self.masks.chosen[1:] * size).max(axis=1)
        there = of_cohort > 0
        if not there.any():
            return np.full(self.masks.chosen.shape, np.nan)
        overall = of_cohort[there] @ means[there] / of_cohort.sum()
        return np.vstack([overall, means])

    def _comparisons(self, cohort: Ints, g: int, effects: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Yield effects of a cohort, and the units that they are compared with."""
        if not self.not_yet:
            yield effects, self._compared(cohort, g, -1)
            return
        latest = np.maximum(self.masks.period[effects], self.base[effects])
        for place in np.unique(latest):
            yield effects[latest == place], self._compared(cohort, g, int(place))

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
        mean[total <= 0] = np.nan  # of no units the sum would be 0
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
