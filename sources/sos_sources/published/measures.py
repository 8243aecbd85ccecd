"""What the published statistics on children's services hold, under the names of all releases.

Names are compared without case, spaces and signs: ``Re_referrals_percent`` and
``rereferrals percent`` are one. A rate that a release gives as a count alone, as those of 2025 do,
is made of the count and the child population.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


def plain_name(name: str) -> str:
    """Return a column name for comparison: lower case, letters and digits alone.

    >>> plain_name("Re_referrals percent")
    'rereferralspercent'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


POPULATION = "child-population"


@dataclass(frozen=True)
class Measure:
    """One figure by authority and year.

    Attributes:
        name: What users type.
        label: In words, with the unit.
        columns: Names of its column, newest first, as :func:`plain_name` gives them.
        denominators: Names of the column of its denominator; the child population of the same year
            where :data:`POPULATION` stands.
        counts: Names of the column of its count, for releases that give no rate; it is divided by
            the child population.
        only: A column and the beginning of the text it must hold, where a file has one row a
            category.
        shift: April-year less the year in ``time_period``: -1, as a year is named by the March in
            which it ends; 0 for mid-year populations, which fall in the April-year of their name.
    """

    name: str
    label: str
    columns: tuple[str, ...]
    denominators: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    only: tuple[str, str] | None = None
    shift: int = -1

    @property
    def joinable(self) -> bool:
        """Whether the figure of several authorities is the mean of theirs, or their sum."""
        return bool(self.denominators) and not self.name.endswith("-median")


_PER_10000 = (POPULATION,)
_LOOKED_AFTER = ("populationestimate",)
_ASSESSMENTS = ("assessmentscompleted", "assessmentcompletedcount", "assessmentscompletedcount")
_REFERRALS = ("referralcount", "referrals", "numberofreferrals")

MEASURES: tuple[Measure, ...] = (
    Measure(
        "rereferral-rate",
        "referrals within 12 months of a previous referral, per cent of referrals",
        ("rereferralpercent", "rereferralspercent", "rereferralspercentage"),
        _REFERRALS,
    ),
    Measure(
        "referral-rate",
        "referrals per 10,000 children",
        ("referralrate", "referralsrate"),
        _PER_10000,
        _REFERRALS,
    ),
    Measure(
        "nfa-percent",
        "referrals closed with no further action, per cent of referrals",
        ("nofurtheractionpercent", "nofurtheractionpercentage", "nfapercent"),
        _REFERRALS,
    ),
    Measure(
        "not-in-need-percent",
        "referrals assessed as not in need, per cent of referrals",
        ("notinneedpercent", "notinneedpercentage"),
        _REFERRALS,
    ),
    Measure(
        "assessment-duration-median",
        "median duration of assessments, working days",
        ("mediandays", "assessmentdurationmedian", "medianduration"),
        _ASSESSMENTS,
    ),
    Measure(
        "assessment-rate",
        "assessments completed per 10,000 children",
        ("assessmentscompletedrate", "assessmentcompletedrate"),
        _PER_10000,
        _ASSESSMENTS,
    ),
    Measure(
        "section47-rate",
        "section 47 enquiries per 10,000 children",
        ("section47rate", "section47srate"),
        _PER_10000,
        ("section47", "section47s", "section47count"),
    ),
    Measure(
        "icpc-rate",
        "initial child protection conferences per 10,000 children",
        ("icpcrate", "icpcsrate"),
        _PER_10000,
        ("icpc", "icpcs", "icpccount"),
    ),
    Measure(
        "icpc-duration-median",
        "median working days from section 47 enquiry to initial conference",
        ("durationmedian", "icpcdurationmedian"),
        ("icpc", "icpccount"),
    ),
    Measure(
        "cpp-start-rate",
        "child protection plans starting per 10,000 children",
        ("cppstartrate",),
        _PER_10000,
        ("cppstart", "cppstartcount"),
    ),
    Measure(
        "cpp-rate",
        "child protection plans on 31 March per 10,000 children",
        ("cppat31rate", "cppat31marchrate"),
        _PER_10000,
        ("cppat31", "cppat31march", "cppat31count"),
    ),
    Measure(
        "cin-rate",
        "children in need on 31 March per 10,000 children",
        ("at31episodesrate", "at31marchepisodesrate"),
        _PER_10000,
        ("at31episodes", "at31marchepisodes", "at31episodescount"),
    ),
    Measure(
        "cla-rate",
        "children looked after on 31 March per 10,000 children",
        ("rateper10000",),
        _LOOKED_AFTER,
        only=("populationtype", "children looked after on 31 march"),
    ),
    Measure(
        "cla-start-rate",
        "children starting to be looked after per 10,000 children",
        ("rateper10000",),
        _LOOKED_AFTER,
        only=("populationtype", "children starting to be looked after"),
    ),
    Measure(
        "cla-end-rate",
        "children ceasing to be looked after per 10,000 children",
        ("rateper10000",),
        _LOOKED_AFTER,
        only=("populationtype", "children ceasing to be looked after"),
    ),
    Measure(
        POPULATION,
        "children aged 0 to 17, mid-year estimate",
        ("populationestimate",),
        only=("agegroup", "children aged 0 to 17"),
        shift=0,
    ),
)
"""Every measure that the source knows."""

TIME = ("timeperiod",)
KIND_OF_YEAR = ("timeidentifier",)
LEVEL = ("geographiclevel",)
AUTHORITY = ("oldlacode",)
AUTHORITY_NAME = ("laname",)
