"""Cases that a logit cannot use because something predicts their value perfectly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sos_estimators.arrays import Ints
from sos_estimators.regression.design_matrix import codes_of
from sos_estimators.sample.prepare import EFFECT_COLUMNS, Form, RegressionSample, check_contrast
from sos_plugins.cells.compression import count
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.text_codes import is_category


def drop_perfectly_predicted(prepared: RegressionSample, form: Form) -> RegressionSample:
    """Leave out the cases whose value an effect or a covariate level predicts perfectly.

    A logit has no finite coefficient for a dummy whose cases all have the same value. Leaving them
    out can make another level perfect, so this repeats until none is left.

    Args:
        prepared: The checked sample.
        form: Which effects.

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
        told[" x ".join(columns)] = told.get(" x ".join(columns), 0) + count(frame.loc[rows])
        gone[rows] = True
        if gone.all():
            raise EstimationError("Fixed effects and covariates predict every value perfectly.")
    if not gone.any():
        return prepared
    parts = ", ".join(f"{n} by {name}" for name, n in told.items())
    smaller = prepared.where(
        ~gone,
        f"{count(frame[gone])} of {prepared.n_cases} cases are left out of the logit because "
        f"their value is predicted perfectly: {parts}.",
    )
    check_contrast(smaller.frame)
    covariates = tuple(c for c in prepared.covariates if smaller.frame[c].nunique() > 1)
    return replace(smaller, covariates=covariates)


def _perfect(frame: pd.DataFrame, groups: Sequence[list[str]]) -> tuple[list[str], Ints] | None:
    """Find the first set of columns with levels of one value, and the rows of those levels."""
    for columns in groups:
        codes = codes_of(frame, columns)
        n = np.bincount(codes)
        ones = np.bincount(codes, frame["value"].to_numpy(float))
        rows = ((ones == 0) | (ones == n))[codes]
        if rows.any():
            return columns, frame.index.to_numpy()[rows]
    return None


def check_logit_contrast(prepared: RegressionSample) -> None:
    """Check that the value varies with and without treatment.

    Args:
        prepared: The checked sample.

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
