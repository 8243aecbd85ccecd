"""Referrals as several outcomes need them."""

from __future__ import annotations

import ibis

from sos_plugins.authors.derive.children import ChildSettings, add_child
from sos_plugins.authors.derive.events import KEY, number_repeats
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records

REFERRAL_COLUMNS = (*KEY, "referral_date", "nfa", "closure_date", "closure_reason")
LATEST = ("return_year", "closure_date", "closure_reason", "nfa")


def referrals_of_children(
    records: Records, settings: ChildSettings, session: Session
) -> ibis.Table:
    """Return every referral, its repeats numbered, with the child's covariates at its date.

    The table is computed once for all outcomes that see children the same way.

    Args:
        records: Records with the tables ``referrals`` and ``children``.
        settings: How the child is described; see :func:`add_child`.
        session: Where the table is put.

    Returns:
        Table of :data:`REFERRAL_COLUMNS`, ``repeat`` (0 for the latest return of a referral) and
        the covariates of :func:`add_child`.

    Raises:
        DataError: If the records lack one of these tables.
    """
    columns = dict.fromkeys((*REFERRAL_COLUMNS, *LATEST))
    rows = records.table("referrals").select(*columns)
    numbered = number_repeats(rows, key=(*KEY, "referral_date"), latest=LATEST)
    table = add_child(
        numbered.select(*REFERRAL_COLUMNS, "repeat"),
        records,
        settings,
        date="referral_date",
        session=session,
    )
    return session.once("referrals", table.op(), lambda: table)


def events_of_referrals(events: ibis.Table, referrals: ibis.Table, *, event: str) -> ibis.Table:
    """Return each event of a child with its one referral.

    That is the referral with which the event is recorded; where none is, or several are, the
    latest of them on or before the event. An event before all referrals has none.

    Args:
        events: Table with ``unit``, ``child``, ``referral_date`` and the column ``event``; an event
            may stand in several rows.
        referrals: Table with ``unit``, ``child`` and ``referral_date``: those that can have one.
        event: Column of dates.

    Returns:
        Table ``unit, child, referral_date`` and the column ``event``, one row an event.
    """
    possible = referrals.select(_unit="unit", _child="child", _referred="referral_date").distinct()
    both = events.inner_join(
        possible,
        [
            events.unit == possible["_unit"],
            events.child == possible["_child"],
            events[event] >= possible["_referred"],
        ],
    )
    of_it = both["_referred"] == both["referral_date"]
    chosen = both.group_by([*KEY, event]).aggregate(
        _own=both["_referred"].max(where=of_it), _latest=both["_referred"].max()
    )
    return chosen.select(
        *KEY, event, referral_date=ibis.coalesce(chosen["_own"], chosen["_latest"])
    )
