"""The command files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sos_plugins.cli.console import Terminal
from sos_plugins.contract.types import FileDescription
from sos_plugins.profile.files_of import describe_folder
from sos_plugins.report.formatting import plural

MOST_COLUMNS = 8
"""Names of columns that are not read shown for a file; --json has all."""


def tell(terminal: Terminal, folder: Path, source: str | None) -> None:
    """Print what each file of a folder is.

    Raises:
        NotRegisteredError: If there is no such source.
        StudyError: If no source can tell.
        DataError: If the folder or a file in it cannot be read.
    """
    told = describe_folder(terminal.registry(), folder, source)
    rows = [
        {"source": name, **asdict(one), "is_known": one.is_known}
        for name, described in told.items()
        for one in described
    ]
    parts = [_page(name, described) for name, described in told.items()]
    terminal.answer(rows, "\n\n".join(parts))


def _page(source: str, described: Sequence[FileDescription]) -> str:
    """Lay out what one source knows: a paragraph a file, those that are read first."""
    known = [one for one in described if one.is_known]
    others = [one for one in described if not one.is_known]
    n = len(known)
    parts = [f"{source}: {n} of {plural(len(described), 'file')} {'is' if n == 1 else 'are'} read."]
    parts += [_paragraph(one) for one in known]
    if others:
        parts.append("Not read:")
        parts += [_paragraph(one) for one in others]
    return "\n\n".join(parts)


def _paragraph(one: FileDescription) -> str:
    release = one.release or one.about
    lines = {
        "is": ", ".join(part for part in (release, _years(one), "/".join(one.levels)) if part),
        "gives": ", ".join(one.gives),
        "explains": ", ".join(one.explains),
        "columns not read": _shortened(one.unread),
        "why": one.why,
    }
    return "\n".join([one.file, *(f"  {what}: {text}" for what, text in lines.items() if text)])


def _years(one: FileDescription) -> str:
    if one.first_period is None or one.last_period is None:
        return ""
    return f"April {one.first_period} to March {one.last_period + 1}"


def _shortened(names: Sequence[str]) -> str:
    rest = len(names) - MOST_COLUMNS
    shown = ", ".join(names[:MOST_COLUMNS])
    return f"{shown} and {rest} more" if rest > 0 else shown
