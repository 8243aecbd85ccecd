"""Honest bounds in R: the published results of HonestDiD, the bounds of Python, and use by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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
from sos_estimators.diagnostics import EventCoefficients, HonestBounds, honest_bounds
from sos_estimators.diagnostics import honest_did as plugin
from sos_estimators.diagnostics.honest import Delta
from sos_estimators.diagnostics.honest_r import honest_bounds_in_r
from sos_estimators.regression.engine_r import FOLDER

from sos_plugins.errors import EngineError, EstimationError
from sos_plugins.r import client as r

__all__ = ["medicaid"]

pytestmark = pytest.mark.r

SAME_TESTS = 1e-9  # standard errors; the same inequalities and draws, multiplied in another order
SHORTEST = 1e-6  # standard errors; minimisers find a flat minimum to the root of rounding
SCRIPT = FOLDER / "honest_bounds.R"

M: dict[Delta, list[float]] = {
    "relative-magnitudes": [0.0, 0.7, 2.0],
    "smoothness": [0.0, 0.01, 0.1, 5.0],
}


def apart(one: HonestBounds, two: HonestBounds) -> float:
    """The largest difference, in standard errors of the parallel estimate; p values as they are."""
    error = one.parallel.std_error
    gaps = [
        (getattr(a, name) - getattr(b, name)) / (1 if name in ("m", "p_value") else error)
        for a, b in zip((one.parallel, *one.intervals), (two.parallel, *two.intervals), strict=True)
        for name in ("m", "estimate", "std_error", "p_value", "conf_low", "conf_high")
    ]
    return float(np.abs(gaps).max())


def many_leads() -> EventCoefficients:
    """Nine leads and four lags whose errors add up over time: variables leave the lasso's path."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(13, 26)).cumsum(axis=0)
    return EventCoefficients(rng.normal(size=13) + 3, steps @ steps.T / 260, 9)


# Published results --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "published"), [("event=0", PUBLISHED_FIRST), ("average", PUBLISHED_AVERAGE)]
)
def test_relative_magnitudes_in_r_are_those_of_honestdid(
    medicaid: EventCoefficients, target: str, published: list[tuple[float, float, float]]
) -> None:
    bounds = honest_bounds_in_r(medicaid, m=[row[0] for row in published], target=target)
    step = 40 * bounds.parallel.std_error / 1000
    for interval, (m, low, high) in zip(bounds.intervals, published, strict=True):
        assert interval.m == m
        assert interval.conf_low == pytest.approx(low, abs=GRID_STEPS * step)
        assert interval.conf_high == pytest.approx(high, abs=GRID_STEPS * step)
    twin = honest_bounds(medicaid, m=[row[0] for row in published], target=target)
    assert apart(twin, bounds) < SAME_TESTS
    assert bounds.breakdown == twin.breakdown


def test_smoothness_in_r_is_that_of_honestdid(medicaid: EventCoefficients) -> None:
    m = [row[0] for row in PUBLISHED_SMOOTH]
    bounds = honest_bounds_in_r(medicaid, delta="smoothness", m=m, target="event=0")
    for interval, (_, low, high) in zip(bounds.intervals, PUBLISHED_SMOOTH, strict=True):
        assert interval.conf_low == pytest.approx(low, abs=SIMULATED)
        assert interval.conf_high == pytest.approx(high, abs=SIMULATED)
    twin = honest_bounds(medicaid, delta="smoothness", m=m, target="event=0")
    assert apart(twin, bounds) < SHORTEST
    assert bounds.breakdown == pytest.approx(twin.breakdown, rel=SHORTEST)


# Against Python -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["average", "event=1"])
@pytest.mark.parametrize(
    "path",
    [random_path(1), random_path(4, 1, 3), random_path(3, 2, 2), many_leads()],
    ids=["four leads", "one lead", "two leads", "nine leads"],
)
def test_r_gives_the_bounds_of_python(path: EventCoefficients, target: str) -> None:
    for delta, tolerance in (("relative-magnitudes", SAME_TESTS), ("smoothness", SHORTEST)):
        given: dict[str, Any] = {"delta": delta, "m": M[delta], "target": target, "draws": 2000}
        one, two = honest_bounds(path, **given), honest_bounds_in_r(path, **given)
        assert apart(one, two) < tolerance
        assert two.breakdown == pytest.approx(one.breakdown, rel=SHORTEST)


def test_the_engine_takes_its_bounds_from_r(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("bounds of Python")

    monkeypatch.setattr("sos_estimators.diagnostics.honest._relative", refuse)
    sample = matched(2000)
    options = plugin.HonestDidSettings(min_event=-3, max_event=2, m=(0.5,), draws=1000)
    with pytest.raises(AssertionError, match="bounds of Python"):
        plugin.fit_python(sample, options)
    estimate = plugin.fit_r(sample, options)
    monkeypatch.undo()
    twin = plugin.fit_python(sample, options)
    for name in ("conf_low", "conf_high", "p_value"):
        assert estimate.term("M=0.5")[name] == pytest.approx(twin.term("M=0.5")[name], rel=SHORTEST)


# By hand, and errors ------------------------------------------------------------------------------


def test_an_r_user_sources_the_file_and_draws_there(
    medicaid: EventCoefficients, tmp_path: Path
) -> None:
    script = tmp_path / "by_hand.R"
    script.write_text(
        f'source("{SCRIPT.as_posix()}")\n'
        "by_hand <- function(data, covariance) {\n"
        "  set.seed(1)\n"
        "  back <- 7:1  # in any order\n"
        "  honest_bounds(data$estimate[back], covariance[back, back], data$event[back],\n"
        "                m = c(0.5, 1))\n"
        "}\n"
    )
    columns = {"estimate": medicaid.estimates, "event": medicaid.times - 1}
    answer = r.call(script, "by_hand", columns, {"covariance": medicaid.covariance})
    ours = honest_bounds(medicaid, m=[0.5, 1.0])
    width = [i.conf_high - i.conf_low for i in ours.intervals]
    for name in ("conf_low", "conf_high"):
        gaps = answer["intervals"][name] - [getattr(i, name) for i in ours.intervals]
        assert (np.abs(gaps) < DRAWN * np.array(width)).all()
    assert answer["breakdown"][0] == pytest.approx(ours.breakdown, rel=DRAWN)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"m": [-1.0]}, "0 or more"),
        ({"target": "event=7"}, "no lag"),
        ({"covariance": np.eye(6)}, "a row and a column"),
        ({"covariance": np.full((7, 7), np.nan)}, "missing or infinite"),
        ({"covariance": np.ones((7, 7)), "delta": "smoothness"}, "singular"),
        ({"event": [-6, -5, -4, -3, -1, 0, 1]}, "without a gap"),
    ],
)
def test_what_cannot_be_bounded_is_an_error_in_r(
    medicaid: EventCoefficients, changed: dict[str, Any], sentence: str
) -> None:
    given = {"covariance": medicaid.covariance, "event": medicaid.times - 1, **changed}
    columns = {"estimate": medicaid.estimates, "event": np.array(given.pop("event"), float)}
    with pytest.raises(EngineError, match=sentence):
        r.call(SCRIPT, "honest_bounds_of", columns, given)


def test_a_singular_covariance_is_refused_before_r_is_asked() -> None:
    path = random_path(10)
    flat = EventCoefficients(path.estimates, np.ones((7, 7)), 4)
    with pytest.raises(EstimationError, match="singular"):
        honest_bounds_in_r(flat, delta="smoothness", m=[0.0])
