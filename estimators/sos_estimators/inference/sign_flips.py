"""Tests on the treated clusters' own effects: t, and the signs of their departures.

Both take own effects as independent and symmetric about the mean effect, of any variance; what they
have in common, the noise of the comparison clusters, must be small. So they are for many
comparison clusters, and for three treated ones or more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.wild import share_as_large
from sos_plugins.authors.results import t_quantile, t_two_sided

MOST_LISTED = 14
"""All sign vectors of so many own effects are listed (16,384); of more, as many are drawn."""
SPAN = 50.0
"""Confidence sets are looked for within so many standard errors of the mean."""
HALVINGS = 60


@dataclass(frozen=True)
class OwnTest:
    """A test that the mean of own effects is zero.

    Attributes:
        mean: Plain mean of the own effects, in units of the value.
        std_error: Standard deviation over the root of the number.
        df: Degrees of freedom; missing for signs.
        p_value: Two-sided.
        conf_low: Lower end of the confidence set; infinite if it is open.
        conf_high: Upper end.
        distribution: What the statistic is compared with.
    """

    mean: float
    std_error: float
    df: float
    p_value: float
    conf_low: float
    conf_high: float
    distribution: str

    @property
    def statistic(self) -> float:
        """Mean over standard error."""
        return self.mean / self.std_error


def t_test(own: Floats, conf_level: float) -> OwnTest:
    """Return Student's t test of the own effects.

    Ibragimov and Muller (2010), Journal of Business and Economic Statistics 28(4).

    Args:
        own: Of q treated clusters, (q,), at least two.
        conf_level: Of the interval.
    """
    q = len(own)
    mean, error = float(own.mean()), float(own.std(ddof=1) / math.sqrt(q))
    half = float(t_quantile((1 + conf_level) / 2, q - 1)) * error
    p_value = float(t_two_sided(mean / error, q - 1))
    return OwnTest(
        mean,
        error,
        q - 1.0,
        p_value,
        mean - half,
        mean + half,
        f"t with {q - 1} degrees of freedom",
    )


def sign_test(own: Floats, conf_level: float, *, seed: int = 1) -> OwnTest:
    """Return the randomisation test over the signs of the own effects.

    Canay, Romano and Shaikh (2017), Econometrica 85(3). The t statistic is compared with those of
    all sign vectors; the smallest p value is ``2 / 2**q``.

    Args:
        own: Of q treated clusters, (q,), at least two.
        conf_level: Of the confidence set.
        seed: Of the draws, where there are more sign vectors than are listed.
    """
    signs, complete = _signs(len(own), seed)

    def p_value(size: float) -> float:
        left = own - size
        return share_as_large(_t(signs * left), float(_t(left[None])[0]), complete=complete)

    plain = t_test(own, conf_level)
    level = 1 - conf_level
    low, high = (_end(p_value, plain, level, side) for side in (-1.0, 1.0))
    number = f"all {len(signs)}" if complete else f"{len(signs)}"
    return OwnTest(
        plain.mean,
        plain.std_error,
        float("nan"),
        p_value(0.0),
        low,
        high,
        f"{number} sign vectors of {len(own)} own effects",
    )


def _signs(q: int, seed: int) -> tuple[Floats, bool]:
    if q <= MOST_LISTED:
        return np.array(list(itertools.product((1.0, -1.0), repeat=q))), True
    rng = np.random.default_rng(seed)
    return rng.choice((-1.0, 1.0), size=(2**MOST_LISTED, q)), False


def _t(own: Floats) -> Floats:
    """Return absolute t statistics of rows, (B,)."""
    deviation = own.std(axis=1, ddof=1)
    mean = np.abs(own.mean(axis=1))
    whole = np.where(mean > 0, np.inf, 0.0)
    sizes = np.divide(mean * math.sqrt(own.shape[1]), deviation, out=whole, where=deviation > 0)
    return np.asarray(sizes)


def _end(p_value: Callable[[float], float], plain: OwnTest, level: float, side: float) -> float:
    inner, outer = plain.mean, plain.mean + side * SPAN * plain.std_error
    if p_value(outer) > level:
        return side * math.inf
    for _ in range(HALVINGS):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if p_value(middle) > level else (inner, middle)
    return inner
