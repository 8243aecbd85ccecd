"""The variances clustered by ``cluster``: one table, which settings, engines and texts look up.

A variance more is a row here, and in ``common.R`` where R is to have it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.cluster_products import (
    ClusterProducts,
    by_cluster,
    jackknife,
    without_each,
)
from sos_estimators.inference.cr2 import Cr2, bias_reduced
from sos_estimators.inference.cr2_cases import bias_reduced_by_case
from sos_estimators.regression.least_squares import Counts, Fit, Regression
from sos_plugins import Requirement
from sos_plugins.errors import EstimationError

R_CLUB_SANDWICH = Requirement(
    "r", "clubSandwich", "Debian: sudo apt-get install r-cran-clubsandwich"
)


@dataclass(frozen=True)
class FittedRegression:
    """A regression with its least-squares fit, and its products by cluster once they are needed."""

    regression: Regression
    fit: Fit

    @cached_property
    def clusters(self) -> ClusterProducts:
        """Cross products by cluster."""
        return by_cluster(self.regression)


@dataclass(frozen=True)
class Covariance:
    """Covariance of q combinations of the coefficients.

    A combination that a variance does not exist for is missing, and ``warnings`` say why.

    Attributes:
        matrix: In squared units of the value, (q, q).
        df: Degrees of freedom of t tests, (q,).
        scores: What each cluster adds to the combinations, where their cross products are the
            matrix, (G, q).
        warnings: Sentences.
    """

    matrix: Floats
    df: Floats
    scores: Floats | None = None
    warnings: tuple[str, ...] = ()


Factor = Callable[[Counts], float]
Compute = Callable[[FittedRegression, Floats], Covariance]


@dataclass(frozen=True)
class Vcov:
    """A variance.

    Attributes:
        name: Value of the setting ``vcov``.
        compute: Gives the covariance of combinations (p, q) of the terms.
        citation: The paper of the method.
        engines: Which engines have it.
        factor: What widens CR0, of a convention of the sandwich; None: made for least squares.
        satterthwaite: Whether it has degrees of freedom of its own; else they are G - 1.
        r_needs: Packages that engine ``r`` needs for it, beside ``sandwich``.
    """

    name: str
    compute: Compute
    citation: str
    engines: tuple[str, ...] = ("python", "r")
    factor: Factor | None = None
    satterthwaite: bool = False
    r_needs: tuple[Requirement, ...] = ()


def sandwich(fitted: FittedRegression, combinations: Floats, factor: float) -> Covariance:
    """Return the sandwich of Liang and Zeger (1986), Biometrika 73(1), times a factor.

    Args:
        fitted: The regression, p terms and G clusters.
        combinations: Of the terms, one a column, (p, q).
        factor: For small samples.
    """
    influence = fitted.fit.influence
    matrix = combinations.T @ (influence.T @ influence * factor) @ combinations
    scores = influence * np.sqrt(factor) @ combinations
    return Covariance(matrix, _all_but_one(fitted, combinations), scores)


def _all_but_one(fitted: FittedRegression, combinations: Floats) -> Floats:
    return np.full(combinations.shape[1], fitted.regression.n_clusters - 1.0)


def _convention(name: str, factor: Factor, *engines: str, what: str = "") -> Vcov:
    def compute(fitted: FittedRegression, combinations: Floats) -> Covariance:
        return sandwich(fitted, combinations, factor(fitted.fit.counts))

    citation = f"Liang and Zeger (1986), Biometrika 73(1){what}"
    return Vcov(name, compute, citation, ("python", "r", *engines), factor)


def _as_it_is(counts: Counts) -> float:  # noqa: ARG001
    return 1.0


def _one_less(counts: Counts) -> float:
    return counts.n_clusters / (counts.n_clusters - 1)


def _with_parameters(counts: Counts, k: int) -> float:
    """Return G / (G - 1) x (n - 1) / (n - k); nan where parameters are as many as cases."""
    g, n = counts.n_clusters, counts.n_cases
    return g / (g - 1) * (n - 1) / (n - k) if n > k else float("nan")


def _reduced(reduce: Callable[[ClusterProducts, Floats], Cr2]) -> Compute:
    def compute(fitted: FittedRegression, combinations: Floats) -> Covariance:
        reduced = reduce(fitted.clusters, combinations)
        return Covariance(reduced.covariance, reduced.df)

    return compute


def _reduced_by_case(fitted: FittedRegression, combinations: Floats) -> Covariance:
    problem = fitted.regression
    known = [sums for sums in (problem.value_sums, problem.weight_squares) if sums is not None]
    if any(np.isnan(sums).any() for sums in known):
        raise EstimationError(
            "CR2-cases takes cases of different weights one by one, and cells of weighted "
            "cases with numeric covariates, or of values 0 and 1, no longer tell them apart: "
            "give the cases, or choose CR2."
        )
    return _reduced(bias_reduced_by_case)(fitted, combinations)


def _jackknife(name: str, centre: str) -> Compute:
    def compute(fitted: FittedRegression, combinations: Floats) -> Covariance:
        without = without_each(fitted.clusters) @ combinations
        return Covariance(
            jackknife(without, fitted.clusters.terms @ combinations, centre=centre),
            _all_but_one(fitted, combinations),
            warnings=warn_no_jackknife(without, name),
        )

    return compute


def warn_no_jackknife(without: Floats, vcov: str) -> tuple[str, ...]:
    """Say that some coefficient cannot be told without some cluster, which leaves no jackknife.

    Args:
        without: Coefficients without each cluster, or standard errors; nan where there is none.
        vcov: Name of the variance.
    """
    if not np.isnan(without).any():
        return ()
    return (
        f"A coefficient cannot be told without one of the clusters, so it has no {vcov} standard "
        "error: it is left missing.",
    )


_BELL_MCCAFFREY = "Bell and McCaffrey (2002), Survey Methodology 28(2)"
_CR2 = (
    f"{_BELL_MCCAFFREY}; Pustejovsky and Tipton (2018), Journal of Business and Economic "
    "Statistics 36(4)"
)
_CR3J = "MacKinnon, Nielsen and Webb (2023), Journal of Applied Econometrics 38(5)"

VARIANCES: Mapping[str, Vcov] = {
    row.name: row
    for row in (
        _convention("CR0", _as_it_is, "pyfixest", "r-fixest"),
        # clubSandwich "CR1", sandwich::vcovCL(type = "HC0")
        _convention("CR1", _one_less, "pyfixest", "r-fixest", what=", times G / (G - 1)"),
        # All parameters, effects as dummies: Stata, clubSandwich "CR1S", vcovCL(type = "HC1")
        _convention(
            "CR1S",
            lambda counts: _with_parameters(counts, counts.n_parameters),
            "pyfixest",
            what=", with Stata's factor",
        ),
        # Effects nested in clusters count as one intercept: the default of R's fixest
        _convention(
            "fixest",
            lambda counts: _with_parameters(counts, counts.n_parameters_outside),
            "pyfixest",
            "r-fixest",
            what=", with the factor of R's fixest",
        ),
        Vcov("CR2", _reduced(bias_reduced), _CR2, satterthwaite=True),
        Vcov(
            "CR2-cases",
            _reduced_by_case,
            f"{_CR2}, errors of one variance a case",
            satterthwaite=True,
            r_needs=(R_CLUB_SANDWICH,),
        ),
        Vcov(
            "CR3",
            _jackknife("CR3", "full"),
            f"{_BELL_MCCAFFREY}; {_CR3J}",
            ("python", "r", "pyfixest"),
        ),
        Vcov("CR3J", _jackknife("CR3J", "mean"), _CR3J),
    )
}
CONVENTIONS = tuple(name for name, row in VARIANCES.items() if row.factor)

ON_CELLS = tuple(name for name in VARIANCES if name != "CR2-cases")
"""Variances that cells are enough for."""

if TYPE_CHECKING:
    Variance = str
    VarianceOnCells = str
    Convention = str
else:
    Variance = Literal[tuple(VARIANCES)]
    VarianceOnCells = Literal[ON_CELLS]
    Convention = Literal[CONVENTIONS]

VCOV = (
    "variance clustered by 'cluster': CR2 with Satterthwaite degrees of freedom, which keeps its "
    "size with few treated clusters (errors of variance 1 / weight; CR2-cases: of one variance a "
    "case), a convention of the sandwich (CR0, CR1, CR1S, fixest), or a jackknife (CR3, CR3J)"
)
"""Description of the setting."""
VCOV_ON_CELLS = (
    "with errors = analytic or bootstrap, variance clustered by 'cluster': a convention of the "
    "sandwich (CR0, CR1, CR1S, fixest), CR2 with Satterthwaite degrees of freedom, or a jackknife "
    "(CR3, CR3J); bootstrap takes a convention"
)
"""Likewise of estimators of staggered adoption."""
CONVENTION = "small-sample convention of the variance clustered by 'cluster'"
"""Likewise where only conventions of the sandwich are offered."""


def factor_of(vcov: str) -> Factor:
    """Return what widens the plain (CR0) variance under a convention of the sandwich.

    Args:
        vcov: Name of the variance.

    Raises:
        EstimationError: For a variance that is no such convention.
    """
    factor = VARIANCES[vcov].factor
    if factor is None:
        *first, last = CONVENTIONS
        raise EstimationError(
            f"vcov = '{vcov}' is for model = 'linear'; a logit takes {', '.join(first)} or {last}."
        )
    return factor
