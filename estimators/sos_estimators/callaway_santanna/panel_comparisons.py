"""The comparisons of a balanced panel, many at once, from sums over its units.

The outcome enters every formula of :mod:`sos_estimators.callaway_santanna.two_by_two` linearly.
So comparisons with the same groups, weights and covariates share their propensity, and their
regressions and effects are small products of sums of ``w x f'`` over the units of a cohort, where
``f`` holds the outcomes of all periods and the covariates ``x`` (with a one first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import TwoByTwo, control_cohorts
from sos_estimators.callaway_santanna.nuisance import ComparisonError, Nuisance, independent
from sos_estimators.callaway_santanna.panel import Panel, blocks
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.callaway_santanna.two_by_two import APART, NONE_LEFT, propensity


class RowsNeededError(Exception):
    """Something that only the rows can answer, such as which covariate to leave out."""


@dataclass(frozen=True)
class ComparisonSet:
    """Comparisons of the same groups, with the same weights and covariates.

    Attributes:
        cohort: The treated cohort.
        controls: Cohorts that it is compared with.
        earlier: Which column of weights and covariates is used.
        places: Where the effects stand among all; (m,).
        change: Outcomes of all periods to the changes that are compared; (T, m).
    """

    cohort: int
    controls: tuple[int, ...]
    earlier: int
    places: Ints
    change: Floats


@dataclass(frozen=True)
class Propensity:
    """A fitted propensity, by the cohorts of a comparison.

    Attributes:
        fitted: By cohort, (its units,).
        odds: Weight of comparison units by cohort, (its units,).
        fit: The logit, whose weights have mean 1.
        mean_weight: Mean of the weights over these cohorts.
        sums: Sum of ``odds x f'`` over comparison units; (k, T + k).
    """

    fitted: Mapping[int, Floats]
    odds: Mapping[int, Floats]
    fit: Nuisance
    mean_weight: float
    sums: Floats


def _none() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class SetEffects:
    """Effects of such comparisons, and what scores are made of.

    A score is, with ``r = f @ residual`` and the propensity ``p``,
    ``w / weight (r - level) - w / mean_weight (1 - p) x @ drift`` in the treated cohort, and
    ``-w (x @ pull) r - odds / odds_sum (r - odds_level) + w / mean_weight p x @ drift`` in others.

    Attributes:
        att: (m,).
        residual: Outcomes and covariates to residuals of the regressions; (T + k, m).
        weight: Sum of the weights of the treated.
        level: Mean residual of the treated; (m,).
        pull: (k,); zero without a regression.
        odds_sum, odds_level, drift: Number, (m,), (k, m); none without a propensity.
    """

    att: Floats
    residual: Floats
    weight: float
    level: Floats
    pull: Floats
    odds_sum: float = 1.0
    odds_level: Floats = field(default_factory=_none)
    drift: Floats = field(default_factory=_none)


def comparison_sets(panel: Panel, options: CallawaySantAnnaSettings) -> list[ComparisonSet]:
    """Bring comparisons that share groups, weights and covariates together.

    Args:
        panel: The panel, n units in T periods.
        options: Arguments of the estimator.
    """
    cohorts = np.array(list(panel.slices), dtype=np.int64)
    together: dict[tuple[int, tuple[int, ...], int], list[int]] = {}
    for j, one in enumerate(panel.plan.comparisons):
        if not one.is_reference:
            controls = tuple(cohorts[control_cohorts(cohorts, one, options)].tolist())
            key = (one.cohort, controls, panel.earlier(one))
            together.setdefault(key, []).append(j)
    return [
        ComparisonSet(
            *key, np.array(places), _change(panel, [panel.plan.comparisons[j] for j in places])
        )
        for key, places in together.items()
    ]


def _change(panel: Panel, comparisons: Sequence[TwoByTwo]) -> Floats:
    change = np.zeros((len(panel.periods), len(comparisons)))
    for j, one in enumerate(comparisons):
        change[np.searchsorted(panel.periods, one.period), j] += 1
        change[np.searchsorted(panel.periods, one.base), j] -= 1
    return change


@dataclass(frozen=True)
class CohortSums:
    """Sums over the units of each cohort, by cohort and column of weights and covariates.

    Attributes:
        weighted: Of ``w x f'``; (k, T + k).
        plain: Of ``x x'``; (k, k).
    """

    weighted: Mapping[tuple[int, int], Floats]
    plain: Mapping[tuple[int, int], Floats]

    @classmethod
    def of(cls, panel: Panel, sets: Sequence[ComparisonSet]) -> CohortSums:
        """Add up what the comparisons need.

        Args:
            panel: The panel, n units in T periods.
            sets: Comparisons that go together.
        """
        weighted: dict[tuple[int, int], Floats] = {}
        plain: dict[tuple[int, int], Floats] = {}
        for cohort, earlier in cohort_columns(sets):
            k = panel.design.shape[2]
            sums, products = np.zeros((k, len(panel.periods) + k)), np.zeros((k, k))
            for rows in blocks(panel.slices[cohort]):
                f, x = panel.features(rows, earlier), panel.design_of(rows, earlier)
                sums += (x * panel.weight_of(rows, earlier)[:, None]).T @ f
                products += x.T @ x
            weighted[cohort, earlier], plain[cohort, earlier] = sums, products
        return cls(weighted, plain)

    def over(self, cohorts: Sequence[int], earlier: int) -> Floats:
        """Return the sum of ``w x f'`` over several cohorts.

        Args:
            cohorts: The cohorts.
            earlier: Which column of weights and covariates.
        """
        return np.asarray(np.sum([self.weighted[g, earlier] for g in cohorts], axis=0))

    def refuse_short_rank(self, comparisons: ComparisonSet, method: str) -> None:
        """Leave it to the rows where some covariate does not vary on its own.

        Args:
            comparisons: Comparisons that go together, m of them.
            method: ``dr``, ``reg`` or ``ipw``.

        Raises:
            RowsNeededError: If that is so.
        """
        controls = np.sum(
            [self.plain[g, comparisons.earlier] for g in comparisons.controls], axis=0
        )
        both = controls + self.plain[comparisons.cohort, comparisons.earlier]
        for products in (both, *([] if method == "ipw" else [controls])):
            if len(independent(products)) < len(products):
                raise RowsNeededError


def cohort_columns(sets: Sequence[ComparisonSet]) -> list[tuple[int, int]]:
    """Return the cohorts of comparisons with their columns of weights and covariates.

    Args:
        sets: Comparisons that go together.
    """
    return sorted({(g, one.earlier) for one in sets for g in (one.cohort, *one.controls)})


def solve(
    comparisons: ComparisonSet, sums: CohortSums, propensity: Propensity | None, method: str
) -> SetEffects:
    """Estimate the effects of comparisons that go together.

    Args:
        comparisons: m of them.
        sums: Over the units of each cohort.
        propensity: None for outcome regression.
        method: ``dr``, ``reg`` or ``ipw``.
    """
    n_periods = len(comparisons.change)
    own = sums.weighted[comparisons.cohort, comparisons.earlier][0]
    weight, share = float(own[n_periods]), own / own[n_periods]
    k = len(own) - n_periods
    residual = np.concatenate([comparisons.change, np.zeros((k, comparisons.change.shape[1]))])
    centre, pull = share[n_periods:], np.zeros(k)
    if method != "ipw":
        compared = sums.over(comparisons.controls, comparisons.earlier)
        information = compared[:, n_periods:]
        residual[n_periods:] = -np.linalg.solve(
            information, compared[:, :n_periods] @ comparisons.change
        )
        if propensity is not None:
            centre = centre - propensity.sums[0, n_periods:] / propensity.sums[0, n_periods]
        pull = np.linalg.solve(information, centre)
    level = share @ residual
    if propensity is None:
        return SetEffects(level, residual, weight, level, pull)
    total = float(propensity.sums[0, n_periods])
    products = propensity.sums @ residual / total
    drift = products - np.outer(propensity.sums[:, n_periods] / total, products[0])
    return SetEffects(
        att=level - products[0],
        residual=residual,
        weight=weight,
        level=level,
        pull=pull,
        odds_sum=total,
        odds_level=products[0],
        drift=propensity.fit.solved(drift),
    )


def fit_propensity(
    panel: Panel, comparisons: ComparisonSet, options: CallawaySantAnnaSettings
) -> Propensity:
    """Fit the propensity to be in the treated cohort.

    Args:
        panel: The panel, n units in T periods.
        comparisons: Comparisons that go together, m of them.
        options: Arguments of the estimator.

    Raises:
        ComparisonError: If the groups do not overlap.
    """
    cohorts = (comparisons.cohort, *comparisons.controls)
    sizes = [panel.slices[g].stop - panel.slices[g].start for g in cohorts]
    weight = np.concatenate(
        [panel.weight_of(panel.slices[g], comparisons.earlier) for g in cohorts]
    )
    design = np.concatenate(
        [panel.design_of(panel.slices[g], comparisons.earlier) for g in cohorts]
    )
    treated = np.arange(len(weight)) < sizes[0]
    fit = propensity(treated, design, weight, options.overlap)
    odds = np.where(fit.fitted < options.trim, weight * fit.fitted / (1 - fit.fitted), 0.0)
    cuts = np.cumsum(sizes)[:-1]
    of_cohorts = dict(zip(cohorts, np.split(odds, cuts), strict=True))
    del of_cohorts[comparisons.cohort]
    if not sum(float(part.sum()) for part in of_cohorts.values()) > 0:
        raise ComparisonError(NONE_LEFT)
    return Propensity(
        fitted=dict(zip(cohorts, np.split(fit.fitted, cuts), strict=True)),
        odds=of_cohorts,
        fit=fit,
        mean_weight=float(weight.mean()),
        sums=_odds_sums(panel, comparisons, of_cohorts),
    )


def _odds_sums(panel: Panel, comparisons: ComparisonSet, odds: Mapping[int, Floats]) -> Floats:
    k = panel.design.shape[2]
    total = np.zeros((k, len(panel.periods) + k))
    for cohort, weight in odds.items():
        where = panel.slices[cohort]
        for rows in blocks(where):
            own = weight[rows.start - where.start : rows.stop - where.start]
            x = panel.design_of(rows, comparisons.earlier)
            total += (x * own[:, None]).T @ panel.features(rows, comparisons.earlier)
    return total


def refuse_no_overlap(
    comparisons: ComparisonSet, sums: CohortSums, options: CallawaySantAnnaSettings
) -> None:
    """Make the checks of a propensity that is a constant, for there are no covariates.

    Args:
        comparisons: Comparisons that go together, m of them.
        sums: Over the units of each cohort.
        options: Arguments of the estimator.

    Raises:
        ComparisonError: If the share of the treated reaches a limit.
    """
    place = len(comparisons.change)
    treated = float(sums.weighted[comparisons.cohort, comparisons.earlier][0, place])
    share = treated / (
        treated + float(sums.over(comparisons.controls, comparisons.earlier)[0, place])
    )
    if share >= options.overlap:
        raise ComparisonError(APART.format(options.overlap))
    if share >= options.trim:
        raise ComparisonError(NONE_LEFT)
