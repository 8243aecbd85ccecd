"""Quantiles and tails are those of scipy.stats, which no command has to wait for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sos_estimators.inference.distributions import (
    f_tail,
    normal_quantile,
    normal_tail,
)

from sos_plugins.authors.results import t_quantile, t_two_sided

EXACT = 1e-12  # relative: the same functions, perhaps by another route


@pytest.mark.parametrize("df", [0.7, 5.5, 26.0, 5000.0, np.inf])
def test_students_t(df: float) -> None:
    for share in (0.9, 0.975, 0.995):
        assert t_quantile(share, df) == pytest.approx(stats.t.ppf(share, df), rel=EXACT)
    for statistic in (-3.0, 0.0, 2.0, 60.0):
        expected = 2 * stats.t.sf(abs(statistic), df)
        assert t_two_sided(statistic, df) == pytest.approx(expected, rel=EXACT)


def test_f_and_normal() -> None:
    assert f_tail(4.0, 3, 23.2) == pytest.approx(stats.f.sf(4.0, 3, 23.2), rel=EXACT)
    assert normal_quantile(0.975) == pytest.approx(stats.norm.ppf(0.975), rel=EXACT)
    assert normal_tail(3.0) == pytest.approx(stats.norm.sf(3.0), rel=EXACT)


def test_what_is_missing_stays_missing() -> None:
    assert np.isnan(t_quantile(0.975, np.nan))
    assert np.isnan(
        [t_two_sided(np.nan, 5.0), t_two_sided(2.0, np.nan), f_tail(np.nan, 2, 3)]
    ).all()


def test_plugins_are_loaded_without_what_few_of_them_use() -> None:
    code = (
        "import sys; from sos_plugins.host.registry import load_plugins; "
        "load_plugins().import_plugins(); "
        "print({'scipy.stats', 'sklearn', 'statsmodels', 'matplotlib', 'rpy2'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
