"""A study file checked against the plugins: every name known, every setting valid."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sos_plugins.contract.settings import KEEPS_MISSING_NUMBERS
from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.errors import DesignError, StudyError, did_you_mean, listing
from sos_plugins.groundwork.type_names import choices_of
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.host.settings import field_marked, with_paths
from sos_plugins.study import sensitivity
from sos_plugins.study.file import (
    Choice,
    EstimatorChoice,
    MatcherChoice,
    OutcomeChoice,
    PoolingChoice,
    StudyFile,
    parse_study,
)


@dataclass(frozen=True)
class Planned:
    """An estimator of the study with its validated settings."""

    name: str
    engines: str | tuple[str, ...]
    options: BaseModel
    given: Mapping[str, Any]
    covariates: str | tuple[str, ...]
    sample: str


@dataclass(frozen=True)
class PlannedPooling:
    """What pools the effects of the pilots, with its validated settings."""

    name: str
    engines: str | tuple[str, ...]
    options: BaseModel


@dataclass(frozen=True)
class Plan:
    """A study file and the plugins it names; made again from its text in another process.

    Attributes:
        file: The parsed study file.
        text: Its text.
        base: Folder against which relative paths are resolved.
        registry: Who offers what.
        estimators: The estimators with their settings, the main one first.
        pooling: What pools the effects of the pilots; None where nothing of the kind is installed.
    """

    file: StudyFile
    text: str
    base: Path
    registry: Registry
    estimators: tuple[Planned, ...] = field(init=False, repr=False)
    pooling: PlannedPooling | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_imputation()
        object.__setattr__(self, "estimators", self._check())
        object.__setattr__(self, "pooling", self._pooling())

    def __reduce__(self) -> tuple[Any, ...]:
        return _plan_again, (self.text, self.base, self.registry.config_path)

    def path(self, text: str | Path) -> Path:
        """Resolve a path of the study file."""
        return self.base / Path(text).expanduser()

    @property
    def with_engines(self) -> tuple[str, ...]:
        """Names of the estimators, and of what pools, whose engines are compared."""
        names = [planned.name for planned in self.estimators]
        return (*names, *([self.pooling.name] if self.pooling else []))

    def _check(self) -> tuple[Planned, ...]:
        """Validate every plugin's settings before any data is read."""
        registry, file = self.registry, self.file
        for n, source in enumerate(file.sources, 1):
            self.settings("source", source, f"[[sources]] {n}")
        if file.link is not None:
            self._check_linker(file.link)
        for n, outcome in enumerate(file.outcomes, 1):
            where = f"[[outcomes]] {n}"
            self.outcome_info(outcome, self.settings("outcome", outcome, where), where)
        names = [o.name or o.plugin for o in file.outcomes]
        if len(set(names)) < len(names):
            raise DesignError(
                f"[[outcomes]]: two outcomes have one name among {listing(names)}. "
                'Give one of them a name = "...".'
            )
        estimators = tuple(
            self._plan(choice, f"[[estimators]] {n}") for n, choice in enumerate(file.estimators, 1)
        )
        twice = [p.name for p in estimators if [q.name for q in estimators].count(p.name) > 1]
        if twice:
            raise DesignError(f"[[estimators]]: '{twice[0]}' stands there more than once.")
        for where, choice, level in self.matchers():
            matcher = registry.matcher(choice.plugin)
            if matcher.level != level:
                raise DesignError(
                    f"{where}: '{choice.plugin}' matches {matcher.level}, expected a matcher of "
                    f"{level}. See: sos-plugins list matchers"
                )
            self.settings("matcher", choice, where)
            if choice.engine is not None and choice.engine not in [
                e.name for e in registry.engines(choice.plugin)
            ]:
                registry.engine(choice.plugin, choice.engine)
        self.settings("rating-rule", file.rating, "[rating]")
        for n, rule in enumerate(file.further_ratings, 1):
            self.settings("rating-rule", rule, f"[[further_ratings]] {n}")
        self._check_confirmatory()
        if file.sensitivity.families != "all":
            sensitivity.check_families(registry, tuple(file.sensitivity.families))
        return estimators

    def _pooling(self) -> PlannedPooling | None:
        """Check what pools, or take the only one there is.

        Raises:
            StudyError: If several could and none is named.
        """
        names = self.registry.names("pooling")
        if self.file.pooling is None and len(names) > 1:
            raise StudyError(
                f"Several plugins pool the effects of the pilots: {listing(names)}. Say in the "
                f'study which is meant: [pooling] plugin = "{names[0]}"'
            )
        if self.file.pooling is None and not names:
            return None
        choice = self.file.pooling or PoolingChoice(plugin=names[0])
        options = self.settings("pooling", choice, "[pooling]")
        self._check_engines(choice.plugin, choice.engines)
        return PlannedPooling(choice.plugin, choice.engines, options)

    def _check_linker(self, choice: Choice) -> None:
        self.settings("linker", choice, "[link]")
        needs = self.registry.linker(choice.plugin).requires
        if missing := [sentence for need in needs if (sentence := need.missing())]:
            raise StudyError(f"[link]: '{choice.plugin}' cannot run here: {'; '.join(missing)}.")

    def _check_imputation(self) -> None:
        choice = self.file.imputation
        if choice is None:
            return
        self.settings("imputer", choice, "[imputation]")
        if choice.engine is not None:
            self._check_engines(choice.plugin, (choice.engine,))

    def _check_engines(self, name: str, engines: str | tuple[str, ...]) -> None:
        known = [engine.name for engine in self.registry.engines(name)]
        for engine in () if engines == "all" else engines:
            if engine not in known:
                self.registry.engine(name, engine)

    def _check_confirmatory(self) -> None:
        """Refuse a confirmatory outcome that the study does not have."""
        chosen = self.file.multiplicity.confirmatory
        names = [self._outcome_name(choice) for choice in self.file.outcomes]
        for name in () if chosen == "all" else chosen:
            if name not in names:
                raise StudyError(
                    f"[multiplicity] confirmatory: the study has no outcome '{name}'."
                    f"{did_you_mean(name, names)} Outcomes: {listing(names)}."
                )

    def _outcome_name(self, choice: OutcomeChoice) -> str:
        return self.outcome_info(choice, self.settings("outcome", choice, "[[outcomes]]")).name

    def outcome_info(
        self, choice: OutcomeChoice, settings: BaseModel, where: str = "[[outcomes]]"
    ) -> OutcomeInfo:
        """Describe an outcome under its name in the study, and under its threshold.

        Raises:
            StudyError: If it is an outcome of yes and no and has a threshold.
        """
        info = self.registry.outcome(choice.plugin).info(settings)
        if choice.threshold is not None:
            info = choice.threshold.info(info, where)
        return replace(info, name=choice.name or info.name)

    def matchers(self) -> list[tuple[str, MatcherChoice, str]]:
        """Return the matchers of the study: where each is named, which, and what it matches."""
        matching = self.file.matching
        choices = [("[matching] units", matching.units, "units")]
        if matching.cases is not None:
            choices.append(("[matching] cases", matching.cases, "cases"))
        choices += [("[sensitivity] units", c, "units") for c in self.file.sensitivity.units]
        return choices

    def settings(self, kind: str, choice: Choice, where: str) -> BaseModel:
        """Return the validated settings of a plugin; their paths start at the study's folder."""
        beside = type(choice).model_fields
        values = self.outcome_values(choice) if kind == "outcome" else choice.settings
        settings = self.registry.settings(kind, choice.plugin, values, where, beside=beside)
        return with_paths(settings, self.base)

    def outcome_values(self, choice: Choice) -> Mapping[str, Any]:
        """Return the settings given for an outcome.

        With imputation it keeps missing numbers, and of covariates that are asked for it makes
        those too that it does not make by default.
        """
        outcome = self.registry.outcome(choice.plugin)
        given = {**self._further_covariates(choice, outcome.Settings), **choice.settings}
        marked = field_marked(outcome.Settings, KEEPS_MISSING_NUMBERS)
        if self.file.imputation is None or marked is None:
            return given
        defaults = {marked: "keep", **self.registry.config.settings.get(choice.plugin, {})}
        return {marked: defaults[marked], **given}

    def _further_covariates(self, choice: Choice, kind: type[BaseModel]) -> Mapping[str, Any]:
        """Return the covariates to make, where some are asked for that are none by default."""
        field = kind.model_fields.get("covariates")
        asked = choice.covariates if isinstance(choice, OutcomeChoice) else "all"
        if field is None or not isinstance(asked, tuple) or not isinstance(field.default, tuple):
            return {}
        configured = self.registry.config.settings.get(choice.plugin, {})
        known = [name for name in asked if name in choices_of(field.annotation)]
        if "covariates" in configured or set(known) <= set(field.default):
            return {}
        return {"covariates": known}

    def _plan(self, choice: EstimatorChoice, where: str) -> Planned:
        options = self.settings("estimator", choice, where)
        self._check_engines(choice.plugin, choice.engines)
        given = {**self.registry.config.settings.get(choice.plugin, {}), **choice.settings}
        sample = choice.sample or self.registry.estimator(choice.plugin).sample
        return Planned(choice.plugin, choice.engines, options, given, choice.covariates, sample)


@functools.lru_cache(maxsize=1)
def _plan_again(text: str, base: Path, config: Path | None) -> Plan:
    return Plan(parse_study(text, where="the study"), text, base, load_plugins(config))
