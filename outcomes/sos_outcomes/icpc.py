"""Initial child protection conference (ICPC) after a referral that was judged in need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import ibis
from ibis import _
from pydantic import Field

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive


class IcpcSettings(derive.FollowUpSettings):
    """Settings of the outcome."""

    window_days: int = Field(
        90, ge=0, description="A conference counts up to this day after the referral."
    )
    not_in_need_reasons: tuple[str, ...] = Field(
        ("RC8", "RC9"),
        description="Closure reasons of referrals that an assessment found not in need: closed "
        "with no further action, closed to early help.",
    )
    known_reasons: tuple[str, ...] = Field(
        ("RC1", "RC2", "RC3", "RC4", "RC5", "RC6", "RC7", "RC8", "RC9"),
        description="Closure reasons that tell whether the child was in need.",
    )


class Icpc(Outcome):
    """Whether a conference took place within 90 days of the referral.

    Population: referrals not closed with no further action, and not closed after an assessment
    that found the child not in need. A referral that is still open counts as in need. The date of
    the conference may stand with the referral or with a section 47 enquiry; one conference counts
    for one referral.
    """

    name = "icpc"
    label = "Initial child protection conference within 90 days of a referral in need"
    needs = ("referrals", "children")
    Settings = IcpcSettings
    citation = "What Works for Children's Social Care (2021), Signs of Safety evaluation"
    definitions: ClassVar = {}

    def info(self, settings: IcpcSettings) -> OutcomeInfo:
        """Describe the outcome."""
        return OutcomeInfo(
            name=self.name,
            label="Initial child protection conference",
            phrase="initial child protection conferences",
            question="What, if any, is the impact on the likelihood of an initial child "
            "protection conference after a referral judged in need?",
            binary=True,
            measure="proportion",
            expected="decrease",
            measured_after=derive.measured_after(settings),
            each="referrals",
        )

    def derive(self, records: Records, settings: IcpcSettings, session: Session) -> Cases:
        """Derive the cases."""
        table = derive.referrals_of_children(records, settings, session).mutate(
            date=_.referral_date,
            follow_up_end=followed_until(settings),
            period=derive.april_year(_.referral_date),
            judged=_.nfa.fill_null(False)
            | _.closure_reason.isin(settings.known_reasons)
            | (_.closure_date.isnull() & _.closure_reason.isnull() & _.nfa.notnull()),
        )
        steps = derive.Attrition(table, "referrals", "all in the records")
        derive.keep_observed(steps, records, settings)
        steps.keep("recorded once", _["repeat"] == 0, "the same referral again")
        complete = derive.completeness(steps.table, _.judged)
        steps.keep("need known", _.judged, "closed without a known reason, or NFA not recorded")
        steps.keep("not NFA at referral", ~_.nfa.fill_null(False), "closed NFA at referral")
        steps.keep(
            "judged in need",
            ~_.closure_reason.isin(settings.not_in_need_reasons).fill_null(False),
            f"closed after assessment as not in need ({', '.join(settings.not_in_need_reasons)})",
        )
        derive.keep_ages(steps, settings)
        followed = derive.event_in_window(
            steps.table,
            conferences(records),
            event="icpc_date",
            name="conference",
            to_day=settings.window_days,
            key=(*derive.KEY, "referral_date"),
            session=session,
        )
        steps.go_on(followed.mutate(value=_.conference.notnull().cast("float64")))
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
            extra=("conference",),
        )


def followed_until(settings: IcpcSettings) -> Any:
    """Return the last day of the window, or a later closure that alone tells of the need."""
    end = derive.add_days(_.referral_date, settings.followed_days)
    told = ibis.ifelse(_.nfa.isnull(), _.closure_date, ibis.null("date"))
    return ibis.greatest(end, told.fill_null(end))


def conferences(records: Records) -> ibis.Table:
    """Return ``unit, child, icpc_date, referral_date``: each conference with its one referral.

    Referrals closed NFA have no conferences.
    """
    places = [records.table("referrals")]
    if "section47s" in records.tables:
        places.append(records.table("section47s"))
    columns = ("unit", "child", "icpc_date", "referral_date")
    dates = [place.select(*columns).filter(_.icpc_date.notnull()) for place in places]
    held = ibis.union(*dates) if len(dates) > 1 else dates[0]
    referrals = records.table("referrals")
    referrals = referrals.filter(~referrals.nfa.fill_null(False))
    return derive.events_of_referrals(held, referrals, event="icpc_date")


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(Icpc())
