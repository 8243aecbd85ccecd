"""Estimators of staggered adoption give on compressed samples what they give on cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import staggered_samples as made
from sos_estimators import sun_abraham
from sos_estimators.staggered import cohort_cells
from sos_estimators.sun_abraham import SunAbrahamSettings

from sos_plugins import Estimate, Sample
from sos_plugins.cells.build import cells
from sos_plugins.errors import DataError
from sos_plugins.host.registry import load_plugins

ESTIMATE, ERROR = 1e-10, 1e-9  # the same sums in another order
ESTIMATORS = ("sun-abraham", "imputation", "two-stage", "extended-twfe", "stacked")


def compressed(sample: Sample) -> Sample:
    return cells(
        sample.frame,
        weight="weight",
        covariates=sample.covariates,
        keys=["cohort", "treated", "post"],
        cluster="cluster",
    ).sample()


def assert_equal(from_cases: Estimate, from_cells: Estimate) -> None:
    assert list(from_cases.tidy["term"]) == list(from_cells.tidy["term"])
    for column, tolerance in (("estimate", ESTIMATE), ("std_error", ERROR)):
        np.testing.assert_allclose(
            from_cells.tidy[column], from_cases.tidy[column], rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("numbers", [False, True])
def test_a_compressed_sample_gives_the_same(name: str, numbers: bool) -> None:
    sample = made.cases(n=30)
    if numbers:
        rng = np.random.default_rng(3)
        sample = Sample(
            sample.frame.assign(height=rng.normal(size=len(sample.frame))),
            ("ethnicity", "age", "height"),
        )
    registry = load_plugins()
    estimator = registry.estimator(name)
    given: dict[str, Any] = {}
    if "vcov" in estimator.Settings.model_fields and name != "two-stage":
        given["vcov"] = "fixest"  # it counts cases
    options = estimator.Settings(**given)
    engine = registry.engine(name, "python")
    fewer = compressed(sample)
    assert len(fewer.frame) < len(sample.frame)
    from_cases, from_cells = (engine.fit(s, options) for s in (sample, fewer))
    assert_equal(from_cases, from_cells)
    for key, value in from_cases.glance.items():
        plain = value is None or isinstance(value, (str, list))
        same = value if plain else pytest.approx(value, rel=1e-6)
        assert from_cells.glance[key] == same


def test_fixest_declines_rows_that_are_no_cases() -> None:
    rng = np.random.default_rng(3)
    sample = made.cases(n=31)  # two rows stand for the 31 cases of an authority and period
    frame = sample.frame.assign(height=rng.normal(size=len(sample.frame)))
    fewer = compressed(Sample(frame, ("height",)))
    told = sun_abraham.fixest_limits(fewer, SunAbrahamSettings())
    assert told == "fixest counts cases, and the rows of this compressed sample are no whole cases"
    assert sun_abraham.fixest_limits(Sample(frame, ("height",)), SunAbrahamSettings()) is None


# ---- many cases are compressed before anything else ----------------------------------------------


def many() -> Sample:
    """Cases with a continuous covariate, levels that are numbers, a constant, and weights of 0."""
    rng = np.random.default_rng(5)
    sample = made.cases(n=30)
    frame = sample.frame.assign(
        height=1e3 + rng.normal(size=len(sample.frame)),
        need=pd.Categorical(rng.choice([1, 2, 7], len(sample.frame))),
        constant=0.1,
    )
    frame.loc[frame.index % 50 == 0, "weight"] = 0.0
    return Sample(frame, ("height", "ethnicity", "flag", "need", "constant"))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_cases_compressed_on_the_way_give_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_plugins().engine(name, "python")
    options = load_plugins().estimator(name).Settings(aggregate="group-time")
    sample = many()
    assert len(sample.frame) < cohort_cells.FROM
    as_they_are = engine.fit(sample, options)
    monkeypatch.setattr(cohort_cells, "FROM", 1)
    fewer = engine.fit(sample, options)
    assert_equal(as_they_are, fewer)
    assert fewer.warnings == as_they_are.warnings
    assert "51 cases of weight 0 are left out." in fewer.warnings
    assert "The covariate 'constant' has one value in all cases and is left out." in fewer.warnings
    exact = {k: v for k, v in as_they_are.glance.items() if not isinstance(v, float)}
    assert {k: fewer.glance[k] for k in exact} == exact


def test_missing_values_are_found_on_the_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_cells, "FROM", 1)
    engine = load_plugins().engine("imputation", "python")
    options = load_plugins().estimator("imputation").Settings()
    sample = many()
    for column in ("value", "height", "need"):
        frame = sample.frame.copy()
        frame.loc[7, column] = None
        with pytest.raises(DataError, match=f"'{column}' has 1 missing or infinite values"):
            engine.fit(Sample(frame, sample.covariates), options)


def test_a_panel_is_not_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_cells, "FROM", 1)
    sample = made.panel()
    assert cohort_cells.compressed(sample)[0] is sample


# ---- unbalanced panels ---------------------------------------------------------------------------


def unbalanced() -> Sample:
    """A panel of ids in authorities, of which a fifth of the rows and some whole ids are gone."""
    rng = np.random.default_rng(8)
    sample = made.panel(units=60, cohorts=(0, 3, 5))
    frame = sample.frame.assign(x=rng.normal(size=len(sample.frame)))
    frame["cluster"] = (frame["unit"].str[1:].astype(int) // 2).astype(str)
    kept = rng.random(len(frame)) < 0.8
    late = (frame["unit"] == "u01") & (frame["period"] < 3)  # cohort 3, only seen treated
    return Sample(frame[kept & ~late].reset_index(drop=True), ("x",))


@pytest.mark.parametrize("name", ["sun-abraham", "extended-twfe"])
def test_an_unbalanced_panel_is_a_regression_with_every_dummy(name: str) -> None:
    sample = unbalanced()
    leads = name == "sun-abraham"
    pairs = [(g, t) for g in (3, 5) for t in range(1, 7) if t >= g or (leads and t < g - 1)]
    columns = np.column_stack([made.dense(sample), made.effect_dummies(sample.frame, pairs)])
    beta, variance = made.dense_regression(sample, columns)
    given = {"aggregate": "group-time", "vcov": "CR0"}
    if name == "extended-twfe":
        given["adjustment"] = "additive"
    registry = load_plugins()
    options = registry.estimator(name).Settings(**given)
    tidy = registry.engine(name, "python").fit(sample, options).tidy.set_index("term")
    rows = tidy.loc[[f"ATT({g},{t})" for g, t in pairs]]
    np.testing.assert_allclose(rows["estimate"], beta[-len(pairs) :], rtol=made.EXACT)
    errors = np.sqrt(np.diag(variance))[-len(pairs) :]
    np.testing.assert_allclose(rows["std_error"], errors, rtol=made.EXACT)


@pytest.mark.parametrize("name", ["imputation", "two-stage"])
def test_in_an_unbalanced_panel_ids_only_seen_treated_are_left_out(name: str) -> None:
    sample = unbalanced()
    frame = sample.frame
    registry = load_plugins()
    options = registry.estimator(name).Settings(aggregate="group-time")
    estimate = registry.engine(name, "python").fit(sample, options)
    n_gone = int((frame["unit"] == "u01").sum())
    told = f"1 treated ids of the cohorts 3 have no case before treatment: {n_gone} cases are left"
    assert any(told in w for w in estimate.warnings)
    used = sample.where(frame["unit"] != "u01")
    cohort, period = (used.frame[c].to_numpy() for c in ("cohort", "period"))
    treated = (cohort > 0) & (period >= cohort)
    Z, weight, value = made.dense(used), *(used.frame[c].to_numpy() for c in ("weight", "value"))
    root = np.sqrt(weight[~treated])
    gamma = np.linalg.pinv(Z[~treated] * root[:, None]) @ (value[~treated] * root)
    left = value - Z @ gamma
    for term, row in estimate.tidy.set_index("term").drop("overall").iterrows():
        g, t = (int(number) for number in str(term)[4:-1].split(","))
        here = (cohort == g) & (period == t)
        expected = np.average(left[here], weights=weight[here])
        assert row["estimate"] == pytest.approx(expected, rel=made.EXACT)


@pytest.mark.r
@pytest.mark.parametrize("name", ESTIMATORS)
def test_r_agrees_on_an_unbalanced_panel(name: str) -> None:
    registry = load_plugins()
    options = registry.estimator(name).Settings(aggregate="calendar")
    python, r = (registry.engine(name, e).fit(unbalanced(), options) for e in ("python", "r"))
    made.assert_same(python, r)
