"""The comparisons of a balanced panel, many at once, from sums over its units.

The outcome enters every formula of :mod:`sos_estimators.callaway_santanna.two_by_two` linearly.
So comparisons with the same groups, weights and covariates share their propensity, and their
regressions and effects are small products of sums of ``w x f'`` over the units of a cohort, where
``f`` holds the outcomes of all periods and the covariates ``x`` (with a one first).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import Cell, control_cohorts
from sos_estimators.callaway_santanna.nuisance import ComparisonError, Nuisance, independent, logit
from sos_estimators.callaway_santanna.panel import BLOCK, Panel
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.callaway_santanna.two_by_two import APART, NONE_LEFT


class RowsNeededError(Exception):
    """Something that only the rows can answer, such as which covariate to leave out."""


@dataclass(frozen=True)
class Key:
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


@dataclass(frozen=True)
class Solved:
    """Effects of a key, and what scores are made of.

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
    odds_level: Floats | None = None
    drift: Floats | None = None


def keys(panel: Panel, options: CallawaySantAnnaSettings) -> list[Key]:
    """Bring comparisons that share groups, weights and covariates together."""
    cohorts = np.array(list(panel.slices), dtype=np.int64)
    together: dict[tuple[int, tuple[int, ...], int], list[int]] = {}
    for j, cell in enumerate(panel.plan.cells):
        if not cell.is_reference:
            controls = tuple(cohorts[control_cohorts(cohorts, cell, options)].tolist())
            key = (cell.cohort, controls, panel.earlier(cell))
            together.setdefault(key, []).append(j)
    return [
        Key(*key, np.array(places), _change(panel, [panel.plan.cells[j] for j in places]))
        for key, places in together.items()
    ]


def _change(panel: Panel, cells: Sequence[Cell]) -> Floats:
    change = np.zeros((len(panel.periods), len(cells)))
    for j, cell in enumerate(cells):
        change[np.searchsorted(panel.periods, cell.period), j] += 1
        change[np.searchsorted(panel.periods, cell.base), j] -= 1
    return change


def blocks(rows: slice) -> Iterator[slice]:
    """Cut rows into blocks."""
    for start in range(rows.start, rows.stop, BLOCK):
        yield slice(start, min(start + BLOCK, rows.stop))


def features(panel: Panel, rows: slice, earlier: int) -> Floats:
    """Return outcomes of all periods, then covariates; (rows, T + k)."""
    return np.concatenate([panel.path[rows], panel.design_of(rows, earlier)], axis=1)


@dataclass(frozen=True)
class Sums:
    """Sums over the units of each cohort, by cohort and column of weights and covariates.

    Attributes:
        weighted: Of ``w x f'``; (k, T + k).
        plain: Of ``x x'``; (k, k).
    """

    weighted: Mapping[tuple[int, int], Floats]
    plain: Mapping[tuple[int, int], Floats]

    @classmethod
    def of(cls, panel: Panel, wanted: Sequence[Key]) -> Sums:
        """Add up what the comparisons need."""
        weighted: dict[tuple[int, int], Floats] = {}
        plain: dict[tuple[int, int], Floats] = {}
        for cohort, earlier in pairs(wanted):
            k = panel.design.shape[2]
            sums, products = np.zeros((k, len(panel.periods) + k)), np.zeros((k, k))
            for rows in blocks(panel.slices[cohort]):
                f, x = features(panel, rows, earlier), panel.design_of(rows, earlier)
                sums += (x * panel.weight_of(rows, earlier)[:, None]).T @ f
                products += x.T @ x
            weighted[cohort, earlier], plain[cohort, earlier] = sums, products
        return cls(weighted, plain)

    def over(self, cohorts: Sequence[int], earlier: int) -> Floats:
        """Return the sum of ``w x f'`` over several cohorts."""
        return np.asarray(np.sum([self.weighted[g, earlier] for g in cohorts], axis=0))

    def refuse_short_rank(self, key: Key, options: CallawaySantAnnaSettings) -> None:
        """Leave it to the rows where some covariate does not vary on its own.

        Raises:
            RowsNeededError: If that is so.
        """
        controls = np.sum([self.plain[g, key.earlier] for g in key.controls], axis=0)
        both = controls + self.plain[key.cohort, key.earlier]
        for products in (both, *([] if options.method == "ipw" else [controls])):
            if len(independent(products)) < len(products):
                raise RowsNeededError


def pairs(wanted: Sequence[Key]) -> list[tuple[int, int]]:
    """Return the cohorts of comparisons with their columns of weights and covariates."""
    return sorted({(g, key.earlier) for key in wanted for g in (key.cohort, *key.controls)})


def solve(
    key: Key, sums: Sums, propensity: Propensity | None, options: CallawaySantAnnaSettings
) -> Solved:
    """Estimate the effects of a key."""
    n_periods = len(key.change)
    own = sums.weighted[key.cohort, key.earlier][0]
    weight, share = float(own[n_periods]), own / own[n_periods]
    k = len(own) - n_periods
    residual = np.concatenate([key.change, np.zeros((k, key.change.shape[1]))])
    centre, pull = share[n_periods:], np.zeros(k)
    if options.method != "ipw":
        compared = sums.over(key.controls, key.earlier)
        information = compared[:, n_periods:]
        residual[n_periods:] = -np.linalg.solve(information, compared[:, :n_periods] @ key.change)
        if propensity is not None:
            centre = centre - propensity.sums[0, n_periods:] / propensity.sums[0, n_periods]
        pull = np.linalg.solve(information, centre)
    level = share @ residual
    if propensity is None:
        return Solved(level, residual, weight, level, pull)
    total = float(propensity.sums[0, n_periods])
    products = propensity.sums @ residual / total
    drift = products - np.outer(propensity.sums[:, n_periods] / total, products[0])
    return Solved(
        att=level - products[0],
        residual=residual,
        weight=weight,
        level=level,
        pull=pull,
        odds_sum=total,
        odds_level=products[0],
        drift=propensity.fit.solved(drift),
    )


def fit_propensity(panel: Panel, key: Key, options: CallawaySantAnnaSettings) -> Propensity:
    """Fit the propensity of a key.

    Raises:
        ComparisonError: If the groups do not overlap.
    """
    cohorts = (key.cohort, *key.controls)
    sizes = [panel.slices[g].stop - panel.slices[g].start for g in cohorts]
    weight = np.concatenate([panel.weight_of(panel.slices[g], key.earlier) for g in cohorts])
    design = np.concatenate([panel.design_of(panel.slices[g], key.earlier) for g in cohorts])
    treated = np.arange(len(weight)) < sizes[0]
    found = logit(treated, design, weight)
    if found.fitted.max() >= options.overlap:
        raise ComparisonError(APART.format(options.overlap))
    odds = np.where(found.fitted < options.trim, weight * found.fitted / (1 - found.fitted), 0.0)
    cuts = np.cumsum(sizes)[:-1]
    of_cohorts = dict(zip(cohorts, np.split(odds, cuts), strict=True))
    del of_cohorts[key.cohort]
    if not sum(float(part.sum()) for part in of_cohorts.values()) > 0:
        raise ComparisonError(NONE_LEFT)
    return Propensity(
        fitted=dict(zip(cohorts, np.split(found.fitted, cuts), strict=True)),
        odds=of_cohorts,
        fit=found,
        mean_weight=float(weight.mean()),
        sums=_odds_sums(panel, key, of_cohorts),
    )


def _odds_sums(panel: Panel, key: Key, odds: Mapping[int, Floats]) -> Floats:
    k = panel.design.shape[2]
    total = np.zeros((k, len(panel.periods) + k))
    for cohort, weight in odds.items():
        where = panel.slices[cohort]
        for rows in blocks(where):
            own = weight[rows.start - where.start : rows.stop - where.start]
            x = panel.design_of(rows, key.earlier)
            total += (x * own[:, None]).T @ features(panel, rows, key.earlier)
    return total


def refuse_no_overlap(key: Key, sums: Sums, options: CallawaySantAnnaSettings) -> None:
    """Make the checks of a propensity that is a constant, for there are no covariates.

    Raises:
        ComparisonError: If the share of the treated reaches a limit.
    """
    place = len(key.change)
    treated = float(sums.weighted[key.cohort, key.earlier][0, place])
    share = treated / (treated + float(sums.over(key.controls, key.earlier)[0, place]))
    if share >= options.overlap:
        raise ComparisonError(APART.format(options.overlap))
    if share >= options.trim:
        raise ComparisonError(NONE_LEFT)
