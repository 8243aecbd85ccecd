"""What each unit of a balanced panel contributes to the errors of all effects, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.panel import Panel
from sos_estimators.callaway_santanna.panel_comparisons import (
    Key,
    Propensity,
    Solved,
    blocks,
    features,
)

Fitted = tuple[Key, Solved, Propensity | None]


def indicator(panel: Panel, rows: slice) -> Any:
    """Return the sparse matrix that sums rows by cluster; (n_clusters, rows)."""
    n = rows.stop - rows.start
    return sparse.csr_array(
        (np.ones(n), (panel.cluster[rows], np.arange(n))), shape=(panel.n_clusters, n)
    )


def scores_of_units(
    panel: Panel, fitted: Sequence[Fitted], cohorts: Sequence[int], *, products: bool
) -> Floats:
    """Score all units.

    Args:
        panel: The panel.
        fitted: Effects that were estimated.
        cohorts: Cohorts with an effect.
        products: Cross products over units, in place of sums by cluster.

    Returns:
        What each cluster adds to each effect, then its weight in each cohort, (n_clusters, m + c);
        with ``products`` the cross products of units, (m + c, m + c).
    """
    size = len(panel.plan.cells) + len(cohorts)
    total = np.zeros((size if products else panel.n_clusters, size))
    for cohort, where in panel.slices.items():
        here = [one for one in fitted if cohort in (one[0].cohort, *one[0].controls)]
        of_cohort = [size - len(cohorts) + cohorts.index(cohort)] if cohort in cohorts else []
        columns = np.concatenate([*(key.places for key, _, _ in here), of_cohort]).astype(np.int64)
        for rows in blocks(where):
            scores = _scores(panel, cohort, rows, here)
            if of_cohort:
                scores.append(panel.weight[rows, :1])
            made = np.concatenate(scores, axis=1) if scores else np.zeros((0, 0))
            if products:
                total[np.ix_(columns, columns)] += made.T @ made
            elif len(columns):
                _add(total, panel, rows, columns, made)
    return total


def _add(total: Floats, panel: Panel, rows: slice, columns: Ints, made: Floats) -> None:
    if panel.by_unit:
        total[np.ix_(panel.cluster[rows], columns)] = made
    else:
        total[:, columns] += indicator(panel, rows) @ made


def _scores(panel: Panel, cohort: int, rows: slice, here: Iterable[Fitted]) -> list[Floats]:
    """Scores of some units of a cohort for each key that they take part in."""
    start = panel.slices[cohort].start
    inside = slice(rows.start - start, rows.stop - start)
    earlier, f, x = -1, np.empty((0, 0)), np.empty((0, 0))
    made = []
    for key, solved, propensity in here:
        if key.earlier != earlier:
            earlier = key.earlier
            f, x = features(panel, rows, earlier), panel.design_of(rows, earlier)
        weight = panel.weight_of(rows, earlier)
        residual = f @ solved.residual
        if key.cohort == cohort:
            scores = (weight / solved.weight)[:, None] * (residual - solved.level)
        else:
            scores = -(weight * (x @ solved.pull))[:, None] * residual
        if propensity is not None and solved.drift is not None and solved.odds_level is not None:
            fitted = propensity.fitted[cohort][inside]
            slope = np.where(key.cohort == cohort, fitted - 1, fitted) * weight
            scores += (slope / propensity.mean_weight)[:, None] * (x @ solved.drift)
            if key.cohort != cohort:
                odds = propensity.odds[cohort][inside] / solved.odds_sum
                scores -= odds[:, None] * (residual - solved.odds_level)
        made.append(scores)
    return made
