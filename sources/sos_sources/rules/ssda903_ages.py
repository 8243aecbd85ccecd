"""Rules on the age of a child in care: too young or too old for what an episode says."""

from __future__ import annotations

from typing import Any

import ibis

from sos_plugins import RecordRule, Records, Session
from sos_plugins.authors.derive import april_year, completed_years
from sos_sources import codes
from sos_sources.rules.kinds import both, past, reached, younger
from sos_sources.rules.lookups import CHILD, joined, keys, with_birth, with_end
from sos_sources.rules.ssda903_numbers import CARE, CHILDREN, EPISODES

ADULT = 18
OLDEST_OF_RETURN = 25
YOUNGEST_ALONE = 11
_TOO_YOUNG = {
    "358": (
        "legal_status",
        ("J1", "J2", "J3"),
        "start_date",
        10,
        "A child under ten is looked after as an offender (J1, J2, J3).",
    ),
    "371": (
        "placement",
        ("H5", "K3"),
        "start_date",
        16,
        "A child under 16 is in supported accommodation (K3, before H5).",
    ),
    "372": (
        "placement",
        ("R5",),
        "start_date",
        10,
        "A child under ten is in custody (R5).",
    ),
    "373": (
        "placement",
        ("S1",),
        "start_date",
        4,
        "A child under four is placed in a residential school (S1).",
    ),
    "374": (
        "placement",
        ("P3",),
        "start_date",
        14,
        "A child under 14 is in residential employment (P3).",
    ),
    "387": (
        "reason_end",
        ("E5", "E6"),
        "end_date",
        14,
        "A child under 14 leaves care to live independently (E5, E6).",
    ),
    "389": (
        "reason_end",
        ("E7",),
        "end_date",
        16,
        "A child under 16 is passed on to services for adults (E7).",
    ),
    "460": (
        "reason_end",
        ("E17",),
        "end_date",
        ADULT,
        "A child under 18 is said to stay with its carers as an adult (E17).",
    ),
}
"""By rule: a column, its codes, the day on which age counts, the youngest age, and the sentence."""
_TOO_OLD = {
    "352": (
        "reason_start",
        (codes.STARTS_CARE,),
        "start_date",
        "Care starts (S) when the young person is 18 or older.",
    ),
    "386": (
        "reason_end",
        codes.ADOPTED,
        "end_date",
        "A young person of 18 or older is adopted (E11, E12).",
    ),
}
"""By rule: a column, its codes, the day on which age counts, and the sentence."""


def age_rules() -> tuple[RecordRule, ...]:
    """Return the rules, in the order of their numbers."""
    rules = (*_ages_at_events(), *_before_and_after(), *_children())
    return tuple(sorted(rules, key=lambda rule: rule.name))


def _ages_at_events() -> tuple[RecordRule, ...]:
    born: dict[str, Any] = {"adds": with_birth, "needs": (CHILDREN,)}
    young = (
        EPISODES.rule(
            number, CARE, (column, day), sentence, younger(years, day, {column: of}), **born
        )
        for number, (column, of, day, years, sentence) in _TOO_YOUNG.items()
    )
    old = (
        EPISODES.rule(
            number, CARE, (column, day), sentence, reached(ADULT, day, {column: of}), **born
        )
        for number, (column, of, day, sentence) in _TOO_OLD.items()
    )
    return (*young, *old)


def _before_and_after() -> tuple[RecordRule, ...]:
    born: dict[str, Any] = {"adds": with_birth, "needs": (CHILDREN,)}

    def adult_in_care(t: ibis.Table) -> Any:
        allowed = both({"legal_status": ("V2",), "placement": ("K2",)})(t).fill_null(False)
        return t["end_date"].isnull() & past(t, ADULT, "_end") & ~allowed

    return (
        EPISODES.rule(
            "302",
            CARE,
            ("start_date",),
            "The episode starts before the child was born.",
            lambda t: t["start_date"] < t["_birth_date"],
            **born,
        ),
        EPISODES.rule(
            "359",
            CARE,
            ("end_date", "legal_status", "placement"),
            "A young person of 18 or older is still looked after, and not by agreement in a home "
            "(V2 and K2).",
            adult_in_care,
            **born,
        ),
        EPISODES.rule(
            "407",
            CARE,
            ("reason_end", "end_date"),
            "A young person leaves to a special guardian (E45 to E48) after the 18th birthday.",
            lambda t: (
                t["reason_end"].isin(sorted(codes.SPECIAL_GUARDIANSHIP))
                & past(t, ADULT, "end_date")
            ),
            **born,
        ),
        EPISODES.rule(
            "370",
            CARE,
            ("placement", "start_date"),
            "A child under 16 lives independently (P2).",
            younger(16, "start_date", {"placement": ("P2",)}),
            note="Withdrawn with the code after the return of 2023-24.",
            **born,
        ),
    )


def _children() -> tuple[RecordRule, ...]:
    needs: dict[str, Any] = {"adds": with_last_care, "needs": (CARE,)}

    def too_old(t: ibis.Table) -> Any:
        return april_year(t["birth_date"]) + OLDEST_OF_RETURN < t["_last_year"]

    return (
        EPISODES.rule(
            "102",
            CHILDREN,
            ("birth_date",),
            "The birth date of a looked-after child is missing, or could not be read.",
            lambda t: t["birth_date"].isnull() & t["_in_care"],
            **needs,
        ),
        EPISODES.rule(
            "231",
            CHILDREN,
            ("uasc", "birth_date"),
            "An unaccompanied asylum-seeking child is younger than eleven.",
            lambda t: (
                t["uasc"]
                & t["_in_care"]
                & (completed_years(t["birth_date"], t["_last_end"]) < YOUNGEST_ALONE)
            ),
            query=True,
            note="Age counts at the end of the year in which the child was last looked after.",
            **needs,
        ),
        EPISODES.rule(
            "301",
            CHILDREN,
            ("birth_date",),
            "A looked-after child is born after the end of the records.",
            lambda t: (t["birth_date"] > t["_end"]) & t["_in_care"],
            **needs,
        ),
        EPISODES.rule(
            "351",
            CHILDREN,
            ("birth_date",),
            "The young person was older than 25 when the year in which care ended began.",
            too_old,
            note="Of a young person whose care goes on the last year of the records counts.",
            **needs,
        ),
    )


def with_last_care(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add whether a child is looked after at all, and what of its last day in care is needed.

    ``_in_care``; ``_last_year``, the April-year of its last day; ``_last_end``, the end of that
    year.
    """
    episodes = with_end(records.table(CARE), records, session)
    day = ibis.coalesce(episodes["end_date"], episodes["_end"], episodes["start_date"])
    last = episodes.group_by(**keys(episodes, *CHILD)).aggregate(_last_day=day.max())
    known = last.mutate(_cared_for=True, _last_year=april_year(last["_last_day"]))
    wide = with_end(joined(table, known, *CHILD), records, session)
    ends = ibis.date(wide["_last_year"].cast("int32") + 1, 3, 31)
    return wide.mutate(_in_care=wide["_cared_for"].fill_null(False), _last_end=ends)
