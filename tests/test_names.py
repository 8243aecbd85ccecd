"""No name that a user gives a column changes a result: names that the code uses are found and tried.

:func:`names_in_code` walks the source of all packages, Python and R, and collects every text that
could be the name of a column, of an alias in SQL or of a variable in R. Each is then the name of a
column of a user, and what comes out must be equal, to the last digit, to what the same table gives
under plain names, or be an error that names the column and what to do.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY

from sos_plugins import Sample, Session
from sos_plugins import design as designs
from sos_plugins.cells import cells
from sos_plugins.collecting import Collection, collect
from sos_plugins.compression import compress
from sos_plugins.errors import DataError, EstimationError, SosError
from sos_plugins.estimate import run_engine
from sos_plugins.kinds import UnitTask
from sos_plugins.plugins import load_plugins
from sos_plugins.profile import profile_records
from sos_plugins.schema import CASE_COLUMNS, RESERVED_COLUMNS, SAMPLE_COLUMNS
from sos_plugins.study import Study
from sos_plugins.tidy_table import read_sample
from sos_plugins.types import Design, Pilot

# The names ----------------------------------------------------------------------------------------

PACKAGES = {
    "core": REPOSITORY / "sos_plugins",
    "estimators": REPOSITORY / "estimators" / "sos_estimators",
    "outcomes": REPOSITORY / "outcomes" / "sos_outcomes",
    "ratings": REPOSITORY / "ratings" / "sos_ratings",
    "sources": REPOSITORY / "sources" / "sos_sources",
}
LOOKS_LIKE_A_COLUMN = re.compile(r"[A-Za-z_.][\w.]{0,39}([:=][\w.:=-]{0,20})?")
IN_R = re.compile(r"\$(\.?[A-Za-z_][\w.]*)|\"([^\"\n]{1,40})\"|([A-Za-z.][\w.]*)\s*(?:=|<-)")
TAKE_NAMES = (pd.DataFrame.assign, pd.DataFrame.agg, ibis.Table.mutate, ibis.Table.aggregate)
"""Functions that take names of columns as names of arguments, and have arguments of their own."""


def texts(node: ast.AST | None) -> Iterator[str]:
    """Yield the texts in a node; of an f-string one that it could make."""
    for part in ast.walk(node) if node is not None else ():
        if isinstance(part, ast.JoinedStr):
            filled = (v.value if isinstance(v, ast.Constant) else "a" for v in part.values)
            yield "".join(map(str, filled))
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def named_in_python(file: Path) -> Iterator[str]:
    """Yield what stands where names of columns stand: subscripts, keys, listings, arguments."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript):
            yield from texts(node.slice)
        elif isinstance(node, ast.Dict):
            for key in node.keys:
                yield from texts(key)
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            for item in node.elts:
                yield from texts(item)
        elif isinstance(node, ast.Assign):
            yield from texts(node.value if isinstance(node.value, ast.Constant) else None)
        elif isinstance(node, ast.Call):
            yield from (k.arg for k in node.keywords if k.arg)
            for argument in node.args:
                yield from texts(argument)


@functools.cache
def names_in_code() -> dict[str, tuple[str, ...]]:
    """Return every name, and the packages whose code has it."""
    found: dict[str, dict[str, None]] = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            if "templates" not in file.parts:
                for name in named_in_python(file):
                    found.setdefault(name, {})[package] = None
        for file in sorted(folder.rglob("*.R")):
            code = re.sub(r"#.*", "", file.read_text(encoding="utf-8"))
            for groups in IN_R.findall(code):
                for name in filter(None, groups):
                    found.setdefault(name, {})["R"] = None
    for function in TAKE_NAMES:
        for name in inspect.signature(function).parameters:
            found.setdefault(name, {})["estimators"] = None
    fit = {name: places for name, places in found.items() if LOOKS_LIKE_A_COLUMN.fullmatch(name)}
    return {name: tuple(places) for name, places in sorted(fit.items())}


def from_packages(*packages: str) -> list[str]:
    """Return the names that may be covariates, of some packages or of all."""
    return [
        name
        for name, places in names_in_code().items()
        if name not in RESERVED_COLUMNS and (not packages or set(places) & set(packages))
    ]


def batches(names: Sequence[str], size: int) -> list[list[str]]:
    """Cut names into lists of a size; the last one begins again; capitals never meet."""
    lists: list[list[str]] = []
    for name in [*names, *names[:size]]:
        fits = [b for b in lists[-3:] if len(b) < size and name.lower() not in map(str.lower, b)]
        (fits[0] if fits else lists.append([]) or lists[-1]).append(name)
    return [b for b in lists if len(b) == size]


def test_the_walk_finds_names_that_are_made_inside():
    """Of every kind: pandas, keywords, SQL, f-strings, R, features of authorities, cells."""
    found = names_in_code()
    inside = {"owner", "sub", "stacked", "outcome_pre_mean", "of_treated", "_key", "_owner"}
    assert inside | {"_n", "_weighted", "_backwards", "_day", "_usable", "z:a", "self"} <= set(found)
    assert "R" in found["values"]
    assert len(found) > 1000


# One table under odd names and under plain ones ---------------------------------------------------

N_NAMES = 9
PLAIN = [f"plain{j}" for j in range(N_NAMES)]
SETTINGS: dict[str, dict[str, Any]] = {
    "extended-twfe": {"adjustment": "additive"},
    "callaway-santanna": {"method": "reg"},
    "honest-callaway-santanna": {"method": "reg"},
}


@functools.cache
def registry() -> Any:
    return load_plugins()


@functools.cache
def table() -> pd.DataFrame:
    """60 units in 4 periods, adopting in 3, 4 or never, and covariates: numbers, the last text."""
    rng = np.random.default_rng(20261129)
    cohorts = {f"u{i:02d}": (3, 4, 0)[i % 3] for i in range(60)}
    rows = [(unit, period, g) for unit, g in cohorts.items() for period in range(1, 5)]
    frame = pd.DataFrame(rows, columns=["unit", "period", "cohort"])
    frame["treated"] = (frame["cohort"] > 0).astype(int)
    frame["post"] = ((frame["period"] >= frame["cohort"]) & (frame["cohort"] > 0)).astype(int)
    frame[PLAIN[:-1]] = rng.normal(size=(len(frame), N_NAMES - 1)).round(2)
    frame[PLAIN[-1]] = rng.choice(["low", "high"], len(frame))
    effect = 2.0 * frame["post"] + frame[PLAIN[:-1]].sum(axis=1)
    frame["value"] = (effect + rng.normal(size=len(frame))).round(2)
    frame["weight"] = rng.integers(1, 4, len(frame)).astype(float)
    return frame.assign(cluster=frame["unit"])


def sample(names: Sequence[str] = PLAIN) -> Sample:
    """Return the table as a sample whose covariates have these names."""
    renamed = table().rename(columns=dict(zip(PLAIN, names, strict=True)))
    return Sample(renamed, tuple(names))


def outcome(estimator: str, engine: str, names: Sequence[str]) -> tuple[Any, ...]:
    """Return what an engine gives: the tables and the sentences."""
    options = registry().settings("estimator", estimator, SETTINGS.get(estimator, {}), "test")
    try:
        named = run_engine(registry(), estimator, engine, sample(names), options, provenance=False)
    except SosError as error:
        return pd.DataFrame(), None, (str(error),)
    found = named.estimate
    return found.tidy, found.covariance, found.warnings


def same(found: tuple[Any, ...], expected: tuple[Any, ...], names: Sequence[str]) -> bool:
    """Whether tables are equal to the last digit, and sentences but for the names in them."""
    own = dict(zip(PLAIN, names, strict=True))
    sentences = [re.sub(r"plain\d", lambda m: own[m[0]], text) for text in expected[2]]
    covariances = (None if table is None else table.to_numpy() for table in (found[1], expected[1]))
    return (
        found[0].equals(expected[0])
        and list(found[2]) == sentences
        and np.array_equal(*covariances, equal_nan=found[1] is not None)
    )


def assert_names_change_nothing(estimator: str, engine: str, lists: list[list[str]]) -> None:
    expected = outcome(estimator, engine, PLAIN)
    assert len(expected[0]), expected[2]

    def changes(names: list[str]) -> bool:
        return not same(outcome(estimator, engine, names), expected, names)

    wrong = []
    for names in filter(changes, lists):
        alone = {name: [*PLAIN[:j], name, *PLAIN[j + 1 :]] for j, name in enumerate(names)}
        wrong.append([name for name, others in alone.items() if changes(others)] or names)
    assert not wrong, f"{estimator}, engine {engine}: covariates of these names change it: {wrong}"


ESTIMATORS = sorted(offer.obj.name for offer in load_plugins().offers("estimator"))
OTHER_ENGINES = [
    pytest.param(name, engine.name, marks=[pytest.mark.r] if engine.language == "R" else [])
    for name in ESTIMATORS
    for engine in load_plugins().engines(name)[1:]
    if all(need.name in ("base", "pyfixest", "differences") for need in engine.requires)
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_name_of_a_covariate_changes_an_estimate(estimator):
    """Names in the code of estimators, R included; every one meets a quarter of the estimators."""
    lists = batches(from_packages("estimators", "R"), N_NAMES)
    assert_names_change_nothing(estimator, "python", lists[ESTIMATORS.index(estimator) % 4 :: 4])


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_name_at_all_of_a_covariate_changes_an_estimate(estimator):
    assert_names_change_nothing(estimator, "python", batches(from_packages(), N_NAMES))


FEW = 2
"""Lists of names for an engine that is not the first of its estimator."""


@pytest.mark.parametrize(("estimator", "engine"), OTHER_ENGINES)
def test_no_name_of_a_covariate_changes_what_another_engine_gives(estimator, engine):
    lists = batches(from_packages("R" if engine == "r" else "estimators"), N_NAMES)
    first = sum(map(ord, estimator + engine))
    chosen = [lists[(first + 3 * n) % len(lists)] for n in range(FEW)]
    assert_names_change_nothing(estimator, engine, chosen)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "engine"), OTHER_ENGINES)
def test_no_name_at_all_changes_what_another_engine_gives(estimator, engine):
    lists = batches(from_packages("estimators", "R"), N_NAMES)
    assert_names_change_nothing(estimator, engine, lists)
