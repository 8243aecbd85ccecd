"""Effects by cohort and period, and their averages by the weight of the cases.

The average over some effects weights each by the summed weight of its cases, which counts as given:
that of the observed cases, not of a population they are drawn from. So do R's fixest (``sunab``)
and didimputation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.settings import StaggeredSettings, no_event_left


@dataclass(frozen=True)
class Effects:
    """Effects of K cohorts and periods.

    Attributes:
        table: ``cohort, period, weight`` (summed over cases), ``event`` (period - cohort) and
            ``reference``: whether the effect is zero because others are compared with it.
        of_cell: For each cell its effect, or -1, (m,).
    """

    table: pd.DataFrame
    of_cell: Ints

    @property
    def names(self) -> tuple[str, ...]:
        """``ATT(g,t)``, (K,)."""
        pairs = zip(self.table["cohort"], self.table["period"], strict=True)
        return tuple(f"ATT({g},{t})" for g, t in pairs)

    @property
    def reference(self) -> Bools:
        """Whether an effect is zero by definition, (K,)."""
        return self.table["reference"].to_numpy(bool)

    def dummies(self, chosen: Bools) -> Floats:
        """One column for each chosen effect: 1 in its cells, (m, number chosen).

        Args:
            chosen: Which effects, (K,).
        """
        numbers = np.flatnonzero(chosen)
        columns = np.zeros((len(self.of_cell), len(numbers)), order="F")
        for place, number in enumerate(numbers):
            columns[:, place] = self.of_cell == number
        return columns


def list_effects(cells: CohortCells, *, leads: bool, reference: bool) -> Effects:
    """List the effects of the treated cohorts.

    Args:
        cells: The cells.
        leads: Whether periods before treatment have effects too.
        reference: Whether the last period of each cohort before treatment is the reference.
    """
    chosen = (cells.frame["cohort"] > 0).to_numpy() if leads else cells.treated
    cohort_period = cells.frame.loc[chosen, ["cohort", "period", "weight"]]
    table = cohort_period.groupby(["cohort", "period"])[["weight"]].sum().reset_index()
    table["event"] = table["period"] - table["cohort"]
    before = table[table["event"] < -cells.anticipation]
    base = before.groupby("cohort")["period"].max()
    table["reference"] = reference & table["period"].eq(table["cohort"].map(base))
    of_cell = np.full(len(cells.frame), -1, dtype=np.int64)
    keys = pd.MultiIndex.from_frame(table[["cohort", "period"]])
    of_cell[chosen] = keys.get_indexer(pd.MultiIndex.from_frame(cohort_period.iloc[:, :2]))
    return Effects(table, of_cell)


@dataclass(frozen=True)
class Averages:
    """Averages over effects.

    Attributes:
        names: ``overall``, ``event=0``, ``cohort=2015``, ...; (J,).
        shares: How much each effect counts, rows adding up to one, (J, K).
    """

    names: tuple[str, ...]
    shares: Floats

    def cell_weights(self, effects: Effects, cells: CohortCells) -> Floats:
        """How much each cell counts in each average, columns adding up to one, (m, J).

        Args:
            effects: The K effects.
            cells: The cells, m of them.
        """
        per_weight = self.shares / effects.table["weight"].to_numpy(float)
        with_none = np.vstack([per_weight.T, np.zeros(len(self.names))])
        return np.asarray(with_none[effects.of_cell] * cells.weight[:, None])


def list_averages(effects: Effects, options: StaggeredSettings) -> Averages:
    """List the averages that ``aggregate`` asks for, the overall effect first.

    ``overall`` is the average over all effects from treatment on; with an event window over those
    inside it.

    Args:
        effects: The K effects.
        options: ``aggregate``, ``min_event`` and ``max_event`` are used.

    Raises:
        EstimationError: If no effect after treatment is inside the window.
    """
    event, cohort, period = (effects.table[c].to_numpy() for c in ("event", "cohort", "period"))
    inside = options.in_window(event)
    post = (event >= 0) & inside
    if not post.any():
        raise no_event_left(event)
    chosen: dict[str, Bools] = {"overall": post}
    if options.aggregate == "event":
        chosen |= {f"event={e}": event == e for e in np.unique(event[inside])}
    elif options.aggregate == "cohort":
        chosen |= {f"cohort={g}": post & (cohort == g) for g in np.unique(cohort[post])}
    elif options.aggregate == "calendar":
        chosen |= {f"calendar={t}": post & (period == t) for t in np.unique(period[post])}
    elif options.aggregate == "group-time":
        chosen |= dict(zip(effects.names, np.eye(len(event), dtype=bool), strict=True))
    counted = np.array(list(chosen.values())) * effects.table["weight"].to_numpy(float)
    return Averages(tuple(chosen), counted / counted.sum(axis=1, keepdims=True))
