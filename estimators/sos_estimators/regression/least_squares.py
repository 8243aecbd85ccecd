"""Weighted least squares with absorbed effects and cluster-robust variances.

Everything works on cells: rows that are alike in effects, cluster, covariates and treatment are one
row with their summed weight and mean value. Coefficients and cluster-robust variances of the cells
are exactly those of the cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from sos_estimators.arrays import Bools, Floats, Ints

RANK_TOLERANCE = 1e-7
"""A column is collinear when less than this share of its length is left once the columns before it
are taken out: the rule of R's ``lm``, so that both engines leave out the same columns."""


class CollinearTermsError(Exception):
    """What is to be estimated cannot be told from the rest.

    Attributes:
        places: Which of the terms.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self.places = tuple(places)


@dataclass(frozen=True)
class Regression:
    """A regression on m cells.

    Attributes:
        value: Mean value of each cell, (m,).
        weight: Summed weight of each cell, (m,), positive.
        n_cases: Cases behind the cells.
        effects: One or two sets of absorbed effects, each (m,) codes 0, 1, ... without gaps.
        cluster: Cluster of each cell, (m,) codes without gaps.
        covariates: (m, k), in pivot order.
        covariate_names: k names.
        terms: What is estimated, (m, p), after the covariates in pivot order.
        term_names: p names.
        cases: Cases in each cell, (m,); one each if none.
        weight_squares: Sum of the squared weights of each cell's cases, (m,); None: weight squared.
        value_sums: Sum of the values of each cell's cases without weights, (m,); None: the value.
    """

    value: Floats
    weight: Floats
    n_cases: int
    effects: tuple[Ints, ...]
    cluster: Ints
    covariates: Floats
    covariate_names: tuple[str, ...]
    terms: Floats
    term_names: tuple[str, ...]
    cases: Floats | None = None
    weight_squares: Floats | None = None
    value_sums: Floats | None = None

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster.max()) + 1

    def with_terms(self, kept: Bools) -> Regression:
        """Leave the other terms out, (p,).

        Args:
            kept: Which terms stay, (p,).
        """
        if kept.all():
            return self
        names = tuple(name for name, here in zip(self.term_names, kept, strict=True) if here)
        return replace(self, terms=np.asfortranarray(self.terms[:, kept]), term_names=names)


class Absorber:
    """Takes one or two sets of effects out of columns, exactly.

    With two sets the larger one is eliminated and the normal equations of the smaller one are
    solved (a Schur complement); one level of the smaller set in each connected component is the
    base level. No dummy column is ever made.
    """

    def __init__(self, effects: tuple[Ints, ...], weight: Floats) -> None:
        ordered = sorted(effects, key=lambda codes: -int(codes.max()))
        self._weight = weight
        self._first = ordered[0]
        self._second = ordered[1] if len(ordered) > 1 else None
        self._total = np.bincount(self._first, weight)
        self.rank = len(self._total)
        if self._second is not None:
            self._prepare_second(self._second)

    def _prepare_second(self, second: Ints) -> None:
        n_first, n_second = len(self._total), int(second.max()) + 1
        pairs = np.bincount(
            self._first * n_second + second, self._weight, minlength=n_first * n_second
        )
        self._cross = pairs.reshape(n_first, n_second)
        links = scipy.sparse.coo_array(
            (np.ones(len(second)), (self._first, n_first + second)),
            shape=(n_first + n_second, n_first + n_second),
        )
        n_components, component = scipy.sparse.csgraph.connected_components(links, directed=False)
        _, base = np.unique(component[n_first:], return_index=True)
        self._free = np.setdiff1d(np.arange(n_second), base)
        schur = np.diag(self._cross.sum(axis=0)) - self._cross.T @ (
            self._cross / self._total[:, None]
        )
        self._schur = scipy.linalg.cho_factor(schur[np.ix_(self._free, self._free)])
        self.rank = n_first + n_second - n_components

    def residuals(self, columns: Floats) -> Floats:
        """Return what the effects leave of the columns, (m, p).

        The second pass removes the rounding errors of the first.

        Args:
            columns: (m, p).
        """
        left = np.array(columns, order="F")
        for _ in range(2):
            self._take_out(left)
        return left

    def _take_out(self, columns: Floats) -> None:
        weighted = columns * self._weight[:, None]
        first = group_sums(weighted, self._first)
        if self._second is None:
            for column, mean in zip(columns.T, (first / self._total[:, None]).T, strict=True):
                column -= mean[self._first]
            return
        second = group_sums(weighted, self._second)
        right = second - self._cross.T @ (first / self._total[:, None])
        effect = np.zeros_like(second)
        effect[self._free] = scipy.linalg.cho_solve(self._schur, right[self._free])
        other = (first - self._cross @ effect) / self._total[:, None]
        for column, one, two in zip(columns.T, other.T, effect.T, strict=True):
            column -= one[self._first]
            column -= two[self._second]


def side_by_side(columns: Sequence[Floats], n_rows: int) -> Floats:
    """Put columns (m,) or (m, p) beside each other, each contiguous in memory.

    Args:
        columns: Each (m,) or (m, p).
        n_rows: m.
    """
    parts = [c.reshape(n_rows, -1) for c in columns]
    whole = np.empty((n_rows, sum(p.shape[1] for p in parts)), order="F")
    return np.concatenate(parts, axis=1, out=whole) if parts else whole


def group_sums(columns: Floats, codes: Ints) -> Floats:
    """Sum the columns (m, p) by code: (number of codes, p).

    Args:
        columns: (m, p).
        codes: 0, 1, ... without gaps, (m,).
    """
    n = int(codes.max()) + 1
    sums = [np.asarray(np.bincount(codes, column, n), dtype=float) for column in columns.T]
    return side_by_side(sums, n)


def triangle(columns: Floats) -> Floats:
    """Return R of the QR decomposition of columns (m, p), (p, p).

    Args:
        columns: (m, p).
    """
    r = scipy.linalg.qr(columns, mode="r", check_finite=False)[0]
    return np.asarray(r[: columns.shape[1]])


def independent(columns: Floats, lengths: Floats) -> Bools:
    """Find the columns that the columns before them leave something of.

    The triangle of some of the columns is that of these columns of the whole triangle, so that the
    rows are looked at once, however many columns are left out one after the other.

    Args:
        columns: Columns (m, p) with the effects taken out, times the root of the weights.
        lengths: Lengths (p,) of the raw columns, times the root of the weights.
    """
    return independent_triangle(columns, lengths)[0]


def independent_triangle(columns: Floats, lengths: Floats) -> tuple[Bools, Floats]:
    """Find the independent columns as :func:`independent`, and the triangle of these alone.

    Args:
        columns: (m, p), as there.
        lengths: (p,), as there.
    """
    kept = np.ones(columns.shape[1], dtype=bool)
    whole = r = triangle(columns)
    for _ in range(columns.shape[1]):
        left = np.zeros(len(kept))
        size = min(r.shape)
        left[np.flatnonzero(kept)[:size]] = np.abs(np.diag(r))
        gone = np.flatnonzero(kept & (left <= RANK_TOLERANCE * lengths))
        if len(gone) == 0:
            break
        kept[gone[0]] = False
        r = triangle(whole[:, kept])
    return kept, r


@dataclass(frozen=True)
class Counts:
    """What small-sample corrections count.

    Attributes:
        n_cases: Cases.
        n_clusters: Clusters.
        n_parameters: Rank of the regression with all effects as dummies.
        n_parameters_outside: Parameters when effects nested in clusters count as one intercept.
    """

    n_cases: int
    n_clusters: int
    n_parameters: int
    n_parameters_outside: int


@dataclass(frozen=True)
class Fit:
    """A fitted regression.

    Attributes:
        coefficients: Of the terms, (p,).
        influence: What each cluster adds to the coefficients, (G, p): the inverse information
            matrix times the cluster's summed scores.
        counts: For small-sample corrections.
        kept: Which columns, covariates first and then terms, are not collinear, (k + p,).
        columns: The kept columns with the effects taken out, (m, number kept).
        residuals: Of the values, (m,).
        bread: Inverse of the weighted cross products of ``columns``.
    """

    coefficients: Floats
    influence: Floats
    counts: Counts
    kept: Bools
    columns: Floats
    residuals: Floats
    bread: Floats


def absorbed_columns(regression: Regression, absorber: Absorber) -> tuple[Floats, Bools]:
    """Take the effects out of covariates and terms and find which of them are not collinear.

    Args:
        regression: The regression.
        absorber: Takes its effects out.

    Returns:
        All columns with the effects taken out, (m, k + p), and which to keep, (k + p,).

    Raises:
        CollinearTermsError: If a term is collinear with effects, covariates and earlier terms.
    """
    raw = side_by_side([regression.covariates, regression.terms], len(regression.value))
    root = np.sqrt(regression.weight)[:, None]
    columns = absorber.residuals(raw)
    kept = independent(columns * root, np.linalg.norm(raw * root, axis=0))
    places = np.flatnonzero(~kept[len(regression.covariate_names) :])
    if len(places):
        raise CollinearTermsError([int(i) for i in places])
    return columns, kept


def least_squares(regression: Regression) -> Fit:
    """Fit by weighted least squares; a collinear covariate is left out.

    Args:
        regression: The regression.

    Raises:
        CollinearTermsError: If a term is collinear.
    """
    absorber = Absorber(regression.effects, regression.weight)
    columns, kept = absorbed_columns(regression, absorber)
    columns = columns[:, kept]
    value = absorber.residuals(regression.value[:, None])[:, 0]
    bread, beta = solve(columns, value, regression.weight)
    residuals = value - columns @ beta
    scores = group_sums(columns * (regression.weight * residuals)[:, None], regression.cluster)
    p = len(regression.term_names)
    return Fit(
        coefficients=beta[-p:],
        influence=(scores @ bread)[:, -p:],
        counts=count(regression, absorber.rank, kept),
        kept=kept,
        columns=columns,
        residuals=residuals,
        bread=bread,
    )


def solve(
    columns: Floats, value: Floats, weight: Floats, r: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the inverse weighted cross products (k, k) and the coefficients (k,).

    By the corrected seminormal equations (Björck 1987, Linear Algebra and its Applications 88/89),
    which are as exact as a QR decomposition and need no orthogonal columns.

    Args:
        columns: Independent ones, (m, k).
        value: (m,).
        weight: Positive, (m,).
        r: Triangle of the columns times the root of the weight, (k, k), where it is known.
    """
    if r is None:
        r = triangle(columns * np.sqrt(weight)[:, None])
    inverse = scipy.linalg.solve_triangular(r, np.eye(len(r)))
    bread = inverse @ inverse.T
    beta = np.zeros(columns.shape[1])
    for _ in range(2):
        left = weight * (value - columns @ beta)
        beta = beta + inverse @ (inverse.T @ (columns.T @ left))
    return bread, beta


def count(regression: Regression, rank_of_effects: int, kept: Bools) -> Counts:
    """Count what the small-sample corrections need.

    Args:
        regression: The regression.
        rank_of_effects: Of the dummies of its effects.
        kept: Which columns are not collinear, (k + p,).
    """
    outside = [
        int(codes.max()) for codes in regression.effects if not nested(codes, regression.cluster)
    ]
    return Counts(
        n_cases=regression.n_cases,
        n_clusters=regression.n_clusters,
        n_parameters=rank_of_effects + int(kept.sum()),
        n_parameters_outside=int(kept.sum()) + sum(outside) + 1,
    )


def nested(effect: Ints, cluster: Ints) -> bool:
    """Whether every level of an effect lies within one cluster.

    Args:
        effect: Codes, (m,).
        cluster: Codes, (m,).
    """
    pairs = np.unique(effect * (int(cluster.max()) + 1) + cluster)
    return len(pairs) == int(effect.max()) + 1
