"""Published figures by authority and year as outcomes: one case an authority and year."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import ibis
import pandas as pd
from ibis import _
from pydantic import Field, field_validator, model_validator

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, Settings, hookimpl
from sos_plugins.authors import derive
from sos_plugins.contract.types import Expected
from sos_plugins.errors import DataError, listing
from sos_plugins.tables.period_codes import whole_period


class PublishedSettings(Settings):
    """Settings of the outcomes."""

    first_period: int | None = Field(
        None, description="First April-year used; none: the first that is published."
    )
    last_period: int | None = Field(
        None, description="Last April-year used; none: the last that is published."
    )
    complete_panel: bool = Field(
        True, description="Keep only authorities with a figure in every year of the range."
    )

    _as_records = field_validator("first_period", "last_period", mode="before")(whole_period)

    @model_validator(mode="after")
    def _ordered(self) -> PublishedSettings:
        first, last = self.first_period, self.last_period
        if first is not None and last is not None and last < first:
            raise ValueError(f"last_period {last} is before first_period {first}")
        return self


@dataclass(frozen=True)
class Measure:
    """A published measure: its name in the table ``published``, and how to read it."""

    name: str
    label: str
    phrase: str
    unit: str
    expected: Expected
    expected_note: str = ""


class PublishedMeasure(Outcome):
    """A published figure, as it stands. Without dates: embedding windows work on whole years."""

    needs = ("published",)
    Settings = PublishedSettings
    measure: ClassVar[Measure]

    def info(self, settings: PublishedSettings) -> OutcomeInfo:
        """Describe the outcome."""
        return OutcomeInfo(
            name=self.name,
            label=self.measure.label,
            phrase=self.measure.phrase,
            question=f"What, if any, is the impact on the published {self.measure.phrase}?",
            binary=False,
            measure=self.measure.unit,
            expected=self.measure.expected,
            expected_note=self.measure.expected_note,
        )

    def derive(self, records: Records, settings: PublishedSettings, session: Session) -> Cases:
        """Take the figures of the measure.

        Raises:
            DataError: If the measure is not in the records or an authority has two figures for one
                year.
        """
        published = records.table("published")
        rows = published.filter(published.measure == self.measure.name)
        first, last = _range(rows, published, self.measure.name, settings)
        n_years = rows.filter(_.value.notnull() & _.period.between(first, last))
        complete = n_years.group_by("unit").aggregate(_years=_.period.nunique())
        table = rows.left_join(complete, "unit").drop("unit_right")
        table = table.mutate(
            id=_.unit,
            child=ibis.null("string"),
            date=ibis.null("date"),
            follow_up_end=ibis.null("date"),
        )
        steps = derive.Attrition(session.table(table), f"figures of {self.measure.name}", "all")
        steps.keep("in the range", _.period.between(first, last), f"not from {first} to {last}")
        completeness = derive.completeness(steps.table, _.value.notnull())
        steps.keep("published", _.value.notnull(), "not published: a symbol stands for the figure")
        if settings.complete_panel:
            steps.keep(
                "authority complete",
                _["_years"] == last - first + 1,
                f"authorities without a figure in every year from {first} to {last}",
            )
        _demand_one(steps.table, self.measure.name)
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=(),
            completeness=completeness,
            extra=("unit_name", "denominator", "id"),
        )


def _range(
    rows: ibis.Table, published: ibis.Table, measure: str, settings: PublishedSettings
) -> tuple[int, int]:
    """Return the first and last year: those set, or those published."""
    span = rows.filter(_.value.notnull()).aggregate(first=_.period.min(), last=_.period.max())
    first, last = span.to_pandas().iloc[0]
    if pd.isna(first):
        names = published.measure.as_table().distinct().to_pandas()["measure"].dropna()
        raise DataError(
            f"The published figures have no measure '{measure}'. Measures: {listing(names)}."
        )
    return (
        int(first) if settings.first_period is None else settings.first_period,
        int(last) if settings.last_period is None else settings.last_period,
    )


def _demand_one(table: ibis.Table, measure: str) -> None:
    counted = table.group_by(["unit", "period"]).aggregate(n=_.count())
    twice = counted.filter(_.n > 1).order_by(["unit", "period"]).limit(1).to_pandas()
    if len(twice):
        row = twice.iloc[0]
        raise DataError(
            f"Authority {row['unit']} has {row['n']} figures of {measure} for {row['period']}; one "
            "is expected. Read each release of the statistics once."
        )


class RereferralRate(PublishedMeasure):
    """Share of referrals within 12 months of a previous referral."""

    name = "published-rereferral-rate"
    label = "Re-referrals within 12 months, per cent of referrals (published)"
    measure = Measure(
        name="rereferral-rate",
        label="Re-referral rate",
        phrase="re-referral rate",
        unit="percentage points",
        expected="decrease",
    )


class IcpcRate(PublishedMeasure):
    """Initial child protection conferences per 10,000 children."""

    name = "published-icpc-rate"
    label = "Initial child protection conferences per 10,000 children (published)"
    measure = Measure(
        name="icpc-rate",
        label="Rate of initial child protection conferences",
        phrase="rate of initial child protection conferences",
        unit="per 10,000 children",
        expected="decrease",
    )


class AssessmentDurationMedian(PublishedMeasure):
    """Median duration of assessments."""

    name = "published-assessment-duration"
    label = "Median duration of assessments in working days (published)"
    measure = Measure(
        name="assessment-duration-median",
        label="Median duration of assessments",
        phrase="median assessment duration",
        unit="working days",
        expected="unclear",
        expected_note="shorter is better if quality holds",
    )


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcomes."""
    for outcome in (RereferralRate(), IcpcRate(), AssessmentDurationMedian()):
        register(outcome)
