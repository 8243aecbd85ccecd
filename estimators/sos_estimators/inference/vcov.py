"""Variances clustered by ``cluster``, each with its degrees of freedom, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.inference.cluster_products import (
    ClusterProducts,
    by_cluster,
    jackknife,
    without_each,
)
from sos_estimators.inference.cr2 import bias_reduced
from sos_estimators.inference.cr2_cases import bias_reduced_by_case
from sos_estimators.regression.least_squares import (
    Convention,
    Fit,
    Regression,
    Variance,
    covariance,
)
from sos_plugins.errors import EstimationError

VCOV = (
    "variance clustered by 'cluster': CR2 with Satterthwaite degrees of freedom, which keeps its "
    "size with few treated clusters (errors of variance 1 / weight; CR2-cases: of one variance a "
    "case), a convention of the sandwich (CR0, CR1, CR1S, fixest), or a jackknife (CR3, CR3J)"
)
"""Description of the setting."""
LINEAR_ONLY = ("CR2", "CR2-cases", "CR3", "CR3J")
"""Variances that are made for least squares."""


@dataclass(frozen=True)
class Spread:
    """Covariance (q, q) and degrees of freedom (q,) of q combinations of the terms.

    A combination that a variance does not exist for is missing, and ``warnings`` say why.
    """

    covariance: Floats
    df: Floats
    warnings: tuple[str, ...] = ()


def spread(
    problem: Regression,
    fit: Fit,
    vcov: Variance,
    combinations: Floats,
    clusters: ClusterProducts | None = None,
) -> Spread:
    """Compute a variance by name; see docs/inference.md.

    Args:
        problem: The regression.
        fit: Its least-squares fit.
        vcov: Name of the variance. All but CR2 and CR2-cases have G - 1 degrees of freedom.
        combinations: Of the terms, (p, q).
        clusters: The products of the regression by cluster, where they are known.

    Raises:
        EstimationError: For CR2-cases of cells that do not hold what it needs.
    """
    if vcov == "CR2":
        reduced = bias_reduced(clusters or by_cluster(problem), combinations)
        return Spread(reduced.covariance, reduced.df)
    if vcov == "CR2-cases":
        if problem.value_sums is not None and np.isnan(problem.value_sums).any():
            raise EstimationError(
                "CR2-cases takes cases of different weights one by one, and cells of weighted "
                "cases with numeric covariates no longer tell them apart: give the cases, or "
                "choose CR2."
            )
        reduced = bias_reduced_by_case(clusters or by_cluster(problem), combinations)
        return Spread(reduced.covariance, reduced.df)
    df = np.full(combinations.shape[1], problem.n_clusters - 1.0)
    if vcov in ("CR3", "CR3J"):
        clusters = clusters or by_cluster(problem)
        without = without_each(clusters) @ combinations
        centre = "full" if vcov == "CR3" else "mean"
        return Spread(
            jackknife(without, clusters.terms @ combinations, centre=centre),
            df,
            warn_no_jackknife(without, vcov),
        )
    plain = covariance(fit, cast(Convention, vcov))
    return Spread(combinations.T @ plain @ combinations, df)


def warn_no_jackknife(without: Floats, vcov: str) -> tuple[str, ...]:
    """Say that some coefficient cannot be told without some cluster, which leaves no jackknife."""
    if not np.isnan(without).any():
        return ()
    return (
        f"A coefficient cannot be told without one of the clusters, so it has no {vcov} standard "
        "error: it is left missing.",
    )


def check_model(vcov: str, model: str) -> None:
    """Refuse a variance that a logit does not have.

    Raises:
        EstimationError: If there is none.
    """
    if model == "logit" and vcov in LINEAR_ONLY:
        raise EstimationError(
            f"vcov = '{vcov}' is for model = 'linear'; a logit takes CR0, CR1, CR1S or fixest."
        )
