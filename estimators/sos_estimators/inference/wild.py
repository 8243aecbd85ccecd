"""The wild cluster bootstrap on cross products by cluster.

Cameron, Gelbach and Miller (2008), Review of Economics and Statistics 90(3); computed from the
scores of clusters as in MacKinnon (2023), Econometrics and Statistics, and MacKinnon, Nielsen and
Webb (2023), Journal of Applied Econometrics 38(5). A replication multiplies every cluster's
scores by a draw v_g and costs G K multiplications, whatever the number of cases. Under a
restriction b = r the scores are linear in r, so five numbers a replication give its t statistic
for every r, and a confidence set by inversion costs no further draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.cluster_products import ClusterProducts

Weights = Literal["auto", "rademacher", "webb"]

WEBB_BELOW = 13
"""Draws of Webb's six points where there are fewer clusters than this and too few draws to take
all of Rademacher's: 2^12 = 4096 draws of two points can leave ties and gaps in the distribution."""
TIE = 1e-9
"""Relative: t statistics that differ by less are equal. The draw of ones repeats the sample."""
STEPS = 60
"""Halvings of an interval when an end of the confidence set is searched: to rounding."""
BLOCK = 512
"""Replications at a time: their arrays stay in the cache, and memory does not grow with draws."""
WIDEST = 2.0**12
"""The search for an end of the confidence set stops this many standard errors away."""


@dataclass(frozen=True)
class Draws:
    """Draws of the auxiliary variable, (B, G), and whether they are all there are."""

    values: Floats | NDArray[np.int8]
    complete: bool
    name: str


@dataclass(frozen=True)
class Wild:
    """A wild cluster bootstrap of one coefficient.

    Attributes:
        statistic: The t statistic with the CR1 standard error, of b = 0.
        p_value: Share of t statistics as large in absolute value: of all replications when these
            are complete, else of the replications and the sample itself, so that it is never 0
            (Davison and Hinkley 1997, Bootstrap Methods and their Application, section 4.2).
        conf_low: Lower end of the confidence set: values that a test at 1 - level keeps. Minus
            infinity when the test keeps every value below.
        conf_high: Upper end.
        draws: Replications.
        complete: Whether these are all sign vectors (up to the sign of the whole).
        distribution: ``rademacher`` or ``webb``.
    """

    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    draws: int
    complete: bool
    distribution: str


def auxiliary(n_clusters: int, draws: int, seed: int, weights: Weights = "auto") -> Draws:
    """Draw the auxiliary variable.

    ``auto`` takes all 2^(G - 1) sign vectors that differ by more than the sign of the whole, which
    does not change |t|, if 2^G is not above ``draws``; else six points (Webb 2023, Canadian Journal
    of Economics 56(3)) for fewer than :data:`WEBB_BELOW` clusters; else signs (Rademacher).

    Args:
        n_clusters: G.
        draws: B.
        seed: Of the draws.
        weights: Which distribution.
    """
    rng = np.random.default_rng(seed)
    if weights != "webb" and 2.0**n_clusters <= draws:
        numbers = np.arange(2 ** (n_clusters - 1))[:, None]
        every = 1.0 - 2.0 * (numbers >> np.arange(n_clusters) & 1)
        return Draws(every.astype(np.int8), True, "rademacher")
    if weights == "webb" or (weights == "auto" and n_clusters < WEBB_BELOW):
        points = np.sqrt([0.5, 1.0, 1.5])
        values: Floats = np.concatenate([-points, points])[rng.integers(0, 6, (draws, n_clusters))]
        return Draws(np.asarray(values, float), False, "webb")
    signs = np.empty((draws, n_clusters), np.int8)
    for rows in _blocks(draws):
        signs[rows] = rng.integers(0, 2, signs[rows].shape) * 2 - 1
    return Draws(signs, False, "rademacher")


def _blocks(draws: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, draws)) for start in range(0, draws, BLOCK))


def wild_bootstrap(
    clusters: ClusterProducts,
    draws: Draws,
    *,
    restricted: bool,
    term: int = 0,
    conf_level: float = 0.95,
) -> Wild:
    """Bootstrap the t statistic of a term, with the CR1 standard error.

    Args:
        clusters: The regression.
        draws: From :func:`auxiliary`.
        restricted: Replications under the hypothesis (WCR) or about the estimate (WCU).
        term: Which term.
        conf_level: Level of the confidence set.
    """
    replicate = _Replications.of(clusters, draws, restricted=restricted, term=term)

    def p_value(value: float) -> float:
        t = (replicate.estimate - value) / replicate.std_error
        others = np.abs(replicate.statistics(replicate.estimate - value))
        return share_as_large(others, abs(t), complete=draws.complete)

    p = p_value(0.0)
    if restricted:
        low, high = (
            _end(p_value, replicate.estimate, side * replicate.std_error, 1 - conf_level)
            for side in (-1, 1)
        )
    else:
        others = np.sort(np.abs(replicate.statistics(0.0)))
        half = _largest_kept(others, 1 - conf_level, draws.complete) * replicate.std_error
        low, high = replicate.estimate - half, replicate.estimate + half
    return Wild(
        statistic=replicate.estimate / replicate.std_error,
        p_value=p,
        conf_low=low,
        conf_high=high,
        draws=len(draws.values),
        complete=draws.complete,
        distribution=draws.name,
    )


def share_as_large(others: Floats, value: float, *, complete: bool) -> float:
    """Return the p value of a value among others, itself counted when they are not complete.

    Args:
        others: Of draws, (B,).
        value: Of the sample.
        complete: Whether the draws are all there are.
    """
    n = int((others >= value * (1 - TIE)).sum())
    return n / len(others) if complete else (n + 1) / (len(others) + 1)


def _largest_kept(others: Floats, level: float, complete: bool) -> float:
    """Return the largest |t| whose p value is above the level, given sorted |t*|."""
    b = len(others)
    needed = int(level * b + TIE) + 1 if complete else int(level * (b + 1) + TIE)
    return float(others[b - needed]) if needed else float("inf")


def _end(p_value: Callable[[float], float], middle: float, step: float, level: float) -> float:
    """Search from the estimate outwards for the end of the values that the test keeps."""
    inside, factor = middle, 1.0
    while p_value(outside := middle + factor * step) > level:
        inside, factor = outside, factor * 2
        if factor > WIDEST:
            return float(np.copysign(np.inf, step))
    for _ in range(STEPS):
        between = (inside + outside) / 2
        if p_value(between) > level:
            inside = between
        else:
            outside = between
    return (inside + outside) / 2


@dataclass(frozen=True)
class _Replications:
    """t statistics of replications as functions of d = estimate - hypothesis.

    The numerator is ``top[0] + d top[1]``, the squared CR1 standard error
    ``bottom[0] + 2 d bottom[1] + d^2 bottom[2]``, (B,) each.
    """

    estimate: float
    std_error: float
    top: tuple[Floats, Floats]
    bottom: tuple[Floats, Floats, Floats]

    @classmethod
    def of(
        cls, clusters: ClusterProducts, draws: Draws, *, restricted: bool, term: int
    ) -> _Replications:
        direction = clusters.directions[:, term]
        place = len(direction) - clusters.n_terms + term
        widen = clusters.n_clusters / (clusters.n_clusters - 1)
        reach = clusters.products @ direction
        scores = clusters.scores
        slopes = reach / direction[place] if restricted else np.zeros_like(reach)
        own, own_slope = scores @ direction, slopes @ direction
        through = reach @ clusters.bread
        top, bottom = np.empty((2, len(draws.values))), np.empty((3, len(draws.values)))
        for rows in _blocks(len(draws.values)):
            v = draws.values[rows].astype(float)
            zero = v * own - (v @ scores) @ through.T
            first = v * own_slope - (v @ slopes) @ through.T
            top[:, rows] = v @ own, v @ own_slope
            bottom[:, rows] = [
                np.einsum("bg,bg->b", *pair) for pair in ((zero, zero), (zero, first), (first,) * 2)
            ]
        return cls(
            estimate=float(clusters.terms[term]),
            std_error=float(np.sqrt(widen * np.square(own).sum())),
            top=(top[0], top[1]),
            bottom=(widen * bottom[0], widen * bottom[1], widen * bottom[2]),
        )

    def statistics(self, d: float) -> Floats:
        """Return t of every replication; a replication without spread counts as 0 or infinity."""
        top = self.top[0] + d * self.top[1]
        square = self.bottom[0] + 2 * d * self.bottom[1] + d * d * self.bottom[2]
        scale = self.bottom[0] + d * d * self.bottom[2]
        flat: Bools = square <= 1e-13 * scale
        t = top / np.sqrt(np.where(flat, 1.0, square))
        return np.where(flat, np.where(top == 0, 0.0, np.inf), t)
