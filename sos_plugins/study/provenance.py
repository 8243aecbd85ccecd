"""The manifest: what a result rests on, so that it can be made again."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sos_plugins.contract.interfaces import R_BASE, Plugin
from sos_plugins.contract.types import Records
from sos_plugins.groundwork.installed import distribution_version
from sos_plugins.host.distributions import DISTRIBUTION, LOCAL, declared, dependencies
from sos_plugins.host.registry import Registry
from sos_plugins.r import client as r
from sos_plugins.study.result import OutcomeResult
from sos_plugins.system.secrets import without_home


def manifest(
    registry: Registry, records: Records, study_text: str, seed: int, stations: Path | None = None
) -> dict[str, Any]:
    """Return when, with what, from what and by which plugins a result was made.

    Args:
        registry: The plugins.
        records: What the sources gave.
        study_text: Text of the study file.
        seed: Seed of the study.
        stations: Where finished stations are kept, records of individuals among them, or None.
    """
    return {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "data_hash": records.data_hash,
        "files": list(records.files),
        "data_start": records.start.isoformat() if records.start else None,
        "data_end": records.end.isoformat() if records.end else None,
        "study_hash": hashlib.sha256(study_text.encode()).hexdigest(),
        "versions": _versions(registry),
        "plugins": [
            {"name": p.name, "version": p.version, "distribution": p.distribution}
            for p in registry.plugins.values()
        ],
        "plugins_toml": str(registry.config_path.name) if registry.config_path else None,
        "platform": platform.platform(),
        **({"stations": without_home(str(stations))} if stations else {}),
    }


def _versions(registry: Registry) -> dict[str, str]:
    """Return the versions of Python, of R and of what the core, plugins and engines rest on."""
    owners = {info.distribution for info in registry.plugins.values()} - {LOCAL}
    python, in_r = declared(registry)
    names = {DISTRIBUTION, *owners, *dependencies(), *python}
    names |= {name for owner in owners for name in dependencies(owner)}
    in_python = {"Python": platform.python_version()}
    in_python |= {name: distribution_version(name) for name in sorted(names)}
    if not r.available():
        return {**in_python, "R": "not available"}
    told = r.versions(name for name in in_r if name != R_BASE.name)
    return {**in_python, **{k if k == "R" else f"R {k}": v for k, v in told.items()}}


IN_WORDS = ("matcher", "estimator", "pooling", "imputer")
"""Kinds of plugin that texts and charts of a result name."""


def called_of(registry: Registry) -> dict[str, str]:
    """Return what plugins of a design call themselves on charts, by their names."""
    plugins = [offer.obj for kind in IN_WORDS for offer in registry.offers(kind)]
    return {plugin.name: plugin.short_label for plugin in plugins if plugin.short_label}


def references_of(
    registry: Registry, outcomes: Iterable[OutcomeResult], on_records: Iterable[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Return the publications that the plugins of results rest on, by the names of the plugins.

    Args:
        registry: The plugins.
        outcomes: What they gave.
        on_records: The plugins that linked children or imputed gaps before the outcomes.
    """
    used = {name for outcome in outcomes for name in outcome.plugins_used} | {*on_records}
    kinds = ("linker", "imputer", "matcher", "estimator", "pooling", "rating-rule")
    plugins = {offer.name: offer.obj for kind in kinds for offer in registry.offers(kind)}
    told = {name: publications(plugins[name]) for name in sorted(used & plugins.keys())}
    return {name: sources for name, sources in told.items() if sources}


def publications(plugin: Plugin) -> tuple[str, ...]:
    """Return the references of a plugin as a list has them, or the parts of its citation."""
    return tuple(map(str, plugin.references)) or publications_in(plugin.citation)


def publications_in(citation: str) -> tuple[str, ...]:
    """Return the publications that a citation names, with semicolons between them.

    Args:
        citation: Of a plugin, or of a method of inference.

    >>> publications_in("Stuart (2010), Statistical Science 25(1); Rubin (1980), Biometrics 36")
    ('Stuart (2010), Statistical Science 25(1)', 'Rubin (1980), Biometrics 36')
    """
    return tuple(part for part in re.split(r";\s+", citation) if part)
