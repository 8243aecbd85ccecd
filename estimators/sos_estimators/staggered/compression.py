"""From cases to rows that stand for many of them, before anything else is done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.sample.prepare import is_category
from sos_plugins.cells.build import COMPRESSED, cells
from sos_plugins.contract.types import Sample

FROM = 20_000
"""Fewer rows than this are collapsed as they are: the query would take longer."""
KEYS = ("cohort", "treated", "post")


@dataclass(frozen=True)
class Compressed:
    """A sample, and how many cases of weight 0 it no longer has."""

    sample: Sample
    n_weightless: int = 0


def compressed(sample: Sample) -> Compressed:
    """Compress many cases of a repeated cross-section in one pass; other samples stay as they are.

    Results are the same: all sums and cross products by authority, period and level are kept. So
    what follows costs the same for any number of cases, numeric covariates or not.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.

    Raises:
        DataError: If a column has missing or infinite values, or a weight is negative.
    """
    frame = sample.frame
    if sample.is_panel or COMPRESSED[0] in frame or len(frame) < FROM:
        return Compressed(sample)
    used = ["unit", "period", *KEYS, "cluster", "value", "weight", *sample.covariates]
    frame = frame[used].assign(**{c: _as_text(frame[c]) for c in sample.covariates})
    summed = cells(
        frame, weight="weight", covariates=sample.covariates, keys=KEYS, cluster="cluster"
    )
    fewer = summed.sample()
    in_order = Sample(fewer.frame, sample.covariates, sample.binary, sample.window_gap)
    return Compressed(in_order, summed.n_weightless)


def _as_text(values: pd.Series) -> pd.Series:
    """Make text of levels that a database would take for numbers."""
    if not is_category(values) or pd.api.types.is_bool_dtype(values):
        return values
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    return values.astype(str).where(values.notna())


def varies(values: pd.Series) -> bool:
    """Whether a covariate has more than one value, rounding aside.

    Args:
        values: A column.
    """
    if is_category(values):
        return bool(values.nunique() > 1)
    numbers = values.to_numpy(float)
    return bool(np.ptp(numbers) > 1e-12 * np.abs(numbers).max())
