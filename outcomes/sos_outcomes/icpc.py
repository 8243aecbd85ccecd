"""Initial child protection conference (ICPC) after a referral that was judged in need."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import ibis
from ibis import _
from pydantic import Field

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, derive, hookimpl


class IcpcSettings(derive.ChildSettings):
    """Settings of the outcome."""

    window_days: int = Field(
        90, ge=0, description="A conference counts up to this day after the referral."
    )
    follow_up_days: int = Field(
        90, ge=0, description="Days after the referral by which the value is known."
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
    the conference may stand with the referral or with a section 47 enquiry.
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
        )

    def derive(self, records: Records, settings: IcpcSettings, session: Session) -> Cases:
        """Derive the cases."""
        table = derive.referrals_of_children(records, settings, session).mutate(
            date=_.referral_date,
            follow_up_end=derive.add_days(_.referral_date, settings.follow_up_days),
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


def conferences(records: Records) -> ibis.Table:
    """Return ``unit, child, icpc_date`` from both places where returns hold the date."""
    places = [records.table("referrals")]
    if "section47s" in records.tables:
        places.append(records.table("section47s"))
    dates = [place.select("unit", "child", "icpc_date") for place in places]
    return ibis.union(*dates) if len(dates) > 1 else dates[0]


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(Icpc())
