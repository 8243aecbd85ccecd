"""The parts in which a simulation is made: all authorities at once, or one after the other.

Parts drawn by authority can be made in several processes. These are plain processes, not
``multiprocessing``: a script that simulates needs no main guard. Every process takes each n-th
part and waits until its last one is taken, so that few parts are in memory at any time.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from sos_plugins.errors import DataError, SosError
from sos_simulator.population import Population, populate
from sos_simulator.rates import make_rates
from sos_simulator.settings import SimulatedSettings

if TYPE_CHECKING:
    from sos_simulator.simulation import Simulation


class Job(Protocol):
    """What is done with a part, such as writing its returns; it can travel between processes."""

    def __call__(self, part: Simulation) -> Any:
        """Return what the caller needs of the part."""


def parts(settings: SimulatedSettings, numbers: range | None = None) -> Iterator[Simulation]:
    """Simulate one part after the other.

    Args:
        settings: The settings; ``streams`` decides what a part is.
        numbers: Indices of the authorities that are wanted, if they are drawn by authority.
    """
    from sos_simulator.simulation import simulate_part

    population = populate(settings)
    rates = make_rates(settings, population)
    for some in _populations(settings, population, numbers):
        yield simulate_part(settings, some, rates)


def _populations(
    settings: SimulatedSettings, population: Population, numbers: range | None
) -> Iterator[Population]:
    if settings.streams == "joint":
        yield population
        return
    for index in range(settings.authorities) if numbers is None else numbers:
        yield population.only(index)


def each(settings: SimulatedSettings, job: Job) -> Iterator[Any]:
    """Do a job with every part and yield what it returns, in the order of authorities.

    Raises:
        SosError: What the job raises.
        DataError: If a process ends before its work is done.
    """
    n = settings.authorities if settings.streams == "by-authority" else 1
    if min(settings.processes, n) == 1:
        yield from (job(part) for part in parts(settings))
        return
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(settings, job, range(first, n, settings.processes)))
            for first in range(settings.processes)
        ]
        for number in range(n):
            yield workers[number % len(workers)].result()


class _Worker:
    """A process that simulates some of the authorities."""

    def __init__(self, settings: SimulatedSettings, job: Job, numbers: range) -> None:
        homes = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(h for h in homes if h)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sos_simulator.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        try:
            with self._pipe(self._process.stdin) as pipe:
                pickle.dump((settings, job, numbers), pipe)
        except BrokenPipeError:
            raise self._lost() from None

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._pipe(self._process.stdout).close()

    def result(self) -> Any:
        """Return what the job gave for the next part."""
        try:
            answer = pickle.load(self._pipe(self._process.stdout))
        except EOFError:
            raise self._lost() from None
        if isinstance(answer, SosError):
            raise answer
        return answer

    def _lost(self) -> DataError:
        return DataError(
            "A process of the simulation ended before its work was done, perhaps for want of "
            "memory. Simulate with fewer processes."
        )

    @staticmethod
    def _pipe(pipe: Any) -> BinaryIO:
        return pipe  # type: ignore[no-any-return]


def work(source: BinaryIO, target: BinaryIO) -> None:
    """Do what a :func:`each` of another process asks for on ``source``."""
    settings, job, numbers = pickle.load(source)
    try:
        for part in parts(settings, numbers):
            pickle.dump(job(part), target, protocol=pickle.HIGHEST_PROTOCOL)
            target.flush()
    except SosError as error:
        pickle.dump(error, target)
        target.flush()
