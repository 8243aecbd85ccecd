"""Rows that stand for many cases: how to make them from a sample, and how to count them.

A compressed frame has the columns :data:`sos_plugins.cells.build.COMPRESSED`; a frame without them
has one row a case.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sos_plugins.cells.build import COMPRESSED, cells
from sos_plugins.contract.types import Sample
from sos_plugins.groundwork.own_names import hiding_own_names

COUNT, SQUARES, _ = COMPRESSED
ALIKE = 1e-9
"""Rounding of a sum of equal squared weights."""
KEYS = ("cohort", "treated", "post", "group")
"""Columns of a sample that tell cells apart beside unit, period and cluster."""


def is_compressed(frame: pd.DataFrame) -> bool:
    """Whether rows stand for many cases."""
    return COUNT in frame


def counts(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return how many cases each row stands for, (rows,)."""
    return frame[COUNT].to_numpy(float) if is_compressed(frame) else np.ones(len(frame))


def count(frame: pd.DataFrame) -> int:
    """Return how many cases the rows of a frame stand for."""
    return round(float(frame[COUNT].sum())) if is_compressed(frame) else len(frame)


def mean(frame: pd.DataFrame) -> float:
    """Return the mean value of the cases, each counted once; missing without cases."""
    n = counts(frame)
    return float((frame["value"].to_numpy(float) * n).sum() / n.sum()) if n.sum() else float("nan")


def reweighted(frame: pd.DataFrame, weight: NDArray[np.float64]) -> pd.DataFrame:
    """Give rows new weights, (rows,): those of all the cases that a row stands for together."""
    if not is_compressed(frame):
        return frame.assign(weight=weight)
    old = frame["weight"].to_numpy(float)
    squares = frame[SQUARES].to_numpy(float) * (weight / np.where(old > 0, old, 1.0)) ** 2
    return frame.assign(weight=weight, **{SQUARES: squares})


def squares(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the sum of squared weights of the cases of each row, (rows,)."""
    if is_compressed(frame):
        return frame[SQUARES].to_numpy(float)
    return frame["weight"].to_numpy(float) ** 2


@hiding_own_names
def compress(sample: Sample) -> Sample | None:
    """Compress a sample for engines that take cells; their results are those of the cases.

    Returns:
        The compressed sample, with rows of their own for the values 0 and 1 of a binary outcome
        without numeric covariates; None where that is no gain or loses something: a panel, cases
        of weight 0 (which are counted in words). Of rows that stand for many cases already, those
        that are alike for an estimator are added up.

    Raises:
        DataError: If a column has missing or infinite values, or a weight is negative.
    """
    frame = sample.frame
    if sample.is_panel or (frame["weight"] == 0).any():
        return None
    if is_compressed(frame):
        return _merged(sample)
    keys = [key for key in KEYS if key in frame]
    used = list(dict.fromkeys(["unit", "period", *keys, "cluster", "value", "weight"]))
    used += [c for c in sample.covariates if c not in used]
    texts = {c: _as_text(frame[c]) for c in sample.covariates}
    compressed = cells(
        frame[used].assign(**texts),
        weight="weight",
        covariates=sample.covariates,
        keys=keys,
        cluster="cluster",
    )
    rows = compressed.rows(by_value=sample.binary and compressed.binary and not compressed.numbers)
    return Sample(rows, sample.covariates, sample.binary, sample.window_gap)


def _merged(sample: Sample) -> Sample | None:
    """Add up rows that differ in nothing that an estimator looks at; None where there are none."""
    frame = sample.frame
    numbers = [c for c in sample.covariates if pd.api.types.is_numeric_dtype(frame[c])]
    sums = ["weight", *COMPRESSED]
    if numbers or frame[sums].isna().to_numpy().any():
        return None
    keys = ["unit", "period", *(key for key in KEYS if key in frame), "cluster"]
    keys += [c for c in sample.covariates if c not in keys]
    if _by_value(sample):
        keys.append("value")
    if not frame.duplicated(keys).any():
        return None
    whole = frame[[*keys, *sums]].assign(_weighted=frame["weight"] * frame["value"])
    rows = whole.groupby(keys, sort=True, observed=True, as_index=False).sum()
    rows["value"] = rows["value"] if "value" in keys else rows["_weighted"] / rows["weight"]
    return replace(sample, frame=rows.drop(columns="_weighted"))


def _by_value(sample: Sample) -> bool:
    return sample.binary and bool(sample.frame["value"].isin([0.0, 1.0]).all())


def expand(sample: Sample) -> Sample | None:
    """Return one row a case where rows stand for cases that are alike; None where they are not.

    Cases are alike when they have the same value, 0 or 1, and the same weight.
    """
    frame = sample.frame
    if not is_compressed(frame):
        return sample
    n, weight = counts(frame), frame["weight"].to_numpy(float)
    alike = np.isclose(squares(frame), weight**2 / n, rtol=ALIKE, atol=0)
    if not _by_value(sample) or not (n == np.round(n)).all() or not alike.all():
        return None
    cases = frame.drop(columns=list(COMPRESSED)).assign(weight=weight / n)
    row = np.repeat(np.arange(len(frame)), n.astype(int))
    return replace(sample, frame=cases.iloc[row].reset_index(drop=True))


def _as_text(values: pd.Series) -> pd.Series:
    """Make text of levels that a database would take for numbers."""
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_numeric_dtype(values):
        return values
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    return values.astype(str).where(values.notna())
