"""No helper and no temporary file outlives a run, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import study_helpers
from variants import some_now

from sos_plugins.backends import duckdb_backend
from sos_plugins.study.study import Study
from sos_plugins.system import scratch

ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]

ENGINES = """
import os, time
from pathlib import Path

from sos_plugins.r import client as r

from sos_plugins import Engine, hookimpl
from sos_plugins.contract.interfaces import R_BASE

HERE = Path(__file__).parent


def sleeps(sample, options):
    (HERE / f"{os.getpid()}.began").touch()
    time.sleep(600)


def holds(sample, options):
    r.call(HERE / "holds.R", "holds", {}, {"place": str(HERE)})


def looks(sample, options):
    mask = os.umask(0)
    os.umask(mask)
    (HERE / "mask").write_text(oct(mask))
    raise ValueError("seen")


@hookimpl
def register_engines(register):
    register("did", Engine("sleeps", sleeps))
    register("did", Engine("holds", holds, requires=(R_BASE,)))
    register("did", Engine("looks", looks))
"""
HOLDS = """
holds <- function(data, place) {
  system("sleep 600", wait = FALSE)
  file.create(file.path(place, paste0(Sys.getpid(), ".began")))
  repeat {}
}
"""


def small_study(folder: Path, engine: str) -> Path:
    """Write a study of two outcomes whose first estimator is an engine that waits."""
    text = study_helpers.STUDY.replace('engines = ["python"]', f'engines = ["{engine}"]', 1)
    second = text[text.index("[[outcomes]]") : text.index("[[estimators]]")]
    text = text.replace(second, second + second.replace("label", 'name = "again"\nlabel'))
    path = study_helpers.write(folder, text)
    (folder / "waits.py").write_text(ENGINES)
    (folder / "holds.R").write_text(HOLDS)
    (folder / "plugins.toml").write_text('[plugins]\npaths = ["waits.py"]\n')
    return path


def processes() -> dict[int, set[int]]:
    """Return the parent and the session of every process that has not ended."""
    told = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,sess=,stat="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in told.stdout.splitlines()]
    return {
        int(pid): {int(parent), int(session)}
        for pid, parent, session, state in rows
        if not state.startswith("Z")
    }


def descendants(pid: int) -> set[int]:
    """Return what a process has started, with what runs in the background of these."""
    running, family = processes(), {pid}
    while more := {p for p, of in running.items() if of & family} - family:
        family |= more
    return family - {pid}


def until(what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.1)
    return what()


NOTICED = 30
"""Seconds in which a helper sees that its parent is gone; late while it still loads."""


class Command:
    """A command that runs in a session of its own, with its own folder for temporary files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.place = folder / "temporary"
        self.place.mkdir(exist_ok=True)
        self.helpers: set[int] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sos_plugins", *arguments],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(self.place), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, how: signal.Signals) -> tuple[int, str, set[int]]:
        """End it; return its status, its messages and the helpers that outlive it."""
        self.helpers = descendants(self.process.pid)
        assert self.helpers
        self.process.send_signal(how)
        self.process.wait(timeout=30)
        until(lambda: not self.helpers & set(processes()), NOTICED)
        outlived = self.helpers & set(processes())
        self.kill()  # what lives on holds the pipe
        return self.process.returncode, self.process.communicate()[1], outlived

    def kill(self) -> None:
        """End it, and whatever of it is left."""
        self.helpers |= descendants(self.process.pid)
        for pid in {*self.helpers, self.process.pid} & set(processes()):
            os.kill(pid, signal.SIGKILL)

    @property
    def left(self) -> list[str]:
        """What lies in its folder for temporary files."""
        return sorted(path.name for path in self.place.iterdir())


@pytest.fixture
def started() -> Iterator[list[Command]]:
    """Commands to end after the test, with what they have started."""
    commands: list[Command] = []
    yield commands
    for command in commands:
        command.kill()
        command.process.communicate()


def check_ending(how: signal.Signals, status: int, messages: str) -> None:
    assert "Traceback" not in messages
    if how is signal.SIGKILL:
        assert status == -signal.SIGKILL
        return
    assert status == 128 + how
    last = messages.strip().splitlines()[-1]
    assert last.startswith("Stopped" if how is signal.SIGINT else f"Stopped by {how.name}")


WAITING = [
    *((how, "sleeps") for how in (signal.SIGTERM, signal.SIGKILL)),
    *(pytest.param(how, "holds", marks=pytest.mark.r) for how in ENDINGS),
]
SLEEPS_ENDED, HOLDS_KILLED = 0, 2 + ENDINGS.index(signal.SIGKILL)


@pytest.mark.parametrize(("how", "engine"), some_now(WAITING, SLEEPS_ENDED, HOLDS_KILLED))
def test_a_run_takes_its_workers_and_those_of_r_with_it(
    tmp_path: Path, how: signal.Signals, engine: str, started: list[Command]
) -> None:
    path = small_study(tmp_path, engine)
    options = ("--workers", "2", "--memory", "2GB", "--no-stations")
    command = Command(tmp_path, "run", str(path), *options)
    started.append(command)
    assert until(lambda: len(list(tmp_path.glob("*.began"))) == 2, 60)
    spilled = command.left
    assert any(name.startswith(scratch.PREFIX) for name in spilled)
    status, messages, outlived = command.end(how)
    assert outlived == set()
    check_ending(how, status, messages)
    if how is signal.SIGKILL:
        assert command.left == spilled
        Command(tmp_path, "profile", str(path)).process.communicate(timeout=60)
    assert [name for name in command.left if name.startswith(scratch.PREFIX)] == []


@pytest.mark.parametrize("how", some_now(ENDINGS, 0, 3))
def test_a_simulation_takes_its_processes_with_it(
    tmp_path: Path, how: signal.Signals, started: list[Command]
) -> None:
    settings = ("streams=by-authority", "processes=2", "authorities=150")
    sets = [part for text in settings for part in ("--set", text)]
    command = Command(tmp_path, "simulate", "made", *sets)
    started.append(command)
    assert until(lambda: len(descendants(command.process.pid)) == 2, 60)
    status, messages, outlived = command.end(how)
    assert outlived == set()
    check_ending(how, status, messages)


FOLLOWS = """
import os, signal, subprocess, sys, time
from sos_plugins.system.processes import follow_parent
if len(sys.argv) > 1:
    follow_parent(int(sys.argv[1]))
    print(os.getpid(), flush=True)
    time.sleep(600)
subprocess.Popen([sys.executable, __file__, str(os.getpid())])
time.sleep(600)
"""


def test_a_worker_ends_with_a_parent_whose_pipes_it_does_not_share(tmp_path: Path) -> None:
    file = tmp_path / "follows.py"
    file.write_text(FOLLOWS)
    parent = subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, signal.SIGINT)  # Ctrl-C is the parent's to answer
    time.sleep(0.5)
    assert worker in processes()
    parent.kill()
    assert until(lambda: worker not in processes(), 5)
    parent.communicate()


STRAY = "open({marker!r}, 'w').close()\nraise SystemExit(1)\n"


def test_helpers_import_nothing_from_the_folder_that_the_user_works_in(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for module in ("queue", "pickle", "sos_sources"):
        (tmp_path / f"{module}.py").write_text(STRAY.format(marker=str(marker)))
    settings = ("streams=by-authority", "processes=2", "authorities=33")
    sets = [part for text in settings for part in ("--set", text)]
    command = Command(tmp_path, "simulate", "made", *sets)
    _, messages = command.process.communicate(timeout=60)
    assert command.process.returncode == 0, messages
    path = study_helpers.write(tmp_path / "study", study_helpers.SHORT)
    command = Command(tmp_path, "run", str(path), "--workers", "2", "--no-stations", "--no-r")
    _, messages = command.process.communicate(timeout=100)
    assert command.process.returncode == 0, messages
    assert not marker.exists()


# temporary folders --------------------------------------------------------------------------------

MAKES = """
import sys, time
from sos_plugins.system.scratch import scratch_folder
print(scratch_folder(), flush=True)
time.sleep(600)
"""


def another_process(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that makes a folder and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKES],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_the_folder_of_a_killed_process_goes_with_the_next_run_and_that_of_another_stays(
    place: Path,
) -> None:
    dead, its = another_process(place)
    (its / "records.tmp").write_text("children")
    alive, others = another_process(place)
    owner = json.loads((its / scratch.OWNER).read_text())
    assert (owner["pid"], owner["uid"]) == (dead.pid, os.getuid())
    dead.kill()
    dead.communicate()
    own = scratch.scratch_folder()
    assert not its.exists()
    assert others.is_dir()
    scratch.remove(own)
    assert not own.exists()
    alive.kill()
    alive.communicate()
    scratch.prune()
    assert list(place.iterdir()) == []


def test_what_only_looks_like_a_leftover_stays(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / scratch.OWNER).touch()
    (place / f"{scratch.PREFIX}link").symlink_to(elsewhere)
    (place / f"{scratch.PREFIX}notes.txt").write_text("mine")
    young, old = place / f"{scratch.PREFIX}young", place / f"{scratch.PREFIX}old"
    for folder in (young, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    scratch.prune()
    assert (elsewhere / scratch.OWNER).exists()
    assert {path.name.removeprefix(scratch.PREFIX) for path in place.iterdir()} == {
        "link",
        "notes.txt",
        "young",
    }
    (young / scratch.OWNER).touch()
    monkeypatch.setattr(scratch, "_user", lambda: {"uid": os.getuid() + 1})
    scratch.prune()
    assert young.exists()


def test_files_beyond_the_limit_of_memory_are_for_their_owner_alone(place: Path) -> None:
    with scratch.private_files(), scratch.private_files():
        backend = duckdb_backend("50MB")
        backend.raw_sql("CREATE TABLE t AS SELECT md5(range::VARCHAR) AS b FROM range(3000000)")
    assert os.umask(0o022) == 0o022
    (folder,) = place.iterdir()
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert (stat.S_IMODE(folder.stat().st_mode), modes) == (0o700, {0o600})
    assert len(list(folder.iterdir())) > 1


def test_a_run_makes_private_files_and_puts_the_mask_back(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Study.from_toml(small_study(tmp_path, "looks")).run(workers=1)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert (tmp_path / "mask").read_text() == "0o77"


def test_a_forked_process_leaves_the_folders_of_its_maker(place: Path) -> None:
    folder = scratch.scratch_folder()
    child = os.fork()
    if child == 0:
        scratch.remove(folder)
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.is_dir()
    scratch.remove(folder)
    assert not folder.exists()
