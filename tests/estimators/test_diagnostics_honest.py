"""Honest bounds: published results of HonestDiD, linear programs, closed forms and coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from did_samples import matched
from honest_examples import (
    DRAWN,
    GRID_STEPS,
    PUBLISHED_AVERAGE,
    PUBLISHED_FIRST,
    PUBLISHED_SMOOTH,
    SIMULATED,
    medicaid,
    random_path,
)
from scipy import optimize, stats
from sos_estimators.diagnostics import EventCoefficients, HonestBounds, honest_bounds
from sos_estimators.diagnostics.honest import breakdown_value
from sos_estimators.diagnostics.honest_did import HonestDid, HonestDidSettings, bounded, fit_python
from sos_estimators.diagnostics.relative_magnitudes import (
    FIRST_STAGE,
    RelativeMagnitudes,
    accepts,
    draw_noise,
    truncated_normal_quantile,
)
from sos_estimators.diagnostics.smoothness import Smoothness, folded_normal_quantile
from sos_estimators.event_study import EventStudySettings
from sos_estimators.event_study import fit_python as fit_events

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import assert_engines_agree, estimator_checks
from sos_plugins.authors.testing.examples import example_sample
from sos_plugins.errors import DataError, EstimationError, SettingsError
from sos_plugins.host.settings import validate

__all__ = ["medicaid"]

EXACT = 1e-8  # other order of summation
SOLVER = 1e-6  # linear programs and minimisers stop about there


def set_up(path: EventCoefficients, weights: np.ndarray, m: float) -> RelativeMagnitudes:
    return RelativeMagnitudes.of(path, weights, m, noise=draw_noise(path))


# Published results --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "published"), [("event=0", PUBLISHED_FIRST), ("average", PUBLISHED_AVERAGE)]
)
def test_relative_magnitudes_are_those_of_honestdid(
    medicaid: EventCoefficients, target: str, published: list[tuple[float, float, float]]
) -> None:
    bounds = honest_bounds(medicaid, m=[row[0] for row in published], target=target)
    step = 40 * bounds.parallel.std_error / 1000
    for found, (m, low, high) in zip(bounds.intervals, published, strict=True):
        assert found.m == m
        assert found.conf_low == pytest.approx(low, abs=GRID_STEPS * step)
        assert found.conf_high == pytest.approx(high, abs=GRID_STEPS * step)


def test_smoothness_is_that_of_honestdid(medicaid: EventCoefficients) -> None:
    m = [row[0] for row in PUBLISHED_SMOOTH]
    bounds = honest_bounds(medicaid, delta="smoothness", m=m, target="event=0")
    for found, (_, low, high) in zip(bounds.intervals, PUBLISHED_SMOOTH, strict=True):
        assert found.conf_low == pytest.approx(low, abs=SIMULATED)
        assert found.conf_high == pytest.approx(high, abs=SIMULATED)


def test_breakdown_values_are_those_that_honestdid_tells(medicaid: EventCoefficients) -> None:
    relative = honest_bounds(medicaid, m=[1.0], target="event=0")
    smooth = honest_bounds(medicaid, delta="smoothness", m=[0.0], target="event=0")
    assert 1.5 < relative.breakdown < 2.0  # zero is outside at 1.5 and inside at 2
    assert 0.02 < smooth.breakdown < 0.03


# Relative magnitudes against linear programs ------------------------------------------------------


def polyhedron(
    path: EventCoefficients, m: float, step: int, sign: int
) -> tuple[np.ndarray, np.ndarray]:
    """The inequalities on steps after adoption: rows for coefficients, and for effects."""
    p, n_pre = len(path.estimates), path.n_pre
    with_reference = np.insert(np.eye(p), n_pre, 0.0, axis=0)
    steps = np.diff(with_reference, axis=0)
    largest = sign * steps[step]
    rows = np.array([s * d - m * largest for d in steps[n_pre:] for s in (1, -1)])
    return rows, rows[:, n_pre:]


def hybrid_by_linear_programs(
    path: EventCoefficients,
    weights: np.ndarray,
    m: float,
    where: tuple[int, int],
    theta: float,
    critical: float,
) -> bool:
    """The hybrid test as Andrews, Roth and Pakes write it, with three linear programs."""
    rows, on_effects = polyhedron(path, m, *where)
    basis = np.linalg.svd(weights[None, :])[2][1:].T
    y = rows @ path.estimates - on_effects @ weights * theta / (weights @ weights)
    x = on_effects @ basis
    cov = rows @ path.covariance @ rows.T
    sd = np.sqrt(np.diag(cov))
    free = [(None, None)] * (1 + x.shape[1])
    cost = np.eye(1 + x.shape[1])[0]
    solved = optimize.linprog(cost, A_ub=-np.column_stack([sd, x]), b_ub=-y, bounds=free)
    eta, gamma = solved.fun, -solved.ineqlin.marginals
    variance = gamma @ cov @ gamma
    c = cov @ gamma / variance
    rest = y - c * (gamma @ y)
    ends = [
        optimize.linprog(side * cost, A_ub=np.column_stack([c - sd, -x]), b_ub=-rest, bounds=free)
        for side in (1, -1)
    ]
    low = ends[0].x[0] if ends[0].status == 0 else -np.inf
    high = min(ends[1].x[0] if ends[1].status == 0 else np.inf, critical)
    size = (0.05 - FIRST_STAGE * 0.05) / (1 - FIRST_STAGE * 0.05)
    s = np.sqrt(variance)
    quantile = s * stats.truncnorm.ppf(1 - size, low / s, max(high, low + SOLVER) / s)
    return bool(eta <= critical and eta <= max(0.0, quantile))


@pytest.mark.parametrize("weights", [[1 / 3] * 3, [1.0, 0, 0], [0, 0, 1.0], [0.5, -0.2, 0.7]])
def test_rays_give_the_test_of_linear_programs(weights: list[float]) -> None:
    path, w, m = random_path(1), np.array(weights), 0.8
    tests = set_up(path, w, m)
    critical = tests.critical(0.05)
    sd = float(np.sqrt(w @ path.covariance[path.post, path.post] @ w))
    places = [(step, sign) for step in range(path.n_pre) for sign in (1, -1)]
    thetas = tests.centre + sd * np.linspace(-6, 6, 9) + 0.011
    ours = accepts(tests.problem, np.tile(thetas, (len(places), 1)), critical, 0.05)
    theirs = [
        [hybrid_by_linear_programs(path, w, m, where, theta, critical[j]) for theta in thetas]
        for j, where in enumerate(places)
    ]
    assert ours.tolist() == theirs
    assert 0 < ours.sum() < ours.size


def test_without_violations_the_interval_is_the_usual_one() -> None:
    bounds = honest_bounds(random_path(2), m=[0.0])
    found, usual = bounds.intervals[0], bounds.parallel
    width = usual.conf_high - usual.conf_low
    assert found.conf_high - found.conf_low == pytest.approx(width, rel=DRAWN)
    assert found.conf_low + found.conf_high == pytest.approx(2 * found.estimate, rel=DRAWN)


def test_large_violations_widen_by_the_largest_step() -> None:
    """Without sampling error the set is estimate +- m * largest step, times weights of steps."""
    estimates = [0.1, -0.2, 0.5, 0.6]  # steps before: -0.3, 0.2; after: 0.5, 0.1
    path = EventCoefficients(np.array(estimates), 1e-12 * np.eye(4), 2)
    for target, steps in (("event=0", 1.0), ("event=1", 2.0), ("average", 1.5)):
        bounds = honest_bounds(path, m=[2.0], target=target)
        found = bounds.intervals[0]
        half = 2.0 * 0.3 * steps
        assert found.conf_low == pytest.approx(found.estimate - half, abs=1e-4)
        assert found.conf_high == pytest.approx(found.estimate + half, abs=1e-4)
        assert bounds.breakdown == pytest.approx(found.estimate / (0.3 * steps), rel=1e-3)


@pytest.mark.parametrize("sign", [1, -1])
def test_relative_magnitudes_cover_at_the_edge_of_the_restriction(sign: int) -> None:
    """Trends whose steps after adoption are as large as the largest before; no effect."""
    path = random_path(3, n_pre=2, n_post=2)
    cov = path.covariance / 20
    steps = np.array([-0.6, 0.2, -0.6, -0.6]) * sign
    level = np.concatenate([[0.0], np.cumsum(steps)])
    truth = np.delete(level - level[2], 2)
    rng = np.random.default_rng(4)
    draws = rng.multivariate_normal(truth, cov, size=400)
    weights = np.array([0.5, 0.5])
    noise = draw_noise(replace(path, covariance=cov), draws=2000)
    held = [
        RelativeMagnitudes.of(
            EventCoefficients(estimates, cov, 2), weights, 1.0, noise=noise
        ).accepts(0.0, 0.05)
        for estimates in draws
    ]
    assert np.mean(held) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)  # three standard errors
    assert np.mean(held) < 1.0


def test_a_p_value_is_the_size_at_which_the_interval_meets_the_value() -> None:
    tests = set_up(random_path(5), np.full(3, 1 / 3), 0.4)
    low, high = tests.interval(0.1)
    for end in (low, high):
        assert tests.p_value(end) == pytest.approx(0.1, abs=1e-4)


def test_quantiles_of_truncated_normals_hold_far_in_the_tails() -> None:
    lows, highs = np.array([-1.0, 0.5, -np.inf, 2.0]), np.array([2.0, 3.0, 1.0, np.inf])
    theirs = stats.truncnorm.ppf(0.95, lows, highs)
    assert truncated_normal_quantile(0.95, lows, highs) == pytest.approx(theirs, abs=EXACT)
    far = truncated_normal_quantile(0.95, np.array([40.0]), np.array([np.inf]))
    assert far == pytest.approx([40 - np.log(0.05) / 40], abs=1e-2)  # exponential tail


# Smoothness ---------------------------------------------------------------------------------------


def second_differences(path: EventCoefficients) -> np.ndarray:
    with_reference = np.insert(np.eye(len(path.estimates)), path.n_pre, 0.0, axis=0)
    return np.diff(with_reference, n=2, axis=0)


def worst_bias(path: EventCoefficients, v: np.ndarray, m: float) -> float:
    """Largest v @ delta over trends whose second differences are at most m, by a linear program."""
    rows = second_differences(path)
    solved = optimize.linprog(
        -v, A_ub=np.vstack([rows, -rows]), b_ub=np.full(2 * len(rows), m), bounds=(None, None)
    )
    return float(-solved.fun) if solved.status == 0 else float("inf")


@pytest.mark.parametrize("m", [0.0, 0.05, 0.3, 3.0])
def test_the_shortest_interval_has_the_bias_it_says_and_none_is_shorter(m: float) -> None:
    path = random_path(6)
    weights = np.array([0.2, 0.3, 0.5])
    best = Smoothness.of(path, weights).shortest(m, 0.95)
    v = np.concatenate([best.weights, weights])
    assert worst_bias(path, v, m) == pytest.approx(best.bias, abs=SOLVER)
    assert best.std_error == pytest.approx(np.sqrt(v @ path.covariance @ v), rel=EXACT)

    basis = np.linalg.svd(path.times[path.pre][None, :])[2][1:].T

    def half_length(x: np.ndarray) -> float:
        full = np.concatenate([best.weights + basis @ x, weights])
        sd = float(np.sqrt(full @ path.covariance @ full))
        return float(folded_normal_quantile(0.95, worst_bias(path, full, m) / sd)) * sd

    assert half_length(np.zeros(3)) == pytest.approx(best.half_length, rel=SOLVER)
    # The set of interval lengths below any bound is convex: what no step improves is shortest.
    found = optimize.minimize(half_length, np.zeros(3), method="Nelder-Mead")
    steps = np.random.default_rng(1).normal(size=(40, 3)) * np.geomspace(1e-3, 1, 40)[:, None]
    assert min(found.fun, *map(half_length, steps)) >= best.half_length - SOLVER


def test_a_straight_line_is_extrapolated_by_generalised_least_squares() -> None:
    path = random_path(7)
    weights = np.array([1.0, 0, 0])
    best = Smoothness.of(path, weights).shortest(0.0, 0.95)
    cov = path.covariance
    pre, post = path.pre, path.post
    # Regress leads and the target on a line through the reference, and on the effect.
    x = np.zeros((5, 2))
    x[:, 0] = [*path.times[pre], 1.0]
    x[4, 1] = 1.0
    half = np.vstack([np.eye(7)[pre], np.concatenate([np.zeros(4), weights])])
    inverse = np.linalg.inv(half @ cov @ half.T)
    bread = np.linalg.inv(x.T @ inverse @ x)
    effect = bread @ x.T @ inverse @ np.append(path.estimates[pre], weights @ path.estimates[post])
    assert best.estimate == pytest.approx(effect[1], rel=EXACT)
    assert best.std_error == pytest.approx(np.sqrt(bread[1, 1]), rel=EXACT)
    assert best.half_length == pytest.approx(stats.norm.ppf(0.975) * best.std_error, rel=EXACT)


def test_one_lead_and_one_lag_have_a_closed_form() -> None:
    path = EventCoefficients(np.array([0.2, 1.0]), np.diag([0.09, 0.16]), 1)
    found = honest_bounds(path, delta="smoothness", m=[0.1]).intervals[0]
    sd = np.sqrt(0.25)  # 1.0 less the line through 0.2: 1.0 + 0.2
    half = sd * np.sqrt(stats.ncx2.ppf(0.95, 1, (0.1 / sd) ** 2))
    assert found.estimate == pytest.approx(1.2, rel=EXACT)
    assert found.conf_high == pytest.approx(1.2 + half, rel=1e-7)  # ncx2 inverts numerically


def test_smoothness_covers_at_the_edge_of_the_restriction() -> None:
    path = random_path(8, n_pre=3, n_post=2)
    cov, m = path.covariance / 30, 0.2
    weights = np.array([0.0, 1.0])
    best = Smoothness.of(replace(path, covariance=cov), weights).shortest(m, 0.95)
    v = np.concatenate([best.weights, weights])
    rows = second_differences(path)
    worst = optimize.linprog(
        -v, A_ub=np.vstack([rows, -rows]), b_ub=np.full(2 * len(rows), m), bounds=(None, None)
    ).x
    draws = np.random.default_rng(9).multivariate_normal(worst, cov, size=4000)
    held = np.abs(draws @ v) <= best.half_length
    assert held.mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 4000))


def test_folded_quantiles_are_those_of_the_noncentral_chi_square() -> None:
    bias = np.array([0.0, 0.3, 1.0, 4.0])
    theirs = np.sqrt([stats.norm.ppf(0.975) ** 2, *stats.ncx2.ppf(0.95, 1, bias[1:] ** 2)])
    assert folded_normal_quantile(0.95, bias) == pytest.approx(theirs, rel=1e-7)  # as above


# Breakdown, errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", ["relative-magnitudes", "smoothness"])
def test_at_the_breakdown_value_the_interval_meets_zero(
    medicaid: EventCoefficients, delta: str
) -> None:
    def bounds(m: float) -> HonestBounds:
        return honest_bounds(medicaid, delta=delta, m=[m])  # type: ignore[arg-type]

    where = bounds(0.0).breakdown
    low, high = bounds(where * 0.99).intervals[0], bounds(where * 1.01).intervals[0]
    assert high.conf_low < 0 < low.conf_low
    assert low.p_value < 0.05 < high.p_value


def test_breakdown_values_can_be_zero_or_infinite() -> None:
    assert breakdown_value(lambda m: True, first=1.0, largest=10.0) == 0.0
    assert breakdown_value(lambda m: False, first=1.0, largest=10.0) == float("inf")
    assert breakdown_value(lambda m: m >= 3.7, first=1.0, largest=10.0) == pytest.approx(3.7, 1e-4)


def test_coefficients_are_checked() -> None:
    eye = np.eye(3)
    with pytest.raises(EstimationError, match="without a gap"):
        EventCoefficients.of([-4, -2, 0], [1.0, 2, 3], eye)
    with pytest.raises(EstimationError, match="before and after"):
        EventCoefficients.of([0, 1, 2], [1.0, 2, 3], eye)
    with pytest.raises(EstimationError, match="do not fit"):
        EventCoefficients.of([-3, -2, 0], [1.0, 2, 3], np.eye(2).repeat(2, 0)[:3, :])
    with pytest.raises(EstimationError, match="missing or infinite"):
        EventCoefficients.of([-3, -2, 0], [1.0, np.nan, 3], eye)
    with pytest.raises(EstimationError, match="no covariance"):
        EventCoefficients.of([-3, -2, 0], [1.0, 2, 3], -eye)
    shuffled = EventCoefficients.of([0, -2, -3], [3.0, 2, 1], np.diag([9.0, 4, 1]))
    assert shuffled.estimates.tolist() == [1, 2, 3]
    assert np.diag(shuffled.covariance).tolist() == [1, 4, 9]


def test_what_cannot_be_bounded_is_an_error() -> None:
    path = random_path(10)
    with pytest.raises(EstimationError, match="no lag"):
        honest_bounds(path, m=[1.0], target="event=7")
    with pytest.raises(EstimationError, match="0 or more"):
        honest_bounds(path, m=[-1.0])
    flat = EventCoefficients(path.estimates, np.ones((7, 7)), 4)
    with pytest.raises(EstimationError, match="singular"):
        honest_bounds(flat, delta="smoothness", m=[0.0])
    with pytest.raises(SettingsError, match="each once"):
        validate(HonestDidSettings, {"m": [1.0, 1.0]}, where="test")


# The estimator ------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", estimator_checks(HonestDid()), ids=str)
def test_honest_did_keeps_the_contract(check) -> None:  # type: ignore[no-untyped-def]
    check()


def test_the_plugin_bounds_the_event_study_that_it_runs() -> None:
    sample = matched(3000)
    options = HonestDidSettings(
        form="stacked", min_event=-3, max_event=2, m=(0.5,), target="event=1"
    )
    found = fit_python(sample, options)
    study = fit_events(sample, EventStudySettings(form="stacked", min_event=-3, max_event=2))
    path = EventCoefficients.from_estimate(study)
    bounds = honest_bounds(path, m=[0.5], target="event=1")
    row = found.term("M=0.5")
    assert row["estimate"] == study.term("event=1")["estimate"]
    assert row["std_error"] == pytest.approx(study.term("event=1")["std_error"], rel=EXACT)
    assert row["conf_low"] == bounds.intervals[0].conf_low
    assert found.glance["breakdown"] == bounds.breakdown
    relative = bounds.breakdown if found.glance["delta"] == "relative-magnitudes" else None
    assert found.glance["breakdown_relative"] == relative
    assert (found.glance["n_leads"], found.glance["n_lags"]) == (2, 3)
    assert found.glance["pretest_slope"] > 0
    assert set(study.warnings) <= set(found.warnings)


@pytest.mark.r
def test_r_and_python_give_the_same_covariance_and_bounds() -> None:
    sample = example_sample("stacked", effect=1.0, n_cases=5)
    assert_engines_agree(HonestDid(), sample, HonestDidSettings(m=(1.0,)))


def test_an_estimate_without_covariance_or_with_another_reference_is_refused() -> None:
    study = fit_events(matched(), EventStudySettings(min_event=-3, max_event=2))
    with pytest.raises(EstimationError, match="carries no covariance"):
        bounded(replace(study, covariance=None), HonestDidSettings())
    with pytest.raises(EstimationError, match="need -1"):
        bounded(replace(study, glance={**study.glance, "reference": -2}), HonestDidSettings())


def test_the_covariance_of_the_event_study_is_that_of_its_errors() -> None:
    study = fit_events(matched(), EventStudySettings(min_event=-3, max_event=2))
    assert study.covariance is not None
    errors = study.tidy.set_index("term").loc[study.covariance.columns, "std_error"]
    assert np.sqrt(np.diag(study.covariance)) == pytest.approx(errors.to_numpy(), rel=EXACT)
    lags = [f"event={e}" for e in range(3)]
    overall = study.covariance.loc[lags, lags].to_numpy().sum() / 9
    assert study.term("overall")["std_error"] == pytest.approx(np.sqrt(overall), rel=EXACT)
    assert study.to_dict()["covariance"]["terms"] == list(study.covariance.columns)


def test_a_covariance_of_other_terms_is_refused() -> None:
    study = fit_events(matched(), EventStudySettings(min_event=-3, max_event=2))
    wrong = pd.DataFrame([[1.0]], index=["x"], columns=["x"])
    with pytest.raises(DataError, match="Not in tidy: x"):
        Estimate(study.tidy, study.glance, covariance=wrong)
    assert "covariance" not in replace(study, covariance=None).to_dict()


def test_fewer_clusters_than_coefficients_is_told() -> None:
    frame = matched().frame
    few = Sample(frame.assign(cluster=frame["unit"].isin(["C1", "C2", "P1", "P2"]).astype(str)))
    found = fit_python(few, HonestDidSettings(m=(1.0,)))
    assert any("singular" in warning for warning in found.warnings)
    assert found.glance["pretest_slope"] is None
