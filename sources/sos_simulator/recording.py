"""What the returns say of what happened: the truth, with the planted faults in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from sos_simulator.care_faults import (
    CareDraft,
    ChildDraft,
    note_natural_care,
    plant_in_children,
    plant_in_episodes,
)
from sos_simulator.children import Children
from sos_simulator.cin_faults import (
    CinDraft,
    note_natural,
    note_usual,
    plant_in_referrals,
    strike_text,
)
from sos_simulator.dates import NEVER, Flags, Ints, april_year, year_end
from sos_simulator.fault_kinds import XML_ONLY, rate
from sos_simulator.fault_log import Log, Striker, last_year
from sos_simulator.faults import Recorded
from sos_simulator.order_faults import plant_in_orders
from sos_simulator.population import Population
from sos_simulator.referrals import NFA, Referrals
from sos_simulator.settings import SimulatedSettings

_MARGIN_YEARS = 2  # before and after a break in a series
T = TypeVar("T", Referrals, Children)


@dataclass(frozen=True)
class Written:
    """What returns say of referrals, children and episodes, row by row like the truth.

    Attributes:
        referrals: Referrals as written.
        nfa: The flag ReferralNFA as written.
        duplicate: Whether a referral stands twice in the last return that holds it.
        children: What all returns but the last say of children.
        children_at_last: What the last return with a child says.
        last_seen: April-year of the last return of children in need with a child; -1 for none.
        episodes: Episodes as written.
        orders: Orders that deprive a child of liberty, as written.
        conflict: Referrals whose source only the last return has so.
        dropped: Referrals that an authority does not return any more after a break.
        lost: These, and referrals that the last return would be missing for.
        lost_episodes: Episodes that the last return is missing for.
        lost_orders: Orders that it is missing for.
        no_cin: Authorities x April-years without a return of children in need.
        no_care: The same of looked-after children.
        marks: By fault of XML alone, the referrals that have it.
    """

    referrals: Referrals
    nfa: Flags
    duplicate: Flags
    children: Children
    children_at_last: Children
    last_seen: Ints
    episodes: pd.DataFrame
    orders: pd.DataFrame
    conflict: Flags
    dropped: Flags
    lost: Flags
    lost_episodes: Flags
    lost_orders: Flags
    no_cin: Flags
    no_care: Flags
    marks: Mapping[str, Flags]


@dataclass(frozen=True)
class Faults:
    """What was planted in one part of a simulation.

    Attributes:
        table: One line a fault, see :data:`sos_simulator.fault_log.FAULTS`.
        struck: By fault with a rate of its own, how many rows it struck and how many it could.
    """

    table: pa.Table
    struck: Mapping[str, tuple[int, int]]


def spans(n_children: int, referrals: Referrals, years: range) -> tuple[Ints, Ints]:
    """Return the April-years of the first and last return of children in need with each child.

    They are NEVER and -1 for a child in none.
    """
    first = np.full(n_children, NEVER, dtype=np.int64)
    np.minimum.at(first, referrals.child, np.maximum(april_year(referrals.date), years[0]))
    last = np.full(n_children, -1, dtype=np.int64)
    np.maximum.at(last, referrals.child, last_year(referrals.closure, years))
    return first, last


def truthful(
    settings: SimulatedSettings,
    children: Children,
    referrals: Referrals,
    episodes: pd.DataFrame,
    orders: pd.DataFrame,
) -> Written:
    """Return what flawless returns would say."""
    none = np.zeros(len(referrals), dtype=bool)
    shape = (settings.authorities, len(settings.years))
    return Written(
        referrals=referrals,
        nfa=referrals.kind == NFA,
        duplicate=none,
        children=children,
        children_at_last=children,
        last_seen=spans(len(children), referrals, settings.years)[1],
        episodes=episodes,
        orders=orders,
        conflict=none,
        dropped=none,
        lost=none,
        lost_episodes=np.zeros(len(episodes), dtype=bool),
        lost_orders=np.zeros(len(orders), dtype=bool),
        no_cin=np.zeros(shape, dtype=bool),
        no_care=np.zeros(shape, dtype=bool),
        marks=dict.fromkeys(XML_ONLY, none),
    )


def record(
    settings: SimulatedSettings,
    population: Population,
    children: Children,
    referrals: Referrals,
    episodes: pd.DataFrame,
    orders: pd.DataFrame,
    recorded: Recorded,
) -> tuple[Written, Faults]:
    """Plant the faults and keep a line about each.

    Args:
        settings: The settings.
        population: The authorities.
        children: All children.
        referrals: Referrals in the order of unit, child and date.
        episodes: Episodes in the order of unit, child and start.
        orders: Orders that deprive a child of liberty, in the same order.
        recorded: The faults that have settings of their own.
    """
    log = Log(np.array(population.codes, dtype=object), children)
    striker = Striker(settings, population, log)
    years = settings.years
    no_cin, no_care = (_missing_years(striker, t) for t in ("referrals", "episodes"))
    dropped = _dropped(striker, referrals)
    shown = last_year(referrals.closure, years) - years[0]
    lost = dropped | no_cin[referrals.unit, shown]
    ends = last_year(episodes["end"].to_numpy(), years) - years[0]
    lost_episodes = no_care[episodes["unit"].to_numpy(), ends]
    last = last_year(orders["end"].to_numpy(), years) - years[0]
    lost_orders = no_care[orders["unit"].to_numpy(), last]
    # Where a return is missing, a fault may have stood in that one alone: none is planted there.
    whole_cin: Flags = np.logical_not(no_cin.any(axis=1))
    whole_care: Flags = np.logical_not(no_care.any(axis=1))
    said = _own(replace(referrals, closure=recorded.closure, reason=recorded.reason))
    cin = CinDraft(
        truth=referrals,
        said=said,
        nfa=recorded.nfa.copy(),
        free=(recorded.fault == "") & ~recorded.duplicate & ~lost & whole_cin[referrals.unit],
        years=years,
        lost=lost,
    )
    if "cin:2884" in settings.faults:  # its rate is of all, not of what happens besides
        said.in_details[said.in_enquiry] = False
    note_usual(striker, cin, recorded.fault, recorded.duplicate)
    plant_in_referrals(striker, cin)
    marks = {fault: _marks(striker, cin, fault) for fault in XML_ONLY}
    alone = lost_episodes | ~whole_care[episodes["unit"].to_numpy()]
    care = CareDraft(episodes, len(children), years, year_end(years[-1]), alone)
    plant_in_episodes(striker, care)
    ordered = plant_in_orders(striker, care, orders)
    note_natural_care(striker, care)
    kids = _children(children, referrals.where(~lost), episodes[~lost_episodes], years)
    kids.year[~(whole_cin & whole_care)[children.unit]] = -1
    plant_in_children(striker, kids)
    note_natural(striker, cin)
    written = Written(
        referrals=said,
        nfa=cin.nfa,
        duplicate=recorded.duplicate,
        children=kids.said,
        children_at_last=kids.at_last,
        last_seen=kids.last,
        episodes=episodes.assign(**care.said),
        orders=ordered,
        conflict=_conflicting(referrals, said),
        dropped=dropped,
        lost=lost,
        lost_episodes=lost_episodes,
        lost_orders=lost_orders,
        no_cin=no_cin,
        no_care=no_care,
        marks=marks,
    )
    return written, Faults(log.table(), log.struck)


def _own(rows: T) -> T:
    """Return the same rows in arrays that may be changed."""
    return type(rows)(**{f.name: getattr(rows, f.name).copy() for f in fields(rows)})


def _marks(striker: Striker, draft: CinDraft, fault: str) -> Flags:
    if striker.settings.form == "returns":
        return strike_text(striker, draft, fault)
    return np.zeros(len(draft.free), dtype=bool)


def _conflicting(truth: Referrals, said: Referrals) -> Flags:
    changed = (truth.source != said.source) & (said.source != None)  # noqa: E711  by element
    return np.asarray(changed, dtype=bool)


def _children(
    children: Children, referrals: Referrals, episodes: pd.DataFrame, years: range
) -> ChildDraft:
    first, last = spans(len(children), referrals, years)
    year = last.copy()
    np.maximum.at(year, episodes["child"].to_numpy(), last_year(episodes["end"].to_numpy(), years))
    return ChildDraft(
        truth=children,
        said=_own(children),
        at_last=_own(children),
        first=first,
        last=last,
        year=year,
    )


def _here(population: Population) -> Ints:
    """Return the authorities that this part has children of."""
    return np.flatnonzero(population.size > 0)


def _missing_years(striker: Striker, table: str) -> Flags:
    settings, fault = striker.settings, "missing-year"
    absent = np.zeros((settings.authorities, len(settings.years)), dtype=bool)
    share = rate(settings.faults, fault)
    if not share:
        return absent
    units = _here(striker.population)
    draw = striker.random(f"{fault} {table}").random((len(units), len(settings.years)))
    absent[units] = draw < share
    for unit, year in np.argwhere(absent):
        striker.log.of_authority(fault, table, int(unit), settings.years[int(year)], "no return")
    striker.log.count(fault, int(absent.sum()), draw.size)
    return absent


def _dropped(striker: Striker, referrals: Referrals) -> Flags:
    settings, fault = striker.settings, "series-break"
    dropped = np.zeros(len(referrals), dtype=bool)
    share, years = rate(settings.faults, fault), settings.years
    if not share or len(years) <= 2 * _MARGIN_YEARS:
        return dropped
    units, rng = _here(striker.population), striker.random(fault)
    struck = units[rng.random(len(units)) < share]
    striker.log.count(fault, len(struck), len(units))
    starts = rng.integers(years[_MARGIN_YEARS], years[-_MARGIN_YEARS] + 1, len(struck))
    unlucky = rng.random(len(referrals)) < settings.series_break_drop
    year = april_year(referrals.date)
    for unit, start in zip(struck, starts, strict=True):
        dropped |= (referrals.unit == unit) & (year >= start) & unlucky
        fewer = f"{settings.series_break_drop:.0%} fewer"
        striker.log.of_authority(fault, "referrals", int(unit), int(start), fewer)
    return dropped


__all__ = ["Faults", "Written", "record", "spans", "truthful"]
