"""Optimal pairing, calipers of single features, shapes, trends, reliability and mixes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matching_worlds import LINE, UNIT, chosen, line, random_task, task
from r_packages import need_matchit
from sos_matchers import units
from sos_matchers.earlier_outcomes import (
    PreOutcomesSettings,
    PreOutcomesUnits,
    match_pre_outcomes,
    match_pre_outcomes_r,
)
from sos_matchers.features import candidates
from sos_matchers.mixed import MixedSettings, MixedUnits, match_mixed, match_mixed_r
from sos_matchers.optimal import match_optimally
from sos_matchers.paths import as_compared, composition, reliability, shrunk
from sos_matchers.units import PropensitySettings

from sos_plugins import UnitTask
from sos_plugins.authors.testing import check_matcher
from sos_plugins.errors import DataError, DesignError, SettingsError
from sos_plugins.host.settings import validate
from sos_plugins.r import client as r

ROUNDING = 1e-12
"""Sums of a few dozen numbers in double precision, in another order."""

RESOLVED = 5e-8
"""Distances are compared in steps of 1e-8, and five pairs are added up at most."""

PERIODS = ("outcome_pre_2011", "outcome_pre_2012", "outcome_pre_2013")


def paths(outcomes: dict[str, list[float]], pilots: str, **more) -> UnitTask:
    """Authorities by code with an outcome a year from 2011 on."""
    years = {
        f"outcome_pre_{2011 + n}": [path[n] for path in outcomes.values()]
        for n in range(len(next(iter(outcomes.values()))))
    }
    return task({**years, **more}, list(outcomes), list(pilots))


# ---- optimal pairing ---------------------------------------------------------------------------


def best_of_all(distance: np.ndarray, ratio: int, caliper: float | None) -> tuple[float, ...]:
    """Try every pairing: most pairs, then most even, then the least sum."""
    n_rows, n_columns = distance.shape
    found = []
    for rows in product(range(-1, n_rows), repeat=n_columns):
        used = [(row, column) for column, row in enumerate(rows) if row >= 0]
        sizes = np.bincount([row for row, _ in used], minlength=n_rows)
        within = caliper is None or all(distance[pair] <= caliper for pair in used)
        if within and sizes.max(initial=0) <= ratio:
            uneven = float((sizes * (sizes - 1)).sum())
            found.append((-float(len(used)), uneven, sum(distance[pair] for pair in used)))
    return min(found)


def test_optimal_pairing_is_the_best_of_all_pairings():
    rng = np.random.default_rng(1)
    for _ in range(40):
        shape, ratio = (int(rng.integers(1, 4)), int(rng.integers(1, 6))), int(rng.integers(1, 3))
        distance, caliper = rng.random(shape), None if rng.random() < 0.5 else 0.6
        pairs = match_optimally(distance, ratio=ratio, caliper=caliper)
        sizes = np.bincount(pairs.treated, minlength=shape[0])
        mine = (
            -float(len(pairs.treated)),
            float((sizes * (sizes - 1)).sum()),
            distance[pairs.treated, pairs.control].sum(),
        )
        assert mine == pytest.approx(best_of_all(distance, ratio, caliper), abs=RESOLVED)
        assert len(set(pairs.control)) == len(pairs.control)


def test_optimal_pairing_does_better_than_taking_turns():
    """P at 0 would take b at 1; then Q, at 2, gets only c, at 9. The best sum gives b to Q."""
    world = line({"P": 0.0, "Q": 2.0, "a": -3.0, "b": 1.0, "c": 9.0}, "PQ")
    shared = {"ratio": 1, "replacement": False}
    for fit, kind, more in (
        (units.match_propensity, PropensitySettings, {}),
        (match_pre_outcomes, PreOutcomesSettings, {"features": ("x_place",)}),
    ):
        greedy = fit(world, kind(order="data", **shared, **more))
        optimal = fit(world, kind(method="optimal", **shared, **more))
        assert chosen(greedy) == {"P": "b", "Q": "a"}
        assert chosen(optimal) == {"P": "a", "Q": "b"}
        assert "by optimal pairing on the" in optimal.sentence
        assert "the least sum of distances without replacement" in optimal.sentence
        assert "Ties in distance" not in optimal.sentence


def test_more_comparators_asked_for_than_there_are_is_told():
    world = line(LINE, "PQ")
    match = match_pre_outcomes(
        world,
        PreOutcomesSettings(features=("x_*",), method="optimal", replacement=False, ratio=4),
    )
    assert [len(group.comparators) for group in match.groups] == [3, 3]
    assert "2 pilots got fewer than 4." in match.sentence


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (PreOutcomesSettings, {"method": "optimal"}, "set replacement = false"),
        (PreOutcomesSettings, {"calipers": {"x_a": 0}}, "calipers must be above 0; x_a is not"),
        (PreOutcomesSettings, {"compare": "shape", "shrink": "transient"}, "goes with shrink"),
        (MixedSettings, {"weights": {"shapes": 1}}, "Did you mean 'shape'"),
        (MixedSettings, {"weights": {"shape": -1}}, "expected 0 or more"),
        (MixedSettings, {"weights": {"shape": 0}}, "weights are all 0"),
    ],
)
def test_wrong_settings_are_sentences(kind, values, words):
    with pytest.raises(SettingsError, match=words):
        validate(kind, values, where="here")


# ---- calipers of single features ---------------------------------------------------------------


def test_calipers_of_single_features_are_in_sds_over_pilots_and_pool():
    """P is .3 from a, .4 from b, 2.2 from c: whoever lies within 0.35 can be taken."""
    for most, answer in ((0.35, {"P": "a"}), (0.45, {"P": "ab"}), (0.25, {})):
        match = units.match_propensity(
            line({k: v for k, v in LINE.items() if k != "Q"} | {"z": 5.0}, "P"),
            PropensitySettings(calipers={"x_place": most * UNIT}),
        )
        assert chosen(match) == answer
    assert match.unmatched == {"P": "no comparator within the calipers of single features"}


def test_a_caliper_of_an_unknown_feature_is_a_sentence():
    with pytest.raises(SettingsError, match="unknown feature 'x_plac'"):
        units.match_propensity(line(LINE, "PQ"), PropensitySettings(calipers={"x_plac": 1}))


# ---- shapes and trends -------------------------------------------------------------------------


def test_shapes_leave_levels_out_and_trends_keep_slopes_only():
    world = paths({"P": [10, 12, 14], "a": [10, 9, 8], "b": [50, 52, 54], "c": [11, 19, 13.5]}, "P")
    nearest = {
        compare: chosen(match_pre_outcomes(world, PreOutcomesSettings(compare=compare, ratio=1)))
        for compare in ("levels", "shape", "trend")
    }
    assert nearest == {"levels": {"P": "a"}, "shape": {"P": "b"}, "trend": {"P": "b"}}
    match = match_pre_outcomes(world, PreOutcomesSettings(compare="trend"))
    assert match.compared == ("outcome_pre_trend",)
    assert chosen(match) == {"P": "bc"}  # slopes 2; -1, 2 and 1.25


def test_the_trend_is_the_slope_of_least_squares_whatever_the_years():
    rng = np.random.default_rng(2)
    years = np.array([2005, 2006, 2009, 2013])
    values = rng.normal(size=(6, 4))
    names = {f"outcome_pre_{y}": values[:, j].tolist() for j, y in enumerate(years)}
    given = candidates(task(names, list("PQabcd"), ["P", "Q"]), list(names), matcher="x")
    slopes = as_compared(given, "trend", "x").values[:, 0]
    np.testing.assert_allclose(slopes, np.polyfit(years, values.T, 1)[0], rtol=1e-10)


def test_several_outcomes_have_shapes_of_their_own():
    names = ["outcome_pre_2011 of a", "outcome_pre_2012 of a", "outcome_pre_2012 of b, c"]
    with pytest.raises(DesignError, match="two or more periods"):
        composition(names, "shape", "x")
    made = composition([*names, "outcome_pre_2014 of b, c", "x_d"], "trend", "x")
    assert made.names == ("outcome_pre_trend of a", "outcome_pre_trend of b, c")
    np.testing.assert_allclose(made.rows, [[-1, 1, 0, 0], [0, 0, -0.5, 0.5]])
    shape = composition([*names, "outcome_pre_2014 of b, c"], "shape", "x")
    np.testing.assert_allclose(shape.rows @ [1, 3, 7, 9], [-1, 1, -1, 1])


def test_parallel_outcomes_have_no_shape_to_match_on():
    world = paths({"P": [1, 2], "a": [3, 4], "b": [7, 8]}, "P")
    with pytest.raises(DesignError, match="run in parallel"):
        match_pre_outcomes(world, PreOutcomesSettings(compare="shape"))


# ---- reliability -------------------------------------------------------------------------------


def test_reliability_is_the_share_of_variance_that_is_no_noise():
    """Residuals of mean square 10 (8 authorities less 1); noise of 2 and 6, on average 4."""
    residuals = np.sqrt(10 * 7 / 8) * np.array([1, -1, 1, -1, 1, -1, 1, -1])
    noise = np.array([2.0, 6.0] * 4)
    np.testing.assert_allclose(reliability(residuals, noise), [6 / 8, 6 / 12] * 4)
    np.testing.assert_array_equal(reliability(residuals, noise + 20), np.zeros(8))


def planted(seed: int, n: int = 400, pilots: int = 100) -> tuple[UnitTask, np.ndarray]:
    """Authorities with a lasting level (SD 2) and noise (SD 1 to 3, their own) over three years."""
    rng = np.random.default_rng(seed)
    level, sd = rng.normal(0, 2, n), rng.uniform(1, 3, n)
    values = level[:, None] + rng.normal(size=(n, 3)) * sd[:, None]
    codes = [f"{i:03d}" for i in range(n)]
    world = task(dict(zip(PERIODS, values.T.tolist(), strict=True)), codes, codes[:pilots])
    noise = pd.DataFrame(np.tile(sd[:, None] ** 2, 3), index=world.features.index, columns=PERIODS)
    return replace(world, sampling=noise), level


def test_shrunk_outcomes_predict_the_lasting_level():
    """What knows the noise of each comes near the error of Bayes, what knows its mean follows."""
    world, level = planted(3)
    given, made = candidates(world, PERIODS, matcher="x"), composition(PERIODS, "levels", "x")
    drawn = {kind: shrunk(world, given, made, kind, "x") for kind in ("sampling", "transient")}
    error = {k: float(np.mean((v - level[:, None]) ** 2)) for k, v in drawn.items()}
    raw = float(np.mean((given.values - level[:, None]) ** 2))
    noise = world.sampling.to_numpy()
    bayes = float(np.mean(4 * noise / (4 + noise)))
    assert error["sampling"] == pytest.approx(bayes, rel=0.1)
    assert bayes < error["sampling"] * 1.1 < error["transient"] * 1.1 < raw


def test_a_noisy_authority_is_no_equal_of_a_reliable_one():
    """P and a lie at 10, b at 8; the value of a, with few cases, is mostly noise."""
    place = {"P": 10.0, "a": 10.0, "b": 8.0, "c": 0.0, "d": -5.0, "e": 3.0}
    world = task({"outcome_pre_2012": list(place.values())}, list(place), ["P"])
    noise = pd.DataFrame({"outcome_pre_2012": [1.0, 60, 1, 1, 1, 1]}, index=world.features.index)
    world = replace(world, sampling=noise)
    asked = {"ratio": 1}
    assert chosen(match_pre_outcomes(world, PreOutcomesSettings(**asked))) == {"P": "a"}
    drawn = match_pre_outcomes(world, PreOutcomesSettings(shrink="sampling", **asked))
    assert chosen(drawn) == {"P": "b"}
    assert "drawn to their means by their reliability against sampling" in drawn.sentence


@pytest.mark.r
def test_transient_noise_is_the_residual_of_an_analysis_of_variance(tmp_path: Path):
    """R's aov of outcomes on authorities and on periods of each group, whose mean square it is."""
    script = tmp_path / "aov.R"
    script.write_text(
        "noise <- function(data) list(ms = summary(stats::aov("
        "value ~ factor(unit) + factor(group):factor(period), data))[[1]]['Residuals', 'Mean Sq'])"
    )
    world, _ = planted(4, 30, 9)
    long = world.features.reset_index().melt("unit")
    long["group"] = long["unit"].isin([p.unit for p in world.pilots]).astype(int)
    columns = {
        "value": long["value"].to_numpy(),
        "unit": long["unit"].astype(int).to_numpy(),
        "group": long["group"].to_numpy(),
        "period": pd.factorize(long["variable"])[0],
    }
    noise = float(np.ravel(r.call(script, "noise", columns)["ms"])[0])
    given = candidates(world, PERIODS, matcher="x")
    drawn = shrunk(world, given, composition(PERIODS, "levels", "x"), "transient", "x")
    centre = given.values.mean(axis=0)
    total = given.values.var(axis=0, ddof=1)
    expected = centre + (given.values - centre) * np.maximum(total - noise, 0) / total
    np.testing.assert_allclose(drawn, expected, rtol=1e-9)


def test_what_is_all_noise_or_unknown_is_a_sentence():
    world, _ = planted(5, 20, 5)
    loud = replace(world, sampling=world.sampling + 1000)
    with pytest.raises(DesignError, match="is noise, so no authority is nearer"):
        match_pre_outcomes(loud, PreOutcomesSettings(shrink="sampling"))
    with pytest.raises(DataError, match="shrink = 'sampling' needs the variance"):
        match_pre_outcomes(
            replace(world, sampling=pd.DataFrame()), PreOutcomesSettings(shrink="sampling")
        )
    with pytest.raises(DataError, match="two or more periods"):
        match_pre_outcomes(
            world, PreOutcomesSettings(shrink="transient", features=("outcome_pre_2011",))
        )


def test_trends_that_are_noise_are_refused():
    """Levels last and trends do not: their spread is what the noise alone gives."""
    world, _ = planted(100, 60, 9)
    with pytest.raises(DesignError, match="outcome_pre_trend is noise"):
        match_pre_outcomes(world, PreOutcomesSettings(shrink="sampling", compare="trend"))


# ---- mixes -------------------------------------------------------------------------------------


def test_a_mix_adds_distances_in_units_of_their_medians():
    world = paths(
        {"P": [1, 2], "a": [2, 3], "b": [2, 5], "c": [9, 9]}, "P", x_size=[1.0, 5.0, 2.0, 1.0]
    )
    world = replace(world, neighbours={"P": ("c", "zz", "b")})
    settings = MixedSettings(weights={"characteristics": 1, "neighbours": 3}, ratio=3)
    found = match_mixed(world, settings).distances.set_index("comparator")["distance"]
    size = np.array([4.0, 1.0, 0.0])  # a, b, c; its SD cancels against the median
    place = np.array([4.0, 3.0, 1.0])  # one after the last for who is not listed
    expected = (size / np.median(size) + 3 * place / np.median(place)) / 4
    np.testing.assert_allclose(found.loc[list("abc")], expected, atol=ROUNDING)


def test_one_part_alone_is_the_matcher_of_that_part():
    world = random_task(3, ties=False)
    for part in ("levels", "shape", "trend"):
        alone = match_mixed(world, MixedSettings(weights={part: 2.0}))
        other = match_pre_outcomes(world, PreOutcomesSettings(compare=part))
        assert alone.groups == other.groups
        assert alone.compared == other.compared
        ratio = alone.distances["distance"] / other.distances["distance"]
        assert np.ptp(ratio) < 1e-9 * ratio.mean()  # the same but for the unit


def test_parts_that_nothing_tells_of_are_sentences():
    world = line(LINE, "PQ")
    with pytest.raises(DesignError, match="no source of the study knows statistical neighbours"):
        match_mixed(world, MixedSettings(weights={"neighbours": 1}))
    with pytest.raises(DesignError, match="weights name shape, but nothing tells the shape"):
        match_mixed(world, MixedSettings())


@pytest.mark.r
@pytest.mark.parametrize("ties", [True, False])
def test_both_engines_choose_the_same_authorities(ties):
    need_matchit()
    for seed in range(4):
        world = random_task(seed, ties=ties)
        rng = np.random.default_rng(seed)
        lists = {p.unit: tuple(rng.permutation(list(world.pool))[:4]) for p in world.pilots}
        world = replace(world, neighbours=lists)
        for fit, fit_r, settings in (
            (match_mixed, match_mixed_r, MixedSettings()),
            (
                match_mixed,
                match_mixed_r,
                MixedSettings(
                    weights={"neighbours": 1, "trend": 2, "levels": 0.5},
                    distance="mahalanobis",
                    replacement=False,
                ),
            ),
            (match_mixed, match_mixed_r, MixedSettings(weights={"neighbours": 1})),
            (
                match_pre_outcomes,
                match_pre_outcomes_r,
                PreOutcomesSettings(compare="shape", calipers={"outcome_pre_mean": 0.7}),
            ),
            (
                match_pre_outcomes,
                match_pre_outcomes_r,
                PreOutcomesSettings(compare="trend", distance="mahalanobis"),
            ),
        ):
            one, two = fit(world, settings), fit_r(world, settings)
            assert one.groups == two.groups
            np.testing.assert_allclose(
                two.distances["distance"], one.distances["distance"], rtol=1e-7, atol=ROUNDING
            )


@pytest.mark.r
def test_mixes_pass_the_kit_for_authors():
    weights = {"levels": 1, "shape": 1, "trend": 1, "characteristics": 1, "size": 1, "case-mix": 1}
    check_matcher(MixedUnits(), {"weights": {**weights, "neighbours": 1}})


def test_engines_of_r_say_what_they_cannot_do():
    world = random_task(1, ties=False)
    optimal = {"method": "optimal", "replacement": False}
    for matcher in (units.PropensityUnits(), PreOutcomesUnits(), MixedUnits()):
        limits = matcher.engines[1].limits
        assert "optmatch" in str(limits(world, matcher.Settings(**optimal)))
        assert limits(world, matcher.Settings()) is None
    shrinking = PreOutcomesSettings(shrink="transient")
    assert "does not shrink" in str(PreOutcomesUnits().engines[1].limits(world, shrinking))
