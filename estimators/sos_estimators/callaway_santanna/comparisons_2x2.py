"""Which effects can be estimated, and who is compared with whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Ints
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.own_effects import FEWEST_IN_COHORT, OWN
from sos_estimators.sample.staggered import ClusterCounts
from sos_plugins.errors import EstimationError

FEW = "standard errors and p values from the normal distribution are then too small"


@dataclass(frozen=True)
class TwoByTwo:
    """Two groups in two periods, which give one effect, ATT(cohort, period).

    It is the change of a cohort since the period ``base``, against that of those untreated.
    """

    cohort: int
    period: int
    base: int

    @property
    def is_reference(self) -> bool:
        """Whether this is the universal base itself, zero by definition."""
        return self.period == self.base

    @property
    def is_post(self) -> bool:
        """Whether the cohort is treated in the period."""
        return self.period >= self.cohort

    @property
    def term(self) -> str:
        """The name of the effect."""
        return f"ATT({self.cohort},{self.period})"


@dataclass(frozen=True)
class ComparisonPlan:
    """The comparisons to make, and what the result says beside their effects.

    Attributes:
        comparisons: By cohort and period.
        warnings: What a reader must know.
        counts: Counts for the one-row summary.
        negligible: Size below which a standard error is rounding.
        cancelling: Whether what clusters add may sum to zero for want of clusters: some cohort of
            a single cluster is compared with a single one, or clusters hold several cohorts.
        few: Whether treated clusters are too few for errors that are for many.
    """

    comparisons: tuple[TwoByTwo, ...]
    warnings: tuple[str, ...]
    counts: Mapping[str, int]
    negligible: float = 0.0
    cancelling: bool = False
    few: bool = False

    @property
    def cohorts(self) -> list[int]:
        """Cohorts with an effect, ascending."""
        return sorted({comparison.cohort for comparison in self.comparisons})

    def with_clusters(
        self, clusters: ClusterCounts, options: CallawaySantAnnaSettings
    ) -> ComparisonPlan:
        """Count clusters, and add what there is to say of few of them.

        Args:
            clusters: How many there are.
            options: ``control``, ``cluster`` and ``few_clusters`` are used.
        """
        not_yet = options.control == "notyettreated"
        told: tuple[str, ...] = ()
        few = clusters.are_few(options.few_clusters, FEWEST_IN_COHORT)
        if options.cluster == "cluster":
            never = None if not_yet else "never-treated"
            own = options.decided(few=few).errors == "own-effects"
            then = OWN if own else FEW
            told = clusters.warnings(options.few_clusters, self.cohorts, never=never, then=then)
        return replace(
            self,
            warnings=(*self.warnings, *told),
            counts={**self.counts, "n_clusters": clusters.total},
            cancelling=clusters.mixed or clusters.one_against_one(later=not_yet),
            few=few and options.cluster == "cluster",
        )


def list_comparisons(
    frame: pd.DataFrame,
    options: CallawaySantAnnaSettings,
    spared: int | None,
    *,
    balanced: bool,
) -> tuple[tuple[TwoByTwo, ...], tuple[str, ...]]:
    """List the comparisons that rows allow.

    Args:
        frame: Rows that can be used, ``cohort`` and ``period`` of them.
        options: ``base``, ``control`` and ``anticipation`` are used.
        spared: A cohort that is only compared with; None if there is none.
        balanced: Whether every cohort has rows in every period.

    Returns:
        The comparisons, and what is left out in sentences.

    Raises:
        EstimationError: If none is of an effect after treatment.
    """
    periods = [int(p) for p in np.unique(frame["period"])]
    cohorts = [int(g) for g in np.unique(frame["cohort"]) if g > 0 and g != spared]
    planned = [c for g in cohorts for c in _of_cohort(g, periods, options)]
    told: tuple[str, ...] = ()
    if not balanced:
        planned, told = _with_rows(frame, planned, options)
    if not any(comparison.is_post for comparison in planned):
        raise EstimationError(
            "No effect after treatment can be estimated: no cohort has treated and comparison "
            "cases both before its treatment and in a period after it began."
        )
    return tuple(planned), told


def _of_cohort(
    cohort: int, periods: Sequence[int], options: CallawaySantAnnaSettings
) -> list[TwoByTwo]:
    """List the comparisons of one cohort, given the periods of the data in ascending order.

    After treatment the base is the last period before it (less anticipation). Before treatment
    it is the same under a universal base, the preceding period under a varying one.
    """
    before = [p for p in periods if p + options.anticipation < cohort]
    if not before:
        return []
    if options.base == "universal":
        return [TwoByTwo(cohort, period, before[-1]) for period in periods]
    steps = zip(periods[1:], periods[:-1], strict=True)
    return [TwoByTwo(cohort, p, before[-1] if p >= cohort else last) for p, last in steps]


def control_cohorts(
    cohorts: Ints, comparison: TwoByTwo, options: CallawaySantAnnaSettings
) -> Bools:
    """Say of each cohort (n,) whether it serves in a comparison as untreated, (n,).

    Args:
        cohorts: (n,).
        comparison: The comparison.
        options: ``control`` and ``anticipation`` are used.
    """
    compared: Bools = cohorts == 0
    if options.control == "notyettreated":
        latest = max(comparison.period, comparison.base) + options.anticipation
        compared |= (cohorts > latest) & (cohorts != comparison.cohort)
    return compared


def _with_rows(
    frame: pd.DataFrame, planned: list[TwoByTwo], options: CallawaySantAnnaSettings
) -> tuple[list[TwoByTwo], tuple[str, ...]]:
    """Keep the comparisons that have cases of both groups in both periods."""
    pairs = frame[["cohort", "period"]].drop_duplicates()
    present = {(int(g), int(t)) for g, t in pairs.itertuples(index=False)}
    cohorts = np.unique(frame["cohort"].to_numpy())
    kept, untreated, uncompared = [], [], []
    for one in planned:
        controls = cohorts[control_cohorts(cohorts, one, options)]
        if not {(one.cohort, one.period), (one.cohort, one.base)} <= present:
            untreated.append(one)
        elif not all(any((g, t) in present for g in controls) for t in (one.period, one.base)):
            uncompared.append(one)
        else:
            kept.append(one)
    return kept, tuple(
        f"{', '.join(one.term for one in gone)}: there are no {who} cases in the period or in its "
        "base period, so there is no such effect."
        for gone, who in ((untreated, "treated"), (uncompared, "comparison"))
        if gone
    )
