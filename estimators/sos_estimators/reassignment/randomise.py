"""Randomisation inference: dates of adoption are dealt out to the authorities anew.

Under the sharp hypothesis that the programme changed nothing for anyone, the estimate is one draw
from those of all assignments of the dates; so is its t statistic, which allows for authorities of
unlike size (MacKinnon and Webb 2020, Journal of Econometrics 218(2)). The t statistic rests on the
errors from treated authorities' own effects. The hypothesis of another effect, alike for all, takes
it from the treated values; the effects that are not rejected make the confidence set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.own_effects import scale_of
from sos_estimators.inference.wild import TIE, share_as_large
from sos_estimators.reassignment.averages import Evaluate, Reassigned
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics

Kept = Callable[[float], bool]
SPAN = 12.0
"""Confidence sets are looked for within so many standard errors of the estimate."""
STEPS = 241
"""Effects that are tested at first within :data:`SPAN`; the ends are then found by halving."""
HALVINGS = 27
"""Of a step of a tenth of a standard error: to a billionth of it."""


@dataclass(frozen=True)
class Randomised:
    """Randomisation inference of J averages.

    Attributes:
        names: (J,).
        estimates: (J,), in units of the value.
        std_errors: From own effects, (J,).
        p_beta: p values of the estimates, (J,).
        p_t: p values of the t statistics, (J,).
        conf_low: Lower ends of the confidence sets by t statistics, (J,); infinite if open.
        conf_high: Upper ends, (J,).
        assignments_beta: How many estimates were compared, (J,), the observed one among them if
            complete.
        assignments: How many t statistics, (J,).
        complete: Whether they are all there are.
        statistics: t statistics under the assignments, (B, J): for tests of several outcomes.
    """

    names: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    p_beta: Floats
    p_t: Floats
    conf_low: Floats
    conf_high: Floats
    assignments_beta: Ints
    assignments: Ints
    complete: bool
    statistics: Floats

    def smallest(self, n_assignments: int) -> float:
        """Return the smallest p value that can occur; 1 where there is nothing to compare with.

        Args:
            n_assignments: How many are compared.
        """
        return 1 / max(n_assignments + (not self.complete), 1)


def number_of_assignments(cohort: Ints) -> int:
    """Count the ways to deal out the dates.

    Args:
        cohort: First treated period of each unit, 0 = never, (G,).

    >>> number_of_assignments(np.array([0, 0, 0, 5, 6]))
    20
    """
    ways = math.factorial(len(cohort))
    for size in np.unique(cohort, return_counts=True)[1]:
        ways //= math.factorial(int(size))
    return ways


def assignments(cohort: Ints, *, draws: int, seed: int) -> tuple[Ints, bool]:
    """List all assignments of the dates if they are no more than ``draws``, else draw so many.

    Args:
        cohort: First treated period of each unit, 0 = never, (G,).
        draws: B.
        seed: Of the draws.

    Returns:
        Cohorts of units, (B, G), and whether they are all there are.
    """
    if number_of_assignments(cohort) <= draws:
        return np.array(list(_every(cohort)), dtype=np.int64), True
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(cohort, (draws, 1)), axis=1), False


def _every(cohort: Ints) -> Iterator[Ints]:
    """Yield every way to deal out the dates."""
    dates, sizes = np.unique(cohort[cohort > 0], return_counts=True)

    def deal(free: tuple[int, ...], left: int) -> Iterator[dict[int, int]]:
        if left == len(dates):
            yield {}
            return
        for chosen in itertools.combinations(free, int(sizes[left])):
            rest = tuple(unit for unit in free if unit not in chosen)
            for others in deal(rest, left + 1):
                yield {**dict.fromkeys(chosen, int(dates[left])), **others}

    for dealt in deal(tuple(range(len(cohort))), 0):
        made = np.zeros(len(cohort), dtype=np.int64)
        made[list(dealt)] = list(dealt.values())
        yield made


@dataclass(frozen=True)
class _Draws:
    """Of B assignments: estimates (B, J, 2), and sums of squared scores (B, J, 3).

    The estimate of the value less an effect of size s on the treated is ``value - s * effect``, and
    its variance ``square - 2 s cross + s^2 square of the effect``.
    """

    estimates: Floats
    squares: Floats
    least: float

    def t(self, size: Floats | float) -> Floats:
        """T statistics when effects of a size (J,) are taken out, (B, J).

        Missing where the error is zero but for rounding.
        """
        value, effect = self.estimates[..., 0], self.estimates[..., 1]
        own, cross, of_effect = (self.squares[..., k] for k in range(3))
        variance = own - 2 * size * cross + np.square(size) * of_effect
        none = np.full(variance.shape, np.nan)
        error = np.sqrt(np.maximum(variance, 0.0))
        t = np.divide(value - size * effect, error, out=none, where=error > self.least)
        return np.asarray(t)


def randomise(
    evaluate: Evaluate,
    cohort: Ints,
    *,
    draws: int,
    seed: int,
    conf_level: float,
    least: float = 0.0,
) -> Randomised:
    """Compare averages and their t statistics with those under other assignments of the dates.

    An assignment that cannot give an average is left out for it.

    Args:
        evaluate: Gives the averages under an assignment.
        cohort: The observed one, (G,).
        draws: All assignments are taken if they are not more than this, else so many are drawn.
        seed: Of the draws.
        conf_level: Of the confidence sets.
        least: Size below which an estimate or an error is rounding error about zero.
    """
    chosen, complete = assignments(cohort, draws=draws, seed=seed)
    observed = _measure(evaluate(cohort))
    each = [_measure(evaluate(one)) for one in chosen]
    drawn = _Draws(np.array([e for e, _ in each]), np.array([s for _, s in each]), least)
    seen = _Draws(observed[0][None], observed[1][None], least)
    t, t_seen = drawn.t(0.0), seen.t(0.0)[0]
    known = np.isfinite(t)
    estimates = observed[0][:, 0]
    beta, beta_seen = (_rounded(e, least) for e in (drawn.estimates[..., 0], estimates))
    j = range(len(estimates))
    low, high = _confidence_sets(drawn, seen, 1 - conf_level, complete)
    return Randomised(
        names=evaluate.names,
        estimates=estimates,
        std_errors=np.sqrt(observed[1][:, 0]),
        p_beta=np.array([_p(beta[np.isfinite(beta[:, k]), k], beta_seen[k], complete) for k in j]),
        p_t=np.array([_p(t[known[:, k], k], t_seen[k], complete) for k in j]),
        conf_low=low,
        conf_high=high,
        assignments_beta=np.isfinite(beta).sum(axis=0),
        assignments=known.sum(axis=0),
        complete=complete,
        statistics=t,
    )


def statistics_by_lot(
    evaluate: Evaluate, cohort: Ints, units: Sequence[str], draws: AssignmentDraws
) -> DrawnStatistics:
    """Return the t statistic of the overall effect, and those where common lots deal the dates.

    The dates go, in their order, to the authorities with the first lots.

    Args:
        evaluate: Gives the averages under an assignment, the overall one first.
        cohort: The observed one, (G,).
        units: Codes of the authorities, (G,).
        draws: The lots.
    """
    dates = np.sort(cohort[cohort > 0])
    first = draws.orders(units)[:, : len(dates)]
    chosen = np.zeros((draws.n, len(cohort)), dtype=np.int64)
    np.put_along_axis(chosen, first, dates, axis=1)
    each = [_measure(evaluate(one)) for one in (cohort, *chosen)]
    measured = _Draws(
        np.array([e[:1] for e, _ in each]), np.array([s[:1] for _, s in each]), evaluate.least
    )
    t = measured.t(0.0)[:, 0]
    estimate = measured.estimates[0, 0, 0]
    return DrawnStatistics(
        float(estimate), float(t[0]), tuple(t[1:].tolist()), number_of_assignments(cohort)
    )


def _measure(averages: Reassigned) -> tuple[Floats, Floats]:
    """Return estimates (J, 2) and sums of products of own scores, (J, 3)."""
    pilots = np.flatnonzero((averages.shares != 0).any(axis=1))
    shares, scores = averages.shares[pilots], averages.contributions.copy()
    own = scores[pilots] - shares[:, :, None] * averages.estimates
    scores[pilots] = own * scale_of(shares)[:, :, None]
    squares = np.einsum("gjv,gjv->jv", scores, scores)
    cross = np.einsum("gj,gj->j", scores[..., 0], scores[..., 1])
    products = np.column_stack([squares[:, 0], cross, squares[:, 1]])
    products[np.isnan(averages.estimates).any(axis=1)] = np.nan
    return averages.estimates, products


def _rounded(estimates: Floats, least: float) -> Floats:
    """Take what is zero but for rounding as zero."""
    return np.asarray(np.where(np.abs(estimates) <= least, 0.0, estimates))


def _p(others: Floats, value: float, complete: bool) -> float:
    if not np.isfinite(value) or not len(others):
        return float("nan")
    return share_as_large(np.abs(others), abs(value), complete=complete)


def _confidence_sets(
    drawn: _Draws, seen: _Draws, level: float, complete: bool
) -> tuple[Floats, Floats]:
    """Return the ends of the sets of effects that are not rejected, (J,) each."""
    n = drawn.estimates.shape[1]
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    for k in range(n):
        one = _Draws(drawn.estimates[:, [k]], drawn.squares[:, [k]], drawn.least)
        own = _Draws(seen.estimates[:, [k]], seen.squares[:, [k]], seen.least)
        if np.isfinite(own.t(0.0)).all():
            low[k], high[k] = _ends(one, own, level, complete)
    return low, high


def _ends(drawn: _Draws, seen: _Draws, level: float, complete: bool) -> tuple[float, float]:
    centre = float(seen.estimates[0, 0, 0])
    error = float(np.sqrt(seen.squares[0, 0, 0]))

    def kept(size: float) -> bool:
        return bool(_share(drawn, seen, np.array([size]), complete)[0] > level)

    ends = []
    for side in (-1.0, 1.0):
        far = centre + side * SPAN * error * np.linspace(0, 1, STEPS // 2 + 1)
        inside = _share(drawn, seen, far, complete) > level
        if inside[-1]:
            ends.append(side * math.inf)
            continue
        last = int(np.flatnonzero(inside)[-1]) if inside.any() else 0
        ends.append(_halve(kept, float(far[last]), float(far[last + 1])))
    return ends[0], ends[1]


def _share(drawn: _Draws, seen: _Draws, sizes: Floats, complete: bool) -> Floats:
    """Return the p values that effects have some sizes, (S,), of a single average."""
    t, own = np.abs(drawn.t(sizes)), np.abs(seen.t(sizes)[0])
    known = np.isfinite(t)
    as_large = (known & (t >= own * (1 - TIE))).sum(axis=0)
    n = known.sum(axis=0)
    return np.asarray(as_large / n if complete else (as_large + 1) / (n + 1))


def _halve(kept: Kept, inner: float, outer: float) -> float:
    """Find where effects begin to be rejected."""
    for _ in range(HALVINGS):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if kept(middle) else (inner, middle)
    return inner
