"""What the main estimate says: two one-sided tests, minimum detectable effects, adjusted p values.

Both are compared with R's ``t.test`` and ``qt``, and with published multipliers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rating_evidence import a_run, the_evidence
from sos_ratings.claims import claim_of, detectable, equivalence_interval

from sos_plugins import AdjustedP, Run, SmallestEffect
from sos_plugins.r import client as r

SAME_FORMULAS = 1e-9  # relative; R and scipy compute quantiles of t by different algorithms
MULTIPLIER = 2.802  # of the standard error, two-sided at 5%, 80% power: Bloom (1995), table 1: 2.8
ROUNDED = 5e-3  # published with one decimal, here with three
SCRIPT = """
tost <- function(data, size, level) {
  lower <- t.test(data$x, mu = -size, alternative = "greater")$p.value
  upper <- t.test(data$x, mu = size, alternative = "less")$p.value
  within <- t.test(data$x, conf.level = 1 - 2 * level)$conf.int
  df <- length(data$x) - 1
  se <- sd(data$x) / sqrt(length(data$x))
  list(p = max(lower, upper), low = within[1], high = within[2],
       mde = (qt(1 - level / 2, df) + qt(0.8, df)) * se)
}
"""


def of_sample(values: np.ndarray) -> Run:
    """The mean of a sample as a main run: the textbook t test."""
    n = len(values)
    error = float(values.std(ddof=1) / math.sqrt(n))
    return a_run(float(values.mean()), error, "main", df=float(n - 1))


@pytest.mark.r
@pytest.mark.parametrize("level", [0.05, 0.01])
@pytest.mark.parametrize("n", [3, 9, 40])
def test_equivalence_is_as_two_t_tests_of_r_find_it(n: int, level: float, tmp_path: Path) -> None:
    script = tmp_path / "tost.R"
    script.write_text(SCRIPT)
    verdicts = set()
    for seed in range(4):
        values = np.random.default_rng([seed, n]).normal(0.2 * seed, 1.0, n)
        for size in (0.3, 1.0, 4.0, 40.0):
            theirs = r.call(script, "tost", {"x": values}, {"size": size, "level": level})
            main = of_sample(values)
            low, high = equivalence_interval(main, level)
            expected = [float(theirs[k][0]) for k in ("low", "high", "mde")]
            assert [low, high, detectable(main, level)] == pytest.approx(
                expected, rel=SAME_FORMULAS
            )
            evidence = replace(
                the_evidence(), main=main, smallest_effect=SmallestEffect(size, "test")
            )
            claim = claim_of(evidence, level)
            assert claim is not None
            equivalent = float(theirs["p"][0]) < level
            assert (claim.direction == "no effect that matters") == equivalent
            verdicts.add(equivalent)
    assert verdicts == {True, False}


def test_the_detectable_effect_has_the_published_multiplier() -> None:
    assert detectable(a_run(0.1, 1.0, df=math.inf), 0.05) == pytest.approx(MULTIPLIER, abs=ROUNDED)
    assert detectable(a_run(0.1, 1.0, df=None), 0.05) == detectable(
        a_run(0.1, 1.0, df=math.inf), 0.05
    )
    few, many = (detectable(a_run(0.1, 1.0, df=df), 0.05) for df in (3.0, 300.0))
    assert few > many > MULTIPLIER - ROUNDED


def test_a_true_effect_of_that_size_is_found_four_times_in_five() -> None:
    """Simulated: means of 12 normal draws, the true mean at the detectable effect."""
    n, repeats = 12, 4000
    exact = a_run(0.0, 1.0, df=float(n - 1))
    rng = np.random.default_rng(3)
    draws = rng.normal(detectable(exact, 0.05) / 1.0, math.sqrt(n), (repeats, n))
    t = draws.mean(1) / (draws.std(1, ddof=1) / math.sqrt(n))
    critical = 2.200985  # qt(0.975, 11), tabled
    # The formula takes a shifted t for the noncentral one: 0.01 apart; 3 Monte Carlo errors 0.019.
    assert (np.abs(t) > critical).mean() == pytest.approx(0.8, abs=0.03)


def test_an_interval_of_a_hundred_points_either_way_cannot_tell() -> None:
    evidence = the_evidence(0.0001, 0.5)
    claim = claim_of(evidence, 0.05)
    assert claim is not None
    assert claim.direction == "cannot tell"
    assert claim.low < -0.8
    assert claim.high > 0.8


def test_without_a_smallest_effect_no_null_is_told() -> None:
    tight = the_evidence(0.0001, 0.0005)
    assert claim_of(tight, 0.05).direction == "no effect that matters"  # type: ignore[union-attr]
    unset = replace(tight, smallest_effect=None)
    assert claim_of(unset, 0.05).direction == "cannot tell"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("effect", "error", "direction"),
    [
        (-0.13, 0.02, "decrease"),
        (0.13, 0.02, "increase"),
        (-0.01, 0.002, "no effect that matters"),  # told from zero, and too small to matter
        (0.0, 0.02, "no effect that matters"),
        (0.0, 0.03, "cannot tell"),
        (0.04, 0.03, "cannot tell"),
    ],
)
def test_what_an_estimate_says(effect: float, error: float, direction: str) -> None:
    claim = claim_of(the_evidence(effect, error), 0.05)
    assert claim is not None
    assert claim.direction == direction


def test_the_adjusted_p_value_decides() -> None:
    evidence = the_evidence(-0.13, 0.055)
    assert evidence.main.p_value == pytest.approx(0.036, abs=0.001)
    names = ("kinship", "b", "c", "d", "e")
    many = replace(evidence, adjusted=AdjustedP(5 * 0.036, "holm", names))
    alone = replace(evidence, adjusted=None)
    told = [claim_of(e, 0.05).direction for e in (alone, evidence, many)]  # type: ignore[union-attr]
    assert told == ["decrease", "decrease", "cannot tell"]


def test_without_an_estimate_or_its_error_nothing_is_said() -> None:
    evidence = the_evidence()
    assert claim_of(replace(evidence, main=a_run(None)), 0.05) is None
    assert claim_of(replace(evidence, main=replace(evidence.main, std_error=None)), 0.05) is None
