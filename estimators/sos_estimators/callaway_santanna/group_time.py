"""Group-time effects by our own computation, on numpy.

Source: Callaway, B. and Sant'Anna, P. H. C. (2021), Difference-in-differences with multiple time
periods, Journal of Econometrics 225(2), 200-230.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import Cell, control_cohorts
from sos_estimators.callaway_santanna.nuisance import ComparisonError
from sos_estimators.callaway_santanna.preparation import Prepared
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.callaway_santanna.two_by_two import Comparison, effect, full_rank


@dataclass(frozen=True)
class Observations:
    """What the computation needs of the rows; cells with their sums would do as well as cases.

    Attributes:
        period: (n,). A balanced panel is sorted by period, ids in the same order in each.
        cohort: (n,); 0 = never treated.
        value: Outcome, or the weighted mean outcome of a cell; (n,).
        weight: Weight, or the sum of weights of a cell; (n,).
        design: Covariates with a column of ones first; (n, k).
        cluster: What is taken as independent, numbered from 0; (n,).
        n_clusters: How many there are.
        balanced: Whether the rows are a balanced panel.
        cohorts: Cohorts with an effect; (c,).
        cohort_weight: Weight of each cluster in each of those cohorts; (n_clusters, c). Periods of
            a panel count once.
    """

    period: Ints
    cohort: Ints
    value: Floats
    weight: Floats
    design: Floats
    cluster: Ints
    n_clusters: int
    balanced: bool
    cohorts: Ints
    cohort_weight: Floats


@dataclass(frozen=True)
class GroupTime:
    """Group-time effects.

    Attributes:
        cells: The effects, in the order of the arrays.
        att: Estimates, missing where none could be made; (m,).
        scores: Contribution of each cluster to each estimation error; (n_clusters, m). Zero where
            missing. Fewer rows with the same cross products, those of ``cohort_weight`` included,
            give the same standard errors.
        cohorts: Cohorts with an effect; (c,).
        cohort_weight: Weight of each cluster in each cohort; (n_clusters, c).
        cohort_size: Sum of the weights in each cohort; (c,).
        missing: Why an effect is missing, by its name.
    """

    cells: tuple[Cell, ...]
    att: Floats
    scores: Floats
    cohorts: Ints
    cohort_weight: Floats
    cohort_size: Floats
    missing: Mapping[str, str] = field(default_factory=dict)


def observations(prepared: Prepared) -> Observations:
    """Take from prepared rows what the computation needs."""
    frame, cohorts = prepared.frame, prepared.cohorts
    n_clusters = int(frame["cluster"].max()) + 1
    return Observations(
        period=frame["period"].to_numpy(),
        cohort=frame["cohort"].to_numpy(),
        value=frame["value"].to_numpy(),
        weight=frame["weight"].to_numpy(),
        design=prepared.design.matrix,
        cluster=frame["cluster"].to_numpy(),
        n_clusters=n_clusters,
        balanced=prepared.balanced,
        cohorts=cohorts,
        cohort_weight=_cohort_weight(prepared, cohorts, n_clusters),
    )


def _cohort_weight(prepared: Prepared, cohorts: Ints, n_clusters: int) -> Floats:
    """Weigh each key once: by its first period in a balanced panel, by its mean in another."""
    frame = prepared.frame
    if prepared.panel:
        how = "first" if prepared.balanced else "mean"
        frame = frame.groupby("_key").agg({"weight": how, "cohort": "first", "cluster": "first"})
    cohort, weight = frame["cohort"].to_numpy(), frame["weight"].to_numpy()
    cluster = frame["cluster"].to_numpy()
    return np.column_stack(
        [np.bincount(cluster, weight * (cohort == g), minlength=n_clusters) for g in cohorts]
    )


def group_time(
    rows: Observations, cells: tuple[Cell, ...], options: CallawaySantAnnaSettings
) -> GroupTime:
    """Estimate all effects; one that cannot be estimated is missing, and ``missing`` says why."""
    att = np.full(len(cells), np.nan)
    scores = np.zeros((rows.n_clusters, len(cells)))
    missing = {}
    for j, (comparison, chosen) in enumerate(_comparisons(rows, cells, options)):
        if cells[j].is_reference:
            att[j] = 0.0
            continue
        try:
            found = effect(comparison, options)
        except ComparisonError as error:
            missing[cells[j].term] = str(error)
            continue
        att[j] = found.att
        scores[:, j] = np.bincount(rows.cluster[chosen], found.scores, minlength=rows.n_clusters)
    size = rows.cohort_weight.sum(axis=0)
    return GroupTime(cells, att, scores, rows.cohorts, rows.cohort_weight, size, missing)


def short_of_rank(
    rows: Observations, cells: tuple[Cell, ...], options: CallawaySantAnnaSettings
) -> list[str]:
    """Name the effects for which some covariate does not vary in a group and period."""
    compared = zip(cells, _comparisons(rows, cells, options), strict=True)
    return [
        cell.term
        for cell, (comparison, _) in compared
        if not (cell.is_reference or full_rank(comparison, options))
    ]


def _comparisons(
    rows: Observations, cells: tuple[Cell, ...], options: CallawaySantAnnaSettings
) -> Iterator[tuple[Comparison, Ints]]:
    """Yield each cell's comparison, and the rows that its scores belong to."""
    at = {int(p): np.flatnonzero(rows.period == p) for p in np.unique(rows.period)}
    compare = _changes if rows.balanced else _cross_sections
    for cell in cells:
        used = (rows.cohort == cell.cohort) | control_cohorts(rows.cohort, cell, options)
        yield compare(rows, cell, at, used)


def _changes(
    rows: Observations, cell: Cell, at: dict[int, Ints], used: Bools
) -> tuple[Comparison, Ints]:
    """Changes of a balanced panel; weights and covariates are those of the earlier period."""
    now, base = at[cell.period], at[cell.base]
    here = used[now]
    now, base = now[here], base[here]
    earlier = now if cell.period < cell.base else base
    comparison = Comparison(
        y=rows.value[now] - rows.value[base],
        treated=rows.cohort[now] == cell.cohort,
        design=rows.design[earlier],
        weight=rows.weight[earlier],
    )
    return comparison, now


def _cross_sections(
    rows: Observations, cell: Cell, at: dict[int, Ints], used: Bools
) -> tuple[Comparison, Ints]:
    chosen = np.concatenate([at[cell.base], at[cell.period]])
    chosen = chosen[used[chosen]]
    comparison = Comparison(
        y=rows.value[chosen],
        treated=rows.cohort[chosen] == cell.cohort,
        design=rows.design[chosen],
        weight=rows.weight[chosen],
        post=rows.period[chosen] == cell.period,
    )
    return comparison, chosen
