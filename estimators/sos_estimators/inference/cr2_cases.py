"""CR2 whose working model is one variance for every case, whatever its weight.

Without weights it is :mod:`sos_estimators.inference.cr2`; with weights it is what R's
clubSandwich takes for a weighted ``lm``. The adjustment matrix of a cluster is then the identity
outside the span of the cluster's columns and of its weighted columns, so that their cross products
without weights, with weights and with squared weights are enough; no case is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.cluster_products import ClusterProducts, nested_effects
from sos_estimators.inference.cr2 import Cr2, inverse_root, roots
from sos_estimators.regression.least_squares import side_by_side


def bias_reduced_by_case(clusters: ClusterProducts, combinations: Floats) -> Cr2:
    """Compute CR2 with Satterthwaite degrees of freedom under errors of one variance a case.

    Bell and McCaffrey (2002), Survey Methodology 28(2), and Pustejovsky and Tipton (2018), Journal
    of Business and Economic Statistics 36(4), on the regression with every effect as a dummy, with
    independent errors of one variance for every case as the working model (as R's clubSandwich
    takes a weighted ``lm``).

    Args:
        clusters: The regression.
        combinations: Of the terms, (p, q).
    """
    work = _Working.of(clusters)
    contrasts = work.bread[:, -clusters.n_terms :] @ combinations
    parts = [_adjusted(work, g, contrasts) for g in range(clusters.n_clusters)]
    scores = np.array([part.score for part in parts])
    df = [_satterthwaite(work, parts, i) for i in range(contrasts.shape[1])]
    return Cr2(covariance=scores.T @ scores, df=np.array(df))


@dataclass(frozen=True)
class _Working:
    """What the adjustment of every cluster needs; weights are scaled to a mean of 1.

    Attributes:
        bread: (K, K), of the columns that are not nested in clusters.
        spread: Bread times cross products with squared weights times bread, (K, K).
        rows: Places of the cells of each cluster.
        columns: (m, K).
        effects: Ints of the nested effects.
        measures: Cases, weight and squared weight of each cell, (m, 3).
        left: Sum of residuals and sum of weighted residuals of each cell, (m, 2).
    """

    bread: Floats
    spread: Floats
    rows: tuple[Ints, ...]
    columns: Floats
    effects: tuple[Ints, ...]
    measures: Floats
    left: Floats

    @classmethod
    def of(cls, clusters: ClusterProducts) -> _Working:
        problem = clusters.regression
        cases = np.ones(len(problem.value)) if problem.cases is None else problem.cases
        sums = problem.value if problem.value_sums is None else problem.value_sums
        unit = problem.weight.sum() / cases.sum()
        weight = problem.weight / unit
        squares = weight**2 if problem.weight_squares is None else problem.weight_squares / unit**2
        fitted = problem.value - clusters.residuals
        bread = clusters.bread * unit
        inner = clusters.columns.T @ (clusters.columns * squares[:, None])
        order = np.argsort(problem.cluster, kind="stable")
        return cls(
            bread=bread,
            spread=bread @ inner @ bread,
            rows=tuple(np.split(order, np.cumsum(np.bincount(problem.cluster))[:-1])),
            columns=clusters.columns,
            effects=nested_effects(problem),
            measures=np.column_stack([cases, weight, squares]),
            left=np.column_stack([sums - cases * fitted, weight * clusters.residuals]),
        )


@dataclass(frozen=True)
class _Part:
    """One cluster's share in CR2, for q combinations.

    a is the adjusted vector of the cluster's cases, W their weights, F the dummies of effects
    nested in the cluster and R its other columns.

    Attributes:
        score: a'e with e the residuals, (q,).
        plain: R'a, (K, q).
        weighted: R'Wa, (K, q).
        carried: R'WWF (F'WF)^-1 F'a, (K, q).
        own: What the cluster alone adds to the variance of its score, (q,).
    """

    score: Floats
    plain: Floats
    weighted: Floats
    carried: Floats
    own: Floats


def _adjusted(work: _Working, g: int, contrasts: Floats) -> _Part:
    rows = work.rows[g]
    active = np.flatnonzero(np.abs(work.columns[rows]).max(axis=0) > 0)
    dummies = [_dummies(codes[rows]) for codes in work.effects]
    x = side_by_side([*dummies, work.columns[np.ix_(rows, active)]], len(rows))
    k, f = x.shape[1], x.shape[1] - len(active)
    plain, weighted, squared = (x.T @ (x * measure[:, None]) for measure in work.measures[rows].T)
    inner = linalg.pinvh(weighted[:f, :f]) if f else np.empty((0, 0))
    carry = squared[f:, :f] @ inner
    half, other = roots(np.block([[plain, weighted], [weighted, squared]]))
    middle = _middle(work, active, inner, squared[:f, :f], carry)
    power = inverse_root(np.eye(half.shape[1]) + half.T @ middle @ half)
    vector = power @ (half[k + f :].T @ contrasts[active])
    reach = half @ vector
    errors = (x.T @ work.left[rows]).T.ravel()
    onto = inner @ reach[:f]
    own = np.square(vector).sum(axis=0)
    own += np.einsum("fq,fq->q", onto, squared[:f, :f] @ onto - 2 * reach[k : k + f])
    full = np.zeros((3, len(work.bread), contrasts.shape[1]))
    full[:, active] = reach[f:k], reach[k + f :], carry @ reach[:f]
    return _Part(vector.T @ (other.T @ errors), full[0], full[1], full[2], own)


def _dummies(codes: Ints) -> Floats:
    levels, numbered = np.unique(codes, return_inverse=True)
    return np.eye(len(levels))[numbered]


def _middle(work: _Working, active: Ints, inner: Floats, squared: Floats, carry: Floats) -> Floats:
    """Return C of (I - H)(I - H)' = I + U C U', with U the columns beside the weighted columns."""
    bread = work.bread[np.ix_(active, active)]
    across = bread @ carry
    spread = np.block(
        [[inner @ squared @ inner, across.T], [across, work.spread[np.ix_(active, active)]]]
    )
    whole = linalg.block_diag(inner, bread)
    return np.block([[spread, -whole], [-whole, np.zeros_like(whole)]])


def _satterthwaite(work: _Working, parts: list[_Part], i: int) -> float:
    """Return (trace P)^2 / trace PP, with P the covariance of the scores under the model."""
    plain = np.array([part.plain[:, i] for part in parts])
    weighted = np.array([part.weighted[:, i] for part in parts])
    carried = np.array([part.carried[:, i] for part in parts])
    once = (carried - weighted) @ work.bread @ plain.T
    p = once + once.T + plain @ work.spread @ plain.T
    p[np.diag_indices(len(parts))] += [part.own[i] for part in parts]
    return float(np.trace(p) ** 2 / np.square(p).sum())
