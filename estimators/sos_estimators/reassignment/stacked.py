"""``stacked`` without covariates under any assignment of dates: means of sub-experiments."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.reassignment.averages import Reassigned
from sos_estimators.reassignment.table import UnitTable


@dataclass(frozen=True)
class StackedUnits:
    """Changes of treated cases from a reference, against those of stacked comparison cases.

    Attributes:
        table: The table.
        cohorts: Of the sub-experiments.
        events: Event times, from the first to the last, (E,).
        reference: Event time that the others are compared with.
        not_yet: Whether units not treated by the end of a sub-experiment serve for comparison too.
        corrective: Whether comparison cases count by the share of the treated.
        by_event: Whether effects by event time are given beside the overall one.
    """

    table: UnitTable
    cohorts: Ints
    events: Ints
    reference: int
    not_yet: bool
    corrective: bool
    by_event: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Of the averages."""
        each = tuple(f"event={e}" for e in self.events) if self.by_event else ()
        return ("overall", *each)

    @property
    def least(self) -> float:
        """See :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return self.table.least

    def without(self, unit: int) -> StackedUnits:
        """Leave out a unit: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        return replace(self, table=self.table.without(unit))

    def __call__(self, cohort: Ints) -> Reassigned:
        """Evaluate an assignment: see :class:`sos_estimators.reassignment.averages.Evaluate`."""
        places = [
            np.searchsorted(self.table.periods, g + self.events).astype(np.int64)
            for g in self.cohorts
        ]
        treated = [cohort == g for g in self.cohorts]
        compared = [self._compared(cohort, g) for g in self.cohorts]
        first = self._means(treated, places, np.ones((len(places), len(self.events))))
        correction = np.ones((len(places), len(self.events)))
        if self.corrective:
            of_treated, of_others = (self._shares(u, places) for u in (treated, compared))
            correction = np.where(of_treated == 0, 0.0, _ratio(of_treated, of_others))
        second = self._means(compared, places, correction)
        return self._averages(first, second)

    def _compared(self, cohort: Ints, g: int) -> Bools:
        clean = cohort == 0
        if self.not_yet:
            clean = clean | (cohort - self.table.anticipation > g + self.events[-1])
        return np.asarray(clean)

    def _shares(self, units: list[Bools], places: list[Ints]) -> Floats:
        """Share of each sub-experiment in each event time, (S, E)."""
        weight = np.array(
            [self.table.weight[u][:, p].sum(axis=0) for u, p in zip(units, places, strict=True)]
        )
        return _ratio(weight, weight.sum(axis=0))

    def _means(
        self, units: list[Bools], places: list[Ints], correction: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Means by event time (E, V), how far units draw them (G, E, V), their shares (G, E)."""
        n = self.table.shape[0]
        weight = np.zeros((n, len(self.events)))
        sums = np.zeros((n, len(self.events), self.table.value.shape[2]))
        for chosen, place, factor in zip(units, places, correction, strict=True):
            counted = self.table.weight[:, place] * chosen[:, None] * factor
            weight += counted
            sums += counted[:, :, None] * self.table.value[:, place]
        total = weight.sum(axis=0)
        mean = _ratio(sums.sum(axis=0), total[:, None])
        drawn = _ratio(sums - weight[:, :, None] * mean, total[:, None])
        return mean, drawn, _ratio(weight, total)

    def _averages(
        self, first: tuple[Floats, Floats, Floats], second: tuple[Floats, Floats, Floats]
    ) -> Reassigned:
        at = int(np.searchsorted(self.events, self.reference))
        mean, drawn = first[0] - second[0], first[1] - second[1]
        delta = mean - mean[at]
        levels = first[2][:, :, None] * delta
        contributions = drawn - drawn[:, [at]] + levels
        shares = first[2].copy()
        shares[:, at] = 0.0
        after = self.events >= 0
        parts = [delta[after].mean(axis=0, keepdims=True)]
        added = [contributions[:, after].mean(axis=1, keepdims=True)]
        counted = [shares[:, after].mean(axis=1, keepdims=True)]
        if self.by_event:
            parts, added, counted = [*parts, delta], [*added, contributions], [*counted, shares]
        return Reassigned(
            np.concatenate(parts), np.concatenate(added, axis=1), np.concatenate(counted, axis=1)
        )


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; missing where there is nothing to divide by."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    return np.asarray(np.divide(part, whole, out=np.full(shape, np.nan), where=whole > 0))
