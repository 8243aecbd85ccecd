"""Earlier outcomes of authorities: their level, shape and trend, and how reliable they are.

A reliability is the share of the variance between authorities that is no noise. Features drawn to
the mean of their group by it are their best linear predictions (Kelley 1927; Efron and Morris
1973). Pilots are drawn to the mean of the pilots and the others to that of the pool, since
authorities that chose a programme need not be like the rest: comparators with a passing high would
otherwise be taken for equals of pilots whose level is high, and regress to their mean afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from sos_matchers.features import PER_PERIOD, Candidates, varies_within, within_group_residuals
from sos_plugins import UnitTask
from sos_plugins.errors import DataError, DesignError

Compare = Literal["levels", "shape", "trend"]
Shrink = Literal["none", "sampling", "transient"]

TREND = "outcome_pre_trend"
"""Name of the slope of earlier outcomes."""


def as_compared(given: Candidates, compare: Compare, matcher: str) -> Candidates:
    """Make shapes or slopes of the earlier outcomes among the features; others stay.

    Args:
        given: The candidates with outcomes of single periods.
        compare: ``levels``, ``shape`` (each outcome less the mean of the authority's) or ``trend``
            (the slope of the least-squares line over the periods).
        matcher: Name of the matcher, for messages.

    Raises:
        DesignError: If there are fewer than two periods, or nothing is left that varies.
    """
    if compare == "levels":
        return given
    earlier = _earlier(given)
    if earlier.sum() < 2:
        raise DesignError(
            f"Matcher '{matcher}': compare = '{compare}' needs the outcomes of two or more periods "
            f"before the programme, and there is {earlier.sum()}."
        )
    operator = _operator(given, compare)
    values = np.column_stack([given.values[:, earlier] @ operator.T, given.values[:, ~earlier]])
    own = [name for name, yes in zip(given.names, earlier, strict=True) if yes]
    others = [name for name, yes in zip(given.names, earlier, strict=True) if not yes]
    names = [*([TREND] if compare == "trend" else own), *others]
    moves = [varies_within(column, given.treated == 1) for column in values.T]
    if not any(moves):
        raise DesignError(
            f"Matcher '{matcher}': the earlier outcomes of all authorities run in parallel, so "
            f"that by compare = '{compare}' no authority is nearer than another."
        )
    kept = tuple(name for name, yes in zip(names, moves, strict=True) if yes)
    return replace(given, values=values[:, moves], names=kept)


def _earlier(given: Candidates) -> np.ndarray:
    return np.array([bool(PER_PERIOD.fullmatch(name)) for name in given.names])


def _operator(given: Candidates, compare: Compare) -> np.ndarray:
    """What makes shapes (periods, periods) or the slope (1, periods) of outcomes."""
    names = [name for name in given.names if PER_PERIOD.fullmatch(name)]
    n = len(names)
    centring = np.eye(n) - 1 / n
    if compare == "shape":
        return centring
    period = centring @ np.array([float(name.rpartition("_")[2]) for name in names])
    return np.asarray((period / (period @ period))[None, :])


def spread_within(given: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Return SDs of features within pilots and pool (pooled, n - 2), and the residuals."""
    residuals = within_group_residuals(given.values, given.treated)
    degrees = max(len(residuals) - 2, 1)
    return np.sqrt((residuals**2).sum(axis=0) / degrees), residuals


def shrunk(
    task: UnitTask, given: Candidates, shrink: Shrink, compare: Compare, matcher: str
) -> np.ndarray | None:
    """Draw the earlier outcomes to the mean of their group by their reliability.

    Args:
        task: What the matcher was given; knows the variances from sampling cases.
        given: The candidates as they are compared.
        shrink: What counts as noise: nothing, sampling, or all that passes.
        compare: What of the outcomes is compared.
        matcher: Name of the matcher, for messages.

    Returns:
        Array like ``given.values``; None where nothing is drawn.

    Raises:
        DataError: If nothing tells what is noise.
    """
    if shrink == "none":
        return None
    names = [c for c in task.features.columns if PER_PERIOD.fullmatch(str(c))]
    if shrink == "sampling":
        noise = _sampling(task, given, names, matcher)
    else:
        noise = _transient(task, given, names, matcher)
    values = given.values.copy()
    residuals = within_group_residuals(given.values, given.treated)
    for j, name in enumerate(given.names):
        operator = _weights_of(name, names, compare)
        if operator is None:
            continue
        rho = reliability(residuals[:, j], noise @ operator**2)
        values[:, j] += (rho - 1) * residuals[:, j]
    if not any(varies_within(column, given.treated == 1) for column in values.T):
        raise DesignError(
            f"Matcher '{matcher}': by shrink = '{shrink}' all that authorities differ by in "
            f"{', '.join(given.names)} is noise, so no authority is nearer than another. Compare "
            "something else, or match no authorities (plugin = 'whole-pool')."
        )
    return values


def _weights_of(name: str, names: list[str], compare: Compare) -> np.ndarray | None:
    """How a feature is made of the outcomes of single periods; None if it is not."""
    n = len(names)
    if name == TREND:
        period = np.array([float(c.rpartition("_")[2]) for c in names])
        period -= period.mean()
        return np.asarray(period / (period @ period))
    if name not in names:
        return None
    own = np.eye(n)[names.index(name)]
    return own - 1 / n if compare == "shape" else own


def reliability(residuals: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the share of variance that is no noise, for each authority.

    The variance between authorities is that of their features less the mean noise, at least zero;
    a reliability is it over it and the authority's own noise.

    Args:
        residuals: Array (authorities,), the features less the mean of their group.
        noise: Array (authorities,), the variance of each from noise.
    """
    total = float((residuals**2).sum() / max(len(residuals) - 2, 1))
    between = max(total - float(noise.mean()), 0.0)
    return np.divide(between, between + noise, out=np.ones(len(noise)), where=between + noise > 0)


def _sampling(task: UnitTask, given: Candidates, names: list[str], matcher: str) -> np.ndarray:
    table = task.sampling.reindex(index=list(given.units), columns=names)
    if not names or table.isna().to_numpy().any():
        raise DataError(
            f"Matcher '{matcher}': shrink = 'sampling' needs the variance of earlier outcomes from "
            "sampling cases, and these cases do not tell it for every authority (values of whole "
            "authorities, or one case in a period). Use shrink = 'transient'."
        )
    return table.to_numpy(float)


def _transient(task: UnitTask, given: Candidates, names: list[str], matcher: str) -> np.ndarray:
    """The variance about authorities and periods of each group, the same for all."""
    outcome = task.features.loc[list(given.units), names].to_numpy(float)
    degrees = (len(outcome) - 2) * (len(names) - 1)
    if degrees < 1:
        raise DataError(
            f"Matcher '{matcher}': shrink = 'transient' needs two or more periods before the "
            "programme and more than two authorities, to tell what passes from what stays."
        )
    within = outcome - outcome.mean(axis=1, keepdims=True)
    passing = within_group_residuals(within, given.treated)
    return np.full(outcome.shape, (passing**2).sum() / degrees)
