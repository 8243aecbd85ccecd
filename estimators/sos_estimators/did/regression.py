"""From a sample to a regression: checks, covariates, effects, cells of identical cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sos_estimators.did.least_squares import Codes, Floats, Regression
from sos_plugins.errors import EstimationError, listing
from sos_plugins.types import Sample

Form = Literal["twfe", "stacked", "pilot-post"]

FORMS: Mapping[Form, str] = {
    "twfe": "authority and period effects",
    "stacked": "authority and period effects of each matched group",
    "pilot-post": "period effects, a pilot and a post term, no authority effects",
}
MAX_LEVELS = 500
"""A text covariate with more levels than this is an identifier, not a covariate."""

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
class Prepared:
    """A checked sample, the same for every engine.

    Attributes:
        frame: Cases with positive weight, with the further column ``D`` = treated x post.
        covariates: Covariates with more than one value.
        warnings: What a reader must know.
    """

    frame: pd.DataFrame
    covariates: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def count(self, column: str) -> int:
        """Count the distinct values of a column."""
        return int(self.frame[column].nunique())

    @property
    def treated_clusters(self) -> list[str]:
        """Clusters with treated cases after adoption."""
        return sorted({str(c) for c in self.frame.loc[self.frame["D"] == 1, "cluster"]})

    def without(self, rows: NDArray[np.bool_], warning: str) -> Prepared:
        """Leave rows out and say so."""
        frame = self.frame[~rows].reset_index(drop=True)
        return replace(self, frame=frame, warnings=(*self.warnings, warning))


def prepare(sample: Sample, form: Form) -> Prepared:
    """Check a sample and make it ready.

    Raises:
        EstimationError: If the sample cannot give an estimate; the sentence says why.
    """
    if form == "stacked" and not sample.has_groups:
        raise EstimationError(
            "form = 'stacked' needs matched groups, and the sample has none (no column 'group'): "
            "match authorities first, or use form = 'twfe'."
        )
    frame = sample.frame
    _check_values(frame, sample.covariates)
    weightless = int((frame["weight"] == 0).sum())
    frame = frame[frame["weight"] > 0].reset_index(drop=True)
    warnings = [f"{weightless} cases with weight 0 are left out."] if weightless else []
    frame = frame.assign(D=frame["treated"].astype(int) * frame["post"].astype(int))
    check_contrast(frame)
    constant = [c for c in sample.covariates if frame[c].nunique() < 2]
    if constant:
        warnings.append(f"Covariates with one value only are left out: {listing(constant)}.")
    covariates = tuple(c for c in sample.covariates if c not in constant)
    return Prepared(frame, covariates, tuple(warnings))


def _check_values(frame: pd.DataFrame, covariates: Sequence[str]) -> None:
    if frame.empty:
        raise EstimationError("The sample has no cases.")
    for column in [c for c in frame.columns if c != "id"]:
        values = frame[column]
        bad = values.isna()
        if pd.api.types.is_float_dtype(values):
            bad |= ~np.isfinite(values)
        if bad.any():
            raise EstimationError(
                f"Column '{column}' has {int(bad.sum())} missing or infinite values in "
                f"{len(frame)} cases; fill or drop them before estimating."
            )
    for column in ("treated", "post"):
        if not frame[column].isin([0, 1]).all():
            raise EstimationError(f"Column '{column}' must hold 0 and 1 only.")
    if (frame["weight"] < 0).any():
        n = int((frame["weight"] < 0).sum())
        raise EstimationError(f"{n} cases have a negative weight; a weight is 0 or more.")
    for column in covariates:
        if (
            not pd.api.types.is_numeric_dtype(frame[column])
            and frame[column].nunique() > MAX_LEVELS
        ):
            raise EstimationError(
                f"The text covariate '{column}' has {frame[column].nunique()} levels, more than "
                f"{MAX_LEVELS}; group them or leave it out."
            )


def check_contrast(frame: pd.DataFrame) -> None:
    """Check that there is something to compare.

    Raises:
        EstimationError: For no treated case, no comparator, no case before or after, a value that
            does not vary, or a single cluster.
    """
    treated = frame["treated"] == 1
    post = frame["post"] == 1
    if not treated.any():
        raise EstimationError(
            "No case belongs to a treated unit (column 'treated' is 0 throughout)."
        )
    if treated.all():
        raise EstimationError(
            "Every case belongs to a treated unit; a comparison needs cases of comparators."
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


def few_clusters(prepared: Prepared, threshold: int) -> tuple[str, ...]:
    """Warn of too few treated clusters for cluster-robust standard errors."""
    clusters = prepared.treated_clusters
    if len(clusters) == 1:
        return (
            f"Only one cluster is treated ({clusters[0]}): nothing shows how effects differ "
            "between treated clusters, so the standard error is far too small.",
        )
    if len(clusters) < threshold:
        return (
            f"Only {len(clusters)} clusters are treated (fewer than {threshold}): cluster-robust "
            "standard errors tend to be too small.",
        )
    return ()


def effects_columns(prepared: Prepared, form: Form) -> list[NDArray[np.int64]]:
    """Return codes of the case-level effects of a form."""
    return [_codes(prepared.frame, columns) for columns in EFFECT_COLUMNS[form]]


def _codes(frame: pd.DataFrame, columns: Sequence[str]) -> Codes:
    """Number the distinct rows of some columns 0, 1, ... in sorted order."""
    key = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        codes, levels = pd.factorize(frame[column], sort=True)
        key = key * len(levels) + codes
        key = np.unique(key, return_inverse=True)[1].astype(np.int64)
    return key


def collapse(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Make one row of all cases that are alike in ``by``.

    Returns:
        ``by``, ``n_cases``, the summed ``weight`` and the weighted mean ``value``.
    """
    key = _codes(frame, by)
    _, first = np.unique(key, return_index=True)
    weight = frame["weight"].to_numpy(float)
    cells = frame[list(by)].iloc[first].reset_index(drop=True)
    cells["n_cases"] = np.bincount(key)
    cells["weight"] = np.bincount(key, weight)
    cells["value"] = np.bincount(key, weight * frame["value"].to_numpy(float)) / cells["weight"]
    return cells


def is_category(values: pd.Series) -> bool:
    """Whether a covariate enters as dummies: text, booleans and categories do."""
    return pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values)


def covariate_columns(
    cells: pd.DataFrame, covariates: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Make numeric columns (m, k) and their names; the first level in sorted order is left out."""
    columns, names = [], []
    for covariate in covariates:
        values = cells[covariate]
        if not is_category(values):
            columns.append(values.to_numpy(float))
            names.append(covariate)
            continue
        codes, levels = pd.factorize(values.astype(str), sort=True)
        for number, level in enumerate(levels[1:], start=1):
            columns.append((codes == number).astype(float))
            names.append(f"{covariate}={level}")
    return np.column_stack(columns) if columns else np.empty((len(cells), 0)), tuple(names)


def regression(
    prepared: Prepared,
    form: Form,
    by: Sequence[str],
    terms: Callable[[pd.DataFrame], tuple[Floats, tuple[str, ...]]],
) -> Regression:
    """Set the regression of a form up on cells.

    Args:
        prepared: The checked sample.
        form: Which effects.
        by: Columns that the terms are made of.
        terms: Makes columns (m, p) and names of the cells.
    """
    structure = STRUCTURE[form]
    effects = EFFECT_COLUMNS[form]
    parts = [c for columns in effects for c in columns]
    cells = collapse(
        prepared.frame,
        list(dict.fromkeys([*parts, "cluster", *structure, *prepared.covariates, *by])),
    )
    made, names = covariate_columns(cells, prepared.covariates)
    columns, term_names = terms(cells)
    return Regression(
        value=cells["value"].to_numpy(float),
        weight=cells["weight"].to_numpy(float),
        n_cases=len(prepared.frame),
        effects=tuple(_codes(cells, columns) for columns in effects),
        cluster=_codes(cells, ["cluster"]),
        covariates=np.column_stack([cells[list(structure)].to_numpy(float), made]),
        covariate_names=(*structure, *names),
        terms=columns,
        term_names=term_names,
    )


def collinear_covariates(
    names: Sequence[str], kept: NDArray[np.bool_], form: Form
) -> tuple[str, ...]:
    """Name the covariates that were left out, as a warning, or nothing."""
    dropped = [
        name
        for name, keep in zip(names, kept, strict=False)
        if not keep and name not in STRUCTURE[form]
    ]
    if not dropped:
        return ()
    return (
        f"Left out because collinear with {FORMS[form]} and the covariates before them: "
        f"{', '.join(dropped)}.",
    )


def cannot_be_told(prepared: Prepared, form: Form, terms: str) -> EstimationError:
    """Say why the treatment is collinear with effects and covariates."""
    frame = prepared.frame
    treated = frame[frame["treated"] == 1]
    compared = frame[frame["treated"] == 0]
    keys = [c for c in EFFECT_COLUMNS[form][-1] if c in frame]
    times = {tuple(row) for row in compared[keys].drop_duplicates().to_numpy().tolist()}
    shared = [tuple(row) in times for row in treated[keys].to_numpy().tolist()]
    both_sides = treated[shared].groupby("unit")["post"].nunique().eq(2).any()
    if not both_sides:
        why = "no pilot has cases both before and after in periods in which comparators have any"
    elif form == "pilot-post" and compared["post"].nunique() < 2:
        why = "comparators have no cases on both sides of the window"
    elif prepared.covariates:
        why = f"it does not vary apart from them and the covariates {listing(prepared.covariates)}"
    else:
        why = "it does not vary apart from them"
    return EstimationError(f"{terms} cannot be told from {FORMS[form]}, because {why}.")


def one_sided_pilots(prepared: Prepared, form: Form) -> tuple[str, ...]:
    """Warn of pilots that have cases on one side only: with authority effects they tell nothing."""
    if form == "pilot-post":
        return ()
    treated = prepared.frame[prepared.frame["treated"] == 1]
    sides = treated.groupby("unit")["post"].nunique()
    units = sorted(str(u) for u in sides.index[sides < 2])
    if not units:
        return ()
    return (
        f"Treated units with cases only before or only after adoption: {listing(units)}; they say "
        "nothing about the effect.",
    )


def drop_perfectly_predicted(prepared: Prepared, form: Form) -> Prepared:
    """Leave out the cases whose value an effect or a covariate level predicts perfectly.

    A logit has no finite coefficient for a dummy whose cases all have the same value. Leaving them
    out can make another level perfect, so this repeats until none is left.

    Raises:
        EstimationError: If the value is not 0 or 1, or nothing is left to compare.
    """
    frame = prepared.frame
    if not frame["value"].isin([0, 1]).all():
        raise EstimationError("model = 'logit' needs a value of 0 or 1; use model = 'linear'.")
    groups = [list(columns) for columns in EFFECT_COLUMNS[form]]
    groups += [[c] for c in prepared.covariates if is_category(frame[c])]
    gone = np.zeros(len(frame), dtype=bool)
    told: dict[str, int] = {}
    while (perfect := _perfect(frame[~gone], groups)) is not None:
        columns, rows = perfect
        told[" x ".join(columns)] = told.get(" x ".join(columns), 0) + len(rows)
        gone[rows] = True
        if gone.all():
            raise EstimationError("Fixed effects and covariates predict every value perfectly.")
    if not gone.any():
        return prepared
    parts = ", ".join(f"{n} by {name}" for name, n in told.items())
    smaller = prepared.without(
        gone,
        f"{int(gone.sum())} of {len(frame)} cases are left out of the logit because their value is "
        f"predicted perfectly: {parts}.",
    )
    check_contrast(smaller.frame)
    covariates = tuple(c for c in prepared.covariates if smaller.frame[c].nunique() > 1)
    return replace(smaller, covariates=covariates)


def _perfect(
    frame: pd.DataFrame, groups: Sequence[list[str]]
) -> tuple[list[str], NDArray[np.int64]] | None:
    """Find the first set of columns with levels of one value, and the rows of those levels."""
    for columns in groups:
        codes = _codes(frame, columns)
        n = np.bincount(codes)
        ones = np.bincount(codes, frame["value"].to_numpy(float))
        rows = ((ones == 0) | (ones == n))[codes]
        if rows.any():
            return columns, frame.index.to_numpy()[rows]
    return None


def check_logit_contrast(prepared: Prepared) -> None:
    """Check that the value varies with and without treatment.

    Raises:
        EstimationError: If it does not: the log odds ratio would be infinite.
    """
    for level, where in ((1, "treated cases after adoption"), (0, "cases without treatment")):
        values = prepared.frame.loc[prepared.frame["D"] == level, "value"]
        if values.nunique() < 2:
            raise EstimationError(
                f"All {len(values)} {where} have the value {values.iloc[0]:g}: a logit has no "
                "finite effect there. Use model = 'linear'."
            )
