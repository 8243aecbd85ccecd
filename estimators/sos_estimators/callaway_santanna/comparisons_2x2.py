"""Which effects can be estimated, and who is compared with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Ints
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings


@dataclass(frozen=True)
class Cell:
    """One effect ATT(cohort, period): the change since ``base``, against those untreated."""

    cohort: int
    period: int
    base: int

    @property
    def is_reference(self) -> bool:
        """Whether this is the universal base itself, zero by definition."""
        return self.period == self.base

    @property
    def is_post(self) -> bool:
        """Whether the cohort is treated in the period."""
        return self.period >= self.cohort

    @property
    def term(self) -> str:
        """The name of the effect."""
        return f"ATT({self.cohort},{self.period})"


def planned_cells(cohort: int, periods: Sequence[int], base: str, anticipation: int) -> list[Cell]:
    """List the effects of one cohort, given the periods of the data in ascending order.

    After treatment the base is the last period before it (less anticipation). Before treatment
    it is the same under a universal base, the preceding period under a varying one.
    """
    before = [p for p in periods if p + anticipation < cohort]
    if not before:
        return []
    if base == "universal":
        return [Cell(cohort, period, before[-1]) for period in periods]
    steps = zip(periods[1:], periods[:-1], strict=True)
    return [Cell(cohort, p, before[-1] if p >= cohort else preceding) for p, preceding in steps]


def control_cohorts(cohorts: Ints, cell: Cell, options: CallawaySantAnnaSettings) -> Bools:
    """Say of each row's cohort whether it serves for comparison in a cell."""
    compared: Bools = cohorts == 0
    if options.control == "notyettreated":
        untouched = cohorts > max(cell.period, cell.base) + options.anticipation
        compared |= untouched & (cohorts != cell.cohort)
    return compared


def with_rows(
    frame: pd.DataFrame,
    planned: list[Cell],
    options: CallawaySantAnnaSettings,
    warnings: list[str],
) -> list[Cell]:
    """Keep the cells that have cases of both groups in both periods."""
    pairs = frame[["cohort", "period"]].drop_duplicates()
    present = {(int(g), int(t)) for g, t in pairs.itertuples(index=False)}
    cohorts = np.unique(frame["cohort"].to_numpy())
    kept, untreated, uncompared = [], [], []
    for cell in planned:
        controls = cohorts[control_cohorts(cohorts, cell, options)]
        if not {(cell.cohort, cell.period), (cell.cohort, cell.base)} <= present:
            untreated.append(cell)
        elif not all(any((g, t) in present for g in controls) for t in (cell.period, cell.base)):
            uncompared.append(cell)
        else:
            kept.append(cell)
    for cells, who in ((untreated, "treated"), (uncompared, "comparison")):
        if cells:
            warnings.append(
                f"{', '.join(cell.term for cell in cells)}: there are no {who} cases in the period "
                "or in its base period, so there is no such effect."
            )
    return kept
