"""Many cases of repeated cross-sections as few rows that give the same effects and errors.

All estimators of a comparison take a case through its weight, weight times covariates and weight
times outcome, and standard errors add up cases by cluster. So cases of one authority, period and
design row may be merged exactly. Outcome regression is linear in cross products too: there numeric
covariates with many values need no rows of their own (:mod:`sos_plugins.cells.build`); a propensity
does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.cells.compression import compress, is_compressed
from sos_plugins.contract.types import Sample
from sos_plugins.groundwork.text_codes import is_category

FROM = 20_000
"""Fewer cases than this are left as they are."""
MAX_ROWS = 2_000_000
"""Combinations of all levels beyond which counting them one by one is no gain."""
KEYS = ("unit", "period", "cohort", "cluster", "group")


def merged(sample: Sample, options: CallawaySantAnnaSettings) -> Sample:
    """Merge cases where nothing is lost by it; else return the sample as it is.

    A panel, standard errors by case, few cases, and values that a check will refuse stay as they
    are.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
    """
    frame = sample.frame
    by_case = options.cluster == "unit-of-observation"
    if sample.is_panel or by_case or is_compressed(frame) or len(frame) < FROM:
        return sample
    value, weight = frame["value"].to_numpy(float), frame["weight"].to_numpy(float)
    if not _can_be_summed(value, weight):
        return sample
    numbers = [c for c in sample.covariates if not is_category(frame[c])]
    if numbers and options.method == "reg":
        return compress(sample) or sample
    by_unit = frame["cluster"].equals(frame["unit"])
    keys = [name for name in KEYS if name in frame and not (by_unit and name == "cluster")]
    names = [*keys, *sample.covariates]
    coded = _codes(frame, names)
    return sample if coded is None else _summed(sample, coded, value, weight)


def cells_limit(sample: Sample, options: CallawaySantAnnaSettings) -> str | None:
    """Say why a compressed sample does not do.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
    """
    if not is_compressed(sample.frame):
        return None
    if options.cluster == "unit-of-observation":
        return "standard errors by case need the cases, and these are compressed to cells"
    if options.method != "reg" and any(not is_category(sample.frame[c]) for c in sample.covariates):
        return (
            "a propensity of numeric covariates needs the cases, and these are compressed to "
            "cells; method=reg does with cells"
        )
    return None


def _can_be_summed(value: Floats, weight: Floats) -> bool:
    """Whether values are finite and vary, and weights are not negative."""
    low, high = value.min(), value.max()
    return bool(np.isfinite([low, high]).all() and low < high and 0 <= weight.min() < np.inf)


def _codes(frame: pd.DataFrame, names: list[str]) -> tuple[Ints, Ints] | None:
    """Number each case's combination of levels; (n,), and a case of each number.

    None where a level is missing or combinations are too many to count.
    """
    weightless = (frame["weight"].to_numpy(float) == 0).astype(np.int64)
    code, size = weightless, 2
    for name in names:
        codes, n_levels = _levels(frame[name])
        if codes is None or size * n_levels > np.iinfo(np.int64).max // 2:
            return None
        code = code * n_levels + codes
        size *= n_levels
        if size > MAX_ROWS:
            code, size = _dense(code)
            if size > min(MAX_ROWS, len(frame) // 2):
                return None
    example = np.full(size, -1, dtype=np.int64)
    example[code] = np.arange(len(code))
    return code, example


def _levels(values: pd.Series) -> tuple[Ints | None, int]:
    """Number the levels of a column, (n,), and count them; no numbers where one is missing."""
    if pd.api.types.is_integer_dtype(values.dtype) and not values.isna().any():
        numbers = values.to_numpy(np.int64)
        low, high = int(numbers.min()), int(numbers.max())
        if high - low < MAX_ROWS // 100:
            return numbers - low, high - low + 1
    codes, levels = pd.factorize(values)
    return (None if codes.min() < 0 else codes.astype(np.int64)), len(levels)


def _dense(code: Ints) -> tuple[Ints, int]:
    codes, levels = pd.factorize(code)
    return codes.astype(np.int64), len(levels)


def _summed(sample: Sample, coded: tuple[Ints, Ints], value: Floats, weight: Floats) -> Sample:
    code, example = coded
    there = example >= 0
    size = len(example)
    n = np.bincount(code, minlength=size)[there]
    total = np.bincount(code, weight, minlength=size)[there]
    sums = np.bincount(code, weight * value, minlength=size)[there]
    plain = np.bincount(code, value, minlength=size)[there]
    squares = np.bincount(code, weight**2, minlength=size)[there]
    rows = sample.frame.take(example[there]).assign(
        weight=total,
        value=sums / np.where(total > 0, total, 1.0),
        **dict(zip(COMPRESSED, (n, squares, plain), strict=True)),
    )
    return replace(sample, frame=rows.reset_index(drop=True))
