"""What holds for every outcome that ships: registration, the author kit, documented settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from outcome_helpers import random_tables, records
from sos_outcomes import (
    assessment_duration,
    escalation,
    icpc,
    kinship_care,
    published_measures,
    rereferral,
    tidy_value,
)

from sos_plugins import Outcome, Session
from sos_plugins.authors.testing import check_outcome, example_records
from sos_plugins.host.settings import describe

MODULES = (
    assessment_duration,
    rereferral,
    escalation,
    kinship_care,
    icpc,
    tidy_value,
    published_measures,
)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "outcomes.md"


def registered() -> list[Outcome]:
    outcomes: list[Outcome] = []
    for module in MODULES:
        module.register_outcomes(outcomes.append)
    return outcomes


def test_the_outcomes_have_the_names_of_the_seed():
    assert [outcome.name for outcome in registered()] == [
        "assessment-duration",
        "assessment-within-45-days",
        "rereferral",
        "escalation",
        "kinship-care",
        "icpc",
        "tidy-value",
        "published-rereferral-rate",
        "published-icpc-rate",
        "published-assessment-duration",
    ]


MEASURES = ("rereferral-rate", "icpc-rate", "assessment-duration-median")


@pytest.mark.parametrize("outcome", registered(), ids=lambda outcome: outcome.name)
def test_outcomes_keep_the_contract(outcome):
    if "children" in outcome.needs:
        check_outcome(outcome, records(Session(), **random_tables(7)))
    else:
        check_outcome(outcome, example_records(Session(), measures=MEASURES))


def setting_row(row: dict[str, str]) -> str:
    values = row["values"].replace(" | ", " or ")
    return f"| `{row['setting']}` | {values} | `{row['default']}` | {row['description']} |"


@pytest.mark.parametrize("outcome", registered(), ids=lambda outcome: outcome.name)
def test_every_setting_is_described_and_in_the_docs(outcome):
    page = DOCS.read_text("utf-8")
    sections = re.split(r"\n(?=## )", page)
    wanted = {f"`{outcome.name}`", "Settings of every child-level"}
    if isinstance(outcome, escalation.Escalation):
        wanted.add("`rereferral`")
    text = "\n".join(s for s in sections if any(w in s.splitlines()[0] for w in wanted))
    for row in describe(outcome.Settings):
        assert row["description"], row["setting"]
        assert setting_row(row) in text
