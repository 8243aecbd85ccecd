"""The page of validation rules has every published number once, as the rule sets carry them."""

from __future__ import annotations

import re

import pytest
from clean_environment import REPOSITORY
from sos_sources.rules.cin import CinRules, CinRulesSettings
from sos_sources.rules.ssda903 import Ssda903Rules, Ssda903RulesSettings

from sos_plugins import RecordRule

PAGE = (REPOSITORY / "docs" / "validation-rules.md").read_text()
NUMBER = re.compile(r"\b(?:\d{3,4}|[A-Z]+\d\d)\w*|\bEPI\b|\bNoE\b")
WITHDRAWN = {"370"}
"""Not among the rules of the last return, but of those before."""
PUBLISHED = {"SSDA903": 327, "Census": 109}
"""How many rules the open validators of docs/validation-rules.md know of the return of 2026-27."""


def listed(heading: str) -> list[str]:
    """Numbers in the first column of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")][1:]
    return [number for row in rows for number in NUMBER.findall(row)]


def carried(rules: list[RecordRule]) -> set[str]:
    return {rule.name.partition(":")[2] for rule in rules if ":" in rule.name}


RULES: dict[str, list[RecordRule]] = {
    "SSDA903": [*Ssda903Rules().rules(Ssda903RulesSettings())],
    "Census": [*CinRules().rules(CinRulesSettings())],
}


@pytest.mark.parametrize(("collection", "rules"), RULES.items())
def test_the_page_has_every_published_rule_once(collection: str, rules: list[RecordRule]) -> None:
    own = listed(f"{collection}: carried")
    assert set(own) == carried(rules)
    every = [
        *own,
        *listed(f"{collection}: counted under another name"),
        *listed(f"{collection}: left out"),
    ]
    assert sorted({number for number in every if every.count(number) > 1}) == []
    assert len(set(every) - WITHDRAWN) == PUBLISHED[collection]


def test_the_page_of_the_profile_says_how_many_rules_are_carried() -> None:
    page = (REPOSITORY / "docs" / "profile.md").read_text()
    n = len(set().union(*map(carried, RULES.values())) - WITHDRAWN)
    assert f"Of the {sum(PUBLISHED.values())} published rules {n} are carried" in page
