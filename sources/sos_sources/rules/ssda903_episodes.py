"""Rules on one episode of care: codes that do not go together, and what lasts too long."""

from __future__ import annotations

import datetime as dt
from functools import reduce
from operator import or_
from typing import Any

import ibis

from sos_plugins import RecordRule, Records, Session
from sos_sources import codes
from sos_sources.rules.kinds import (
    after_the_end,
    both,
    empty_for,
    filled_for,
    longer,
    same_day,
    without,
)
from sos_sources.rules.lookups import with_end
from sos_sources.rules.ssda903_numbers import CARE, EPISODES

FIRST_DAY = dt.date(1991, 10, 14)
"""The day on which the Children Act 1989 came into force."""
FIRST_PLACEMENT_ORDER = dt.date(2005, 12, 1)
FIRST_YEAR_OF_PROVIDERS = 2014
RESPITE = ("V3", "V4")
"""Legal statuses of an agreed series of short breaks."""
FORBIDDEN_PROVIDERS = {
    "527": ("PR1", ("P1", "R2", "R5")),
    "528": ("PR2", ("P1", "R2", "R5")),
    "529": ("PR3", ("P1", "K1", "K2", "U1", "U2", "U3", "U4", "U5", "U6", "A3", "A4", "A5", "A6")),
    "530": ("PR4", ("P1",)),
    "531": ("PR5", ("P1",)),
}
"""By rule: a provider, and the placements that are none of its own."""
LONGEST_TEMPORARY = {"375": ("T1", 42), "376": ("T3", 21), "379": ("T4", 7)}
"""By rule: a temporary placement, and the days that it may last."""
_SAYS = {
    "527": "The authority itself (PR1) is said to provide a placement with parents, in residential "
    "care or in custody.",
    "528": "Another authority (PR2) is said to provide a placement with parents, in residential "
    "care or in custody.",
    "529": "Another public body (PR3) is said to provide a placement with parents, in a home or in "
    "a family.",
    "530": "A private body (PR4) is said to provide a placement with parents.",
    "531": "A voluntary body (PR5) is said to provide a placement with parents.",
    "375": "A stay in hospital that is coded as temporary (T1) lasts more than six weeks.",
    "376": "A temporary placement during a holiday of the carer (T3) lasts more than three weeks.",
    "379": "A temporary placement for another reason (T4) lasts more than seven days.",
}


def episode_rules() -> tuple[RecordRule, ...]:
    """Return the rules, in the order of their numbers."""
    rules = (*_dates(), *_placements(), *_providers(), *_leaving())
    return tuple(sorted(rules, key=lambda rule: rule.name))


def _dates() -> tuple[RecordRule, ...]:
    start, end = ("start_date",), ("end_date",)
    rule = EPISODES.rule
    return (
        rule(
            "353",
            CARE,
            start,
            "The episode starts before 14 October 1991.",
            lambda t: t["start_date"] < FIRST_DAY,
        ),
        rule(
            "354",
            CARE,
            start,
            "The episode starts after the end of the records.",
            after_the_end("start_date"),
            adds=with_end,
        ),
        rule(
            "355",
            CARE,
            ("end_date", "start_date"),
            "The episode ends on the day on which it starts.",
            same_day("start_date", "end_date"),
        ),
        rule(
            "385",
            CARE,
            end,
            "The episode ends after the end of the records.",
            after_the_end("end_date"),
            adds=with_end,
        ),
        rule(
            "446",
            CARE,
            ("legal_status", "start_date"),
            "A placement order (E1) is recorded before December 2005.",
            lambda t: (t["legal_status"] == "E1") & (t["start_date"] < FIRST_PLACEMENT_ORDER),
        ),
        *(
            rule(
                number,
                CARE,
                ("placement", "end_date"),
                _SAYS[number],
                longer(days, {"placement": (code,)}),
                note="Placements that go on are passed over.",
            )
            for number, (code, days) in LONGEST_TEMPORARY.items()
        ),
        rule(
            "365",
            CARE,
            ("legal_status", "end_date"),
            "A short break (V3) lasts more than 17 days.",
            longer(17, {"legal_status": ("V3",)}, until="_until"),
            adds=_until,
        ),
    )


def _until(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add ``_until``: the end of an episode, or of the records where it goes on."""
    ended = with_end(table, records, session)
    return ended.mutate(_until=ibis.coalesce(ended["end_date"], ended["_end"]))


def _placements() -> tuple[RecordRule, ...]:
    where = ("placement", "legal_status")
    breaks, temporary = {"legal_status": RESPITE}, codes.TEMPORARY_PLACEMENT
    rule = EPISODES.rule
    return (
        rule(
            "146",
            CARE,
            ("placement",),
            "The return of the year has no such placement: the code came later, or was given up "
            "before.",
            _of_another_year,
            note="Codes that no year knows are counted as misspelt.",
        ),
        rule(
            "217",
            CARE,
            ("reason_start", "placement"),
            "A child comes to be placed for adoption with its foster carers (A3, A5), and the "
            "reason for the episode is none of S, T and U.",
            lambda t: (
                without({"placement": ("A3", "A5")}, {"reason_start": ("S", "T", "U")})(t)
                & (t["start_date"] >= dt.date(2015, 4, 1))
            ),
        ),
        rule(
            "366",
            CARE,
            ("reason_start", "legal_status"),
            "A short break (V3) does not start as care does (S): the child moved during it.",
            without({"legal_status": ("V3",)}, {"reason_start": (codes.STARTS_CARE,)}),
        ),
        rule(
            "378",
            CARE,
            where,
            "The child is placed with parents (P1) and accommodated by agreement (V2).",
            both({"placement": ("P1",), "legal_status": ("V2",)}),
        ),
        rule(
            "382",
            CARE,
            where,
            "A child on a short break (V3, V4) is in a temporary placement.",
            both({**breaks, "placement": temporary}),
        ),
        rule(
            "384",
            CARE,
            where,
            "A child on a short break (V3, V4) is in a long-term foster placement (U1, U4).",
            both({**breaks, "placement": ("U1", "U4")}),
        ),
        rule(
            "408",
            CARE,
            ("legal_status", "placement"),
            "The child is placed for adoption under a placement order (A5, A6), and no such order "
            "(E1) is recorded.",
            without({"placement": ("A5", "A6")}, {"legal_status": ("E1",)}),
        ),
    )


def _of_another_year(t: ibis.Table) -> Any:
    given_up = [
        (t["placement"] == code) & (t["start_date"] >= dt.date(year, 4, 1))
        for code, year in codes.PLACEMENT_UNTIL.items()
    ]
    to_come = [
        (t["placement"] == code) & (t["end_date"] < dt.date(year, 4, 1))
        for code, year in codes.PLACEMENT_SINCE.items()
    ]
    # A comparison with a missing end is null, and null or true is true.
    return reduce(or_, (broken.fill_null(False) for broken in (*given_up, *to_come)))


def _providers() -> tuple[RecordRule, ...]:
    where = ("placement_provider", "placement")
    placed = codes.PLACEMENT - codes.WITHOUT_PROVIDER
    rule = EPISODES.rule
    return (
        rule(
            "213",
            CARE,
            where,
            "A provider is named of a temporary or other placement, which has none.",
            filled_for("placement_provider", {"placement": codes.WITHOUT_PROVIDER}),
        ),
        rule(
            "526",
            CARE,
            where,
            "The provider of the placement is not named.",
            lambda t: empty_for("placement_provider", {"placement": placed})(t) & t["_named"],
            adds=_providers_named,
            first_year=FIRST_YEAR_OF_PROVIDERS,
            note="Asked of authorities that name the provider of any placement.",
        ),
        *(
            rule(
                number,
                CARE,
                where,
                _SAYS[number],
                both({"placement_provider": (provider,), "placement": placements}),
            )
            for number, (provider, placements) in FORBIDDEN_PROVIDERS.items()
        ),
        rule(
            "550",
            CARE,
            where,
            "Parents are said to provide the placement (PR0), and it is not one with them.",
            without({"placement_provider": ("PR0",)}, {"placement": ("P1",)}),
        ),
    )


def _providers_named(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add ``_named``: whether the authority names the provider of any placement."""
    by_unit = ibis.window(group_by="unit")
    return table.mutate(_named=table["placement_provider"].count().over(by_unit) > 0)


def _leaving() -> tuple[RecordRule, ...]:
    where = ("reason_end", "placement")
    rule = EPISODES.rule
    return (
        rule(
            "390",
            CARE,
            where,
            "The child is adopted (E11, E12) and was not placed for adoption (A3 to A6).",
            without({"reason_end": codes.ADOPTED}, {"placement": codes.PLACED_FOR_ADOPTION}),
        ),
        rule(
            "516",
            CARE,
            where,
            "The child leaves to its former foster carers (E45, E46) from a placement that is not "
            "with foster carers.",
            without(
                {"reason_end": codes.TO_FORMER_FOSTER_CARERS}, {"placement": codes.FOSTER_PLACEMENT}
            ),
            note="Q1 and Q2, the codes of foster carers before April 2015, count as such.",
        ),
    )
