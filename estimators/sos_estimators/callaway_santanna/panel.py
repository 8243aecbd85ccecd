"""A balanced panel as arrays: a row a unit of observation, a column a period.

Whatever a check would refuse, count or warn of row by row is left to the rows
(:func:`sos_estimators.callaway_santanna.preparation.prepare`), which say it in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import ComparisonPlan, TwoByTwo
from sos_estimators.callaway_santanna.covariates import covariate_matrix
from sos_estimators.callaway_santanna.panel_layout import (
    Layout,
    coded,
    finite,
    layout,
    plain,
    same_values,
    sorted_order,
)
from sos_estimators.callaway_santanna.preparation import plan_of_outline
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.results import negligible
from sos_estimators.sample.prepare import MAX_LEVELS
from sos_estimators.sample.staggered import UNITS, ClusterCounts
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.types import Sample
from sos_plugins.groundwork.text_codes import is_category

BLOCK = 16_384
"""Units that are worked on at a time."""


@dataclass(frozen=True)
class Panel:
    """Units of observation by cohort, and what can be made of them.

    Attributes:
        path: Outcomes, less their mean over the periods of a unit, and in each period less what is
            then the mean of the first units, which changes no effect; (n, T).
        design: Covariates with a column of ones first; (n, 1, k), or (n, T, k) if any changes.
        weight: (n, 1), or (n, T) if they change.
        cluster: What standard errors take as independent, numbered from 0; (n,).
        n_clusters: How many there are.
        slices: Where the units of each cohort stand, 0 for the never treated.
        periods: Ascending; (T,).
        plan: Comparisons to make, counts and warnings.
    """

    path: Floats
    design: Floats
    weight: Floats
    cluster: Ints
    n_clusters: int
    slices: Mapping[int, slice]
    periods: Ints
    plan: ComparisonPlan

    @property
    def by_unit(self) -> bool:
        """Whether every unit is a cluster of its own."""
        return self.n_clusters == len(self.path)

    def earlier(self, comparison: TwoByTwo) -> int:
        """Return where the weights and covariates of a comparison stand: in the earlier period.

        Args:
            comparison: Two groups in two periods.
        """
        if self.design.shape[1] == self.weight.shape[1] == 1:
            return 0
        return int(np.searchsorted(self.periods, min(comparison.period, comparison.base)))

    def weight_of(self, rows: slice, earlier: int) -> Floats:
        """Return weights; (rows,).

        Args:
            rows: Which units.
            earlier: Which column of weights and covariates.
        """
        return self.weight[rows, earlier if self.weight.shape[1] > 1 else 0]

    def design_of(self, rows: slice, earlier: int) -> Floats:
        """Return covariates; (rows, k).

        Args:
            rows: Which units.
            earlier: Which column of weights and covariates.
        """
        return self.design[rows, earlier if self.design.shape[1] > 1 else 0]

    def features(self, rows: slice, earlier: int) -> Floats:
        """Return outcomes of all periods, then covariates; (rows, T + k).

        Args:
            rows: Which units.
            earlier: Which column of weights and covariates.
        """
        return np.concatenate([self.path[rows], self.design_of(rows, earlier)], axis=1)

    def by_cluster(self, rows: slice) -> Any:
        """Return the sparse matrix that sums rows by cluster; (n_clusters, rows).

        Args:
            rows: Which units.
        """
        n = rows.stop - rows.start
        return scipy.sparse.csr_array(
            (np.ones(n), (self.cluster[rows], np.arange(n))), shape=(self.n_clusters, n)
        )


def blocks(rows: slice) -> Iterator[slice]:
    """Cut rows into blocks.

    Args:
        rows: From the first to the one after the last.
    """
    for start in range(rows.start, rows.stop, BLOCK):
        yield slice(start, min(start + BLOCK, rows.stop))


@dataclass(frozen=True)
class _Units:
    """Units of observation as they stand in a sample; (n,) each, and numbers."""

    ids: Any
    cohort: Ints
    unit: Ints
    cluster: Ints
    value: Floats
    weight: Floats


def compact(sample: Sample, options: CallawaySantAnnaSettings) -> Panel | None:
    """Arrange a balanced panel by units; None for anything that the rows must tell of.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    if not sample.is_panel or sample.has_groups or COMPRESSED[0] in sample.frame:
        return None
    columns = _columns(sample)
    place = layout(columns["id"], columns["period"]) if columns else None
    units = _units(columns, place) if columns and place else None
    if columns is None or place is None or units is None:
        return None
    outline, plan = plan_of_outline(_outline(units, place), options)
    late = units.cohort > place.periods[-1] + options.anticipation
    cohort = np.where(late, 0, units.cohort)
    periods = np.unique(outline.frame["period"])
    chosen = np.isin(place.periods, periods)
    kept = _order(units, np.isin(cohort, outline.frame["cohort"].unique()), options)
    made = _design(sample, columns, place, kept, chosen)
    if made is None:
        return None
    design, told = made
    cluster, n_clusters = _clusters(units, kept, options)
    plan = replace(
        plan, warnings=(*plan.warnings, *told), negligible=negligible(units.value)
    ).with_clusters(ClusterCounts.of(cohort[kept], cluster), options)
    cohorts, group = _placed(cohort[kept])
    by_cohort = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group)).tolist()
    kept = kept[by_cohort]
    return Panel(
        path=_path(units.value, kept, chosen),
        design=design[by_cohort],
        weight=_used(units.weight, kept, chosen),
        cluster=cluster[by_cohort],
        n_clusters=n_clusters,
        slices={int(g): slice(a, b) for g, a, b in zip(cohorts, [0, *ends], ends, strict=False)},
        periods=periods,
        plan=plan,
    )


def _columns(sample: Sample) -> dict[str, pd.Series] | None:
    names = ("id", "period", "cohort", "value", "weight", "unit", "cluster", *sample.covariates)
    made = {name: plain(sample.frame[name]) for name in names}
    columns = {name: values for name, values in made.items() if values is not None}
    numbers = all(
        name in columns and isinstance(columns[name].dtype, np.dtype)
        for name in ("period", "cohort", "value", "weight")
    )
    return columns if numbers and len(columns) == len(made) else None


def _units(columns: Mapping[str, pd.Series], place: Layout) -> _Units | None:
    """Take what belongs to units; None where a check must say something."""
    value, weight = (columns[name].to_numpy(float) for name in ("value", "weight"))
    if not finite(value) or value.min() == value.max():
        return None
    if not finite(weight) or weight.min() <= 0:
        return None
    fixed = {name: place.fixed(columns[name]) for name in ("id", "cohort", "unit", "cluster")}
    if any(values is None for values in fixed.values()) or not finite(fixed["cohort"]):
        return None
    cohort = fixed["cohort"].astype(np.int64)
    of_ids = np.arange(place.n_units)
    unit, n_units = (
        (of_ids, place.n_units) if same_values(fixed["unit"], fixed["id"]) else coded(fixed["unit"])
    )
    first = np.empty(n_units, dtype=np.int64)
    first[unit] = cohort
    if cohort.min() < 0 or cohort.max() == 0 or (first[unit] != cohort).any():
        return None
    by_unit = same_values(fixed["cluster"], fixed["unit"])
    cluster = unit if by_unit else coded(fixed["cluster"])[0]
    if cluster.max() == 0:
        return None
    return _Units(
        fixed["id"], cohort, unit, cluster, place.wide(value), _narrow(place.wide(weight))
    )


def _narrow(table: Floats) -> Floats:
    """One column of a table whose columns are all the same."""
    return table[:, :1] if (table == table[:, :1]).all() else table


def _outline(units: _Units, place: Layout) -> pd.DataFrame:
    """One row for each cohort and period: how many units of observation, and authorities."""
    cohorts, group = _placed(units.cohort)
    of_unit = np.zeros(units.unit.max() + 1, dtype=np.int64)
    of_unit[units.unit] = group
    width = len(place.periods)
    n_units = np.zeros((len(cohorts), width), dtype=np.int64)
    n_units[:, 0] = np.bincount(of_unit, minlength=len(cohorts))
    return pd.DataFrame(
        {
            "cohort": np.repeat(cohorts, width),
            "period": np.tile(place.periods, len(cohorts)),
            COMPRESSED[0]: np.repeat(np.bincount(group), width),
            UNITS: n_units.ravel(),
        }
    )


def _order(units: _Units, kept: Bools, options: CallawaySantAnnaSettings) -> Ints:
    """Units that are used; for draws in the order of their ids, as the draws are of rows."""
    if not options.needs_draws:
        return np.flatnonzero(kept)
    order = sorted_order(units.ids)
    return order[kept[order]]


def _design(
    sample: Sample,
    columns: Mapping[str, pd.Series],
    place: Layout,
    kept: Ints,
    chosen: Any,
) -> tuple[Floats, tuple[str, ...]] | None:
    """Covariates as numbers and what was left out of them; None where a check must speak."""
    tables: dict[str, Any] = {}
    for name in sample.covariates:
        values = columns[name]
        if values.isna().any() or not (is_category(values) or finite(values.to_numpy())):
            return None
        if is_category(values):
            codes, levels = pd.factorize(values)
            if len(levels) > MAX_LEVELS:
                return None
            tables[name] = (_used(place.wide(codes), kept, chosen), np.asarray(levels))
        else:
            tables[name] = (_used(place.wide(values.to_numpy(float)), kept, chosen), None)
    width = max((table.shape[1] for table, _ in tables.values()), default=1)
    long = {}
    for name, (table, levels) in tables.items():
        rows = np.broadcast_to(table, (len(kept), width)).ravel()
        long[name] = pd.Categorical.from_codes(rows, levels) if levels is not None else rows
    made = covariate_matrix(pd.DataFrame(long, index=range(len(kept) * width)), sample.covariates)
    return made.matrix.reshape(len(kept), width, -1), made.warnings


def _clusters(units: _Units, kept: Ints, options: CallawaySantAnnaSettings) -> tuple[Ints, int]:
    """Number clusters in the order in which units come."""
    if options.cluster == "unit-of-observation":
        return np.arange(len(kept)), len(kept)
    return coded(units.cluster[kept])


def _placed(cohort: Ints) -> tuple[Ints, Ints]:
    """Cohorts in order, and which of them each unit is of, (n,)."""
    cohorts = np.sort(pd.unique(cohort))
    return cohorts, np.searchsorted(cohorts, cohort).astype(np.int16)


def _path(value: Floats, kept: Ints, chosen: Any) -> Floats:
    path = np.empty((len(kept), int(chosen.sum())))
    centre = 0.0
    for start in range(0, len(kept), BLOCK):
        part = value.take(kept[start : start + BLOCK], axis=0)
        part = part if chosen.all() else part[:, chosen]
        part -= part.mean(axis=1, keepdims=True)
        centre = part.mean(axis=0) if start == 0 else centre
        np.subtract(part, centre, out=path[start : start + len(part)])
    return path


def _used(table: Floats, kept: Ints, chosen: Any) -> Floats:
    """Units and periods that are used, one column where all are the same."""
    periods = table if table.shape[1] == 1 or chosen.all() else table[:, chosen]
    narrow = _narrow(periods)
    return (
        narrow[kept] if narrow.shape[1] == 1 or len(narrow) == len(kept) else _narrow(narrow[kept])
    )
