"""The samples of one outcome: its cases matched, labelled by the windows, weighted, compressed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel

from sos_plugins.backends import refuse_interrupted
from sos_plugins.cache.codec import travels
from sos_plugins.cache.fingerprint import Program, hashed, of_sample, of_settings, of_value
from sos_plugins.cache.store import KEEP_NOTHING, StepCache
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.cells.compression import compress
from sos_plugins.contract.columns import CALENDAR
from sos_plugins.contract.interfaces import CaseMatch, UnitMatch, UnitTask
from sos_plugins.contract.settings import (
    BRIDGES_EMPTY_PERIODS,
    CASE_WEIGHTED,
    TAKES_CASE_WEIGHTS,
)
from sos_plugins.contract.types import (
    ImputationTask,
    Imputed,
    OutcomeInfo,
    PilotEffects,
    Sample,
    first_of,
)
from sos_plugins.errors import DataError, DesignError, EngineError, SosError
from sos_plugins.host.registry import Registry
from sos_plugins.host.settings import field_marked
from sos_plugins.study import design as designs
from sos_plugins.study import gaps
from sos_plugins.study.authorities import AuthorityFile, AuthorityTable, read_authorities
from sos_plugins.study.design import CountedCases
from sos_plugins.study.file import ImputationChoice, MatcherChoice, OutcomeChoice
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.plan import Plan, Planned, PlannedPooling
from sos_plugins.study.result import MatchingStep
from sos_plugins.study.sensitivity import adjusted
from sos_plugins.system.library_warnings import record_warnings
from sos_plugins.system.progress import Progress
from sos_plugins.tables.unit_codes import KnownUnits

T = TypeVar("T")
NOT_OF_CASES = {"smallest_effect", "smallest_effect_reason"}
"""What a study says of an outcome that changes none of its estimates."""


def no_faults() -> pd.DataFrame:
    """Return rows at fault by authority and year, of no tables."""
    return pd.DataFrame(columns=["unit", "period", "n", "n_faulty"])


def of_outcome(match: UnitMatch, outcome: str) -> UnitMatch:
    """Return a match for all outcomes with the features of one of them under their plain names.

    Args:
        match: The match.
        outcome: Name of the outcome.
    """
    end = f" of {outcome}"
    names = match.balance["covariate"].astype(str).str.removesuffix(end)
    compared = match.compared
    if compared is not None:
        compared = tuple(name.removesuffix(end) for name in compared)
    return replace(match, balance=match.balance.assign(covariate=names), compared=compared)


def of_frames(task: UnitTask) -> list[object]:
    """Return what a task rests on, as values that travel."""
    return [task.pilots, task.features.reset_index(), task.sampling.reset_index()]


@travels
@dataclass(frozen=True)
class PreparedOutcome:
    """One outcome, ready for its estimators: cases matched, weighted and labelled."""

    cases: CollectedCases
    frame: pd.DataFrame
    attrition: pd.DataFrame
    covariates: tuple[str, ...]
    design: Design
    units: UnitMatch
    stacked: Sample
    unweighted: Sample
    case_match: CaseMatch | None
    steps: tuple[MatchingStep, ...]
    warnings: tuple[str, ...]
    imputed: Imputed | None = None


@dataclass(frozen=True)
class OutcomeInput:
    """What the analysis of one outcome takes from the records; it can travel between processes.

    Attributes:
        choice: The outcome as the study names it.
        info: How it is named and read.
        settings: Its settings, defaults filled in.
        cases: The cases, or why there are none.
        definitions: Cases under other definitions by name, or why there are none.
        design: Pilots and pool.
        neighbours: Statistical neighbours by authority, nearest first.
        unit_names: Authority code to name.
        faults: Frame ``unit, period, n, n_faulty``: rows at fault in the tables that the outcome
            reads.
        program: What computes.
        not_linked: Cases with children as the sources identify them, or why there are none; None
            where the study links no children.
        common: How all outcomes of the study match authorities together; None where each is
            matched by itself.
        key: Hash of all that the cases rest on; empty where nothing is kept.
    """

    choice: OutcomeChoice
    info: OutcomeInfo
    settings: Mapping[str, Any]
    cases: CollectedCases | str
    definitions: Mapping[str, CollectedCases | str]
    design: Design
    neighbours: Mapping[str, tuple[str, ...]]
    unit_names: Mapping[str, str]
    faults: pd.DataFrame = field(default_factory=no_faults)
    program: Program = field(default_factory=Program)
    key: str = ""
    not_linked: CollectedCases | str | None = None
    common: UnitTask | None = None


@dataclass(frozen=True)
class Preparation:
    """Makes the samples of one outcome, and remembers what was made from the same inputs.

    Attributes:
        plan: The study, checked against the plugins.
        given: What the records gave for the outcome.
        progress: Where progress is shown.
        cache: Where finished steps are kept.
    """

    plan: Plan
    given: OutcomeInput
    progress: Progress
    cache: StepCache = KEEP_NOTHING

    @property
    def registry(self) -> Registry:
        """Who offers what."""
        return self.plan.registry

    @property
    def seed(self) -> int:
        """Seed of the study."""
        return self.plan.file.study.seed

    @cached_property
    def key(self) -> str:
        """Hash of all that the prepared cases rest on."""
        if self.cache.folder is None:
            return ""
        given, file, base = self.given, self.plan.file, self.plan.base
        matching = [file.matching.units, *filter(None, [file.matching.cases])]
        imputation = [] if file.imputation is None else [file.imputation]
        return hashed(
            given.key,
            of_value(
                [
                    given.choice.model_dump(exclude=NOT_OF_CASES),
                    given.info,
                    given.design,
                    dict(given.neighbours),
                    None if given.common is None else of_frames(given.common),
                ]
            ),
            of_settings(file.design, base),
            [self.matcher_key(choice) for choice in matching],
            [self.imputer_key(choice) for choice in imputation],
            self.seed,
        )

    def matcher_key(self, choice: MatcherChoice) -> str:
        """Return a hash of a matcher: its settings, the files that they name, its engine."""
        settings = self.registry.settings("matcher", choice.plugin, choice.settings, "[matching]")
        program = self.given.program.with_engine(self.registry, choice.plugin, choice.engine)
        return hashed(choice.plugin, of_settings(settings, self.plan.base), program)

    def imputer_key(self, choice: ImputationChoice) -> str:
        """Return a hash of an imputer: its settings, its engine, and what it imputes."""
        settings = self.registry.settings("imputer", choice.plugin, choice.settings, "[imputation]")
        program = self.given.program.with_engine(self.registry, choice.plugin, choice.engine)
        return hashed(
            choice.plugin, of_settings(settings, self.plan.base), program, list(choice.covariates)
        )

    def fit_key(
        self, estimator: str, engine: str | None, sample: Sample, options: BaseModel
    ) -> Sequence[Any]:
        """Return what an estimate rests on: the sample that goes in, the options, the engine."""
        if self.cache.folder is None:
            return ()
        program = self.given.program.with_engine(self.registry, estimator, engine)
        options_key = of_settings(options, self.plan.base)
        return (estimator, of_sample(sample), options_key, program, self.seed)

    def pooling_key(
        self, planned: PlannedPooling, engine: str, data: PilotEffects
    ) -> Sequence[Any]:
        """Return what pooled effects rest on: effects of pilots, settings, engine."""
        if self.cache.folder is None:
            return ()
        program = self.given.program.with_engine(self.registry, planned.name, engine)
        return (
            planned.name,
            of_value(data.frame),
            of_settings(planned.options, self.plan.base),
            program,
        )

    def keep(
        self,
        label: str,
        key: Sequence[Any],
        make: Callable[[], T],
        *,
        done: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """Return what ``make`` gives, from disk where it was made before from the same inputs."""
        label = f"{self.given.info.name}: {label}"
        return self.cache.keep(label, hashed(*key), make, done=done)

    def prepare(self, cases: CollectedCases, units: MatcherChoice) -> PreparedOutcome:
        """Match authorities and cases, and label the cases by the embedding windows."""
        file = self.plan.file
        narrowed = designs.count_cases(cases.frame, cases.attrition, file.design)
        frame = narrowed.frame
        if frame.empty:
            raise DataError(f"Outcome '{cases.info.name}' has no cases.")
        if frame["value"].nunique() < 2:
            raise DataError(
                f"Outcome '{cases.info.name}' does not vary: every one of its {len(frame)} cases "
                f"has the value {frame['value'].iloc[0]:g}."
            )
        chosen = designs.chosen_covariates(cases, self.given.choice.covariates, frame)
        told, imputing = self.without_gaps(cases, narrowed, chosen, self.given.design)
        narrowed, covariates = self.of_authorities(told.counted, cases), told.names
        frame = narrowed.frame
        task, warnings = self._task(
            gaps.of_features(frame, covariates), covariates, cases.info.name
        )
        match, step = self._match_units(units, self.given.common or task)
        if self.given.common:
            match = of_outcome(match, cases.info.name)
        warnings += designs.constant_covariates(cases, self.given.choice.covariates, frame)
        warnings += told.warnings
        warnings += self.authorities.told() if self.authorities else ()
        warnings += match.warnings
        warnings += tuple(f"Pilot {u}: {why}" for u, why in sorted(match.unmatched.items()))
        if not match.groups:
            raise DesignError(
                "No pilot has a comparator: "
                + " ".join(f"{u}: {why}" for u, why in sorted(match.unmatched.items()))
            )
        design = designs.with_groups(self.given.design, match.groups)
        covariates += file.design.authority_covariates
        sample = self.stacked(frame, design, covariates, told.imputed, cases.info)
        stacked, design, dropped = estimable_groups(sample, design)
        case_match, steps = self.match_cases(stacked, (*imputing, step))
        grouped = {g.pilot for g in design.groups} | {
            unit for g in design.groups for unit in g.comparators
        }
        narrowed = narrowed.and_then(
            "in a matched group",
            "authorities that are neither pilots nor comparators",
            frame[frame["unit"].isin(grouped)],
        )
        narrowed = narrowed.and_then(
            "outside the windows",
            "within the embedding window, or its follow-up buffer, of every group it serves",
            narrowed.frame.loc[narrowed.frame.index.isin(stacked.frame["case"])],
        )
        return PreparedOutcome(
            cases=cases,
            frame=frame,
            attrition=narrowed.steps,
            covariates=covariates,
            design=design,
            units=match,
            stacked=case_match.sample if case_match else stacked,
            unweighted=stacked,
            case_match=case_match,
            steps=steps,
            warnings=(
                *cases.warnings,
                *warnings,
                *dropped,
                *(case_match.warnings if case_match else ()),
            ),
            imputed=told.imputed,
        )

    def described(self, cases: CollectedCases) -> UnitTask:
        """Describe the authorities to a matcher, from the cases before the first window.

        Raises:
            SosError: If there is nobody to describe.
        """
        table = self.plan.file.design
        frame = designs.count_cases(cases.frame, cases.attrition, table).frame
        chosen = designs.chosen_covariates(cases, self.given.choice.covariates, frame)
        covariates, _ = gaps.left_out(frame, chosen, table)
        return self._task(gaps.of_features(frame, covariates), covariates, cases.info.name)[0]

    def _task(
        self, frame: pd.DataFrame, covariates: tuple[str, ...], outcome: str
    ) -> tuple[UnitTask, tuple[str, ...]]:
        cohort = min(pilot.cohort for pilot in self.given.design.pilots)
        characteristics = self.authorities.before(cohort) if self.authorities else None
        blank = UnitTask(
            pilots=(),
            features=pd.DataFrame(),
            neighbours=self.given.neighbours,
            seed=self.seed,
            outcome=outcome,
        )
        return designs.unit_task(frame, self.given.design, covariates, characteristics, blank)

    @cached_property
    def authorities(self) -> AuthorityTable | None:
        """What the file of authorities says, if the study has one."""
        table, design = self.plan.file.design, self.given.design
        units = {*(p.unit for p in design.pilots), *design.pool, *design.adopted}
        known = KnownUnits({*units, *design.contaminated}, self.given.unit_names)
        file = AuthorityFile.of(table, self.plan.base, known)
        if file is None:
            return None
        read = read_authorities(file, [name for name in [table.contaminated_column] if name])
        return read.adjusting(table.authority_covariates, standardise=table.standardise)

    def of_authorities(self, counted: CountedCases, cases: CollectedCases) -> CountedCases:
        """Add the covariates of their authorities to cases."""
        if self.authorities is None:
            return counted
        return replace(counted, frame=self.authorities.added_to(counted.frame, cases.covariates))

    def stacked(
        self,
        frame: pd.DataFrame,
        design: Design,
        covariates: tuple[str, ...],
        imputed: Imputed | None,
        info: OutcomeInfo,
    ) -> Sample:
        """Stack the matched groups, whose authorities' covariates must be known."""
        sample = stacked_each(frame, design, covariates, imputed, info)
        if self.authorities:
            self.authorities.refuse_unknown(sample.frame, CALENDAR)
        return sample

    def without_gaps(
        self,
        cases: CollectedCases,
        counted: CountedCases,
        chosen: tuple[str, ...],
        design: Design,
    ) -> tuple[gaps.Covariates, tuple[MatchingStep, ...]]:
        """Leave out covariates that are mostly missing; impute the gaps of others, or mark them."""
        choice = self.plan.file.imputation
        names, left_out = gaps.left_out(counted.frame, chosen, self.plan.file.design)
        imputed = gaps.to_impute(counted.frame, names, choice)
        counted = gaps.marked(counted, names, imputed)
        told = gaps.Covariates(counted, names, warnings=(*left_out, *gaps.not_there(cases, choice)))
        if choice is None or not imputed:
            return told, ()
        task, places = gaps.task_of(counted.frame, design, names, self.seed)
        drawn, step = self._fitted(choice, task, "imputer", "[imputation]", "gaps")
        return replace(
            told,
            imputed=gaps.at_places(drawn, places),
            warnings=(*told.warnings, *drawn.warnings),
        ), (step,)

    def with_cases(self, prepared: PreparedOutcome, cases: CollectedCases) -> PreparedOutcome:
        """Put other cases in the place of those of an outcome, with the same matched groups."""
        counted = designs.count_cases(cases.frame, cases.attrition, self.plan.file.design)
        chosen = designs.chosen_covariates(cases, self.given.choice.covariates, counted.frame)
        told, _ = self.without_gaps(cases, counted, chosen, self.given.design)
        frame = self.of_authorities(told.counted, cases).frame
        covariates = (*told.names, *self.plan.file.design.authority_covariates)
        stacked = self.stacked(frame, prepared.design, covariates, told.imputed, cases.info)
        match, _ = self.match_cases(stacked, ())
        return replace(
            prepared,
            cases=cases,
            frame=frame,
            covariates=covariates,
            stacked=match.sample if match else stacked,
            unweighted=stacked,
            case_match=match,
            warnings=(
                *prepared.warnings,
                *cases.warnings,
                *told.warnings,
                *(match.warnings if match else ()),
            ),
            imputed=told.imputed,
        )

    def with_whole_pool(self, prepared: PreparedOutcome) -> PreparedOutcome:
        """Make every authority of the pool a comparator of every pilot."""
        pool = self.given.design.pool
        groups = [replace(group, comparators=pool) for group in prepared.design.groups]
        design = designs.with_groups(prepared.design, groups)
        stacked = self.stacked(
            prepared.frame, design, prepared.covariates, prepared.imputed, prepared.cases.info
        )
        match, _ = self.match_cases(stacked, ())
        return replace(
            prepared,
            design=design,
            stacked=match.sample if match else stacked,
            unweighted=stacked,
            case_match=match,
            warnings=(*prepared.warnings, *(match.warnings if match else ())),
        )

    def _match_units(self, choice: MatcherChoice, task: UnitTask) -> tuple[UnitMatch, MatchingStep]:
        match, step = self._match(choice, task)
        assert isinstance(match, UnitMatch)
        return match, step

    def match_cases(
        self, sample: Sample, steps: tuple[MatchingStep, ...]
    ) -> tuple[CaseMatch | None, tuple[MatchingStep, ...]]:
        """Weight the cases, if the study asks for it, and add the step to ``steps``.

        Characteristics of authorities are no covariates here: within a matched group they would
        keep every case of the pilot from being matched.
        """
        choice = self.plan.file.matching.cases
        of_authorities = self.plan.file.design.authority_covariates
        own = tuple(name for name in sample.covariates if name not in of_authorities)
        if choice is None or not own:
            return None, steps
        done: list[MatchingStep] = []

        def match_one(one: Sample) -> CaseMatch:
            match, step = self._match(choice, replace(one, covariates=own))
            assert isinstance(match, CaseMatch)
            done.append(step)
            return replace(match, sample=replace(match.sample, covariates=one.covariates))

        match = gaps.match_each(sample, match_one)
        return match, (*steps, replace(done[0], sentence=match.sentence))

    def _match(self, choice: MatcherChoice, task: UnitTask | Sample) -> tuple[Any, MatchingStep]:
        level = self.registry.matcher(choice.plugin).level
        return self._fitted(choice, task, "matcher", "[matching]", level)

    def _fitted(
        self,
        choice: MatcherChoice | ImputationChoice,
        task: UnitTask | Sample | ImputationTask,
        kind: str,
        where: str,
        level: str,
    ) -> tuple[Any, MatchingStep]:
        """Run the engine of a matcher or of an imputer."""
        registry = self.registry
        settings = self.plan.settings(kind, choice, where)
        engine = registry.engine(choice.plugin, choice.engine)
        if reason := engine.limits(task, settings):
            raise EngineError(f"Engine '{engine.name}' of '{choice.plugin}': {reason}")
        try:
            with record_warnings(f"Engine '{engine.name}' of '{choice.plugin}'") as told:
                match = engine.fit(task, settings)
        except Exception as error:
            refuse_interrupted(error)
            if isinstance(error, SosError):
                raise
            raise EngineError(
                f"Engine '{engine.name}' of '{choice.plugin}' failed with "
                f"{type(error).__name__}: {error}"
            ) from error
        match = replace(match, warnings=(*match.warnings, *told))
        return match, MatchingStep(choice.plugin, engine.name, level, match.sentence)

    def sample_for(
        self, planned: Planned, prepared: PreparedOutcome
    ) -> tuple[Sample, BaseModel, tuple[str, ...]]:
        """Return the sample an estimator wants, its options for that sample, and warnings."""
        if planned.sample == "stacked":
            options, notes = self._for_weights(planned, prepared)
            return adjusted(prepared.stacked, planned.covariates), options, notes
        sample, warnings = calendar_each(prepared)
        if self.authorities:
            self.authorities.refuse_unknown(sample.frame, "period")
        sample = adjusted(sample, planned.covariates)
        gap = designs.empty_periods(sample)
        setting = field_marked(type(planned.options), BRIDGES_EMPTY_PERIODS)
        if gap and setting and setting not in planned.given:
            values = {**planned.given, setting: gap}
            options = self.registry.settings("estimator", planned.name, values, planned.name)
            bridged = (
                f"'{planned.name}' takes {setting} = {gap}: so many periods lie empty between "
                "the last cases before an embedding window and the first after it."
            )
            return sample, options, (*warnings, bridged)
        return sample, planned.options, warnings

    def _for_weights(
        self, planned: Planned, prepared: PreparedOutcome
    ) -> tuple[BaseModel, tuple[str, ...]]:
        """Return the options of an estimator: where cases are matched, with their variance."""
        kind = type(planned.options)
        setting = field_marked(kind, TAKES_CASE_WEIGHTS)
        if prepared.case_match is None or setting is None or setting in planned.given:
            return planned.options, ()
        if getattr(planned.options, setting) != kind.model_fields[setting].default:
            return planned.options, ()
        values = {**planned.given, setting: CASE_WEIGHTED}
        told = (
            f"'{planned.name}' takes {setting} = {CASE_WEIGHTED}, one variance a case: the weights "
            "are those of a matching and no numbers of cases."
        )
        options = self.registry.settings("estimator", planned.name, values, planned.name)
        return options, (told,)

    def cells_for(self, planned: Planned, sample: Sample) -> Sample | None:
        """Compress the sample of an estimator if one of its engines can use that."""
        engines = self.registry.engines(planned.name)
        if not any(engine.takes_cells for engine in engines):
            return None
        return self.cells_of(sample)

    def cells_of(self, sample: Sample) -> Sample | None:
        """Compress a sample; None where that is no gain, or the cases have faults."""
        with suppress(DataError):  # the engines say what is wrong with the cases
            return _compressed(sample)
        return None


def _compressed(sample: Sample) -> Sample | None:
    """Compress a sample, every completed data set of it; None unless all of them can be."""
    if not sample.completed:
        return compress(sample)
    cells = [made for made in map(compress, sample.completed) if made is not None]
    return first_of(cells) if len(cells) == len(sample.completed) else None


def stacked_each(
    frame: pd.DataFrame,
    design: Design,
    covariates: tuple[str, ...],
    imputed: Imputed | None,
    info: OutcomeInfo,
) -> Sample:
    """Stack the matched groups, of every completed data set."""
    return gaps.each_completed(
        frame,
        imputed,
        lambda one: designs.stacked_sample(one, design, covariates, binary=info.binary),
    )


def calendar_each(prepared: PreparedOutcome) -> tuple[Sample, tuple[str, ...]]:
    """Put every case once in calendar periods, of every completed data set, with warnings."""
    told: list[tuple[str, ...]] = []

    def make(frame: pd.DataFrame) -> Sample:
        sample, warnings = designs.calendar_sample(
            frame, prepared.design, prepared.covariates, binary=prepared.cases.info.binary
        )
        told.append(warnings)
        return sample

    return gaps.each_completed(prepared.frame, prepared.imputed, make), told[0]


def estimable_groups(sample: Sample, design: Design) -> tuple[Sample, Design, tuple[str, ...]]:
    """Leave out matched groups without cases of both roles on both sides of the window."""
    warnings = []
    kept = []
    there = set(
        sample.frame[["group", "treated", "post"]]
        .drop_duplicates()
        .itertuples(index=False, name=None)
    )
    for group in design.groups:
        missing = [
            f"{who} {half}"
            for who, treated in (("the pilot", 1), ("the comparators", 0))
            for half, post in (("before", 0), ("after", 1))
            if (group.pilot, treated, post) not in there
        ]
        if missing:
            warnings.append(
                f"Pilot {group.pilot} is left out: no case of {' and of '.join(missing)} its "
                "embedding window."
            )
        else:
            kept.append(group)
    if not kept:
        raise DesignError(
            "No matched group has cases before and after its window. " + " ".join(warnings)
        )
    if len(kept) == len(design.groups):
        return sample, design, ()
    pilots = {g.pilot for g in kept}
    return (
        sample.each(lambda one: one.where(one.frame["group"].isin(pilots))),
        designs.with_groups(design, kept),
        tuple(warnings),
    )
