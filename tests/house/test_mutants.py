"""What ``mutants.toml`` names is there: modules, tests, and the lines whose changes it explains."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from clean_environment import REPOSITORY

FILE = REPOSITORY / "tests" / "mutants.toml"
GIVEN: dict[str, Any] = tomllib.loads(FILE.read_text())


@pytest.mark.parametrize("name", GIVEN["modules"])
def test_a_module_and_the_tests_that_answer_for_it(name: str) -> None:
    table = GIVEN["modules"][name]
    assert (REPOSITORY / table["path"]).is_file()
    assert table["tests"]
    for test in table["tests"]:
        assert (REPOSITORY / test).is_file(), test


def test_every_outcome_is_among_the_modules() -> None:
    folder = REPOSITORY / "outcomes" / "sos_outcomes"
    paths = {table["path"] for table in GIVEN["modules"].values()}
    own = {f"outcomes/sos_outcomes/{file.name}" for file in folder.glob("[!_]*.py")}
    assert own <= paths


@pytest.mark.parametrize("row", GIVEN["survivors"], ids=lambda row: row["becomes"])
def test_an_explained_survivor_is_a_change_of_a_line_that_is_still_there(
    row: dict[str, str],
) -> None:
    path = REPOSITORY / GIVEN["modules"][row["module"]]["path"]
    lines = {line.strip() for line in path.read_text().splitlines()}
    assert row["was"] in lines
    assert row["becomes"] not in {row["was"], ""}
    assert len(row["why"].split()) > 3
