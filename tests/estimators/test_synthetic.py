"""Weights on the pool: published effects, weights by scipy, errors by their definitions."""

from __future__ import annotations

import itertools
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import staggered_samples as made
from scipy.optimize import nnls
from sos_estimators.synthetic import engine_diff_diff, engine_r
from sos_estimators.synthetic.measured import measure, weigh_augmented, weigh_did
from sos_estimators.synthetic.panel import make_panel
from sos_estimators.synthetic.plugins import fit_augmented, fit_did
from sos_estimators.synthetic.result import Method, estimate
from sos_estimators.synthetic.settings import AugmentedSettings, SyntheticDidSettings
from sos_estimators.synthetic.simplex import Following, follow

from sos_plugins import Estimate, Sample
from sos_plugins.errors import EstimationError, SettingsError
from sos_plugins.host.settings import validate

Floats = npt.NDArray[np.float64]
EXACT = 1e-9  # the same solution by another exact method, in double precision
PUBLISHED = 0.05  # the paper gives one decimal
SPARSE = 0.02  # packs, points: Frank and Wolfe's algorithm as the packages stop and thin it
DRAWS = 99


def did(sample: Sample, **options: Any) -> Estimate:
    return fit_did(sample, SyntheticDidSettings(**{"draws": DRAWS, **options}))


def augmented(sample: Sample, **options: Any) -> Estimate:
    given = {"draws": DRAWS, "poor_fit": "tell", **options}
    return fit_augmented(sample, AugmentedSettings(**given))


def panel(value: Floats, cohort: list[int], weight: Floats | float = 1.0) -> Sample:
    """Make a sample of means, (units, periods), periods from 1 on."""
    units, periods = value.shape
    frame = pd.DataFrame(
        {
            "unit": np.repeat([f"E{u:02}" for u in range(units)], periods),
            "period": np.tile(np.arange(1, periods + 1), units),
            "cohort": np.repeat(cohort, periods),
            "value": value.ravel(),
            "weight": np.broadcast_to(weight, value.shape).ravel(),
        }
    )
    return Sample(made.labelled(frame.assign(cluster=frame["unit"])))


def noise(units: int = 14, periods: int = 9, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(units, periods)).cumsum(axis=1)
    return np.asarray(50 + rng.normal(0, 3, (units, 1)) + steps)


@cache
def california(from_r: Path) -> tuple[Sample, pd.DataFrame]:
    wide = pd.read_csv(from_r / "california_prop99.csv", index_col="State")
    frame = wide.rename(columns=int).melt(ignore_index=False, var_name="period").reset_index()
    frame = frame.rename(columns={"State": "unit"}).astype({"period": int})
    frame["cohort"] = np.where(frame["unit"] == "California", 1989, 0)
    return Sample(made.labelled(frame.assign(cluster=frame["unit"], weight=1.0))), wide


def mixture(columns: Floats, aim: Floats, ridge: float) -> Floats:
    """Follow an aim by a mixture of columns, an intercept apart: scipy's own active set."""
    a, b = columns - columns.mean(axis=0), aim - aim.mean()
    k = a.shape[1]
    rows = np.vstack([a - b[:, None], np.sqrt(ridge) * np.eye(k)])
    rows = np.vstack([rows / np.abs(rows).max(), np.ones((1, k))])
    found = nnls(rows, np.append(np.zeros(len(rows) - 1), 1.0))[0]
    return np.asarray(found / found.sum())


def by_hand(pilots: Floats, pool: Floats, n_before: int) -> float:
    """Algorithm 1 of Arkhangelsky et al. as it is written, of one date of adoption."""
    after = pool.shape[1] - n_before
    spread = np.diff(pool[:, :n_before], axis=1).std(ddof=1)
    zeta = (len(pilots) * after) ** 0.25 * spread
    treated = pilots.mean(axis=0)
    omega = mixture(pool[:, :n_before].T, treated[:n_before], n_before * zeta**2)
    later = pool[:, n_before:].mean(axis=1)
    lam = mixture(pool[:, :n_before], later, len(pool) * (1e-6 * spread) ** 2)
    gap = treated - omega @ pool
    return float(gap[n_before:].mean() - lam @ gap[:n_before])


def test_california_is_the_published_effect_and_that_of_the_algorithm(from_r: Path) -> None:
    sample, wide = california(from_r)
    found = did(sample, errors="placebo").term("overall")
    assert found["estimate"] == pytest.approx(-15.6, abs=PUBLISHED)
    pool = wide.drop("California").to_numpy()
    assert found["estimate"] == pytest.approx(
        by_hand(wide.loc[["California"]].to_numpy(), pool, 19), rel=EXACT
    )
    placebos = [by_hand(pool[[u]], np.delete(pool, u, axis=0), 19) for u in range(len(pool))]
    assert found["std_error"] == pytest.approx(np.std(placebos), rel=EXACT)
    as_large = np.abs(placebos) >= abs(found["estimate"])
    assert found["p_value"] == pytest.approx((1 + as_large.sum()) / 39)


def test_quotas_for_women_are_the_published_effects_of_seven_dates(from_r: Path) -> None:
    wide = pd.read_csv(from_r / "quota_womparl.csv", index_col="country")
    years = wide.drop(columns="adopted")
    frame = years.rename(columns=int).melt(ignore_index=False, var_name="period").reset_index()
    frame = frame.rename(columns={"country": "unit"}).astype({"period": int})
    frame["cohort"] = frame["unit"].map(wide["adopted"])
    sample = Sample(made.labelled(frame.assign(cluster=frame["unit"], weight=1.0)))
    found = did(sample, aggregate="cohort", errors="own-effects").tidy["estimate"]
    published = [8.0341, 8.388868, 6.967746, 13.952256, -3.450543, 2.749035, 21.762715, -0.820324]
    np.testing.assert_allclose(found, published, rtol=0, atol=SPARSE)


def test_several_dates_are_averaged_by_their_treated_periods() -> None:
    value = noise()
    cohort = [5, 5, 6, 8, *[0] * 10]
    pool = value[4:]
    rows = [(value[:2], 4), (value[2:3], 5), (value[3:4], 7)]
    effects = [by_hand(pilots, pool, n) for pilots, n in rows]
    sizes = [len(pilots) * (9 - n) for pilots, n in rows]
    found = did(panel(value, cohort), aggregate="cohort")
    each = found.tidy.set_index("term").loc[["cohort=5", "cohort=6", "cohort=8"], "estimate"]
    np.testing.assert_allclose(each, effects, rtol=EXACT)
    assert found.term("overall")["estimate"] == pytest.approx(
        np.average(effects, weights=sizes), rel=EXACT
    )


def test_event_times_average_to_the_overall_effect_and_pilots_too() -> None:
    sample = panel(noise(), [5, 5, 6, 8, *[0] * 10])
    events = did(sample).tidy.set_index("term")["estimate"]
    after = {e: sum(9 - g >= e for g in (5, 5, 6, 8)) for e in range(5)}
    mean = np.average([events[f"event={e}"] for e in after], weights=list(after.values()))
    assert mean == pytest.approx(events["overall"], rel=EXACT)
    pilots = did(sample, aggregate="pilot").tidy.set_index("term")["estimate"].iloc[1:]
    assert np.average(pilots, weights=[5, 5, 4, 2]) == pytest.approx(events["overall"], rel=EXACT)


def test_parallel_pools_give_plain_differences_in_differences() -> None:
    years = np.array([0.0, 2, 1, 4, 3, 7])
    value = np.arange(6.0)[:, None] + years
    value[0] += [1, -1, 0.5, 4, 5, 6]
    found = did(panel(value, [4, 0, 0, 0, 0, 0])).term("overall")["estimate"]
    early, late = value[:, :3].mean(axis=1), value[:, 3:].mean(axis=1)
    # every earlier period is as good as another, so time weights are equal by their penalty
    assert found == pytest.approx((late - early)[0] - (late - early)[1:].mean(), rel=EXACT)


def test_weights_of_cases_count_where_effects_are_averaged() -> None:
    value, weight = noise(), np.ones((14, 9))
    weight[0] = 3.0
    cohort = [5, 5, *[0] * 12]
    by_cases = did(panel(value, cohort, weight), by="pilot").term("overall")["estimate"]
    each = did(panel(value, cohort, weight), by="pilot", aggregate="pilot").tidy["estimate"]
    assert by_cases == pytest.approx(np.average(each[1:], weights=[3, 1]), rel=EXACT)
    alike = did(panel(value, cohort, weight), by="pilot", average="authorities")
    assert alike.term("overall")["estimate"] == pytest.approx(each[1:].mean(), rel=EXACT)


def test_own_trends_take_away_a_pilots_drift() -> None:
    value, drift = noise(), np.zeros((14, 9))
    drift[:2] = -2.0 * np.arange(9)
    cohort = [6, 7, *[0] * 12]
    plain, drifting = (
        did(panel(v, cohort), shape="trend").term("overall")["estimate"]
        for v in (value, value + drift)
    )
    assert drifting == pytest.approx(plain, rel=EXACT)
    assert did(panel(value + drift, cohort)).term("overall")["estimate"] < plain - 2


@pytest.mark.parametrize("fit", [did, augmented], ids=["did", "augmented"])
def test_the_jackknife_is_algorithm_3(fit: Any) -> None:
    """Weights of the rest, found once, add up to one again when an authority is left out."""
    value, cohort = noise(), [5, 5, 7, *[0] * 11]
    sample = panel(value, cohort)
    is_did = fit is did
    settings = SyntheticDidSettings() if is_did else AugmentedSettings()
    table = make_panel(sample, settings)
    weigh: Any = weigh_did if is_did else weigh_augmented
    found = weigh(table, table.pilots[None], settings).followed
    overall = []
    for gone in [int(u) for u in table.pilots] + [int(u) for u in np.flatnonzero(table.pool)]:
        total, n = 0.0, 0
        for j, unit in enumerate(table.pilots):
            if unit == gone:
                continue
            w = found.weights[0, j].copy()
            w[gone] = 0
            series = found.shaped[j]
            left = series[unit] - w / w.sum() @ series
            late = table.periods >= table.dates[j]
            total += (left[late] - found.times[0, j] @ left).sum()
            n += int(late.sum())
        overall.append(total / n)
    g = len(overall)
    expected = np.sqrt((g - 1) / g * np.square(np.array(overall) - np.mean(overall)).sum())
    error = fit(sample, errors="jackknife").term("overall")["std_error"]
    assert error == pytest.approx(expected, rel=EXACT)


def test_own_effects_are_the_t_test_where_the_pool_adds_nothing() -> None:
    """A pool of parallel lines has no noise: what is left is that of the pilots' own effects."""
    value = np.arange(9.0)[:, None] + np.array([0.0, 1, 3, 2, 5, 4])
    effect = np.array([1.0, 2, 4, 3])
    value[:4, 3:] += effect[:, None]
    found = did(panel(value, [4, 4, 4, 4, *[0] * 5]), errors="own-effects").term("overall")
    assert found["estimate"] == pytest.approx(effect.mean(), rel=EXACT)
    assert found["std_error"] == pytest.approx(effect.std(ddof=1) / 2, rel=EXACT)
    assert found["df"] == pytest.approx(3)


def test_confidence_sets_of_placebos_hold_what_is_not_rejected() -> None:
    sample = panel(noise(30), [6, *[0] * 29])
    found = did(sample, errors="placebo", conf_level=0.8).term("overall")
    for end, inside in itertools.product(("conf_low", "conf_high"), (True, False)):
        away = 1e-6 * (found["estimate"] - found[end]) * (1 if inside else -1)
        shifted = sample.frame["value"] - (found[end] + away) * (
            sample.frame["treated"] * sample.frame["post"]
        )
        again = did(Sample(sample.frame.assign(value=shifted)), errors="placebo")
        assert (again.term("overall")["p_value"] > 0.2) == inside


def test_all_placebos_are_listed_where_they_are_few() -> None:
    sample = panel(noise(9), [5, 6, *[0] * 7])
    found = did(sample, errors="placebo")
    assert found.glance["n_placebos"] == 7 * 6
    rows = [r for r in found.glance["inference"] if r["method"] == "placebo"]
    assert rows[0]["distribution"] == "all 42 placebo assignments"
    pool = sample.frame["value"].to_numpy().reshape(9, 9)[2:]
    effects = []
    for a, b in itertools.permutations(range(7), 2):
        rest = np.delete(pool, [a, b], axis=0)
        one, two = by_hand(pool[[a]], rest, 4), by_hand(pool[[b]], rest, 5)
        effects.append((5 * one + 4 * two) / 9)
    assert found.term("overall")["std_error"] == pytest.approx(np.std(effects), rel=EXACT)


def test_weights_meet_the_conditions_of_their_best() -> None:
    """Karush, Kuhn and Tucker: equal slopes where a weight is, no smaller one where none is."""
    rng = np.random.default_rng(3)
    b, j, g, length = 4, 3, 20, 5
    units, target = rng.normal(size=(j, g, length)), rng.normal(1, 1, (b, j, length))
    root = rng.normal(size=(b, j * length, j * length))
    W = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(j * length)
    allowed = rng.random((b, g)) < 0.7
    inverse: Floats = np.linalg.inv(W).astype(float)
    weights = follow(Following(units, target, allowed, inverse, np.full(b, 0.2)))
    np.testing.assert_allclose(weights.sum(axis=2), 1, rtol=EXACT)
    assert (weights >= 0).all()
    assert not (weights * ~allowed[:, None]).any()
    for k in range(b):
        left = (target[k] - np.einsum("jg,jgl->jl", weights[k], units)).ravel()
        pulled = (W[k] @ left).reshape(j, length)
        slope = 0.2 * weights[k] - np.einsum("jgl,jl->jg", units, pulled)
        for of_block, w in zip(slope[:, allowed[k]], weights[k][:, allowed[k]], strict=True):
            least = of_block.min()
            np.testing.assert_allclose(of_block[w > 0], least, atol=1e-8)


def test_covariates_are_taken_off_by_the_regression_of_untreated_cells() -> None:
    rng = np.random.default_rng(5)
    value, x = noise(), rng.normal(size=(14, 9))
    cohort = [5, 6, *[0] * 12]
    plain = panel(value + 4 * x, cohort)
    with_x = Sample(plain.frame.assign(x=x.ravel()), ("x",))
    free = (with_x.frame["cohort"] == 0) | (with_x.frame["period"] < with_x.frame["cohort"])
    rows = Sample(with_x.frame[free], ("x",))
    beta, _ = made.dense_regression(rows, made.dense(rows))
    adjusted = panel(value + (4 - beta[-1]) * x, cohort)
    assert did(with_x).term("overall")["estimate"] == pytest.approx(
        did(adjusted).term("overall")["estimate"], rel=1e-8
    )


@pytest.mark.r
@pytest.mark.parametrize(
    "options",
    [
        {"errors": "placebo", "draws": 99},
        {"by": "pilot", "shape": "trend", "aggregate": "pilot", "errors": "jackknife"},
        {"aggregate": "calendar", "average": "authorities", "max_event": 2, "anticipation": 1},
    ],
    ids=["placebo", "pilot", "calendar"],
)
def test_r_gives_the_same(options: dict[str, Any]) -> None:
    weight = np.random.default_rng(2).uniform(1, 5, (14, 9))
    sample = panel(noise(), [5, 5, 7, *[0] * 11], weight)
    asked = SyntheticDidSettings(**{"draws": DRAWS, **options})
    assert_same(fit_did(sample, asked), engine_r.fit_did(sample, asked))


@pytest.mark.r
@pytest.mark.parametrize(
    "options",
    [
        {"aggregate": "pilot", "errors": "jackknife"},
        {"shape": "none", "pooling": 0.3, "augment": "none"},
        {"shape": "trend", "lags": 4, "penalty": 0.5, "errors": "own-effects"},
    ],
    ids=["level", "none", "trend"],
)
def test_r_gives_the_same_augmented(options: dict[str, Any]) -> None:
    weight = np.random.default_rng(2).uniform(1, 5, (14, 9))
    sample = panel(noise(), [5, 5, 7, *[0] * 11], weight)
    asked = AugmentedSettings(**{"draws": DRAWS, **options})
    ours, theirs = fit_augmented(sample, asked), engine_r.fit_augmented(sample, asked)
    assert_same(ours, theirs)
    for name in ("pooling", "ridge_penalty", "fit_before_mean", "fit_before_each"):
        assert ours.glance[name] == pytest.approx(theirs.glance[name], rel=1e-6)


def assert_same(ours: Estimate, theirs: Estimate) -> None:
    columns = ["estimate", "std_error", "p_value", "conf_low", "conf_high", "df"]
    a, b = (e.tidy.set_index("term")[columns].astype(float) for e in (ours, theirs))
    np.testing.assert_allclose(a, b.loc[a.index], rtol=1e-6, atol=1e-8)
    for name in ("fit_before_rmse", "fit_before_rmse_equal", "fit_before_explained"):
        assert ours.glance[name] == pytest.approx(theirs.glance[name], rel=1e-6)


@pytest.mark.parametrize("by", ["cohort", "pilot"])
def test_diff_diff_gives_nearly_the_same(by: str, from_r: Path) -> None:
    pytest.importorskip("diff_diff")
    for sample in (california(from_r)[0], panel(noise(), [5, 5, 7, *[0] * 11])):
        options = SyntheticDidSettings(draws=DRAWS, by=by, errors="jackknife")
        assert engine_diff_diff.limits(sample, options) is None
        ours, theirs = fit_did(sample, options), engine_diff_diff.fit(sample, options)
        pd.testing.assert_series_equal(
            ours.tidy["estimate"], theirs.tidy["estimate"], rtol=0, atol=10 * SPARSE
        )
        assert ours.term("overall")["estimate"] == pytest.approx(
            theirs.term("overall")["estimate"], abs=SPARSE
        )


def test_diff_diff_declines_unequal_weights_in_a_cohort() -> None:
    weight = np.ones((14, 9))
    weight[0] = 2
    sample = panel(noise(), [5, 5, *[0] * 12], weight)
    assert "by=pilot" in str(engine_diff_diff.limits(sample, SyntheticDidSettings()))
    assert engine_diff_diff.limits(sample, SyntheticDidSettings(by="pilot")) is None


def test_pooling_trades_the_mean_for_each() -> None:
    sample = panel(noise(), [5, 5, 7, *[0] * 11])
    given = [augmented(sample, pooling=nu).glance for nu in (0.0, 0.5, 0.95)]
    mean, each = ([g[f"fit_before_{k}"] for g in given] for k in ("mean", "each"))
    assert mean[0] > mean[1] > mean[2]
    assert each[0] < each[1] < each[2]


def test_pooling_is_the_papers_ratio_unless_given() -> None:
    """The mean's imbalance over the mean imbalance, when each is followed by itself."""
    sample = panel(noise(), [6, 6, 6, *[0] * 11])
    alone = augmented(sample, pooling=0.0, augment="none", aggregate="pilot")
    lags = 5
    found = augmented(sample, augment="none")
    table = make_panel(sample, AugmentedSettings())
    apart = weigh_augmented(table, table.pilots[None], AugmentedSettings(pooling=0, augment="none"))
    left = apart.followed.left[0][:, :lags]
    ratio = np.linalg.norm(left.mean(axis=0)) / np.linalg.norm(left, axis=1).mean()
    assert found.glance["pooling"] == pytest.approx(ratio, rel=EXACT)
    assert alone.glance["pooling"] == 0


def test_ridge_takes_off_what_the_pool_says_of_the_imbalance() -> None:
    """A regression without weights: later on earlier values among the pool, by hand."""
    value, cohort = noise(), [6, *[0] * 13]
    value[0] += 4 * np.arange(9)  # out of reach of the pool
    plain = augmented(panel(value, cohort), augment="none")
    full = augmented(panel(value, cohort))
    level = value - value[:, :5].mean(axis=1, keepdims=True)
    X, Y = level[1:, :5], level[1:, 5:].mean(axis=1)
    X = X - X.mean(axis=0)
    share = full.glance["ridge_penalty"]
    products = X.T @ X
    penalty = share * np.linalg.eigvalsh(products)[-1]
    beta = np.linalg.solve(products + penalty * np.eye(5), X.T @ (Y - Y.mean()))
    left = plain.tidy[plain.tidy["term"].str.contains("event=-")]["estimate"].to_numpy(float)
    expected = plain.term("overall")["estimate"] - left @ beta
    assert full.term("overall")["estimate"] == pytest.approx(expected, rel=1e-7)


def test_a_poor_fit_before_has_no_headline() -> None:
    value, cohort = noise(30), [6, *[0] * 29]
    value[0] += 6 * np.arange(9)
    options = AugmentedSettings(draws=DRAWS)
    withheld = fit_augmented(panel(value, cohort), options)
    assert np.isnan(withheld.term("overall")["estimate"])
    assert withheld.glance["fit_before_p"] == pytest.approx(1 / 30)
    assert any("it is withheld" in w for w in withheld.warnings)
    told = did(panel(value, cohort))
    assert np.isfinite(told.term("overall")["estimate"])
    assert any("do not rest a headline on it" in w for w in told.warnings)
    good = fit_augmented(panel(noise(30), cohort), options)
    assert np.isfinite(good.term("overall")["estimate"])


def test_a_known_effect_is_found_and_covered() -> None:
    """Twenty panels of random walks with a common factor, an effect of 3 from three dates on."""
    covered, found = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        value = noise(25, 10, seed) + np.outer(rng.normal(size=25), rng.normal(size=10).cumsum())
        cohort = [5, 5, 6, 6, 7, 7, *[0] * 19]
        for u, g in enumerate(cohort[:6]):
            value[u, g - 1 :] += 3
        row = did(panel(value, cohort)).term("overall")
        found.append(row["estimate"])
        covered.append(row["conf_low"] <= 3 <= row["conf_high"])
    assert abs(np.mean(found) - 3) < 3 * np.std(found) / np.sqrt(20)
    assert np.mean(covered) > 0.75  # of 20 with a chance of 0.95 fewer are covered once in 3,000


def odd(**changes: Any) -> Sample:
    """A sample with something wrong."""
    value = changes.pop("value", noise())
    cohort = changes.pop("cohort", [5, 6, *[0] * 12])
    sample = panel(value, cohort, changes.pop("weight", 1.0))
    rows = changes.pop("rows", None)
    return sample if rows is None else Sample(rows(sample.frame).reset_index(drop=True))


@pytest.mark.parametrize("fit", [did, augmented], ids=["did", "augmented"])
@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        (odd(cohort=[5, 6] * 7), "no never-treated unit"),
        (odd(cohort=[5] * 13 + [0]), "1 authorities never treated"),
        (odd(cohort=[2, *[0] * 13]), "too few periods before adoption: 1 at most"),
        (odd(value=np.full((14, 9), 3.0)), "no variation"),
        (odd(weight=0.0), "no case of positive weight"),
        (odd(cohort=[0] * 14), "no treated case"),
        (odd(rows=lambda f: f[(f["cohort"] == 0) | (f["period"] != 3)]), "No treated authority"),
        (odd(rows=lambda f: f.assign(cluster="all")), "one cluster"),
        (
            odd(rows=lambda f: f.assign(cluster=f["unit"].str[:2])),
            "authorities are not the clusters",
        ),
    ],
)
def test_bad_input_is_a_sentence(fit: Any, sample: Sample, sentence: str) -> None:
    with pytest.raises(EstimationError, match=sentence):
        fit(sample)


@pytest.mark.parametrize("fit", [did, augmented], ids=["did", "augmented"])
def test_gaps_leave_authorities_out_and_are_told(fit: Any) -> None:
    sample = odd()
    hole = (sample.frame["unit"].isin(["E00", "E05"])) & (sample.frame["period"] == 4)
    found = fit(Sample(sample.frame[~hole].reset_index(drop=True)))
    whole = fit(Sample(sample.frame[~sample.frame["unit"].isin(["E00", "E05"])]))
    assert found.term("overall")["estimate"] == whole.term("overall")["estimate"]
    assert any("2 authorities lack cases" in w for w in found.warnings)
    assert any("(E00)" in w for w in found.warnings)


@pytest.mark.r
@pytest.mark.parametrize("fit", ["did", "augmented"])
def test_an_embedding_window_without_cases_is_bridged(fit: str) -> None:
    """Pilots without cases in their window, anticipated, and in a later year: others keep all."""
    sample = panel(noise(), [6, 6, *[0] * 12])
    pilots = sample.frame["cohort"] == 6
    hole = pilots & sample.frame["period"].isin([5, 8])
    asked: dict[str, Any] = {"anticipation": 1, "draws": DRAWS, "poor_fit": "tell"}
    ours: Any = fit_did if fit == "did" else fit_augmented
    r: Any = engine_r.fit_did if fit == "did" else engine_r.fit_augmented
    settings: Any = SyntheticDidSettings if fit == "did" else AugmentedSettings
    thin = Sample(sample.frame[~hole].reset_index(drop=True))
    found = ours(thin, settings(**asked))
    whole = ours(sample, settings(**asked))
    assert found.term("event=0")["estimate"] == pytest.approx(
        whole.term("event=0")["estimate"], rel=EXACT
    )
    assert "event=2" not in set(found.tidy["term"])
    events = found.tidy.set_index("term")["estimate"]
    assert events["overall"] == pytest.approx(
        np.mean([events[f"event={e}"] for e in (0, 1, 3)]), rel=EXACT
    )
    assert_same(found, r(thin, settings(**asked)))


@pytest.mark.parametrize("fit", [did, augmented], ids=["did", "augmented"])
def test_one_pilot_has_placebos_and_a_warning(fit: Any) -> None:
    found = fit(odd(cohort=[6, *[0] * 13]))
    assert found.term("overall")["p_value"] >= 1 / 14
    assert any("One authority is treated" in w for w in found.warnings)
    assert any("only 13 placebo assignments" in w for w in found.warnings)
    alone = fit(odd(cohort=[6, *[0] * 13]), errors="jackknife")
    assert np.isnan(alone.term("overall")["std_error"])
    assert any("no standard error by jackknife" in w for w in alone.warnings)


@pytest.mark.parametrize(
    ("pool", "level", "bounded"),
    [(18, 0.95, False), (19, 0.95, True), (13, 0.9, True), (30, 0.99, False)],
)
def test_too_few_placebos_for_a_level_leave_no_interval(
    pool: int, level: float, bounded: bool
) -> None:
    """With n placebos p is 1 / (1 + n) at least: at lower levels nothing is ever rejected."""
    value = noise(1 + pool)
    value[0, 5:] += 1000
    found = did(panel(value, [6, *[0] * pool]), errors="placebo", conf_level=level)
    row = found.term("overall")
    assert row["p_value"] == pytest.approx(1 / (1 + pool))
    assert bool(row["p_value"] <= 1 - level + EXACT) is bounded
    for end in ("conf_low", "conf_high"):
        assert np.isfinite(row[end]) if bounded else np.isnan(row[end])
    told = f"there is no interval of {100 * level:.0f}%: no effect is rejected"
    assert any(told in w for w in found.warnings) is not bounded


def test_a_pool_too_small_for_placebos_is_told() -> None:
    sample = odd(cohort=[5, 5, 6, 6, 6, 6, 6, 6, 0, 0, 0, 0, 0, 0])
    with pytest.raises(EstimationError, match="too few would remain"):
        did(sample, errors="placebo")
    assert did(sample).glance["n_placebos"] == 0


@pytest.mark.parametrize(
    ("settings", "given", "sentence"),
    [
        (SyntheticDidSettings, {"min_event": -2, "aggregate": "cohort"}, "aggregate = 'event'"),
        (SyntheticDidSettings, {"min_event": 2, "max_event": 1}, "earlier than min_event"),
        (AugmentedSettings, {"pooling": 1.5}, "pooling"),
        (SyntheticDidSettings, {"shape": "none"}, "shape"),
    ],
)
def test_settings_that_contradict_themselves(settings: Any, given: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        validate(settings, given, where="synthetic")


def test_an_engine_that_spares_placebos_judges_the_fit_alike() -> None:
    value, cohort = noise(30), [6, *[0] * 29]
    value[0] += 6 * np.arange(9)

    def without(panel: Any, terms: Any, assignments: Any, options: Any) -> Any:
        return measure(weigh_augmented, panel, terms, None, options)

    options = AugmentedSettings(draws=DRAWS, errors="own-effects")
    spared = Method(without, weigh_augmented, every=False)
    every = Method(partial(measure, weigh_augmented), weigh_augmented)
    a, b = (estimate(panel(value, cohort), options, m) for m in (spared, every))
    assert a.glance["fit_before_p"] == b.glance["fit_before_p"]
    assert np.isnan(a.term("overall")["estimate"])
