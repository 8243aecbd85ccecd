"""Which rules are asked of some records: those of every rule set that is switched on."""

from __future__ import annotations

from sos_plugins.contract.rules import RecordRule
from sos_plugins.contract.types import Records
from sos_plugins.host.registry import Registry


def rules_for(registry: Registry, records: Records) -> list[RecordRule]:
    """Return the rules, of all sets in the order of their names, on tables the records have."""
    rules: list[RecordRule] = []
    for offer in registry.offers("rule-set"):
        settings = registry.settings("rule-set", offer.name, {}, f"[settings.{offer.name}]")
        rules += registry.rule_set(offer.name).rules(settings)
    return [rule for rule in rules if rule.table in records.tables]
