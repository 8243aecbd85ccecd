"""A study file checked against the plugins: every name known, every setting valid."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sos_plugins.errors import DesignError, StudyError, did_you_mean, listing
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.host.settings import with_paths
from sos_plugins.study import sensitivity
from sos_plugins.study.file import (
    Choice,
    EstimatorChoice,
    MatcherChoice,
    OutcomeChoice,
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
class Plan:
    """A study file and the plugins it names; made again from its text in another process.

    Attributes:
        file: The parsed study file.
        text: Its text.
        base: Folder against which relative paths are resolved.
        registry: Who offers what.
        estimators: The estimators with their settings, the main one first.
    """

    file: StudyFile
    text: str
    base: Path
    registry: Registry
    estimators: tuple[Planned, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "estimators", self._check())

    def __reduce__(self) -> tuple[Any, ...]:
        return _plan_again, (self.text, self.base, self.registry.config_path)

    def path(self, text: str | Path) -> Path:
        """Resolve a path of the study file."""
        return self.base / Path(text).expanduser()

    def _check(self) -> tuple[Planned, ...]:
        """Validate every plugin's settings before any data is read."""
        registry, file = self.registry, self.file
        for n, source in enumerate(file.sources, 1):
            self.settings("source", source, f"[[sources]] {n}")
        for n, outcome in enumerate(file.outcomes, 1):
            self.settings("outcome", outcome, f"[[outcomes]] {n}")
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
        for where, choice, level in self._matchers():
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
        settings = self.settings("outcome", choice, "[[outcomes]]")
        return choice.name or self.registry.outcome(choice.plugin).info(settings).name

    def _matchers(self) -> list[tuple[str, MatcherChoice, str]]:
        matching = self.file.matching
        found = [("[matching] units", matching.units, "units")]
        if matching.cases is not None:
            found.append(("[matching] cases", matching.cases, "cases"))
        found += [("[sensitivity] units", c, "units") for c in self.file.sensitivity.units]
        return found

    def settings(self, kind: str, choice: Choice, where: str) -> BaseModel:
        """Return the validated settings of a plugin; their paths start at the study's folder."""
        beside = type(choice).model_fields
        settings = self.registry.settings(
            kind, choice.plugin, choice.settings, where, beside=beside
        )
        return with_paths(settings, self.base)

    def _plan(self, choice: EstimatorChoice, where: str) -> Planned:
        options = self.settings("estimator", choice, where)
        if choice.engines != "all":
            known = [e.name for e in self.registry.engines(choice.plugin)]
            for name in choice.engines:
                if name not in known:
                    self.registry.engine(choice.plugin, name)
        given = {**self.registry.config.settings.get(choice.plugin, {}), **choice.settings}
        sample = choice.sample or self.registry.estimator(choice.plugin).sample
        return Planned(choice.plugin, choice.engines, options, given, choice.covariates, sample)


@functools.lru_cache(maxsize=1)
def _plan_again(text: str, base: Path, config: Path | None) -> Plan:
    return Plan(parse_study(text, where="the study"), text, base, load_plugins(config))
