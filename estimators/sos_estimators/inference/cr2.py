"""CR2: the bias-reduced variance on cross products by cluster, and the tests that go with it.

Bell and McCaffrey (2002), Survey Methodology 28(2), and Pustejovsky and Tipton (2018), Journal of
Business and Economic Statistics 36(4), with errors of variance 1 / weight as the working model and
the symmetric root taken of rows multiplied by the root of their weight: what R's clubSandwich gives
for ``lm`` on such rows. Under that model a case is worth two of half its weight, effects nested
in clusters can be taken out beforehand, and a cluster's adjustment matrix is the identity outside
the span of its columns: their cross products are enough, and no case is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.cluster_products import SINGULAR, ClusterProducts

NO_RESIDUAL = 1e-8
"""An eigenvalue of I - H below this is zero: the regression fits that direction exactly, and it
gets the adjustment zero (the Moore-Penrose inverse)."""
HIGH = 0.5
"""Pairs of a cluster whose leverage is above this are taken one by one."""


@dataclass(frozen=True)
class Cr2:
    """CR2: covariance (q, q) and Satterthwaite degrees of freedom (q,) of q combinations."""

    covariance: Floats
    df: Floats


@dataclass(frozen=True)
class AdjustedScores:
    """Bias-reduced scores of G clusters for q combinations of the terms.

    With a the adjusted vector of a cluster's rows (each times the root of its weight), R its
    columns and e its residuals:

    Attributes:
        scores: a'e, (G, q).
        reach: R'a, (G, K, q).
        own: a'a, (G, q, q).
        bread: Of the regression, (K, K).
    """

    scores: Floats
    reach: Floats
    own: Floats
    bread: Floats

    @property
    def covariance(self) -> Floats:
        """CR2, (q, q)."""
        return np.asarray(self.scores.T @ self.scores)

    def turned(self, by: Floats) -> AdjustedScores:
        """Return the same for new combinations, (m, q) of these."""
        return AdjustedScores(
            self.scores @ by.T, self.reach @ by.T, by @ self.own @ by.T, bread=self.bread
        )

    def only(self, s: int) -> AdjustedScores:
        """Return the same for one combination."""
        reach = np.ascontiguousarray(self.reach[:, :, s : s + 1])
        own = self.own[:, s : s + 1, s : s + 1]
        return AdjustedScores(self.scores[:, s : s + 1], reach, own, self.bread)

    def of(self, clusters: Bools) -> AdjustedScores:
        """Return the same of some clusters."""
        return AdjustedScores(
            self.scores[clusters], self.reach[clusters], self.own[clusters], bread=self.bread
        )

    @property
    def fitted(self) -> Floats:
        """What the regression takes off the variance of each cluster's scores, (G, q, q)."""
        through = np.einsum("kl,glt->gkt", self.bread, self.reach, optimize=True)
        return np.asarray(np.einsum("gks,gkt->gst", self.reach, through, optimize=True))

    @property
    def expected(self) -> Floats:
        """Mean of the covariance under the working model, (q, q)."""
        return np.asarray((self.own - self.fitted).sum(axis=0))


def adjust(clusters: ClusterProducts, combinations: Floats) -> AdjustedScores:
    """Adjust the scores of every cluster.

    Args:
        clusters: The regression.
        combinations: Of the terms, (p, q).
    """
    contrasts = clusters.directions @ combinations
    if len(clusters.residuals) == clusters.n_clusters:
        return _adjust_single_rows(clusters, contrasts)
    g, k, q = clusters.n_clusters, len(clusters.bread), combinations.shape[1]
    scores, reach, own = np.zeros((g, q)), np.zeros((g, k, q)), np.zeros((g, q, q))
    for i, (products, score) in enumerate(zip(clusters.products, clusters.scores, strict=True)):
        active = np.flatnonzero(np.diag(products) > 0)
        if not len(active):
            continue
        root, back = roots(products[np.ix_(active, active)])
        hat = root.T @ clusters.bread[np.ix_(active, active)] @ root
        vector = inverse_root(np.eye(len(hat)) - hat) @ (root.T @ contrasts[active])
        scores[i] = vector.T @ (back.T @ score[active])
        reach[i, active] = root @ vector
        own[i] = vector.T @ vector
    return AdjustedScores(scores, reach, own, clusters.bread)


def _adjust_single_rows(clusters: ClusterProducts, contrasts: Floats) -> AdjustedScores:
    """Do the same where every cluster is one row, whose adjustment is a number: CR2 is then HC2."""
    order = np.argsort(clusters.regression.cluster)
    root = np.sqrt(clusters.regression.weight[order])
    rows = clusters.columns[order] * root[:, None]
    left = 1 - np.einsum("gk,gk->g", rows @ clusters.bread, rows)
    power = np.where(left > NO_RESIDUAL, 1 / np.sqrt(left.clip(min=NO_RESIDUAL)), 0.0)
    vector = (rows @ contrasts) * power[:, None]
    return AdjustedScores(
        scores=vector * (root * clusters.residuals[order])[:, None],
        reach=rows[:, :, None] * vector[:, None, :],
        own=vector[:, :, None] * vector[:, None, :],
        bread=clusters.bread,
    )


def bias_reduced(clusters: ClusterProducts, combinations: Floats) -> Cr2:
    """Compute CR2 with Satterthwaite degrees of freedom of combinations of the terms, (p, q).

    A combination that every cluster fits exactly has neither (zero and nan).
    """
    adjusted = adjust(clusters, combinations)
    each = range(combinations.shape[1])
    return Cr2(adjusted.covariance, np.array([_satterthwaite(adjusted.only(s)) for s in each]))


def _satterthwaite(one: AdjustedScores) -> float:
    """Return (trace P)^2 / trace PP of the covariance P of the scores of one combination."""
    total = total_variance(one) / 2
    return float(one.expected[0, 0] ** 2 / total) if total > 0 else float("nan")


def total_variance(adjusted: AdjustedScores) -> float:
    """Return the summed variances of the entries of the covariance of q combinations.

    With P_gs,ht the covariance of the scores of clusters g, h and combinations s, t under the
    working model, this is the sum over g, h of (sum over s of P_gs,hs)^2 and of the sum over s, t
    of P_gs,ht P_gt,hs. P is own - R B R' by blocks, so that sums over pairs of clusters follow from
    R'R. Where a cluster is fitted almost exactly these sums would cancel to nothing: its pairs are
    taken one by one. There are fewer than K / :data:`HIGH` such clusters, since leverages sum to K.
    """
    own, fitted = (np.einsum("gss->gs", part) for part in (adjusted.own, adjusted.fitted))
    high = (fitted > HIGH * own).any(axis=1)
    total = _of_all_pairs(adjusted.of(~high))
    weight = np.where(high, 1.0, 2.0)
    through = np.einsum("kl,glt->gkt", adjusted.bread, adjusted.reach, optimize=True)
    for g in np.flatnonzero(high):
        p = -np.einsum("ks,hkt->hst", adjusted.reach[g], through, optimize=True)
        p[g] += adjusted.own[g]
        pairs = np.einsum("hss->h", p) ** 2 + np.einsum("hst,hts->h", p, p)
        total += float(weight @ pairs)
    return total


def _of_all_pairs(adjusted: AdjustedScores) -> float:
    g, k, q = adjusted.reach.shape
    own, fitted = adjusted.own, adjusted.fitted
    reach = adjusted.reach.reshape(g, k * q)
    whole = (reach.T @ reach).reshape(k, q, k, q).transpose(1, 3, 0, 2)
    through = np.einsum("kl,stlm->stkm", adjusted.bread, whole, optimize=True)
    alone, taken = np.einsum("gss->g", own), np.einsum("gss->g", fitted)
    traces = np.square(alone).sum() - 2 * alone @ taken
    traces += np.einsum("stkl,tslk->", through, through, optimize=True)
    crossed = np.square(own).sum() - 2 * np.einsum("gst,gst->", own, fitted)
    crossed += np.einsum("stkl,stlk->", through, through, optimize=True)
    return float(traces + crossed)


def roots(gram: Floats) -> tuple[Floats, Floats]:
    """Return U'N and V with N = UV an orthonormal basis of the span of U, given U'U."""
    scale = np.sqrt(np.diag(gram))
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    used = values > SINGULAR
    root, vectors = np.sqrt(values[used]), vectors[:, used]
    return scale[:, None] * vectors * root, vectors / root / scale[:, None]


def inverse_root(matrix: Floats) -> Floats:
    """Return the Moore-Penrose inverse of the symmetric root."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    used = values > NO_RESIDUAL
    return np.asarray((vectors[:, used] / np.sqrt(values[used])) @ vectors[:, used].T)
