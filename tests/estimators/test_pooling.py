"""Random effects against metafor, published figures, closed forms and simulations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from r_packages import need_metafor
from scipy import stats
from sos_estimators.pooling import random_effects
from sos_estimators.pooling.between import Effects, reml
from sos_estimators.pooling.plugin import RandomEffects

from sos_plugins.contract.types import PilotEffects, PooledEffects
from sos_plugins.errors import DataError, EstimationError, SettingsError
from sos_plugins.r import client as r
from sos_plugins.study.pooling import compared_terms

BY_METAFOR = 1e-6
"""Relative: metafor's iterations stop at steps of 1e-12, and its roots at 1e-14."""
CLOSED = 1e-9
"""Relative: a root in double precision against a formula."""
PUBLISHED = 0.5e-4
"""Half of the last digit of figures with four decimals."""
DATA = ("bcg", "teachers", "smoke")


def effects_of(from_r: Path, name: str) -> pd.DataFrame:
    table = pd.read_csv(from_r / "pooling_effects.csv")
    return table[table["data"] == name]


def pooled_of(from_r: Path, name: str, **settings: Any) -> PooledEffects:
    rows = effects_of(from_r, name)
    return random_effects(rows["estimate"], rows["std_error"], **settings)


def results_of(from_r: Path, name: str) -> dict[str, float]:
    table = pd.read_csv(from_r / "pooling_results.csv")
    return table[table["data"] == name].set_index("term")["value"].to_dict()


FIGURES = (
    *("estimate", "tau2", "i2", "q", "q_p_value", "p_value", "conf_low", "conf_high"),
    *("tau2_low", "tau2_high"),
)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("figure", FIGURES)
def test_figures_are_those_of_metafor(from_r: Path, name: str, figure: str) -> None:
    found = getattr(pooled_of(from_r, name, safeguard=False), figure)
    assert found == pytest.approx(results_of(from_r, name)[figure], rel=BY_METAFOR)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize(
    ("errors", "test"), [("hartung-knapp", "knha"), ("adhoc", "adhoc"), ("wald", "z")]
)
def test_errors_are_those_of_metafor(from_r: Path, name: str, errors: str, test: str) -> None:
    found = pooled_of(from_r, name, errors=errors).std_error
    assert found == pytest.approx(results_of(from_r, name)[f"std_error {test}"], rel=BY_METAFOR)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("end", ["prediction_low", "prediction_high"])
def test_the_prediction_interval_on_k_minus_1_is_that_of_metafor(
    from_r: Path, name: str, end: str
) -> None:
    found = getattr(pooled_of(from_r, name, prediction_df="k-1"), end)
    assert found == pytest.approx(results_of(from_r, name)[f"{end} k-1"], rel=BY_METAFOR)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("column", ["weight", "shrunken", "shrunken_std_error", "shrunken_low"])
def test_pilots_in_the_light_of_all_are_those_of_metafor(
    from_r: Path, name: str, column: str
) -> None:
    found, expected = pooled_of(from_r, name).pilots[column], results_of(from_r, name)
    stored = [expected[f"{column} {n}"] for n in range(1, len(found) + 1)]
    assert found.tolist() == pytest.approx(stored, rel=BY_METAFOR)


def test_the_vaccine_trials_are_as_published(from_r: Path) -> None:
    """Viechtbauer (2010), Journal of Statistical Software 36(3), section 3.1."""
    pooled = pooled_of(from_r, "bcg", errors="wald")
    assert pooled.estimate == pytest.approx(-0.7145, abs=PUBLISHED)
    assert pooled.std_error == pytest.approx(0.1798, abs=PUBLISHED)
    assert (pooled.conf_low, pooled.conf_high) == pytest.approx((-1.0669, -0.3622), abs=PUBLISHED)
    assert pooled.tau2 == pytest.approx(0.3132, abs=PUBLISHED)
    assert 100 * pooled.i2 == pytest.approx(92.22, abs=100 * PUBLISHED)
    assert (pooled.q, pooled.q_df) == (pytest.approx(152.2330, abs=PUBLISHED), 12)


SAMPLES = ((2, 0.5, 0.5), (3, 0.0, 1.0), (5, 2.0, 0.3), (9, 1.0, 1.5), (20, 0.3, 0.7))
"""Pilots, standard deviation between them, and how much errors differ."""


def sample(pilots: int, between: float, unequal: float) -> PilotEffects:
    rng = np.random.default_rng(pilots)
    errors = np.exp(unequal * rng.standard_normal(pilots))
    values = rng.normal(0.4, np.hypot(errors, between))
    units = [f"9{n:02d}" for n in range(pilots)]
    frame = pd.DataFrame({"unit": units, "name": units, "estimate": values, "std_error": errors})
    return PilotEffects(frame.assign(conf_low=np.nan, conf_high=np.nan))


@pytest.mark.r
@pytest.mark.parametrize("given", SAMPLES)
def test_metafor_called_directly_gives_the_same(given: tuple[int, float, float]) -> None:
    need_metafor()
    data = sample(*given).frame
    columns = {name: data[name].to_numpy() for name in ("estimate", "std_error")}
    script = REPOSITORY / "tests" / "support" / "metafor_directly.R"
    told = r.call(script, "rma_of", columns, {"test": "knha"})
    pooled = random_effects(*columns.values(), safeguard=False, prediction_df="k-1")
    told.pop("warnings")
    for name, value in told.items():
        found = [getattr(pooled, name)] if hasattr(pooled, name) else pooled.pilots[name]
        assert list(found) == pytest.approx(list(value), rel=BY_METAFOR, abs=BY_METAFOR), name


SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"errors": "adhoc", "conf_level": 0.9},
    {"errors": "wald", "prediction_df": "k-1"},
    {"safeguard": False},
)


@pytest.mark.r
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("given", SAMPLES)
def test_engines_agree(given: tuple[int, float, float], settings: dict[str, Any]) -> None:
    need_metafor()
    data, options = sample(*given), RandomEffects.Settings(**settings)
    one, other = (engine.fit(data, options) for engine in RandomEffects.engines)
    for column in ("estimate", "std_error"):
        found = compared_terms(other)[column].to_list()
        assert found == pytest.approx(
            compared_terms(one)[column].to_list(), rel=BY_METAFOR, abs=BY_METAFOR**1.5, nan_ok=True
        )
    assert (other.df, other.prediction_df) == (one.df, one.prediction_df)
    assert other.warnings == one.warnings


@pytest.mark.r
@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_metafor_is_as_precise_in_any_unit(size: float) -> None:
    """By itself it stops at steps of 1e-5, whatever the unit: too soon for shares."""
    need_metafor()
    data, options = sample(9, 1.0, 0.7).frame, RandomEffects.Settings()
    columns = ["estimate", "std_error"]
    small = PilotEffects(data.assign(**{name: size * data[name] for name in columns}))
    one, other = (engine.fit(small, options).tau2 for engine in RandomEffects.engines)
    assert other == pytest.approx(one, rel=BY_METAFOR)


# Closed forms -------------------------------------------------------------------------------------

VALUES = np.array([-3.0, -1.0, 0.5, 2.0, 6.5])


@pytest.mark.parametrize("error", [0.1, 1.0, 2.5])
def test_equal_errors_give_the_t_test_of_the_mean(error: float) -> None:
    pooled = random_effects(VALUES, np.full(5, error))
    spread = VALUES.var(ddof=1)
    assert pooled.tau2 == pytest.approx(spread - error**2, rel=CLOSED)
    assert pooled.estimate == pytest.approx(VALUES.mean(), rel=CLOSED)
    assert pooled.std_error == pytest.approx(np.sqrt(spread / 5), rel=CLOSED)
    assert pooled.p_value == pytest.approx(stats.ttest_1samp(VALUES, 0).pvalue, rel=CLOSED)
    half = stats.t.ppf(0.975, 3) * np.sqrt(pooled.tau2 + spread / 5)
    ends = (pooled.prediction_low, pooled.prediction_high)
    assert ends == pytest.approx((VALUES.mean() - half, VALUES.mean() + half), rel=CLOSED)


def test_equal_errors_give_the_interval_of_a_variance() -> None:
    pooled = random_effects(VALUES, np.full(5, 0.1))
    squares = ((VALUES - VALUES.mean()) ** 2).sum()
    ends = [squares / stats.chi2.ppf(share, 4) - 0.01 for share in (0.975, 0.025)]
    assert [pooled.tau2_low, pooled.tau2_high] == pytest.approx(ends, rel=CLOSED)


def test_effects_as_near_as_their_errors_have_no_variance_between_them() -> None:
    values, errors = np.array([1.0, 1.3, 0.8]), np.array([1.0, 2.0, 0.5])
    pooled = random_effects(values, errors, errors="wald")
    weights = 1 / errors**2
    assert pooled.tau2 == pooled.i2 == pooled.tau2_low == 0
    assert pooled.estimate == pytest.approx(np.average(values, weights=weights), rel=CLOSED)
    assert pooled.std_error == pytest.approx(1 / np.sqrt(weights.sum()), rel=CLOSED)
    assert pooled.pilots["shrunken"].to_numpy() == pytest.approx(pooled.estimate, rel=CLOSED)
    assert any("estimated as zero" in text for text in pooled.warnings)


def test_the_interval_is_never_narrower_than_of_a_common_effect() -> None:
    values, errors = [1.0, 1.01, 0.99, 1.0], np.array([0.5, 0.4, 0.6, 0.5])
    safe, plain = (random_effects(values, errors, safeguard=s) for s in (True, False))
    common = 1 / np.sqrt((1 / errors**2).sum())
    assert safe.std_error == pytest.approx(common, rel=CLOSED)
    assert (safe.df, plain.df) == (np.inf, 3)
    assert plain.std_error < common / 10
    assert any("common effect" in text for text in safe.warnings)


def test_equal_effects_have_an_error_of_zero_without_the_safeguard() -> None:
    safe = random_effects([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    assert (safe.tau2, safe.tau2_high) == (0, 0)
    assert safe.std_error == pytest.approx(1 / np.sqrt(3), rel=CLOSED)
    with pytest.raises(EstimationError, match="all the same"):
        random_effects([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], safeguard=False)


def test_two_pilots_have_no_prediction_interval() -> None:
    pooled = random_effects([1.0, 3.0], [0.1, 0.1])
    assert (pooled.prediction_low, pooled.prediction_high, pooled.prediction_df) == (None,) * 3
    assert pooled.df == 1
    assert any("Two pilots" in text for text in pooled.warnings)


def test_of_several_maxima_the_highest_is_taken() -> None:
    """A precise pilot far from many coarse ones: the likelihood has more than one maximum."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        errors = np.exp(rng.normal(0, 2.0, 6))
        effects = Effects(rng.normal(0, 1.0, 6) * np.hypot(errors, 1.0), errors**2)
        found, grid = reml(effects), np.geomspace(1e-7, 1e4, 400)
        best = max(likelihood(effects, tau2) for tau2 in (0.0, *grid))
        assert likelihood(effects, found) >= best - CLOSED


def likelihood(effects: Effects, tau2: float) -> float:
    """The restricted likelihood by its covariance matrix, from which two constants are left out."""
    covariance = np.diag(effects.variances + tau2)
    ones, inverse = np.ones((len(covariance), 1)), np.linalg.inv(covariance)
    within = ones.T @ inverse @ ones
    centred = inverse - inverse @ ones @ np.linalg.inv(within) @ ones.T @ inverse
    fit = effects.values @ centred @ effects.values
    return float(-(np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(within)[1] + fit) / 2)


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("effects", [[], [1.0]])
def test_fewer_than_two_pilots_are_refused(effects: list[float]) -> None:
    with pytest.raises(EstimationError, match="at least two pilots"):
        random_effects(effects, np.ones(len(effects)))


@pytest.mark.parametrize("error", [0.0, -1.0, np.nan, np.inf])
def test_an_error_that_is_none_is_refused_with_the_name(error: float) -> None:
    with pytest.raises(EstimationError, match="Leeds"):
        random_effects([1.0, 2.0], [1.0, error], names=["York", "Leeds"])


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(DataError, match="one of each for every pilot"):
        random_effects([1.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(SettingsError, match="conf_level"):
        random_effects([1.0, 2.0], [1.0, 1.0], conf_level=95)


# Simulation ---------------------------------------------------------------------------------------

DRAWS = 600
LEVEL = 0.95
BY_CHANCE = 3 * np.sqrt(LEVEL * (1 - LEVEL) / DRAWS)
"""Three standard deviations of a share of 95% in so many draws."""


def covered(**settings: Any) -> tuple[float, float]:
    """Shares of samples of six pilots whose intervals hold the mean, and a further pilot.

    Errors are small beside the differences between pilots, which is where the methods promise it;
    docs/pooling.md says what happens elsewhere.
    """
    rng = np.random.default_rng(2026)
    mean = following = 0
    for _ in range(DRAWS):
        errors = rng.uniform(0.1, 0.4, 6)
        values = rng.normal(1.0, np.hypot(errors, 1.0))
        pooled = random_effects(values, errors, **settings)
        assert pooled.prediction_low is not None
        assert pooled.prediction_high is not None
        mean += pooled.conf_low < 1.0 < pooled.conf_high
        following += pooled.prediction_low < rng.normal(1.0, 1.0) < pooled.prediction_high
    return mean / DRAWS, following / DRAWS


def test_intervals_hold_the_mean_and_the_next_pilot_as_often_as_they_say() -> None:
    mean, following = covered()
    assert abs(mean - LEVEL) < BY_CHANCE
    assert abs(following - LEVEL) < BY_CHANCE


def test_the_normal_interval_holds_the_mean_too_rarely() -> None:
    assert covered(errors="wald")[0] < LEVEL - BY_CHANCE
