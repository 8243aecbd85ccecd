"""What changes what was computed stands in the result, and not on standard error alone."""

import json
import warnings
from contextlib import contextmanager

import pandas as pd
import pytest
from click.testing import CliRunner
from study_helpers import SHORT, of_one_estimator, table, write

from sos_plugins import Session
from sos_plugins.cache.store import StepCache
from sos_plugins.cli import main
from sos_plugins.errors import DesignError
from sos_plugins.host.registry import load_plugins
from sos_plugins.report import write_report
from sos_plugins.study.design import make_design
from sos_plugins.study.file import DesignTable
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study
from sos_plugins.study.study_profile import profile_source, profile_study
from sos_plugins.system.library_warnings import record_warnings

PLUGIN = '''
import warnings
import pandas as pd
from sos_plugins import Engine, Matcher, UnitMatch, MatchedGroup, hookimpl
from sos_plugins.contract.interfaces import BALANCE_COLUMNS

def fit(task, settings):
    warnings.warn("the optimiser did not converge", RuntimeWarning)
    groups = tuple(MatchedGroup(p.unit, tuple(task.pool)) for p in task.pilots)
    distances = pd.DataFrame(columns=["pilot", "comparator", "distance", "rank"])
    return UnitMatch(groups, distances, pd.DataFrame(), pd.DataFrame(columns=list(BALANCE_COLUMNS)))

class Everyone(Matcher):
    """Everyone."""
    name = "everyone"
    label = "Everyone"
    level = "units"
    engines = (Engine("python", fit),)

@hookimpl
def register_matchers(register):
    register(Everyone())
'''


@pytest.fixture
def as_at_the_terminal():
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def test_a_warning_of_a_matcher_is_in_the_result(tmp_path, as_at_the_terminal, capfd):
    (tmp_path / "everyone.py").write_text(PLUGIN)
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["everyone.py"]\n')
    matcher = 'units = { plugin = "pre-outcomes-units", ratio = 2 }'
    text = SHORT.replace(matcher, 'units = { plugin = "everyone" }')
    path = write(tmp_path, text, table(cases=2))
    (outcome,) = Study.from_toml(path, plugins=tmp_path / "plugins.toml").run().outcomes
    told = "Engine 'python' of 'everyone' warned (RuntimeWarning): the optimiser did not converge."
    assert told in outcome.warnings
    assert "converge" not in capfd.readouterr().err


def test_a_warning_of_an_engine_is_in_its_estimate(tmp_path, as_at_the_terminal, monkeypatch):

    path = write(tmp_path, SHORT, table(cases=2))
    study = Study.from_toml(path)
    engine = study.plan.registry.engine("did", "python")
    original = engine.fit

    def fit(*given):
        warnings.warn("invalid value in log", RuntimeWarning, stacklevel=1)
        return original(*given)

    object.__setattr__(engine, "fit", fit)
    try:
        (outcome,) = study.run().outcomes
    finally:
        object.__setattr__(engine, "fit", original)
    told = "Engine 'python' of 'did' warned (RuntimeWarning): invalid value in log."
    assert told in outcome.estimates[0].estimate.warnings
    assert told in outcome.warnings


@contextmanager
def warning_first(plugin, method, words):
    """Let a method of a plugin warn before it does what it does."""
    original = getattr(plugin, method)

    def warned(*given):
        warnings.warn(words, UserWarning, stacklevel=1)
        return original(*given)

    setattr(plugin, method, warned)
    try:
        yield
    finally:
        delattr(plugin, method)


def test_a_warning_of_a_source_is_in_the_result_and_the_report(tmp_path, as_at_the_terminal):
    study = Study.from_toml(write(tmp_path, SHORT, table(cases=2)))
    told = "Source 'tidy' warned (UserWarning): a column was guessed."
    with warning_first(study.plan.registry.source("tidy"), "read", "a column was guessed"):
        first = study.run()
        assert told in profile_study(study, outcomes=False).notes
    assert told in first.warnings
    page = write_report(first, tmp_path / "out")
    assert "a column was guessed" in page.read_text("utf-8")
    assert told in json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))["warnings"]


def test_a_warning_of_a_source_is_in_its_profile(tmp_path, as_at_the_terminal):
    write(tmp_path, SHORT, table(cases=2))
    registry = load_plugins(None)
    with warning_first(registry.source("tidy"), "read", "a column was guessed"):
        profile = profile_source(registry, "tidy", {"path": "cases.csv"}, Session(base=tmp_path))
    assert "Source 'tidy' warned (UserWarning): a column was guessed." in profile.notes


def test_a_warning_of_an_outcome_is_in_its_result(tmp_path, as_at_the_terminal):
    study = Study.from_toml(write(tmp_path, SHORT, table(cases=2)))
    outcome = study.plan.registry.outcome("tidy-value")
    kept = StepCache.at(tmp_path / "stations")
    with warning_first(outcome, "derive", "ages were guessed"):
        (outcomes,) = study.run(stations=kept).outcomes
        (again,) = study.run(stations=kept).outcomes
    told = f"Outcome '{outcomes.info.name}' warned (UserWarning): ages were guessed."
    assert told in outcomes.warnings
    assert f"cases of {outcomes.info.name}" in kept.reused
    assert told in again.warnings


def test_a_warning_of_another_matching_stands_with_its_run_alone(tmp_path, as_at_the_terminal):
    (tmp_path / "everyone.py").write_text(PLUGIN)
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["everyone.py"]\n')
    matcher = '[sensitivity]\nunits = [{ plugin = "everyone" }]\n'
    families = of_one_estimator('["drop-one-pilot", "other-matching"]')
    text = families.replace("[sensitivity]\n", matcher)
    path = write(tmp_path, text, table(cases=2))
    result = Study.from_toml(path, plugins=tmp_path / "plugins.toml").run()
    (outcome,) = result.outcomes
    told = "Engine 'python' of 'everyone' warned (RuntimeWarning): the optimiser did not converge."
    assert told not in outcome.warnings
    assert [run.family for run in outcome.runs if told in run.warnings] == ["other-matching"]
    assert all(set(run.warnings).isdisjoint(outcome.warnings) for run in outcome.runs)
    page = write_report(result, tmp_path / "out").read_text("utf-8")
    assert "Comparators by everyone: Engine" in page
    assert StudyResult.read(tmp_path / "out").outcomes[0].runs == outcome.runs
    rows = pd.read_csv(next((tmp_path / "out" / "tables").glob("*_runs.csv")))
    assert list(rows.loc[rows["warnings"].notna(), "family"]) == ["other-matching"]


def test_errors_stay_errors_and_what_is_for_authors_is_passed_on():
    with pytest.raises(RuntimeWarning), record_warnings("x"):
        warnings.warn("an error here", RuntimeWarning, stacklevel=1)
    with warnings.catch_warnings(record=True) as passed_on:
        warnings.simplefilter("always")
        with record_warnings("x") as told:
            warnings.warn("will change", FutureWarning, stacklevel=1)
            warnings.warn("twice", UserWarning, stacklevel=1)
            warnings.warn("twice", UserWarning, stacklevel=1)
    assert [w.category for w in passed_on] == [FutureWarning]
    assert told == ["x warned (UserWarning): twice."]


def test_a_covariate_that_does_not_vary_is_told(tmp_path):
    path = write(tmp_path, SHORT, table(cases=2).assign(sex="female"))
    (outcome,) = Study.from_toml(path).run().outcomes
    told = "Covariates that are the same in all cases are not adjusted for: sex."
    assert told in outcome.warnings


def test_engines_that_did_not_run_stand_beside_those_that_did(tmp_path):
    cases = table(cases=2)
    cohorts = {"901": 2014, "902": 2014}
    cases = cases[cases["unit"].isin([*cohorts, "910", "911", "912"])]
    cases.assign(cohort=cases["unit"].map(cohorts).fillna(0)).to_csv(tmp_path / "t.csv")
    columns = [w for c in ("unit", "period", "cohort", "value") for w in (f"--{c}", c)]
    words = ["estimate", "did", "--data", str(tmp_path / "t.csv"), *columns, "--engine", "all"]
    done = CliRunner().invoke(main, [*words, "--no-r", "--json", "-q"])
    for estimate in json.loads(done.stdout):
        assert any(
            w.startswith("Not run: ") and "R is switched off" in w for w in estimate["warnings"]
        )


# Units that are perhaps one -----------------------------------------------------------------


def test_units_that_differ_in_capitals_or_blanks_are_told_in_result_and_report(tmp_path):
    cases = table(cases=2)
    late = (cases["unit"] == "910") & (cases["period"] > 2012)
    cases["unit"] = cases["unit"].map({"910": "Kent", "911": "West  Ham"}).fillna(cases["unit"])
    cases.loc[late, "unit"] = "KENT"
    path = write(tmp_path, SHORT, cases)
    result = Study.from_toml(path).run()
    (told,) = [text for text in result.warnings if "capitals" in text]
    assert "taken for different ones: 'KENT' and 'Kent'. Where" in told
    page = write_report(result, tmp_path / "out").read_text("utf-8")
    assert "differ in capitals or blanks only" in page
    assert told in json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))["warnings"]
    values = {"path": "cases.csv"}
    profile = profile_source(load_plugins(None), "tidy", values, Session(base=tmp_path))
    assert told in profile.notes


def test_units_that_differ_in_capitals_are_told_with_an_estimate(tmp_path):
    cases = table(cases=2)
    cohorts = {"901": 2014, "902": 2014}
    cases = cases[cases["unit"].isin([*cohorts, *map(str, range(910, 922))])]
    names = {str(n): name * 2 for n, name in zip(range(910, 922), "aAbBcCdDeEfF", strict=True)}
    cases = cases.assign(cohort=cases["unit"].map(cohorts).fillna(0))
    cases["unit"] = cases["unit"].map(names).fillna(cases["unit"])
    cases.to_csv(tmp_path / "t.csv")
    columns = [w for c in ("unit", "period", "cohort", "value") for w in (f"--{c}", c)]
    words = ["estimate", "did", "--data", str(tmp_path / "t.csv"), *columns]
    done = CliRunner().invoke(main, [*words, "--no-r", "--json", "-q"])
    (told,) = [text for text in json.loads(done.stdout)["warnings"] if "capitals" in text]
    assert "'AA' and 'aa'" in told
    assert "'EE' and 'ee', and 1 more pair." in told


@pytest.mark.parametrize("unit", ["northam", "Northam ", " NORTHAM"])
def test_a_pilot_that_differs_from_the_records_in_capitals_or_blanks_is_told(tmp_path, unit):
    pilots = [{"unit": unit, "cohort": 2015}, {"unit": "1", "cohort": 2015}]
    design, warnings = make_design(DesignTable(pilots=pilots), tmp_path, ["1", "2", "Northam"], {})
    assert [pilot.unit for pilot in design.pilots] == ["1"]
    assert "The records have 'Northam': the codes differ in capitals or blanks." in warnings[0]
    assert [text for text in warnings if "taken for different ones" in text]
    with pytest.raises(
        DesignError, match="The records have 'Northam': the codes differ in capitals"
    ):
        make_design(DesignTable(pilots=pilots[:1]), tmp_path, ["1", "2", "Northam"], {})
