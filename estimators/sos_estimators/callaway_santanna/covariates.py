"""Covariates as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.callaway_santanna.nuisance import independent_columns
from sos_estimators.sample.staggered import about_constant
from sos_plugins.groundwork.text_codes import is_category


@dataclass(frozen=True)
class CovariateMatrix:
    """Covariates as numbers.

    Attributes:
        matrix: A column of ones, then the columns named in ``names``; (rows, 1 + names).
        names: ``x1``, ``x2``, ...
        covariates: Covariates that vary, under their own names.
        warnings: Covariates or levels that were left out.
    """

    matrix: Floats
    names: tuple[str, ...]
    covariates: tuple[str, ...]
    warnings: tuple[str, ...]


def covariate_matrix(frame: pd.DataFrame, covariates: tuple[str, ...]) -> CovariateMatrix:
    """Make numbers of covariates over all rows.

    Numbers enter linearly, in standard deviations from their mean (which changes no effect, for
    there is an intercept); text and booleans as dummies without the first level in sorted order.
    What has one value only, or is a combination of earlier columns, is left out with a warning.

    Args:
        frame: The rows.
        covariates: Columns of them, without gaps.
    """
    columns: list[tuple[str, Floats]] = []
    constant = []
    for name in covariates:
        made = _columns(name, frame[name])
        if not made:
            constant.append(name)
        columns.extend(made)
    matrix = np.column_stack([np.ones(len(frame)), *(column for _, column in columns)])
    kept = independent_columns(matrix)
    spare = [name for j, (name, _) in enumerate(columns, 1) if j not in kept]
    told = [f"'{name}' is a combination of other covariates and is left out." for name in spare]
    return CovariateMatrix(
        matrix=matrix[:, kept],
        names=tuple(f"x{j}" for j in range(1, len(kept))),
        covariates=tuple(name for name in covariates if name not in constant),
        warnings=(*about_constant(constant), *told),
    )


def _columns(name: str, values: pd.Series) -> list[tuple[str, Floats]]:
    if is_category(values):
        codes, levels = pd.factorize(values)
        text = np.array([str(level) for level in levels], dtype=object)
        return [(f"{name}={v}", (text == v)[codes].astype(float)) for v in sorted(set(text))[1:]]
    numbers = values.to_numpy(dtype=float)
    deviation = numbers.std()
    if np.ptp(numbers) == 0 or deviation == 0:
        return []
    return [(name, (numbers - numbers.mean()) / deviation)]
