"""What the records say of treatment: who is treated there is no comparator."""

import json
import re
from pathlib import Path

import ibis
import pandas as pd
import pytest
from click.testing import CliRunner

from sos_plugins import Session
from sos_plugins.cli import main
from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError, DesignError
from sos_plugins.host.registry import load_plugins
from sos_plugins.report import write_report
from sos_plugins.study.adoption import Adoption, adoption_of
from sos_plugins.study.design import make_design
from sos_plugins.study.file import DesignTable
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study
from sos_plugins.tables.merged_records import merged

EFFECT = 2.0
YEARS = range(2011, 2016)
LEVELS = {"Ash": 8, "Birch": 12, "Cedar": 11, "Elm": 10, "Oak": 9, "Pine": 9.5, "Yew": 13}
ADOPTED = {"Ash": 2013, "Birch": 2013, "Cedar": 2013, "Elm": 2013}
WIGGLE = (0.0, 0.03, -0.02, 0.05, 0.01)

STUDY = """
[study]
name = "case"
title = "Case"
seed = 1
{sources}
[design]
pilots = [{{ unit = "Ash", cohort = 2013 }}, {{ unit = "Birch", cohort = 2013 }}]
{design}
[matching]
units = {{ {units} }}
[[outcomes]]
plugin = "tidy-value"
[[estimators]]
plugin = "did"
form = "stacked"
engines = ["python"]
[sensitivity]
families = ["other-matching"]
units = [{{ plugin = "whole-pool" }}]
[rating]
plugin = "wwcsc"
"""
SOURCE = """
[[sources]]
plugin = "tidy"
path = "{file}"
unit = "area"
period = "year"
value = "score"
covariates = []
"""
COHORT = 'cohort = "adopted"\n'


def rows(cohorts=ADOPTED, areas=tuple(LEVELS)):
    """Levels, a common trend, small wiggles, and an effect of 2 from 2013 on."""
    made = []
    for n, area in enumerate(areas):
        for year in YEARS:
            treated = area in ADOPTED and year >= 2013
            value = LEVELS[area] + 0.2 * (year - 2011) + WIGGLE[(year + n) % 5] + EFFECT * treated
            made.append((area, year, cohorts.get(area, 0), value))
    return pd.DataFrame(made, columns=["area", "year", "adopted", "score"])


def study(
    folder: Path,
    *,
    tables=None,
    design="",
    units='plugin = "whole-pool"',
    cohort=COHORT,
) -> Study:
    tables = {"data.csv": rows()} if tables is None else tables
    for name, table in tables.items():
        table.to_csv(folder / name, index=False)
    said = cohort if isinstance(cohort, dict) else dict.fromkeys(tables, cohort)
    sources = "".join(SOURCE.format(file=name) + said.get(name, "") for name in tables)
    text = STUDY.format(sources=sources, design=design, units=units)
    (folder / "study.toml").write_text(text)
    return Study.from_text(text, base=folder, registry=load_plugins())


def comparators(result: StudyResult) -> set[str]:
    assert result.outcomes[0].error == ""
    return set(result.outcomes[0].groups["comparator"])


def test_who_is_treated_in_the_table_is_no_comparator(tmp_path):
    result = study(tmp_path).run()
    without = study(tmp_path, design='exclude = ["Cedar", "Elm"]', cohort="").run()
    assert comparators(result) == {"Oak", "Pine", "Yew"}
    assert result.outcomes[0].main.estimate == pytest.approx(EFFECT, abs=0.1)
    assert result.outcomes[0].main.estimate == without.outcomes[0].main.estimate
    other = [run for run in result.outcomes[0].runs if run.family == "other-matching"]
    assert [run.estimate for run in other] == [without.outcomes[0].main.estimate]


def test_it_is_counted_and_told_in_result_report_and_json(tmp_path):
    result = study(tmp_path).run()
    told = "2 authorities are treated according to the records"
    assert [w for w in result.warnings if told in w and "Cedar (from 2013), Elm" in w]
    page = write_report(result, tmp_path / "out").read_text()
    assert told in page
    data = json.loads((tmp_path / "out" / "result.json").read_text())
    assert any(told in warning for warning in data["warnings"])


@pytest.mark.parametrize("command", ["run", "crosscheck", "profile"])
def test_commands_tell_it(tmp_path, command):
    study(tmp_path)
    out = ["--out", str(tmp_path / "out")] if command != "crosscheck" else []
    done = CliRunner().invoke(main, [command, str(tmp_path / "study.toml"), *out])
    assert "2 authorities are treated according to the records" in done.stdout
    done = CliRunner().invoke(main, [command, str(tmp_path / "study.toml"), *out, "--json", "-q"])
    data = json.loads(done.stdout)
    told = data["warnings"] if command == "crosscheck" else data["notes"]
    assert any("2 authorities are treated according to the records" in text for text in told)


@pytest.mark.parametrize(
    "units",
    [
        'plugin = "whole-pool"',
        'plugin = "pre-outcomes-units", ratio = 3',
        'plugin = "propensity-units", ratio = 3, features = ["outcome_pre_mean"]',
        'plugin = "given-groups", groups = { Ash = ["Oak", "Cedar", "Yew"], Birch = ["Pine"] }',
    ],
)
def test_no_matcher_sees_them(tmp_path, units):
    # Cedar and Elm are as the pilots are; the others are far away.
    result = study(tmp_path, units=units).run()
    assert not comparators(result) & {"Cedar", "Elm"}
    if "given" in units:
        (step, *_) = result.outcomes[0].matching
        assert (
            "Cedar was left out: it is treated from 2013 according to the records" in step.sentence
        )


def test_a_pool_that_names_one_of_them_is_refused(tmp_path):
    made = study(tmp_path, design='pool = ["Oak", "Pine", "Yew", "Cedar"]')
    with pytest.raises(DesignError, match=r"pool names .* treated: Cedar \(from 2013\)"):
        made.run()


def test_no_one_left_says_why(tmp_path):
    tables = {"data.csv": rows(areas=("Ash", "Birch", "Cedar", "Elm"))}
    with pytest.raises(DesignError, match=r"No authority is left.*Cedar \(from 2013\), Elm"):
        study(tmp_path, tables=tables).run()


def test_a_pilot_whose_cohort_is_another_in_the_table_is_told(tmp_path):
    tables = {"data.csv": rows({**ADOPTED, "Ash": 2014, "Birch": 0})}
    result = study(tmp_path, tables=tables).run()
    told = [w for w in result.warnings if w.startswith("Pilot")]
    assert len(told) == 2
    assert re.search("Ash .* from 2013 .*design.* from 2014 .*records; the design", told[0])
    assert re.search("Birch .* from 2013 .*design.* never .*records; the design", told[1])
    assert result.outcomes[0].main.estimate == pytest.approx(EFFECT, abs=0.1)


@pytest.mark.parametrize("late", [2016, 9999])
def test_who_is_treated_after_the_data_is_not_treated_in_them(tmp_path, late):
    tables = {"data.csv": rows({**ADOPTED, "Oak": late})}
    assert comparators(study(tmp_path, tables=tables).run()) == {"Oak", "Pine", "Yew"}


def test_who_is_treated_after_the_periods_of_the_design_is_not_treated_in_them(tmp_path):
    tables = {"data.csv": rows({**ADOPTED, "Oak": 2015})}
    assert "Oak" not in comparators(study(tmp_path, tables=tables).run())
    assert "Oak" in comparators(study(tmp_path, tables=tables, design="last_period = 2014").run())


@pytest.mark.parametrize("which", ["one.csv", "two.csv"])
def test_the_cohorts_of_one_of_two_sources_count(tmp_path, which):
    one, two = ("Ash", "Oak", "Cedar"), ("Birch", "Pine", "Yew", "Elm")
    tables = {"one.csv": rows(areas=one), "two.csv": rows(areas=two)}
    result = study(tmp_path, tables=tables, cohort={which: COHORT}).run()
    gone = {"one.csv": {"Cedar"}, "two.csv": {"Elm"}}[which]
    assert comparators(result) == {"Cedar", "Elm", "Oak", "Pine", "Yew"} - gone


def records(**tables) -> Records:
    session = Session()
    return Records({name: session.table(frame) for name, frame in tables.items()})


def test_several_tables_that_contradict_each_other_are_told():
    first = pd.DataFrame({"unit": ["a", "b", "c"], "period": 2015, "cohort": [0, 2012, 0]})
    second = pd.DataFrame({"unit": ["a", "b"], "cohort": [2014.0, float("nan")]})
    adoption = adoption_of(records(cases=first, further=second))
    assert dict(adoption.cohorts) == {"a": 2014, "b": 2012, "c": 0}
    assert adoption.warnings == (
        "The records say of a that it is treated never and from 2014; 2014 is taken.",
    )
    assert adoption.treated_by(None) == {"a": 2014, "b": 2012}
    assert adoption.treated_by(2013) == {"b": 2012}


def test_infinite_is_never_and_tables_without_cohorts_say_nothing():
    frame = pd.DataFrame({"unit": ["a", None], "cohort": [float("inf"), 3.0]})
    assert adoption_of(records(cases=frame)) == Adoption({"a": 0})
    assert adoption_of(records(cases=frame.drop(columns="cohort"))) == Adoption()


def test_an_excluded_authority_is_not_counted():
    table = DesignTable(pilots=[{"unit": "a", "cohort": 2}], exclude=["b"])
    adoption = Adoption({"b": 2, "c": 0})
    design, warnings = make_design(table, Path(), ["a", "b", "c"], {}, adoption)
    assert design.pool == ("c",)
    assert not design.adopted
    assert not warnings


def test_tables_of_two_sources_are_stacked_by_name_or_refused():
    one = records(cases=pd.DataFrame({"unit": ["a"], "value": [1], "sex": ["f"]}))
    two = records(cases=pd.DataFrame({"unit": ["b"], "value": [1.5], "age": [3]}))
    backend = ibis.duckdb.connect()
    put = {
        name: Records({"cases": backend.create_table(name, r.tables["cases"].to_pandas())})
        for name, r in (("one", one), ("two", two))
    }
    stacked = merged(put["one"], put["two"]).tables["cases"].to_pandas().sort_values("unit")
    assert stacked["value"].tolist() == [1.0, 1.5]
    assert stacked["sex"].isna().tolist() == [False, True]
    assert stacked["age"].isna().tolist() == [True, False]
    wrong = {"cases": backend.create_table("w", pd.DataFrame({"unit": ["b"], "value": ["x"]}))}
    with pytest.raises(
        DataError, match="column 'value' holds int64 in one and string in the other"
    ):
        merged(put["one"], Records(wrong))
