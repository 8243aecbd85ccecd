"""Wooldridge's test: plm's result, a known truth, gaps and windows, base R."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY
from sos_estimators.diagnostics.serial_correlation import (
    Differences,
    SerialCorrelationSettings,
    SerialCorrelationTest,
    differences,
    fit_python,
    fit_r,
    panel_of_means,
    serial_correlation,
)
from sos_estimators.sample.prepare import prepare

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import estimator_checks
from sos_plugins.errors import EstimationError

PRINTED = 1e-9
"""The statistic of plm is stored with twelve digits."""
REFERENCE = REPOSITORY / "tests" / "reference"
Fit = Callable[[Sample, SerialCorrelationSettings], Estimate]
ENGINE = [fit_python, pytest.param(fit_r, marks=pytest.mark.r)]


def test_the_statistic_is_that_of_plm() -> None:
    """Up to the factor G / (G - 1), which plm's variance by cluster lacks."""
    data = pd.read_csv(REFERENCE / "panel_models_data.csv").sort_values(["firm", "year"])
    stored = pd.read_csv(REFERENCE / "panel_models_results.csv")
    wanted = float(stored.loc[stored["figure"] == "wooldridge", "value"].iloc[0])
    changes = data.groupby("firm")[["inv", "value", "capital"]].diff()
    first = changes["inv"].isna().to_numpy()
    kept, firm = changes[~first], data["firm"].to_numpy()[~first]
    place = np.arange(len(kept))
    before = np.where(np.append(-1, firm[:-1]) == firm, place - 1, -1)
    columns = np.column_stack([np.ones(len(kept)), kept[["value", "capital"]]])
    cluster = firm.astype(np.int64) - 1
    found = serial_correlation(Differences(kept["inv"].to_numpy(), columns, cluster, before))
    n = found.n_clusters
    assert found.statistic * n / (n - 1) == pytest.approx(wanted, rel=PRINTED)


def shocked(
    rho: float, *, seed: int = 3, units: int = 60, years: int = 30, adopted: int = 2015
) -> Sample:
    """Authority means with first-order autoregressive shocks, ten authorities treated."""
    rng = np.random.default_rng(seed)
    shock = np.zeros((units, years))
    shock[:, 0] = rng.normal(0, 1 / np.sqrt(1 - rho**2), units)
    for year in range(1, years):
        shock[:, year] = rho * shock[:, year - 1] + rng.normal(0, 1, units)
    rows = pd.MultiIndex.from_product([range(units), range(2000, 2000 + years)]).to_frame(False)
    unit, period = rows[0].to_numpy(), rows[1].to_numpy()
    treated, post = (unit < 10).astype(int), (period >= adopted).astype(int)
    value = shock.ravel() + unit % 7 + 0.1 * period + 2.0 * treated * post
    frame = pd.DataFrame(
        {
            "unit": [f"{u:02d}" for u in unit],
            "period": period,
            "cohort": np.where(treated == 1, adopted, 0),
            "value": value,
            "weight": 1.0,
            "treated": treated,
            "post": post,
            "x": rng.normal(0, 1, len(value)),
        }
    )
    return Sample(frame.assign(cluster=frame["unit"]), ("x",))


@pytest.mark.parametrize("fit", ENGINE)
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_autocorrelation_is_found(fit: Fit, rho: float) -> None:
    estimate = fit(shocked(rho), SerialCorrelationSettings())
    row = estimate.term("rho")
    assert abs(row["estimate"] - rho) < 3 * row["std_error"]
    assert row["std_error"] < 0.1
    assert (estimate.glance["wooldridge_p_value"] < 1e-6) is (rho > 0)
    assert estimate.glance["wooldridge_p_value"] == pytest.approx(row["p_value"], rel=1e-8)
    assert estimate.glance["lagged_residual"] == pytest.approx((row["estimate"] - 1) / 2)


@pytest.mark.r
def test_r_gives_the_same() -> None:
    sample = shocked(0.4, units=20, years=12, adopted=2006)
    own = fit_python(sample, SerialCorrelationSettings())
    in_r = fit_r(sample, SerialCorrelationSettings())
    for column in ("estimate", "std_error", "p_value"):
        assert in_r.term("rho")[column] == pytest.approx(own.term("rho")[column], rel=1e-8)


def test_years_that_do_not_follow_each_other_are_no_pair() -> None:
    sample = shocked(0.0, units=12, years=8, adopted=2005)
    whole = fit_python(sample, SerialCorrelationSettings()).glance
    assert (whole["n_changes"], whole["n_pairs"]) == (12 * 7, 12 * 6)
    frame = sample.frame
    gap = sample.where(~((frame["unit"] == "03") & (frame["period"] == 2004)))
    without = fit_python(gap, SerialCorrelationSettings()).glance
    assert (without["n_changes"], without["n_pairs"]) == (12 * 7 - 2, 12 * 6 - 3)


def test_a_change_over_a_window_is_none() -> None:
    """Years on both sides of an embedding window do not follow each other."""
    frame = shocked(0.0, units=12, years=20).frame
    sample = Sample(frame, window_gap=True)
    prepared = prepare(sample, "twfe")
    changes = differences(panel_of_means(sample, prepared), "twfe")
    assert len(changes.value) == 12 * (20 - 2)
    assert int((changes.before >= 0).sum()) == 12 * (20 - 4)
    two = sample.where(sample.frame["period"].isin([2013, 2014, 2015, 2016]))
    with pytest.raises(EstimationError, match=r"three periods in a row .* 0 such runs"):
        fit_python(two, SerialCorrelationSettings())


@pytest.mark.parametrize("check", estimator_checks(SerialCorrelationTest()), ids=str)
def test_the_contract(check: Callable[[], None]) -> None:
    check()
