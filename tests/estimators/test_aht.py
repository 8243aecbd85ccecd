"""The AHT joint test: live clubSandwich, and Satterthwaite's t test with one restriction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sos_estimators.inference.aht import approximate_hotelling
from sos_estimators.inference.cluster_products import ClusterProducts, by_cluster
from sos_estimators.inference.cr2 import bias_reduced
from sos_estimators.regression.least_squares import Regression

from sos_plugins.r import client as r

ENGINES = 1e-8  # relative; clubSandwich takes roots of matrices of cases, we of columns
CLOSED = 1e-10  # relative; the same matrices in another order
LEADS = ("lead4", "lead3", "lead2")
SCRIPT = """
htz <- function(data, arguments) {
  X <- model.matrix(~ lead4 + lead3 + lead2 + late + factor(unit) + factor(period), data)
  Xw <- X * sqrt(data$w)
  yw <- data$y * sqrt(data$w)
  fit <- lm(yw ~ 0 + Xw)
  found <- clubSandwich::Wald_test(
    fit, constraints = clubSandwich::constrain_zero(2:4), vcov = "CR2", cluster = data$unit,
    test = "HTZ")
  each <- clubSandwich::coef_test(
    fit, vcov = "CR2", cluster = data$unit, test = "Satterthwaite")
  list(f = found$Fstat, den = found$df_denom, p = found$p_val,
       late = unname(unlist(each[5, c("beta", "SE", "df_Satt", "p_Satt")])))
}
"""


def panel() -> pd.DataFrame:
    """20 units in 8 periods, 5 treated from period 5 on, three leads beside the last before."""
    rng = np.random.default_rng(20)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(20), 8), "period": np.tile(np.arange(8), 20)})
    pilot = frame["unit"] < 5
    for lead, period in zip(LEADS, (1, 2, 3), strict=True):
        frame[lead] = (pilot & (frame["period"] == period)).astype(float)
    frame["late"] = (pilot & (frame["period"] >= 5)).astype(float)
    frame["w"] = rng.uniform(0.5, 2.0, len(frame))
    frame["y"] = rng.normal(size=20)[frame["unit"]] + rng.normal(size=len(frame))
    return frame


def clusters(frame: pd.DataFrame) -> ClusterProducts:
    names = (*LEADS, "late")
    return by_cluster(
        Regression(
            value=frame["y"].to_numpy(),
            weight=frame["w"].to_numpy(),
            n_cases=len(frame),
            effects=(frame["unit"].to_numpy(), frame["period"].to_numpy()),
            cluster=frame["unit"].to_numpy(),
            covariates=np.empty((len(frame), 0)),
            covariate_names=(),
            terms=frame[list(names)].to_numpy(),
            term_names=names,
        )
    )


@pytest.mark.r
def test_the_effect_and_three_leads_are_tested_as_by_clubsandwich(tmp_path: Path) -> None:
    frame = panel()
    script = tmp_path / "htz.R"
    script.write_text(SCRIPT)
    columns = {str(name): frame[name].to_numpy() for name in frame}
    theirs = r.call(script, "htz", columns, {})
    ours = approximate_hotelling(clusters(frame), np.eye(4)[:3])
    expected = [float(np.ravel(theirs[name])[0]) for name in ("f", "den", "p")]
    p_value = stats.f.sf(ours.statistic, 3, ours.df)
    assert [ours.statistic, ours.df, p_value] == pytest.approx(expected, rel=ENGINES)
    reduced = bias_reduced(clusters(frame), np.eye(4)[:, 3:])
    estimate, error = clusters(frame).terms[3], np.sqrt(reduced.covariance[0, 0])
    alone = 2 * stats.t.sf(abs(estimate / error), reduced.df[0])
    late = [float(value) for value in theirs["late"]]
    assert [estimate, error, reduced.df[0], alone] == pytest.approx(late, rel=ENGINES)


def test_one_restriction_is_the_t_test_squared() -> None:
    fitted = clusters(panel())
    contrast = np.array([[1.0, -0.5, 0.0, 2.0]])
    reduced = bias_reduced(fitted, contrast.T)
    t = float((contrast @ fitted.terms)[0] / np.sqrt(reduced.covariance[0, 0]))
    test = approximate_hotelling(fitted, contrast)
    assert test.statistic == pytest.approx(t**2, rel=CLOSED)
    assert test.df == pytest.approx(reduced.df[0], rel=CLOSED)
    p_value = stats.f.sf(test.statistic, 1, test.df)
    assert p_value == pytest.approx(2 * stats.t.sf(abs(t), reduced.df[0]), rel=CLOSED)


def test_the_test_does_not_depend_on_how_restrictions_are_written() -> None:
    fitted, mixed = clusters(panel()), np.array([[2.0, 1, 0], [0, 1, -3], [1, 1, 1]])
    one = approximate_hotelling(fitted, np.eye(4)[:3])
    two = approximate_hotelling(fitted, mixed @ np.eye(4)[:3])
    assert (two.statistic, two.df) == pytest.approx((one.statistic, one.df), rel=CLOSED)


def test_restrictions_implied_by_others_give_no_test() -> None:
    test = approximate_hotelling(clusters(panel()), np.eye(4)[[0, 1, 0]])
    assert np.isnan(test.statistic)


def test_more_restrictions_than_treated_clusters_give_no_test() -> None:
    frame = panel()
    few = frame.assign(**{lead: frame[lead] * (frame["unit"] < 2) for lead in LEADS})
    test = approximate_hotelling(clusters(few), np.eye(4)[:3])
    assert test.df < 0
    assert np.isnan(test.statistic)
