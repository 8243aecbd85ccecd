"""Pages of the reference that are made from the code: the settings and engines of every plugin.

An extension of Sphinx. The pages are written into ``docs/reference`` before the site is read.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sos_plugins
from sos_plugins.contract.interfaces import KINDS, WITH_ENGINES, Engine
from sos_plugins.host.registry import Offer, Registry, load_plugins
from sos_plugins.host.settings import describe

FOLDER = Path(__file__).resolve().parent / "reference"
COMMANDS = """# Commands

```{eval-rst}
.. click:: sos_plugins.cli.main:main
   :prog: sos-plugins
   :nested: full
```
"""


def cell(value: Any) -> str:
    """Return a value as the text of one cell of a table in Markdown."""
    return str(value).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def engine_row(engine: Engine) -> tuple[str, ...]:
    """Return what an engine needs and how far it may differ from the reference, and why."""
    needs = ", ".join(need.name for need in engine.requires) or "nothing more"
    allowed = [
        f"{what} {t.relative:g} relative, {t.absolute:g} absolute"
        for what, t in (
            ("estimates", engine.tolerance_estimate),
            ("standard errors", engine.tolerance_std_error),
        )
    ]
    reasons = dict.fromkeys((engine.tolerance_estimate.reason, engine.tolerance_std_error.reason))
    return (f"`{engine.name}`", engine.language, needs, "; ".join(allowed), "; ".join(reasons))


def plugin_section(registry: Registry, offer: Offer) -> Iterator[str]:
    """Return the parts of what a reader may want to know of one plugin."""
    yield f"### `{offer.name}`\n\n{offer.obj.label}."
    yield inspect.cleandoc(type(offer.obj).__doc__ or "").replace("``", "`")
    if offer.obj.citation:
        yield f"Source: {offer.obj.citation}."
    settings = describe(offer.obj.Settings)
    if settings:
        yield table(list(settings[0]), [row.values() for row in settings])
    if offer.kind in WITH_ENGINES:
        columns = ["engine", "language", "needs", "may differ from the first by", "because"]
        yield table(columns, map(engine_row, registry.engines(offer.name)))


def plugins_page(registry: Registry) -> str:
    """Return the page of all plugins that come with the project, by kind."""
    parts = ["# Plugins: settings and engines"]
    parts.append("Made from the code; `sos-plugins show NAME` prints the same of one.")
    for kind in KINDS:
        offers = registry.offers(kind)
        if offers:
            parts.append(f"## {kind.replace('_', ' ').capitalize()}s")
        for offer in offers:
            parts += plugin_section(registry, offer)
    return "\n\n".join(parts) + "\n"


def python_page() -> str:
    """Return the page of all names that ``sos_plugins`` offers."""
    functions = [n for n in sos_plugins.__all__ if inspect.isfunction(getattr(sos_plugins, n))]
    classes = [n for n in sos_plugins.__all__ if inspect.isclass(getattr(sos_plugins, n))]
    blocks = [f".. autofunction:: sos_plugins.{name}" for name in functions]
    blocks += [f".. autoclass:: sos_plugins.{name}\n   :members:" for name in classes]
    body = "\n\n".join(blocks)
    return (
        f"# Python\n\nThe names that `import sos_plugins` offers.\n\n```{{eval-rst}}\n{body}\n```\n"
    )


def write_pages(_app: Any) -> None:
    """Write the pages, each only if it is another."""
    pages = {
        "commands": COMMANDS,
        "plugins": plugins_page(load_plugins()),
        "python": python_page(),
    }
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages.items():
        file = FOLDER / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx of the extension."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
