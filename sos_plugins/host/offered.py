"""What installed plugins are known to offer, so that each is imported when it is first needed.

An import of all of them takes a second and most commands need one or two. What a plugin offered
when it was last imported is kept by its module file's size and time of change; one that is new or
has changed is imported at once, and one that then offers something else is found out when it is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import platformdirs

from sos_plugins import __version__
from sos_plugins.system import whole_files


@dataclass(frozen=True)
class Offered:
    """What one installed plugin offered when it was last imported.

    Attributes:
        mark: Value of the entry point, version of its package, size and time of its module file.
        file: The file it came from.
        offers: (kind, name) of each object that it registered.
        engines: (host, name) of each engine that it added to a plugin.
    """

    mark: str
    file: str
    offers: tuple[tuple[str, str], ...]
    engines: tuple[tuple[str, str], ...]


def mark_of(entry: EntryPoint, version: str) -> str | None:
    """Return what changes when a plugin may offer something else; None where nobody can know."""
    file = _file_of(entry.module)
    try:
        status = file.stat() if file is not None else None
    except OSError:
        return None
    if status is None:
        return None
    return f"{entry.value} {version} {status.st_size} {status.st_mtime_ns}"


def _file_of(module: str) -> Path | None:
    """Find the file of a module and import nothing, not even the packages around it."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    beside = [Path(place, *rest) for place in spec.submodule_search_locations or ()]
    files = [file for stem in beside for file in (stem.with_suffix(".py"), stem / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def last_offered() -> dict[str, Offered]:
    """Return what each plugin offered last time, by its name; nothing where it cannot be read."""
    try:
        stored = json.loads(_place().read_text(encoding="utf-8"))
        return {name: _checked(**values) for name, values in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def keep_offered(plugins: dict[str, Offered]) -> None:
    """Keep what plugins offered, where the user's folder for caches can be written."""
    place = _place()
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stored = {name: asdict(one) for name, one in sorted(plugins.items())}
        whole_files.put(place, json.dumps(stored, indent=1).encode())


def _place() -> Path:
    program = f"{sys.prefix} {platform.python_version()} {__version__}"
    mark = hashlib.sha256(program.encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("sos-plugins") / f"plugins-{mark}.json"


def _checked(mark: Any, file: Any, offers: Any, engines: Any) -> Offered:
    if not (isinstance(mark, str) and isinstance(file, str)):
        raise TypeError("no plugin is described so")
    pairs = [tuple((str(first), str(second)) for first, second in got) for got in (offers, engines)]
    return Offered(mark, file, *pairs)
