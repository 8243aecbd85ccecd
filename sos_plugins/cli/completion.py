"""What a shell offers when the tab key is pressed: names of plugins, kinds, outcomes of a study."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import click

from sos_plugins.errors import SosError

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def plugins(*kinds: str) -> Complete:
    """Return what completes the name of a plugin.

    Args:
        kinds: Kinds of plugin; all of them if none is named.
    """

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        from sos_plugins.host.kinds import KINDS
        from sos_plugins.host.registry import load_plugins

        with suppress(SosError, OSError):
            registry = load_plugins(context.params.get("plugins"))
            return _fitting((n for kind in kinds or KINDS for n in registry.names(kind)), begun)
        return []

    return complete


def kinds_listed(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Complete a kind that can be listed."""
    from sos_plugins.host.kinds import KINDS

    return _fitting((f"{kind}s" for kind in (*KINDS, "engine")), begun)


def kinds_written(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Complete a kind that can be written."""
    from sos_plugins.authors.scaffold import KINDS

    return _fitting((*KINDS, "study"), begun)


def outcomes(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Complete an outcome of the study that was named before."""
    with suppress(OSError, tomllib.TOMLDecodeError, AttributeError, TypeError, UnicodeError):
        study = tomllib.loads(Path(context.params["study"]).read_text(encoding="utf-8"))
        rows = [row.get("name") or row.get("plugin") for row in study.get("outcomes", ())]
        return _fitting(filter(None, rows), begun)
    return []


def _fitting(names: Iterable[str], begun: str) -> list[str]:
    return sorted({name for name in names if name.startswith(begun)})
