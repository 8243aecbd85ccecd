"""AHT: a joint test of several coefficients with the bias-reduced variance CR2.

Hotelling's T squared is referred to with degrees of freedom that match the total variance of the
CR2 matrix under the working model (``HTZ`` in R's clubSandwich).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from sos_estimators.did.bias_reduced import _adjusted, _Part, _Working
from sos_estimators.did.clusters import SINGULAR, Clusters
from sos_estimators.did.least_squares import Floats
from sos_plugins.errors import EstimationError


@dataclass(frozen=True)
class JointTest:
    """An F test: statistic (T squared scaled), degrees of freedom q and eta - q + 1, p value.

    Statistic and p value are missing (nan) where eta - q + 1 is not above zero: there are too few
    clusters behind the restrictions for any test of this kind.

    A single treated cluster that the model fits exactly gives no such sign: the test then rejects
    far too often, so use it with two treated clusters or more.
    """

    statistic: float
    df_num: int
    df_den: float
    p_value: float


def approximate_hotelling(clusters: Clusters, restrictions: Floats) -> JointTest:
    """Test that combinations of the terms are all zero.

    Pustejovsky and Tipton (2018), Journal of Business and Economic Statistics 36(4): with D the
    CR2 covariance of the combinations, scaled to a mean of I under the working model (independent
    errors of one variance for every case), eta = q (q + 1) / (summed variances of the entries of
    D), and F = (eta - q + 1) / (eta q) T squared. With q = 1 it is the square of the t test with
    Satterthwaite's degrees of freedom.

    Args:
        clusters: The regression, p terms.
        restrictions: Combinations of the terms, one a row, (q, p).

    Raises:
        EstimationError: If the CR2 covariance of the restrictions, or its mean under the model, is
            singular.
    """
    q = len(restrictions)
    work = _Working.of(clusters)
    pairs = [restrictions[s] + restrictions[t] for s, t in combinations(range(q), 2)]
    contrasts = work.bread[:, -clusters.n_terms :] @ np.array([*restrictions, *pairs]).T
    parts = [_adjusted(work, g, contrasts) for g in range(clusters.n_clusters)]
    scores = np.array([part.score[:q] for part in parts])
    estimates = restrictions @ clusters.terms
    eta = _eta(_covariances(work, parts, q))
    t_squared = float(np.square(_inverse_half(scores.T @ scores) @ estimates).sum())
    df = eta - q + 1
    statistic = df / (eta * q) * t_squared if df > 0 else float("nan")
    return JointTest(statistic, q, df, float(stats.f.sf(statistic, q, df)))


def _covariances(work: _Working, parts: list[_Part], q: int) -> Floats:
    """Return the covariances of the scores under the working model, (q, G, q, G)."""
    g = len(parts)
    plain, weighted, carried = (
        np.array([getattr(part, name)[:, :q].T for part in parts]).swapaxes(0, 1).reshape(q * g, -1)
        for name in ("plain", "weighted", "carried")
    )
    once = (carried - weighted) @ work.bread @ plain.T
    out = (once + once.T + plain @ work.spread @ plain.T).reshape(q, g, q, g)
    each = np.arange(g)
    own = np.array([part.own for part in parts])
    for s in range(q):
        out[s, each, s, each] += own[:, s]
    for i, (s, t) in enumerate(combinations(range(q), 2)):
        both = (own[:, q + i] - own[:, s] - own[:, t]) / 2
        out[s, each, t, each] += both
        out[t, each, s, each] += both
    return np.asarray(out)


def _eta(covariances: Floats) -> float:
    """Return the degrees of freedom that match the total variance, of (q, G, q, G)."""
    q = len(covariances)
    root = _inverse_half(np.einsum("sgtg->st", covariances))
    p = np.einsum("as,sgth,bt->agbh", root, covariances, root, optimize=True)
    alone = np.einsum("agah->gh", p)
    total = np.square(alone).sum() + np.einsum("agbh,bgah->", p, p)
    return float(q * (q + 1) / total)


def _inverse_half(covariance: Floats) -> Floats:
    """Return A with A'A the inverse of a covariance of the restrictions, (q, q)."""
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    if not values[0] > SINGULAR:
        raise EstimationError(
            f"The joint test of {len(scale)} restrictions cannot be computed: their CR2 covariance "
            "is singular. Test fewer restrictions, none of them implied by the others."
        )
    return np.asarray((vectors / np.sqrt(values)).T / scale)
