"""Whether shocks to authorities last from one period to the next: estimator ``serial-correlation``.

Wooldridge's test on first differences (Wooldridge 2010, Econometric Analysis of Cross Section and
Panel Data, 2nd edition, section 10.6.3; Drukker 2003, Stata Journal 3(2)): where shocks are
independent over periods, the residuals of the differenced regression have a coefficient of -0.5 on
those of the period before; where they are autoregressive with rho, one of (rho - 1) / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.diagnostics.panel_models import ols
from sos_estimators.diagnostics.panel_settings import PanelSettings
from sos_estimators.inference.distributions import f_tail
from sos_estimators.inference.results import NEGLIGIBLE, ROUNDING, glance, negligible
from sos_estimators.regression.design_matrix import codes_of, covariate_columns
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_estimators.regression.least_squares import side_by_side
from sos_estimators.sample.prepare import Form, RegressionSample, prepare
from sos_plugins import Engine, Estimate, Estimator, Sample, hookimpl
from sos_plugins.authors.results import tidy_rows
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import EstimationError
from sos_plugins.r import client as r

INDEPENDENT = -0.5
"""Coefficient on the residual before of differences of independent shocks."""
VCOV = "CR1"
TERM = "rho"


class SerialCorrelationSettings(PanelSettings):
    """Arguments of ``serial-correlation``."""


@dataclass(frozen=True)
class Differences:
    """A panel of means, differenced.

    Attributes:
        value: Changes of the mean, (n,).
        columns: Changes of covariates and treatment, and dummies of the periods, (n, k).
        cluster: Codes (n,).
        before: Place of the change before in the same unit, -1 without one, (n,).
        level: Largest size of a mean that was differenced.
    """

    value: Floats
    columns: Floats
    cluster: Ints
    before: Ints
    level: float = 0.0

    @property
    def least(self) -> float:
        """Size below which a residual is rounding error about zero."""
        return max(negligible(self.value), ROUNDING * self.level)


@dataclass(frozen=True)
class SerialCorrelation:
    """Wooldridge's test.

    Attributes:
        coefficient: Of residuals of differences on those before; -0.5 if shocks are independent.
        std_error: By cluster (CR1).
        n_pairs: Residuals with one before.
        n_clusters: Clusters among these.
    """

    coefficient: float
    std_error: float
    n_pairs: int
    n_clusters: int

    @property
    def statistic(self) -> float:
        """F statistic that the coefficient is -0.5."""
        return ((self.coefficient - INDEPENDENT) / self.std_error) ** 2

    @property
    def p_value(self) -> float:
        """From F(1, clusters - 1)."""
        return f_tail(self.statistic, 1, self.n_clusters - 1)


def serial_correlation(changes: Differences) -> SerialCorrelation:
    """Test whether shocks are independent over periods.

    Args:
        changes: Of n changes.

    Raises:
        EstimationError: If fewer than three changes in two clusters follow each other, there are
            no shocks, or no error by cluster.
    """
    later = np.flatnonzero(changes.before >= 0)
    cluster = np.unique(changes.cluster[later], return_inverse=True)[1]
    _refuse_few(len(later), cluster)
    residual = ols(changes.columns, changes.value, changes.cluster).residuals
    residual = np.where(np.abs(residual) <= changes.least, 0.0, residual)
    x = np.column_stack([np.ones(len(later)), residual[changes.before[later]]])
    fit = ols(np.asfortranarray(x), residual[later], cluster)
    if not fit.kept[1]:
        raise EstimationError(
            "The differenced regression fits the changes that others follow exactly, or equally "
            "far off: there are no shocks to follow. More periods or authorities, or fewer "
            "covariates, are needed."
        )
    error = float(np.sqrt(fit.clustered[1, 1]))
    if error <= NEGLIGIBLE * float(residual[later].std() / x[:, 1].std()):
        raise EstimationError(
            "The clusters or the periods are too few for a standard error of the serial "
            "correlation: it would be zero. More periods or authorities are needed."
        )
    return SerialCorrelation(float(fit.estimates[1]), error, len(later), int(cluster.max()) + 1)


def _refuse_few(n_pairs: int, cluster: Ints) -> None:
    if n_pairs < 3 or cluster.max(initial=0) < 1:
        raise EstimationError(
            "Serial correlation shows in authorities with three periods in a row on one side of "
            f"their window, and there are {n_pairs} such runs in {len(np.unique(cluster))} "
            "clusters. More periods or authorities are needed."
        )


def panel_of_means(sample: Sample, prepared: RegressionSample) -> pd.DataFrame:
    """Collapse cases to weighted means by unit (and matched group), period and side of the window.

    Args:
        sample: Says whether windows leave years out between before and after.
        prepared: The checked sample.

    Returns:
        ``key`` (whose series), ``period``, ``side`` (changes from one side to the other are none),
        ``cluster``, ``group`` if any, ``value``, and ``x0 ...``: covariates and treatment.
    """
    frame = prepared.frame
    groups = ["group"] if "group" in frame else []
    made, _ = covariate_columns(frame, prepared.covariates)
    names = [f"x{n}" for n in range(made.shape[1] + 1)]
    columns = side_by_side([made, frame["D"].to_numpy(float)], len(frame))
    weight = frame["weight"].to_numpy(float)
    sums = pd.DataFrame(columns * weight[:, None], columns=names)
    sums = sums.assign(value=frame["value"].to_numpy(float) * weight, weight=weight)
    sums["key"] = codes_of(frame, ["unit", *groups])
    sums["side"] = frame["post"].to_numpy(int) if sample.window_gap else 0
    for name in ("period", "cluster", *groups):
        sums[name] = frame[name].to_numpy()
    keys = ["key", "side", "period", "cluster", *groups]
    means = sums.groupby(keys, as_index=False, sort=True).sum()
    values = means[[*names, "value"]].div(means["weight"], axis=0)
    return means[keys].join(values)


def differences(panel: pd.DataFrame, form: Form) -> Differences:
    """Difference a panel of means between periods that follow each other.

    Args:
        panel: Of :func:`panel_of_means`.
        form: Whose periods have effects.
    """
    panel = panel.sort_values(["key", "side", "period"]).reset_index(drop=True)
    series = panel.groupby(["key", "side"]).ngroup().to_numpy()
    period = panel["period"].to_numpy()
    follows = np.zeros(len(panel), dtype=bool)
    follows[1:] = (series[1:] == series[:-1]) & (period[1:] == period[:-1] + 1)
    rows = np.flatnonzero(follows)
    if not len(rows):
        raise EstimationError(
            "No authority has cases in two periods in a row on one side of its window, so shocks "
            "cannot be followed from one period to the next."
        )
    place = np.full(len(panel), -1)
    place[rows] = np.arange(len(rows))
    names = [c for c in map(str, panel.columns) if c == "value" or c.startswith("x")]
    wide = panel[names].to_numpy(float)
    change = wide[rows] - wide[rows - 1]
    change[np.abs(change) <= ROUNDING * np.abs(wide).max(axis=0)] = 0.0
    at = names.index("value")
    keys = ["period", "group"] if form == "stacked" else ["period"]
    dummies = pd.get_dummies(codes_of(panel.iloc[rows], keys)).to_numpy(float)
    columns = side_by_side([dummies, np.delete(change, at, axis=1)], len(rows))
    cluster = codes_of(panel.iloc[rows], ["cluster"])
    level = float(np.abs(wide[:, at]).max())
    return Differences(change[:, at], columns, cluster, place[rows - 1], level)


def in_r(changes: Differences) -> SerialCorrelation:
    """Test with base R; what cannot be told is refused as in Python."""
    serial_correlation(changes)
    columns: dict[str, Any] = {
        "value": changes.value,
        "cluster": changes.cluster.astype(float),
        "before": changes.before.astype(float) + 1.0,
        **{f"x{n}": column for n, column in enumerate(changes.columns.T)},
    }
    answer = r.call(
        FOLDER / "serial_correlation.R",
        "serial_correlation",
        columns,
        {"least": changes.least},
        timeout=TIMEOUT,
    )
    return SerialCorrelation(
        float(answer["coefficient"][0]),
        float(answer["std_error"][0]),
        int(answer["n_pairs"][0]),
        int(answer["n_clusters"][0]),
    )


def _fit(
    sample: Sample,
    options: SerialCorrelationSettings,
    test: Callable[[Differences], SerialCorrelation],
) -> Estimate:
    prepared = prepare(sample, options.form, options.always_treated)
    changes = differences(panel_of_means(sample, prepared), options.form)
    found = test(changes)
    tidy = tidy_rows(
        (TERM,),
        np.array([1 + 2 * found.coefficient]),
        np.array([2 * found.std_error]),
        df=found.n_clusters - 1.0,
        conf_level=options.conf_level,
    )
    summary = glance(
        prepared,
        estimand="autocorrelation of the shocks to authorities, if it fades from one period to the "
        "next by the same share",
        vcov=VCOV,
        conf_level=options.conf_level,
    )
    return Estimate(
        tidy,
        {
            **summary,
            "lagged_residual": found.coefficient,
            "wooldridge_statistic": found.statistic,
            "wooldridge_df_den": found.n_clusters - 1,
            "wooldridge_p_value": found.p_value,
            "n_changes": len(changes.value),
            "n_pairs": found.n_pairs,
        },
        warnings=prepared.warnings,
    )


def fit_python(sample: Sample, options: SerialCorrelationSettings) -> Estimate:
    """Test with numpy.

    Args:
        sample: The cases.
        options: Settings.

    Returns:
        The term ``rho``, between -1 and 1, and its test that it is zero, which is Wooldridge's; its
        F statistic in ``glance``.

    Raises:
        EstimationError: If the sample has too few periods in a row.
    """
    return _fit(sample, options, serial_correlation)


def fit_r(sample: Sample, options: SerialCorrelationSettings) -> Estimate:
    """Test with base R; otherwise as :func:`fit_python`."""
    return _fit(sample, options, in_r)


class SerialCorrelationTest(Estimator):
    """Whether shocks last."""

    name = "serial-correlation"
    label = "Wooldridge's test of serial correlation of the shocks to authorities"
    short_label = "Serial correlation"
    Settings = SerialCorrelationSettings
    family = "serial-correlation"
    diagnostic = True
    estimates_effect = False
    citation = (
        "Wooldridge (2010), Econometric Analysis of Cross Section and Panel Data, 2nd ed., section "
        "10.6.3; Drukker (2003), Stata Journal 3(2)"
    )
    engines = (
        Engine(name="python", fit=fit_python, packages=("numpy", "scipy", "pandas")),
        Engine(name="r", fit=fit_r, requires=(R_BASE,)),
    )

    def headline(self, options: SerialCorrelationSettings) -> str:  # noqa: ARG002
        """Return ``rho``."""
        return TERM


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``serial-correlation``."""
    register(SerialCorrelationTest())
