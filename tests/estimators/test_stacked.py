"""Weighted stacked difference-in-differences: hand-made averages, dense regressions, engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import staggered_samples as made
from sos_estimators import stacked
from sos_estimators.callaway_santanna import engine_python as group_time
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.stacked import Stacked, StackedSettings

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import estimator_checks
from sos_plugins.errors import EstimationError, SettingsError
from sos_plugins.host.settings import validate


def fit(sample: Sample, **options: Any) -> Estimate:
    """Estimate with the errors of the method's own formula, unless others are asked for."""
    return stacked.fit_python(sample, StackedSettings(**{"errors": "analytic", **options}))


def mean(rows: pd.DataFrame) -> float:
    return float(np.average(rows["value"], weights=rows["weight"]))


@pytest.mark.parametrize("event", [-2, 0, 1])
def test_an_effect_is_the_average_of_clean_comparisons_by_cohort(event: int) -> None:
    sample = made.panel(cohorts=(0, 3, 4, 6), units=24)
    frame = sample.frame
    effects, shares = [], []
    for g in (3, 4):  # the window of cohort 6 ends after the data, so that it only compares
        treated = frame[frame["cohort"] == g]
        clean = frame[(frame["cohort"] == 0) | (frame["cohort"] > g + 1)]
        here, base = g + event, g - 1
        change = [
            mean(rows[rows["period"] == here]) - mean(rows[rows["period"] == base])
            for rows in (treated, clean)
        ]
        effects.append(change[0] - change[1])
        shares.append(treated["weight"].sum())
    estimate = fit(sample)
    expected = np.average(effects, weights=shares)
    assert estimate.term(f"event={event}")["estimate"] == pytest.approx(expected, rel=made.EXACT)
    assert "whole window" in estimate.glance["estimand"]
    assert any("The cohorts 6 have no sub-experiment" in w for w in estimate.warnings)


def test_against_never_treated_units_it_is_callaway_and_santanna_by_event_time() -> None:
    sample = made.panel(cohorts=(0, 3, 4, 5))
    ours = fit(sample, control="nevertreated").tidy.set_index("term")["estimate"]
    options = CallawaySantAnnaSettings(
        method="reg", base="universal", aggregate="event", min_event=-2, max_event=1
    )
    other = group_time.fit(sample, options).tidy.set_index("term")["estimate"]
    np.testing.assert_allclose(ours, other[ours.index], rtol=made.EXACT, atol=made.EXACT)


def by_hand(frame: pd.DataFrame) -> pd.DataFrame:
    """Built row by row: the windows of 2 periods before and 1 after, and the corrections."""
    parts = []
    for g in (3, 4, 5):
        sub = frame[frame["period"].between(g - 2, g + 1)]
        sub = sub[(sub["cohort"] == g) | (sub["cohort"] == 0) | (sub["cohort"] > g + 1)]
        parts.append(sub.assign(sub=g, event=sub["period"] - g, D=(sub["cohort"] == g)))
    rows = pd.concat(parts, ignore_index=True)
    for index, row in rows[~rows["D"]].iterrows():
        same = rows[rows["event"] == row["event"]]
        total = {
            (d, whole): same.loc[
                (same["D"] == d) & (whole | (same["sub"] == row["sub"])), "weight"
            ].sum()
            for d in (True, False)
            for whole in (True, False)
        }
        share = (total[True, False] / total[True, True], total[False, False] / total[False, True])
        rows.loc[index, "corrected"] = row["weight"] * share[0] / share[1]
    rows["weight"] = rows["corrected"].where(~rows["D"], rows["weight"])
    return rows


def test_it_equals_a_dense_regression_of_the_stack() -> None:
    sample = made.cases(units=21)
    frame = sample.frame
    rows = by_hand(frame)
    made_up = Sample(rows.assign(period=rows["event"], unit=rows["D"].astype(str)), ("age", "flag"))
    events = [-2, 0, 1]
    products = [((rows["event"] == e) & rows["D"]).astype(float) for e in events]
    columns = np.column_stack([made.dense(made_up), *products])
    beta, variance = made.dense_regression(made_up, columns)
    estimate = fit(Sample(frame, ("age", "flag")), vcov="CR0")
    tidy = estimate.tidy.set_index("term").loc[[f"event={e}" for e in events]]
    np.testing.assert_allclose(tidy["estimate"], beta[-3:], rtol=made.EXACT)
    of_events = variance[-3:, -3:]
    np.testing.assert_allclose(tidy["std_error"], np.sqrt(np.diag(of_events)), rtol=made.EXACT)
    overall = estimate.term("overall")
    assert overall["estimate"] == pytest.approx(beta[-2:].mean(), rel=made.EXACT)
    error = np.sqrt(of_events[1:, 1:].sum()) / 2
    assert overall["std_error"] == pytest.approx(error, rel=made.EXACT)


def test_effects_by_cohort_equal_a_dense_regression_with_everything_by_sub_experiment() -> None:
    sample = made.cases(units=21)
    rows = by_hand(sample.frame)
    sub = rows["sub"].astype(str)
    effects = [
        pd.get_dummies(sub + rows["D"].astype(str)),
        pd.get_dummies(sub + "e" + rows["event"].astype(str)),
        rows[["age"]],
    ]
    pairs = [(g, e) for g in (3, 4, 5) for e in (-2, 0, 1)]
    products = [((rows["event"] == e) & rows["D"] & (rows["sub"] == g)) for g, e in pairs]
    columns = np.column_stack([*effects, *products]).astype(float)
    beta, variance = made.dense_regression(Sample(rows, ("age",)), columns)
    beta, variance = beta[-9:], variance[-9:, -9:]
    plain = Sample(sample.frame, ("age",))
    tidy = fit(plain, vcov="CR0", aggregate="group-time").tidy.set_index("term")
    named = tidy.loc[[f"ATT({g},{g + e})" for g, e in pairs]]
    np.testing.assert_allclose(named["estimate"], beta, rtol=made.EXACT)
    np.testing.assert_allclose(named["std_error"], np.sqrt(np.diag(variance)), rtol=made.EXACT)
    assert tidy.loc["ATT(4,3)", "estimate"] == 0
    treated = rows[rows["D"]].groupby(["sub", "period"])["weight"].sum()
    in_5 = {(4, 1): treated[4, 5], (5, 0): treated[5, 5]}
    for aggregate, term, share in (
        ("cohort", "cohort=4", [0.5 * (g == 4 and e >= 0) for g, e in pairs]),
        ("calendar", "calendar=5", [in_5.get(p, 0) / sum(in_5.values()) for p in pairs]),
    ):
        row = fit(plain, vcov="CR0", aggregate=aggregate).term(term)
        assert row["estimate"] == pytest.approx(share @ beta, rel=made.EXACT)
        assert row["std_error"] == pytest.approx(np.sqrt(share @ variance @ share), rel=made.EXACT)


@pytest.mark.parametrize("aggregate", ["simple", "cohort", "calendar", "group-time"])
def test_the_overall_effect_is_the_same_whatever_stands_beside_it(aggregate: str) -> None:
    sample = made.cases(units=21)
    whole, other = (fit(sample, aggregate=a).term("overall") for a in ("event", aggregate))
    assert other["estimate"] == pytest.approx(whole["estimate"], rel=made.EXACT)
    assert other["std_error"] == pytest.approx(whole["std_error"], rel=made.EXACT)


@pytest.mark.r
@pytest.mark.parametrize("aggregate", ["simple", "cohort", "calendar", "group-time"])
def test_r_agrees_on_other_averages(aggregate: str) -> None:
    options = StackedSettings(aggregate=aggregate, vcov="CR1S", anticipation=1)
    sample = made.cases(units=21)
    made.assert_same(stacked.fit_python(sample, options), stacked.fit_r(sample, options))


@pytest.mark.r
@pytest.mark.parametrize("control", ["notyettreated", "nevertreated"])
@pytest.mark.parametrize("weights", ["corrective", "none"])
@pytest.mark.parametrize("anticipation", [0, 1])
def test_r_agrees_on_weighted_cases_with_covariates(
    control: str, weights: str, anticipation: int
) -> None:
    options = StackedSettings(
        control=control, weights=weights, anticipation=anticipation, vcov="fixest"
    )
    sample = made.cases(units=21)
    made.assert_same(stacked.fit_python(sample, options), stacked.fit_r(sample, options))


def test_corrections_matter_where_shares_differ() -> None:
    sample = made.cases(units=25)
    corrected = fit(sample).term("overall")["estimate"]
    plain = fit(sample, weights="none").term("overall")["estimate"]
    assert corrected != pytest.approx(plain, rel=1e-6)


def test_splitting_cases_changes_nothing() -> None:
    sample = made.cases()
    made.assert_same(fit(sample), fit(made.split_in_halves(sample)))


def test_a_window_that_no_cohort_has_is_an_error() -> None:
    with pytest.raises(EstimationError, match="No cohort has treated and comparison cases in all"):
        fit(made.cases(), before=4, after=3)


def test_a_window_without_a_reference_is_an_error() -> None:
    with pytest.raises(SettingsError, match="leaves no period before anticipation = 2"):
        validate(StackedSettings, {"before": 2, "anticipation": 2}, where="here")


@pytest.mark.parametrize("check", estimator_checks(Stacked()), ids=str)
def test_it_keeps_the_contract(check: Any) -> None:
    check()
