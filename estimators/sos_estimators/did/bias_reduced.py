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

from sos_estimators.did.clusters import SINGULAR, Clusters
from sos_estimators.did.least_squares import Floats

NO_RESIDUAL = 1e-8
"""An eigenvalue of I - H below this is zero: the regression fits that direction exactly, and it
gets the adjustment zero (the Moore-Penrose inverse)."""


@dataclass(frozen=True)
class Reduced:
    """CR2: covariance (q, q) and Satterthwaite degrees of freedom (q,) of q combinations."""

    covariance: Floats
    df: Floats


@dataclass(frozen=True)
class Adjusted:
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

    def turned(self, by: Floats) -> Adjusted:
        """Return the same for new combinations, (m, q) of these."""
        return Adjusted(
            self.scores @ by.T, self.reach @ by.T, by @ self.own @ by.T, bread=self.bread
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


def adjust(clusters: Clusters, combinations: Floats) -> Adjusted:
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
    return Adjusted(scores, reach, own, clusters.bread)


def _adjust_single_rows(clusters: Clusters, contrasts: Floats) -> Adjusted:
    """Do the same where every cluster is one row, whose adjustment is a number: CR2 is then HC2."""
    order = np.argsort(clusters.regression.cluster)
    root = np.sqrt(clusters.regression.weight[order])
    rows = clusters.columns[order] * root[:, None]
    left = 1 - np.einsum("gk,gk->g", rows @ clusters.bread, rows)
    power = np.where(left > NO_RESIDUAL, 1 / np.sqrt(left.clip(min=NO_RESIDUAL)), 0.0)
    vector = (rows @ contrasts) * power[:, None]
    return Adjusted(
        scores=vector * (root * clusters.residuals[order])[:, None],
        reach=rows[:, :, None] * vector[:, None, :],
        own=vector[:, :, None] * vector[:, None, :],
        bread=clusters.bread,
    )


def bias_reduced(clusters: Clusters, combinations: Floats) -> Reduced:
    """Compute CR2 with Satterthwaite degrees of freedom of combinations of the terms, (p, q).

    A combination that every cluster fits exactly has neither (zero and nan).
    """
    adjusted = adjust(clusters, combinations)
    df = [
        _satterthwaite(np.ascontiguousarray(reach), own, adjusted.bread)
        for reach, own in zip(
            np.moveaxis(adjusted.reach, 2, 0), np.einsum("gss->sg", adjusted.own), strict=True
        )
    ]
    return Reduced(adjusted.covariance, np.array(df))


def _satterthwaite(reach: Floats, own: Floats, bread: Floats) -> float:
    """Return (trace P)^2 / trace PP of the scores' covariance P = diag(own) - R B R'.

    P is G by G; its traces follow from R'R, which is not.

    Args:
        reach: R, (G, K).
        own: (G,).
        bread: B, (K, K).
    """
    through = reach @ bread
    fitted = np.einsum("gk,gk->g", through, reach)
    whole = reach.T @ through
    total = float(np.square(own).sum() - 2 * own @ fitted + np.einsum("kl,lk->", whole, whole))
    return float((own - fitted).sum() ** 2 / total) if total > 0 else float("nan")


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
