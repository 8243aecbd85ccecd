"""Optimal pairing: the assignment of controls with the least sum of distances (Rosenbaum 1989)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from sos_matchers.nearest import Pairs, in_steps


def match_optimally(distance: np.ndarray, *, ratio: int, caliper: float | None) -> Pairs:
    """Pair rows (treated) with columns (controls) of a matrix, each column once.

    Of all pairings with the most pairs, and among these of all that share them out most evenly, the
    one with the least sum of distances. Every row enters the assignment once for each control that
    it may get; a further control of the same row costs more than all distances together, and to go
    without costs more than that.

    Args:
        distance: Array (treated, controls); infinite where a pair is not allowed.
        ratio: Controls for each treated row, at most.
        caliper: Largest distance allowed, itself included; None for any.
    """
    n_rows, n_columns = distance.shape
    steps = in_steps(distance)
    if caliper is not None:
        steps = np.where(steps <= in_steps(caliper), steps, np.inf)
    allowed = np.isfinite(steps)
    most = steps[allowed].max(initial=0.0)
    further = (most + 1) * min(n_rows * ratio, n_columns)
    without = further * (ratio + 1)
    place = np.repeat(np.arange(ratio), n_rows)[:, None]
    real = np.tile(steps, (ratio, 1)) + further * place
    nobody = np.full((n_rows * ratio, n_rows * ratio), np.inf)
    np.fill_diagonal(nobody, without)
    row, column = linear_sum_assignment(np.hstack([real, nobody]))
    found = column < n_columns
    treated, control = row[found] % n_rows, column[found]
    by_distance = np.lexsort((control, steps[treated, control]))
    treated, control = treated[by_distance], control[by_distance]
    return Pairs.of(treated, control, np.arange(len(treated)))
