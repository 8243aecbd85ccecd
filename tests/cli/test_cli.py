"""The command line: answers, exit statuses, and errors that are sentences."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from click.testing import CliRunner
from minimum_wage import MPDTA
from study_helpers import STUDY, table, write

from sos_plugins.cli import main

TIDY = ["--unit", "unit", "--period", "period", "--cohort", "cohort", "--value", "value"]


def call(*words, ok=True):
    result = CliRunner().invoke(main, [str(w) for w in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if ok:
        assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write(tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def tidy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tidy")
    cases = table(cases=10)
    cohorts = {"901": 2014, "902": 2014, "903": 2015, "904": 2015, "905": 2016}
    cases["cohort"] = cases["unit"].map(cohorts).fillna(0).astype(int)
    cases["w"] = 1.0 + (cases.index % 3)
    cases.to_csv(folder / "t.csv", index=False)
    cases.to_parquet(folder / "t.parquet")
    return folder


@pytest.fixture(scope="module")
def ran(study, tmp_path_factory):
    """What a run of the study said, and the folder of its report."""
    out = tmp_path_factory.mktemp("ran") / "out"
    return call("run", study, "--out", out, "--no-stations"), out


def test_run_writes_the_report_and_prints_the_verdicts(ran):
    result, out = ran
    assert "Decreased" in result.stdout
    assert (out / "report.html").is_file()
    assert json.loads((out / "result.json").read_text())["name"] == "small"


def test_run_as_json_is_json_and_quiet(study, tmp_path):
    result = call("run", study, "--out", tmp_path / "out", "--json", "--quiet")
    data = json.loads(result.stdout)
    assert data["outcomes"][0]["strength"] == "moderate"
    assert result.stderr == ""


def test_the_report_is_made_again_from_the_result_alone(ran, tmp_path):
    _, out = ran
    first = (out / "report.html").read_text()
    call("report", out / "result.json", "--out", tmp_path / "again", "-q")
    assert (tmp_path / "again" / "report.html").read_text() == first


def test_a_failed_study_fails_and_still_leaves_its_report(tmp_path):
    path = write(tmp_path, cases=table().assign(value=1.0))
    result = call("run", path, "--out", tmp_path / "out", ok=False)
    assert result.exit_code == 1
    assert "No outcome could be analysed" in result.stderr
    assert "does not vary" in (tmp_path / "out" / "report.html").read_text()


def test_errors_are_sentences_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sos_plugins", "run", str(tmp_path / "none.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no study file at")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["my-own.toml", "studies/first.toml", "my folder/first.toml"])
def test_the_advice_on_a_missing_study_writes_that_study(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    advice = call("run", name, ok=False).stderr.strip().split("Start one with: ")[1]
    assert call(*shlex.split(advice)[1:]).exit_code == 0
    assert (tmp_path / name).is_file()


def test_the_advice_on_a_missing_study_has_a_name_that_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    advice = call("run", "studies/My Study", ok=False).stderr.strip().split("Start one with: ")[1]
    assert call(*shlex.split(advice)[1:]).exit_code == 0
    assert [path.parent.name for path in tmp_path.rglob("*.toml")] == ["studies"]


@pytest.mark.r
def test_crosscheck_agrees_with_status_0(tmp_path):
    path = write(tmp_path, STUDY.replace('engines = ["python"]', 'engines = ["python", "r"]'))
    result = call("crosscheck", path, "--json", "-q")
    checks = json.loads(result.stdout)["checks"]
    assert {c["verdict"] for c in checks} == {"reference", "agree"}
    assert all(c["estimate"] is not None for c in checks)


@pytest.mark.r
def test_crosscheck_says_disagree_with_status_3(tmp_path):
    path = write(tmp_path, STUDY.replace('engines = ["python"]', 'engines = ["python", "r"]'))
    (tmp_path / "plugins.toml").write_text(
        "[tolerances.did.r]\n"
        'std_error = { relative = 0.0, absolute = 0.0, reason = "none, to see a disagreement" }\n'
        'estimate = { relative = 0.0, absolute = 0.0, reason = "none, to see a disagreement" }\n'
    )
    result = call("crosscheck", path, ok=False)
    assert result.exit_code == 3
    assert "disagree" in result.stdout


def test_crosscheck_with_one_engine_compares_nothing_with_status_4(study):
    assert call("crosscheck", study, ok=False).exit_code == 4


TWO_TERMS = """
from typing import ClassVar

import pandas as pd
import sos_plugins
from sos_plugins import Engine, Estimate, Estimator, Settings
from sos_plugins.contract.columns import GLANCE_COLUMNS, TIDY_COLUMNS


class Options(Settings):
    shown: str = "short-run"


def fit(sample, options):
    rows = [{"term": "lead", "estimate": 99.0}, {"term": "short-run", "estimate": 1.5}]
    tidy = pd.DataFrame([*rows, {"term": "long-run", "estimate": 2.5}], columns=[*TIDY_COLUMNS])
    return Estimate(tidy, dict.fromkeys(GLANCE_COLUMNS, 1))


class TwoTerms(Estimator):
    name, label, Settings = "two-terms", "Two terms", Options
    engines = (Engine("python", fit),)

    def headline(self, options):
        return options.shown


@sos_plugins.hookimpl
def register_estimators(register):
    register(TwoTerms())
"""


@pytest.mark.parametrize(("shown", "estimate"), [("short-run", 1.5), ("long-run", 2.5)])
def test_crosscheck_shows_the_headline_that_an_estimator_names(tmp_path, shown, estimate):
    (tmp_path / "two_terms.py").write_text(TWO_TERMS)
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["two_terms.py"]\n')
    more = f'[[estimators]]\nplugin = "two-terms"\nshown = "{shown}"\n'
    result = call("crosscheck", write(tmp_path, f"{STUDY}\n{more}"), "--json", "-q", ok=False)
    rows = {row["estimator"]: row for row in json.loads(result.stdout)["checks"]}
    assert rows["two-terms"]["estimate"] == estimate


@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
def test_estimate_gives_tidy_glance_and_provenance(tidy, file):
    result = call("estimate", "did", "--data", tidy / file, *TIDY, "--engine", "python", "--json")
    data = json.loads(result.stdout)
    assert set(data) >= {"tidy", "glance", "provenance"}
    assert [row["term"] for row in data["tidy"]] == ["ATT"]
    assert data["tidy"][0]["estimate"] == pytest.approx(-2.0, abs=0.5)
    assert data["provenance"]["engine"] == "python"
    assert data["provenance"]["data_hash"]


def test_csv_and_parquet_give_the_same(tidy):
    tidies = [
        json.loads(call("estimate", "did", "--data", tidy / f, *TIDY, "--json").stdout)["tidy"]
        for f in ("t.csv", "t.parquet")
    ]
    assert tidies[0] == tidies[1]


@pytest.mark.r
def test_estimate_by_all_engines_is_a_list_that_agrees(tidy):
    words = ["--engine", "all", "--json", "--covariates", "sex", "--weights", "w"]
    result = call("estimate", "did", "--data", tidy / "t.csv", *TIDY, *words)
    data = json.loads(result.stdout)
    assert [d["provenance"]["engine"] for d in data] == ["python", "pyfixest", "r"]
    first, alone, second = (d["tidy"][0] for d in data)
    assert first["estimate"] == pytest.approx(alone["estimate"], rel=1e-8)
    assert alone["std_error"] is None  # it has no CR2, and says so
    assert data[1]["glance"]["no_std_error"] == "pyfixest has no CR2"
    assert first["estimate"] == pytest.approx(second["estimate"], rel=1e-8)
    assert first["std_error"] == pytest.approx(second["std_error"], rel=1e-8)


def test_an_engine_that_did_not_run_is_named_once(tidy):
    words = ["--engine", "all", "--no-r"]
    shown = call("estimate", "did", "--data", tidy / "t.csv", *TIDY, *words).stdout
    assert "did, engine pyfixest" in shown
    assert shown.count("Not run: Engine 'r' of 'did'") == 1


def test_papers_stand_beside_the_methods_of_inference(tidy):
    chosen = 'inference=["own-effects","sign-flips"]'
    words = ["--engine", "python", "--set", "aggregate=simple", "--set", chosen]
    shown = call("estimate", "callaway-santanna", "--data", tidy / "t.csv", *TIDY, *words).stdout
    assert "own-effects: Ibragimov and Muller (2010)" in shown
    assert "sign-flips: Canay, Romano and Shaikh (2017)" in shown


def test_set_reaches_the_method(tidy):
    base = ["estimate", "callaway-santanna", "--data", tidy / "t.csv", *TIDY, "--json", "-q"]
    event = json.loads(call(*base, "--set", "aggregate=event").stdout)
    terms = [row["term"] for row in event["tidy"]]
    assert "overall" in terms
    assert "event=0" in terms
    cohort = json.loads(call(*base, "--set", "aggregate=cohort").stdout)
    assert "cohort=2014" in [row["term"] for row in cohort["tidy"]]
    both = json.loads(
        call(*base, "--set", "control=notyettreated", "--set", "anticipation=1").stdout
    )
    assert both["provenance"]["options"]["control"] == "notyettreated"
    assert both["provenance"]["options"]["anticipation"] == 1
    assert "ATT(2014,2014)" in [row["term"] for row in both["tidy"]]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "contrl=x"], "unknown setting 'contrl'. Did you mean 'control'"),
        (["--set", "control=x"], "setting 'control'"),
        (["--set", "control"], "expected KEY=VALUE"),
        (["--engine", "pyton"], "has no engine 'pyton'"),
        (["--covariates", "sx"], "sx"),
        (["--weights", "sex"], "sex"),
        (["--cluster", "none"], "none"),
    ],
)
def test_a_wrong_word_is_a_sentence(tidy, words, sentence):
    result = call(
        "estimate", "callaway-santanna", "--data", tidy / "t.csv", *TIDY, *words, ok=False
    )
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_estimator_lists_the_known(tidy):
    result = call("estimate", "olss", "--data", tidy / "t.csv", *TIDY, ok=False)
    assert "Estimator 'olss' is not registered" in result.stderr
    assert "sos-plugins list estimators" in result.stderr


def test_a_missing_table_is_a_sentence(tmp_path):
    result = call("estimate", "did", "--data", tmp_path / "none.csv", *TIDY, ok=False)
    assert result.exit_code == 1
    assert "none.csv" in result.stderr


@pytest.mark.parametrize(
    "kind",
    [
        *("sources", "linkers", "outcomes", "matchers", "estimators", "engines", "poolings"),
        *("rating-rules", "rule-sets"),
    ],
)
def test_every_kind_can_be_listed(kind):
    rows = json.loads(call("list", kind, "--json").stdout)
    assert rows
    assert call("list", kind).stdout.count("\n") >= len(rows)


def test_an_unknown_kind_lists_the_kinds():
    assert (
        "Kinds: engine, estimator, imputer, linker, matcher"
        in call("list", "outcom", ok=False).stderr
    )


def test_icpc_is_listed_and_shown():
    assert "icpc" in [row["name"] for row in json.loads(call("list", "outcomes", "--json").stdout)]
    shown = json.loads(call("show", "icpc", "--json").stdout)[0]
    assert {s["setting"] for s in shown["settings"]} >= {"window_days", "covariates"}
    assert "window_days" in call("show", "icpc").stdout


def test_check_holds_for_a_built_in_and_fails_for_a_broken_plugin(tmp_path):
    assert "checks hold" in call("check", "wwcsc").stdout
    broken = tmp_path / "broken_rule.py"
    broken.write_text(
        "from sos_plugins import Rating, RatingRule, hookimpl\n"
        "class Broken(RatingRule):\n"
        "    '''Gives a level it does not have.'''\n"
        "    name = 'broken-rule'\n    label = 'Broken'\n    levels = ('a', 'b')\n"
        "    def rate(self, evidence, settings):\n"
        "        return Rating(self.name, 'c', 'increase', 'A sentence')\n"
        "@hookimpl\ndef register_rating_rules(register):\n    register(Broken())\n"
    )
    result = call("check", broken, ok=False)
    assert result.exit_code == 1
    assert "failed" in result.stdout


def results_of(*words, ok=True):
    return [row["result"] for row in json.loads(call("check", *words, "--json", ok=ok).stdout)]


def test_check_of_a_source_reads_what_set_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(cases=1)[["unit", "period", "value"]].to_csv(tmp_path / "cases.csv", index=False)
    without, given = results_of("tidy"), results_of("tidy", "--set", "path=cases.csv")
    assert (without.count("passed"), without.count("skipped")) == (5, 10)
    assert (given.count("passed"), given.count("skipped")) == (14, 1)  # no broken file was named
    absent = call("check", "tidy", "--set", "path=none.csv", ok=False)
    assert absent.exit_code == 1
    assert "none.csv" in absent.stdout


LISTED = """
from pathlib import Path

import pandas as pd
import sos_plugins
from pydantic import Field
from sos_plugins import Engine, MatchedGroup, Matcher, Settings, UnitMatch
from sos_plugins.authors.results import balance_table


class Listed(Settings):
    table: Path = Field(description="file of pilot and comparator")


def match(task, settings):
    pairs = pd.read_csv(settings.table).assign(distance=0.0, rank=1)
    groups = [MatchedGroup(p, (c,)) for p, c in zip(pairs["pilot"], pairs["comparator"])]
    side = task.features.index.isin(pairs["pilot"]).astype(int)
    balance = balance_table(task.features, side, weight_after=side + 1.0)
    done = f"As listed in {settings.table}."
    rest = {p.unit: "not listed" for p in task.pilots if p.unit not in set(pairs["pilot"])}
    return UnitMatch(tuple(groups), pairs, pd.DataFrame(), balance, rest, done)


class ListedMatcher(Matcher):
    "Groups of a file."

    name, label, level, Settings = "listed", "Listed", "units", Listed
    engines = (Engine("python", match),)


@sos_plugins.hookimpl
def register_matchers(register):
    register(ListedMatcher())
"""


@pytest.mark.parametrize("path", ["groups.csv", "~/groups.csv"])
def test_check_of_a_matcher_finds_files_from_the_working_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "listed.py").write_text(LISTED)
    (tmp_path / "groups.csv").write_text("pilot,comparator\nP1,Q01\n")
    said = call("check", "listed.py", "--set", f"table={path}", "--json", ok=False).stdout
    failed = [row["check"] for row in json.loads(said) if row["result"] == "failed"]
    assert failed == ["refuses_an_empty_pool"]  # it does not look at the pool
    assert "passed" not in results_of("listed.py")[5:]


@pytest.mark.parametrize(
    ("plugin", "setting"), [("wwcsc", "bayes=1"), ("did", "conf_level=high"), ("tidy", "paht=x")]
)
def test_check_refuses_settings_that_the_plugin_does_not_take(plugin, setting):
    result = call("check", plugin, "--set", setting, "-q", ok=False)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: --set ({plugin})")
    assert setting.split("=")[0] in result.stderr


def test_new_study_runs_as_it_is_written_once_it_has_data(tmp_path):
    call("new", "study", "mine", "--out", tmp_path)
    path = tmp_path / "mine.toml"
    rows = table()
    rows["unit"] = rows["unit"].replace({"901": "301", "902": "302"})
    rows.to_csv(tmp_path / "cases.csv", index=False)
    result = call("run", path, "--out", tmp_path / "out", "--no-r", "-q", "--json")
    assert json.loads(result.stdout)["outcomes"][0]["estimate"] == pytest.approx(-2, abs=0.5)


def test_simulate_writes_records_and_a_study_of_them(tmp_path):
    sizes = ["authorities=12", "pilots=3", "referrals_per_year=60", "first_year=2014"]
    sizes += ["external_pilots=1", "escalation_pretrend_pilots=1"]
    words = [w for s in sizes for w in ("--set", s)]
    result = call("simulate", tmp_path / "sim", *words, "--json", "-q")
    truth = json.loads(result.stdout)
    assert truth["simulated"] is True
    assert (tmp_path / "sim" / "study.toml").is_file()
    assert len(pd.read_csv(tmp_path / "sim" / "pilots.csv")) == 3


def test_simulate_leaves_a_folder_of_other_files_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = call("simulate", tmp_path, ok=False)
    assert result.exit_code == 1
    assert "holds other files" in result.stderr


def test_version_and_help():
    assert "sos-plugins, version" in call("--version").stdout
    commands = call("--help").stdout
    for name in ("demo", "simulate", "run", "crosscheck", "list", "show", "new", "check", "doctor"):
        assert name in commands


def test_a_kind_that_there_is_not_lists_the_kinds():
    result = call("list", "foo", ok=False)
    assert result.exit_code == 1
    kinds = "engine, estimator, imputer, linker, matcher, outcome, pooling, rating-rule, rule-set"
    assert f"'foo' is no kind of plugin. Kinds: {kinds}, source." in result.stderr
    assert "Did you mean 'engine'?" in call("list", "enginse", ok=False).stderr


def test_help_waits_for_no_library_of_data():
    code = (
        "import sys; from sos_plugins.cli import main; print({'pandas', 'ibis'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_an_estimate_waits_for_no_database():
    table = "columns = ['--unit', 'countyreal', '--period', 'year', '--cohort', 'first.treat']; "
    code = (
        f"import sys; from sos_plugins.cli import main; {table}"
        f"main(['estimate', 'did', '--data', {str(MPDTA)!r}, *columns, '--value', 'lemp', '-q'],"
        " standalone_mode=False); "
        "print({'duckdb', 'ibis', 'sklearn', 'matplotlib'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip().endswith("set()")


INTERRUPTED = """
import click, duckdb, sys
from contextlib import nullcontext
from sos_plugins.backends import failures_in_words
from sos_plugins.cli.console import common
@click.command()
@common
def count(terminal):
    print("counting", flush=True)
    with failures_in_words() if sys.argv[1] == "in words" else nullcontext():
        duckdb.sql("select count(*) from range(10000000) a, range(10000000) b").fetchall()
count(args=[])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
@pytest.mark.parametrize("where", ["in words", "bare"])
def test_ctrl_c_in_the_middle_of_a_query_is_one_word(where):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "counting\n"
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "Stopped.\n")
    assert process.returncode == 130
