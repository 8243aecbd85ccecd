"""CR2, CR3 and CR3J, leave-one-out and leverage: stored results of R, live R, definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from did_samples import compress, matched, results, stored, with_columns
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sos_estimators import did as classic
from sos_estimators import event_study
from sos_estimators.did import Did, DidSettings
from sos_estimators.event_study import EventStudySettings
from sos_estimators.inference.cluster_products import by_cluster, influence, without_each
from sos_estimators.regression import engine_r
from sos_estimators.regression.design_matrix import regression
from sos_estimators.regression.least_squares import CollinearTermsError, Regression, least_squares
from sos_estimators.sample.prepare import prepare
from variants import examples

from sos_plugins import Sample
from sos_plugins.authors import testing
from sos_plugins.errors import EstimationError

STORED_ESTIMATE = 1e-11  # both are double precision; stored with 15 digits
STORED_ERROR = 1e-9  # relative; cross products lose a few digits of fifteen
STORED_DF = 5e-7  # degrees of freedom are stored with six decimals
ENGINES = 1e-8  # relative; clubSandwich takes roots of matrices of cases, we of columns
DEFINITION = 1e-9  # relative; dense matrices of cases
CASES = ["cases_cont_shared", "cases_bin_shared"]
LEADS = ("leads_statistic", "leads_df_den", "leads_p_value")
JACKKNIFE = {"CR3J(centred on mean)": "CR3J", "CR3(centred on full)": "CR3"}


def problem(sample: Sample, form: str = "twfe") -> Regression:
    return regression(
        prepare(sample, form), form, ["D"], lambda c: (c[["D"]].to_numpy(float), ("ATT",))
    )


@pytest.mark.parametrize("data", CASES)
def test_cr2_and_its_degrees_of_freedom_are_those_of_clubsandwich(from_r: Path, data: str) -> None:
    rows = results(from_r, data, "twfe_clubSandwich")
    rows = rows[rows["type"] == "CR2"]
    assert len(rows) == 4
    for row in rows.to_dict("records"):
        sample = stored(from_r, data, weights=row["weights"] == "w", x=row["x"] == "x")
        for vcov in ("CR2-cases",) if row["weights"] == "w" else ("CR2", "CR2-cases"):
            att = classic.fit_python(sample, DidSettings(vcov=vcov)).term("ATT")
            assert att["estimate"] == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
            assert att["std_error"] == pytest.approx(row["std_error"], rel=STORED_ERROR)
            assert att["df"] == pytest.approx(float(row["df"]), abs=STORED_DF)


@pytest.mark.parametrize("data", CASES)
def test_jackknife_errors_are_those_of_refits_in_r(from_r: Path, data: str) -> None:
    rows = results(from_r, data, "twfe_jackknife")
    assert len(rows) == 8
    for row in rows.to_dict("records"):
        sample = stored(from_r, data, weights=row["weights"] == "w", x=row["x"] == "x")
        att = classic.fit_python(sample, DidSettings(vcov=JACKKNIFE[row["type"]])).term("ATT")
        assert att["estimate"] == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
        assert att["std_error"] == pytest.approx(row["std_error"], rel=STORED_ERROR)
        assert att["df"] == 23


@pytest.mark.parametrize("data", CASES)
def test_leaving_each_authority_out_gives_the_coefficients_of_refits(
    from_r: Path, data: str
) -> None:
    rows = results(from_r, data, "leave_one_la_out")
    assert len(rows) == 96
    for (weights, x), part in rows.groupby(["weights", "x"]):
        sample = stored(from_r, data, weights=weights == "w", x=x == "x")
        left_out = without_each(by_cluster(problem(sample)))[:, 0]
        units = sorted(sample.frame["unit"].unique())
        for unit, coefficient in zip(units, left_out, strict=True):
            row = part[part["term"] == f"D without la {unit}"].iloc[0]
            assert coefficient == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)


@pytest.mark.r
@pytest.mark.parametrize("vcov", ["CR2", "CR2-cases", "CR3", "CR3J"])
@pytest.mark.parametrize("form", ["twfe", "stacked", "pilot-post"])
def test_both_engines_agree_on_the_classic_design(form: str, vcov: str) -> None:
    sample = matched(700)
    options = DidSettings(form=form, vcov=vcov)
    one, two = classic.fit_python(sample, options), classic.fit_r(sample, options)
    pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=ENGINES, atol=ENGINES)
    assert one.warnings == two.warnings


@pytest.mark.r
@pytest.mark.parametrize("vcov", ["CR2", "CR3", "CR3J"])
@pytest.mark.parametrize("form", ["twfe", "stacked"])
def test_both_engines_agree_on_the_event_study(form: str, vcov: str) -> None:
    sample = matched(700)
    options = EventStudySettings(form=form, vcov=vcov, min_event=-3, max_event=3)
    one, two = event_study.fit_python(sample, options), event_study.fit_r(sample, options)
    pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=ENGINES, atol=ENGINES)
    assert one.warnings == two.warnings


def single_pilot() -> Sample:
    sample = matched(700)
    return sample.where(sample.frame["group"] == "P1")


def one_period_of_a_comparator() -> Sample:
    """Its own effect fits all its cases."""
    sample = matched(700)
    return sample.where((sample.frame["unit"] != "C4") | (sample.frame["period"] == 2012))


def a_period_of_one_authority() -> Sample:
    """The effect of the last period fits the cases that C1 alone has there."""
    sample = matched(700)
    return sample.where((sample.frame["unit"] == "C1") | (sample.frame["period"] < 2017))


def weights_of_zero() -> Sample:
    sample = matched(700)
    return with_columns(sample, weight=sample.frame["weight"].where(sample.frame.index % 3 > 0, 0))


@pytest.mark.r
@pytest.mark.parametrize("form", ["twfe", "stacked"])
@pytest.mark.parametrize(
    "edge", [single_pilot, one_period_of_a_comparator, a_period_of_one_authority, weights_of_zero]
)
def test_both_engines_and_cells_agree_at_the_edges(edge: Callable[[], Sample], form: str) -> None:
    sample = edge()
    did, events = DidSettings(form=form), EventStudySettings(form=form, min_event=-2, max_event=3)
    for module, options in ((classic, did), (event_study, events)):
        one = module.fit_python(sample, options)
        assert one.tidy["std_error"].iloc[-1] > 0
        for two in (
            module.fit_r(sample, options),
            module.fit_python(compress(sample).sample(), options),
        ):
            pd.testing.assert_frame_equal(one.tidy, two.tidy, rtol=ENGINES, atol=ENGINES)
            leads, again = (
                [math.nan if fit.glance.get(k) is None else fit.glance[k] for k in LEADS]
                for fit in (one, two)
            )
            assert again == pytest.approx(leads, rel=ENGINES, nan_ok=True)


def of_cases(sample: Sample, form: str = "twfe") -> Regression:
    """The same regression with one row a case."""
    prepared = prepare(with_columns(sample, number=np.arange(len(sample.frame))), form)
    return regression(
        prepared, form, ["D", "number"], lambda c: (c[["D"]].to_numpy(float), ("ATT",))
    )


def written_out(p: Regression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The design of one case a row with all dummies, and its weighted hat matrix."""
    parts = [np.eye(int(e.max()) + 1)[e] for e in p.effects]
    x = np.column_stack([*parts, p.covariates, p.terms])
    bread = np.linalg.pinv(x.T @ (x * p.weight[:, None]), hermitian=True)
    return x, bread


def dense_cr2(p: Regression, vcov: str) -> tuple[float, float]:
    """CR2 error and degrees of freedom of the last column by their definition on cases."""
    if vcov == "CR2":  # rows times the root of their weight have errors of one variance
        root = np.sqrt(p.weight)
        parts = [np.eye(int(e.max()) + 1)[e] * root[:, None] for e in p.effects]
        whole = np.column_stack([*parts, p.covariates * root[:, None], p.terms * root[:, None]])
        p = replace(p, value=p.value * root, weight=np.ones(len(root)), effects=(), terms=whole)
        p = replace(p, covariates=np.empty((len(root), 0)))
    x, bread = written_out(p)
    left = np.eye(len(x)) - x @ bread @ (x * p.weight[:, None]).T
    residuals = left @ p.value
    scores, vectors = [], []
    for g in range(p.n_clusters):
        rows = p.cluster == g
        values, basis = np.linalg.eigh(left[rows] @ left[rows].T)
        power = np.where(values > 1e-9, values.clip(min=1e-12) ** -0.5, 0.0)
        a = (basis * power) @ basis.T @ (x[rows] * p.weight[rows, None]) @ bread[:, -1]
        scores.append(a @ residuals[rows])
        vectors.append(left[rows].T @ a)
    inner = np.array(vectors) @ np.array(vectors).T
    return float(np.linalg.norm(scores)), float(np.trace(inner) ** 2 / np.square(inner).sum())


@pytest.mark.parametrize("form", ["twfe", "stacked", "pilot-post"])
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("vcov", ["CR2", "CR2-cases"])
def test_cr2_is_its_definition(form: str, coarse: bool, vcov: str) -> None:
    sample = matched(400)
    if coarse:  # clusters of several authorities
        sample = with_columns(sample, cluster=sample.frame["unit"].replace({"C1": "P3"}))
    error, df = dense_cr2(of_cases(sample, form), vcov)
    att = classic.fit_python(sample, DidSettings(form=form, vcov=vcov)).term("ATT")
    assert att["std_error"] == pytest.approx(error, rel=DEFINITION)
    assert att["df"] == pytest.approx(df, rel=DEFINITION)


@pytest.mark.parametrize("vcov", ["CR2", "CR2-cases"])
def test_clusters_that_cut_through_authorities(vcov: str) -> None:
    sample = matched(400)
    cluster = sample.frame["unit"] + (sample.frame["period"] % 2).astype(str)
    sample = with_columns(sample, cluster=cluster)
    error, df = dense_cr2(of_cases(sample), vcov)
    att = classic.fit_python(sample, DidSettings(vcov=vcov)).term("ATT")
    assert (att["std_error"], att["df"]) == pytest.approx((error, df), rel=DEFINITION)


def test_leverage_and_partial_leverage_are_their_definitions() -> None:
    p = problem(matched(400))
    clusters = by_cluster(p)
    leverage = influence(clusters)
    x, bread = written_out(p)
    hat = np.einsum("ij,jk,ik->i", x, bread, x) * p.weight
    of_clusters = np.bincount(p.cluster, hat)
    # each authority's own effect adds one that "leverage" does not count
    assert leverage.leverage == pytest.approx(of_clusters - 1, rel=DEFINITION)
    others = np.linalg.lstsq(
        x[:, :-1] * np.sqrt(p.weight)[:, None], x[:, -1] * np.sqrt(p.weight), rcond=None
    )[0]
    left = p.weight * (x[:, -1] - x[:, :-1] @ others) ** 2
    share = np.bincount(p.cluster, left) / left.sum()
    assert leverage.partial_leverage == pytest.approx(share, rel=DEFINITION)
    spread = share.var() / share.mean() ** 2
    assert leverage.effective == pytest.approx(p.n_clusters / (1 + spread), rel=DEFINITION)


def test_leaving_a_cluster_out_is_refitting_without_it() -> None:
    sample = matched(600)
    left_out = without_each(by_cluster(problem(sample, "stacked")))[:, 0]
    for unit, coefficient in zip(sorted(sample.frame["unit"].unique()), left_out, strict=True):
        rest = sample.where(sample.frame["unit"] != unit)
        try:
            again = least_squares(problem(rest, "stacked")).coefficients[0]
        except CollinearTermsError:
            again = np.nan
        assert coefficient == pytest.approx(again, rel=DEFINITION, nan_ok=True)


def test_what_cannot_be_told_without_a_cluster_has_no_jackknife() -> None:
    sample = matched()
    one = sample.where(sample.frame["group"] == "P1")
    estimate = classic.fit_python(one, DidSettings(vcov="CR3"))
    assert np.isnan(estimate.term("ATT")["std_error"])
    assert any("cannot be told without one of the clusters" in w for w in estimate.warnings)


def test_a_logit_has_no_cr2() -> None:
    with pytest.raises(EstimationError, match=r"CR2.*is for model = 'linear'"):
        classic.fit_python(matched(binary=True), DidSettings(model="logit", vcov="CR2"))


@settings(max_examples=examples(15), deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 50))
def test_weights_scale_out_and_names_and_order_change_nothing(scale: float, seed: int) -> None:
    sample = matched(300, seed=seed % 5)
    rng = np.random.default_rng(seed)
    names = dict(zip(sorted(sample.frame["unit"].unique()), rng.permutation(99), strict=False))
    frame = sample.frame.assign(
        weight=sample.frame["weight"] * scale,
        unit=sample.frame["unit"].map(names).astype(str),
        cluster=sample.frame["cluster"].map(names).astype(str),
    ).sample(frac=1, random_state=seed)
    for vcov in ("CR2", "CR2-cases", "CR3", "CR3J"):
        options = DidSettings(vcov=vcov)
        one = classic.fit_python(sample, options).tidy
        two = classic.fit_python(replace(sample, frame=frame), options).tidy
        pd.testing.assert_frame_equal(one, two, rtol=ENGINES, atol=ENGINES)


@pytest.mark.parametrize("vcov", ["CR3", "CR3J"])
def test_two_cases_of_half_the_weight_are_one(vcov: str) -> None:
    sample = matched(300)
    halves = pd.concat([sample.frame, sample.frame], ignore_index=True)
    halves["weight"] /= 2
    one = classic.fit_python(sample, DidSettings(vcov=vcov)).tidy
    two = classic.fit_python(replace(sample, frame=halves), DidSettings(vcov=vcov)).tidy
    pd.testing.assert_frame_equal(one, two, rtol=ENGINES, atol=ENGINES)


def test_r_gives_estimates_alone_where_clusters_are_too_large_for_cr2_cases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = testing.example_sample("stacked")
    options = DidSettings(vcov="CR2-cases", form="stacked")
    python, _, r_engine, _ = Did().engines
    if lacking := r_engine.missing():
        pytest.skip("; ".join(lacking))
    monkeypatch.setattr(engine_r, "MAX_CASES_OF_A_CLUSTER", 10)
    assert r_engine.limits(sample, options) is None
    found, expected = (e.fit(sample, options) for e in (r_engine, python))
    assert found.term("ATT")["estimate"] == pytest.approx(expected.term("ATT")["estimate"])
    assert np.isnan(found.term("ATT")["std_error"])
    assert "square matrix of the cases" in found.glance["no_std_error"]
    assert found.glance["vcov"] == "none"
