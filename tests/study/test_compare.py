"""What differs between two studies, and what each difference does: against runs of studies."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from study_helpers import STUDY, change, table, write

from sos_plugins.authors.scaffold import PRESETS, scaffold
from sos_plugins.cli import main
from sos_plugins.errors import NotRegisteredError, PluginError, StudyError
from sos_plugins.study.compare import (
    ABSENT,
    compare_studies,
    differences,
    given_in,
    with_difference,
)
from sos_plugins.study.file import StudyFile, parse_study
from sos_plugins.study.study import Study

QUIRKS = {
    "authorised_only",
    "outlier_iqr",
    "last_rereferral",
    "label_by_nfa_date",
    "rc9_unknown",
    "drop_plan_before_rereferral",
    "follow_up_days",
    "short_follow_up",
    "definition",
    "covariates",
    "sets",
    "form",
    "years",
    "vcov",
}
"""Settings that the corrected preset corrects and that can change an estimate."""
SHOWN = 0.005
"""Half of the last digit that the page shows of this value."""


@pytest.fixture
def preset(tmp_path: Path) -> dict[str, StudyFile]:
    files = {name: scaffold("study", name, tmp_path, preset=name)[0] for name in PRESETS}
    return {name: parse_study(file.read_text(), where=name) for name, file in files.items()}


def test_the_presets_are_studies_that_the_plugins_know(tmp_path: Path) -> None:
    for name in PRESETS:
        (file,) = scaffold("study", name, tmp_path, preset=name)
        assert Study.from_toml(file).plan.file.study.name == name


def test_every_quirk_is_a_difference_of_its_own(preset: dict[str, StudyFile]) -> None:
    found = differences(preset["wwcsc-2021"], preset["wwcsc-2021-corrected"])
    assert {one.setting for one in found if one.estimates} == QUIRKS
    first = next(one for one in found if one.setting == "form" and one.estimates)
    assert (first.where, first.before, first.after) == (
        "[[estimators]] did",
        "pilot-post",
        "stacked",
    )
    last = next(one for one in found if one.setting == "last_rereferral")
    assert (last.outcome, last.before, last.after) == ("rereferral", True, ABSENT)
    assert {one.where for one in found if not one.estimates} >= {"[sensitivity]", "[rating]"}


def test_all_differences_together_are_the_other_study(preset: dict[str, StudyFile]) -> None:
    before, after = (given_in(preset[name]) for name in PRESETS)
    data = before
    for one in differences(preset["wwcsc-2021"], preset["wwcsc-2021-corrected"]):
        if one.estimates:
            data = with_difference(data, after, one.path)
    for part in ("design", "matching", "imputation", "outcomes"):
        assert data[part] == after[part]
    assert data["estimators"][0] == after["estimators"][0]


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("study", "seed", 3),
        ("matching", "comparators", "common"),
        ("design", "max_missing", 0.1),
        ("design", "pool", ["901"]),
    ],
)
def test_a_setting_of_no_plugin_is_a_difference_too(table: str, key: str, value: object) -> None:
    file = parse_study(STUDY, where="the study")
    data = given_in(file)
    changed = {**data, table: {**data[table], key: value}}
    (one,) = differences(file, StudyFile(**changed))
    assert (one.where, one.setting, one.after) == (f"[{table}]", key, value)
    assert one.estimates
    assert with_difference(data, changed, one.path) == changed
    assert with_difference(changed, data, one.path) == data


def test_a_wrong_preset_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotRegisteredError, match=r"no preset 'wwcsc-2012'. Did you mean"):
        scaffold("study", "mine", tmp_path, preset="wwcsc-2012")
    with pytest.raises(PluginError, match="A preset is of a study, and 'outcome' is none"):
        scaffold("outcome", "mine", tmp_path, preset="wwcsc-2021")


def with_one_estimator() -> str:
    """The small study without the estimators that are not the main one."""
    start = STUDY.index('[[estimators]]\nplugin = "event-study"')
    return STUDY[:start] + STUDY[STUDY.index("[rating]") :]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small study, one that differs in three settings, and each of these alone."""
    folder = tmp_path_factory.mktemp("two")
    first = write(folder, with_one_estimator(), table(cases=6))
    texts = {
        "form": ('plugin = "did"\nform = "stacked"', 'plugin = "did"\nform = "pilot-post"'),
        "ratio": ("ratio = 2 }", "ratio = 3 }"),
        "covariates": ('expected = "decrease"', 'expected = "decrease"\ncovariates = "none"'),
    }
    paths = {"first": first}
    for name in ("all", *texts):
        paths[name] = folder / f"{name}.toml"
        paths[name].write_text(with_one_estimator() + '\n[multiplicity]\nmethod = "none"\n')
        for old, new in texts.values() if name == "all" else [texts[name]]:
            change(paths[name], old, new)
    return paths


def effect(path: Path) -> tuple[float, float]:
    """The estimate of a study that is run by itself, and its error."""
    outcome = Study.from_toml(path).crosscheck().outcome("tidy-value")
    row = next(e for e in outcome.estimates if e.estimator == "did").estimate.term("ATT")
    return float(row["estimate"]), float(row["std_error"])


def test_each_difference_alone_is_the_study_with_it_alone(two: dict[str, Path]) -> None:
    found = compare_studies(Study.from_toml(two["first"]), Study.from_toml(two["all"]))
    by_setting = {
        change.difference.setting: change.effects["tidy-value"] for change in found.changes
    }
    assert set(by_setting) == {"form", "ratio", "covariates"}
    for setting, told in by_setting.items():
        assert (told.estimate, told.std_error) == effect(two[setting])
    whole = found.after["tidy-value"]
    assert (whole.estimate, whole.std_error) == effect(two["all"])
    assert [one.where for one in found.others] == ["[multiplicity]"]
    rows = pd.DataFrame(found.rows())
    assert rows["estimate_before"].nunique() == 1
    assert rows["change"].tolist() == pytest.approx(
        (rows["estimate_after"] - rows["estimate_before"]).tolist()
    )


def test_the_command_shows_it(two: dict[str, Path], tmp_path: Path) -> None:
    written, stations = tmp_path / "differences.csv", tmp_path / "stations"
    page = tmp_path / "differences.html"
    arguments = ["compare", str(two["first"]), str(two["form"]), "--json", "--out", str(written)]
    arguments += ["--page", str(page)]
    answer = CliRunner().invoke(main, [*arguments, "--stations", str(stations)])
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)["rows"]
    assert [row["setting"] for row in rows] == ["form", ""]
    assert rows[0]["estimate_after"] == rows[1]["estimate_after"] == effect(two["form"])[0]
    table = pd.read_csv(written)
    assert table["estimate_after"].tolist() == [row["estimate_after"] for row in rows]
    tables = pd.read_html(io.StringIO(page.read_text("utf-8")))
    shown = number_of(tables[0].iloc[0, 1])
    assert shown == pytest.approx(rows[0]["estimate_before"], abs=SHOWN)
    assert tables[1].iloc[1, 0] == "form: stacked \N{RIGHTWARDS ARROW} pilot-post"
    assert number_of(tables[1].iloc[1, 1]) == pytest.approx(rows[0]["estimate_after"], abs=SHOWN)


def number_of(cell: object) -> float:
    """The number that a cell of the page begins with; its minus is a minus sign."""
    return float(str(cell).split(" ")[0].replace("\N{MINUS SIGN}", "-"))


def test_cases_are_written_for_their_owner_alone(two: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    arguments = ["export", str(two["first"]), "tidy-value", "--out", str(path)]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 0, answer.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cases = pd.read_csv(path, dtype={"unit": str, "group": str})
    sample = Study.from_toml(two["first"]).prepared("tidy-value").stacked.frame
    assert cases["value"].tolist() == pytest.approx(sample["value"].tolist())
    assert cases["unit"].tolist() == sample["unit"].tolist()
    assert set(cases["imputation"]) == {1}
    wrong = CliRunner().invoke(main, ["export", str(two["first"]), "tidy", "--out", str(path)])
    assert "has no outcome 'tidy'. Outcomes: tidy-value." in wrong.output


def test_other_records_are_no_comparison(two: dict[str, Path], tmp_path: Path) -> None:
    other = Study.from_toml(write(tmp_path / "other"))
    with pytest.raises(StudyError, match="read other records"):
        compare_studies(Study.from_toml(two["first"]), other)


def test_what_cannot_stand_alone_says_so(two: dict[str, Path]) -> None:
    path = two["first"].parent / "support.toml"
    path.write_text(with_one_estimator())
    change(path, 'pilots = "pilots.csv"', 'pilots = "pilots.csv"\nauthority_covariates = ["x"]')
    change(path, "authority_covariates", 'authorities = "a.csv"\nauthority_covariates')
    (path.parent / "a.csv").write_text("unit,x\n901,1\n902,2\n")
    found = compare_studies(Study.from_toml(two["first"]), Study.from_toml(path))
    reasons = {m.difference.setting: m.effects["tidy-value"].reason for m in found.changes}
    assert reasons["authority_covariates"].startswith("Not alone: ")
    assert "none is named: add authorities" in reasons["authority_covariates"]
