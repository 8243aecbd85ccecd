"""Pages of the reference that are made from the code: the settings and engines of every plugin.

An extension of Sphinx. The pages are written into ``docs/reference`` before the site is read.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

import sos_plugins
from sos_plugins.authors import derive, results, testing
from sos_plugins.contract.interfaces import Engine
from sos_plugins.host.kinds import KINDS, WITH_ENGINES
from sos_plugins.host.registry import Offer, Registry, load_plugins
from sos_plugins.host.settings import describe

FOLDER = Path(__file__).resolve().parent / "reference"
HELPERS = (derive, results, testing)
"""Modules that plugins are written with."""
HELPERS_PAGE = Path(__file__).resolve().parent / "helpers.md"
LONGEST_DEFAULT = 40
ROLE = re.compile(r":[a-z]+:(?=`)")
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


def module_section(module: ModuleType) -> str:
    """Return the functions and classes that a module offers, with their docstrings."""
    names = public_names(module)
    functions = [n for n in names if inspect.isfunction(getattr(module, n))]
    classes = [n for n in names if inspect.isclass(getattr(module, n))]
    blocks = [f".. autofunction:: {module.__name__}.{name}" for name in functions]
    blocks += [f".. autoclass:: {module.__name__}.{name}\n   :members:" for name in classes]
    body = "\n\n".join(blocks)
    return f"```{{eval-rst}}\n{body}\n```\n"


def public_names(module: ModuleType) -> list[str]:
    """Return the names that a module offers: its ``__all__``, or the functions of its own."""
    own = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    return list(getattr(module, "__all__", [n for n in own if not n.startswith("_")]))


def python_page() -> str:
    """Return the page of what ``sos_plugins`` offers, and of what plugins are written with."""
    parts = [
        f"# Python\n\nThe names that `import sos_plugins` offers.\n\n{module_section(sos_plugins)}"
    ]
    for module in HELPERS:
        title = inspect.getdoc(module) or ""
        parts.append(f"## {module.__name__}\n\n{title.splitlines()[0]}\n\n{module_section(module)}")
    return "\n".join(parts)


def signature(name: str, value: Any) -> str:
    """Return how a function or class is called; settings and errors go by their name alone."""
    if inspect.isclass(value) and issubclass(value, (BaseModel, Exception)):
        return name
    found = inspect.signature(value)
    arguments, keyword_only = [], False
    for argument in found.parameters.values():
        if argument.kind is argument.KEYWORD_ONLY and not keyword_only:
            arguments.append("*")
            keyword_only = True
        default = "" if argument.default is argument.empty else f" = {shown(argument.default)}"
        arguments.append(f"{argument.name}: {annotation(argument.annotation)}{default}")
    given = "" if inspect.isclass(value) else f" -> {annotation(found.return_annotation)}"
    return f"{name}({', '.join(arguments)}){given}"


def annotation(value: Any) -> str:
    """Return an annotation as it is written."""
    return value if isinstance(value, str) else inspect.formatannotation(value)


def shown(default: Any) -> str:
    """Return the default of an argument; a long one is cut."""
    text = repr(default)
    return text if len(text) <= LONGEST_DEFAULT else "..."


def helper_line(name: str, value: Any) -> str:
    """Return the line of docs/helpers.md on one name: its signature, and what it is."""
    if not inspect.isroutine(value) and not inspect.isclass(value):
        return f"- `{name}`"
    said = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return f"- `{signature(name, value)}`: {ROLE.sub('', said).replace('``', '`')}"


def helpers_lists() -> str:
    """Return what of docs/helpers.md is made from the code: a list for each module."""
    parts = []
    for module in HELPERS:
        lines = [helper_line(name, getattr(module, name)) for name in sorted(public_names(module))]
        parts.append(f"## `{module.__name__}`\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


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


def write_helpers() -> None:
    """Write the lists of docs/helpers.md again, below its introduction."""
    introduction = HELPERS_PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    HELPERS_PAGE.write_text(f"{introduction}\n{helpers_lists()}", encoding="utf-8")


if __name__ == "__main__":
    write_helpers()
