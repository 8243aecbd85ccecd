"""p values of several outcomes judged together: many nulls should give no finding by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sos_plugins.contract.types import AdjustedP
from sos_plugins.study.result import OutcomeResult


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


METHODS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "none": list,
}
"""How p values are adjusted, by the name in the study file. A method that needs draws common to the
outcomes, such as that of Romano and Wolf (2005), takes them where :func:`adjusted` is called."""


def adjusted(
    outcomes: Sequence[OutcomeResult], confirmatory: Sequence[str], method: str
) -> tuple[OutcomeResult, ...]:
    """Give the confirmatory outcomes their adjusted p values.

    Args:
        outcomes: Results with their main runs.
        confirmatory: Names of the outcomes that are tested together; those without a p value are
            no tests.
        method: A name of :data:`METHODS`.
    """
    tested = {
        result.info.name: result.main.p_value
        for result in outcomes
        if result.info.name in confirmatory
        and result.main is not None
        and result.main.p_value is not None
    }
    names = tuple(tested)
    found = dict(zip(names, METHODS[method](list(tested.values())), strict=True))
    return tuple(
        replace(result, adjusted=AdjustedP(found[result.info.name], method, names))
        if result.info.name in found
        else result
        for result in outcomes
    )
