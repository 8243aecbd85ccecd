"""What is known of the child: settings and covariates of every child-level outcome."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import ibis
from pydantic import Field, field_validator

from sos_plugins.derive.dates import completed_years
from sos_plugins.derive.events import event_in_window
from sos_plugins.settings import Settings
from sos_plugins.types import Records

MISSING = "Missing"
"""Level of a text covariate where the records say nothing."""

ETHNIC_GROUPS = {
    "W": "White",
    "M": "Mixed",
    "A": "Asian",
    "B": "Black",
    "C": "Chinese",
    "O": "Other",
    "REFU": "Refused or not obtained",
    "NOBT": "Refused or not obtained",
}
"""Ethnic group by census code or the beginning of one."""

Covariate = Literal["age", "age_band", "sex", "ethnic_group", "disabled", "uasc", "previous_plan"]


class ChildSettings(Settings):
    """Settings that every outcome with one row a child has."""

    min_age: int = Field(
        -1, description="Youngest age in completed years at the date; -1 lets unborn children in."
    )
    max_age: int = Field(17, description="Oldest age in completed years at the date.")
    age_cuts: tuple[float, ...] = Field(
        (0, 4.5, 12.5, 18), description="Ages in completed years at which a new age band begins."
    )
    ethnic_groups: Mapping[str, str] = Field(
        ETHNIC_GROUPS,
        description="Ethnic group by census code or the beginning of one; the longest fit counts.",
    )
    covariates: tuple[Covariate, ...] = Field(
        ("age_band", "sex", "ethnic_group", "disabled", "previous_plan"),
        description="Covariates of the child; 'age' leaves out cases of unknown age, and "
        "'previous_plan' is there only if the records have protection plans. 'uasc' is known of "
        "looked-after children only: among referred children it tells who came into care later.",
    )
    entered_in_data: bool = Field(
        True,
        description="Leave out cases dated before the records start: only those that stayed open "
        "are in the records at all.",
    )
    data_end: dt.date | None = Field(
        None, description="Last day the records cover, where the source does not say."
    )

    @field_validator("age_cuts")
    @classmethod
    def _cuts_rise(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if not cuts or list(cuts) != sorted(set(cuts)):
            raise ValueError("give at least one age, each higher than the one before")
        return cuts


def yes_no(condition: Any) -> Any:
    """Write a condition as the text "yes", "no" or, where it is null, "Missing"."""
    return ibis.cases((condition.isnull(), MISSING), (condition, "yes"), else_="no")


def ethnic_group(code: Any, groups: Mapping[str, str] = ETHNIC_GROUPS) -> Any:
    """Return the ethnic group of a census code; "Missing" for null and for an unknown code."""
    longest_first = sorted(groups, key=len, reverse=True)
    branches = [(code.upper().startswith(start), groups[start]) for start in longest_first]
    return ibis.cases(*branches, else_=MISSING)


def age_band(age: Any, cuts: Sequence[float]) -> Any:
    """Return the age band of an age in completed years, as text.

    Cuts at 0, 4.5, 12.5 and 18 give "unborn" (below 0), "0 to 4", "5 to 12", "13 to 17" and
    "18 and over"; "Missing" for null.
    """
    whole = [math.ceil(cut) for cut in cuts]
    below = "unborn" if whole[0] == 0 else f"under {whole[0]}"
    names = [below, *(f"{a} to {b - 1}" for a, b in itertools.pairwise(whole))]
    branches = [(age < cut, name) for cut, name in zip(whole, names, strict=True)]
    return ibis.cases((age.isnull(), MISSING), *branches, else_=f"{whole[-1]} and over")


def add_child(
    table: ibis.Table, records: Records, settings: ChildSettings, *, date: str = "date"
) -> ibis.Table:
    """Add what is known of the child at ``date``: the covariates of :data:`Covariate`.

    ``age`` is in completed years (-1: unborn), null if unknown; all others are text with the level
    "Missing". ``previous_plan`` is "yes" when a child protection plan of the child started before
    the date. Records without the table ``protection_plans`` give no such column.
    """
    children = records.table("children")
    facts = ["birth_date", "expected_birth_date", "sex", "ethnicity", "disabled", "uasc"]
    # A child is one row; were there two, a case must still count once.
    once = children.group_by(_unit=children.unit, _child=children.child).aggregate(
        **{fact: children[fact].max() for fact in facts}
    )
    joined = table.left_join(once, [table.unit == once["_unit"], table.child == once["_child"]])
    born = ibis.coalesce(joined.birth_date, joined.expected_birth_date)
    joined = joined.mutate(age=completed_years(born, joined[date]))
    joined = joined.mutate(
        age_band=age_band(joined.age, settings.age_cuts),
        sex=joined.sex.fill_null(MISSING),
        ethnic_group=ethnic_group(joined.ethnicity, settings.ethnic_groups),
        disabled=yes_no(joined.disabled),
        uasc=yes_no(joined.uasc),
    ).drop("_unit", "_child", "birth_date", "expected_birth_date", "ethnicity")
    if "protection_plans" not in records.tables:
        return joined
    plans = records.table("protection_plans")
    joined = event_in_window(
        joined, plans, event="start_date", name="_plan", date=date, from_day=None, to_day=-1
    )
    return joined.mutate(previous_plan=ibis.ifelse(joined["_plan"].notnull(), "yes", "no")).drop(
        "_plan"
    )
