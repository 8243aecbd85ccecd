"""Few treated authorities and bad input: a figure that holds, or a sentence."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sos_plugins.errors import EstimationError, SosError
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.study.estimate import agreement, run_engine
from sos_plugins.study.result import NamedEstimate
from sos_plugins.tables.read_table import read_sample

STAGGERED = (
    "callaway-santanna",
    "sun-abraham",
    "imputation",
    "two-stage",
    "extended-twfe",
    "stacked",
)
ANALYTIC = ("own-effects", "t-own", "sign-flips", "jackknife", "RI-t")
METHODS = (*ANALYTIC, "RI-beta")
REFIT = 1e-8  # the same sums in another order, of values of size one
N_FUZZ = 12  # tables of each estimator; a thousand more were drawn by hand


@functools.cache
def registry() -> Registry:
    return load_plugins()


def table(cohorts: list[int], periods: int = 6, *, seed: int = 0, kind: str = "noise") -> Any:
    """Two cases of each authority in each period."""
    rng = np.random.default_rng(seed)
    rows = []
    for u, g in enumerate(cohorts):
        for t in np.repeat(np.arange(1, periods + 1), 2):
            post = float(0 < g <= t)
            exact = u + 0.5 * t + 2 * post
            noise = rng.normal()
            score = {"noise": exact + noise, "exact": exact, "flat before": 1 + post * noise}[kind]
            rows.append((f"u{u}", int(t), g, score))
    frame = pd.DataFrame(rows, columns=["area", "year", "adopted", "score"])
    return frame.assign(case=frame["area"] + "-" + (frame.index % 2).astype(str))


def run(
    estimator: str, frame: Any, folder: Path, engine: str = "python", **further: Any
) -> NamedEstimate:
    """Estimate as a user would; what is no setting names a column."""
    columns = {k: further.pop(k) for k in ("id", "cluster", "weights") if k in further}
    frame.to_csv(folder / "data.csv", index=False)
    named = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
    sample = read_sample(folder / "data.csv", **named, **columns).sample
    chosen = registry().settings("estimator", estimator, further, "the test")
    return run_engine(registry(), estimator, engine, sample, chosen, provenance=False)


def or_sentence(*what: Any, **further: Any) -> NamedEstimate | None:
    """Run, or None where a sentence of ours says why not."""
    try:
        return run(*what, **further)
    except SosError as error:
        if " failed" in str(error):  # nobody foresaw it
            raise
        return None


def side_by_side(named: NamedEstimate) -> pd.DataFrame:
    frame = pd.DataFrame(named.estimate.glance["inference"])
    figures = ["estimate", "std_error", "p_value"]
    return frame.assign(**{c: pd.to_numeric(frame[c]) for c in figures})


def told(named: NamedEstimate) -> str:
    words = " ".join(named.estimate.warnings)
    assert " warned (" not in words, words  # of numpy, such as a division by zero
    return words


def assert_table_is_of_the_estimate(named: NamedEstimate) -> None:
    wanted = named.estimate.tidy.set_index("term")["estimate"]
    rows = side_by_side(named)
    rows = rows[~rows["method"].isin(["t-own", "sign-flips"])]  # whose estimate is a plain mean
    assert not rows.empty
    np.testing.assert_allclose(rows["estimate"], wanted[rows["term"]], atol=REFIT)


@pytest.mark.parametrize("estimator", STAGGERED)
def test_one_pilot_in_all_has_an_estimate_no_error_and_a_sentence(
    estimator: str, tmp_path: Path
) -> None:
    found = run(estimator, table([0] * 5 + [4]), tmp_path, inference=METHODS, aggregate="simple")
    assert found.estimate.tidy[["std_error", "p_value", "conf_low"]].isna().all(axis=None)
    words = told(found)
    assert "rests on one treated cluster" in words or "rest on one treated cluster" in words
    rows = side_by_side(found).set_index("method")
    for method in ANALYTIC:
        assert np.isnan(rows.loc[method, "p_value"])
        if method != "jackknife":
            assert f"{method} needs two treated authorities" in words
    assert "There is no jackknife of overall" in words
    assert "There are only 6 assignments" in words
    assert rows.loc["RI-beta", "p_value"] * 6 == pytest.approx(
        round(6 * rows.loc["RI-beta"].p_value)
    )


@pytest.mark.parametrize("estimator", STAGGERED)
def test_where_all_adopt_at_once_there_is_a_sentence(estimator: str, tmp_path: Path) -> None:
    with pytest.raises(EstimationError, match=r"[a-z].*\."):
        run(estimator, table([4] * 5), tmp_path)


@pytest.mark.parametrize("estimator", ["callaway-santanna", "imputation", "extended-twfe"])
@pytest.mark.parametrize("aggregate", ["event", "simple", "cohort", "calendar", "group-time"])
def test_where_nobody_is_never_treated_the_table_is_of_the_same_effects(
    estimator: str, aggregate: str, tmp_path: Path
) -> None:
    """The last cohort serves for comparison, and has no leads of its own."""
    found = run(
        estimator,
        table([3, 4, 5, 5]),
        tmp_path,
        control="notyettreated",
        inference=METHODS,
        aggregate=aggregate,
        draws=99,
    )
    if aggregate == "group-time":
        told(found)
    assert_table_is_of_the_estimate(found)


JACKKNIFED = [
    ("callaway-santanna", {"aggregate": "cohort"}),
    ("callaway-santanna", {"aggregate": "cohort", "control": "notyettreated"}),
    ("imputation", {"aggregate": "cohort", "control": "nevertreated", "leads": False}),
    ("two-stage", {"aggregate": "cohort"}),
    ("extended-twfe", {"aggregate": "cohort"}),
    ("sun-abraham", {"aggregate": "cohort"}),
    ("stacked", {"before": 1, "after": 1, "aggregate": "simple"}),
]


@pytest.mark.parametrize(("estimator", "options"), JACKKNIFED)
@pytest.mark.parametrize("cohorts", [[0, 3, 4, 4], [0, 0, 0, 3, 4, 4], [0, 0, 3, 3, 4, 4]])
def test_the_jackknife_is_of_refits_or_missing(
    estimator: str, options: dict[str, Any], cohorts: list[int], tmp_path: Path
) -> None:
    """Without the only pilot of a cohort, or the only comparator, there is none."""
    frame = table(cohorts, seed=5)
    found = run(estimator, frame, tmp_path, inference=("jackknife",), **options)
    whole = found.estimate.tidy.set_index("term")["estimate"]
    squares = pd.Series(0.0, index=whole.index)
    for unit in frame["area"].unique():
        left = frame[frame["area"] != unit]
        refit = pd.Series(np.nan, index=whole.index)
        if (left["adopted"] == 0).any():  # else the last cohort is compared with: other averages
            less = run(estimator, left, tmp_path, **options)
            refit = less.estimate.tidy.set_index("term")["estimate"].reindex(whole.index)
        squares += (refit - whole) ** 2
    n = len(cohorts)
    wanted = np.sqrt((n - 1) / n * squares)
    rows = side_by_side(found).set_index("term")["std_error"]
    np.testing.assert_allclose(rows, wanted[rows.index], atol=REFIT)
    words = told(found)
    assert ("There is no jackknife of" in words) == bool(rows.isna().any())


@pytest.mark.parametrize("estimator", STAGGERED)
def test_an_exact_outcome_gives_no_p_value_from_rounding(estimator: str, tmp_path: Path) -> None:
    found = run(
        estimator, table([0, 0, 0, 0, 3, 4, 4], kind="exact"), tmp_path, inference=METHODS, draws=99
    )
    assert found.estimate.tidy["p_value"].isna().all()
    rows = side_by_side(found)
    rested = rows[rows["method"] != "RI-beta"]
    assert rested[["std_error", "p_value"]].isna().all(axis=None)
    words = told(found)
    assert "own effects are alike but for rounding" in words
    zero = rows[(rows["method"] == "RI-beta") & (rows["estimate"].abs() < REFIT)]
    assert (zero["p_value"] == 1).all()


@pytest.mark.parametrize("estimator", STAGGERED)
def test_an_outcome_constant_before_has_leads_without_errors(
    estimator: str, tmp_path: Path
) -> None:
    found = run(
        estimator,
        table([0, 0, 0, 0, 4, 4, 4], kind="flat before", seed=3),
        tmp_path,
        inference=METHODS,
        draws=99,
    )
    told(found)
    tidy, rows = found.estimate.tidy, side_by_side(found)
    for frame in (tidy, rows[rows["method"] != "RI-beta"]):
        leads = frame[frame["term"].str.startswith("event=-")]
        assert leads[["std_error", "p_value"]].isna().all(axis=None)
        assert (leads["estimate"].abs() < REFIT).all()
    overall = tidy[tidy["term"] == "overall"].iloc[0]
    assert overall["std_error"] > 0
    assert 0 < overall["p_value"] <= 1


@pytest.mark.parametrize(("never", "n"), [(3, 10), (4, 15), (5, 21)])
def test_the_smallest_p_value_is_said_with_fewer_than_20_assignments(
    never: int, n: int, tmp_path: Path
) -> None:
    """Two pilots of one date among ``never + 2`` authorities can be dealt in n ways."""
    found = run("imputation", table([0] * never + [4, 4]), tmp_path, inference=("RI-t",))
    sentence = f"There are only {n} assignments to compare with"
    words = told(found)
    assert (sentence in words) == (n < 20)
    assert (f"no p value of RI-t is below {1 / n:.2g}" in words) == (n < 20)
    p = side_by_side(found)["p_value"]
    assert (p.dropna() >= 1 / n).all()


@pytest.mark.parametrize("estimator", STAGGERED)
def test_an_authority_of_weight_0_is_as_if_it_were_not_there(
    estimator: str, tmp_path: Path
) -> None:
    frame = table([0, 0, 0, 0, 4, 4, 4])
    weighted = frame.assign(w=(frame["area"] != "u6").astype(float))
    options = {"inference": ("own-effects", "RI-t"), "draws": 99}
    with_it = run(estimator, weighted, tmp_path, weights="w", **options)
    without = run(estimator, frame[frame["area"] != "u6"], tmp_path, **options)
    pd.testing.assert_frame_equal(with_it.estimate.tidy, without.estimate.tidy, atol=REFIT)
    pd.testing.assert_frame_equal(side_by_side(with_it), side_by_side(without), atol=REFIT)
    assert "12 cases of weight 0 are left out." in told(with_it)


@pytest.mark.parametrize("estimator", STAGGERED)
@pytest.mark.parametrize(
    "further", [{"cluster": "crossing"}, {"cluster": "coarser"}, {"id": "case"}]
)
def test_dates_are_dealt_out_to_authorities_only(
    estimator: str, further: dict[str, str], tmp_path: Path
) -> None:
    frame = table([0, 0, 0, 0, 4, 4, 4])
    frame["crossing"] = "p" + frame["year"].astype(str)
    frame["coarser"] = "o" + (frame["area"].str[1:].astype(int) // 2).astype(str)
    found = run(estimator, frame, tmp_path, inference=("RI-t",), **further)
    assert "inference" not in found.estimate.glance
    words = told(found)
    assert "There is no table of inference" in words
    assert "leave the columns 'cluster' and 'id' out" in words
    assert "fitted exactly" not in words  # the values are noise


def test_weights_too_unlike_for_sums_are_said(tmp_path: Path) -> None:
    frame = table([0, 0, 0, 0, 4, 4, 4])
    frame["w"] = np.where(frame["area"] == "u1", 1e9, 1.0)
    found = run("sun-abraham", frame, tmp_path, inference=("RI-t",), weights="w")
    assert "inference" not in found.estimate.glance
    assert "too much for sums over authorities" in told(found)


def test_a_panel_with_gaps_has_no_table_of_means(tmp_path: Path) -> None:
    frame = table([0, 0, 0, 0, 4, 4, 4]).drop_duplicates(["area", "year"])
    whole = run("callaway-santanna", frame, tmp_path, inference=("RI-t",), id="area")
    assert_table_is_of_the_estimate(whole)
    gaps = frame[(frame["area"] != "u1") | (frame["year"] != 5)]
    found = run("callaway-santanna", gaps, tmp_path, inference=("RI-t",), id="area")
    assert "in a panel with gaps" in told(found)
    assert "inference" not in found.estimate.glance


@pytest.mark.parametrize("estimator", STAGGERED)
@pytest.mark.parametrize("seed", range(4))
def test_tables_with_gaps_give_the_same_estimate_or_a_sentence(
    estimator: str, seed: int, tmp_path: Path
) -> None:
    frame = table([0, 0, 0, 3, 4, 5, 9], seed=seed)
    kept = np.random.default_rng(seed).random(len(frame)) < 0.5
    found = or_sentence(estimator, frame[kept], tmp_path, inference=METHODS, draws=99)
    if found is None:
        return
    words = told(found)
    if "inference" in found.estimate.glance:
        assert_table_is_of_the_estimate(found)
    else:
        assert "There is no table of inference: sums over authorities" in words


@pytest.mark.parametrize("estimator", STAGGERED)
@pytest.mark.parametrize("level", [0.5, 0.999])
def test_any_level_of_confidence(estimator: str, level: float, tmp_path: Path) -> None:
    """Wider at a higher level, and around the estimate; an end may be open."""
    frame = table([0] * 4 + [3, 4, 4], seed=2)
    options = {"inference": METHODS, "draws": 99, "aggregate": "simple"}
    found = run(estimator, frame, tmp_path, conf_level=level, **options)
    wider = run(estimator, frame, tmp_path, conf_level=(1 + level) / 2, **options)
    for one, other in zip(
        side_by_side(found).to_dict("records"), side_by_side(wider).to_dict("records"), strict=True
    ):
        low, high = float(one["conf_low"] or "nan"), float(one["conf_high"] or "nan")
        if np.isnan(low):
            continue
        assert low <= one["estimate"] <= high
        assert float(other["conf_low"]) <= low
        assert float(other["conf_high"]) >= high
    told(found)


def odd_cohorts(rng: np.random.Generator, periods: int) -> list[int]:
    """One to four pilots, some of which adopt before, at the end of or after the data."""
    pilots = rng.integers(1, periods + 3, rng.integers(1, 5))
    return [0] * int(rng.integers(0, 5)) + [int(g) for g in pilots]


@pytest.mark.r
@pytest.mark.slow
@pytest.mark.parametrize("estimator", STAGGERED)
def test_python_and_r_agree_with_default_errors(estimator: str, tmp_path: Path) -> None:
    """Or both say why not."""
    engines = {engine.name: engine for engine in registry().engines(estimator)}
    compared = 0
    for seed in range(N_FUZZ):
        rng = np.random.default_rng((41, seed))
        periods = int(rng.integers(3, 7))
        frame = table(odd_cohorts(rng, periods), periods, seed=seed)
        frame = frame[rng.random(len(frame)) < rng.choice([1.0, 0.8])]
        ours, theirs = (or_sentence(estimator, frame, tmp_path, e) for e in ("python", "r"))
        assert (ours is None) == (theirs is None), seed
        if ours is not None and theirs is not None:
            verdict = agreement("score", engines["r"], ours, theirs)
            assert verdict.verdict == "agree", (seed, verdict.reason)
            compared += 1
    assert compared >= N_FUZZ // 4
