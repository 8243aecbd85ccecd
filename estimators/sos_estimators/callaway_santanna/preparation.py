"""From a sample to the rows that are used and the comparisons that can be made.

All engines start here, so what is dropped, and the sentence that says so, is the same for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sos_estimators.callaway_santanna.comparisons_2x2 import ComparisonPlan, list_comparisons
from sos_estimators.callaway_santanna.covariates import CovariateMatrix, covariate_matrix
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.results import negligible
from sos_estimators.sample.staggered import ClusterCounts, StaggeredSample, check
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EstimationError


@dataclass(frozen=True, kw_only=True)
class GroupTimeSample(StaggeredSample):
    """Rows that comparisons can be made of.

    ``frame`` has the rows used, with the columns ``period, cohort, value, weight``, the covariates,
    and whole numbers from 0: ``_key`` (the panel's unit of observation, within its matched group;
    else the row), ``_owner`` (case or panel id) and ``cluster`` (what the standard errors take as
    independent). A balanced panel is sorted by period and key.

    Attributes:
        balanced: Whether the rows are a balanced panel; else they count as repeated cross-sections.
        design: Covariates as numbers.
        plan: The comparisons to make.
    """

    balanced: bool
    design: CovariateMatrix
    plan: ComparisonPlan

    def rests_on_scores(self, options: CallawaySantAnnaSettings) -> bool:
        """Whether standard errors depend on the setting ``scores``.

        Args:
            options: Arguments of the estimator.
        """
        return options.method == "dr" and not self.balanced and bool(self.design.names)


def prepare(sample: Sample, options: CallawaySantAnnaSettings) -> GroupTimeSample:
    """Check a sample, drop what the method cannot use, and list the comparisons.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the method.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    finer = "a finer cluster or cluster=unit-of-observation"
    checked = check(sample, options.anticipation, finer=finer)
    checked.refuse_changing("cohort", "unit")
    checked.refuse_no_panel()
    usable, spared = _usable(checked, options)
    rows, balanced = _balanced(usable)
    rows = _coded(rows, options.cluster)
    frame = rows.frame
    comparisons, told = list_comparisons(frame, options, spared, balanced=balanced)
    design = covariate_matrix(frame, sample.covariates)
    shared = _about_shared_comparators(frame) if options.cluster == "unit-of-observation" else ()
    plan = ComparisonPlan(
        comparisons,
        (*rows.warnings, *told, *design.warnings, *shared),
        rows.counts(),
        negligible(frame["value"]),
    ).with_clusters(
        ClusterCounts.of(frame["cohort"].to_numpy(), frame["cluster"].to_numpy()), options
    )
    return GroupTimeSample(
        frame,
        design.covariates,
        plan.warnings,
        rows.anticipation,
        rows.panel,
        balanced=balanced,
        design=design,
        plan=plan,
    )


def plan_of_outline(
    outline: pd.DataFrame, options: CallawaySantAnnaSettings
) -> tuple[StaggeredSample, ComparisonPlan]:
    """Plan for a balanced panel, given one row for each cohort and period.

    Args:
        outline: ``cohort, period``, the number of cases, and
            :data:`sos_estimators.sample.staggered.UNITS`, which is the number of units of the
            cohort in its first period and 0 later.
        options: As in :func:`prepare`.

    Returns:
        The rows of the outline that are used, and the plan, clusters apart.

    Raises:
        EstimationError: As :func:`prepare`.
    """
    whole = StaggeredSample(outline.assign(cluster=0), (), (), options.anticipation, panel=True)
    usable, spared = _usable(whole, options)
    comparisons, told = list_comparisons(usable.frame, options, spared, balanced=True)
    return usable, ComparisonPlan(comparisons, (*usable.warnings, *told), usable.counts())


def _usable(
    rows: StaggeredSample, options: CallawaySantAnnaSettings
) -> tuple[StaggeredSample, int | None]:
    """Return the rows that some comparison can use, and the cohort that only is compared with."""
    rows, spared = _with_controls(rows.with_late_as_never(), options)
    return rows.with_base(), spared


def _with_controls(
    rows: StaggeredSample, options: CallawaySantAnnaSettings
) -> tuple[StaggeredSample, int | None]:
    cohort = rows.frame["cohort"]
    if (cohort == 0).any():
        return rows, None
    if options.control == "nevertreated":
        raise EstimationError(
            "There is no never-treated unit to compare with (cohort 0). "
            "Set control=notyettreated to compare with units that are not treated yet."
        )
    latest = int(cohort.max())
    fewer = rows.before(latest)
    if fewer.frame.empty or cohort.nunique() == 1:
        raise EstimationError(
            f"There is no never-treated unit, and before cohort {latest}, the last to be treated, "
            "no period is left in which another cohort could be compared with it."
        )
    return fewer, latest


def _balanced(rows: StaggeredSample) -> tuple[StaggeredSample, bool]:
    """Give rows their keys; sort a balanced panel by period and key."""
    frame = rows.frame
    if not rows.panel:
        return replace(rows, frame=frame.assign(_key=np.arange(len(frame)))), False
    keys = frame.groupby(rows.unit_columns).ngroup()
    frame = frame.assign(_key=keys).sort_values(["period", "_key"], kind="stable")
    rows = replace(rows, frame=frame)
    n_periods = frame["period"].nunique()
    n_seen = frame.groupby("_key").size()
    if (n_seen == n_periods).all():
        return rows, True
    return rows.told(
        f"The panel is unbalanced: {(n_seen < n_periods).sum()} of {len(n_seen)} ids lack some of "
        f"the {n_periods} periods. Its rows count as repeated cross-sections, and standard errors "
        "allow for the rows of an id going together."
    ), False


def _coded(rows: StaggeredSample, cluster: str) -> StaggeredSample:
    frame = rows.frame
    owner = pd.factorize(frame["id"])[0] if "id" in frame else np.arange(len(frame))
    codes = owner if cluster == "unit-of-observation" else pd.factorize(frame["cluster"])[0]
    return replace(rows, frame=frame.assign(_owner=owner, cluster=codes).reset_index(drop=True))


def _about_shared_comparators(frame: pd.DataFrame) -> tuple[str, ...]:
    if "group" not in frame or "id" in frame:
        return ()
    return (
        "Cases of comparators that serve several matched groups count as different cases: "
        "standard errors by case are then too small. Use cluster=cluster.",
    )
