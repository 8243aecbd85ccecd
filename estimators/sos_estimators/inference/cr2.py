"""CR2: the bias-reduced variance on cross products by cluster, and the tests that go with it.

Bell and McCaffrey (2002), Survey Methodology 28(2), and Pustejovsky and Tipton (2018), Journal of
Business and Economic Statistics 36(4). With X_g the rows of cluster g and e_g its residuals, all
multiplied by the root of their weight, B = (X'X)^-1 and the working model of errors of variance
1 / weight, the adjustment matrix A_g is the symmetric root of the inverse of I - X_g B X_g'. The
score of a cluster for a combination c of the coefficients is a_g'e_g with a_g = A_g X_g B c, and
CR2 is the sum of squared scores: what R's clubSandwich gives for ``lm`` on such rows.

Under that model a case is worth two of half its weight, effects nested in clusters can be taken out
beforehand, and A_g is the identity outside the span of X_g: the cross products of a cluster are
enough, and no case is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Bools, Floats
from sos_estimators.inference.cluster_products import SINGULAR, ClusterProducts

NO_RESIDUAL = 1e-8
"""An eigenvalue of I - X_g B X_g' below this is zero: the regression fits that direction exactly,
and it gets the adjustment zero (the Moore-Penrose inverse)."""
HIGH = 0.5
"""Pairs of a cluster whose leverage is above this are taken one by one."""
FEW = 300
"""So many clusters at most are taken pair by pair, which is quick then, and cancels nothing."""


@dataclass(frozen=True)
class Cr2:
    """CR2: covariance (q, q) and Satterthwaite degrees of freedom (q,) of q combinations."""

    covariance: Floats
    df: Floats


@dataclass(frozen=True)
class AdjustedScores:
    """Bias-reduced scores of G clusters for q combinations c of the terms.

    Attributes:
        scores: a_g'e_g, (G, q).
        Xa: X_g'a_g, (G, K, q).
        aa: a_g'a_g, (G, q, q).
        B: Inverse of the cross products of the regression, (K, K).
    """

    scores: Floats
    Xa: Floats
    aa: Floats
    B: Floats

    @property
    def covariance(self) -> Floats:
        """CR2, (q, q)."""
        return np.asarray(self.scores.T @ self.scores)

    def combined(self, by: Floats) -> AdjustedScores:
        """Return the scores of new combinations, each a row of (m, q) of these.

        Args:
            by: One combination a row, (m, q).
        """
        return AdjustedScores(self.scores @ by.T, self.Xa @ by.T, by @ self.aa @ by.T, self.B)

    def of_combination(self, s: int) -> AdjustedScores:
        """Return the scores of one combination.

        Args:
            s: Which, below q.
        """
        Xa = np.ascontiguousarray(self.Xa[:, :, s : s + 1])
        return AdjustedScores(
            self.scores[:, s : s + 1], Xa, self.aa[:, s : s + 1, s : s + 1], self.B
        )

    def of_clusters(self, chosen: Bools) -> AdjustedScores:
        """Return the scores of the chosen clusters, (G,).

        Args:
            chosen: Which clusters, (G,).
        """
        return AdjustedScores(self.scores[chosen], self.Xa[chosen], self.aa[chosen], self.B)

    @property
    def aHa(self) -> Floats:  # noqa: N802
        """a_g'X_g B X_g'a_g: what the fit takes off the variance of each score, (G, q, q)."""
        BXa = np.einsum("kl,glt->gkt", self.B, self.Xa, optimize=True)
        return np.asarray(np.einsum("gks,gkt->gst", self.Xa, BXa, optimize=True))

    @property
    def expected(self) -> Floats:
        """Mean of CR2 under the working model, (q, q)."""
        return np.asarray((self.aa - self.aHa).sum(axis=0))


def adjust(clusters: ClusterProducts, combinations: Floats) -> AdjustedScores:
    """Adjust the scores of every cluster (Bell and McCaffrey 2002).

    Args:
        clusters: The regression, p terms.
        combinations: Of the terms, one a column, (p, q).

    Returns:
        The scores for the q combinations, in the unit of the value.
    """
    Bc = clusters.directions @ combinations
    if len(clusters.residuals) == clusters.n_clusters:
        return _adjust_single_rows(clusters, Bc)
    g, k, q = clusters.n_clusters, len(clusters.bread), combinations.shape[1]
    scores, Xa, aa = np.zeros((g, q)), np.zeros((g, k, q)), np.zeros((g, q, q))
    active = np.einsum("gkk->gk", clusters.products) > 0
    number = active.sum(axis=1)
    for n in np.unique(number[number > 0]):
        alike = np.flatnonzero(number == n)
        places = np.nonzero(active[alike])[1].reshape(len(alike), n)
        square = places[:, :, None], places[:, None, :]
        XX = clusters.products[alike[:, None, None], *square]
        XN, V = orthonormal(XX)
        H = _transposed(XN) @ clusters.bread[square] @ XN
        a = inverse_root(np.eye(n) - H) @ (_transposed(XN) @ Bc[places])
        Xe = np.take_along_axis(clusters.scores[alike], places, axis=1)
        scores[alike] = np.einsum("gnq,gmn,gm->gq", a, V, Xe, optimize=True)
        Xa[alike[:, None], places] = XN @ a
        aa[alike] = _transposed(a) @ a
    return AdjustedScores(scores, Xa, aa, clusters.bread)


def _transposed(matrices: Floats) -> Floats:
    return np.asarray(np.swapaxes(matrices, -1, -2))


def _adjust_single_rows(clusters: ClusterProducts, Bc: Floats) -> AdjustedScores:
    """Adjust where every cluster is one row and A_g a number: CR2 is then HC2."""
    order = np.argsort(clusters.regression.cluster)
    root = np.sqrt(clusters.regression.weight[order])
    X = clusters.columns[order] * root[:, None]
    left = 1 - np.einsum("gk,gk->g", X @ clusters.bread, X)
    A = np.where(left > NO_RESIDUAL, 1 / np.sqrt(left.clip(min=NO_RESIDUAL)), 0.0)
    a = (X @ Bc) * A[:, None]
    return AdjustedScores(
        scores=a * (root * clusters.residuals[order])[:, None],
        Xa=X[:, :, None] * a[:, None, :],
        aa=a[:, :, None] * a[:, None, :],
        B=clusters.bread,
    )


def bias_reduced(clusters: ClusterProducts, combinations: Floats) -> Cr2:
    """Return CR2 and Satterthwaite's degrees of freedom (Bell and McCaffrey 2002).

    Args:
        clusters: The regression, p terms.
        combinations: Of the terms, one a column, (p, q).

    Returns:
        Covariance and degrees of freedom of the combinations. One that every cluster fits exactly
        has neither (zero and nan).
    """
    adjusted = adjust(clusters, combinations)
    each = range(combinations.shape[1])
    if clusters.n_clusters <= FEW:
        return Cr2(adjusted.covariance, _satterthwaite_of_pairs(adjusted))
    return Cr2(
        adjusted.covariance,
        np.array([_satterthwaite(adjusted.of_combination(s)) for s in each]),
    )


def _satterthwaite_of_pairs(adjusted: AdjustedScores) -> Floats:
    """Return (trace P)^2 / trace PP of the covariance P of the scores of each combination, (q,)."""
    X = adjusted.Xa.transpose(2, 0, 1)
    P = -(X @ adjusted.B) @ _transposed(X)
    own = np.einsum("sgg->sg", P)
    own += np.einsum("gss->sg", adjusted.aa)
    total = np.square(P).sum(axis=(1, 2))
    none = total <= 0
    return np.asarray(np.where(none, np.nan, own.sum(axis=1) ** 2 / np.where(none, 1.0, total)))


def _satterthwaite(one: AdjustedScores) -> float:
    """Return (trace P)^2 / trace PP of the covariance P of the scores of one combination."""
    total = total_variance(one) / 2
    return float(one.expected[0, 0] ** 2 / total) if total > 0 else float("nan")


def total_variance(adjusted: AdjustedScores) -> float:
    """Return the summed variances of the entries of CR2 of q combinations.

    With P_gs,ht the covariance of the scores of clusters g, h and combinations s, t under the
    working model, this is the sum over g, h of (sum over s of P_gs,hs)^2 and of the sum over s, t
    of P_gs,ht P_gt,hs (Pustejovsky and Tipton 2018). P is a_gs'a_gt (only if g = h) less
    a_gs'X_g B X_h'a_ht, so that sums over pairs of clusters follow from the summed products of
    X_g'a_g. Where a cluster is fitted almost exactly these would cancel to nothing: its pairs are
    taken one by one. There are fewer than K / :data:`HIGH` such clusters, since leverages sum to K.
    Of few clusters and combinations all pairs are.

    Args:
        adjusted: Scores for q combinations.
    """
    if adjusted.scores.size <= FEW:
        return _of_each_pair(adjusted)
    aa, aHa = (np.einsum("gss->gs", part) for part in (adjusted.aa, adjusted.aHa))
    high = (aHa > HIGH * aa).any(axis=1)
    total = _of_all_pairs(adjusted.of_clusters(~high))
    weight = np.where(high, 1.0, 2.0)
    BXa = np.einsum("kl,glt->gkt", adjusted.B, adjusted.Xa, optimize=True)
    for g in np.flatnonzero(high):
        P = -np.einsum("ks,hkt->hst", adjusted.Xa[g], BXa, optimize=True)
        P[g] += adjusted.aa[g]
        pairs = np.einsum("hss->h", P) ** 2 + np.einsum("hst,hts->h", P, P)
        total += float(weight @ pairs)
    return total


def _of_each_pair(adjusted: AdjustedScores) -> float:
    g, k, q = adjusted.Xa.shape
    X = adjusted.Xa.transpose(0, 2, 1).reshape(g * q, k)
    P = -(X @ adjusted.B @ X.T).reshape(g, q, g, q)
    P[np.arange(g), :, np.arange(g)] += adjusted.aa
    return float(
        np.square(np.einsum("gshs->gh", P)).sum() + np.einsum("gsht,gths->", P, P, optimize=True)
    )


def _of_all_pairs(adjusted: AdjustedScores) -> float:
    g, k, q = adjusted.Xa.shape
    aa, aHa = adjusted.aa, adjusted.aHa
    Xa = adjusted.Xa.reshape(g, k * q)
    XaaX = (Xa.T @ Xa).reshape(k, q, k, q).transpose(1, 3, 0, 2)
    BXaaX = np.einsum("kl,stlm->stkm", adjusted.B, XaaX, optimize=True)
    alone, taken = np.einsum("gss->g", aa), np.einsum("gss->g", aHa)
    traces = np.square(alone).sum() - 2 * alone @ taken
    traces += np.einsum("stkl,tslk->", BXaaX, BXaaX, optimize=True)
    crossed = np.square(aa).sum() - 2 * np.einsum("gst,gst->", aa, aHa)
    crossed += np.einsum("stkl,stlk->", BXaaX, BXaaX, optimize=True)
    return float(traces + crossed)


def orthonormal(XX: Floats) -> tuple[Floats, Floats]:
    """Return X'N and V with N = XV an orthonormal basis of the span of each X, given X'X.

    Args:
        XX: X'X, of one cluster or several, with positive diagonals, (..., k, k).

    Returns:
        Two arrays (..., k, k), in which columns beyond the rank are zero.
    """
    scale = np.sqrt(np.einsum("...kk->...k", XX))[..., :, None]
    values, vectors = np.linalg.eigh(XX / scale / _transposed(scale))
    used = (values > SINGULAR)[..., None, :]
    root = np.sqrt(np.where(used, values[..., None, :], 1.0))
    vectors = np.where(used, vectors, 0.0)
    return scale * vectors * root, vectors / root / scale


def inverse_root(matrices: Floats) -> Floats:
    """Return the Moore-Penrose inverses of the symmetric roots of matrices.

    Args:
        matrices: Symmetric, of one cluster or several, (..., r, r).
    """
    values, vectors = np.linalg.eigh((matrices + _transposed(matrices)) / 2)
    used = (values > NO_RESIDUAL)[..., None, :]
    root = np.sqrt(np.where(used, values[..., None, :], 1.0))
    return np.asarray(np.where(used, vectors, 0.0) / root @ _transposed(vectors))
