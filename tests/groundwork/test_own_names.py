"""No name that a user gives a column changes a result: names in the code are found and tried.

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
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from clean_environment import REPOSITORY
from pydantic import Field
from sos_sources.sql.database import Database, DatabaseSettings
from sos_sources.tables.tidy import Tidy, TidySettings

from sos_plugins import Cases, Engine, Estimate, OutcomeInfo, Records, Sample, Session, Settings
from sos_plugins.cells.build import cells
from sos_plugins.contract.columns import CASE_COLUMNS, RESERVED_COLUMNS, TIDY_COLUMNS
from sos_plugins.contract.settings import NAMES_COLUMNS
from sos_plugins.errors import DataError, SosError
from sos_plugins.groundwork.own_names import HIDDEN
from sos_plugins.host.registry import load_plugins
from sos_plugins.host.settings import validate
from sos_plugins.profile.build import profile_records
from sos_plugins.study.design import read_pilots
from sos_plugins.study.estimate import run_engine
from sos_plugins.study.file import DesignTable, PilotRow
from sos_plugins.study.study import Study
from sos_plugins.tables.read_table import read_sample

# The names ----------------------------------------------------------------------------------------

PACKAGES = {
    "core": REPOSITORY / "sos_plugins",
    "estimators": REPOSITORY / "estimators",
    "outcomes": REPOSITORY / "outcomes" / "sos_outcomes",
    "ratings": REPOSITORY / "ratings" / "sos_ratings",
    "sources": REPOSITORY / "sources",
}
LOOKS_LIKE_A_COLUMN = re.compile(r"[A-Za-z_.][\w.]{0,39}([:=][\w.:=-]{0,20})?")
IN_R = re.compile(r"\$(\.?[A-Za-z_][\w.]*)|\"([^\"\n]{1,40})\"|([A-Za-z.][\w.]*)\s*(?:=|<-)")
MAKE_COLUMNS = ("assign", "DataFrame", "mutate", "aggregate", "agg", "rename", "insert")
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


def made_in_python(file: Path) -> Iterator[str]:
    """Yield what a file makes columns of: what is assigned, or named in a call that makes them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield from texts(node.slice)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in MAKE_COLUMNS:
            yield from (k.arg for k in node.keywords if k.arg)
            for argument in node.args:
                for key in argument.keys if isinstance(argument, ast.Dict) else ():
                    yield from texts(key)


@functools.cache
def made_in_estimators() -> list[str]:
    """Return the names of columns that estimators make, which covariates may have."""
    files = sorted(PACKAGES["estimators"].rglob("*.py"))
    names = {name for file in files for name in made_in_python(file)}
    return sorted(names & set(from_packages("estimators")))


@functools.cache
def names_in_code() -> dict[str, tuple[str, ...]]:
    """Return every name, and the packages whose code has it."""
    packages_of: dict[str, dict[str, None]] = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            if "templates" not in file.parts:
                for name in named_in_python(file):
                    packages_of.setdefault(name, {})[package] = None
        for file in sorted(folder.rglob("*.R")):
            code = re.sub(r"#.*", "", file.read_text(encoding="utf-8"))
            for groups in IN_R.findall(code):
                for name in filter(None, groups):
                    packages_of.setdefault(name, {})["R"] = None
    for function in TAKE_NAMES:
        for name in inspect.signature(function).parameters:
            packages_of.setdefault(name, {})["estimators"] = None
    fit = {
        name: places for name, places in packages_of.items() if LOOKS_LIKE_A_COLUMN.fullmatch(name)
    }
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
    packages_of = names_in_code()
    inside = {"owner", "sub", "stacked", "outcome_pre_mean", "of_treated", "_key", "_owner"}
    assert inside | {"_n", "_weighted", "_backwards", "_day", "_usable", "z:a", "self"} <= set(
        packages_of
    )
    assert "R" in packages_of["values"]
    assert len(packages_of) > 1000


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
    estimate = named.estimate
    return estimate.tidy, estimate.covariance, estimate.warnings


def with_names(text: str, names: Sequence[str]) -> str:
    """Put names in the place of plain ones."""
    return re.sub(r"plain(\d)", lambda match: names[int(match[1])], text)


def same(answer: tuple[Any, ...], expected: tuple[Any, ...], names: Sequence[str]) -> bool:
    """Whether tables are equal to the last digit, and sentences but for the names in them."""
    told = [with_names(text, names) for text in expected[2]]
    covariances = (
        None if table is None else table.to_numpy() for table in (answer[1], expected[1])
    )
    return (
        answer[0].equals(expected[0])
        and list(answer[2]) == told
        and np.array_equal(*covariances, equal_nan=answer[1] is not None)
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


ESTIMATORS = sorted(offer.obj.name for offer in registry().offers("estimator"))
OTHER_ENGINES = [
    pytest.param(name, engine.name, marks=[pytest.mark.r] if engine.language == "R" else [])
    for name in ESTIMATORS
    for engine in registry().engines(name)[1:]
    if all(need.name in ("base", "pyfixest", "differences") for need in engine.requires)
]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_name_of_a_covariate_changes_an_estimate(estimator):
    """Names of columns that estimators make, and a sixth of all that their code and R have."""
    lists = batches(from_packages("estimators", "R"), N_NAMES)
    lists = lists[ESTIMATORS.index(estimator) % 6 :: 6]
    assert_names_change_nothing(estimator, "python", batches(made_in_estimators(), N_NAMES) + lists)


@pytest.mark.long
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_name_at_all_of_a_covariate_changes_an_estimate(estimator):
    assert_names_change_nothing(estimator, "python", batches(from_packages(), N_NAMES))


FEW = 2
"""Lists of names for an engine that is not the first of its estimator."""


@pytest.mark.parametrize(("estimator", "engine"), OTHER_ENGINES)
def test_no_name_of_a_covariate_changes_what_another_engine_gives(estimator, engine):
    made = batches(made_in_estimators(), N_NAMES)
    lists = batches(from_packages("R" if engine == "r" else "estimators"), N_NAMES)
    first = sum(map(ord, estimator + engine))
    chosen = [lists[(first + 3 * n) % len(lists)] for n in range(FEW)]
    assert_names_change_nothing(estimator, engine, chosen + made[first % 3 :: 3])


@pytest.mark.long
@pytest.mark.parametrize(("estimator", "engine"), OTHER_ENGINES)
def test_no_name_at_all_changes_what_another_engine_gives(estimator, engine):
    lists = batches(from_packages("estimators", "R"), N_NAMES)
    assert_names_change_nothing(estimator, engine, lists)


# Reading ------------------------------------------------------------------------------------------

ROLES = ("unit", "period", "cohort", "value", "id", "weights", "cluster")


COLUMNS = ("unit", "period", "cohort", "value", "pupil", "weight", "cluster", PLAIN[0], PLAIN[-1])


def assert_read_alike(folder: Path, lists: list[list[str]]) -> None:
    """Read a table under lists of names, the first in the roles and the last as covariates."""
    path, frame = folder / "t.csv", table().iloc[:12].assign(pupil=range(12))
    rows = frame[list(COLUMNS)].to_csv(index=False, header=False)
    read = []
    for names in [list(COLUMNS), *lists]:
        path.write_text(",".join(names) + "\n" + rows)
        roles = dict(zip(ROLES, names, strict=False))
        sample_frame = read_sample(path, **roles, covariates=names[len(ROLES) :]).sample.frame
        read.append(sample_frame.set_axis(range(sample_frame.shape[1]), axis=1))
        assert read[-1].equals(read[0]), names


def test_no_name_of_a_column_with_a_role_changes_what_is_read(tmp_path):
    """Every name in one of the roles, and the reserved ones in all of them."""
    assert_read_alike(tmp_path, batches(from_packages(), len(COLUMNS)))
    others = [f"c{j}" for j in range(len(COLUMNS))]
    roles = range(len(ROLES))
    swapped = [[*others[:j], r, *others[j + 1 :]] for r in sorted(RESERVED_COLUMNS) for j in roles]
    assert_read_alike(tmp_path, swapped)


@pytest.mark.long
def test_no_name_at_all_changes_what_is_read_in_any_role(tmp_path):
    lists = batches(from_packages(), len(COLUMNS))
    turned = [[*names[j:], *names[:j]] for names in lists for j in range(len(COLUMNS))]
    assert_read_alike(tmp_path, turned)


@pytest.mark.parametrize("name", sorted(RESERVED_COLUMNS))
def test_a_covariate_of_a_reserved_name_is_refused_in_words(tmp_path, name):
    path = tmp_path / "t.csv"
    frame = table().rename(columns={c: f"of_{c}" for c in table().columns if c not in PLAIN})
    frame.rename(columns={PLAIN[0]: name}).to_csv(path, index=False)
    roles = {role: f"of_{role}" for role in ("unit", "period", "cohort", "value")}
    with pytest.raises(DataError, match=rf"t\.csv: .*rename the column '{name}' in the file"):
        read_sample(path, **roles, covariates=[name])


# Studies ------------------------------------------------------------------------------------------

STUDY = """
[study]
name = "names"
title = "Names"
seed = 1
collect = "{collect}"
[[sources]]
plugin = "{source}"
{path}
[design]
pilots = "pilots.csv"
authorities = "areas.csv"
[matching]
units = {{ plugin = "propensity-units", ratio = 2 }}
[matching.cases]
plugin = "inverse-weights"
covariates = ["{covariates}"]
within = ["post", "{within}"]
[[outcomes]]
plugin = "tidy-value"
[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]
[sensitivity]
families = ["no-covariates"]
[rating]
plugin = "wwcsc"
"""
IN_STUDY = [f"plain{j:02d}" for j in range(40)]
HALF = len(IN_STUDY) // 2


@functools.cache
def study_table() -> pd.DataFrame:
    """Cases of 24 authorities in 6 periods, with 20 numbers and 20 texts of two levels."""
    rng = np.random.default_rng(7)
    rows = [(f"{u:03d}", t) for u in range(24) for t in range(2010, 2016) for _ in range(8)]
    frame = pd.DataFrame(rows, columns=["unit", "period"])
    numbers = pd.DataFrame(rng.normal(size=(len(frame), HALF)).round(2), columns=IN_STUDY[:HALF])
    made = rng.choice(["low", "high"], (len(frame), HALF))
    frame = pd.concat([frame, numbers, pd.DataFrame(made, columns=IN_STUDY[HALF:])], axis=1)
    level = frame["unit"].astype(int) / 10
    affected = (frame["unit"] < "006") & (frame["period"] >= 2013)
    frame["value"] = (level + affected + rng.normal(size=len(frame))).round(2)
    return frame


def write_study(folder: Path, names: Sequence[str], source: str, collect: str) -> Path:
    """Write a study whose covariates, characteristics and columns of pilots have these names."""
    folder.mkdir()
    own = dict(zip(IN_STUDY, names, strict=True))
    cases = study_table().rename(columns=own)
    if source == "tidy":
        cases.to_csv(folder / "cases.csv", index=False)
        path = 'path = "cases.csv"'
    else:
        with duckdb.connect(str(folder / "cases.duckdb")) as con:
            con.register("given", cases)
            con.execute("CREATE TABLE cases AS SELECT * FROM given")
        path = 'url = "duckdb://cases.duckdb"\ntables = { cases = "cases" }'
    units = sorted(cases["unit"].unique())
    areas = pd.DataFrame({"unit": units, "size of plain": np.arange(len(units)) % 5})
    further = {n: np.arange(len(units)) % (j + 2) for j, n in enumerate(names)}
    pd.concat([areas, pd.DataFrame(further)], axis=1).to_csv(folder / "areas.csv", index=False)
    pilots = pd.DataFrame({"unit": units[:6], "cohort": 2013})
    marks = {n: f"of {n}" for n in names if n not in (*PilotRow.model_fields, "external_support")}
    pilots = pd.concat([pilots, pd.DataFrame(marks, index=pilots.index)], axis=1)
    pilots.to_csv(folder / "pilots.csv", index=False)
    text = STUDY.format(
        collect=collect,
        source=source,
        path=path,
        covariates='", "'.join(own[f"plain{j:02d}"] for j in (2, 3, 22, 23)),
        within=own["plain24"],
    )
    (folder / "study.toml").write_text(text)
    for pilot in read_pilots(DesignTable(pilots="pilots.csv"), folder):
        assert {n: pilot.attributes[n] for n in marks} == marks
    return folder / "study.toml"


def figures(folder: Path, names: Sequence[str], source: str, how: str) -> dict[str, Any]:
    """Run the study and return what it finds, as tables without the names of covariates."""
    result = Study.from_toml(write_study(folder, names, source, how)).run(workers=1)
    (outcomes,) = result.outcomes
    assert not outcomes.error, outcomes.error
    assert outcomes.balance["covariate"][outcomes.balance["level"] == "units"].is_unique
    of_areas = outcomes.balance["covariate"].str.match("x_(?!size of plain$)")
    kept = ~of_areas | (outcomes.balance["level"] == "cases")
    return {
        "estimates": outcomes.estimates[0].estimate.tidy,
        "groups": outcomes.groups,
        "runs": pd.DataFrame([vars(run) for run in outcomes.runs]),
        "balance": outcomes.balance[kept].select_dtypes("number"),
        "attrition": outcomes.attrition.select_dtypes("number"),
        "sample": outcomes.sample,
        "scores": outcomes.scores,
    }


def assert_same_study(folder: Path, names: Sequence[str], source: str, how: str) -> None:
    """Compare a study with one under plain names."""
    expected = plain_figures(source, how, folder)
    outcomes = figures(folder / "odd", names, source, how)
    for what, frame in expected.items():
        plain = frame.reset_index(drop=True)
        pd.testing.assert_frame_equal(
            outcomes[what].reset_index(drop=True), plain, rtol=SUMMED, atol=SUMMED, obj=str(names)
        )


SUMMED = 1e-12
"""DuckDB adds up on several threads, in whatever order they end."""
STUDIES: dict[tuple[str, str], dict[str, Any]] = {}


def plain_figures(source: str, how: str, folder: Path) -> dict[str, Any]:
    if (source, how) not in STUDIES:
        STUDIES[source, how] = figures(folder / "plain", IN_STUDY, source, how)
    return STUDIES[source, how]


ARGUMENTS = sorted({n for f in TAKE_NAMES for n in inspect.signature(f).parameters if n != "axis"})


def further_columns(*packages: str) -> list[str]:
    """Return names that a further column of cases may have beside the others in a database."""
    return [name for name in from_packages(*packages) if name.lower() not in CASE_COLUMNS]


def internal(names: Sequence[str]) -> list[str]:
    """Return those that look like names that are made inside, by underscores and signs."""
    return [n for n in names if n.startswith("_") or re.search("[:=]|_pre_|^x_", n)]


@pytest.mark.parametrize("how", ["cases", "cells"])
@pytest.mark.parametrize("source", ["tidy", "database"])
def test_no_name_changes_a_study(tmp_path, source, how):
    """The names that look most like internal ones."""
    lists = batches(internal(further_columns()), len(IN_STUDY))
    lists[0][-len(ARGUMENTS) :] = ARGUMENTS
    for number, names in enumerate(lists[::4]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert_same_study(folder, names, source, how)


@pytest.mark.long
@pytest.mark.parametrize("how", ["cases", "cells"])
@pytest.mark.parametrize("source", ["tidy", "database"])
def test_no_name_at_all_changes_a_study(tmp_path, source, how):
    for number, names in enumerate(batches(further_columns(), len(IN_STUDY))):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert_same_study(folder, names, source, how)


# What stands beside ------------------------------------------------------------------------------


def test_no_name_changes_a_profile(session):
    """Every further column of cases is counted as filled or not, whatever it is called."""
    for names in batches(internal(further_columns()), 50):
        filled = {
            name: pa.array([1.0] * j + [None] * (50 - j), pa.float64())
            for j, name in enumerate(names)
        }
        keys = {"unit": ["a"] * 50, "period": [2012] * 50, "value": [1.0] * 50}
        records = Records({"cases": session.table(pa.table({**keys, **filled}), "cases")})
        profile = profile_records(records, (), session).completeness.set_index("column")["n_filled"]
        assert profile[names].tolist() == list(range(50))


@pytest.mark.parametrize("name", ["Value", "PERIOD", "Unit", "Date", "Child"])
@pytest.mark.parametrize("source", ["tidy", "database"])
def test_names_that_a_database_does_not_tell_apart_are_refused_in_words(tmp_path, source, name):
    frame = pd.DataFrame({"la": ["a", "b"], "t": [1, 2], "y": [1.0, 2.0], name: [3.0, 4.0]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    session = Session(base=tmp_path)
    if source == "tidy":
        read = partial(Tidy().read, TidySettings(path="t.csv", unit="la", period="t", value="y"))
    else:
        with duckdb.connect(str(tmp_path / "t.duckdb")) as con:
            con.register("given", frame)
            con.execute("CREATE TABLE cases AS SELECT * FROM given")
        columns = {"cases": {"unit": "la", "period": "t", "value": "y"}}
        settings = {"url": "duckdb://t.duckdb", "tables": {"cases": "cases"}, "columns": columns}
        read = partial(Database().read, validate(DatabaseSettings, settings, where="test"))
    with pytest.raises(DataError, match=f"'{name}' differ in capitals only.*rename the column"):
        read(session)


def test_an_outcome_of_someone_else_has_the_same_rules():
    info = OutcomeInfo("mine", "Mine", "mine", "", binary=False, measure="units")
    table_ = SimpleNamespace(columns=[*CASE_COLUMNS, "Age", "age"])
    with pytest.raises(DataError, match=r"Outcome 'mine': .*'Age' and 'age' differ in capitals"):
        Cases(table_, info, ("Age", "age"))


@pytest.mark.parametrize(
    "name", ["n_cases", "weighted_value", "_weight", "z:a", "value", "missing"]
)
def test_a_key_of_cells_of_the_name_of_a_sum_is_refused_in_words(name):
    frame = pd.DataFrame({"unit": ["a", "b"], "period": [1, 2], "y": [1.0, 2.0], "a": [1.0, 2.0]})
    with pytest.raises(DataError, match=rf"{name}: a column of that name cannot .* Rename"):
        cells(frame.assign(**{name: ["x", "y"]}), value="y", covariates=["a", name])


def test_numbers_whose_names_together_make_one_are_refused_in_words():
    frame = pd.DataFrame({"unit": ["a", "b"], "period": [1, 2], "value": [1.0, 2.0]})
    frame = frame.assign(**{"a:b": [1.0, 2.0], "c": [2.0, 1.0], "a": [0.0, 1.0], "b:c": [1.0, 1.0]})
    with pytest.raises(DataError, match="zz:a:b:c: a column of that name"):
        cells(frame, covariates=["a:b", "c", "a", "b:c"])


# What a user sees ---------------------------------------------------------------------------------


def sentences(fit: Any, given: Sample, options: Any) -> list[str]:
    """Return all texts that a function gives or raises."""
    try:
        estimate = fit(given, options)
    except SosError as error:
        return [str(error)]
    return [*estimate.warnings, *map(str, estimate.glance.values()), *estimate.tidy["term"]]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sentences_have_the_names_of_the_user(estimator):
    """A covariate that is constant, one that is collinear, and one that is missing: by engine."""
    options = registry().settings("estimator", estimator, SETTINGS.get(estimator, {}), "test")
    odd = ["owner", "sub", *PLAIN[2:-1], "owncolumn001_"]
    for engine in registry().engines(estimator):
        if engine.missing():
            continue
        for gone in ({}, {PLAIN[-1]: None}):
            frame = table().assign(**{PLAIN[0]: 1.0, PLAIN[1]: table()["cohort"] / 2, **gone})
            given = Sample(frame, tuple(PLAIN))
            told = sentences(engine.fit, given, options)
            assert told == sentences(inspect.unwrap(engine.fit), given, options)
            renamed = frame.rename(columns=dict(zip(PLAIN, odd, strict=True)))
            said = sentences(engine.fit, Sample(renamed, tuple(odd)), options)
            assert said == [with_names(text, odd) for text in told]


def test_an_engine_of_someone_else_never_sees_a_name_that_it_makes_itself():
    """A function as anyone would write it: it makes a column ``mine`` and a user has one too."""

    class Mine(Settings):
        by: str = Field("", json_schema_extra=NAMES_COLUMNS)
        label: str = "mine"

    def fit(given: Sample, options: Mine) -> Estimate:
        frame = given.frame.assign(mine=0.0)
        assert options.label == "mine"
        mean = frame[options.by].mean()
        row = dict.fromkeys(TIDY_COLUMNS, mean) | {"term": f"mean of {options.by}"}
        return Estimate(pd.DataFrame([row]), {"by": options.by}, warnings=given.covariates)

    engine = Engine("mine", fit)
    estimate = engine.fit(sample(["mine", *PLAIN[1:]]), Mine(by="mine"))
    assert estimate.tidy["estimate"].item() == table()[PLAIN[0]].mean()
    assert estimate.tidy["term"].item() == "mean of mine"
    assert estimate.glance["by"] == "mine"
    assert estimate.warnings[0] == "mine"


def test_no_code_uses_a_name_that_covariates_are_hidden_under():
    assert not [name for name in names_in_code() if HIDDEN.match(name)]


# The cases that were found ------------------------------------------------------------------------

CASES = Path(__file__).parents[1] / "cases"
OF_LM = {"sun-abraham": 2.123716, "imputation": 2.086689}
"""Of ``lm`` in R, by hand, to seven digits."""
PLAINLY = {"two-stage": 2.08669, "extended-twfe": 2.29847, "stacked": 2.02393}
"""Of the same column under another name, to six digits."""


@pytest.mark.parametrize(("estimator", "expected"), (OF_LM | PLAINLY).items())
def test_a_covariate_called_owner(estimator, expected):
    path = CASES / "covariate-named-owner" / "data.csv"
    roles = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
    given = read_sample(path, **roles, covariates=["owner"]).sample
    options = registry().settings("estimator", estimator, {"aggregate": "simple"}, "test")
    for engine in registry().engines(estimator):
        if not engine.missing():
            named = run_engine(registry(), estimator, engine.name, given, options)
            figure = named.estimate.term("overall")["estimate"]
            assert figure == pytest.approx(expected, abs=5e-6), engine.name


@pytest.mark.parametrize(
    "case", ["covariate-named-outcome_pre_mean", "covariate-x_share-and-characteristic-share"]
)
def test_a_covariate_called_like_a_feature_of_authorities(tmp_path, case):
    folder = tmp_path / case
    folder.mkdir()
    for file in (CASES / case).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (outcomes,) = Study.from_toml(folder / "study.toml").run(workers=1).outcomes
    assert not outcomes.error
    name = "outcome_pre_mean" if "mean" in case else "x_share"
    assert any(f"'{name}' is the feature 'covariate {name}'" in text for text in outcomes.warnings)
    before = outcomes.balance.set_index("covariate")["mean_treated"]
    if "mean" in case:
        groups = outcomes.groups.groupby("pilot")["comparator"].agg(set)
        assert groups.to_dict() == {"Ash": {"Cedar", "Fir"}, "Birch": {"Elm", "Yew"}}
        assert before["outcome_pre_mean"] == pytest.approx(12.68)
        assert before["covariate outcome_pre_mean"] == pytest.approx(-0.1525)
    else:
        assert before["x_share"] == pytest.approx((0.0 + 0.1) / 2)
        table_ = pd.read_csv(folder / "data.csv")
        own = table_[table_["area"].isin(["Ash", "Birch"]) & (table_["year"] < 2013)]["x_share"]
        assert before["covariate x_share"] == pytest.approx(own.mean())
