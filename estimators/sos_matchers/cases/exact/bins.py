"""Cut points of a number: given, or chosen by the rules of R's histograms, as MatchIt has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rule = Literal["sturges", "scott", "fd"]
"""Sturges (1926), Scott (1979), Freedman and Diaconis (1981)."""

DIGITS = 5
"""Significant digits of the numbers from which R's ``nclass.FD`` takes quantiles."""
LARGEST_POWER = 300
"""Powers of ten by which a double is scaled without leaving its range."""
INNERMOST = 1 / 512
"""Share beyond which R's ``nclass.FD`` does not look for a range of quantiles that is not empty."""
WHOLE = 1e-9
"""A number of bins that is this near to a whole number is that number: the rest is rounding."""
SCOTT = 3.5
"""Scott's width in standard deviations, for one case."""


@dataclass(frozen=True)
class Numbers:
    """What the rules need to know of a number's values, of all cases where it is known.

    Attributes:
        n: How many values.
        low: The smallest.
        high: The largest.
        sd: Standard deviation, with n - 1.
        quantiles: Gives quantiles (type 7, of values to :data:`DIGITS` significant digits) at
            shares, (q,).
    """

    n: int
    low: float
    high: float
    sd: float
    quantiles: Callable[[Sequence[float]], Sequence[float] | Floats]

    @classmethod
    def of(cls, values: Floats) -> Numbers:
        """Describe an array (n,) without gaps; the order of its values changes no digit."""
        x = np.sort(values)
        return cls(
            len(x),
            float(x[0]),
            float(x[-1]),
            float(x.std(ddof=1)) if len(x) > 1 else 0.0,
            lambda shares: np.quantile(significant(x), shares),
        )


def significant(values: Floats) -> Floats:
    """Round to :data:`DIGITS` significant digits.

    >>> significant(np.array([123456.0, -0.00123456, 0.0])).tolist()
    [123460.0, -0.0012346, 0.0]
    """
    size = np.floor(np.log10(np.abs(np.where(values == 0, 1.0, values))))
    scale = 10.0 ** np.clip(DIGITS - 1 - size, -LARGEST_POWER, LARGEST_POWER)
    return np.asarray(np.rint(values * scale) / scale)


def number_of_bins(rule: Rule, numbers: Numbers) -> int:
    """Return how many bins of equal width a rule makes: ``nclass.Sturges`` and so on of R.

    Args:
        rule: The rule.
        numbers: The values.
    """
    if rule == "sturges":
        return _up(np.log2(numbers.n) + 1)
    cube_root = numbers.n ** (1 / 3)
    width = SCOTT * numbers.sd
    if rule == "fd":
        width = spread(numbers) or width
    if width <= 0:
        return 1
    return max(1, _up((numbers.high - numbers.low) / width * cube_root))


def spread(numbers: Numbers) -> float:
    """Return twice the range between quartiles, or between quantiles farther out where that is 0.

    Between the quantiles a and 1 - a it is divided by 1 - 2a, which for quartiles is doubling.
    """
    share = 1 / 4
    while share >= INNERMOST:
        low, high = numbers.quantiles([share, 1 - share])
        if high > low:
            return float(high - low) / (1 - 2 * share)
        share /= 2
    return 0.0


def _up(bins: float) -> int:
    return int(np.ceil(bins - WHOLE))


@dataclass(frozen=True)
class Cuts:
    """Where bins meet. A value at a cut point lies in the bin above it, as in R's ``findInterval``.

    Attributes:
        points: Cut points, sorted, (bins - 1,).
        start: Lower end of the first bin of equal width; None for points that were given.
        step: Width of such bins.
    """

    points: Floats
    start: float | None = None
    step: float = 0.0

    @classmethod
    def equal(cls, bins: int, numbers: Numbers) -> Cuts:
        """Cut the range of a number in bins of equal width."""
        step = (numbers.high - numbers.low) / bins
        points = np.arange(1, bins, dtype=float) * step + numbers.low
        return cls(points, numbers.low, step)

    def bins_of(self, values: Floats) -> NDArray[np.int64]:
        """Return the bin of each value, from 0, (n,); a gap is in the bin after the last."""
        found = np.searchsorted(self.points, values, side="right")
        return np.where(np.isnan(values), len(self.points) + 1, found)


def cuts_of(cut: Rule | int | Sequence[float], numbers: Numbers) -> Cuts:
    """Return where bins meet.

    Args:
        cut: A rule, a number of bins of equal width, or the cut points themselves.
        numbers: The values.
    """
    if isinstance(cut, int):
        return Cuts.equal(cut, numbers)
    if isinstance(cut, str):
        return Cuts.equal(number_of_bins(cut, numbers), numbers)
    return Cuts(np.unique(np.asarray(cut, dtype=float)))


def bin_labels(points: Floats) -> tuple[str, ...]:
    """Write the bins between cut points.

    >>> bin_labels(np.array([4.5, 12.5]))
    ('under 4.5', '4.5 to under 12.5', '12.5 and over')
    """
    at = [f"{point:.6g}" for point in points]
    if not at:
        return ("any",)
    between = [f"{low} to under {high}" for low, high in pairwise(at)]
    return (f"under {at[0]}", *between, f"{at[-1]} and over")
