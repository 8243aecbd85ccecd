"""A study, station by station: sources, outcomes, design, estimates, sensitivity, rating."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import joblib
import pandas as pd
from pydantic import BaseModel

from sos_plugins.backends import as_backend, failures_in_words
from sos_plugins.cache.fingerprint import Program, hashed, hashed_files, of_records, of_settings
from sos_plugins.cache.store import KEEP_NOTHING, StepCache
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.interfaces import Source
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import OutcomeInfo, Pilot, Records
from sos_plugins.errors import DataError, SosError, StudyError
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.registry import Registry, find_config, load_plugins
from sos_plugins.host.settings import validate
from sos_plugins.profile.build import profile_records
from sos_plugins.profile.coverage import pilot_coverage
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.profile.rules_of import rules_for
from sos_plugins.study import design as designs
from sos_plugins.study.adoption import adoption_of
from sos_plugins.study.analysis import OutcomeAnalysis
from sos_plugins.study.before_reading import checked_pilots
from sos_plugins.study.calibrate import CalibrationResult, calibrate_of
from sos_plugins.study.cases_in_memory import (
    inputs_from_cases,
    outcome_choices,
    refuse_unknown,
)
from sos_plugins.study.collect import ONE_BY_ONE, Collection, collect, collection
from sos_plugins.study.common_task import with_common_task
from sos_plugins.study.estimate import unavailable
from sos_plugins.study.file import Choice, OutcomeChoice, StudyTable, parse_study, read_study
from sos_plugins.study.linking import (
    NOBODY,
    Linked,
    LinkResult,
    effect_of,
    effects_of,
    with_one_identifier,
)
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.plan import Plan
from sos_plugins.study.power import PowerResult, power_of
from sos_plugins.study.preparation import (
    OutcomeInput,
    Preparation,
    PreparedOutcome,
    no_faults,
)
from sos_plugins.study.provenance import called_of, manifest, references_of
from sos_plugins.study.rating import rated
from sos_plugins.study.result import OutcomeResult, StudyResult
from sos_plugins.system.library_warnings import record_warnings
from sos_plugins.system.memory import MemoryUse
from sos_plugins.system.progress import NoProgress, Progress
from sos_plugins.system.scratch import private_files
from sos_plugins.system.worker_pool import in_processes
from sos_plugins.tables.merged_records import merged
from sos_plugins.tables.row_accounts import files_left_out

PARALLEL_FROM = 20_000
"""Cases of all outcomes from which on several processes pay for their start."""


Measured = TypeVar("Measured", PowerResult, CalibrationResult)


@dataclass(frozen=True)
class Study:
    """A study read from its file and checked against the plugins."""

    plan: Plan

    @classmethod
    def from_toml(
        cls,
        path: str | Path,
        *,
        plugins: Path | None = None,
        data: Path | None = None,
        memory: str | None = None,
        backend: str | None = None,
    ) -> Study:
        """Read a study file.

        Args:
            path: The study file.
            plugins: A ``plugins.toml``; by default the one that ``$SOS_PLUGINS_TOML`` names, else
                the one beside the study, if any.
            data: Folder to resolve the paths of the study against instead of the study's own.
            memory: Most memory that the run may take, such as ``"4GB"``, in place of the study's
                own.
            backend: ``"duckdb"`` or ``"spark"``, in place of the study's own.

        Raises:
            StudyError, SettingsError, NotRegisteredError, PluginError: For the first thing wrong.
        """
        path = Path(path)
        file, text = read_study(path)
        for key, given in (("memory", memory), ("backend", backend)):
            if given is not None:
                table = {**file.study.model_dump(), key: given}
                changed = validate(StudyTable, table, where=f"--{key}")
                file = file.model_copy(update={"study": changed})
        registry = load_plugins(plugins or find_config(path.parent))
        return cls(Plan(file, text, _whole(data or path.parent), registry))

    @classmethod
    def from_text(cls, text: str, *, base: Path, registry: Registry) -> Study:
        """Make a study from the text of a study file."""
        return cls(Plan(parse_study(text, where="the study"), text, _whole(base), registry))

    @property
    def outcome_names(self) -> list[str]:
        """The names that the outcomes have in the results, in the order of the study."""
        return list(outcome_choices(self.plan))

    def session(self, progress: Progress | None = None, backend: Any = None) -> Session:
        """Make the surroundings of a run, on the backend of the study or on another.

        Raises:
            DataError: If Spark is asked for and cannot be used.
        """
        table = self.plan.file.study
        chosen = table.backend if backend is None else backend
        return Session(
            backend=as_backend(chosen, memory=table.memory),
            base=self.plan.base,
            seed=table.seed,
            progress=progress or NoProgress(),
        )

    def read(self, session: Session, stations: StepCache = KEEP_NOTHING) -> Records:
        """Read and merge the records of every source."""
        return self.read_whole(session, stations).records

    def read_whole(self, session: Session, cache: StepCache = KEEP_NOTHING) -> Read:
        """Read the records of every source, with the pilots that they are checked against.

        Args:
            session: Of this run.
            cache: Where stations are kept.
        """
        pilots = checked_pilots(self.plan, session)
        so_far: Records | None = None
        program = Program.of(self.plan.registry) if cache.folder else Program()
        keys = [program.code, session.seed]
        for n, choice in enumerate(self.plan.file.sources, 1):
            with failures_in_words():
                records, key = self._source(choice, n, session, cache, program)
            keys.append(key)
            if so_far is not None:
                _refuse_twice(so_far, records, f"[[sources]] {n} ({choice.plugin})")
            so_far = records if so_far is None else merged(so_far, records)
        assert so_far is not None
        read = Read(so_far, pilots, program, hashed(keys))
        linker = self.plan.file.link
        return read if linker is None else self._linked(linker, read, session, cache)

    def _linked(self, choice: Choice, read: Read, session: Session, cache: StepCache) -> Read:
        """Give children that are one the same identifier."""
        linker = self.plan.registry.linker(choice.plugin)
        settings = self.plan.settings("linker", choice, "[link]")
        key = hashed(
            read.key,
            choice.plugin,
            of_settings(settings, session.base),
            read.program.with_plugin(linker),
        )

        def make() -> Linked:
            with session.progress.step("Linking children"), failures_in_words():
                return Linked.of(linker.link(read.records, settings, session), choice.plugin)

        link = cache.keep(f"link by {choice.plugin}", key, make)
        records, merged = with_one_identifier(read.records, link.table, session)
        without, _ = with_one_identifier(read.records, NOBODY, session)
        told = LinkResult(
            plugin=choice.plugin,
            label=linker.label,
            sentence=link.sentence,
            figures=link.figures,
            weights=link.weights,
            merged=merged,
        )
        records = replace(records, notes=(*records.notes, *link.warnings))
        alone = replace(read, records=without, key=hashed(read.key, "nobody linked"))
        return replace(read, records=records, key=key, link=LinkedRead(told, read, alone))

    def _source(
        self, choice: Choice, n: int, session: Session, cache: StepCache, program: Program
    ) -> tuple[Records, str]:
        """Return the records of one source, and a hash of what they rest on or of what they are."""
        source = self.plan.registry.source(choice.plugin)
        settings = self.plan.registry.settings(
            "source", choice.plugin, choice.settings, f"[[sources]] {n}"
        )
        make = functools.partial(read_heard, source, settings, session)
        if cache.folder is None:
            return make(), ""
        key = hashed(
            choice.plugin,
            of_settings(settings, session.base),
            program.with_plugin(source),
            session.seed,
        )
        inputs = source.inputs(settings, session)
        if inputs is None:
            records = make()
            return records, hashed(key, of_records(records, session.backend))
        key = hashed(key, hashed_files(inputs, session.base))
        return cache.keep_records(f"records of {choice.plugin}", key, session, make), key

    def _profile(self, session: Session, read: Read, cache: StepCache) -> RecordProfile:
        """Profile the records as they were read; completeness is kept where it varies."""
        read = read.link.as_read if read.link else read
        registry, settings = self.plan.registry, self.plan.file.profile

        def make() -> RecordProfile:
            with failures_in_words():
                rules = rules_for(registry, read.records)
                return profile_records(read.records, rules, session, settings).compact()

        return cache.keep("profile of the records", hashed(read.key, settings), make)

    def run(
        self,
        progress: Progress | None = None,
        *,
        workers: int | None = None,
        stations: StepCache = KEEP_NOTHING,
        backend: Any = None,
    ) -> StudyResult:
        """Run the whole study.

        An outcome that cannot be analysed becomes a result with an error; the others go on.

        Args:
            progress: Where progress is shown.
            workers: Outcomes analysed at once, each in a process of its own; by default one a
                processor where there are enough cases, else one. The result is the same.
            stations: Where finished stations are kept: a run that was cut off, or whose settings
                have changed since, makes only what is missing. The result is the same.
            backend: Where cases are derived, in place of the study's own: ``"duckdb"``,
                ``"spark"``, a ``SparkSession`` or an Ibis backend.

        Raises:
            SosError: If no records can be read, or the design fits none of them.
        """
        return self._run(self.session(progress, backend), workers, stations, only_crosscheck=False)

    def crosscheck(
        self,
        progress: Progress | None = None,
        *,
        workers: int | None = None,
        stations: StepCache = KEEP_NOTHING,
        backend: Any = None,
    ) -> StudyResult:
        """Run the estimators by all their engines, without sensitivity analysis and rating."""
        return self._run(self.session(progress, backend), workers, stations, only_crosscheck=True)

    def analyse(
        self,
        cases: Iterable[CollectedCases],
        design: Design | None = None,
        *,
        neighbours: Mapping[str, tuple[str, ...]] | None = None,
        unit_names: Mapping[str, str] | None = None,
        progress: Progress | None = None,
        workers: int | None = 1,
        only_crosscheck: bool = False,
    ) -> tuple[OutcomeResult, ...]:
        """Run the line from cases in memory on: matching, estimates, sensitivity, rating.

        No source is read and nothing is written, so that a study can be run many times over.

        Args:
            cases: The cases of some outcomes of the study, by the names that these have in it
                (``info.name``). Rows may stand for many cases, see
                :data:`sos_plugins.cells.build.COMPRESSED`.
            design: Pilots and pool; those of the study file among the authorities of the cases
                by default.
            neighbours: Statistical neighbours by authority, nearest first, for matchers that use
                them.
            unit_names: Authority code to name.
            progress: Where progress is shown.
            workers: Outcomes analysed at once, each in a process of its own; None decides by the
                number of cases.
            only_crosscheck: Leave out sensitivity analysis and rating.

        Returns:
            A result for each, in the order of the study; one that cannot be analysed has an error.

        Raises:
            StudyError: If the study has no outcome of such a name.
            SosError: If the design does not fit.
        """
        given = {some.info.name: some for some in cases}
        inputs = inputs_from_cases(self.plan, given, design, neighbours or {}, unit_names or {})
        return self._analysed(
            inputs,
            progress or NoProgress(),
            KEEP_NOTHING,
            workers,
            only_crosscheck=only_crosscheck,
        )

    def power(
        self,
        progress: Progress | None = None,
        *,
        outcomes: Sequence[str] | None = None,
        effects: Sequence[float] | None = None,
        repeats: int = 200,
        seed: int | None = None,
        workers: int | None = None,
    ) -> PowerResult:
        """Measure what the estimators of the study would find on its records.

        Pilots are re-dealt by lot in the records from before the programme and effects planted in
        their cases, see :func:`sos_plugins.study.power.power_of`.

        Args:
            progress: Where progress is shown.
            outcomes: Names of outcomes; all by default.
            effects: Sizes that are planted: percentage points of a rate, else in the units of the
                value; chosen by the standard error of each outcome by default.
            repeats: Deals an outcome.
            seed: Seed of the deals; that of the study by default.
            workers: Processes; one a processor by default. The result is the same.

        Raises:
            SosError: If no records can be read, or no outcome can be dealt.
        """
        return self._dealt(power_of, progress, outcomes, effects, repeats, seed, workers)

    def calibrate(
        self,
        progress: Progress | None = None,
        *,
        outcomes: Sequence[str] | None = None,
        effects: Sequence[float] | None = None,
        repeats: int = 100,
        seed: int | None = None,
        workers: int | None = None,
    ) -> CalibrationResult:
        """Count how often the study would come to each verdict, where the truth is known.

        As :meth:`power`, with the whole line of all outcomes at each deal, see
        :func:`sos_plugins.study.calibrate.calibrate_of`.

        Args:
            progress: Where progress is shown.
            outcomes: Names of outcomes; all by default.
            effects: Sizes that are planted in every outcome, in the same units; chosen by the
                standard error of each outcome by default.
            repeats: Deals; each is judged under every truth.
            seed: Seed of the deals; that of the study by default.
            workers: Processes; one a processor by default. The result is the same.

        Raises:
            SosError: If no records can be read, or no outcome can be dealt.
        """
        return self._dealt(calibrate_of, progress, outcomes, effects, repeats, seed, workers)

    def prepared(
        self,
        outcome: str,
        progress: Progress | None = None,
        *,
        stations: StepCache = KEEP_NOTHING,
    ) -> PreparedOutcome:
        """Return the cases of one outcome as its estimators get them: matched groups, weights.

        Args:
            outcome: Its name in the study.
            progress: Where progress is shown.
            stations: Where finished stations are kept.

        Raises:
            StudyError: If the study has no outcome of such a name.
            SosError: If its cases cannot be derived or matched.
        """
        choices = outcome_choices(self.plan)
        refuse_unknown((outcome,), choices)
        session = self.session(progress)
        try:
            with private_files():
                given = self._given(session, choices[outcome], stations)
        finally:
            session.release()
        if isinstance(given.cases, str):
            raise DataError(given.cases)
        preparation = Preparation(self.plan, given, session.progress, stations)
        return preparation.prepare(given.cases, self.plan.file.matching.units)

    def _given(self, session: Session, choice: OutcomeChoice, cache: StepCache) -> OutcomeInput:
        """Read the records and derive the cases of one outcome."""
        read = self.read_whole(session, cache)
        design, _ = read.design(self.plan)
        step = OutcomeStep(self.plan, session, read, choice, cache)
        return step.derive(design, _neighbours(read.records), others=False)

    def _dealt(
        self,
        measure: Callable[..., Measured],
        progress: Progress | None,
        outcomes: Sequence[str] | None,
        effects: Sequence[float] | None,
        repeats: int,
        seed: int | None,
        workers: int | None,
    ) -> Measured:
        """Derive the cases of some outcomes, and measure something on re-dealt pilots."""
        session = self.session(progress)
        try:
            with private_files():
                there: InMemory = self._in_memory(session, outcomes)
        finally:
            session.release()
        measured: Measured = measure(
            self.plan,
            there.cases,
            there.design,
            effects=effects,
            repeats=repeats,
            seed=seed,
            neighbours=there.neighbours,
            progress=progress,
            workers=workers,
        )
        notes = (*there.notes, *measured.notes)
        return replace(measured, notes=notes, simulated=there.simulated)

    def _in_memory(self, session: Session, outcomes: Sequence[str] | None) -> InMemory:
        """Read the records and derive the cases of some outcomes.

        Raises:
            StudyError: If there is no such outcome.
            DataError: If no outcome has cases.
        """
        choices = outcome_choices(self.plan)
        wanted = tuple(choices) if outcomes is None else tuple(dict.fromkeys(outcomes))
        refuse_unknown(wanted, choices)
        read = self.read_whole(session)
        records = read.records
        design, notes = read.design(self.plan)
        cases = []
        with session.progress.step("Deriving outcomes", len(wanted)) as advance:
            for name in wanted:
                derived = OutcomeStep(self.plan, session, Read(records), choices[name]).cases()
                if isinstance(derived, str):
                    notes += (derived,)
                else:
                    cases.append(derived)
                advance()
        if not cases:
            raise DataError(" ".join(notes))
        return InMemory(tuple(cases), design, _neighbours(records), notes, records.simulated)

    def _analysed(
        self,
        inputs: list[OutcomeInput],
        progress: Progress,
        cache: StepCache,
        workers: int | None,
        *,
        only_crosscheck: bool,
    ) -> tuple[OutcomeResult, ...]:
        inputs = with_common_task(self.plan, inputs)
        analysed = _each_analysed(
            self.plan, inputs, progress, cache, workers, only_crosscheck=only_crosscheck
        )
        outcomes = []
        with progress.step("Analysing outcomes", len(inputs)) as advance, closing(analysed):
            for outcome in analysed:
                outcomes.append(outcome)
                advance()
        return tuple(outcomes) if only_crosscheck else rated(self.plan, outcomes)

    def _run(
        self, session: Session, workers: int | None, cache: StepCache, *, only_crosscheck: bool
    ) -> StudyResult:
        try:
            with private_files():
                return self._run_on(session, workers, cache, only_crosscheck=only_crosscheck)
        finally:
            session.release()

    def _run_on(
        self, session: Session, workers: int | None, cache: StepCache, *, only_crosscheck: bool
    ) -> StudyResult:
        plan, file = self.plan, self.plan.file
        use = MemoryUse(file.study.memory)
        read = self.read_whole(session, cache)
        records = read.records
        design, warnings = read.design(plan)
        warnings += records.notes
        use.note("reading")
        how = collection(plan, design.pilots, session.backend)
        if how.reason:
            warnings += (f"Cases and not cells were brought from the records: {how.reason}.",)
        warnings += files_left_out(records.quality.checks)
        neighbours = _neighbours(records)
        profile = None if only_crosscheck else self._profile(session, read, cache)
        inputs = []
        with session.progress.step("Deriving outcomes", len(file.outcomes)) as advance:
            for choice in file.outcomes:
                step = OutcomeStep(plan, session, read, choice, cache, profile)
                inputs.append(step.derive(design, neighbours, others=not only_crosscheck))
                advance()
        use.note("deriving")
        outcomes = self._analysed(
            inputs, session.progress, cache, workers, only_crosscheck=only_crosscheck
        )
        use.note("analysing")
        if excess := use.excess():
            warnings += (excess,)
        return StudyResult(
            name=file.study.name,
            title=file.study.title,
            programme=file.study.programme,
            simulated=records.simulated,
            outcomes=outcomes,
            pilots=_pilot_table(design),
            record_quality=records.quality.checks,
            profile=profile,
            coverage=pilot_coverage(profile, design.pilots, records.unit_names)
            if profile
            else pd.DataFrame(),
            warnings=warnings,
            missing_checks=unavailable(plan.registry, plan.with_engines),
            truth=records.truth,
            unit_names=dict(records.unit_names),
            manifest={
                **manifest(plan.registry, records, plan.text, file.study.seed, cache.folder),
                "memory": use.to_dict(),
            },
            study_toml=plan.text,
            settings=plain(file.model_dump()),
            called=called_of(plan.registry),
            link=_told(read, inputs),
            references=references_of(
                plan.registry,
                outcomes,
                (step.plugin for step in (file.link, file.imputation) if step is not None),
            ),
        )


def _told(read: Read, inputs: Sequence[OutcomeInput]) -> LinkResult | None:
    """Return what the result tells of the link, with what it changes in each outcome."""
    if read.link is None:
        return None
    rows = [
        effect_of(given.info.name, given.not_linked, given.cases)
        for given in inputs
        if given.not_linked is not None
    ]
    return replace(read.link.told, effect=effects_of(rows))


def _refuse_twice(before: Records, records: Records, where: str) -> None:
    """Refuse a file that an earlier source has read: its rows would count twice.

    Files that results show by their last parts only (``...``) may be others of the same name.
    """
    twice = sorted(set(before.files) & set(records.files))
    twice = [name for name in twice if not name.startswith("...")]
    if twice or (before.data_hash and before.data_hash == records.data_hash and records.files):
        shown = f"the file {twice[0]}" if twice else "the same content"
        raise StudyError(
            f"{where} reads {shown}, which another source of the study has read: its rows would "
            "count twice. Name each file in one source."
        )


def _each_analysed(
    plan: Plan,
    inputs: list[OutcomeInput],
    progress: Progress,
    cache: StepCache,
    workers: int | None,
    *,
    only_crosscheck: bool,
) -> Generator[OutcomeResult, None, None]:
    """Yield the results in order, from this process or from several."""
    if workers is None:
        cases = sum(len(i.cases.frame) for i in inputs if not isinstance(i.cases, str))
        workers = (os.cpu_count() or 1) if cases >= PARALLEL_FROM else 1
    workers = min(workers, len(inputs))
    if workers <= 1:
        for given in inputs:
            analysis = OutcomeAnalysis(Preparation(plan, given, progress, cache))
            yield analysis.run(only_crosscheck=only_crosscheck)
        return
    jobs = (
        joblib.delayed(_analyse)(plan, given, cache.for_worker(), only_crosscheck)
        for given in inputs
    )
    with closing(in_processes(jobs, workers)) as results:
        for result, noted in results:
            cache.merge(noted)
            yield result


def _analyse(
    plan: Plan, given: OutcomeInput, cache: StepCache, only_crosscheck: bool
) -> tuple[OutcomeResult, StepCache]:
    analysis = OutcomeAnalysis(Preparation(plan, given, NoProgress(), cache))
    return analysis.run(only_crosscheck=only_crosscheck), cache


@dataclass(frozen=True)
class InMemory:
    """Cases of a study in memory, with what the analysis takes beside them.

    Attributes:
        cases: The cases of each outcome that has some.
        design: Pilots and pool.
        neighbours: Statistical neighbours by authority, nearest first.
        notes: Sentences on the design, and on outcomes without cases.
        simulated: Whether the records are made up.
    """

    cases: tuple[CollectedCases, ...]
    design: Design
    neighbours: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True)
class Read:
    """Records as a study has read them.

    Attributes:
        records: The records of all sources.
        pilots: Those that were checked before anything was read.
        program: What computes.
        key: Hash of the records, or of all that they rest on; empty where nothing is kept.
        link: Where children are linked, what was found, and the records without it.
    """

    records: Records
    pilots: tuple[Pilot, ...] = ()
    program: Program = field(default_factory=Program)
    key: str = ""
    link: LinkedRead | None = None

    def design(self, plan: Plan) -> tuple[Design, tuple[str, ...]]:
        """Make the design of a study on these records, as :func:`make_design` does.

        Args:
            plan: The study.
        """
        return designs.make_design(
            plan.file.design,
            plan.base,
            units_of(self.records),
            self.records.unit_names,
            adoption_of(self.records),
            pilots=self.pilots,
        )


@dataclass(frozen=True)
class LinkedRead:
    """What a study knows of its link.

    Attributes:
        told: What the result tells of it.
        as_read: The records as the sources give them.
        alone: The same, every child under an identifier that no other has anywhere.
    """

    told: LinkResult
    as_read: Read
    alone: Read


@dataclass(frozen=True)
class OutcomeStep:
    """One outcome of a study on its way from records to cases."""

    plan: Plan
    session: Session
    read: Read
    choice: OutcomeChoice
    cache: StepCache = KEEP_NOTHING
    profile: RecordProfile | None = None

    def settings(self, changes: Mapping[str, Any] | None = None) -> BaseModel:
        """Return the validated settings of the outcome."""
        values = {**self.plan.outcome_values(self.choice), **(changes or {})}
        return self.plan.registry.settings("outcome", self.choice.plugin, values, "[[outcomes]]")

    def info(self, settings: BaseModel) -> OutcomeInfo:
        """Describe the outcome under its name in this study."""
        return self.plan.outcome_info(self.choice, settings)

    def derive(
        self, design: Design, neighbours: Mapping[str, tuple[str, ...]], *, others: bool
    ) -> OutcomeInput:
        """Derive the cases, and with ``others`` those of the outcome's other definitions."""
        settings = self.settings()
        how = collection(self.plan, design.pilots, self.session.backend)
        definitions = {}
        chosen = self.plan.file.sensitivity.families
        if others and (chosen == "all" or "other-definition" in chosen):
            outcome = self.plan.registry.outcome(self.choice.plugin)
            for name, changes in sorted(outcome.definitions.items()):
                other = self.settings(changes)
                if other != settings:
                    definitions[name] = self._cases(other, how)
        return OutcomeInput(
            choice=self.choice,
            info=self.info(settings),
            settings=plain(settings.model_dump()),
            cases=self._cases(settings, how),
            definitions=definitions,
            design=design,
            neighbours=neighbours,
            unit_names=dict(self.read.records.unit_names),
            faults=self._faults(settings),
            program=self.read.program,
            key=self._key(settings, how),
            not_linked=self._not_linked(settings, how) if others else None,
        )

    def _not_linked(self, settings: BaseModel, how: Collection) -> CollectedCases | str | None:
        """Derive the cases with children as the sources identify them, where they are linked."""
        if self.read.link is None:
            return None
        return replace(self, read=self.read.link.alone)._cases(settings, how)

    def _key(self, settings: BaseModel, how: Collection) -> str:
        """Return a hash of all that cases under some settings rest on."""
        if self.cache.folder is None:
            return ""
        outcome = self.plan.registry.outcome(self.choice.plugin)
        return hashed(
            self.read.key,
            self.choice.plugin,
            of_settings(settings, self.session.base),
            self.read.program.with_plugin(outcome),
            self.info(settings).name,
            self.choice.threshold,
            self.session.backend.name,
            self.session.backend.version,
            how.key,
        )

    def _faults(self, settings: BaseModel) -> pd.DataFrame:
        """Return the rows at fault in the tables that the outcome reads, by authority and year."""
        if self.profile is None:
            return no_faults()
        outcome = self.plan.registry.outcome(self.choice.plugin)
        return self.profile.at_fault(outcome.reads(settings))

    def cases(self) -> CollectedCases | str:
        """Derive the cases under the settings of the study, or say why that cannot be done."""
        return self._cases(self.settings())

    def _cases(self, settings: BaseModel, how: Collection = ONE_BY_ONE) -> CollectedCases | str:
        info = self.info(settings)
        label, key = f"cases of {info.name}", self._key(settings, how)
        try:
            with failures_in_words():
                return self.cache.keep(label, key, lambda: self._derived(settings, info, how))
        except SosError as error:
            return str(error)

    def _derived(self, settings: BaseModel, info: OutcomeInfo, how: Collection) -> CollectedCases:
        outcome = self.plan.registry.outcome(self.choice.plugin)
        with record_warnings(f"Outcome '{info.name}'") as told:
            derived = outcome.derive(self.read.records, settings, self.session)
            if self.choice.threshold is not None:
                derived = self.choice.threshold.of(derived)
            cases = collect(derived, info, self.session, how)
        return replace(cases, warnings=(*cases.warnings, *told))


def read_heard(source: Source, settings: BaseModel, session: Session) -> Records:
    """Read a source; what Python warns of meanwhile is among the notes of the records."""
    with record_warnings(f"Source '{source.name}'") as told:
        records = source.read(settings, session)
    return replace(records, notes=(*records.notes, *told)) if told else records


def _whole(folder: Path) -> Path:
    """Return the path from the root; a link to itself stays, for what reads there to tell."""
    return Path(os.path.realpath(folder))


def units_of(records: Records) -> list[str]:
    """Return the codes of all authorities in the records, sorted."""
    units: set[str] = set()
    for table in records.tables.values():
        if "unit" in table.columns:
            units |= set(table.select("unit").distinct().to_pandas()["unit"].dropna())
    return sorted(units)


def _pilot_table(design: Design) -> pd.DataFrame:
    rows = [
        {
            "unit": p.unit,
            "name": p.name,
            "start": p.start.isoformat() if p.start else None,
            "end": p.end.isoformat() if p.end else None,
            "cohort": p.cohort,
            **p.attributes,
        }
        for p in design.pilots
    ]
    return pd.DataFrame(rows)


def _neighbours(records: Records) -> dict[str, tuple[str, ...]]:
    if "neighbours" not in records.tables:
        return {}
    table = records.tables["neighbours"].to_pandas().sort_values(["unit", "rank"])
    return {str(u): tuple(part["neighbour"]) for u, part in table.groupby("unit")}


def run_study(
    path: str | Path, *, progress: Progress | None = None, plugins: Path | None = None
) -> StudyResult:
    """Read a study file and run it: ``Study.from_toml(path).run()``."""
    return Study.from_toml(path, plugins=plugins).run(progress)
