"""Stations: what a run has finished, kept on disk, so that a run that was cut off goes on.

A finished station (the records of a source, the cases of an outcome, an estimate, a run of the
sensitivity analysis) is kept under the hash of all that it rests on: the content of its files, its
settings and those of the stations before it, the seed, and the code of the plugins. What has
changed is made again; what has not is taken from disk.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import ibis
import platformdirs
import pyarrow as pa

from sos_plugins import r
from sos_plugins.backends import write_parquet
from sos_plugins.errors import DataError
from sos_plugins.kinds import distribution_version
from sos_plugins.manifest import PACKAGES, R_PACKAGES
from sos_plugins.plugins import Registry
from sos_plugins.session import Session
from sos_plugins.types import Records, plain

FOLDER_VARIABLE = "SOS_PLUGINS_STATIONS"
DAYS_KEPT = 30
"""Stations that no run used for so long are removed by the next run."""
COMPRESSION = "zstd"
_DIGEST = hashlib.sha256().digest_size
_DAY = 86_400.0

T = TypeVar("T")


@dataclass(frozen=True)
class Stations:
    """Where finished stations are kept.

    What is kept includes records of individuals, so the folder can be read by its owner alone, and
    it must not be shared: its files are Python pickles, which run code when they are read.

    Attributes:
        folder: The folder; None keeps nothing.
        reused: Labels of the stations that were taken from disk, in order.
        damaged: Labels of the stations that were on disk but damaged, and were made again.
    """

    folder: Path | None = None
    reused: list[str] = field(default_factory=list, compare=False)
    damaged: list[str] = field(default_factory=list, compare=False)

    @classmethod
    def at(cls, folder: Path) -> Stations:
        """Keep stations in a folder, made when it is not there, and remove those long unused.

        Raises:
            DataError: If the folder cannot be made or written to, or is another user's.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder) as probe:
                own = os.fstat(probe.fileno()).st_uid == folder.stat().st_uid
        except OSError as error:
            raise DataError(
                f"Finished stations cannot be kept in {folder}: {error.strerror or error}. Name "
                f"another folder with --stations or {FOLDER_VARIABLE}, or keep none with "
                "--no-stations."
            ) from None
        if not own:
            raise DataError(
                f"Finished stations are not kept in {folder}: it belongs to another user, and "
                "stations are programs as well as data. Name a folder of your own with --stations."
            )
        _prune(folder)
        return cls(folder.resolve())

    def fresh(self) -> Stations:
        """Return the same place with no station reused yet: for another process."""
        return replace(self, reused=[], damaged=[])

    def and_those(self, other: Stations) -> None:
        """Take over what another process has noted."""
        self.reused.extend(other.reused)
        self.damaged.extend(other.damaged)

    def keep(
        self,
        label: str,
        key: str,
        make: Callable[[], T],
        *,
        done: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """Return what ``make`` gives, from disk where it was made before.

        An exception of ``make`` passes through and nothing is kept. What is damaged is noted and
        made again. A disk that is full costs the station, not the run.

        Args:
            label: What the station is, for people.
            key: Hash of all that it rests on: :func:`hashed`.
            make: Makes it.
            done: Whether what was made is finished; what is not, such as a failure, is not kept.
        """
        if self.folder is None:
            return make()
        file = self.folder / f"{hashed(key, label)}.station"
        try:
            found = _load(file)
            self.reused.append(label)
            return cast(T, found)
        except ValueError:
            self.damaged.append(label)
        except OSError:  # there is none
            pass
        made = make()
        if done(made):
            with suppress(OSError):
                _save(file, made)
        return made

    def keep_records(
        self, label: str, key: str, session: Session, make: Callable[[], Records]
    ) -> Records:
        """Do the same for records; their tables are Parquet files that DuckDB reads as needed."""
        if self.folder is None or session.backend.name != "duckdb":
            return make()
        place = self.folder / f"{hashed(key, label)}.records"
        try:
            found = _load_records(place, session)
            self.reused.append(label)
            return found
        except ValueError:
            self.damaged.append(label)
        except OSError:  # there are none
            pass
        made = make()
        with suppress(OSError):
            _save_records(place, made, session)
        return made


KEEP_NOTHING = Stations()


def default_folder(base: Path) -> Path:
    """Return where the stations of a study in a folder are kept unless the user names a place."""
    given = os.environ.get(FOLDER_VARIABLE)
    root = Path(given).expanduser() if given else platformdirs.user_cache_path("sos-plugins")
    return root / hashed(os.path.realpath(base))[:16]


def hashed(*parts: Any) -> str:
    """Return a hash of texts, numbers, and lists and tables of them."""
    text = json.dumps([_simple(part) for part in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def hashed_files(paths: Iterable[Path]) -> str:
    """Return a hash of names and contents of files; one that cannot be read counts as absent."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"\0{path.name}\0".encode("utf-8", "backslashreplace"))
        with suppress(OSError), path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def code_hash(registry: Registry) -> str:
    """Return a hash of what computes: versions of packages, of R, and the code of the plugins."""
    versions = [distribution_version(name) for name in PACKAGES]
    in_r = r.versions(R_PACKAGES) if r.available() else {}
    files = {_top_of(Path(plugin.file)) for plugin in registry.plugins.values() if plugin.file}
    code = [_hash_of_code(top) for top in sorted({*files, Path(__file__).parent})]
    config = registry.config.model_dump(mode="json")
    return hashed(versions, in_r, code, config)


def _simple(part: Any) -> Any:
    dump = getattr(part, "model_dump", None)
    return plain(dump(mode="json") if dump else part)


def _top_of(file: Path) -> Path:
    """Return the top folder of the package a file belongs to, or the file itself."""
    top = file
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    return top


@functools.cache
def _hash_of_code(top: Path) -> str:
    if top.is_file():
        return hashed_files([*top.parent.glob("*.py"), *top.parent.glob("*.R")])
    return hashed_files(p for p in top.rglob("*") if p.is_file() and p.suffix != ".pyc")


def _load(file: Path) -> Any:
    """Read a station back.

    Raises:
        OSError: If there is none.
        ValueError: If it is damaged.
    """
    content = file.read_bytes()
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        raise ValueError(f"{file} is damaged")
    os.utime(file)
    with pa.CompressedInputStream(pa.BufferReader(content[_DIGEST:]), COMPRESSION) as packed:
        return pickle.loads(packed.read())


def _load_records(place: Path, session: Session) -> Records:
    """Read records back; errors as in :func:`_load`."""
    digests, rest = cast(tuple[dict[str, str], Records], _load(place / "rest"))
    tables = {}
    for name, digest in digests.items():
        file = place / f"{name}.parquet"
        if not file.is_file() or hashed_files([file]) != digest:
            raise ValueError(f"{file} is damaged")
        tables[name] = session.backend.read_parquet(file)
    os.utime(place)
    return replace(rest, tables=tables)


def _save(file: Path, made: Any) -> None:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, COMPRESSION) as packed:
        pickle.dump(made, packed, protocol=pickle.HIGHEST_PROTOCOL)
    content = memoryview(sink.getvalue())
    handle, temporary = tempfile.mkstemp(prefix=".", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(hashlib.sha256(content).digest())
            out.write(content)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _save_records(place: Path, records: Records, session: Session) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    try:
        digests = {}
        for name, table in records.tables.items():
            file = temporary / f"{name}.parquet"
            write_parquet(session.backend, table, file)
            digests[name] = hashed_files([file])
        nothing: dict[str, ibis.Table] = {}
        _save(temporary / "rest", (digests, replace(records, tables=nothing)))
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _prune(folder: Path) -> None:
    """Remove stations long unused, and what a run that was killed left half written."""
    oldest = time.time() - DAYS_KEPT * _DAY
    half_written = time.time() - _DAY
    for path in _entries(folder):
        with suppress(OSError):
            if path.stat().st_mtime < (half_written if path.name.startswith(".") else oldest):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _entries(folder: Path) -> Sequence[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.suffix in (".station", ".records") or path.name.startswith(".")
    ]
