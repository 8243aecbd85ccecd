"""The contract of a rating rule, and verdicts worked out by hand."""

from dataclasses import replace

import pytest

from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")
SETTINGS = plugin.NewRatingRuleSettings()


@pytest.mark.parametrize("check", testing.rating_rule_checks(plugin.NewRatingRule()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_poor_data_cost_a_level() -> None:
    strong = testing.example_evidence("strong")
    poor = replace(strong, quality={"usable_share": 0.5})
    rule = plugin.NewRatingRule()
    assert rule.rate(strong, SETTINGS).level == "strong"
    assert rule.rate(poor, SETTINGS).level == "fair"
