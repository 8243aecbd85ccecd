"""What is registered: lists, descriptions and checks of plugins."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sos_plugins.cli.console import Terminal
from sos_plugins.cli.text_tables import render
from sos_plugins.contract.interfaces import Engine
from sos_plugins.host.kinds import KINDS, WITH_ENGINES
from sos_plugins.host.registry import Offer, Registry, each_engine, kind_named, load_file
from sos_plugins.host.settings import describe, validate_some


def catalogue(registry: Registry, kind: str | None) -> list[dict[str, Any]]:
    """Return one row a registered object (or an engine) of a kind, or of all kinds.

    Raises:
        NotRegisteredError: If there is no such kind.
    """
    if kind is not None and kind_named(kind, "engine") == "engine":
        return [_engine_row(kind_, name, engine) for kind_, name, engine in each_engine(registry)]
    kinds = [kind] if kind else list(KINDS)
    return [
        {
            "kind": o.kind,
            "name": o.name,
            "what": o.obj.label,
            "plugin": o.plugin,
            "from": _origin(o),
        }
        for k in kinds
        for o in registry.offers(k)
    ]


def _origin(offer: Offer) -> str:
    return f"{offer.distribution} {offer.version}".strip()


def _engine_row(kind: str, name: str, engine: Engine) -> dict[str, Any]:
    missing = engine.missing()
    return {
        "kind": kind,
        "name": name,
        "engine": engine.name,
        "language": engine.language,
        "runs here": not missing,
        "missing": "; ".join(missing),
    }


def describe_offer(registry: Registry, offer: Offer) -> dict[str, Any]:
    """Return everything a reader may want to know of one object."""
    data: dict[str, Any] = {
        "kind": offer.kind,
        "name": offer.name,
        "label": offer.obj.label,
        "description": inspect.getdoc(type(offer.obj)) or "",
        "citation": offer.obj.citation,
        "plugin": offer.plugin,
        "from": _origin(offer),
        "file": offer.file,
        "settings": describe(offer.obj.Settings),
        "plugins_toml": dict(registry.config.settings.get(offer.name, {})),
    }
    for attribute in ("needs", "gives", "levels", "level"):
        if hasattr(offer.obj, attribute):
            value = getattr(offer.obj, attribute)
            data[attribute] = list(value) if isinstance(value, tuple) else value
    if offer.kind in WITH_ENGINES:
        data["engines"] = [
            _engine_row(offer.kind, offer.name, e) for e in registry.engines(offer.name)
        ]
    return data


def render_offer(data: dict[str, Any]) -> str:
    """Lay out a description as text."""
    lines = [f"{data['kind']} {data['name']}: {data['label']}", "", data["description"], ""]
    for key in ("citation", "plugin", "from", "file", "needs", "gives", "levels", "level"):
        if data.get(key):
            value = data[key]
            lines.append(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    for key, title in (("settings", "Settings"), ("engines", "Engines")):
        rows = data.get(key)
        if rows:
            lines += ["", render(list(rows[0]), [list(row.values()) for row in rows], title)]
    return "\n".join(lines)


def check_plugin(
    terminal: Terminal, plugin: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Run the author's checks on everything a plugin offers; one row a check.

    Args:
        terminal: How the command speaks.
        plugin: A name, or a file that ends in ``.py``.
        values: Settings to check it with; the defaults where there are none.

    Raises:
        NotRegisteredError: If there is no such plugin.
        PluginError: If the file cannot be loaded.
        SettingsError: If what it offers does not take these settings.
    """
    from sos_plugins.authors import testing

    registry = terminal.registry()
    if plugin.endswith(".py"):
        offers = load_file(registry, Path(plugin))
    elif plugin in registry.plugins:
        offers = registry.offered_by(plugin)
    else:
        offers = registry.find(plugin)
    checked = [(o, registry.engine_host(o.host) if o.host else None) for o in offers]
    for offer, host in checked:
        if values:
            validate_some((host or offer.obj).Settings, values, where=f"--set ({offer.name})")
    return [
        {"kind": o.kind, "plugin": o.name, "check": c.name, "result": c.result, "why": c.why}
        for o, host in checked
        for c in testing.run_checks(o.kind, o.obj, values or None, host=host)
    ]
