"""Cross products by cluster: all that cluster-robust inference needs of the cases.

With the effects that are nested in clusters taken out, the products of a cluster's columns with
each other and with the value give the regression without it, its scores under any hypothesis and
its bootstrap replications: MacKinnon, Nielsen and Webb (2023), Journal of Applied Econometrics
38(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.regression.least_squares import (
    Absorber,
    CollinearTermsError,
    Regression,
    group_sums,
    independent_triangle,
    lengths,
    nested,
    solve,
)

SINGULAR = 1e-11
"""An eigenvalue of scaled cross products (ones in the diagonal) below this is zero: rounding leaves
about 1e-15 times the number of columns."""
TOUCHED = 1e-6
"""A coefficient takes part in a null direction of unit length when its share is above this: the
root of :data:`SINGULAR`, rounded down."""


@dataclass(frozen=True)
class ClusterProducts:
    """A regression as cross products of its G clusters.

    K columns are left: effects that are not nested in clusters, covariates, terms, in this order,
    those that are collinear left out, each with the nested effects taken out.

    Attributes:
        scores: Weighted cross products of the columns and the residuals, (G, K).
        bread: Inverse of the summed products, (K, K).
        coefficients: (K,).
        n_terms: The last so many columns are the terms.
        columns: The columns on cells, (m, K).
        residuals: On cells, (m,).
        regression: Where all this came from.
        kept: Which columns of the regression, covariates first and then terms, are not collinear,
            (k + p,).
    """

    scores: Floats
    bread: Floats
    coefficients: Floats
    n_terms: int
    columns: Floats
    residuals: Floats
    regression: Regression
    kept: Bools

    @property
    def n_clusters(self) -> int:
        """G."""
        return len(self.scores)

    @cached_property
    def products(self) -> Floats:
        """Weighted cross products of the columns of each cluster, (G, K, K)."""
        return products(self.columns, self.regression.weight, self.regression.cluster)

    @property
    def terms(self) -> Floats:
        """Coefficients of the terms, (p,)."""
        return self.coefficients[-self.n_terms :]

    @cached_property
    def influence(self) -> Floats:
        """What each cluster adds to the coefficients of the terms, (G, p)."""
        return np.asarray(self.scores @ self.directions)

    @property
    def directions(self) -> Floats:
        """Columns of the bread that belong to the terms, (K, p)."""
        return self.bread[:, -self.n_terms :]


def nested_effects(regression: Regression) -> tuple[Ints, ...]:
    """Return the sets of effects whose levels each lie within one cluster.

    Args:
        regression: The regression.
    """
    return tuple(e for e in regression.effects if nested(e, regression.cluster))


def by_cluster(regression: Regression) -> ClusterProducts:
    """Take the products of a regression.

    Args:
        regression: The regression.

    Raises:
        CollinearTermsError: If a term is collinear with effects, covariates and earlier terms.
    """
    columns, value, kept, r = _partial(regression)
    bread, beta = solve(columns, value, regression.weight, r)
    residuals = value - columns @ beta
    return ClusterProducts(
        scores=group_sums(columns, regression.cluster, regression.weight * residuals),
        bread=bread,
        coefficients=beta,
        n_terms=len(regression.term_names),
        columns=columns,
        residuals=residuals,
        regression=regression,
        kept=kept,
    )


def products(columns: Floats, weight: Floats, codes: Ints) -> Floats:
    """Return the weighted cross products of the columns of each group of rows, (G, K, K).

    Args:
        columns: (m, K).
        weight: (m,).
        codes: Group of each row, (m,).
    """
    order = np.argsort(codes, kind="stable")
    of_groups = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    out = np.empty((len(of_groups), columns.shape[1], columns.shape[1]))
    for made, rows in zip(out, of_groups, strict=True):
        own = columns[rows]
        np.matmul(own.T, own * weight[rows, None], out=made)
    return out


def _partial(regression: Regression) -> tuple[Floats, Floats, Bools, Floats]:
    """Return columns (m, K) and value (m,) with the nested effects taken out.

    And which columns of the regression are kept, (k + p,), and the triangle of the columns.
    """
    inside = nested_effects(regression)
    across = [e for e in regression.effects if not nested(e, regression.cluster)]
    whole = _beside_dummies(across, regression)
    length = lengths(whole[:, :-1], regression.weight)
    if inside:
        Absorber(inside, regression.weight).take_out(whole)
    columns, value = whole[:, :-1], whole[:, -1]
    kept, r = independent_triangle(columns, length, regression.weight)
    of_terms = kept[len(kept) - len(regression.term_names) :]
    if not of_terms.all():
        raise CollinearTermsError([int(i) for i in np.flatnonzero(~of_terms)])
    own = kept[len(kept) - len(regression.covariate_names) - len(regression.term_names) :]
    for place, old in enumerate(np.flatnonzero(kept)):  # in place: a copy may be a gigabyte
        columns[:, place] = columns[:, old]
    return columns[:, : kept.sum()], value, own, r


def _beside_dummies(effects: list[Ints], regression: Regression) -> Floats:
    """Put dummies of effects, covariates, terms and value beside each other."""
    m = len(regression.value)
    own = [regression.covariates, regression.terms, regression.value[:, None]]
    n_own = sum(columns.shape[1] for columns in own)
    sizes = [int(codes.max()) + 1 for codes in effects]
    whole = np.zeros((m, sum(sizes) + n_own), order="F")
    for codes, place in zip(effects, np.cumsum([0, *sizes]), strict=False):
        whole[np.arange(m), place + codes] = 1
    np.concatenate(own, axis=1, out=whole[:, sum(sizes) :])
    return whole


def without_each(clusters: ClusterProducts) -> Floats:
    """Return the coefficients of the terms without each cluster in turn, (G, p).

    A coefficient that cannot be told without a cluster is missing.

    Args:
        clusters: The regression.
    """
    left = clusters.products.sum(axis=0) - clusters.products
    scale = np.sqrt(np.einsum("gkk->gk", left).clip(min=0))
    whole = np.sqrt(np.diag(clusters.products.sum(axis=0)))
    scale = np.where(scale > SINGULAR * whole, scale, whole)
    scaled = left / scale[:, :, None] / scale[:, None, :]
    values, vectors = np.linalg.eigh(scaled)
    null = values <= SINGULAR
    inverse = np.where(null, 0.0, 1 / np.where(null, 1.0, values))
    along = np.einsum("gki,gk->gi", vectors, clusters.scores / scale) * inverse
    change = np.einsum("gki,gi->gk", vectors, along) / scale
    p = clusters.n_terms
    share = np.sqrt(np.einsum("gki,gi->gk", vectors[:, -p:] ** 2, null.astype(float)))
    return np.where(share > TOUCHED, np.nan, clusters.terms - change[:, -p:])


def jackknife(without: Floats, full: Floats, *, centre: str) -> Floats:
    """Return the delete-one-cluster covariance of the terms, (p, p).

    (G - 1) / G times the cross products of the coefficients without each cluster about those of
    the full sample (CR3; Bell and McCaffrey 2002, Survey Methodology 28(2)) or about their mean
    (CR3J; MacKinnon, Nielsen and Webb 2023), with G - 1 degrees of freedom. A coefficient that
    cannot be told without some cluster has no such variance: it is missing.

    Args:
        without: Coefficients without each cluster, (G, p).
        full: Coefficients of the full sample, (p,).
        centre: ``full`` or ``mean``.
    """
    g = len(without)
    apart = without - (full if centre == "full" else without.mean(axis=0))
    return np.asarray((g - 1) / g * (apart.T @ apart))


@dataclass(frozen=True)
class Influence:
    """How much each cluster weighs, for one term.

    Attributes:
        without: The coefficient without each cluster, (G,); missing where it cannot be told.
        leverage: Trace of each cluster's part of the hat matrix, effects nested in clusters not
            counted, (G,); the mean is K / G.
        partial_leverage: Share of each cluster in the variation of the term that effects and
            covariates leave, (G,); they sum to 1.
        effective: Effective number of clusters G*(0) of Carter, Schnepel and Steigerwald (2017),
            Review of Economics and Statistics 99(4): G / (1 + squared coefficient of variation of
            the partial leverages).
    """

    without: Floats
    leverage: Floats
    partial_leverage: Floats
    effective: float


def influence(clusters: ClusterProducts, term: int = 0) -> Influence:
    """Measure leverage and influence as MacKinnon, Nielsen and Webb (2023, Stata Journal 23(4)).

    Args:
        clusters: The regression.
        term: Which of the terms.
    """
    direction = clusters.directions[:, term]
    share = (
        np.einsum("k,gkl,l->g", direction, clusters.products, direction)
        / direction[len(direction) - clusters.n_terms + term]
    )
    return Influence(
        without=without_each(clusters)[:, term],
        leverage=np.einsum("gkl,lk->g", clusters.products, clusters.bread),
        partial_leverage=share,
        effective=float(share.sum() ** 2 / np.square(share).sum()),
    )
