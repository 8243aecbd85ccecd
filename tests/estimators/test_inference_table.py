"""Wild bootstrap and randomisation against refits on rows; the table of several methods."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from did_samples import matched, stored, with_columns
from numpy.typing import NDArray
from sos_estimators.did import Did, DidSettings, fit_python
from sos_estimators.inference.cluster_products import ClusterProducts, by_cluster
from sos_estimators.inference.inference_table import CITATIONS, COLUMNS, inference
from sos_estimators.inference.vcov import VARIANCES, FittedRegression
from sos_estimators.inference.wild import auxiliary, wild_bootstrap
from sos_estimators.regression.design_matrix import regression
from sos_estimators.regression.least_squares import least_squares
from sos_estimators.sample.prepare import prepare

from sos_plugins import Sample
from sos_plugins.contract.types import AssignmentDraws
from sos_plugins.errors import EstimationError
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.estimate import compare, run_engines

SAME = 1e-9  # relative; normal equations with a pseudo-inverse lose some digits
ENDS = 1e-6  # a step of the p value lies there: rounding decides on which side

Floats = NDArray[np.float64]


def products(sample: Sample, form: str = "twfe") -> ClusterProducts:
    fitted = regression(
        prepare(sample, form), form, ["D"], lambda c: (c[["D"]].to_numpy(float), ("ATT",))
    )
    return by_cluster(fitted)


class Rows:
    """Two-way fixed effects on rows with all dummies, refitted from scratch each time."""

    def __init__(self, sample: Sample) -> None:
        f = sample.frame
        age = [f["age"]] if "age" in sample.covariates else []
        dummies = [pd.get_dummies(f[c]).to_numpy(float) for c in ("unit", "period")]
        self.others = np.column_stack([*dummies, *age])
        self.d = (f["treated"] * f["post"]).to_numpy(float)
        self.w, self.y = f["weight"].to_numpy(), f["value"].to_numpy()
        self.cluster = pd.factorize(f["cluster"], sort=True)[0]

    def fit(self, y: Floats, d: Floats) -> tuple[float, float, Floats]:
        """Coefficient of ``d``, its CR1 error, fitted values."""
        x = np.column_stack([d, self.others])
        bread = np.linalg.pinv(x.T @ (x * self.w[:, None]), hermitian=True)
        beta = bread @ (x.T @ (self.w * y))
        scores = (x @ bread[:, 0]) * self.w * (y - x @ beta)
        of_clusters = np.bincount(self.cluster, scores)
        g = len(of_clusters)
        return (
            float(beta[0]),
            float(np.sqrt(g / (g - 1) * (of_clusters**2).sum())),
            x @ beta,
        )

    def bootstrap(self, draws: Floats, value: float, *, restricted: bool) -> tuple[float, Floats]:
        """t of the sample and of every replication, for the hypothesis ``value``."""
        estimate, error, fitted = self.fit(self.y, self.d)
        if restricted:
            x, y = self.others, self.y - value * self.d
            bread = np.linalg.pinv(x.T @ (x * self.w[:, None]), hermitian=True)
            fitted = x @ (bread @ (x.T @ (self.w * y))) + value * self.d
        centre = value if restricted else estimate
        t = []
        for v in draws:
            b, se, _ = self.fit(fitted + v[self.cluster] * (self.y - fitted), self.d)
            t.append((b - centre) / se)
        return (estimate - value) / error, np.array(t)


def small() -> Sample:
    sample = matched(250, seed=4, effect=0.3)
    return Sample(sample.frame, ("age",))


@pytest.mark.parametrize("restricted", [True, False])
def test_all_sign_vectors_by_refits(restricted: bool) -> None:
    sample = small()
    clusters, rows = products(sample), Rows(sample)
    draws = auxiliary(8, 9999, 1)
    assert draws.complete
    assert draws.values.shape == (128, 8)
    test = wild_bootstrap(clusters, draws, restricted=restricted)
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
    t, others = rows.bootstrap(every, 0.0, restricted=restricted)
    assert test.statistic == pytest.approx(t, rel=SAME)
    assert test.p_value == np.mean(np.abs(others) >= abs(t) * (1 - SAME))


@pytest.mark.parametrize("restricted", [True, False])
def test_the_confidence_set_holds_what_the_test_keeps(restricted: bool) -> None:
    sample = small()
    draws = auxiliary(8, 9999, 1)
    test = wild_bootstrap(products(sample), draws, restricted=restricted)
    rows = Rows(sample)
    width = test.conf_high - test.conf_low
    for end, inwards in ((test.conf_low, 1), (test.conf_high, -1)):
        for side, kept in ((1, True), (-1, False)):
            value = end + side * inwards * ENDS * width
            t, others = rows.bootstrap(draws.values, value, restricted=restricted)
            p = np.mean(np.abs(others) >= abs(t) * (1 - 1e-12))
            assert (p > 0.05) == kept


@pytest.mark.parametrize("weights", ["webb", "rademacher"])
def test_drawn_replications_by_refits(weights: Any) -> None:
    sample = small()
    draws = auxiliary(8, 99, 7, weights)
    assert (draws.complete, draws.name) == (False, weights)
    assert np.square(draws.values).mean() == pytest.approx(1, abs=0.15)
    test = wild_bootstrap(products(sample), draws, restricted=True)
    t, others = Rows(sample).bootstrap(draws.values, 0.0, restricted=True)
    assert test.p_value == (1 + (np.abs(others) >= abs(t) * (1 - SAME)).sum()) / 100


def test_which_auxiliary_variable() -> None:
    assert auxiliary(13, 9999, 1).complete
    assert auxiliary(12, 999, 1).name == "webb"
    assert auxiliary(14, 9999, 1).name == "rademacher"
    points = np.unique(np.square(auxiliary(5, 1000, 1, "webb").values).round(12))
    assert points.tolist() == [0.5, 1.0, 1.5]


def few_units(sample: Sample, units: list[str]) -> Sample:
    kept = sample.where(sample.frame["unit"].isin(units))
    return Sample(kept.frame, ())


def test_every_assignment_of_cohorts_by_refits(from_r: Path) -> None:
    whole = stored(from_r, "cases_cont_shared", weights=True)
    sample = few_units(whole, ["1", "3", "6", "10", "12", "20", "22"])
    cohorts = sample.frame.groupby("unit")["cohort"].first()
    treated = cohorts[cohorts > 0]
    assert 2 <= len(treated) <= 4
    methods = inference(sample, DidSettings(), ("RI-beta", "RI-t")).table.set_index("method")
    rows = Rows(sample)
    frame = sample.frame
    results = set()
    for units in itertools.permutations(cohorts.index, len(treated)):
        dealt = dict(zip(units, treated, strict=True))
        on = frame["unit"].map(dealt).fillna(np.inf)
        b, se, _ = rows.fit(rows.y, (frame["period"] >= on).to_numpy(float))
        results.add((tuple(sorted(dealt.items())), b, b / se))
    table = pd.DataFrame(results, columns=["deal", "b", "t"]).drop_duplicates("deal")
    b, se, _ = rows.fit(rows.y, rows.d)
    assert methods.loc["RI-beta", "p_value"] == np.mean(table["b"].abs() >= abs(b) * (1 - SAME))
    assert methods.loc["RI-t", "p_value"] == np.mean(table["t"].abs() >= abs(b / se) * (1 - SAME))
    assert methods.loc["RI-t", "distribution"] == f"all {len(table)} assignments"


@pytest.mark.parametrize("form", ["stacked", "twfe"])
def test_every_pilot_within_its_group_by_refits(form: Any) -> None:
    sample = matched(400, effect=0.2)
    methods = inference(sample, DidSettings(form=form), ("RI-beta", "RI-t")).table
    frame = sample.frame
    members = [sorted(rows["unit"].unique()) for _, rows in frame.groupby("group")]
    estimates, statistics = [], []
    for pilots in itertools.product(*members):
        pilot = frame["group"].map(dict(zip(sorted(frame["group"].unique()), pilots, strict=True)))
        moved = with_columns(sample, treated=(frame["unit"] == pilot).astype(int))
        row = fit_python(moved, DidSettings(form=form)).term("ATT")
        estimates.append(row["estimate"])
        statistics.append(row["statistic"])
    own = fit_python(sample, DidSettings(form=form)).term("ATT")
    for p, others, mine in zip(
        methods["p_value"],
        (estimates, statistics),
        (own["estimate"], own["statistic"]),
        strict=True,
    ):
        assert p == pytest.approx(np.mean(np.abs(others) >= abs(mine) * (1 - SAME)))


@pytest.mark.parametrize("form", ["stacked", "twfe"])
def test_statistics_by_lot_are_those_of_each_groups_first_authority(form: Any) -> None:
    sample, options = matched(400, effect=0.2), DidSettings(form=form, vcov="CR1")
    frame = sample.frame
    members = {g: sorted(rows["unit"].unique()) for g, rows in frame.groupby("group")}
    pilots = frame[frame["treated"] == 1].groupby("group")["unit"].first().to_dict()
    named = sample.where(frame["unit"].notna())
    named = with_columns(named, group=frame["group"].map(pilots))
    lots = AssignmentDraws(tuple(sorted(frame["unit"].unique())), 4, seed=2)
    found = Did().reassigned(named, options, lots)
    assert found.n_possible == np.prod([len(m) for m in members.values()])
    first = {g: [m[o] for o in lots.orders(m, pilots[g])[:, 0]] for g, m in members.items()}
    for n, statistic in enumerate((found.statistic, *found.drawn)):
        dealt = pilots if n == 0 else {g: units[n - 1] for g, units in first.items()}
        moved = (frame["unit"] == frame["group"].map(dealt)).astype(int)
        row = fit_python(with_columns(sample, treated=moved), options).term("ATT")
        assert statistic == pytest.approx(row["statistic"], rel=SAME)


def test_statistics_by_lot_deal_the_dates_to_the_first_authorities(from_r: Path) -> None:
    whole = stored(from_r, "cases_cont_shared", weights=True)
    sample = few_units(whole, ["1", "3", "6", "10", "12", "20", "22"])
    frame, rows = sample.frame, Rows(sample)
    cohorts = frame.groupby("unit")["cohort"].first()
    dates = np.sort(cohorts[cohorts > 0])
    lots = AssignmentDraws(tuple(cohorts.index), 5, seed=2)
    found = Did().reassigned(sample, DidSettings(), lots)
    b, se, _ = rows.fit(rows.y, rows.d)
    assert (found.estimate, found.statistic) == pytest.approx((b, b / se), rel=SAME)
    for order, statistic in zip(lots.orders(list(cohorts.index)), found.drawn, strict=True):
        dealt = dict(zip(cohorts.index[order[: len(dates)]], dates, strict=True))
        on = frame["period"] >= frame["unit"].map(dealt).fillna(np.inf)
        b, se, _ = rows.fit(rows.y, on.to_numpy(float))
        assert statistic == pytest.approx(b / se, rel=SAME)


def test_a_logit_and_the_form_of_2021_have_no_lots() -> None:
    lots = AssignmentDraws(("a",), 4, seed=2)
    for options, why in (
        (DidSettings(model="logit"), "model = 'linear'"),
        (DidSettings(form="pilot-post"), "use form = 'twfe' or 'stacked'"),
    ):
        with pytest.raises(EstimationError, match=why):
            Did().reassigned(matched(), options, lots)


def test_rows_agree_with_single_variances() -> None:
    sample = matched()
    methods = inference(
        sample, DidSettings(), ("CR0", "CR1", "CR1S", "fixest", "CR2", "CR3", "CR3J")
    )
    for row in methods.table.to_dict("records"):
        single = fit_python(sample, DidSettings(vcov=row["method"])).term("ATT")
        for column in ("estimate", "std_error", "statistic", "df", "p_value", "conf_low"):
            assert row[column] == pytest.approx(single[column], rel=SAME)
    assert methods.table["citation"].str.len().min() > 20
    assert tuple(methods.table.columns) == tuple(COLUMNS)
    assert methods.clusters["partial_leverage"].sum() == pytest.approx(1)
    assert 1 < methods.effective_clusters < 8


def test_the_table_goes_to_glance_and_through_json() -> None:
    options = DidSettings(form="stacked", inference=("CR1", "WCR", "RI-t"))
    estimate = fit_python(matched(), options)
    assert estimate.tidy["term"].tolist() == ["ATT"]
    table = json.loads(json.dumps(estimate.to_dict()))["glance"]["inference"]
    assert [row["method"] for row in table] == ["CR1", "WCR", "RI-t"]
    assert table[1]["df"] is None
    assert "inference" not in fit_python(matched(), DidSettings(form="stacked")).glance


def test_the_page_has_every_method_and_column_in_the_words_of_the_code() -> None:
    page = (REPOSITORY / "docs" / "inference.md").read_text()
    assert not [k for k, v in COLUMNS.items() if f"| `{k}` | {v} |" not in page]
    assert not [method for method in CITATIONS if f"`{method}`" not in page]


def test_warnings_are_sentences_that_name_the_methods() -> None:
    told = inference(matched(effect=2.0), DidSettings(form="stacked")).warnings
    text = " ".join(told)
    assert "With 3 treated clusters WCR tends to reject too rarely" in text
    assert "WCU tends to reject too often" in text
    strong = matched(240, effect=1.0)
    two = strong.where(strong.frame["group"] != "P3")
    methods = inference(two, DidSettings(form="stacked"), ("CR0", "RI-t"))
    assert "There are only 9 assignments" in " ".join(methods.warnings)
    assert "The methods disagree at 0.05: significant by CR0" in methods.warnings[0]


def few_of_many(n_treated: int) -> Sample:
    """24 comparators, and pilots that take up at two dates; 9 years, weights of size."""
    rng = np.random.default_rng(8)
    units = np.arange(24 + n_treated)
    frame = pd.DataFrame({"unit": np.repeat(units, 9), "period": np.tile(np.arange(9), len(units))})
    frame["cohort"] = np.where(frame["unit"] < n_treated, 4 + frame["unit"] % 2, 0)
    frame["treated"] = (frame["cohort"] > 0).astype(int)
    frame["post"] = frame["treated"] * (frame["period"] >= frame["cohort"])
    frame["weight"] = rng.lognormal(0, 0.6, len(units))[frame["unit"]]
    shock = rng.normal(0, 0.5, len(units))[frame["unit"]]
    frame["value"] = shock + rng.normal(size=len(frame)) + 0.3 * frame["post"]
    frame["unit"] = frame["cluster"] = frame["unit"].astype(str)
    return Sample(frame, ())


def test_few_treated_clusters_are_warned_of_by_the_method_they_mislead() -> None:
    methods = ("CR1", "CR2", "CR3", "RI-t")
    four = inference(few_of_many(4), DidSettings(), methods, draws=199)
    assert any(
        w.startswith("Only 4 clusters are treated") and "(CR1, CR3)" in w for w in four.warnings
    )
    assert any(w.startswith("CR2 has fewer than 4 degrees of freedom") for w in four.warnings)
    twelve = inference(few_of_many(12), DidSettings(), methods, draws=199)
    assert not [w for w in twelve.warnings if "disagree" not in w]


@pytest.mark.r
def test_engine_r_checks_a_design_that_asks_for_further_methods() -> None:
    registry = load_plugins()
    options = DidSettings(form="stacked", inference=("CR1", "WCR", "RI-t"), draws=99)
    done, reasons = run_engines(registry, "did", ("python", "r"), matched(), options)
    assert not reasons
    (agreement,) = compare(registry, "", "did", done, reasons)
    assert (agreement.engine, agreement.verdict) == ("r", "agree")
    assert agreement.max_difference_std_error is not None


def test_seeds_repeat_and_the_form_of_2021_has_no_randomisation(from_r: Path) -> None:
    sample = stored(from_r, "cases_cont_shared")
    methods = ("WCR", "RI-t")
    one, two, other = (
        inference(sample, DidSettings(), methods, seed=seed, draws=199).table for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)
    rows = inference(matched(), DidSettings(form="pilot-post"), ("RI-t",))
    assert np.isnan(rows.table["p_value"][0])
    assert "pilots that a new assignment would change" in rows.warnings[0]


def test_a_wild_bootstrap_does_not_depend_on_the_unit_of_the_value() -> None:
    sample = small()
    draws = auxiliary(8, 9999, 1)
    one = wild_bootstrap(products(sample), draws, restricted=True)
    bigger = with_columns(sample, value=1000 * sample.frame["value"])
    two = wild_bootstrap(products(bigger), draws, restricted=True)
    assert (two.p_value, two.conf_low / 1000) == pytest.approx(
        (one.p_value, one.conf_low), rel=1e-8
    )


def test_t_of_the_sample_is_that_of_the_sandwich() -> None:
    clusters = products(small())
    fit = least_squares(clusters.regression)
    fitted = FittedRegression(clusters.regression, fit)
    variance = VARIANCES["CR1"].compute(fitted, np.eye(1))
    t = fit.coefficients[0] / np.sqrt(variance.matrix[0, 0])
    test = wild_bootstrap(clusters, auxiliary(8, 9999, 1), restricted=True)
    assert test.statistic == pytest.approx(t, rel=SAME)
