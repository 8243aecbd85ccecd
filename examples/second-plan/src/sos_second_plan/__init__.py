"""Outcome second-plan: a second child protection plan within two years of the end of one."""

from __future__ import annotations

from collections.abc import Callable

from ibis import _
from pydantic import Field

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive


class SecondPlanSettings(derive.ChildSettings):
    """Settings, with those that every outcome of children has (ages, covariates)."""

    window_days: int = Field(
        730, ge=1, description="A further plan counts up to this day after the end of the plan."
    )
    first_day: int = Field(
        1, ge=0, description="Day after the end from which a plan is a new one, no continuation."
    )


class SecondPlan(Outcome):
    """Whether a child whose protection plan ended was on a plan again within two years.

    Population: child protection plans that ended. The period of a case is that of the end.
    """

    name = "second-plan"
    label = "A second child protection plan within two years"
    needs = ("protection_plans", "children")
    Settings = SecondPlanSettings
    citation = "Department for Education, Characteristics of children in need, table D"

    def info(self, settings: SecondPlanSettings) -> OutcomeInfo:
        """Describe the outcome under these settings."""
        return OutcomeInfo(
            name=self.name,
            label="Second child protection plan",
            phrase="second child protection plans",
            question="What, if any, is the impact on the likelihood that a child is on a "
            f"protection plan again within {settings.window_days} days of the end of one?",
            binary=True,
            measure="proportion",
            expected="decrease",
        )

    def derive(self, records: Records, settings: SecondPlanSettings, session: Session) -> Cases:
        """Derive one case for each plan that ended."""
        plans = records.table("protection_plans")
        table = derive.number_repeats(
            plans, key=("unit", "child", "start_date"), latest=("end_date", "latest_category")
        ).mutate(date=_.end_date)
        table = derive.event_in_window(
            table,
            plans,
            event="start_date",
            name="next_start",
            from_day=settings.first_day,
            to_day=settings.window_days,
        )
        table = derive.add_child(table, records, settings).mutate(
            follow_up_end=derive.add_days(_.date, settings.window_days),
            period=derive.april_year(_.date),
            value=_.next_start.notnull().cast("float64"),
        )
        steps = derive.Attrition(session.table(table), "protection plans", "all in the records")
        steps.keep("recorded once", _["repeat"] == 0, "the same plan again")
        steps.keep("ended", _.end_date.notnull(), "not ended by the last day of the records")
        derive.keep_observed(steps, records, settings)
        in_order = _.end_date >= _.start_date
        complete = derive.completeness(steps.table, in_order)
        steps.keep("dates in order", in_order, "the end lies before the start, or has no start")
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
    register(SecondPlan())
