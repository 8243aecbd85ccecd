"""The sensitivity analysis: the same question asked in other ways."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from sos_plugins.contract.types import MatchedGroup, Run, Sample
from sos_plugins.errors import DataError, SosError, StudyError, did_you_mean, listing
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.registry import Registry
from sos_plugins.study.estimate import run_engine
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.result import NamedEstimate

FAMILIES: dict[str, str] = {
    "other-engine": "the same estimator by its other engines",
    "drop-one-pilot": "without each pilot in turn",
    "single-pilot": "each pilot alone with its comparators",
    "no-external-support": "without the pilots that had support from outside",
    "no-covariates": "without covariates",
    "unweighted": "without the matching of cases",
    "other-definition": "another definition of the outcome",
    "not-linked": "children as the sources identify them, where the study links them",
    "other-matching": "comparators chosen in another way",
    "entire-pool": "every authority of the pool as comparator",
}
"""Families that the core offers; estimators add theirs (their variants and their own family)."""


@dataclass(frozen=True)
class Specification:
    """Everything one specification needs.

    Attributes:
        sample: The cases of the estimator.
        estimator: Name of the estimator.
        engine: Engine, or None for the first that can run.
        options: Settings of the estimator.
        groups: The matched groups of the sample.
        seed: Seed of the study.
        cells: The sample compressed, for engines that take cells; None for none.
        warnings: What is to be said of this sample and not of that of the main run.
        alone: The pilot, where it is the only one: its error is that of the pool.
    """

    sample: Sample
    estimator: str
    engine: str | None
    options: BaseModel
    groups: tuple[MatchedGroup, ...] = ()
    seed: int = 0
    cells: Sample | None = None
    warnings: tuple[str, ...] = ()
    alone: str = ""

    def only(self, pilots: Collection[str]) -> Specification:
        """Return the set-up of these pilots and their comparators alone."""
        if self.sample.has_groups:
            column, wanted = "group", frozenset(pilots)
        else:
            groups = [g for g in self.groups if g.pilot in pilots]
            comparators = (u for g in groups for u in g.comparators)
            column, wanted = "unit", frozenset([*pilots, *comparators])
        return self.each(
            lambda sample: sample.once(
                ("only", column, wanted),
                lambda: sample.where(sample.frame[column].isin(list(wanted))),
            )
        )

    def each(self, change: Callable[[Sample], Sample]) -> Specification:
        """Return the set-up with a change made to the cases and to their cells."""
        cells = None if self.cells is None else self.cells.each(change)
        return replace(self, sample=self.sample.each(change), cells=cells)


def adjusted(sample: Sample, choice: str | tuple[str, ...]) -> Sample:
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
    return sample.each(lambda one: replace(one, covariates=chosen))


def headline(registry: Registry, named: NamedEstimate, options: BaseModel) -> Mapping[str, Any]:
    """Return the row of the estimate's headline term."""
    return named.estimate.term(registry.estimator(named.estimator).headline(options))


def as_run(
    registry: Registry, named: NamedEstimate, options: BaseModel, family: str, label: str
) -> Run:
    """Make a run of an estimate: its headline term and its counts."""
    row = {k: plain(v) for k, v in headline(registry, named, options).items()}
    glance = named.estimate.glance
    if row["estimate"] is None:
        return Run(
            family,
            label,
            named.estimator,
            named.engine,
            status="failed",
            reason=" ".join(named.estimate.warnings) or "The estimate is missing.",
        )
    return Run(
        family=family,
        label=label,
        estimator=named.estimator,
        engine=named.engine,
        estimate=row["estimate"],
        std_error=row["std_error"],
        p_value=row["p_value"],
        conf_low=row["conf_low"],
        conf_high=row["conf_high"],
        n_cases=int(glance["n_cases"]),
        n_units=int(glance["n_units"]),
        n_treated_units=int(glance["n_treated_units"]),
        df=None if row["df"] is None else float(row["df"]),
        estimand=str(glance.get("estimand") or ""),
    )


def run(
    registry: Registry,
    family: str,
    label: str,
    make: Callable[[], Specification],
    judge: JudgeOfOnePilot | None = None,
) -> Run:
    """Run one specification; a failure is a run with its reason, not an exception.

    ``judge`` gives the run of a pilot alone its error.
    """
    setup = None
    try:
        setup = make()
        named = run_engine(
            registry,
            setup.estimator,
            setup.engine,
            setup.sample,
            setup.options,
            seed=setup.seed,
            provenance=False,
            cells=setup.cells,
        )
        done = as_run(registry, named, setup.options, family, label)
        told = replace(done, warnings=setup.warnings)
        level = float(named.estimate.glance["conf_level"])
        return judge(told, setup, level) if judge and setup.alone else told
    except SosError as error:
        return Run(
            family,
            label,
            setup.estimator if setup else "",
            (setup.engine or "") if setup else "",
            status="failed",
            reason=str(error),
            warnings=setup.warnings if setup else (),
        )


JudgeOfOnePilot = Callable[[Run, Specification, float], Run]
"""Gets the run of one pilot, what was run, and the level of its interval."""


def not_applicable(family: str, reason: str) -> Run:
    """Say why a family has no run here."""
    return Run(family, FAMILIES.get(family, family), status="not applicable", reason=reason)


def pilots_out(
    setup: Specification, design: Design, support: str
) -> Iterator[tuple[str, str, Callable[[], Specification] | str]]:
    """Yield the runs that leave pilots out: family, label, and the set-up or why there is none.

    A pilot leaves with its whole matched group.
    """
    names = {p.unit: p.name or p.unit for p in design.pilots}
    if len(names) > 1:
        for unit, name in names.items():
            others = [u for u in names if u != unit]
            yield "drop-one-pilot", f"without {name}", _only(setup, others)
    else:
        yield "drop-one-pilot", FAMILIES["drop-one-pilot"], "There is only one pilot."
    for unit, name in names.items():
        yield "single-pilot", f"{name} alone", _alone(setup, unit)
    marked = [p for p in design.pilots if support in p.attributes]
    helped = [p.unit for p in marked if p.attributes[support] is True]
    without = [u for u in names if u not in helped]
    label = FAMILIES["no-external-support"]
    if not marked:
        yield "no-external-support", label, f"The pilots have no column '{support}'."
    elif not helped or not without:
        which = "No" if not helped else "Every"
        yield "no-external-support", label, f"{which} pilot had support from outside."
    else:
        yield "no-external-support", label, _only(setup, without)


def _only(setup: Specification, pilots: list[str]) -> Callable[[], Specification]:
    return lambda: setup.only(pilots)


def _alone(setup: Specification, pilot: str) -> Callable[[], Specification]:
    return lambda: replace(setup.only([pilot]), alone=pilot)


def variants(
    registry: Registry, setup: Specification
) -> Iterator[tuple[str, str, Callable[[], Specification] | str]]:
    """Yield the variants that the main estimator offers."""
    estimator = registry.estimator(setup.estimator)
    chosen = setup.options.model_dump(exclude_unset=True)
    for variant in estimator.variants:
        if variant.binary_only and not setup.sample.binary:
            yield variant.family, variant.label, "The outcome is not binary."
            continue
        values = {**chosen, **variant.changes}
        where = f"variant '{variant.family}' of {setup.estimator}"
        options = registry.settings("estimator", setup.estimator, values, where)
        if options == setup.options:
            yield variant.family, variant.label, "It is the main specification."
        else:
            yield variant.family, variant.label, _with_options(setup, options)


def _with_options(setup: Specification, options: BaseModel) -> Callable[[], Specification]:
    return lambda: replace(setup, options=options)


def check_families(registry: Registry, chosen: tuple[str, ...]) -> None:
    """Refuse a family that nothing offers.

    Raises:
        StudyError: With the known families.
    """
    known = set(FAMILIES)
    for offer in registry.offers("estimator"):
        known |= {v.family for v in offer.obj.variants} | {offer.obj.family}
    for name in chosen:
        if name not in known:
            raise StudyError(
                f"[sensitivity] families: '{name}' is no family of runs."
                f"{did_you_mean(name, known)} Families: {listing(known)}."
            )
