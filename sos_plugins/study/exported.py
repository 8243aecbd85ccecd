"""The cases of an outcome as a table for other programs."""

from __future__ import annotations

import pandas as pd

from sos_plugins.contract.types import Sample
from sos_plugins.study.preparation import PreparedOutcome

KEYS = ["case", "group"]
"""What tells the rows of one data set apart."""


def exported_cases(prepared: PreparedOutcome) -> pd.DataFrame:
    """Return every case in every matched group that it serves, with its weights.

    Args:
        prepared: The outcome, matched.

    Returns:
        The columns of the stacked sample; ``weight`` is that of the matching of cases, 0 where a
        case was not matched, and ``weight_before`` what it came with. With imputation there is a
        row for each completed data set, numbered from 1 in ``imputation``.
    """
    before = prepared.unweighted.completed or (prepared.unweighted,)
    after = prepared.stacked.completed or (prepared.stacked,)
    parts = [
        _with_weights(one, other).assign(imputation=number)
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["imputation", *(c for c in table if c != "imputation")]]


def _with_weights(before: Sample, after: Sample) -> pd.DataFrame:
    weights = after.frame[[*KEYS, "weight"]]
    frame = before.frame.rename(columns={"weight": "weight_before"})
    frame = frame.merge(weights, on=KEYS, how="left", validate="1:1")
    return frame.assign(weight=frame["weight"].fillna(0.0))
