"""Honest bounds of group-time effects: the covariance they rest on, and the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from did_samples import stored
from sos_estimators.callaway_santanna import engine_python, engine_r
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.diagnostics import EventCoefficients, honest_bounds
from sos_estimators.diagnostics.honest_staggered import (
    HonestStaggered,
    HonestStaggeredSettings,
    fit_python,
    fit_r,
)

from sos_plugins.authors.testing import assert_engines_agree, estimator_checks
from sos_plugins.errors import EstimationError

EXACT = 1e-10  # sums in another order
R_SUMS = 1e-9  # relative; R's least squares, solved another way
R_BOUNDS = 1e-6  # halvings of an interval stop where rounding of the covariance moves an end


def test_the_covariance_gives_the_errors_of_terms_and_of_their_mean(from_r: Path) -> None:
    options = CallawaySantAnnaSettings(aggregate="event", base="universal")
    study = engine_python.fit(stored(from_r, "mpdta"), options)
    assert study.covariance is not None
    assert "event=-1" not in study.covariance
    errors = study.tidy.set_index("term").loc[study.covariance.columns, "std_error"]
    assert np.sqrt(np.diag(study.covariance)) == pytest.approx(errors.to_numpy(), rel=EXACT)
    lags = [f"event={e}" for e in range(4)]
    overall = study.covariance.loc[lags, lags].to_numpy().sum() / 16
    assert study.term("overall")["std_error"] == pytest.approx(np.sqrt(overall), rel=EXACT)


def test_the_plugin_bounds_the_effects_that_it_estimates(from_r: Path) -> None:
    sample = stored(from_r, "mpdta")
    estimate = fit_python(sample, HonestStaggeredSettings(m=(0.5,), target="event=0"))
    study = engine_python.fit(sample, HonestStaggeredSettings().group_time)
    row, event = estimate.term("M=0.5"), study.term("event=0")
    assert row["estimate"] == event["estimate"]
    assert row["std_error"] == pytest.approx(event["std_error"], rel=EXACT)
    path = EventCoefficients.from_estimate(study)
    bounds = honest_bounds(path, m=[0.5], target="event=0")
    assert row["conf_low"] == bounds.intervals[0].conf_low
    assert estimate.glance["breakdown"] == bounds.breakdown


@pytest.mark.r
@pytest.mark.parametrize("method", ["dr", "reg"])
def test_r_gives_the_covariance_and_so_the_bounds_of_python(from_r: Path, method: Any) -> None:
    sample = stored(from_r, "mpdta")
    options = HonestStaggeredSettings(m=(0.0, 0.5), method=method)
    one, two = (
        engine_python.fit(sample, options.group_time),
        engine_r.fit(sample, options.group_time),
    )
    assert one.covariance is not None
    assert two.covariance is not None
    names = one.covariance.columns
    pd.testing.assert_frame_equal(two.covariance.loc[names, names], one.covariance, rtol=R_SUMS)
    assert_engines_agree(HonestStaggered(), sample, options)
    bounds = [fit(sample, options) for fit in (fit_python, fit_r)]
    columns = ["conf_low", "conf_high", "p_value"]
    low, high = (fit.tidy[columns].to_numpy(float) for fit in bounds)
    assert high == pytest.approx(low, rel=R_BOUNDS, abs=R_BOUNDS)
    assert bounds[1].glance["breakdown"] == pytest.approx(
        bounds[0].glance["breakdown"], rel=R_BOUNDS
    )


def test_leads_with_bases_of_their_own_are_refused(from_r: Path) -> None:
    varying = CallawaySantAnnaSettings(aggregate="event")
    study = engine_python.fit(stored(from_r, "mpdta"), varying)
    with pytest.raises(EstimationError, match="base = 'universal'"):
        EventCoefficients.from_estimate(study)


@pytest.mark.parametrize("check", estimator_checks(HonestStaggered()), ids=str)
def test_honest_callaway_santanna_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
