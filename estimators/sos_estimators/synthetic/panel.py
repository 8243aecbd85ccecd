"""Means of authorities and periods: what synthetic controls are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.inference.results import negligible
from sos_estimators.regression.least_squares import least_squares
from sos_estimators.sample.adoption import numbers
from sos_estimators.staggered.cohort_cells import CohortCells, make_cells
from sos_estimators.staggered.settings import CommonSettings
from sos_estimators.synthetic.settings import Shape, SyntheticSettings
from sos_plugins import Sample
from sos_plugins.cells.compression import count
from sos_plugins.errors import EstimationError, listing

FEWEST_POOL = 2
FEWEST_BEFORE: dict[Shape, int] = {"level": 2, "trend": 3, "none": 2}
"""Periods before adoption: two for one change from year to year, three to leave something of a
straight line."""
SAME = 9
"""Decimals of values, as shares of the largest, that tell authorities apart: whatever the order of
rows, means of the same cases are alike to more."""
LEAST_NOISE = 1e5
"""Times the size of rounding: smaller changes would let rounding decide on weights."""


@dataclass(frozen=True)
class Panel:
    """Means of G units in T periods; treated units may lack some from treatment on.

    Units are in an order that rests on their values alone, so that no draw depends on names.

    Attributes:
        units: Their codes, (G,).
        periods: Ascending, (T,).
        cohort: First treated period of each unit, 0 = never, (G,).
        value: Weighted means less what covariates explain, (G, T); 0 where there are no cases.
        weight: Summed weights, (G, T).
        anticipation: Periods before the first treated one that may be affected.
        cells: Where the means are from: counts and warnings.
        least: Size below which an estimate or an error is rounding error about zero.
    """

    units: tuple[str, ...]
    periods: Ints
    cohort: Ints
    value: Floats
    weight: Floats
    anticipation: int
    cells: CohortCells
    least: float

    @property
    def least_noise(self) -> float:
        """Size of changes in the pool that penalties rest on where it does not change."""
        return LEAST_NOISE * self.least

    @property
    def pool(self) -> Bools:
        """Units that are never treated, (G,)."""
        return np.asarray(self.cohort == 0)

    @property
    def pilots(self) -> Ints:
        """Places of the treated units, by date of adoption, (J,)."""
        treated = np.flatnonzero(self.cohort > 0)
        return np.asarray(treated[np.argsort(self.cohort[treated], kind="stable")])

    @property
    def dates(self) -> Ints:
        """Dates of adoption of the pilots, ascending, (J,)."""
        return np.asarray(self.cohort[self.pilots])

    @property
    def seen(self) -> Bools:
        """Periods in which pilots have cases, (J, T)."""
        return np.asarray(self.weight[self.pilots] > 0)

    def before(self, date: int) -> Bools:
        """Periods before a date of adoption and its anticipation, (T,)."""
        return np.asarray(self.periods < date - self.anticipation)

    def shaped(self, date: int, shape: Shape, without: int | None = None) -> Floats:
        """Take from each unit its mean, or its line, over the periods before a date, (G, T).

        Args:
            date: First treated period.
            shape: Mean or line; none takes from all the mean of the pool, which changes no effect.
            without: Place of a period that mean or line are found without.
        """
        before = self.before(date)
        if without is not None:
            before[without] = False
        if shape == "none":
            return np.asarray(self.value - self.value[np.ix_(self.pool, before)].mean())
        columns = np.ones((len(self.periods), 1))
        if shape == "trend":
            columns = np.column_stack([columns, self.periods - self.periods[before].mean()])
        fitted = np.linalg.lstsq(columns[before], self.value[:, before].T, rcond=None)[0]
        return np.asarray(self.value - (columns @ fitted).T)


def make_panel(sample: Sample, options: SyntheticSettings) -> Panel:
    """Check a sample and take its means by authority and period.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If there is nothing to be followed or to follow with; the sentence says
            what is missing.
    """
    checks = CommonSettings(anticipation=options.anticipation, errors="own-effects")
    checks = checks.model_copy(update={"few_clusters": 0})
    cells = make_cells(sample, checks, "nevertreated")
    _refuse_clusters(cells)
    cells = _enough_before(_balanced(cells), options.shape)
    pool = cells.frame.loc[cells.frame["cohort"] == 0, "unit"].nunique()
    if pool < FEWEST_POOL:
        raise EstimationError(
            f"There are {pool} authorities never treated with cases in every period; weights on "
            f"the pool need at least {FEWEST_POOL}. Add authorities, or take another estimator."
        )
    return _panel_of(cells, _adjusted(cells))


def _refuse_clusters(cells: CohortCells) -> None:
    of_unit = cells.frame.groupby("unit")["cluster"].nunique()
    units = cells.frame.groupby("cluster")["unit"].nunique()
    if (of_unit > 1).any() or (units > 1).any():
        raise EstimationError(
            "Synthetic controls take authorities as independent, and here authorities are not the "
            "clusters: leave the column 'cluster' out, or name authorities by it."
        )


def _balanced(cells: CohortCells) -> CohortCells:
    """Leave out authorities that lack a period that is needed, and say so.

    Of a treated authority all periods before treatment are needed, and one after it: what falls
    into its embedding window is not.
    """
    frame = cells.frame
    periods, date = np.unique(frame["period"]), frame["cohort"]
    start = date.where(date > 0, np.inf) - cells.anticipation
    needed = np.searchsorted(periods, start.to_numpy(float))
    early = frame.loc[frame["period"] < start, ["unit", "period"]].drop_duplicates()
    seen = frame["unit"].map(early["unit"].value_counts()).fillna(0)
    late = (date > 0) & (frame["period"] >= date)
    lacks_after = (date > 0) & ~frame["unit"].isin(frame.loc[late, "unit"])
    gone = (seen < needed) | lacks_after
    if not gone.any():
        return cells
    for treated, who in ((True, "treated authority"), (False, "authority never treated")):
        side = date > 0 if treated else date == 0
        if not (side & ~gone).any():
            raise EstimationError(
                f"No {who} has cases in all periods that synthetic controls need: of the treated "
                "all before treatment and one after it, of the others all. Leave out the periods "
                "with gaps, or take an estimator that allows for them, such as imputation."
            )
    pilots = sorted(frame.loc[gone & (date > 0), "unit"].astype(str).unique())
    which = f", treated ones among them ({listing(pilots)})" if pilots else ""
    return cells.where(
        ~gone.to_numpy(),
        f"{frame.loc[gone, 'unit'].nunique()} authorities lack cases in some period that weights "
        f"need{which}: they and their {count(frame[gone])} cases are left out.",
    )


def _enough_before(cells: CohortCells, shape: Shape) -> CohortCells:
    """Leave out cohorts with too few periods before adoption, and say so."""
    periods = np.unique(cells.frame["period"])
    cohorts = [int(g) for g in np.unique(cells.frame["cohort"]) if g > 0]
    fewest = FEWEST_BEFORE[shape]
    n_before = {g: int((periods < g - cells.anticipation).sum()) for g in cohorts}
    short = [g for g in cohorts if n_before[g] < fewest]
    if not short:
        return cells
    if len(short) == len(cohorts):
        raise EstimationError(
            f"There are too few periods before adoption: {max(n_before.values())} at most, and "
            f"weights with shape = '{shape}' need {fewest}. Add earlier periods."
        )
    gone = cells.frame["cohort"].isin(short)
    return cells.where(
        ~gone.to_numpy(),
        f"The cohorts {numbers(short)} have fewer than {fewest} periods before adoption: their "
        f"{count(cells.frame[gone])} cases are left out.",
    )


def _adjusted(cells: CohortCells) -> Floats:
    """Take off what covariates explain, by coefficients among the cells not treated, (m,).

    Kranz (2022), Synthetic difference-in-differences with time-varying covariates: the regression
    is on unit effects, period effects and the covariates.
    """
    if not cells.covariates:
        return cells.value
    untreated = cells.where(~cells.treated)
    columns, names = untreated.covariate_columns()
    whole, of_whole = cells.covariate_columns()
    shared = [name for name in names if name in of_whole]
    places = [names.index(name) for name in shared]
    problem = replace(
        untreated.regression(("owner", "period"), terms=np.empty((len(columns), 0)), term_names=()),
        covariates=columns[:, places],
        covariate_names=tuple(shared),
    )
    fit = least_squares(problem)
    slopes = np.zeros(len(shared))
    slopes[fit.kept] = fit.bread @ (fit.columns.T @ (problem.weight * problem.value))
    return np.asarray(cells.value - whole[:, [of_whole.index(name) for name in shared]] @ slopes)


def _panel_of(cells: CohortCells, value: Floats) -> Panel:
    frame = cells.frame.assign(_sum=value * cells.weight, _weight=cells.weight)
    sums = frame.pivot_table(
        index="unit", columns="period", values=["_sum", "_weight"], aggfunc="sum", observed=True
    )
    weight = sums["_weight"].fillna(0.0).to_numpy(float)
    means = sums["_sum"].fillna(0.0).to_numpy(float) / np.where(weight > 0, weight, 1.0)
    cohort = frame.groupby("unit")["cohort"].first().reindex(sums.index).to_numpy(np.int64)
    order = _order(means)
    return Panel(
        units=tuple(str(unit) for unit in sums.index[order]),
        periods=sums["_sum"].columns.to_numpy(np.int64),
        cohort=cohort[order],
        value=means[order],
        weight=weight[order],
        anticipation=cells.anticipation,
        cells=cells,
        least=negligible(value),
    )


def _order(means: Floats) -> Ints:
    """Order units by their values, period after period."""
    size = float(np.abs(means).max()) or 1.0
    return np.lexsort(np.round(means / size, SAME).T[::-1])
