"""Rules on an episode of care and its neighbours: those before and after it of the same child.

The order of episodes is that of the start, then of the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import ibis

from sos_plugins import RecordRule, Records, Session
from sos_plugins.authors.derive import april_year
from sos_sources import codes
from sos_sources.rules.kinds import text
from sos_sources.rules.lookups import CHILD, day_number, in_order, with_end
from sos_sources.rules.ssda903_episodes import RESPITE
from sos_sources.rules.ssda903_numbers import CARE, EPISODES

LONGEST_RUN = {
    "361": ("L1", 3, "Police protection (L1) lasts more than three days."),
    "362": ("L2", 21, "An emergency protection order (L2) lasts more than 21 days."),
    "363": ("L3", 7, "A child assessment order (L3) lasts more than seven days."),
    "364": ("J2", 21, "Detention under police powers (J2) lasts more than 21 days."),
}
"""By rule: a legal status, the days that it may last over episodes in a row, and the sentence."""
DAYS_OF_BREAKS = 75
HOLIDAYS = 2
NO_FURTHER_CARE = ("E2", "E15")
"""The child died, or reached the age of 18."""
_LOOKED_AT = (
    *("start_date", "end_date", "reason_end", "legal_status", "placement", "placement_provider"),
    "cin",
)


def chain_rules() -> tuple[RecordRule, ...]:
    """Return the rules on neighbours that need no settings, in the order of their numbers."""
    rules = (*_order(), *_placements(), *_runs(), *_counts())
    return tuple(sorted(rules, key=lambda rule: rule.name))


def with_neighbours(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add what the child's episodes before and after this one say: ``_last_...``, ``_next_...``."""
    chain, earlier = in_order(table), in_order(table, preceding=(None, 1))
    last = {f"_last_{name}": table[name].lag().over(chain) for name in _LOOKED_AT}
    adopted = table["reason_end"].isin(sorted(codes.ADOPTED)).fill_null(False)
    added = with_end(table, records, session).mutate(
        _next_start=table["start_date"].lead().over(chain),
        _placement_before=table["placement"].lag(2).over(chain),
        _two_before=table["start_date"].lag(2).over(chain),
        _adopted_before=adopted.max().over(earlier).fill_null(False),
        **last,
    )
    return added.mutate(
        _has_next=added["_next_start"].notnull(),
        _has_last=added["_last_start_date"].notnull() & added["start_date"].notnull(),
    )


def _rule(
    number: str,
    columns: tuple[str, ...],
    sentence: str,
    broken: Callable[[ibis.Table], Any],
    **more: Any,
) -> RecordRule:
    return EPISODES.rule(
        number, CARE, columns, sentence, broken, **{"adds": with_neighbours, **more}
    )


def _order() -> tuple[RecordRule, ...]:
    def first(t: ibis.Table) -> Any:
        return ~t["_has_last"] & t["start_date"].notnull() & (t["start_date"] >= t["_start"])

    return (
        _rule(
            "199",
            ("start_date", "reason_end"),
            "The child was adopted at the end of an earlier episode.",
            lambda t: t["_adopted_before"],
        ),
        _rule(
            "357",
            ("reason_start",),
            "The first episode of the child begins within the records, and not as care does (S).",
            lambda t: first(t) & (text(t["reason_start"]) != codes.STARTS_CARE),
            adds=with_first_day,
        ),
        _rule(
            "437",
            ("reason_end",),
            "The child died or came of age (E2, E15), and a later episode has started.",
            lambda t: t["reason_end"].isin(NO_FURTHER_CARE) & t["_has_next"],
        ),
        _rule(
            "501",
            ("start_date", "end_date"),
            "The episode starts before the last one ends.",
            lambda t: t["start_date"] < t["_last_end_date"],
        ),
        _rule(
            "504",
            ("cin",),
            "The category of need changes while care goes on.",
            lambda t: (
                (t["_last_reason_end"] == codes.SAME_CARE)
                & (t["_last_end_date"] == t["start_date"])
                & (text(t["cin"]) != text(t["_last_cin"]))
            ),
        ),
    )


def with_first_day(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add whether an episode is not the child's first, and the first day of the records."""
    ordered = ibis.window(group_by=CHILD, order_by=[table["start_date"].isnull(), "start_date"])
    return with_end(table, records, session).mutate(
        _has_last=table["start_date"].lag().over(ordered).notnull(),
        _start=ibis.literal(records.start, type="date"),
    )


def _placements() -> tuple[RecordRule, ...]:
    suits = codes.PLACED_FOR_ADOPTION | codes.FOSTER_PLACEMENT

    def no_return(t: ibis.Table) -> Any:
        temporary = t["_last_placement"].isin(sorted(codes.TEMPORARY_PLACEMENT))
        moved = text(t["reason_start"]) != "P"
        elsewhere = text(t["placement"]) != text(t["_placement_before"])
        return t["_two_before"].notnull() & temporary & (moved | elsewhere)

    return (
        _rule(
            "336",
            ("placement",),
            "The child is placed for adoption with foster carers (A3) or by consent (A4), and came "
            "from no foster carers.",
            lambda t: (
                t["placement"].isin(("A3", "A4"))
                & t["_has_last"]
                & ~text(t["_last_placement"]).isin(sorted(suits))
            ),
        ),
        _rule(
            "383",
            ("placement", "reason_start"),
            "After a temporary placement the child does not return to the one before.",
            no_return,
            note="Whether the address is the same is not judged: records hold none.",
        ),
    )


def _runs() -> tuple[RecordRule, ...]:
    def too_long(status: str, days: int) -> Callable[[ibis.Table], Any]:
        return lambda t: (t["legal_status"] == status) & (t["_run_days"] > days)

    return tuple(
        _rule(
            number,
            ("legal_status", "end_date"),
            sentence,
            too_long(status, days),
            adds=with_runs,
            note="Each of the episodes is counted; one that goes on lasts to the end of records.",
        )
        for number, (status, days, sentence) in LONGEST_RUN.items()
    )


def with_runs(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add ``_run_days``: how long a legal status lasts over episodes that follow on the day."""
    order = [table["start_date"], table["end_date"]]
    chain = ibis.window(group_by=CHILD, order_by=order)
    known = with_end(table, records, session).mutate(
        _run_broken=~(
            (table["legal_status"] == table["legal_status"].lag().over(chain))
            & (table["start_date"] == table["end_date"].lag().over(chain))
        ).fill_null(False)
    )
    until = ibis.window(group_by=CHILD, order_by=order, preceding=(None, 0))
    numbered = known.mutate(_run=known["_run_broken"].cast("int64").sum().over(until))
    run = ibis.window(group_by=[*CHILD, "_run"])
    last = ibis.coalesce(numbered["end_date"], numbered["_end"]).max().over(run)
    days = last.delta(numbered["start_date"].min().over(run), unit="day")
    return numbered.mutate(_run_days=days).drop("_run", "_run_broken")


def _counts() -> tuple[RecordRule, ...]:
    where = ("legal_status", "start_date")
    return (
        _rule(
            "367",
            where,
            f"Short breaks (V3) of the year make up more than {DAYS_OF_BREAKS} days.",
            lambda t: (t["legal_status"] == "V3") & (t["_days_of_breaks"] > DAYS_OF_BREAKS),
            adds=with_counts,
            note="Days count in the April-year in which the break starts.",
        ),
        _rule(
            "377",
            ("placement", "start_date"),
            "More than two temporary placements during holidays of carers (T3) start within twelve "
            "months.",
            lambda t: (
                (t["placement"] == "T3")
                & (t["start_date"] < (t["_holiday_before"] + ibis.interval(years=1)).cast("date"))
            ),
            adds=with_counts,
            note="The third is counted, and each further one.",
        ),
        _rule(
            "426",
            where,
            "Short breaks under V3 and under V4 are recorded in one year.",
            lambda t: t["legal_status"].isin(RESPITE) & (t["_kinds_of_breaks"] > 1),
            adds=with_counts,
        ),
    )


def with_counts(table: ibis.Table, records: Records, session: Session) -> ibis.Table:
    """Add what is counted over the episodes of a child in an April-year or twelve months."""
    year, breaks = april_year(table["start_date"]), table["legal_status"].isin(RESPITE)
    known = with_end(table, records, session).mutate(_year=year, _break=breaks.fill_null(False))
    yearly = ibis.window(group_by=[*CHILD, "_year", "_break"])
    status, until = known["legal_status"], ibis.coalesce(known["end_date"], known["_end"])
    length = ibis.ifelse(status == "V3", until.delta(known["start_date"], unit="day"), 0)
    by_place = ibis.window(
        group_by=[*CHILD, "placement"], order_by=[day_number(known["start_date"])]
    )
    return known.mutate(
        _days_of_breaks=length.sum().over(yearly),
        _kinds_of_breaks=_different(status, RESPITE).over(yearly),
        _holiday_before=known["start_date"].lag(HOLIDAYS).over(by_place),
    ).drop("_year", "_break")


def _different(column: ibis.Value, of: Collection[str]) -> Any:
    """Return how many of two codes a column has."""
    first, second = of
    return (column == first).cast("int64").max() + (column == second).cast("int64").max()
