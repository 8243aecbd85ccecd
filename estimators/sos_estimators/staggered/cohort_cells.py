"""From a sample to cells: one row of all cases that are alike.

Checks, drops and effects need nothing but the cells, so their cost does not grow with the cases.
Every engine starts here: what is left out, and the sentence that says so, is the same for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.own_effects import FEWEST_IN_COHORT, OWN
from sos_estimators.regression.design_matrix import codes_of, collapse, covariate_columns
from sos_estimators.regression.least_squares import Regression, side_by_side
from sos_estimators.sample.adoption import numbers
from sos_estimators.sample.staggered import (
    ClusterCounts,
    StaggeredSample,
    about_constant,
    check,
)
from sos_estimators.staggered.settings import CommonSettings
from sos_plugins.cells.build import cells as compress_cases
from sos_plugins.cells.compression import COUNT, count, is_compressed
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.text_codes import is_category

Decided = TypeVar("Decided", bound=CommonSettings)
Control = Literal["nevertreated", "lasttreated", "notyettreated"]

COMPARED: dict[Control, str] = {
    "nevertreated": "never treated",
    "lasttreated": "never treated",
    "notyettreated": "not treated yet",
}
FEW = "standard errors tend to be too small, and p values with them"
FROM = 20_000
"""Fewer rows than this are collapsed as they are: the query would take longer."""
KEYS = ("cohort", "treated", "post")


@dataclass(frozen=True)
class CohortCells(StaggeredSample):
    """Cells of alike cases, and what is known about them.

    ``frame`` has one row a cell: ``owner`` (whose effect is taken out: the panel's id, else the
    authority), ``unit, period, cohort, cluster``, the covariates, how many cases, the summed
    ``weight`` and the weighted mean ``value``.
    """

    @property
    def weight(self) -> Floats:
        """Summed weights, (m,)."""
        return self.frame["weight"].to_numpy(float)

    @property
    def value(self) -> Floats:
        """Weighted means, (m,)."""
        return self.frame["value"].to_numpy(float)

    def codes(self, *columns: str) -> Ints:
        """Number the distinct rows of some columns 0, 1, ..., (m,).

        Args:
            columns: Their names.
        """
        return codes_of(self.frame, columns)

    def cluster_counts(self) -> ClusterCounts:
        """How many clusters there are, and in each cohort."""
        return ClusterCounts.of(self.frame["cohort"].to_numpy(), self.codes("cluster"))

    def decided(self, options: Decided) -> Decided:
        """Return settings in which ``errors`` is decided by the number of treated clusters.

        Args:
            options: Settings.
        """
        few = self.cluster_counts().are_few(options.few_clusters, FEWEST_IN_COHORT)
        return options.decided(few=few)

    def covariate_columns(self) -> tuple[Floats, tuple[str, ...]]:
        """Covariates as numbers (m, k) and their names: dummies without the first level."""
        return covariate_columns(self.frame, self.covariates)

    def regression(
        self,
        absorb: Sequence[str],
        *,
        terms: Floats,
        term_names: tuple[str, ...],
        further: Floats | None = None,
        further_names: tuple[str, ...] = (),
    ) -> Regression:
        """Set up a regression on absorbed effects, the covariates and terms.

        Args:
            absorb: Columns whose effects are taken out.
            terms: What is estimated, (m, p).
            term_names: p names.
            further: Columns after the covariates, (m, k).
            further_names: k names.
        """
        made, names = self.covariate_columns()
        columns = made if further is None else side_by_side([made, further], len(self.frame))
        return Regression(
            value=self.value,
            weight=self.weight,
            n_cases=self.n_cases,
            effects=tuple(self.codes(column) for column in absorb),
            cluster=self.codes("cluster"),
            covariates=columns,
            covariate_names=(*names, *further_names),
            terms=terms,
            term_names=term_names,
        )


def make_cells(
    sample: Sample, options: CommonSettings, control: Control, *, compress: bool = True
) -> CohortCells:
    """Check a sample, collapse it, and leave out what cannot be compared.

    Args:
        sample: Cases in calendar periods.
        options: Arguments of the estimator.
        control: Which cases must be there in every period that is used.
        compress: False where an engine counts rows: every case, or all alike in numeric covariates
            too, then is a cell.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    fewer, n_weightless = compressed(sample) if compress else (sample, 0)
    checked = check(fewer, options.anticipation, finer="a finer cluster", n_weightless=n_weightless)
    checked.refuse_no_panel()
    cells = _collapsed(checked)
    cells.refuse_changing("cohort", "unit")
    cells = _with_controls(cells.with_late_as_never(), control)
    cells = _drop_periods_without_controls(cells, control).with_base()
    constant = [name for name in cells.covariates if not _varies(cells.frame[name])]
    covariates = tuple(name for name in cells.covariates if name not in constant)
    cells = replace(cells.told(*about_constant(constant)), covariates=covariates)
    if not (cells.treated & (cells.frame["period"] >= cells.frame["cohort"]).to_numpy()).any():
        raise EstimationError(
            "No effect after treatment can be estimated: no treated unit has cases both before its "
            "treatment and in a period after it began in which there are cases to compare with."
        )
    clusters = cells.cluster_counts()
    never = None if control == "notyettreated" else "comparison"
    cohorts = [g for g in clusters.by_cohort if g > 0]
    then = OWN if cells.decided(options).errors == "own-effects" else FEW
    return cells.told(*clusters.warnings(options.few_clusters, cohorts, never=never, then=then))


def _collapsed(checked: StaggeredSample) -> CohortCells:
    frame = checked.frame.assign(owner=codes_of(checked.frame, checked.unit_columns))
    by = ["owner", "unit", "period", "cohort", "cluster", *checked.covariates]
    table = collapse(frame, list(dict.fromkeys(by))).rename(columns={"n_cases": COUNT})
    return CohortCells(
        table, checked.covariates, checked.warnings, checked.anticipation, checked.panel
    )


def _with_controls(cells: CohortCells, control: Control) -> CohortCells:
    """See that never-treated units are there, or make the last cohort stand for them."""
    if control == "notyettreated" or (cells.frame["cohort"] == 0).any():
        return cells
    if control == "nevertreated":
        raise EstimationError(
            "There is no never-treated unit to compare with (cohort 0). Choose another control, "
            "such as lasttreated or notyettreated, where the estimator has it, or an estimator "
            "that compares with units not treated yet: imputation or two-stage."
        )
    latest = int(cells.frame["cohort"].max())
    fewer = cells.before(latest, "from its treatment on")
    cohort = fewer.frame["cohort"]
    return replace(fewer, frame=fewer.frame.assign(cohort=cohort.where(cohort != latest, 0)))


def _drop_periods_without_controls(cells: CohortCells, control: Control) -> CohortCells:
    table = cells.frame
    compared = ~cells.treated if control == "notyettreated" else table["cohort"].eq(0).to_numpy()
    kept = table["period"].isin(table.loc[compared, "period"].unique()).to_numpy()
    if kept.all():
        return cells
    if not kept.any():
        raise EstimationError(
            f"In no period has a unit that is {COMPARED[control]} a case to compare with."
        )
    return cells.where(
        kept,
        f"In the periods {numbers(table.loc[~kept, 'period'])} no unit that is {COMPARED[control]} "
        f"has a case to compare with: {count(table[~kept])} cases are left out.",
    )


def compressed(sample: Sample) -> tuple[Sample, int]:
    """Compress many cases of a repeated cross-section in one pass; other samples stay as they are.

    Results are the same: all sums and cross products by authority, period and level are kept. So
    what follows costs the same for any number of cases, numeric covariates or not.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.

    Returns:
        The sample, and how many cases of weight 0 it no longer has.

    Raises:
        DataError: If a column has missing or infinite values, or a weight is negative.
    """
    frame = sample.frame
    if sample.is_panel or is_compressed(frame) or len(frame) < FROM:
        return sample, 0
    used = ["unit", "period", *KEYS, "cluster", "value", "weight", *sample.covariates]
    frame = frame[used].assign(**{c: _as_text(frame[c]) for c in sample.covariates})
    summed = compress_cases(
        frame, weight="weight", covariates=sample.covariates, keys=KEYS, cluster="cluster"
    )
    fewer = summed.sample()
    in_order = Sample(fewer.frame, sample.covariates, sample.binary, sample.window_gap)
    return in_order, summed.n_weightless


def _as_text(values: pd.Series) -> pd.Series:
    """Make text of levels that a database would take for numbers."""
    if not is_category(values) or pd.api.types.is_bool_dtype(values):
        return values
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    return values.astype(str).where(values.notna())


def _varies(values: pd.Series) -> bool:
    """Whether a covariate has more than one value, rounding aside."""
    if is_category(values):
        return bool(values.nunique() > 1)
    numbers = values.to_numpy(float)
    return bool(np.ptp(numbers) > 1e-12 * np.abs(numbers).max())
