"""CR2 whose working model is one variance for every case, whatever its weight.

Without weights it is :mod:`sos_estimators.inference.cr2`; with weights it is what R's
clubSandwich takes for a weighted ``lm``. Of cluster g with rows X_g and weights W_g, the adjustment
matrix A_g is the symmetric root of the inverse of the covariance of its residuals, the block of
(I - H)(I - H)' with H = X B X'W and B = (X'WX)^-1. It is the identity outside the span of X_g and
W_g X_g, so that their cross products without weights, with weights and with squared weights are
enough; no case is looked at again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from sos_estimators.arrays import Floats, Ints
from sos_estimators.inference.cluster_products import SINGULAR, ClusterProducts, nested_effects
from sos_estimators.inference.cr2 import Cr2, inverse_root
from sos_estimators.regression.least_squares import cross_products


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
    parts = [_adjust(model, rows, Bc) for rows in model.clusters]
    scores = np.array([part.score for part in parts])
    df = [_satterthwaite(model, parts, i) for i in range(Bc.shape[1])]
    return Cr2(covariance=scores.T @ scores, df=np.array(df))


@dataclass(frozen=True)
class _WorkingModel:
    """What the adjustment of every cluster needs; weights are scaled to a mean of 1.

    The cells of a cluster are beside each other.

    Attributes:
        B: (X'WX)^-1 of the K columns that are not nested in clusters, (K, K).
        BMB: B X'WWX B, the covariance of their coefficients under the model, (K, K).
        clusters: Places of the cells of each cluster.
        columns: X, (m, K).
        effects: Codes of the nested effects, (m,) each.
        measures: Cases, weight and squared weight of each cell, (3, m).
        e: Sum of residuals and sum of weighted residuals of each cell, (2, m).
    """

    B: Floats
    BMB: Floats
    clusters: tuple[slice, ...]
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
        ends = np.cumsum(np.bincount(problem.cluster))
        e = np.stack([sums - cases * fitted, weight * clusters.residuals])
        return cls(
            B=B,
            BMB=B @ M @ B,
            clusters=tuple(itertools.starmap(slice, itertools.pairwise([0, *ends]))),
            columns=clusters.columns[order],
            effects=tuple(codes[order] for codes in nested_effects(problem)),
            measures=np.stack([cases, weight, squares])[:, order],
            e=e[:, order],
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


def _adjust(model: _WorkingModel, rows: slice, Bc: Floats) -> _Part:
    active = np.flatnonzero(model.columns[rows].any(axis=0))
    X = np.hstack([*_dummies(model.effects, rows), model.columns[rows, active]])
    k, f = X.shape[1], X.shape[1] - len(active)
    XX, XWX, XWWX = (X.T * model.measures[:, None, rows]) @ X
    inverse_FWF = _inverse(XWX[:f, :f], len(model.effects))
    RWWF = XWWX[f:, :f] @ inverse_FWF
    Ue = (model.e[:, rows] @ X).ravel()
    UN, Ne = _orthonormal(np.block([[XX, XWX], [XWX, XWWX]]), Ue)  # of U = [X, WX]
    C = _off_identity(model, active, inverse_FWF, XWWX[:f, :f], RWWF)
    A = inverse_root(np.eye(UN.shape[1]) + UN.T @ C @ UN)
    a = A @ (UN[k + f :].T @ Bc[active])
    Ua = UN @ a
    Fa = inverse_FWF @ Ua[:f]
    aa = np.square(a).sum(axis=0)
    aa += (Fa * (XWWX[:f, :f] @ Fa - 2 * Ua[k : k + f])).sum(axis=0)
    whole = np.zeros((3, len(model.B), Bc.shape[1]))
    whole[:, active] = Ua[f:k], Ua[k + f :], RWWF @ Ua[:f]
    return _Part(Ne @ a, whole[0], whole[1], whole[2], aa)


def _dummies(effects: Sequence[Ints], rows: slice) -> Iterator[Floats]:
    for codes in effects:
        yield (codes[rows, None] == np.unique(codes[rows])).astype(float)


def _inverse(FWF: Floats, n_effects: int) -> Floats:
    """Return the pseudoinverse of the cross products of dummies of effects."""
    if n_effects == 1:
        return np.diag(1 / np.diag(FWF))
    return np.asarray(np.linalg.pinv(FWF, hermitian=True))


def _orthonormal(UU: Floats, Ue: Floats) -> tuple[Floats, Floats]:
    """Return U'N and N'e with N an orthonormal basis of the span of U, given U'U and U'e.

    By Cholesky's decomposition with pivots, which stops at the rank r of U: for one matrix at a
    time it is quicker than eigenvectors, by which ``orthonormal`` of CR2 takes many together.

    Args:
        UU: U'U, with a positive diagonal, (k, k).
        Ue: U'e, (k,).

    Returns:
        Two arrays, (k, r) and (r,).
    """
    scale = np.sqrt(np.diag(UU))
    R, pivots, r, _ = scipy.linalg.lapack.dpstrf(UU / scale / scale[:, None], tol=SINGULAR)
    order, R = pivots - 1, np.triu(R[:r])
    UN = np.empty((len(UU), r))
    UN[order] = R.T
    Ne = scipy.linalg.lapack.dtrtrs(R[:, :r], (Ue / scale)[order[:r]], trans=1)[0]
    return UN * scale[:, None], Ne


def _off_identity(
    model: _WorkingModel, active: Ints, inverse_FWF: Floats, FWWF: Floats, RWWF: Floats
) -> Floats:
    """Return C of (I - H)(I - H)' = I + U C U' with U = [X, WX] of one cluster."""
    square = active[:, None], active
    f, k = len(inverse_FWF), len(inverse_FWF) + len(active)
    C = np.zeros((2 * k, 2 * k))
    C[:f, :f] = inverse_FWF @ FWWF @ inverse_FWF
    C[f:k, :f] = model.B[square] @ RWWF
    C[:f, f:k] = C[f:k, :f].T
    C[f:k, f:k] = model.BMB[square]
    C[k : k + f, :f] = C[:f, k : k + f] = -inverse_FWF
    C[k + f :, f:k] = C[f:k, k + f :] = -model.B[square]
    return C


def _satterthwaite(model: _WorkingModel, parts: list[_Part], i: int) -> float:
    """Return (trace P)^2 / trace PP, with P the covariance of the scores under the model."""
    Ra = np.array([part.Ra[:, i] for part in parts])
    RWa = np.array([part.RWa[:, i] for part in parts])
    RWWFa = np.array([part.RWWFa[:, i] for part in parts])
    once = (RWWFa - RWa) @ model.B @ Ra.T
    P = once + once.T + Ra @ model.BMB @ Ra.T
    P[np.diag_indices(len(parts))] += [part.aa[i] for part in parts]
    return float(np.trace(P) ** 2 / np.square(P).sum())
