"""What cells give equals what rows give; cells of the union are the sum of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pytest
from did_samples import KEYS, compress, matched, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from sos_estimators import did as classic
from sos_estimators import event_study
from sos_estimators.did import DidSettings
from sos_estimators.event_study import EventStudySettings
from sos_estimators.inference.inference_table import inference

from sos_plugins import Estimate, Sample
from sos_plugins.cells.build import cells
from sos_plugins.errors import DataError, EngineUnavailableError, EstimationError
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.estimate import run_engine

COEFFICIENT = 1e-10  # the same least squares, summed in another order
ERROR = 1e-9  # relative, likewise
SUMS = 1e-11  # relative; sums of a few thousand doubles

DATA = ["mpdta", "panel_shared", "cases_cont_shared", "cases_bin_shared"]


def assert_alike(one: pd.DataFrame, two: pd.DataFrame) -> None:
    assert one["term"].tolist() == two["term"].tolist()
    np.testing.assert_allclose(one["estimate"], two["estimate"], rtol=0, atol=COEFFICIENT)
    for column in ("std_error", "df"):
        np.testing.assert_allclose(one[column], two[column], rtol=ERROR)


def options(data: str) -> Sequence[tuple[bool, str]]:
    """Weights or not; no covariate, one in categories, one as a number."""
    weights = [False, True] if data.startswith("cases") else [False]
    kinds = ["none"] if data == "mpdta" else ["none", "number"]
    kinds += ["category"] if data.startswith("cases") else []
    return [(w, kind) for w in weights for kind in kinds]


def stored_sample(from_r: Path, data: str, weights: bool, kind: str) -> Sample:
    sample = stored(from_r, data, weights=weights, x=kind == "category")
    return Sample(sample.frame, ("x",), sample.binary) if kind == "number" else sample


@pytest.mark.parametrize("data", DATA)
def test_cells_give_what_rows_give(from_r: Path, data: str) -> None:
    for weights, kind in options(data):
        sample = stored_sample(from_r, data, weights, kind)
        if kind == "number" and data.startswith("cases"):
            rng = np.random.default_rng(1)
            moved = sample.frame["x"] + rng.normal(2000, 1, len(sample.frame))
            sample = Sample(sample.frame.assign(x=moved), ("x",), sample.binary)
        small = compress(sample).sample()
        assert data in ("mpdta", "panel_shared") or len(small.frame) < len(sample.frame) / 4
        for vcov in ("CR0", "CR1", "CR1S", "fixest", "CR2", "CR2-cases", "CR3", "CR3J"):
            if vcov == "CR2-cases" and weights and kind == "number":
                continue
            settings = DidSettings(vcov=vcov)
            one, two = (classic.fit_python(s, settings) for s in (sample, small))
            assert_alike(one.tidy, two.tidy)
            assert one.glance == two.glance
        one, two = (event_study.fit_python(s, EventStudySettings()) for s in (sample, small))
        assert_alike(one.tidy, two.tidy)
        assert two.glance["leads_statistic"] == pytest.approx(
            one.glance["leads_statistic"], rel=1e-7
        )


@pytest.mark.parametrize("form", ["twfe", "stacked", "pilot-post"])
def test_matched_groups_weights_and_all_kinds_of_covariates(form: Any) -> None:
    sample = matched(3000)
    small = compress(sample).sample()
    for vcov in ("CR1", "CR1S", "CR2", "CR3"):
        settings = DidSettings(form=form, vcov=vcov)
        one, two = (classic.fit_python(s, settings) for s in (sample, small))
        assert_alike(one.tidy, two.tidy)
        assert one.glance == two.glance


def test_several_numeric_covariates() -> None:
    frame = matched(4000).frame
    rng = np.random.default_rng(2)
    frame["a"] = rng.normal(50, 3, len(frame)) + frame["age"]
    frame["b"] = rng.exponential(1e5, len(frame))
    frame["value"] += 0.1 * frame["a"] + 1e-5 * frame["b"]
    sample = Sample(frame, ("age", "a", "b"))
    one, two = (
        classic.fit_python(s, DidSettings(vcov="CR3")).tidy
        for s in (sample, compress(sample).sample())
    )
    assert_alike(one, two)


def test_the_bootstrap_and_randomisation_are_those_of_rows() -> None:
    sample = matched(2000, effect=0.2)
    methods = ("WCR", "WCU", "RI-beta", "RI-t")
    one, two = (
        inference(s, DidSettings(form="stacked"), methods)
        for s in (sample, compress(sample).sample())
    )
    assert one.warnings == two.warnings
    for column in ("p_value", "conf_low", "conf_high"):
        np.testing.assert_allclose(one.table[column], two.table[column], rtol=1e-7)
    pd.testing.assert_frame_equal(one.clusters, two.clusters, rtol=1e-8)


def test_a_logit_takes_cells_by_value() -> None:
    sample = matched(3000, binary=True)
    sample = Sample(sample.frame, ("ethnicity", "disabled"), binary=True)
    small = compress(sample).sample(by_value=True)
    settings = DidSettings(model="logit")
    one, two = (classic.fit_python(s, settings) for s in (sample, small))
    np.testing.assert_allclose(one.tidy["estimate"], two.tidy["estimate"], rtol=1e-8)
    np.testing.assert_allclose(one.tidy["std_error"], two.tidy["std_error"], rtol=1e-8)
    assert one.warnings == two.warnings


def test_every_way_in_gives_the_same_cells(tmp_path: Path) -> None:
    sample = matched(800)
    frame = sample.frame.drop(columns=["disabled"])
    frame.to_parquet(tmp_path / "cases.parquet", index=False)
    frame.to_csv(tmp_path / "cases.csv", index=False)
    ways = [
        frame,
        ibis.memtable(frame),
        tmp_path / "cases.parquet",
        str(tmp_path / "cases.csv"),
    ]
    made = [
        cells(way, weight="weight", covariates=("age", "ethnicity"), keys=(*KEYS, "group"))
        for way in ways
    ]
    for other in made[1:]:
        pd.testing.assert_frame_equal(made[0].frame, other.frame, rtol=SUMS, check_dtype=False)
    assert made[0].n_cases == 800
    assert (made[0].categories, made[0].numbers) == (("ethnicity",), ("age",))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10), cut=st.integers(1, 599))
def test_cells_of_the_union_are_the_sum_of_cells(seed: int, cut: int) -> None:
    sample = matched(600, seed=seed)
    order = np.random.default_rng(cut).permutation(600)
    first, rest = (Sample(sample.frame.iloc[o], sample.covariates) for o in np.split(order, [cut]))
    whole = compress(sample)
    parts = (compress(first) + compress(rest)).centred(whole.centres)
    pd.testing.assert_frame_equal(whole.frame, parts.frame, check_dtype=False, rtol=1e-8, atol=1e-8)
    one, two = (
        classic.fit_python(c.sample(), DidSettings(form="stacked")).tidy for c in (whole, parts)
    )
    assert_alike(one, two)


FITS: dict[str, Callable[[Sample, Any], Estimate]] = {
    "did": lambda sample, form: classic.fit_python(sample, DidSettings(form=form)),
    "event-study": lambda sample, form: event_study.fit_python(
        sample, EventStudySettings(form=form)
    ),
}
CHANGES: dict[str, Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]] = {
    "weights in another unit": lambda f, rng: f.assign(
        weight=f["weight"] * rng.choice([0.25, 3.0, 1e4])
    ),
    "cases as two halves": lambda f, _: pd.concat([f, f]).assign(weight=lambda g: g["weight"] / 2),
    "another order": lambda f, rng: f.iloc[rng.permutation(len(f))],
    "other names": lambda f, rng: f.assign(
        **dict.fromkeys(("unit", "cluster"), f["unit"].map(renamed(f["unit"], rng)))
    ),
}


def renamed(units: pd.Series, rng: np.random.Generator) -> dict[str, str]:
    names = sorted(set(units))
    return {name: f"unit {n}" for name, n in zip(names, rng.permutation(len(names)), strict=True)}


@pytest.mark.parametrize("estimator", FITS)
@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 100), form=st.sampled_from(["twfe", "stacked"]), as_cells=st.booleans())
def test_what_says_nothing_about_children_changes_nothing(
    estimator: str, change: str, seed: int, form: str, as_cells: bool
) -> None:
    sample = matched(500, seed=seed)
    frame = CHANGES[change](sample.frame, np.random.default_rng(seed))
    other = Sample(frame.reset_index(drop=True), sample.covariates)
    one = FITS[estimator](sample, form)
    two = FITS[estimator](compress(other).sample() if as_cells else other, form)
    assert_alike(one.tidy, two.tidy)


@pytest.mark.parametrize("estimator", FITS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100), form=st.sampled_from(["twfe", "stacked"]))
def test_a_zero_effect_stays_zero(estimator: str, seed: int, form: str) -> None:
    """What is left once the estimated effects are taken off the cases has no effect at all."""
    sample = matched(500, seed=seed, effect=2.0)
    tidy = FITS[estimator](sample, form).tidy.set_index("term")
    f = sample.frame
    if estimator == "did":
        effects = tidy["estimate"]["ATT"] * f["treated"] * f["post"]
    else:
        event = (f["period"] - f["cohort"]).where(f["treated"] == 1, -1)
        effects = event.map(lambda e: f"event={e}").map(tidy["estimate"]).fillna(0.0)
    without = compress(Sample(f.assign(value=f["value"] - effects), sample.covariates)).sample()
    left = FITS[estimator](without, form).tidy.set_index("term")
    assert tidy["estimate"].abs().max() > 0.1
    np.testing.assert_allclose(left["estimate"], 0.0, atol=COEFFICIENT)
    np.testing.assert_allclose(left["std_error"], tidy["std_error"], rtol=ERROR)


def test_cases_of_weight_zero_are_counted() -> None:
    frame = matched(500).frame
    frame.loc[:9, "weight"] = 0.0
    made = compress(Sample(frame, ()))
    assert (made.n_cases, made.n_weightless) == (490, 10)


def test_mistakes_are_sentences() -> None:
    frame = matched(300).frame
    with pytest.raises(DataError, match="no columns sex"):
        cells(frame, covariates=("sex",))
    holes = frame.assign(age=frame["age"].where(frame.index > 1))
    with pytest.raises(DataError, match="'age' has 2 missing or infinite values in 300 cases"):
        cells(holes, covariates=("age",))
    with pytest.raises(DataError, match="'unit' has 1 missing"):
        cells(frame.assign(unit=frame["unit"].where(frame.index > 0)))
    with pytest.raises(DataError, match="negative weights"):
        cells(frame.assign(weight=-1.0), weight="weight")
    with pytest.raises(DataError, match="There is no file"):
        cells("nowhere.parquet")
    with pytest.raises(DataError, match="same keys and covariates"):
        cells(frame) + cells(frame, covariates=("age",))
    with pytest.raises(DataError, match="taken apart by value"):
        compress(matched(300)).sample(by_value=True)


def test_cr2_by_case_of_weighted_cells_with_numbers_says_what_it_lacks() -> None:
    small = compress(matched(600)).sample()
    with pytest.raises(
        EstimationError, match="CR2-cases takes cases of different weights one by one"
    ):
        classic.fit_python(small, DidSettings(vcov="CR2-cases"))


@pytest.mark.parametrize("estimator", ["did", "event-study", "callaway-santanna"])
def test_only_engines_that_take_cells_get_them(estimator: str) -> None:
    registry = load_plugins()
    small = compress(Sample(matched(600).frame, ("ethnicity",))).sample()
    for engine in registry.engines(estimator):
        options = registry.settings("estimator", estimator, {}, "test")
        if engine.takes_cells:
            estimate = run_engine(registry, estimator, engine.name, small, options)
            assert estimate.estimate.glance["n_cases"] == 600
        elif not engine.missing():
            with pytest.raises(EngineUnavailableError, match="compressed to cells"):
                run_engine(registry, estimator, engine.name, small, options)
    assert {engine.takes_cells for engine in registry.engines(estimator)} == {True, False}
