"""Randomisation inference: adoption is assigned anew to the authorities.

MacKinnon and Webb (2020), Journal of Econometrics 218(2): under the sharp hypothesis of no effect
for anyone, the estimate (RI-beta) or its t statistic (RI-t) is one draw from those of all
assignments that the design could have made. Which treatment each authority gets changes one column
only, so an assignment costs sums over authorities and never looks at a case.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.cluster_products import ClusterProducts, by_cluster, nested_effects
from sos_estimators.inference.wild import share_as_large
from sos_estimators.regression.design_matrix import codes_of
from sos_estimators.regression.least_squares import Absorber, Regression, group_sums
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics
from sos_plugins.errors import EstimationError

BLOCK = 512
"""Assignments computed at once: keeps the memory small."""
MOST = 30_000_000
"""Numbers in the table of treatments by slot: 240 megabytes."""
UNTOLD = 1e-10
"""An assignment whose treatment keeps less than this share of its variation, once effects and
covariates are taken out, has no estimate and is left out."""


@dataclass(frozen=True)
class Treatments:
    """The treatments that units could get.

    Attributes:
        slot: Of each cell, (m,): cells of one slot are treated alike whatever the assignment.
        columns: Treatment of each slot under each possibility: one for each unit and time of
            adoption (or unit and matched group), zero for slots of other units.
        choices: Which possibilities an assignment switches on, (B, n): places in ``columns``.
        observed: Those of the sample, (n,).
        complete: Whether ``choices`` are all assignments of the design.
    """

    slot: Ints
    columns: Floats
    choices: Ints
    observed: Ints
    complete: bool


@dataclass(frozen=True)
class Randomised:
    """p values of randomisation inference.

    Attributes:
        estimate: Of the sample.
        statistic: Its t statistic with the CR1 standard error.
        p_estimate: RI-beta.
        p_statistic: RI-t.
        assignments: How many were compared, the observed one among them if complete.
        complete: Whether they are all that the design allows.
    """

    estimate: float
    statistic: float
    p_estimate: float
    p_statistic: float
    assignments: int
    complete: bool


def treatments(cells: pd.DataFrame, *, draws: int, seed: int) -> Treatments:
    """Find or draw assignments.

    With matched groups each group's pilot is chosen among the group's authorities, who all share
    its window. Without, the times of adoption are dealt out to all authorities anew.

    Args:
        cells: Columns ``unit, period, cohort, treated, post`` and perhaps ``group``.
        draws: All assignments are taken if there are not more than this, else so many are drawn.
        seed: Of the draws.

    Raises:
        EstimationError: If the treatment of the sample is not one that the design could assign.
    """
    slot, assignments = _possible(cells)
    rng = np.random.default_rng(seed)
    complete = assignments.n_assignments <= draws
    choices = np.array(
        assignments.every() if complete else assignments.some(draws, rng), dtype=np.int64
    )
    return Treatments(slot, assignments.columns, choices, assignments.observed, complete)


def statistics_by_lot(
    problem: Regression, cells: pd.DataFrame, draws: AssignmentDraws
) -> DrawnStatistics:
    """Return the t statistic of the treatment, and those under assignments by common lots.

    With matched groups the authority of a group with the first lot is its pilot; without, the dates
    go to the first authorities.

    Args:
        problem: The regression; its term is the treatment.
        cells: As of :func:`treatments`.
        draws: The lots.

    Raises:
        EstimationError: As :func:`treatments`.
    """
    slot, possible = _possible(cells)
    choices = possible.by_lot(draws)
    pieces = _pieces(
        problem, Treatments(slot, possible.columns, choices, possible.observed, complete=False)
    )
    (estimate,), (statistic,) = _both(pieces, possible.observed[None, :])
    blocks = [_both(pieces, choices[n : n + BLOCK])[1] for n in range(0, len(choices), BLOCK)]
    drawn = tuple(np.concatenate(blocks).tolist())
    return DrawnStatistics(float(estimate), float(statistic), drawn, possible.n_assignments)


def _possible(cells: pd.DataFrame) -> tuple[Ints, _Assignments]:
    """Return the slot of each cell, (m,), and what the design could assign."""
    keys = [c for c in ("group", "unit", "period", "cohort", "treated", "post") if c in cells]
    slots = cells[keys].drop_duplicates(ignore_index=True)
    slot = codes_of(pd.concat([slots, cells[keys]], ignore_index=True), keys)
    slots = slots.iloc[np.argsort(slot[: len(slots)])].reset_index(drop=True)
    assignments = _in_groups(slots) if "group" in cells else _over_units(slots)
    if assignments.columns.size > MOST:
        raise EstimationError(
            f"{assignments.columns.shape[1]} combinations of authority and time of adoption in "
            f"{len(slots)} periods of authorities are too many to hold in memory"
        )
    return slot[len(slots) :], assignments


@dataclass(frozen=True)
class _Assignments:
    """What a design could assign: see :class:`Treatments`."""

    columns: Floats
    observed: Ints
    n_assignments: int
    every: Callable[[], Sequence[Sequence[int]]]
    some: Callable[[int, np.random.Generator], Ints]
    by_lot: Callable[[AssignmentDraws], Ints]


def _in_groups(slots: pd.DataFrame) -> _Assignments:
    place = codes_of(slots, ["group", "unit"])
    columns = np.zeros((len(slots), int(place.max()) + 1))
    columns[np.arange(len(slots)), place] = slots["post"].to_numpy(float)
    units = slots.groupby(place)["unit"].first().astype(str).to_numpy()
    members, observed, groups = [], [], []
    for group, rows in slots.groupby("group", sort=True).indices.items():
        pilots = np.unique(place[rows][slots["treated"].to_numpy()[rows] == 1])
        if len(pilots) != 1:
            raise EstimationError(
                f"the matched group {group} has {len(pilots)} treated authorities, not one"
            )
        after = columns[:, np.unique(place[rows])].any(axis=0)
        if not after.all():
            raise EstimationError(
                f"{int((~after).sum())} authorities of the matched group {group} have no case in "
                "which column 'post' is 1, so they cannot stand in for the pilot"
            )
        members.append(np.unique(place[rows]))
        observed.append(int(pilots[0]))
        groups.append(str(group))

    def by_lot(draws: AssignmentDraws) -> Ints:
        first = [
            m[draws.orders(list(units[m]), group)[:, 0]]
            for m, group in zip(members, groups, strict=True)
        ]
        return np.column_stack(first)

    return _Assignments(
        columns,
        np.array(observed),
        math.prod(len(m) for m in members),
        every=lambda: list(itertools.product(*members)),
        some=lambda draws, rng: np.column_stack([rng.choice(m, draws) for m in members]),
        by_lot=by_lot,
    )


def _over_units(slots: pd.DataFrame) -> _Assignments:
    by_unit = slots.groupby("unit", sort=True)["cohort"].agg(["min", "max"])
    adopted = slots["cohort"] > 0
    dated = adopted & (slots["period"] >= slots["cohort"])
    treated = (slots["treated"] == 1) & (slots["post"] == 1)
    if (by_unit["min"] != by_unit["max"]).any() or (treated != dated).any():
        raise EstimationError(
            "treatment does not start with the period 'cohort' of every authority, as with "
            "embedding windows, so when others would have been treated is not known without "
            "matched groups"
        )
    cohorts, sizes = np.unique(by_unit["max"][by_unit["max"] > 0], return_counts=True)
    n, n_units = len(cohorts), len(by_unit)
    unit, period = codes_of(slots, ["unit"]), slots["period"].to_numpy()
    columns = np.zeros((len(slots), n_units * n))
    for number, cohort in enumerate(cohorts):
        columns[np.arange(len(slots)), unit * n + number] = period >= cohort
    pilots = np.flatnonzero(by_unit["max"] > 0)
    dealt = np.repeat(np.arange(n), sizes)

    def some(draws: int, rng: np.random.Generator) -> Ints:
        order = rng.permuted(np.tile(np.arange(n_units), (draws, 1)), axis=1)
        return order[:, : len(dealt)] * n + dealt

    def by_lot(draws: AssignmentDraws) -> Ints:
        order = draws.orders([str(unit) for unit in by_unit.index])
        return np.asarray(order[:, : len(dealt)] * n + dealt)

    ways = math.factorial(n_units) // math.factorial(n_units - len(dealt))
    return _Assignments(
        columns,
        pilots * n + np.searchsorted(cohorts, by_unit["max"].to_numpy()[pilots]),
        ways // math.prod(math.factorial(int(size)) for size in sizes),
        every=lambda: _deals(range(n_units), [int(size) for size in sizes], n),
        some=some,
        by_lot=by_lot,
    )


def _deals(units: Sequence[int], sizes: list[int], n_cohorts: int) -> list[list[int]]:
    """Return every way to give out cohorts of these sizes, as places of columns."""
    if not sizes:
        return [[]]
    number = n_cohorts - len(sizes)
    return [
        [u * n_cohorts + number for u in chosen] + rest
        for chosen in itertools.combinations(units, sizes[0])
        for rest in _deals([u for u in units if u not in chosen], sizes[1:], n_cohorts)
    ]


@dataclass(frozen=True)
class _Pieces:
    """Cross products of the S possible treatments with everything else.

    The columns are those of effects and covariates only, K of them.

    Attributes:
        clusters: The regression without the treatment; G clusters.
        with_columns: Of each treatment with the columns, (S, K).
        with_residual: With the residuals of the value, (S,).
        with_each_other: Sparse, (S, S): zero for treatments in different clusters.
        belongs: Sparse indicators, (G, S): the cluster of each treatment.
    """

    clusters: ClusterProducts
    with_columns: Floats
    with_residual: Floats
    with_each_other: scipy.sparse.csr_array
    belongs: scipy.sparse.csr_array


def _pieces(problem: Regression, possible: Treatments) -> _Pieces:
    m = len(problem.value)
    without = replace(problem, terms=np.empty((m, 0)), term_names=())
    clusters = by_cluster(without)
    slot = possible.slot
    weighted = clusters.columns * problem.weight[:, None]
    first = np.unique(slot, return_index=True)[1]
    weight = np.asarray(np.bincount(slot, problem.weight), float)
    inside = tuple(
        np.unique(codes[first], return_inverse=True)[1] for codes in nested_effects(problem)
    )
    left = Absorber(inside, weight).residuals(possible.columns) if inside else possible.columns
    together = left.T @ (left * weight[:, None])
    cluster = problem.cluster[first]
    mine = cluster[np.abs(possible.columns).argmax(axis=0)]
    together[mine[:, None] != mine[None, :]] = 0.0
    n = possible.columns.shape[1]
    return _Pieces(
        clusters=clusters,
        with_columns=possible.columns.T @ group_sums(weighted, slot),
        with_residual=possible.columns.T @ np.bincount(slot, problem.weight * clusters.residuals),
        with_each_other=scipy.sparse.csr_array(together),
        belongs=scipy.sparse.csr_array(
            (np.ones(n), (mine, np.arange(n))), shape=(clusters.n_clusters, n)
        ),
    )


def _both(pieces: _Pieces, choices: Ints) -> tuple[Floats, Floats]:
    """Return estimates and t statistics of some assignments, (b,) each."""
    clusters = pieces.clusters
    on = np.zeros((len(choices), len(pieces.with_residual)))
    np.put_along_axis(on, choices, 1.0, axis=1)

    def by_cluster_of(values: Floats) -> Floats:
        return np.asarray((pieces.belongs @ (on * values).T).T)

    slopes = on @ pieces.with_columns @ clusters.bread
    itself = by_cluster_of((pieces.with_each_other @ on.T).T)
    k = slopes.shape[1]
    square = (slopes[:, :, None] * slopes[:, None, :]).reshape(-1, k * k)
    left = itself - 2 * by_cluster_of(slopes @ pieces.with_columns.T)
    left += square @ clusters.products.reshape(-1, k * k).T
    value = by_cluster_of(np.broadcast_to(pieces.with_residual, on.shape))
    value -= slopes @ clusters.scores.T
    variation = left.sum(axis=1)
    untold = variation <= UNTOLD * itself.sum(axis=1)
    variation = np.where(untold, np.nan, variation)
    estimate = value.sum(axis=1) / variation
    influence = (value - estimate[:, None] * left) / variation[:, None]
    g = clusters.n_clusters
    return estimate, estimate / np.sqrt(g / (g - 1) * np.square(influence).sum(axis=1))


def randomise(problem: Regression, possible: Treatments) -> Randomised:
    """Compare the estimate and its t statistic with those of the other assignments.

    Args:
        problem: The regression; its term is the treatment.
        possible: From :func:`treatments`, on the same cells.
    """
    pieces = _pieces(problem, possible)
    estimate, statistic = (float(x[0]) for x in _both(pieces, possible.observed[None, :]))
    blocks = [
        _both(pieces, possible.choices[start : start + BLOCK])
        for start in range(0, len(possible.choices), BLOCK)
    ]
    estimates, statistics = (np.concatenate(x) for x in zip(*blocks, strict=True))
    told = ~np.isnan(estimates)
    return Randomised(
        estimate=estimate,
        statistic=statistic,
        p_estimate=_p(estimates[told], estimate, possible.complete),
        p_statistic=_p(statistics[told], statistic, possible.complete),
        assignments=int(told.sum()),
        complete=possible.complete,
    )


def _p(others: Floats, value: float, complete: bool) -> float:
    return share_as_large(np.abs(others), abs(value), complete=complete)
