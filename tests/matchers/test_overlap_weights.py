"""Overlap weights, trimming, classifiers and common support: exact properties, and R."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matching_worlds import LINE, cases_of, line, random_cases
from sos_matchers import units
from sos_matchers.cases.overlap import (
    OverlapSettings,
    OverlapWeights,
    trim_bound,
    weight_by_overlap,
    weight_by_overlap_r,
)
from sos_matchers.cases.pairs import PropensityCases, PropensityCasesSettings, match_cases
from sos_matchers.cases.weights import InverseWeightsSettings, weight_cases
from sos_matchers.classifiers import ScoreModel, ScoreSettings
from sos_matchers.units import PropensitySettings

from sos_plugins.authors.testing import check_matcher
from sos_plugins.contract.interfaces import OVERLAP_COLUMNS
from sos_plugins.errors import DesignError, EstimationError, SettingsError
from sos_plugins.host.settings import validate

EXACT = 1e-8
"""A logistic regression that stops at a mean gradient of 1e-9 has score equations to that."""

ENGINES = 1e-7
"""R's glm stops when the deviance changes by a share of 1e-10."""

ONE_CASE = 1e-3
"""The condition on the mean is that of a continuum: among 300 cases it may miss the least variance
by one case at the bound, which matters by about the square of its share."""

BOOSTING = "sklearn.ensemble:HistGradientBoostingClassifier"


def test_overlap_weights_of_maximum_likelihood_balance_exactly():
    """Theorem 3 of Li, Morgan and Zaslavsky (2018): the means of all covariates are equal."""
    settings = OverlapSettings(penalty="none")
    match = weight_by_overlap(random_cases(1, 600), settings)
    assert match.balance["smd_before"].abs().max() > 0.5
    assert match.balance["smd_after"].abs().max() < EXACT
    assert match.n_dropped == 0


def test_weights_of_one_binary_covariate_are_shares_of_the_other_side():
    """Of cases with x = 0 a quarter are pilots', of those with x = 1 two thirds."""
    rows = [*["330 0 1 0"], *["330 0 0 0"] * 3, *["330 0 1 1"] * 2, "330 0 0 1"]
    frame = weight_by_overlap(
        cases_of("\n".join(rows)), OverlapSettings(penalty="none")
    ).sample.frame
    expected = [3 / 4, *[1 / 4] * 3, *[1 / 3] * 2, 2 / 3]
    np.testing.assert_allclose(frame["weight"], expected, atol=EXACT)


def test_the_trimming_of_crump_has_least_variance_among_all_bounds():
    """Corollary 1 of Crump et al. (2009), by trying every bound: E[g | stays] / P(stays)."""
    for seed in range(20):
        score = np.random.default_rng(seed).beta(0.5, 1.5, 300).clip(1e-4, 1 - 1e-4)
        bound = trim_bound(score, np.ones(300), "crump")
        near = np.minimum(score, 1 - score)
        g = 1 / (score * (1 - score))

        def variance(at: float, near: np.ndarray = near, g: np.ndarray = g) -> float:
            stays = near >= at - 1e-12
            return float(g[stays].mean() / stays.mean())

        assert variance(bound) == pytest.approx(min(variance(at) for at in near), rel=ONE_CASE)
    assert trim_bound(np.full(9, 0.4), np.ones(9), "crump") == 0


def test_trimmed_cases_go_and_are_counted():
    match = weight_by_overlap(random_cases(2, 600), OverlapSettings(trim=0.2))
    assert match.n_dropped > 50
    assert "with scores below 0.200 or above 0.800 were trimmed" in match.sentence
    told = re.search(r"(\d+) cases of pilots and (\d+) cases of comparators with", match.sentence)
    assert int(told.group(1)) + int(told.group(2)) == match.n_dropped


def test_trimming_everybody_is_a_sentence():
    rows = "\n".join(["330 0 1 0"] * 9 + ["330 0 0 0", "330 0 1 1"] + ["330 0 0 1"] * 9)
    with pytest.raises(DesignError, match="after trimming no stratum has cases of both"):
        weight_by_overlap(cases_of(rows), OverlapSettings(trim=0.4))


@pytest.mark.parametrize("trim", [0.5, -0.1, "some"])
def test_wrong_trims_are_sentences(trim):
    with pytest.raises(SettingsError, match="trim"):
        validate(OverlapSettings, {"trim": trim}, where="here")


# ---- common support ----------------------------------------------------------------------------


def test_the_data_of_an_overlap_plot_count_every_case_once():
    sample = random_cases(3, 500)
    for fit, settings in (
        (weight_by_overlap, OverlapSettings()),
        (weight_cases, InverseWeightsSettings()),
        (match_cases, PropensityCasesSettings()),
    ):
        match = fit(sample, settings)
        overlap = match.overlap
        assert list(overlap) == list(OVERLAP_COLUMNS)
        assert overlap["n_cases"].sum() == 500
        sums = overlap.groupby("treated")[["weight_before", "weight_after"]].sum()
        before = sample.frame.groupby("treated")["weight"].sum()
        after = match.sample.frame.groupby("treated")["weight"].sum()
        np.testing.assert_allclose(sums["weight_before"], before)
        np.testing.assert_allclose(sums["weight_after"], after)


def test_pilots_cases_beyond_the_scores_of_comparators_are_counted():
    """Scores rise with x: one of four pilots' cases has a higher x than any comparators' case."""
    rows = "\n".join(f"330 0 {t} {x}" for t, x in [(1, 2), (1, 3), (1, 4), (1, 9), *ZEROS])
    match = weight_cases(cases_of(rows), InverseWeightsSettings())
    assert "25.0% of pilots' cases have a score outside the range" in match.sentence
    assert any("25.0% of pilots' cases" in w for w in match.warnings)
    calm = weight_cases(cases_of(rows), InverseWeightsSettings(warn_outside=0.25))
    assert not any("outside the range" in w for w in calm.warnings)


ZEROS = [(0, x) for x in (0, 1, 1, 2, 3, 5)]


# ---- classifiers -------------------------------------------------------------------------------


def test_a_classifier_finds_what_a_straight_line_cannot():
    """Pilots' cases have middling ages: the logistic regression sees nothing, boosting does."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-2, 2, (1500, 1))
    treated = (rng.random(1500) < np.where(np.abs(x[:, 0]) < 1, 0.7, 0.1)).astype(int)
    linear = ScoreModel(ScoreSettings()).fit(x, treated).probability
    boosted = ScoreModel(ScoreSettings(classifier=BOOSTING)).fit(x, treated).probability
    truth = np.where(np.abs(x[:, 0]) < 1, 0.7, 0.1)
    assert np.corrcoef(linear, truth)[0, 1] < 0.3
    assert np.corrcoef(boosted, truth)[0, 1] > 0.9


def test_cross_fitted_scores_do_not_tell_noise_apart():
    """A forest that has seen the rows separates pure noise; one that has not does not."""
    rng = np.random.default_rng(5)
    x, treated = rng.normal(size=(400, 5)), np.repeat([0, 1], 200)
    model = ScoreModel(
        ScoreSettings(
            classifier="sklearn.ensemble:RandomForestClassifier",
            classifier_settings={"n_estimators": 20},
        )
    )
    score = model.fit(x, treated).probability
    assert abs(score[treated == 1].mean() - score[treated == 0].mean()) < 0.08
    again = model.fit(x, treated).probability
    np.testing.assert_array_equal(score, again)  # the seed decides


def test_matchers_take_a_classifier_and_say_so():
    sample = random_cases(6, 400)
    match = match_cases(
        sample,
        PropensityCasesSettings(
            classifier="sklearn.naive_bayes:GaussianNB", classifier_settings={"var_smoothing": 1e-6}
        ),
    )
    assert "GaussianNB with var_smoothing = 1e-06 on age, sex" in match.sentence
    assert "cross-fitted in 5 folds, seed 0" in match.sentence
    world = line({**LINE, "g": 0.2, "R": 2.0}, "PQR")
    of_units = units.match_propensity(
        world, PropensitySettings(classifier="sklearn.naive_bayes:GaussianNB", folds=3)
    )
    assert "GaussianNB of being a pilot on x_place" in of_units.sentence
    assert "cross-fitted in 3 folds" in of_units.sentence


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"classifier": "sklearn.ensemble:RandomForest"}, SettingsError, "RandomForestClassifier"),
        ({"classifier": "sklearn.ensembel:Forest"}, SettingsError, "no module 'sklearn.ensembel'"),
        ({"classifier": "sklearn.svm:LinearSVC"}, SettingsError, "gives no probabilities"),
        (
            {"classifier": BOOSTING, "classifier_settings": {"max_dept": 3}},
            SettingsError,
            "has no setting 'max_dept'. Did you mean 'max_depth'",
        ),
        (
            {"classifier": BOOSTING, "classifier_settings": {"max_depth": "deep"}},
            SettingsError,
            "cannot be fitted with classifier_settings",
        ),
        (
            {"classifier": "sklearn.neighbors:KNeighborsClassifier"},
            SettingsError,
            "takes no weights",
        ),
    ],
)
def test_faults_of_classifiers_are_sentences(settings, error, words):
    with pytest.raises(error, match=words):
        weight_by_overlap(random_cases(7, 100), OverlapSettings(**settings))


def test_only_scikit_learn_is_imported():
    for name in ("os:system", "logit", "sklearn.ensemble"):
        with pytest.raises(SettingsError, match="expected logistic, or a class of scikit-learn"):
            validate(ScoreSettings, {"classifier": name}, where="here")


def test_one_pilots_case_cannot_be_cross_fitted():
    rows = "\n".join(["330 0 1 0", *["330 0 0 1", "330 0 0 0"] * 3])
    with pytest.raises(EstimationError, match="one side has 1 of 7 rows"):
        weight_by_overlap(cases_of(rows), OverlapSettings(classifier=BOOSTING))


def test_separated_cases_are_a_sentence():
    rows = "\n".join(["330 0 1 5", "330 0 1 6", "330 0 0 1", "330 0 0 2"])
    with pytest.raises(EstimationError, match="separate the pilots' cases"):
        weight_by_overlap(cases_of(rows), OverlapSettings(penalty="none"))


# ---- the same in R -----------------------------------------------------------------------------


@pytest.mark.r
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"penalty": "none"},
        {"trim": "crump"},
        {"trim": 0.2, "scores": "separate"},
        {"trim": 0.4, "within": ("post",)},
    ],
)
def test_both_engines_give_the_same_overlap_weights(values):
    sample, settings = random_cases(8, 500), OverlapSettings(**values)
    one, two = weight_by_overlap(sample, settings), weight_by_overlap_r(sample, settings)
    np.testing.assert_allclose(two.sample.frame["weight"], one.sample.frame["weight"], rtol=ENGINES)
    assert one.n_dropped == two.n_dropped
    assert one.warnings == two.warnings
    np.testing.assert_array_equal(one.overlap["n_cases"], two.overlap["n_cases"])


@pytest.mark.r
def test_it_passes_the_kit_for_authors():
    check_matcher(OverlapWeights())


def test_engines_of_r_decline_classifiers():
    sample = random_cases(9, 60)
    for matcher, settings in (
        (OverlapWeights(), OverlapSettings(classifier=BOOSTING)),
        (PropensityCases(), PropensityCasesSettings(classifier=BOOSTING)),
    ):
        reason = matcher.engines[1].limits(sample, settings)
        assert f"fits logistic regressions, not {BOOSTING}" in str(reason)
    world = line(LINE, "PQ")
    engine = units.PropensityUnits().engines[1]
    assert "fits logistic" in str(engine.limits(world, PropensitySettings(classifier=BOOSTING)))
    assert engine.limits(world, PropensitySettings()) is None


def test_weights_that_cases_came_with_are_factors():
    """Two cases are the same as one of twice the weight."""
    rows = ["330 0 1 0", "330 0 0 0", "330 0 0 0", "330 0 1 1", "330 0 1 1", "330 0 0 1"]
    sample = cases_of("\n".join(rows))
    merged = replace(sample, frame=sample.frame.iloc[[0, 1, 3, 5]].assign(weight=[1, 2, 2, 1]))
    settings = OverlapSettings(penalty="none")
    one = weight_by_overlap(sample, settings).sample.frame
    two = weight_by_overlap(merged, settings).sample.frame
    both = one.groupby(["treated", "x"])["weight"].sum()
    np.testing.assert_allclose(
        both.to_numpy(), two.groupby(["treated", "x"])["weight"].sum().to_numpy(), rtol=EXACT
    )
