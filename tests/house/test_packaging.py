"""One distribution whose import names collide with nothing; wheel and editable install."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clean_environment import REPOSITORY, CleanEnvironment, make_environment

PACKAGES = {
    "sos_plugins": "sos_plugins",
    "sos_sources": "sources/sos_sources",
    "sos_linkers": "sources/sos_linkers",
    "sos_simulator": "sources/sos_simulator",
    "sos_outcomes": "outcomes/sos_outcomes",
    "sos_estimators": "estimators/sos_estimators",
    "sos_matchers": "estimators/sos_matchers",
    "sos_ratings": "ratings/sos_ratings",
}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = PROJECT["entry-points"]["sos_plugins"]
LOCATE = f"""
import json
import sys
from importlib import import_module
from importlib.metadata import distribution
files = {{name: import_module(name).__file__ for name in {list(PACKAGES)}}}
print(json.dumps({{"files": files, "version": distribution("sos-plugins").version}}))
"""


def shipped_files() -> Iterator[str]:
    """Every file of the packages, as a path in the wheel."""
    for name, folder in PACKAGES.items():
        for file in (REPOSITORY / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield f"{name}/{file.relative_to(REPOSITORY / folder).as_posix()}"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    environment = make_environment(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    environment = make_environment(tmp_path_factory.mktemp("editable"))
    environment.install("-e", REPOSITORY)
    return environment


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_the_packages_and_nothing_else_at_the_top(content: set[str]) -> None:
    info = f"sos_plugins-{PROJECT['version']}.dist-info"
    assert {name.split("/")[0] for name in content} == {*PACKAGES, info}


def test_no_other_distribution_has_these_import_names() -> None:
    owners = importlib.metadata.packages_distributions()
    assert {name: owners.get(name, ["sos-plugins"]) for name in PACKAGES} == {
        name: ["sos-plugins"] for name in PACKAGES
    }


def test_every_file_of_the_packages_is_in_the_wheel(content: set[str]) -> None:
    assert set(shipped_files()) - content == set()


@pytest.mark.parametrize("ending", [".R", ".css", ".toml", ".md", "py.typed"])
def test_the_wheel_has_what_is_not_python(ending: str, content: set[str]) -> None:
    assert [name for name in content if name.endswith(ending)]


def test_the_wheel_carries_licence_and_entry_points(content: set[str], wheel: Path) -> None:
    info = f"sos_plugins-{PROJECT['version']}.dist-info"
    assert f"{info}/licenses/LICENSE" in content
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{info}/entry_points.txt").decode()
    for name, module in ENTRY_POINTS.items():
        assert f"{name} = {module}\n" in f"{text}\n"


def test_every_entry_point_lies_in_a_module_of_the_wheel(content: set[str]) -> None:
    for entry in ENTRY_POINTS.values():
        module = entry.partition(":")[0]  # the rest names an instance in it
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & content, module


def test_the_wheel_runs_from_outside_the_repository(installed: CleanEnvironment) -> None:
    places = json.loads(installed.python_says(LOCATE))
    assert places["version"] == PROJECT["version"]
    for file in places["files"].values():
        assert Path(file).is_relative_to(installed.packages)


def test_an_editable_install_runs_the_repository(editable: CleanEnvironment) -> None:
    places = json.loads(editable.python_says(LOCATE))
    for name, file in places["files"].items():
        assert Path(file) == REPOSITORY / PACKAGES[name] / "__init__.py"


@pytest.mark.parametrize("kind", ["installed", "editable"])
def test_the_console_script_loads_every_plugin(kind: str, request: pytest.FixtureRequest) -> None:
    environment: CleanEnvironment = request.getfixturevalue(kind)
    assert PROJECT["version"] in environment.script("sos-plugins", "--version")
    rows = json.loads(environment.script("sos-plugins", "list", "--json"))
    assert {row["plugin"] for row in rows} == set(ENTRY_POINTS)
    assert {row["from"] for row in rows} == {f"sos-plugins {PROJECT['version']}"}


def test_a_new_plugin_can_be_written_from_the_wheel(installed: CleanEnvironment) -> None:
    installed.script("sos-plugins", "new", "rating-rule", "mine")
    file = installed.folder / "work" / "mine.py"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("STILL_THE_EXAMPLE")))
    rows = json.loads(installed.script("sos-plugins", "check", "mine.py", "--json"))
    assert {row["result"] for row in rows} == {"passed"}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["installed", "editable"])
def test_type_checkers_follow_the_installation(kind: str, request: pytest.FixtureRequest) -> None:
    environment: CleanEnvironment = request.getfixturevalue(kind)
    program = "import sos_plugins\nreveal_type(sos_plugins.Session().seed)\n"
    said = environment.run(
        *(sys.executable, "-m", "mypy", "--python-executable", environment.python),
        *("--ignore-missing-imports", "--follow-imports=silent", "-c", program),
    )
    assert 'Revealed type is "int"' in said or 'Revealed type is "builtins.int"' in said
