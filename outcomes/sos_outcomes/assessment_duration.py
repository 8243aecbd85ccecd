"""Assessments: how many working days they take, and whether they are done within 45.

Whether an assessment is a case depends on its start alone; its value on what is known when the
follow-up ends. Chosen by its end, the slow ones of the last months would be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import ibis
from ibis import _
from pydantic import Field, model_validator

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive

CITATION = "What Works for Children's Social Care (2021), Signs of Safety evaluation"
WWCSC_2021 = {"authorised_only": True, "outlier_iqr": 1.5}
"""What ``definition = "wwcsc-2021"`` switches on."""


class AssessmentSettings(derive.ChildSettings):
    """Settings of both outcomes."""

    first_year: int = Field(2011, description="April-year of the first assessments used.")
    nation: Literal["ENG", "WLS", "SCT", "NIR"] = Field(
        "ENG", description="Part of the United Kingdom whose bank holidays are no working days."
    )


class AssessmentDurationSettings(AssessmentSettings):
    """Settings of the outcome."""

    definition: Literal["default", "wwcsc-2021"] = Field(
        "default",
        description="wwcsc-2021 switches on the quirks of the 2021 analysis that are not set "
        "otherwise: authorised_only, outlier_iqr = 1.5.",
    )
    restricted_to: int = Field(
        60,
        ge=1,
        description="Working days that are followed up: longer durations, and assessments that are "
        "open then, count as so many. The mean is the mean restricted to this time.",
    )
    authorised_only: bool = Field(
        False,
        description="Quirk of 2021: only assessments authorised in the data are cases, followed up "
        "until then and not restricted. The slow ones at the end of the data are missing.",
    )
    observed_days: int = Field(
        53,
        ge=0,
        description="With authorised_only, the records must go on for this many days after the "
        "start, as in 2021.",
    )
    outlier_iqr: float | None = Field(
        None,
        ge=0,
        description="Quirk of 2021, which took 1.5: durations above the third quartile plus this "
        "many interquartile ranges are dropped, a selection on the outcome; none keeps all. "
        "Quartiles over all cases, interpolated linearly (R's type 7).",
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        """Fill in the quirks of the preset; a quirk that is set by name wins."""
        if isinstance(values, Mapping) and values.get("definition") == "wwcsc-2021":
            return {**WWCSC_2021, **values}
        return values


class AssessmentDuration(Outcome):
    """Working days from the start of an assessment to its authorisation, at most 60.

    Population: assessments by their start, authorised or not. The day of the start does not count,
    the day of the authorisation does. One that is not authorised after 60 working days counts 60.
    """

    name = "assessment-duration"
    label = "Working days from the start of an assessment to its authorisation, at most 60"
    needs = ("assessments", "children")
    Settings = AssessmentDurationSettings
    citation = CITATION
    definitions: ClassVar = {"wwcsc-2021": {"definition": "wwcsc-2021", **WWCSC_2021}}

    def info(self, settings: AssessmentDurationSettings) -> OutcomeInfo:
        """Describe the outcome."""
        return OutcomeInfo(
            name=self.name,
            label="Duration of assessments",
            phrase="assessment duration",
            question="What, if any, is the impact on the duration of assessments?",
            binary=False,
            measure="working days",
            expected="unclear",
            expected_note="shorter is better if quality holds",
            measured_after=derive.measured_after(settings),
            cautions=cautions(settings),
        )

    def derive(
        self, records: Records, settings: AssessmentDurationSettings, session: Session
    ) -> Cases:
        """Derive the cases."""
        if settings.authorised_only:
            steps, complete = authorised(records, settings, session)
        else:
            steps, complete = followed(records, settings, session, days=settings.restricted_to)
        timed = derive.add_working_days(
            steps.table,
            session,
            start="start_date",
            end="authorised_date",
            name="taken",
            nation=settings.nation,
        )
        if settings.authorised_only:
            timed = timed.mutate(value=_.taken)
        else:
            most = settings.restricted_to
            timed = timed.mutate(value=ibis.least(_.taken.fill_null(most), most))
        steps.go_on(session.table(timed))
        if not settings.authorised_only:
            tell_restricted(steps, settings)
        drop_outliers(steps, settings)
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
        )


class AssessmentWithin45DaysSettings(AssessmentSettings):
    """Settings of the outcome."""

    working_days: int = Field(
        45, ge=0, description="An assessment is in time if it takes no more working days than so."
    )


class AssessmentWithin45Days(Outcome):
    """Whether an assessment is authorised within 45 working days of its start.

    Population: assessments by their start, authorised or not. The published statistics count so;
    the statutory limit itself runs from the referral.
    """

    name = "assessment-within-45-days"
    label = "Assessments authorised within 45 working days"
    needs = ("assessments", "children")
    Settings = AssessmentWithin45DaysSettings
    citation = "Department for Education, Characteristics of children in need, table C2"
    definitions: ClassVar = {}

    def info(self, settings: AssessmentWithin45DaysSettings) -> OutcomeInfo:
        """Describe the outcome."""
        days = settings.working_days
        return OutcomeInfo(
            name=self.name,
            label=f"Assessments within {days} working days",
            phrase=f"assessments within {days} working days",
            question="What, if any, is the impact on the likelihood that an assessment is "
            f"completed within {days} working days?",
            binary=True,
            measure="proportion",
            expected="unclear",
            expected_note="more is better if quality holds",
            measured_after=derive.measured_after(settings),
        )

    def derive(
        self, records: Records, settings: AssessmentWithin45DaysSettings, session: Session
    ) -> Cases:
        """Derive the cases."""
        steps, complete = followed(records, settings, session, days=settings.working_days)
        steps.go_on(steps.table.mutate(value=_.authorised_date.notnull().cast("float64")))
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
        )


def followed(
    records: Records, settings: AssessmentSettings, session: Session, *, days: int
) -> tuple[derive.Attrition, Any]:
    """Return the assessments followed up for some working days, and their completeness.

    ``authorised_date`` is null where an assessment is open when the follow-up ends.
    """
    rows = records.table("assessments").select(*derive.KEY, "start_date", "authorised_date")
    table = derive.add_working_day_limit(
        rows, session, start="start_date", days=days, name="follow_up_end", nation=settings.nation
    )
    by_then = _.authorised_date <= _.follow_up_end
    table = table.mutate(authorised_date=ibis.ifelse(by_then, _.authorised_date, ibis.null("date")))
    steps = candidates(table, records, settings, session, until="follow_up_end")
    in_order = _.authorised_date.isnull() | (_.start_date <= _.authorised_date)
    complete = derive.completeness(steps.table, in_order)
    steps.keep("dates in order", in_order, "authorised before the start")
    derive.keep_ages(steps, settings)
    return steps, complete


def authorised(
    records: Records, settings: AssessmentDurationSettings, session: Session
) -> tuple[derive.Attrition, Any]:
    """Return the assessments authorised in the data, as in 2021, and their completeness."""
    rows = records.table("assessments").select(*derive.KEY, "start_date", "authorised_date")
    table = rows.mutate(
        follow_up_end=_.authorised_date,
        observed_until=derive.add_days(_.start_date, settings.observed_days),
    )
    steps = candidates(table, records, settings, session, until="observed_until")
    end = derive.data_end(records, settings)
    in_order = (_.start_date <= _.authorised_date) & (_.authorised_date <= end)
    complete = derive.completeness(steps.table, in_order)
    steps.keep("authorised", _.authorised_date.notnull(), "open: not authorised in the data")
    steps.keep("dates in order", in_order, f"authorised before the start, or after {end}")
    derive.keep_ages(steps, settings)
    return steps, complete


def candidates(
    table: ibis.Table,
    records: Records,
    settings: AssessmentSettings,
    session: Session,
    *,
    until: str,
) -> derive.Attrition:
    """Return the assessments observed until a day, each once, from the first year on."""
    table = derive.number_repeats(
        table, key=(*derive.KEY, "start_date"), latest=("authorised_date",)
    ).mutate(date=_.start_date, period=derive.april_year(_.start_date))
    table = derive.add_child(table, records, settings, session=session)
    steps = derive.Attrition(session.table(table), "assessments", "all in the records")
    derive.keep_observed(steps, records, settings, until=until)
    steps.keep("recorded once", _["repeat"] == 0, "same child and start; the latest end stays")
    steps.keep(
        "from the first year",
        _.period >= settings.first_year,
        f"started before April {settings.first_year}",
    )
    return steps


def tell_restricted(steps: derive.Attrition, settings: AssessmentDurationSettings) -> None:
    """Say in the attrition how many durations are not known beyond the follow-up; none goes."""
    n_open = int(steps.table.filter(_.taken.isnull()).count().to_pandas())
    days = settings.restricted_to
    steps.keep(
        f"restricted to {days} working days",
        _.value.notnull(),
        f"none: {n_open:,} not authorised by then, or of no recorded authorisation, count {days}",
    )


def drop_outliers(steps: derive.Attrition, settings: AssessmentDurationSettings) -> None:
    """Keep durations up to the third quartile plus a multiple of the interquartile range."""
    if settings.outlier_iqr is None:
        return
    value = steps.table.value.cast("float64")
    quartiles = steps.table.aggregate(q1=value.quantile(0.25), q3=value.quantile(0.75))
    q1, q3 = quartiles.to_pandas().iloc[0].astype("float64")
    fence = q3 + settings.outlier_iqr * (q3 - q1)
    steps.keep("no outlier", _.value <= fence, f"longer than {fence:g} working days")


def cautions(settings: AssessmentDurationSettings) -> tuple[str, ...]:
    """Return what a reader must know of the quirks that are switched on."""
    sentences = []
    if settings.authorised_only:
        sentences.append(
            "Only assessments that were authorised in the data are cases, as in 2021 "
            "(authorised_only): the slow ones of the last months are missing, and later years look "
            "faster than they were."
        )
    if settings.outlier_iqr is not None:
        sentences.append(
            f"Durations above the third quartile plus {settings.outlier_iqr:g} interquartile "
            "ranges are left out (outlier_iqr): a selection on the outcome, which shrinks effects."
        )
    return tuple(sentences)


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcomes."""
    register(AssessmentDuration())
    register(AssessmentWithin45Days())
