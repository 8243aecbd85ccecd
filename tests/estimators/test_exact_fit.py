"""Values fitted exactly: no standard error, the right reason, nothing that rests on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sos_estimators.inference.results import ScoreErrors, drop_zero_errors, negligible
from sos_estimators.sample.warnings_text import few_df, weak_test

from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.errors import EstimationError
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.study.estimate import agreement, run_engine
from sos_plugins.tables.read_table import read_sample

EXACTLY = "there is no standard error, because the values are fitted exactly"
TOO_FEW = "the clusters are too few for a standard error"
ESTIMATORS = (
    "did",
    "event-study",
    "bacon",
    "placebo",
    "callaway-santanna",
    "sun-abraham",
    "imputation",
    "two-stage",
    "extended-twfe",
    "stacked",
)
WITHOUT_PYFIXEST = ("bacon", "placebo", "callaway-santanna")
PAIRS = [
    pytest.param(name, engine, marks=[pytest.mark.r] if engine == "r" else [])
    for name in ESTIMATORS
    for engine in ("python", "pyfixest", "r")
    if not (engine == "pyfixest" and name in WITHOUT_PYFIXEST)
]
NOISELESS = {"Ash": 9.0, "Birch": 10.0, "Cedar": 11.0, "Oak": 7.0, "Pine": 8.0, "Yew": 8.5}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def exact(folder: Path, *, scale: float = 1.0, noise: float = 0.0, units: int = 6) -> Sample:
    """Authorities with levels of their own, a common trend and an effect of 2 from period 3."""
    rng = np.random.default_rng(1)
    chosen = list(NOISELESS)[: units // 2] + list(NOISELESS)[3 : 3 + units // 2]
    rows = []
    for unit in chosen:
        cohort = 3 if unit < "D" else 0
        for t in range(1, 5):
            value = NOISELESS[unit] + 0.5 * t + 2 * (0 < cohort <= t) + noise * rng.normal()
            rows.append((unit, t, cohort, scale * value))
    frame = pd.DataFrame(rows, columns=["area", "year", "adopted", "score"])
    frame.to_csv(folder / "exact.csv", index=False)
    columns = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
    return read_sample(folder / "exact.csv", **columns).sample


def run(registry: Registry, name: str, engine: str, sample: Sample, **options: Any) -> Estimate:
    chosen = registry.settings("estimator", name, options, "test")
    return run_engine(registry, name, engine, sample, chosen, provenance=False).estimate


def told(estimate: Estimate) -> str:
    return " ".join(estimate.warnings)


@pytest.mark.parametrize("scale", [1.0, 1e7, 1e-6])
@pytest.mark.parametrize(("name", "engine"), PAIRS)
def test_an_exact_fit_is_told_as_one(
    registry: Registry, tmp_path: Path, name: str, engine: str, scale: float
) -> None:
    options = {"vcov": "CR1"} if name in ("did", "event-study") else {}
    estimate = run(registry, name, engine, exact(tmp_path, scale=scale), **options)
    effect = estimate.tidy.set_index("term")["estimate"].iloc[0 if name != "event-study" else -1]
    assert effect == pytest.approx(2 * scale, rel=1e-5)
    assert estimate.tidy["std_error"].isna().all()
    assert estimate.tidy["p_value"].isna().all()
    if "no_std_error" not in estimate.glance:
        assert EXACTLY in told(estimate)
    assert "too few for a standard error" not in told(estimate)
    assert "degrees of freedom" not in told(estimate)
    assert estimate.glance.get("leads_p_value") is None


@pytest.mark.parametrize(("name", "engine"), PAIRS)
def test_noise_far_below_the_differences_of_levels_is_no_exact_fit(
    registry: Registry, tmp_path: Path, name: str, engine: str
) -> None:
    options = {"vcov": "CR1"} if name in ("did", "event-study") else {}
    estimate = run(registry, name, engine, exact(tmp_path, noise=1e-4), **options)
    assert EXACTLY not in told(estimate)
    if "no_std_error" not in estimate.glance:
        headline = registry.estimator(name).headline(
            registry.settings("estimator", name, options, "test")
        )
        assert estimate.term(headline)["std_error"] > 0


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_one_pilot_and_one_comparator_are_too_few_clusters_and_no_exact_fit(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    sample = exact(tmp_path, noise=0.3, units=2)
    for name in ("did", "event-study", "callaway-santanna"):
        options = {"errors": "analytic"} if name == "callaway-santanna" else {}
        found = run(registry, name, engine, sample, **options)
        assert TOO_FEW in told(found)
        assert EXACTLY not in told(found)
    own = run(registry, "callaway-santanna", engine, sample)
    assert "on one treated cluster, which shows nothing" in told(own)
    assert EXACTLY not in told(own)


def test_it_is_said_which_terms_have_no_standard_error() -> None:
    own = ScoreErrors(np.array([0.1, 1e-17, 0.2]), exactly=False)
    given = np.array([0.12, 3e-8, 0.24])  # the root of a variance that is zero but for rounding
    errors, told = drop_zero_errors(given, ("a", "b", "c"), np.arange(5.0), lambda: own)
    np.testing.assert_array_equal(errors, [0.12, np.nan, 0.24])
    assert told[0].startswith(f"b: {TOO_FEW}")
    real = ScoreErrors(np.array([0.1, 3e-8, 0.2]), exactly=False)
    errors, told = drop_zero_errors(given, ("a", "b", "c"), np.arange(5.0), lambda: real)
    np.testing.assert_array_equal(errors, given)
    assert told == ()


def test_bounds_need_standard_errors(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(EstimationError, match=r"have no standard error.*fitted exactly"):
        run(registry, "honest-did", "python", exact(tmp_path))


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_methods_that_rest_on_a_standard_error_give_no_p_value(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    methods = ["CR1", "CR2", "CR3", "WCR", "WCU", "RI-t", "RI-beta"]
    estimate = run(registry, "did", engine, exact(tmp_path), inference=methods)
    table = pd.DataFrame(estimate.glance["inference"]).set_index("method")
    assert list(table.index) == methods
    assert table["estimate"].tolist() == pytest.approx([2.0] * len(methods))
    without = table.drop(index="RI-beta")
    for column in ("std_error", "statistic", "p_value", "conf_low", "conf_high"):
        assert without[column].isna().all()
    assert table.loc["RI-beta", "p_value"] == pytest.approx(2 / 20)  # two of choose(6, 3)
    assert "disagree" not in told(estimate)


@pytest.mark.r
@pytest.mark.parametrize("name", ESTIMATORS)
def test_engines_agree_that_there_is_none(registry: Registry, tmp_path: Path, name: str) -> None:
    sample = exact(tmp_path)
    chosen = registry.settings("estimator", name, {}, "test")
    first = run_engine(registry, name, "python", sample, chosen, provenance=False)
    for engine in registry.engines(name)[1:]:
        if engine.missing() or engine.limits(sample, chosen):
            continue
        other = run_engine(registry, name, engine.name, sample, chosen, provenance=False)
        assert agreement("o", engine, first, other).verdict == "agree"


def test_four_degrees_of_freedom_but_for_rounding_are_not_fewer_than_four() -> None:
    almost = np.array([4 - 2e-15, 3.996, 3.99, 4.2])
    (sentence,) = few_df(("a", "b", "c", "d"), almost, "CR2")
    assert "for c (3.99): too few" in sentence
    assert few_df(("a",), almost[:1], "CR2") == ()
    assert few_df(("c",), almost[2:3], "CR2", np.array([np.nan])) == ()
    assert weak_test(2, 4 - 1e-12) == weak_test(2, 3.96) == ()
    assert "3.9 degrees" in weak_test(2, 3.94)[0]


def test_what_is_negligible_goes_with_the_values() -> None:
    values = np.array([1.0, 2.0, 4.0])
    assert negligible(1e6 * values) == pytest.approx(1e6 * negligible(values))
    assert negligible(values) < 1e-9
    assert negligible(1e9 + values) >= 1e-5  # what a double at 1e9 cannot tell
