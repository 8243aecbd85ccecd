"""Two-stage difference-in-differences: pyfixest's did2s, dense two-step GMM, imputation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import staggered_samples as made
from sos_estimators import imputed
from sos_estimators.imputed import ImputationSettings, TwoStage, TwoStageSettings

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import estimator_checks

AGGREGATES = ("event", "group-time", "cohort", "calendar", "simple")
DID2S = 2e-5  # pyfixest finds unit and period effects by iteration, to six digits


def fit(sample: Sample, **options: Any) -> Estimate:
    """Estimate with the errors of the method's own formula, unless others are asked for."""
    return imputed.two_stage(sample, TwoStageSettings(**{"errors": "analytic", **options}))


def did2s() -> Any:
    (engine,) = [e for e in TwoStage.engines if e.name == "pyfixest"]
    if engine.missing():
        pytest.skip(engine.missing()[0])
    return engine


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_did2s_of_pyfixest_agrees_on_a_stored_panel(from_r: Path, aggregate: str) -> None:
    sample = made.stored_sample(from_r, "panel_shared")
    options = TwoStageSettings(aggregate=aggregate, errors="analytic")
    made.assert_same(imputed.two_stage(sample, options), did2s().fit(sample, options), DID2S)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("vcov", ["CR0", "CR1"])
def test_did2s_of_pyfixest_agrees_on_weighted_cases(aggregate: str, vcov: str) -> None:
    options = TwoStageSettings(aggregate=aggregate, vcov=vcov, anticipation=1, errors="analytic")
    sample = made.cases()
    assert did2s().limits(sample, options) is None
    made.assert_same(imputed.two_stage(sample, options), did2s().fit(sample, options), DID2S)


def test_pyfixest_says_what_it_cannot_do(from_r: Path) -> None:
    sample = made.stored_sample(from_r, "mpdta")
    told = did2s().limits(sample, TwoStageSettings())
    assert "single row of untreated cases" in told
    told = did2s().limits(sample, TwoStageSettings(control="nevertreated"))
    assert "not treated yet" in told


@pytest.mark.r
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize(
    ("never", "control"),
    [(True, "notyettreated"), (False, "notyettreated"), (True, "nevertreated")],
)
def test_r_agrees_on_weighted_cases_with_covariates(
    aggregate: str, never: bool, control: str
) -> None:
    options = TwoStageSettings(aggregate=aggregate, control=control, vcov="CR1")
    sample = made.cases(never=never)
    ours, other = imputed.two_stage(sample, options), imputed.two_stage_in_r(sample, options)
    made.assert_same(ours, other)
    assert ours.warnings == other.warnings


def dense_gmm(sample: Sample, indicators: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both stages stacked as moments; coefficients of the second and their standard errors.

    The covariance is the sandwich of the stacked moments' derivative, not the formula of the
    engine.
    """
    frame, X1 = sample.frame, made.dense(sample)
    weight, value = (frame[c].to_numpy(float) for c in ("weight", "value"))
    free = ~((frame["cohort"] > 0) & (frame["period"] >= frame["cohort"])).to_numpy()
    X1 = X1[:, np.abs(X1[free]).sum(axis=0) > 0]
    X10 = X1 * free[:, None]
    gamma = np.linalg.solve(X10.T @ (X10 * weight[:, None]), X10.T @ (weight * value))
    left = value - X1 @ gamma
    outer = indicators.T @ (indicators * weight[:, None])
    beta = np.linalg.solve(outer, indicators.T @ (weight * left))
    moments = np.column_stack(
        [
            X10 * (weight * left)[:, None],
            indicators * (weight * (left - indicators @ beta))[:, None],
        ]
    )
    zero = np.zeros((X1.shape[1], indicators.shape[1]))
    derivative = np.block(
        [
            [X10.T @ (X1 * weight[:, None]), zero],
            [indicators.T @ (X1 * weight[:, None]), outer],
        ]
    )
    by_cluster = pd.DataFrame(moments).groupby(frame["cluster"]).sum().to_numpy()
    influence = np.linalg.solve(derivative, by_cluster.T)
    return beta, np.sqrt((influence**2).sum(axis=1))[-len(beta) :]


def test_it_equals_stacked_moments_with_full_matrices() -> None:
    sample = made.cases()
    frame = sample.frame
    event = (frame["period"] - frame["cohort"]).where(frame["cohort"] > 0)
    times = [-4, -3, -2, -1, 0, 1, 2, 3]
    tidy = fit(sample).tidy.set_index("term")
    beta, errors = dense_gmm(sample, np.column_stack([(event == e).astype(float) for e in times]))
    rows = tidy.loc[[f"event={e}" for e in times]]
    np.testing.assert_allclose(rows["estimate"], beta, rtol=made.EXACT)
    np.testing.assert_allclose(rows["std_error"], errors, rtol=made.EXACT)
    overall, error = dense_gmm(sample, (event >= 0).astype(float).to_numpy()[:, None])
    assert tidy.loc["overall", "estimate"] == pytest.approx(overall[0], rel=made.EXACT)
    assert tidy.loc["overall", "std_error"] == pytest.approx(error[0], rel=made.EXACT)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("make", [made.cases, made.panel])
def test_effects_are_those_of_imputation(aggregate: str, make: Any) -> None:
    sample = make()
    ours = fit(sample, aggregate=aggregate).tidy.set_index("term")["estimate"]
    options = ImputationSettings(aggregate=aggregate, leads=False)
    other = imputed.impute(sample, options).tidy.set_index("term")["estimate"]
    np.testing.assert_allclose(ours[other.index], other, rtol=made.EXACT)


def test_single_effects_have_the_standard_errors_of_imputation() -> None:
    """An effect of one cohort and period is its own mean, so that both centre it alike.

    In a panel of equal weights, that is: imputation weights units by the square of their weight.
    """
    frame = made.panel().frame.assign(weight=1.0)
    ours = fit(Sample(frame), aggregate="group-time").tidy.set_index("term")["std_error"]
    options = ImputationSettings(aggregate="group-time", errors="analytic")
    other = imputed.impute(Sample(frame), options).tidy.set_index("term")["std_error"]
    single = other.index.drop("overall")
    np.testing.assert_allclose(ours[single], other[single], rtol=made.EXACT)
    assert ours["overall"] > other["overall"]


def test_conventions_differ_by_their_factor() -> None:
    plain, wide = fit(made.cases()), fit(made.cases(), vcov="CR1")
    ratio = wide.tidy["std_error"] / plain.tidy["std_error"]
    np.testing.assert_allclose(ratio, np.sqrt(7 / 6), rtol=made.EXACT)
    assert wide.covariance is not None
    errors = np.sqrt(np.diag(wide.covariance))
    np.testing.assert_allclose(errors, wide.tidy["std_error"], rtol=made.EXACT)


def test_splitting_cases_changes_nothing() -> None:
    sample = made.cases()
    made.assert_same(fit(sample), fit(made.split_in_halves(sample)))


@pytest.mark.parametrize("check", estimator_checks(TwoStage()), ids=str)
def test_it_keeps_the_contract(check: Any) -> None:
    check()
