"""Common support of cases: where the scores of pilots' and comparators' cases lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_matchers.cases.data import CaseData
from sos_matchers.propensity import Scores
from sos_plugins.contract.interfaces import OVERLAP_COLUMNS

BINS = 50
"""Bins of the score from 0 to 1 in the data of an overlap plot."""


@dataclass(frozen=True)
class Support:
    """Where scores lie.

    Attributes:
        outside: Share of pilots' cases whose score is lower or higher than that of every
            comparators' case of their stratum.
        frame: Frame of :data:`sos_plugins.contract.interfaces.OVERLAP_COLUMNS`.
    """

    outside: float
    frame: pd.DataFrame

    @property
    def words(self) -> str:
        """Say it in a sentence, with a space before."""
        return (
            f" {100 * self.outside:.1f}% of pilots' cases have a score outside the range of "
            "comparators' cases in their stratum."
        )

    def warnings(self, most: float) -> tuple[str, ...]:
        """A warning where more than a share lie outside."""
        if self.outside <= most:
            return ()
        return (
            f"{100 * self.outside:.1f}% of pilots' cases have a score outside the range of "
            "comparators' cases in their stratum: nobody like them is there to compare with.",
        )


def common_support(data: CaseData, scores: Scores, weight: np.ndarray) -> Support:
    """Compare the scores of pilots' cases with those of comparators' cases.

    Args:
        data: The cases.
        scores: Their scores.
        weight: Array (rows,) of the weights after matching or weighting.
    """
    own = data.treated == 1
    low, high = (np.full(len(data.strata), end) for end in (np.inf, -np.inf))
    np.minimum.at(low, data.stratum[~own], scores.logit[~own])
    np.maximum.at(high, data.stratum[~own], scores.logit[~own])
    stratum, logit, n = data.stratum[own], scores.logit[own], data.counts[own]
    beyond = (logit < low[stratum]) | (logit > high[stratum])
    return Support(float(n[beyond].sum() / n.sum()), _histogram(data, scores.probability, weight))


def _histogram(data: CaseData, score: np.ndarray, weight: np.ndarray) -> pd.DataFrame:
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    parts = []
    for side in (1, 0):
        rows = data.treated == side
        sums = [
            np.bincount(place[rows], values[rows], minlength=BINS)
            for values in (data.counts, data.weight, weight)
        ]
        low = np.arange(BINS) / BINS
        columns = (low, low + 1 / BINS, np.full(BINS, side), *sums)
        parts.append(pd.DataFrame(dict(zip(OVERLAP_COLUMNS, columns, strict=True))))
    return pd.concat(parts, ignore_index=True)
