"""Sun and Abraham: stored results of fixest, dense regressions, group-time effects, engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import staggered_samples as made
from sos_estimators import sun_abraham
from sos_estimators.callaway_santanna import engine_python as group_time
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.sun_abraham import SunAbraham, SunAbrahamSettings

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import estimator_checks
from sos_plugins.errors import DataError, EstimationError, SettingsError
from sos_plugins.host.registry import load_plugins
from sos_plugins.host.settings import validate

AGGREGATES = ("event", "group-time", "cohort", "calendar", "simple")


def fit(sample: Sample, **options: Any) -> Estimate:
    """Estimate with the errors of the method's own formula, unless others are asked for."""
    return sun_abraham.fit_python(sample, SunAbrahamSettings(**{"errors": "analytic", **options}))


@pytest.mark.parametrize("data", made.NAMES)
def test_python_gives_every_stored_result(from_r: Path, data: str) -> None:
    rows = made.stored(from_r, data, "sunab")
    estimate = fit(made.stored_sample(from_r, data), vcov="fixest")
    made.assert_as_stored(rows, estimate)
    assert set(estimate.tidy["term"]) - set(rows["term"]) == {"event=-1"}


def test_the_stored_table_has_no_more(from_r: Path) -> None:
    assert sum(len(made.stored(from_r, data, "sunab")) for data in made.NAMES) == 43


@pytest.mark.r
@pytest.mark.parametrize("data", made.NAMES)
def test_r_gives_every_stored_result(from_r: Path, data: str) -> None:
    options = SunAbrahamSettings(vcov="fixest", errors="analytic")
    found = sun_abraham.fit_r(made.stored_sample(from_r, data), options)
    made.assert_as_stored(made.stored(from_r, data, "sunab"), found)


@pytest.mark.r
@pytest.mark.cran("fixest")
@pytest.mark.parametrize("vcov", ["CR0", "CR1", "fixest"])
def test_fixest_agrees_on_weighted_cases_with_covariates(vcov: str) -> None:
    engine = load_plugins().engine("sun-abraham", "python")
    (other,) = [e for e in SunAbraham.engines if e.name == "r-fixest"]
    options = SunAbrahamSettings(vcov=vcov, errors="analytic")
    sample = made.cases()
    assert other.limits(sample, options) is None
    made.assert_same(engine.fit(sample, options), other.fit(sample, options), 1e-6)


@pytest.mark.r
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("vcov", ["CR0", "CR1", "CR1S", "fixest"])
def test_r_agrees_on_weighted_cases_with_covariates(aggregate: str, vcov: str) -> None:
    options = SunAbrahamSettings(aggregate=aggregate, vcov=vcov, anticipation=1)
    sample = made.cases()
    made.assert_same(sun_abraham.fit_python(sample, options), sun_abraham.fit_r(sample, options))


PAIRS = [(g, t) for g in (3, 4, 5) for t in range(1, 7) if t != g - 1]


def test_effects_are_coefficients_of_a_dense_regression() -> None:
    sample = made.cases()
    columns = np.column_stack([made.dense(sample), made.effect_dummies(sample.frame, PAIRS)])
    beta, variance = made.dense_regression(sample, columns)
    tidy = fit(sample, aggregate="group-time", vcov="CR0").tidy.set_index("term")
    rows = tidy.loc[[f"ATT({g},{t})" for g, t in PAIRS]]
    np.testing.assert_allclose(rows["estimate"], beta[-len(PAIRS) :], rtol=made.EXACT)
    errors = np.sqrt(np.diag(variance))[-len(PAIRS) :]
    np.testing.assert_allclose(rows["std_error"], errors, rtol=made.EXACT)


@pytest.mark.parametrize(
    ("term", "aggregate", "belongs"),
    [
        ("event=1", "event", lambda g, t: t - g == 1),
        ("event=-2", "event", lambda g, t: t - g == -2),
        ("cohort=4", "cohort", lambda g, t: g == 4 and t >= g),
        ("calendar=5", "calendar", lambda g, t: t == 5 and t >= g),
        ("overall", "event", lambda g, t: t >= g),
    ],
)
def test_averages_weight_effects_by_their_cases(term: str, aggregate: str, belongs: Any) -> None:
    sample = made.cases()
    columns = np.column_stack([made.dense(sample), made.effect_dummies(sample.frame, PAIRS)])
    beta, variance = made.dense_regression(sample, columns)
    total = sample.frame.groupby(["cohort", "period"])["weight"].sum()
    share = np.array([total[g, t] if belongs(g, t) else 0.0 for g, t in PAIRS])
    share /= share.sum()
    row = fit(sample, aggregate=aggregate, vcov="CR0").term(term)
    assert row["estimate"] == pytest.approx(share @ beta[-len(PAIRS) :], rel=made.EXACT)
    of_effects = variance[-len(PAIRS) :, -len(PAIRS) :]
    assert row["std_error"] == pytest.approx(np.sqrt(share @ of_effects @ share), rel=made.EXACT)


def test_on_a_balanced_panel_effects_are_those_against_never_treated_units() -> None:
    sample = made.panel()
    options = CallawaySantAnnaSettings(method="reg", base="universal")
    ours = fit(sample, aggregate="group-time").tidy.set_index("term")["estimate"]
    theirs = group_time.fit(sample, options).tidy.set_index("term")["estimate"]
    for term in ours.index.drop("overall"):
        assert ours[term] == pytest.approx(theirs[term], rel=made.EXACT, abs=made.EXACT)


def test_the_covariance_of_terms_is_that_of_their_standard_errors() -> None:
    estimate = fit(made.cases())
    assert estimate.covariance is not None
    errors = np.sqrt(np.diag(estimate.covariance))
    known = estimate.tidy["std_error"].fillna(0.0)
    np.testing.assert_allclose(errors, known, rtol=made.EXACT, atol=1e-12)


def test_splitting_cases_changes_nothing() -> None:
    sample = made.cases()
    made.assert_same(fit(sample), fit(made.split_in_halves(sample)))


def test_with_anticipation_the_reference_is_earlier() -> None:
    tidy = fit(made.cases(), anticipation=1).tidy.set_index("term")
    assert tidy.loc["event=-2", "estimate"] == 0
    assert np.isnan(tidy.loc["event=-2", "std_error"])
    assert tidy.loc["event=-1", "std_error"] > 0


def test_a_cohort_without_cases_just_before_has_an_earlier_reference() -> None:
    sample = made.cases()
    gap = (sample.frame["cohort"] == 5) & (sample.frame["period"] == 4)
    tidy = fit(sample.where(~gap), aggregate="group-time").tidy.set_index("term")
    assert tidy.loc["ATT(5,3)", "estimate"] == 0
    assert "ATT(5,4)" not in tidy.index
    told = sun_abraham.fixest_limits(sample.where(~gap), SunAbrahamSettings())
    assert told is not None
    assert "last period before its treatment" in told


def test_without_never_treated_units_it_says_what_to_do() -> None:
    sample = made.cases(never=False)
    with pytest.raises(EstimationError, match=r"no never-treated unit .* lasttreated"):
        fit(sample)


def test_the_last_cohort_can_serve_for_comparison() -> None:
    sample = made.cases(never=False)
    estimate = fit(sample, control="lasttreated")
    before = sample.frame["period"] < 6
    frame = sample.frame[before].reset_index(drop=True)
    as_never = frame.assign(cohort=frame["cohort"].where(frame["cohort"] != 6, 0))
    made.assert_same(estimate, fit(Sample(made.labelled(as_never), sample.covariates)))
    assert any("cohort 6, the last to be treated, serves for" in w for w in estimate.warnings)


def test_what_is_left_out_is_told() -> None:
    sample = made.cases()
    frame = sample.frame.copy()
    frame.loc[frame["unit"] == "u00", "cohort"] = 1
    frame.loc[frame["unit"] == "u01", "cohort"] = 9
    frame.loc[frame.index[:2], "weight"] = 0.0
    frame["constant"] = "same"
    frame["twice"] = 2 * frame["age"]
    estimate = fit(Sample(made.labelled(frame), (*sample.covariates, "constant", "twice")))
    told = " ".join(estimate.warnings)
    assert "2 cases of weight 0 are left out." in told
    assert "cohorts 9 are treated after the last period (6) and count as never treated" in told
    assert "The cohorts 1 (1 units, 22 cases) have no case before treatment" in told
    assert "The covariate 'constant' has one value" in told
    assert "collinear with effects of units and periods: twice." in told


def test_periods_without_comparison_are_left_out() -> None:
    sample = made.cases()
    gone = (sample.frame["cohort"] == 0) & (sample.frame["period"] == 6)
    estimate = fit(sample.where(~gone))
    assert estimate.glance["n_periods"] == 5
    assert any("In the periods 6 no unit that is never treated" in w for w in estimate.warnings)


def test_contradictions_are_errors() -> None:
    sample = made.panel()
    frame = sample.frame
    with pytest.raises(DataError, match="occurs more than once in period"):
        fit(Sample(frame.assign(period=frame["period"].clip(upper=5))))
    changing = frame.assign(cohort=np.where(frame["period"] == 2, 4, frame["cohort"]))
    with pytest.raises(DataError, match="'cohort' changes within the id"):
        fit(Sample(changing))
    with pytest.raises(DataError, match="'value' has 1 missing or infinite"):
        fit(Sample(frame.assign(value=frame["value"].where(frame.index != 3))))


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match=r"min_event.*needs aggregate=event"):
        validate(SunAbrahamSettings, {"aggregate": "cohort", "min_event": -2}, where="here")
    with pytest.raises(EstimationError, match=r"event times -4 to 3; change min_event"):
        fit(made.cases(), min_event=8)


def test_an_event_window_holds_for_the_overall_effect() -> None:
    sample = made.cases()
    narrow = fit(sample, min_event=-2, max_event=0)
    events = ["event=-2", "event=-1", "event=0"]
    assert list(narrow.tidy["term"]) == ["overall", *events]
    full = fit(sample)
    assert narrow.term("overall")["estimate"] == pytest.approx(
        full.term("event=0")["estimate"], rel=made.EXACT
    )


@pytest.mark.parametrize("check", estimator_checks(SunAbraham()), ids=str)
def test_it_keeps_the_contract(check: Any) -> None:
    check()
