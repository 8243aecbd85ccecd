"""Outcome new-outcome: a child protection plan within a year of a referral.

A working example to change. The table of records that it reads, the event that counts and the
population are below; windows and cut-offs are settings, never numbers in the code.
"""

from __future__ import annotations

from collections.abc import Callable

from ibis import _
from pydantic import Field

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive

STILL_THE_EXAMPLE = "a plan within a year of a referral"  # take this line out when it is yours


class NewOutcomeSettings(derive.ChildSettings):
    """Settings, with those that every outcome of children has (ages, covariates)."""

    window_days: int = Field(365, ge=0, description="A plan counts up to this day after referral.")


class NewOutcome(Outcome):
    """Whether a child protection plan started within a year of the referral.

    Population: referrals that were not closed with no further action.
    """

    name = "new-outcome"
    label = "New outcome"
    needs = ("referrals", "children", "protection_plans")
    Settings = NewOutcomeSettings
    citation = ""

    def info(self, settings: NewOutcomeSettings) -> OutcomeInfo:
        """Describe the outcome under these settings."""
        return OutcomeInfo(
            name=self.name,
            label=f"Protection plan within {settings.window_days} days of a referral",
            phrase="protection plans after a referral",  # as in: decreased protection plans ...
            question="What, if any, is the impact on protection plans after a referral?",
            binary=True,
            measure="proportion",
            expected="decrease",
        )

    def derive(self, records: Records, settings: NewOutcomeSettings, session: Session) -> Cases:
        """Derive one case for each referral of the population."""
        # Candidates, and the event that makes the value.
        table = records.table("referrals").mutate(date=_.referral_date)
        table = derive.event_in_window(
            table,
            records.table("protection_plans"),
            event="start_date",
            name="plan_start",
            to_day=settings.window_days,
        )
        # What is known of the child, and the columns that every case has.
        table = derive.add_child(table, records, settings).mutate(
            follow_up_end=derive.add_days(_.date, settings.window_days),
            period=derive.april_year(_.date),
            value=_.plan_start.notnull().cast("float64"),
        )
        # Step by step to the population; every step is counted in the report.
        steps = derive.Attrition(session.table(table), "referrals", "all in the records")
        derive.keep_observed(steps, records, settings)
        complete = derive.completeness(steps.table, _.nfa.notnull())
        steps.keep("not NFA", ~_.nfa, "closed with no further action, or not known whether")
        derive.keep_ages(steps, settings)
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
        )


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(NewOutcome())
