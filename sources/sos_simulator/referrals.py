"""Referrals as arrays, and what every kind of referral begins with."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from sos_simulator.dates import NEVER, Flags, Ints, Objects, add_working_days, between
from sos_simulator.rates import Rates

NFA, RC8, NEED = 0, 1, 2
"""Kinds of referral: closed with no further action, closed after assessment, in need."""

FREE, ESCALATES, QUIET = 0, 1, 2
"""What was drawn for a referral when it was made: nothing, an escalation, or none."""

REREFERRAL_WINDOW = 183
ESCALATION_WINDOW = 180
ICPC_WINDOW = 90

_DURATION_SHAPE = 6.0
_SOURCES = np.array(["6", "2A", "3A", "3E", "1A", "1C", "4", "5A", "8", "9", "10"], dtype=object)
_SOURCE_SHARES = np.array([28, 18, 8, 6, 10, 2, 3, 8, 9, 5, 3]) / 100


@dataclass(frozen=True)
class Referrals:
    """Referrals, one element each; a day is NEVER where the event does not happen.

    ``kind`` is NFA, RC8 or NEED. ``assessment_*``, ``again_*`` are the first and second
    assessment, ``enquiry_*`` the section 47 enquiry, ``conference`` the day of the initial
    conference wherever recorded, of which ``in_details`` and ``in_enquiry`` say where it stands.
    """

    unit: Ints
    child: Ints
    date: Ints
    kind: Ints
    source: Objects
    need: Objects
    closure: Ints
    reason: Objects
    assessment_start: Ints
    assessment_end: Ints
    again_start: Ints
    again_end: Ints
    enquiry_start: Ints
    enquiry_target: Ints
    conference: Ints
    in_details: Flags
    in_enquiry: Flags
    plan_start: Ints
    plan_end: Ints
    category: Objects
    latest_category: Objects

    def __len__(self) -> int:
        return len(self.unit)

    def where(self, mask: Flags | Ints) -> Referrals:
        """Return some of the referrals."""
        return Referrals(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    @classmethod
    def join(cls, parts: list[Referrals]) -> Referrals:
        """Stack several sets of referrals."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


@dataclass(frozen=True)
class Arriving:
    """Referrals of one generation before their course is drawn.

    ``forced`` is FREE, ESCALATES or QUIET; no plan and no care may start up to ``quiet_until``.
    """

    unit: Ints
    child: Ints
    date: Ints
    forced: Ints
    quiet_until: Ints

    def where(self, mask: Flags | Ints) -> Arriving:
        """Return some of them."""
        return Arriving(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    @classmethod
    def join(cls, parts: list[Arriving]) -> Arriving:
        """Stack several sets."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


def blank_referrals(rng: np.random.Generator, arriving: Arriving, kind: int) -> Referrals:
    """Return referrals that are closed on the day, with nothing else happening."""
    n = len(arriving.unit)
    never, nothing = np.full(n, NEVER, dtype=np.int64), np.full(n, None, dtype=object)
    no = np.zeros(n, dtype=bool)
    return Referrals(
        unit=arriving.unit,
        child=arriving.child,
        date=arriving.date,
        kind=np.full(n, kind, dtype=np.int64),
        source=rng.choice(_SOURCES, n, p=_SOURCE_SHARES),
        need=nothing,
        closure=arriving.date,
        reason=np.full(n, "RC7", dtype=object),
        assessment_start=never,
        assessment_end=never,
        again_start=never,
        again_end=never,
        enquiry_start=never,
        enquiry_target=never,
        conference=never,
        in_details=no,
        in_enquiry=no,
        plan_start=never,
        plan_end=never,
        category=nothing,
        latest_category=nothing,
    )


def assess(rng: np.random.Generator, rates: Rates, unit: Ints, earliest: Ints) -> tuple[Ints, Ints]:
    """Draw an assessment that starts up to three working days after ``earliest``."""
    n = len(unit)
    start = add_working_days(earliest, between(rng, 0, np.full(n, 3)))
    mean = np.maximum(rates.at("assessment-duration", unit, start), 2.0)
    # Shocks move everyone by the same number of days: the spread comes from the level alone.
    level = rates.profiles["assessment-duration"].truth.level
    days = rng.gamma(_DURATION_SHAPE, level / _DURATION_SHAPE, n) + mean - level
    return start, add_working_days(start, np.maximum(np.rint(days), 0).astype(np.int64))
