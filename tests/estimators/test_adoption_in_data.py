"""Who adopts within the data: one rule for every estimator, against other tables and R's lm."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import examples

from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.errors import EstimationError, SosError
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.study.estimate import run_engine
from sos_plugins.tables.read_table import read_sample

REGRESSIONS = ("did", "event-study", "placebo", "honest-did", "bacon")
STAGGERED = (
    "callaway-santanna",
    "sun-abraham",
    "imputation",
    "two-stage",
    "extended-twfe",
    "stacked",
)
LEAVES_OUT = {"bacon": {"always_treated": "drop"}}
NEVER_TOLD = "count as never treated"
LEFT_OUT = "have no case before treatment, and are left out"
R_LM = {"never coded 9999": 2.045556, "nobody never treated": 2.265, "always treated": 1.999423}
"""Coefficients of R's lm(score ~ D + factor(area) + factor(year)) on the three tables."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def table(case: str) -> pd.DataFrame:
    (folder,) = (Path(__file__).parents[1] / "cases").glob(f"{case}*")
    return pd.read_csv(folder / "data.csv")


def sample_of(frame: pd.DataFrame, folder: Path) -> Sample:
    frame.to_csv(folder / "data.csv", index=False)
    columns = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
    return read_sample(folder / "data.csv", **columns).sample


def run(
    registry: Registry, name: str, sample: Sample, engine: str | None = "python", **options: Any
) -> Estimate:
    chosen = registry.settings("estimator", name, options, "test")
    return run_engine(registry, name, engine, sample, chosen, provenance=False).estimate


def figures(estimate: Estimate) -> pd.DataFrame:
    return estimate.tidy.select_dtypes("number")


def told(estimate: Estimate) -> str:
    return " ".join(estimate.warnings)


@pytest.mark.parametrize("name", [*REGRESSIONS, *STAGGERED])
def test_units_treated_before_the_data_are_left_out_and_told(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    frame = table("always-treated")
    options = LEAVES_OUT.get(name, {})
    with_them = run(registry, name, sample_of(frame, tmp_path), **options)
    without = run(registry, name, sample_of(frame[frame["adopted"] != 2008], tmp_path), **options)
    pd.testing.assert_frame_equal(figures(with_them), figures(without))
    assert f"cohorts 2008 (3 units, 15 cases) {LEFT_OUT}" in told(with_them)
    assert set(without.warnings) < set(with_them.warnings)
    for key in ("n_treated_units", "n_treated_clusters", "n_clusters"):
        assert with_them.glance.get(key) == without.glance.get(key)


def test_the_effect_without_them_is_that_of_the_table_without_them(
    registry: Registry, tmp_path: Path
) -> None:
    estimate = run(registry, "did", sample_of(table("always-treated"), tmp_path), vcov="CR1")
    assert estimate.term("ATT")["estimate"] == pytest.approx(2.50667, abs=5e-6)
    assert estimate.glance["n_treated_clusters"] == 2
    assert "Only 2 clusters are treated" in told(estimate)


def test_kept_they_are_told_to_be_comparators_and_never_counted_as_changing(
    registry: Registry, tmp_path: Path
) -> None:
    sample = sample_of(table("always-treated"), tmp_path)
    kept = run(registry, "did", sample, vcov="CR1", always_treated="keep")
    assert kept.term("ATT")["estimate"] == pytest.approx(1.86583, abs=5e-6)
    assert "serve as comparators although they are treated" in told(kept)
    assert kept.glance["n_treated_units"] == kept.glance["n_treated_clusters"] == 2
    assert "Only 2 clusters are treated" in told(kept)
    bacon = run(registry, "bacon", sample)
    row = bacon.term("2013 vs always")
    assert (row["estimate"], row["weight"]) == (pytest.approx(1.225), pytest.approx(0.5))
    assert "50% of the weight is on comparisons with units treated in every period" in told(bacon)


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_bacon_decomposes_the_regression_on_the_table_as_it_is(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    estimate = run(registry, "bacon", sample_of(table("bacon-with-always"), tmp_path), engine)
    overall, parts = estimate.tidy.iloc[0], estimate.tidy.iloc[1:]
    assert overall["estimate"] == pytest.approx(R_LM["always treated"], abs=5e-7)
    assert parts["weight"].sum() == pytest.approx(1)
    assert (parts["weight"] * parts["estimate"]).sum() == pytest.approx(overall["estimate"])


def test_many_always_treated_units_do_not_silence_the_caution_of_few(
    registry: Registry, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    cohorts = {f"a{i:02}": 0 for i in range(12)} | {f"b{i:02}": 2008 for i in range(12)}
    cohorts |= {"c1": 2013, "c2": 2013}
    rows = [(u, t, g, rng.normal()) for u, g in cohorts.items() for t in range(2011, 2016)]
    sample = sample_of(pd.DataFrame(rows, columns=["area", "year", "adopted", "score"]), tmp_path)
    for always in ("drop", "keep"):
        estimate = run(
            registry,
            "did",
            sample,
            vcov="CR1",
            inference=["WCR"],
            draws=99,
            always_treated=always,
        )
        assert "Only 2 clusters are treated" in told(estimate)
        assert "With 2 treated clusters WCR tends to reject too rarely" in told(estimate)


@pytest.mark.parametrize("name", [*REGRESSIONS, *STAGGERED])
def test_adoption_after_the_data_is_never_whatever_its_code(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    frame = table("never-coded-9999")
    zero = frame.assign(adopted=frame["adopted"].replace({9999: 0}))
    expected = figures(run(registry, name, sample_of(zero, tmp_path)))
    mixed = frame["area"].eq("Yew")
    for codes in (frame["adopted"], frame["adopted"].mask(mixed, 0), zero["adopted"] + 0):
        for late in (9999, 2016, 10000):
            coded = frame.assign(adopted=codes.replace({9999: late}))
            estimate = run(registry, name, sample_of(coded, tmp_path))
            pd.testing.assert_frame_equal(figures(estimate), expected)
            assert (NEVER_TOLD in told(estimate)) == bool((codes == 9999).any())


def test_never_coded_9999_gives_the_regression_of_r(registry: Registry, tmp_path: Path) -> None:
    sample = sample_of(table("never-coded-9999"), tmp_path)
    for form in ("twfe", "pilot-post"):  # alike in a balanced panel with one adoption
        estimate = run(registry, "did", sample, form=form)
        assert estimate.term("ATT")["estimate"] == pytest.approx(R_LM["never coded 9999"], abs=5e-7)


def test_anticipation_counts_for_late_cohorts(registry: Registry, tmp_path: Path) -> None:
    """A cohort one period after the data may be affected within them if one period anticipates."""
    rng = np.random.default_rng(0)
    cohorts = {"a": 3, "b": 3, "c": 5, "d": 5, "e": 0, "f": 0}
    rows = [(u, t, g, rng.normal()) for u, g in cohorts.items() for t in range(1, 5)]
    sample = sample_of(pd.DataFrame(rows, columns=["area", "year", "adopted", "score"]), tmp_path)
    for name in ("callaway-santanna", "imputation", "sun-abraham"):
        assert NEVER_TOLD in told(run(registry, name, sample, aggregate="simple"))
        aware = run(registry, name, sample, aggregate="simple", anticipation=1)
        assert NEVER_TOLD not in told(aware)


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_where_nobody_is_never_treated_the_two_way_regression_is_run_and_told(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    sample = sample_of(table("nobody-never"), tmp_path)
    estimate = run(registry, "did", sample, engine)
    assert estimate.term("ATT")["estimate"] == pytest.approx(R_LM["nobody never treated"])
    assert "units already treated serve as comparators" in told(estimate)
    parts = run(registry, "bacon", sample, engine).tidy.set_index("term")
    assert parts.loc["2 vs 4", "estimate"] == pytest.approx(2.135)
    assert parts.loc["4 vs 2", "estimate"] == pytest.approx(2.33)
    assert parts.loc[["2 vs 4", "4 vs 2"], "weight"].tolist() == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_an_event_study_without_never_treated_refuses_only_what_is_not_identified(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    frame = table("nobody-never")
    sample = sample_of(frame, tmp_path)
    with pytest.raises(EstimationError, match="no unit is never treated, and then a trend"):
        run(registry, "event-study", sample, engine)
    estimate = run(registry, "event-study", sample, engine, lags_only=True)
    event = (frame["year"] - frame["adopted"]).to_numpy()
    lags = list(range(int(event.max()) + 1))
    columns = [
        *(event == e for e in lags),
        *(frame["area"] == u for u in frame["area"].unique()),
        *(frame["year"] == t for t in sorted(frame["year"].unique())[1:]),
    ]
    dense = np.column_stack([np.asarray(c, dtype=float) for c in columns])
    assert np.linalg.matrix_rank(dense) == dense.shape[1]
    expected = np.linalg.lstsq(dense, frame["score"].to_numpy(), rcond=None)[0][: len(lags)]
    got = estimate.tidy.set_index("term").loc[[f"event={e}" for e in lags], "estimate"]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_one_cohort_alone_has_nobody_to_be_compared_with(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    frame = table("nobody-never")
    with pytest.raises(EstimationError, match="every unit is treated, and no two"):
        run(registry, "did", sample_of(frame[frame["adopted"] == 2], tmp_path), engine)


def test_a_table_whose_adoptions_are_all_late_or_early_says_so(
    registry: Registry, tmp_path: Path
) -> None:
    frame = table("never-coded-9999")
    late = frame.assign(adopted=frame["adopted"].replace({2013: 2020}))
    early = frame.assign(adopted=frame["adopted"].replace({2013: 2009}))
    for name in ("did", "event-study", "placebo"):
        with pytest.raises(EstimationError, match="treated after the last period"):
            run(registry, name, sample_of(late, tmp_path))
        with pytest.raises(EstimationError, match="No treated unit has a case before"):
            run(registry, name, sample_of(early, tmp_path))


def test_placebo_authorities_take_an_adoption_within_the_data(
    registry: Registry, tmp_path: Path
) -> None:
    frame = table("placebo-without")
    for always in ("drop", "keep"):
        sample = sample_of(frame, tmp_path)
        estimate = run(registry, "placebo", sample, kind="units", always_treated=always)
        assert estimate.glance["n_ranked"] == 4
    assert run(registry, "placebo", sample, kind="units").glance["rank_p_value"] == 0.25
    late = frame.assign(adopted=frame["adopted"].replace({2009: 2019}))
    assert run(registry, "placebo", sample_of(late, tmp_path), kind="units").glance["n_ranked"] == 7


def test_there_is_no_rank_without_a_placebo(registry: Registry, tmp_path: Path) -> None:
    sample = sample_of(table("nobody-never"), tmp_path)
    estimate = run(registry, "placebo", sample, kind="units")
    assert estimate.glance["rank_p_value"] is None
    assert estimate.glance["n_placebos"] == 0
    assert "There is no rank: there is no placebo to compare with." in estimate.warnings


@settings(max_examples=examples(25), deadline=None)
@given(
    extra=st.lists(st.sampled_from([-5, 0, 1, 7, 8, 50, 9999]), min_size=1, max_size=4),
    seed=st.integers(0, 10_000),
)
def test_early_and_late_cohorts_change_no_estimator_but_as_comparators(
    registry: Registry, tmp_path_factory: pytest.TempPathFactory, extra: list[int], seed: int
) -> None:
    """Early units might as well not be there, late ones as well be coded 0."""
    folder = tmp_path_factory.mktemp("cohorts")
    rng = np.random.default_rng(seed)
    early = [g for g in extra if 0 < g <= 1]
    cohorts = dict(enumerate([3, 3, 5, 0, 0, *(g for g in extra if g >= 0)]))
    values = {(u, t): rng.normal() for u, t in itertools.product(cohorts, range(1, 7))}
    rows = [(f"u{u:02}", t, cohorts[u], v) for (u, t), v in values.items()]
    frame = pd.DataFrame(rows, columns=["area", "year", "adopted", "score"])
    plain = frame[frame["adopted"] != 1].assign(
        adopted=lambda d: d["adopted"].where(d["adopted"] < 7, 0)
    )
    for name in ("did", "event-study", "bacon", "callaway-santanna", "imputation"):
        options = LEAVES_OUT.get(name, {})
        estimate = run(registry, name, sample_of(frame, folder), **options)
        expected = run(registry, name, sample_of(plain, folder), **options)
        pd.testing.assert_frame_equal(figures(estimate), figures(expected))
        assert (LEFT_OUT in told(estimate)) == bool(early)
        assert (NEVER_TOLD in told(estimate)) == any(g > 6 for g in extra)


def test_the_rule_is_one_and_no_estimator_refuses_what_another_takes(
    registry: Registry, tmp_path: Path
) -> None:
    """Random mixtures of codes: each estimator estimates, or says in a sentence why not."""
    rng = np.random.default_rng(5)
    for _ in range(15):
        cohorts = rng.choice([0, 1, 2, 3, 6, 9999], 6)
        rows = [(f"u{u}", t, cohorts[u], rng.normal()) for u in range(6) for t in range(1, 5)]
        frame = pd.DataFrame(rows, columns=["area", "year", "adopted", "score"])
        seen = {}
        for name in ("did", "imputation", "two-stage", "extended-twfe"):
            try:
                seen[name] = run(registry, name, sample_of(frame, tmp_path))
            except SosError:
                seen[name] = None
        if seen["imputation"] is not None and ((cohorts == 0) | (cohorts > 4)).any():
            assert all(seen.values())
            assert len({e.glance["n_treated_units"] for e in seen.values() if e}) == 1
