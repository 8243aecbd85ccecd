"""What a station rests on: whatever changed, the answer is that of a run without stations.

Names of files and folders, every file that a table of the study names, settings, the seed, code and
the versions of packages: each is changed here between two runs, and the second must give what a run
from the start gives, and something else than the first.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
import study_helpers
from pydantic import Field
from sos_sources.npd.source import Npd
from study_helpers import change, facts
from variants import some_now

from sos_plugins.cache.fingerprint import Program, hashed_files, of_records, of_sample, of_settings
from sos_plugins.cache.store import StepCache
from sos_plugins.contract.session import Session
from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import Records, Sample
from sos_plugins.host.registry import load_plugins
from sos_plugins.host.settings import with_paths
from sos_plugins.r import client as r
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study

Change = Callable[[Path], None]


def run(study: Path, kept: Path | None = None) -> StudyResult:
    if kept is None:
        return Study.from_toml(study).run(workers=1)
    return Study.from_toml(study).run(workers=1, stations=StepCache.at(kept))


def told(result: StudyResult) -> str:
    """The figures alone: what was found, without where from."""
    return repr([(o.main, o.runs, o.error) for o in result.outcomes])


def assert_fresh(study: Path, kept: Path, changed: Change) -> None:
    """A change between two runs gives other figures, and those of a run without stations."""
    first = run(study, kept)
    changed(study.parent)
    second, without = run(study, kept), run(study)
    assert facts(second) == facts(without)
    assert told(first) != told(without), "the change changes nothing, so this tells nothing"


# Names of files and folders -----------------------------------------------------------------------

RETURNS = """
[study]
name = "returns"
title = "Returns"

[[sources]]
plugin = "ssda903"
paths = ["returns"]
authority = "folder"

[design]
pilots = "pilots.csv"

[matching]
units = { plugin = "whole-pool" }

[[outcomes]]
plugin = "kinship-care"
covariates = "none"

[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]

[sensitivity]
families = ["drop-one-pilot"]

[rating]
plugin = "wwcsc"
"""
UNITS = ("501", "502", "511", "512", "513")
EPISODE = "CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC\n"
HEADER = "CHILD,SEX,DOB,ETHNIC\n"


@pytest.fixture
def returns(tmp_path: Path) -> Path:
    """A study of returns whose authorities and years stand in names of folders alone."""
    rng = np.random.default_rng(3)
    for unit in UNITS:
        for year in range(2011, 2018):
            folder = tmp_path / "study" / "returns" / unit / f"{year}-{year % 100 + 1}"
            folder.mkdir(parents=True)
            episodes, header = EPISODE, HEADER
            for child in range(20):
                name = f"{unit}{year}{child:02}"
                place = rng.choice(["Q1", "U4"], p=(0.2, 0.8) if unit < "510" else (0.6, 0.4))
                day = f"{rng.integers(1, 28):02}/{rng.integers(4, 12):02}/{year}"
                episodes += f"{name},{day},S,C2,N1,{place},PR1,,\n"
                header += f"{name},{1 + child % 2},15/06/{year - 9},WBRI\n"
            (folder / "episodes.csv").write_text(episodes)
            (folder / "header.csv").write_text(header)
    study = tmp_path / "study" / "study.toml"
    study.write_text(RETURNS)
    pilots = "unit,start,end\n501,2014-04-01,2014-06-30\n502,2014-10-01,2015-03-31\n"
    (study.parent / "pilots.csv").write_text(pilots)
    return study


def swap(a: Path, b: Path) -> None:
    aside = a.with_name("aside")
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def swapped(folder: Path) -> None:
    swap(folder / "returns" / "501", folder / "returns" / "511")


def moved_on(folder: Path) -> None:
    """Other authorities, with their files in the order that they had."""
    (folder / "returns" / "502").rename(folder / "returns" / "503")
    (folder / "returns" / "501").rename(folder / "returns" / "502")


@pytest.mark.parametrize("put_right", [swapped, moved_on])
def test_folders_of_two_authorities_put_right(
    returns: Path, tmp_path: Path, put_right: Change
) -> None:
    assert_fresh(returns, tmp_path / "kept", put_right)


def test_folders_of_years_renamed(returns: Path, tmp_path: Path) -> None:
    def later(folder: Path) -> None:
        for unit in UNITS:
            (folder / "returns" / unit / "2017-18").rename(folder / "returns" / unit / "2018-19")

    assert_fresh(returns, tmp_path / "kept", later)


def test_what_lies_beside_extracts_counts_by_its_name(tmp_path: Path) -> None:
    """A later run must say that it leaves out an archive that came since."""
    source, session = Npd(), Session(base=tmp_path)
    folder = tmp_path / "extracts"
    folder.mkdir()
    (folder / "2012.csv").write_text("a,b\n")
    settings = source.Settings(paths="extracts")

    def key() -> str:
        return hashed_files(source.inputs(settings, session), tmp_path)

    once = key()
    (folder / "2013.zip").write_bytes(b"PK")
    assert key() != once
    (folder / "2013.zip").unlink()
    assert key() == once
    (folder / "2012.csv").rename(folder / "2013.csv")
    assert key() != once
    folder.rename(tmp_path / "other")
    (tmp_path / "other" / "2013.csv").rename(tmp_path / "other" / "2012.csv")
    settings = source.Settings(paths="other")
    assert key() != once


# Files that any table of the study names, settings, the seed --------------------------------------

GROUPS = "pilot,comparator\n" + "".join(
    f"{pilot},{other}\n"
    for pilot in study_helpers.PILOTS
    for other in study_helpers.OTHERS[:5]
)  # fmt: skip
OTHER_GROUPS = GROUPS.replace(",910\n", ",920\n").replace(",911\n", ",921\n")


def small() -> str:
    return study_helpers.of_one_estimator('["other-matching"]')


def with_matchers(*matchers: str) -> str:
    return small().replace("[rating]", f"units = [{', '.join(matchers)}]\n\n[rating]")


def given_groups(file: str) -> str:
    return f'{{ plugin = "given-groups", file = "{file}" }}'


def rewritten(name: str, text: str) -> Change:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def test_a_file_of_a_matcher_of_the_sensitivity_analysis_changed(tmp_path: Path) -> None:
    study = study_helpers.write(tmp_path / "study", with_matchers(given_groups("groups.csv")))
    (study.parent / "groups.csv").write_text(GROUPS)
    assert_fresh(study, tmp_path / "kept", rewritten("groups.csv", OTHER_GROUPS))


def test_two_matchers_of_one_plugin_are_two_stations(tmp_path: Path) -> None:
    text = with_matchers(given_groups("a.csv"), given_groups("b.csv"))
    study = study_helpers.write(tmp_path / "study", text)
    (study.parent / "a.csv").write_text(GROUPS)
    (study.parent / "b.csv").write_text(OTHER_GROUPS)
    result = run(study, tmp_path / "kept")
    first, second = (r for r in result.outcomes[0].runs if r.family == "other-matching")
    assert first.estimate != second.estimate
    assert facts(result) == facts(run(study))


def test_a_file_of_the_main_matcher_changed(tmp_path: Path) -> None:
    text = small().replace(
        '{ plugin = "pre-outcomes-units", ratio = 2 }', given_groups("groups.csv")
    )
    study = study_helpers.write(tmp_path / "study", text)
    (study.parent / "groups.csv").write_text(GROUPS)
    assert_fresh(study, tmp_path / "kept", rewritten("groups.csv", OTHER_GROUPS))


PLUGINS = '''
"""An outcome, a matcher and an engine of a stranger, who reads what the settings name."""
import importlib.metadata
from dataclasses import replace
from pathlib import Path
import helper
from pydantic import BaseModel
from sos_estimators.did import Did
from sos_matchers.listed_groups import WholePool
from sos_outcomes.tidy_value import TidyValue
from sos_plugins import Engine, Matcher, Outcome, Settings, hookimpl

class Table(BaseModel):
    file: Path

class Values(TidyValue.Settings):
    low: float = 0.0
    text: str = ""
    path: Path | None = None
    tables: tuple[Table, ...] = ()
    folder: Path | None = None

class Stranger(TidyValue):
    name = "stranger"
    Settings = Values
    def derive(self, records, settings, session):
        files = [settings.text, settings.path, *(t.file for t in settings.tables)]
        files += sorted(session.path(settings.folder).glob("**/*.txt")) if settings.folder else []
        added = [float(session.path(f).read_text()) for f in files if f]
        cases = super().derive(records, settings, session)
        more = settings.low + sum(added) + helper.ADDED + session.seed % 7
        table = cases.table.mutate(value=cases.table.value * (1 + more))
        return replace(cases, table=session.table(table))

class Listed(Matcher):
    name = "listed"
    label = "Listed"
    level = "units"
    class Settings(Settings):
        lists: tuple[Path, ...] = ()
    def fit(task, settings):
        (one,) = settings.lists
        left = set(one.read_text().split())
        features = task.features.drop(index=[u for u in task.features.index if u in left])
        return WholePool.engines[0].fit(replace(task, features=features), settings)
    engines = (Engine("python", fit),)

def shifted(sample, options):
    found = Did.engines[0].fit(sample, options)
    version = float(importlib.metadata.version("pyfixest")[:3])
    return replace(found, tidy=found.tidy.assign(estimate=found.tidy["estimate"] + version))

@hookimpl
def register_outcomes(register):
    register(Stranger())

@hookimpl
def register_matchers(register):
    register(Listed())

@hookimpl
def register_engines(register):
    register("did", Engine("versioned", shifted, packages=("pyfixest",)))
'''
STRANGE = (
    small()
    .replace('plugin = "tidy-value"', 'plugin = "stranger"\nname = "strange"\nSETTINGS')
    .replace('engines = ["python"]', 'engines = ["versioned"]', 1)
)


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Write a study of a stranger's plugins under some settings of its outcome."""
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "study" / "own")

    def write(settings: str = "", text: str = STRANGE) -> Path:
        study = study_helpers.write(tmp_path / "study", text.replace("SETTINGS", settings))
        own = study.parent / "own"
        own.mkdir()
        (own / "plugin.py").write_text(PLUGINS)
        (own / "helper.py").write_text("ADDED = 0\n")
        (study.parent / "plugins.toml").write_text('[plugins]\npaths = ["own/plugin.py"]\n')
        for name in ("a.txt", "more/b.txt"):
            (study.parent / name).parent.mkdir(exist_ok=True)
            (study.parent / name).write_text("1")
        return study

    return write


@pytest.mark.parametrize(
    ("settings", "changed"),
    some_now(
        [
            ('text = "a.txt"', rewritten("a.txt", "2")),
            ('path = "a.txt"', rewritten("a.txt", "2")),
            ('tables = [{ file = "more/b.txt" }]', rewritten("more/b.txt", "2")),
            ('folder = "more"', rewritten("more/b.txt", "2")),
            ('folder = "more"', lambda folder: shutil.copy(folder / "a.txt", folder / "more")),
            ("low = 1.0", lambda folder: change(folder / "study.toml", "low = 1.0", "low = 2.0")),
            ("", lambda folder: change(folder / "study.toml", "seed = 1", "seed = 2")),
        ],
        0,
        2,
        4,
        5,
    ),
    ids=["text", "path", "in a table", "in a folder", "into a folder", "setting", "seed"],
)
def test_what_an_outcome_of_a_stranger_reads(
    strange: Callable[..., Path], tmp_path: Path, settings: str, changed: Change
) -> None:
    assert_fresh(strange(settings), tmp_path / "kept", changed)


def test_the_code_beside_a_strangers_plugin_changed(
    strange: Callable[..., Path], tmp_path: Path
) -> None:
    def mended(folder: Path) -> None:
        (folder / "own" / "helper.py").write_text("ADDED = 10\n")
        shutil.rmtree(folder / "own" / "__pycache__", ignore_errors=True)
        del sys.modules["helper"]

    assert_fresh(strange(), tmp_path / "kept", mended)


def test_a_list_that_a_strangers_matcher_names_is_found_from_the_study_and_counts(
    strange: Callable[..., Path], tmp_path: Path
) -> None:
    matcher = '{ plugin = "listed", lists = ["left-out.txt"] }'
    text = STRANGE.replace('{ plugin = "pre-outcomes-units", ratio = 2 }', matcher)
    study = strange("", text)
    (study.parent / "left-out.txt").write_text("910")
    assert_fresh(study, tmp_path / "kept", rewritten("left-out.txt", "911 912 913"))


# Versions of packages -----------------------------------------------------------------------------


def test_an_upgraded_package_of_an_engine(
    strange: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.metadata.version
    now = {"pyfixest": "0.5"}
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: now.get(name) or installed(name)
    )

    def upgraded(_: Path) -> None:
        now["pyfixest"] = "0.6"

    assert_fresh(strange(), tmp_path / "kept", upgraded)


@pytest.mark.parametrize("package", ["scipy", "pandas", "duckdb", "pyarrow", "statsmodels"])
def test_a_package_that_the_core_or_a_plugin_rests_on_is_part_of_the_program(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOS_NO_R", "1")
    registry, installed = load_plugins(), importlib.metadata.version
    before = Program.of(registry)
    assert Program.of(registry) == before
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0" if name == package else installed(name)
    )
    assert Program.of(registry).code != before.code


def test_a_package_that_a_strangers_file_imports_is_part_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOS_NO_R", "1")
    (tmp_path / "own.py").write_text(
        "from sos_outcomes.tidy_value import TidyValue\n"
        "from sos_plugins import hookimpl\n"
        "class Own(TidyValue):\n    name = 'own'\n    def f(self):\n        import pytest\n"
        "@hookimpl\ndef register_outcomes(register):\n    register(Own())\n"
    )
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["own.py"]\n')
    registry, installed = load_plugins(tmp_path / "plugins.toml"), importlib.metadata.version
    before = Program.of(registry).code
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0" if name == "pytest" else installed(name)
    )
    assert Program.of(registry).code != before


R_ENGINE = '''
"""An engine whose figure is what an R package says that another one decides."""
from dataclasses import replace
from pathlib import Path
from sos_estimators.did import Did
from sos_plugins.r import client as r
from sos_plugins import Engine, Requirement, hookimpl
from sos_plugins.contract.interfaces import R_BASE

def fit(sample, options):
    found = Did.engines[0].fit(sample, options)
    told = r.call(Path(__file__).with_name("shift.R"), "shift", {})["shift"][0]
    return replace(found, tidy=found.tidy.assign(estimate=found.tidy["estimate"] + told))

OUTER = Requirement("r", "outerpackage", "none")

@hookimpl
def register_engines(register):
    register("did", Engine("r-outer", fit, requires=(R_BASE, OUTER)))
'''


def install_in_r(library: Path, name: str, version: str, imports: str, body: str) -> None:
    """Install a package of one function."""
    source = library.parent / f"{name}-{version}"
    (source / "R").mkdir(parents=True)
    (source / "DESCRIPTION").write_text(
        f"Package: {name}\nVersion: {version}\nTitle: A\nDescription: A.\nLicense: GPL-3\n"
        f"Author: A\nMaintainer: A <a@example.org>\n{imports}"
    )
    (source / "NAMESPACE").write_text("export(value)\n")
    (source / "R" / "value.R").write_text(f"value <- function() {body}\n")
    command = ["R", "CMD", "INSTALL", "--no-docs", "--no-byte-compile", "--no-test-load"]
    command.append(f"--library={library}")
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.r
def test_an_upgraded_r_package_that_another_one_hands_the_work_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    monkeypatch.setenv("R_LIBS", str(library))
    install_in_r(library, "innerpackage", "1.0", "", "1")
    install_in_r(library, "outerpackage", "1.0", "Imports: innerpackage\n", "innerpackage::value()")
    text = small().replace('engines = ["python"]', 'engines = ["r-outer"]', 1)
    study = study_helpers.write(tmp_path / "study", text)
    (study.parent / "own.py").write_text(R_ENGINE)
    shift = "shift <- function(data) list(shift = outerpackage::value())\n"
    (study.parent / "shift.R").write_text(shift)
    (study.parent / "plugins.toml").write_text('[plugins]\npaths = ["own.py"]\n')

    def upgraded(_: Path) -> None:
        install_in_r(library, "innerpackage", "2.0", "", "2")
        r.stop()

    r.stop()
    try:
        assert_fresh(study, tmp_path / "kept", upgraded)
    finally:
        r.stop()


def test_engines_tell_the_packages_that_decide_their_figures() -> None:
    registry = load_plugins()
    named = {
        (host, engine.name): {need.name for need in (*engine.requires, *engine.decides)}
        for host in ("did", "event-study", "callaway-santanna")
        for engine in registry.engines(host)
    }
    assert {"did", "DRDID"} <= named["callaway-santanna", "r-did"]
    assert {"sandwich", "clubSandwich"} <= named["did", "r"] & named["event-study", "r"]


# Every file that a run opens ----------------------------------------------------------------------

_watched: list[tuple[str, set[str]]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], (str, bytes, os.PathLike)):
        root, seen = _watched[-1]
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 (called for every file)
        if path.startswith(root) and os.path.isfile(path):  # noqa: PTH113
            seen.add(path)


sys.addaudithook(_note)


def opened(study: Path) -> list[Path]:
    """The files of a study's folder that a run without stations opens, but for byte code."""
    seen: set[str] = set()
    _watched.append((f"{study.parent}{os.sep}", seen))
    try:
        run(study)
    finally:
        _watched.pop()
    return sorted(Path(path) for path in seen if not path.endswith(".pyc"))


class MadeAnewError(BaseException):
    """A run asks for a station that is not there; no handler of failures takes it in."""


class Finished(StepCache):
    """Stations of a run that is over: the first one that is missing ends the run."""

    def keep(self, label: str, key: str, make: Any, **options: Any) -> Any:
        def refuse() -> None:
            raise MadeAnewError(label)

        return super().keep(label, key, refuse, **options)

    def keep_records(self, label: str, key: str, session: Session, make: Any) -> Records:
        def refuse() -> Records:
            raise MadeAnewError(label)

        return super().keep_records(label, key, session, refuse)


def makes_anew(study: Path, kept: Path) -> bool:
    """Whether a run asks for any station that earlier runs did not leave."""
    try:
        Study.from_toml(study).run(workers=1, stations=Finished.at(kept))
    except MadeAnewError:
        return True
    return False


def test_whatever_file_a_run_opens_decides_its_stations_by_content_and_by_name(
    strange: Callable[..., Path], tmp_path: Path
) -> None:
    text = STRANGE.replace(
        "[rating]", f"units = [{given_groups('sensitivity.csv')}]\n\n[rating]"
    ).replace('pilots = "pilots.csv"', 'pilots = "pilots.csv"\nauthorities = "authorities.csv"')
    study = strange('path = "a.txt"\nfolder = "more"', text)
    (study.parent / "sensitivity.csv").write_text(GROUPS)
    areas = "".join(
        f"{u},{n}\n" for n, u in enumerate((*study_helpers.PILOTS, *study_helpers.OTHERS))
    )
    (study.parent / "authorities.csv").write_text("unit,size\n" + areas)
    kept = tmp_path / "kept"
    run(study, kept)
    assert not makes_anew(study, kept)
    files = opened(study)
    names = {"cases.csv", "pilots.csv", "authorities.csv", "sensitivity.csv", "a.txt", "b.txt"}
    assert names | {"study.toml", "plugins.toml", "plugin.py"} <= {file.name for file in files}
    for file in files:
        content = file.read_bytes()
        if file.name == "study.toml":  # its words decide nothing, its settings do
            change(file, "ratio = 2", "ratio = 3")
        elif file.name == "plugins.toml":
            file.write_bytes(content + b"[settings.did]\nvcov = 'CR0'\n")
        else:
            file.write_bytes(content + b"\n")
        assert makes_anew(study, kept), f"the content of {file.name} decides nothing"
        file.write_bytes(content)
    for file in files:
        if file.name in ("study.toml", "plugins.toml", "plugin.py"):
            continue
        text = study.read_text()
        file.rename(file.with_name(f"other-{file.name}"))
        study.write_text(text.replace(f'"{file.name}"', f'"other-{file.name}"'))
        assert makes_anew(study, kept), f"the name of {file.name} decides nothing"
        file.with_name(f"other-{file.name}").rename(file)
        study.write_text(text)
    assert not makes_anew(study, kept)


# The hashes themselves ----------------------------------------------------------------------------


def records(frame: pd.DataFrame, session: Session, **told: Any) -> str:
    return of_records(Records({"cases": session.table(frame)}, **told), session.backend)


def test_records_are_hashed_as_they_were_read() -> None:
    session = Session()
    frame = pd.DataFrame(
        {"unit": ["1", "2", "2"], "year": [2010, 2011, 2011], "value": [0.5, None, 1.5]}
    )
    once = records(frame, session)
    assert records(frame.iloc[::-1], session) == once
    assert records(frame, Session()) == once
    others = [
        frame.assign(unit=["2", "1", "2"]),
        frame.assign(year=[2011, 2010, 2011]),
        frame.assign(value=[None, 0.5, 1.5]),
        frame.rename(columns={"unit": "area"}),
        frame.astype({"year": "float64"}),
        frame.iloc[:2],
        pd.concat([frame, frame.iloc[:1]]),
        frame.assign(value=frame["year"], year=frame["value"]),
    ]
    hashes = [records(other, session) for other in others]
    hashes += [
        records(frame, session, files=("a",)),
        records(frame, session, unit_names={"1": "A"}),
    ]
    assert len({once, *hashes}) == len(hashes) + 1


def test_a_table_that_lies_elsewhere_is_hashed_too() -> None:
    session, frame = Session(), pd.DataFrame({"unit": ["1", "2"], "value": [0.5, 1.5]})

    def of(table: pd.DataFrame) -> str:
        return of_records(Records({"cases": ibis.memtable(table)}), session.backend)

    assert of(frame) == of(frame.iloc[::-1])
    assert of(frame) != of(frame.assign(value=1.5))


def test_what_does_not_travel_is_like_nothing_else() -> None:
    session, frame = Session(), pd.DataFrame({"unit": ["1"]})
    odd = {"truth": {"made by": object()}}
    assert records(frame, session, **odd) != records(frame, session, **odd)


def test_samples_are_hashed_with_their_columns_and_marks() -> None:
    frame = pd.DataFrame(
        {"unit": ["1", "2"], "period": [1, 2], "cohort": [0, 2], "value": [0.5, 1.0], "weight": 1.0,
         "cluster": ["1", "2"], "treated": [0, 1], "post": [0, 1], "a": [1.0, 2.0], "b": [2.0, 1.0]}
    )  # fmt: skip
    sample = Sample(frame, ("a", "b"))
    others = [
        Sample(frame, ("a",)),
        Sample(frame, ("b", "a")),
        Sample(frame, ("a", "b"), binary=True),
        Sample(frame, ("a", "b"), window_gap=True),
        Sample(frame, ("a", "b"), notes=("told",)),
        Sample(frame.rename(columns={"a": "b", "b": "a"}), ("a", "b")),
        Sample(frame.assign(weight=[1.0, 2.0]), ("a", "b")),
        Sample(frame.iloc[::-1], ("a", "b")),
        Sample(frame.astype({"period": float}), ("a", "b")),
    ]
    assert of_sample(sample) == of_sample(Sample(frame.copy(), ("a", "b")))
    assert len({of_sample(one) for one in (sample, *others)}) == len(others) + 1


class Named(Settings):
    """Paths at every depth."""

    path: Path | None = None
    paths: tuple[Path, ...] = ()
    table: dict[str, Path] = Field(default_factory=dict)
    text: str = ""


def test_paths_of_settings_start_at_the_study(tmp_path: Path) -> None:
    given = Named(path=Path("a"), paths=(Path("b"), tmp_path), table={"x": Path("c")}, text="a")
    placed = with_paths(given, Path("/study"))
    assert placed.path == Path("/study/a")
    assert placed.paths == (Path("/study/b"), tmp_path)
    assert placed.table == {"x": Path("/study/c")}
    assert placed.text == "a"
    assert with_paths(Named(text="a"), Path("/study")) == Named(text="a")


def test_settings_are_hashed_with_the_files_that_they_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_text("1")
    every = [Named(path="a"), Named(paths=("a",)), Named(table={"x": "a"}), Named(text="a")]
    every += [{"anything": ["a"]}, Named(path="f")]
    before = [of_settings(one, tmp_path) for one in every]
    assert len(set(before)) == len(before)
    (tmp_path / "a").write_text("2")
    (tmp_path / "f" / "a").rename(tmp_path / "f" / "b")
    after = [of_settings(one, tmp_path) for one in every]
    assert all(a != b for a, b in zip(before, after, strict=True))
