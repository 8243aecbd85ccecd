"""Rules of the return on children looked after (SSDA903), by their published numbers.

The conditions are those of the Department for Education's validation checks, written anew for
episodes of several returns. The checks compare an episode with the one before it or after it; the
order is that of the start, then of the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import ibis
from pydantic import Field

from sos_plugins import RecordRule, Records, RuleSet, Session, Settings, hookimpl
from sos_sources import codes
from sos_sources.rules.code_rules import code_rules

SOURCE = "Department for Education, children looked after (SSDA903): validation checks"
NOT_TOLD = "The records hold the type and provider of a placement, not its postcode and URN."
LEAVES = "E"
"""What every code of an end of care begins with."""


class Ssda903RulesSettings(Settings):
    """Codes that the checks name; the published ones by default."""

    temporary: tuple[str, ...] = Field(
        ("T0", "T1", "T2", "T3", "T4"), description="temporary placements (380, 381)"
    )
    temporary_starts: tuple[str, ...] = Field(
        ("P", "B"), description="reasons for a new episode in a temporary placement (380)"
    )
    continues: tuple[str, ...] = Field(
        ("L", "P", "T", "U", "B"), description="reasons of an episode that continues care (433)"
    )
    codes_of_years: bool = Field(
        True,
        description="also count codes that no year of the return knows, and codes in lower case",
    )


class Ssda903Rules(RuleSet):
    """Contradictions within an episode of care, and between an episode and its neighbours."""

    name: ClassVar[str] = "ssda903-rules"
    label: ClassVar[str] = "Validation checks of the return on children looked after"
    Settings: ClassVar[type[Settings]] = Ssda903RulesSettings
    citation: ClassVar[str] = SOURCE
    needs: ClassVar[tuple[str, ...]] = ("episodes",)

    def rules(self, settings: Ssda903RulesSettings) -> Sequence[RecordRule]:
        """Return the rules, in the order of their numbers."""
        rules = (
            *_ends(),
            *_temporary(settings),
            *_chain(settings),
            *_reasons(),
        )
        return (*rules, *(_codes() if settings.codes_of_years else ()))


Condition = Callable[[ibis.Table], ibis.Value]


def _rule(
    number: str, columns: tuple[str, ...], sentence: str, broken: Condition, note: str = ""
) -> RecordRule:
    return RecordRule(
        f"ssda903:{number}",
        sentence,
        "episodes",
        columns,
        broken,
        adds=_neighbours,
        source=f"{SOURCE}, check {number}",
        note=note,
    )


def _ends() -> tuple[RecordRule, ...]:
    def left_open(t: ibis.Table) -> ibis.Value:
        return t["_has_next"] & (t["end_date"].isnull() | t["reason_end"].isnull())

    return (
        _rule(
            "142",
            ("end_date", "reason_end"),
            "A later episode has started, and this one has no end or no reason for it.",
            left_open,
        ),
        _rule(
            "148",
            ("reason_end", "end_date"),
            "Of the end of the episode and the reason for it, one is missing.",
            lambda t: t["end_date"].isnull() != t["reason_end"].isnull(),
        ),
        _rule(
            "356",
            ("end_date", "start_date"),
            "The episode ends before it starts.",
            lambda t: t["end_date"] < t["start_date"],
        ),
    )


def _temporary(s: Ssda903RulesSettings) -> tuple[RecordRule, ...]:
    def starts(t: ibis.Table) -> ibis.Value:
        return t["placement"].isin(s.temporary) & ~_text(t["reason_start"]).isin(s.temporary_starts)

    def ends(t: ibis.Table) -> ibis.Value:
        return t["placement"].isin(s.temporary) & (t["reason_end"] != codes.SAME_CARE)

    return (
        _rule(
            "380",
            ("placement", "reason_start"),
            "Care starts in a temporary placement.",
            starts,
        ),
        _rule("381", ("placement", "reason_end"), "Care ends in a temporary placement.", ends),
    )


def _chain(s: Ssda903RulesSettings) -> tuple[RecordRule, ...]:
    def not_continued(t: ibis.Table) -> ibis.Value:
        ended, goes_on = t["end_date"].notnull(), t["reason_end"] == codes.SAME_CARE
        follows = t["_has_next"] & (t["_next_start"] == t["end_date"])
        return ended & ((goes_on & ~follows.fill_null(False)) | (~goes_on & follows))

    def starts_in_care(t: ibis.Table) -> ibis.Value:
        return (t["reason_start"] == codes.STARTS_CARE) & (t["start_date"] <= t["_last_end"])

    def not_started(t: ibis.Table) -> ibis.Value:
        left = t["_last_reason_end"].startswith(LEAVES)
        return left & (_text(t["reason_start"]) != codes.STARTS_CARE)

    def broken_chain(t: ibis.Table) -> ibis.Value:
        gap = (t["start_date"] != t["_last_end"]).fill_null(True)
        return t["_has_last"] & t["reason_start"].isin(s.continues) & gap

    return (
        _rule(
            "388",
            ("reason_end", "end_date"),
            "The reason for the end says that care goes on (X1) and no episode follows on the day, "
            "or one follows and the reason says otherwise.",
            not_continued,
        ),
        _rule(
            "431",
            ("reason_start", "start_date"),
            "Care is said to start (S) on or before the day on which the last episode ends.",
            starts_in_care,
        ),
        _rule(
            "432",
            ("reason_start",),
            "The child had left care, and the reason for the new episode is not that care starts.",
            not_started,
        ),
        _rule(
            "433",
            ("reason_start", "start_date"),
            "The episode is said to continue care and does not start on the day the last one ends.",
            broken_chain,
        ),
    )


def _reasons() -> tuple[RecordRule, ...]:
    def same_status(t: ibis.Table) -> ibis.Value:
        return _text(t["legal_status"]) == _text(t["_last_legal_status"])

    def moved(t: ibis.Table) -> ibis.Value:
        return (_text(t["placement"]) != _text(t["_last_placement"])) | (
            _text(t["placement_provider"]) != _text(t["_last_placement_provider"])
        )

    def status_only(t: ibis.Table) -> ibis.Value:
        known = t["legal_status"].notnull()
        kept = known & same_status(t)
        return t["_has_last"] & (t["reason_start"] == "L") & (kept | moved(t))

    def placement_only(t: ibis.Table) -> ibis.Value:
        return t["_has_last"] & t["reason_start"].isin(("P", "T")) & ~same_status(t)

    def both(t: ibis.Table) -> ibis.Value:
        return t["_has_last"] & t["reason_start"].isin(("U", "B")) & same_status(t)

    return (
        _rule(
            "434",
            ("reason_start", "legal_status", "placement", "placement_provider"),
            "The legal status alone is said to change (L); it stays, or the placement changes.",
            status_only,
            note=NOT_TOLD,
        ),
        _rule(
            "435",
            ("reason_start", "legal_status"),
            "The placement alone is said to change (P, T), and the legal status changes.",
            placement_only,
            note=f"{NOT_TOLD} Whether the placement stays the same is not judged.",
        ),
        _rule(
            "436",
            ("reason_start", "legal_status"),
            "Placement and legal status are said to change (U, B), and the legal status stays.",
            both,
            note=f"{NOT_TOLD} Whether the placement stays the same is not judged.",
        ),
    )


def _text(column: ibis.Value) -> ibis.Value:
    """Return a column whose missing values compare as an empty text."""
    return column.fill_null("")


def _neighbours(table: ibis.Table, records: Records, session: Session) -> ibis.Table:  # noqa: ARG001
    """Add what the child's episode before and after this one says."""
    dated = table["start_date"].notnull()
    order = [~dated, table["start_date"], table["end_date"].isnull(), table["end_date"]]
    chain = ibis.window(group_by=["unit", "child"], order_by=order)
    last = {
        f"_last_{name}": table[column].lag().over(chain)
        for name, column in (
            ("start", "start_date"),
            ("end", "end_date"),
            ("reason_end", "reason_end"),
            ("legal_status", "legal_status"),
            ("placement", "placement"),
            ("placement_provider", "placement_provider"),
        )
    }
    added = table.mutate(_next_start=table["start_date"].lead().over(chain), **last)
    return added.mutate(
        _has_next=added["_next_start"].notnull(),
        _has_last=added["_last_start"].notnull() & added["start_date"].notnull(),
    )


def _codes() -> tuple[RecordRule, ...]:
    columns = {
        "reason_start": codes.REASON_NEW_EPISODE,
        "legal_status": codes.LEGAL_STATUS,
        "cin": codes.NEED_LOOKED_AFTER,
        "placement": codes.PLACEMENT,
        "placement_provider": codes.PLACEMENT_PROVIDER,
        "reason_end": codes.REASON_CEASED,
    }
    return tuple(rule for c, known in columns.items() for rule in code_rules("episodes", c, known))


@hookimpl
def register_rule_sets(register: Callable[[RuleSet], None]) -> None:
    """Offer the rules."""
    register(Ssda903Rules())
