"""What the doctor says of this installation, and of one with gaps."""

from __future__ import annotations

import doctest
import importlib.metadata
import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sos_plugins.cli import main
from sos_plugins.host import doctor
from sos_plugins.host.registry import each_engine, load_plugins

PLUGIN = """
from sos_plugins import Engine, Requirement, hookimpl

@hookimpl
def register_engines(register):
    wants = Requirement("python", "no_such_module", "pip install no-such-module")
    for host in ("did", "event-study"):
        register(host, Engine("wanting", lambda sample, options: None, requires=(wants,)))
"""


@pytest.fixture
def wanting(tmp_path: Path) -> Path:
    """A plugins.toml with a plugin whose engines lack a package."""
    (tmp_path / "wanting.py").write_text(PLUGIN)
    config = tmp_path / "plugins.toml"
    config.write_text('[plugins]\npaths = ["wanting.py"]\n')
    return config


def test_versions_are_those_that_are_installed() -> None:
    report = doctor.examine(load_plugins())
    assert report.python.startswith(platform.python_version())
    assert report.packages["numpy"] == importlib.metadata.version("numpy")
    assert {"ibis-framework", "pydantic"} <= set(report.packages)
    assert "not installed" not in report.packages.values()
    assert not {"pytest", "rpy2", "mypy"} & set(report.packages)


def test_every_engine_and_plugin_is_listed(wanting: Path) -> None:
    registry = load_plugins(wanting)
    report = doctor.examine(registry)
    assert {(e.name, e.engine) for e in report.engines} == {
        (name, engine.name) for _, name, engine in each_engine(registry)
    }
    assert [p.name for p in report.plugins] == sorted(registry.plugins)
    assert report.config == str(wanting)


def test_a_gap_is_told_once_with_the_line_that_mends_it(
    wanting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOS_NO_R", "1")
    report = doctor.examine(load_plugins(wanting))
    gap = "the Python package 'no_such_module' is not installed (pip install no-such-module)"
    assert [e.runs for e in report.engines if e.engine == "wanting"] == [False, False]
    assert report.gaps.count(gap) == 1
    page = doctor.render(report)
    assert "did, engine wanting" in page
    assert page.partition("What is missing")[2].count("pip install no-such-module") == 1


def test_without_r_the_engines_in_r_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOS_NO_R", "1")
    report = doctor.examine(load_plugins())
    assert {e.runs for e in report.engines if e.language == "R"} == {False}
    assert {e.runs for e in report.engines if e.language == "Python"} == {True}
    assert report.r == {}
    assert "switched off" in report.r_problem
    assert "not used: R is switched off" in doctor.render(report)


@pytest.mark.r
def test_with_r_the_versions_of_its_packages_are_told() -> None:
    report = doctor.examine(load_plugins())
    assert report.r_problem == ""
    assert report.r["R"][0].isdigit()
    assert report.r["sandwich"] != "not installed"
    runs = {(e.name, e.engine): e.runs for e in report.engines}
    assert runs["did", "r"]


def test_the_command_prints_json(wanting: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", "--json", "--no-r", "--plugins", str(wanting)])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["version"] == importlib.metadata.version("sos-plugins")
    assert any("no-such-module" in gap for gap in told["gaps"])
    assert {"python", "platform", "packages", "r", "engines", "plugins", "config"} <= set(told)


def test_the_answer_is_one_line_before_the_details(
    wanting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOS_NO_R", "1")
    report = doctor.examine(load_plugins(wanting))
    first, second, *_ = doctor.render(report).splitlines()
    n = len(report.engines)
    assert first.startswith(f"Ready, with {sum(e.runs for e in report.engines)} of {n} engines.")
    assert "pip install no-such-module" in first
    assert "R is switched off" in first
    assert second == ""
    told = doctor.as_dict(report)
    assert (told["answer"], told["ready"]) == (first, True)


def test_without_a_package_it_is_not_ready_and_with_all_it_is() -> None:
    report = doctor.examine(load_plugins())
    run = tuple(replace(engine, missing=(), runs=True) for engine in report.engines)
    whole = replace(report, engines=run)
    assert whole.answer == f"Ready: all {len(run)} engines can run."
    less = replace(whole, packages={**report.packages, "numpy": "not installed"})
    assert less.answer == "Not ready: packages are missing. To mend it: pip install 'numpy'"


def test_one_line_installs_all_that_one_command_can() -> None:
    assert doctest.testmod(doctor).failed == 0
    in_r = "in R: install.packages"
    assert doctor.mends([f'no did ({in_r}("did"))', f'no fixest ({in_r}("fixest"))']) == [
        f'{in_r}(c("did", "fixest"))'
    ]
    gaps = [
        "the R package 'mice' is not installed (Debian: sudo apt-get install r-cran-mice)",
        "the R package 'nnet' is not installed (Debian: sudo apt-get install r-cran-nnet)",
        "R is not installed or does not start (Debian: sudo apt-get install r-base-core): no R",
        "the Python package 'x' is older than 0.60 (pip install 'x>=0.60')",
        "the Python package 'rpy2' is not installed (pip install 'p[r]'; with an old R: 'q')",
    ]
    assert doctor.mends(gaps) == [
        "sudo apt-get install r-cran-mice r-cran-nnet r-base-core",
        "pip install 'x>=0.60' 'p[r]'",
    ]
