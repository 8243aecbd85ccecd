"""Random small tables, random valid settings, and what every engine must make of them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sos_plugins.contract.columns import TIDY_COLUMNS
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EngineUnavailableError, SosError
from sos_plugins.host.registry import Registry
from sos_plugins.study.estimate import agreement, run_engine
from sos_plugins.study.result import NamedEstimate
from sos_plugins.tables.read_table import read_sample

RAW = ("failed with", "R raised an error", "R stopped", "The package", "Traceback", "Error in ")
"""What a sentence never has: it stands for an error that nobody foresaw."""
NAMES = (
    "area",
    "a b",
    "Größe",
    "if",
    "1st",
    "T",
    "log(x)",
    "x:y",
    "owner",
    "weight_",
    ".key",
    "_n",
)
"""Names of the unit and of covariates, plain ones and odd ones."""
VALUES = ("binary", "rare", "constant", "exact", "few", "count")
COVARIATES = ("number", "text", "constant", "unit", "period", "treated", "twice", "rare", "binary")
SCALES = (1e-9, 1e6, 1e12)


@dataclass(frozen=True)
class Example:
    """A table and what is asked of it.

    Attributes:
        cohorts: First treated period of each unit; 0 never.
        periods: Periods, in order.
        seed: Of what is drawn at random in the table.
        n_cases: Cases of each unit in each period.
        kind: How the value is made, one of :data:`VALUES`.
        scale: Factor of the value.
        shift: What is added to it, in units of the scale.
        kept: Share of rows that stay.
        absent: Share of cells of value and covariates that are empty.
        covariates: Name and how it is made, one of :data:`COVARIATES`.
        weights: How weights are made, None without.
        cluster: How clusters are made, None for the unit.
        panel: Whether the unit is given as ``id``.
        unit: Name of the column of units.
        estimator: Name.
        options: Settings that differ from the defaults.
    """

    cohorts: tuple[int, ...]
    periods: tuple[int, ...]
    seed: int
    n_cases: int
    kind: str
    scale: float
    shift: float
    kept: float
    absent: float
    covariates: tuple[tuple[str, str], ...]
    weights: str | None
    cluster: str | None
    panel: bool
    unit: str
    estimator: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns, as :func:`read_sample` names them."""
        return {
            "unit": self.unit,
            "period": "year",
            "cohort": "adopted",
            "value": "score",
            "id": self.unit if self.panel else None,
            "covariates": tuple(name for name, _ in self.covariates),
            "weights": "w" if self.weights else None,
            "cluster": "office" if self.cluster else None,
        }

    def table(self) -> pd.DataFrame:
        """Make the table; the same each time."""
        rng = np.random.default_rng(self.seed)
        rows = [
            (u, t, g)
            for u, g in enumerate(self.cohorts)
            for t in self.periods
            for _ in range(self.n_cases)
        ]
        frame = pd.DataFrame(rows, columns=["number", "year", "adopted"])
        affected = (frame["adopted"] > 0) & (frame["year"] >= frame["adopted"])
        drawn = pd.DataFrame({self.unit: "u" + frame["number"].astype(str)})
        drawn["year"], drawn["adopted"] = frame["year"], frame["adopted"]
        level = _value(self.kind, frame, affected.to_numpy(), rng)
        drawn["score"] = (level + self.shift) * self.scale
        for name, kind in self.covariates:
            drawn[name] = _covariate(kind, frame, drawn, affected.to_numpy(), rng)
        if self.weights:
            drawn["w"] = _weights(self.weights, frame, rng)
        if self.cluster:
            drawn["office"] = _clusters(self.cluster, frame)
        for name in ("score", *(name for name, _ in self.covariates)):
            drawn[name] = drawn[name].where(rng.random(len(drawn)) >= self.absent)
        return drawn[rng.random(len(drawn)) < self.kept]

    def sample(self, file: Path) -> Sample:
        """Write the table, and read it as a user would."""
        self.table().to_csv(file, index=False)
        return read_sample(file, **self.columns).sample

    def words(self, file: Path) -> list[str]:
        """Return the arguments of the command line that ask for the same."""
        told = ["estimate", self.estimator, "--data", str(file), "--engine", "all", "--json"]
        for name, column in self.columns.items():
            if name != "covariates" and column is not None:
                told += [f"--{name}", column]
        if self.covariates:
            told += ["--covariates", ",".join(name for name, _ in self.covariates)]
        for name, value in self.options.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            told += ["--set", f"{name}={str(text).lower() if value in (True, False) else text}"]
        return told


def _value(kind: str, frame: pd.DataFrame, affected: Any, rng: np.random.Generator) -> Any:
    n = len(frame)
    exact = frame["number"].to_numpy(float) + 0.5 * frame["year"].to_numpy(float) + 2.0 * affected
    made = {
        "noise": exact + rng.normal(size=n),
        "binary": (rng.random(n) < 0.3 + 0.3 * affected).astype(float),
        "rare": (rng.random(n) < 0.08).astype(float),
        "constant": np.ones(n),
        "exact": exact,
        "few": rng.integers(0, 3, n).astype(float),
        "count": rng.poisson(1.0 + affected).astype(float),
    }
    return made[kind]


def _covariate(
    kind: str, frame: pd.DataFrame, earlier: pd.DataFrame, affected: Any, rng: np.random.Generator
) -> Any:
    n = len(frame)
    made = {
        "number": rng.normal(size=n).round(3),
        "text": rng.choice(["low", "middle", "high"], n),
        "constant": np.ones(n),
        "unit": frame["number"].to_numpy() % 3,
        "period": frame["year"].to_numpy() * 2,
        "treated": (frame["adopted"] > 0).to_numpy() * 5 + 0.01 * rng.normal(size=n).round(2),
        "twice": 2 * earlier.iloc[:, 3].to_numpy(float),
        "rare": np.where(rng.random(n) < 0.1, "rare", "usual"),
        "binary": rng.integers(0, 2, n),
    }
    return made[kind]


def _weights(kind: str, frame: pd.DataFrame, rng: np.random.Generator) -> Any:
    n = len(frame)
    made = {
        "whole": rng.integers(1, 4, n).astype(float),
        "zeros": rng.integers(0, 2, n).astype(float),
        "wide": 10.0 ** rng.uniform(-3, 3, n).round(2),
        "of unit": 1.0 + frame["number"].to_numpy() % 3,
    }
    return made[kind]


def _clusters(kind: str, frame: pd.DataFrame) -> Any:
    made = {
        "coarser": frame["number"] // 2,
        "one": frame["number"] * 0,
        "finer": frame["number"].astype(str) + "-" + frame["year"].astype(str),
        "crossing": frame["year"],
    }
    return "c" + made[kind].astype(str)


# What is drawn ------------------------------------------------------------------------------------


def _seldom(usual: Any, others: typing.Sequence[Any], share: int = 5) -> st.SearchStrategy[Any]:
    """Return the usual value, and one in so many times one of the others."""
    return st.integers(1, share).flatmap(
        lambda i: st.sampled_from(others) if i == share - 1 else st.just(usual)
    )


@st.composite
def _cohorts(draw: st.DrawFn, first: int, last: int) -> tuple[int, ...]:
    """Draw when units are treated; seldom not one that the data tell something about."""
    within = st.integers(first + 1, last)
    odd = (first, max(first - 1, 1), last + 1, last + 5, 9999)
    cohort = st.one_of(st.just(0), within, within, _seldom(0, odd, 2))
    sure = draw(_seldom(True, [False], 10))
    base = [draw(within), draw(st.one_of(st.just(0), st.just(0), within))] if sure else []
    few = draw(st.booleans())
    rest = draw(st.lists(cohort, min_size=1 - sure, max_size=4 if few else 10))
    return tuple(draw(st.permutations(base + rest)))


@st.composite
def examples(draw: st.DrawFn, registry: Registry, estimator: str) -> Example:
    """Draw a table and settings of an estimator."""
    first = draw(st.sampled_from([1, 1, 5, 2010]))
    step = draw(_seldom(1, [2]))
    periods = tuple(first + step * i for i in range(draw(st.integers(2, 8))))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=3, max_size=3, unique=True))
    kinds = draw(st.lists(st.sampled_from(COVARIATES), max_size=2))
    panel = draw(st.booleans())
    return Example(
        cohorts=draw(_cohorts(periods[0], periods[-1])),
        periods=periods,
        seed=draw(st.integers(0, 10**6)),
        n_cases=1 if panel else draw(st.integers(1, 3)),
        kind=draw(_seldom("noise", VALUES, 3)),
        scale=draw(_seldom(1.0, SCALES)),
        shift=draw(_seldom(0.0, [1e4])),
        kept=draw(_seldom(1.0, [0.9, 0.6], 4)),
        absent=draw(_seldom(0.0, [0.05])),
        covariates=tuple(zip(names[1:], kinds, strict=False)),
        weights=draw(_seldom(None, ["whole", "zeros", "wide", "of unit"], 3)),
        cluster=draw(_seldom(None, ["coarser", "coarser", "finer", "crossing", "one"])),
        panel=panel,
        unit=names[0],
        estimator=estimator,
        options=draw(options(registry.estimator(estimator).Settings)),
    )


@st.composite
def options(draw: st.DrawFn, model: type[BaseModel]) -> dict[str, Any]:
    """Draw values of some of the settings of an estimator; draws at random are as few as may be."""
    fields = model.model_fields
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True))
    if "draws" in fields:
        chosen = [*chosen, "draws"]
    return {name: draw(_values(name, fields[name])) for name in dict.fromkeys(chosen)}


def _values(name: str, info: FieldInfo) -> st.SearchStrategy[Any]:
    if name == "draws":
        return st.just(_least(info, 99))
    if name == "target":
        return st.sampled_from(["average", "event=0", "event=1"])
    return _of_type(info.annotation, info)


def _of_type(kind: Any, info: FieldInfo) -> st.SearchStrategy[Any]:
    """Return what a type may be, near the least that the setting allows."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return st.sampled_from(parts)
    if origin in (types.UnionType, typing.Union):
        return _of_type(next(part for part in parts if part is not type(None)), info)
    if origin is tuple:
        return st.lists(_of_type(parts[0], info), min_size=1, max_size=2, unique=True).map(tuple)
    if kind is bool:
        return st.booleans()
    if kind is int:
        least = _least(info, None)
        return st.integers(-3, -1) if least is None else st.integers(least, least + 3)
    assert kind is float, f"settings of type {kind} are not drawn yet"
    return st.sampled_from([0.2, 0.5, 0.9, 0.99])


def _least(info: FieldInfo, otherwise: int | None) -> int | None:
    bounds = [b.ge for b in info.metadata if isinstance(b, Ge)]
    bounds += [b.gt + 1 for b in info.metadata if isinstance(b, Gt)]
    return int(bounds[0]) if bounds else otherwise


# What must hold -----------------------------------------------------------------------------------


def found_by_engines(
    registry: Registry, example: Example, file: Path
) -> dict[str, NamedEstimate | SosError]:
    """Run every engine that is here; any other error than a sentence goes through."""
    sample = example.sample(file)
    chosen = registry.settings("estimator", example.estimator, example.options, "the example")
    by_engine: dict[str, NamedEstimate | SosError] = {}
    for engine in registry.engines(example.estimator):
        if engine.missing():
            continue
        try:
            by_engine[engine.name] = run_engine(
                registry, example.estimator, engine.name, sample, chosen, provenance=False
            )
        except SosError as error:
            by_engine[engine.name] = error
    return by_engine


def faults(registry: Registry, example: Example, file: Path) -> list[str]:
    """Return what is wrong with what the engines make of an example, as sentences."""
    try:
        by_engine = found_by_engines(registry, example, file)
    except SosError as error:
        return list(_raw("reading", str(error)))
    told = [fault for name, one in by_engine.items() for fault in _faults_of(name, one)]
    engines = {engine.name: engine for engine in registry.engines(example.estimator)}
    (_, first), *others = by_engine.items()
    for name, other in others:
        if isinstance(other, EngineUnavailableError):
            continue
        if isinstance(first, SosError) or isinstance(other, SosError):
            if isinstance(first, SosError) != isinstance(other, SosError):
                told.append(
                    f"{name}: only one engine gives an estimate: {first!s:.300} / {other!s:.300}"
                )
            continue
        unit = example.scale
        compared = agreement("score", engines[name], _per(unit, first), _per(unit, other))
        if compared.verdict != "agree":
            told.append(f"{name} differs: {compared.reason}")
    return told


def _per(unit: float, named: NamedEstimate) -> NamedEstimate:
    """Return estimates and standard errors in a unit of the value, for tolerances are absolute."""
    tidy = named.estimate.tidy
    both = tidy[["estimate", "std_error"]].astype(float) / unit
    return replace(named, estimate=replace(named.estimate, tidy=tidy.assign(**both)))


def _faults_of(name: str, answer: NamedEstimate | SosError) -> Iterator[str]:
    if isinstance(answer, SosError):
        yield from _raw(name, str(answer))
        return
    estimate = answer.estimate
    for sentence in estimate.warnings:
        yield from _raw(name, sentence)
    numbers = estimate.tidy[[c for c in TIDY_COLUMNS if c not in ("term", "df")]]
    if np.isinf(numbers.to_numpy(float)).any():
        yield f"{name}: an infinite figure: {estimate.tidy.to_dict('records')}"
    if estimate.tidy["term"].duplicated().any():
        yield f"{name}: a term twice: {list(estimate.tidy['term'])}"
    if (estimate.tidy["std_error"] < 0).any():
        yield f"{name}: a standard error below zero"


def _raw(where: str, sentence: str) -> Iterator[str]:
    words = [raw for raw in RAW if raw in sentence]
    if words or not sentence.strip():
        yield f"{where}: not a sentence of ours ({', '.join(words)}): {sentence}"
