"""A generated plugin passes its own test as generated, as a file and as a package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sos_plugins.authors import testing
from sos_plugins.authors.scaffold import KINDS, scaffold, stanza
from sos_plugins.errors import NotRegisteredError, PluginError
from sos_plugins.host.registry import load_file, load_plugins
from sos_plugins.study.file import parse_study

NAME = "fresh-idea"
MARK = re.compile(r"^STILL_THE_EXAMPLE = .*\n", re.MULTILINE)
"""The line that says that a plugin is still the example that was written."""
OPTIONS = ("--import-mode=importlib", "-p", "no:cacheprovider")
RUN_AS_PACKAGES = ("outcome", "source")
"""The tests of a package are those of the file but for one line; two kinds show that it fits."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of plugin, as a file in ``files/KIND`` and as a package in ``packages/KIND``."""
    folder = tmp_path_factory.mktemp("generated")
    for kind in KINDS:
        scaffold(kind, f"{NAME}-{kind}", folder / "files" / kind)
        scaffold(kind, f"{NAME}-{kind}", folder / "packages" / kind, package=True)
    return folder


def make_it_yours(file: Path) -> None:
    """Take out the line that says that the plugin is an example, as the failing check asks."""
    text, n = MARK.subn("", file.read_text())
    assert n == 1
    file.write_text(text)


@pytest.fixture(scope="module")
def results(generated: Path) -> dict[str, list[ET.Element]]:
    """Test cases of every generated test, run in one process, by kind and form.

    They are run on plugins that their author has changed.
    """
    generated = Path(shutil.copytree(generated, generated.with_name("generated-and-changed")))
    for kind in KINDS:
        name = f"{NAME}-{kind}".replace("-", "_")
        make_it_yours(generated / "files" / kind / f"{name}.py")
        (package,) = (generated / "packages" / kind).glob("*/src/*/__init__.py")
        make_it_yours(package)
    sources = [str(p) for p in generated.glob("packages/*/*/src")]
    sources += filter(None, [os.environ.get("PYTHONPATH")])
    folders = ["files", *(f"packages/{kind}" for kind in RUN_AS_PACKAGES)]
    report = generated / "report.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *OPTIONS, *folders],
        cwd=generated,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources), "SOS_NO_R": "1"},
        capture_output=True,
        check=False,
    )
    found: dict[str, list[ET.Element]] = {}
    for case in ET.parse(report).iter("testcase"):
        form, kind = str(case.get("classname")).split(".")[:2]
        found.setdefault(f"{form} {kind}", []).append(case)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "kind"),
    [*(("files", kind) for kind in KINDS), *(("packages", kind) for kind in RUN_AS_PACKAGES)],
)
def test_a_generated_plugin_passes_its_own_test(
    form: str, kind: str, results: dict[str, list[ET.Element]]
) -> None:
    cases = results[f"{form} {kind}"]
    broken = [
        f"{case.get('name')}: {problem.get('message')}"
        for case in cases
        for problem in [*case.findall("failure"), *case.findall("error")]
    ]
    skipped = [case for case in cases if case.findall("skipped")]
    assert not broken
    assert len(cases) - len(skipped) >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_that_was_not_changed_is_told_so(kind: str, tmp_path: Path) -> None:
    file = scaffold(kind, "second-idea", tmp_path)[0]

    def told() -> tuple[str, str]:
        registry = load_plugins()
        (offer,) = load_file(registry, file)
        if offer.host:
            checks = testing.estimator_checks(registry.engine_host(offer.host), engine=offer.obj)
        else:
            given: dict[str, str] | None = {} if kind == "source" else None
            checks = testing.CHECKS_OF[offer.kind](offer.obj, settings=given)
        (check,) = [check for check in checks if check.name == "is_no_longer_the_example"]
        found = check.result()
        return found.result, found.why

    result, why = told()
    assert result == "failed"
    assert why.startswith("It is the example that 'sos-plugins new' wrote: ")
    assert why.endswith(f"take out the line that begins with STILL_THE_EXAMPLE ({file}).")
    make_it_yours(file)
    assert told() == ("passed", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_file_loads_as_the_plugin_that_its_page_names(
    kind: str, generated: Path
) -> None:
    module = f"{NAME}-{kind}".replace("-", "_")
    folder = generated / "files" / kind
    offers = load_file(load_plugins(), folder / f"{module}.py")
    assert [(o.kind, o.name) for o in offers] == [(kind, f"{NAME}-{kind}")]
    page = (folder / f"{module}.md").read_text()
    assert f'paths = ["{module}.py"]' in page
    assert stanza(kind).replace("NEW-NAME", f"{NAME}-{kind}") in page


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_of_the_template_is_left(kind: str, generated: Path) -> None:
    for file in generated.glob(f"*/{kind}/**/*"):
        if file.suffix in (".py", ".md", ".toml"):
            text = file.read_text()
            old = ["NEW-", "KIND-WORDS", "SWITCH-ON", "CHECK-LINES", "SHOW-NAME", "STANZA"]
            words = kind.split("-")
            new = ["New" + "".join(w.capitalize() for w in words), "-".join(["new", *words])]
            assert not [word for word in (*old, *new, "plugin.py") if word in text], file


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_names_its_entry_point(kind: str, generated: Path) -> None:
    name = f"{NAME}-{kind}"
    folder = generated / "packages" / kind / f"sos-{name}"
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    package = f"sos_{name}".replace("-", "_")
    assert project["project"]["entry-points"]["sos_plugins"] == {name: package}
    assert (folder / "src" / package / "__init__.py").is_file()


@pytest.mark.parametrize("name", ["my-first", "my-first.toml"])
def test_a_generated_study_is_read(name: str, tmp_path: Path) -> None:
    (file,) = scaffold("study", name, tmp_path)
    assert file == tmp_path / "my-first.toml"
    assert parse_study(file.read_text(), where=str(file)).study.name == "my-first"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    scaffold("outcome", "mine", tmp_path)
    (tmp_path / "mine.py").write_text("# mine\n")
    (tmp_path / "test_mine.py").unlink()
    with pytest.raises(PluginError, match=r"mine\.py exists already; nothing was written"):
        scaffold("outcome", "mine", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "# mine\n"
    assert not (tmp_path / "test_mine.py").exists()


@pytest.mark.parametrize("name", ["Second-Plan", "second plan", "second_plan", "2nd", "../x", ""])
def test_a_name_that_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="not lower-case words joined by hyphens"):
        scaffold("outcome", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_names_the_kinds(tmp_path: Path) -> None:
    with pytest.raises(NotRegisteredError, match=r"Did you mean 'outcome'\? Kinds: engine, "):
        scaffold("outcom", "mine", tmp_path)


def test_a_study_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="leave --package out"):
        scaffold("study", "mine", tmp_path, package=True)
