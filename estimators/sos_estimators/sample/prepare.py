"""Samples, checked and made ready, the same for every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Ints
from sos_estimators.sample.adoption import AlwaysTreated, adopters, changing
from sos_estimators.sample.coded import Coded
from sos_plugins.cells.compression import count
from sos_plugins.contract.columns import CALENDAR, SAMPLE_COLUMNS
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EstimationError, listing
from sos_plugins.groundwork.remembered import Remembered
from sos_plugins.groundwork.text_codes import is_category

Form = Literal["twfe", "stacked", "pilot-post"]
Years = Literal["window", "calendar"]
ABOUT_YEARS = (
    "which years the period effects are of, in matched groups: window counts them from the "
    "group's window, calendar takes those of the cases (as in the 2021 report)"
)

FORMS: Mapping[Form, str] = {
    "twfe": "authority and period effects",
    "stacked": "authority and period effects of each matched group",
    "pilot-post": "period effects, a pilot and a post term, no authority effects",
}
MAX_LEVELS = 500
"""A text covariate with more levels than this is an identifier, not a covariate."""

NOBODY_NEVER = (
    "There is no never-treated unit: units treated at other times are compared with each other, "
    "and units already treated serve as comparators of those treated later. Estimator 'bacon' "
    "shows the weight of these comparisons."
)

WITHOUT_EVENT = object()
"""Under what a sample with event times remembers the one without."""
NUMBERS = ("period", "cohort", "value", "weight")

EFFECT_COLUMNS: Mapping[Form, tuple[tuple[str, ...], ...]] = {
    "twfe": (("unit",), ("period",)),
    "stacked": (("unit", "group"), ("period", "group")),
    "pilot-post": (("period",),),
}
STRUCTURE: Mapping[Form, tuple[str, ...]] = {
    "twfe": (),
    "stacked": (),
    "pilot-post": ("treated", "post"),
}
"""Columns that a form adds to the covariates; a collinear one is no news to the reader."""


@dataclass(frozen=True)
class CheckedSample:
    """Cases, or rows that stand for many of them, that an estimator can use.

    Attributes:
        frame: Rows with positive weight.
        covariates: Covariates that are used.
        warnings: What a reader must know.
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def count(self, column: str) -> int:
        """Count the distinct values of a column.

        Args:
            column: Its name.
        """
        return int(self.frame[column].nunique())

    @property
    def n_cases(self) -> int:
        """Number of cases, also where rows stand for many."""
        return count(self.frame)

    def where(self, kept: Bools, *warnings: str) -> Self:
        """Keep some rows and say why.

        Args:
            kept: Which rows, (n,).
            warnings: Why, in sentences.
        """
        frame = self.frame[kept].reset_index(drop=True)
        return replace(self, frame=frame, warnings=(*self.warnings, *warnings))

    def told(self, *warnings: str) -> Self:
        """Add warnings.

        Args:
            warnings: Sentences.
        """
        return replace(self, warnings=(*self.warnings, *warnings))


@dataclass(frozen=True)
class RegressionSample(CheckedSample):
    """A sample for regressions, the same for every engine.

    ``frame`` has the further column ``D`` = treated x post.
    """

    def coded(self, column: str) -> Coded:
        """Return a column as whole numbers.

        Args:
            column: Its name.
        """
        before = self._without_event
        if before is not None and column != "event":
            return before.coded(column)
        return self._remembered.once(column, lambda: Coded.of(self.frame[column]))

    @cached_property
    def _remembered(self) -> Remembered:
        return Remembered(len(self.frame))

    @property
    def _without_event(self) -> RegressionSample | None:
        """The same rows before they got event times, where it is known."""
        return self._remembered.once(WITHOUT_EVENT, lambda: None)

    def with_event(self, event: Ints, *warnings: str) -> Self:
        """Return the sample with event times as the column ``event``.

        Args:
            event: Of the rows, (n,).
            warnings: What is to be said of them.
        """
        frame = self.frame.assign(event=event)
        made = replace(self, frame=frame, warnings=(*self.warnings, *warnings))
        made._remembered.once(WITHOUT_EVENT, lambda: self)
        return made

    def count(self, column: str) -> int:
        """Count the distinct values of a column.

        Args:
            column: Its name.
        """
        return len(self.coded(column))

    @cached_property
    def n_cases(self) -> int:
        """Number of cases, also where rows stand for many."""
        return count(self.frame)

    @cached_property
    def treated_clusters(self) -> list[str]:
        """Clusters with treated units that change: with cases before and after adoption."""
        return self.coded("cluster").texts(self._adopting)

    @cached_property
    def n_treated_units(self) -> int:
        """Number of treated units that change."""
        return len(self.coded("unit").texts(self._adopting))

    @cached_property
    def _adopting(self) -> Bools:
        adopting = changing(self.frame, self.coded("unit"))
        return adopting if adopting.any() else self.frame["D"].to_numpy() == 1


def prepare(sample: Sample, form: Form, always_treated: AlwaysTreated = "drop") -> RegressionSample:
    """Check a sample and make it ready.

    Args:
        sample: The cases.
        form: Which effects.
        always_treated: What becomes of units without a case before treatment.

    Raises:
        EstimationError: If the sample cannot give an estimate; the sentence says why.
    """
    if form == "stacked" and not sample.has_groups:
        raise EstimationError(
            "form = 'stacked' needs matched groups, and the sample has none (no column 'group'): "
            "match authorities first, or use form = 'twfe'."
        )
    return sample.once(("regression sample", always_treated), lambda: _made(sample, always_treated))


def _made(sample: Sample, always_treated: AlwaysTreated) -> RegressionSample:
    _check_values(sample.frame, sample.covariates)
    sample, warnings = _of_positive_weight(sample)
    checked, unit = sample, Coded.of(sample.frame["unit"])
    treated = sample.frame["treated"].to_numpy() == 1
    if treated.any():
        sample, told = adopters(sample, always_treated, unit)
        warnings += told
    frame = sample.frame
    treated = frame["treated"].to_numpy() == 1
    frame = frame.assign(D=treated.astype(int) * frame["post"].to_numpy().astype(int))
    check_contrast(frame)
    if treated.all():
        warnings.append(NOBODY_NEVER)
    constant = [c for c in sample.covariates if frame[c].nunique() < 2]
    if constant:
        warnings.append(f"Covariates with one value only are left out: {listing(constant)}.")
    covariates = tuple(c for c in sample.covariates if c not in constant)
    made = RegressionSample(frame, covariates, tuple(warnings))
    if sample is checked:
        made._remembered.once("unit", lambda: unit)
    return made


def _of_positive_weight(sample: Sample) -> tuple[Sample, list[str]]:
    """Leave out cases of weight 0, and say how many they are."""
    frame = sample.frame
    kept = frame["weight"].to_numpy() > 0
    if not kept.all():
        told = [f"{count(frame[~kept])} cases with weight 0 are left out."]
        return sample.where(kept), told
    if isinstance(frame.index, pd.RangeIndex) and frame.index.equals(pd.RangeIndex(len(frame))):
        return sample, []
    return replace(sample, frame=frame.reset_index(drop=True)), []


def in_years(prepared: RegressionSample, years: Years) -> RegressionSample:
    """Let the periods be those that period effects are wanted of.

    Args:
        prepared: The checked sample.
        years: As they are, or those of the calendar.

    Raises:
        EstimationError: If the sample has no calendar periods beside its own.
    """
    if years == "window":
        return prepared
    if CALENDAR not in prepared.frame:
        raise EstimationError(
            "years = 'calendar' is for matched groups, whose periods count from their windows; the "
            f"periods of this sample are no such (it has no column '{CALENDAR}'). Leave it out."
        )
    frame = prepared.frame.assign(period=prepared.frame[CALENDAR])
    return replace(prepared, frame=frame)


def _check_values(frame: pd.DataFrame, covariates: Sequence[str]) -> None:
    if frame.empty:
        raise EstimationError("The sample has no cases.")
    used = [c for c in SAMPLE_COLUMNS if c in frame and c != "id"]
    for column in (*used, *covariates):
        values = frame[column]
        if column in NUMBERS and not pd.api.types.is_numeric_dtype(values):
            raise EstimationError(f"Column '{column}' holds {values.dtype}; it must hold numbers.")
        if n_bad := n_unusable(values):
            raise EstimationError(
                f"Column '{column}' has {n_bad} missing or infinite values in "
                f"{len(frame)} cases; fill or drop them before estimating."
            )
    for column in ("treated", "post"):
        marks = frame[column].to_numpy()
        if not ((marks == 0) | (marks == 1)).all():
            raise EstimationError(f"Column '{column}' must hold 0 and 1 only.")
    if n := int((frame["weight"].to_numpy() < 0).sum()):
        raise EstimationError(f"{n} cases have a negative weight; a weight is 0 or more.")
    refuse_identifiers(frame, covariates)


def n_unusable(values: pd.Series) -> int:
    """Count missing and infinite values.

    Args:
        values: A column.
    """
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iubf":
        return 0 if values.dtype.kind != "f" else int((~np.isfinite(values.to_numpy())).sum())
    bad = values.isna()
    if pd.api.types.is_float_dtype(values):
        bad |= ~np.isfinite(values)
    return int(bad.sum())


def refuse_identifiers(frame: pd.DataFrame, covariates: Sequence[str]) -> None:
    """Refuse text covariates with a level for nearly every case.

    Args:
        frame: The rows.
        covariates: Columns of them.

    Raises:
        EstimationError: With the covariate and the number of its levels.
    """
    for name in covariates:
        n_levels = frame[name].nunique() if is_category(frame[name]) else 0
        if n_levels > MAX_LEVELS:
            raise EstimationError(
                f"The text covariate '{name}' has {n_levels} levels, more than {MAX_LEVELS}; "
                "group them or leave it out."
            )


def check_contrast(frame: pd.DataFrame) -> None:
    """Check that there is something to compare.

    Args:
        frame: With the columns ``treated, post, value, cluster``.

    Raises:
        EstimationError: For no treated case, no case before or after, a value that does not vary,
            or a single cluster.
    """
    treated = frame["treated"].to_numpy() == 1
    post = frame["post"].to_numpy() == 1
    if not treated.any():
        raise EstimationError(
            "No case belongs to a treated unit (column 'treated' is 0 throughout)."
        )
    for rows, word in ((~post, "before"), (post, "after")):
        if not (treated & rows).any():
            raise EstimationError(f"No treated unit has a case {word} its adoption.")
    if frame["value"].nunique() < 2:
        raise EstimationError(f"The value is {frame['value'].iloc[0]:g} in every case.")
    if frame["cluster"].nunique() < 2:
        raise EstimationError(
            f"All cases lie in one cluster ({frame['cluster'].iloc[0]}); standard errors need two."
        )
