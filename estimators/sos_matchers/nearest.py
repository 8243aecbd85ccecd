"""Greedy nearest-neighbour matching: between authorities on any distance, between cases on a score.

Without replacement matching goes in rounds, as in MatchIt: every treated row, in the order asked
for, takes its nearest free control; then every one takes its second, and so on. Distances are whole
numbers of steps of 1e-8, so that ties are ties and both engines see the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

STEPS = 1e8
"""Steps in one unit of distance: what differs by less than half a step is equally far."""

MOST_PAIRS = 20_000_000
"""Pilots' x comparators' cases of a stratum in a matrix of distances: 160 megabytes."""

Order = Literal["largest", "smallest", "data"]


def in_steps(distance: np.ndarray | float) -> np.ndarray:
    """Return a distance, score or caliper in whole steps."""
    return np.asarray(np.rint(np.asarray(distance, dtype=float) * STEPS))


@dataclass(frozen=True)
class Pairs:
    """Matched pairs: treated row, control row, and the how-manieth control of the treated row.

    All three are whole-number arrays (pairs,), sorted by ``treated`` and then ``rank``, which
    starts at 1.
    """

    treated: np.ndarray
    control: np.ndarray
    rank: np.ndarray

    @classmethod
    def of(cls, treated: np.ndarray, control: np.ndarray, round_: np.ndarray) -> Pairs:
        """Sort pairs and number the controls of each treated row in the order of their round."""
        by = np.lexsort((round_, treated))
        treated, control = treated[by].astype(int), control[by].astype(int)
        first = np.searchsorted(treated, treated, side="left")
        return cls(treated, control, np.arange(len(treated)) - first + 1)


def turns(keys: np.ndarray, order: Order) -> np.ndarray:
    """Return the positions of treated rows in the order of matching; equal keys keep their order.

    >>> turns(np.array([1.0, 3.0, 3.0]), "largest").tolist()
    [1, 2, 0]
    """
    if order == "data":
        return np.arange(len(keys))
    return np.argsort(-keys if order == "largest" else keys, kind="stable")


def match_on_distances(
    distance: np.ndarray,
    *,
    ratio: int,
    caliper: float | None,
    replacement: bool,
    turn: Sequence[int] | np.ndarray,
) -> Pairs:
    """Match rows (treated) to columns (controls) of a matrix; ties go to the first column.

    Without replacement a round goes through all rows before the next begins.

    Args:
        distance: Array (treated, controls).
        ratio: Controls for each treated row, at most.
        caliper: Largest distance allowed, itself included; None for any.
        replacement: Whether a control may serve several treated rows.
        turn: Positions of rows in the order of matching; matters without replacement.
    """
    steps = in_steps(distance)
    if caliper is not None:
        steps = np.where(steps <= in_steps(caliper), steps, np.inf)
    if replacement:
        nearest = np.argsort(steps, axis=1, kind="stable")[:, :ratio]
        row, place = np.nonzero(np.isfinite(np.take_along_axis(steps, nearest, axis=1)))
        return Pairs.of(row, nearest[row, place], place)
    pairs = []
    for round_ in range(ratio):
        for row in np.asarray(turn).tolist():
            column = int(np.argmin(steps[row]))
            if np.isfinite(steps[row, column]):
                pairs.append((row, column, round_))
                steps[:, column] = np.inf
    return Pairs.of(*np.array(pairs, dtype=int).reshape(-1, 3).T)


def match_on_scores(
    treated: np.ndarray,
    control: np.ndarray,
    *,
    ratio: int,
    caliper: float | None,
    replacement: bool,
    order: Order,
) -> Pairs:
    """Do on scores what :func:`match_on_distances` does on a matrix, in ``n log n`` time.

    Args:
        treated: Array (treated,) of scores in whole steps.
        control: Array (controls,) of scores in whole steps; ties go to the first.
        ratio: Controls for each treated row, at most.
        caliper: Largest distance allowed, in whole steps; None for any.
        replacement: Whether a control may serve several treated rows.
        order: In which order treated rows take their turn without replacement.
    """
    line = _Line.of(treated, control, np.inf if caliper is None else caliper)
    if replacement:
        return _with_replacement(line, ratio)
    return _without_replacement(line, ratio, turns(treated, order))


@dataclass(frozen=True)
class _Line:
    """Controls sorted by score, and where on the line each treated row stands.

    Places count from 1; places 0 and n + 1 are infinitely far. Leftwards and rightwards the
    controls of one score come in their own order, so each direction has its own sorting:
    ``left[place]`` and ``right[place]`` are rows of controls.
    """

    treated: np.ndarray
    score: np.ndarray
    left: np.ndarray
    right: np.ndarray
    start: np.ndarray
    limit: float

    @classmethod
    def of(cls, treated: np.ndarray, control: np.ndarray, limit: float) -> _Line:
        rows = np.arange(len(control))
        right = np.lexsort((rows, control))
        left = np.lexsort((-rows, control))
        ordered = control[right]
        start = np.searchsorted(ordered, treated, side="left") + 1
        score = np.concatenate([[-np.inf], ordered, [np.inf]])
        end = [len(control)]
        return cls(
            treated,
            score,
            np.concatenate([end, left, end]),
            np.concatenate([end, right, end]),
            start,
            limit,
        )


def _with_replacement(line: _Line, ratio: int) -> Pairs:
    """All treated rows at once, each with a pointer to its next control on either side."""
    left, right = line.start - 1, line.start
    parts = []
    for round_ in range(min(ratio, len(line.score) - 2)):
        below, above = line.treated - line.score[left], line.score[right] - line.treated
        tied = (below == above) & (line.left[left] < line.right[right])
        lower = (below < above) | tied
        gap = np.where(lower, below, above)
        row = np.flatnonzero(np.isfinite(gap) & (gap <= line.limit))
        control = np.where(lower, line.left[left], line.right[right])[row]
        parts.append((row, control, np.full(len(row), round_)))
        left, right = left - lower, right + ~lower
    return Pairs.of(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _without_replacement(line: _Line, ratio: int, turn: np.ndarray) -> Pairs:
    """One treated row after the other; taken controls are skipped by union-find on both sides."""
    n = len(line.score) - 2
    score, left_rows, right_rows = line.score.tolist(), line.left.tolist(), line.right.tolist()
    left_place, right_place = np.argsort(line.left[1:-1]) + 1, np.argsort(line.right[1:-1]) + 1
    places = list(zip(left_place.tolist(), right_place.tolist(), strict=True))
    start, own = line.start.tolist(), line.treated.tolist()
    free_left, free_right = list(range(n + 2)), list(range(n + 2))
    pairs: list[tuple[int, int, int]] = []
    for round_ in range(ratio):
        for row in turn.tolist():
            left, right = _find(free_left, start[row] - 1), _find(free_right, start[row])
            below, above = own[row] - score[left], score[right] - own[row]
            lower = below < above or (below == above and left_rows[left] < right_rows[right])
            control = left_rows[left] if lower else right_rows[right]
            if control < n and min(below, above) <= line.limit:
                pairs.append((row, control, round_))
                left, right = places[control]
                free_left[left], free_right[right] = left - 1, right + 1
    return Pairs.of(*np.array(pairs, dtype=int).reshape(-1, 3).T)


def _find(free: list[int], place: int) -> int:
    """Return the nearest free place on one side, halving the path on the way."""
    while free[place] != place:
        free[place] = free[free[place]]
        place = free[place]
    return place
