"""The command release."""

from __future__ import annotations

from pathlib import Path

from sos_plugins.cli.console import Terminal
from sos_plugins.release import release, rules_of, write_release
from sos_plugins.release.earlier import Earlier
from sos_plugins.study.result import StudyResult


def write(
    terminal: Terminal,
    path: Path,
    out: Path | None,
    profile: str,
    earlier: Path | None,
    authorities: bool,
    **rules: int | bool | None,
) -> None:
    """Write what of a result may leave the room, and tell what was decided."""
    folder = path if path.is_dir() else path.parent
    place = out or folder.resolve().parent / f"{folder.resolve().name}-release"
    before = Earlier.read(earlier) if earlier else None
    result = StudyResult.read(path)
    made = release(result, rules_of(profile, **rules), authorities=authorities, earlier=before)
    page = write_release(made, place)
    kinds = ("shown", "rounded", "suppressed", "withheld")
    told = {kind: made.count(kind) for kind in kinds}
    words = ", ".join(f"{n} {kind}" for kind, n in told.items())
    terminal.answer(
        {"about": str(page), "authority_level": list(made.authority_level), **told},
        f"{len(made.tables)} tables, {len(made.authority_level)} of them of single authorities; "
        f"figures: {words}.\nFor the output checker: {page}",
    )
