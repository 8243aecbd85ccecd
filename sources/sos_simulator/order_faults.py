"""Faults in what returns say of orders that deprive a child of liberty."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sos_simulator.care_faults import CareDraft
from sos_simulator.dates import NEVER, Flags, Ints, between, year_end
from sos_simulator.fault_log import Striker, last_year
from sos_simulator.orders import ORDERS

FORBIDDEN, UNEXPECTED = "K1", "R1"
_LATE_DAYS = 14


def plant_in_orders(striker: Striker, draft: CareDraft, orders: pd.DataFrame) -> pd.DataFrame:
    """Plant all chosen faults of orders, one a child at most; return what the returns say.

    Args:
        striker: Decides which rows are struck.
        draft: The episodes, whose placements are changed where an order contradicts them.
        orders: What is true, in the order of unit, child and start.
    """
    said = orders.copy()
    if len(orders):
        _Orders(striker, draft, orders, said).plant()
    return said


class _Orders:
    """The orders while faults are planted: ``said`` is changed in place, ``truth`` is not."""

    def __init__(
        self, striker: Striker, draft: CareDraft, truth: pd.DataFrame, said: pd.DataFrame
    ) -> None:
        self.striker, self.draft, self.said = striker, draft, said
        self.child, self.episode = truth["child"].to_numpy(), truth["episode"].to_numpy()
        self.start, self.end = truth["start"].to_numpy(), truth["end"].to_numpy()
        self.year = last_year(self.end, striker.settings.years)
        self.ended = self.end <= year_end(striker.settings.last_year)
        same = self.child[1:] == self.child[:-1]
        self.follows = np.append(False, same)
        self.followed = np.append(same, False)

    def plant(self) -> None:
        """Plant every kind in turn."""
        single = ~self.follows & ~self.followed
        rows, _ = self._strike("ssda903:702", self.ended & single)
        self._end(rows, self.start[rows], "ssda903:702")
        second = np.append(self.start[1:], NEVER)
        ends = np.array([year_end(int(year)) for year in self.year])
        room = self.followed & self.ended & (second + 1 <= ends)
        rows, _ = self._strike("ssda903:705", room)
        self._end(rows, second[rows] + 1, "ssda903:705", told_of=rows + 1)
        self._late(single, ends)
        self._placements(single)

    def _late(self, single: Flags, ends: Ints) -> None:
        care = self.draft
        left = ~care.continues[self.episode] & (
            care.truth["end"].to_numpy()[self.episode] == self.end
        )
        room = self.end + _LATE_DAYS <= ends
        rows, rng = self._strike("ssda903:707", single & left & self.ended & room)
        late = self.end[rows] + between(rng, 1, np.full(len(rows), _LATE_DAYS))
        self._end(rows, late, "ssda903:707")

    def _placements(self, single: Flags) -> None:
        """Put the child elsewhere, in an episode that no other is compared with."""
        care = self.draft
        alone = (~care.has_next & ~care.follows)[self.episode] & self.ended & single
        for fault, place in (("ssda903:710", FORBIDDEN), ("ssda903:709", UNEXPECTED)):
            rows, _ = self._strike(fault, alone)
            care.said["placement"][self.episode[rows]] = place
            self._note(fault, "start_date", rows)
            if fault == "ssda903:710":
                self._note("ssda903:709", "start_date", rows)

    def _strike(self, fault: str, eligible: Flags) -> tuple[Ints, np.random.Generator]:
        free = eligible & self.draft.free[self.child]
        first = np.zeros(len(free), dtype=bool)
        rows = np.flatnonzero(free)
        first[rows[np.unique(self.child[rows], return_index=True)[1]]] = True
        struck, rng = self.striker.rows(fault, first, ORDERS)
        self.draft.free[self.child[struck]] = False
        return struck, rng

    def _end(self, rows: Ints, days: Ints, fault: str, told_of: Ints | None = None) -> None:
        self.said.loc[rows, "end"] = days
        self._note(
            fault,
            "end_date",
            rows if told_of is None else told_of,
            None if told_of is not None else days,
        )

    def _note(self, fault: str, column: str, rows: Ints, planted: Ints | None = None) -> None:
        self.striker.log.of_children(
            fault,
            (ORDERS, column),
            child=self.child[rows],
            year=self.year[rows],
            record=(self.start[rows],),
            planted=planted,
        )
