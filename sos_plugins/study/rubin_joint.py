"""Joint tests of the leads of completed data sets, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from sos_plugins.contract.types import Estimate

Floats = NDArray[np.float64]

TERM = "event={}"
"""How the terms of event times are called."""


@dataclass(frozen=True)
class Joint:
    """A pooled test that several estimates are zero.

    Attributes:
        statistic: F distributed with ``df_num`` and ``df_den`` degrees of freedom.
        df_num: Number of estimates, k.
        df_den: Denominator degrees of freedom.
        riv: Variance between data sets as a share of that within, on average.
    """

    statistic: float
    df_num: int
    df_den: float
    riv: float

    @property
    def p_value(self) -> float:
        """Probability of so large a statistic if all are zero; 1 for one below zero."""
        if self.statistic <= 0:
            return 1.0
        return float(fdtrc(self.df_num, min(self.df_den, MOST_DF), self.statistic))


MOST_DF = 1e12
"""More degrees of freedom are as good as none too few."""


def d1(estimates: Floats, covariances: Floats, df_complete: float = np.inf) -> Joint:
    """Pool Wald's tests that estimates are zero, from their covariances.

    Li, Raghunathan and Rubin (1991), Journal of the American Statistical Association 86(416);
    degrees of freedom with finite ``df_complete`` by Reiter (2007), Biometrika 94(2), and, where
    those have none (with fewer than about six), by the rule of Barnard and Rubin (1999).

    Args:
        estimates: One row a completed data set, (m, k).
        covariances: Of each, (m, k, k).
        df_complete: Denominator degrees of freedom without gaps.
    """
    m, k = estimates.shape
    mean, within = estimates.mean(axis=0), covariances.mean(axis=0)
    between = np.atleast_2d(np.cov(estimates, rowvar=False))
    riv = (1 + 1 / m) * float(np.trace(between @ np.linalg.inv(within))) / k
    statistic = float(mean @ np.linalg.solve(within, mean)) / k / (1 + riv)
    return Joint(statistic, k, _d1_df(k * (m - 1), k, riv, df_complete), riv)


def _d1_df(t: int, k: int, riv: float, complete: float) -> float:
    large = _li_raghunathan_rubin(t, k, riv)
    if np.isinf(complete):
        return large
    exact = _reiter(t, riv, complete)
    return exact if exact is not None else _harmonic(large, riv, complete)


def _li_raghunathan_rubin(t: int, k: int, riv: float) -> float:
    if riv <= 0:
        return float("inf")
    if t > 4:
        return 4 + (t - 4) * (1 + (1 - 2 / t) / riv) ** 2
    return t * (1 + 1 / k) * (1 + 1 / riv) ** 2 / 2


def _reiter(t: int, riv: float, complete: float) -> float | None:
    """Return the degrees of freedom of Reiter (2007), None where his expansion has no use."""
    v = (complete + 1) / (complete + 3) * complete
    if t <= 4:
        return None
    a = riv * t / (t - 2)
    c0, c1, c2 = 1 / (t - 4), v - 2 * (1 + a), v - 4 * (1 + a)
    if c2 <= 0:
        return None
    z = (
        1 / c2
        + c0 * a**2 * c1 / ((1 + a) ** 2 * c2)
        + c0 * (8 * a**2 * c1 / ((1 + a) * c2**2) + 4 * a**2 / ((1 + a) * c2))
        + c0 * (4 * a**2 / (c2 * c1) + 16 * a**2 * c1 / c2**3)
        + c0 * (8 * a**2 / c2**2)
    )
    return 4 + 1 / z


def _harmonic(large: float, riv: float, complete: float) -> float:
    observed = (complete + 1) / (complete + 3) * complete / (1 + riv)
    return 1 / (1 / large + 1 / observed)


def d2(statistics: Floats, k: int, df_complete: float = np.inf) -> Joint:
    """Pool Wald's tests from their chi-squared statistics alone.

    Li, Meng, Raghunathan and Rubin (1991), Statistica Sinica 1(1). It has less power than
    :func:`d1` and needs no covariance.

    Args:
        statistics: Chi-squared, one a completed data set, (m,).
        k: Their degrees of freedom.
        df_complete: Denominator degrees of freedom without gaps.
    """
    m = len(statistics)
    riv = (1 + 1 / m) * float(np.var(np.sqrt(statistics), ddof=1))
    statistic = (float(statistics.mean()) / k - (m + 1) / (m - 1) * riv) / (1 + riv)
    large = k ** (-3 / m) * (m - 1) * (1 + 1 / riv) ** 2 if riv > 0 else float("inf")
    df = large if np.isinf(df_complete) else _harmonic(large, riv, df_complete)
    return Joint(statistic, k, df, riv)


def pooled_leads(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Return the keys of ``glance`` on the joint test of leads, pooled.

    The statistic keeps the factor by which an estimator's own test differs from Wald's, such as
    that of the AHT test; where data sets do not differ the statistic is the estimator's.

    Args:
        estimates: One for each completed data set.

    Returns:
        Nothing where there is no test; missing values where some data set has none.
    """
    glances = [dict(estimate.glance) for estimate in estimates]
    if any("leads_p_value" not in glance for glance in glances):
        return {}
    figures = [glance["leads_statistic"] for glance in glances]
    if any(figure is None or np.isnan(figure) for figure in figures):
        return {"leads_statistic": None, "leads_p_value": None}
    df_complete = float(np.mean([float(glance["leads_df_den"]) for glance in glances]))
    k = int(glances[0]["leads_df_num"])
    wald = _wald_of(estimates)
    if wald is None:
        name, joint = "D2", d2(k * np.array(figures, float), k, df_complete)
        factor = 1.0
    else:
        name, joint = "D1", d1(*wald, df_complete)
        factor = float(np.mean([f / w for f, w in zip(figures, _statistics(*wald), strict=True)]))
    told = Joint(factor * joint.statistic, k, joint.df_den, joint.riv)
    return {
        "leads_pooled": name,
        "leads_statistic": told.statistic,
        "leads_df_den": told.df_den,
        "leads_p_value": told.p_value,
    }


def _wald_of(estimates: Sequence[Estimate]) -> tuple[Floats, Floats] | None:
    """Return the leads that are tested and their covariances, None where they are not known."""
    tested = [tuple(e.glance.get("leads_tested") or ()) for e in estimates]
    terms = [TERM.format(event) for event in tested[0]]
    if not terms or len(set(tested)) > 1 or len(terms) != estimates[0].glance["leads_df_num"]:
        return None
    matrices = [e.covariance for e in estimates]
    if any(m is None or not set(terms) <= set(m.columns) for m in matrices):
        return None
    values = [e.tidy.set_index("term")["estimate"].loc[terms].to_numpy(float) for e in estimates]
    blocks = [m.loc[terms, terms].to_numpy(float) for m in matrices if m is not None]
    return np.array(values), np.array(blocks)


def _statistics(estimates: Floats, covariances: Floats) -> list[float]:
    """Return Wald's statistic over k of each data set."""
    return [
        float(b @ np.linalg.solve(V, b)) / len(b)
        for b, V in zip(estimates, covariances, strict=True)
    ]
