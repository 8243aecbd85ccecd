"""Distributions and R packages that plugins and engines rest on, and their versions."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Iterable, Mapping

from sos_plugins.contract.interfaces import Engine
from sos_plugins.groundwork.installed import distribution_version
from sos_plugins.host.kinds import KINDS
from sos_plugins.host.registry import Registry, each_engine

DISTRIBUTION = "sos-plugins"
LOCAL = "local file"
"""In place of the distribution of a plugin that is a file."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def declared(registry: Registry) -> tuple[list[str], list[str]]:
    """Return the Python distributions and the R packages that plugins and engines name, sorted."""
    python, in_r = set(), set()
    offers = [offer.obj for kind in KINDS for offer in registry.offers(kind)]
    engines = [engine for _, _, engine in each_engine(registry)]
    for engine in engines:
        python |= {name for name in engine.packages if name not in _r_names(engine)}
    needs = [need for obj in offers for need in obj.decides]
    needs += [need for engine in engines for need in (*engine.requires, *engine.decides)]
    for need in needs:
        if need.language == "r":
            in_r.add(need.name)
        else:
            python.add(distribution_of(need.name))
    return sorted(python), sorted(in_r)


def _r_names(engine: Engine) -> set[str]:
    return {need.name for need in (*engine.requires, *engine.decides) if need.language == "r"}


def dependencies(distribution: str = DISTRIBUTION) -> list[str]:
    """Return the names of the distributions that one cannot do without, sorted."""
    try:
        required = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    names = [_NAME.match(text) for text in required if "extra ==" not in text]
    return sorted({name[0] for name in names if name})


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of distributions and of all that they require, by name."""
    names = {below for name in distributions for below in with_dependencies(name)}
    return {name: distribution_version(name) for name in sorted(names)}


@functools.cache
def with_dependencies(distribution: str) -> frozenset[str]:
    """Return the names of a distribution and of all that it requires, and they in turn."""
    names, ahead = {distribution}, [distribution]
    while ahead:
        for name in dependencies(ahead.pop()):
            if name not in names:
                names.add(name)
                ahead.append(name)
    return frozenset(names)


def distribution_of(module: str) -> str:
    """Return the name of the distribution of a module: mostly its own."""
    if distribution_version(module) != "not installed":
        return module
    return next(iter(owners_of_modules().get(module, [])), module)


@functools.cache
def owners_of_modules() -> Mapping[str, list[str]]:
    """Return the distributions that have a module of each name at their top."""
    return importlib.metadata.packages_distributions()
