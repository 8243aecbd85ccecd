"""Authorities by periods: what an estimator needs of the cases whatever the dates of adoption are.

Estimates are linear in the value, and a new assignment of dates changes the treatment alone. So the
sums of values, covariates and their products are taken once, by authority and period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.inference.results import negligible
from sos_estimators.regression.design_matrix import codes_of
from sos_estimators.regression.least_squares import group_sums
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_plugins.errors import EstimationError

MOST_UNLIKE = 1e6
"""Sums of squares hold 16 digits, and differences of weights more unlike lose half of them."""


@dataclass(frozen=True)
class UnitTable:
    """Sums of G units in T periods, of V values and p covariates.

    The first value is the outcome, the second 1 in the treated periods of the observed assignment:
    what an effect of one on everyone would add.

    Attributes:
        periods: Ascending, (T,).
        cohort: First treated period of each unit, 0 = never, (G,).
        cluster: What is taken as independent: units are not split over clusters, (G,).
        weight: Summed weights, (G, T); 0 where a unit has no cases.
        value: Weighted means, (G, T, V); 0 where there are none.
        x: Weighted sums of covariates, (G, T, p).
        xx: Weighted sums of their products, (G, T, p, p).
        xv: Weighted sums of their products with the values, (G, T, p, V).
        anticipation: Periods before the first treated one that count as treated.
        least: Size below which an estimate or an error is rounding error about zero.
    """

    periods: Ints
    cohort: Ints
    cluster: Ints
    weight: Floats
    value: Floats
    x: Floats
    xx: Floats
    xv: Floats
    anticipation: int
    least: float

    @classmethod
    def of(cls, cells: CohortCells) -> UnitTable:
        """Sum cells by unit and period.

        Args:
            cells: Checked cells of a sample in calendar periods.

        Raises:
            EstimationError: If a cluster holds more than one authority or a part of one, so that
                dates cannot be dealt out to clusters; or if weights are too unlike.
        """
        table = cells.frame
        unit, period = codes_of(table, ["owner"]), codes_of(table, ["period"])
        n_units, n_periods = int(unit.max()) + 1, int(period.max()) + 1
        place = unit * n_periods + period
        columns, _ = cells.covariate_columns()
        treated = ((table["cohort"] > 0) & (table["period"] >= table["cohort"])).to_numpy(float)
        values = np.column_stack([cells.value, treated])
        weight = cells.weight

        def summed(what: Floats) -> Floats:
            padded = np.append(place, n_units * n_periods - 1)
            flat = what.reshape(len(what), -1)
            sums = group_sums(np.vstack([flat, np.zeros_like(flat[:1])]), padded)
            return np.asarray(sums.reshape(n_units, n_periods, *what.shape[1:]))

        total = summed(weight)
        means = np.divide(
            summed(weight[:, None] * values),
            total[:, :, None],
            out=np.zeros((n_units, n_periods, 2)),
            where=total[:, :, None] > 0,
        )
        weighted = columns * weight[:, None]
        first = np.unique(unit, return_index=True)[1]
        cluster = cells.codes("cluster")
        if (cluster != cluster[first][unit]).any() or len(np.unique(cluster)) < len(first):
            raise EstimationError(
                "dates of adoption are dealt out to authorities, and here authorities are not the "
                "clusters, or not the units of observation: leave the columns 'cluster' and 'id' "
                "out"
            )
        there = total[total > 0]
        if there.max() > MOST_UNLIKE * there.min():
            raise EstimationError(
                f"the cases of some authority and period weigh over {MOST_UNLIKE:g} times those "
                "of another, too much for sums over authorities; see to the weights"
            )
        return cls(
            periods=np.unique(table["period"].to_numpy()),
            cohort=table["cohort"].to_numpy()[first],
            cluster=cluster[first],
            weight=total,
            value=means,
            x=summed(weighted),
            xx=summed(weighted[:, :, None] * columns[:, None, :]),
            xv=summed(weighted[:, :, None] * values[:, None, :]),
            anticipation=cells.anticipation,
            least=negligible(cells.value),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Units and periods."""
        return self.weight.shape[0], self.weight.shape[1]

    def without(self, unit: int) -> UnitTable:
        """Leave out a unit.

        Args:
            unit: Which, below G.
        """
        parts = ("cohort", "cluster", "weight", "value", "x", "xx", "xv")
        return replace(
            self, **{name: np.delete(getattr(self, name), unit, axis=0) for name in parts}
        )

    def untreated(self, cohort: Ints) -> Bools:
        """Say in which periods units of cohorts are not treated, nor anticipate it, (n, T).

        Args:
            cohort: (n,).
        """
        before = self.periods < (cohort - self.anticipation)[:, None]
        return np.asarray(before | (cohort == 0)[:, None])


@dataclass(frozen=True)
class Sums:
    """Cross products of units over some of their periods, each unit's own mean taken out.

    The columns are the periods, then the covariates: m = T + p.

    Attributes:
        weight: Summed weights, (n,).
        mean: Mean values, (n, V).
        columns: Mean columns, (n, m).
        products: Of the columns, (n, m, m).
        scores: Of the columns with the values, (n, m, V).
    """

    weight: Floats
    mean: Floats
    columns: Floats
    products: Floats
    scores: Floats


def sums(table: UnitTable, units: Ints, chosen: Bools) -> Sums:
    """Sum units over chosen periods.

    Args:
        table: The table.
        units: Which, (n,).
        chosen: Periods of each, (n, T).
    """
    n, n_periods = len(units), table.shape[1]
    w = table.weight[units] * chosen
    here = chosen[:, :, None]
    total = w.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    x = table.x[units] * here
    p = x.shape[2]
    mean = (w[:, :, None] * table.value[units]).sum(axis=1) / safe[:, None]
    columns = np.concatenate([w, x.sum(axis=1)], axis=1) / safe[:, None]
    products = np.zeros((n, n_periods + p, n_periods + p))
    places = np.arange(n_periods)
    products[:, places, places] = w
    if p:
        products[:, :n_periods, n_periods:] = x
        products[:, n_periods:, :n_periods] = x.transpose(0, 2, 1)
        products[:, n_periods:, n_periods:] = (table.xx[units] * here[..., None]).sum(axis=1)
    products -= total[:, None, None] * columns[:, :, None] * columns[:, None, :]
    raw = np.concatenate(
        [
            w[:, :, None] * table.value[units],
            (table.xv[units] * here[..., None]).sum(axis=1),
        ],
        axis=1,
    )
    scores = raw - total[:, None, None] * columns[:, :, None] * mean[:, None, :]
    return Sums(total, mean, columns, products, scores)
