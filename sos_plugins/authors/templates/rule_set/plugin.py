"""Rule set new-rule-set: what a row of your records must not say.

A working example to change: a rule is a sentence, a table with its columns, and a condition that is
true for a row that breaks it. The data-quality profile counts such rows by authority and year.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import Field

from sos_plugins import RecordRule, RuleSet, Settings, hookimpl

STILL_THE_EXAMPLE = "protection plans of more than two years"  # take this line out when it is yours


class NewRuleSetSettings(Settings):
    """Limits of the rules."""

    longest_plan: int = Field(730, ge=1, description="days that a protection plan may last")


class NewRuleSet(RuleSet):
    """Plans that lasted longer than plans do."""

    name = "new-rule-set"
    label = "New rule set"
    needs = ("protection_plans",)  # the tables that the rules are about
    Settings = NewRuleSetSettings
    citation = ""

    def rules(self, settings: NewRuleSetSettings) -> Sequence[RecordRule]:
        """Return the rules under these settings; add yours to the list."""
        return [
            RecordRule(
                name=f"{self.name}:long-plan",
                sentence=f"The plan lasted more than {settings.longest_plan} days.",
                table="protection_plans",
                columns=("end_date", "start_date"),  # the one most likely wrong first
                broken=lambda plans: (
                    plans["end_date"].delta(plans["start_date"], unit="day") > settings.longest_plan
                ),
                query=True,  # such a row may be right, and has to be looked at
            )
        ]


@hookimpl
def register_rule_sets(register: Callable[[RuleSet], None]) -> None:
    """Register the rule set."""
    register(NewRuleSet())
