"""What is installed, which engines can run here, and the line that mends each gap."""

from __future__ import annotations

import dataclasses
import platform
import re
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
IN_R = "in R: install.packages(c({names}))"
COMMANDS = (
    (re.compile(r"\(in R: install\.packages\((\"[^)]*\")\)\)"), IN_R),
    (re.compile(r"\(Debian: (?:sudo )?apt-get install ([^):]+)\)"), "sudo apt-get install {names}"),
    (re.compile(r"\(pip install ([^);]+)[;)]"), "pip install {names}"),
)
"""Lines that install one thing, and the line that installs several."""


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
    def absent(self) -> tuple[str, ...]:
        """Packages without which nothing is sure to run, with the line that mends it."""
        return tuple(
            f"the Python package '{name}' is not installed (pip install '{name}')"
            for name, version in self.packages.items()
            if version == "not installed"
        )

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, each once, with the line that mends it."""
        lacking = [problem for engine in self.engines for problem in engine.missing]
        return tuple(dict.fromkeys([*self.absent, *lacking]))

    @property
    def answer(self) -> str:
        """One line: ready, or what is missing, and what mends it."""
        if self.absent:
            return f"Not ready: packages are missing. To mend it: {'; '.join(mends(self.absent))}"
        n, run = len(self.engines), sum(engine.runs for engine in self.engines)
        if not self.gaps:
            return f"Ready: all {n} engines can run."
        return f"Ready, with {run} of {n} engines. To have all: {'; '.join(mends(self.gaps))}"


def mends(gaps: Iterable[str]) -> list[str]:
    """Return the lines that mend gaps, one for all that one command installs.

    Args:
        gaps: Sentences with the line in brackets; one that has none stands for itself.

    >>> mends(["no 'a' (pip install a)", "no 'b' (pip install b)", "R is switched off"])
    ['pip install a b', 'R is switched off']
    """
    lines: dict[str, list[str]] = {}
    for gap in gaps:
        found = next(((m, form) for known, form in COMMANDS if (m := known.search(gap))), None)
        if found is None:
            lines.setdefault(gap, [])
            continue
        installed = lines.setdefault(found[1], [])
        installed += [name for name in found[0][1].split() if name not in installed]
    return [
        form.format(names=_separator(form).join(names)) if names else form
        for form, names in lines.items()
    ]


def _separator(form: str) -> str:
    return ", " if form == IN_R else " "


def examine(registry: Registry) -> Diagnosis:
    """Look at this installation: all plugins are imported, and what is missing raises nothing."""
    registry.import_plugins()
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
    return {
        "answer": diagnosis.answer,
        "ready": not diagnosis.absent,
        **dataclasses.asdict(diagnosis),
        "gaps": list(diagnosis.gaps),
    }


def render(diagnosis: Diagnosis) -> str:
    """Lay the diagnosis out as text, the answer first."""
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
    lines = [diagnosis.answer, ""]
    for title, rows in sections.items():
        width = max((len(key) for key in rows), default=0)
        lines += [title, *(f"  {key:<{width}}  {value}" for key, value in rows.items()), ""]
    if diagnosis.gaps:
        lines.append("What is missing, and what mends it")
        lines += [f"  {_sentence(gap)}" for gap in diagnosis.gaps]
    return "\n".join(lines).rstrip()


def _origin(plugin: PluginInfo) -> str:
    return f"{plugin.distribution} {plugin.version}".strip() + f" ({plugin.file})"


def _sentence(gap: str) -> str:
    return f"{gap[:1].upper()}{gap[1:]}."
