"""The kinds of extract of the National Pupil Database, and the names of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Place(NamedTuple):
    """Where a column stands in its file, and the April-year that its suffix names."""

    number: int
    year: int | None


Header = Mapping[str, Place]
"""Columns of a file by name, upper case and without suffix."""


@dataclass(frozen=True)
class Kind:
    """One kind of extract.

    Attributes:
        name: Names its tables on the connection.
        label: As in a message.
        marks: Columns by which a file is known.
        day: The date that every row has.
        columns: The names a column goes by in extracts, the documented one first.
    """

    name: str
    label: str
    marks: tuple[str, ...]
    day: str
    columns: Mapping[str, tuple[str, ...]]

    def place(self, column: str, header: Header) -> Place | None:
        """Return where a column stands in a file with this header."""
        return next((header[n] for n in self.columns[column] if n in header), None)


_YEAR = ("CIN_ACADYR", "ACADYR", "CLA_ACADYR")
_CHILD = ("CIN_LACHILDID_ANON", "LACHILDID_ANON")
_UNIT = ("CIN_LA", "LA")
_BEFORE = ("CIN_LA_LGR",)
KINDS = (
    Kind(
        "assessments",
        "assessments",
        ("child", "start"),
        "start",
        {
            "unit": _UNIT,
            "unit_before": _BEFORE,
            "child": _CHILD,
            "year": _YEAR,
            "referral": ("CIN_REFERRALDATE",),
            "start": (
                "CIN_ASSESSMENTACTUALSTARTDATE",
                "ASSESSMENTACTUALSTARTDATE",
                "ASSESSMENT.START.DATE",
            ),
            "review": ("CIN_ASSESSMENTINTERNALREVIEWDATE", "ASSESSMENTINTERNALREVIEWDATE"),
            "authorised": (
                "CIN_ASSESSMENTAUTHORISATIONDATE",
                "ASSESSMENTAUTHORISATIONDATE",
                "ASSESSMENT.END.DATE",
            ),
        },
    ),
    Kind(
        "cin",
        "children in need",
        ("child", "referral"),
        "referral",
        {
            "unit": _UNIT,
            "unit_before": _BEFORE,
            "child": _CHILD,
            "year": _YEAR,
            "referral": ("CIN_REFERRALDATE",),
            "source": ("CIN_REFERRALSOURCE",),
            "need": ("CIN_PRIMARYNEEDCODE",),
            "nfa": ("CIN_REFERRALNFA",),
            "closure": ("CIN_CINCLOSUREDATE",),
            "reason": ("CIN_REASONFORCLOSURE",),
            "icpc": ("CIN_DATEOFINITIALCPC",),
            "plan_start": ("CIN_CPPSTARTDATE",),
            "plan_end": ("CIN_CPPENDDATE",),
            "category": ("CIN_INITIALCATEGORYOFABUSE", "CIN_CATEGORYOFABUSE"),
            "latest": ("CIN_LATESTCATEGORYOFABUSE",),
            "previous": ("CIN_NUMBEROFPREVIOUSCPP",),
            "birth": ("CIN_DOB", "CIN_PERSONBIRTHDATE"),
            "expected": ("CIN_EXPECTEDDOB", "CIN_EXPECTEDPERSONBIRTHDATE"),
            "sex": ("CIN_GENDER", "CIN_SEX"),
            "ethnicity": ("CIN_ETHNICITY",),
            "disability": ("CIN_DISABILITY",),
            "asylum": ("CIN_ASYLUMSEEKING",),
        },
    ),
    Kind(
        "episodes",
        "looked-after episodes",
        ("child", "start"),
        "start",
        {
            "unit": ("LA", "CLA_CLA_LA", "CLA_LA"),
            "unit_before": _BEFORE,
            "child": ("CHILD_LA_CODE_ANON", "CLA_CHILD_LA_CODE_ANON"),
            "year": _YEAR,
            "poc": ("POC_START", "CLA_POC_START"),
            "start": ("DATE_EPISODE_STARTED", "CLA_DATE_EPI_COMM"),
            "ceased": ("DATE_EPISODE_CEASED", "CLA_DATE_EPI_CEASED"),
            "reason_start": ("REASON_NEW_EPISODE", "CLA_REASON_NEW_EPISODE", "RNE"),
            "legal": ("LEGAL_STATUS", "CLA_LEGAL_STATUS"),
            "need": ("CIN", "CLA_CIN"),
            "placement": ("PLACEMENT", "CLA_PLACEMENT"),
            "provider": ("PLACEMENT_PROVIDER", "CLA_PLACEMENT_PROVIDER"),
            "reason_end": ("REASON_EPISODE_CEASED", "CLA_REASON_EPISODE_CEASED"),
            "sex": ("SEX", "CLA_SEX"),
            "ethnicity": ("ETHNIC_OR", "CLA_ETHNIC_OR"),
            "birth_year": ("DOB_YEAR", "CLA_DOB_YEAR"),
            "birth_month": ("DOB_MONTH", "CLA_DOB_MONTH"),
            "asylum": ("UASC_STATUS", "CLA_UASC_STATUS"),
        },
    ),
    Kind(
        "disabilities",
        "disabilities",
        ("child", "disability"),
        "",
        {
            "unit": _UNIT,
            "unit_before": _BEFORE,
            "child": _CHILD,
            "year": _YEAR,
            "disability": ("CIN_DISABILITY",),
        },
    ),
)
"""The kinds of extract, in the order in which a file is taken for one of them."""
