"""Rules of the children in need census, by their published numbers.

The conditions are those of the Department for Education's validation rules for the children in need
census, written anew for records: the rows of several returns, each thing once. Further ones stand
in :mod:`~sos_sources.rules.cin_dates` and :mod:`~sos_sources.rules.cin_links`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import ClassVar

import ibis
from pydantic import Field

from sos_plugins import RecordRule, Records, RuleSet, Session, Settings, hookimpl
from sos_sources import codes
from sos_sources.rules.cin_dates import date_rules, working_days_before
from sos_sources.rules.cin_links import link_rules
from sos_sources.rules.cin_numbers import CENSUS, SOURCE
from sos_sources.rules.code_rules import code_rules
from sos_sources.rules.kinds import before
from sos_sources.rules.lookups import REFERRAL, keys, same

SINGLE_ASSESSMENTS = 2013
"""First April-year in which every authority records assessments of 45 working days."""


class CinRulesSettings(Settings):
    """What the published rules leave to the year."""

    assessment_days: int = Field(
        45, ge=1, description="working days within which an assessment is to be finished (8670)"
    )
    enquiry_days: int = Field(
        15,
        ge=1,
        description="working days within which the conference of an enquiry is to be held (8675)",
    )
    codes_of_years: bool = Field(
        True,
        description="also count codes that no year of the census knows, and codes in lower case",
    )


class CinRules(RuleSet):
    """Contradictions within referrals, assessments, enquiries and plans of the census."""

    name: ClassVar[str] = "cin-rules"
    label: ClassVar[str] = "Validation rules of the children in need census"
    Settings: ClassVar[type[Settings]] = CinRulesSettings
    citation: ClassVar[str] = SOURCE
    needs: ClassVar[tuple[str, ...]] = (
        *("referrals", "assessments", "section47s", "protection_plans", "children"),
    )

    def rules(self, settings: CinRulesSettings) -> Sequence[RecordRule]:
        """Return the rules, in the order of their numbers."""
        rules = (
            *_order_rules(),
            *_conference_rules(),
            _unfinished(settings.assessment_days),
            *_closure_rules(),
            *_no_further_action_rules(),
            *date_rules(settings.enquiry_days),
            *link_rules(),
        )
        numbered = sorted(rules, key=lambda rule: rule.name)
        return (*numbered, *(_codes() if settings.codes_of_years else ()))


def _order_rules() -> tuple[RecordRule, ...]:
    referral = "referral_date"
    return (
        CENSUS.rule(
            "1103",
            "assessments",
            ("start_date", referral),
            "The assessment starts before its referral.",
            broken=before("start_date", referral),
        ),
        CENSUS.rule(
            "1104",
            "section47s",
            ("icpc_date", referral),
            "The initial child protection conference is held before the referral.",
            broken=before("icpc_date", referral),
        ),
        CENSUS.rule(
            "1105",
            "protection_plans",
            ("start_date", referral),
            "The child protection plan starts before its referral.",
            broken=before("start_date", referral),
        ),
        CENSUS.rule(
            "8608",
            "assessments",
            ("authorised_date", "start_date"),
            "The assessment is finished before it starts.",
            broken=before("authorised_date", "start_date"),
        ),
        CENSUS.rule(
            "8630",
            "referrals",
            ("closure_date", referral),
            "The case is closed before it is referred.",
            broken=before("closure_date", referral),
        ),
    )


def _conference_rules() -> tuple[RecordRule, ...]:
    return (
        CENSUS.rule(
            "2884",
            "section47s",
            ("icpc_date",),
            "The same conference is recorded with the enquiry and with the referral: it belongs in "
            "one of them.",
            broken=lambda t: t["icpc_date"].notnull() & t["_told_twice"],
            adds=_conferences_of_referrals,
            needs=("referrals",),
        ),
        CENSUS.rule(
            "2885",
            "protection_plans",
            ("start_date",),
            "The plan does not start on the day of a conference of its referral.",
            broken=_starts_without_conference,
            adds=_conferences_before_plans,
            needs=("referrals", "section47s"),
            note="Plans that start before the records do or after they end, and plans of no known "
            "referral, are passed over.",
        ),
    )


def _unfinished(days: int) -> RecordRule:
    def latest_start(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
        end = records.end
        day = None if end is None else working_days_before(end, days)
        return table.mutate(_latest_start=ibis.literal(day, type="date"))

    return CENSUS.rule(
        "8670",
        "assessments",
        ("authorised_date", "start_date"),
        f"The assessment started more than {days} working days before the end of the records and "
        "is not finished.",
        broken=lambda t: t["authorised_date"].isnull() & (t["start_date"] < t["_latest_start"]),
        adds=latest_start,
        first_year=SINGLE_ASSESSMENTS,
        query=True,
        note="Counted at the end of all records: one that a later return finishes is none. The day "
        "after the start is the first working day.",
    )


def _closure_rules() -> tuple[RecordRule, ...]:
    return (
        CENSUS.rule(
            "8805",
            "referrals",
            ("closure_reason", "closure_date"),
            "The case is closed and no reason is given.",
            broken=lambda t: t["closure_date"].notnull() & t["closure_reason"].isnull(),
        ),
        CENSUS.rule(
            "8810",
            "referrals",
            ("closure_date", "closure_reason"),
            "A reason for closing the case is given, and no date.",
            broken=lambda t: t["closure_reason"].notnull() & t["closure_date"].isnull(),
        ),
        CENSUS.rule(
            "8820",
            "referrals",
            ("closure_date", "referral_date"),
            "The case is still open when the child is referred again.",
            broken=lambda t: t["_next_referral"] < t["_open_until"],
            adds=_next_referrals,
            note="The earlier of the two referrals is counted.",
        ),
    )


def _no_further_action_rules() -> tuple[RecordRule, ...]:
    return (
        CENSUS.rule(
            "8831",
            "referrals",
            ("nfa", "icpc_date"),
            "Something was done on a case marked as needing no further action: an assessment, an "
            "enquiry or a conference.",
            broken=lambda t: t["nfa"] & (t["icpc_date"].notnull() | t["_acted_on"]),
            adds=_activity,
            needs=("assessments", "section47s"),
        ),
        CENSUS.rule(
            "8832",
            "protection_plans",
            ("start_date",),
            "There is a child protection plan on a case marked as needing no further action.",
            broken=lambda t: t["_nfa"],
            adds=_conferences_before_plans,
            needs=("referrals", "section47s"),
        ),
    )


def _conferences_of_referrals(
    table: ibis.Table,
    records: Records,
    session: Session,  # noqa: ARG001
) -> ibis.Table:
    """Add whether a referral of the child names a conference on the same day."""
    referrals = records.table("referrals")
    held = referrals.filter(referrals["icpc_date"].notnull())
    held = held.select(**keys(held, "unit", "child", "icpc_date")).distinct()
    joined = table.left_join(held, same(table, held, "unit", "child", "icpc_date"))
    told = joined.mutate(_told_twice=joined["_of_icpc_date"].notnull())
    return told.drop("_of_unit", "_of_child", "_of_icpc_date")


def _conferences_before_plans(
    table: ibis.Table,
    records: Records,
    session: Session,  # noqa: ARG001
) -> ibis.Table:
    """Add what the referral of a plan says: its conference, its enquiries', whether it is NFA."""
    referrals, enquiries = records.table("referrals"), records.table("section47s")
    of_referral = referrals.group_by(**keys(referrals, *REFERRAL)).aggregate(
        _nfa=referrals["nfa"].fill_null(False).max(),
        _conference=referrals["icpc_date"].max(),
        _other_conference=referrals["icpc_date"].min(),
    )
    needed = enquiries.filter(~enquiries["icpc_not_required"].fill_null(False))
    held = needed.group_by(**keys(needed, *REFERRAL)).aggregate(_held=needed["icpc_date"].collect())
    joined = table.left_join(of_referral, same(table, of_referral, *REFERRAL))
    joined = joined.mutate(
        _linked=joined["_of_unit"].notnull(), _nfa=joined["_nfa"].fill_null(False)
    )
    joined = joined.drop(*(f"_of_{name}" for name in REFERRAL))
    joined = joined.left_join(held, same(joined, held, *REFERRAL))
    joined = joined.mutate(_enquired=joined["_of_unit"].notnull())
    day = joined["start_date"]
    own = (joined["_conference"] == day) | (joined["_other_conference"] == day)
    inside = joined["_linked"]
    if records.start is not None:
        inside &= day >= records.start
    if records.end is not None:
        inside &= day <= records.end
    return joined.mutate(
        _judged=inside,
        _on_enquiry=joined["_held"].contains(day).fill_null(False),
        _on_referral=own.fill_null(False),
    ).drop("_held", "_conference", "_other_conference", *(f"_of_{name}" for name in REFERRAL))


def _starts_without_conference(table: ibis.Table) -> ibis.Value:
    held = ibis.ifelse(table["_enquired"], table["_on_enquiry"], table["_on_referral"])
    return table["start_date"].notnull() & table["_judged"] & ~held


def _next_referrals(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add when the child is referred next, on a later day, and until when this case is open.

    A case without a closure date is open to the end, unless no further action was taken on it.
    """
    end = records.end or dt.date.max
    still = ibis.ifelse(table["nfa"].fill_null(True), table["referral_date"], ibis.date(end))
    until = ibis.coalesce(table["closure_date"], still)
    day = table["referral_date"].delta(ibis.date("1970-01-01"), unit="day")
    later = ibis.range_window(following=(1, None), group_by=["unit", "child"], order_by=day)
    return table.mutate(_open_until=until, _next_referral=table["referral_date"].min().over(later))


def _activity(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add whether an assessment or an enquiry hangs on a referral without further action."""
    closed = table.filter(table["nfa"])
    activities = [_key_of(records.table("assessments")), _key_of(records.table("section47s"))]
    nfa = closed.select(**keys(closed, *REFERRAL)).distinct()
    done = ibis.union(*activities)
    acted = nfa.semi_join(done, [nfa[f"_of_{name}"] == done[name] for name in REFERRAL])
    joined = table.left_join(acted, same(table, acted, *REFERRAL))
    marked = joined.mutate(_acted_on=joined["_of_unit"].notnull())
    return marked.drop(*(f"_of_{name}" for name in REFERRAL))


def _key_of(table: ibis.Table) -> ibis.Table:
    if "authorised_date" in table.columns:
        table = table.filter(table["start_date"].notnull() | table["authorised_date"].notnull())
    else:
        table = table.filter(table["start_date"].notnull())
    return table.select(*REFERRAL)


def _codes() -> tuple[RecordRule, ...]:
    return (
        *code_rules("referrals", "referral_source", codes.REFERRAL_SOURCE),
        *code_rules("referrals", "primary_need", codes.PRIMARY_NEED),
        *code_rules("referrals", "closure_reason", codes.CLOSURE_REASON),
        *code_rules("protection_plans", "initial_category", codes.ABUSE_CATEGORY),
        *code_rules("protection_plans", "latest_category", codes.ABUSE_CATEGORY),
        *code_rules("children", "ethnicity", codes.ETHNICITY),
    )


@hookimpl
def register_rule_sets(register: Callable[[RuleSet], None]) -> None:
    """Offer the rules."""
    register(CinRules())
