"""Rules of the return on children looked after (SSDA903), by their published numbers.

The conditions are those of the Department for Education's validation checks, written anew for
episodes of several returns. Those with settings stand here; the others in the modules beside:
:mod:`~sos_sources.rules.ssda903_episodes`, :mod:`~sos_sources.rules.ssda903_chain`,
:mod:`~sos_sources.rules.ssda903_ages` and :mod:`~sos_sources.rules.ssda903_orders`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import ibis
from pydantic import Field

from sos_plugins import RecordRule, RuleSet, Settings, hookimpl
from sos_sources import codes
from sos_sources.rules.code_rules import code_rules
from sos_sources.rules.kinds import Condition, text
from sos_sources.rules.ssda903_ages import age_rules
from sos_sources.rules.ssda903_chain import chain_rules, with_neighbours
from sos_sources.rules.ssda903_episodes import episode_rules
from sos_sources.rules.ssda903_numbers import CARE, CHILDREN, EPISODES, ORDERS, SOURCE
from sos_sources.rules.ssda903_orders import order_rules

NOT_TOLD = "The records hold the type and provider of a placement, not its postcode and URN."
LEAVES = "E"
"""What every code of an end of care begins with."""


class Ssda903RulesSettings(Settings):
    """Codes that the checks name; the published ones by default."""

    temporary: tuple[str, ...] = Field(
        tuple(sorted(codes.TEMPORARY_PLACEMENT)), description="temporary placements (380, 381)"
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
    needs: ClassVar[tuple[str, ...]] = (CARE, CHILDREN, ORDERS)

    def rules(self, settings: Ssda903RulesSettings) -> Sequence[RecordRule]:
        """Return the rules, in the order of their numbers."""
        rules = (
            *_ends(),
            *_temporary(settings),
            *_chain(settings),
            *_reasons(),
            *episode_rules(),
            *chain_rules(),
            *age_rules(),
            *order_rules(),
        )
        numbered = sorted(rules, key=lambda rule: rule.name)
        return (*numbered, *(_codes() if settings.codes_of_years else ()))


def _rule(
    number: str, columns: tuple[str, ...], sentence: str, broken: Condition, note: str = ""
) -> RecordRule:
    return EPISODES.rule(number, CARE, columns, sentence, broken, adds=with_neighbours, note=note)


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
        return t["placement"].isin(s.temporary) & ~text(t["reason_start"]).isin(s.temporary_starts)

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
        return (t["reason_start"] == codes.STARTS_CARE) & (t["start_date"] <= t["_last_end_date"])

    def not_started(t: ibis.Table) -> ibis.Value:
        left = t["_last_reason_end"].startswith(LEAVES)
        return left & (text(t["reason_start"]) != codes.STARTS_CARE)

    def broken_chain(t: ibis.Table) -> ibis.Value:
        gap = (t["start_date"] != t["_last_end_date"]).fill_null(True)
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
        return text(t["legal_status"]) == text(t["_last_legal_status"])

    def moved(t: ibis.Table) -> ibis.Value:
        return (text(t["placement"]) != text(t["_last_placement"])) | (
            text(t["placement_provider"]) != text(t["_last_placement_provider"])
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


def _codes() -> tuple[RecordRule, ...]:
    columns = {
        "reason_start": codes.REASON_NEW_EPISODE,
        "legal_status": codes.LEGAL_STATUS,
        "cin": codes.NEED_LOOKED_AFTER,
        "placement": codes.PLACEMENT,
        "placement_provider": codes.PLACEMENT_PROVIDER,
        "reason_end": codes.REASON_CEASED,
    }
    return tuple(rule for c, known in columns.items() for rule in code_rules(CARE, c, known))


@hookimpl
def register_rule_sets(register: Callable[[RuleSet], None]) -> None:
    """Offer the rules."""
    register(Ssda903Rules())
