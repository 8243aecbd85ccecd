"""Finds plugins, loads them strictly, and answers who offers what.

Plugins come from the entry points of the group ``sos_plugins`` (the built-ins are registered the
same way) and from files that ``plugins.toml`` names. There is no global manager: every call of
:func:`load_plugins` makes a registry of its own. An installed plugin of which is known what it
offers is imported when that is first asked for.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pluggy
from pydantic import BaseModel, Field

from sos_plugins.contract import hookspecs
from sos_plugins.contract.interfaces import (
    Engine,
    Estimator,
    Imputer,
    Linker,
    Matcher,
    Outcome,
    Plugin,
    Pooling,
    RatingRule,
    RuleSet,
    Source,
)
from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import Tolerance
from sos_plugins.errors import (
    EngineUnavailableError,
    NotRegisteredError,
    PluginError,
    did_you_mean,
    listing,
)
from sos_plugins.host.announced import announce
from sos_plugins.host.kinds import KINDS, WITH_ENGINES
from sos_plugins.host.offered import Offered, keep_offered, last_offered, mark_of
from sos_plugins.host.settings import validate, validate_some
from sos_plugins.tables.csv_text import decoded

GROUP = "sos_plugins"
CONFIG_NAME = "plugins.toml"
CONFIG_VARIABLE = "SOS_PLUGINS_TOML"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_HOOK_OF = {
    "source": "register_sources",
    "linker": "register_linkers",
    "outcome": "register_outcomes",
    "matcher": "register_matchers",
    "estimator": "register_estimators",
    "pooling": "register_poolings",
    "imputer": "register_imputers",
    "rating-rule": "register_rating_rules",
    "rule-set": "register_rule_sets",
}


class PluginTable(Settings):
    """The table ``[plugins]``."""

    disable: tuple[str, ...] = Field((), description="names of plugins to leave out")
    paths: tuple[str, ...] = Field((), description="Python files to load as plugins")


class ToleranceTable(Settings):
    """A tolerance in ``[tolerances.<estimator>.<engine>]``."""

    relative: float = Field(ge=0)
    absolute: float = Field(0.0, ge=0)
    reason: str = Field(min_length=1)


class EngineTolerances(Settings):
    """Tolerances of one engine against the reference engine."""

    estimate: ToleranceTable | None = None
    std_error: ToleranceTable | None = None


class Config(Settings):
    """The whole of ``plugins.toml``."""

    plugins: PluginTable = PluginTable()
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="default settings by plugin object"
    )
    tolerances: dict[str, dict[str, EngineTolerances]] = Field(
        default_factory=dict, description="tolerances by estimator and engine"
    )


@dataclass(frozen=True)
class Offer:
    """One object that a plugin registered; ``host`` is what an engine was added to."""

    kind: str
    name: str
    obj: Any
    plugin: str
    distribution: str
    version: str
    file: str
    host: str = ""


@dataclass(frozen=True)
class PluginInfo:
    """One loaded plugin: its name, where it comes from and its file."""

    name: str
    distribution: str
    version: str
    file: str


@dataclass(frozen=True)
class NotImported:
    """A plugin that is not imported yet."""

    entry: importlib.metadata.EntryPoint
    last: Offered


@dataclass
class Registry:
    """Who offers what; a plugin is imported when what it offers is asked for.

    Attributes:
        config: What ``plugins.toml`` said.
        config_path: The file it was read from, or None.
        plugins: The plugins that are switched on, by name.
    """

    config: Config = field(default_factory=Config)
    config_path: Path | None = None
    plugins: dict[str, PluginInfo] = field(default_factory=dict)
    _offers: dict[str, dict[str, Offer]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}, repr=False
    )
    _engines: dict[str, dict[str, Offer]] = field(default_factory=dict, repr=False)
    _not_imported: dict[str, NotImported] = field(default_factory=dict, repr=False)

    def import_plugins(self, wanted: Callable[[Offered], bool] = lambda _: True) -> None:
        """Import those that are not imported yet and are wanted: all of them by default.

        Args:
            wanted: Whether a plugin is, by what it offered last time.

        Raises:
            PluginError: As :func:`load_plugins`.
        """
        names = [name for name, one in self._not_imported.items() if wanted(one.last)]
        if names:
            _import(self, names)

    def names(self, kind: str) -> list[str]:
        """Return the names registered for a kind, sorted."""
        kind = kind_named(kind)
        others = (offer for one in self._not_imported.values() for offer in one.last.offers)
        return sorted({*self._offers[kind], *(name for of, name in others if of == kind)})

    def offers(self, kind: str) -> list[Offer]:
        """Return what is registered for a kind, sorted by name."""
        kind = kind_named(kind)
        self.import_plugins(lambda last: any(of == kind for of, _ in last.offers))
        return [self._offers[kind][name] for name in self.names(kind)]

    def offer(self, kind: str, name: str) -> Offer:
        """Return one offer.

        Raises:
            NotRegisteredError: With the registered names and the nearest of them.
        """
        kind = kind_named(kind)
        self.import_plugins(lambda last: (kind, name) in last.offers)
        if name not in self._offers[kind]:
            self.import_plugins()
        offered = self._offers[kind].get(name)
        if offered is None:
            noun = kind.replace("-", " ").capitalize()
            raise NotRegisteredError(
                f"{noun} '{name}' is not registered.{did_you_mean(name, self._offers[kind])} "
                f"Registered: {listing(self._offers[kind])}. See: sos-plugins list {kind}s"
            )
        return offered

    def offered_by(self, plugin: str) -> list[Offer]:
        """Return all that one plugin registered, engines for others' estimators included."""
        if plugin in self._not_imported:
            _import(self, [plugin])
        offers = [self._offers[kind][name] for kind in KINDS for name in sorted(self._offers[kind])]
        engines = [o for host in sorted(self._engines) for o in self._engines[host].values()]
        return [o for o in (*offers, *engines) if o.plugin == plugin]

    def find(self, name: str) -> list[Offer]:
        """Return every offer with this name, of whatever kind.

        Raises:
            NotRegisteredError: If no kind has it.
        """
        self.import_plugins(lambda last: any(name == offered for _, offered in last.offers))
        if not _known(self, name):
            self.import_plugins()
        matching = [offers[name] for offers in self._offers.values() if name in offers]
        if not matching:
            known = [n for offers in self._offers.values() for n in offers]
            raise NotRegisteredError(
                f"'{name}' is not registered.{did_you_mean(name, known)} "
                f"Registered: {listing(known)}."
            )
        return matching

    def source(self, name: str) -> Source:
        """Return a source."""
        return cast(Source, self.offer("source", name).obj)

    def linker(self, name: str) -> Linker:
        """Return a linker of children."""
        return cast(Linker, self.offer("linker", name).obj)

    def outcome(self, name: str) -> Outcome:
        """Return an outcome."""
        return cast(Outcome, self.offer("outcome", name).obj)

    def matcher(self, name: str) -> Matcher:
        """Return a matcher."""
        return cast(Matcher, self.offer("matcher", name).obj)

    def estimator(self, name: str) -> Estimator:
        """Return an estimator."""
        return cast(Estimator, self.offer("estimator", name).obj)

    def pooling(self, name: str) -> Pooling:
        """Return a way to pool the effects of pilots."""
        return cast(Pooling, self.offer("pooling", name).obj)

    def imputer(self, name: str) -> Imputer:
        """Return a way to fill gaps in covariates."""
        return cast(Imputer, self.offer("imputer", name).obj)

    def rating_rule(self, name: str) -> RatingRule:
        """Return a rating rule."""
        return cast(RatingRule, self.offer("rating-rule", name).obj)

    def rule_set(self, name: str) -> RuleSet:
        """Return a set of rules on records."""
        return cast(RuleSet, self.offer("rule-set", name).obj)

    def engines(self, name: str) -> list[Engine]:
        """Return the engines of a plugin that has some: its own, then others' by name."""
        obj = self.engine_host(name)
        extra = self._added_engines(name)
        engines = [*obj.engines, *(extra[key].obj for key in sorted(extra))]
        return [self._with_tolerances(name, engine) for engine in engines]

    def engine(self, name: str, engine: str | None = None) -> Engine:
        """Return one engine that can run here; without a name, the first that can.

        Raises:
            NotRegisteredError: If there is no such engine.
            EngineUnavailableError: If something it requires is missing, with the mending line.
        """
        engines = self.engines(name)
        if engine is None:
            for candidate in engines:
                if not candidate.missing():
                    return candidate
            engine = engines[0].name
        for candidate in engines:
            if candidate.name == engine:
                if missing := candidate.missing():
                    raise EngineUnavailableError(
                        f"Engine '{engine}' of '{name}' cannot run here: {'; '.join(missing)}."
                    )
                return candidate
        names = [e.name for e in engines]
        raise NotRegisteredError(
            f"'{name}' has no engine '{engine}'.{did_you_mean(engine, names)} "
            f"Engines: {', '.join(names)}. See: sos-plugins list engines"
        )

    def engine_plugin(self, name: str, engine: str) -> PluginInfo:
        """Return the plugin that offers an engine."""
        extra = self._added_engines(name)
        if engine in extra:
            return self.plugins[extra[engine].plugin]
        return self.plugins[self.offer(self._kind_with_engines(name), name).plugin]

    def settings(
        self,
        kind: str,
        name: str,
        values: Mapping[str, Any],
        where: str,
        *,
        beside: Iterable[str] = (),
    ) -> BaseModel:
        """Validate settings of an object: its defaults, then plugins.toml, then ``values``.

        ``beside`` are further keys of the table that ``values`` come from, such as ``engines``.

        Raises:
            SettingsError: One sentence a mistake.
        """
        obj = cast(Plugin, self.offer(kind, name).obj)
        merged = {**self.config.settings.get(name, {}), **values}
        return validate(obj.Settings, merged, where=where, beside=beside)

    def engine_host(self, name: str) -> Estimator | Matcher | Pooling | Imputer:
        """Return the plugin with engines of this name."""
        return cast(
            Estimator | Matcher | Pooling | Imputer,
            self.offer(self._kind_with_engines(name), name).obj,
        )

    def _kind_with_engines(self, name: str) -> str:
        return next((kind for kind in WITH_ENGINES if name in self.names(kind)), WITH_ENGINES[0])

    def _added_engines(self, name: str) -> dict[str, Offer]:
        self.import_plugins(lambda last: any(host == name for host, _ in last.engines))
        return self._engines.get(name, {})

    def _with_tolerances(self, name: str, engine: Engine) -> Engine:
        given = self.config.tolerances.get(name, {}).get(engine.name)
        if given is None:
            return engine
        changes = {
            f"tolerance_{key}": Tolerance(table.relative, table.absolute, table.reason)
            for key, table in (("estimate", given.estimate), ("std_error", given.std_error))
            if table is not None
        }
        return replace(engine, **changes)  # type: ignore[arg-type]


def kind_named(name: str, *further: str) -> str:
    """Accept ``outcome``, ``outcomes``, ``rating_rule`` ..., and further kinds.

    Raises:
        NotRegisteredError: For anything else, with the kinds there are.
    """
    known = [*KINDS, *further]
    kind = name.replace("_", "-")
    kind = kind if kind in known else kind.removesuffix("s")
    if kind not in known:
        raise NotRegisteredError(
            f"'{name}' is no kind of plugin.{did_you_mean(name, known)} Kinds: {listing(known)}."
        )
    return kind


def find_config(folder: Path | None = None) -> Path | None:
    """Find ``plugins.toml``: where ``$SOS_PLUGINS_TOML`` says, else in the folder of the study.

    One that only lies in the folder that the user works in is not looked for: it can run Python.
    """
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    beside = folder / CONFIG_NAME if folder is not None else None
    return beside if beside is not None and beside.is_file() else None


def ignored_config(registry: Registry) -> str:
    """Say that a ``plugins.toml`` of the current folder is not used; empty where there is none."""
    stray = Path.cwd() / CONFIG_NAME
    if registry.config_path is not None or not stray.is_file():
        return ""
    return (
        f"{stray} is not read: only one beside the study, or one that is named, is, since it can "
        f"run Python. To use it: --plugins {CONFIG_NAME}"
    )


def read_config(path: Path | None) -> Config:
    """Read ``plugins.toml``; without a file, every installed plugin is on with its defaults.

    Raises:
        PluginError: If the file is missing, cannot be read, or is not TOML in UTF-8.
        SettingsError: For an unknown table or key.
    """
    if path is None:
        return Config()
    try:
        data = tomllib.loads(decoded(path.read_bytes()))
    except FileNotFoundError:
        raise PluginError(f"There is no plugin configuration at {path}.") from None
    except OSError as error:
        raise PluginError(
            f"The plugin configuration {path} cannot be read: {error.strerror or error}. Name a "
            "TOML file that can be read."
        ) from None
    except UnicodeDecodeError as error:
        raise PluginError(
            f"The plugin configuration {path} is not UTF-8: byte {error.start + 1} cannot be "
            "read. Save it as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise PluginError(f"{path} is not valid TOML: {error}.") from None
    return validate(Config, data, where=str(path))


def load_plugins(config: Path | None = None) -> Registry:
    """Find every plugin that is switched on; most are imported when they are first asked for.

    One that is new or has changed since its offers were noted is imported at once. An error of the
    others comes when what they offer is asked for, from whatever method of the registry asks.

    Args:
        config: A ``plugins.toml``; by default the one that ``$SOS_PLUGINS_TOML`` names, if any.
            The Python files that it names are run, which is said the first time.

    Raises:
        PluginError: If a plugin cannot be imported, offers nothing, registers a class or a name
            twice, misspells a hook, or ``plugins.toml`` names one that does not exist. The text
            names the plugin, its file and line, and the next step.
    """
    path = config or find_config()
    registry = Registry(config=read_config(path), config_path=path)
    installed = _load_entry_points(registry)
    _load(registry, {**installed, **_load_paths(registry)})
    if installed:
        _keep(registry)
    _check_config(registry)
    return registry


def load_file(registry: Registry, file: Path) -> list[Offer]:
    """Load one Python file as a plugin into a registry, and return what it offers.

    Raises:
        PluginError: As :func:`load_plugins`.
    """
    if not file.is_file():
        raise PluginError(f"There is no plugin file {file}.")
    name = next((p.name for p in registry.plugins.values() if _same_file(p.file, file)), None)
    if name is None:
        name = _add_path(registry, file)
        _load(registry, {name: import_file(file)})
    return registry.offered_by(name)


def _same_file(text: str, file: Path) -> bool:
    return bool(text) and Path(text).exists() and Path(text).samefile(file)


def _load(registry: Registry, loaded: Mapping[str, Any]) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name in sorted(loaded):
        _register(manager, name, loaded[name], registry.plugins[name])
    _check_pending(manager, registry)
    _call_hooks(manager, registry, loaded)


def _load_entry_points(registry: Registry) -> dict[str, Any]:
    loaded: dict[str, Any] = {}
    disabled = set(registry.config.plugins.disable)
    entries = importlib.metadata.entry_points(group=GROUP)
    packages = _packages(entries)
    known: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in entries:
        package = packages[entry.dist][0]
        other = known.get(entry.name)
        others = packages[other.dist][0] if other is not None else ""
        if other is not None and (other.value, others) != (entry.value, package):
            raise PluginError(
                f"Two installed packages offer a plugin named '{entry.name}': {others} "
                f"({other.value}) and {package} ({entry.value}). Uninstall one of them or "
                "rename its entry point."
            )
        known[entry.name] = entry
    unknown = disabled - set(known)
    if unknown:
        raise PluginError(
            f"{registry.config_path}: [plugins] disable names {listing(unknown)}, which is not "
            f"installed.{did_you_mean(min(unknown), known)} Installed: {listing(known)}."
        )
    before = last_offered()
    for name in sorted(set(known) - disabled):
        entry = known[name]
        package, version = packages[entry.dist]
        last = before.get(name)
        if last is not None and last.mark == mark_of(entry, version):
            registry.plugins[name] = PluginInfo(name, package, version, last.file)
            registry._not_imported[name] = NotImported(entry, last)
        else:
            loaded[name] = _imported(entry, package)
            registry.plugins[name] = PluginInfo(name, package, version, _file_of(loaded[name]))
    return loaded


def _imported(entry: importlib.metadata.EntryPoint, package: str) -> Any:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:
        raise _import_failure(entry.name, error, f"the package {package}") from error


def _import(registry: Registry, names: Sequence[str]) -> None:
    new = {name: registry._not_imported[name] for name in names}
    loaded = {
        name: _imported(one.entry, registry.plugins[name].distribution) for name, one in new.items()
    }
    for name in names:
        del registry._not_imported[name]
    _load(registry, loaded)
    if any(
        _offered(registry, name) != (one.last.offers, one.last.engines) for name, one in new.items()
    ):
        registry.import_plugins()
        _keep(registry)


def _offered(registry: Registry, plugin: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    offers = registry.offered_by(plugin)
    return (
        tuple((offer.kind, offer.name) for offer in offers if not offer.host),
        tuple((offer.host, offer.name) for offer in offers if offer.host),
    )


def _keep(registry: Registry) -> None:
    """Keep what the imported plugins offer, and of the other installed ones what they did."""
    before, kept = last_offered(), {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        info = registry.plugins.get(entry.name)
        if info is None or entry.name in registry._not_imported:
            if entry.name in before:
                kept[entry.name] = before[entry.name]
        elif (mark := mark_of(entry, info.version)) is not None:
            kept[entry.name] = Offered(mark, info.file, *_offered(registry, entry.name))
    keep_offered(kept)


def _packages(entries: Iterable[importlib.metadata.EntryPoint]) -> dict[Any, tuple[str, str]]:
    """Return name and version of each package that offers plugins; its metadata are read once."""
    return {
        dist: (dist.name, dist.version) if dist else ("unknown package", "")
        for dist in {entry.dist for entry in entries}
    }


def _load_paths(registry: Registry) -> dict[str, ModuleType]:
    loaded: dict[str, ModuleType] = {}
    base = registry.config_path.parent if registry.config_path else Path()
    files = {text: base / Path(text).expanduser() for text in registry.config.plugins.paths}
    if registry.config_path and files:
        announce(registry.config_path, list(files.values()))
    for text, file in files.items():
        if not file.is_file():
            raise PluginError(
                f"{registry.config_path}: [plugins] paths names {text}, but there is no file "
                f"{file}. Paths are relative to the folder of plugins.toml."
            )
        loaded[_add_path(registry, file)] = import_file(file)
    return loaded


def _add_path(registry: Registry, file: Path) -> str:
    name = file.stem.replace("_", "-")
    if name in registry.plugins:
        raise PluginError(
            f"{file}: a plugin named '{name}' is loaded already, from "
            f"{registry.plugins[name].file}. Rename the file."
        )
    registry.plugins[name] = PluginInfo(name, "local file", "", str(file))
    return name


def import_file(file: Path) -> ModuleType:
    """Import a Python file as a plugin module under a name that collides with nothing.

    Raises:
        PluginError: If the import fails; with the line.
    """
    module_name = f"sos_plugins_local_{re.sub(r'[^0-9A-Za-z_]', '_', file.stem)}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} is no Python file; a plugin's file name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise _import_failure(file.stem, error, str(file)) from error
    return module


def _import_failure(name: str, error: BaseException, origin: str) -> PluginError:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
    else:
        place = f"{ours[-1].filename}, line {ours[-1].lineno}" if ours else origin
    return PluginError(
        f"Plugin '{name}' of {origin} cannot be imported: {type(error).__name__}: {error} "
        f'({place}). Mend it, or switch it off in plugins.toml: [plugins] disable = ["{name}"].'
    )


def _place_of(function: Any, file: str) -> str:
    code = getattr(function, "__code__", None)
    return f"{file}, line {code.co_firstlineno}" if code else file


def _file_of(obj: Any) -> str:
    return getattr(obj, "__file__", None) or inspect.getsourcefile(type(obj)) or ""


def _register(manager: pluggy.PluginManager, name: str, obj: Any, info: PluginInfo) -> None:
    if inspect.isclass(obj):
        raise PluginError(
            f"Plugin '{name}' ({info.file}) is the class {obj.__name__}; an entry point must name "
            "a module or an instance."
        )
    hooks = [
        n for n, _ in inspect.getmembers(hookspecs, inspect.isfunction) if n.startswith("register_")
    ]
    marked = [n for n in dir(obj) if hasattr(getattr(obj, n, None), f"{hookspecs.PROJECT}_impl")]
    for hook in hooks:
        function = getattr(obj, hook, None)
        if function is not None and hook not in marked:
            raise PluginError(
                f"Plugin '{name}': {hook} ({_place_of(function, info.file)}) is not marked. "
                "Put @sos_plugins.hookimpl above it."
            )
    if not marked:
        raise PluginError(
            f"Plugin '{name}' ({info.file}) offers nothing: it has no function marked with "
            f"@sos_plugins.hookimpl. Hooks: {', '.join(hooks)}."
        )
    try:
        manager.register(obj, name=name)
    except (pluggy.PluginValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PluginError(f"Plugin '{name}' ({info.file}) cannot be registered: {reason}") from None


def _check_pending(manager: pluggy.PluginManager, registry: Registry) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = next((n for n, p in manager.list_name_plugin() if p is error.plugin), "?")
        hooks = [n for n in dir(hookspecs) if n.startswith("register_")]
        wrong = re.search(r"unknown hook '(\w+)'", str(error))
        near = did_you_mean(wrong[1], hooks) if wrong else ""
        raise PluginError(
            f"Plugin '{name}' ({registry.plugins[name].file}): {error}.{near} "
            f"Hooks: {listing(hooks)}."
        ) from None


def _call_hooks(
    manager: pluggy.PluginManager, registry: Registry, loaded: Mapping[str, Any]
) -> None:
    offered: dict[str, int] = dict.fromkeys(loaded, 0)
    for name, obj in sorted(loaded.items()):
        for kind, hook in _HOOK_OF.items():
            if hasattr(obj, hook):
                _call(manager, name, hook, _register_for(registry, kind, name, offered), registry)
    for name, obj in sorted(loaded.items()):
        if hasattr(obj, "register_engines"):
            register = _register_engine_for(registry, name, offered)
            _call(manager, name, "register_engines", register, registry)
    for name, n in sorted(offered.items()):
        if n == 0:
            raise PluginError(
                f"Plugin '{name}' ({registry.plugins[name].file}) offers nothing: its hooks never "
                "called register(...)."
            )


def _call(
    manager: pluggy.PluginManager,
    name: str,
    hook: str,
    register: Callable[..., None],
    registry: Registry,
) -> None:
    others = [plugin for other, plugin in manager.list_name_plugin() if other != name]
    try:
        manager.subset_hook_caller(hook, others)(register=register)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}, line {frames[-1].lineno}"
        raise PluginError(
            f"Plugin '{name}' ({registry.plugins[name].file}): {hook} failed with "
            f"{type(error).__name__}: {error} ({place})."
        ) from error


def _register_for(
    registry: Registry, kind: str, plugin: str, offered: dict[str, int]
) -> Callable[[Any], None]:
    info = registry.plugins[plugin]

    def register(obj: Any) -> None:
        where = f"Plugin '{plugin}' ({info.file}, line {_caller_line(info.file)})"
        if problem := problem_with(kind, obj):
            raise PluginError(f"{where}: {problem}")
        registry.import_plugins(lambda last: (kind, obj.name) in last.offers)
        other = registry._offers[kind].get(obj.name)
        if other is not None:
            raise PluginError(
                f"{where}: the {kind} '{obj.name}' is registered already, by plugin "
                f"'{other.plugin}' ({other.file}). Rename one, or switch one plugin off in "
                "plugins.toml."
            )
        registry._offers[kind][obj.name] = Offer(
            kind, obj.name, obj, plugin, info.distribution, info.version, info.file
        )
        offered[plugin] += 1

    return register


def _register_engine_for(
    registry: Registry, plugin: str, offered: dict[str, int]
) -> Callable[[str, Engine], None]:
    info = registry.plugins[plugin]

    def register(host: str, engine: Engine) -> None:
        where = f"Plugin '{plugin}' ({info.file}, line {_caller_line(info.file)})"
        hosts = [name for kind in WITH_ENGINES for name in registry.names(kind)]
        if host not in hosts:
            raise PluginError(
                f"{where}: there is no estimator, matcher, pooling or imputer '{host}' to add an "
                f"engine to.{did_you_mean(host, hosts)} Registered: {listing(hosts)}."
            )
        if problem := _problem_with_engines((engine,)):
            raise PluginError(f"{where}: {problem}")
        if engine.name in [e.name for e in registry.engines(host)]:
            raise PluginError(f"{where}: '{host}' has an engine '{engine.name}' already.")
        registry._engines.setdefault(host, {})[engine.name] = Offer(
            "engine", engine.name, engine, plugin, info.distribution, info.version, info.file, host
        )
        offered[plugin] += 1

    return register


def _caller_line(file: str) -> int:
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_filename == file:
            return frame.f_lineno
        frame = frame.f_back
    return 1


def problem_with(kind: str, obj: Any) -> str | None:
    """Say in a sentence what keeps ``obj`` from being a plugin object of ``kind``, or None."""
    base = KINDS[kind]
    if inspect.isclass(obj):
        return (
            f"register was given the class {obj.__name__}, not an instance. Write {obj.__name__}()."
        )
    if not isinstance(obj, base):
        return (
            f"register was given a {type(obj).__name__}, expected an instance of a class derived "
            f"from sos_plugins.{base.__name__}."
        )
    kind_name = type(obj).__name__
    for attribute in ("name", "label"):
        value = getattr(obj, attribute, None)
        if not isinstance(value, str) or not value:
            return (
                f'{kind_name} has no {attribute}. Give the class an attribute {attribute} = "...".'
            )
    if not _NAME.fullmatch(obj.name):
        return (
            f"the name '{obj.name}' is not lower-case words joined by hyphens, such as "
            "'second-plan'."
        )
    if not (inspect.isclass(obj.Settings) and issubclass(obj.Settings, BaseModel)):
        return f"{kind_name}.Settings must be a class derived from sos_plugins.Settings."
    if obj.Settings.model_config.get("extra") != "forbid":
        return f"{kind_name}.Settings lets unknown names pass. Derive it from sos_plugins.Settings."
    if isinstance(obj, (Estimator, Matcher, Pooling, Imputer)):
        return _problem_with_engines(getattr(obj, "engines", ())) or _problem_with_level(obj)
    demanded = (("gives", Source), ("needs", Outcome), ("levels", RatingRule), ("needs", RuleSet))
    for attribute, needed in demanded:
        if isinstance(obj, needed) and not isinstance(getattr(obj, attribute, None), tuple):
            return f'{kind_name} has no {attribute}. Give the class {attribute} = ("...",).'
    return None


def _problem_with_engines(engines: Any) -> str | None:
    if not isinstance(engines, tuple) or not engines:
        return "it has no engines. Give the class an attribute engines = (Engine(...),)."
    for engine in engines:
        if not isinstance(engine, Engine):
            return f"the engine {engine!r} is no sos_plugins.Engine."
        if not _NAME.fullmatch(engine.name):
            return f"the engine name '{engine.name}' is not lower-case words joined by hyphens."
        if not callable(engine.fit):
            return f"the fit of engine '{engine.name}' is not callable."
    names = [engine.name for engine in engines]
    if len(set(names)) < len(names):
        return f"it has two engines of one name among {listing(names)}."
    return None


def _problem_with_level(obj: Any) -> str | None:
    if isinstance(obj, Matcher) and getattr(obj, "level", None) not in ("units", "cases"):
        return f"{type(obj).__name__}.level must be 'units' or 'cases'."
    return None


def _check_config(registry: Registry) -> None:
    for name, values in registry.config.settings.items():
        offers = registry.find(name) if _known(registry, name) else []
        if not offers:
            known = [n for kind in KINDS for n in registry.names(kind)]
            raise PluginError(
                f"{registry.config_path}: [settings.{name}] names nothing that is registered."
                f"{did_you_mean(name, known)} Registered: {listing(known)}."
            )
        for offer in offers:
            where = f"{registry.config_path}: [settings.{name}]"
            validate_some(offer.obj.Settings, values, where=where)
    hosts = [name for kind in WITH_ENGINES for name in registry.names(kind)]
    for name, engines in registry.config.tolerances.items():
        if name not in hosts:
            raise PluginError(
                f"{registry.config_path}: [tolerances.{name}] names no estimator, matcher, "
                f"pooling or imputer.{did_you_mean(name, hosts)} Registered: {listing(hosts)}."
            )
        known = [e.name for e in registry.engines(name)]
        for engine in engines:
            if engine not in known:
                raise PluginError(
                    f"{registry.config_path}: [tolerances.{name}.{engine}]: '{name}' has no such "
                    f"engine. Engines: {', '.join(known)}."
                )


def _known(registry: Registry, name: str) -> bool:
    return any(name in registry.names(kind) for kind in KINDS)


def each_engine(registry: Registry) -> Iterator[tuple[str, str, Engine]]:
    """Yield (kind, name, engine) for every engine of every plugin that has some."""
    for kind in WITH_ENGINES:
        for name in registry.names(kind):
            for engine in registry.engines(name):
                yield kind, name, engine
