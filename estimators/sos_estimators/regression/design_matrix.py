"""The regression of a prepared sample, on cells of identical cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.regression.least_squares import Regression, side_by_side
from sos_estimators.sample.prepare import (
    EFFECT_COLUMNS,
    STRUCTURE,
    Form,
    RegressionSample,
    is_category,
)
from sos_plugins.cells.build import COMPRESSED

Terms = Callable[[pd.DataFrame], tuple[Floats, tuple[str, ...]]]
"""Makes columns (m, p) and p names of m cells."""


def codes_of(frame: pd.DataFrame, columns: Sequence[str]) -> Ints:
    """Number the distinct rows of some columns 0, 1, ... in sorted order.

    Args:
        frame: Rows, m.
        columns: Names of columns.
    """
    key = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        codes, levels = pd.factorize(frame[column], sort=True)
        key = key * len(levels) + codes
        key = np.unique(key, return_inverse=True)[1].astype(np.int64)
    return key


def collapse(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Make one row of all cases that are alike in ``by``.

    A compressed sample has the sums of its rows' cases already (:mod:`sos_plugins.cells.build`).

    Args:
        frame: Cases.
        by: Names of columns.

    Returns:
        ``by``, ``n_cases``, the summed ``weight``, the weighted mean ``value``, the summed squares
        of the weights ``weight_squares`` and the sum of the values ``value_sums``.
    """
    key = codes_of(frame, by)
    _, first = np.unique(key, return_index=True)
    weight = frame["weight"].to_numpy(float)
    cells = frame[list(by)].iloc[first].reset_index(drop=True)
    for column, values in case_sums(frame).items():
        cells[column] = np.bincount(key, values)
    cells["weight"] = np.bincount(key, weight)
    cells["value"] = np.bincount(key, weight * frame["value"].to_numpy(float)) / cells["weight"]
    return cells


def case_sums(frame: pd.DataFrame) -> dict[str, Floats]:
    """Return for each row its cases, the sum of their squared weights and of their values.

    Args:
        frame: Cases, or rows of a compressed sample.
    """
    if COMPRESSED[0] in frame:
        columns = [frame[column].to_numpy(float) for column in COMPRESSED]
    else:
        weight = frame["weight"].to_numpy(float)
        columns = [np.ones(len(frame)), weight**2, frame["value"].to_numpy(float)]
    return dict(zip(("n_cases", "weight_squares", "value_sums"), columns, strict=True))


def covariate_columns(
    cells: pd.DataFrame, covariates: Sequence[str]
) -> tuple[Floats, tuple[str, ...]]:
    """Make numeric columns (m, k) and their names; the first level in sorted order is left out.

    Args:
        cells: Rows, m.
        covariates: Names of columns.
    """
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
    return side_by_side(columns, len(cells)), tuple(names)


def treatment(cells: pd.DataFrame) -> tuple[Floats, tuple[str, ...]]:
    """Return the one term of the classic design, treated x post, (m, 1), and its name.

    Args:
        cells: With the column ``D``, m rows.
    """
    return cells[["D"]].to_numpy(float), ("ATT",)


def regression(
    prepared: RegressionSample,
    form: Form,
    by: Sequence[str],
    terms: Terms,
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
        n_cases=prepared.n_cases,
        effects=tuple(codes_of(cells, columns) for columns in effects),
        cluster=codes_of(cells, ["cluster"]),
        covariates=side_by_side([*(cells[c].to_numpy(float) for c in structure), made], len(cells)),
        covariate_names=(*structure, *names),
        terms=columns,
        term_names=term_names,
        cases=cells["n_cases"].to_numpy(float),
        weight_squares=cells["weight_squares"].to_numpy(float),
        value_sums=cells["value_sums"].to_numpy(float),
    )
