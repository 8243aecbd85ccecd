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
from sos_estimators.inference.results import negligible, wald
from sos_estimators.regression.least_squares import (
    group_sums,
    independent,
    lengths,
    side_by_side,
    solve,
)
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
        squares: Weighted sum of squared residuals.
        residuals: (n,).
        scores: Sum of column times residual by cluster, of the kept columns, (G, r).
        df: Residual degrees of freedom, effects counted.
    """

    kept: Bools
    estimates: Floats
    bread: Floats
    squares: float
    residuals: Floats
    scores: Floats
    df: int

    @cached_property
    def variance(self) -> float:
        """Residual variance."""
        return self.squares / self.df

    @cached_property
    def covariance(self) -> Floats:
        """Covariance for independent errors of one variance, (k, k), missing where not kept."""
        return self._whole(self.variance * self.bread)

    @cached_property
    def clustered(self) -> Floats:
        """Covariance CR1 by cluster, (k, k), missing where not kept."""
        n = len(self.scores)
        influence = self.scores @ self.bread
        return self._whole(n / (n - 1) * influence.T @ influence)

    def _whole(self, part: Floats) -> Floats:
        whole = np.full((len(self.kept),) * 2, np.nan)
        whole[np.ix_(self.kept, self.kept)] = part
        return whole


def ols(
    columns: Floats,
    value: Floats,
    cluster: Ints,
    *,
    raw: Floats | None = None,
    weight: Floats | None = None,
    spent: int = 0,
) -> Ols:
    """Regress by least squares, leaving out columns that depend on those before them.

    Args:
        columns: (n, k).
        value: (n,).
        cluster: Codes without gaps, (n,).
        raw: The columns before effects were taken out, which say how long they were, (n, k).
        weight: With mean 1, (n,); 1 each by default.
        spent: Degrees of freedom of the effects.
    """
    weight = np.ones(len(value)) if weight is None else weight
    kept = independent(columns, lengths(columns if raw is None else raw, weight), weight)
    used = np.asfortranarray(columns[:, kept])
    bread, beta = solve(used, value, weight)
    estimates = np.full(len(kept), np.nan)
    estimates[kept] = beta
    residuals = value - used @ beta
    scores = group_sums(used, cluster, weight * residuals)
    squares = float(weight @ residuals**2)
    return Ols(kept, estimates, bread, squares, residuals, scores, len(value) - spent - len(beta))


@dataclass(frozen=True)
class Units:
    """Whose effects there are.

    Attributes:
        code: Unit of each case, codes without gaps, (n,).
        cluster: Cluster of each case, codes without gaps, (n,).
        weight: Of each case, with mean 1, (n,).
    """

    code: Ints
    cluster: Ints
    weight: Floats

    @classmethod
    def of(cls, code: Ints, cluster: Ints, weight: Floats | None = None) -> Units:
        """Give cases weights with mean 1; only how they compare says anything.

        Args:
            code: Unit of each case, (n,).
            cluster: Cluster of each case, (n,).
            weight: Positive, (n,); 1 each by default.
        """
        given = np.ones(len(code)) if weight is None else weight
        return cls(code, cluster, given / given.mean())

    @cached_property
    def sizes(self) -> Floats:
        """Weight of each unit, (units,)."""
        return np.asarray(np.bincount(self.code, self.weight))

    def totals(self, columns: Floats) -> Floats:
        """Return the weighted means of columns (n, k), (units, k)."""
        return group_sums(columns, self.code, self.weight) / self.sizes[:, None]

    def means(self, columns: Floats) -> Floats:
        """Return the weighted means of columns (n, k) by unit, one row a case."""
        return np.asarray(self.totals(columns)[self.code])


def fixed_effects(value: Floats, columns: Floats, units: Units) -> Ols:
    """Regress within units.

    Args:
        value: (n,).
        columns: (n, k); those that do not vary within units are left out.
        units: Whose effects there are.

    Raises:
        EstimationError: If no unit has two cases, no degree of freedom is left, or the values are
            fitted exactly.
    """
    n_units = len(units.sizes)
    if n_units == len(value):
        raise EstimationError("No unit has more than one case: there is nothing within units.")
    inside = columns - units.means(columns)
    centred = value - units.means(value[:, None])[:, 0]
    fit = ols(inside, centred, units.cluster, raw=columns, weight=units.weight, spent=n_units)
    if fit.df < 1:
        raise EstimationError(
            f"{len(value)} cases of {n_units} units leave nothing to tell the variance within "
            "units by: there are as many coefficients."
        )
    if float(np.abs(fit.residuals).max()) <= negligible(value):
        raise EstimationError(
            "Within units the values are fitted exactly: there is no variance within units to "
            "tell random effects by."
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


def random_effects(value: Floats, columns: Floats, units: Units, within: Ols) -> RandomEffects:
    """Regress by generalised least squares, with the variances of Swamy and Arora.

    Args:
        value: (n,).
        columns: (n, k), the first a constant.
        units: Whose effects there are.
        within: The regression within units, on the same columns but the constant.

    Raises:
        EstimationError: If there are as many columns as units.
    """
    individual = max(0.0, _individual(value, columns, units, within.variance))
    theta = 1 - np.sqrt(within.variance / (within.variance + units.sizes * individual))
    share = theta[units.code]
    fit = quasi_demeaned(value, columns, units, share)
    return RandomEffects(fit, within.variance, individual, share)


def _individual(value: Floats, columns: Floats, units: Units, within: float) -> float:
    """Return the variance of the effects of units, by the regression of their means."""
    sizes = units.sizes
    root = np.sqrt(sizes)[:, None]
    x, y = units.totals(columns), units.totals(value[:, None])
    fit = ols(x * root, (y * root)[:, 0], np.arange(len(sizes)))
    if fit.df < 1:
        raise EstimationError(
            f"Random effects need more units than there are covariates and periods that differ "
            f"between units: there are {len(sizes)} units and {int(fit.kept.sum())} of these. "
            "Take fewer covariates (covariates = [...]), or by = 'child'."
        )
    kept = x[:, fit.kept]
    weighted = kept * sizes[:, None]
    trace = float(np.trace(fit.bread @ weighted.T @ weighted))
    return (fit.squares - fit.df * within) / float(sizes.sum() - trace)


def quasi_demeaned(value: Floats, columns: Floats, units: Units, share: Floats) -> Ols:
    """Regress on columns less a share of their unit's mean.

    Args:
        value: (n,).
        columns: (n, k).
        units: Whose effects there are.
        share: Of the mean, (n,).
    """
    x = columns - share[:, None] * units.means(columns)
    y = value - share * units.means(value[:, None])[:, 0]
    return ols(x, y, units.cluster, raw=columns, weight=units.weight)


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

    Each covariance has its own residual variance; where their difference is then no covariance,
    both have that of random effects (Wooldridge 2010, section 10.7.3).

    Args:
        fixed: The regression within units.
        random: That by random effects, with the same columns in the same places.
        places: Which coefficients are compared, (q,).
    """
    difference = (fixed.estimates - random.estimates)[places]
    alike = random.variance / fixed.variance * fixed.covariance - random.covariance
    for covariance in (fixed.covariance - random.covariance, alike):
        part = covariance[np.ix_(places, places)]
        if len(places) and _is_covariance(part):
            statistic = float(difference @ np.linalg.solve(part, difference))
            p_value = float(chdtrc(len(places), statistic))
            return DifferenceTest(statistic, len(places), np.inf, p_value)
    why = "the difference of the two covariances is no covariance"
    return DifferenceTest(None, len(places), np.inf, None, why)


def _is_covariance(matrix: Floats) -> bool:
    values = np.linalg.eigvalsh(_scaled(matrix))
    return bool(values.min() > SINGULAR * max(1.0, values.max()))


def _scaled(covariance: Floats) -> Floats:
    """Return a matrix with a diagonal of 1 or -1, so that eigenvalues know no units."""
    scale = np.sqrt(np.abs(np.diag(covariance)))
    scale[scale == 0] = 1.0
    return np.asarray(covariance / np.outer(scale, scale))


def with_means(value: Floats, columns: Floats, units: Units, share: Floats, varying: Bools) -> Ols:
    """Add the means by unit of columns that vary within units (Mundlak 1978), after the columns.

    Args:
        value: (n,).
        columns: (n, k), the first a constant.
        units: Whose effects there are.
        share: Theta of random effects, (n,).
        varying: Which columns vary within units, (k,).
    """
    means = units.means(columns[:, varying])
    whole = side_by_side([columns, means], len(value))
    return quasi_demeaned(value, whole, units, share)


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
