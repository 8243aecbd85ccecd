"""The tutorial's package: its code is that of the page, and it runs installed on its own."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from clean_environment import REPOSITORY, CleanEnvironment, build_wheel, make_environment

EXAMPLE = REPOSITORY / "examples" / "second-plan"
PAGE = REPOSITORY / "docs" / "tutorial-outcome.md"
SHOWN = {
    "pyproject.toml": "toml",
    "src/sos_second_plan/__init__.py": "python",
    "tests/test_second_plan.py": "python",
}
DERIVE = """
import json
import sos_second_plan
from sos_plugins.authors import testing
from sos_plugins import Session
from sos_plugins.host.registry import load_plugins

registry = load_plugins()
outcome = registry.outcome("second-plan")
testing.check_outcome(outcome)
session = Session()
records = testing.example_records(session)
cases = outcome.derive(records, outcome.Settings(min_age=-2, max_age=40), session)
plans = records.table("protection_plans").to_pandas()
frame = cases.frame[["unit", "child", "date", "value"]].assign(date=cases.frame["date"].astype(str))
print(json.dumps({
    "file": sos_second_plan.__file__,
    "offer": registry.offer("outcome", "second-plan").distribution,
    "end": str(records.end),
    "plans": json.loads(plans.astype(str).to_json(orient="records")),
    "cases": json.loads(frame.to_json(orient="records")),
}))
"""


@pytest.fixture(scope="module")
def stranger(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """An environment with the wheels of the project and of the example, and no repository."""
    environment = make_environment(tmp_path_factory.mktemp("stranger"))
    example = build_wheel(EXAMPLE, tmp_path_factory.mktemp("example"))
    environment.install(wheel, example)
    return environment


@pytest.mark.parametrize(("path", "language"), SHOWN.items())
def test_the_page_shows_the_file_as_it_is(path: str, language: str) -> None:
    block = f"`{path}`:\n\n```{language}\n{(EXAMPLE / path).read_text()}```\n"
    assert block in PAGE.read_text()


def test_the_installed_package_is_listed(stranger: CleanEnvironment) -> None:
    rows = json.loads(stranger.script("sos-plugins", "list", "outcomes", "--json"))
    (row,) = [row for row in rows if row["name"] == "second-plan"]
    assert (row["plugin"], row["from"]) == ("second-plan", "sos-second-plan 0.1.0")


def test_the_installed_package_passes_the_checks(stranger: CleanEnvironment) -> None:
    rows = json.loads(stranger.script("sos-plugins", "check", "second-plan", "--json"))
    assert {row["result"] for row in rows} == {"passed"}
    assert len(rows) > 15


def test_it_derives_what_a_count_by_hand_gives(stranger: CleanEnvironment) -> None:
    found = json.loads(stranger.python_says(DERIVE))
    assert Path(found["file"]).is_relative_to(stranger.packages)
    assert found["offer"] == "sos-second-plan"
    expected = {}
    for plan in found["plans"]:
        if plan["end_date"] in (None, "None", "NaT"):
            continue
        ended = ordinal(plan["end_date"])
        if ended + 730 > ordinal(found["end"]):
            continue
        later = [
            ordinal(other["start_date"]) - ended
            for other in found["plans"]
            if (other["unit"], other["child"]) == (plan["unit"], plan["child"])
        ]
        again = any(1 <= days <= 730 for days in later)
        expected[plan["unit"], plan["child"], plan["end_date"]] = float(again)
    cases = {(c["unit"], c["child"], c["date"][:10]): c["value"] for c in found["cases"]}
    assert cases == expected
    assert {0.0, 1.0} == set(cases.values())


def ordinal(text: str) -> int:
    """Days since some day, to count with."""
    return dt.date.fromisoformat(text[:10]).toordinal()
