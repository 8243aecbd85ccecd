"""Imputation: stored results of didimputation, dense recomputation, leads, engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import staggered_samples as made
from sos_estimators import imputed
from sos_estimators.imputed import Imputation, ImputationSettings

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import estimator_checks
from sos_plugins.errors import EstimationError

AGGREGATES = ("event", "group-time", "cohort", "calendar", "simple")


def fit(sample: Sample, **options: Any) -> Estimate:
    """Estimate with the errors of the method's own formula, unless others are asked for."""
    return imputed.impute(sample, ImputationSettings(**{"errors": "analytic", **options}))


def stored(from_r: Path, data: str) -> pd.DataFrame:
    methods = ("imputation", "imputation_event")
    return pd.concat([made.stored(from_r, data, method) for method in methods])


@pytest.mark.parametrize("data", made.PANELS)
def test_python_gives_every_stored_result(from_r: Path, data: str) -> None:
    estimate = fit(made.stored_sample(from_r, data), leads_vcov="fixest")
    rows = stored(from_r, data)
    made.assert_as_stored(rows, estimate)
    assert set(estimate.tidy["term"]) - set(rows["term"]) == {"event=-1"}


def test_the_stored_table_has_no_more(from_r: Path) -> None:
    assert sum(len(stored(from_r, data)) for data in made.NAMES) == 19


@pytest.mark.r
@pytest.mark.parametrize("data", made.PANELS)
def test_r_gives_every_stored_result(from_r: Path, data: str) -> None:
    options = ImputationSettings(leads_vcov="fixest")
    estimate = imputed.impute_in_r(made.stored_sample(from_r, data), options)
    made.assert_as_stored(stored(from_r, data), estimate)


@pytest.mark.r
@pytest.mark.cran("didimputation")
@pytest.mark.parametrize("data", made.PANELS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_didimputation_agrees(from_r: Path, data: str, aggregate: str) -> None:
    (other,) = [e for e in Imputation.engines if e.name == "r-didimputation"]
    options = ImputationSettings(aggregate=aggregate, leads=False, errors="analytic")
    sample = made.stored_sample(from_r, data)
    assert other.limits(sample, options) is None
    estimate = other.fit(sample, options)
    made.assert_same(imputed.impute(sample, options), estimate, 1e-6)
    assert estimate.warnings == ()


def test_didimputation_says_what_it_cannot_do() -> None:
    limits = imputed.didimputation_limits
    equal = made.panel().frame.assign(weight=1.0)
    assert "squares weights" in str(limits(made.panel(), ImputationSettings()))
    cross_section = Sample(equal.drop(columns="id"))
    assert "case by case" in str(limits(cross_section, ImputationSettings()))
    assert "set leads=false" in str(limits(Sample(equal), ImputationSettings()))
    assert limits(Sample(equal), ImputationSettings(leads=False)) is None


@pytest.mark.r
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize(
    ("never", "control"),
    [(True, "notyettreated"), (False, "notyettreated"), (True, "nevertreated")],
)
def test_r_agrees_on_weighted_cases_with_covariates(
    aggregate: str, never: bool, control: str
) -> None:
    options = ImputationSettings(
        control=control, aggregate=aggregate, anticipation=1, leads_vcov="CR1S"
    )
    sample = made.cases(never=never)
    ours, other = imputed.impute(sample, options), imputed.impute_in_r(sample, options)
    made.assert_same(ours, other)
    assert ours.warnings == other.warnings
    statistic = ours.glance.get("leads_statistic")
    assert other.glance.get("leads_statistic") == (
        None if statistic is None else pytest.approx(statistic, rel=made.EXACT)
    )


def linear_map(sample: Sample, free: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """The matrix that makes imputed values of values: trends of some cases, levels of others."""
    frame, Z = sample.frame, made.dense(sample)
    weight = frame["weight"].to_numpy()
    n_units = frame["unit"].nunique()
    X, of = Z[:, n_units:], Z[compared] * weight[compared, None]
    trends = np.zeros((X.shape[1], len(Z)))
    trends[:, compared] = (np.linalg.pinv(Z[compared].T @ of) @ of.T)[n_units:]
    units = Z[:, :n_units] * (weight * free)[:, None]
    own = Z[:, :n_units] @ (units / units.sum(axis=0)).T
    moved = X @ trends
    return np.asarray(own @ (np.eye(len(Z)) - moved) + moved)


def dense_imputation(
    sample: Sample, chosen: np.ndarray, control: str = "notyettreated"
) -> tuple[float, float]:
    """The average effect on chosen treated cases and its standard error, case by case.

    Equations 6 to 8 of the paper with full matrices; effects are centred within cohort and period,
    where each authority and period counts by the square of its weight.
    """
    frame = sample.frame
    weight, value = (frame[c].to_numpy(float) for c in ("weight", "value"))
    free = ~((frame["cohort"] > 0) & (frame["period"] >= frame["cohort"])).to_numpy()
    compared = free if control == "notyettreated" else (frame["cohort"] == 0).to_numpy()
    imputed = linear_map(sample, free, compared)
    residual = value - imputed @ value
    v = np.where(chosen, weight, 0.0) / weight[chosen].sum()
    v = v - imputed.T @ v
    effect = float(v[chosen] @ residual[chosen])
    table = frame[["unit", "cohort", "period", "cluster"]].assign(v=v, total=v * residual)
    treated = table[chosen].groupby(["cohort", "period", "unit"])[["v", "total"]].sum()
    groups = (treated["v"] * treated["total"]).groupby(level=[0, 1]).sum()
    groups = groups / (treated["v"] ** 2).groupby(level=[0, 1]).sum()
    keys = pd.MultiIndex.from_frame(frame[["cohort", "period"]])
    centre = np.where(chosen, groups.reindex(keys).to_numpy(), 0.0)
    scores = pd.Series(v * (residual - centre)).groupby(frame["cluster"]).sum()
    return effect, float(np.sqrt((scores**2).sum()))


@pytest.mark.parametrize("control", ["notyettreated", "nevertreated"])
@pytest.mark.parametrize(
    ("term", "aggregate", "belongs"),
    [
        ("overall", "event", lambda f: f["period"] >= f["cohort"]),
        ("event=1", "event", lambda f: f["period"] - f["cohort"] == 1),
        ("cohort=4", "cohort", lambda f: (f["cohort"] == 4) & (f["period"] >= 4)),
        ("calendar=5", "calendar", lambda f: (f["period"] == 5) & (f["cohort"] <= 5)),
        ("ATT(3,6)", "group-time", lambda f: (f["cohort"] == 3) & (f["period"] == 6)),
    ],
)
def test_it_equals_the_formulas_with_full_matrices(
    term: str, aggregate: str, belongs: Any, control: str
) -> None:
    sample = made.cases()
    chosen = ((sample.frame["cohort"] > 0) & belongs(sample.frame)).to_numpy()
    effect, std_error = dense_imputation(sample, chosen, control)
    row = fit(sample, aggregate=aggregate, control=control).term(term)
    assert row["estimate"] == pytest.approx(effect, rel=made.EXACT)
    assert row["std_error"] == pytest.approx(std_error, rel=made.EXACT)


def test_leads_are_coefficients_of_a_dense_regression_of_the_untreated() -> None:
    sample = made.cases()
    frame = sample.frame
    free = ((frame["cohort"] == 0) | (frame["period"] < frame["cohort"])).to_numpy()
    untreated = sample.where(free)
    event = untreated.frame["period"] - untreated.frame["cohort"]
    events = [-4, -3, -2]
    leads = [((event == e) & (untreated.frame["cohort"] > 0)).astype(float) for e in events]
    columns = np.column_stack([made.dense(untreated), *leads])
    beta, variance = made.dense_regression(untreated, columns)
    estimate = fit(sample, leads_vcov="CR0")
    rows = estimate.tidy.set_index("term").loc[[f"event={e}" for e in events]]
    np.testing.assert_allclose(rows["estimate"], beta[-3:], rtol=made.EXACT)
    of_leads = variance[-3:, -3:]
    np.testing.assert_allclose(rows["std_error"], np.sqrt(np.diag(of_leads)), rtol=made.EXACT)
    statistic = beta[-3:] @ np.linalg.solve(of_leads, beta[-3:]) / 3
    assert estimate.glance["leads_statistic"] == pytest.approx(statistic, rel=1e-7)
    assert estimate.glance["leads_df_num"] == 3


def test_without_never_treated_units_one_more_lead_cannot_be_told() -> None:
    estimate = fit(made.cases(never=False))
    assert any("The leads" in w and "cannot be told" in w for w in estimate.warnings)
    assert estimate.term("event=-1")["estimate"] == 0
    assert estimate.glance["n_periods"] == 5  # in period 6 every authority is treated


def test_splitting_cases_changes_nothing() -> None:
    sample = made.cases()
    made.assert_same(fit(sample), fit(made.split_in_halves(sample)))


def test_no_noise_gives_the_effects_themselves() -> None:
    frame = made.panel().frame
    since = (frame["period"] - frame["cohort"]).where(frame["cohort"] > 0, -1)
    plain = frame["period"] ** 2 + frame["unit"].str[1:].astype(float)
    exact = Sample(frame.assign(value=plain + (since + 2) * (since >= 0)))
    estimate = fit(exact, aggregate="group-time").tidy.set_index("term")["estimate"]
    for (g, t), _ in frame[(since >= 0)].groupby(["cohort", "period"]):
        assert estimate[f"ATT({g},{t})"] == pytest.approx(t - g + 2, abs=1e-9)


def test_levels_that_only_the_treated_have_are_left_out() -> None:
    sample = made.cases()
    frame = sample.frame.copy()
    rows = frame.index[(frame["cohort"] == 4) & (frame["period"] == 5)][:3]
    frame.loc[rows, "ethnicity"] = "z"
    estimate = fit(Sample(frame, sample.covariates))
    told = " ".join(estimate.warnings)
    assert "3 treated cases (ATT(4,5)) are left out" in told
    made.assert_same(estimate, fit(Sample(frame.drop(rows), sample.covariates)))


def test_levels_that_no_never_treated_case_has_are_left_out() -> None:
    sample = made.cases()
    frame = sample.frame
    gone = (frame["cohort"] == 0) & (frame["ethnicity"] == "c")
    fewer = sample.where(~gone)
    n = int(((fewer.frame["cohort"] > 0) & (fewer.frame["ethnicity"] == "c")).sum())
    estimate = fit(fewer, control="nevertreated")
    assert any(told.startswith(f"{n} treated cases (ATT(3,3), ") for told in estimate.warnings)
    made.assert_same(estimate, fit(sample.where(frame["ethnicity"] != "c"), control="nevertreated"))


def test_a_trend_of_units_not_treated_yet_does_not_sway_effects_against_the_never_treated() -> None:
    """Cohort 5 drifts before its treatment; effects of cohort 3 stay what they were."""
    sample = made.panel()
    frame = sample.frame
    drift = np.where((frame["cohort"] == 5) & (frame["period"] < 5), frame["period"], 0.0)
    swayed = Sample(frame.assign(value=frame["value"] + drift))
    for control, same in (("nevertreated", True), ("notyettreated", False)):
        first, second = (
            fit(s, aggregate="cohort", control=control).term("cohort=3")["estimate"]
            for s in (sample, swayed)
        )
        assert bool(first == pytest.approx(second, rel=made.EXACT)) == same


def test_units_without_a_case_before_treatment_are_left_out() -> None:
    sample = made.panel()
    late = (sample.frame["unit"] == "u01") & (sample.frame["period"] < 3)
    estimate = fit(sample.where(~late))
    assert "1 treated ids of the cohorts 3 have no case before treatment: 4 cases" in " ".join(
        estimate.warnings
    )
    without = sample.where(sample.frame["unit"] != "u01")
    made.assert_same(estimate, fit(without))


def test_periods_in_which_all_are_treated_are_left_out() -> None:
    sample = made.panel(cohorts=(3, 5))
    estimate = fit(sample, aggregate="group-time")
    assert set(estimate.tidy["term"]) == {"overall", "ATT(3,3)", "ATT(3,4)"}
    assert any(
        "In the periods 5, 6 no unit that is not treated yet" in w for w in estimate.warnings
    )


def test_one_cohort_without_others_has_no_estimate() -> None:
    with pytest.raises(EstimationError, match="No effect after treatment can be estimated"):
        fit(made.panel(cohorts=(3,)))


@pytest.mark.parametrize("check", estimator_checks(Imputation()), ids=str)
def test_it_keeps_the_contract(check: Any) -> None:
    check()
