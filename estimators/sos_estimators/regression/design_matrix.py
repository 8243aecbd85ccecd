"""The regression of a prepared sample, on cells of identical cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.regression.least_squares import Regression, side_by_side
from sos_estimators.sample.coded import Coded, Combined
from sos_estimators.sample.prepare import EFFECT_COLUMNS, STRUCTURE, Form, RegressionSample
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.groundwork.text_codes import is_category

Terms = Callable[[pd.DataFrame], tuple[Floats, tuple[str, ...]]]
"""Makes columns (m, p) and p names of m cells."""


def codes_of(frame: pd.DataFrame, columns: Sequence[str]) -> Ints:
    """Number the distinct rows of some columns 0, 1, ... in sorted order.

    Args:
        frame: Rows, m.
        columns: Names of columns.
    """
    coded = [Coded.of(frame[column]) for column in columns]
    return coded[0].codes if len(coded) == 1 else Combined.of(coded).codes


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
    cells = Combined.of([Coded.of(frame[column]) for column in by])
    rows = frame[list(by)].iloc[cells.first].reset_index(drop=True)
    return rows.assign(**sums_of_cells(frame, cells.codes))


def sums_of_cells(frame: pd.DataFrame, cell: Ints) -> dict[str, Floats]:
    """Return ``n_cases``, ``weight_squares``, ``value_sums``, ``weight`` and ``value`` of cells.

    Args:
        frame: Cases, n.
        cell: Of each case, 0, 1, ... without gaps, (n,).

    Returns:
        As :func:`collapse`, (m,) each.
    """
    weight = frame["weight"].to_numpy(float)
    columns = {
        **case_sums(frame),
        "weight": weight,
        "value": weight * frame["value"].to_numpy(float),
    }
    sums = {name: np.bincount(cell, values).astype(float) for name, values in columns.items()}
    return {**sums, "value": sums["value"] / sums["weight"]}


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
    return cells["D"].to_numpy(float)[:, None], ("ATT",)


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
        terms: Makes columns (m, p) and names of the cells, of which it gets the columns ``by``.
    """
    structure, effects, frame = STRUCTURE[form], EFFECT_COLUMNS[form], prepared.frame
    parts = [c for columns in effects for c in columns]
    keys = dict.fromkeys([*parts, "cluster", *structure, *prepared.covariates, *by])
    cells = Combined.of([prepared.coded(column) for column in keys])
    first = cells.first
    made, names = _covariates_of(prepared, first)
    columns, term_names = terms(_rows(frame, by, first))
    sums = sums_of_cells(frame, cells.codes)
    fixed = [frame[c].to_numpy(float)[first] for c in structure]
    return Regression(
        value=sums["value"],
        weight=sums["weight"],
        n_cases=prepared.n_cases,
        effects=tuple(_effects_of(prepared, columns, first) for columns in effects),
        cluster=prepared.coded("cluster").codes[first],
        covariates=side_by_side([*fixed, made], len(first)),
        covariate_names=(*structure, *names),
        terms=columns,
        term_names=term_names,
        cases=sums["n_cases"],
        weight_squares=sums["weight_squares"],
        value_sums=sums["value_sums"],
    )


def _rows(frame: pd.DataFrame, columns: Sequence[str], places: Ints) -> pd.DataFrame:
    """Return some rows of some columns, numbered anew."""
    taken = {c: frame[c].array.take(places) for c in dict.fromkeys(columns)}
    return pd.DataFrame(taken)


def _effects_of(prepared: RegressionSample, columns: Sequence[str], first: Ints) -> Ints:
    """Number the combinations of columns in cells, of which the first rows are given."""
    coded = [Coded(prepared.coded(c).codes[first], prepared.coded(c).levels) for c in columns]
    return coded[0].codes if len(coded) == 1 else Combined.of(coded).codes


def _covariates_of(prepared: RegressionSample, first: Ints) -> tuple[Floats, tuple[str, ...]]:
    """Do as :func:`covariate_columns` for cells, of which the first rows are given."""
    columns, names = [], []
    for covariate in prepared.covariates:
        values = prepared.frame[covariate]
        if isinstance(values.dtype, pd.StringDtype):
            coded = prepared.coded(covariate)
            columns += [(coded.codes[first] == n).astype(float) for n in range(1, len(coded))]
            names += [f"{covariate}={level}" for level in coded.levels[1:]]
            continue
        made, named = covariate_columns(values.take(first).to_frame(), [covariate])
        columns.append(made)
        names += named
    return side_by_side(columns, len(first)), tuple(names)
