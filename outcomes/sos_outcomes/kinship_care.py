"""Kinship care: whether children who start a period of care go to relatives or friends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import ibis
from ibis import _
from pydantic import Field, model_validator

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, hookimpl
from sos_plugins.authors import derive

STRICT = {
    "kinship_placements": ("U1", "U2", "U3", "Q1", "F1", "F4"),
    "kinship_exits": ("E45", "E47"),
}
WWCSC_2021 = {
    "kinship_placements": (*STRICT["kinship_placements"], "P1"),
    "kinship_exits": (*STRICT["kinship_exits"], "E41", "E43", "E44", "E13", "E4", "E4A"),
}
DEFINITIONS = {"strict": STRICT, "wwcsc-2021": WWCSC_2021}


class KinshipCareSettings(derive.FollowUpSettings):
    """Settings of the outcome."""

    definition: Literal["strict", "wwcsc-2021"] = Field(
        "strict",
        description="Gives the two code lists that are not set otherwise. strict: relatives and "
        "friends. wwcsc-2021: also own parents (P1), returned home (E4A) and orders that may go "
        "to others.",
    )
    kinship_placements: tuple[str, ...] = Field(
        STRICT["kinship_placements"], description="Placement codes (PLACE) that are kinship care."
    )
    kinship_exits: tuple[str, ...] = Field(
        STRICT["kinship_exits"], description="Reasons to cease (REC) that are exits to relatives."
    )
    legal_statuses: tuple[str, ...] = Field(
        ("C1", "C2"), description="Legal statuses (LS) of the first episode: care orders."
    )
    start_reasons: tuple[str, ...] = Field(
        ("S",),
        description="Reasons (RNE) with which a period of care starts; a period whose first "
        "episode has another began outside the data.",
    )
    covariates: tuple[derive.Covariate, ...] = Field(
        ("age_band", "sex", "ethnic_group", "disabled", "uasc", "previous_plan"),
        description="Covariates of the child, as for the other outcomes, and 'uasc', which is "
        "known of every looked-after child.",
    )
    window_days: int = Field(
        365, ge=0, description="Placements and exits count up to this day after care starts."
    )

    @model_validator(mode="before")
    @classmethod
    def _code_lists(cls, values: Any) -> Any:
        """Fill in the code lists of the definition; a list that is set by name wins."""
        if isinstance(values, Mapping) and values.get("definition") in DEFINITIONS:
            return {**DEFINITIONS[values["definition"]], **values}
        return values


class KinshipCare(Outcome):
    """Whether a kinship placement or an exit to relatives comes within 365 days of entering care.

    Population: periods of care that start under a care order (C1 or C2). A period is one case,
    however many episodes and years it spans; a later period of the same child is another case.
    """

    name = "kinship-care"
    label = "Kinship care within 365 days of entering care under a care order"
    needs = ("episodes", "children")
    Settings = KinshipCareSettings
    citation = "What Works for Children's Social Care (2021), Signs of Safety evaluation"
    definitions: ClassVar = {
        name: {"definition": name, **codes} for name, codes in DEFINITIONS.items()
    }

    def info(self, settings: KinshipCareSettings) -> OutcomeInfo:
        """Describe the outcome."""
        return OutcomeInfo(
            name=self.name,
            label="Kinship rather than other care",
            phrase="kinship care",
            question="What, if any, is the impact on the likelihood of a child receiving kinship "
            "care instead of non-kinship care?",
            binary=True,
            measure="proportion",
            expected="increase",
            measured_after=derive.measured_after(settings),
            each="children",
        )

    def derive(self, records: Records, settings: KinshipCareSettings, session: Session) -> Cases:
        """Derive the cases."""
        table = with_kinship(records.table("episodes"), settings).mutate(
            date=_.start_date,
            follow_up_end=derive.add_days(_.start_date, settings.followed_days),
            period=derive.april_year(_.start_date),
        )
        table = derive.add_child(table, records, settings, session=session)
        steps = derive.Attrition(session.table(table), "periods of care", "all in the records")
        derive.keep_observed(steps, records, settings)
        steps.keep("numbered", _.period_of_care.notnull(), "episodes of no numbered period")
        steps.keep(
            "start in the data",
            _.reason_start.isnull() | _.reason_start.isin(settings.start_reasons),
            "the first recorded episode does not start a period of care",
        )
        known = _.legal_status.notnull() & _.placement.notnull()
        complete = derive.completeness(steps.table, known)
        steps.keep("status and placement known", known, "no legal status or placement at start")
        steps.keep(
            "care order",
            _.legal_status.isin(settings.legal_statuses),
            f"legal status at start not {' or '.join(settings.legal_statuses)}",
        )
        derive.keep_ages(steps, settings)
        return derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=settings.covariates,
            completeness=complete,
        )


def with_kinship(episodes: ibis.Table, settings: KinshipCareSettings) -> ibis.Table:
    """Return the periods of care with ``value``: 1 if any of their episodes is kinship in time."""
    key = ["unit", "child", "period_of_care"]
    periods = derive.periods_of_care(episodes)
    starts = periods.select(*key, _start="start_date")
    joined = episodes.inner_join(starts, key)
    last = derive.add_days(joined["_start"], settings.window_days)
    placed = joined.placement.isin(settings.kinship_placements) & (joined.start_date <= last)
    left = joined.reason_end.isin(settings.kinship_exits) & (joined.end_date <= last)
    kinship = (placed.fill_null(False) | left.fill_null(False)).cast("float64")
    values = joined.mutate(_kinship=kinship).group_by(key).aggregate(value=_._kinship.max())
    return periods.left_join(values, key).drop(*(f"{c}_right" for c in key))


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(KinshipCare())
