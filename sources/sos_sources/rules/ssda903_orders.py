"""Rules on orders that deprive a child of liberty, of the return from 2026-27 on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis

from sos_plugins import RecordRule, Records, Session
from sos_plugins.authors.derive import april_year
from sos_sources.rules.kinds import after_the_end, not_after, text
from sos_sources.rules.lookups import CHILD, NEVER, in_order, joined, keys, with_birth, with_end
from sos_sources.rules.ssda903_numbers import CARE, CHILDREN, EPISODES, ORDERS

EXPECTED = ("K2", "Z12", "Z13")
FORBIDDEN = ("K1", "K3", "P1", "R5")
ORDER = (*CHILD, "start_date", "end_date")
WHILE_IT_LASTS = (
    "Judged of orders that have ended. An episode that ends on the first day of the order, or "
    "begins on its last, is not a placement under it."
)


def order_rules() -> tuple[RecordRule, ...]:
    """Return the rules, in the order of their numbers."""
    return (*_dates(), *_one_after_the_other(), *_care(), *_placements())


def _rule(
    number: str,
    columns: tuple[str, ...],
    sentence: str,
    broken: Callable[[ibis.Table], Any],
    **more: Any,
) -> RecordRule:
    return EPISODES.rule(number, ORDERS, columns, sentence, broken, **more)


def _dates() -> tuple[RecordRule, ...]:
    start, end, born = ("start_date",), ("end_date", "start_date"), (CHILDREN,)
    return (
        _rule(
            "700",
            start,
            "The start of the order is missing, or could not be read.",
            lambda t: t["start_date"].isnull(),
        ),
        _rule(
            "702",
            end,
            "The order ends before the day after its start.",
            not_after("end_date", "start_date"),
        ),
        _rule(
            "703",
            start,
            "The order starts after the end of the records.",
            after_the_end("start_date"),
            adds=with_end,
        ),
        _rule(
            "704",
            ("end_date",),
            "The order ends in another year than that of its return.",
            lambda t: april_year(t["end_date"]) != t["return_year"],
        ),
        _rule(
            "708",
            start,
            "The order starts on or before the day of birth.",
            not_after("start_date", "_birth_date"),
            adds=with_birth,
            needs=born,
        ),
    )


def _one_after_the_other() -> tuple[RecordRule, ...]:
    def running(t: ibis.Table) -> Any:
        return t["_follows"] & (t["_last_end"].isnull() | (t["start_date"] < t["_last_end"]))

    return (
        _rule(
            "705",
            ("start_date", "end_date"),
            "The order starts while the last one of the child is in force.",
            running,
            adds=with_last_order,
            note="The later of the two is counted.",
        ),
        _rule(
            "706",
            ("end_date",),
            "The order had not ended in its last return, and the return after that has it no more.",
            lambda t: t["end_date"].isnull() & (t["return_year"] < t["_last_return"]),
            adds=with_last_return,
            needs=(CARE,),
            note="The authority has returned a later year if an episode of it starts there.",
        ),
    )


def with_last_order(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add whether another order of the child starts before this one, and when that ended."""
    chain, start = in_order(table), table["start_date"]
    return table.mutate(
        _follows=start.lag().over(chain).notnull() & start.notnull(),
        _last_end=table["end_date"].lag().over(chain),
    )


def with_last_return(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add the April-year in which the authority's last episode starts."""
    episodes = records.table(CARE)
    last = episodes.group_by(**keys(episodes, "unit")).aggregate(
        _last_return=april_year(episodes["start_date"]).max()
    )
    return joined(table, last, "unit")


def _care() -> tuple[RecordRule, ...]:
    return (
        _rule(
            "707",
            ("end_date", "start_date"),
            "The order does not lie within a time in which the child is looked after: care ends "
            "before it does, or begins after.",
            lambda t: t["_cared_for"] & ~t["_within"],
            adds=with_care,
            needs=(CARE,),
            note="Orders of children without any episode are passed over.",
        ),
    )


def _placements() -> tuple[RecordRule, ...]:
    more: dict[str, Any] = {"adds": with_placements, "needs": (CARE,), "note": WHILE_IT_LASTS}
    return (
        _rule(
            "709",
            ("start_date",),
            f"During the order the child is in a placement other than {', '.join(EXPECTED)}.",
            lambda t: t["_unexpected"],
            query=True,
            **more,
        ),
        _rule(
            "710",
            ("start_date",),
            "During the order the child is in a secure home (K1), with parents (P1), in custody "
            "(R5) or in supported accommodation (K3).",
            lambda t: t["_forbidden"],
            **more,
        ),
    )


def with_care(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add whether the child is looked after at all, and in one period of care with the order."""
    met = _with_those_of_child(table, _periods(records))
    start, end = met["_of_start_date"], met["_of_end_date"]
    begun, over = met["_first_day"], met["_last_day"]
    outside = (
        (end.isnull() & (over.notnull() | (start < begun)).fill_null(False))
        | (end > over).fill_null(False)
        | (end < begun).fill_null(False)
    )
    return _told(table, met, _cared_for=met["_in_unit"].notnull(), _within=~outside)


def with_placements(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add whether an episode during the order is in an unexpected or a forbidden placement."""
    episodes = records.table(CARE)
    placed = episodes.select(
        **_of_child(episodes),
        _first_day=episodes["start_date"],
        _last_day=ibis.coalesce(episodes["end_date"], ibis.date(NEVER)),
        _place=text(episodes["placement"]),
    )
    met = _with_those_of_child(table, placed)
    during = (met["_first_day"] < met["_of_end_date"]) & (met["_last_day"] > met["_of_start_date"])
    during = during.fill_null(False)
    return _told(
        table,
        met,
        _unexpected=during & ~met["_place"].isin(EXPECTED),
        _forbidden=during & met["_place"].isin(FORBIDDEN),
    )


def _periods(records: Records) -> ibis.Table:
    """Return one row a period of care: its first day, and its last where it has ended."""
    episodes = records.table(CARE)
    end = episodes["end_date"]
    periods = episodes.group_by(
        **_of_child(episodes), _period=episodes["period_of_care"]
    ).aggregate(
        _first_day=episodes["start_date"].min(),
        _ended=end.max(),
        _goes_on=end.isnull().max(),
    )
    last = ibis.ifelse(periods["_goes_on"], ibis.null("date"), periods["_ended"])
    return periods.mutate(_last_day=last).drop("_period", "_ended", "_goes_on")


def _of_child(table: ibis.Table) -> dict[str, ibis.Value]:
    return {f"_in_{name}": table[name] for name in CHILD}


def _with_those_of_child(orders: ibis.Table, others: ibis.Table) -> ibis.Table:
    """Pair every order, told by :data:`ORDER`, with each of the other rows of its child."""
    apart = orders.select(**keys(orders, *ORDER)).distinct()
    return apart.inner_join(others, [apart[f"_of_{c}"] == others[f"_in_{c}"] for c in CHILD])


def _told(orders: ibis.Table, met: ibis.Table, **facts: ibis.Value) -> ibis.Table:
    """Add to the orders whether a fact holds of any row that they met, false where of none."""
    told = met.group_by([f"_of_{name}" for name in ORDER]).aggregate(
        **{name: fact.max() for name, fact in facts.items()}
    )
    # A missing end is as good as another here.
    alike = [orders[name].identical_to(told[f"_of_{name}"]) for name in ORDER]
    wide = orders.left_join(told, alike).drop(*(f"_of_{name}" for name in ORDER))
    return wide.mutate(**{name: wide[name].fill_null(False) for name in facts})
