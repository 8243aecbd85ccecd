"""The course of a case in need: assessments, enquiry, conference, plan, care, closure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sos_simulator import care_model
from sos_simulator.care_model import Periods
from sos_simulator.children import Children
from sos_simulator.dates import (
    NEVER,
    NOTHING,
    YEAR,
    Ints,
    Objects,
    add_working_days,
    before_weekend,
    between,
)
from sos_simulator.rates import Rates
from sos_simulator.referrals import (
    ESCALATES,
    ESCALATION_WINDOW,
    FREE,
    ICPC_WINDOW,
    NEED,
    QUIET,
    Arriving,
    Referrals,
    assess,
    blank_referrals,
)

CARE_AFTER_NEED = 0.12
_CARE_AFTER_ESCALATION = 0.2
_PLAN_AFTER_CONFERENCE = 0.85
_LATE_CONFERENCE = 0.07
_TRANSFER_IN, _BOTH_PLACES, _ENQUIRY_ALONE = 0.15, 0.2, 0.25
_SECOND_ASSESSMENT = 0.2

_NEEDS = np.array(["N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"], dtype=object)
_NEED_SHARES = np.array([55, 9, 4, 9, 15, 3, 1, 4]) / 100
_CATEGORIES = np.array(["NEG", "EMO", "PHY", "SAB", "MUL"], dtype=object)
_CATEGORY_SHARES = np.array([45, 37, 9, 5, 4]) / 100


def case_in_need(
    rng: np.random.Generator,
    care_rng: np.random.Generator,
    rates: Rates,
    children: Children,
    arriving: Arriving,
) -> tuple[Referrals, Periods]:
    """Draw the course of referrals in need, and the periods of care that come of them."""
    blank = blank_referrals(rng, arriving, NEED)
    n = len(blank)
    start, end = assess(rng, rates, blank.unit, blank.date)
    again = rng.random(n) < _SECOND_ASSESSMENT
    second = assess(rng, rates, blank.unit, end + between(rng, 30, np.full(n, 150)))
    conference, plan, care_start = _measures(rng, rates, children, arriving)
    plan_end = np.where(plan < NEVER, plan + _plan_lengths(rng, n), NEVER)
    periods, care_end, exits = _care(care_rng, rates, children, arriving, care_start)
    category = rng.choice(_CATEGORIES, n, p=_CATEGORY_SHARES)
    changed = np.where(rng.random(n) < 0.15, rng.choice(_CATEGORIES, n), category)
    planned = plan < NEVER
    course = replace(
        blank,
        need=rng.choice(_NEEDS, n, p=_NEED_SHARES),
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
    rng: np.random.Generator, rates: Rates, children: Children, arriving: Arriving
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
    chance = np.where(escalates, _CARE_AFTER_ESCALATION, CARE_AFTER_NEED)
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
    arriving: Arriving,
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
