"""Rules on the dates of the census: in which order and year they lie, and how old a child is."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
import numpy as np

from sos_plugins import RecordRule, Records, Session
from sos_plugins.authors.derive import april_year, bank_holidays
from sos_sources.rules.cin_numbers import (
    ASSESSMENTS,
    CENSUS,
    CHILDREN,
    ENQUIRIES,
    FIRST_CENSUS,
    PLANS,
    REFERRALS,
)
from sos_sources.rules.kinds import after_the_end, before, past, same_day
from sos_sources.rules.lookups import CHILD, joined, keys, last_day, with_birth, with_end

LONGEST_BEFORE_BIRTH = 280
OLDEST = 25
LAST_RETURN = 2045
"""The last April-year whose bank holidays are worked out."""
WEEKEND = 5
"""Monday is 0."""
_BEYOND = {
    "8600": (REFERRALS, "referral_date", "The child is referred after the end of the records."),
    "8696": (ASSESSMENTS, "authorised_date", "The assessment ends after the end of the records."),
    "8715": (ENQUIRIES, "icpc_date", "The conference is held after the end of the records."),
    "8720": (PLANS, "start_date", "The protection plan starts after the end of the records."),
    "8930": (PLANS, "end_date", "The protection plan ends after the end of the records."),
}
"""By rule: the date that may not lie beyond the last return, and the sentence."""


def date_rules(enquiry_days: int) -> tuple[RecordRule, ...]:
    """Return the rules.

    Args:
        enquiry_days: Working days after which an enquiry without conference is asked about (8675).
    """
    return (*_order(), *_of_the_year(), *_open_ones(enquiry_days), *_of_the_child())


def working_days_before(end: dt.date, days: int, *, roll: str = "backward") -> dt.date:
    """Return the day a number of English working days before another.

    Args:
        end: The other day.
        days: How many.
        roll: Where to begin if it is no working day: ``backward`` or ``forward``.
    """
    free = list(bank_holidays(range(end.year - 1 - days // 200, end.year + 1)))
    day = np.busday_offset(end, 0, roll=roll, holidays=free)  # type: ignore[call-overload]
    return np.busday_offset(day, -days, holidays=free).astype(dt.date)  # type: ignore[no-any-return]


def _order() -> tuple[RecordRule, ...]:
    def late_enquiry(t: ibis.Table) -> Any:
        unknown = t["icpc_date"].notnull() & t["start_date"].isnull()
        return (t["icpc_date"] < t["start_date"]).fill_null(False) | unknown

    return (
        CENSUS.rule(
            "2889",
            ENQUIRIES,
            ("start_date", "referral_date"),
            "The enquiry starts before its referral.",
            before("start_date", "referral_date"),
        ),
        CENSUS.rule(
            "8615",
            ENQUIRIES,
            ("start_date", "icpc_date"),
            "The conference is held before the enquiry starts, or the start is not told.",
            late_enquiry,
        ),
        CENSUS.rule(
            "8840",
            PLANS,
            ("end_date", "start_date"),
            "The protection plan ends on the day on which it starts.",
            same_day("start_date", "end_date"),
        ),
        CENSUS.rule(
            "8875",
            ENQUIRIES,
            ("icpc_date",),
            "The conference is held on a Saturday or Sunday.",
            lambda t: t["icpc_date"].day_of_week.index() >= WEEKEND,
        ),
    )


def _of_the_year() -> tuple[RecordRule, ...]:
    return (
        *(
            CENSUS.rule(number, table, (column,), sentence, after_the_end(column), adds=with_end)
            for number, (table, column, sentence) in _BEYOND.items()
        ),
        CENSUS.rule(
            "8620",
            REFERRALS,
            ("closure_date",),
            "The case is closed in another year than that of its last return.",
            lambda t: april_year(t["closure_date"]) != t["return_year"],
        ),
        CENSUS.rule(
            "8569",
            REFERRALS,
            ("nfa", "referral_date"),
            "No further action is marked on a case that was referred before the year of its return "
            "and the working day before that.",
            lambda t: t["nfa"] & (t["referral_date"] < t["_earliest"]),
            adds=with_first_of_return,
            query=True,
        ),
    )


def with_first_of_return(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add ``_earliest``: the working day before the year of the return that a row is from."""
    firsts = [
        (year, working_days_before(dt.date(year, 4, 1), 1, roll="forward"))
        for year in range(FIRST_CENSUS, min(last_day(records).year, LAST_RETURN) + 1)
    ]
    of_year = [(table["return_year"] == year, ibis.date(day)) for year, day in firsts]
    return table.mutate(_earliest=ibis.cases(*of_year, else_=ibis.null("date")))


def _open_ones(enquiry_days: int) -> tuple[RecordRule, ...]:
    def without_conference(t: ibis.Table) -> Any:
        return t["icpc_date"].isnull() & ~t["icpc_not_required"]

    def with_latest(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
        end = records.end
        day = None if end is None else working_days_before(end, enquiry_days)
        return table.mutate(_latest_enquiry=ibis.literal(day, type="date"))

    return (
        CENSUS.rule(
            "8675",
            ENQUIRIES,
            ("icpc_date", "start_date"),
            f"The enquiry started more than {enquiry_days} working days before the end of the "
            "records, and no conference was held or found not to be needed.",
            lambda t: without_conference(t) & (t["start_date"] < t["_latest_enquiry"]),
            adds=with_latest,
            query=True,
            note="Counted at the end of all records: one whose conference a later return tells is "
            "none.",
        ),
        CENSUS.rule(
            "8736",
            ASSESSMENTS,
            ("start_date",),
            "The assessment starts after the end of the records.",
            lambda t: t["authorised_date"].isnull() & (t["start_date"] > t["_end"]),
            adds=with_end,
            note="One that an earlier return left unfinished is counted by 8670.",
        ),
        CENSUS.rule(
            "8740",
            ENQUIRIES,
            ("start_date",),
            "The enquiry starts after the end of the records.",
            lambda t: without_conference(t) & (t["start_date"] > t["_end"]),
            adds=with_end,
            note="One that an earlier return left without a conference is counted by 8675.",
        ),
    )


def _of_the_child() -> tuple[RecordRule, ...]:
    born: dict[str, Any] = {"adds": with_birth, "needs": (CHILDREN,)}
    of_need: dict[str, Any] = {"adds": with_need, "needs": (REFERRALS,)}

    def long_before_birth(t: ibis.Table) -> Any:
        ahead = (
            t[column].delta(t["referral_date"], unit="day") > LONGEST_BEFORE_BIRTH
            for column in ("_birth_date", "_expected_birth_date")
        )
        first, second = (late.fill_null(False) for late in ahead)
        return first | second

    return (
        CENSUS.rule(
            "8520",
            CHILDREN,
            ("birth_date",),
            "A child in need is born after the end of the records.",
            lambda t: t["_referred"] & (t["birth_date"] > t["_end"]),
            **of_need,
        ),
        CENSUS.rule(
            "8540",
            CHILDREN,
            ("disabled",),
            "Of a child whose case led to further action no disability is recorded, not even that "
            "there is none.",
            lambda t: t["_in_need"] & t["birth_date"].notnull() & t["disabled"].isnull(),
            note="Asked of authorities that record the disability of any child.",
            **of_need,
        ),
        CENSUS.rule(
            "8606",
            REFERRALS,
            ("referral_date",),
            f"The child is referred more than {LONGEST_BEFORE_BIRTH} days before its birth.",
            long_before_birth,
            **born,
        ),
        CENSUS.rule(
            "8730",
            PLANS,
            ("n_previous",),
            "The number of plans before is less than nothing.",
            lambda t: t["n_previous"] < 0,
            note="A number that is missing is counted as such.",
        ),
        CENSUS.rule(
            "8750",
            CHILDREN,
            ("sex", "expected_birth_date"),
            "A child that is not yet born has a sex.",
            lambda t: (
                t["birth_date"].isnull() & t["expected_birth_date"].notnull() & t["sex"].notnull()
            ),
        ),
        CENSUS.rule(
            "8775",
            REFERRALS,
            ("closure_date",),
            f"The case is open after the {OLDEST}th birthday.",
            lambda t: past(t, OLDEST, "_open_to"),
            adds=with_age_at_closure,
            needs=(CHILDREN,),
            query=True,
        ),
    )


def with_need(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add whether a child is referred, and in need, where its authority records disability.

    ``_referred``; ``_in_need``: a referral of the child led to further action; ``_end``.
    """
    referrals = records.table(REFERRALS)
    need = referrals.group_by(**keys(referrals, *CHILD)).aggregate(
        _active=(~referrals["nfa"]).fill_null(False).max(), _known=referrals.count() > 0
    )
    wide = with_end(joined(table, need, *CHILD), records, session)
    recorded = wide["disabled"].count().over(ibis.window(group_by="unit")) > 0
    return wide.mutate(
        _referred=wide["_known"].fill_null(False),
        _in_need=wide["_active"].fill_null(False) & recorded,
    )


def with_age_at_closure(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add the birth of the child, and until when a case is open: to the end without a closure."""
    born = with_birth(table, records, session)
    return born.mutate(_open_to=ibis.coalesce(born["closure_date"], born["_end"]))
