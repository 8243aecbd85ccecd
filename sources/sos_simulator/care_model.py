"""Periods of care and the episodes they are made of."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from sos_sources.codes import FOSTER_PLACEMENT

from sos_simulator.dates import YEAR, Flags, Floats, Ints, Objects, between, day
from sos_simulator.rates import Rates

LEGAL = np.array(["C1", "C2", "V2", "L2"], dtype=object)
_LEGAL_SHARES = (0.50, 0.15, 0.30, 0.05)
CARE_ORDER_SHARE = _LEGAL_SHARES[0] + _LEGAL_SHARES[1]
"""Share of periods of care that start under an interim (C1) or full (C2) care order."""

OLDEST_AT_START = 16.3
_ADULT = int(18 * YEAR)
_FOLLOW_UP = 365
_MARGIN = 5  # days by which planned events keep clear of the end of the follow-up year

_HOME_SHARE = 0.06  # placed with, or returned to, own parents within a year
_YOUNG, _OLD = 5 * YEAR, 12 * YEAR
_YOUNG_EFFECT, _OLD_EFFECT = 0.04, -0.05
_OTHER_STATUS_FACTOR = 0.6  # kinship is rarer outside care orders

# How a child comes to live with relatives: placed at the start, moved to them, or leaving to them.
AT_START, BY_MOVE, BY_EXIT = 0, 1, 2
_WAYS = (0.58, 0.29, 0.13)

NEW_FOSTER_CODES = day(pd.Timestamp("2015-04-01").date())
RELATIVE, OTHER_FOSTER, PARENTS = "relative", "foster", "P1"
_PLACES = np.array([OTHER_FOSTER, "K2", "R1"], dtype=object)
_PLACE_SHARES = (0.86, 0.11, 0.03)


@dataclass(frozen=True)
class Periods:
    """Periods of care, one element each.

    Attributes:
        unit: Index of the authority.
        child: Index of the child.
        start: First day.
        end: Last day; may lie after the data.
        legal: Index into :data:`LEGAL` of the legal status at the start.
        kin: Whether the child is placed with or leaves to relatives within a year.
        home: Whether the child is placed with or returns to parents within a year.
        way: AT_START, BY_MOVE or BY_EXIT, for kin and home.
        move: Day of the move to relatives or parents, where ``way`` is BY_MOVE.
        exit: Code of the reason why the period ended.
    """

    unit: Ints
    child: Ints
    start: Ints
    end: Ints
    legal: Ints
    kin: Flags
    home: Flags
    way: Ints
    move: Ints
    exit: Objects

    def __len__(self) -> int:
        return len(self.unit)

    @classmethod
    def join(cls, parts: list[Periods]) -> Periods:
        """Stack several sets of periods."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


def start_periods(
    rng: np.random.Generator, rates: Rates, *, unit: Ints, child: Ints, start: Ints, birth: Ints
) -> Periods:
    """Draw the periods of care that start on ``start``."""
    n = len(unit)
    legal = rng.choice(len(LEGAL), size=n, p=_LEGAL_SHARES)
    draw = rng.random(n)
    probability = _kin_probability(rates, unit, start, birth, legal)
    kin = draw < probability
    home = ~kin & (draw < probability + _HOME_SHARE)
    way = rng.choice(3, size=n, p=_WAYS)
    way = np.where(home & (way == AT_START), BY_EXIT, way)
    move = start + between(rng, 7, np.full(n, _FOLLOW_UP - _MARGIN))
    planned = np.where(way == BY_EXIT, between(rng, 21, np.full(n, _FOLLOW_UP - _MARGIN)), 0)
    length = _lengths(rng, kin | home)
    length = np.where((kin | home) & (way == BY_EXIT), planned, length)
    length = np.where(
        (kin | home) & (way == BY_MOVE), np.maximum(length, move - start + 28), length
    )
    adult = birth + _ADULT
    end = np.minimum(start + length, adult)
    reason = _exits(rng, kin=kin, home=home, way=way, length=end - start, age=start - birth)
    return Periods(
        unit=unit,
        child=child,
        start=start,
        end=end,
        legal=legal,
        kin=kin,
        home=home,
        way=way,
        move=move,
        exit=np.where(end == adult, "E7", reason).astype(object),
    )


def _kin_probability(rates: Rates, unit: Ints, start: Ints, birth: Ints, legal: Ints) -> Floats:
    age = start - birth
    by_age = np.where(age < _YOUNG, _YOUNG_EFFECT, np.where(age >= _OLD, _OLD_EFFECT, 0.0))
    by_age = by_age - (by_age.mean() if len(by_age) else 0.0)
    probability = rates.at("kinship-care", unit, start) + by_age
    under_order = legal < 2
    return np.where(under_order, probability, _OTHER_STATUS_FACTOR * probability)


def _lengths(rng: np.random.Generator, settled: Flags) -> Ints:
    """Draw lengths in days: a fifth of those without kin or home leave within the year."""
    n = len(settled)
    usual = np.clip(np.exp(rng.normal(np.log(520), 0.6, n)), 30, 2500).astype(np.int64)
    long = np.maximum(usual, _FOLLOW_UP + _MARGIN + between(rng, 0, np.full(n, 200)))
    short = between(rng, 5, np.full(n, _FOLLOW_UP - _MARGIN))
    return np.where(settled, usual, np.where(rng.random(n) < 0.2, short, long))


def _exits(
    rng: np.random.Generator, *, kin: Flags, home: Flags, way: Ints, length: Ints, age: Ints
) -> Objects:
    n = len(kin)

    def choose(codes: list[str], shares: list[float]) -> Objects:
        return np.asarray(rng.choice(np.array(codes, dtype=object), n, p=shares), dtype=object)

    elsewhere = choose(["E8", "E3"], [0.7, 0.3])
    later = choose(["E4A", "E46", "E8", "E12"], [0.4, 0.1, 0.2, 0.3])
    later = np.where((later == "E12") & (age > _YOUNG), "E4A", later)
    to_kin = choose(["E45", "E47"], [0.3, 0.7])
    from_kin = choose(["E45", "E4A", "E8"], [0.5, 0.2, 0.3])
    # A child placed with relatives who goes home within the year counts as kinship all the same.
    to_home = choose(["E4A", "E13"], [0.85, 0.15])
    reason = np.where(length <= _FOLLOW_UP, elsewhere, later)
    reason = np.where(kin, np.where(way == BY_EXIT, to_kin, from_kin), reason)
    return np.where(home & (way == BY_EXIT), to_home, reason)


def episodes(rng: np.random.Generator, periods: Periods) -> pd.DataFrame:
    """Cut periods of care into episodes.

    Returns:
        One row an episode, in order: ``period`` (index into ``periods``), ``unit``, ``child``,
        ``start``, ``end``, ``reason_start``, ``reason_end``, ``legal_status``, ``placement``,
        ``placement_provider``.
    """
    changes = pd.concat(_changes(rng, periods), ignore_index=True)
    inside = changes["day"].to_numpy() < periods.end[changes["period"].to_numpy()]
    changes = changes[inside].sort_values(["period", "day"], kind="stable")
    # groupby.last takes the last value given, so a move and an order on one day become one row.
    merged = changes.groupby(["period", "day"], sort=True)[["place", "legal"]].last().reset_index()
    moved, ordered = merged["place"].notna(), merged["legal"].notna()
    start = merged["day"].to_numpy()
    merged["place"] = _placement_codes(rng, merged["place"].to_numpy(dtype=object), start)
    merged["reason_start"] = np.where(moved & ordered, "B", np.where(moved, "P", "L"))
    filled = merged.groupby("period")[["place", "legal"]].ffill()
    first = ~merged["period"].duplicated()
    last = ~merged["period"].duplicated(keep="last")
    period = merged["period"].to_numpy()
    end = np.where(last, periods.end[period], np.append(start[1:], 0))
    made = _consistent(
        placement=filled["place"].to_numpy(dtype=object),
        legal=filled["legal"].to_numpy(dtype=object),
        reason_start=np.where(first, "S", merged["reason_start"]).astype(object),
        reason_end=np.where(last, periods.exit[period], "X1").astype(object),
    )
    placement = made["placement"]
    return pd.DataFrame(
        {
            "period": period,
            "unit": periods.unit[period],
            "child": periods.child[period],
            "start": start,
            "end": end,
            "reason_start": made["reason_start"],
            "reason_end": made["reason_end"],
            "legal_status": made["legal"],
            "placement": placement,
            "placement_provider": np.where(placement == PARENTS, "PR0", "PR1").astype(object),
        }
    )


def _consistent(
    *, placement: Objects, legal: Objects, reason_start: Objects, reason_end: Objects
) -> dict[str, Objects]:
    """Make episodes keep the checks of the return, whatever was drawn; their dates stay.

    A child with parents is under an order; one that is adopted was placed for it, from foster
    carers, or goes home instead; only who lives with foster carers leaves to them.
    """
    with_parents, agreed = placement == PARENTS, legal == "V2"
    legal = np.where(with_parents & agreed, "C1", legal).astype(object)
    moved = reason_start == "P"
    reason_start = np.where(with_parents & agreed & moved, "B", reason_start).astype(object)
    again = with_parents & (reason_start == "L") & (legal == "C1")
    legal = np.where(again, "C2", legal).astype(object)
    fostered = np.isin(placement, sorted(FOSTER_PLACEMENT))
    adopted = reason_end == "E12"
    before = np.append(False, fostered)[: len(fostered)]
    placed = adopted & fostered & before & (reason_start != "S")
    placement = np.where(placed, "A4", placement).astype(object)
    reason_start = np.where(placed & (reason_start == "L"), "B", reason_start).astype(object)
    reason_end = np.where(adopted & ~placed, "E4A", reason_end).astype(object)
    for kept, other in (("E45", "E47"), ("E46", "E48")):
        reason_end[(reason_end == kept) & ~fostered] = other
    return {
        "placement": placement,
        "legal": legal,
        "reason_start": reason_start,
        "reason_end": reason_end,
    }


def _changes(rng: np.random.Generator, periods: Periods) -> list[pd.DataFrame]:
    n = len(periods)
    every = np.arange(n)
    kin_place = np.where(periods.kin, RELATIVE, PARENTS)
    settled = periods.kin | periods.home
    other = rng.choice(_PLACES, n, p=_PLACE_SHARES)
    first = np.where(periods.kin & (periods.way == AT_START), RELATIVE, other)

    def change(mask: Flags, days: Ints, place: object, legal: object) -> pd.DataFrame:
        columns = {"period": every, "day": days, "place": place, "legal": legal}
        return pd.DataFrame(columns)[mask]

    further = periods.start + between(rng, 14, np.full(n, 700))
    late = periods.start + between(rng, 400, np.full(n, 900))
    ordered = periods.start + between(rng, 60, np.full(n, 300))
    draw = rng.random((3, n))
    interim, agreed = periods.legal == 0, periods.legal == 2
    return [
        change(every >= 0, periods.start, first, LEGAL[periods.legal]),
        change(settled & (periods.way == BY_MOVE), periods.move, kin_place, None),
        change(~settled & (draw[0] < 0.45), further, OTHER_FOSTER, None),
        change(~settled & (draw[1] < 0.08), late, RELATIVE, None),
        change(interim & (draw[2] < 0.6), ordered, None, "C2"),
        change(agreed & (draw[2] < 0.25), ordered, None, "C1"),
        change(periods.legal == 3, periods.start + 3, None, "V2"),
    ]


def _placement_codes(rng: np.random.Generator, place: Objects, start: Ints) -> Objects:
    """Write foster placements in the codes of their time: Q1 and Q2 before April 2015."""
    n = len(place)
    relative = rng.choice(np.array(["U1", "U2", "U3"], dtype=object), n, p=[0.3, 0.15, 0.55])
    foster = rng.choice(np.array(["U4", "U5", "U6"], dtype=object), n, p=[0.2, 0.05, 0.75])
    old = start < NEW_FOSTER_CODES
    codes = np.where(place == RELATIVE, np.where(old, "Q1", relative), place)
    return np.where(place == OTHER_FOSTER, np.where(old, "Q2", foster), codes)
