"""Engines on pyfixest: what it shares with the others, and what it says it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import staggered_samples as made
from sos_estimators import extended_twfe, imputed, stacked, sun_abraham
from sos_estimators.did import Did, DidSettings, fit_python, fit_r
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.engine_pyfixest import PYFIXEST, lacks, regress
from sos_estimators.regression.least_squares import CollinearTermsError, Regression, least_squares

from sos_plugins import Engine, Sample
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork import installed

CONVENTIONS = ("CR0", "CR1", "CR1S", "fixest")
AGGREGATES = ("event", "group-time", "cohort", "calendar", "simple")
METHODS: dict[str, tuple[Any, Any]] = {
    "sun-abraham": (sun_abraham, sun_abraham.SunAbrahamSettings),
    "extended-twfe": (extended_twfe, extended_twfe.ExtendedTwfeSettings),
    "stacked": (stacked, stacked.StackedSettings),
}
SAME = 1e-8  # relative; asked for are 1e-6
ITERATED = 1e-4  # did2s finds effects by iteration, to six digits


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("vcov", CONVENTIONS)
def test_it_agrees_on_weighted_cases_with_covariates(name: str, vcov: str) -> None:
    module, settings = METHODS[name]
    options = settings(vcov=vcov, anticipation=1, errors="analytic")
    sample = made.cases()
    made.assert_same(module.fit_python(sample, options), module.fit_pyfixest(sample, options), SAME)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_it_agrees_on_every_aggregation(name: str, aggregate: str) -> None:
    module, settings = METHODS[name]
    options = settings(aggregate=aggregate, errors="analytic")
    sample = made.panel()
    made.assert_same(module.fit_python(sample, options), module.fit_pyfixest(sample, options), SAME)


@pytest.mark.parametrize("data", made.NAMES)
def test_it_gives_every_stored_result_of_sunab(from_r: Path, data: str) -> None:
    options = sun_abraham.SunAbrahamSettings(vcov="fixest", errors="analytic")
    found = sun_abraham.fit_pyfixest(made.stored_sample(from_r, data), options)
    made.assert_as_stored(made.stored(from_r, data, "sunab"), found)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_it_has_the_estimates_of_the_imputation_and_no_errors(aggregate: str) -> None:
    options = imputed.ImputationSettings(aggregate=aggregate, errors="analytic")
    sample = made.cases()
    ours, theirs = (fit(sample, options) for fit in (imputed.impute, imputed.impute_in_pyfixest))
    assert list(ours.tidy["term"]) == list(theirs.tidy["term"])
    np.testing.assert_allclose(
        theirs.tidy["estimate"], ours.tidy["estimate"], rtol=ITERATED, atol=ITERATED
    )
    assert theirs.tidy["std_error"].isna().all()
    assert theirs.glance["no_std_error"].startswith("pyfixest has no conservative errors")
    assert theirs.warnings[:-1] == ours.warnings


def test_it_leaves_out_what_is_collinear_as_the_others_do() -> None:
    sample = made.cases()
    frame = sample.frame.assign(
        twice=1e6 * sample.frame["age"], of_unit=sample.frame["unit"].str[1:].astype(float)
    )
    wider = Sample(frame, (*sample.covariates, "twice", "of_unit"))
    options = sun_abraham.SunAbrahamSettings(errors="analytic")
    ours, theirs = (
        fit(wider, options) for fit in (sun_abraham.fit_python, sun_abraham.fit_pyfixest)
    )
    made.assert_same(ours, theirs, SAME)
    assert "periods: twice, of_unit." in " ".join(theirs.warnings)
    assert ours.warnings == theirs.warnings


def test_an_effect_that_cannot_be_told_is_the_same_error() -> None:
    sample = made.cases()
    frame = sample.frame.assign(
        copy=((sample.frame["cohort"] == 3) & (sample.frame["period"] == 3)).astype(float)
    )
    wider, options = Sample(frame, ("copy",)), sun_abraham.SunAbrahamSettings()
    for fit in (sun_abraham.fit_python, sun_abraham.fit_pyfixest):
        with pytest.raises(EstimationError, match=r"^ATT\(3,3\) cannot be told from"):
            fit(wider, options)


def problem(n: int = 240, *, terms: int = 2, repeat: bool = False) -> Regression:
    rng = np.random.default_rng(4)
    cluster = rng.integers(0, 9, n)
    x = rng.normal(size=(n, terms)) * np.array([1e-4, 1e5])[:terms]
    return Regression(
        value=rng.normal(size=n) + 0.3 * cluster,
        weight=rng.uniform(0.2, 3, n),
        n_cases=3 * n,
        effects=(cluster * 2 + rng.integers(0, 2, n), rng.integers(0, 6, n)),
        cluster=cluster,
        covariates=rng.normal(size=(n, 1)),
        covariate_names=("z",),
        terms=np.column_stack([x, x[:, 0]]) if repeat else x,
        term_names=("a", "b", "c")[: terms + repeat],
    )


def test_terms_of_any_scale_have_the_same_coefficients() -> None:
    ours, theirs = least_squares(problem()), regress(problem(), "CR0")
    np.testing.assert_allclose(theirs.coefficients, ours.coefficients, rtol=SAME)
    errors = np.sqrt((ours.influence**2).sum(axis=0))
    np.testing.assert_allclose(np.sqrt(np.diag(theirs.covariance)), errors, rtol=SAME)


def test_a_panel_too_long_for_it_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_pyfixest, "MAX_ROWS", 100)
    (engine,) = [e for e in sun_abraham.SunAbraham.engines if e.name == "pyfixest"]
    options = sun_abraham.SunAbrahamSettings()
    assert engine.limits(made.panel(), options) == (
        "pyfixest would iterate over the 126 rows of the panel, over 100"
    )
    assert engine.limits(made.cases(), options) is None


def with_weights(smallest: float, largest: float) -> Sample:
    sample = made.cases()
    weight = np.geomspace(smallest, largest, len(sample.frame))
    shuffled = np.random.default_rng(6).permutation(weight)
    return Sample(sample.frame.assign(weight=shuffled), sample.covariates)


def engine_of_did() -> Engine:
    (engine,) = [e for e in Did.engines if e.name == "pyfixest"]
    return engine


def test_weights_too_far_apart_for_its_jackknife_are_declined() -> None:
    jackknife = DidSettings(vcov="CR3")
    wide = with_weights(0.001, 800)
    assert engine_of_did().limits(wide, jackknife) == (
        "pyfixest's CR3 loses digits where weights differ by more than a factor of 10,000"
    )
    assert engine_of_did().limits(wide, DidSettings(vcov="CR1")) is None
    assert engine_of_did().limits(with_weights(0.1, 900), jackknife) is None
    zeros = wide.frame.assign(weight=np.where(wide.frame["weight"] < 1, 0, wide.frame["weight"]))
    assert engine_of_did().limits(Sample(zeros, wide.covariates), jackknife) is None


@pytest.mark.r
def test_where_its_jackknife_is_declined_that_of_python_is_that_of_r() -> None:
    sample, options = with_weights(0.001, 800), DidSettings(vcov="CR3")
    made.assert_same(fit_python(sample, options), fit_r(sample, options), SAME)


def test_a_collinear_term_is_named() -> None:
    for fit in (least_squares, lambda p: regress(p, "CR1")):
        with pytest.raises(CollinearTermsError) as error:
            fit(problem(repeat=True))
        assert error.value.places == (2,)


def test_variances_it_lacks_are_named_and_missing() -> None:
    assert lacks("CR2") == "pyfixest has no CR2"
    assert lacks("CR1S") == ""
    assert "hung together" in lacks("CR1S", separate=True)
    fitted = regress(problem(), "CR2")
    assert np.isnan(fitted.covariance).all()
    assert np.isfinite(fitted.coefficients).all()


def test_an_older_one_does_not_serve_and_the_line_that_mends_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "distribution_version", lambda name: "0.50.1rc2")
    told = PYFIXEST.missing()
    assert told == (
        "the Python package 'pyfixest' is older than 0.60 (pip install 'pyfixest>=0.60')"
    )
    for version in ("0.60.0", "0.60", "1.0a1"):
        monkeypatch.setattr(installed, "distribution_version", lambda name, v=version: v)
        assert PYFIXEST.missing() is None
