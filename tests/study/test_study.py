"""A study from its file to its rating, and everything that can be wrong with one."""

import json

import numpy as np
import pandas as pd
import pytest
from study_helpers import EFFECT, OTHERS, PILOTS, SHORT, STUDY, table, write

from sos_plugins.errors import SosError
from sos_plugins.study.result import StudyResult
from sos_plugins.study.study import Study

EFFECT_WITHIN = 0.35
"""Six standard errors of the effect in the small study (0.06): wrong with odds below 1e-8."""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("study"))
    return Study.from_toml(path).run()


def test_the_effect_is_found_and_rated(result):
    outcome = result.outcome("tidy-value")
    assert outcome.error == ""
    assert outcome.main.estimate == pytest.approx(EFFECT, abs=EFFECT_WITHIN)
    assert outcome.rating.direction == "decrease"
    assert outcome.rating.level == "moderate"
    assert outcome.rating.sentence.startswith(
        f"Decreased the score: {-outcome.main.estimate:.3g} units, moderate strength evidence"
    )


def test_every_family_of_runs_is_there(result):
    runs = result.outcome("tidy-value").runs
    families = [r.family for r in runs]
    assert families[0] == "main"
    assert families.count("drop-one-pilot") == len(PILOTS)
    assert families.count("single-pilot") == len(PILOTS)
    some = ("no-external-support", "no-covariates", "staggered", "other-definition", "entire-pool")
    for family in some:
        assert family in families
    applied = [r for r in runs if r.status == "ok"]
    assert len(applied) >= 2 * len(PILOTS) + 4
    for r in applied:
        assert r.estimate == pytest.approx(EFFECT, abs=2 * EFFECT_WITHIN)
    for r in runs:
        assert r.status == "ok" or r.reason


def test_dropping_a_pilot_equals_a_study_without_it(result, tmp_path):
    gone = "903"
    path = write(tmp_path)
    pilots = pd.read_csv(tmp_path / "pilots.csv", dtype=str)
    pilots[pilots["unit"] != gone].to_csv(tmp_path / "pilots.csv", index=False)
    path.write_text(
        STUDY.replace('pilots = "pilots.csv"', f'pilots = "pilots.csv"\nexclude = ["{gone}"]')
    )
    groups = result.outcome("tidy-value").groups
    kept = groups[groups["pilot"] != gone]
    given = {p: list(part["comparator"]) for p, part in kept.groupby("pilot")}
    inline = ", ".join(f'"{p}" = {json.dumps(c)}' for p, c in given.items())
    text = path.read_text().replace(
        'units = { plugin = "pre-outcomes-units", ratio = 2 }',
        f'units = {{ plugin = "given-groups", groups = {{ {inline} }} }}',
    )
    path.write_text(text)
    without = Study.from_toml(path).run().outcome("tidy-value").main
    run = next(r for r in result.outcome("tidy-value").runs if r.label == f"without Pilot {gone}")
    assert without.estimate == pytest.approx(run.estimate, rel=1e-10)
    assert without.std_error == pytest.approx(run.std_error, rel=1e-10)


def test_leads_are_tested_for_all_pilots_and_for_each(result):
    leads = result.outcome("tidy-value").leads
    assert [t.pilot for t in leads] == ["", *sorted(PILOTS)]
    assert all(t.p_value is not None for t in leads[1:])


def test_matched_groups_trends_and_counts_are_kept(result):
    outcome = result.outcome("tidy-value")
    assert set(outcome.groups["pilot"]) == set(PILOTS)
    assert set(outcome.groups["comparator"]) <= set(OTHERS)
    assert outcome.trends.groupby("series")["n_cases"].sum()["pilots"] == 30 * 12 * len(PILOTS)
    assert outcome.quality["n_pilots"] == len(PILOTS)
    assert set(outcome.sample.columns) >= {"group", "role", "unit", "n_pre", "mean_post"}


def test_the_result_survives_json(result):
    text = result.to_json()
    again = StudyResult.from_json(text)
    assert again.to_json() == text
    json.loads(text)


@pytest.mark.parametrize(
    ("smallest", "direction"),
    [("", "cannot tell"), ("smallest_effect = 1", "no effect that matters")],
)
def test_no_effect_is_told_where_it_is_known_what_would_matter(tmp_path, smallest, direction):
    given = f'{smallest}\nsmallest_effect_reason = "x"' if smallest else ""
    text = STUDY.replace('label = "Score"', f'label = "Score"\n{given}')
    path = write(tmp_path, text, cases=table(effect=0.0))
    outcome = Study.from_toml(path).run().outcome("tidy-value")
    assert abs(outcome.main.estimate) < EFFECT_WITHIN
    assert outcome.rating.direction == direction


def test_row_order_changes_nothing(result, tmp_path):
    shuffled = table().sample(frac=1.0, random_state=3)
    outcome = Study.from_toml(write(tmp_path, cases=shuffled)).run().outcome("tidy-value")
    first = result.outcome("tidy-value")
    assert outcome.main.estimate == pytest.approx(first.main.estimate, rel=1e-12)
    assert outcome.rating == first.rating


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('title = "A small study"', "", "the setting 'study.title' is missing"),
        ("[study]", "[stdy]", "unknown setting 'stdy'. Did you mean 'study'"),
        ('plugin = "did"', 'plugin = "dif"', "'dif' is not registered. Did you mean 'did'"),
        ('form = "stacked"\nengines', 'frm = "stacked"\nengines', "unknown setting 'frm'"),
        ('form = "stacked"\ne', 'form = "stackd"\ne', r"\[\[estimators\]\] 1: setting 'form'"),
        ('engines = ["python"]', 'engines = ["pyton"]', "engine 'pyton'. Did you mean 'python'"),
        ('engines = ["python"]', 'engins = ["python"]', "'engins'. Did you mean 'engines'"),
        ('plugin = "tidy"', 'plugin = "tydi"', "Source 'tydi' is not registered"),
        ('plugin = "wwcsc"', 'plugin = "wwcsc"\nusable_high = 3', "setting 'usable_high'"),
        ('plugin = "pre-outcomes-units"', 'plugin = "inverse-weights"', "a matcher of units"),
        ("[rating]", '[sensitivity]\nfamilies = ["drop"]\n[rating]', "no family of runs"),
        ("[study]", "[study", "not valid TOML"),
        ('path = "cases.csv"', 'path = "none.csv"', "none.csv"),
        ('covariates = ["sex"]', 'covariates = ["sx"]', "sx"),
        ('pilots = "pilots.csv"', 'pilots = "none.csv"', "no file of pilots"),
        ('"pilots.csv"', '[{ unit = "1", cohort = 2014 }]', "none of the pilots 1"),
        ('pilots = "pilots.csv"', 'pilots = "pilots.csv"\npool = ["999"]', "authority '999'"),
        ('"pilots.csv"', '"pilots.csv"\nexclude = ["901"]', "901 is a pilot and stands in exclude"),
        ('"pilots.csv"', '"."', "file of pilots"),
        ('engines = ["python"]', "engines = []", "engines"),
        ('seed = 1', 'seed = -1', "setting 'study.seed'"),
    ],
)  # fmt: skip
def test_a_wrong_study_is_a_sentence(tmp_path, old, new, sentence):
    assert old in STUDY
    path = write(tmp_path, STUDY.replace(old, new, 1))
    with pytest.raises(SosError, match=sentence):
        Study.from_toml(path).run()


def test_a_missing_study_says_how_to_start_one(tmp_path):
    with pytest.raises(SosError, match="sos-plugins new study"):
        Study.from_toml(tmp_path / "none.toml")


def outcome_of(tmp_path, cases, text=SHORT):
    return Study.from_toml(write(tmp_path, text, cases)).run().outcome("tidy-value")


def test_an_outcome_without_variation_is_an_error_in_the_result(tmp_path):
    assert "does not vary" in outcome_of(tmp_path, table().assign(value=3.0)).error


def test_one_outcome_in_error_leaves_the_others(tmp_path):
    second = '[[outcomes]]\nplugin = "tidy-value"\nname = "again"\ncovariates = ["none"]\n\n'
    text = SHORT.replace("[[estimators]]", second + "[[estimators]]", 1)
    result = Study.from_toml(write(tmp_path, text)).run()
    assert result.outcome("tidy-value").error == ""
    assert "no covariate 'none'" in result.outcome("again").error
    assert result.outcome("again").rating is None


def test_a_pilot_without_cases_before_is_a_warning(tmp_path):
    cases = table()
    cases = cases[~((cases["unit"] == "903") & (cases["period"] < 2015))]
    outcome = outcome_of(tmp_path, cases)
    assert outcome.error == ""
    assert any("903" in w for w in outcome.warnings)
    assert outcome.quality["n_pilots"] == len(PILOTS) - 1


def test_a_pilot_without_cases_after_is_a_warning(tmp_path):
    cases = table()
    cases = cases[~((cases["unit"] == "903") & (cases["period"] >= 2015))]
    outcome = outcome_of(tmp_path, cases)
    assert any("no case of the pilot after" in w for w in outcome.warnings)
    assert outcome.quality["n_pilots"] == len(PILOTS) - 1


def test_one_pilot_runs_with_a_warning(tmp_path):
    path = write(tmp_path)
    path.write_text(SHORT.replace('"pilots.csv"', '[{ unit = "901", cohort = 2014 }]'))
    outcome = Study.from_toml(path).run().outcome("tidy-value")
    assert any("clusters" in w or "cluster" in w for w in outcome.warnings)
    assert outcome.rating.level == "low"
    drop = next(r for r in outcome.runs if r.family == "drop-one-pilot")
    assert (drop.status, drop.reason) == ("not applicable", "There is only one pilot.")


def test_no_comparator_left_is_a_sentence(tmp_path):
    text = SHORT.replace("ratio = 2", "ratio = 2, caliper = 1e-9")
    assert "No pilot has a comparator" in outcome_of(tmp_path, table(), text).error


def test_a_period_without_controls_is_warned_of(tmp_path):
    cases = table()
    cases = cases[~(cases["unit"].isin(OTHERS) & (cases["period"] == 2018))]
    outcome = outcome_of(tmp_path, cases, STUDY)
    assert outcome.error == ""
    assert any("2018" in w for w in outcome.warnings)


def test_missing_values_are_counted(tmp_path):
    cases = table()
    cases.loc[cases.index[:17], "value"] = np.nan
    outcome = outcome_of(tmp_path, cases)
    steps = outcome.attrition.set_index("step")
    assert steps.loc["value known", "n_dropped"] == 17
    assert outcome.quality["usable_share"] < 1


def test_every_case_is_counted_from_the_table_to_the_analysis(result):
    outcome = result.outcome("tidy-value")
    steps = outcome.attrition
    assert (steps["n_before"] - steps["n_dropped"] == steps["n_after"]).all()
    assert (steps["n_before"].iloc[1:].to_numpy() == steps["n_after"].iloc[:-1]).all()
    assert steps["n_before"].iloc[0] == len(table())
    assert steps["n_after"].iloc[-1] == outcome.quality["n_cases"]
    assert "in a matched group" in set(steps["step"])


def dated(cases):
    entry = pd.to_datetime(cases["period"].astype(str) + "-06-01")
    return cases.assign(date=entry, follow_up_end=entry + pd.Timedelta(days=30))


WINDOWS = STUDY.replace('"pilots.csv"', '"windows.csv"').replace(
    'covariates = ["sex"]', 'covariates = ["sex"]\ndate = "date"\nfollow_up_end = "follow_up_end"'
)


def with_windows(tmp_path, cases):
    write(tmp_path, cases=cases)
    rows = [f"{u},{c}-04-01,{c}-05-15" for u, c in PILOTS.items()]
    (tmp_path / "windows.csv").write_text("\n".join(["unit,start,end", *rows]) + "\n")
    (tmp_path / "study.toml").write_text(WINDOWS)
    return tmp_path / "study.toml"


def test_cases_without_a_date_leave_on_both_sides_and_are_counted(tmp_path):
    cases = dated(table())
    gone = cases.index % 3 == 0
    cases.loc[gone, "date"] = pd.NaT
    outcome = Study.from_toml(with_windows(tmp_path / "a", cases)).run().outcome("tidy-value")
    steps = outcome.attrition.set_index("step")
    assert steps.loc["dated", "n_dropped"] == gone.sum()
    whole = Study.from_toml(with_windows(tmp_path / "b", cases[~gone])).run()
    assert outcome.main.estimate == whole.outcome("tidy-value").main.estimate


def test_a_follow_up_that_ends_before_the_case_enters_is_refused(tmp_path):
    cases = dated(table())
    cases.loc[5, "follow_up_end"] = pd.Timestamp("2001-01-01")
    outcome = Study.from_toml(with_windows(tmp_path, cases)).run().outcome("tidy-value")
    assert "1 cases have a follow_up_end before their date" in outcome.error


@pytest.mark.parametrize("name", ["case", "event", "D", "n_cases"])
def test_a_covariate_with_a_reserved_name_is_refused(tmp_path, name):
    text = STUDY.replace('covariates = ["sex"]', f'covariates = ["{name}"]')
    with_error = Study.from_toml(write(tmp_path, text, table().rename(columns={"sex": name})))
    try:
        error = with_error.run().outcome("tidy-value").error
    except SosError as raised:
        error = str(raised)
    assert f"{name}" in error
    assert "name" in error


def test_a_flag_of_outside_support_must_be_true_or_false(tmp_path):
    path = write(tmp_path)
    pilots = (tmp_path / "pilots.csv").read_text().replace("2014,true", "2014,maybe")
    (tmp_path / "pilots.csv").write_text(pilots)
    with pytest.raises(SosError, match="line 2: column 'external_support' has 'maybe'"):
        Study.from_toml(path).run()


def test_a_pilot_that_began_before_the_data_leaves_the_others(tmp_path):
    path = write(tmp_path)
    pilots = (
        (tmp_path / "pilots.csv").read_text().replace("903,Pilot 903,2015", "903,Pilot 903,1999")
    )
    (tmp_path / "pilots.csv").write_text(pilots)
    outcome = Study.from_toml(path).run().outcome("tidy-value")
    assert outcome.error == ""
    assert any("903" in w and "no case before" in w for w in outcome.warnings)
    assert outcome.quality["n_pilots"] == len(PILOTS) - 1


def test_the_error_of_an_outcome_is_that_of_its_main_estimator(tmp_path):
    cases = table().assign(sex=lambda t: "level " + t.index.astype(str))
    outcome = outcome_of(tmp_path, cases)
    assert "'did' gave an estimate" in outcome.error


def test_with_fewer_than_three_pilots_for_each_lead_the_pool_tests_them_jointly(result):
    overall = result.outcome("tidy-value").leads[0]
    assert overall.status == "ok"
    assert overall.error_from == f"error from {len(OTHERS)} placebo pilots of the pool"
    assert result.outcome("tidy-value").quality["pretest_power"] == overall.power


@pytest.mark.r
def test_python_and_r_agree_and_the_crosscheck_says_so(tmp_path):
    text = STUDY.replace('engines = ["python"]', 'engines = ["python", "r"]')
    result = Study.from_toml(write(tmp_path, text)).crosscheck()
    verdicts = {(a.estimator, a.engine): a.verdict for a in result.outcomes[0].agreements}
    assert verdicts == {(e, "r"): "agree" for e in ("did", "event-study", "callaway-santanna")}
    assert result.outcomes[0].rating is None


QUITTER = """
from pathlib import Path

import numpy as np
from sos_plugins.r import client as r
from sos_plugins import Engine, hookimpl
from sos_plugins.contract.interfaces import R_BASE

SCRIPT = Path(__file__).with_name("quits.R")


def fit(sample, options):
    return r.call(SCRIPT, "leave", {"value": sample.frame["value"].to_numpy(float)})


@hookimpl
def register_engines(register):
    register("did", Engine("r-quits", fit, requires=(R_BASE,)))
"""


@pytest.mark.r
def test_r_that_stops_in_the_middle_costs_one_engine_and_not_the_study(tmp_path):
    (tmp_path / "quitter.py").write_text(QUITTER)
    (tmp_path / "quits.R").write_text("leave <- function(data) quit(save = 'no', status = 3)\n")
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["quitter.py"]\n')
    text = STUDY.replace('engines = ["python"]', 'engines = ["python", "r-quits", "r"]', 1)
    outcome = Study.from_toml(write(tmp_path, text)).run().outcome("tidy-value")
    agreements = {a.engine: a for a in outcome.agreements}
    assert agreements["r-quits"].verdict == "not run"
    assert "R stopped" in agreements["r-quits"].reason
    assert agreements["r"].verdict == "agree"
    assert outcome.rating is not None


def test_without_r_the_study_runs_and_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SOS_NO_R", "1")
    text = STUDY.replace('engines = ["python"]\n', "")
    result = Study.from_toml(write(tmp_path, text)).run()
    assert any("engine r:" in text for text in result.missing_checks)
    assert result.outcome("tidy-value").error == ""
    assert {a.verdict for a in result.outcomes[0].agreements if a.engine == "r"} == {"not run"}


def test_plugins_toml_beside_the_study_is_used(tmp_path):
    (tmp_path / "plugins.toml").write_text("[settings.wwcsc]\npilots_moderate = 6\n")
    assert outcome_of(tmp_path, table()).rating.level == "low"
