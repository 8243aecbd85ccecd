"""A sample of units that are treated at different times: its one check, and what is left out.

What the estimators of staggered adoption can use differs; what they refuse, count and say does not.
Each takes the steps that it needs, on cases or on rows that stand for many of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Ints
from sos_estimators.inference.own_effects import OWN
from sos_estimators.sample.adoption import (
    about_late,
    about_without_base,
    late_cohorts,
    nobody_adopts,
    numbers,
    without_base,
)
from sos_estimators.sample.prepare import CheckedSample, n_unusable, refuse_identifiers
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.cells.compression import count
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, EstimationError

UNITS = "_units"
"""Column of an outline: how many units a row stands for."""


@dataclass(frozen=True)
class StaggeredSample(CheckedSample):
    """Rows in calendar periods, of cohorts by first treated period.

    Attributes:
        frame: ``unit, period, cohort, value, weight, cluster``, the covariates, ``id`` in a panel
            and ``group`` with matched groups. ``cohort`` is 0 for units that are never treated in
            the data. An outline has ``cohort, period``, cases and :data:`UNITS` alone.
        anticipation: Periods before the first treated one that count as treated.
        panel: Whether rows carry an id.
    """

    anticipation: int = 0
    panel: bool = False

    @property
    def treated(self) -> Bools:
        """Whether a row may be affected by treatment, anticipation included, (n,)."""
        cohort, period = self.frame["cohort"].to_numpy(), self.frame["period"].to_numpy()
        affected: Bools = (cohort > 0) & (period >= cohort - self.anticipation)
        return affected

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return self.count("cluster")

    def counts(self) -> dict[str, int]:
        """Counts for the one-row summary."""
        return {
            "n_cases": self.n_cases,
            "n_units": count_units(self.frame),
            "n_treated_units": count_units(self.frame[self.frame["cohort"] > 0]),
            "n_clusters": self.n_clusters,
            "n_periods": self.count("period"),
        }

    def refuse_changing(self, column: str, within: str) -> None:
        """See that a column is the same in all rows of a unit or id.

        Args:
            column: Its name.
            within: ``unit`` or ``id``.

        Raises:
            DataError: With the first unit of which it is not.
        """
        distinct = self.frame.groupby(within, sort=False)[column].nunique()
        if (distinct > 1).any():
            raise DataError(
                f"The column '{column}' changes within the {within} '{distinct.idxmax()}'; it must "
                "be the same in all its rows."
            )

    def refuse_no_panel(self) -> None:
        """See that ids have one row a period (and matched group), one cohort and one cluster.

        Raises:
            DataError: If rows carry an id, and these are no panel.
        """
        if not self.panel:
            return
        self.refuse_changing("cohort", "id")
        self.refuse_changing("cluster", "id")
        twice = self.frame.duplicated([*self.unit_columns, "period"])
        if twice.any():
            row = self.frame[twice].iloc[0]
            raise DataError(
                f"The id '{row['id']}' occurs more than once in period {row['period']}; a panel "
                "has one row an id and period. Without the column 'id' the cases count as repeated "
                "cross-sections."
            )

    @property
    def unit_columns(self) -> list[str]:
        """Columns that tell the units of observation apart."""
        if not self.panel:
            return ["unit"]
        return ["id", "group"] if "group" in self.frame else ["id"]

    def with_late_as_never(self) -> Self:
        """Let cohorts treated too late to be affected in the data serve as never treated."""
        late = late_cohorts(self.frame, self.anticipation)
        if not late.any():
            return self
        told = self.told(about_late(self.frame, late))
        cohort = self.frame["cohort"].where(~late, 0)
        return replace(told, frame=self.frame.assign(cohort=cohort))

    def before(self, latest: int, periods: str = "") -> Self:
        """Keep the periods in which the cohort treated last can be compared with, and say so.

        Args:
            latest: This cohort.
            periods: The other periods in words; listed if none.
        """
        kept = (self.frame["period"] < latest - self.anticipation).to_numpy()
        gone = self.frame[~kept]
        return self.where(
            kept,
            f"There is no never-treated unit: cohort {latest}, the last to be treated, serves for "
            f"comparison only, and {count(gone)} cases of the periods "
            f"{periods or numbers(gone['period'])} are left out, for they have no comparison.",
        )

    def with_base(self) -> Self:
        """Leave out cohorts without a case before treatment, and say so.

        Raises:
            EstimationError: If no treated unit is left.
        """
        early = without_base(self.frame, self.treated, "cohort")
        if not early.any():
            return self
        gone = self.frame[early]
        kept = self.where(
            ~early,
            about_without_base(
                count_units(gone), count(gone), gone["cohort"], anticipation=self.anticipation
            ),
        )
        if not (kept.frame["cohort"] > 0).any():
            raise nobody_adopts(self.frame["period"].min(), self.anticipation)
        return kept


def check(
    sample: Sample, anticipation: int, *, finer: str, n_weightless: int = 0
) -> StaggeredSample:
    """Check the columns of a sample and leave out cases of weight 0.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        anticipation: Periods before the first treated one that count as treated.
        finer: What to choose, in words, where all cases are one cluster.
        n_weightless: Cases of weight 0 that were left out before.

    Raises:
        DataError: If a value is missing or infinite, or a weight negative.
        EstimationError: If no group-time effect can be estimated from such cases.
    """
    frame = _columns(sample)
    if (frame["weight"] < 0).any():
        raise DataError("Weights must not be negative; the column 'weight' has negative values.")
    kept = (frame["weight"] > 0).to_numpy()
    n_weightless += count(frame[~kept])
    told = (f"{n_weightless} cases of weight 0 are left out.",) if n_weightless else ()
    used = frame if kept.all() else frame[kept].reset_index(drop=True)
    _refuse_unusable(used, sample.covariates, finer)
    return StaggeredSample(used, sample.covariates, told, anticipation, sample.is_panel)


def _columns(sample: Sample) -> pd.DataFrame:
    names = ["unit", "period", "cohort", "value", "weight", "cluster", *sample.covariates]
    names += [name for name in ("id", "group") if name in sample.frame]
    sums = [name for name in COMPRESSED if name in sample.frame]
    frame = sample.frame[list(dict.fromkeys([*names, *sums]))].reset_index(drop=True)
    for name in names:
        if n_bad := n_unusable(frame[name]):
            raise DataError(
                f"The column '{name}' has {n_bad} missing or infinite values in {len(frame)} "
                "cases; fill or drop them before estimating."
            )
    return frame.astype({"period": int, "cohort": int, "value": float, "weight": float})


def _refuse_unusable(frame: pd.DataFrame, covariates: Sequence[str], finer: str) -> None:
    if frame.empty:
        raise EstimationError("The sample has no case of positive weight.")
    refuse_identifiers(frame, covariates)
    if frame["value"].nunique() == 1:
        raise EstimationError(
            f"The outcome has no variation: it is {frame['value'].iloc[0]:g} in all cases."
        )
    if not (frame["cohort"] > 0).any():
        raise EstimationError("The sample has no treated case: all cohorts are 0 (never treated).")
    if frame["cluster"].nunique() == 1:
        raise EstimationError(
            f"All cases belong to one cluster ({frame['cluster'].iloc[0]}); standard errors need "
            f"at least two. Choose {finer}."
        )


def about_constant(covariates: Iterable[str]) -> tuple[str, ...]:
    """Say which covariates are left out for they do not vary.

    Args:
        covariates: Their names.
    """
    return tuple(
        f"The covariate '{name}' has one value in all cases and is left out." for name in covariates
    )


def count_units(frame: pd.DataFrame) -> int:
    """Count the units of rows, also of an outline.

    Args:
        frame: With the column ``unit``, or :data:`UNITS`.
    """
    return int(frame[UNITS].sum() if UNITS in frame else frame["unit"].nunique())


@dataclass(frozen=True)
class ClusterCounts:
    """How many clusters there are, of treated and never-treated rows, and of each cohort.

    ``mixed`` says whether some cluster has rows of several cohorts.
    """

    total: int
    treated: int
    never: int
    by_cohort: Mapping[int, int]
    mixed: bool = False

    @classmethod
    def of(cls, cohort: Ints, cluster: Ints) -> ClusterCounts:
        """Count.

        Args:
            cohort: Of each row, 0 for never treated, (n,).
            cluster: Of each row, numbered from 0 without gaps, (n,).
        """
        cohorts = np.sort(pd.unique(cohort))
        place = np.searchsorted(cohorts, cohort)
        there = np.zeros((int(cluster.max()) + 1, len(cohorts)), dtype=bool)
        there[cluster, place] = True
        by_cohort = {int(g): int(n) for g, n in zip(cohorts, there.sum(axis=0), strict=True)}
        treated = int(there[:, cohorts > 0].any(axis=1).sum())
        mixed = bool((there.sum(axis=1) > 1).any())
        return cls(len(there), treated, by_cohort.get(0, 0), by_cohort, mixed)

    def warnings(
        self, threshold: int, cohorts: Iterable[int], *, never: str | None, then: str
    ) -> tuple[str, ...]:
        """Say what a reader must know of few clusters.

        Args:
            threshold: Fewer than this are few.
            cohorts: Cohorts with an effect.
            never: What never-treated units are called; None if others serve for comparison too.
            then: What becomes of standard errors, such as
                :data:`sos_estimators.inference.own_effects.OWN`.
        """
        sides = [(self.treated, "treated")] + ([(self.never, never)] if never else [])
        told = [
            f"There are few {who} clusters ({n}, fewer than {threshold}): {then}."
            for n, who in sides
            if n < threshold
        ]
        alone = [g for g in cohorts if self.by_cohort.get(g, 0) == 1]
        if alone and then != OWN:
            told.append(
                f"The cohorts {numbers(alone)} are one cluster each: the standard errors of their "
                "effects hold the variation of the comparison clusters only."
            )
        return tuple(told)

    def are_few(self, threshold: int, fewest: int) -> bool:
        """Say whether treated clusters are too few for errors that are for many.

        Args:
            threshold: Fewer treated clusters than this are few.
            fewest: Fewer than this in a cohort are few.
        """
        in_cohorts = [n for cohort, n in self.by_cohort.items() if cohort > 0]
        return self.treated < threshold or min(in_cohorts, default=0) < fewest

    def one_against_one(self, *, later: bool) -> bool:
        """Whether some cohort of a single cluster is compared with a single one.

        Args:
            later: Whether cohorts treated later serve for comparison too.
        """
        for cohort, n in self.by_cohort.items():
            others = sum(m for g, m in self.by_cohort.items() if g > cohort) if later else 0
            if cohort > 0 and n == 1 and self.never + others == 1:
                return True
        return False
