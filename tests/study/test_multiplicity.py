"""p values of several outcomes together: Holm's as in R, and how often a null is claimed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_evidence import INFO, a_run
from scipy.stats import norm

from sos_plugins.r import client as r
from sos_plugins.study.multiplicity import adjusted, holm
from sos_plugins.study.result import OutcomeResult

SAME = 1e-12  # products of the same two doubles
SCRIPT = """
adjust <- function(data) list(p = p.adjust(data$p, method = "holm"))
"""
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@pytest.mark.r
def test_holm_is_as_in_r(tmp_path: Path) -> None:
    script = tmp_path / "holm.R"
    script.write_text(SCRIPT)
    rng = np.random.default_rng(1)
    for n in (1, 2, 5, 20):
        for p in (rng.uniform(size=n), rng.integers(1, 4, n) / 40, np.full(n, 0.03)):
            theirs = r.call(script, "adjust", {"p": np.asarray(p, float)})["p"]
            assert holm(list(p)) == pytest.approx(list(np.ravel(theirs)), abs=SAME)


@given(p_values)
def test_adjusted_p_values_keep_their_order_and_never_fall(values: list[float]) -> None:
    together = holm(values)
    assert all(a >= p for a, p in zip(together, values, strict=True))
    assert all(a <= 1 for a in together)
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(together)[order]) >= 0)


def test_five_nulls_give_a_finding_as_often_as_the_level_says() -> None:
    """Simulated: outcomes that share half of their variance, as those of the same children do."""
    rng = np.random.default_rng(7)
    repeats, n = 4000, 5
    z = rng.normal(size=(repeats, 1)) * np.sqrt(0.5) + rng.normal(size=(repeats, n)) * np.sqrt(0.5)
    p = 2 * norm.sf(np.abs(z))
    single = (p.min(axis=1) < 0.05).mean()
    together = np.mean([min(holm(list(row))) < 0.05 for row in p])
    monte_carlo = np.sqrt(0.05 * 0.95 / repeats)
    assert single > 0.12
    assert together < 0.05 + 3 * monte_carlo
    assert together > 0.02  # and it is no blanket refusal


def outcome(name: str, p_value: float | None) -> OutcomeResult:
    info = replace(INFO, name=name)
    if p_value is None:
        return OutcomeResult(info, error="No case.")
    return OutcomeResult(info, main=replace(a_run(family="main"), p_value=p_value))


def test_only_confirmatory_outcomes_with_a_p_value_are_tested_together() -> None:
    four = [outcome("a", 0.01), outcome("b", 0.04), outcome("c", None), outcome("d", 0.001)]
    told = {o.info.name: o.adjusted for o in adjusted(four, ("a", "b", "c"), "holm")}
    assert told["c"] is None
    assert told["d"] is None
    assert told["a"] is not None
    assert told["b"] is not None
    assert (told["a"].p_value, told["b"].p_value) == pytest.approx((0.02, 0.04))
    assert told["a"].outcomes == ("a", "b")


def test_none_takes_every_p_value_by_itself() -> None:
    two = [outcome("a", 0.03), outcome("b", 0.04)]
    told = [o.adjusted for o in adjusted(two, ("a", "b"), "none")]
    assert [(a.p_value, a.method) for a in told if a] == [(0.03, "none"), (0.04, "none")]
