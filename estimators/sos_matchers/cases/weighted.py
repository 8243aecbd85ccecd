"""Weights of comparators' cases: scaled within strata, and how much of the sample they leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from sos_matchers.cases.data import CaseData
from sos_matchers.summaries import plural
from sos_plugins import Settings


class EffectiveSettings(Settings):
    """When little of the sample is left."""

    warn_effective: float = Field(
        0.5,
        ge=0,
        le=1,
        description="warn when weighting leaves less than this share of the effective sample size",
    )


class WarnSettings(EffectiveSettings):
    """When weights are warned of."""

    warn_weight: float = Field(
        10.0, gt=1, description="warn when a case weighs this many times the mean of its stratum"
    )


@dataclass(frozen=True)
class Weighted:
    """Weights of cases, and the effective sample size that they leave of comparators' (Kish 1965).

    Attributes:
        weight: Array (rows,); comparators' cases of a stratum add up to its pilots' cases.
        relative: Array (comparators' rows,): weights relative to the mean of their stratum.
        n_controls: Comparators' cases.
        before: Effective number of comparators' cases before.
        after: The same after.
    """

    weight: np.ndarray
    relative: np.ndarray
    n_controls: int
    before: float
    after: float

    @property
    def effective_words(self) -> str:
        """Say how much of the sample is left."""
        return (
            f"{plural(self.n_controls, 'case')} of comparators have an effective sample size of "
            f"{self.after:,.0f}."
        )


def weigh(data: CaseData, relative: np.ndarray) -> Weighted:
    """Weight cases.

    Args:
        data: The cases.
        relative: Array (rows,) of factors on the weights that the cases came with, 1 for pilots'.
    """
    control = data.treated == 0
    weight = stratum_weights(data, relative)
    n_controls = round(float(data.counts[control].sum()))
    return Weighted(weight, relative[control], n_controls, *effective_sizes(data, weight, control))


def effective_sizes(data: CaseData, weight: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Return the effective sample size of some cases, before and after weighting.

    Args:
        data: The cases.
        weight: Array (rows,) of new weights.
        rows: Array (rows,), which cases.
    """
    squares = data.squares * (weight / data.weight) ** 2
    return (
        effective_size(data.weight[rows], data.squares[rows]),
        effective_size(weight[rows], squares[rows]),
    )


def weight_warnings(weighted: Weighted, settings: WarnSettings, advice: str) -> Iterator[str]:
    """Yield sentences on weights that are large, with what to do, and on little overlap."""
    largest = float(weighted.relative.max())
    if largest > settings.warn_weight:
        yield (
            f"A case of a comparator weighs {largest:.1f} times the mean of its stratum: few "
            f"comparators are like some pilots' cases. {advice}"
        )
    yield from effective_warnings(weighted.before, weighted.after, settings)


def effective_warnings(
    before: float,
    after: float,
    settings: EffectiveSettings,
    *,
    side: str = "comparators'",
    what: str = "Weighting",
) -> Iterator[str]:
    """Yield a sentence where too little of an effective sample size is left.

    Args:
        before: Effective number of cases before.
        after: The same after.
        settings: What counts as too little.
        side: Whose cases they are.
        what: What leaves them.
    """
    if after < settings.warn_effective * before:
        yield (
            f"{what} leaves an effective sample size of {after:,.0f} of {before:,.0f} among "
            f"{side} cases: pilots and comparators overlap little."
        )


def quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    """Return the quantile of values that stand for several cases each, as ``numpy.quantile``.

    >>> quantile(np.array([1.0, 2.0]), np.array([3, 1]), 0.5), np.median([1, 1, 1, 2])
    (1.0, np.float64(1.0))
    """
    order = np.argsort(values)
    ends = np.round(np.cumsum(counts[order]))
    place = (ends[-1] - 1) * share
    near = values[order][np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")]
    return float(near[0] + (near[1] - near[0]) * (place - np.floor(place)))


def stratum_weights(data: CaseData, relative: np.ndarray) -> np.ndarray:
    """Multiply with the weights of the sample; controls of a stratum add up to its treated."""
    weight = data.weight * relative
    control = data.treated == 0
    total = np.bincount(data.stratum, np.where(control, 0, weight))
    own = np.bincount(data.stratum, np.where(control, weight, 0))
    return np.asarray(np.where(control, weight * (total / own)[data.stratum], weight))


def effective_size(weight: np.ndarray, squares: np.ndarray) -> float:
    """Return Kish's effective sample size, ``(sum w)^2 / sum w^2``, of weights and their squares.

    It is missing where nothing has weight.

    >>> weight = np.array([1.0, 1.0, 2.0])
    >>> effective_size(weight, weight**2)
    2.6666666666666665
    """
    total = float(squares.sum())
    return float(weight.sum()) ** 2 / total if total > 0 else float("nan")
