"""Folders that are written into: checked before work begins, claimed, and replaced in whole.

A folder that was written before is known by a manifest in it: a list of the files with their
hashes. Only files that it lists, and that are still as they were written, are replaced or removed.
Whatever else lies in the folder is the user's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import filelock
import platformdirs

from sos_plugins.errors import DataError, listing

EARLIER = "earlier"
"""Key of a manifest while its files are put in place: those that are being replaced."""
KEPT = "kept"
"""Key of a manifest with files that lay there already, the same to the byte, and are the user's."""
OWNER = "of"
"""Key of a manifest with the study that a folder is of."""
PROBE = b"\0" * 4096
"""As much is written to find out whether a disk is full: one block of most file systems."""
NAMED = 5
"""Files that a sentence names; of more it gives the number."""
_IN_THE_MAKING: set[Path] = set()
_DIGEST = re.compile(r"[0-9a-f]{64}")


class OutputError(DataError):
    """A file or folder cannot be written, or what is there is not ours to replace."""


@dataclass(frozen=True)
class Content:
    """What a folder is written with.

    Attributes:
        what: At the start of a sentence, such as "The report".
        manifest: Name of the file that lists the others.
        key: Its key with the mapping of names to SHA-256.
        last: The file whose presence says that the rest is whole; it is put in place last.
        removable: Names of files that may be removed when they are not written again.
        alone: Whether a folder that holds other files and none of these is refused.
    """

    what: str
    manifest: str
    key: str
    last: str
    removable: re.Pattern[str]
    alone: bool = False


SIMULATION = Content(
    what="The simulation",
    manifest="simulated-files.json",
    key="files",
    last="truth.json",
    removable=re.compile(r".+"),
    alone=True,
)
"""What a simulator writes; a report, with its own manifest, may lie in the folder too."""


@dataclass(frozen=True)
class Owner:
    """The study that a folder is written for.

    Attributes:
        study: Its name.
        file: Name of its file; empty where it is not known.
        place: Hash of the way from the folder to that file, which stays where both are moved
            together, and discloses no folder.
    """

    study: str
    file: str = ""
    place: str = ""

    @classmethod
    def of(cls, study: str, file: Path, folder: Path) -> Owner:
        """Return the owner of a folder.

        Args:
            study: Name of the study.
            file: Its file.
            folder: The folder that is written.
        """
        try:
            way = os.path.relpath(os.path.realpath(file), os.path.realpath(folder))
        except ValueError:  # another drive of Windows
            way = os.path.realpath(file)
        digest = hashlib.sha256(way.encode("utf-8", "surrogateescape")).hexdigest()
        return cls(study, file.name, digest[:16])

    def is_other(self, earlier: Owner) -> bool:
        """Whether an earlier owner is another, as far as both are known."""
        moved = "" not in (self.place, earlier.place) and self.place != earlier.place
        return self.study != earlier.study or moved


def refuse_other_owner(folder: Path, content: Content, owner: Owner) -> None:
    """Raise an OutputError if a folder was written for another study, or another study file.

    Args:
        folder: The folder; it may be absent.
        content: What it is written with.
        owner: The study that would be written.
    """
    earlier = _owner_before(folder, content)
    if earlier is None or not owner.is_other(earlier):
        return
    file = f" (another file {earlier.file})" if earlier.study == owner.study else ""
    what = content.what[:1].lower() + content.what[1:]
    raise OutputError(
        f"{folder} holds the results of the study '{earlier.study}'{file}, and {what} of the study "
        f"'{owner.study}' would replace them. Name another folder with --out, or say --force to "
        "replace them."
    )


def _owner_before(folder: Path, content: Content) -> Owner | None:
    manifest = _manifest_of(folder, content)
    told = manifest.get(OWNER)
    parts = {**told} if isinstance(told, dict) else {"study": manifest.get("study")}
    study = parts.get("study")
    if not isinstance(study, str):
        return None
    return Owner(study, str(parts.get("file", "")), str(parts.get("place", "")))


def check_writable(folder: Path, what: str = "Files") -> None:
    """Raise an OutputError unless a folder, perhaps one to be made, can be written to."""
    try:
        with _made(folder), tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(PROBE)
            probe.flush()
    except OSError as error:
        raise cannot_write(what, folder, error) from None


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; afterwards take away those of them that are empty."""
    made: list[Path] = []
    try:
        for place in (*reversed(folder.parents), folder):
            if not place.is_dir():
                place.mkdir()
                made.append(place)
        yield
    finally:
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir()


def cannot_write(what: str, folder: Path, error: OSError) -> OutputError:
    """Return the sentence on what could not be written."""
    reason = error.strerror or str(error)
    if os.path.lexists(folder) and not folder.is_dir():
        reason = "it is a file, or a link to none"
    return OutputError(
        f"{what} cannot be written to {folder}: {reason}. Name a folder that can be written to."
    )


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Let no other process write into a folder while the block runs.

    A process may claim a folder again that it has claimed. The claim ends with the process,
    whatever ends it.

    Raises:
        OutputError: If another process has it; the sentence says which.
    """
    place = _lock_place(folder)
    lock = filelock.FileLock(f"{place}.lock", timeout=0, is_singleton=True)
    note = Path(f"{place}.json")
    try:
        lock.acquire()
    except filelock.Timeout:
        raise OutputError(
            f"{_holder(note)} is writing into {folder}. Wait until it has ended, or name another "
            "folder."
        ) from None
    except OSError as error:
        raise cannot_write("The note that a folder is being written", place, error) from None
    try:
        if lock.lock_counter == 1:
            with suppress(OSError):
                note.write_text(json.dumps({"process": os.getpid(), "since": _now()}), "utf-8")
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):
                note.unlink()
                Path(lock.lock_file).unlink()  # who waits for it sees that it is gone
        lock.release()


def _lock_place(folder: Path) -> Path:
    """Return where the claim of a folder is kept: in a folder of the user's, not in that one."""
    name = hashlib.sha256(os.path.realpath(folder).encode("utf-8", "surrogateescape")).hexdigest()
    places = (platformdirs.user_cache_path("sos-plugins"), Path(tempfile.gettempdir()))
    for number, root in enumerate(places):
        locks = root / ("locks" if number == 0 else f"sos-plugins-locks-{_user()}")
        with suppress(OSError):
            locks.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(locks, os.W_OK):
                return locks / name[:32]
    raise OutputError(
        f"Neither {places[0]} nor {places[1]} can be written to: there is no place to note that "
        f"{folder} is being written. Set XDG_CACHE_HOME or TMPDIR to a folder of your own."
    )


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _now() -> str:
    return dt.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _holder(note: Path) -> str:
    try:
        told = json.loads(note.read_text("utf-8"))
        return f"Process {told['process']} (since {told['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "Another process"


def check_ours(
    folder: Path,
    content: Content,
    names: Sequence[str],
    *,
    same: Mapping[str, str] | None = None,
    also: Sequence[str] = (),
) -> None:
    """Raise an OutputError if a file that would be replaced was not written by us, or was changed.

    Args:
        folder: The folder; it may be absent.
        content: What it is written with.
        names: Files that will be written, relative to the folder.
        same: SHA-256 of what will be written, as far as it is known: where the same is there
            already, nothing is lost.
        also: Files that may be replaced whatever they hold.
    """
    listed = written_before(folder, content)
    foreign, changed = set(), []
    for name in sorted({*names, content.manifest} - {*also}):
        path = folder / name
        blocked = next((p for p in _above(name) if _is_no_folder(folder / p)), None)
        if blocked is not None or (os.path.lexists(path) and not path.is_file()):
            foreign.add(blocked or name)
        elif not path.is_file() or (name == content.manifest and listed is not None):
            continue
        elif digest_of(path) not in {*(listed or {}).get(name, ()), (same or {}).get(name)}:
            if listed and name in listed:
                changed.append(name)
            else:
                foreign.add(name)
    _refuse(folder, content, sorted(foreign), changed)


def _check_alone(folder: Path, content: Content) -> None:
    """Raise an OutputError unless a folder is empty, or was written before and left as it was."""
    listed = written_before(folder, content)
    if listed is not None:
        check_ours(folder, content, list(listed))
    elif folder.is_dir() and (there := sorted(path.name for path in folder.iterdir())):
        raise OutputError(
            f"The folder {folder} holds other files ({_some(there)}), and no list of files that "
            f"an earlier run wrote there ({content.manifest}). Name an empty folder, or one that "
            "this command has written to."
        )


def _refuse(folder: Path, content: Content, foreign: Sequence[str], changed: Sequence[str]) -> None:
    told = []
    if foreign:
        told.append(f"it did not write: {_some(foreign)}")
    if changed:
        told.append(f"have been changed since it wrote them: {_some(changed)}")
    if told:
        raise OutputError(
            f"{content.what} in {folder} would replace files that {', and files that '.join(told)}."
            " Nothing was written. Name another folder, or move them away."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return listing(names[:NAMED]) + more


def _above(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(name).parents if str(parent) != "."]


def _is_no_folder(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_dir()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def written_before(folder: Path, content: Content) -> dict[str, set[str]] | None:
    """Return the files that a manifest lists and the hashes they may have; None without one."""
    manifest = _manifest_of(folder, content)
    if not isinstance(manifest.get(content.key), dict):
        return None
    kept = manifest.get(KEPT)
    by_name: dict[str, set[str]] = {}
    for name, digest in manifest[content.key].items():
        if not isinstance(kept, list) or name not in kept:
            _add(by_name, name, [digest])
    earlier = manifest.get(EARLIER)
    for name, digests in earlier.items() if isinstance(earlier, dict) else ():
        _add(by_name, name, digests if isinstance(digests, list) else [])
    return by_name


def _manifest_of(folder: Path, content: Content) -> dict[str, Any]:
    """Return the manifest in a folder; empty where there is none."""
    try:
        manifest = json.loads((folder / content.manifest).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _add(by_name: dict[str, set[str]], name: str, digests: Sequence[Any]) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        return
    by_name.setdefault(name, set()).update(
        d for d in digests if isinstance(d, str) and _DIGEST.fullmatch(d)
    )


@contextmanager
def replacing(
    folder: Path, content: Content, *, also: Sequence[str] = (), owner: Owner | None = None
) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well, what is in it is put in place.

    Until then the folder stays as it was, and if the block fails it still is. Files of the user
    stay. While files are put in place :attr:`Content.last` is absent, and the manifest lists the
    old and the new ones, so that a process that is killed leaves what the next one can replace. A
    folder that was yielded may be given on: it is then part of the whole that is in the making.

    Args:
        folder: The folder that is written; made if needed.
        content: What it is written with.
        also: Files that may be replaced whatever they hold.
        owner: The study that it is written for, which the manifest notes; see
            :func:`refuse_other_owner`.

    Raises:
        OutputError: If the folder cannot be written to, another process writes into it, or a file
            that would be replaced is the user's.
    """
    if folder in _IN_THE_MAKING:
        yield folder
        return
    with claimed(folder):
        check_writable(folder, content.what)
        if content.alone:
            _check_alone(folder, content)
        staging = _staging(folder)
        try:
            for left in {folder.parent / staging.name, folder / staging.name}:
                shutil.rmtree(left, ignore_errors=True)
            with _made(staging.parent):
                try:
                    staging.mkdir()
                    _IN_THE_MAKING.add(staging)
                    yield staging
                    _put_in_place(staging, folder, content, also, owner)
                finally:
                    _IN_THE_MAKING.discard(staging)
                    shutil.rmtree(staging, ignore_errors=True)
        except OSError as error:
            raise cannot_write(content.what, folder, error) from None


def _staging(folder: Path) -> Path:
    """Return a folder on the same disk: beside it, or in it where it cannot be beside."""
    whole = Path(os.path.abspath(folder))  # noqa: PTH100 (links stay links)
    name = f".{hashlib.sha256(os.fsencode(whole.name)).hexdigest()[:12]}.partial"
    if not whole.exists():
        return whole.parent / name
    beside = os.access(whole.parent, os.W_OK) and whole.stat().st_dev == whole.parent.stat().st_dev
    return (whole.parent if beside and not whole.is_symlink() else whole) / name


def _put_in_place(
    staging: Path, folder: Path, content: Content, also: Sequence[str], owner: Owner | None
) -> None:
    files = (path for path in staging.rglob("*") if path.is_file())
    names = sorted(path.relative_to(staging).as_posix() for path in files)
    digests = {name: digest_of(staging / name) for name in names if name != content.manifest}
    check_ours(folder, content, names, same=digests, also=also)
    listed = written_before(folder, content) or {}
    kept = [n for n in digests if (folder / n).is_file() and n not in listed and n not in also]
    manifest = _manifest(staging, content, digests, kept)
    if owner is not None:
        before = _owner_before(folder, content)
        same = before is not None and not owner.place and not owner.is_other(before)
        manifest[OWNER] = asdict(before if before is not None and same else owner)
    folder.mkdir(parents=True, exist_ok=True)
    earlier = {name: sorted(hashes) for name, hashes in listed.items()}
    _write_manifest(staging, folder, content, {**manifest, EARLIER: earlier})
    gone: AbstractContextManager[list[str]]
    gone = _absent(folder / content.last, staging) if content.last in digests else nullcontext([])
    with gone as begun:
        for name in digests:
            if name != content.last and name not in kept:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(folder / name)
                begun.append(name)
        for name in sorted(set(listed) - set(digests)):
            _remove(folder, name, listed[name], content)
        if content.last in digests:
            (staging / content.last).replace(folder / content.last)
    _write_manifest(staging, folder, content, manifest)


def _manifest(
    staging: Path, content: Content, digests: Mapping[str, str], kept: Sequence[str]
) -> dict[str, Any]:
    """Return the manifest that was written with the files, or one of its own, with the hashes."""
    file = staging / content.manifest
    told = json.loads(file.read_text("utf-8")) if file.exists() else {}
    told = {key: value for key, value in told.items() if key != KEPT}
    return {**told, content.key: dict(digests)} | ({KEPT: list(kept)} if kept else {})


def _write_manifest(
    staging: Path, folder: Path, content: Content, manifest: Mapping[str, Any]
) -> None:
    file = staging / content.manifest
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    file.write_bytes(text.encode("utf-8", "backslashreplace"))
    file.replace(folder / content.manifest)


@contextmanager
def _absent(path: Path, staging: Path) -> Iterator[list[str]]:
    """Take a file away; bring it back if what follows fails before it has replaced a file."""
    aside = staging / f"{path.name}.earlier"
    there = path.exists()
    if there:
        path.rename(aside)
    begun: list[str] = []
    try:
        yield begun
    except BaseException:
        if there and not begun:
            aside.rename(path)
        raise


def _remove(folder: Path, name: str, digests: set[str], content: Content) -> None:
    """Remove a file that was written before and is still as it was, and folders left empty."""
    path = folder / name
    if not content.removable.fullmatch(name) or path.is_symlink() or not path.is_file():
        return
    if digest_of(path) not in digests:
        return
    path.unlink()
    for above in _above(name):
        with suppress(OSError):
            (folder / above).rmdir()
