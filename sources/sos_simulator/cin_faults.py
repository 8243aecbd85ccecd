"""Faults in what the returns say of referrals, planted and recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_simulator.dates import (
    NEVER,
    Flags,
    Ints,
    Objects,
    add_working_days,
    april_year,
    between,
    working_days,
    year_end,
    year_start,
)
from sos_simulator.fault_log import LEFT_OUT, Striker, iso, last_year
from sos_simulator.referrals import NFA, Referrals

ASSESSMENT_LIMIT = 45
"""Working days after which rule 8670 asks why an assessment is not authorised."""
_OTHER_SOURCES = ("6", "10")


@dataclass
class CinDraft:
    """Referrals while faults are planted: ``said`` and ``nfa`` are changed in place.

    Attributes:
        truth: What happened, in the order of unit, child and date.
        said: What the returns say; arrays of its own.
        nfa: The flag ReferralNFA as written.
        free: Rows that no fault has struck yet, and that some return shows.
        years: April-years of the returns.
    """

    truth: Referrals
    said: Referrals
    nfa: Flags
    free: Flags
    years: range
    lost: Flags

    def __post_init__(self) -> None:
        self.start, self.end = year_start(self.years[0]), year_end(self.years[-1])
        self.year = last_year(self.truth.closure, self.years)
        self.closed = self.truth.closure <= self.end
        done, began = self.truth.assessment_end, self.truth.assessment_start
        self.assessed = (began <= self.end) & (
            self.seen(done) | (self.seen(began) & (done > self.end))
        )
        self.planned = (self.truth.plan_start <= self.end) & (self.truth.plan_end >= self.start)
        self.next_date = _next_dates(self.truth, ~self.lost)

    def seen(self, days: Ints) -> Flags:
        """Whether a day lies in the years of the returns."""
        return (days >= self.start) & (days <= self.end)


def _next_dates(referrals: Referrals, kept: Flags) -> Ints:
    """Return the day of the child's next referral that is returned, NEVER if there is none."""
    rows = np.flatnonzero(kept)
    following = np.full(len(referrals), NEVER, dtype=np.int64)
    same = referrals.child[rows][1:] == referrals.child[rows][:-1]
    following[rows[:-1][same]] = referrals.date[rows][1:][same]
    return following


def plant_in_referrals(striker: Striker, draft: CinDraft) -> None:
    """Plant all chosen faults of referrals, one a referral at most."""
    _early_events(striker, draft)
    _conferences(striker, draft)
    _assessments(striker, draft)
    _closures(striker, draft)
    _no_further_action(striker, draft)
    _codes(striker, draft)
    _between_years(striker, draft)


def _strike(
    striker: Striker, draft: CinDraft, fault: str, eligible: Flags, table: str = ""
) -> tuple[Ints, np.random.Generator]:
    rows, rng = striker.rows(fault, eligible & draft.free, table)
    draft.free[rows] = False
    return rows, rng


def _note(
    striker: Striker,
    draft: CinDraft,
    fault: str,
    where: str,
    rows: Ints,
    planted: object = None,
    second: Ints | None = None,
) -> None:
    table, _, column = where.partition(".")
    record: tuple[Ints, ...] = (draft.truth.date[rows],)
    if second is not None:
        record = (*record, second[rows])
    striker.log.of_children(
        fault,
        (table, column),
        child=draft.truth.child[rows],
        year=draft.year[rows],
        record=record,
        planted=planted,
    )


def _early_events(striker: Striker, draft: CinDraft) -> None:
    truth, said = draft.truth, draft.said
    rows, rng = _strike(striker, draft, "cin:1103", draft.assessed)
    said.assessment_start[rows] = truth.date[rows] - between(rng, 1, np.full(len(rows), 60))
    began = said.assessment_start
    _note(striker, draft, "cin:1103", "assessments.start_date", rows, began[rows], began)
    alone = draft.seen(truth.conference) & truth.in_enquiry & ~truth.in_details
    rows, rng = _strike(striker, draft, "cin:1104", alone & (truth.plan_start == NEVER))
    said.conference[rows] = truth.date[rows] - between(rng, 1, np.full(len(rows), 60))
    held, enquiry = said.conference[rows], truth.enquiry_start
    _note(striker, draft, "cin:1104", "section47s.icpc_date", rows, held, enquiry)
    on_time = draft.seen(truth.plan_start) & (truth.plan_start == truth.conference)
    rows, rng = _strike(striker, draft, "cin:1105", draft.planned & on_time)
    said.plan_start[rows] = truth.date[rows] - between(rng, 1, np.full(len(rows), 60))
    began = said.plan_start
    _note(striker, draft, "cin:1105", "protection_plans.start_date", rows, began[rows], began)
    _note(striker, draft, "cin:2885", "protection_plans.start_date", rows, None, began)


def _conferences(striker: Striker, draft: CinDraft) -> None:
    truth, said = draft.truth, draft.said
    once = draft.seen(truth.conference) & truth.in_enquiry & ~said.in_details
    rows, _ = _strike(striker, draft, "cin:2884", once)
    said.in_details[rows] = True
    _note(striker, draft, "cin:2884", "referrals.icpc_date", rows, said.conference[rows])
    on_time = draft.seen(truth.plan_start) & (truth.plan_start == truth.conference)
    room = truth.plan_start + 21 <= np.minimum(truth.plan_end, draft.end)
    rows, rng = _strike(striker, draft, "cin:2885", draft.planned & on_time & room)
    said.plan_start[rows] += between(rng, 3, np.full(len(rows), 20))
    began = said.plan_start
    _note(striker, draft, "cin:2885", "protection_plans.start_date", rows, began[rows], began)


def _assessments(striker: Striker, draft: CinDraft) -> None:
    truth, said = draft.truth, draft.said
    authorised = draft.assessed & (truth.assessment_end <= draft.end)
    began = truth.assessment_start
    rows, rng = _strike(striker, draft, "cin:8608", authorised)
    said.assessment_end[rows] = began[rows] - between(rng, 1, np.full(len(rows), 30))
    ended = said.assessment_end[rows]
    _note(striker, draft, "cin:8608", "assessments.authorised_date", rows, ended, began)
    rows, _ = _strike(striker, draft, "cin:8670", authorised & _long_before_the_end(draft))
    said.assessment_end[rows] = NEVER
    _note(striker, draft, "cin:8670", "assessments.authorised_date", rows, LEFT_OUT, began)


def _long_before_the_end(draft: CinDraft) -> Flags:
    """Whether more than 45 working days are left of the year in which an assessment starts."""
    began = np.where(draft.assessed, draft.truth.assessment_start, draft.start)
    ends = np.array([year_end(y) for y in range(draft.years[0] - 4, draft.years[-1] + 1)])
    own = ends[april_year(began) - (draft.years[0] - 4)]
    return np.asarray(add_working_days(began, ASSESSMENT_LIMIT + 1) <= own)


def _closures(striker: Striker, draft: CinDraft) -> None:
    truth, said = draft.truth, draft.said
    rows, rng = _strike(striker, draft, "cin:8630", draft.closed)
    said.closure[rows] = truth.date[rows] - between(rng, 1, np.full(len(rows), 300))
    _note(striker, draft, "cin:8630", "referrals.closure_date", rows, said.closure[rows])
    rows, _ = _strike(striker, draft, "cin:8805", draft.closed)
    said.reason[rows] = None
    _note(striker, draft, "cin:8805", "referrals.closure_reason", rows, LEFT_OUT)
    rows, _ = _strike(striker, draft, "cin:8810", draft.closed & (draft.next_date == NEVER))
    said.closure[rows] = NEVER
    _note(striker, draft, "cin:8810", "referrals.closure_date", rows, LEFT_OUT)
    # No return can hold a closure that lies beyond its own year.
    ends = np.array([year_end(year) for year in draft.years])
    overlap = draft.closed & (draft.next_date < ends[draft.year - draft.years[0]])
    rows, _ = _strike(striker, draft, "cin:8820", overlap)
    said.closure[rows] = draft.next_date[rows] + 1
    _note(striker, draft, "cin:8820", "referrals.closure_date", rows, said.closure[rows])


def _no_further_action(striker: Striker, draft: CinDraft) -> None:
    truth = draft.truth
    active = (truth.kind != NFA) & draft.assessed
    rows, _ = _strike(striker, draft, "cin:8831", active & (truth.plan_start == NEVER))
    draft.nfa[rows] = True
    _note(striker, draft, "cin:8831", "referrals.nfa", rows, "true")
    rows, _ = _strike(striker, draft, "cin:8832", active & draft.planned)
    draft.nfa[rows] = True
    _note(striker, draft, "cin:8832", "referrals.nfa", rows, "true")
    _note(striker, draft, "cin:8831", "referrals.nfa", rows)


def _codes(striker: Striker, draft: CinDraft) -> None:
    said = draft.said
    for column, field in (("referral_source", "source"), ("primary_need", "need")):
        codes: Objects = getattr(said, field)
        rows, _ = _strike(striker, draft, f"missing:{column}", codes != None)  # noqa: E711  by element
        codes[rows] = None
        _note(striker, draft, f"missing:{column}", f"referrals.{column}", rows, LEFT_OUT)
    for column, field in (("initial_category", "category"), ("latest_category", "latest_category")):
        codes = getattr(said, field)
        rows, _ = _strike(striker, draft, f"missing:{column}", draft.planned)
        codes[rows] = None
        began = said.plan_start
        where = f"protection_plans.{column}"
        _note(striker, draft, f"missing:{column}", where, rows, LEFT_OUT, began)
    for fault, slip in SLIPS.items():
        rows, _ = _strike(striker, draft, fault, said.need != None, "referrals")  # noqa: E711  by element
        said.need[rows] = slip(said.need[rows])
        _note(striker, draft, fault, "referrals.primary_need", rows, said.need[rows])


def lower(codes: Objects) -> Objects:
    """Write codes in lower case."""
    return np.array([code.lower() for code in codes], dtype=object)


def doubled(codes: Objects) -> Objects:
    """Write the first letter of codes twice."""
    return np.array([code[0] + code for code in codes], dtype=object)


SLIPS = {"lower-case-code": lower, "misspelt-code": doubled}


def _between_years(striker: Striker, draft: CinDraft) -> None:
    first = np.maximum(april_year(draft.truth.date), draft.years[0])
    rows, _ = _strike(striker, draft, "conflict-between-years", first < draft.year)
    sources = draft.said.source
    usual, other = _OTHER_SOURCES
    sources[rows] = np.where(sources[rows] == usual, other, usual)
    where = "referrals.referral_source"
    _note(striker, draft, "conflict-between-years", where, rows, sources[rows])


def strike_text(striker: Striker, draft: CinDraft, fault: str) -> Flags:
    """Say which referrals have a text or an element that does not belong there."""
    rows, _ = _strike(striker, draft, fault, np.ones(len(draft.free), dtype=bool))
    _note(striker, draft, fault, "referrals.", rows, "")
    marked = np.zeros(len(draft.free), dtype=bool)
    marked[rows] = True
    return marked


def note_usual(striker: Striker, draft: CinDraft, fault: Objects, duplicate: Flags) -> None:
    """Record the faults that have settings of their own, and what breaks rules as it happened."""
    said, kept = draft.said, ~draft.lost
    again = draft.next_date < NEVER

    def note(name: str, where: str, mask: Flags, planted: object = None) -> None:
        _note(striker, draft, name, where, np.flatnonzero(mask & kept), planted)

    date, reason = "referrals.closure_date", "referrals.closure_reason"
    hidden = fault == "missing-reason"
    note("missing-reason", reason, hidden, LEFT_OUT)
    note("cin:8805", reason, hidden)
    open_ = fault == "missing-closure-date"
    note("missing-closure-date", date, open_, LEFT_OUT)
    note("cin:8810", date, open_)
    note("cin:8820", date, open_ & again & ~draft.nfa)
    wrong = fault == "impossible-date"
    rows = np.flatnonzero(wrong & kept)
    _note(striker, draft, "impossible-date", date, rows, iso(said.closure[rows]))
    early = said.closure < draft.truth.date
    note("cin:8630", date, wrong & early)
    note("cin:8820", date, wrong & ~early & again)
    note("duplicate", "referrals.", duplicate, "")


def note_natural(striker: Striker, draft: CinDraft) -> None:
    """Record what breaks a rule although nothing was planted; ``planted`` is null."""
    truth, kept = draft.truth, ~draft.lost
    both = truth.in_details & truth.in_enquiry & draft.seen(truth.conference)
    rows = np.flatnonzero(both & kept & draft.said.in_details)
    _note(striker, draft, "cin:2884", "referrals.icpc_date", rows)
    other_day = draft.planned & draft.seen(truth.plan_start)
    other_day &= truth.plan_start != truth.conference
    rows = np.flatnonzero(other_day & kept)
    _note(
        striker, draft, "cin:2885", "protection_plans.start_date", rows, None, draft.said.plan_start
    )
    limit = np.busday_offset(
        np.datetime64(draft.end, "D"), -ASSESSMENT_LIMIT, roll="backward", busdaycal=working_days()
    ).astype(np.int64)
    for start, end in (("assessment_start", "assessment_end"), ("again_start", "again_end")):
        began, done = getattr(truth, start), getattr(truth, end)
        said = getattr(draft.said, start)
        slow = draft.seen(began) & (done > draft.end) & (said < limit)
        rows = np.flatnonzero(slow & kept)
        _note(striker, draft, "cin:8670", "assessments.authorised_date", rows, None, said)
