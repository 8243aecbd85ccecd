"""What a two-way fixed effects estimate is made of when adoption is staggered.

Goodman-Bacon (2021), "Difference-in-differences with variation in treatment timing", Journal of
Econometrics 225(2), 254-277: the estimate on a balanced panel is a weighted average of all
differences-in-differences of two groups of units and two stretches of time. Those that take units
treated earlier for comparators are misleading where effects grow or fade.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EstimationError, listing

Kind = Literal["treated vs never", "treated vs always", "earlier vs later", "later vs earlier"]

NEVER = 0
ALWAYS = -1
"""Cohorts of units treated in no period, and in every period."""
SHOWN = 5
"""So many units without a full record are named."""


@dataclass(frozen=True)
class Comparison:
    """One difference-in-differences of two groups and two stretches of time.

    Attributes:
        treated: Cohort whose adoption it turns on.
        control: Cohort that it is compared with: 0 never treated, -1 always treated.
        kind: ``later vs earlier`` is the one that takes treated units for comparators.
        estimate: Change of the treated less change of the control.
        weight: In the overall estimate; all add up to one.
    """

    treated: int
    control: int
    kind: Kind
    estimate: float
    weight: float

    @property
    def term(self) -> str:
        """Name, such as ``2014 vs never`` or ``2015 vs 2014``."""
        return f"{self.treated} vs {GROUP_NAMES.get(self.control, str(self.control))}"


GROUP_NAMES = {NEVER: "never", ALWAYS: "always"}


@dataclass(frozen=True)
class Decomposition:
    """All comparisons, and the two-way fixed effects estimate that they add up to.

    Attributes:
        comparisons: In order of the treated cohort, then the control.
        estimate: By regression on unit and period effects, found without the comparisons.
        n_units: Of the panel.
        n_periods: Of the panel.
    """

    comparisons: tuple[Comparison, ...]
    estimate: float
    n_units: int
    n_periods: int

    @property
    def weighted_sum(self) -> float:
        """The comparisons' weighted sum, which equals ``estimate``."""
        return sum(c.weight * c.estimate for c in self.comparisons)

    def share(self, kind: Kind) -> float:
        """Return the weight of one kind of comparison."""
        return sum(c.weight for c in self.comparisons if c.kind == kind)

    def average(self, kind: Kind) -> float | None:
        """Return the weighted average of one kind of comparison, None if there is none."""
        share = self.share(kind)
        if share <= 0:
            return None
        return sum(c.weight * c.estimate for c in self.comparisons if c.kind == kind) / share


def panel_means(sample: Sample, *, drop_incomplete: bool = False) -> pd.DataFrame:
    """Collapse a sample to one row a unit and period.

    Args:
        sample: Cases; with matched groups, those of a comparator that serves several count once
            per group, as in every regression on the sample.
        drop_incomplete: Leave out units that lack a period, instead of an error.

    Returns:
        ``unit, cluster, cohort, period, value``, the value a weighted mean, sorted.

    Raises:
        EstimationError: If a unit lacks a period, or has two cohorts or clusters.
    """
    frame = sample.frame[sample.frame["weight"] > 0]
    if frame.empty:
        raise EstimationError("The sample has no cases.")
    cohort = frame["cohort"].where(frame["treated"] == 1, NEVER)
    frame = frame.assign(cohort=cohort, wy=frame["weight"] * frame["value"])
    for column in ("cohort", "cluster"):
        several = frame.groupby("unit")[column].nunique()
        if (several > 1).any():
            raise EstimationError(
                f"Units with more than one {column}: {_some(several.index[several > 1])}."
            )
    keys = ["unit", "cluster", "cohort", "period"]
    cells = frame.groupby(keys, as_index=False)[["wy", "weight"]].sum()
    cells["value"] = cells["wy"] / cells["weight"]
    n_periods = cells["period"].nunique()
    seen = cells.groupby("unit")["period"].transform("size")
    if (seen < n_periods).any():
        units = cells.loc[seen < n_periods, "unit"].unique()
        if not drop_incomplete:
            raise EstimationError(
                f"The decomposition needs every unit in each of the {n_periods} periods. "
                f"{len(units)} units lack some: {_some(units)}. Leave them out with "
                "incomplete = 'drop', or choose periods that all units have."
            )
        cells = cells[seen == n_periods]
        if cells.empty:
            raise EstimationError(
                f"No unit has a case in each of the {n_periods} periods, so incomplete = 'drop' "
                f"leaves none: {_some(units)} lack some. Choose periods that units have in common."
            )
    return cells[[*keys, "value"]].reset_index(drop=True)


def _some(units: Iterable[object]) -> str:
    names = sorted(str(u) for u in units)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return listing(names[:SHOWN]) + more


@dataclass(frozen=True)
class _Groups:
    """Means by cohort: value (cohorts, periods); share of units and of treated periods."""

    cohorts: Sequence[int]
    means: Floats
    share: Floats
    treated: Floats
    periods: Floats

    def change(self, group: int, after: np.ndarray, before: np.ndarray) -> float:
        """Mean of a group in some periods less that in others."""
        return float(self.means[group, after].mean() - self.means[group, before].mean())


def decompose(panel: pd.DataFrame) -> Decomposition:
    """Decompose the two-way fixed effects estimate of a balanced panel.

    Args:
        panel: ``unit, period, cohort, value``; a unit is treated from its cohort's period on, 0 is
            never. A cohort after the last period is never treated, one that is treated in the first
            period always; one without a period of its own goes by the next that there is.

    Raises:
        EstimationError: If no unit changes its treatment, or there is nothing to compare with.
    """
    groups = _groups(panel)
    pairs = _pairs(groups)
    if not pairs:
        raise EstimationError(
            "There is nothing to decompose: it takes units that become treated within the panel "
            "and others, treated never, always or at another time."
        )
    residual, estimate = _two_way(panel)
    comparisons = tuple(
        Comparison(*names, estimate=_two_by_two(groups, *names), weight=float(weight / residual))
        for names, weight in pairs
    )
    order = sorted(comparisons, key=lambda c: (c.treated, c.control))
    n = panel["unit"].nunique()
    return Decomposition(tuple(order), estimate, int(n), len(groups.periods))


def _groups(panel: pd.DataFrame) -> _Groups:
    periods = np.sort(panel["period"].unique())
    cohort = panel["cohort"].to_numpy()
    label = np.where((cohort <= 0) | (cohort > periods[-1]), NEVER, cohort)
    label = np.where((label > 0) & (label <= periods[0]), ALWAYS, label)
    first = periods[np.searchsorted(periods, np.maximum(label, periods[0]))]
    label = np.where(label > 0, first, label)
    labelled = panel.assign(cohort=label)
    means = labelled.groupby(["cohort", "period"])["value"].mean().unstack("period")
    cohorts = [int(c) for c in means.index]
    size = labelled.groupby("cohort")["unit"].nunique().to_numpy(float)
    known = {NEVER: 0.0, ALWAYS: 1.0}
    treated = [known.get(c, float((periods >= c).mean())) for c in cohorts]
    return _Groups(cohorts, means.to_numpy(), size / size.sum(), np.array(treated), periods)


Names = tuple[int, int, Kind]


def _pairs(groups: _Groups) -> list[tuple[Names, float]]:
    """Return every comparison with its weight, before division by the variance of treatment."""
    pairs: list[tuple[Names, float]] = []
    timed = [i for i, c in enumerate(groups.cohorts) if c > 0]
    for i in timed:
        for j, control in enumerate(groups.cohorts):
            if control in GROUP_NAMES:
                kind: Kind = "treated vs never" if control == NEVER else "treated vs always"
                d = groups.treated[i]
                weight = groups.share[i] * groups.share[j] * d * (1 - d)
                pairs.append(((groups.cohorts[i], control, kind), weight))
    for i, j in combinations(timed, 2):
        first, second = groups.cohorts[i], groups.cohorts[j]
        units = groups.share[i] * groups.share[j]
        early, late = groups.treated[i], groups.treated[j]
        gap = early - late
        pairs.append(((first, second, "earlier vs later"), units * gap * (1 - early)))
        pairs.append(((second, first, "later vs earlier"), units * gap * late))
    return pairs


def _two_by_two(groups: _Groups, treated: int, control: int, kind: Kind) -> float:
    after = groups.periods >= treated
    before = ~after
    if kind == "earlier vs later":
        after = after & (groups.periods < control)
    if kind == "later vs earlier":
        before = before & (groups.periods >= control)
    i, j = groups.cohorts.index(treated), groups.cohorts.index(control)
    return groups.change(i, after, before) - groups.change(j, after, before)


def _two_way(panel: pd.DataFrame) -> tuple[float, float]:
    """Return the variance of treatment within units and periods, and the regression estimate."""
    d = (panel["cohort"] > 0) & (panel["period"] >= panel["cohort"])
    frame = panel.assign(d=d.astype(float))
    wide = frame.pivot(index="unit", columns="period", values="d").to_numpy()
    value = frame.pivot(index="unit", columns="period", values="value").to_numpy()
    within = wide - wide.mean(1, keepdims=True) - wide.mean(0, keepdims=True) + wide.mean()
    return float((within**2).mean()), float((within * value).sum() / (within**2).sum())
