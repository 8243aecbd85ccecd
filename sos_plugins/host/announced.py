"""What a user is told once: that a ``plugins.toml`` names Python files, which are run."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import platformdirs

from sos_plugins.system.notices import say

MEMORY = "python-run.json"
MOST = 1000
"""Files that are remembered; beyond that the oldest are told again."""

_told: set[str] = set()


def announce(config: Path, files: Sequence[Path]) -> None:
    """Say which Python files a configuration runs, the first time and when one has changed.

    What was said is remembered in the user's folder for states; where that cannot be written, it
    is said once a process.
    """
    known = {*_remembered(), *_told}
    marks = {file: _mark(config, file) for file in files}
    new = [file for file, mark in marks.items() if mark not in known]
    if not new:
        return
    names = ", ".join(str(file) for file in new)
    say(
        f"{config} runs Python: {names}. This is said the first time, and again when a file has "
        "changed."
    )
    _told.update(marks.values())
    with suppress(OSError):
        _remember([marks[file] for file in new])


def _mark(config: Path, file: Path) -> str:
    content = hashlib.sha256(file.read_bytes() if file.is_file() else b"").hexdigest()
    return hashlib.sha256(f"{config.resolve()}\0{file.resolve()}\0{content}".encode()).hexdigest()


def _place() -> Path:
    return platformdirs.user_state_path("sos-plugins") / MEMORY


def _remembered() -> list[str]:
    try:
        marks = json.loads(_place().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [mark for mark in marks if isinstance(mark, str)] if isinstance(marks, list) else []


def _remember(marks: Sequence[str]) -> None:
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, beside = tempfile.mkstemp(prefix=".", dir=place.parent)  # of mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump([*_remembered(), *marks][-MOST:], file)
    Path(beside).replace(place)
