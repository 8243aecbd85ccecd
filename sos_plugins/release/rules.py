"""The rules themselves: of counts, of shares, of sums, of regressions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sos_plugins.release.profiles import ReleaseRules


def too_small(count: int, rules: ReleaseRules) -> bool:
    """Say whether a count of cases is suppressed."""
    return rules.suppress_zeros if count == 0 else count < rules.min_count


def rounded(count: int, base: int) -> int:
    """Round a count to the nearest multiple of a base, halves upwards.

    >>> [rounded(count, 5) for count in (12, 13, 17, 18)]
    [10, 15, 15, 20]
    """
    return (count + base // 2) // base * base


def could_be(shown: int, rules: ReleaseRules) -> tuple[int, int]:
    """Return the least and the most that a count can be which is shown as this.

    Whoever reads it knows the rules: it is no count that they suppress.
    """
    if shown == 0 and not rules.suppress_zeros:
        return 0, 0
    low = max(shown - rules.round_to // 2, rules.min_count)
    return low, max(shown + (rules.round_to - 1) // 2, low)


def nk_dominant(contributions: Sequence[float], rules: ReleaseRules) -> bool:
    """Say whether the n largest contributors make k of a sum or more.

    Args:
        contributions: What each contributes, none of it negative.
        rules: The rules, with ``nk_n`` and ``nk_k``.

    Raises:
        ValueError: If one is negative, for which the rule says nothing.

    The (n, k) rule of Hundepool et al., Statistical Disclosure Control (2012), section 4.2.2.
    """
    largest = _descending(contributions)
    total = sum(largest)
    return total > 0 and sum(largest[: rules.nk_n]) / total >= rules.nk_k


def p_ratio_dominant(contributions: Sequence[float], rules: ReleaseRules) -> bool:
    """Say whether all but the two largest contributions are less than p of the largest.

    The second largest contributor, who knows its own part, could then tell the largest to within
    p of it: the p% rule of the same section.

    Args:
        contributions: What each contributes, none of it negative.
        rules: The rules, with ``p_ratio``.

    Raises:
        ValueError: If one is negative, for which the rule says nothing.
    """
    largest = _descending(contributions)
    if not largest or largest[0] == 0:
        return False
    return sum(largest[2:]) / largest[0] < rules.p_ratio


def _descending(contributions: Sequence[float]) -> list[float]:
    if any(value < 0 for value in contributions):
        raise ValueError("Dominance is not defined where a contribution is negative.")
    return sorted(contributions, reverse=True)


def largest_possible(mean: float, deviation: float, n: int) -> float:
    """Return the most that one of n values can be with this mean and standard deviation.

    Args:
        mean: Their mean.
        deviation: Their standard deviation, with n - 1 in the denominator.
        n: How many they are.

    Samuelson, How deviant can you be?, Journal of the American Statistical Association 63 (1968).
    """
    return mean + deviation * (n - 1) / math.sqrt(n)


def cannot_be_dominated(total: float, largest: float, rules: ReleaseRules) -> bool:
    """Say whether no contributions up to a largest possible one can dominate a sum.

    Where values are not at hand one by one, this proves that both rules of dominance are kept.

    Args:
        total: The sum of contributions of which none is negative.
        largest: The most that one contribution can be.
        rules: The rules.
    """
    if total <= 0 or largest <= 0:
        return False
    share = rules.nk_n * largest / total
    return share < rules.nk_k and (total - 2 * largest) / largest >= rules.p_ratio


def enough_freedom(n_cases: int | None, n_parameters: int, rules: ReleaseRules) -> bool:
    """Say whether a regression has enough residual degrees of freedom.

    Args:
        n_cases: Cases; None where they are not known.
        n_parameters: Parameters, or more than there can be.
        rules: The rules, with ``min_df``.
    """
    return n_cases is not None and n_cases - n_parameters >= rules.min_df
