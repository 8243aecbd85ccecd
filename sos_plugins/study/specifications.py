"""Which specifications the sensitivity analysis of one outcome runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.types import Run
from sos_plugins.errors import DataError
from sos_plugins.study import sensitivity
from sos_plugins.study.file import MatcherChoice
from sos_plugins.study.pool_errors import PoolErrors
from sos_plugins.study.preparation import Preparation, PreparedOutcome
from sos_plugins.study.result import NamedEstimate
from sos_plugins.study.sensitivity import Specification


@dataclass(frozen=True)
class Matched:
    """A specification with comparators that another matcher chooses."""

    choice: MatcherChoice
    make: Callable[[], Specification]


@dataclass(frozen=True)
class Specifications:
    """The runs of the sensitivity analysis of one outcome.

    Attributes:
        analysis: The analysis of the outcome.
        prepared: Its cases.
        setups: What each estimator works on, the main one first.
        estimates: What they gave.
        errors: What the pool tells of single pilots.
        told: The warnings of the outcome, which no run says again.
    """

    preparation: Preparation
    prepared: PreparedOutcome
    setups: Sequence[Specification]
    estimates: Sequence[NamedEstimate]
    errors: PoolErrors
    told: Collection[str] = ()

    def runs(self) -> tuple[Run, ...]:
        """Run every specification that was chosen; the main run comes first."""
        planned = list(self._planned())
        name = self.prepared.cases.info.name
        done: list[Run] = []
        with self.preparation.progress.step(f"{name}: sensitivity", len(planned)) as advance:
            for n, (family, label, what) in enumerate(planned):
                same = sum(before[:2] == (family, label) for before in planned[:n])
                done.append(self._run(family, label, what, same))
                advance()
        return tuple(done)

    def _run(self, family: str, label: str, what: Any, same: int) -> Run:
        """Run one specification; ``same`` others of its name came before it."""
        if isinstance(what, Run):
            return what
        if isinstance(what, str):
            return replace(sensitivity.not_applicable(family, what), label=label)
        chosen = what if isinstance(what, Matched) else None
        make = chosen.make if chosen else what
        return self.preparation.keep(
            f"run '{label}'",
            (
                self._main_key,
                family,
                same,
                self.preparation.matcher_key(chosen.choice) if chosen else "",
            ),
            lambda: sensitivity.run(
                self.preparation.registry, family, label, make, self._of_one_pilot
            ),
            done=lambda run: run.status != "failed",
        )

    def _of_one_pilot(self, run: Run, setup: Specification, conf_level: float) -> Run:
        baseline = self.preparation.registry.estimator(setup.estimator).baseline
        return self.errors.judged(run, setup.alone, baseline, conf_level)

    @cached_property
    def _main_key(self) -> Sequence[Any]:
        """What every run rests on: the main one, and the cases that it was prepared from."""
        main, planned = self.setups[0], self.preparation.plan.estimators[0]
        fit = self.preparation.fit_key(main.estimator, main.engine, main.sample, main.options)
        return (self.preparation.key, fit, planned.given, planned.covariates, planned.sample)

    def _planned(self) -> list[tuple[str, str, Callable[[], Specification] | Matched | Run | str]]:
        chosen = self.preparation.plan.file.sensitivity.families
        main = self._estimated(self.setups[0], 0, "main", "main specification")
        everything = [
            *self._other_engines(),
            *sensitivity.pilots_out(
                self.setups[0], self.prepared.design, self.preparation.plan.file.design.support
            ),
            *self._without_covariates(),
            *self._without_weights(),
            *sensitivity.variants(self.preparation.registry, self.setups[0]),
            *self._definitions(),
            *self._not_linked(),
            *self._other_matching(),
            *self._whole_pool(),
            *self._other_estimators(),
        ]
        kept = [item for item in everything if chosen == "all" or item[0] in chosen]
        return [("main", main.label, main), *kept]

    def _of(self, estimator: str) -> list[NamedEstimate]:
        return [e for e in self.estimates if e.estimator == estimator]

    def _estimated(self, setup: Specification, n: int, family: str, label: str) -> Run:
        named = self._of(setup.estimator)[n]
        return sensitivity.as_run(self.preparation.registry, named, setup.options, family, label)

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

    def _without_covariates(self) -> list[tuple[str, str, Callable[[], Specification] | str]]:
        setup = self.setups[0]
        if not setup.sample.covariates:
            return [("no-covariates", "without covariates", "The main run has no covariates.")]
        return [
            (
                "no-covariates",
                "without covariates",
                lambda: setup.each(lambda sample: replace(sample, covariates=())),
            )
        ]

    def _without_weights(self) -> list[tuple[str, str, Callable[[], Specification] | str]]:
        label = "without the matching of cases"
        if self.prepared.case_match is None:
            return [("unweighted", label, "Cases are not matched in the main run.")]
        if self.preparation.plan.estimators[0].sample == "calendar":
            return [("unweighted", label, "The main run uses calendar periods, without matching.")]
        return [("unweighted", label, self._prepared(_without_match))]

    def _definitions(self) -> list[tuple[str, str, Callable[[], Specification] | str]]:
        definitions: list[tuple[str, str, Callable[[], Specification] | str]] = [
            ("other-definition", f"definition '{name}'", self._defined(cases))
            for name, cases in sorted(self.preparation.given.definitions.items())
        ]
        return definitions or [
            ("other-definition", "another definition", "The outcome has one definition.")
        ]

    def _not_linked(self) -> list[tuple[str, str, Callable[[], Specification] | str]]:
        without = self.preparation.given.not_linked
        if without is None:
            return []
        return [("not-linked", "children as the sources identify them", self._defined(without))]

    def _defined(self, cases: CollectedCases | str) -> Callable[[], Specification]:
        def make() -> Specification:
            if isinstance(cases, str):
                raise DataError(cases)
            return self._main_on(self.preparation.with_cases(self.prepared, cases))

        return make

    def _other_matching(self) -> list[tuple[str, str, Matched]]:
        return [
            ("other-matching", f"comparators by {choice.plugin}", self._matched(choice))
            for choice in self.preparation.plan.file.sensitivity.units
        ]

    def _whole_pool(self) -> list[tuple[str, str, Callable[[], Specification] | str]]:
        """Return the run in which every authority of the pool is a comparator of every pilot."""
        pool = set(self.preparation.given.design.pool)
        label = "every authority of the pool as comparator"
        if all(pool <= set(group.comparators) for group in self.prepared.design.groups):
            return [("entire-pool", label, "The main run has the whole pool already.")]
        return [("entire-pool", label, self._prepared(self.preparation.with_whole_pool))]

    def _matched(self, choice: MatcherChoice) -> Matched:
        again = self._prepared(lambda prepared: self.preparation.prepare(prepared.cases, choice))
        return Matched(choice, again)

    def _prepared(
        self, change: Callable[[PreparedOutcome], PreparedOutcome]
    ) -> Callable[[], Specification]:
        return lambda: self._main_on(change(self.prepared))

    def _main_on(self, prepared: PreparedOutcome) -> Specification:
        """Return the main set-up on another sample."""
        planned = self.preparation.plan.estimators[0]
        sample, options, notes = self.preparation.sample_for(planned, prepared)
        warnings = dict.fromkeys((*prepared.warnings, *notes))
        return replace(
            self.setups[0],
            sample=sample,
            options=options,
            groups=prepared.design.groups,
            cells=self.preparation.cells_for(planned, sample),
            warnings=tuple(text for text in warnings if text not in self.told),
        )

    def _other_estimators(self) -> list[tuple[str, str, Callable[[], Specification] | Run | str]]:
        """Return the runs of other estimators, but for diagnostics and those for the leads."""
        runs: list[tuple[str, str, Callable[[], Specification] | Run | str]] = []
        for setup in self.setups[1:]:
            estimator = self.preparation.registry.estimator(setup.estimator)
            if estimator.tests_leads or getattr(estimator, "diagnostic", False):
                continue
            family = estimator.family
            label = f"by {setup.estimator}"
            done = self._of(setup.estimator)
            if not done:
                runs.append((family, label, "No engine gave an estimate."))
                continue
            run = self._estimated(setup, 0, family, label)
            runs.append((family, label, run))
            if changes := self._changes_to_be_alike(run):
                alike = f"{label}, averaged as in the main run"
                runs.append((family, alike, self._changed(setup, changes)))
        return runs

    def _changes_to_be_alike(self, run: Run) -> Mapping[str, Any] | None:
        """Return the settings with which another estimator has the estimand of the main run."""
        estimator = self.preparation.registry.estimator(run.estimator)
        wanted = self._estimated(self.setups[0], 0, "main", "").estimand
        return estimator.averages.get(wanted) if wanted != run.estimand else None

    def _changed(
        self, setup: Specification, changes: Mapping[str, Any]
    ) -> Callable[[], Specification]:
        def make() -> Specification:
            values = {**setup.options.model_dump(exclude_unset=True), **changes}
            options = self.preparation.registry.settings(
                "estimator", setup.estimator, values, f"'{setup.estimator}' averaged otherwise"
            )
            return replace(setup, options=options)

        return make


def _without_match(prepared: PreparedOutcome) -> PreparedOutcome:
    return replace(prepared, stacked=prepared.unweighted)
