"""What the published statistics on children's services hold, under the names of all releases.

Names are compared without case, spaces and signs: ``Re_referrals_percent`` and
``rereferrals percent`` are one. Authorities that were reorganised stand here too, with the first
April-year of their successors.
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
        only: A column and the beginning of the text it must hold, where a file has one row a
            category.
        shift: April-year less the year in ``time_period``: -1, as a year is named by the March in
            which it ends; 0 for mid-year populations, which fall in the April-year of their name.
    """

    name: str
    label: str
    columns: tuple[str, ...]
    denominators: tuple[str, ...] = ()
    only: tuple[str, str] | None = None
    shift: int = -1


_PER_10000 = (POPULATION,)
_LOOKED_AFTER = ("populationestimate",)
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
        ("assessmentscompleted", "assessmentcompletedcount", "assessmentscompletedcount"),
    ),
    Measure(
        "assessment-rate",
        "assessments completed per 10,000 children",
        ("assessmentscompletedrate", "assessmentcompletedrate"),
        _PER_10000,
    ),
    Measure(
        "section47-rate",
        "section 47 enquiries per 10,000 children",
        ("section47rate", "section47srate"),
        _PER_10000,
    ),
    Measure(
        "icpc-rate",
        "initial child protection conferences per 10,000 children",
        ("icpcrate", "icpcsrate"),
        _PER_10000,
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
    ),
    Measure(
        "cpp-rate",
        "child protection plans on 31 March per 10,000 children",
        ("cppat31rate", "cppat31marchrate"),
        _PER_10000,
    ),
    Measure(
        "cin-rate",
        "children in need on 31 March per 10,000 children",
        ("at31episodesrate", "at31marchepisodesrate"),
        _PER_10000,
    ),
    Measure(
        "cla-rate",
        "children looked after on 31 March per 10,000 children",
        ("rateper10000",),
        _LOOKED_AFTER,
        ("populationtype", "children looked after on 31 march"),
    ),
    Measure(
        "cla-start-rate",
        "children starting to be looked after per 10,000 children",
        ("rateper10000",),
        _LOOKED_AFTER,
        ("populationtype", "children starting to be looked after"),
    ),
    Measure(
        "cla-end-rate",
        "children ceasing to be looked after per 10,000 children",
        ("rateper10000",),
        _LOOKED_AFTER,
        ("populationtype", "children ceasing to be looked after"),
    ),
    Measure(
        POPULATION,
        "children aged 0 to 17, mid-year estimate",
        ("populationestimate",),
        (),
        ("agegroup", "children aged 0 to 17"),
        shift=0,
    ),
)
"""Every measure that the source knows."""

TIME = ("timeperiod",)
KIND_OF_YEAR = ("timeidentifier",)
LEVEL = ("geographiclevel",)
AUTHORITY = ("oldlacode",)
AUTHORITY_NAME = ("laname",)


@dataclass(frozen=True)
class Reorganisation:
    """Authorities that gave way to others on 1 April of ``year``.

    The published figures to March of ``year`` carry the old codes, later ones the new.
    """

    year: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    names: str


REORGANISATIONS: tuple[Reorganisation, ...] = (
    Reorganisation(
        2019,
        ("835", "836", "837"),
        ("838", "839"),
        "Dorset, Poole and Bournemouth: Dorset, and Bournemouth, Christchurch and Poole",
    ),
    Reorganisation(
        2021, ("928",), ("940", "941"), "Northamptonshire: North and West Northamptonshire"
    ),
    Reorganisation(
        2023, ("909",), ("942", "943"), "Cumbria: Cumberland, and Westmorland and Furness"
    ),
)
