"""Duration of assessments in working days."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from ibis import _
from pydantic import Field

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, derive, hookimpl


class AssessmentDurationSettings(derive.ChildSettings):
    """Settings of the outcome."""

    first_year: int = Field(2011, description="April-year of the first assessments used.")
    follow_up_days: int = Field(
        53, ge=0, description="The records must go on for this many days after the start."
    )
    nation: Literal["ENG", "WLS", "SCT", "NIR"] = Field(
        "ENG", description="Part of the United Kingdom whose bank holidays are no working days."
    )
    outlier_iqr: float | None = Field(
        1.5,
        ge=0,
        description="Durations above the third quartile plus this many interquartile ranges are "
        "dropped; none keeps all. Quartiles over all cases, interpolated linearly (R's type 7).",
    )


class AssessmentDuration(Outcome):
    """Working days from the start of an assessment to its authorisation.

    Population: authorised assessments. The day of the start does not count, the day of the
    authorisation does. An assessment is before an embedding window when it was authorised before.
    """

    name = "assessment-duration"
    label = "Working days from the start of an assessment to its authorisation"
    needs = ("assessments", "children")
    Settings = AssessmentDurationSettings
    citation = "What Works for Children's Social Care (2021), Signs of Safety evaluation"
    definitions: ClassVar = {"with-outliers": {"outlier_iqr": None}}

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
        )

    def derive(
        self, records: Records, settings: AssessmentDurationSettings, session: Session
    ) -> Cases:
        """Derive the cases."""
        rows = records.table("assessments").select(*derive.KEY, "start_date", "authorised_date")
        table = derive.number_repeats(
            rows, key=(*derive.KEY, "start_date"), latest=("authorised_date",)
        ).mutate(
            date=_.start_date,
            follow_up_end=_.authorised_date,
            observed_until=derive.add_days(_.start_date, settings.follow_up_days),
            period=derive.april_year(_.start_date),
        )
        table = derive.add_child(table, records, settings, session=session)
        steps = derive.Attrition(session.table(table), "assessments", "all in the records")
        derive.keep_observed(steps, records, settings, until="observed_until")
        steps.keep("recorded once", _["repeat"] == 0, "same child and start; the latest end stays")
        steps.keep(
            "from the first year",
            _.period >= settings.first_year,
            f"started before April {settings.first_year}",
        )
        end = derive.data_end(records, settings)
        in_order = (_.start_date <= _.authorised_date) & (_.authorised_date <= end)
        complete = derive.completeness(steps.table, in_order)
        steps.keep("authorised", _.authorised_date.notnull(), "open: not authorised in the data")
        steps.keep("dates in order", in_order, f"authorised before the start, or after {end}")
        derive.keep_ages(steps, settings)
        timed = derive.add_working_days(
            steps.table,
            session,
            start="start_date",
            end="authorised_date",
            name="value",
            nation=settings.nation,
        )
        steps.go_on(session.table(timed))
        drop_outliers(steps, settings)
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
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


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(AssessmentDuration())
