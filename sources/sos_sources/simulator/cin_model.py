"""Referrals and what follows from them, generation by generation.

A child's referrals form a chain: a referral is closed with no further action, closed after an
assessment (RC8), or becomes a case in need with perhaps a section 47 enquiry, a conference, a
protection plan and care; after its closure the child may be referred again. All referrals of one
generation (first, second, ... of their chains) are drawn at once.

Outcomes are derived from windows of days, so the windows decide here when events may happen. At
every NFA it is drawn whether the case is re-referred within 183 days and, if so, whether that
re-referral escalates. Where it does, a plan or care starts within 180 days of it; where it does
not, none does (``quiet_until``), whatever other referrals follow in that time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from sos_sources.simulator import care_model
from sos_sources.simulator.care_model import Periods
from sos_sources.simulator.children import Children, make_children
from sos_sources.simulator.days import (
    NEVER,
    NOTHING,
    YEAR,
    Flags,
    Ints,
    Objects,
    add_working_days,
    after_weekend,
    before_weekend,
    between,
    generator,
    working_days,
    year_end,
    year_start,
)
from sos_sources.simulator.population import Population
from sos_sources.simulator.rates import BURN_IN, Rates
from sos_sources.simulator.settings import SimulatedSettings

NFA, RC8, NEED = 0, 1, 2
FREE, ESCALATES, QUIET = 0, 1, 2

REREFERRAL_WINDOW = 183
ESCALATION_WINDOW = 180
ICPC_WINDOW = 90

_SHARES_FREE = (0.34, 0.29, 0.37)  # NFA, RC8, in need
_SHARES_QUIET = (0.36, 0.31, 0.33)
_AGAIN_LATER, _AGAIN_AFTER_NEED = 0.10, 0.15
_SOONEST_AGAIN = 4
_PLAN_AFTER_CONFERENCE = 0.85
_CARE_AFTER_NEED, _CARE_AFTER_ESCALATION = 0.12, 0.2
_LATE_CONFERENCE = 0.07
_TRANSFER_IN, _BOTH_PLACES, _ENQUIRY_ALONE = 0.15, 0.2, 0.25
_SECOND_ASSESSMENT = 0.2
_DURATION_SHAPE = 6.0
_TOO_OLD_FOR_MORE = int(17 * YEAR)
_MAX_GENERATIONS = 60

SOURCES = np.array(["6", "2A", "3A", "3E", "1A", "1C", "4", "5A", "8", "9", "10"], dtype=object)
_SOURCE_SHARES = np.array([28, 18, 8, 6, 10, 2, 3, 8, 9, 5, 3]) / 100
NEEDS = np.array(["N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"], dtype=object)
_NEED_SHARES = np.array([55, 9, 4, 9, 15, 3, 1, 4]) / 100
CATEGORIES = np.array(["NEG", "EMO", "PHY", "SAB", "MUL"], dtype=object)
_CATEGORY_SHARES = np.array([45, 37, 9, 5, 4]) / 100


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
class _Arriving:
    """Referrals of one generation before their course is drawn."""

    unit: Ints
    child: Ints
    date: Ints
    forced: Ints
    quiet_until: Ints

    def where(self, mask: Flags | Ints) -> _Arriving:
        return _Arriving(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})

    @classmethod
    def join(cls, parts: list[_Arriving]) -> _Arriving:
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


@dataclass(frozen=True)
class History:
    """Everything that happened: children, referrals, periods of care."""

    children: Children
    referrals: Referrals
    periods: Periods


def play(settings: SimulatedSettings, population: Population, rates: Rates) -> History:
    """Draw all chains of referrals that touch the years of the returns."""
    rng = generator(settings.seed, "cin")
    care_rng = generator(settings.seed, "care")
    last_day = year_end(settings.last_year)
    first = _first_referrals(rng, settings, population, rates)
    children = make_children(rng, population, first[0], first[1])
    arriving = _Arriving(
        unit=first[0],
        child=np.arange(len(children)),
        date=first[1],
        forced=np.zeros(len(children), dtype=np.int64),
        quiet_until=np.zeros(len(children), dtype=np.int64),
    )
    referrals, periods = [], []
    for _ in range(_MAX_GENERATIONS):
        course, care, following = _generation(rng, care_rng, rates, children, arriving)
        referrals.append(course)
        periods.append(care)
        arriving = following.where(following.date <= last_day)
        if not len(arriving.unit):
            break
    return History(children, Referrals.join(referrals), Periods.join(periods))


def chain_factor(rereferral_level: float) -> float:
    """Return the referrals in a chain, on average: each brings so many further ones."""
    closed = _SHARES_FREE[0] + _SHARES_FREE[1]
    further = closed * (rereferral_level + (1 - rereferral_level) * _AGAIN_LATER)
    further += _SHARES_FREE[2] * _AGAIN_AFTER_NEED
    return 1 / (1 - further)


def care_starts_from_referrals(settings: SimulatedSettings) -> float:
    """Return the periods of care that chains of referrals start a year, per mean authority."""
    in_need = settings.referrals_per_year * _SHARES_FREE[2]
    escalating = settings.referrals_per_year * (1 - _SHARES_FREE[2]) * settings.escalation_level
    return _CARE_AFTER_NEED * in_need + 0.5 * escalating


def _first_referrals(
    rng: np.random.Generator, settings: SimulatedSettings, population: Population, rates: Rates
) -> tuple[Ints, Ints]:
    start, end = year_start(rates.first_year), year_end(settings.last_year)
    workdays = np.arange(start, end + 1)
    workdays = workdays[np.is_busday(workdays.astype("datetime64[D]"), busdaycal=working_days())]
    chains = settings.referrals_per_year / chain_factor(settings.rereferral_level)
    years = settings.last_year - settings.first_year + 1 + BURN_IN
    counts = rng.poisson(chains * population.size * years)
    unit = np.repeat(np.arange(len(counts)), counts)
    return unit, rng.choice(workdays, len(unit))


def _generation(
    rng: np.random.Generator,
    care_rng: np.random.Generator,
    rates: Rates,
    children: Children,
    arriving: _Arriving,
) -> tuple[Referrals, Periods, _Arriving]:
    kind = _kinds(rng, arriving)
    parts = [
        _closed_without_action(rng, rates, arriving.where(kind == NFA), NFA),
        _closed_without_action(rng, rates, arriving.where(kind == RC8), RC8),
    ]
    need, care = _in_need(rng, care_rng, rates, children, arriving.where(kind == NEED))
    after_need = _after_need(rng, children, arriving.where(kind == NEED), need)
    following = [
        _after_no_action(rng, rates, children, arriving.where(kind == which), part)
        for which, part in zip((NFA, RC8), parts, strict=True)
    ]
    return (
        Referrals.join([*parts, need]),
        care,
        _Arriving.join([*following, after_need]),
    )


def _kinds(rng: np.random.Generator, arriving: _Arriving) -> Ints:
    draw = rng.random(len(arriving.unit))
    quiet = arriving.forced == QUIET
    nfa = np.where(quiet, _SHARES_QUIET[0], _SHARES_FREE[0])
    closed = nfa + np.where(quiet, _SHARES_QUIET[1], _SHARES_FREE[1])
    kind = np.where(draw < nfa, NFA, np.where(draw < closed, RC8, NEED))
    return np.where(arriving.forced == ESCALATES, NEED, kind)


def _blank(rng: np.random.Generator, arriving: _Arriving, kind: int) -> Referrals:
    n = len(arriving.unit)
    never, nothing = np.full(n, NEVER, dtype=np.int64), np.full(n, None, dtype=object)
    no = np.zeros(n, dtype=bool)
    return Referrals(
        unit=arriving.unit,
        child=arriving.child,
        date=arriving.date,
        kind=np.full(n, kind, dtype=np.int64),
        source=rng.choice(SOURCES, n, p=_SOURCE_SHARES),
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


def _assess(
    rng: np.random.Generator, rates: Rates, unit: Ints, earliest: Ints
) -> tuple[Ints, Ints]:
    """Draw an assessment that starts up to three working days after ``earliest``."""
    n = len(unit)
    start = add_working_days(earliest, between(rng, 0, np.full(n, 3)))
    mean = np.maximum(rates.at("assessment-duration", unit, start), 2.0)
    # Shocks move everyone by the same number of days: the spread comes from the level alone.
    level = rates.profiles["assessment-duration"].truth.level
    days = rng.gamma(_DURATION_SHAPE, level / _DURATION_SHAPE, n) + mean - level
    return start, add_working_days(start, np.maximum(np.rint(days), 0).astype(np.int64))


def _closed_without_action(
    rng: np.random.Generator, rates: Rates, arriving: _Arriving, kind: int
) -> Referrals:
    blank = _blank(rng, arriving, kind)
    n = len(blank)
    if kind == NFA:
        return replace(blank, need=np.full(n, "N0", dtype=object))
    start, end = _assess(rng, rates, blank.unit, blank.date)
    return replace(
        blank,
        need=np.full(n, "N9", dtype=object),
        assessment_start=start,
        assessment_end=end,
        closure=end + between(rng, 0, np.full(n, 4)),
        reason=np.full(n, "RC8", dtype=object),
    )


def _after_no_action(
    rng: np.random.Generator, rates: Rates, children: Children, before: _Arriving, closed: Referrals
) -> _Arriving:
    n = len(closed)
    again = rates.at("rereferral", closed.unit, closed.date)
    escalates = np.minimum(rates.at("escalation", closed.unit, closed.date), again - 0.02)
    draw, later = rng.random(n), rng.random(n) < _AGAIN_LATER
    soon = draw < again
    forced = np.where(draw < escalates, ESCALATES, np.where(soon, QUIET, FREE))
    span = REREFERRAL_WINDOW - _SOONEST_AGAIN + 1
    delay = _SOONEST_AGAIN + np.floor(span * rng.beta(1.0, 1.6, n)).astype(np.int64)
    date = before_weekend(closed.closure + delay)
    much_later = after_weekend(
        closed.closure + between(rng, REREFERRAL_WINDOW + 1, np.full(n, 730))
    )
    date = np.where(soon, date, much_later)
    quiet = np.where(forced == QUIET, date + ESCALATION_WINDOW, before.quiet_until)
    young = date - children.birth[closed.child] < _TOO_OLD_FOR_MORE
    following = _Arriving(closed.unit, closed.child, date, forced, quiet)
    return following.where(soon | (later & young))


def _after_need(
    rng: np.random.Generator, children: Children, before: _Arriving, need: Referrals
) -> _Arriving:
    n = len(need)
    date = after_weekend(need.closure + between(rng, 20, np.full(n, 500)))
    young = date - children.birth[need.child] < _TOO_OLD_FOR_MORE
    free = np.zeros(n, dtype=np.int64)
    following = _Arriving(need.unit, need.child, date, free, before.quiet_until)
    return following.where(young & (rng.random(n) < _AGAIN_AFTER_NEED))


def _in_need(
    rng: np.random.Generator,
    care_rng: np.random.Generator,
    rates: Rates,
    children: Children,
    arriving: _Arriving,
) -> tuple[Referrals, Periods]:
    blank = _blank(rng, arriving, NEED)
    n = len(blank)
    start, end = _assess(rng, rates, blank.unit, blank.date)
    again = rng.random(n) < _SECOND_ASSESSMENT
    second = _assess(rng, rates, blank.unit, end + between(rng, 30, np.full(n, 150)))
    conference, plan, care_start = _measures(rng, rates, children, arriving)
    plan_end = np.where(plan < NEVER, plan + _plan_lengths(rng, n), NEVER)
    periods, care_end, exits = _care(care_rng, rates, children, arriving, care_start)
    category = rng.choice(CATEGORIES, n, p=_CATEGORY_SHARES)
    changed = np.where(rng.random(n) < 0.15, rng.choice(CATEGORIES, n), category)
    planned = plan < NEVER
    course = replace(
        blank,
        need=rng.choice(NEEDS, n, p=_NEED_SHARES),
        assessment_start=start,
        assessment_end=end,
        again_start=np.where(again, second[0], NEVER),
        again_end=np.where(again, second[1], NEVER),
        conference=conference,
        plan_start=plan,
        plan_end=plan_end,
        category=np.where(planned, category, NOTHING),
        latest_category=np.where(planned, changed, NOTHING),
    )
    course = _with_enquiries(rng, course)
    return _closed_when_over(rng, course, care_end, exits), periods


def _measures(
    rng: np.random.Generator, rates: Rates, children: Children, arriving: _Arriving
) -> tuple[Ints, Ints, Ints]:
    """Draw the days of conference, protection plan and start of care.

    A conference within 90 days has the same probability whatever else is planned for the case, so
    that escalation and conferences can be given different truths.
    """
    n = len(arriving.unit)
    date, quiet = arriving.date, arriving.quiet_until
    escalates, free = arriving.forced == ESCALATES, arriving.forced == FREE
    age = date - children.birth[arriving.child]
    soon = rng.random(n) < rates.at("icpc", arriving.unit, date)
    care_possible = (age > 0) & (age + 250 < care_model.OLDEST_AT_START * YEAR)
    late = ~soon & (
        (escalates & ((rng.random(n) < 0.5) | ~care_possible))
        | (free & (rng.random(n) < _LATE_CONFERENCE))
    )
    deadline = date + ESCALATION_WINDOW
    early_day = before_weekend(date + between(rng, 8, np.full(n, ICPC_WINDOW)))
    late_day = between(
        rng, np.maximum(date + ICPC_WINDOW + 5, quiet + 1), np.maximum(deadline, quiet + 1)
    )
    conference = np.where(soon, early_day, np.where(late, late_day, NEVER))
    held = conference < NEVER
    pushed = between(rng, np.maximum(date, quiet) + 1, np.maximum(deadline, quiet + 1))
    plan = np.where(conference > quiet, conference, pushed)
    planned = held & (
        escalates | (free & (conference > quiet) & (rng.random(n) < _PLAN_AFTER_CONFERENCE))
    )
    care_day = between(rng, np.maximum(date + 5, quiet + 1), np.maximum(deadline, quiet + 1))
    chance = np.where(escalates, _CARE_AFTER_ESCALATION, _CARE_AFTER_NEED)
    drawn = (rng.random(n) < chance) & (arriving.forced != QUIET) & care_possible
    drawn &= date + 5 > quiet  # otherwise care would be pushed out of its natural time
    cared = (escalates & ~held) | drawn
    return conference, np.where(planned, plan, NEVER), np.where(cared, care_day, NEVER)


def _plan_lengths(rng: np.random.Generator, n: int) -> Ints:
    return np.clip(rng.gamma(3.0, 100.0, n), 40, 1000).astype(np.int64)


def _care(
    rng: np.random.Generator,
    rates: Rates,
    children: Children,
    arriving: _Arriving,
    care_start: Ints,
) -> tuple[Periods, Ints, Objects]:
    n = len(care_start)
    entering = np.flatnonzero(care_start < NEVER)
    periods = care_model.start_periods(
        rng,
        rates,
        unit=arriving.unit[entering],
        child=arriving.child[entering],
        start=care_start[entering],
        birth=children.birth[arriving.child[entering]],
    )
    ends, exits = np.zeros(n, dtype=np.int64), np.full(n, None, dtype=object)
    ends[entering], exits[entering] = periods.end, periods.exit
    return periods, ends, exits


def _with_enquiries(rng: np.random.Generator, course: Referrals) -> Referrals:
    """Add section 47 enquiries, and say where a conference is recorded."""
    n = len(course)
    held = course.conference < NEVER
    transfer = held & (rng.random(n) < _TRANSFER_IN)
    alone = ~held & (rng.random(n) < _ENQUIRY_ALONE)
    enquired = (held & ~transfer) | alone
    before = np.maximum(course.conference - between(rng, 5, np.full(n, 20)), course.date)
    start = np.where(held, before, course.date + between(rng, 0, np.full(n, 30)))
    target = add_working_days(np.where(enquired, start, 0), 15)
    return replace(
        course,
        enquiry_start=np.where(enquired, start, NEVER),
        enquiry_target=np.where(enquired & held, target, NEVER),
        in_details=transfer | (held & (rng.random(n) < _BOTH_PLACES)),
        in_enquiry=held & ~transfer,
    )


def _closed_when_over(
    rng: np.random.Generator,
    course: Referrals,
    care_end: Ints,
    exits: Objects,
) -> Referrals:
    """Close a case in need after the last thing that happens in it."""
    n = len(course)

    def over(days: Ints, wait: int) -> Ints:
        return np.where(days < NEVER, days + wait, 0)

    closure = np.maximum.reduce(
        [
            course.date + np.clip(rng.gamma(2.0, 70.0, n), 20, 900).astype(np.int64),
            course.assessment_end + 15,
            over(course.again_end, 5),
            over(course.conference, 20),
            over(course.enquiry_start, 20),
            over(course.plan_end, 15),
            over(care_end, 10),
        ]
    )
    usual = rng.choice(np.array(["RC7", "RC5", "RC3"], dtype=object), n, p=[0.9, 0.07, 0.03])
    reason = np.where(np.isin(exits, ["E45", "E46", "E47"]), "RC4", usual)
    return replace(course, closure=closure, reason=np.where(exits == "E12", "RC1", reason))


def direct_entries(
    settings: SimulatedSettings, population: Population, rates: Rates, history: History
) -> History:
    """Add children who start care without a referral in the returns.

    The returns of children in need hold a sample of an authority's referrals, those of looked-after
    children all its starts of care: these are the children whose referral is not in the sample.
    """
    rng = generator(settings.seed, "direct care")
    wanted = settings.care_starts_per_year / care_model.CARE_ORDER_SHARE
    per_year = max(wanted - care_starts_from_referrals(settings), 0.0)
    first, last = year_start(rates.first_year), year_end(settings.last_year)
    counts = rng.poisson(per_year * population.size * (last - first + 1) / YEAR)
    unit = np.repeat(np.arange(len(counts)), counts)
    start = between(rng, first, np.full(len(unit), last))
    had = np.bincount(history.children.unit, minlength=settings.authorities)
    entering = make_children(
        rng,
        population,
        unit,
        start,
        oldest=care_model.OLDEST_AT_START,
        unborn=0.0,
        numbered_after=had,
    )
    asylum = (start - entering.birth > 14 * YEAR) & (rng.random(len(unit)) < 0.15)
    entering = replace(entering, uasc=asylum)
    child = np.arange(len(unit)) + len(history.children)
    periods = care_model.start_periods(
        rng, rates, unit=unit, child=child, start=start, birth=entering.birth
    )
    return History(
        children=history.children.plus(entering),
        referrals=history.referrals,
        periods=Periods.join([history.periods, periods]),
    )
