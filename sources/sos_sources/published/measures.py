"""What the published statistics on children's services hold, by what their columns mean.

Names are compared by meaning (:mod:`sos_sources.published.meanings`), so that one name of each
meaning stands here. A rate that a release gives as a count alone, as those of 2025 do, is made of
the count and the child population.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from sos_sources.published.meanings import Meaning, meanings

POPULATION = "child-population"
CHILDREN_IN_NEED = "Children in need"
CHILDREN_LOOKED_AFTER = "Children looked after"
POPULATION_ESTIMATES = "Mid-year population estimates"


def plain_name(name: str) -> str:
    """Return a name of fixed form, such as SN1, for comparison: lower case letters and digits.

    >>> plain_name("SN_1P")
    'sn1p'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


@dataclass(frozen=True)
class Category:
    """Which rows of a file with one row a category are meant.

    Attributes:
        columns: Meanings of the column of the category.
        text: Pattern that the text there begins with, in lower case.
    """

    columns: tuple[Meaning, ...]
    text: str


@dataclass(frozen=True)
class Measure:
    """One figure by authority and year.

    Attributes:
        name: What users type.
        label: In words, with the unit.
        collection: The statistics that publish it.
        columns: A name of its column for each meaning that says it without the rest of the file.
        bare: Names that say it only in a file with its denominator and that of no other measure
            with such names: a median of days.
        denominators: Names of the column of its denominator; the child population of the same year
            where :data:`POPULATION` stands.
        counts: Names of the column of its count, for releases that give no rate; it is divided by
            the child population.
        only: Which rows are meant, where a file has one row a category.
        shift: April-year less the year in ``time_period``: -1, as a year is named by the March in
            which it ends; 0 for mid-year populations, which fall in the April-year of their name.
    """

    name: str
    label: str
    columns: tuple[str, ...]
    denominators: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    only: Category | None = None
    shift: int = -1
    collection: str = CHILDREN_IN_NEED

    @property
    def joinable(self) -> bool:
        """Whether the figure of several authorities is the mean of theirs, or their sum."""
        return bool(self.denominators) and not self.name.endswith("-median")

    def figures(self, header: Collection[Meaning]) -> tuple[Meaning, ...]:
        """Return the meanings of its figure in a file whose columns mean this."""
        others = [m for m in MEASURES if m.bare and m.denominators != self.denominators]
        alone = _beside(self, header) and not any(_beside(m, header) for m in others)
        return meanings(*self.columns, *(self.bare if alone else ()))


def _beside(measure: Measure, header: Collection[Meaning]) -> bool:
    return any(one in header for one in meanings(*measure.denominators))


_PER_10000 = (POPULATION,)
_CHILDREN = ("population_estimate", "population", "child_population", "child_population_estimate")
_ASSESSMENTS = ("assessments_completed",)
_REFERRALS = ("referral_count",)
_CONFERENCES = ("icpc_count",)
_POPULATION_TYPE = meanings("population_type", "cla_group", "population_group", "category")


def _looked_after(which: str) -> Category:
    return Category(_POPULATION_TYPE, rf"(children looked after|children|cla) {which}")


MEASURES: tuple[Measure, ...] = (
    Measure(
        "rereferral-rate",
        "referrals within 12 months of a previous referral, per cent of referrals",
        ("rereferral_percent", "rereferral_percent_of_referrals"),
        _REFERRALS,
    ),
    Measure(
        "referral-rate",
        "referrals per 10,000 children",
        ("referral_rate",),
        _PER_10000,
        _REFERRALS,
    ),
    Measure(
        "nfa-percent",
        "referrals closed with no further action, per cent of referrals",
        ("no_further_action_percent", "referral_no_further_action_percent"),
        _REFERRALS,
    ),
    Measure(
        "not-in-need-percent",
        "referrals assessed as not in need, per cent of referrals",
        ("not_in_need_percent", "referral_not_in_need_percent"),
        _REFERRALS,
    ),
    Measure(
        "assessment-duration-median",
        "median duration of assessments, working days",
        (
            "assessment_median",
            "assessment_median_days",
            "assessment_duration_median",
            "assessment_duration_median_days",
        ),
        _ASSESSMENTS,
        bare=("median_days", "duration_median", "duration_median_days"),
    ),
    Measure(
        "assessment-rate",
        "assessments completed per 10,000 children",
        ("assessments_completed_rate",),
        _PER_10000,
        _ASSESSMENTS,
    ),
    Measure(
        "section47-rate",
        "section 47 enquiries per 10,000 children",
        ("section47_rate",),
        _PER_10000,
        ("section47_count",),
    ),
    Measure(
        "icpc-rate",
        "initial child protection conferences per 10,000 children",
        ("icpc_rate",),
        _PER_10000,
        _CONFERENCES,
    ),
    Measure(
        "icpc-duration-median",
        "median working days from section 47 enquiry to initial conference",
        ("icpc_median", "icpc_median_days", "icpc_duration_median", "icpc_duration_median_days"),
        _CONFERENCES,
        bare=("median_days", "duration_median", "duration_median_days"),
    ),
    Measure(
        "cpp-start-rate",
        "child protection plans starting per 10,000 children",
        ("cpp_start_rate",),
        _PER_10000,
        ("cpp_start_count",),
    ),
    Measure(
        "cpp-rate",
        "child protection plans on 31 March per 10,000 children",
        ("cpp_at_31_march_rate",),
        _PER_10000,
        ("cpp_at_31_march_count",),
    ),
    Measure(
        "cin-rate",
        "children in need on 31 March per 10,000 children",
        ("at_31_march_episodes_rate", "cin_at_31_march_episodes_rate", "cin_at_31_march_rate"),
        _PER_10000,
        ("at_31_march_episodes", "cin_at_31_march_episodes", "cin_at_31_march"),
    ),
    Measure(
        "cla-rate",
        "children looked after on 31 March per 10,000 children",
        ("rate_per_10000", "cla_rate_per_10000"),
        _CHILDREN,
        only=_looked_after("(on|at|as at) 31 march"),
        collection=CHILDREN_LOOKED_AFTER,
    ),
    Measure(
        "cla-start-rate",
        "children starting to be looked after per 10,000 children",
        ("rate_per_10000", "cla_rate_per_10000"),
        _CHILDREN,
        only=_looked_after("(starting|who started) to be looked after"),
        collection=CHILDREN_LOOKED_AFTER,
    ),
    Measure(
        "cla-end-rate",
        "children ceasing to be looked after per 10,000 children",
        ("rate_per_10000", "cla_rate_per_10000"),
        _CHILDREN,
        only=_looked_after("(ceasing|who ceased) to be looked after"),
        collection=CHILDREN_LOOKED_AFTER,
    ),
    Measure(
        POPULATION,
        "children aged 0 to 17, mid-year estimate",
        _CHILDREN,
        only=Category(meanings("age_group", "age"), "(children )?(aged )?0 to 17"),
        collection=POPULATION_ESTIMATES,
        shift=0,
    ),
)
"""Every measure that the source knows."""

TIME = meanings("time_period")
KIND_OF_YEAR = meanings("time_identifier")
LEVEL = meanings("geographic_level")
AUTHORITY = meanings("old_la_code")
AUTHORITY_NAME = meanings("la_name", "la")
