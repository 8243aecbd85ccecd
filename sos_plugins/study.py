"""A study, station by station: sources, outcomes, design, estimates, sensitivity, rating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from sos_plugins import design as designs
from sos_plugins import sensitivity
from sos_plugins.errors import DataError, DesignError, EngineError, SosError, listing
from sos_plugins.estimate import compare, run_engines, unavailable
from sos_plugins.kinds import CaseMatch, UnitMatch, UnitTask
from sos_plugins.manifest import manifest
from sos_plugins.plugins import CONFIG_NAME, Registry, load_plugins
from sos_plugins.quality import figures
from sos_plugins.result import MatchingStep, NamedEstimate, OutcomeResult, StudyResult
from sos_plugins.sensitivity import Setup
from sos_plugins.session import NoProgress, Progress, Session
from sos_plugins.study_file import (
    EstimatorChoice,
    MatcherChoice,
    OutcomeChoice,
    StudyFile,
    parse_study,
    read_study,
)
from sos_plugins.types import (
    Agreement,
    Cases,
    Design,
    Evidence,
    LeadTest,
    OutcomeInfo,
    Records,
    Run,
    Sample,
    plain,
)


@dataclass(frozen=True)
class Planned:
    """An estimator of the study with its validated settings."""

    name: str
    engines: str | tuple[str, ...]
    options: BaseModel
    given: Mapping[str, Any]
    covariates: str | tuple[str, ...] = "all"


@dataclass(frozen=True)
class Prepared:
    """One outcome, ready for its estimators: cases matched, weighted and labelled."""

    cases: Cases
    frame: pd.DataFrame
    covariates: tuple[str, ...]
    design: Design
    task: UnitTask
    units: UnitMatch
    stacked: Sample
    unweighted: Sample
    case_match: CaseMatch | None
    steps: tuple[MatchingStep, ...]
    warnings: tuple[str, ...]


@dataclass
class Study:
    """A study read from its file and checked against the plugins.

    Attributes:
        file: The parsed study file.
        text: Its text.
        base: Folder against which relative paths are resolved.
        registry: Who offers what.
    """

    file: StudyFile
    text: str
    base: Path
    registry: Registry
    _planned: tuple[Planned, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        self._check()

    @classmethod
    def from_toml(
        cls, path: str | Path, *, plugins: Path | None = None, data: Path | None = None
    ) -> Study:
        """Read a study file.

        Args:
            path: The study file.
            plugins: A ``plugins.toml``; by default the one beside the study, else the one in the
                current folder, if any.
            data: Folder to resolve the paths of the study against instead of the study's own.

        Raises:
            StudyError, SettingsError, NotRegisteredError, PluginError: For the first thing wrong.
        """
        path = Path(path)
        file, text = read_study(path)
        beside = path.parent / CONFIG_NAME
        registry = load_plugins(plugins or (beside if beside.is_file() else None))
        return cls(file, text, (data or path.parent).resolve(), registry)

    @classmethod
    def from_text(cls, text: str, *, base: Path, registry: Registry) -> Study:
        """Make a study from the text of a study file."""
        return cls(parse_study(text, where="the study"), text, base.resolve(), registry)

    def _check(self) -> None:
        """Validate every plugin's settings before any data is read."""
        registry, file = self.registry, self.file
        for n, source in enumerate(file.sources, 1):
            registry.settings("source", source.plugin, source.settings, f"[[sources]] {n}")
        for n, outcome in enumerate(file.outcomes, 1):
            registry.settings("outcome", outcome.plugin, outcome.settings, f"[[outcomes]] {n}")
        names = [o.name or o.plugin for o in file.outcomes]
        if len(set(names)) < len(names):
            raise DesignError(
                f"[[outcomes]]: two outcomes have one name among {listing(names)}. "
                'Give one of them a name = "...".'
            )
        self._planned = tuple(
            self._plan(choice, f"[[estimators]] {n}") for n, choice in enumerate(file.estimators, 1)
        )
        if self.registry.estimator(self._planned[0].name).sample != "stacked":
            raise DesignError(
                f"[[estimators]] 1: '{self._planned[0].name}' cannot be the main estimator, since "
                "single matched groups cannot be left out of its sample. Put a classic one first."
            )
        for where, choice, level in self._matchers():
            matcher = registry.matcher(choice.plugin)
            if matcher.level != level:
                raise DesignError(
                    f"{where}: '{choice.plugin}' matches {matcher.level}, expected a matcher of "
                    f"{level}. See: sos-plugins list matchers"
                )
            registry.settings("matcher", choice.plugin, choice.settings, where)
            if choice.engine is not None and choice.engine not in [
                e.name for e in registry.engines(choice.plugin)
            ]:
                registry.engine(choice.plugin, choice.engine)
        registry.settings("rating-rule", file.rating.plugin, file.rating.settings, "[rating]")
        if file.sensitivity.families != "all":
            sensitivity.check_families(registry, tuple(file.sensitivity.families))

    def _matchers(self) -> list[tuple[str, MatcherChoice, str]]:
        matching = self.file.matching
        found = [("[matching] units", matching.units, "units")]
        if matching.cases is not None:
            found.append(("[matching] cases", matching.cases, "cases"))
        found += [("[sensitivity] units", c, "units") for c in self.file.sensitivity.units]
        return found

    def _plan(self, choice: EstimatorChoice, where: str) -> Planned:
        options = self.registry.settings("estimator", choice.plugin, choice.settings, where)
        if choice.engines != "all":
            known = [e.name for e in self.registry.engines(choice.plugin)]
            for name in choice.engines:
                if name not in known:
                    self.registry.engine(choice.plugin, name)
        given = {**self.registry.config.settings.get(choice.plugin, {}), **choice.settings}
        return Planned(choice.plugin, choice.engines, options, given, choice.covariates)

    def session(self, progress: Progress | None = None) -> Session:
        """Make the surroundings of a run."""
        return Session(base=self.base, seed=self.file.study.seed, progress=progress or NoProgress())

    def read(self, session: Session) -> Records:
        """Read and merge the records of every source."""
        merged: Records | None = None
        for n, choice in enumerate(self.file.sources, 1):
            source = self.registry.source(choice.plugin)
            settings = self.registry.settings(
                "source", choice.plugin, choice.settings, f"[[sources]] {n}"
            )
            records = source.read(settings, session)
            merged = records if merged is None else merged.merge(records)
        assert merged is not None
        return merged

    def run(self, progress: Progress | None = None) -> StudyResult:
        """Run the whole study.

        An outcome that cannot be analysed becomes a result with an error; the others go on.

        Raises:
            SosError: If no records can be read, or the design fits none of them.
        """
        return self._run(self.session(progress), only_crosscheck=False)

    def crosscheck(self, progress: Progress | None = None) -> StudyResult:
        """Run the estimators by all their engines, without sensitivity analysis and rating."""
        return self._run(self.session(progress), only_crosscheck=True)

    def _run(self, session: Session, *, only_crosscheck: bool) -> StudyResult:
        records = self.read(session)
        design, warnings = designs.make_design(
            self.file.design, self.base, _units(records), records.unit_names
        )
        outcomes = []
        with session.progress.step("Outcomes", len(self.file.outcomes)) as advance:
            for choice in self.file.outcomes:
                station = OutcomeStation(self, session, records, design, choice)
                outcomes.append(station.run(only_crosscheck=only_crosscheck))
                advance()
        study = self.file.study
        return StudyResult(
            name=study.name,
            title=study.title,
            programme=study.programme,
            simulated=records.simulated,
            outcomes=tuple(outcomes),
            pilots=_pilot_table(design),
            record_quality=records.quality.checks,
            warnings=warnings,
            missing_checks=unavailable(self.registry, [p.name for p in self._planned]),
            truth=records.truth,
            unit_names=dict(records.unit_names),
            manifest=manifest(self.registry, records, self.text, study.seed),
            study_toml=self.text,
            settings=plain(self.file.model_dump()),
        )


def _units(records: Records) -> list[str]:
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


@dataclass(frozen=True)
class OutcomeStation:
    """One outcome of a study on its way from records to a rating."""

    study: Study
    session: Session
    records: Records
    design: Design
    choice: OutcomeChoice

    @property
    def registry(self) -> Registry:
        """Who offers what."""
        return self.study.registry

    @property
    def seed(self) -> int:
        """Seed of the study."""
        return self.study.file.study.seed

    def settings(self, changes: Mapping[str, Any] | None = None) -> BaseModel:
        """Return the validated settings of the outcome."""
        values = {**self.choice.settings, **(changes or {})}
        return self.registry.settings("outcome", self.choice.plugin, values, "[[outcomes]]")

    def info(self, settings: BaseModel) -> OutcomeInfo:
        """Describe the outcome under its name in this study."""
        info = self.registry.outcome(self.choice.plugin).info(settings)
        return replace(info, name=self.choice.name or info.name)

    def run(self, *, only_crosscheck: bool) -> OutcomeResult:
        """Run the outcome; what cannot be analysed becomes a result with an error."""
        settings = self.settings()
        info = self.info(settings)
        empty = OutcomeResult(info, plain(settings.model_dump()))
        try:
            cases = self._cases(settings)
        except SosError as error:
            return replace(empty, error=str(error))
        derived = replace(empty, attrition=cases.attrition, completeness=cases.completeness)
        try:
            prepared = self.prepare(cases, self.study.file.matching.units)
            return self._analyse(derived, prepared, only_crosscheck=only_crosscheck)
        except SosError as error:
            return replace(derived, error=str(error))

    def _cases(self, settings: BaseModel) -> Cases:
        outcome = self.registry.outcome(self.choice.plugin)
        cases = outcome.derive(self.records, settings, self.session)
        return replace(cases, info=self.info(settings))

    def prepare(self, cases: Cases, units: MatcherChoice) -> Prepared:
        """Match authorities and cases, and label the cases by the embedding windows."""
        file = self.study.file
        frame = designs.restrict_periods(cases.frame, file.design)
        if frame.empty:
            raise DataError(f"Outcome '{cases.info.name}' has no cases.")
        if frame["value"].nunique() < 2:
            raise DataError(
                f"Outcome '{cases.info.name}' does not vary: every one of its {len(frame)} cases "
                f"has the value {frame['value'].iloc[0]:g}."
            )
        covariates = designs.chosen_covariates(cases, self.choice.covariates, frame)
        table = file.design.authorities
        characteristics = designs.read_characteristics(self.session.path(table)) if table else None
        blank = UnitTask(
            pilots=(),
            features=pd.DataFrame(),
            neighbours=_neighbours(self.records),
            seed=self.seed,
            outcome=cases.info.name,
        )
        task, warnings = designs.unit_task(frame, self.design, covariates, characteristics, blank)
        match, step = self._match_units(units, task)
        warnings += tuple(f"Pilot {u}: {why}" for u, why in sorted(match.unmatched.items()))
        if not match.groups:
            raise DesignError(
                "No pilot has a comparator: "
                + " ".join(f"{u}: {why}" for u, why in sorted(match.unmatched.items()))
            )
        design = designs.with_groups(self.design, match.groups)
        sample = designs.stacked_sample(frame, design, covariates, binary=cases.info.binary)
        stacked, design, dropped = _estimable_groups(sample, design)
        case_match, steps = self._match_cases(stacked, (step,))
        return Prepared(
            cases=cases,
            frame=frame,
            covariates=covariates,
            design=design,
            task=task,
            units=match,
            stacked=case_match.sample if case_match else stacked,
            unweighted=stacked,
            case_match=case_match,
            steps=steps,
            warnings=(*warnings, *dropped, *(case_match.warnings if case_match else ())),
        )

    def _match_units(self, choice: MatcherChoice, task: UnitTask) -> tuple[UnitMatch, MatchingStep]:
        match, step = self._match(choice, task)
        assert isinstance(match, UnitMatch)
        return match, step

    def _match_cases(
        self, sample: Sample, steps: tuple[MatchingStep, ...]
    ) -> tuple[CaseMatch | None, tuple[MatchingStep, ...]]:
        choice = self.study.file.matching.cases
        if choice is None or not sample.covariates:
            return None, steps
        match, step = self._match(choice, sample)
        assert isinstance(match, CaseMatch)
        return match, (*steps, step)

    def _match(self, choice: MatcherChoice, task: UnitTask | Sample) -> tuple[Any, MatchingStep]:
        registry = self.registry
        matcher = registry.matcher(choice.plugin)
        values = dict(choice.settings)
        settings = registry.settings("matcher", choice.plugin, values, "[matching]")
        if "file" in type(settings).model_fields and getattr(settings, "file", None):
            path = str(self.session.path(getattr(settings, "file")))  # noqa: B009
            settings = settings.model_copy(update={"file": path})
        engine = registry.engine(choice.plugin, choice.engine)
        if reason := engine.limits(task, settings):
            raise EngineError(f"Engine '{engine.name}' of '{choice.plugin}': {reason}")
        try:
            match = engine.fit(task, settings)
        except SosError:
            raise
        except Exception as error:
            raise EngineError(
                f"Engine '{engine.name}' of '{choice.plugin}' failed with "
                f"{type(error).__name__}: {error}"
            ) from error
        return match, MatchingStep(choice.plugin, engine.name, matcher.level, match.sentence)

    def _sample_for(self, planned: Planned, prepared: Prepared) -> tuple[Sample, BaseModel]:
        """Return the sample an estimator wants, and its options completed for that sample."""
        if self.registry.estimator(planned.name).sample == "stacked":
            return _adjusted(prepared.stacked, planned.covariates), planned.options
        sample = designs.calendar_sample(
            prepared.frame,
            prepared.design,
            prepared.covariates,
            binary=prepared.cases.info.binary,
        )
        sample = _adjusted(sample, planned.covariates)
        gap = designs.empty_periods(sample)
        fields = type(planned.options).model_fields
        if gap and "anticipation" in fields and "anticipation" not in planned.given:
            values = {**planned.given, "anticipation": gap}
            return sample, self.registry.settings("estimator", planned.name, values, planned.name)
        return sample, planned.options

    def _analyse(
        self, result: OutcomeResult, prepared: Prepared, *, only_crosscheck: bool
    ) -> OutcomeResult:
        estimates: list[NamedEstimate] = []
        agreements: list[Agreement] = []
        setups: list[Setup] = []
        warnings = list(prepared.warnings)
        label = prepared.cases.info.name
        for planned in self.study._planned:
            sample, options = self._sample_for(planned, prepared)
            with self.session.progress.step(f"{label}: {planned.name}"):
                done, reasons = run_engines(
                    self.registry, planned.name, planned.engines, sample, options, seed=self.seed
                )
            agreements += compare(self.registry, label, planned.name, done, reasons)
            estimates += done
            warnings += [w for named in done[:1] for w in named.estimate.warnings]
            engine = done[0].engine if done else None
            setups.append(Setup(sample, planned.name, engine, options, self.seed))
            if not done:
                why = " ".join(dict.fromkeys(reasons.values()))
                warnings.append(f"No engine of '{planned.name}' gave an estimate: {why}")
        warnings += [
            f"Engines disagree: {a.estimator}, {a.engine} against {a.reference}. {a.reason}"
            for a in agreements
            if a.verdict == "disagree"
        ]
        result = replace(
            result,
            estimates=tuple(estimates),
            agreements=tuple(agreements),
            warnings=tuple(dict.fromkeys(warnings)),
            groups=_group_frame(prepared, self.records.unit_names),
            matching=prepared.steps,
            scores=prepared.units.scores,
            balance=_balance(prepared),
            trends=designs.trends(prepared.stacked, prepared.frame),
            sample=designs.group_table(prepared.stacked),
        )
        main = [e for e in estimates if e.estimator == setups[0].estimator]
        if not main:
            return replace(result, error=warnings[-1])
        if only_crosscheck:
            return result
        return self._conclude(result, prepared, setups, estimates)

    def _conclude(
        self,
        result: OutcomeResult,
        prepared: Prepared,
        setups: Sequence[Setup],
        estimates: Sequence[NamedEstimate],
    ) -> OutcomeResult:
        file = self.study.file
        runs = Specifications(self, prepared, setups, estimates).runs()
        leads = self._leads(prepared, setups)
        quality = figures(
            prepared.cases,
            prepared.stacked,
            prepared.design,
            len(self.design.pilots),
            file.design,
            prepared.covariates,
        )
        evidence = Evidence(
            prepared.cases.info,
            runs[0],
            runs[1:],
            leads,
            quality,
            result.agreements,
            result.warnings,
        )
        rule = self.registry.rating_rule(file.rating.plugin)
        settings = self.registry.settings(
            "rating-rule", file.rating.plugin, file.rating.settings, "[rating]"
        )
        rating = rule.rate(evidence, settings)
        return replace(result, main=runs[0], runs=runs, leads=leads, quality=quality, rating=rating)

    def _leads(self, prepared: Prepared, setups: Sequence[Setup]) -> tuple[LeadTest, ...]:
        found = []
        for setup in setups:
            if self.registry.estimator(setup.estimator).tests_leads:
                pilots = [p.unit for p in prepared.design.pilots]
                label = f"{prepared.cases.info.name}: leads"
                with self.session.progress.step(label, len(pilots) + 1) as advance:
                    for pilot in ("", *pilots):
                        found.append(sensitivity.lead_test(self.registry, setup, pilot))
                        advance()
                break
        return tuple(found)


def _adjusted(sample: Sample, choice: str | tuple[str, ...]) -> Sample:
    """Return the sample with the covariates that an estimator is to adjust for.

    Raises:
        DataError: If one is chosen that the sample does not have.
    """
    if choice == "all":
        return sample
    chosen = () if choice == "none" else tuple(choice)
    unknown = [name for name in chosen if name not in sample.covariates]
    if unknown:
        raise DataError(
            f"[[estimators]] covariates: the sample has no covariate '{unknown[0]}'. "
            f"Covariates: {listing(sample.covariates)}."
        )
    return replace(sample, covariates=chosen)


def _estimable_groups(sample: Sample, design: Design) -> tuple[Sample, Design, tuple[str, ...]]:
    """Leave out matched groups without cases of both roles on both sides of the window."""
    warnings = []
    kept = []
    for group in design.groups:
        frame = sample.frame[sample.frame["group"] == group.pilot]
        missing = [
            f"{who} {half}"
            for who, treated in (("the pilot", 1), ("the comparators", 0))
            for half, post in (("before", 0), ("after", 1))
            if not ((frame["treated"] == treated) & (frame["post"] == post)).any()
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
        sample.where(sample.frame["group"].isin(pilots)),
        designs.with_groups(design, kept),
        tuple(warnings),
    )


def _group_frame(prepared: Prepared, names: Mapping[str, str]) -> pd.DataFrame:
    distance = {
        (str(row["pilot"]), str(row["comparator"])): row["distance"]
        for row in prepared.units.distances.to_dict("records")
    }
    rows = [
        {
            "pilot": group.pilot,
            "pilot_name": prepared.design.pilot(group.pilot).name,
            "comparator": unit,
            "comparator_name": names.get(unit, ""),
            "distance": distance.get((group.pilot, unit)),
        }
        for group in prepared.design.groups
        for unit in group.comparators
    ]
    return pd.DataFrame(rows)


def _balance(prepared: Prepared) -> pd.DataFrame:
    parts = [prepared.units.balance.assign(level="units")]
    if prepared.case_match is not None:
        parts.append(prepared.case_match.balance.assign(level="cases"))
    kept = [p for p in parts if len(p)]
    if not kept:
        return pd.DataFrame()
    table = pd.concat(kept, ignore_index=True)
    return table[["level", *(c for c in table if c != "level")]]


@dataclass(frozen=True)
class Specifications:
    """The runs of the sensitivity analysis of one outcome."""

    station: OutcomeStation
    prepared: Prepared
    setups: Sequence[Setup]
    estimates: Sequence[NamedEstimate]

    def runs(self) -> tuple[Run, ...]:
        """Run every specification that was chosen; the main run comes first."""
        planned = list(self._planned())
        name = self.prepared.cases.info.name
        done = []
        with self.station.session.progress.step(f"{name}: sensitivity", len(planned)) as advance:
            for family, label, what in planned:
                done.append(self._run(family, label, what))
                advance()
        return tuple(done)

    def _run(self, family: str, label: str, what: Any) -> Run:
        if isinstance(what, Run):
            return what
        if isinstance(what, str):
            return replace(sensitivity.not_applicable(family, what), label=label)
        return sensitivity.run(self.station.registry, family, label, what)

    def _planned(self) -> list[tuple[str, str, Callable[[], Setup] | Run | str]]:
        chosen = self.station.study.file.sensitivity.families
        main = self._estimated(self.setups[0], 0, "main", "main specification")
        everything = [
            *self._other_engines(),
            *sensitivity.pilots_out(
                self.setups[0], self.prepared.design, self.station.study.file.design.support
            ),
            *self._without_covariates(),
            *self._without_weights(),
            *sensitivity.variants(self.station.registry, self.setups[0]),
            *self._definitions(),
            *self._other_matching(),
            *self._other_estimators(),
        ]
        kept = [item for item in everything if chosen == "all" or item[0] in chosen]
        return [("main", main.label, main), *kept]

    def _of(self, estimator: str) -> list[NamedEstimate]:
        return [e for e in self.estimates if e.estimator == estimator]

    def _estimated(self, setup: Setup, n: int, family: str, label: str) -> Run:
        named = self._of(setup.estimator)[n]
        return sensitivity.as_run(self.station.registry, named, setup.options, family, label)

    def _other_engines(self) -> list[tuple[str, str, Run | str]]:
        setup = self.setups[0]
        done = self._of(setup.estimator)
        if len(done) < 2:
            return [("other-engine", "another engine", "No other engine ran.")]
        return [
            (
                "other-engine",
                f"engine {named.engine}",
                self._estimated(setup, n, "other-engine", f"engine {named.engine}"),
            )
            for n, named in enumerate(done)
            if n > 0
        ]

    def _without_covariates(self) -> list[tuple[str, str, Callable[[], Setup] | str]]:
        setup = self.setups[0]
        if not setup.sample.covariates:
            return [("no-covariates", "without covariates", "The main run has no covariates.")]
        plain_sample = replace(setup.sample, covariates=())
        return [
            ("no-covariates", "without covariates", lambda: replace(setup, sample=plain_sample))
        ]

    def _without_weights(self) -> list[tuple[str, str, Callable[[], Setup] | str]]:
        label = "without the matching of cases"
        if self.prepared.case_match is None:
            return [("unweighted", label, "Cases are not matched in the main run.")]
        setup = replace(self.setups[0], sample=self.prepared.unweighted)
        return [("unweighted", label, lambda: setup)]

    def _definitions(self) -> list[tuple[str, str, Callable[[], Setup] | str]]:
        station = self.station
        outcome = station.registry.outcome(station.choice.plugin)
        current = station.settings()
        found: list[tuple[str, str, Callable[[], Setup] | str]] = []
        for name, changes in sorted(outcome.definitions.items()):
            settings = station.settings(changes)
            if settings != current:
                found.append(("other-definition", f"definition '{name}'", self._defined(settings)))
        return found or [
            ("other-definition", "another definition", "The outcome has one definition.")
        ]

    def _defined(self, settings: BaseModel) -> Callable[[], Setup]:
        def make() -> Setup:
            station = self.station
            cases = station._cases(settings)
            frame = designs.restrict_periods(cases.frame, station.study.file.design)
            covariates = designs.chosen_covariates(cases, station.choice.covariates, frame)
            sample = designs.stacked_sample(
                frame, self.prepared.design, covariates, binary=cases.info.binary
            )
            match, _ = station._match_cases(sample, ())
            return replace(self.setups[0], sample=match.sample if match else sample)

        return make

    def _other_matching(self) -> list[tuple[str, str, Callable[[], Setup]]]:
        return [
            ("other-matching", f"comparators by {choice.plugin}", self._matched(choice))
            for choice in self.station.study.file.sensitivity.units
        ]

    def _matched(self, choice: MatcherChoice) -> Callable[[], Setup]:
        def make() -> Setup:
            prepared = self.station.prepare(self.prepared.cases, choice)
            return replace(self.setups[0], sample=prepared.stacked)

        return make

    def _other_estimators(self) -> list[tuple[str, str, Run | str]]:
        found: list[tuple[str, str, Run | str]] = []
        for setup in self.setups[1:]:
            family = self.station.registry.estimator(setup.estimator).family
            label = self.station.registry.estimator(setup.estimator).label
            done = self._of(setup.estimator)
            if done:
                found.append((family, label, self._estimated(setup, 0, family, label)))
            else:
                found.append((family, label, "No engine gave an estimate."))
        return found


def run_study(
    path: str | Path, *, progress: Progress | None = None, plugins: Path | None = None
) -> StudyResult:
    """Read a study file and run it: ``Study.from_toml(path).run()``."""
    return Study.from_toml(path, plugins=plugins).run(progress)


__all__ = ["OutcomeStation", "Planned", "Prepared", "Study", "run_study"]
