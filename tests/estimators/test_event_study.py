"""The event study: stored results of fixest, dense recomputation, R, and samples that go wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from did_samples import matched, results, stored, with_columns
from scipy import stats
from sos_estimators import event_study
from sos_estimators.event_study import EventStudy, EventStudySettings, fit_python, fit_r
from sos_estimators.inference.results import FTest, JointTest, wald
from sos_estimators.regression import engine_r as r_engine
from sos_estimators.sample.prepare import prepare

from sos_plugins import Estimate, Sample
from sos_plugins.contract.columns import GLANCE_COLUMNS, TIDY_COLUMNS
from sos_plugins.contract.types import LeadTest
from sos_plugins.errors import EstimationError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.study.leads import joint_test

STORED_ESTIMATE = 1e-11  # both are double precision; stored with 15 digits
STORED_ERROR = 1e-8  # relative; fixest demeans iteratively, to about 1e-9 here
ENGINES = 1e-9  # relative; the same least squares, summed in another order
DENSE = 1e-8  # relative; normal equations with a pseudo-inverse lose some digits

Fit = Callable[[Sample, EventStudySettings], Estimate]
ENGINE = [fit_python, pytest.param(fit_r, marks=pytest.mark.r)]


@pytest.mark.parametrize("fit", ENGINE)
@pytest.mark.parametrize("data", ["cases_cont_shared", "cases_bin_shared"])
def test_leads_and_lags_are_those_of_fixest(from_r: Path, data: str, fit: Fit) -> None:
    rows = results(from_r, data, "event_study")
    estimate = fit(stored(from_r, data), EventStudySettings(vcov="fixest"))
    assert len(rows) == 11
    for row in rows.to_dict("records"):
        term = estimate.term(row["term"].replace("rel::", "event="))
        assert term["estimate"] == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
        assert term["std_error"] == pytest.approx(row["std_error"], rel=STORED_ERROR)


def recomputed(
    frame: pd.DataFrame, events: list[int], effects: list[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the event times and their CR1 covariance, all dummies written out."""
    event = np.where(frame["treated"] == 1, frame["period"] - frame["cohort"], -99)
    further = [frame["age"], pd.get_dummies(frame["ethnicity"]).iloc[:, 1:], frame["disabled"]]
    columns = [np.asarray(c, float) for c in [*((event == e) for e in events), *further, *effects]]
    x = np.column_stack(columns)
    w, y = frame["weight"].to_numpy(), frame["value"].to_numpy()
    bread = np.linalg.pinv(x.T @ (x * w[:, None]), hermitian=True)
    beta = bread @ (x.T @ (w * y))
    scores = pd.DataFrame(x * (w * (y - x @ beta))[:, None]).groupby(frame["cluster"]).sum()
    influence = (scores.to_numpy() @ bread)[:, : len(events)]
    g = len(scores)
    return beta[: len(events)], influence.T @ influence * g / (g - 1)


@pytest.mark.parametrize("form", ["twfe", "stacked"])
def test_absorbing_gives_what_all_dummies_give(form: str) -> None:
    sample = matched()
    f = sample.frame
    unit, period = f["unit"], f["period"].astype(str)
    pair = (unit, period) if form == "twfe" else (f["group"] + unit, f["group"] + period)
    seen = f[f["treated"] == 1]
    events = sorted(set(seen["period"] - seen["cohort"]) - {-1})
    beta, variance = recomputed(f, events, [pd.get_dummies(p) for p in pair])
    fit = fit_python(sample, EventStudySettings(form=form, vcov="CR1"))
    for i, event in enumerate(events):
        row = fit.term(f"event={event}")
        assert row["estimate"] == pytest.approx(beta[i], rel=DENSE)
        assert row["std_error"] == pytest.approx(np.sqrt(variance[i, i]), rel=DENSE)
    lags = np.array([e >= 0 for e in events]) / sum(e >= 0 for e in events)
    overall = fit.term("overall")
    assert overall["estimate"] == pytest.approx(lags @ beta, rel=DENSE)
    assert overall["std_error"] == pytest.approx(np.sqrt(lags @ variance @ lags), rel=DENSE)


OPTIONS = [
    {},
    {"form": "stacked", "vcov": "CR1S"},
    {"reference": -2, "vcov": "fixest"},
    {"min_event": -3, "max_event": 2, "vcov": "CR0"},
    {"lags_only": True},
    {"min_lead_clusters": 1, "form": "stacked"},
    {"vcov": "CR1", "leads_df": "treated-clusters"},
    {"vcov": "CR2-cases"},
    {"vcov": "CR3", "leads_df": "clusters"},
]


@pytest.mark.r
@pytest.mark.parametrize("options", OPTIONS)
def test_both_engines_agree(options: dict[str, Any]) -> None:
    sample = many_pilots()
    one, two = (fit(sample, EventStudySettings(**options)) for fit in (fit_python, fit_r))
    pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=ENGINES, atol=ENGINES)
    assert one.warnings == two.warnings
    assert set(one.glance) == set(two.glance)
    for key, value in one.glance.items():
        if isinstance(value, float):
            assert two.glance[key] == pytest.approx(value, rel=1e-7)
        else:
            assert two.glance[key] == value


def many_pilots(n: int = 4000, *, seed: int = 3, trend: float = 0.0, drop: float = 0.0) -> Sample:
    """Make eight pilots with three cohorts and twelve comparators, groups of five.

    ``trend`` is a steady difference in slope of the pilots, ``drop`` their effect after adoption.
    """
    rng = np.random.default_rng(seed)
    number = rng.integers(0, 20, n)
    group = number % 4
    start = np.array([2013, 2014, 2014, 2015])[group]
    treated = (number < 8).astype(int)
    period = rng.integers(2009, 2018, n)
    post = (period >= start).astype(int)
    shock = rng.normal(size=(20, 9)) / 10
    value = number / 10 + shock[number, period - 2009] + rng.normal(size=n)
    value += treated * (trend * (period - 2009) - drop * post)
    frame = pd.DataFrame(
        {
            "unit": [f"U{u:02}" for u in number],
            "group": [f"G{g}" for g in group],
            "period": period,
            "cohort": np.where(treated == 1, start, 0),
            "value": value,
            "weight": rng.uniform(0.5, 1.5, n),
            "treated": treated,
            "post": post,
            "sex": rng.choice(["female", "male"], n),
        }
    )
    return Sample(frame.assign(cluster=frame["unit"]), ("sex",))


def test_rows_are_in_order_and_the_reference_is_zero() -> None:
    fit = fit_python(many_pilots(), EventStudySettings())
    assert list(fit.tidy.columns) == list(TIDY_COLUMNS)
    assert list(fit.tidy["term"]) == [*(f"event={e}" for e in range(-6, 5)), "overall"]
    reference = fit.term("event=-1")
    assert reference["estimate"] == 0
    assert fit.tidy.set_index("term").loc["event=-1"].drop("estimate").isna().all()
    assert set(GLANCE_COLUMNS) <= set(fit.glance)


def test_another_reference_shifts_every_effect() -> None:
    sample = many_pilots()
    first = fit_python(sample, EventStudySettings()).tidy.set_index("term")["estimate"]
    other = fit_python(sample, EventStudySettings(reference=-3)).tidy.set_index("term")["estimate"]
    assert other["event=-3"] == 0
    moved = first.drop("overall") - first["event=-3"]
    assert other.drop("overall").to_dict() == pytest.approx(moved.to_dict())


def test_binned_ends_stand_for_all_beyond_them() -> None:
    sample = many_pilots()
    fit = fit_python(sample, EventStudySettings(min_event=-3, max_event=1))
    assert list(fit.tidy["term"]) == [*(f"event={e}" for e in range(-3, 2)), "overall"]
    cohort = sample.frame["cohort"]
    event = (sample.frame["period"] - cohort).clip(-3, 1)
    moved = sample.frame.assign(cohort=np.where(cohort > 0, 2013, 0))
    moved["period"] = np.where(cohort > 0, 2013 + event, moved["period"])
    by_hand = moved.assign(time=sample.frame["period"])
    x = [(cohort > 0) & (event == e) for e in (-3, -2, 0, 1)]
    dummies = [pd.get_dummies(by_hand[c]).to_numpy() for c in ("unit", "time", "sex")]
    design = np.column_stack([*x, *dummies]).astype(float)
    root = np.sqrt(by_hand["weight"].to_numpy())
    beta = np.linalg.lstsq(design * root[:, None], by_hand["value"] * root, rcond=None)[0][:4]
    terms = [f"event={e}" for e in (-3, -2, 0, 1)]
    assert [fit.term(t)["estimate"] for t in terms] == pytest.approx(beta.tolist())


def test_lags_only_compares_with_all_of_the_time_before() -> None:
    fit = fit_python(many_pilots(), EventStudySettings(lags_only=True))
    assert list(fit.tidy["term"]) == [*(f"event={e}" for e in range(5)), "overall"]
    assert fit.glance["leads_statistic"] is None
    assert fit.glance["leads_df_num"] is None


def test_the_joint_test_of_the_leads_is_wald_over_q() -> None:
    sample = many_pilots(trend=0.1)
    options = EventStudySettings(min_lead_clusters=1, vcov="CR1", leads_df="clusters")
    glance = fit_python(sample, options).glance
    seen = sample.frame[sample.frame["treated"] == 1]
    events = sorted(set(seen["period"] - seen["cohort"]) - {-1})
    f = sample.frame.assign(age=0, ethnicity=sample.frame["sex"], disabled=0)
    effects = [pd.get_dummies(f["unit"]), pd.get_dummies(f["period"])]
    beta, variance = recomputed(f, events, effects)
    q = sum(e < 0 for e in events)
    statistic = beta[:q] @ np.linalg.inv(variance[:q, :q]) @ beta[:q] / q
    assert glance["leads_tested"] == events[:q]
    assert glance["leads_df_num"] == q == 5
    assert glance["leads_df_den"] == 19
    assert glance["leads_statistic"] == pytest.approx(statistic, rel=1e-6)
    assert glance["leads_p_value"] == pytest.approx(stats.f.sf(statistic, q, 19), rel=1e-6)


def test_the_leads_tell_parallel_trends_from_others() -> None:
    even = fit_python(many_pilots(20_000, drop=1.0), EventStudySettings())
    uneven = fit_python(many_pilots(20_000, trend=0.3), EventStudySettings())
    assert even.glance["leads_p_value"] > 0.05
    assert uneven.glance["leads_p_value"] < 0.001
    estimate, error = even.term("overall")["estimate"], even.term("overall")["std_error"]
    assert abs(estimate + 1.0) < 4 * error < 0.5


def test_leads_of_few_clusters_are_not_tested() -> None:
    fit = fit_python(many_pilots(), EventStudySettings())
    assert fit.glance["leads_tested"] == [-5, -4, -3, -2]
    assert fit.glance["leads_df_num"] == 4
    (said,) = (w for w in fit.warnings if "event times" in w)
    assert said.startswith("Fewer than 5 treated clusters have the event times -6, 4:")


def test_more_leads_than_clusters_give_no_test() -> None:
    sample = matched()
    fit = fit_python(sample, EventStudySettings(form="stacked"))
    assert fit.glance["leads_df_num"] == 2
    pair = sample.where(sample.frame["group"] == "P2")
    single = fit_python(pair, EventStudySettings())
    assert single.glance["leads_p_value"] is None
    assert single.glance["leads_df_num"] == 3
    assert "No joint test of the leads: 3 leads are too many for 3 clusters." in single.warnings
    assert any("Only one cluster is treated (P2)" in w for w in single.warnings)


@pytest.mark.parametrize("fit", ENGINE)
def test_one_pilot_and_one_comparator_give_no_standard_error(fit: Fit) -> None:
    sample = matched()
    pair = sample.where((sample.frame["group"] == "P2") & (sample.frame["unit"] != "C2"))
    estimate = fit(replace(pair, covariates=()), EventStudySettings())
    assert estimate.tidy["std_error"].isna().all()
    assert estimate.glance["leads_p_value"] is None
    assert any("too few for a standard error" in w for w in estimate.warnings)


def test_a_singular_covariance_gives_no_test() -> None:
    ones = np.ones((2, 2))
    statistic = wald(np.array([1.0, 2.0]), ones, 10)
    assert np.isnan(statistic)
    test = JointTest.of(FTest(statistic, 9), 2, 10)
    assert (test.statistic, test.p_value) == (None, None)
    assert "singular" in test.reason
    assert JointTest.of(FTest(wald(np.empty(0), np.empty((0, 0)), 10), 9), 0, 10).reason == ""


def test_the_joint_test_may_count_treated_clusters_only() -> None:
    sample = many_pilots()
    usual, strict = (
        fit_python(sample, EventStudySettings(leads_df=df)).glance
        for df in ("clusters", "treated-clusters")
    )
    assert (usual["leads_df_den"], strict["leads_df_den"]) == (19, 7)
    assert strict["leads_statistic"] == usual["leads_statistic"]
    expected = stats.f.sf(usual["leads_statistic"], usual["leads_df_num"], 7)
    assert strict["leads_p_value"] == pytest.approx(expected)
    single = sample.where((sample.frame["treated"] == 0) | (sample.frame["unit"] == "U01"))
    alone = fit_python(single, EventStudySettings(leads_df="treated-clusters"))
    assert any("a single treated cluster cannot show" in w for w in alone.warnings)


def test_a_joint_test_that_can_find_next_to_nothing_says_so() -> None:
    told = "degrees of freedom: too few treated clusters to find any but gross departures"
    sample = many_pilots()
    all_leads = fit_python(sample, EventStudySettings(min_lead_clusters=1))
    assert all_leads.glance["leads_df_den"] < 4
    assert [told in warning for warning in all_leads.warnings].count(True) == 1
    as_one = fit_python(sample, EventStudySettings(min_event=-2))
    assert as_one.glance["leads_df_den"] > 4
    assert not [warning for warning in as_one.warnings if told in warning]
    by_clusters = EventStudySettings(min_lead_clusters=1, leads_df="clusters")
    wald_test = fit_python(sample, by_clusters)
    assert not [warning for warning in wald_test.warnings if told in warning]


def test_a_study_does_not_use_a_joint_test_that_can_find_next_to_nothing() -> None:
    sample = many_pilots()

    def tested(**options: Any) -> LeadTest:
        return joint_test(fit_python(sample, EventStudySettings(**options)))

    weak = tested(min_lead_clusters=1)
    assert (weak.status, weak.p_value) == ("not applicable", None)
    assert "with 1.7 degrees of freedom, fewer than 4, such a test finds next to nothing" in (
        weak.reason
    )
    assert tested(min_event=-2).status == "ok"
    wald_test = tested(leads_df="clusters")
    assert "rejects too often" in wald_test.reason


def test_cases_before_a_window_are_no_lags() -> None:
    sample = matched()
    f = sample.frame
    early = (f["treated"] == 1) & (f["period"] == f["cohort"]) & (f.index % 2 == 0)
    post = f["post"].where(~early, 0)
    gap = replace(sample, frame=f.assign(post=post), window_gap=True)
    fit = fit_python(gap, EventStudySettings())
    assert any(
        w.startswith(f"{int(early.sum())} treated cases that fall before") for w in fit.warnings
    )
    moved = f.assign(post=post, age=f["age"])
    prepared = event_study.with_events(
        prepare(replace(gap, frame=moved), "twfe"), EventStudySettings()
    )
    assert (prepared.frame.loc[early.to_numpy(), "event"] == -1).all()
    late = f["period"].where(~((f["treated"] == 1) & (f["post"] == 1)), f["cohort"] - 1)
    after = event_study.with_events(
        prepare(with_columns(sample, period=late), "twfe"), EventStudySettings()
    )
    assert (after.frame.loc[(f["treated"] * f["post"]) == 1, "event"] == 0).all()


@pytest.mark.parametrize("fit", ENGINE)
def test_samples_without_an_answer_say_why(fit: Fit) -> None:
    sample = matched(600)
    f = sample.frame
    with pytest.raises(EstimationError, match=r"reference event time -9\. Observed: -4, -3"):
        fit(sample, EventStudySettings(reference=-9))
    with pytest.raises(EstimationError, match=r"no first treated period.*P1"):
        fit(
            with_columns(sample, cohort=f["cohort"].where(f["unit"] != "P1", 0)),
            EventStudySettings(),
        )
    alone = sample.where((f["group"] == "P1") & ((f["treated"] == 1) | (f["period"] < 2012)))
    with pytest.raises(EstimationError, match=r"event times .*cannot be told from authority"):
        fit(alone, EventStudySettings())
    with pytest.raises(EstimationError, match="needs matched groups"):
        fit(replace(sample, frame=f.drop(columns="group")), EventStudySettings(form="stacked"))


@pytest.mark.parametrize("fit", ENGINE)
def test_without_authority_effects_in_years_of_the_calendar(fit: Fit) -> None:
    """Periods count from the window here; the effects are those of other, calendar, periods."""
    sample = matched()
    calendar = sample.frame["period"] + (sample.frame["group"] == "P1")
    given = replace(sample, frame=sample.frame.assign(calendar_period=calendar))
    found = fit(given, EventStudySettings(form="pilot-post", years="calendar", vcov="CR1"))
    events = [int(t.removeprefix("event=")) for t in found.tidy["term"] if t != "overall"]
    events.remove(-1)
    frame = sample.frame
    effects = [pd.get_dummies(calendar), frame["treated"], frame["post"]]
    beta, covariance = recomputed(frame, events, effects)
    for place, event in enumerate(events):
        row = found.term(f"event={event}")
        assert row["estimate"] == pytest.approx(beta[place], abs=DENSE)
        assert row["std_error"] == pytest.approx(np.sqrt(covariance[place, place]), rel=DENSE)
    with pytest.raises(EstimationError, match="no column 'calendar_period'"):
        fit(sample, EventStudySettings(years="calendar"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"reference": 0}, "setting 'reference': .*less than 0"),
        ({"min_event": -1, "reference": -2}, "min_event = -1 comes after reference = -2"),
        ({"form": "post"}, "'twfe', 'stacked' or 'pilot-post'"),
        ({"leads": 3}, "unknown setting 'leads'"),
    ],
)
def test_settings_are_checked(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        validate(EventStudySettings, values, where="event-study")


def test_names_order_and_splitting_change_nothing() -> None:
    sample = many_pilots()
    shuffled = sample.frame.sample(frac=1, random_state=1).reset_index(drop=True)
    for column in ("unit", "cluster", "group"):
        shuffled[column] = shuffled[column].map(lambda name: name[::-1])
    halves = shuffled.assign(weight=shuffled["weight"] / 2)
    twice = replace(sample, frame=pd.concat([halves, halves], ignore_index=True))
    for form in ("twfe", "stacked"):
        one, two = (fit_python(s, EventStudySettings(form=form)).tidy for s in (sample, twice))
        pd.testing.assert_frame_equal(one, two, rtol=1e-8, atol=1e-12)


def test_the_plugin_registers_one_estimator() -> None:
    registered: list[object] = []
    event_study.register_estimators(registered.append)
    (plugin,) = registered
    assert isinstance(plugin, EventStudy)
    assert plugin.headline(EventStudySettings()) == "overall"
    assert [e.name for e in plugin.engines] == ["python", "pyfixest", "r", "r-fixest"]


@pytest.mark.r
def test_an_r_user_can_source_the_script(tmp_path: Path) -> None:
    sample = many_pilots()
    frame = sample.frame.assign(event=sample.frame["period"] - sample.frame["cohort"])
    frame.to_csv(tmp_path / "cases.csv", index=False)
    code = f"""
    source("{(r_engine.FOLDER / "event_study.R").as_posix()}", chdir = TRUE)
    cases <- read.csv("{(tmp_path / "cases.csv").as_posix()}", stringsAsFactors = TRUE)
    fit <- event_study_fit(cases, covariates = "sex")
    cat(sprintf("%.15g", c(tail(fit$estimate, 1), sqrt(tail(fit$covariance, 1)), fit$joint)))
    """
    ran = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True)
    here = fit_python(sample, EventStudySettings())
    row = here.term("overall")
    expected = [row["estimate"], row["std_error"], here.glance["leads_statistic"]]
    expected.append(here.glance["leads_df_den"])
    assert [float(v) for v in ran.stdout.split()] == pytest.approx(expected, rel=1e-8)
