"""CR2 whose working model is one variance for every case, whatever its weight.

Without weights it is :mod:`sos_estimators.inference.cr2`; with weights it is what R's
clubSandwich takes for a weighted ``lm``. Of cluster g with rows X_g and weights W_g, the adjustment
matrix A_g is the symmetric root of the inverse of the covariance of its residuals, the block of
(I - H)(I - H)' with H = X B X'W and B = (X'WX)^-1. It is the identity outside the span of X_g and
W_g X_g, so that their cross products without weights, with weights and with squared weights are
enough; no case is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.cluster_products import ClusterProducts, nested_effects
from sos_estimators.inference.cr2 import Cr2, inverse_root, orthonormal
from sos_estimators.regression.least_squares import cross_products, side_by_side


def bias_reduced_by_case(clusters: ClusterProducts, combinations: Floats) -> Cr2:
    """Return CR2 and Satterthwaite's degrees of freedom under errors of one variance a case.

    Bell and McCaffrey (2002), Survey Methodology 28(2), and Pustejovsky and Tipton (2018), Journal
    of Business and Economic Statistics 36(4), on the regression with every effect as a dummy, with
    independent errors of one variance for every case as the working model (as R's clubSandwich
    takes a weighted ``lm``).

    Args:
        clusters: The regression, p terms.
        combinations: Of the terms, one a column, (p, q).

    Returns:
        Covariance and degrees of freedom of the combinations.
    """
    model = _WorkingModel.of(clusters)
    Bc = model.B[:, -clusters.n_terms :] @ combinations
    parts = [_adjust(model, g, Bc) for g in range(clusters.n_clusters)]
    scores = np.array([part.score for part in parts])
    df = [_satterthwaite(model, parts, i) for i in range(Bc.shape[1])]
    return Cr2(covariance=scores.T @ scores, df=np.array(df))


@dataclass(frozen=True)
class _WorkingModel:
    """What the adjustment of every cluster needs; weights are scaled to a mean of 1.

    Attributes:
        B: (X'WX)^-1 of the K columns that are not nested in clusters, (K, K).
        BMB: B X'WWX B, the covariance of their coefficients under the model, (K, K).
        rows: Places of the cells of each cluster.
        columns: X, (m, K).
        effects: Codes of the nested effects.
        measures: Cases, weight and squared weight of each cell, (m, 3).
        e: Sum of residuals and sum of weighted residuals of each cell, (m, 2).
    """

    B: Floats
    BMB: Floats
    rows: tuple[Ints, ...]
    columns: Floats
    effects: tuple[Ints, ...]
    measures: Floats
    e: Floats

    @classmethod
    def of(cls, clusters: ClusterProducts) -> _WorkingModel:
        problem = clusters.regression
        cases = np.ones(len(problem.value)) if problem.cases is None else problem.cases
        sums = problem.value if problem.value_sums is None else problem.value_sums
        unit = problem.weight.sum() / cases.sum()
        weight = problem.weight / unit
        squares = weight**2 if problem.weight_squares is None else problem.weight_squares / unit**2
        fitted = problem.value - clusters.residuals
        B = clusters.bread * unit
        M = cross_products(clusters.columns, squares)
        order = np.argsort(problem.cluster, kind="stable")
        return cls(
            B=B,
            BMB=B @ M @ B,
            rows=tuple(np.split(order, np.cumsum(np.bincount(problem.cluster))[:-1])),
            columns=clusters.columns,
            effects=nested_effects(problem),
            measures=np.column_stack([cases, weight, squares]),
            e=np.column_stack([sums - cases * fitted, weight * clusters.residuals]),
        )


@dataclass(frozen=True)
class _Part:
    """One cluster's share in CR2, for q combinations c.

    F are the dummies of effects nested in the cluster, R its other columns; a = A_g W_g X_g B c.

    Attributes:
        score: a'e with e the residuals, (q,).
        Ra: R'a, (K, q).
        RWa: R'Wa, (K, q).
        RWWFa: R'WWF (F'WF)^-1 F'a, (K, q).
        aa: a'a, and what F alone adds to the variance of the score, (q,).
    """

    score: Floats
    Ra: Floats
    RWa: Floats
    RWWFa: Floats
    aa: Floats


def _adjust(model: _WorkingModel, g: int, Bc: Floats) -> _Part:
    rows = model.rows[g]
    active = np.flatnonzero(np.abs(model.columns[rows]).max(axis=0) > 0)
    F = [_dummies(codes[rows]) for codes in model.effects]
    X = side_by_side([*F, model.columns[np.ix_(rows, active)]], len(rows))
    k, f = X.shape[1], X.shape[1] - len(active)
    XX, XWX, XWWX = (X.T @ (X * measure[:, None]) for measure in model.measures[rows].T)
    inverse_FWF = scipy.linalg.pinvh(XWX[:f, :f]) if f else np.empty((0, 0))
    RWWF = XWWX[f:, :f] @ inverse_FWF
    UN, V = orthonormal(np.block([[XX, XWX], [XWX, XWWX]]))  # of U = [X, WX]
    C = _off_identity(model, active, inverse_FWF, XWWX[:f, :f], RWWF)
    A = inverse_root(np.eye(UN.shape[1]) + UN.T @ C @ UN)
    a = A @ (UN[k + f :].T @ Bc[active])
    Ua = UN @ a
    Ue = (X.T @ model.e[rows]).T.ravel()
    Fa = inverse_FWF @ Ua[:f]
    aa = np.square(a).sum(axis=0)
    aa += np.einsum("fq,fq->q", Fa, XWWX[:f, :f] @ Fa - 2 * Ua[k : k + f])
    whole = np.zeros((3, len(model.B), Bc.shape[1]))
    whole[:, active] = Ua[f:k], Ua[k + f :], RWWF @ Ua[:f]
    return _Part(a.T @ (V.T @ Ue), whole[0], whole[1], whole[2], aa)


def _dummies(codes: Ints) -> Floats:
    levels, numbered = np.unique(codes, return_inverse=True)
    return np.eye(len(levels))[numbered]


def _off_identity(
    model: _WorkingModel, active: Ints, inverse_FWF: Floats, FWWF: Floats, RWWF: Floats
) -> Floats:
    """Return C of (I - H)(I - H)' = I + U C U' with U = [X, WX] of one cluster."""
    B = model.B[np.ix_(active, active)]
    across = B @ RWWF
    XMX = np.block(
        [
            [inverse_FWF @ FWWF @ inverse_FWF, across.T],
            [across, model.BMB[np.ix_(active, active)]],
        ]
    )
    whole = scipy.linalg.block_diag(inverse_FWF, B)
    return np.block([[XMX, -whole], [-whole, np.zeros_like(whole)]])


def _satterthwaite(model: _WorkingModel, parts: list[_Part], i: int) -> float:
    """Return (trace P)^2 / trace PP, with P the covariance of the scores under the model."""
    Ra = np.array([part.Ra[:, i] for part in parts])
    RWa = np.array([part.RWa[:, i] for part in parts])
    RWWFa = np.array([part.RWWFa[:, i] for part in parts])
    once = (RWWFa - RWa) @ model.B @ Ra.T
    P = once + once.T + Ra @ model.BMB @ Ra.T
    P[np.diag_indices(len(parts))] += [part.aa[i] for part in parts]
    return float(np.trace(P) ** 2 / np.square(P).sum())
