"""Rules that keep the house in order: what may import what, and what the core may not know."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from clean_environment import REPOSITORY

from sos_plugins.contract.interfaces import Estimator
from sos_plugins.contract.settings import BRIDGES_EMPTY_PERIODS
from sos_plugins.host.kinds import KINDS, WITH_ENGINES
from sos_plugins.host.registry import each_engine, load_plugins
from sos_plugins.host.settings import field_marked

CORE = REPOSITORY / "sos_plugins"
PLUGIN_PACKAGES = {
    "sos_sources": REPOSITORY / "sources" / "sos_sources",
    "sos_linkers": REPOSITORY / "sources" / "sos_linkers",
    "sos_simulator": REPOSITORY / "sources" / "sos_simulator",
    "sos_outcomes": REPOSITORY / "outcomes" / "sos_outcomes",
    "sos_estimators": REPOSITORY / "estimators" / "sos_estimators",
    "sos_matchers": REPOSITORY / "estimators" / "sos_matchers",
    "sos_ratings": REPOSITORY / "ratings" / "sos_ratings",
}
BUILT_ON = {"sos_simulator": {"sos_sources"}}
"""What is simulated is read back by the readers of the formats that it is written in."""
TEMPLATES = CORE / "authors" / "templates"
"""Files that ``sos-plugins new`` copies: plugins that no part of the core imports."""


def modules(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*.py") if TEMPLATES not in f.parents)


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Every text in a file that is no docstring, with its line."""
    tree = ast.parse(file.read_text())
    bare = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.lineno, node.value


def relative(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))


@pytest.mark.parametrize("file", modules(CORE), ids=relative)
def test_the_core_imports_no_plugin(file: Path) -> None:
    tops = {name.split(".")[0] for name in imported(file)}
    assert tops & set(PLUGIN_PACKAGES) == set()


@pytest.mark.parametrize("package", PLUGIN_PACKAGES)
def test_a_plugin_package_imports_no_other(package: str) -> None:
    others = set(PLUGIN_PACKAGES) - {package} - BUILT_ON.get(package, set())
    for file in modules(PLUGIN_PACKAGES[package]):
        assert {name.split(".")[0] for name in imported(file)} & others == set(), relative(file)


@pytest.mark.parametrize("file", sorted(TEMPLATES.rglob("*.py")), ids=relative)
def test_templates_import_no_plugin(file: Path) -> None:
    tops = {name.split(".")[0] for name in imported(file)}
    assert tops & set(PLUGIN_PACKAGES) == set()


@pytest.mark.parametrize("package", PLUGIN_PACKAGES)
def test_plugins_do_without_the_command_line(package: str) -> None:
    for file in modules(PLUGIN_PACKAGES[package]):
        assert not [name for name in imported(file) if name.startswith("sos_plugins.cli")]


ONE_SITTING = 2_050
"""Lines that are not empty."""


def test_the_contract_is_as_long_as_its_readers_are_told() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    (told,) = re.findall(r"An author reads these, about ([\d,]+) lines that are not empty", page)
    texts_of = [file.read_text() for file in modules(CORE / "contract")]
    lines = [line for text in texts_of for line in text.splitlines() if line.strip()]
    assert round(len(lines), -2) == int(told.replace(",", ""))
    assert len(lines) <= ONE_SITTING, "move what an author need not read to the layer that uses it"


@pytest.mark.parametrize("file", modules(CORE), ids=relative)
def test_imports_are_absolute(file: Path) -> None:
    assert not [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]


LAYERS = (
    "errors",
    "system",
    "backends",
    "r",
    "groundwork",
    "contract",
    "tables",
    "cells",
    "host",
    "cache",
    "authors.derive",
    "authors.results",
    "authors.scaffold",
    "profile",
    "study",
    "authors.testing",
    "report",
    "release",
    "interactive",
    "cli",
)
"""Parts of the core from the ground up: each may import from those before it, none from those after
it, not for the names of types either."""


@functools.cache
def core_modules() -> dict[str, Path]:
    """Every module of the core by its full name; that of a package is its ``__init__``."""
    named = {}
    for file in modules(CORE):
        parts = file.relative_to(REPOSITORY).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return named


def core_imports(file: Path) -> Iterator[str]:
    """Every module of the core that a file imports, ``TYPE_CHECKING`` and functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in core_modules() else node.module for name in full]
        yield from (name for name in names if name in core_modules())


def layer(module: str) -> int | None:
    """The layer of a module of the core; None for the package itself and what starts it."""
    inside = f"{module.removeprefix('sos_plugins').removeprefix('.')}."
    places = [n for n, name in enumerate(LAYERS) if inside.startswith(f"{name}.")]
    return max(places, key=lambda n: len(LAYERS[n])) if places else None


def test_every_module_of_the_core_is_in_a_layer() -> None:
    outside = {name for name in core_modules() if layer(name) is None}
    assert outside == {"sos_plugins", "sos_plugins.__main__", "sos_plugins.authors"}


@pytest.mark.parametrize("module", core_modules())
def test_imports_of_the_core_run_one_way(module: str) -> None:
    own = layer(module)
    if own is None:
        return
    above = [name for name in core_imports(core_modules()[module]) if (layer(name) or 0) > own]
    assert not above, f"{LAYERS[own]} imports what is built on it"


def test_the_core_has_no_import_circle() -> None:
    graph = {name: set(core_imports(file)) - {name} for name, file in core_modules().items()}
    graph["sos_plugins"] = set()  # it offers names for others, from their modules when asked
    graph["sos_plugins.study"] = set()
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


@functools.cache
def names_of_outcomes() -> frozenset[str]:
    return frozenset(load_plugins().names("outcome"))


WORDS_OF_OUTCOMES = ("icpc", "kinship", "rereferral", "re-referral", "escalation")
"""What only outcomes may know; ``icpc_date`` and the like are columns of the census."""
COLUMN = re.compile(r"icpc_(date|target_date|not_required)")


@pytest.mark.parametrize("file", modules(CORE), ids=relative)
def test_no_line_of_the_core_knows_an_outcome(file: Path) -> None:
    known = [
        f"line {line}: {text!r}"
        for line, text in texts(file)
        if text in names_of_outcomes()
        or any(word in COLUMN.sub("", text).lower() for word in WORDS_OF_OUTCOMES)
    ]
    assert not known


LANGUAGES = {"python", "r"}
"""Engines that are named after their language: where the core says these words, as in
``Requirement.language``, it means the language."""
KINDS_OF_SAMPLE = set(typing.get_args(typing.get_type_hints(Estimator)["sample"].__args__[0]))
"""Words of the contract, one of which is the name of an estimator too."""
TABLES_OF_STUDIES = {"imputation"}
"""A table of study files that an estimator has the name of: the core says it of the table."""


@functools.cache
def names_of_methods() -> frozenset[str]:
    """Names of estimators, matchers and engines, but for those that the core's own words are."""
    registry = load_plugins()
    names = {name for kind in WITH_ENGINES for name in registry.names(kind)}
    names |= {engine.name for _, _, engine in each_engine(registry)}
    return frozenset(names - LANGUAGES - KINDS_OF_SAMPLE - TABLES_OF_STUDIES)


def named(text: str) -> list[str]:
    """Names in a text: the whole of it, in quotation marks, or, of joined words, anywhere."""
    whole = [name for name in names_of_methods() if text == name]
    joined = [name for name in names_of_methods() if "-" in name]
    quoted = re.findall(r"['`\"]([a-z0-9-]+)['`\"]", text)
    within = [n for n in joined if re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", text)]
    return sorted({*whole, *within, *(name for name in quoted if name in names_of_methods())})


@pytest.mark.parametrize("file", modules(CORE), ids=relative)
def test_no_line_of_the_core_knows_an_estimator_a_matcher_or_an_engine(file: Path) -> None:
    """Templates and docstrings apart, and the R packages that a ``Requirement`` names."""
    needs = {
        argument.lineno
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Requirement"
        for argument in node.args
    }
    known = [f"line {n}: {text!r}" for n, text in texts(file) if n not in needs and named(text)]
    assert not known


def test_a_name_of_a_method_in_a_text_is_noticed() -> None:
    assert named("Run event-study too") == named("event-study") == ["event-study"]
    assert named("Use 'bacon' for that.") == named("bacon") == ["bacon"]
    assert not named("what it did") + named("event-study-") + named("python") + named("stacked")


def settings_of_plugins() -> set[str]:
    """Names of the settings of estimators and matchers."""
    registry = load_plugins()
    offers = [*registry.offers("estimator"), *registry.offers("matcher")]
    return {name for offer in offers for name in offer.obj.Settings.model_fields}


@pytest.mark.parametrize("name", ["anticipation", "file", "leads_df", "aggregate", "control"])
def test_no_setting_of_a_method_is_special_to_the_core(name: str) -> None:
    assert name in {*settings_of_plugins(), "file"}
    for file in modules(CORE / "study"):
        assert name not in {text for _, text in texts(file)}, relative(file)


def test_every_setting_that_skips_periods_before_treatment_bridges_empty_ones() -> None:
    for offer in load_plugins().offers("estimator"):
        if "anticipation" in offer.obj.Settings.model_fields:
            marked = field_marked(offer.obj.Settings, BRIDGES_EMPTY_PERIODS)
            assert marked == "anticipation", offer.name


def test_the_names_of_outcomes_are_no_identifiers_of_the_core() -> None:
    for file in modules(CORE):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.Name, ast.Attribute, ast.FunctionDef, ast.ClassDef)):
                name = getattr(node, "id", None) or getattr(node, "attr", None) or node.name  # type: ignore[union-attr]
                assert not any(w.replace("-", "") in name.lower() for w in WORDS_OF_OUTCOMES), (
                    f"{relative(file)}: {name}"
                )


def test_built_in_plugins_come_through_entry_points() -> None:
    registry = load_plugins()
    distributions = {info.distribution for info in registry.plugins.values()}
    assert distributions == {"sos-plugins"}
    for kind in KINDS:
        assert registry.names(kind), kind


WRITES = {"append", "extend", "update", "setdefault", "add", "pop", "clear", "insert", "remove"}
"""Methods that change a list, a set or a table of names in place."""


def frozen_classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Every class of the project that is a frozen dataclass."""
    for root in (CORE, *PLUGIN_PACKAGES.values()):
        for file in modules(root):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and any(
                    "frozen=True" in ast.unparse(d) for d in node.decorator_list
                ):
                    yield file, node


def writes_into_self(node: ast.AST) -> bool:
    """Whether a statement changes what an object holds, as ``self.x.append(y)`` does."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        held = ast.unparse(node.func.value)
        return node.func.attr in WRITES and held.startswith("self.")
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(ast.unparse(target).startswith("self.") for target in targets)
    return False


def test_frozen_objects_are_not_written_into() -> None:
    """Nor are fields set but while the object is made; what notes things as it works is no data."""
    written = []
    for file, cls in frozen_classes():
        for method in (n for n in cls.body if isinstance(n, ast.FunctionDef)):
            sets = ast.unparse(method).count("object.__setattr__") * (
                method.name != "__post_init__"
            )
            if sets or any(writes_into_self(node) for node in ast.walk(method)):
                written.append(f"{relative(file)}: {cls.name}.{method.name}")
    assert not written


WRITABLE = re.compile(r"(ClassVar\[)?(list|dict|set|bytearray|defaultdict|Counter)\b")
"""Types of which every holder can change what is in them; a type checker lets nobody write into a
``Mapping``, a ``Sequence`` or a tuple."""


def test_frozen_objects_hold_nothing_that_others_may_write_into() -> None:
    writable = [
        f"{relative(file)}: {cls.name}.{ast.unparse(field)}"
        for file, cls in frozen_classes()
        for field in cls.body
        if isinstance(field, ast.AnnAssign) and WRITABLE.match(ast.unparse(field.annotation))
    ]
    assert not writable


FORBIDDEN = re.compile(r"\b(NotImplementedError|TODO|FIXME|XXX)\b")


@pytest.mark.parametrize("folder", ["sos_plugins", *(p.name for p in PLUGIN_PACKAGES.values())])
def test_nothing_is_left_unfinished(folder: str) -> None:
    root = PLUGIN_PACKAGES.get(folder, CORE)
    for file in [*root.rglob("*.py"), *root.rglob("*.R")]:
        assert not FORBIDDEN.findall(file.read_text()), relative(file)
