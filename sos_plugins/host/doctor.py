"""What is installed, which engines can run here, and the line that mends each gap."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import EngineError
from sos_plugins.groundwork.installed import distribution_version
from sos_plugins.host.distributions import DISTRIBUTION, declared, dependencies
from sos_plugins.host.registry import PluginInfo, Registry, each_engine
from sos_plugins.r import client as r

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"


@dataclass(frozen=True)
class EngineState:
    """One engine: whether it can run here, and if not, one sentence for each thing it lacks."""

    kind: str
    name: str
    engine: str
    language: str
    runs: bool
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """The state of this installation.

    Attributes:
        version: Version of sos-plugins.
        python: Version of Python and where it is.
        platform: Operating system and processor.
        packages: Version of every Python package that sos-plugins depends on.
        r: Versions of R, rpy2 and the R packages that engines use; empty without R.
        r_problem: Why R cannot be used; empty when it can.
        engines: Every engine of every estimator and matcher.
        plugins: Every loaded plugin and where it comes from.
        config: The plugins.toml in use; empty without one.
        browser: Where Chromium is, which only the project's own tests need; empty without it.
    """

    version: str
    python: str
    platform: str
    packages: Mapping[str, str]
    r: Mapping[str, str]
    r_problem: str
    engines: tuple[EngineState, ...]
    plugins: tuple[PluginInfo, ...]
    config: str
    browser: str

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, each once, with the line that mends it."""
        lacking = [problem for engine in self.engines for problem in engine.missing]
        absent = [
            f"the Python package '{name}' is not installed (pip install '{name}')"
            for name, version in self.packages.items()
            if version == "not installed"
        ]
        return tuple(dict.fromkeys([*absent, *lacking]))


def examine(registry: Registry) -> Diagnosis:
    """Look at this installation: all plugins are imported, and what is missing raises nothing."""
    registry.wake()
    problem = r.missing("base", r.MEND_R) or ""
    return Diagnosis(
        version=distribution_version(DISTRIBUTION),
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        packages={name: distribution_version(name) for name in dependencies()},
        r={} if problem else _r_versions(declared(registry)[1]),
        r_problem=problem,
        engines=tuple(_states(registry)),
        plugins=tuple(registry.plugins[name] for name in sorted(registry.plugins)),
        config=str(registry.config_path or ""),
        browser=_browser(),
    )


def _r_versions(packages: Iterable[str]) -> dict[str, str]:
    try:
        return r.versions(name for name in packages if name != R_BASE.name)
    except EngineError:
        return {}


def _states(registry: Registry) -> Iterable[EngineState]:
    for kind, name, engine in each_engine(registry):
        missing = engine.missing()
        yield EngineState(kind, name, engine.name, engine.language, not missing, missing)


def _browser() -> str:
    browsers = [path for path in map(shutil.which, BROWSERS) if path]
    return browsers[0] if browsers and shutil.which(DRIVER) else ""


def as_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return plain values for JSON."""
    return {**dataclasses.asdict(diagnosis), "gaps": list(diagnosis.gaps)}


def render(diagnosis: Diagnosis) -> str:
    """Lay the diagnosis out as text."""
    sections = {
        f"sos-plugins {diagnosis.version}": {
            "Python": diagnosis.python,
            "Platform": diagnosis.platform,
            "plugins.toml": diagnosis.config or "none: every installed plugin is on",
        },
        "Python packages": diagnosis.packages,
        "R": diagnosis.r or {"R": f"not used: {diagnosis.r_problem}"},
        "Engines": {
            f"{e.name}, engine {e.engine}": "can run" if e.runs else "cannot run"
            for e in diagnosis.engines
        },
        "Plugins": {p.name: _origin(p) for p in diagnosis.plugins},
        "Only for the project's own tests": {
            "Chromium": diagnosis.browser or "not installed (Debian: ./dev test installs it)"
        },
    }
    lines = []
    for title, rows in sections.items():
        width = max((len(key) for key in rows), default=0)
        lines += [title, *(f"  {key:<{width}}  {value}" for key, value in rows.items()), ""]
    if diagnosis.gaps:
        lines += [
            "What is missing, and what mends it",
            *(f"  {_sentence(g)}" for g in diagnosis.gaps),
        ]
    else:
        lines.append("Nothing is missing: every engine can run.")
    return "\n".join(lines)


def _origin(plugin: PluginInfo) -> str:
    return f"{plugin.distribution} {plugin.version}".strip() + f" ({plugin.file})"


def _sentence(gap: str) -> str:
    return f"{gap[:1].upper()}{gap[1:]}."
