"""The multiplier bootstrap: R's conventions written out, closed forms, coverage of bands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sos_estimators.inference import multiplier
from sos_estimators.inference.multiplier import (
    BootstrapSettings,
    bootstrap,
    replicate,
    with_band,
)

EXACT = 1e-12  # the same sums in another order
CHANCE = 4  # standard deviations of a simulated number that it may be away from its expectation

MULTIPLIERS = ("rademacher", "mammen", "webb", "gaussian")


def correlated(n: int, terms: int, seed: int = 0) -> Any:
    """Contributions of clusters to terms that go together, as those of event times do."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 1)) + rng.normal(size=(n, terms))) * np.arange(1, terms + 1)


def type_1(values: Any, share: float) -> float:
    """The quantile of type 1 in R: the smallest value that a share of all does not exceed."""
    ordered = sorted(values)
    return float(ordered[math.ceil(share * len(ordered)) - 1])


def mboot(influence: Any, cluster: Any, draws_of_clusters: Any, level: float) -> tuple[Any, float]:
    """What ``mboot`` of R's did computes, written out for one draw and one term after another."""
    n, n_terms = influence.shape
    names = np.unique(cluster)
    sums = np.array([influence[cluster == name].sum(axis=0) for name in names])
    results = [
        [
            math.sqrt(len(names)) * sum(v[c] * sums[c, j] for c in range(len(names))) / len(names)
            for j in range(n_terms)
        ]
        for v in draws_of_clusters
    ]
    by_term = list(zip(*results, strict=True))
    sigma = [
        (type_1(b, 0.75) - type_1(b, 0.25)) / (stats.norm.ppf(0.75) - stats.norm.ppf(0.25))
        for b in by_term
    ]
    largest = [max(abs(b / s) for b, s in zip(row, sigma, strict=True)) for row in results]
    return np.array(sigma) * math.sqrt(len(names)) / n, type_1(largest, level)


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_errors_and_critical_value_are_those_of_mboot(name: Any) -> None:
    influence = correlated(90, 3)
    cluster = np.random.default_rng(1).integers(0, 17, 90)
    n_clusters = len(np.unique(cluster))
    scores = np.array([influence[cluster == c].sum(axis=0) for c in np.unique(cluster)]) / 90
    asked = {"draws": 199, "seed": 5, "multiplier": name}
    v = replicate(np.eye(n_clusters), **asked).departures  # the draws themselves
    errors, critical = mboot(influence, cluster, v, 0.9)
    made = replicate(scores, **asked)
    np.testing.assert_allclose(made.std_errors(), errors, rtol=EXACT)
    assert made.critical(errors, 0.9) == pytest.approx(critical, rel=EXACT)


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_draws_have_mean_0_and_variance_1_and_are_independent(name: Any) -> None:
    v = replicate(np.eye(30), draws=20_000, multiplier=name).departures
    noise = 1 / math.sqrt(v.shape[0])
    assert np.abs(v.mean(axis=0)).max() < CHANCE * noise
    fourth = float((v**4).mean())
    covariance = v.T @ v / len(v)
    assert np.abs(np.diag(covariance) - 1).max() < CHANCE * noise * math.sqrt(
        max(fourth - 1, EXACT)
    )
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1.2 * CHANCE * noise
    third, points = {
        "rademacher": (0, 2),
        "mammen": (1, 2),
        "webb": (0, 6),
        "gaussian": (0, v.size),
    }[name]
    assert float((v**3).mean()) == pytest.approx(third, abs=0.05)
    assert len(np.unique(v)) == points


def test_errors_of_draws_come_to_those_by_formula() -> None:
    scores = correlated(400, 4)
    exact = np.sqrt((scores**2).sum(axis=0))
    made = replicate(scores, draws=20_000)
    noise = CHANCE / math.sqrt(20_000)
    np.testing.assert_allclose(made.std_errors("sd"), exact, rtol=noise / math.sqrt(2))
    np.testing.assert_allclose(made.std_errors("iqr"), exact, rtol=1.17 * noise)


def test_all_sign_vectors_give_the_error_by_formula_exactly() -> None:
    scores = correlated(7, 3)
    made = replicate(scores, draws=128)
    assert len(np.unique(made.departures[:, 0])) == 128
    exact = np.sqrt((scores**2).sum(axis=0))
    corrected = made.std_errors("sd") * math.sqrt(127 / 128)
    np.testing.assert_allclose(corrected, exact, rtol=EXACT)


def test_independent_terms_have_the_critical_value_of_sidak() -> None:
    draws, terms, level = 20_000, 6, 0.95
    scores = np.zeros((6000, terms))
    for j in range(terms):
        scores[j::terms, j] = 1.0
    made = replicate(scores, draws=draws)
    expected = stats.norm.ppf((1 + level ** (1 / terms)) / 2)
    density = terms * level ** ((terms - 1) / terms) * 2 * stats.norm.pdf(expected)
    chance = CHANCE * math.sqrt(level * (1 - level) / draws) / density
    exact = np.sqrt((scores**2).sum(axis=0))
    assert made.critical(exact, level) == pytest.approx(expected, abs=chance)


def test_one_term_has_the_interval_as_its_band() -> None:
    made = replicate(correlated(50, 1), draws=99, seed=3)
    wide = np.array([1e6])  # so that no draw is as large
    assert made.critical(wide, 0.95) == pytest.approx(stats.norm.ppf(0.975), rel=EXACT)
    assert made.critical(wide, 0.95, df=8) == pytest.approx(stats.t.ppf(0.975, 8), rel=1e-9)
    assert math.isnan(made.critical(np.array([np.nan]), 0.95))


def test_memory_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = correlated(1000, 3)
    monkeypatch.setattr(multiplier, "BLOCK", 64)
    made = replicate(scores, draws=100, multiplier="webb")
    v = np.hstack([block for _, block in multiplier._blocks(1000, 100, 1, "webb")])
    assert v.shape == (100, 1000)
    np.testing.assert_allclose(made.departures, v @ scores, rtol=0, atol=1e-10)


def test_a_seed_repeats_and_another_does_not() -> None:
    scores = correlated(40, 2)
    first, again, other = (replicate(scores, seed=s).departures for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_term_without_spread_has_no_error_and_is_in_no_band() -> None:
    scores = np.column_stack([correlated(60, 2), np.zeros(60)])
    analytic = np.array([*np.sqrt((scores[:, :2] ** 2).sum(axis=0)), np.nan])
    settings = BootstrapSettings(errors="bootstrap", band=True)
    drawn = bootstrap(scores, analytic, settings, conf_level=0.95)
    assert np.isnan(drawn.std_errors[2])
    alone = bootstrap(scores[:, :2], analytic[:2], settings, conf_level=0.95)
    assert drawn.critical == alone.critical > 1.96


def test_terms_out_of_the_band_do_not_widen_it() -> None:
    scores = correlated(60, 8)
    analytic = np.sqrt((scores**2).sum(axis=0))
    settings = BootstrapSettings(band=True)
    inside = np.arange(8) >= 4
    drawn = bootstrap(scores, analytic, settings, conf_level=0.95, in_band=inside)
    part = bootstrap(scores[:, 4:], analytic[4:], settings, conf_level=0.95)
    assert drawn.critical == pytest.approx(part.critical, rel=EXACT)
    np.testing.assert_array_equal(drawn.std_errors, analytic)
    tidy = pd.DataFrame({"estimate": np.arange(8.0), "std_error": analytic})
    rows = with_band(tidy, drawn.critical, inside)
    assert rows["band_low"].isna().tolist() == [True] * 4 + [False] * 4
    half = (rows["band_high"] - rows["band_low"])[4:] / 2
    np.testing.assert_allclose(half, drawn.critical * analytic[4:], rtol=EXACT)


def test_without_draws_asked_for_nothing_is_drawn() -> None:
    given = np.array([1.0, 2.0])
    drawn = bootstrap(correlated(5, 2), given, BootstrapSettings(), conf_level=0.95)
    assert drawn.std_errors is given
    assert math.isnan(drawn.critical)


@pytest.mark.parametrize("name", ["rademacher", "webb"])
def test_bands_hold_all_terms_at_once_as_often_as_they_say(name: Any) -> None:
    """Means of 60 clusters, six terms: intervals hold all of them far less often."""
    repeats, level = 400, 0.9
    rng = np.random.default_rng(8)
    held = single = 0
    for i in range(repeats):
        sample = 0.7 * rng.normal(size=(60, 1)) + rng.normal(size=(60, 6))
        mean = sample.mean(axis=0)
        scores = (sample - mean) / 60
        made = replicate(scores, draws=199, seed=i, multiplier=name)
        errors = np.sqrt((scores**2).sum(axis=0))
        largest = np.abs(mean / errors).max()
        held += largest <= made.critical(errors, level)
        single += largest <= stats.norm.ppf((1 + level) / 2)
    chance = 3 * math.sqrt(level * (1 - level) / repeats)
    assert level - chance - 0.02 < held / repeats < level + chance  # 0.02: normal, not t, with 60
    assert single / repeats < level - 0.15
