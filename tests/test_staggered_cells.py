"""Estimators of staggered adoption give on compressed samples what they give on cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import staggered_samples as made
from sos_estimators.did import sun_abraham
from sos_estimators.did.sun_abraham import SunAbrahamSettings

from sos_plugins import Sample
from sos_plugins.cells import cells
from sos_plugins.plugins import load_plugins

ESTIMATORS = ("sun-abraham", "imputation", "two-stage", "extended-twfe", "stacked")


def compressed(sample: Sample) -> Sample:
    return cells(
        sample.frame,
        weight="weight",
        covariates=sample.covariates,
        keys=["cohort", "treated", "post"],
        cluster="cluster",
    ).sample()


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("numbers", [False, True])
def test_a_compressed_sample_gives_the_same(name: str, numbers: bool) -> None:
    sample = made.cases(n=30)
    if numbers:
        rng = np.random.default_rng(3)
        sample = Sample(
            sample.frame.assign(height=rng.normal(size=len(sample.frame))),
            ("ethnicity", "age", "height"),
        )
    registry = load_plugins()
    estimator = registry.estimator(name)
    given: dict[str, Any] = {}
    if "vcov" in estimator.Settings.model_fields and name != "two-stage":
        given["vcov"] = "fixest"  # it counts cases
    options = estimator.Settings(**given)
    engine = registry.engine(name, "python")
    fewer = compressed(sample)
    assert len(fewer.frame) < len(sample.frame)
    from_cases, from_cells = (engine.fit(s, options) for s in (sample, fewer))
    made.assert_same(from_cases, from_cells)
    for key, value in from_cases.glance.items():
        same = value if isinstance(value, (str, list)) else pytest.approx(value, rel=1e-6)
        assert from_cells.glance[key] == same


def test_fixest_declines_rows_that_are_no_cases() -> None:
    rng = np.random.default_rng(3)
    sample = made.cases(n=31)  # two rows stand for the 31 cases of an authority and period
    frame = sample.frame.assign(height=rng.normal(size=len(sample.frame)))
    fewer = compressed(Sample(frame, ("height",)))
    told = sun_abraham.fixest_limits(fewer, SunAbrahamSettings())
    assert told == "fixest counts cases, and the rows of this compressed sample are no whole cases"
    assert sun_abraham.fixest_limits(Sample(frame, ("height",)), SunAbrahamSettings()) is None
