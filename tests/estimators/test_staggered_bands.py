"""Draws and bands of the estimators of staggered adoption: recomputed, closed forms, coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import staggered_samples as made
from scipy import stats
from sos_estimators import extended_twfe, imputed, stacked, sun_abraham
from sos_estimators.staggered import result

from sos_plugins import Estimate, Estimator, Sample
from sos_plugins.contract.settings import Settings
from sos_plugins.study.estimate import agreement
from sos_plugins.study.result import NamedEstimate

CHANCE = 5  # standard deviations that the worst of some fifty simulated numbers may be away

ROUNDING = 1e-12  # of effects of size 1; a band of one term is its interval


@dataclass(frozen=True)
class Method:
    """An estimator, its settings, and the ones under which contributions add up over clusters."""

    estimator: type[Estimator]
    settings: type[Settings]
    plain: dict[str, Any]

    def fit(self, sample: Sample, engine: str = "python", **options: Any) -> Estimate:
        """Estimate with the errors of the method's own formula, unless others are asked for."""
        (chosen,) = [e for e in self.estimator.engines if e.name == engine]
        return chosen.fit(sample, self.settings(**{"errors": "analytic", **options}))


METHODS = {
    "sun-abraham": Method(sun_abraham.SunAbraham, sun_abraham.SunAbrahamSettings, {"vcov": "CR0"}),
    "imputation": Method(imputed.Imputation, imputed.ImputationSettings, {"leads_vcov": "CR0"}),
    "two-stage": Method(imputed.TwoStage, imputed.TwoStageSettings, {"vcov": "CR0"}),
    "extended-twfe": Method(
        extended_twfe.ExtendedTwfe, extended_twfe.ExtendedTwfeSettings, {"vcov": "CR0"}
    ),
    "stacked": Method(stacked.Stacked, stacked.StackedSettings, {"vcov": "CR0"}),
}
every = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
AGGREGATES = ("event", "group-time", "cohort", "calendar", "simple")


@pytest.fixture
def contributions(monkeypatch: pytest.MonkeyPatch) -> list[made.Floats]:
    """What clusters add, as the estimators hand it to the bootstrap."""
    seen: list[made.Floats] = []
    draw = result.bootstrap

    def spy(scores: made.Floats, *args: Any, **options: Any) -> Any:
        seen.append(scores)
        return draw(scores, *args, **options)

    monkeypatch.setattr(result, "bootstrap", spy)
    return seen


def signs(n_clusters: int, draws: int, seed: int) -> made.Floats:
    """Random signs out of random bytes, eight to a byte, draw after draw."""
    n = draws * n_clusters
    text = np.random.default_rng(seed).bytes(math.ceil(n / 8))
    bits = [byte >> place & 1 for byte in text for place in range(7, -1, -1)]
    return 2.0 * np.array(bits[:n]).reshape(draws, n_clusters) - 1.0


def type_1(values: made.Floats, share: float) -> float:
    """The smallest of the values that at least a share of them do not exceed."""
    return float(sorted(values)[math.ceil(share * len(values)) - 1])


@every
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_errors_and_bands_are_those_of_plain_draws(
    method: Method, aggregate: str, contributions: list[made.Floats]
) -> None:
    sample, draws, seed, level = made.panel(), 199, 7, 0.9
    asked = {"aggregate": aggregate, "conf_level": level}
    tidy = method.fit(sample, errors="bootstrap", band=True, draws=draws, seed=seed, **asked).tidy
    (scores,) = contributions
    assert len(scores) == sample.frame["cluster"].nunique()
    by_formula = method.fit(sample, **asked).tidy
    np.testing.assert_allclose(
        np.sqrt((scores**2).sum(axis=0)), by_formula["std_error"].fillna(0), rtol=made.EXACT
    )
    drawn = signs(len(scores), draws, seed) @ scores
    normal = stats.norm.ppf(0.75) - stats.norm.ppf(0.25)
    errors = np.array([(type_1(d, 0.75) - type_1(d, 0.25)) / normal for d in drawn.T])
    known = by_formula["std_error"].notna().to_numpy()
    np.testing.assert_allclose(tidy["std_error"][known], errors[known], rtol=made.EXACT)
    assert tidy["std_error"][~known].isna().all()
    held = known & ((tidy["term"] != "overall") | (aggregate == "simple")).to_numpy()
    largest = np.abs(drawn[:, held] / errors[held]).max(axis=1)
    critical = max(type_1(largest, level), stats.norm.ppf((1 + level) / 2))
    df = tidy["df"].dropna().iloc[0]
    critical = critical if np.isinf(df) else stats.t.isf(stats.norm.sf(critical), df)
    for column, sign in (("band_low", -1), ("band_high", 1)):
        ends = (tidy["estimate"] + sign * critical * errors)[held]
        np.testing.assert_allclose(tidy[column][held], ends, rtol=made.EXACT)
        assert tidy[column][~held].isna().all()
    assert (tidy["band_low"] <= tidy["conf_low"] + ROUNDING)[held].all()
    assert (tidy["band_high"] >= tidy["conf_high"] - ROUNDING)[held].all()


@every
def test_all_signs_of_few_clusters_give_the_error_by_formula(method: Method) -> None:
    sample = made.cases()
    clusters = sample.frame["cluster"].nunique()
    draws = 2**clusters
    drawn = method.fit(sample, errors="bootstrap", spread="sd", draws=draws).tidy["std_error"]
    exact = method.fit(sample).tidy["std_error"]
    np.testing.assert_allclose(drawn * math.sqrt(1 - 1 / draws), exact, rtol=made.EXACT)


@every
def test_errors_of_draws_come_to_those_by_formula(method: Method) -> None:
    """Normal draws: the deviation of B of them is off by 1 / sqrt(2 B) of itself."""
    sample, draws = made.panel(), 10_000
    asked = {"errors": "bootstrap", "multiplier": "gaussian", "spread": "sd", "draws": draws}
    drawn = method.fit(sample, **asked)
    exact = method.fit(sample).tidy["std_error"]
    np.testing.assert_allclose(drawn.tidy["std_error"], exact, rtol=CHANCE / math.sqrt(2 * draws))
    assert drawn.glance["vcov"].startswith("multiplier bootstrap (gaussian) of ")


@every
def test_a_seed_repeats_and_another_does_not(method: Method) -> None:
    sample = made.panel()
    first, again, other = (
        method.fit(sample, errors="bootstrap", band=True, seed=seed).tidy for seed in (3, 3, 4)
    )
    assert first.equals(again)
    assert not np.allclose(first["std_error"].dropna(), other["std_error"].dropna())
    np.testing.assert_array_equal(first["estimate"], other["estimate"])


@every
def test_what_coarser_clusters_add_is_the_sum_of_what_their_units_add(
    method: Method, contributions: list[made.Floats]
) -> None:
    coarse = made.cases()
    pairs = coarse.frame.groupby("unit")["cluster"].first()
    fine = Sample(coarse.frame.assign(cluster=coarse.frame["unit"]), coarse.covariates)
    for sample in (coarse, fine):
        method.fit(sample, band=True, **method.plain)
    of_clusters, of_units = contributions
    names, place = np.unique(pairs.to_numpy(), return_inverse=True)
    assert len(of_clusters) == len(names) == len(of_units) / 2
    summed = np.zeros_like(of_clusters)
    np.add.at(summed, place, of_units)
    np.testing.assert_allclose(summed, of_clusters, rtol=made.EXACT, atol=1e-12)


def grown(seed: int, effect: made.Floats) -> Sample:
    """60 units, three cohorts, six periods: the effect by time since adoption is known."""
    sample = made.panel(seed, units=60)
    frame, rng = sample.frame, np.random.default_rng([seed, 1])
    since = np.where(frame["cohort"] > 0, frame["period"] - frame["cohort"], -1)
    of_unit = rng.normal(size=60)[frame["unit"].str[1:].astype(int)]
    value = of_unit + 0.3 * frame["period"] + np.where(since >= 0, effect[since], 0)
    noise = rng.normal(size=len(frame))
    return Sample(frame.assign(value=value + noise, weight=1.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sun-abraham", "imputation"])
def test_bands_hold_all_effects_at_once_as_often_as_they_say(name: str) -> None:
    """Intervals of single effects do so far less often."""
    repeats, level = 60, 0.9
    effect = np.array([1.0, 1.2, 1.1, 1.4])
    band = single = 0
    for seed in range(repeats):
        asked = {"band": True, "draws": 199, "seed": seed, "conf_level": level}
        tidy = METHODS[name].fit(grown(seed, effect), **asked).tidy
        tidy = tidy[tidy["band_low"].notna()]
        event = tidy["term"].str.removeprefix("event=").astype(int)
        truth = np.where(event >= 0, effect[event.clip(lower=0)], 0.0)
        band += bool(((tidy["band_low"] < truth) & (truth < tidy["band_high"])).all())
        single += bool(((tidy["conf_low"] < truth) & (truth < tidy["conf_high"])).all())
    chance = 3 * math.sqrt(level * (1 - level) / repeats)
    assert band / repeats > level - chance
    assert single / repeats < level - chance


@pytest.mark.r
@every
@pytest.mark.parametrize("aggregate", ["event", "cohort"])
def test_r_draws_what_python_draws(method: Method, aggregate: str) -> None:
    """R hands out what each cluster adds, and the same seed draws the same numbers."""
    sample = made.cases()
    asked = {"errors": "bootstrap", "band": True, "multiplier": "webb", "aggregate": aggregate}
    ours, r = (method.fit(sample, engine, **asked) for engine in ("python", "r"))
    assert list(ours.tidy["term"]) == list(r.tidy["term"])
    for column in ("estimate", "std_error", "band_low", "band_high"):
        np.testing.assert_allclose(
            r.tidy[column], ours.tidy[column], rtol=made.EXACT, atol=made.EXACT
        )
    assert ours.tidy["band_low"].notna().sum() > 1


def checked(options: imputed.TwoStageSettings) -> Any:
    (engine,) = [e for e in imputed.TwoStage.engines if e.name == "pyfixest"]
    ours, theirs = (
        NamedEstimate("two-stage", name, fit(made.cases(), options))
        for name, fit in (("python", imputed.two_stage), ("pyfixest", engine.fit))
    )
    return agreement("outcome", engine, ours, theirs)


def test_an_engine_without_contributions_is_compared_as_far_as_it_goes() -> None:
    banded = checked(imputed.TwoStageSettings(band=True, errors="analytic"))
    assert banded.verdict == "agree"
    assert banded.reason == ""
    assert banded.max_difference_std_error is not None
    drawn = checked(imputed.TwoStageSettings(errors="bootstrap"))
    assert drawn.verdict == "agree"
    assert drawn.reason.startswith("Standard errors are not compared: this engine does not say")
    assert drawn.max_difference_std_error is None
    assert drawn.max_difference_estimate is not None
