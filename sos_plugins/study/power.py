"""What a study would find: size, coverage and power of its estimators on its own records.

Pilots are re-dealt by lot in the records from before the programme, effects of known sizes are
planted in their cases, and the study's own line is run: its matcher, its weights, its estimators.
Re-dealing as in Bertrand, Duflo and Mullainathan (2004), "How much should we trust
differences-in-differences estimates?", Quarterly Journal of Economics 119(1), 249-275; power by
simulation on real panels as in Black, Hollingsworth, Nunes and Simon (2022), "Simulated power
analyses for observational studies", Journal of Public Economics 213.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import count, is_compressed
from sos_plugins.contract.types import OutcomeInfo, Run, Sample
from sos_plugins.errors import DesignError, SosError, StudyError, listing
from sos_plugins.study import sensitivity
from sos_plugins.study.cases_in_memory import inputs_from_cases
from sos_plugins.study.collect import needs_cases
from sos_plugins.study.design import count_cases
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.plan import Plan, Planned
from sos_plugins.study.pool_errors import PoolErrors
from sos_plugins.study.power_table import FIGURES, smallest_of, summarised
from sos_plugins.study.preparation import OutcomeInput, Preparation, PreparedOutcome
from sos_plugins.study.provenance import called_of
from sos_plugins.study.redeal import Redeal, added_up, plant_in_sample, redeal
from sos_plugins.study.repeats import RepeatsResult, generator, repeated
from sos_plugins.study.sensitivity import Specification
from sos_plugins.system.progress import NoProgress, Progress

FIRST_DEALS = 20
"""Deals from which the standard error is known well enough to choose effects by it: to about 1 in 6
of itself."""
MULTIPLES = (1.0, 2.0, 3.0, 4.0)
"""Effects in standard errors: power of about 17%, 52%, 85% and 98% with a normal statistic."""
LEAST_REPEATS = 2
MANY_ROWS = 50_000
"""Rows from which adding them up takes less time than one fit saves."""
ONE_WITHOUT_ERROR = (
    "A single pilot takes its error from the pool, whatever the estimator. Study more pilots, or "
    "let more authorities with cases in all periods into the pool."
)
SEVERAL_WITHOUT_ERROR = (
    "Each deal gave an estimate alone, as where an average rests on one pilot or an engine has no "
    "errors; the warnings of the estimate in 'sos-plugins run' say which. Put an estimator first "
    "that has an error for these pilots, or change its engine or its settings."
)
ABOUT_ONE = (
    "The errors of a single pilot are from the authorities of the pool, as those of a study's runs "
    "of single pilots."
)


@dataclass(frozen=True, kw_only=True)
class PowerResult(RepeatsResult):
    """What the estimators of a study find on its records, where the truth is known.

    Attributes:
        table: One row an outcome, estimator and effect, see
            :data:`sos_plugins.study.power_table.TABLE_COLUMNS`: ``effect`` in
            the units of the value, ``n`` estimates, ``power`` the share with p below
            0.05 (at effect 0 the size), ``coverage`` the share of intervals with the
            effect in them; ``_error`` is the Monte Carlo standard error of a share.
        smallest: One row an outcome and estimator: ``size``, ``coverage`` (at no effect), both with
            errors, and ``detectable``, the effect found with a power of 80% by
            interpolation; missing where no effect that was tried is found so often.
        windows: One row an outcome and window: ``outcome, start, end, cohort, n_units,
            n_cases``.
    """

    table: pd.DataFrame
    smallest: pd.DataFrame
    windows: pd.DataFrame

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return every table by the name of its file."""
        return {"power": self.table, "smallest": self.smallest, "windows": self.windows}


@dataclass(frozen=True)
class Dealing:
    """One outcome of a study, of which deals can be made again and again.

    Attributes:
        plan: The study.
        given: The outcome; its design is that of the real programme.
        dealt: Its records from before the programme.
        seed: Seed of the deals.
    """

    plan: Plan
    given: OutcomeInput
    dealt: Redeal
    seed: int

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return self.given.info.name

    def input(self, design: Design, cases: CollectedCases | None = None) -> OutcomeInput:
        """Return the outcome with re-dealt pilots, and perhaps with an effect in its cases."""
        return replace(self.given, design=design, cases=cases or self.dealt.cases)


@dataclass(frozen=True)
class Tried:
    """Estimates of one deal after another; a job that travels between processes.

    Attributes:
        dealing: The outcome.
        effects: Effects that are planted, in the units of the value; 0 plants none.
        only_main: Whether the main estimator alone is run.
    """

    dealing: Dealing
    effects: tuple[float, ...]
    only_main: bool = False

    def __call__(self, number: int) -> list[dict[str, Any]]:
        """Deal once, and return one row an effect and estimator."""
        dealing = self.dealing
        rng = generator(dealing.seed, dealing.name, number)
        design = dealing.dealt.deal(rng)
        preparation = Preparation(dealing.plan, dealing.input(design), NoProgress())
        try:
            prepared = preparation.prepare(dealing.dealt.cases, dealing.plan.file.matching.units)
        except SosError as error:
            return [self._row(p, number, e, str(error)) for e in self.effects for p in self.planned]
        rows = []
        for planned in self.planned:
            for effect, run, size in self._runs(preparation, planned, prepared, rng):
                rows.append({**self._row(planned, number, effect, run), "planted": size})
        return rows

    def _runs(
        self,
        preparation: Preparation,
        planned: Planned,
        prepared: PreparedOutcome,
        rng: np.random.Generator,
    ) -> Iterator[tuple[float, Run | str, float]]:
        """Yield each effect with the run of an estimator and what was planted."""
        try:
            sample, options, _ = preparation.sample_for(planned, prepared)
        except SosError as error:
            yield from ((effect, str(error), effect) for effect in self.effects)
            return
        judge = _by_the_pool(preparation, prepared)
        for effect in self.effects:
            changed, size = (sample, 0.0) if not effect else plant_in_sample(sample, effect, rng)
            setup = Specification(
                sample=changed,
                estimator=planned.name,
                engine=None if planned.engines == "all" else planned.engines[0],
                options=options,
                groups=prepared.design.groups,
                seed=preparation.seed,
                cells=_worth_cells(preparation, planned, changed),
                alone=prepared.design.pilots[0].unit if judge else "",
            )
            run = sensitivity.run(
                preparation.registry,
                "main",
                planned.name,
                functools.partial(_itself, setup),
                judge,
            )
            yield effect, run, size

    @cached_property
    def planned(self) -> list[Planned]:
        """The estimators that answer what the effect was."""
        plan = self.dealing.plan
        answering = [
            planned
            for planned in plan.estimators
            if not getattr(plan.registry.estimator(planned.name), "diagnostic", False)
        ]
        return answering[:1] if self.only_main else answering

    def _row(self, planned: Planned, number: int, effect: float, run: Run | str) -> dict[str, Any]:
        row = {"outcome": self.dealing.name, "estimator": planned.name, "deal": number}
        row |= {"effect": effect, "planted": effect}
        if isinstance(run, str):
            return {**row, "reason": run}
        reason = run.reason or " ".join(run.warnings)
        return {**row, **{name: getattr(run, name) for name in FIGURES}, "reason": reason}


def _worth_cells(preparation: Preparation, planned: Planned, sample: Sample) -> Sample | None:
    """Add up a sample where one fit alone is worth it."""
    if is_compressed(sample.frame) or len(sample.frame) < MANY_ROWS:
        return None
    return preparation.cells_for(planned, sample)


def _by_the_pool(
    preparation: Preparation, prepared: PreparedOutcome
) -> sensitivity.JudgeOfOnePilot | None:
    """Return what gives a single pilot its error from the pool; None where there are several."""
    if len(prepared.design.pilots) > 1:
        return None
    errors = PoolErrors(prepared)

    def judged(run: Run, setup: Specification, conf_level: float) -> Run:
        baseline = preparation.registry.estimator(setup.estimator).baseline
        return errors.judged(run, setup.alone, baseline, conf_level)

    return judged


def _itself(setup: Specification) -> Specification:
    return setup


def dealings(
    plan: Plan,
    cases: Iterable[CollectedCases],
    design: Design,
    neighbours: Mapping[str, tuple[str, ...]],
    seed: int | None,
) -> tuple[list[Dealing], tuple[str, ...]]:
    """Make what is dealt from the cases of outcomes.

    Args:
        plan: The study.
        cases: Cases by outcome.
        design: The real pilots and pool.
        neighbours: Statistical neighbours by authority, nearest first.
        seed: Seed of the deals; that of the study by default.

    Returns:
        One an outcome that can be dealt, and a sentence for each that cannot.

    Raises:
        StudyError: If a case belongs to no outcome of the study.
        DesignError: If no outcome can be dealt.
    """
    by_name = {some.info.name: _usable(some, plan) for some in cases}
    inputs = inputs_from_cases(plan, by_name, design, neighbours, {})
    ready, notes = [], []
    for given in inputs:
        try:
            dealt = redeal(by_name[given.info.name], design)
        except DesignError as error:
            notes.append(str(error))
            continue
        if not needs_cases(plan):
            dealt = replace(dealt, cases=added_up(dealt.cases, dealt.windows))
        chosen = plan.file.study.seed if seed is None else seed
        ready.append(Dealing(plan, given, dealt, chosen))
        notes += [f"{given.info.name}: {note}" for note in dealt.notes]
    if not ready:
        raise DesignError(" ".join(notes) or "There are no cases of any outcome.")
    return ready, tuple(notes)


def _usable(cases: CollectedCases, plan: Plan) -> CollectedCases:
    """Leave out the cases that the study does not use: without a date, or in other periods."""
    return replace(cases, frame=count_cases(cases.frame, cases.attrition, plan.file.design).frame)


def standard_error(dealing: Dealing, workers: int | None = 1) -> float:
    """Return the median standard error of the main estimator over the first deals.

    Args:
        dealing: The outcome.
        workers: Processes.

    Raises:
        StudyError: If no deal gave a standard error.
    """
    trial = Tried(dealing, (0.0,), only_main=True)
    parts = repeated(trial, range(FIRST_DEALS), lambda *_: None, workers)
    rows = [row for part in parts for row in part]
    known = [float(row["std_error"]) for row in rows if (row.get("std_error") or 0) > 0]
    if not known:
        raise StudyError(
            f"Outcome '{dealing.name}': no deal gave a standard error. {_why_none(dealing, rows)}"
        )
    return float(np.median(known))


def _why_none(dealing: Dealing, rows: Sequence[Mapping[str, Any]]) -> str:
    """Say why no deal gave a standard error, and what helps where there were estimates."""
    reasons = list(dict.fromkeys(str(row["reason"]) for row in rows if row.get("reason")))
    if any(row.get("estimate") is not None for row in rows):
        one = len(dealing.given.design.pilots) == 1
        reasons.append(ONE_WITHOUT_ERROR if one else SEVERAL_WITHOUT_ERROR)
    return " ".join(reasons)


def effects_by_error(dealing: Dealing, workers: int | None) -> tuple[float, ...]:
    """Choose effects by the standard error of the main estimator, in the direction expected."""
    sign = 1.0 if dealing.given.info.expected == "increase" else -1.0
    error = standard_error(dealing, workers)
    return tuple(sign * float(f"{multiple * error:.2g}") for multiple in MULTIPLES)


def effects_given(effects: Sequence[float], info: OutcomeInfo) -> tuple[float, ...]:
    """Check effects of a user's own, and return them in the units of the value.

    Args:
        effects: In percentage points where the outcome is a rate, else in the units of the value.
        info: The outcome.

    Raises:
        StudyError: If one is 0 or no number, or they have two signs.
    """
    told = listing(f"{effect:g}" for effect in effects)
    if not all(np.isfinite(effect) and effect != 0 for effect in effects):
        raise StudyError(
            f"The effects are {told}; give numbers other than 0. No effect is tried anyway."
        )
    if min(effects) < 0 < max(effects):
        raise StudyError(f"The effects are {told}; give increases or decreases, not both at once.")
    points = 100.0 if info.in_points else 1.0
    return tuple(effect / points for effect in dict.fromkeys(effects))


def power_of(
    plan: Plan,
    cases: Iterable[CollectedCases],
    design: Design,
    *,
    effects: Sequence[float] | None = None,
    repeats: int = 200,
    seed: int | None = None,
    neighbours: Mapping[str, tuple[str, ...]] | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> PowerResult:
    """Measure size, coverage and power of the estimators of a study on cases in memory.

    Args:
        plan: The study.
        cases: Cases of its outcomes, by their names in it.
        design: The real pilots and pool.
        effects: Sizes that are planted: percentage points of a rate, else in the units of the
            value; :data:`MULTIPLES` of the standard error by default. No effect is always among
            them.
        repeats: Deals an outcome.
        seed: Seed of the deals; that of the study by default.
        neighbours: Statistical neighbours by authority, nearest first.
        progress: Where progress is shown.
        workers: Processes; None for one a processor. The result is the same.

    Returns:
        The result; an outcome that cannot be dealt is among its notes.

    Raises:
        StudyError: If there are fewer than two repeats, or no deal gives an estimate.
        DesignError: If no outcome can be dealt: too few periods before the programme, or too few
            authorities.
    """
    refuse_few(repeats)
    ready, notes = dealings(plan, cases, design, neighbours or {}, seed)
    shown = progress or NoProgress()
    rows: list[dict[str, Any]] = []
    for dealing in ready:
        sizes = (
            effects_given(effects, dealing.given.info)
            if effects
            else effects_by_error(dealing, workers)
        )
        job = Tried(dealing, tuple(dict.fromkeys((0.0, *sizes))))
        with shown.step(f"{dealing.name}: pilots re-dealt", repeats) as advance:
            rows += [
                row for part in repeated(job, range(repeats), advance, workers) for row in part
            ]
    table, further = summarised(rows)
    return PowerResult(
        title=plan.file.study.title,
        repeats=repeats,
        seed=ready[0].seed,
        table=table,
        smallest=smallest_of(table),
        windows=pd.concat([_windows(dealing) for dealing in ready], ignore_index=True),
        infos={dealing.name: dealing.given.info for dealing in ready},
        notes=(*notes, *further, *([ABOUT_ONE] if len(design.pilots) == 1 else [])),
        called=called_of(plan.registry),
    )


def refuse_few(repeats: int) -> None:
    """Refuse a number of repeats of which no error can be told.

    Raises:
        StudyError: With the least number.
    """
    if repeats < LEAST_REPEATS:
        raise StudyError(f"repeats is {repeats}; at least {LEAST_REPEATS} deals are needed.")


def _windows(dealing: Dealing) -> pd.DataFrame:
    dealt = dealing.dealt
    rows = [
        {
            "outcome": dealing.name,
            "start": window.start.isoformat() if window.start else None,
            "end": window.end.isoformat() if window.end else None,
            "cohort": window.cohort,
            "n_units": len(dealt.units),
            "n_cases": count(dealt.cases.frame),
        }
        for window in dealt.windows
    ]
    return pd.DataFrame(rows)
