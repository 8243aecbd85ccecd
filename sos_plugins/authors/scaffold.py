"""Writes a new plugin that works: its module, its test, its page, or a whole package.

The templates are plugins themselves, checked like the rest of the project; writing one means
putting the new name in the place of theirs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sos_plugins.errors import NotRegisteredError, PluginError, did_you_mean, listing
from sos_plugins.system.output_folder import cannot_write, check_writable

TEMPLATES = files("sos_plugins.authors") / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
HOST = re.compile(r'^HOST = "(.+)"', re.MULTILINE)
"""The estimator or matcher for which an engine is written."""
BESIDE = 'plugin = testing.plugin_beside(__file__, "plugin.py")'
STUDY_NAME = "my-study"

PRESETS = ("wwcsc-2021", "wwcsc-2021-corrected")
"""Studies that are written whole: the analysis of 2021, and the same with its quirks corrected."""

KINDS = (
    *("source", "linker", "outcome", "matcher", "estimator", "engine", "pooling", "imputer"),
    *("rating-rule", "rule-set"),
)
"""Kinds of plugin that can be written; each has a folder of templates."""


@dataclass(frozen=True)
class Names:
    """The names of a new plugin in every form in which code needs them.

    Attributes:
        kind: A key of :data:`STANZAS`.
        name: Lower-case words joined by hyphens.
    """

    kind: str
    name: str

    @property
    def module(self) -> str:
        """Name of the file without ending: ``second_plan``."""
        return self.name.replace("-", "_")

    @property
    def words(self) -> str:
        """As in a heading: ``Second plan``."""
        return self.name.replace("-", " ").capitalize()

    @property
    def distribution(self) -> str:
        """Name of the package to install: ``sos-second-plan``."""
        return self.name if self.name.startswith("sos-") else f"sos-{self.name}"

    @property
    def package(self) -> str:
        """Name of the package to import: ``sos_second_plan``."""
        return self.distribution.replace("-", "_")

    def fill(self, text: str) -> str:
        """Put these names in the place of the template's.

        Args:
            text: A file of a template.
        """
        new = f"new-{self.kind}"
        camel = "".join(part.capitalize() for part in self.name.split("-"))
        replacements = {
            "".join(part.capitalize() for part in new.split("-")): camel,
            new.replace("-", " ").capitalize(): self.words,
            new: self.name,
            "New-words": self.words,
            "KIND-WORDS": self.kind.replace("-", " "),
            "NEW-DISTRIBUTION": self.distribution,
            "NEW-PACKAGE": self.package,
            "NEW-NAME": self.name,
        }
        for old, name in replacements.items():
            text = text.replace(old, name)
        return text


def scaffold(
    kind: str, name: str, folder: Path, *, package: bool = False, preset: str | None = None
) -> list[Path]:
    """Write a working plugin, or a commented study file.

    Args:
        kind: ``source``, ``linker``, ``outcome``, ``matcher``, ``estimator``, ``engine``,
            ``pooling``, ``imputer``, ``rating-rule``, ``rule-set`` or ``study``.
        name: Lower-case words joined by hyphens.
        folder: Where to write; it is made if it does not exist.
        package: Write an installable package (in a folder of its own) rather than a file.
        preset: Of a study: what it is to do, a name of :data:`PRESETS`; one to fill in by default.

    Returns:
        The files written.

    Raises:
        NotRegisteredError: If there is no such kind or preset.
        PluginError: If the name does not fit, or a file is there already.
        OutputError: If the folder cannot be written to; nothing is left there then.
    """
    kind = _kind(kind)
    if kind == "study":
        name = name.removesuffix(".toml")
    if not NAME.fullmatch(name):
        raise PluginError(
            f"The name '{name}' is not lower-case words joined by hyphens, such as 'second-plan'."
        )
    if kind == "study":
        if package:
            raise PluginError("A study is one file; leave --package out.")
        return _write(folder, {f"{name}.toml": _study(name, preset)})
    if preset is not None:
        raise PluginError(f"A preset is of a study, and '{kind}' is none; leave --preset out.")
    names = Names(kind, name)
    if package:
        return _write(folder / names.distribution, _package(names))
    return _write(folder, _file(names))


def _kind(kind: str) -> str:
    known = [*KINDS, "study"]
    wanted = kind.replace("_", "-")
    wanted = wanted if wanted in known else wanted.removesuffix("s")
    if wanted not in known:
        raise NotRegisteredError(
            f"'{kind}' is nothing that can be written.{did_you_mean(kind, known)} "
            f"Kinds: {listing(known)}."
        )
    return wanted


def _study(name: str, preset: str | None) -> str:
    if preset is not None and preset not in PRESETS:
        raise NotRegisteredError(
            f"There is no preset '{preset}'.{did_you_mean(preset, PRESETS)} "
            f"Presets: {listing(PRESETS)}."
        )
    template = TEMPLATES / "presets" / f"{preset}.toml" if preset else TEMPLATES / "study.toml"
    return template.read_text("utf-8").replace(f'"{STUDY_NAME}"', f'"{name}"')


def _template(names: Names) -> Traversable:
    return _folder(names.kind)


def _folder(kind: str) -> Traversable:
    return TEMPLATES / kind.replace("-", "_")


def stanza(kind: str) -> str:
    """Return what a study says to use a plugin of a kind, whose name is ``NEW-NAME`` there.

    Args:
        kind: A kind of plugin that can be written, such as ``rule-set``.
    """
    return (_folder(kind) / "stanza.toml").read_text("utf-8").rstrip()


def _file(names: Names) -> dict[str, str]:
    """Return a plugin of one file, its test and its page, by file name."""
    module, test = f"{names.module}.py", f"test_{names.module}.py"
    switch_on = f'In `plugins.toml`:\n\n```toml\n[plugins]\npaths = ["{module}"]\n```'
    check = f"sos-plugins check {module}\npython -m pytest {test}"
    code = (_template(names) / "plugin.py").read_text("utf-8")
    tests = (_template(names) / "test_plugin.py").read_text("utf-8")
    return {
        module: names.fill(code),
        test: names.fill(tests).replace('"plugin.py"', f'"{module}"'),
        f"{names.module}.md": _page(names, switch_on, check),
    }


def _package(names: Names) -> dict[str, str]:
    """Return an installable package, by path."""
    see = "list engines" if names.kind == "engine" else f"show {names.name}"
    switch_on = (
        f"```\npip install .\nsos-plugins {see}\n```\n\n"
        "Nothing else is needed: an installed plugin is on. To switch it off, in `plugins.toml`: "
        f'`[plugins] disable = ["{names.name}"]`.'
    )
    check = f"sos-plugins check {names.name}\npip install '.[dev]'\npython -m pytest"
    code = (_template(names) / "plugin.py").read_text("utf-8")
    tests = (_template(names) / "test_plugin.py").read_text("utf-8")
    project = (TEMPLATES / "package" / "pyproject.toml").read_text("utf-8")
    imported = tests.replace(f"{BESIDE}\n", "").replace("\n\n\n\n", "\n\n\n")
    imported = imported.replace(
        "from sos_plugins import", f"import {names.package} as plugin\nfrom sos_plugins import", 1
    )
    return {
        "pyproject.toml": names.fill(project),
        "README.md": _page(names, switch_on, check),
        f"src/{names.package}/__init__.py": names.fill(code),
        f"src/{names.package}/py.typed": "",
        f"tests/test_{names.module}.py": names.fill(imported),
    }


def _page(names: Names, switch_on: str, check: str) -> str:
    page = (TEMPLATES / "page.md").read_text("utf-8")
    page = page.replace("SWITCH-ON", switch_on).replace("STANZA", stanza(names.kind))
    host = HOST.search((_template(names) / "plugin.py").read_text("utf-8"))
    shown = host[1] if host else names.name
    return names.fill(page.replace("CHECK-LINES", check).replace("SHOW-NAME", shown))


def _write(folder: Path, contents: dict[str, str]) -> list[Path]:
    paths = {folder / name: text for name, text in contents.items()}
    there = [path for path in paths if os.path.lexists(path)]
    if there:
        raise PluginError(
            f"{there[0]} exists already; nothing was written. Choose another name or folder."
        )
    check_writable(folder, "A new plugin or study")
    written: list[Path] = []
    try:
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            path.write_text(text, "utf-8")
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise cannot_write("A new plugin or study", folder, error) from None
    return written
