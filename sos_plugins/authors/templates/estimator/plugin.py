"""Estimator new-estimator: changes of pilots against changes of their comparators, by group.

A working example to change: the mean change of a pilot less the mean change of its comparators is
one number a matched group, and a t test on these numbers is the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from pydantic import Field

from sos_plugins import Engine, Estimate, Estimator, Sample, Settings, hookimpl
from sos_plugins.authors.results import glance, tidy_rows
from sos_plugins.errors import EstimationError

STILL_THE_EXAMPLE = "a paired t test on changes of groups"  # take this line out when it is yours


class NewEstimatorSettings(Settings):
    """Arguments of the method."""

    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the confidence interval")
    few_groups: int = Field(10, ge=2, description="warn when there are fewer matched groups")


def changes_by_group(frame: pd.DataFrame) -> pd.Series:
    """Return the change of the pilot less the mean change of its comparators, by group.

    Groups without a pilot, or without a comparator, with cases on both sides are left out.
    """
    weighted = frame.assign(wy=frame["weight"] * frame["value"])
    sums = weighted.groupby(["group", "treated", "unit", "post"])[["wy", "weight"]].sum()
    means = (sums["wy"] / sums["weight"]).unstack("post").reindex(columns=[0, 1])
    change = (means[1] - means[0]).dropna()
    by_side = change.groupby(level=["group", "treated"]).mean().unstack("treated")
    by_side = by_side.reindex(columns=[0, 1])
    return (by_side[1] - by_side[0]).dropna()


def fit_python(sample: Sample, options: NewEstimatorSettings) -> Estimate:
    """Compare changes group by group.

    Raises:
        EstimationError: If there are no matched groups, or fewer than two to compare.
    """
    if not sample.has_groups:
        raise EstimationError("'new-estimator' needs matched groups: match authorities first.")
    frame = sample.frame
    if frame.empty or frame["value"].nunique() < 2:
        raise EstimationError("The value is the same in every case, or there are no cases.")
    if frame["cluster"].nunique() < 2:
        raise EstimationError("All cases lie in one cluster; a standard error needs two.")
    changes = changes_by_group(frame)
    if len(changes) < 2:
        raise EstimationError(
            f"{len(changes)} matched groups have a pilot and a comparator with cases before and "
            "after; a standard error needs two."
        )
    warnings = []
    if len(changes) < options.few_groups:
        warnings.append(f"The standard error rests on {len(changes)} matched groups.")
    tidy = tidy_rows(
        ["ATT"],
        [changes.mean()],
        [changes.std(ddof=1) / np.sqrt(len(changes))],
        df=len(changes) - 1,
        conf_level=options.conf_level,
    )
    facts = glance(
        sample,
        estimand="mean over pilots of the average effect on their cases",
        vcov="between matched groups",
        conf_level=options.conf_level,
    )
    return Estimate(tidy, facts, warnings=tuple(warnings))


class NewEstimator(Estimator):
    """A paired t test on changes, one pair a matched group."""

    name = "new-estimator"
    label = "New estimator"
    Settings = NewEstimatorSettings
    citation = "Bertrand, Duflo and Mullainathan (2004), Quarterly Journal of Economics 119(1)"
    engines = (Engine(name="python", fit=fit_python, packages=("numpy", "pandas")),)

    def headline(self, options: NewEstimatorSettings) -> str:  # noqa: ARG002
        """Return the term that answers what the effect was."""
        return "ATT"


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Register the estimator."""
    register(NewEstimator())
