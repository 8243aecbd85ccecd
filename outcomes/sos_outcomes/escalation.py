"""Re-referral after no further action that escalates to a protection plan or to care."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import ibis
from ibis import _
from pydantic import Field

from sos_outcomes import rereferral
from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive

WWCSC_2021 = {
    **rereferral.WWCSC_2021,
    "drop_plan_before_rereferral": True,
    "follow_up_days": 360,
    "short_follow_up": True,
}
"""What ``definition = "wwcsc-2021"`` switches on."""


class EscalationSettings(rereferral.RereferralSettings):
    """Settings of the outcome: those of re-referral, and what counts as an escalation."""

    definition: Literal["default", "wwcsc-2021"] = Field(
        "default",
        description="wwcsc-2021 switches on the quirks of the 2021 analysis that are not set "
        "otherwise: last_rereferral, label_by_nfa_date, rc9_unknown, drop_plan_before_rereferral, "
        "follow_up_days = 360 with short_follow_up; and its covariate, holiday_flag.",
    )
    escalation_days: int = Field(
        180,
        ge=0,
        description="A plan or a period of care counts from the day of the re-referral to this "
        "day after it.",
    )
    start_reasons: tuple[str, ...] = Field(
        ("S",),
        description="Reasons (RNE) with which a period of care starts; a period whose first "
        "episode has another began outside the data.",
    )
    drop_plan_before_rereferral: bool = Field(
        False,
        description="Quirk of 2021: leave out re-referred cases with a plan or a period of care "
        "that starts between the NFA date and the re-referral.",
    )

    short_follow_up: bool = Field(
        False,
        description="Quirk of 2021: follow_up_days may be fewer than the two windows take (2021: "
        "360 for 183 + 180). A late re-referral can then escalate after the follow-up, which "
        "counts only where the records go on.",
    )

    @property
    def needed_days(self) -> int:
        """Days of the re-referral's window and of the escalation's."""
        return self.window_days + self.escalation_days

    @property
    def allows_short_follow_up(self) -> bool:
        """Whether the quirk of 2021 is on."""
        return self.short_follow_up

    @classmethod
    def preset(cls) -> dict[str, Any]:
        """Return the settings that the definition wwcsc-2021 stands for."""
        return dict(WWCSC_2021)


class Escalation(Outcome):
    """Whether a re-referral leads to a protection plan or a period of care within 180 days.

    The denominator is every referral closed NFA, re-referred or not. Periods of care count where
    the records have episodes; the attrition says so where they have none.
    """

    name = "escalation"
    label = "Re-referral after no further action, then a protection plan or care within 180 days"
    needs = ("referrals", "children", "protection_plans")
    Settings = EscalationSettings
    citation = "What Works for Children's Social Care (2021), Signs of Safety evaluation"
    definitions: ClassVar = {"wwcsc-2021": {"definition": "wwcsc-2021", **WWCSC_2021}}

    def info(self, settings: EscalationSettings) -> OutcomeInfo:
        """Describe the outcome."""
        return OutcomeInfo(
            name=self.name,
            label="Re-referral that escalates",
            phrase="re-referral that leads to a protection plan or care",
            question="What, if any, is the impact on the likelihood of a re-referral leading to "
            "a child protection plan or to a child becoming looked after?",
            binary=True,
            measure="proportion",
            expected="decrease",
            measured_after=derive.measured_after(settings),
            each="closed cases",
            cautions=cautions(settings),
        )

    def derive(self, records: Records, settings: EscalationSettings, session: Session) -> Cases:
        """Derive the cases."""
        table = rereferral.dated_referrals(records, settings, session)
        steps = derive.Attrition(table, "referrals", _scope(records))
        complete = rereferral.keep_nfa(steps, records, settings)
        table = rereferral.add_rereferral(steps.table, records, settings, session)
        starts = plan_and_care_starts(records, settings)
        table = derive.event_in_window(
            table,
            starts,
            date="rereferral_date",
            event="start_date",
            name="escalation_date",
            to_day=settings.escalation_days,
            key=settings.same_child(records),
            session=session,
        ).mutate(value=_.escalation_date.notnull().cast("float64"))
        if settings.drop_plan_before_rereferral:
            table = derive.event_in_window(
                table,
                starts,
                date="nfa_date",
                event="start_date",
                name="first_start",
                key=settings.same_child(records),
                session=session,
            )
            steps.go_on(session.table(table))
            steps.keep(
                "no plan or care before the re-referral",
                (_.first_start >= _.rereferral_date).fill_null(True),
                "plan or care between the NFA date and the re-referral",
            )
        else:
            steps.go_on(table)
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=rereferral.listed(settings),
            completeness=complete,
            extra=("nfa_date", "rereferral_date", "escalation_date"),
        )


def plan_and_care_starts(records: Records, settings: EscalationSettings) -> ibis.Table:
    """Return ``unit, child, start_date`` of protection plans and, if recorded, of care."""
    plans = records.table("protection_plans").select("unit", "child", "start_date")
    if "episodes" not in records.tables:
        return plans
    periods = derive.periods_of_care(records.table("episodes"))
    started = periods.reason_start.isnull() | periods.reason_start.isin(settings.start_reasons)
    return ibis.union(plans, periods.filter(started).select("unit", "child", "start_date"))


def cautions(settings: EscalationSettings) -> tuple[str, ...]:
    """Return what a reader must know of a follow-up that is too short."""
    if settings.followed_days >= settings.needed_days:
        return ()
    return (
        f"Cases are followed up for {settings.followed_days} days, but an escalation may come up "
        f"to day {settings.needed_days} (short_follow_up): values near the end of the records, and "
        "just before embedding windows, may rest on what came later.",
    )


def _scope(records: Records) -> str:
    if "episodes" in records.tables:
        return "all in the records"
    return "all in the records; these have no episodes of care, so only plans count as escalation"


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(Escalation())
