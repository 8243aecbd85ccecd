"""From a sample to cells: one row of all cases that are alike.

Checks, drops and effects need nothing but the cells, so their cost does not grow with the cases.
Every engine starts here: what is left out, and the sentence that says so, is the same for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.regression.design_matrix import codes_of, collapse, covariate_columns
from sos_estimators.regression.least_squares import Regression, side_by_side
from sos_estimators.sample.adoption import (
    about_late,
    about_without_base,
    late_cohorts,
    nobody_adopts,
    numbers,
    without_base,
)
from sos_estimators.sample.prepare import refuse_unusable
from sos_estimators.staggered.compression import Compressed, compressed, varies
from sos_estimators.staggered.settings import CommonSettings
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, EstimationError

Control = Literal["nevertreated", "lasttreated", "notyettreated"]

COMPARED: dict[Control, str] = {
    "nevertreated": "never treated",
    "lasttreated": "never treated",
    "notyettreated": "not treated yet",
}


@dataclass(frozen=True)
class Cells:
    """Cells of alike cases, and what is known about them.

    Attributes:
        table: One row a cell: ``owner`` (whose effect is taken out: the panel's id, else the
            authority), ``unit, period, cohort, cluster``, the covariates, ``n_cases``, the summed
            ``weight`` and the weighted mean ``value``. ``cohort`` is 0 for units that are never
            treated in the data.
        covariates: Covariates with more than one value.
        anticipation: Periods before the first treated one that count as treated.
        panel: Whether cases carry an id.
        warnings: What a reader must know.
    """

    table: pd.DataFrame
    covariates: tuple[str, ...]
    anticipation: int
    panel: bool
    warnings: tuple[str, ...] = ()

    @property
    def weight(self) -> Floats:
        """Summed weights, (m,)."""
        return self.table["weight"].to_numpy(float)

    @property
    def value(self) -> Floats:
        """Weighted means, (m,)."""
        return self.table["value"].to_numpy(float)

    @property
    def treated(self) -> Bools:
        """Whether a cell may be affected by treatment, anticipation included, (m,)."""
        cohort, period = self.table["cohort"].to_numpy(), self.table["period"].to_numpy()
        affected: Bools = (cohort > 0) & (period >= cohort - self.anticipation)
        return affected

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.table["cluster"].nunique())

    def codes(self, *columns: str) -> Ints:
        """Number the distinct rows of some columns 0, 1, ..., (m,)."""
        return codes_of(self.table, columns)

    def covariate_columns(self) -> tuple[Floats, tuple[str, ...]]:
        """Covariates as numbers (m, k) and their names: dummies without the first level."""
        return covariate_columns(self.table, self.covariates)

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
        columns = made if further is None else side_by_side([made, further], len(self.table))
        return Regression(
            value=self.value,
            weight=self.weight,
            n_cases=int(self.table["n_cases"].sum()),
            effects=tuple(self.codes(column) for column in absorb),
            cluster=self.codes("cluster"),
            covariates=columns,
            covariate_names=(*names, *further_names),
            terms=terms,
            term_names=term_names,
        )

    def where(self, kept: Bools, *warnings: str) -> Cells:
        """Keep some cells and say why."""
        table = self.table[kept].reset_index(drop=True)
        return replace(self, table=table, warnings=(*self.warnings, *warnings))

    def told(self, *warnings: str) -> Cells:
        """Add warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))

    def counts(self) -> dict[str, int]:
        """Counts for the one-row summary."""
        table = self.table
        return {
            "n_cases": int(table["n_cases"].sum()),
            "n_units": int(table["unit"].nunique()),
            "n_treated_units": int(table.loc[table["cohort"] > 0, "unit"].nunique()),
            "n_clusters": self.n_clusters,
            "n_periods": int(table["period"].nunique()),
        }


def make_cells(
    sample: Sample, options: CommonSettings, control: Control, *, compress: bool = True
) -> Cells:
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
    fewer = compressed(sample) if compress else Compressed(sample)
    cells = _collapsed(fewer.sample, options.anticipation, fewer.n_weightless)
    cells = _late_cohorts(cells)
    cells = _require_controls(cells, control)
    cells = _drop_periods_without_controls(cells, control)
    cells = drop_without_base(cells)
    cells = _drop_constant_covariates(cells)
    if not (cells.treated & (cells.table["period"] >= cells.table["cohort"]).to_numpy()).any():
        raise EstimationError(
            "No effect after treatment can be estimated: no treated unit has cases both before its "
            "treatment and in a period after it began in which there are cases to compare with."
        )
    return cells.told(*_about_clusters(cells, options.few_clusters, control))


def _collapsed(sample: Sample, anticipation: int, weightless: int) -> Cells:
    frame = _columns(sample)
    gone = (frame["weight"] == 0).to_numpy()
    if gone.any():
        weightless += int(gone.sum())
        frame = frame[~gone]
    _check(frame, sample.covariates)
    panel = sample.is_panel
    if panel:
        _check_panel(frame)
    owner = [c for c in ("id", "group") if c in frame] if panel else ["unit"]
    frame = frame.assign(owner=codes_of(frame, owner))
    by = ["owner", "unit", "period", "cohort", "cluster", *sample.covariates]
    table = collapse(frame, list(dict.fromkeys(by)))
    _check_constant(table, "cohort", "unit")
    told = (f"{weightless} cases of weight 0 are left out.",) if weightless else ()
    return Cells(table, sample.covariates, anticipation, panel, told)


def _columns(sample: Sample) -> pd.DataFrame:
    names = ["unit", "period", "cohort", "value", "weight", "cluster", *sample.covariates]
    names += [name for name in ("id", "group") if name in sample.frame and sample.is_panel]
    sums = [name for name in COMPRESSED if name in sample.frame]
    frame = sample.frame[list(dict.fromkeys([*names, *sums]))].reset_index(drop=True)
    for name in names:
        bad = frame[name].isna()
        if pd.api.types.is_float_dtype(frame[name]):
            bad |= ~np.isfinite(frame[name])
        if bad.any():
            raise DataError(
                f"The column '{name}' has {bad.sum()} missing or infinite values in {len(frame)} "
                "cases; fill or drop them before estimating."
            )
    if (frame["weight"] < 0).any():
        raise DataError("Weights must not be negative; the column 'weight' has negative values.")
    return frame.astype({"period": int, "cohort": int, "value": float, "weight": float})


def _check(frame: pd.DataFrame, covariates: tuple[str, ...]) -> None:
    refuse_unusable(frame, covariates, finer="a finer cluster")


def _check_constant(table: pd.DataFrame, column: str, within: str) -> None:
    distinct = table.groupby(within, sort=False)[column].nunique()
    if (distinct > 1).any():
        raise DataError(
            f"The column '{column}' changes within the {within} '{distinct.idxmax()}'; it must be "
            "the same in all its rows."
        )


def _check_panel(frame: pd.DataFrame) -> None:
    keys = [c for c in ("id", "group") if c in frame]
    for column in ("cohort", "cluster"):
        _check_constant(frame, column, "id")
    twice = frame.duplicated([*keys, "period"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(
            f"The id '{row['id']}' occurs more than once in period {row['period']}; a panel has "
            "one row an id and period. Without the column 'id' the cases count as repeated "
            "cross-sections."
        )


def _late_cohorts(cells: Cells) -> Cells:
    """Cohorts treated too late to be affected in the data serve as never treated."""
    table = cells.table
    late = late_cohorts(table, cells.anticipation)
    if not late.any():
        return cells
    told = cells.told(about_late(table, late))
    return replace(told, table=table.assign(cohort=table["cohort"].where(~late, 0)))


def _require_controls(cells: Cells, control: Control) -> Cells:
    """See that never-treated units are there, or make the last cohort stand for them."""
    table = cells.table
    if control == "notyettreated" or (table["cohort"] == 0).any():
        return cells
    if control == "nevertreated":
        raise EstimationError(
            "There is no never-treated unit to compare with (cohort 0). Choose another control, "
            "such as lasttreated or notyettreated, where the estimator has it, or an estimator "
            "that compares with units not treated yet: imputation or two-stage."
        )
    latest = int(table["cohort"].max())
    kept = (table["period"] < latest - cells.anticipation).to_numpy()
    n_left_out = int(table.loc[~kept, "n_cases"].sum())
    fewer = cells.where(
        kept,
        f"There is no never-treated unit: cohort {latest}, the last to be treated, serves for "
        f"comparison only, and {n_left_out} cases of the periods from its treatment on are left "
        "out, for they have no comparison.",
    )
    cohort = fewer.table["cohort"]
    return replace(fewer, table=fewer.table.assign(cohort=cohort.where(cohort != latest, 0)))


def _drop_periods_without_controls(cells: Cells, control: Control) -> Cells:
    table = cells.table
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
        f"has a case to compare with: {int(table.loc[~kept, 'n_cases'].sum())} cases are left out.",
    )


def drop_without_base(cells: Cells) -> Cells:
    """Leave out cohorts without a case before treatment.

    Raises:
        EstimationError: If no treated unit is left.
    """
    table = cells.table
    early = without_base(table, cells.treated, "cohort")
    if not early.any():
        return cells
    gone = table[early]
    n_units, n_cases = gone["unit"].nunique(), int(gone["n_cases"].sum())
    kept = cells.where(
        ~early,
        about_without_base(n_units, n_cases, gone["cohort"], anticipation=cells.anticipation),
    )
    if not (kept.table["cohort"] > 0).any():
        raise nobody_adopts(table["period"].min(), cells.anticipation)
    return kept


def _drop_constant_covariates(cells: Cells) -> Cells:
    constant = [n for n in cells.covariates if not varies(cells.table[n])]
    told = cells.told(
        *(f"The covariate '{n}' has one value in all cases and is left out." for n in constant)
    )
    return replace(told, covariates=tuple(n for n in cells.covariates if n not in constant))


def _about_clusters(cells: Cells, threshold: int, control: Control) -> list[str]:
    table = cells.table
    n_by_cohort = table.groupby("cohort")["cluster"].nunique()
    sides = [(table.loc[table["cohort"] > 0, "cluster"].nunique(), "treated")]
    if control != "notyettreated":
        sides.append((int(n_by_cohort.get(0, 0)), "comparison"))
    found = [
        f"There are few {who} clusters ({n}, fewer than {threshold}): standard errors tend to be "
        "too small, and p values with them."
        for n, who in sides
        if n < threshold
    ]
    alone = n_by_cohort.index[(n_by_cohort == 1) & (n_by_cohort.index > 0)].tolist()
    if alone:
        found.append(
            f"The cohorts {numbers(alone)} are one cluster each: the standard errors of their "
            "effects hold the variation of the comparison clusters only."
        )
    return found
