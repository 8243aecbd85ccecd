"""The plugin host: what it loads, and the sentence for everything that can be wrong."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clean_environment import REPOSITORY

from sos_plugins.contract import hookspecs
from sos_plugins.contract.types import Tolerance
from sos_plugins.errors import (
    EngineUnavailableError,
    NotRegisteredError,
    PluginError,
    SettingsError,
)
from sos_plugins.host.registry import Registry, find_config, load_file, load_plugins, read_config

HOOKS = sorted(name for name in dir(hookspecs) if name.startswith("register_"))
HOOKS_PAGE = REPOSITORY / "docs" / "hooks.md"

HEAD = """
import sos_plugins
from sos_plugins import *
from sos_plugins import hookimpl

class Mine(Outcome):
    name = "mine"
    label = "Mine"
    needs = ("cases",)
    def info(self, settings): ...
    def derive(self, records, settings, session): ...

class MySource(Source):
    name = "my-source"
    label = "Mine"
    gives = ("cases",)
    def read(self, settings, session): ...

class MyEstimator(Estimator):
    name = "my-estimator"
    label = "Mine"
    engines = (Engine("python", lambda sample, options: "own"),)
    def headline(self, options): return "ATT"

class MyMatcher(Matcher):
    name = "my-matcher"
    label = "Mine"
    level = "units"
    engines = (Engine("python", lambda task, settings: "own"),)

class MyRule(RatingRule):
    name = "my-rule"
    label = "Mine"
    levels = ("low", "high")
    def rate(self, evidence, settings): ...
"""

REGISTER = """
@hookimpl
def register_outcomes(register):
    register(Mine())
"""

Load = Callable[..., Registry]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load the installed plugins and files of plugins, with a plugins.toml."""

    def load(text: str = "", *, toml: str = "", **files: str) -> Registry:
        files = {**({"mine": HEAD + text} if text else {}), **files}
        for name, content in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(content))
        paths = ", ".join(f'"{name}.py"' for name in files)
        config = tmp_path / "plugins.toml"
        config.write_text(toml if "[plugins]" in toml else f"[plugins]\npaths = [{paths}]\n{toml}")
        return load_plugins(config)

    return load


def line_of(folder: Path, text: str, file: str = "mine.py") -> int:
    lines = (folder / file).read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if text in line)


# Each hook ----------------------------------------------------------------------------------------


def test_register_sources(load: Load) -> None:
    registry = load("@hookimpl\ndef register_sources(register): register(MySource())")
    assert registry.source("my-source").gives == ("cases",)


def test_register_outcomes(load: Load) -> None:
    registry = load(REGISTER)
    assert registry.outcome("mine").needs == ("cases",)
    offer = registry.offer("outcome", "mine")
    assert (offer.plugin, offer.distribution, Path(offer.file).name) == (
        "mine",
        "local file",
        "mine.py",
    )


def test_register_matchers(load: Load) -> None:
    registry = load("@hookimpl\ndef register_matchers(register): register(MyMatcher())")
    assert registry.matcher("my-matcher").level == "units"
    assert registry.engine("my-matcher").fit(None, None) == "own"


def test_register_estimators(load: Load) -> None:
    registry = load("@hookimpl\ndef register_estimators(register): register(MyEstimator())")
    assert registry.estimator("my-estimator").headline(None) == "ATT"
    assert registry.engine_plugin("my-estimator", "python").name == "mine"


def test_register_engines(load: Load) -> None:
    registry = load(
        "@hookimpl\ndef register_engines(register):\n"
        "    register('did', Engine('mine', lambda sample, options: 'new'))"
    )
    own = [e.name for e in registry.estimator("did").engines]
    assert [e.name for e in registry.engines("did")] == [*own, "mine"]
    assert registry.engine("did", "mine").fit(None, None) == "new"
    assert registry.engine_plugin("did", "mine").name == "mine"
    assert registry.engine_plugin("did", "python").name == "did"


def test_register_rating_rules(load: Load) -> None:
    registry = load("@hookimpl\ndef register_rating_rules(register): register(MyRule())")
    assert registry.rating_rule("my-rule").levels == ("low", "high")


def test_register_poolings(load: Load) -> None:
    registry = load(
        "class MyPooling(sos_plugins.Pooling):\n"
        "    name, label = 'my-pooling', 'Mine'\n"
        "    engines = (Engine('python', lambda effects, settings: 'pooled'),)\n"
        "@hookimpl\ndef register_poolings(register): register(MyPooling())\n"
        "@hookimpl\ndef register_engines(register):\n"
        "    register('my-pooling', Engine('other', lambda effects, settings: 'too'))"
    )
    assert [e.name for e in registry.engines("my-pooling")] == ["python", "other"]
    assert registry.engine("my-pooling", "other").fit(None, None) == "too"
    assert (
        registry.engine_plugin("my-pooling", "other").name
        == registry.offer("pooling", "my-pooling").plugin
    )


def test_register_imputers(load: Load) -> None:
    registry = load(
        "class MyImputer(sos_plugins.Imputer):\n"
        "    name, label = 'my-imputer', 'Mine'\n"
        "    engines = (Engine('python', lambda task, settings: 'imputed'),)\n"
        "@hookimpl\ndef register_imputers(register): register(MyImputer())\n"
        "@hookimpl\ndef register_engines(register):\n"
        "    register('my-imputer', Engine('other', lambda task, settings: 'too'))"
    )
    assert [e.name for e in registry.engines("my-imputer")] == ["python", "other"]
    assert registry.engine("my-imputer", "other").fit(None, None) == "too"


def test_register_linkers(load: Load) -> None:
    registry = load(
        "class MyLinker(sos_plugins.Linker):\n"
        "    name, label = 'my-linker', 'Mine'\n"
        "    def link(self, records, settings, session): return 'linked'\n"
        "@hookimpl\ndef register_linkers(register): register(MyLinker())"
    )
    assert registry.linker("my-linker").link(None, None, None) == "linked"


def test_register_rule_sets(load: Load) -> None:
    registry = load(
        "class MyRules(sos_plugins.RuleSet):\n"
        "    name, label, needs = 'my-rules', 'Mine', ('referrals',)\n"
        "    def rules(self, settings): return []\n"
        "@hookimpl\ndef register_rule_sets(register): register(MyRules())"
    )
    assert registry.rule_set("my-rules").needs == ("referrals",)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test_here(hook: str) -> None:
    assert f"test_{hook}" in globals()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_stands_in_the_docs_with_its_signature(hook: str) -> None:
    function = getattr(hookspecs, hook)
    signature = f"{hook}{inspect.signature(function)}".replace("'", "")
    assert f"### `{signature}`" in HOOKS_PAGE.read_text()
    assert ">>>" in (function.__doc__ or "")


# What is wrong with a plugin ----------------------------------------------------------------------

OFFER = "@hookimpl\ndef {hook}(register):\n    register({obj})  # here\n"


def offering(obj: str, hook: str = "register_outcomes", before: str = "") -> str:
    return before + OFFER.format(hook=hook, obj=obj)


FAULTS: dict[str, tuple[str, str]] = {
    "a class instead of an instance": (
        offering("Mine"),
        "register was given the class Mine, not an instance. Write Mine().",
    ),
    "an object of another kind": (
        offering("MySource()"),
        "register was given a MySource, expected an instance of a class derived from "
        "sos_plugins.Outcome.",
    ),
    "no label": (
        offering("Mine()", before="Mine.label = ''\n"),
        'Mine has no label. Give the class an attribute label = "...".',
    ),
    "a name that does not fit": (
        offering("Mine()", before="Mine.name = 'My Outcome'\n"),
        "the name 'My Outcome' is not lower-case words joined by hyphens, such as 'second-plan'.",
    ),
    "no needs": (
        offering("Mine()", before="del Mine.needs\n"),
        'Mine has no needs. Give the class needs = ("...",).',
    ),
    "needs that are one text": (
        offering("Mine()", before="Mine.needs = 'cases'\n"),
        'Mine has no needs. Give the class needs = ("...",).',
    ),
    "settings that are no model": (
        offering("Mine()", before="Mine.Settings = dict\n"),
        "Mine.Settings must be a class derived from sos_plugins.Settings.",
    ),
    "settings that let unknown names pass": (
        offering(
            "Mine()", before="class Loose(Settings, extra='ignore'): ...\nMine.Settings = Loose\n"
        ),
        "Mine.Settings lets unknown names pass. Derive it from sos_plugins.Settings.",
    ),
    "a duplicate name": (
        offering("Mine()", before="Mine.name = 'icpc'\n"),
        "the outcome 'icpc' is registered already, by plugin 'icpc'",
    ),
    "no engines": (
        offering("MyEstimator()", "register_estimators", "MyEstimator.engines = ()\n"),
        "it has no engines. Give the class an attribute engines = (Engine(...),).",
    ),
    "an engine that is none": (
        offering("MyEstimator()", "register_estimators", "MyEstimator.engines = (len,)\n"),
        "the engine <built-in function len> is no sos_plugins.Engine.",
    ),
    "two engines of one name": (
        offering("MyEstimator()", "register_estimators", "MyEstimator.engines *= 2\n"),
        "it has two engines of one name among python, python.",
    ),
    "an engine that cannot be called": (
        offering(
            "MyEstimator()", "register_estimators", "MyEstimator.engines = (Engine('x', 1),)\n"
        ),
        "the fit of engine 'x' is not callable.",
    ),
    "a matcher of nothing": (
        offering("MyMatcher()", "register_matchers", "MyMatcher.level = 'children'\n"),
        "MyMatcher.level must be 'units' or 'cases'.",
    ),
    "an engine for nobody": (
        offering("'didd', MyEstimator.engines[0]", "register_engines"),
        "there is no estimator, matcher, pooling or imputer 'didd' to add an engine to. Did you "
        "mean 'did'?",
    ),
    "an engine that is there already": (
        offering("'did', MyEstimator.engines[0]", "register_engines"),
        "'did' has an engine 'python' already.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_offer_is_refused_with_file_and_line(fault: str, load: Load, tmp_path: Path) -> None:
    text, sentence = FAULTS[fault]
    with pytest.raises(PluginError) as caught:
        load(text)
    place = f"Plugin 'mine' ({tmp_path / 'mine.py'}, line {line_of(tmp_path, '# here')}): "
    assert str(caught.value).startswith(place)
    assert sentence in str(caught.value)


def test_a_forgotten_hookimpl(load: Load, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        load("def register_outcomes(register): register(Mine())")
    line = line_of(tmp_path, "def register_outcomes")
    assert str(caught.value) == (
        f"Plugin 'mine': register_outcomes ({tmp_path / 'mine.py'}, line {line}) is not marked. "
        "Put @sos_plugins.hookimpl above it."
    )


def test_a_forgotten_hookimpl_on_what_has_no_source(load: Load) -> None:
    with pytest.raises(PluginError, match=r"register_outcomes .* is not marked"):
        load("register_outcomes = print")


def test_a_misspelt_hook(load: Load) -> None:
    with pytest.raises(PluginError, match="'register_outcome'") as caught:
        load("@hookimpl\ndef register_outcome(register): register(Mine())")
    assert "Did you mean 'register_outcomes'?" in str(caught.value)
    assert "Plugin 'mine' (" in str(caught.value)


def test_a_hook_with_another_argument(load: Load) -> None:
    with pytest.raises(PluginError, match=r"Plugin 'mine' .* cannot be registered: .*registry"):
        load("@hookimpl\ndef register_outcomes(registry): registry(Mine())")


def test_a_plugin_without_hooks(load: Load) -> None:
    with pytest.raises(PluginError, match="offers nothing: it has no function marked with") as e:
        load("x = 1")
    assert all(hook in str(e.value) for hook in HOOKS)


def test_a_hook_that_offers_nothing(load: Load) -> None:
    with pytest.raises(PluginError, match=r"its hooks never called register\(\.\.\.\)"):
        load("@hookimpl\ndef register_outcomes(register): Mine()")


def test_a_hook_that_fails(load: Load, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        load("@hookimpl\ndef register_outcomes(register):\n    register(1 / 0)")
    line = line_of(tmp_path, "1 / 0")
    assert "register_outcomes failed with ZeroDivisionError: division by zero" in str(caught.value)
    assert f"({tmp_path / 'mine.py'}, line {line})." in str(caught.value)


def test_a_class_that_lacks_a_method(load: Load) -> None:
    with pytest.raises(PluginError, match=r"TypeError: .*abstract.*derive"):
        load(
            "class Half(Outcome):\n    name = label = 'half'\n    needs = ()\n"
            "    def info(self, settings): ...\n" + offering("Half()")
        )


@pytest.mark.parametrize(
    ("content", "said", "line"),
    [
        ("import os\nimport nothing_there\n", "ModuleNotFoundError: No module named", 2),
        ("x = 1\n\ndef f(:\n", "SyntaxError", 3),
        ("def f():\n    return {}['a']\n\nf()\n", "KeyError: 'a'", 2),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3", 2),
    ],
)
def test_a_failing_import_names_the_line(
    content: str, said: str, line: int, load: Load, tmp_path: Path
) -> None:
    with pytest.raises(PluginError) as caught:
        load(mine=content)
    assert "Plugin 'mine'" in str(caught.value)
    assert said in str(caught.value)
    assert f"({tmp_path / 'mine.py'}, line {line})" in str(caught.value)
    assert "Mend it" in str(caught.value)


# Files and packages -------------------------------------------------------------------------------


def test_a_path_without_a_file(load: Load, tmp_path: Path) -> None:
    with pytest.raises(PluginError) as caught:
        load(toml='[plugins]\npaths = ["no/such.py"]')
    assert str(caught.value) == (
        f"{tmp_path / 'plugins.toml'}: [plugins] paths names no/such.py, but there is no file "
        f"{tmp_path / 'no/such.py'}. Paths are relative to the folder of plugins.toml."
    )


def test_a_file_named_like_an_installed_plugin(load: Load) -> None:
    with pytest.raises(PluginError, match=r"a plugin named 'icpc' is loaded already.*Rename"):
        load(icpc=HEAD + REGISTER)


def test_load_file_gives_what_the_file_offers(tmp_path: Path) -> None:
    file = tmp_path / "two_things.py"
    file.write_text(HEAD + REGISTER + offering("MyRule()", "register_rating_rules"))
    offers = load_file(load_plugins(), file)
    assert [(o.kind, o.name, o.plugin) for o in offers] == [
        ("outcome", "mine", "two-things"),
        ("rating-rule", "my-rule", "two-things"),
    ]


def test_load_file_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"There is no plugin file .*none\.py"):
        load_file(load_plugins(), tmp_path / "none.py")


Distribution = Callable[..., None]


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distribution:
    """Install a made-up package: its module and the metadata that pip would write."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def install(name: str, module: str, content: str, **entries: str) -> None:
        (site / f"{module}.py").write_text(HEAD + content)
        info = site / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [f"{entry.replace('_', '-')} = {value}" for entry, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[sos_plugins]", *lines, ""]))

    return install


def test_a_strangers_package_is_loaded_like_the_built_ins(
    distribution: Distribution, load: Load
) -> None:
    distribution("sos-strange", "sos_strange_a", REGISTER, strange="sos_strange_a")
    offer = load().offer("outcome", "mine")
    assert (offer.plugin, offer.distribution, offer.version) == ("strange", "sos-strange", "1.2")
    assert load().plugins["icpc"].distribution == "sos-plugins"


def test_two_packages_with_the_same_entry_point(distribution: Distribution, load: Load) -> None:
    distribution("sos-one", "sos_strange_b", REGISTER, strange="sos_strange_b")
    distribution("sos-two", "sos_strange_c", REGISTER, strange="sos_strange_c")
    with pytest.raises(
        PluginError, match="Two installed packages offer a plugin named 'strange'"
    ) as e:
        load()
    assert "sos-one (sos_strange_b)" in str(e.value)
    assert "sos-two (sos_strange_c)" in str(e.value)


def test_an_entry_point_that_names_a_class(distribution: Distribution, load: Load) -> None:
    distribution("sos-one", "sos_strange_d", REGISTER, strange="sos_strange_d:Mine")
    with pytest.raises(PluginError, match="is the class Mine; an entry point must name"):
        load()


def test_an_entry_point_may_name_an_instance(distribution: Distribution, load: Load) -> None:
    plugin = (
        "class Plugin:\n    @hookimpl\n    def register_outcomes(self, register):\n"
        "        register(Mine())\nplugin = Plugin()\n"
    )
    distribution("sos-one", "sos_strange_e", plugin, strange="sos_strange_e:plugin")
    offer = load().offer("outcome", "mine")
    assert Path(offer.file).name == "sos_strange_e.py"


def test_an_entry_point_whose_module_is_gone(distribution: Distribution, load: Load) -> None:
    distribution("sos-one", "sos_strange_f", REGISTER, strange="sos_gone")
    with pytest.raises(PluginError, match="ModuleNotFoundError: No module named 'sos_gone'") as e:
        load()
    assert "Plugin 'strange' of the package sos-one cannot be imported" in str(e.value)
    assert '[plugins] disable = ["strange"]' in str(e.value)


def test_a_broken_package_can_be_switched_off(distribution: Distribution, load: Load) -> None:
    distribution("sos-one", "sos_strange_g", REGISTER, strange="sos_gone")
    assert "strange" not in load(toml='[plugins]\ndisable = ["strange"]').plugins


# Plugins that are imported on demand --------------------------------------------------------------

Forget = Callable[[], None]
NESTED = "from sos_strange_inner import *\n"


@pytest.fixture
def strange(distribution: Distribution, load: Load, tmp_path: Path) -> Iterator[Forget]:
    """Install a package, load it once, and return what makes the next load import it anew."""
    (tmp_path / "site" / "sos_strange_inner.py").write_text(HEAD + REGISTER)
    distribution("sos-strange", "sos_strange_h", NESTED, strange="sos_strange_h")

    def forget() -> None:
        for name in ("sos_strange_h", "sos_strange_inner"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    load()
    forget()
    yield forget
    forget()


def test_a_plugin_is_imported_when_it_is_asked_for(strange: Forget, load: Load) -> None:
    registry = load()
    assert "mine" in registry.names("outcome")
    assert Path(registry.plugins["strange"].file).name == "sos_strange_h.py"
    assert "sos_strange_h" not in sys.modules
    registry.estimator("did")
    assert "sos_strange_h" not in sys.modules
    assert registry.outcome("mine").needs == ("cases",)
    assert "sos_strange_h" in sys.modules


def test_a_plugin_whose_file_has_changed_is_imported_at_once(
    strange: Forget, load: Load, tmp_path: Path
) -> None:
    (tmp_path / "site" / "sos_strange_h.py").write_text(NESTED + "raise ValueError('not ready')\n")
    with pytest.raises(PluginError, match=r"Plugin 'strange' of .*ValueError: not ready"):
        load()


@pytest.mark.parametrize("asked", ["mine", "renamed"])
def test_what_a_plugin_offered_last_time_is_not_trusted(
    strange: Forget, load: Load, tmp_path: Path, asked: str
) -> None:
    inner = tmp_path / "site" / "sos_strange_inner.py"
    inner.write_text(inner.read_text().replace('name = "mine"', 'name = "renamed"'))
    registry = load()
    if asked == "mine":
        with pytest.raises(NotRegisteredError, match="Outcome 'mine' is not registered"):
            registry.outcome("mine")
    assert registry.outcome("renamed").needs == ("cases",)
    strange()
    assert "renamed" in load().names("outcome")
    assert "mine" not in load().names("outcome")


def test_a_plugin_that_cannot_be_imported_any_more_says_so_each_time(
    strange: Forget, load: Load, tmp_path: Path
) -> None:
    inner = tmp_path / "site" / "sos_strange_inner.py"
    inner.write_text("raise ValueError('not ready')\n")
    registry = load()
    for _ in range(2):
        with pytest.raises(PluginError, match=r"Plugin 'strange' of .*ValueError: not ready"):
            registry.outcome("mine")
    assert registry.estimator("did").name == "did"


def test_a_name_that_a_plugin_has_which_is_not_imported(strange: Forget, load: Load) -> None:
    with pytest.raises(PluginError, match="the outcome 'mine' is registered already, by plugin"):
        load(REGISTER)


def test_an_engine_of_one_plugin_for_another_where_none_is_imported(
    distribution: Distribution, load: Load
) -> None:
    engine = (
        "@hookimpl\ndef register_engines(register):\n"
        "    register('did', Engine('own', lambda sample, options: None))\n"
    )
    distribution("sos-engine", "sos_strange_i", engine, engine_i="sos_strange_i")
    for _ in range(2):
        registry = load()
        assert "own" in [e.name for e in registry.engines("did")]
        assert registry.engine_plugin("did", "own").name == "engine-i"
        sys.modules.pop("sos_strange_i")


@pytest.mark.parametrize("content", ["", "[]", '{"strange": {}}', '{"did": {"mark": 3}}'])
def test_a_damaged_memory_of_plugins(
    strange: Forget, load: Load, tmp_path: Path, content: str
) -> None:
    (memory,) = (tmp_path / "cache").rglob("plugins-*.json")
    memory.write_text(content)
    assert load().outcome("mine").needs == ("cases",)


def test_no_place_to_remember_plugins(
    strange: Forget, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "site" / "sos_strange_h.py"))
    assert load().outcome("mine").needs == ("cases",)


# plugins.toml -------------------------------------------------------------------------------------


def test_a_plugin_can_be_switched_off(load: Load) -> None:
    registry = load(toml='[plugins]\ndisable = ["icpc", "wwcsc"]')
    assert "icpc" not in registry.names("outcome")
    assert "wwcsc" not in registry.names("rating-rule")
    assert "kinship-care" in registry.names("outcome")


def test_settings_come_from_defaults_then_plugins_toml_then_the_study(load: Load) -> None:
    registry = load(toml="[settings.icpc]\nwindow_days = 60\nfollow_up_days = 61\n")
    settings: Any = registry.settings("outcome", "icpc", {"window_days": 30}, "here")
    assert (settings.window_days, settings.follow_up_days, settings.max_age) == (30, 61, 17)


def test_a_tolerance_replaces_that_of_the_engine(load: Load) -> None:
    registry = load(toml='[tolerances.did.r]\nestimate = { relative = 0.5, reason = "a try" }\n')
    by_name = {e.name: e for e in registry.engines("did")}
    assert by_name["r"].tolerance_estimate == Tolerance(0.5, 0.0, "a try")
    untouched = load().engine("did", "python")
    assert by_name["python"].tolerance_estimate == untouched.tolerance_estimate
    assert by_name["r"].tolerance_std_error == untouched.tolerance_std_error


@pytest.mark.parametrize(
    ("toml", "error", "sentence"),
    [
        ("[plugin]\n", SettingsError, "unknown setting 'plugin'. Did you mean 'plugins'?"),
        ("[plugins]\ndisabel = []\n", SettingsError, "plugins.disabel"),
        ('[plugins]\ndisable = "icpc"\n', SettingsError, "plugins.disable"),
        (
            '[plugins]\ndisable = ["icp"]\n',
            PluginError,
            "disable names icp, which is not installed. Did you mean 'icpc'? Installed: ",
        ),
        ("[plugins\n", PluginError, "line 1"),
        (
            "[settings.icpcc]\nwindow_days = 3\n",
            PluginError,
            "[settings.icpcc] names nothing that is registered. Did you mean 'icpc'?",
        ),
        (
            "[settings.icpc]\nwindow = 3\n",
            SettingsError,
            "[settings.icpc]: unknown setting 'window'. Did you mean 'window_days'? Known settings",
        ),
        (
            '[settings.icpc]\nwindow_days = "long"\n',
            SettingsError,
            "[settings.icpc]: setting 'window_days'",
        ),
        ("[settings.tidy]\nperiod = 3\n", SettingsError, "[settings.tidy]: setting 'period'"),
        (
            '[tolerances.did.rr]\nestimate = { relative = 1, reason = "x" }\n',
            PluginError,
            "[tolerances.did.rr]: 'did' has no such engine. Engines: python, ",
        ),
        (
            '[tolerances.didd.r]\nestimate = { relative = 1, reason = "x" }\n',
            PluginError,
            "[tolerances.didd] names no estimator, matcher, pooling or imputer. Did you mean "
            "'did'?",
        ),
        (
            "[tolerances.did.r]\nestimate = { relative = 1 }\n",
            SettingsError,
            "reason",
        ),
    ],
)
def test_a_mistake_in_plugins_toml(
    toml: str, error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    config = tmp_path / "plugins.toml"
    config.write_text(toml)
    with pytest.raises(error) as caught:
        load_plugins(config)
    assert sentence in str(caught.value)
    assert str(config) in str(caught.value)


def test_a_plugins_toml_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=re.escape(str(tmp_path / "none.toml"))):
        load_plugins(tmp_path / "none.toml")


def test_where_plugins_toml_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOS_PLUGINS_TOML", raising=False)
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    assert find_config(two) is None
    (two / "plugins.toml").write_text('[plugins]\ndisable = ["icpc"]\n')
    assert find_config(two) == two / "plugins.toml"
    assert find_config(one) is None
    monkeypatch.chdir(two)
    assert find_config() is None
    assert "icpc" in load_plugins().plugins
    monkeypatch.setenv("SOS_PLUGINS_TOML", str(one / "mine.toml"))
    assert find_config(two) == one / "mine.toml"


# Asking the registry ------------------------------------------------------------------------------


def test_a_name_that_is_not_registered(load: Load) -> None:
    registry = load()
    with pytest.raises(NotRegisteredError) as caught:
        registry.estimator("didd")
    known = ", ".join(sorted(registry.names("estimator")))
    assert str(caught.value) == (
        "Estimator 'didd' is not registered. Did you mean 'did'? "
        f"Registered: {known}. See: sos-plugins list estimators"
    )


def test_a_kind_that_does_not_exist(load: Load) -> None:
    with pytest.raises(NotRegisteredError, match=r"'outcom' is no kind of plugin\. Did you mean"):
        load().names("outcom")


@pytest.mark.parametrize("word", ["rating-rule", "rating-rules", "rating_rule", "rating_rules"])
def test_a_kind_in_every_spelling(word: str, load: Load) -> None:
    assert "wwcsc" in load().names(word)


def test_find_looks_in_every_kind(load: Load) -> None:
    registry = load()
    assert [o.kind for o in registry.find("did")] == ["estimator"]
    with pytest.raises(NotRegisteredError, match=r"'didd' is not registered\. Did you mean"):
        registry.find("didd")


NEEDS = """
WANT = Requirement("python", "no_such_module", "pip install no-such-module")
MyEstimator.engines = (
    Engine("first", lambda s, o: "first", requires=(WANT,)),
    Engine("second", lambda s, o: "second"),
)
"""


def test_the_first_engine_that_can_run_is_the_default(load: Load) -> None:
    registry = load(offering("MyEstimator()", "register_estimators", NEEDS))
    assert registry.engine("my-estimator").name == "second"
    with pytest.raises(EngineUnavailableError) as caught:
        registry.engine("my-estimator", "first")
    assert str(caught.value) == (
        "Engine 'first' of 'my-estimator' cannot run here: the Python package 'no_such_module' is "
        "not installed (pip install no-such-module)."
    )
    with pytest.raises(NotRegisteredError, match=r"no engine 'secnd'\. Did you mean 'second'\?"):
        registry.engine("my-estimator", "secnd")


# Order --------------------------------------------------------------------------------------------

ENGINE_PLUGIN = """
from sos_plugins import Engine, hookimpl
@hookimpl
def register_engines(register):
    register("my-estimator", Engine("{name}", lambda sample, options: "{name}"))
"""


@pytest.mark.parametrize(
    "order", [("aa", "zz", "mine"), ("zz", "mine", "aa"), ("mine", "aa", "zz")]
)
def test_no_order_of_registration_matters(order: tuple[str, ...], load: Load) -> None:
    files = {
        "mine": HEAD + offering("MyEstimator()", "register_estimators"),
        "aa": ENGINE_PLUGIN.format(name="second"),
        "zz": ENGINE_PLUGIN.format(name="first"),
    }
    registry = load(**{name: files[name] for name in order})
    assert [e.name for e in registry.engines("my-estimator")] == ["python", "first", "second"]
    assert registry.engine("my-estimator").name == "python"
    assert [o.name for o in registry.offered_by("aa")] == ["second"]
    assert registry.offered_by("aa")[0].host == "my-estimator"


def test_every_call_makes_a_registry_of_its_own(load: Load) -> None:
    load(REGISTER)
    assert "mine" not in load_plugins().names("outcome")


def test_a_configuration_that_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(PluginError, match=r"cannot be read: Is a directory\. Name a TOML"):
        read_config(tmp_path)
    file = tmp_path / "plugins.toml"
    file.write_bytes(b"# caf\xe9\n")
    with pytest.raises(PluginError, match=r"plugins\.toml is not UTF-8: byte 6 .* Save it as"):
        read_config(file)
