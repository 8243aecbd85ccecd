"""Fixed and random effects of units on unbalanced panels, and whether they differ.

Swamy and Arora (1972), Econometrica 40(2), for unbalanced panels by Baltagi and Chang (1994),
Journal of Econometrics 62(2); Hausman (1978), Econometrica 46(6); Mundlak (1978), Econometrica
46(1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import chdtrc

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.inference.distributions import f_tail
from sos_estimators.inference.results import wald
from sos_estimators.regression.least_squares import group_sums, independent, side_by_side, solve
from sos_plugins.errors import EstimationError

SINGULAR = 1e-10
"""Least eigenvalue of a difference of covariances with an inverse, as a share of the largest."""


@dataclass(frozen=True)
class Ols:
    """Least squares of independent columns.

    Attributes:
        kept: Which of the columns are independent of those before them, (k,).
        estimates: (k,), missing for the others.
        bread: Inverse cross products of the kept columns, (r, r).
        residuals: (n,).
        scores: Sum of column times residual by cluster, of the kept columns, (G, r).
        df: Residual degrees of freedom, effects counted.
    """

    kept: Bools
    estimates: Floats
    bread: Floats
    residuals: Floats
    scores: Floats
    df: int

    @cached_property
    def variance(self) -> float:
        """Residual variance."""
        return float(self.residuals @ self.residuals) / self.df

    @cached_property
    def covariance(self) -> Floats:
        """Covariance for independent errors of one variance, (k, k), missing where not kept."""
        return self._whole(self.variance * self.bread)

    @cached_property
    def clustered(self) -> Floats:
        """Covariance CR1 by cluster, (k, k), missing where not kept."""
        n = len(self.scores)
        return self._whole(n / (n - 1) * self.bread @ self.scores.T @ self.scores @ self.bread)

    def _whole(self, part: Floats) -> Floats:
        whole = np.full((len(self.kept),) * 2, np.nan)
        whole[np.ix_(self.kept, self.kept)] = part
        return whole


def ols(
    columns: Floats, value: Floats, cluster: Ints, *, raw: Floats | None = None, spent: int = 0
) -> Ols:
    """Regress by least squares, leaving out columns that depend on those before them.

    Args:
        columns: (n, k).
        value: (n,).
        cluster: Codes without gaps, (n,).
        raw: The columns before effects were taken out, which say how long they were, (n, k).
        spent: Degrees of freedom of the effects.
    """
    lengths = np.sqrt(np.square(columns if raw is None else raw).sum(axis=0))
    kept = independent(columns, lengths)
    used = np.asfortranarray(columns[:, kept])
    bread, beta = solve(used, value, np.ones(len(value)))
    estimates = np.full(len(kept), np.nan)
    estimates[kept] = beta
    residuals = value - used @ beta
    scores = group_sums(used * residuals[:, None], cluster)
    return Ols(kept, estimates, bread, residuals, scores, len(value) - spent - len(beta))


def means_of(columns: Floats, unit: Ints) -> Floats:
    """Return the means of columns (n, k) by unit, one row a case.

    Args:
        columns: (n, k).
        unit: Codes without gaps, (n,).
    """
    return np.asarray((group_sums(columns, unit) / np.bincount(unit)[:, None])[unit])


def fixed_effects(value: Floats, columns: Floats, unit: Ints, cluster: Ints) -> Ols:
    """Regress within units.

    Args:
        value: (n,).
        columns: (n, k); those that do not vary within units are left out.
        unit: Codes without gaps, (n,).
        cluster: Codes without gaps, (n,).

    Raises:
        EstimationError: If no unit has two cases, or no degree of freedom is left.
    """
    n_units = int(unit.max()) + 1
    if n_units == len(unit):
        raise EstimationError("No unit has more than one case: there is nothing within units.")
    inside = columns - means_of(columns, unit)
    centred = value - means_of(value[:, None], unit)[:, 0]
    fit = ols(inside, centred, cluster, raw=columns, spent=n_units)
    if fit.df < 1:
        raise EstimationError(
            f"{len(value)} cases of {n_units} units leave nothing to tell the variance within "
            "units by: there are as many coefficients."
        )
    return fit


@dataclass(frozen=True)
class RandomEffects:
    """Random effects of units.

    Attributes:
        fit: Least squares of the columns less a share of their means; the first is the constant.
        idiosyncratic: Variance within units.
        individual: Variance of the effects of units; 0 where its estimate is negative.
        share: What is taken off of the mean of each unit's cases (theta), (n,).
    """

    fit: Ols
    idiosyncratic: float
    individual: float
    share: Floats


def random_effects(
    value: Floats, columns: Floats, unit: Ints, cluster: Ints, within: Ols
) -> RandomEffects:
    """Regress by generalised least squares, with the variances of Swamy and Arora.

    Args:
        value: (n,).
        columns: (n, k), the first a constant.
        unit: Codes without gaps, (n,).
        cluster: Codes without gaps, (n,).
        within: The regression within units, on the same columns but the constant.

    Raises:
        EstimationError: If there are as many columns as units.
    """
    sizes = np.bincount(unit).astype(float)
    individual = max(0.0, _individual(value, columns, unit, sizes, within.variance))
    theta = 1 - np.sqrt(within.variance / (within.variance + sizes * individual))
    share = theta[unit]
    fit = quasi_demeaned(value, columns, unit, cluster, share)
    return RandomEffects(fit, within.variance, individual, share)


def _individual(value: Floats, columns: Floats, unit: Ints, sizes: Floats, within: float) -> float:
    """Return the variance of the effects of units, by the regression of their means."""
    root = np.sqrt(sizes)[:, None]
    x = group_sums(columns, unit) / sizes[:, None]
    y = group_sums(value[:, None], unit) / sizes[:, None]
    numbers = np.arange(len(sizes))
    fit = ols(x * root, (y * root)[:, 0], numbers)
    if fit.df < 1:
        raise EstimationError(
            f"Random effects need more units than there are covariates and periods that differ "
            f"between units: there are {len(sizes)} units and {int(fit.kept.sum())} of these. "
            "Take fewer covariates (covariates = [...]), or by = 'child'."
        )
    kept = x[:, fit.kept]
    weighted = kept * sizes[:, None]
    trace = float(np.trace(fit.bread @ weighted.T @ weighted))
    return (float(fit.residuals @ fit.residuals) - fit.df * within) / (sizes.sum() - trace)


def quasi_demeaned(value: Floats, columns: Floats, unit: Ints, cluster: Ints, share: Floats) -> Ols:
    """Regress on columns less a share of their unit's mean.

    Args:
        value: (n,).
        columns: (n, k).
        unit: Codes without gaps, (n,).
        cluster: Codes without gaps, (n,).
        share: Of the mean, (n,).
    """
    x = columns - share[:, None] * means_of(columns, unit)
    y = value - share * means_of(value[:, None], unit)[:, 0]
    return ols(x, y, cluster, raw=columns)


@dataclass(frozen=True)
class DifferenceTest:
    """A test that fixed and random effects do not differ.

    Attributes:
        statistic: Chi squared (Hausman) or F (Mundlak); None without a test.
        df: Coefficients that are compared.
        df_den: Denominator degrees of freedom; infinite for chi squared.
        p_value: None without a test.
        reason: Why there is none, as a clause; empty where there is one.
    """

    statistic: float | None
    df: int
    df_den: float
    p_value: float | None
    reason: str = ""


def hausman(fixed: Ols, random: Ols, places: Ints) -> DifferenceTest:
    """Test by the difference of the coefficients, for independent errors of one variance.

    Args:
        fixed: The regression within units.
        random: That by random effects, with the same columns in the same places.
        places: Which coefficients are compared, (q,).
    """
    difference = (fixed.estimates - random.estimates)[places]
    covariance = (fixed.covariance - random.covariance)[np.ix_(places, places)]
    values = np.linalg.eigvalsh(_scaled(covariance)) if len(places) else np.zeros(1)
    if values.min() <= SINGULAR * max(1.0, values.max()):
        why = "the difference of the two covariances is no covariance"
        return DifferenceTest(None, len(places), np.inf, None, why)
    statistic = float(difference @ np.linalg.solve(covariance, difference))
    return DifferenceTest(statistic, len(places), np.inf, float(chdtrc(len(places), statistic)))


def _scaled(covariance: Floats) -> Floats:
    """Return a matrix with a diagonal of 1 or -1, so that eigenvalues know no units."""
    scale = np.sqrt(np.abs(np.diag(covariance)))
    scale[scale == 0] = 1.0
    return np.asarray(covariance / np.outer(scale, scale))


def with_means(
    value: Floats, columns: Floats, unit: Ints, cluster: Ints, share: Floats, varying: Bools
) -> Ols:
    """Add the means by unit of columns that vary within units (Mundlak 1978), after the columns.

    Args:
        value: (n,).
        columns: (n, k), the first a constant.
        unit: Codes without gaps, (n,).
        cluster: Codes without gaps, (n,).
        share: Theta of random effects, (n,).
        varying: Which columns vary within units, (k,).
    """
    means = means_of(columns[:, varying], unit)
    whole = side_by_side([columns, means], len(value))
    return quasi_demeaned(value, whole, unit, cluster, share)


def mundlak(fit: Ols, places: Ints, n_clusters: int) -> DifferenceTest:
    """Test that the coefficients of means are zero: Wald's test with errors by cluster.

    Args:
        fit: Of :func:`with_means`.
        places: Which coefficients, (q,); collinear ones are not tested.
        n_clusters: G.
    """
    places = places[fit.kept[places]]
    estimates = fit.estimates[places]
    statistic = wald(estimates, fit.clustered[np.ix_(places, places)], n_clusters)
    q, df = len(places), n_clusters - 1.0
    if np.isnan(statistic):
        why = (
            "no mean differs between units"
            if q == 0
            else f"{q} means are too many for {n_clusters} clusters"
        )
        return DifferenceTest(None, q, df, None, why)
    return DifferenceTest(statistic, q, df, f_tail(statistic, q, df))
