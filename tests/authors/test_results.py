"""Rows of tidy and glance that authors of estimators make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sos_plugins.authors import testing
from sos_plugins.authors.results import glance, tidy_rows
from sos_plugins.cells.compression import compress
from sos_plugins.contract.columns import GLANCE_COLUMNS, TIDY_COLUMNS

SAME = 1e-10
"""Two ways to the same quantile of t, each exact to some thirteen digits."""


@pytest.mark.parametrize("df", [3.0, 17.5, np.inf])
def test_statistics_and_intervals_are_those_of_student(df: float) -> None:
    row = tidy_rows(["ATT"], [1.5], [0.5], df=df, conf_level=0.9).iloc[0]
    student = stats.t(df) if np.isfinite(df) else stats.norm()
    low, high = 1.5 + 0.5 * student.ppf(0.05), 1.5 + 0.5 * student.ppf(0.95)
    assert row["statistic"] == 3.0
    assert row["p_value"] == pytest.approx(2 * student.sf(3.0), rel=SAME)
    assert (row["conf_low"], row["conf_high"]) == pytest.approx((low, high), rel=SAME)
    assert row["df"] == df


@pytest.mark.parametrize("error", [np.nan, 0.0])
def test_without_a_standard_error_there_is_no_inference(error: float) -> None:
    tidy = tidy_rows(["a", "b"], [1.0, 2.0], [error, 1.0], df=[4.0, 5.0])
    assert list(tidy) == list(TIDY_COLUMNS)
    gone = [column for column in TIDY_COLUMNS if column not in ("term", "estimate")]
    assert tidy.loc[0, gone].isna().all()
    assert tidy.loc[1, gone].notna().all()
    assert list(tidy["estimate"]) == [1.0, 2.0]


def test_glance_counts_each_case_of_cells_once() -> None:
    sample = testing.example_sample("calendar", binary=True, effect=0.2)
    sample = replace(sample, covariates=())
    cells = compress(sample)
    assert cells is not None
    assert len(cells.frame) < len(sample.frame)
    facts = [glance(s, estimand="ATT", vcov="CR2", conf_level=0.9) for s in (sample, cells)]
    assert facts[0] == facts[1]
    assert list(facts[0]) == list(GLANCE_COLUMNS)
    frame: pd.DataFrame = sample.frame
    treated = {unit for unit, one in zip(frame["unit"], frame["treated"], strict=True) if one}
    assert (facts[0]["n_cases"], facts[0]["n_treated_units"]) == (len(frame), len(treated))
