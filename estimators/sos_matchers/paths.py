"""Earlier outcomes of authorities: their level, shape and trend, and how reliable they are.

A reliability is the share of the variance between authorities that is no noise. Features drawn to
their mean over pilots and pool by it are their best linear predictions (Kelley 1927; Efron and
Morris 1973). Then a small authority whose rate is high by chance is no longer taken for an equal of
a large one whose rate is high, and a feature that is mostly noise counts less beside others. All
authorities are drawn to the same mean: where noise is the same for all and there is one feature,
who is nearest stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sos_matchers.features import PER_PERIOD, Candidates, varies_within, within_group_residuals
from sos_plugins import UnitTask
from sos_plugins.errors import DataError, DesignError

Compare = Literal["levels", "shape", "trend"]
Shrink = Literal["none", "sampling", "transient"]

TREND = "outcome_pre_trend"
"""Name of the slope of earlier outcomes."""


@dataclass(frozen=True)
class Composition:
    """How compared features are made of the outcomes of single periods.

    Attributes:
        periods: Names of the outcomes of single periods.
        outcome: Array (periods,) of numbers of outcomes, where several are matched together.
        names: Names of what is made of them.
        rows: Array (names, periods).
    """

    periods: tuple[str, ...]
    outcome: np.ndarray
    names: tuple[str, ...]
    rows: np.ndarray


def composition(features: Sequence[str], compare: Compare, matcher: str) -> Composition:
    """Say how levels, shapes or slopes are made of the earlier outcomes among some features.

    Args:
        features: Names of features.
        compare: ``levels``, ``shape`` (each outcome less the mean of the authority's) or ``trend``
            (the slope of the least-squares line over the periods).
        matcher: Name of the matcher, for messages.

    Raises:
        DesignError: If shape or trend are asked for and an outcome has fewer than two periods.
    """
    found = [match for name in features if (match := PER_PERIOD.fullmatch(name))]
    ends = [match.group(2) or "" for match in found]
    kinds = list(dict.fromkeys(ends))
    outcome = np.array([kinds.index(end) for end in ends], dtype=int)
    names = tuple(match.group(0) for match in found)
    if compare == "levels":
        return Composition(names, outcome, names, np.eye(len(names)))
    if not kinds or np.bincount(outcome).min() < 2:
        raise DesignError(
            f"Matcher '{matcher}': compare = '{compare}' needs the outcomes of two or more periods "
            "before the programme."
        )
    same = outcome[:, None] == outcome
    centring = np.eye(len(names)) - same / same.sum(axis=1)
    if compare == "shape":
        return Composition(names, outcome, names, centring)
    year = np.array([float(match.group(1)) for match in found])
    period = centring @ (year - year.min())
    rows = np.array([np.where(outcome == k, period, 0.0) for k in range(len(kinds))])
    slopes = rows / (rows**2).sum(axis=1, keepdims=True)
    return Composition(names, outcome, tuple(f"{TREND}{end}" for end in kinds), slopes)


def as_compared(given: Candidates, compare: Compare, matcher: str) -> Candidates:
    """Make shapes or slopes of the earlier outcomes among the features; others stay.

    Args:
        given: The candidates with outcomes of single periods.
        compare: As in :func:`composition`.
        matcher: Name of the matcher, for messages.

    Raises:
        DesignError: If an outcome has fewer than two periods, or nothing is left that varies.
    """
    if compare == "levels":
        return given
    made = composition(given.names, compare, matcher)
    earlier = np.array([name in made.periods for name in given.names])
    others = [name for name in given.names if name not in made.periods]
    values = np.column_stack([given.values[:, earlier] @ made.rows.T, given.values[:, ~earlier]])
    moves = [varies_within(column, given.treated == 1) for column in values.T]
    if not any(moves):
        raise DesignError(
            f"Matcher '{matcher}': the earlier outcomes of all authorities run in parallel, so "
            f"that by compare = '{compare}' no authority is nearer than another."
        )
    kept = tuple(name for name, yes in zip([*made.names, *others], moves, strict=True) if yes)
    return replace(given, values=values[:, moves], names=kept)


def spread_within(given: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """Return SDs of features within pilots and pool (pooled, n - 2), and the residuals."""
    residuals = within_group_residuals(given.values, given.treated)
    degrees = max(len(residuals) - 2, 1)
    return np.sqrt((residuals**2).sum(axis=0) / degrees), residuals


def shrunk(
    task: UnitTask, given: Candidates, made: Composition, shrink: Shrink, matcher: str
) -> np.ndarray | None:
    """Draw the earlier outcomes to their mean by their reliability.

    Args:
        task: What the matcher was given; knows the variances from sampling cases.
        given: The candidates as they are compared.
        made: How what is compared is made of the outcomes of single periods.
        shrink: What counts as noise: nothing, sampling, or all that passes.
        matcher: Name of the matcher, for messages.

    Returns:
        Array like ``given.values``; None where nothing is drawn.

    Raises:
        DataError: If nothing tells what is noise.
        DesignError: If all that authorities differ by is noise.
    """
    if shrink == "none":
        return None
    noise_of = _sampling if shrink == "sampling" else _transient
    noise = noise_of(task, given, made, matcher)
    values = given.values.copy()
    residuals = given.values - given.values.mean(axis=0)
    for j, name in enumerate(given.names):
        if name in made.names:
            rho = reliability(residuals[:, j], noise @ made.rows[made.names.index(name)] ** 2)
            values[:, j] += (rho - 1) * residuals[:, j]
    if not any(varies_within(column, given.treated == 1) for column in values.T):
        raise DesignError(
            f"Matcher '{matcher}': by shrink = '{shrink}' all that authorities differ by in "
            f"{', '.join(given.names)} is noise, so no authority is nearer than another. Compare "
            "something else, or match no authorities (plugin = 'whole-pool')."
        )
    return values


def reliability(residuals: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the share of variance that is no noise, for each authority.

    The variance between authorities is that of their features less the mean noise, at least zero;
    a reliability is it over it and the authority's own noise.

    Args:
        residuals: Array (authorities,), the features less their mean.
        noise: Array (authorities,), the variance of each from noise.
    """
    total = float((residuals**2).sum() / max(len(residuals) - 1, 1))
    between = max(total - float(noise.mean()), 0.0)
    return np.divide(between, between + noise, out=np.ones(len(noise)), where=between + noise > 0)


def _sampling(task: UnitTask, given: Candidates, made: Composition, matcher: str) -> np.ndarray:
    table = task.sampling.reindex(index=list(given.units), columns=list(made.periods))
    if not made.periods or table.isna().to_numpy().any():
        raise DataError(
            f"Matcher '{matcher}': shrink = 'sampling' needs the variance of earlier outcomes from "
            "sampling cases, and these cases do not tell it for every authority (values of whole "
            "authorities, or one case in a period). Use shrink = 'transient'."
        )
    return table.to_numpy(float)


def _transient(task: UnitTask, given: Candidates, made: Composition, matcher: str) -> np.ndarray:
    """The variance about authorities and periods of each group, the same for all."""
    values = task.features.loc[list(given.units), list(made.periods)].to_numpy(float)
    noise = np.empty(values.shape)
    for k in range(made.outcome.max(initial=-1) + 1):
        columns = made.outcome == k
        degrees = (len(values) - 2) * (int(columns.sum()) - 1)
        if degrees < 1:
            raise DataError(
                f"Matcher '{matcher}': shrink = 'transient' needs two or more periods before the "
                "programme and more than two authorities, to tell what passes from what stays."
            )
        own = values[:, columns]
        within = own - own.mean(axis=1, keepdims=True)
        noise[:, columns] = (within_group_residuals(within, given.treated) ** 2).sum() / degrees
    return noise
