"""One outcome, from its cases to the evidence on it: match, estimate, cross-check, vary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd
from pydantic import BaseModel

from sos_plugins.contract.types import (
    Agreement,
    AssignmentDraws,
    Estimate,
    LeadTest,
    Run,
    Sample,
)
from sos_plugins.errors import SosError
from sos_plugins.study import design as designs
from sos_plugins.study.composition import Composition, changes_told
from sos_plugins.study.estimate import compare, run_engine, run_engines
from sos_plugins.study.leads import LeadTests
from sos_plugins.study.plan import Plan, Planned
from sos_plugins.study.pool_errors import Drift, PoolErrors
from sos_plugins.study.pooling import Pooled, pilot_effects, pool, why_not
from sos_plugins.study.preparation import (
    OutcomeInput,
    Preparation,
    PreparedOutcome,
    calendar_each,
)
from sos_plugins.study.quality import (
    comparability_figures,
    declared_figures,
    quality_figures,
)
from sos_plugins.study.reassignment import reassigned_statistics
from sos_plugins.study.result import LONGEST_MATCH_TABLE, NamedEstimate, OutcomeResult
from sos_plugins.study.sensitivity import Specification
from sos_plugins.study.specifications import Specifications

T = TypeVar("T")


@dataclass(frozen=True)
class OutcomeAnalysis:
    """Judges one outcome: estimates, cross-checks and varies what a preparation makes.

    The study rates it, once all outcomes are there: see :mod:`sos_plugins.study.rating`.
    """

    preparation: Preparation

    @property
    def plan(self) -> Plan:
        """The study, checked against the plugins."""
        return self.preparation.plan

    @property
    def given(self) -> OutcomeInput:
        """What the records gave for the outcome."""
        return self.preparation.given

    def run(self, *, only_crosscheck: bool) -> OutcomeResult:
        """Run the outcome; what cannot be analysed becomes a result with an error."""
        info = self.given.info
        smallest = self.given.choice.smallest(info)
        empty = OutcomeResult(info, self.given.settings, smallest_effect=smallest)
        cases = self.given.cases
        if isinstance(cases, str):
            return replace(empty, error=cases)
        derived = replace(empty, attrition=cases.attrition, completeness=cases.completeness)
        try:
            prepared = self.preparation.keep(
                "matching",
                (self.preparation.key,),
                lambda: self.preparation.prepare(cases, self.plan.file.matching.units),
            )
            return self._analyse(derived, prepared, only_crosscheck=only_crosscheck)
        except SosError as error:
            return replace(derived, error=str(error))

    def _analyse(
        self, result: OutcomeResult, prepared: PreparedOutcome, *, only_crosscheck: bool
    ) -> OutcomeResult:
        estimates: list[NamedEstimate] = []
        agreements: list[Agreement] = []
        setups: list[Specification] = []
        failures: dict[str, str] = {}
        warnings = [*prepared.cases.info.cautions, *prepared.warnings]
        label = prepared.cases.info.name
        for planned in self.plan.estimators:
            sample, options, notes = self.preparation.sample_for(planned, prepared)
            warnings += notes
            known = next((setup.cells for setup in setups if setup.sample is sample), None)
            cells = known or self.preparation.cells_for(planned, sample)
            with self.preparation.progress.step(f"{label}: {planned.name}"):
                done, reasons = run_engines(
                    self.preparation.registry,
                    planned.name,
                    planned.engines,
                    sample,
                    options,
                    seed=self.preparation.seed,
                    cells=cells,
                    keep=self._estimates(planned, sample, options),
                )
            agreements += compare(self.preparation.registry, label, planned.name, done, reasons)
            estimates += done
            warnings += [w for named in done[:1] for w in named.estimate.warnings]
            engine = done[0].engine if done else None
            groups = prepared.design.groups
            setups.append(
                Specification(
                    sample, planned.name, engine, options, groups, self.preparation.seed, cells
                )
            )
            if not done:
                why = " ".join(dict.fromkeys(reasons.values()))
                failures[planned.name] = f"No engine of '{planned.name}' gave an estimate: {why}"
                warnings.append(failures[planned.name])
        warnings += _disagreements(agreements)
        result = replace(
            result,
            attrition=prepared.attrition,
            estimates=tuple(estimates),
            agreements=tuple(agreements),
            warnings=tuple(dict.fromkeys(warnings)),
            groups=_group_frame(prepared, self.given.unit_names),
            matching=prepared.steps,
            scores=prepared.units.scores,
            balance=_balance(prepared),
            overlap=prepared.case_match.overlap if prepared.case_match else pd.DataFrame(),
            match_tables=_match_tables(prepared),
            trends=designs.trends(prepared.stacked, prepared.frame),
            sample=designs.group_table(prepared.stacked),
            spans=designs.spans(prepared.stacked),
        )
        main = [e for e in estimates if e.estimator == setups[0].estimator]
        if not main:
            return replace(result, error=failures[setups[0].estimator])
        if only_crosscheck:
            return result
        return self._conclude(result, prepared, setups, estimates)

    def _estimates(
        self, planned: Planned, sample: Sample, options: BaseModel
    ) -> Callable[[str, Callable[[], NamedEstimate]], NamedEstimate]:
        return lambda engine, make: self.preparation.keep(
            f"{planned.name} by {engine}",
            self.preparation.fit_key(planned.name, engine, sample, options),
            make,
        )

    def _conclude(
        self,
        result: OutcomeResult,
        prepared: PreparedOutcome,
        setups: Sequence[Specification],
        estimates: Sequence[NamedEstimate],
    ) -> OutcomeResult:
        file = self.plan.file
        errors = PoolErrors(prepared)
        runs = Specifications(
            self.preparation, prepared, setups, estimates, errors, result.warnings
        ).runs()
        leads = self._leads(errors, setups, runs[0])
        quality = quality_figures(
            prepared.cases,
            prepared.stacked,
            prepared.design,
            len(self.given.design.pilots),
            file.design,
            prepared.covariates,
            self.given.faults,
            runs[0],
        )
        quality |= comparability_figures(prepared.frame, self.given.design, result.balance)
        quality |= declared_figures(self.preparation.registry, estimates)
        if leads and leads[0].power is not None:
            quality["pretest_power"] = leads[0].power
        pooled = self._pooled(runs, prepared)
        composition = self._composition(prepared, setups[0])
        return replace(
            self._with_reassignments(result, setups[0], runs[0]),
            composition=composition,
            main=runs[0],
            runs=runs,
            leads=leads,
            pooled=pooled.effects,
            not_pooled=pooled.reason,
            agreements=(*result.agreements, *pooled.agreements),
            warnings=(
                *result.warnings,
                *changes_told(composition),
                *_disagreements(pooled.agreements),
            ),
            quality=quality,
        )

    def _composition(self, prepared: PreparedOutcome, setup: Specification) -> pd.DataFrame:
        """Test whether the programme changed the mix of cases, where cases are matched."""
        if prepared.case_match is None:
            return pd.DataFrame()
        registry, options = self.preparation.registry, setup.options

        def estimate(sample: Sample) -> Estimate:
            cells = self.preparation.cells_of(sample)
            return run_engine(
                *(registry, setup.estimator, setup.engine, sample, options),
                seed=setup.seed,
                provenance=False,
                cells=cells,
            ).estimate

        on_cells = registry.engine(setup.estimator, setup.engine).takes_cells
        headline = registry.estimator(setup.estimator).headline(options)
        tests = Composition(estimate, headline, prepared.cases.info.measured_after)
        sample = prepared.unweighted if setup.sample.has_groups else calendar_each(prepared)[0]
        label = f"{prepared.cases.info.name}: mix of cases"
        with self.preparation.progress.step(label):
            return self.preparation.keep(
                "mix of cases",
                (
                    self.preparation.key,
                    self.preparation.fit_key(setup.estimator, setup.engine, sample, options),
                ),
                lambda: tests.table(
                    (self.preparation.cells_of(sample) or sample) if on_cells else sample
                ),
            )

    def _with_reassignments(
        self, result: OutcomeResult, setup: Specification, main: Run
    ) -> OutcomeResult:
        """Add the statistics of the main run under assignments by lot, where they are asked for."""
        table, design = self.plan.file.multiplicity, self.given.design
        explored = table.confirmatory != "all" and result.info.name not in table.confirmatory
        if table.method != "romano-wolf" or explored:
            return result
        units = (*(pilot.unit for pilot in design.pilots), *design.pool)
        draws = AssignmentDraws(units, table.draws, self.preparation.seed)
        with self.preparation.progress.step(f"{result.info.name}: adoption assigned anew"):
            try:
                drawn = reassigned_statistics(self.preparation.registry, setup, draws, main)
            except SosError as error:
                return replace(result, not_drawn=str(error))
        return replace(result, drawn=drawn)

    def _pooled(self, runs: Sequence[Run], prepared: PreparedOutcome) -> Pooled:
        """Pool the runs of single pilots, or say why not."""
        planned, pilots = self.plan.pooling, prepared.design.pilots
        data = pilot_effects(runs, pilots)
        reason = why_not(data, planned, len(pilots))
        if planned is None or reason:
            return Pooled(reason=reason)
        label = prepared.cases.info.name
        with self.preparation.progress.step(f"{label}: {planned.name}"):
            return pool(
                self.preparation.registry,
                planned,
                data,
                label,
                lambda engine, make: self.preparation.keep(
                    f"{planned.name} by {engine}",
                    self.preparation.pooling_key(planned, engine, data),
                    make,
                ),
            )

    def _leads(
        self, errors: PoolErrors, setups: Sequence[Specification], main: Run
    ) -> tuple[LeadTest, ...]:
        registry = self.preparation.registry
        setup = next((s for s in setups if registry.estimator(s.estimator).tests_leads), None)
        if setup is None:
            return ()
        drift = Drift(main.estimate, registry.estimator(setups[0].estimator).baseline)
        tests = LeadTests(registry, setup, errors, drift)
        done = []
        pilots = [p.unit for p in errors.design.pilots]
        label = f"{errors.prepared.cases.info.name}: leads"
        with self.preparation.progress.step(label, len(pilots) + 1) as advance:
            for pilot in ("", *pilots):
                done.append(self._lead_test(tests, pilot))
                advance()
        return tuple(done)

    def _lead_test(self, tests: LeadTests, pilot: str) -> LeadTest:
        setup = tests.setup
        return self.preparation.keep(
            f"leads of {pilot or 'all pilots'}",
            (
                self.preparation.key,
                self.preparation.fit_key(
                    setup.estimator, setup.engine, setup.sample, setup.options
                ),
                [[group.pilot, group.comparators] for group in setup.groups],
                [tests.drift.effect, tests.drift.baseline],
            ),
            lambda: tests.of_pilot(pilot) if pilot else tests.of_all(),
            done=lambda test: test.status != "failed",
        )


def _disagreements(agreements: Sequence[Agreement]) -> list[str]:
    return [
        f"Engines disagree: {a.estimator}, {a.engine} against {a.reference}. {a.reason}"
        for a in agreements
        if a.verdict == "disagree"
    ]


def _group_frame(prepared: PreparedOutcome, names: Mapping[str, str]) -> pd.DataFrame:
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


def _match_tables(prepared: PreparedOutcome) -> dict[str, pd.DataFrame]:
    """Return the further tables of the matcher of cases, without those that list cases."""
    tables = prepared.case_match.tables if prepared.case_match else {}
    return {name: table for name, table in tables.items() if len(table) <= LONGEST_MATCH_TABLE}


def _balance(prepared: PreparedOutcome) -> pd.DataFrame:
    parts = [prepared.units.balance.assign(level="units")]
    if prepared.case_match is not None:
        parts.append(prepared.case_match.balance.assign(level="cases"))
    kept = [p for p in parts if len(p)]
    if not kept:
        return pd.DataFrame()
    table = pd.concat(kept, ignore_index=True)
    return table[["level", *(c for c in table if c != "level")]]
