"""Children who move between authorities, their pupil numbers, and who is who."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sos_plugins.groundwork.pupil_numbers import pupil_number
from sos_simulator.children import FIRST_CHILD, Children, count_within
from sos_simulator.cin_model import History
from sos_simulator.dates import Ints, generator
from sos_simulator.settings import SimulatedSettings

PEOPLE = "true_people.csv"
"""Who is who, where children move."""
_PLACE = "999"
"""An authority that gives no pupil numbers."""


@dataclass(frozen=True)
class Moved:
    """A history in which children move.

    Attributes:
        history: It; a child that moved is another one in its second authority.
        person: For each child, the number of who it truly is.
    """

    history: History
    person: Ints


def move(settings: SimulatedSettings, history: History) -> Moved:
    """Let children move: from one of their later referrals on they are seen elsewhere.

    The new authority gives the child an identifier of its own. What comes before the move stays,
    and so does the course of every referral.
    """
    n = len(history.children)
    if not settings.moves and not settings.pupil_numbers:
        return Moved(history, np.arange(n))
    rng = generator(settings.seed, "moves")
    child, day = _movers(rng, settings.moves, history)
    away = rng.integers(1, settings.authorities, len(child))
    unit = (history.children.unit[child] + away) % settings.authorities
    had = np.bincount(history.children.unit, minlength=settings.authorities)
    again = history.children.where(child)
    again = replace(again, unit=unit, identifier=FIRST_CHILD + count_within(unit, had))
    children = history.children.plus(again)
    person = np.concatenate([np.arange(n), child])
    since, number = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
    since[child], number[child] = day, n + np.arange(len(child))

    def elsewhere(who: Ints, when: Ints) -> Ints:
        return np.where(when >= since[who], number[who], who)

    referrals, periods = history.referrals, history.periods
    moved = elsewhere(referrals.child, referrals.date)
    cared = elsewhere(periods.child, periods.start)
    return Moved(
        History(
            children=replace(children, number=_numbers(rng, settings, person)),
            referrals=replace(referrals, child=moved, unit=children.unit[moved]),
            periods=replace(periods, child=cared, unit=children.unit[cared]),
        ),
        person,
    )


def _movers(rng: np.random.Generator, share: float, history: History) -> tuple[Ints, Ints]:
    """Return children who move, and the days of the referrals from which on they are elsewhere."""
    frame = pd.DataFrame({"child": history.referrals.child, "date": history.referrals.date})
    frame = frame.sort_values(["child", "date"], kind="stable")
    # Not the first referral, nor another of its day.
    first = frame.groupby("child")["date"].transform("min")
    later = frame[frame["date"] > first].drop_duplicates()
    later = later.assign(lot=rng.random(len(later))).sort_values(["child", "lot"])
    one = later.drop_duplicates("child")
    one = one[rng.random(len(one)) < share]
    return one["child"].to_numpy(np.int64), one["date"].to_numpy(np.int64)


def _numbers(rng: np.random.Generator, settings: SimulatedSettings, person: Ints) -> np.ndarray:
    """Return the pupil number of each child, empty where its authority does not know it."""
    if not settings.pupil_numbers:
        return np.full(len(person), "", dtype=object)
    known = np.array([pupil_number(f"{_PLACE}{n:09d}") for n in person.tolist()], dtype=object)
    return np.where(rng.random(len(person)) < settings.missing_pupil_number, "", known)


def people_table(codes: tuple[str, ...], children: Children, person: Ints) -> pd.DataFrame:
    """Return who is who: ``unit, child, person``, one row a child of an authority."""
    return pd.DataFrame(
        {
            "unit": np.array(codes, dtype=object)[children.unit],
            "child": children.identifier.astype(str),
            "person": person,
        }
    ).sort_values(["unit", "child"], ignore_index=True)


def told_moves(people: pd.DataFrame) -> dict[str, object]:
    """Return what ``truth.json`` says of who is who.

    Args:
        people: As :func:`people_table` makes it.
    """
    return {
        "file": PEOPLE,
        "children": len(people),
        "people": int(people["person"].nunique()),
    }
