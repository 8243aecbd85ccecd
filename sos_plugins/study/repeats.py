"""The same work done many times over, in this process or in several."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zlib import crc32

import joblib
import numpy as np
import pandas as pd

from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.groundwork.plain import plain
from sos_plugins.system.worker_pool import in_processes

T = TypeVar("T")

CHUNKS = 8
"""Parts that each process gets, so that progress is seen and none waits long for the others."""


@dataclass(frozen=True, kw_only=True)
class RepeatsResult(ABC):
    """What a study does on re-dealt pilots, many times over.

    Attributes:
        title: Title of the study.
        repeats: How many deals.
        seed: Seed of the deals.
        infos: The outcomes.
        notes: Sentences: what differs from the real programme, what could not be dealt.
        simulated: Whether the records are made up.
        called: What estimators are called on charts, by their names.
    """

    title: str
    repeats: int
    seed: int
    infos: Mapping[str, OutcomeInfo] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    simulated: bool = False
    called: Mapping[str, str] = field(default_factory=dict)

    @abstractmethod
    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table by the name of its file."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        about = {"title": self.title, "repeats": self.repeats, "seed": self.seed}
        notes = {"notes": list(self.notes), "simulated": self.simulated}
        return {**about, **{name: plain(frame) for name, frame in self.frames().items()}, **notes}


def generator(seed: int, what: str, number: int) -> np.random.Generator:
    """Return the random numbers of one repeat, which are its own whatever runs beside it.

    Args:
        seed: Seed of the study.
        what: What is drawn.
        number: Number of the repeat.
    """
    return np.random.default_rng((seed, crc32(what.encode()), number))


def repeated(
    job: Callable[[int], T],
    numbers: Sequence[int],
    advance: Callable[..., None],
    workers: int | None = 1,
) -> list[T]:
    """Do a job once for each number.

    Args:
        job: What is done; it travels to other processes.
        numbers: Numbers of the repeats.
        advance: Called with the number of repeats that are done.
        workers: Processes; None for one a processor.

    Returns:
        What the jobs gave, in the order of the numbers; the same for any number of processes.
    """
    workers = min(workers or os.cpu_count() or 1, len(numbers))
    if workers <= 1:
        results = []
        for number in numbers:
            results.append(job(number))
            advance()
        return results
    return list(_in_processes(job, numbers, advance, workers))


def _in_processes(
    job: Callable[[int], T], numbers: Sequence[int], advance: Callable[..., None], workers: int
) -> Iterator[T]:
    chunks = np.array_split(np.asarray(numbers), min(len(numbers), CHUNKS * workers))
    jobs = (joblib.delayed(_chunk)(job, [int(n) for n in chunk]) for chunk in chunks)
    with closing(in_processes(jobs, workers)) as parts:
        for part in parts:
            advance(len(part))
            yield from part


def _chunk(job: Callable[[int], T], numbers: Sequence[int]) -> list[T]:
    return [job(number) for number in numbers]
