"""How often a study would come to each verdict: whole studies on re-dealt pilots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.errors import DesignError
from sos_plugins.study.analysis import OutcomeAnalysis
from sos_plugins.study.common_task import with_common_task
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.plan import Plan
from sos_plugins.study.power import (
    Dealing,
    dealings,
    effects_given,
    refuse_few,
    standard_error,
)
from sos_plugins.study.power_table import share_with_error
from sos_plugins.study.preparation import OutcomeInput, Preparation
from sos_plugins.study.rating import rated
from sos_plugins.study.redeal import LEAST_OTHERS, plant
from sos_plugins.study.repeats import RepeatsResult, generator, repeated
from sos_plugins.study.result import OutcomeResult
from sos_plugins.system.progress import NoProgress, Progress

CLAIMS = ("increase", "decrease")
"""Directions of a rating that say that there was an effect."""
FOUND_ERRORS = 2.8
"""Standard errors of an effect that is found four times in five: 1.96 + 0.84."""
NOT_ANALYSED = "not analysed"


@dataclass(frozen=True, kw_only=True)
class CalibrationResult(RepeatsResult):
    """How often each verdict came, where the truth is known.

    Attributes:
        verdicts: One row a truth, outcome and verdict: ``truth`` (its number), ``outcome, effect``
            (planted, in the units of the value), ``level, direction, n, share, share_error`` (of
            Monte Carlo) and ``sentence``, the most frequent one.
        claims: One row a truth: ``truth, n``, ``share`` of the studies that claim an effect on any
            outcome, ``share_error``. Where nothing was planted these are false alarms.
    """

    verdicts: pd.DataFrame
    claims: pd.DataFrame

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table by the name of its file."""
        return {"verdicts": self.verdicts, "claims": self.claims}


@dataclass(frozen=True)
class Judged:
    """Whole studies of one deal; a job that travels between processes.

    Attributes:
        dealings: The outcomes, with the same authorities.
        truths: Effects by truth, one an outcome.
    """

    dealings: tuple[Dealing, ...]
    truths: tuple[tuple[float, ...], ...]

    def __call__(self, number: int) -> list[dict[str, Any]]:
        """Deal once, and return one row a truth and outcome."""
        rows = []
        for n, truth in enumerate(self.truths):
            inputs = [
                self._input(dealing, number, effect)
                for dealing, effect in zip(self.dealings, truth, strict=True)
            ]
            results = judged(self.dealings[0].plan, inputs)
            for result, effect in zip(results, truth, strict=True):
                rows.append({"truth": n, "deal": number, "effect": effect, **verdict(result)})
        return rows

    def _input(self, dealing: Dealing, number: int, effect: float) -> OutcomeInput:
        """Return an outcome with an effect; the same authorities are pilots in all outcomes."""
        design = dealing.dealt.deal(generator(dealing.seed, "pilots", number))
        cases = dealing.dealt.cases
        if not effect:
            return dealing.input(design)
        rng = generator(dealing.seed, f"effects on {dealing.name}", number)
        return dealing.input(design, plant(cases, design, effect, rng))


def judged(plan: Plan, inputs: Iterable[OutcomeInput]) -> list[OutcomeResult]:
    """Analyse the outcomes of one study, and rate them together."""
    results = [
        OutcomeAnalysis(Preparation(plan, given, NoProgress())).run(only_crosscheck=False)
        for given in with_common_task(plan, list(inputs))
    ]
    return list(rated(plan, results))


def verdict(result: OutcomeResult) -> dict[str, Any]:
    """Return the verdict on an outcome as plain values."""
    rating = result.rating
    if rating is None:
        unknown = {"level": NOT_ANALYSED, "direction": NOT_ANALYSED}
        return {"outcome": result.info.name, **unknown, "sentence": result.error}
    return {
        "outcome": result.info.name,
        "level": rating.level,
        "direction": rating.direction,
        "sentence": rating.sentence,
    }


def calibrate_of(
    plan: Plan,
    cases: Iterable[CollectedCases],
    design: Design,
    *,
    effects: Sequence[float] | None = None,
    repeats: int = 100,
    seed: int | None = None,
    neighbours: Mapping[str, tuple[str, ...]] | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> CalibrationResult:
    """Count how often a study comes to each verdict on cases in memory.

    Every deal is a whole study of all outcomes: matching, weights, estimators, sensitivity
    analysis, rating.

    Args:
        plan: The study.
        cases: Cases of its outcomes, by their names in it.
        design: The real pilots and pool.
        effects: Sizes that are planted in every outcome: percentage points of a rate, else in the
            units of the value; by default, for each outcome, the effect that its standard error
            lets be found four times in five. No effect is always among the truths.
        repeats: Deals; each is judged under every truth.
        seed: Seed of the deals; that of the study by default.
        neighbours: Statistical neighbours by authority, nearest first.
        progress: Where progress is shown.
        workers: Processes; None for one a processor. The result is the same.

    Returns:
        The result; an outcome that cannot be dealt is among its notes.

    Raises:
        StudyError: If there are fewer than two repeats, or no deal gives an estimate.
        DesignError: If no outcome can be dealt, or the outcomes have too few authorities in
            common.
    """
    refuse_few(repeats)
    ready, notes = dealings(plan, cases, design, neighbours or {}, seed)
    together = with_common_units(ready)
    job = Judged(together, truths_of(together, effects, workers))
    with (progress or NoProgress()).step("Studies with re-dealt pilots", repeats) as advance:
        rows = [row for part in repeated(job, range(repeats), advance, workers) for row in part]
    frame = pd.DataFrame(rows)
    return CalibrationResult(
        title=plan.file.study.title,
        repeats=repeats,
        seed=together[0].seed,
        verdicts=verdict_shares(frame),
        claims=claim_shares(frame),
        infos={dealing.name: dealing.given.info for dealing in together},
        notes=notes,
    )


def with_common_units(ready: Sequence[Dealing]) -> tuple[Dealing, ...]:
    """Restrict outcomes to the authorities that all of them can deal.

    Raises:
        DesignError: If too few are left.
    """
    common = set.intersection(*(set(dealing.dealt.units) for dealing in ready))
    needed = max(len(dealing.dealt.windows) for dealing in ready) + LEAST_OTHERS
    if len(common) < needed:
        raise DesignError(
            f"The outcomes have {len(common)} authorities in common that can be dealt, and at "
            f"least {needed} are needed. Calibrate fewer outcomes together."
        )
    units = tuple(sorted(common))
    return tuple(replace(one, dealt=replace(one.dealt, units=units)) for one in ready)


def truths_of(
    ready: Sequence[Dealing], effects: Sequence[float] | None, workers: int | None
) -> tuple[tuple[float, ...], ...]:
    """Return the effects by truth, one an outcome; that there is none comes first."""
    none = tuple(0.0 for _ in ready)
    if effects:
        sizes = [effects_given(effects, dealing.given.info) for dealing in ready]
        return (none, *zip(*sizes, strict=True))
    found = []
    for dealing in ready:
        sign = 1.0 if dealing.given.info.expected == "increase" else -1.0
        found.append(sign * float(f"{FOUND_ERRORS * standard_error(dealing, workers):.2g}"))
    return (none, tuple(found))


def verdict_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a truth, outcome and verdict, see :class:`CalibrationResult`."""
    lines = []
    for keys, part in rows.groupby(["truth", "outcome"], sort=False):
        for verdicts, own in part.groupby(["level", "direction"]):
            here = (part["level"] == verdicts[0]) & (part["direction"] == verdicts[1])
            share, error = share_with_error(here)
            lines.append(
                {
                    "truth": keys[0],
                    "outcome": keys[1],
                    "effect": part["effect"].iloc[0],
                    "level": verdicts[0],
                    "direction": verdicts[1],
                    "n": len(own),
                    "share": share,
                    "share_error": error,
                    "sentence": Counter(own["sentence"]).most_common(1)[0][0],
                }
            )
    return pd.DataFrame(lines)


def claim_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a truth: how many studies claim an effect on any outcome."""
    claimed = rows.assign(claims=rows["direction"].isin(CLAIMS))
    lines = []
    for truth, part in claimed.groupby("truth"):
        of_study = part.groupby("deal")["claims"].any()
        share, error = share_with_error(of_study)
        lines.append({"truth": truth, "n": len(of_study), "share": share, "share_error": error})
    return pd.DataFrame(lines)
