"""Reads returns in processes of their own: ``python -m sos_sources.cin.worker``.

A worker takes one path a line (JSON text) on its standard input and answers on its standard
output with pickled pairs: ``("bytes", n)`` and ``("rows", (table, rows))`` while it reads,
``("forget", None)`` when it starts the file again, then ``("return", RawReturn)`` or
``("missing", reason)``. Plain processes, not ``multiprocessing``: a script that starts a study
needs no main guard, and records never touch the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

import sos_sources
from sos_plugins.system.processes import follow_parent
from sos_sources.cin.fast_reader import read_return
from sos_sources.cin.rows import Sink
from sos_sources.cin.xml import RawReturn

LAST = ("return", "missing")
"""Kinds of the last answer about a file."""
WAITING = 8
"""Answers of workers that may wait to be taken; a worker that is ahead waits too."""


def read_all(
    paths: Sequence[Path],
    sinks: Sequence[Sink],
    *,
    workers: int,
    cores: int = 1,
    n_lines: int,
    extras: Sequence[str] = (),
    advance: Callable[[int], None],
) -> list[RawReturn]:
    """Read files, in processes when there is more than one worker; results in order of paths.

    Args:
        paths: The files.
        sinks: Where the rows of each go.
        workers: How many processes read.
        cores: How many threads read a file that is read in this process.
        n_lines: For how many occurrences of an oddity the line is kept.
        extras: Names of further elements whose texts are read.
        advance: Called with the number of bytes read.

    Raises:
        OSError: If a file cannot be opened.
    """
    done: dict[int, RawReturn] = {}
    if workers > 1:
        done = _read_in_processes(paths, sinks, workers, n_lines, extras, advance)
    for number, path in enumerate(paths):
        if number not in done:  # alone, or left behind by a worker that could not start
            sinks[number].forget()
            done[number] = read_return(
                path,
                sinks[number],
                n_lines=n_lines,
                threads=cores,
                extras=extras,
                advance=advance,
            )
    return [done[number] for number in range(len(paths))]


def _read_in_processes(
    paths: Sequence[Path],
    sinks: Sequence[Sink],
    workers: int,
    n_lines: int,
    extras: Sequence[str],
    advance: Callable[[int], None],
) -> dict[int, RawReturn]:
    largest_first = sorted(range(len(paths)), key=lambda i: -paths[i].stat().st_size)
    todo = deque(largest_first)
    messages: queue.Queue[tuple[str, int, Any]] = queue.Queue(WAITING)
    processes = [_start(n_lines, extras) for _ in range(workers)]
    threads = [
        threading.Thread(target=_serve, args=(p, todo, paths, messages), daemon=True)
        for p in processes
        if p is not None
    ]
    done: dict[int, RawReturn] = {}
    try:
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            kind, number, content = messages.get()
            if kind == "bytes":
                advance(content)
            elif kind == "rows":
                sinks[number].add(*content)
            elif kind == "forget":
                sinks[number].forget()
            elif kind == "return":
                done[number] = content
            elif kind == "end":
                running -= 1
    finally:
        for process in processes:
            _stop(process)
    return done


def _start(n_lines: int, extras: Sequence[str]) -> subprocess.Popen[bytes] | None:
    homes = [str(Path(str(sos_sources.__file__)).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, homes))}
    given = (str(n_lines), str(os.getpid()), json.dumps(extras))
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sos_sources.cin.worker", *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError:
        return None


def _stop(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def _serve(
    process: subprocess.Popen[bytes],
    todo: deque[int],
    paths: Sequence[Path],
    messages: queue.Queue[tuple[str, int, Any]],
) -> None:
    """Give a worker one file after the other and pass on what it answers."""
    try:
        while True:
            try:
                number = todo.popleft()
            except IndexError:
                return
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(str(paths[number])).encode() + b"\n")
            process.stdin.flush()
            kind = ""
            while kind not in LAST:
                kind, content = pickle.load(process.stdout)
                messages.put((kind, number, content))
    except (OSError, EOFError, pickle.UnpicklingError, ValueError):
        return
    finally:
        messages.put(("end", -1, None))


@dataclass(frozen=True)
class _Sender:
    """Sends rows to the process that asked for them."""

    answer: Callable[[str, object], None]

    def add(self, table: str, rows: pa.Table) -> None:
        self.answer("rows", (table, rows))

    def forget(self) -> None:
        self.answer("forget", None)


def _work(commands: BinaryIO, answers: BinaryIO, n_lines: int, extras: Sequence[str]) -> None:
    def answer(kind: str, content: object) -> None:
        pickle.dump((kind, content), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()

    for line in commands:
        path = Path(json.loads(line))
        try:
            raw = read_return(
                path,
                _Sender(answer),
                n_lines=n_lines,
                extras=extras,
                advance=lambda n: answer("bytes", n),
            )
        except OSError as error:
            answer("missing", str(error))
        else:
            answer("return", raw)


if __name__ == "__main__":
    follow_parent(int(sys.argv[2]))
    _work(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[1]), json.loads(sys.argv[3]))
