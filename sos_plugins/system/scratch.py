"""Folders for temporary files: private, removed at the end, and by the next run after a kill.

A folder is its maker's for as long as the maker holds a lock on the file ``owner.json`` in it. The
system gives the lock up when the process ends, whatever ends it; a folder whose lock is free is a
leftover.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "sos-plugins-"
OWNER = "owner.json"
UNMARKED_FOR = 86_400.0
"""Seconds after which a folder without the mark of its owner counts as a leftover."""

_held: dict[Path, tuple[int, int]] = {}
"""The folders of this process: the process that made each, and the handle that holds its lock."""

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def scratch_folder() -> Path:
    """Make a folder of mode 0700 in the system's folder for temporary files (``TMPDIR``).

    Leftovers of processes that were killed are removed first, once a process.

    Raises:
        OSError: If there is no place for it.
    """
    _prune_once(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    handle = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with suppress(OSError):  # a file system without locks: nobody takes the folder for a leftover
        _lock(handle)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    owner = {"pid": os.getpid(), "made": now, "program": "sos-plugins", **_user()}
    os.write(handle, json.dumps(owner).encode())
    _held[folder] = (os.getpid(), handle)
    return folder


def remove(folder: Path) -> None:
    """Remove a folder that this process has made; one of a process forked from is left alone."""
    maker, handle = _held.pop(folder, (0, -1))
    if maker != os.getpid():
        return
    with suppress(OSError):
        os.close(handle)
    shutil.rmtree(folder, ignore_errors=True)


def remove_all() -> None:
    """Remove every folder that this process has made: before it ends without unwinding."""
    for folder in list(_held):
        remove(folder)


def prune() -> None:
    """Remove the folders that processes of this user made and did not live to remove.

    A folder of a process that still runs, here or in another container, holds its lock and stays.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if folder not in _held and _is_leftover(folder):
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _prune_once(_place: str) -> None:
    prune()


def _is_leftover(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != _user().get("uid", status.st_uid):
            return False
        try:
            handle = os.open(folder / OWNER, os.O_RDWR)
        except FileNotFoundError:
            return status.st_mtime < time.time() - UNMARKED_FOR
        try:
            _lock(handle)
        finally:
            os.close(handle)
    except OSError:  # it holds its lock, or is none of ours
        return False
    return True


def _user() -> dict[str, int]:
    return {} if sys.platform == "win32" else {"uid": os.getuid()}


class _Mask:
    """The mask for new files, which all threads of a process share: private while one asks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = 0
        self.before = 0


_mask = _Mask()


@contextmanager
def private_files() -> Iterator[None]:
    """Let nobody else read the files that are made in the block, such as those of a database."""
    with _mask.lock:
        if not _mask.asked:
            _mask.before = os.umask(0o077)
        _mask.asked += 1
    try:
        yield
    finally:
        with _mask.lock:
            _mask.asked -= 1
            if not _mask.asked:
                os.umask(_mask.before)
