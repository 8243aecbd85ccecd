"""Group-time effects of a balanced panel, from its moments where these do, else from its units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import ComparisonPlan
from sos_estimators.callaway_santanna.group_time import GroupTime
from sos_estimators.callaway_santanna.moments import Moments, moments, scores_of_moments, suits
from sos_estimators.callaway_santanna.nuisance import ComparisonError
from sos_estimators.callaway_santanna.panel import Panel, blocks, compact
from sos_estimators.callaway_santanna.panel_comparisons import (
    CohortSums,
    ComparisonSet,
    Propensity,
    RowsNeededError,
    SetEffects,
    comparison_sets,
    fit_propensity,
    refuse_no_overlap,
    solve,
)
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_plugins.contract.types import Sample


def panel_effects(
    sample: Sample, options: CallawaySantAnnaSettings
) -> tuple[GroupTime, ComparisonPlan] | None:
    """Estimate the effects of a balanced panel; None where only rows will do.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Returns:
        The effects, and the plan with what a reader must know.

    Raises:
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    panel = compact(sample, options)
    if panel is None:
        return None
    try:
        return _estimate(panel, options), panel.plan
    except RowsNeededError:
        return None


@dataclass(frozen=True)
class FittedSet:
    """Comparisons that go together, their effects, and the propensity if there is one."""

    of: ComparisonSet
    effects: SetEffects
    propensity: Propensity | None = None


def _estimate(panel: Panel, options: CallawaySantAnnaSettings) -> GroupTime:
    sets = comparison_sets(panel, options)
    fit = _way_to_fit(panel, options)
    compressed = None if fit is _by_propensity else _moments(panel, sets, options)
    sums = CohortSums.of(panel, sets) if compressed is None else compressed.sums
    fitted: list[FittedSet] = []
    missing: dict[int, str] = {}
    for comparisons in sets:
        try:
            fitted.append(fit(panel, comparisons, sums, options))
        except ComparisonError as error:
            missing |= dict.fromkeys(comparisons.places.tolist(), str(error))
    if _products_do(panel, options):
        scores = factor(_scored(panel, fitted, compressed, products=True))
    else:
        scores = _scored(panel, fitted, compressed, products=False)
    return _group_time(panel, fitted, missing, scores)


FitSet = Callable[[Panel, ComparisonSet, CohortSums, CallawaySantAnnaSettings], FittedSet]


def _way_to_fit(panel: Panel, options: CallawaySantAnnaSettings) -> FitSet:
    if panel.design.shape[2] == 1:
        return _without_covariates
    return _by_regression if options.method == "reg" else _by_propensity


def _without_covariates(
    panel: Panel,
    comparisons: ComparisonSet,
    sums: CohortSums,
    options: CallawaySantAnnaSettings,
) -> FittedSet:
    """Without covariates all methods are the regression, but for the checks of a propensity."""
    if options.method != "reg":
        refuse_no_overlap(comparisons, sums, options)
    return _by_regression(panel, comparisons, sums, options)


def _by_regression(
    panel: Panel,  # noqa: ARG001
    comparisons: ComparisonSet,
    sums: CohortSums,
    options: CallawaySantAnnaSettings,  # noqa: ARG001
) -> FittedSet:
    sums.refuse_short_rank(comparisons, "reg")
    return FittedSet(comparisons, solve(comparisons, sums, None, "reg"))


def _by_propensity(
    panel: Panel,
    comparisons: ComparisonSet,
    sums: CohortSums,
    options: CallawaySantAnnaSettings,
) -> FittedSet:
    sums.refuse_short_rank(comparisons, options.method)
    propensity = fit_propensity(panel, comparisons, options)
    effects = solve(comparisons, sums, propensity, options.method)
    return FittedSet(comparisons, effects, propensity)


def _products_do(panel: Panel, options: CallawaySantAnnaSettings) -> bool:
    """Whether standard errors need the cross products of units only, and no unit's own scores."""
    own = options.decided(few=panel.plan.few).errors == "own-effects"
    return panel.by_unit and not options.needs_draws and not own


def _moments(
    panel: Panel, sets: Sequence[ComparisonSet], options: CallawaySantAnnaSettings
) -> Moments | None:
    """Compress a panel where that serves; draws of units need the units."""
    products = _products_do(panel, options)
    if panel.by_unit and not products:
        return None
    return moments(panel, sets, by_unit=products) if suits(panel, by_unit=products) else None


def _scored(
    panel: Panel, fitted: Sequence[FittedSet], compressed: Moments | None, *, products: bool
) -> Floats:
    """Score by moments; by units where there are none, or where these have lost their digits."""
    cohorts = panel.plan.cohorts
    scores = None
    if compressed is not None:
        pairs = [(one.of, one.effects) for one in fitted]
        scores = scores_of_moments(panel, compressed, pairs, cohorts)
    return _scores_of_units(panel, fitted, cohorts, products=products) if scores is None else scores


def _group_time(
    panel: Panel, fitted: Sequence[FittedSet], missing: dict[int, str], scores: Floats
) -> GroupTime:
    comparisons, cohorts = panel.plan.comparisons, panel.plan.cohorts
    att = np.array([0.0 if one.is_reference else np.nan for one in comparisons])
    for one in fitted:
        att[one.of.places] = one.effects.att
    return GroupTime(
        comparisons=comparisons,
        att=att,
        scores=scores[:, : len(comparisons)],
        cohorts=np.array(cohorts, dtype=np.int64),
        cohort_weight=scores[:, len(comparisons) :],
        cohort_size=np.array([panel.weight[panel.slices[g], 0].sum() for g in cohorts]),
        missing={comparisons[j].term: missing[j] for j in sorted(missing)},
    )


def factor(products: Floats) -> Floats:
    """Return rows with the given cross products; (r, r), a column of zeros where there are none.

    Args:
        products: Cross products; (r, r).
    """
    size = np.sqrt(np.diag(products))
    scale = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    rows = np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T
    return np.where(size > 0, rows * scale, 0.0)


def _scores_of_units(
    panel: Panel, fitted: Sequence[FittedSet], cohorts: Sequence[int], *, products: bool
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
    size = len(panel.plan.comparisons) + len(cohorts)
    total = np.zeros((size if products else panel.n_clusters, size))
    for cohort, where in panel.slices.items():
        here = [one for one in fitted if cohort in (one.of.cohort, *one.of.controls)]
        of_cohort = [size - len(cohorts) + cohorts.index(cohort)] if cohort in cohorts else []
        columns = np.concatenate([*(one.of.places for one in here), of_cohort]).astype(np.int64)
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
        total[:, columns] += panel.by_cluster(rows) @ made


def _scores(panel: Panel, cohort: int, rows: slice, here: Sequence[FittedSet]) -> list[Floats]:
    """Scores of some units of a cohort for each set of comparisons that they take part in."""
    start = panel.slices[cohort].start
    inside = slice(rows.start - start, rows.stop - start)
    earlier, f, x = -1, np.empty((0, 0)), np.empty((0, 0))
    made = []
    for one in here:
        comparisons, effects = one.of, one.effects
        own = comparisons.cohort == cohort
        if comparisons.earlier != earlier:
            earlier = comparisons.earlier
            f, x = panel.features(rows, earlier), panel.design_of(rows, earlier)
        weight = panel.weight_of(rows, earlier)
        residual = f @ effects.residual
        if own:
            scores = (weight / effects.weight)[:, None] * (residual - effects.level)
        else:
            scores = -(weight * (x @ effects.pull))[:, None] * residual
        if one.propensity is not None:
            propensity = one.propensity
            fitted = propensity.fitted[cohort][inside]
            slope = (fitted - 1 if own else fitted) * weight
            scores += (slope / propensity.mean_weight)[:, None] * (x @ effects.drift)
            if not own:
                odds = propensity.odds[cohort][inside] / effects.odds_sum
                scores -= odds[:, None] * (residual - effects.odds_level)
        made.append(scores)
    return made
