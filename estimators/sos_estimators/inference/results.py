"""Standard errors that are none, joint tests, and the one-row summary of a regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_estimators.arrays import Floats
from sos_estimators.inference.distributions import f_tail
from sos_estimators.regression.least_squares import Fit, Regression, least_squares
from sos_estimators.sample.prepare import RegressionSample

NEGLIGIBLE = 1e-10
"""A clustered standard error below this share of the value's standard deviation is rounding error
about zero: the scores of every cluster sum to zero, as with one pilot and one comparator."""
SMALL = 1e-6
"""A root of a variance below this share may be rounding error."""
ROUNDING = 1e-14
"""Likewise below this share of the value's largest size."""


def negligible(value: npt.ArrayLike) -> float:
    """Return the size below which a standard error, or a residual, of these values is zero.

    Args:
        value: The values, (m,).
    """
    values = np.asarray(value, dtype=float)
    return max(NEGLIGIBLE * float(values.std()), ROUNDING * float(np.abs(values).max(initial=0.0)))


@dataclass(frozen=True)
class ScoreErrors:
    """What sums by cluster say of standard errors, free of the rounding of a covariance.

    Attributes:
        std_errors: Without small-sample correction, (p,).
        exactly: Whether the values are fitted exactly.
    """

    std_errors: Floats
    exactly: bool

    @classmethod
    def of(cls, problem: Regression, combinations: Floats | None = None) -> ScoreErrors:
        """Fit a regression; the errors are of combinations (p, q) of its terms, if given.

        Args:
            problem: The regression.
            combinations: Of its terms, (p, q).
        """
        fit = least_squares(problem)
        scores = fit.influence if combinations is None else fit.influence @ combinations
        return cls(np.sqrt(np.square(scores).sum(axis=0)), _exactly(fit, problem))


def fitted_exactly(problem: Regression) -> bool:
    """Whether least squares fits the values but for rounding, with fewer parameters than rows.

    Args:
        problem: The regression.
    """
    return _exactly(least_squares(problem), problem)


def _exactly(fit: Fit, problem: Regression) -> bool:
    off = float(np.abs(fit.residuals).max(initial=0.0))
    return off <= negligible(problem.value) and fit.counts.n_parameters < len(problem.value)


def about_no_error(names: Sequence[str], *, exactly: bool) -> str:
    """Say why terms have no standard error.

    Args:
        names: Of the terms.
        exactly: Whether the values are fitted exactly.
    """
    if exactly:
        return (
            f"{', '.join(names)}: there is no standard error, because the values are fitted "
            "exactly: it would be zero, and is left missing."
        )
    return (
        f"{', '.join(names)}: the clusters are too few for a standard error: their scores sum to "
        "zero, which would make it zero. It is left missing."
    )


def drop_zero_errors(
    std_errors: Floats,
    names: Sequence[str],
    value: npt.ArrayLike,
    recompute: Callable[[], ScoreErrors],
) -> tuple[Floats, tuple[str, ...]]:
    """Make standard errors that are zero but for rounding missing, and warn of them.

    The root of a variance that is zero but for rounding is some 1e-8; so one that is small is
    looked at again.

    Args:
        std_errors: Of an engine, (p,).
        names: Of the terms, p.
        value: The values that were fitted.
        recompute: Looks again.
    """
    errors = np.asarray(std_errors, dtype=float)
    small = errors <= SMALL / NEGLIGIBLE * negligible(value)
    if not small.any():
        return errors, ()
    exact = recompute()
    none = small & (exact.std_errors <= negligible(value))
    if not none.any():
        return errors, ()
    lost = [name for name, gone in zip(names, none, strict=True) if gone]
    return np.where(none, np.nan, errors), (about_no_error(lost, exactly=exact.exactly),)


@dataclass(frozen=True)
class FTest:
    """A statistic and its denominator degrees of freedom; nan where it could not be computed."""

    statistic: float
    df: float


@dataclass(frozen=True)
class JointTest:
    """F test that all leads are zero; without a result, ``reason`` says why.

    Attributes:
        statistic: F distributed with ``df_num`` and ``df_den`` degrees of freedom.
        df_num: Number of leads.
        df_den: Clusters - 1, treated clusters - 1, or those of the AHT test.
        p_value: From F(df_num, df_den).
        reason: Why there is no result; empty with a result, and where there are no leads.
    """

    statistic: float | None
    df_num: int
    df_den: float
    p_value: float | None
    reason: str = ""

    @classmethod
    def of(cls, test: FTest, n_leads: int, n_clusters: int, untested: str = "") -> JointTest:
        """Make a test of its statistic.

        Args:
            test: The statistic, nan when it could not be computed.
            n_leads: How many leads are tested.
            n_clusters: Number of clusters.
            untested: Why it is not to be used, if so.
        """
        reason = ""
        if n_leads > n_clusters - 1:
            reason = f"{n_leads} leads are too many for {n_clusters} clusters"
        elif n_leads and untested:
            reason = untested
        elif n_leads and not test.df > 0 and not np.isnan(test.df):
            reason = (
                f"the treated clusters are too few for {n_leads} leads; earlier ones can be "
                "counted as one with min_event"
            )
        elif n_leads and np.isnan(test.statistic):
            reason = f"the covariance of the {n_leads} leads is singular"
        if reason or not n_leads:
            return cls(None, n_leads, test.df, None, reason)
        p_value = f_tail(test.statistic, n_leads, test.df)
        return cls(test.statistic, n_leads, test.df, p_value)


def wald(estimates: Floats, covariance: Floats, n_clusters: int) -> float:
    """Return Wald's statistic that all estimates (q,) are zero, over q; nan if there is none.

    With more restrictions than clusters - 1 a cluster-robust covariance has no inverse.

    Args:
        estimates: (q,).
        covariance: (q, q).
        n_clusters: G.
    """
    q = len(estimates)
    scale = np.sqrt(np.diag(covariance))
    if q == 0 or q > n_clusters - 1 or not (scale > 0).all():
        return float("nan")
    correlation = covariance / np.outer(scale, scale)
    if np.linalg.matrix_rank(correlation) < q:
        return float("nan")
    standardised = estimates / scale
    return float(standardised @ np.linalg.solve(correlation, standardised)) / q


def glance(
    prepared: RegressionSample, *, estimand: str, vcov: str, conf_level: float
) -> dict[str, Any]:
    """Return the keys that every estimator gives, and the number of treated clusters.

    Treated units and clusters are those that change: with cases before and after adoption.

    Args:
        prepared: The sample.
        estimand: In words.
        vcov: Name of the variance.
        conf_level: Level of the intervals.
    """
    return {
        "n_cases": prepared.n_cases,
        "n_units": prepared.count("unit"),
        "n_treated_units": prepared.n_treated_units,
        "n_clusters": prepared.count("cluster"),
        "n_periods": prepared.count("period"),
        "estimand": estimand,
        "vcov": vcov,
        "conf_level": conf_level,
        "n_treated_clusters": len(prepared.treated_clusters),
    }
