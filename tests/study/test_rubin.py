"""Estimates of completed data sets pooled: against mice and mitml, and in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from r_packages import need_mice, need_mitml
from scipy import stats

from sos_plugins.authors.results import tidy_rows
from sos_plugins.contract.types import Estimate
from sos_plugins.errors import EstimationError
from sos_plugins.r import client as r
from sos_plugins.study.rubin import barnard_rubin, pooled_covariance, pooled_estimate
from sos_plugins.study.rubin_joint import d1, d2

AS_MICE = 1e-8
"""Relative difference from mice and mitml: both sum five numbers in double precision."""
EXACT = 1e-12
"""Relative difference of the same sums in another order."""
SETS, TERMS = 5, 3
SCRIPT = Path(__file__).parents[1] / "support" / "pool_directly.R"


def estimate(
    values: Any, errors: Any, df: Any = np.inf, level: float = 0.95, **glance: Any
) -> Estimate:
    names = [f"event={e}" for e in range(-len(values) - 1, -1)]
    facts = {
        "n_cases": 100,
        "n_units": 20,
        "n_treated_units": 5,
        "n_clusters": 20,
        "n_periods": 8,
        "estimand": "example",
        "vcov": "CR2",
        "conf_level": level,
    }
    rows = tidy_rows(names, values, errors, df=df, conf_level=level)
    return Estimate(rows, {**facts, **glance})


@pytest.fixture(scope="module")
def completed() -> Mapping[str, Any]:
    """Least squares on five completed data sets: coefficients and covariances."""
    rng = np.random.default_rng(4)
    n = 40
    fits = []
    x = rng.normal(size=(n, TERMS - 1))
    shape = rng.random(n) < 0.3
    for _ in range(SETS):
        filled = x.copy()
        filled[shape, 0] = rng.normal(size=shape.sum())
        X = np.column_stack([np.ones(n), filled])
        y = 1 + x @ [0.5, -0.2] + np.random.default_rng(9).normal(size=n)
        beta, residual, *_ = np.linalg.lstsq(X, y, rcond=None)
        covariance = residual[0] / (n - TERMS) * np.linalg.inv(X.T @ X)
        fits.append((X, y, beta, covariance))
    return {"fits": fits, "df": float(n - TERMS), "n": n}


@pytest.fixture(scope="module")
def in_r(completed: Mapping[str, Any]) -> Mapping[str, Any]:
    need_mice()
    need_mitml()
    columns = {
        "set": np.repeat(np.arange(SETS), completed["n"]),
        "y": np.concatenate([y for _, y, _, _ in completed["fits"]]),
        "a": np.concatenate([X[:, 1] for X, _, _, _ in completed["fits"]]),
        "b": np.concatenate([X[:, 2] for X, _, _, _ in completed["fits"]]),
    }
    answer: Mapping[str, Any] = r.call(SCRIPT, "pool_directly", columns, {})
    return answer


def estimates_of(completed: Mapping[str, Any]) -> list[Estimate]:
    return [
        estimate(beta, np.sqrt(np.diag(covariance)), completed["df"])
        for _, _, beta, covariance in completed["fits"]
    ]


@pytest.mark.parametrize(
    ("column", "theirs"),
    [
        ("estimate", "estimate"),
        ("std_error", "std.error"),
        ("statistic", "statistic"),
        ("df", "df"),
        ("p_value", "p.value"),
        ("conf_low", "2.5 %"),
        ("conf_high", "97.5 %"),
        ("riv", "riv"),
        ("lambda", "lambda"),
        ("fmi", "fmi"),
    ],
)
def test_pooled_rows_are_those_of_mice(
    completed: Mapping[str, Any], in_r: Mapping[str, Any], column: str, theirs: str
) -> None:
    found = pooled_estimate(estimates_of(completed)).tidy[column]
    assert found.to_numpy() == pytest.approx(np.asarray(in_r[theirs]), rel=AS_MICE)


def test_joint_tests_are_those_of_mitml(
    completed: Mapping[str, Any], in_r: Mapping[str, Any]
) -> None:
    values = np.array([beta[1:] for _, _, beta, _ in completed["fits"]])
    covariances = np.array([matrix[1:, 1:] for *_, matrix in completed["fits"]])
    for df, name in ((completed["df"], "d1_small"), (np.inf, "d1_large")):
        joint = d1(values, covariances, df)
        found = [joint.statistic, joint.df_den, joint.p_value, joint.riv]
        assert found == pytest.approx(list(in_r[name]), rel=AS_MICE)
    wald = [float(b @ np.linalg.solve(V, b)) for b, V in zip(values, covariances, strict=True)]
    joint = d2(np.array(wald), TERMS - 1)
    found = [joint.statistic, joint.df_den, joint.p_value, joint.riv]
    assert found == pytest.approx(list(in_r["d2"]), rel=AS_MICE)


def test_data_sets_that_do_not_differ_are_one() -> None:
    one = estimate([1.0, -2.0], [0.5, 0.4], df=12.0)
    pooled = pooled_estimate([one] * 4).tidy
    assert pooled["std_error"].to_numpy() == pytest.approx([0.5, 0.4], rel=EXACT)
    assert pooled["df"].to_numpy() == pytest.approx([13 / 15 * 12] * 2, rel=EXACT)
    assert (pooled[["riv", "lambda", "fmi", "mc_error"]] == 0).to_numpy().all()


def test_without_a_limit_the_degrees_of_freedom_are_those_of_rubin_1987() -> None:
    assert barnard_rubin(11, np.array([0.5]), np.array([np.inf]))[0] == pytest.approx(40.0)


def test_p_values_without_a_t_statistic_are_pooled_on_the_normal_scale() -> None:
    """Two data sets with p values of 0.04 and 0.2 by randomisation, worked out by hand."""
    sets = [estimate([2.0], [1.0]), estimate([1.5], [1.0])]
    for one, p in zip(sets, (0.04, 0.2), strict=True):
        one.tidy.loc[0, ["p_value", "conf_low", "conf_high", "df"]] = [p, np.nan, np.nan, np.nan]
    row = pooled_estimate(sets).term("event=-2")
    z = stats.norm.isf([0.02, 0.1])
    riv = 1.5 * z.var(ddof=1)
    expected = 2 * stats.t.sf(z.mean() / np.sqrt(1 + riv), (1 + 1 / riv) ** 2)
    assert row["p_value"] == pytest.approx(expected, rel=EXACT)
    assert row["std_error"] == pytest.approx(np.sqrt(1 + 1.5 * 0.125), rel=EXACT)
    assert np.isnan(row["df"])
    assert np.isnan(row["conf_low"])


def test_effects_of_other_signs_do_not_add_up_to_evidence() -> None:
    sets = [estimate([2.0], [1.0]), estimate([-2.0], [1.0])]
    for one in sets:
        one.tidy.loc[0, ["p_value", "df"]] = [0.01, np.nan]
    assert pooled_estimate(sets).term("event=-2")["p_value"] == pytest.approx(1.0)


def test_each_end_of_a_lopsided_interval_keeps_its_length() -> None:
    one = estimate([1.0], [0.5])
    one.tidy.loc[0, ["conf_low", "conf_high"]] = [-1.0, 1.5]
    row = pooled_estimate([one] * 3).term("event=-2")
    assert [row["conf_low"], row["conf_high"]] == pytest.approx([-1.0, 1.5], rel=EXACT)


def test_intervals_without_an_end_stay_without_one() -> None:
    sets = [estimate([1.0], [0.5]), estimate([1.2], [0.5])]
    for one in sets:
        one.tidy.loc[0, "conf_low"] = -np.inf
    row = pooled_estimate(sets).term("event=-2")
    assert row["conf_low"] == -np.inf
    assert row["conf_high"] > 1.2


def test_the_joint_test_keeps_the_scale_of_the_estimators() -> None:
    """Where data sets do not differ the pooled F is the estimator's own, AHT or Wald."""
    facts = {"leads_tested": (-3, -2), "leads_df_num": 2, "leads_df_den": 7.0, "leads_p_value": 0.2}
    covariance = pd.DataFrame([[0.25, 0.1], [0.1, 0.16]], columns=["event=-3", "event=-2"])
    one = estimate([1.0, 0.5], [0.5, 0.4], df=9.0, leads_statistic=1.7, **facts)
    whole = Estimate(one.tidy, one.glance, covariance=covariance)
    pooled = pooled_estimate([whole] * 3).glance
    assert pooled["leads_statistic"] == pytest.approx(1.7, rel=EXACT)
    assert pooled["leads_pooled"] == "D1"
    assert pooled_estimate([one] * 3).glance["leads_pooled"] == "D2"


def test_the_covariance_is_within_and_between() -> None:
    names = ["event=-3", "event=-2"]
    sets = []
    for values in ([1.0, 2.0], [2.0, 0.0], [0.0, 1.0]):
        matrix = pd.DataFrame(np.eye(2), columns=names)
        one = estimate(values, [1.0, 1.0])
        sets.append(Estimate(one.tidy, one.glance, covariance=matrix))
    found = pooled_covariance(sets)
    assert found is not None
    assert found.to_numpy() == pytest.approx(np.eye(2) + 4 / 3 * np.array([[1, -0.5], [-0.5, 1]]))


def test_a_table_of_inference_is_pooled_method_by_method() -> None:
    def table(p: float) -> list[dict[str, Any]]:
        t = {"method": "CR2", **estimate([1.0], [0.5], df=8.0).term("event=-2")}
        other = {**t, "method": "RI-t", "df": np.nan, "p_value": p, "conf_low": np.nan}
        return [t, {**other, "conf_high": np.nan}]

    sets = [estimate([1.0], [0.5], inference=table(p)) for p in (0.03, 0.03)]
    rows = {row["method"]: row for row in pooled_estimate(sets).glance["inference"]}
    assert rows["RI-t"]["p_value"] == pytest.approx(0.03, rel=EXACT)
    assert rows["CR2"]["df"] == pytest.approx(9 / 11 * 8, rel=EXACT)


def test_few_data_sets_are_warned_of_where_their_number_matters() -> None:
    far = [estimate([v], [0.5]) for v in (0.0, 1.0)]
    near = [estimate([v], [0.5]) for v in (0.99, 1.0)]
    assert any("completed data sets are few" in w for w in pooled_estimate(far).warnings)
    assert not pooled_estimate(near).warnings
    assert any("More than half" in w for w in pooled_estimate(far).warnings)


def test_one_data_set_is_refused() -> None:
    with pytest.raises(EstimationError, match="at least two completed data sets"):
        pooled_estimate([estimate([1.0], [0.5])])
