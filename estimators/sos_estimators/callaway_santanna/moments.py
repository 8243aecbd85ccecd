"""A balanced panel compressed to moments by cohort, and cluster, and the scores they give.

Without a propensity the score of a unit is linear in ``z = w x f'``: its weight times products of
its covariates ``x`` with its outcomes and covariates ``f``. So sums of ``z`` (by cluster) and of
``z z'`` (where each unit is a cluster) are all that effects and standard errors need, whatever the
number of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.callaway_santanna.panel import Panel, blocks
from sos_estimators.callaway_santanna.panel_comparisons import (
    CohortSums,
    ComparisonSet,
    SetEffects,
    cohort_columns,
)

MAX_MOMENTS = 64
"""Products of covariates and outcomes beyond which scoring unit by unit is faster."""
MAX_CLUSTER_SUMS = 20_000_000
"""Sums by cluster beyond which they are no compression."""
LOST = 1e-6
"""A variance this small beside the products that it is a difference of has lost its digits."""


@dataclass(frozen=True)
class Moments:
    """Moments of the units of each cohort, d = k (T + k) being the size of ``z``.

    Attributes:
        sums: What estimates need.
        products: Sum of ``z z'`` by cohort, (d, d), where each unit is a cluster.
        clusters: Sum of ``z`` by cluster, by cohort, (n_clusters, d), where not.
    """

    sums: CohortSums
    products: Mapping[int, Floats]
    clusters: Mapping[int, Floats]


def suits(panel: Panel, *, by_unit: bool) -> bool:
    """Whether moments are few, weights and covariates not changing in time.

    Args:
        panel: The panel, n units in T periods.
        by_unit: Whether moments are of units, not of clusters.
    """
    k = panel.design.shape[2]
    size = k * (len(panel.periods) + k)
    fixed = panel.design.shape[1] == panel.weight.shape[1] == 1
    held = size * len(panel.slices) * (1 if by_unit else panel.n_clusters)
    return bool(fixed and size <= MAX_MOMENTS and held <= MAX_CLUSTER_SUMS)


def moments(panel: Panel, sets: Sequence[ComparisonSet], *, by_unit: bool) -> Moments:
    """Compress a panel, in one pass over its units.

    Args:
        panel: The panel, n units in T periods.
        sets: Comparisons that go together.
        by_unit: Whether moments are of units, not of clusters.
    """
    n_periods, k = len(panel.periods), panel.design.shape[2]
    size = k * (n_periods + k)
    weighted, plain = {}, {}
    products: dict[int, Floats] = {}
    clusters: dict[int, Floats] = {}
    for cohort, earlier in cohort_columns(sets):
        total, crossed = np.zeros(size), np.zeros((k, k))
        made = np.zeros((size if by_unit else panel.n_clusters, size))
        for rows in blocks(panel.slices[cohort]):
            x, weight = panel.design_of(rows, earlier), panel.weight_of(rows, earlier)
            f = panel.features(rows, earlier)
            z = ((x * weight[:, None])[:, :, None] * f[:, None, :]).reshape(len(x), size)
            total += z.sum(axis=0)
            crossed += x.T @ x
            made += z.T @ z if by_unit else panel.by_cluster(rows) @ z
        weighted[cohort, earlier] = total.reshape(k, n_periods + k)
        plain[cohort, earlier] = crossed
        (products if by_unit else clusters)[cohort] = made
    return Moments(CohortSums(weighted, plain), products, clusters)


def scores_of_moments(
    panel: Panel,
    compressed: Moments,
    fitted: Sequence[tuple[ComparisonSet, SetEffects]],
    cohorts: Sequence[int],
) -> Floats | None:
    """Return what each cluster adds to each effect, then its weight in each cohort.

    Args:
        panel: The panel, n units in T periods.
        compressed: Its moments.
        fitted: Effects that were estimated.
        cohorts: Cohorts with an effect, c of them.

    Returns:
        (n_clusters, m + c); where each unit is a cluster their cross products, (m + c, m + c), and
        None if these have lost digits that units one by one would keep.
    """
    size = len(panel.plan.comparisons) + len(cohorts)
    loads = {g: _loads(panel, g, fitted, cohorts) for g in panel.slices}
    if compressed.clusters:
        sums = np.zeros((panel.n_clusters, size))
        for cohort, of_clusters in compressed.clusters.items():
            sums += of_clusters @ loads[cohort]
        return sums
    products, largest = np.zeros((size, size)), np.zeros(size)
    for cohort, of_units in compressed.products.items():
        products += loads[cohort].T @ of_units @ loads[cohort]
        sizes = np.abs(loads[cohort])
        largest += np.einsum("ij,ij->j", sizes, np.abs(of_units) @ sizes)
    return None if (np.diag(products) < LOST * largest).any() else products


def _loads(
    panel: Panel,
    cohort: int,
    fitted: Sequence[tuple[ComparisonSet, SetEffects]],
    cohorts: Sequence[int],
) -> Floats:
    """How ``z`` of a cohort enters the effects and the weights of cohorts; (d, m + c)."""
    n_periods, k = len(panel.periods), panel.design.shape[2]
    n_effects = len(panel.plan.comparisons)
    loads = np.zeros((k, n_periods + k, n_effects + len(cohorts)))
    for comparisons, effects in fitted:
        if comparisons.cohort == cohort:
            loads[0][:, comparisons.places] = effects.residual / effects.weight
            loads[0, n_periods, comparisons.places] -= effects.level / effects.weight
        elif cohort in comparisons.controls:
            loads[:, :, comparisons.places] = -effects.pull[:, None, None] * effects.residual
    if cohort in cohorts:
        loads[0, n_periods, n_effects + list(cohorts).index(cohort)] = 1.0
    return loads.reshape(k * (n_periods + k), -1)
