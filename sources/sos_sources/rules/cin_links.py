"""Rules on what belongs together: a case and what is done on it, and rows that overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis

from sos_plugins import RecordRule, Records, Session
from sos_sources.rules.cin_numbers import ASSESSMENTS, CENSUS, ENQUIRIES, PLANS, REFERRALS
from sos_sources.rules.lookups import (
    CHILD,
    REFERRAL,
    joined,
    keys,
    starts_within,
    with_end,
)

AFTER_ASSESSMENT = ("RC8", "RC9")
"""Reasons for closure after an assessment: no further action, or early help."""
_AFTER_CLOSURE = {
    REFERRALS: (("icpc_date",), "The conference is held after the case was closed."),
    ASSESSMENTS: (
        ("authorised_date", "start_date"),
        "The assessment starts or ends after the case was closed.",
    ),
    ENQUIRIES: (
        ("icpc_date", "start_date"),
        "The enquiry starts, or its conference is held, after the case was closed.",
    ),
    PLANS: (("end_date",), "The protection plan ends after the case was closed."),
}
"""By table: the dates that may not lie after the closure of the case (8565), and the sentence."""


def link_rules() -> tuple[RecordRule, ...]:
    """Return the rules."""
    return (*_after_closure(), *_closed(), *_open_cases(), *_overlaps(), *_open_ones())


def with_case(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add ``_closure``, when the case of a row was closed."""
    referrals = records.table(REFERRALS)
    closed = referrals.group_by(**keys(referrals, *REFERRAL)).aggregate(
        _closure=referrals["closure_date"].max()
    )
    return joined(table, closed, *REFERRAL)


def with_own_closure(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add ``_closure`` to referrals themselves."""
    return table.mutate(_closure=table["closure_date"])


def _after_closure() -> tuple[RecordRule, ...]:
    def late(columns: tuple[str, ...]) -> Callable[[ibis.Table], Any]:
        def broken(t: ibis.Table) -> Any:
            return ibis.or_(*((t[c] > t["_closure"]).fill_null(False) for c in columns))

        return broken

    return tuple(
        CENSUS.rule(
            "8565",
            table,
            columns,
            sentence,
            late(columns),
            adds=with_own_closure if table == REFERRALS else with_case,
            needs=() if table == REFERRALS else (REFERRALS,),
        )
        for table, (columns, sentence) in _AFTER_CLOSURE.items()
    )


def _closed() -> tuple[RecordRule, ...]:
    reason = ("closure_reason",)
    of_case: dict[str, Any] = {"adds": with_case, "needs": (REFERRALS,)}

    def after_assessment(t: ibis.Table) -> Any:
        return t["closure_reason"].isin(AFTER_ASSESSMENT)

    return (
        CENSUS.rule(
            "2990",
            REFERRALS,
            reason,
            "A case that was closed after its assessment (RC8, RC9) has an enquiry, a conference "
            "or a protection plan.",
            lambda t: (
                after_assessment(t) & (t["icpc_date"].notnull() | t["_enquired"] | t["_planned"])
            ),
            adds=with_parts,
            needs=(ENQUIRIES, PLANS, ASSESSMENTS),
        ),
        CENSUS.rule(
            "2991",
            ENQUIRIES,
            ("referral_date",),
            "A case with an enquiry has no assessment.",
            lambda t: t["referral_date"].notnull() & ~t["_assessed"],
            adds=with_assessment,
            needs=(ASSESSMENTS,),
            query=True,
        ),
        CENSUS.rule(
            "8825",
            REFERRALS,
            reason,
            "A case that was closed after its assessment (RC8, RC9) has none.",
            lambda t: after_assessment(t) & ~t["_assessed"],
            adds=with_parts,
            needs=(ENQUIRIES, PLANS, ASSESSMENTS),
            query=True,
        ),
        CENSUS.rule(
            "8867",
            ASSESSMENTS,
            ("authorised_date",),
            "The case is closed and the assessment is not finished.",
            lambda t: t["_closure"].notnull() & t["authorised_date"].isnull(),
            **of_case,
        ),
        CENSUS.rule(
            "8868",
            ENQUIRIES,
            ("icpc_date", "icpc_not_required"),
            "The case is closed, and of its enquiry neither a conference is told nor that none was "
            "needed, or both are.",
            lambda t: (
                t["_closure"].notnull()
                & (t["icpc_date"].notnull() == t["icpc_not_required"].fill_null(False))
            ),
            **of_case,
        ),
    )


def with_assessment(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add ``_assessed``: whether the case of a row has an assessment."""
    return _with_any(table, records, ASSESSMENTS, "_assessed")


def with_parts(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add whether a case has assessments, enquiries and protection plans."""
    wide = with_assessment(table, records, session)
    wide = _with_any(wide, records, ENQUIRIES, "_enquired")
    return _with_any(wide, records, PLANS, "_planned")


def _with_any(table: ibis.Table, records: Records, name: str, added: str) -> ibis.Table:
    other = records.table(name)
    some = other.group_by(**keys(other, *REFERRAL)).aggregate(_n=other.count())
    wide = joined(table, some, *REFERRAL)
    return wide.mutate(**{added: wide["_n"].notnull()}).drop("_n")


def _open_cases() -> tuple[RecordRule, ...]:
    closure = ("closure_date",)

    def goes_on(t: ibis.Table) -> Any:
        return t["closure_date"].isnull() & ~t["nfa"]

    return (
        CENSUS.rule(
            "8815",
            REFERRALS,
            closure,
            "More than one case of the child is open.",
            lambda t: goes_on(t) & (t["_n_open"] > 1),
            adds=with_open_cases,
        ),
        CENSUS.rule(
            "8816",
            REFERRALS,
            closure,
            "The case is open and not the latest one of the child.",
            lambda t: goes_on(t) & (t["referral_date"] < t["_latest_referral"]),
            adds=with_open_cases,
        ),
    )


def with_open_cases(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add how many cases of the child are open, and when it was last referred."""
    still = (table["closure_date"].isnull() & ~table["nfa"]).fill_null(False)
    of_child = ibis.window(group_by=CHILD)
    return table.mutate(
        _n_open=still.cast("int64").sum().over(of_child),
        _latest_referral=table["referral_date"].max().over(of_child),
    )


def _overlaps() -> tuple[RecordRule, ...]:
    overlapping: Callable[[ibis.Table], Any] = lambda t: t["_overlaps"]  # noqa: E731
    return (
        CENSUS.rule(
            "8863",
            ASSESSMENTS,
            ("start_date", "authorised_date"),
            "The assessment starts while another one of the case goes on.",
            overlapping,
            adds=with_overlap("authorised_date", REFERRAL),
            query=True,
        ),
        CENSUS.rule(
            "8890",
            ENQUIRIES,
            ("start_date", "icpc_date"),
            "The enquiry starts while another one of the case goes on.",
            overlapping,
            adds=with_overlap("icpc_date", REFERRAL, unless="icpc_not_required"),
        ),
        CENSUS.rule(
            "8940",
            PLANS,
            ("start_date", "end_date"),
            "The protection plan starts before another one of the child has ended.",
            overlapping,
            adds=with_overlap("end_date", CHILD),
            note="The later of the two is counted; both where they start on one day.",
        ),
    )


def with_overlap(end: str, by: tuple[str, ...], unless: str = "") -> Any:
    """Return what adds ``_overlaps``: whether a row starts while another of its key goes on.

    Args:
        end: Column with the last day; what has none goes on to the end of the records.
        by: The key.
        unless: Column that is true of rows without an end that do not go on.
    """

    def adds(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
        known = with_end(table, records, session)
        goes_on = known["_end"]
        if unless:
            none = ibis.null("date")
            goes_on = ibis.ifelse(known[unless].fill_null(False), none, goes_on)
        until = ibis.coalesce(known[end], goes_on)
        return known.mutate(_overlaps=starts_within(known, by, "start_date", until))

    return adds


def _open_ones() -> tuple[RecordRule, ...]:
    def unended(t: ibis.Table) -> Any:
        return t["end_date"].isnull()

    return (
        CENSUS.rule(
            "8839",
            ENQUIRIES,
            ("icpc_date",),
            "More than one enquiry of the case is without a conference that is needed.",
            lambda t: _awaits_conference(t) & (t["_n_waiting"] > 1),
            adds=with_waiting,
        ),
        CENSUS.rule(
            "8896",
            ASSESSMENTS,
            ("authorised_date",),
            "More than one assessment of the case is not finished.",
            lambda t: t["authorised_date"].isnull() & (t["_n_unfinished"] > 1),
            adds=with_unfinished,
        ),
        CENSUS.rule(
            "8935",
            PLANS,
            ("end_date",),
            "More than one protection plan of the child has not ended.",
            lambda t: unended(t) & (t["_n_plans"] > 1),
            adds=with_open_plans,
        ),
    )


def _awaits_conference(t: ibis.Table) -> Any:
    known = t["referral_date"].notnull()
    return known & t["icpc_date"].isnull() & ~t["icpc_not_required"].fill_null(False)


def with_waiting(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add how many enquiries of a case await a conference."""
    return table.mutate(_n_waiting=_number(_awaits_conference(table), REFERRAL))


def with_unfinished(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add how many assessments of a case are not finished."""
    unfinished = table["authorised_date"].isnull() & table["referral_date"].notnull()
    return table.mutate(_n_unfinished=_number(unfinished, REFERRAL))


def with_open_plans(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add how many protection plans of a child have not ended."""
    return table.mutate(_n_plans=_number(table["end_date"].isnull(), CHILD))


def _number(condition: ibis.Value, by: tuple[str, ...]) -> Any:
    return condition.fill_null(False).cast("int64").sum().over(ibis.window(group_by=by))
