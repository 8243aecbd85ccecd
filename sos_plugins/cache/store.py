"""Finished steps of a run, kept on disk, so that a run that was cut off goes on.

A finished step (the records of a source, the cases of an outcome, an estimate, a run of the
sensitivity analysis) is kept under the hash of all that it rests on
(:mod:`sos_plugins.cache.fingerprint`): the records or the sample that went in, the settings and the
files that they name, the seed, and the code and packages of the plugins. What has changed is made
again; what has not is taken from disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import ibis
import platformdirs
import pyarrow as pa

from sos_plugins.backends import write_parquet
from sos_plugins.cache.codec import CodecError, decode, encode
from sos_plugins.cache.fingerprint import hashed, hashed_files
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError

FOLDER_VARIABLE = "SOS_PLUGINS_STATIONS"
DAYS_KEPT = 30
"""Steps that no run used for so long are removed by the next run."""
COMPRESSION = "zstd"
REST = "rest"
"""What is known of records besides their tables."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIGEST = hashlib.sha256().digest_size
_DAY = 86_400.0

T = TypeVar("T")


@dataclass(eq=False)
class StepCache:
    """Where finished steps are kept: a service that notes which it took from there, no data.

    What is kept includes records of individuals, so its owner alone can read it. It is data and no
    program: Parquet, and what :mod:`sos_plugins.cache.codec` writes.

    Attributes:
        folder: The folder; None keeps nothing.
        new: Whether nothing was kept there before this run.
        reused: Labels of the steps that were taken from disk, in order.
        damaged: Labels of the steps that were on disk but damaged, and were made again.
    """

    folder: Path | None = None
    new: bool = field(default=False, compare=False)
    reused: list[str] = field(default_factory=list, compare=False)
    damaged: list[str] = field(default_factory=list, compare=False)

    @classmethod
    def at(cls, folder: Path) -> StepCache:
        """Keep steps in a folder, made when it is not there, and remove those long unused.

        Raises:
            DataError: If the folder cannot be made or written to, is another user's, or can be
                written to by others.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=folder) as probe:
                own = os.fstat(probe.fileno()).st_uid == folder.stat().st_uid
            shared = os.name == "posix" and bool(folder.stat().st_mode & _OTHERS_WRITE)
        except OSError as error:
            raise DataError(
                f"Finished stations cannot be kept in {folder}: {error.strerror or error}. Name "
                f"another folder with --stations or {FOLDER_VARIABLE}, or keep none with "
                "--no-stations."
            ) from None
        if not own or shared:
            why = "others can write to it" if own else "it belongs to another user"
            mend = f"Run chmod go-w '{folder}', or name" if own else "Name"
            raise DataError(
                f"Finished stations are not kept in {folder}: {why}, and who can put a figure "
                f"there can put it into your report. {mend} a folder of your own with --stations, "
                "or keep none with --no-stations."
            )
        _prune(folder)
        return cls(folder.resolve(), new=not _entries(folder))

    @property
    def news(self) -> str:
        """Say, the first time, where steps are kept and how to do without; nothing later."""
        if not self.new:
            return ""
        return (
            f"Finished stations are kept in {self.folder}, for {DAYS_KEPT} days after their last "
            "use. They hold child-level records, one row a child or event, which you alone can "
            "read. With --no-stations none are kept; --stations FOLDER keeps them elsewhere; "
            "deleting the folder is always safe."
        )

    def for_worker(self) -> StepCache:
        """Return the same place with no step reused yet: for another process."""
        return replace(self, reused=[], damaged=[])

    def merge(self, other: StepCache) -> None:
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
        made again. A disk that is full, or something in what was made that does not travel
        (:func:`sos_plugins.cache.codec.encode`), costs the step, not the run.

        Args:
            label: What the step is, for people.
            key: Hash of all that it rests on: :func:`hashed`.
            make: Makes it.
            done: Whether what was made is finished; what is not, such as a failure, is not kept.
        """
        if self.folder is None:
            return make()
        file = self.folder / f"{hashed(key, label)}.station"
        try:
            value = _load(file)
            self.reused.append(label)
            return cast(T, value)
        except ValueError:
            self.damaged.append(label)
        except OSError:  # there is none
            pass
        made = make()
        if done(made):
            with suppress(OSError, CodecError):
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
            records = _load_records(place, session)
            self.reused.append(label)
            return records
        except ValueError:
            self.damaged.append(label)
        except OSError:  # there are none
            pass
        made = make()
        with suppress(OSError, CodecError):
            _save_records(place, made, session)
        return made


KEEP_NOTHING = StepCache()


def default_folder(base: Path) -> Path:
    """Return where the steps of a study in a folder are kept unless the user names a place."""
    given = os.environ.get(FOLDER_VARIABLE)
    root = Path(given).expanduser() if given else platformdirs.user_cache_path("sos-plugins")
    return root / hashed(os.path.realpath(base))[:16]


def _load(file: Path) -> Any:
    """Read a step back.

    Raises:
        OSError: If there is none.
        ValueError: If it is damaged.
    """
    with file.open("rb") as opened:
        status = os.fstat(opened.fileno())
        if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE):
            raise ValueError(f"{file} may be written by others")
        content = opened.read()
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        raise ValueError(f"{file} is damaged")
    os.utime(file)
    with pa.CompressedInputStream(pa.BufferReader(content[_DIGEST:]), COMPRESSION) as packed:
        return decode(packed.read())


def _load_records(place: Path, session: Session) -> Records:
    """Read records back; errors as in :func:`_load`."""
    digests, rest = cast(tuple[dict[str, str], Records], _load(place / REST))
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
        packed.write(encode(made))
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
            file.chmod(0o600)
            digests[name] = hashed_files([file])
        nothing: dict[str, ibis.Table] = {}
        _save(temporary / REST, (digests, replace(records, tables=nothing)))
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _prune(folder: Path) -> None:
    """Remove steps long unused, and what a run that was killed left half written."""
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
