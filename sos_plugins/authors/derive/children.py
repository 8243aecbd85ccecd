"""What is known of the child: settings and covariates of every child-level outcome."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import ibis
from pydantic import Field, field_validator

from sos_plugins.authors.derive.dates import completed_years
from sos_plugins.contract.session import Session
from sos_plugins.contract.settings import KEEPS_MISSING_NUMBERS, Settings
from sos_plugins.contract.types import Records

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

ENOUGH_PLANS = 10
"""Numbers of previous plans from which on it tells that none of them is 0: about four plans of five
are a child's first, so that ten without one happen by chance once in ten million authorities."""

MEASURED_AFTER = ("disabled", "uasc", "previous_plan")
"""Covariates that may be recorded, or come about, after the case began or a programme did."""

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
        description="Covariates of the child; 'age' leaves out cases of unknown age (see "
        "missing_numbers), and "
        "'previous_plan' is there only if the records have protection plans. 'uasc' is known of "
        "looked-after children only: among referred children it tells who came into care later.",
    )
    missing_numbers: Literal["drop", "keep"] = Field(
        "drop",
        json_schema_extra=KEEPS_MISSING_NUMBERS,
        description="Whether cases of unknown age are left out where 'age' is a covariate; a study "
        "with [imputation] keeps them unless told otherwise.",
    )
    plan_counts: Literal["auto", "before", "itself", "unused"] = Field(
        "auto",
        description="What the number of previous plans of a protection plan (NumberOfPreviousCPP) "
        "counts: the plans before it, or the plan itself too. A child with more plans before than "
        "the records have is one with a previous plan. auto: an authority with ten such numbers "
        "or more, none of them 0, counts the plan itself, since the schemas of the census admit "
        "no 0; all others count the plans before. unused: only plans in the records tell.",
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


def measured_after(settings: ChildSettings) -> tuple[str, ...]:
    """Return the covariates of the settings that ``OutcomeInfo.measured_after`` must name.

    ``disabled`` and ``uasc`` are as the last return has them. ``previous_plan`` may be known from a
    later plan, and in cases after adoption the earlier plan may be one that the programme made.

    Args:
        settings: The settings of the outcome; its ``covariates`` count.
    """
    return tuple(name for name in settings.covariates if name in MEASURED_AFTER)


def yes_no(condition: Any) -> Any:
    """Write a condition as the text "yes", "no" or, where it is null, "Missing".

    Args:
        condition: Boolean Ibis expression.

    Returns:
        Text expression that is never null.
    """
    return ibis.cases((condition.isnull(), MISSING), (condition, "yes"), else_="no")


def ethnic_group(code: Any, groups: Mapping[str, str] = ETHNIC_GROUPS) -> Any:
    """Return the ethnic group of a census code; "Missing" for null and for an unknown code.

    Args:
        code: Text expression, the census code in capitals or not: WBRI, MWBC, ...
        groups: Group by code or the beginning of one; the longest that fits counts.

    Returns:
        Text expression that is never null.
    """
    longest_first = sorted(groups, key=len, reverse=True)
    branches = [(code.upper().startswith(start), groups[start]) for start in longest_first]
    return ibis.cases(*branches, else_=MISSING)


def age_band(age: Any, cuts: Sequence[float]) -> Any:
    """Return the age band of an age in completed years, as text.

    Cuts at 0, 4.5, 12.5 and 18 give "unborn" (below 0), "0 to 4", "5 to 12", "13 to 17" and
    "18 and over"; "Missing" for null.

    Args:
        age: Number expression, the age in completed years; -1 is unborn.
        cuts: Ages in years at which a new band begins, rising.

    Returns:
        Text expression that is never null.
    """
    whole = [math.ceil(cut) for cut in cuts]
    below = "unborn" if whole[0] == 0 else f"under {whole[0]}"
    names = [below, *(f"{a} to {b - 1}" for a, b in itertools.pairwise(whole))]
    branches = [(age < cut, name) for cut, name in zip(whole, names, strict=True)]
    return ibis.cases((age.isnull(), MISSING), *branches, else_=f"{whole[-1]} and over")


def add_child(
    table: ibis.Table,
    records: Records,
    settings: ChildSettings,
    *,
    date: str = "date",
    session: Session | None = None,
) -> ibis.Table:
    """Add what is known of the child at ``date``: the covariates of :data:`Covariate`.

    ``age`` is in completed years (-1: unborn), null if unknown; all others are text with the level
    "Missing". ``previous_plan`` is "yes" when a child protection plan of the child started before
    the date, or a plan says that the child had more plans before than the records have
    (``plan_counts``). Records without the table ``protection_plans`` give no such column.

    Args:
        table: Table with ``unit``, ``child`` and the column ``date``.
        records: Records with the table ``children`` and, it may be, ``protection_plans``.
        settings: How ages, ethnic groups and numbers of plans are read.
        date: Column of ``table`` at whose date the child is described.
        session: Where what is known of the children is computed once for all outcomes; it is
            computed anew unless given.

    Returns:
        The table with the columns added, one row for each of its rows.

    Raises:
        DataError: If the records have no table ``children``.
    """
    facts = _facts(records, settings)
    if session is not None:
        known = facts
        facts = session.once("children", known.op(), lambda: known)
    joined = table.left_join(facts, [table.unit == facts["_unit"], table.child == facts["_child"]])
    age = completed_years(joined["_born"], joined[date])
    joined = joined.mutate(
        age=age,
        age_band=age_band(age, settings.age_cuts),
        **{name: joined[name].fill_null(MISSING) for name in _OF_THE_CHILD},
    )
    if "protection_plans" in records.tables:
        before = (joined["_first_plan"] < joined[date]).fill_null(False)
        before |= joined["_unrecorded_plan"].fill_null(False)
        joined = joined.mutate(previous_plan=ibis.ifelse(before, "yes", "no"))
        joined = joined.drop("_first_plan", "_unrecorded_plan")
    return joined.drop("_unit", "_child", "_born")


_OF_THE_CHILD = ("sex", "ethnic_group", "disabled", "uasc")


def _facts(records: Records, settings: ChildSettings) -> ibis.Table:
    """Return one row a child with what does not depend on the date of a case."""
    children = records.table("children")
    columns = ["birth_date", "expected_birth_date", "sex", "ethnicity", "disabled", "uasc"]
    # A child is one row; were there two, a case must still count once.
    once = children.group_by(_unit=children.unit, _child=children.child).aggregate(
        **{fact: children[fact].max() for fact in columns}
    )
    facts = once.select(
        "_unit",
        "_child",
        "sex",
        _born=ibis.coalesce(once.birth_date, once.expected_birth_date),
        ethnic_group=ethnic_group(once.ethnicity, settings.ethnic_groups),
        disabled=yes_no(once.disabled),
        uasc=yes_no(once.uasc),
    )
    if "protection_plans" not in records.tables:
        return facts
    first = _plans_of_children(records.table("protection_plans"), settings)
    # A child of whom nothing is known but the plan has a row too.
    same = [facts["_unit"] == first["_of_unit"], facts["_child"] == first["_of_child"]]
    both = facts.outer_join(first, same)
    keys = {
        "_unit": ibis.coalesce(both["_unit"], both["_of_unit"]),
        "_child": ibis.coalesce(both["_child"], both["_of_child"]),
    }
    return both.mutate(**keys).drop("_of_unit", "_of_child")


def _plans_of_children(plans: ibis.Table, settings: ChildSettings) -> ibis.Table:
    """Return, one row a child, the first plan and whether there were plans before the records.

    A plan that counts more earlier plans than the records have tells of one that they lack. Where
    the records have all from their first day on, it lies before that day, and so before each case.
    """
    starts = plans.group_by(["unit", "child", "start_date"]).aggregate(_n=plans.n_previous.max())
    starts = starts.filter(starts.start_date.notnull())
    per_child = ibis.window(group_by=["unit", "child"], order_by=starts.start_date)
    starts = starts.mutate(_recorded=ibis.row_number().over(per_child))
    unrecorded: Any = ibis.literal(False)
    if settings.plan_counts != "unused":
        unrecorded = starts["_n"] - _itself(starts, settings) > starts["_recorded"]
    starts = starts.mutate(_more=unrecorded.fill_null(False).cast("int64"))
    return starts.group_by(_of_unit=starts.unit, _of_child=starts.child).aggregate(
        _first_plan=starts.start_date.min(), _unrecorded_plan=starts["_more"].max() > 0
    )


def _itself(starts: ibis.Table, settings: ChildSettings) -> Any:
    """Return 1 where the number of previous plans counts the plan itself, else 0."""
    if settings.plan_counts != "auto":
        return ibis.literal(int(settings.plan_counts == "itself"))
    unit = ibis.window(group_by="unit")
    counts, least = starts["_n"].count().over(unit), starts["_n"].min().over(unit)
    return ((counts >= ENOUGH_PLANS) & (least > 0)).cast("int64")
