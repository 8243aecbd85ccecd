"""What the pages and docstrings say is true: examples run, every hook and column is there."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sos_estimators
import sos_linkers
import sos_matchers
import sos_outcomes
import sos_ratings
import sos_simulator
import sos_sources
from clean_environment import REPOSITORY

import sos_plugins
from sos_plugins.authors import derive, testing
from sos_plugins.contract import columns as schema
from sos_plugins.contract import record_tables
from sos_plugins.contract.interfaces import BALANCE_COLUMNS, OVERLAP_COLUMNS
from sos_plugins.host import registry as plugins
from sos_plugins.profile.record_profile import COVERAGE_COLUMNS, PROFILE_COLUMNS
from sos_plugins.study.composition import COLUMNS as COMPOSITION_COLUMNS
from sos_plugins.study.estimate import PROVENANCE_COLUMNS
from sos_plugins.study.rubin import IMPUTATION_COLUMNS

DOCS = REPOSITORY / "docs"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (DOCS / "hooks.md").read_text(), re.M | re.S)
HOOK = re.compile(r"^def (register_\w+)\(", re.M)


PACKAGES = (
    sos_plugins,
    sos_sources,
    sos_linkers,
    sos_simulator,
    sos_outcomes,
    sos_estimators,
    sos_matchers,
    sos_ratings,
)


def all_modules() -> list[str]:
    return [
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]


@pytest.mark.parametrize("name", all_modules())
def test_examples_in_docstrings_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def load_example(code: str, folder: Path) -> list[Any]:
    file = folder / "example.py"
    file.write_text(code)
    return plugins.load_file(plugins.load_plugins(), file)


@pytest.mark.parametrize("code", EXAMPLES, ids=[HOOK.findall(code)[0] for code in EXAMPLES])
def test_an_example_of_a_hook_loads(code: str, tmp_path: Path) -> None:
    (offer,) = load_example(code, tmp_path)
    assert f'name="{offer.name}"' in code or f'name = "{offer.name}"' in code


def test_the_example_of_imputation_fills_every_gap() -> None:
    page = (DOCS / "missing-data.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["cases"]["age"].isna().sum() == 1
    assert [table["age"].isna().sum() for table in names["data_sets"]] == [0] * 5
    known = names["cases"]["age"].notna()
    assert all(t["age"][known].equals(names["cases"]["age"][known]) for t in names["data_sets"])


@pytest.mark.parametrize(
    "hook",
    [
        "register_sources",
        "register_outcomes",
        "register_matchers",
        "register_poolings",
        "register_linkers",
        "register_imputers",
        "register_rating_rules",
        "register_rule_sets",
    ],
)
def test_an_example_of_a_hook_passes_its_kit(hook: str, tmp_path: Path) -> None:
    (code,) = [code for code in EXAMPLES if hook in HOOK.findall(code)]
    (offer,) = load_example(code, tmp_path)
    results = testing.run_checks(offer.kind, offer.obj)
    told = [r for r in results if r.result == "failed" and r.name != "describes_its_settings"]
    allowed = {"tells_strong_from_weak"} if hook == "register_rating_rules" else set()
    assert {r.name for r in told} <= allowed, told


def test_the_example_that_calls_a_trend_an_effect_is_caught(tmp_path: Path) -> None:
    (code,) = [code for code in EXAMPLES if "register_estimators" in HOOK.findall(code)]
    (offer,) = load_example(code, tmp_path)
    failed = {r.name for r in testing.run_checks("estimator", offer.obj) if r.result == "failed"}
    assert "finds_no_effect_where_there_is_none" in failed


@pytest.mark.parametrize(
    "columns",
    [
        schema.CASE_COLUMNS,
        schema.ROLE_COLUMNS,
        schema.SAMPLE_COLUMNS,
        schema.TIDY_COLUMNS,
        schema.BAND_COLUMNS,
        IMPUTATION_COLUMNS,
        schema.GLANCE_COLUMNS,
        schema.FURTHER_GLANCE_COLUMNS,
        PROVENANCE_COLUMNS,
        schema.POOLED_PILOT_COLUMNS,
        BALANCE_COLUMNS,
        OVERLAP_COLUMNS,
        COMPOSITION_COLUMNS,
        PROFILE_COLUMNS,
        COVERAGE_COLUMNS,
    ],
    ids=[
        "cases",
        "roles",
        "sample",
        "tidy",
        "band",
        "imputation",
        "glance",
        "further",
        "provenance",
        "pooled",
        "balance",
        "overlap",
        "composition",
        "profile",
        "coverage",
    ],
)
def test_every_column_stands_in_the_glossary_in_the_words_of_the_code(
    columns: dict[str, str],
) -> None:
    glossary = (DOCS / "glossary.md").read_text()
    absent = [f"| `{k}` | {v} |" for k, v in columns.items() if f"| `{k}` | {v} |" not in glossary]
    assert not absent


@pytest.mark.parametrize("table", record_tables.TABLES)
def test_every_record_table_stands_in_the_glossary(table: str) -> None:
    glossary = (DOCS / "glossary.md").read_text()
    section = glossary.split(f"### `{table}`")[1].split("###")[0]
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.M)
    assert listed == [(f.name, str(f.type).split("[")[0]) for f in record_tables.TABLES[table]]


def test_the_page_of_helpers_says_what_the_code_says() -> None:
    place = DOCS / "site_reference.py"
    spec = importlib.util.spec_from_file_location("site_reference", place)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    lists = made.helpers_lists()
    assert "`add_days(date: Any, days: int) -> Any`: Return the date a number of days" in lists
    names = {*derive.__all__, *testing.__all__, "tidy_rows", "glance", "balance_table"}
    assert not [name for name in names if f"\n- `{name}" not in lists]
    said = (DOCS / "helpers.md").read_text()
    assert said.endswith(lists), "write it again: python docs/site_reference.py"


LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = [m[0] for m in LINK.findall(page.read_text()) if not (page.parent / m[0]).exists()]
    assert not broken


def requirements() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return {re.match(r"[\w.-]+", text)[0] for part in lists for text in part}  # type: ignore[index]


def test_every_dependency_has_its_reason() -> None:
    listed = re.findall(r"^\| `([\w.-]+)` \| ", (DOCS / "dependencies.md").read_text(), re.M)
    assert sorted(listed) == sorted(requirements())


def test_the_changelog_starts_with_this_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    assert versions[:2] == ["Unreleased", project["version"]]
    citation = (REPOSITORY / "CITATION.cff").read_text()
    assert f"version: {project['version']}\n" in citation
    assert f"license: {project['license']}\n" in citation


def test_every_module_of_the_core_stands_in_the_architecture() -> None:
    core = Path(sos_plugins.__file__).parent
    parts = {f.name for f in core.glob("*.py")} - {"__init__.py"}
    parts |= {f"{f.name}/" for f in core.iterdir() if f.is_dir() and f.name != "__pycache__"}
    listed = re.findall(r"^\| `([\w.]+/?)` \| ", (DOCS / "architecture.md").read_text(), re.M)
    assert sorted(set(listed) - {"sos_plugins/"}) == sorted(parts)


CORE_FOLDERS = sorted(
    f.name
    for f in Path(sos_plugins.__file__).parent.iterdir()
    if f.is_dir() and f.name != "__pycache__"
)


@pytest.mark.parametrize("folder", CORE_FOLDERS)
def test_the_table_of_a_folder_names_its_modules_and_no_other(folder: str) -> None:
    page = (DOCS / "architecture.md").read_text()
    table = page.split(f"| `{folder}/` | holds |\n")[1].split("\n\n")[0]
    place = Path(sos_plugins.__file__).parent / folder
    there = {f.name for f in place.glob("*.py")} - {"__init__.py"}
    named = set(re.findall(r"\b\w+\.py\b", table))
    inside = {f.name for f in place.rglob("*.py")}  # a row on a folder may name what it holds
    assert there - named == set()
    assert named - inside == set()


def test_the_files_to_copy_and_to_touch_are_there() -> None:
    page = (DOCS / "where-new-code-goes.md").read_text()
    named = {path for path in re.findall(r"`([\w.-]+/[\w./-]*)`", page) if "NAME" not in path}
    assert len(named) > 0
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []
