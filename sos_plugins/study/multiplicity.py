"""p values of several outcomes judged together: many nulls should give no finding by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_plugins.contract.types import AdjustedP, DrawnStatistics
from sos_plugins.study.result import OutcomeResult

Floats = npt.NDArray[np.float64]
FEWEST_POSSIBLE = 20
"""With fewer assignments of adoption no p value reaches 5%."""
TIE = 1e-9
"""Statistics of the same assignment differ by this share of their size, by rounding."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that a false finding among all of them is as rare as the level says.

    Holm, S. (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal
    of Statistics 6(2), 65-70. It holds whatever the dependence between the outcomes.

    Args:
        p_values: One for each outcome, 0 to 1.

    Returns:
        The adjusted p values in the same order.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def romano_wolf(observed: npt.ArrayLike, drawn: npt.ArrayLike) -> Floats:
    """Adjust p values by the joint distribution of the outcomes' t statistics, step by step.

    The largest statistic is compared with the largest of all outcomes in each draw, the next with
    the largest of those that are left, and so on; no p value is below one before it. Romano, J. P.
    and Wolf, M. (2005), Exact and approximate stepdown methods for multiple hypothesis testing,
    Journal of the American Statistical Association 100(469), 94-108; (2016), Efficient computation
    of adjusted p-values for resampling-based stepdown multiple testing, Statistics and Probability
    Letters 113, 38-40.

    Args:
        observed: Of J outcomes, (J,).
        drawn: The same under B draws of the hypothesis of no effect on any, common to the
            outcomes, (B, J). Draws with a missing statistic are left out.

    Returns:
        The adjusted p values, (J,). The observed statistics count among the draws, so that none is
        0.
    """
    size, draws = np.abs(np.asarray(observed, float)), np.abs(np.asarray(drawn, float))
    draws = draws[np.isfinite(draws).all(axis=1)]
    order = np.argsort(-size, kind="stable")
    largest_left = np.maximum.accumulate(draws[:, order[::-1]], axis=1)[:, ::-1]
    as_large = (largest_left >= size[order] * (1 - TIE)).sum(axis=0)
    adjusted = np.empty(len(size))
    adjusted[order] = np.maximum.accumulate((as_large + 1) / (len(draws) + 1))
    return adjusted


def adjusted(
    outcomes: Sequence[OutcomeResult], confirmatory: Sequence[str], method: str
) -> tuple[OutcomeResult, ...]:
    """Give the confirmatory outcomes their adjusted p values.

    Args:
        outcomes: Results with their main runs; for ``romano-wolf`` with statistics under
            assignments of adoption. Where one has none, or too few assignments are possible, Holm's
            method is taken and a warning says why.
        confirmatory: Names of the outcomes that are tested together; those without a p value are
            no tests.
        method: ``holm``, ``romano-wolf`` or ``none``.
    """
    tested = [r for r in outcomes if r.info.name in confirmatory and _p_value(r) is not None]
    told = _no_lots(tested) if method == "romano-wolf" else ""
    found = _p_values(tested, "holm" if told else method)
    return tuple(_with(result, found.get(result.info.name), told) for result in outcomes)


def _p_value(result: OutcomeResult) -> float | None:
    return None if result.main is None else result.main.p_value


def _p_values(tested: Sequence[OutcomeResult], method: str) -> Mapping[str, AdjustedP]:
    names = tuple(result.info.name for result in tested)
    single = [_p_value(result) or 0.0 for result in tested]
    together = single
    if method == "holm":
        together = holm(single)
    elif method == "romano-wolf":
        together = _by_lot(single, [result.drawn for result in tested if result.drawn])
    return {name: AdjustedP(p, method, names) for name, p in zip(names, together, strict=True)}


def _by_lot(single: Sequence[float], drawn: Sequence[DrawnStatistics]) -> list[float]:
    """Adjust by Romano and Wolf; no p value falls below that of the main run."""
    if not drawn:
        return []
    observed = [one.statistic for one in drawn]
    found = romano_wolf(observed, np.column_stack([one.drawn for one in drawn]))
    return [float(p) for p in np.maximum(found, single)]


def _no_lots(tested: Sequence[OutcomeResult]) -> str:
    """Say why Romano and Wolf's method cannot be used, if it cannot."""
    for result in tested:
        if result.drawn is None:
            return _instead(result, result.not_drawn or "there are no assignments of adoption")
        if result.drawn.n_possible < FEWEST_POSSIBLE:
            n = result.drawn.n_possible
            why = f"adoption can be assigned in {n} ways only, fewer than {FEWEST_POSSIBLE}"
            return _instead(result, why)
    return ""


def _instead(result: OutcomeResult, why: str) -> str:
    return (
        "The p values of the outcomes are adjusted by Holm's method, not by Romano and Wolf's: "
        f"for {result.info.phrase}, {why}."
    )


def _with(result: OutcomeResult, found: AdjustedP | None, told: str) -> OutcomeResult:
    plain: dict[str, Any] = {"drawn": None, "not_drawn": ""}
    if found is None:
        return replace(result, **plain)
    warnings = (*result.warnings, told) if told else result.warnings
    return replace(result, adjusted=found, warnings=warnings, **plain)
