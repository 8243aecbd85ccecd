"""How much memory a run may take, and how much it took."""

from __future__ import annotations

import math
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sos_plugins.errors import DataError

SIZE = re.compile(r"(?=[0-9.]*[1-9])([0-9]+(?:\.[0-9]+)?) ?([KMGT])(i?)B")
"""A size of memory: "4GB" is four thousand million bytes, "4 GiB" 4 times 1024 cubed."""
MEGABYTE = 10**6
LEAST_FOR_RECORDS = 128 * MEGABYTE
"""With 81 DuckDB cannot profile the records of the demonstration on disk, with 96 it can."""
FOR_A_THREAD = 125 * MEGABYTE
"""What DuckDB's manual asks for each thread."""
MOST = 2**50
"""More than any machine has, and not too much for DuckDB to read."""


def in_bytes(size: str) -> int:
    """Return a size such as ``"4GB"`` or ``"500 MiB"`` in bytes.

    Raises:
        ValueError: If it is none.
    """
    parsed = SIZE.fullmatch(size)
    if parsed is None:
        raise ValueError(f"{size!r} is no size of memory")
    number, unit, binary = parsed.groups()
    power = "KMGT".index(unit) + 1
    return int(float(number) * (1024 if binary else 1000) ** power)


def megabytes(n: float) -> str:
    """Write bytes for people."""
    return f"{math.ceil(n / MEGABYTE):,} MB"


def taken() -> int:
    """Return the memory that this process holds, in bytes; 0 where the system does not tell."""
    return _status("VmRSS") or _largest()


def most_taken() -> int:
    """Return the most memory that this process has held, in bytes; 0 where that is not told.

    Not ``getrusage`` where there is another way: on Linux a process inherits that figure from the
    one that started it.
    """
    return _status("VmHWM") or _largest()


def most_taken_by_helpers() -> int:
    """Return the most memory that one process has held which this one started, in bytes."""
    ended = 0 if sys.platform == "win32" else _largest(children=True)
    return max([ended, *(_status("VmHWM", pid) for pid in _descendants())])


def share_of_records(asked: str) -> int:
    """Return what is left of a limit on this process for tables of records, in bytes.

    Raises:
        DataError: If that is too little; with a limit that is enough.
    """
    limit, held = in_bytes(asked), taken()
    left = min(limit, MOST) - held
    if left < LEAST_FOR_RECORDS:
        enough = 50 * math.ceil((held + LEAST_FOR_RECORDS) / MEGABYTE / 50 + 0.2)
        raise DataError(
            f"A memory of {asked} is too little: Python with its packages holds {megabytes(held)} "
            f"before anything is read, and the records need {megabytes(LEAST_FOR_RECORDS)} more. "
            f'Here at least {enough} MB are needed: memory = "{enough}MB" in [study], or --memory '
            f"{enough}MB."
        )
    return left


def threads_within(limit: int) -> int:
    """Return with how many threads DuckDB can work within a limit."""
    return max(1, min(os.cpu_count() or 1, limit // FOR_A_THREAD))


@dataclass
class MemoryUse:
    """What a run took, step by step.

    Attributes:
        asked: The limit, as the study or the command says it; None without one.
        at_start: What the process held before it began.
        after: The most that it had held by the end of each step.
    """

    asked: str | None
    at_start: int = field(default_factory=taken)
    after: dict[str, int] = field(default_factory=dict)

    def note(self, step: str) -> None:
        """Note the end of a step."""
        self.after[step] = most_taken()

    def to_dict(self) -> Mapping[str, Any]:
        """Return the figures for the manifest, in whole megabytes."""
        return {
            "asked": self.asked,
            "before_the_run_mb": math.ceil(self.at_start / MEGABYTE),
            **{f"most_until_{k}_ended_mb": math.ceil(v / MEGABYTE) for k, v in self.after.items()},
            "most_of_one_helper_mb": math.ceil(most_taken_by_helpers() / MEGABYTE),
        }

    def excess(self) -> str:
        """Say in a sentence that the run took more than was asked, and in which steps; else ""."""
        if self.asked is None or max(self.after.values(), default=0) <= in_bytes(self.asked):
            return ""
        steps = ", ".join(f"{megabytes(most)} by the end of {s}" for s, most in self.after.items())
        return (
            f"The run took up to {megabytes(max(self.after.values()))} of memory, more than the "
            f"{self.asked} of 'memory': {megabytes(self.at_start)} before it began, {steps}. What "
            "DuckDB holds goes to disk beyond the limit; what Python holds does not: rows while a "
            "source puts them in order, the cases of an outcome, and what an estimator makes of "
            "them. Processes of R and of several outcomes at once come on top of it."
        )


def _status(key: str, pid: int | str = "self") -> int:
    """Read a size from what Linux tells of a process; 0 elsewhere, or when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = re.search(rf"^{key}:\s+(\d+) kB", text, re.M)
    return int(line[1]) * 1024 if line else 0


def _largest(*, children: bool = False) -> int:
    if sys.platform == "win32":
        return 0
    import resource

    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


def _descendants() -> list[int]:
    """Return the processes that this one has started, and those that they have; Linux alone."""
    children = defaultdict(list)
    for file in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            parent = re.search(r"^PPid:\s+(\d+)", file.read_text(), re.M)
            children[int(parent[1]) if parent else 0].append(int(file.parent.name))
    descendants, todo = [], [os.getpid()]
    while todo:
        started = children.pop(todo.pop(), [])
        descendants += started
        todo += started
    return descendants
