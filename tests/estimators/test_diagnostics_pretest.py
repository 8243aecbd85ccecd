"""Power of the test of the leads: published results of pretrends, closed forms, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sos_estimators.diagnostics import EventCoefficients, pretest_power, slope_for_power
from sos_estimators.diagnostics.pretest import normal_in_box

from sos_plugins.errors import EstimationError

QUADRATURE = 5e-4  # relative; a lattice of 16,384 points in four dimensions or fewer
EXACT = 1e-9  # one dimension, in which the lattice is exact for probabilities
PUBLISHED = 1e-3  # relative; pretrends integrates by quasi-Monte Carlo and stops at 1e-3 of power

# Event study of He and Wang (2017) as shipped with the R package pretrends, and what its README
# prints for it.
BETA = [
    0.0667031481862068176,
    -0.0077017922885715961,
    -0.0307690538465976715,
    0.0840306580066680908,
    0.2424418181180953979,
    0.2198789864778518677,
    0.1910925358533859253,
]
SIGMA = [
    [0.0089065711945295334],
    [0.0044883135706186295, 0.0059369169175624847],
    [0.00145870249252766371, 0.00275007914751768112, 0.00303862476721405983],
    [0.00121576886158436537, 0.00135058583691716194, 0.00090561661636456847],
    [0.00203276448883116245, 0.00143154594115912914, 0.00067912985105067492],
    [0.0013225014554336667, 0.0012067791540175676, 0.0010167636210098863],
    [0.00196177279576659203, 0.00138471578247845173, 0.00070901442086324096],
]
SIGMA_REST = [
    [],
    [],
    [],
    [0.00392474094405770302],
    [0.00259611802175641060, 0.00806589704006910324],
    [0.00173261493910104036, 0.0058753751218318939, 0.0078815789893269539],
    [
        0.00223455252125859261,
        0.00374143593944609165,
        0.0036507095210254192,
        0.00978842657059431076,
    ],
]
SLOPE_50 = 0.05205871
BAYES_FACTOR = 0.56901
AFTER_PASSING = [
    -0.09230764,
    -0.05555285,
    -0.02790950,
    0.06490184,
    0.12084694,
    0.16946498,
    0.22453827,
]
QUADRATIC_POWER, QUADRATIC_BAYES_FACTOR = 0.6624282, 0.3841516


@pytest.fixture(scope="module")
def he_and_wang() -> EventCoefficients:
    rows = [[*a, *b] for a, b in zip(SIGMA, SIGMA_REST, strict=True)]
    lower = np.array([row + [0.0] * (7 - len(row)) for row in rows])
    return EventCoefficients.of([-4, -3, -2, 0, 1, 2, 3], BETA, lower + np.tril(lower, -1).T)


def test_slopes_are_those_of_pretrends(he_and_wang: EventCoefficients) -> None:
    assert slope_for_power(he_and_wang, 0.5) == pytest.approx(SLOPE_50, rel=PUBLISHED)


def test_what_a_passed_test_lets_through_is_that_of_pretrends(
    he_and_wang: EventCoefficients,
) -> None:
    power = pretest_power(he_and_wang, SLOPE_50)
    assert power.power == pytest.approx(0.5, rel=PUBLISHED)
    assert power.bayes_factor == pytest.approx(BAYES_FACTOR, rel=PUBLISHED)
    assert power.after_passing == pytest.approx(AFTER_PASSING, rel=PUBLISHED)
    assert power.bias(np.array([1.0, 0, 0, 0])) == power.after_passing[3]


def test_any_violation_may_be_given(he_and_wang: EventCoefficients) -> None:
    power = pretest_power(he_and_wang, 0.024 * he_and_wang.times**2)
    assert power.power == pytest.approx(QUADRATIC_POWER, rel=PUBLISHED)
    assert power.bayes_factor == pytest.approx(QUADRATIC_BAYES_FACTOR, rel=PUBLISHED)


def test_one_lead_has_closed_forms() -> None:
    """One lead at time -1: power and truncated mean of a normal, bias by regression on it."""
    path = EventCoefficients(np.zeros(2), np.array([[0.04, 0.03], [0.03, 0.09]]), 1)
    slope, sd = 0.3, 0.2
    a, b = (-1.96 * sd + slope) / sd, (1.96 * sd + slope) / sd
    level = 2 * stats.norm.sf(1.96)
    power = pretest_power(path, slope, level=level)
    passing = stats.norm.cdf(b) - stats.norm.cdf(a)
    mean = -slope + sd * (stats.norm.pdf(a) - stats.norm.pdf(b)) / passing
    assert power.power == pytest.approx(1 - passing, abs=EXACT)
    assert power.size == pytest.approx(level, abs=EXACT)
    assert power.after_passing[0] == pytest.approx(mean, rel=QUADRATURE)
    expected = slope + 0.03 / 0.04 * (mean + slope)
    assert power.after_passing[1] == pytest.approx(expected, rel=QUADRATURE)
    wald = stats.norm.sf(1.96 - slope / sd) + stats.norm.cdf(-1.96 - slope / sd)
    assert power.wald_power == pytest.approx(wald, rel=1e-6)  # ncx2 sums a series
    assert power.wald_power == pytest.approx(power.power, rel=1e-6)


def test_independent_leads_multiply() -> None:
    path = EventCoefficients(np.zeros(4), np.diag([0.04, 0.01, 0.09, 1.0]), 3)
    power = pretest_power(path, 0.1)
    z = stats.norm.ppf(0.975)
    shifts = 0.1 * np.array([3, 2, 1]) / [0.2, 0.1, 0.3]
    passing = np.prod(stats.norm.cdf(z - shifts) - stats.norm.cdf(-z - shifts))
    assert 1 - power.power == pytest.approx(passing, abs=EXACT)
    assert power.size == pytest.approx(1 - 0.95**3, abs=EXACT)


def test_boxes_agree_with_scipy_and_simulation() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 6))
    mean, cov = rng.normal(size=4) / 2, root @ root.T / 6
    low, high = np.array([-1.0, -0.5, -2.0, -1.5]), np.array([1.0, 1.5, 0.8, 2.0])
    box = normal_in_box(mean, cov, low, high)
    theirs = stats.multivariate_normal(mean, cov).cdf(high, lower_limit=low)
    assert box.probability == pytest.approx(theirs, rel=2e-3)  # scipy stops near 1e-5 to 1e-3
    draws = rng.multivariate_normal(mean, cov, size=200_000)
    inside = draws[((draws > low) & (draws < high)).all(axis=1)]
    error = inside.std(axis=0) / np.sqrt(len(inside))
    assert (np.abs(inside.mean(axis=0) - box.mean) < 4 * error).all()


def test_bias_after_passing_agrees_with_simulation(he_and_wang: EventCoefficients) -> None:
    slope = 0.08
    power = pretest_power(he_and_wang, slope)
    draws = np.random.default_rng(2).multivariate_normal(
        slope * he_and_wang.times, he_and_wang.covariance, size=200_000
    )
    errors = np.sqrt(np.diag(he_and_wang.covariance))
    passed = (np.abs(draws[:, :3]) < stats.norm.ppf(0.975) * errors[:3]).all(axis=1)
    assert 1 - passed.mean() == pytest.approx(power.power, abs=4 * 0.5 / np.sqrt(len(draws)))
    kept = draws[passed]
    away = np.abs(kept.mean(axis=0) - power.after_passing)
    assert (away < 4 * kept.std(axis=0) / np.sqrt(len(kept))).all()
    wald = np.einsum(
        "ij,jk,ik->i", draws[:, :3], np.linalg.inv(he_and_wang.covariance[:3, :3]), draws[:, :3]
    )
    rejected = (wald > stats.chi2.ppf(0.95, 3)).mean()
    assert rejected == pytest.approx(power.wald_power, abs=4 * 0.5 / np.sqrt(len(draws)))


def test_more_power_takes_a_steeper_slope(he_and_wang: EventCoefficients) -> None:
    slopes = [slope_for_power(he_and_wang, power) for power in (0.2, 0.5, 0.8, 0.99)]
    assert slopes == sorted(slopes)
    assert pretest_power(he_and_wang, slopes[2]).power == pytest.approx(0.8, abs=1e-6)


def test_with_parallel_trends_a_passed_test_adds_no_bias(he_and_wang: EventCoefficients) -> None:
    power = pretest_power(he_and_wang, 0.0)
    assert power.power == power.size
    assert power.wald_power == 0.05
    assert power.bayes_factor == 1.0
    # Symmetric boxes about zero: the lattice is folded, not exactly symmetric.
    assert np.abs(power.after_passing).max() < 1e-4


def test_what_has_no_power_is_an_error(he_and_wang: EventCoefficients) -> None:
    with pytest.raises(EstimationError, match="ask for more"):
        slope_for_power(he_and_wang, 0.05)
    with pytest.raises(EstimationError, match="one slope, or 7"):
        pretest_power(he_and_wang, [0.1, 0.2])
    with pytest.raises(EstimationError, match="2 leads is singular"):
        pretest_power(EventCoefficients(np.zeros(3), np.ones((3, 3)), 2), 0.1)
