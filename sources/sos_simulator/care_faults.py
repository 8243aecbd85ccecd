"""Faults in returns of looked-after children and in what is said of children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sos_sources.codes import ETHNICITY_NOT_STATED, FOSTER_PLACEMENT

from sos_simulator.care_model import NEW_FOSTER_CODES
from sos_simulator.children import Children
from sos_simulator.cin_faults import SLIPS
from sos_simulator.dates import NEVER, Flags, Ints, Objects, april_year, between
from sos_simulator.fault_log import LEFT_OUT, Striker, last_year

TEMPORARY = "T0"
OLD_CODES = ("Q1", "Q2")
_GOES_ON = ("L", "P", "B")
_STATUSES = ("C2", "V2")
_COLUMNS = {
    "missing:legal_status": "legal_status",
    "missing:cin": "cin",
    "missing:placement": "placement",
    "missing:placement_provider": "placement_provider",
}


class CareDraft:
    """Episodes while faults are planted: ``said`` is changed in place, ``truth`` is not.

    Rows are in the order of unit, child and start; ``free`` says which children have no fault yet.
    """

    def __init__(
        self, truth: pd.DataFrame, n_children: int, years: range, end: int, lost: Flags
    ) -> None:
        self.truth = truth
        self.said = {
            name: truth[name].to_numpy(copy=True)
            for name in ("start", "end", "reason_start", "reason_end", "legal_status", "cin")
        } | {
            name: truth[name].to_numpy(dtype=object, copy=True)
            for name in ("placement", "placement_provider")
        }
        self.free = np.ones(n_children, dtype=bool)
        self.child = truth["child"].to_numpy()
        self.start = truth["start"].to_numpy()
        self.ended = truth["end"].to_numpy() <= end
        self.year = last_year(truth["end"].to_numpy(), years)
        # A child of whose episodes one is lost is left alone: the others have no neighbour.
        self.free[self.child[lost]] = False
        self.lost = lost
        period = truth["period"].to_numpy()
        self.follows = _like_the_one_before(self.child)
        self.goes_on = _like_the_one_before(period)
        self.has_next = np.append(self.follows[1:], False)[: len(truth)]
        self.continues = np.append(self.goes_on[1:], False)[: len(truth)]

    def next(self, column: str) -> Objects:
        """Return a column of the following row."""
        return self._column(column)[2:]

    def before(self, column: str) -> Objects:
        """Return a column of the row before."""
        return self._column(column)[:-2]

    def _column(self, column: str) -> Objects:
        nothing = np.array([None], dtype=object)
        values = self.truth[column].to_numpy(dtype=object)
        return np.concatenate([nothing, values, nothing])


def _like_the_one_before(values: Ints) -> Flags:
    return np.append(False, values[1:] == values[:-1])[: len(values)]


def plant_in_episodes(striker: Striker, draft: CareDraft) -> None:
    """Plant all chosen faults of episodes, one a child at most."""
    if not len(draft.truth):
        return
    for plant in (_ends, _temporary, _starts, _changes, _codes):
        plant(striker, draft)


def _strike(
    striker: Striker, draft: CareDraft, fault: str, eligible: Flags, table: str = ""
) -> tuple[Ints, np.random.Generator]:
    """Strike the first eligible episode of children that have no fault yet."""
    rows = np.flatnonzero(eligible & draft.free[draft.child])
    first = np.zeros(len(eligible), dtype=bool)
    first[rows[np.unique(draft.child[rows], return_index=True)[1]]] = True
    struck, rng = striker.rows(fault, first, table)
    draft.free[draft.child[struck]] = False
    return struck, rng


def _note(
    striker: Striker,
    draft: CareDraft,
    fault: str,
    column: str,
    rows: Ints,
    planted: object = None,
) -> None:
    striker.log.of_children(
        fault,
        ("episodes", column),
        child=draft.child[rows],
        year=draft.year[rows],
        record=(draft.start[rows],),
        planted=planted,
    )


def _ends(striker: Striker, draft: CareDraft) -> None:
    said = draft.said
    rows, _ = _strike(striker, draft, "ssda903:142", draft.has_next & draft.ended)
    said["end"][rows] = NEVER
    said["reason_end"][rows] = None
    _note(striker, draft, "ssda903:142", "end_date", rows, LEFT_OUT)
    _note(striker, draft, "ssda903:142", "reason_end", rows, LEFT_OUT)
    later = rows + 1
    later = later[np.isin(said["reason_start"][later], _GOES_ON)]
    _note(striker, draft, "ssda903:433", "start_date", later)
    last = ~draft.has_next & draft.ended
    rows, _ = _strike(striker, draft, "ssda903:148", last)
    said["reason_end"][rows] = None
    _note(striker, draft, "ssda903:148", "reason_end", rows, LEFT_OUT)
    rows, rng = _strike(striker, draft, "ssda903:356", last)
    said["end"][rows] = draft.start[rows] - between(rng, 1, np.full(len(rows), 200))
    _note(striker, draft, "ssda903:356", "end_date", rows, said["end"][rows])
    rows, _ = _strike(striker, draft, "ssda903:388", last)
    said["reason_end"][rows] = "X1"
    _note(striker, draft, "ssda903:388", "reason_end", rows, "X1")
    lasted = np.append(draft.start[1:] - draft.start[:-1], 0)[: len(draft.start)]
    rows, rng = _strike(striker, draft, "ssda903:433", draft.continues & (lasted > 1))
    said["end"][rows] -= between(rng, 1, np.minimum(lasted[rows] - 1, 20))
    _note(striker, draft, "ssda903:433", "start_date", rows + 1)
    _note(striker, draft, "ssda903:388", "end_date", rows, said["end"][rows])


def _temporary(striker: Striker, draft: CareDraft) -> None:
    moved = np.isin(draft.truth["reason_start"].to_numpy(dtype=object), ["P", "B"])
    moves_next = draft.continues & np.isin(draft.next("reason_start"), ["P", "B"])
    begins = draft.truth["reason_start"].to_numpy(dtype=object) == "S"
    chosen = {
        "ssda903:380": begins & moves_next & draft.ended,
        "ssda903:381": moved & ~draft.continues & draft.ended,
    }
    for fault, eligible in chosen.items():
        rows, _ = _strike(striker, draft, fault, eligible)
        draft.said["placement"][rows] = TEMPORARY
        _note(striker, draft, fault, "placement", rows, TEMPORARY)


def _starts(striker: Striker, draft: CareDraft) -> None:
    reasons = draft.said["reason_start"]
    rows, _ = _strike(striker, draft, "ssda903:431", draft.goes_on)
    reasons[rows] = "S"
    _note(striker, draft, "ssda903:431", "reason_start", rows, "S")
    same_place = draft.truth["placement"].to_numpy(dtype=object) == draft.before("placement")
    same_status = draft.truth["legal_status"].to_numpy(dtype=object) == draft.before("legal_status")
    again = draft.follows & ~draft.goes_on & ~(same_place & same_status)
    rows, _ = _strike(striker, draft, "ssda903:432", again)
    reasons[rows] = np.where(same_status, "P", np.where(same_place, "L", "B"))[rows]
    _note(striker, draft, "ssda903:432", "reason_start", rows, reasons[rows])
    _note(striker, draft, "ssda903:433", "start_date", rows)


def _changes(striker: Striker, draft: CareDraft) -> None:
    """Contradict the reason for the last episode of a period, so that none after it is touched."""
    statuses = draft.said["legal_status"]
    reasons = draft.truth["reason_start"].to_numpy(dtype=object)
    last = draft.goes_on & ~draft.continues
    before = draft.before("legal_status")
    usual, other = _STATUSES
    for fault, reason in (("ssda903:434", "L"), ("ssda903:435", "P"), ("ssda903:436", "B")):
        rows, _ = _strike(striker, draft, fault, last & (reasons == reason))
        changed = np.where(before[rows] == usual, other, usual)
        statuses[rows] = changed if reason == "P" else before[rows]
        _note(striker, draft, fault, "legal_status", rows, statuses[rows])


def _codes(striker: Striker, draft: CareDraft) -> None:
    """Leave codes out or misspell them in episodes that no other is compared with."""
    alone = ~draft.has_next & ~draft.follows
    for fault, column in _COLUMNS.items():
        codes = draft.said[column]
        rows, _ = _strike(striker, draft, fault, alone & (codes != None))  # noqa: E711  by element
        codes[rows] = None
        _note(striker, draft, fault, column, rows, LEFT_OUT)
    places = draft.said["placement"]
    for fault, slip in SLIPS.items():
        rows, _ = _strike(striker, draft, fault, alone & (places != None), "episodes")  # noqa: E711
        places[rows] = slip(places[rows])
        _note(striker, draft, fault, "placement", rows, places[rows])


def note_natural_care(striker: Striker, draft: CareDraft) -> None:
    """Record what breaks a check although nothing was planted; ``planted`` is null.

    A change of legal status leaves the child with the carers, and their code of before April 2015.
    An end that is written too early may lie before the codes of its time.
    """
    said, early = draft.said["placement"], draft.said["end"] < NEW_FOSTER_CODES
    old = np.isin(said, list(OLD_CODES)) & (draft.start >= NEW_FOSTER_CODES)
    new = np.isin(said, list(FOSTER_PLACEMENT - set(OLD_CODES))) & early
    rows = np.flatnonzero((old | new) & ~draft.lost)
    _note(striker, draft, "ssda903:146", "placement", rows)


@dataclass
class ChildDraft:
    """Children while faults are planted.

    Attributes:
        truth: The children.
        said: What all returns say, changed in place.
        at_last: What the last return of a child says, changed in place.
        first: April-year of the first return of children in need that has the child; NEVER.
        last: April-year of the last one; -1 for a child in care alone.
        year: April-year of the last return of any kind; -1 for a child that no fault may strike.
    """

    truth: Children
    said: Children
    at_last: Children
    first: Ints
    last: Ints
    year: Ints


def plant_in_children(striker: Striker, draft: ChildDraft) -> None:
    """Plant all chosen faults of children, one a child at most."""
    free = draft.year >= 0
    born = april_year(draft.truth.birth) <= draft.year
    in_need = draft.last >= 0

    def strike(fault: str, eligible: Flags, table: str = "") -> tuple[Ints, np.random.Generator]:
        rows, rng = striker.rows(fault, eligible & free, table)
        free[rows] = False
        return rows, rng

    def note(fault: str, column: str, rows: Ints, planted: object) -> None:
        striker.log.of_children(
            fault, ("children", column), child=rows, year=draft.year[rows], planted=planted
        )

    left_out: tuple[tuple[str, str, Flags, object], ...] = (
        ("birth_date", "birth", born, NEVER),
        ("sex", "sex", born & (draft.truth.sex > 0), 0),
        ("ethnicity", "ethnicity", np.ones(len(born), dtype=bool), None),
        ("disabled", "disability", in_need & (draft.truth.disability != ""), ""),
    )
    for column, field, eligible, nothing in left_out:
        rows, _ = strike(f"missing:{column}", eligible)
        for children in (draft.said, draft.at_last):
            getattr(children, field)[rows] = nothing
        note(f"missing:{column}", column, rows, LEFT_OUT)
    for fault, slip in SLIPS.items():
        rows, _ = strike(fault, np.ones(len(born), dtype=bool), "children")
        for children in (draft.said, draft.at_last):
            children.ethnicity[rows] = slip(draft.truth.ethnicity[rows])
        note(fault, "ethnicity", rows, draft.at_last.ethnicity[rows])
    _conflicts(draft, strike, note)


def _conflicts(
    draft: ChildDraft,
    strike: Callable[..., tuple[Ints, np.random.Generator]],
    note: Callable[[str, str, Ints, object], None],
) -> None:
    truth, late = draft.truth, draft.at_last
    twice = (draft.first < draft.last) & (draft.last >= 0)
    born = april_year(truth.birth) < draft.first
    rows, rng = strike("conflicting-birth-date", twice & born)
    late.birth[rows] -= between(rng, 1, np.full(len(rows), 300))
    note("conflicting-birth-date", "birth_date", rows, late.birth[rows])
    rows, _ = strike("conflicting-gender", twice & born & (truth.sex > 0))
    late.sex[rows] = 3 - late.sex[rows]
    names = np.array(["", "male", "female"], dtype=object)
    note("conflicting-gender", "sex", rows, names[late.sex[rows]])
    stated = ~np.isin(truth.ethnicity, list(ETHNICITY_NOT_STATED))
    rows, _ = strike("conflicting-ethnicity", twice & stated)
    late.ethnicity[rows] = np.where(truth.ethnicity[rows] == "WBRI", "MWBC", "WBRI")
    note("conflicting-ethnicity", "ethnicity", rows, late.ethnicity[rows])
