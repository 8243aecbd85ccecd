"""p values of several outcomes together: as in R, in closed form, and their known error rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_evidence import INFO, a_run
from scipy.stats import norm
from sos_estimators.regression.engine_r import FOLDER

from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics
from sos_plugins.errors import DataError
from sos_plugins.r import client as r
from sos_plugins.study.multiplicity import adjusted, holm, romano_wolf
from sos_plugins.study.result import OutcomeResult

SAME = 1e-12  # products of the same two doubles
SCRIPT = """
adjust <- function(data) list(p = p.adjust(data$p, method = "holm"))
"""
STEP_DOWN = f"""
adjust <- function(data, observed) {{
  source("{(FOLDER / "few_treated.R").as_posix()}", local = TRUE)
  drawn <- matrix(data$drawn, ncol = length(observed))
  list(p = romano_wolf(observed, drawn))
}}
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


@pytest.mark.r
def test_the_step_down_is_as_in_r(tmp_path: Path) -> None:
    """Both read one matrix of statistics; some rows lack one, some are ties."""
    script = tmp_path / "step.R"
    script.write_text(STEP_DOWN)
    rng = np.random.default_rng(2)
    for n in (2, 3, 6):
        drawn = rng.normal(size=(199, n)) + rng.normal(size=(199, 1))
        observed = rng.normal(size=n) * 2
        drawn[5] = observed
        drawn[7, 0] = np.nan
        arguments = {"observed": observed}
        theirs = r.call(script, "adjust", {"drawn": drawn.ravel(order="F")}, arguments)["p"]
        assert romano_wolf(observed, drawn) == pytest.approx(np.ravel(theirs), abs=SAME)


def share(draws: int, as_large: float) -> float:
    """The observed statistic counts among the draws."""
    return (as_large + 1) / (draws + 1)


def test_outcomes_that_are_the_same_cost_nothing() -> None:
    t = np.random.default_rng(3).normal(size=999)
    single = share(999, (np.abs(t) >= 2.1).sum())
    found = romano_wolf([2.1, -2.1], np.column_stack([t, -t]))
    assert found == pytest.approx([single, single], abs=SAME)


def test_outcomes_that_are_independent_are_as_sidak_says() -> None:
    """Every pair of two sets of statistics: the larger of the two has 1 - (1 - p)^2, the rest p."""
    rng = np.random.default_rng(4)
    first, second = rng.permutation(400) + 0.5, rng.permutation(400) + 0.5
    drawn = np.array(np.meshgrid(first, second)).reshape(2, -1).T
    larger, smaller = (first >= 390).mean(), (first >= 385).mean()
    found = romano_wolf([385.0, -390.0], drawn)
    assert found[1] == pytest.approx(share(400**2, 400**2 * (1 - (1 - larger) ** 2)), abs=SAME)
    assert found[0] == pytest.approx(max(found[1], share(400**2, 400**2 * smaller)), abs=SAME)


def t_of_difference(values: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """Welch's t of outcomes (G, J) under assignments (B, G), (B, J)."""
    n, others = treated.sum(axis=1)[:, None], (~treated).sum(axis=1)[:, None]
    means, variances = [], []
    for who, size in ((treated, n), (~treated, others)):
        mean = who @ values / size
        means.append(mean)
        variances.append((who @ values**2 / size - mean**2) / (size - 1))
    return (means[0] - means[1]) / np.sqrt(sum(variances))


def test_it_keeps_its_size_and_finds_more_than_holm() -> None:
    """Nine pilots of 40, five outcomes with a correlation of 0.9; an effect on one of them."""
    rng = np.random.default_rng(5)
    repeats, pilots = 400, np.arange(40) < 9
    lots = rng.permuted(np.tile(pilots, (299, 1)), axis=1)
    false, found = np.zeros(2), np.zeros(2)
    for _ in range(repeats):
        values = np.sqrt(0.9) * rng.normal(size=(40, 1)) + np.sqrt(0.1) * rng.normal(size=(40, 5))
        for counted, effect in ((false, 0.0), (found, 1.1)):
            moved = values + effect * np.outer(pilots, np.arange(5) == 0)
            observed, drawn = (t_of_difference(moved, a) for a in (pilots[None], lots))
            single = [
                share(299, (np.abs(d) >= abs(o)).sum())
                for o, d in zip(observed[0], drawn.T, strict=True)
            ]
            both = romano_wolf(observed[0], drawn), np.array(holm(single))
            first = slice(0, 1) if effect else slice(None)
            counted += [p[first].min() <= 0.05 for p in both]
    monte_carlo = np.sqrt(0.05 * 0.95 / repeats)
    assert (false / repeats <= 0.05 + 3 * monte_carlo).all()
    assert false[0] / repeats > 0.05 - 3 * monte_carlo  # Holm's has a fifth of that
    assert found[0] > found[1] + 2 * np.sqrt(found[1])


def with_lots(name: str, p_value: float, statistic: float, drawn: np.ndarray, **changes: int):
    lots = DrawnStatistics(-1.0, statistic, tuple(drawn.tolist()), **{"n_possible": 500, **changes})
    return replace(outcome(name, p_value), drawn=lots)


def test_romano_wolf_is_never_below_the_main_run_and_leaves_no_draws_behind() -> None:
    t = np.random.default_rng(6).normal(size=199)
    two = [with_lots("a", 0.4, 3.0, t), with_lots("b", 0.0001, 3.0, t)]
    first, second = adjusted(two, ("a", "b"), "romano-wolf")
    assert first.adjusted is not None
    assert second.adjusted is not None
    assert (first.adjusted.p_value, first.adjusted.method) == (0.4, "romano-wolf")
    assert second.adjusted.p_value == pytest.approx(share(199, (np.abs(t) >= 3).sum()), abs=SAME)
    assert first.drawn is second.drawn is None
    assert first.warnings == ()


def test_without_lots_holm_is_taken_and_said() -> None:
    t = np.random.default_rng(6).normal(size=199)
    good, few = with_lots("a", 0.01, 3.0, t), with_lots("b", 0.02, 3.0, t, n_possible=6)
    none = replace(outcome("b", 0.02), not_drawn="'logit' has no assignments")
    for other, why in ((few, "adoption can be assigned in 6 ways only"), (none, none.not_drawn)):
        first, second = adjusted([good, other], ("a", "b"), "romano-wolf")
        assert first.adjusted is not None
        assert second.adjusted is not None
        assert (first.adjusted.p_value, first.adjusted.method) == (0.02, "holm")
        assert second.adjusted.p_value == 0.02
        assert first.warnings == second.warnings
        assert "by Holm's method, not by Romano and Wolf's: for kinship care, " in first.warnings[0]
        assert why in first.warnings[0]
        assert second.drawn is None
        assert second.not_drawn == ""


def test_lots_are_common_to_outcomes_and_every_order_as_likely() -> None:
    lots = AssignmentDraws(("a", "b", "c", "d"), 4000, seed=1)
    every, some = lots.orders(["a", "b", "c"]), lots.orders(["c", "a"])
    a_first = (every == 0).argmax(axis=1) < (every == 2).argmax(axis=1)
    assert ((some[:, 0] == 1) == a_first).all()
    _, counts = np.unique(every, axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts / 4000 - 1 / 6).max() < 3 * np.sqrt(1 / 6 * 5 / 6 / 4000)
    assert (lots.orders(["a", "b"], "c") != lots.orders(["a", "b"], "d")).any()
    with pytest.raises(DataError, match="No lots were drawn for the authorities x"):
        lots.orders(["a", "x"])
