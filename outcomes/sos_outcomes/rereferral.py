"""Re-referral after a referral that was closed with no further action (NFA)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import ibis
from ibis import _
from pydantic import Field, model_validator

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive

WWCSC_2021 = {
    "last_rereferral": True,
    "label_by_nfa_date": True,
    "rc9_unknown": True,
    "holiday_flag": True,
}
"""What ``definition = "wwcsc-2021"`` switches on."""


class RereferralSettings(derive.FollowedSettings):
    """Settings of the outcome."""

    definition: Literal["default", "wwcsc-2021"] = Field(
        "default",
        description="wwcsc-2021 switches on the quirks of the 2021 analysis that are not set "
        "otherwise: last_rereferral, label_by_nfa_date, rc9_unknown; and its covariate, "
        "holiday_flag.",
    )
    nfa_reasons: tuple[str, ...] = Field(
        ("RC8",), description="Closure reasons that mean no further action after assessment."
    )
    known_reasons: tuple[str, ...] = Field(
        ("RC1", "RC2", "RC3", "RC4", "RC5", "RC6", "RC7", "RC8", "RC9"),
        description="Closure reasons that tell whether the referral was NFA.",
    )
    nfa_date: Literal["closure", "referral"] = Field(
        "closure",
        description="Day from which the re-referral is counted: the closure date (the referral "
        "date where none is recorded), or always the referral date.",
    )
    window_days: int = Field(
        183, ge=1, description="A re-referral counts from the day after the NFA date to this day."
    )
    holiday_flag: bool = Field(
        False,
        description="Add the covariate holiday_referral: referred in holidays or around them.",
    )
    holiday_calendar: Path | None = Field(
        None,
        description="CSV file with columns start and end of holidays, such as those of schools; "
        "without it they are the bank holidays in holiday_names.",
    )
    holiday_names: tuple[str, ...] = Field(
        ("Christmas Day", "Good Friday", "Easter Monday"),
        description="Bank holidays around which a referral is flagged.",
    )
    holiday_days: int = Field(
        5, ge=0, description="Days before and after such a holiday that are flagged."
    )
    last_rereferral: bool = Field(
        False,
        description="Quirk of 2021: the last and not the first re-referral in the window is the "
        "re-referral (matters for what follows it).",
    )
    label_by_nfa_date: bool = Field(
        False,
        description="Quirk of 2021: pre and post go by the NFA date, while cases are selected on "
        "the referral date. The two differ only where the closure is dated before the referral; "
        "such cases are kept and dated by the earlier date, otherwise they are dropped.",
    )
    rc9_unknown: bool = Field(
        False, description="Quirk of 2021: RC9 (closed to early help) counts as unknown."
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        """Fill in the quirks of the preset; a quirk that is set by name wins."""
        if isinstance(values, Mapping) and values.get("definition") == "wwcsc-2021":
            return {**cls.preset(), **values}
        return values

    @classmethod
    def preset(cls) -> dict[str, Any]:
        """Return the settings that the definition wwcsc-2021 stands for."""
        return dict(WWCSC_2021)


class Rereferral(Outcome):
    """Whether the child is referred again within 183 days of the NFA date.

    Population: referrals closed with no further action at referral, or after an assessment (RC8).
    A closure to early help (RC9) is known and is not NFA. Cases are dated by the referral.
    """

    name = "rereferral"
    label = "Re-referral within 183 days of a referral closed with no further action"
    needs = ("referrals", "children")
    Settings = RereferralSettings
    citation = "What Works for Children's Social Care (2021), Signs of Safety evaluation"
    definitions: ClassVar = {"from-referral-date": {"nfa_date": "referral"}}

    def info(self, settings: RereferralSettings) -> OutcomeInfo:
        """Describe the outcome."""
        return OutcomeInfo(
            name=self.name,
            label="Re-referral after no further action",
            phrase="re-referral after no further action",
            question="What, if any, is the impact on the likelihood of a case being re-referred "
            "if it has previously been assessed as 'no further action'?",
            binary=True,
            measure="proportion",
            expected="decrease",
            measured_after=derive.measured_after(settings),
            each="closed cases",
        )

    def derive(self, records: Records, settings: RereferralSettings, session: Session) -> Cases:
        """Derive the cases."""
        table = dated_referrals(records, settings, session)
        steps = derive.Attrition(table, "referrals", "all in the records")
        complete = keep_nfa(steps, records, settings)
        followed = add_rereferral(steps.table, records, settings, session)
        steps.go_on(followed.mutate(value=_.rereferral_date.notnull().cast("float64")))
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=listed(settings),
            completeness=complete,
            extra=("nfa_date", "rereferral_date"),
        )


def listed(settings: RereferralSettings) -> tuple[str, ...]:
    """Return the covariates that the settings ask for."""
    flag = ("holiday_referral",) if settings.holiday_flag else ()
    return (*settings.covariates, *flag)


def dated_referrals(records: Records, settings: RereferralSettings, session: Session) -> ibis.Table:
    """Return every referral with its NFA status, NFA date, follow-up and covariates."""
    unknown = ("RC9",) if settings.rc9_unknown else ()
    known = [reason for reason in settings.known_reasons if reason not in unknown]
    nfa = _.nfa.fill_null(False)
    still_open = _.closure_date.isnull() & _.closure_reason.isnull()
    closed = _.closure_date.fill_null(_.referral_date)
    table = derive.referrals_of_children(records, settings, session).mutate(
        nfa_date=_.referral_date if settings.nfa_date == "referral" else closed,
        is_nfa=nfa | _.closure_reason.isin(settings.nfa_reasons).fill_null(False),
        judged=nfa | _.closure_reason.isin(known) | (still_open & _.nfa.notnull()),
        period=derive.april_year(_.referral_date),
    )
    earlier = ibis.least(_.referral_date, _.nfa_date)
    # Who was not closed NFA at referral is known to be a case when the referral is closed.
    decided = ibis.greatest(_.referral_date, ibis.ifelse(nfa, _.referral_date, closed))
    return table.mutate(
        date=earlier if settings.label_by_nfa_date else _.referral_date,
        follow_up_end=ibis.greatest(derive.add_days(_.nfa_date, settings.followed_days), decided),
    )


def add_rereferral(
    table: ibis.Table, records: Records, settings: RereferralSettings, session: Session
) -> ibis.Table:
    """Add the date of the re-referral and the flag of referrals around holidays."""
    table = derive.event_in_window(
        table,
        records.table("referrals"),
        date="nfa_date",
        event="referral_date",
        name="rereferral_date",
        from_day=1,
        to_day=settings.window_days,
        last=settings.last_rereferral,
        key=settings.same_child(records),
        session=session,
    )
    if not settings.holiday_flag:
        return table
    if settings.holiday_calendar is not None:
        calendar = derive.read_holidays(session.base / settings.holiday_calendar.expanduser())
        calendar.refuse_other_years(table.select("period").distinct().to_pandas()["period"])
        return derive.add_in_holidays(
            table,
            session,
            date="referral_date",
            name="holiday_referral",
            calendar=calendar,
            days=settings.holiday_days,
        )
    return derive.add_near_holiday(
        table,
        session,
        date="referral_date",
        name="holiday_referral",
        named=settings.holiday_names,
        days=settings.holiday_days,
    )


def keep_nfa(steps: derive.Attrition, records: Records, settings: RereferralSettings) -> Any:
    """Keep the referrals closed NFA with complete follow-up; return the completeness frame.

    Candidates of the completeness are all referrals with complete follow-up, usable are those
    whose NFA status is known.
    """
    derive.keep_observed(steps, records, settings)
    steps.keep("recorded once", _["repeat"] == 0, "the same referral again")
    if not settings.label_by_nfa_date:
        steps.keep(
            "closed after referral", _.nfa_date >= _.referral_date, "closed before the referral"
        )
    complete = derive.completeness(steps.table, _.judged)
    steps.keep("NFA known", _.judged, "closed without a known reason, or NFA not recorded")
    steps.keep("closed NFA", _.is_nfa, "not closed with no further action")
    derive.keep_ages(steps, settings)
    return complete


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(Rereferral())
