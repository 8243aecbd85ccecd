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

from dataclasses import dataclass, replace

import numpy as np

from sos_simulator import care_model
from sos_simulator.care_model import Periods
from sos_simulator.children import Children, make_children
from sos_simulator.dates import (
    YEAR,
    Ints,
    after_weekend,
    before_weekend,
    between,
    generator,
    working_days,
    year_end,
    year_start,
)
from sos_simulator.need import CARE_AFTER_NEED, case_in_need
from sos_simulator.population import Population
from sos_simulator.rates import BURN_IN, Rates
from sos_simulator.referrals import (
    ESCALATES,
    ESCALATION_WINDOW,
    FREE,
    NEED,
    NFA,
    QUIET,
    RC8,
    REREFERRAL_WINDOW,
    Arriving,
    Referrals,
    assess,
    blank_referrals,
)
from sos_simulator.settings import SimulatedSettings

_SHARES_FREE = (0.34, 0.29, 0.37)  # NFA, RC8, in need
_SHARES_QUIET = (0.36, 0.31, 0.33)
_AGAIN_LATER, _AGAIN_AFTER_NEED = 0.10, 0.15
_SOONEST_AGAIN = 4
_TOO_OLD_FOR_MORE = int(17 * YEAR)
_MAX_GENERATIONS = 60


@dataclass(frozen=True)
class History:
    """Everything that happened: children, referrals, periods of care."""

    children: Children
    referrals: Referrals
    periods: Periods


def play(settings: SimulatedSettings, population: Population, rates: Rates) -> History:
    """Draw all chains of referrals that touch the years of the returns."""
    rng = generator(settings.seed, population.stream("cin"))
    care_rng = generator(settings.seed, population.stream("care"))
    last_day = year_end(settings.last_year)
    first = _first_referrals(rng, settings, population, rates)
    children = make_children(rng, population, first[0], first[1])
    arriving = Arriving(
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
    return CARE_AFTER_NEED * in_need + 0.5 * escalating


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
    arriving: Arriving,
) -> tuple[Referrals, Periods, Arriving]:
    kind = _kinds(rng, arriving)
    parts = [
        _closed_without_action(rng, rates, arriving.where(kind == NFA), NFA),
        _closed_without_action(rng, rates, arriving.where(kind == RC8), RC8),
    ]
    need, care = case_in_need(rng, care_rng, rates, children, arriving.where(kind == NEED))
    after_need = _after_need(rng, children, arriving.where(kind == NEED), need)
    following = [
        _after_no_action(rng, rates, children, arriving.where(kind == which), part)
        for which, part in zip((NFA, RC8), parts, strict=True)
    ]
    return (
        Referrals.join([*parts, need]),
        care,
        Arriving.join([*following, after_need]),
    )


def _kinds(rng: np.random.Generator, arriving: Arriving) -> Ints:
    draw = rng.random(len(arriving.unit))
    quiet = arriving.forced == QUIET
    nfa = np.where(quiet, _SHARES_QUIET[0], _SHARES_FREE[0])
    closed = nfa + np.where(quiet, _SHARES_QUIET[1], _SHARES_FREE[1])
    kind = np.where(draw < nfa, NFA, np.where(draw < closed, RC8, NEED))
    return np.where(arriving.forced == ESCALATES, NEED, kind)


def _closed_without_action(
    rng: np.random.Generator, rates: Rates, arriving: Arriving, kind: int
) -> Referrals:
    blank = blank_referrals(rng, arriving, kind)
    n = len(blank)
    if kind == NFA:
        return replace(blank, need=np.full(n, "N0", dtype=object))
    start, end = assess(rng, rates, blank.unit, blank.date)
    return replace(
        blank,
        need=np.full(n, "N9", dtype=object),
        assessment_start=start,
        assessment_end=end,
        closure=end + between(rng, 0, np.full(n, 4)),
        reason=np.full(n, "RC8", dtype=object),
    )


def _after_no_action(
    rng: np.random.Generator, rates: Rates, children: Children, before: Arriving, closed: Referrals
) -> Arriving:
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
    following = Arriving(closed.unit, closed.child, date, forced, quiet)
    return following.where(soon | (later & young))


def _after_need(
    rng: np.random.Generator, children: Children, before: Arriving, need: Referrals
) -> Arriving:
    n = len(need)
    date = after_weekend(need.closure + between(rng, 20, np.full(n, 500)))
    young = date - children.birth[need.child] < _TOO_OLD_FOR_MORE
    free = np.zeros(n, dtype=np.int64)
    following = Arriving(need.unit, need.child, date, free, before.quiet_until)
    return following.where(young & (rng.random(n) < _AGAIN_AFTER_NEED))


def direct_entries(
    settings: SimulatedSettings, population: Population, rates: Rates, history: History
) -> History:
    """Add children who start care without a referral in the returns.

    The returns of children in need hold a sample of an authority's referrals, those of looked-after
    children all its starts of care: these are the children whose referral is not in the sample.
    """
    rng = generator(settings.seed, population.stream("direct care"))
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
