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
BLOCK = 4096
"""Rows of a block: with a hundred columns about three megabytes, what a processor's cache holds."""


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
        self.take_out(left)
        return left

    def take_out(self, columns: Floats) -> None:
        """Take the effects out of columns in place, as :meth:`residuals`.

        Args:
            columns: (m, p).
        """
        for _ in range(2):
            self._take_out(columns)

    def _take_out(self, columns: Floats) -> None:
        first = group_sums(columns, self._first, self._weight)
        if self._second is None:
            for column, mean in zip(columns.T, (first / self._total[:, None]).T, strict=True):
                column -= mean[self._first]
            return
        second = group_sums(columns, self._second, self._weight)
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


def group_sums(columns: Floats, codes: Ints, weight: Floats | None = None) -> Floats:
    """Sum the columns (m, p) by code: (number of codes, p).

    Args:
        columns: (m, p).
        codes: 0, 1, ... without gaps, (m,).
        weight: What rows are multiplied by, (m,); 1 each by default.
    """
    n = int(codes.max()) + 1
    times = columns.T if weight is None else (column * weight for column in columns.T)
    sums = [np.asarray(np.bincount(codes, column, n), dtype=float) for column in times]
    return side_by_side(sums, n)


def cross_products(columns: Floats, weight: Floats) -> Floats:
    """Return the weighted cross products of columns (m, p), (p, p), without a copy of them.

    Args:
        columns: (m, p).
        weight: (m,).
    """
    blocks = (slice(start, start + BLOCK) for start in range(0, len(columns), BLOCK))
    made = np.zeros((columns.shape[1], columns.shape[1]))
    for rows in blocks:
        made += columns[rows].T @ (columns[rows] * weight[rows, None])
    return made


def triangle(columns: Floats, weight: Floats | None = None) -> Floats:
    """Return R of the QR decomposition of columns times the root of the weights, (p, p).

    Of many rows in blocks, and then of the triangles of the blocks (Demmel, Grigori, Hoemmen and
    Langou 2012, SIAM Journal on Scientific Computing 34(1)): a block stays in the processor's cache
    and columns that are zero in all of it, such as effects of other groups, cost nothing.

    Args:
        columns: (m, p).
        weight: (m,); 1 each by default.
    """
    m, p = columns.shape
    size = max(BLOCK, 2 * p)
    starts = range(0, m, size)
    if len(starts) > 1:
        rows = (slice(start, start + size) for start in starts)
        parts = [_block_triangle(columns[r], None if weight is None else weight[r]) for r in rows]
        return triangle(np.concatenate(parts))
    rooted = columns if weight is None else columns * np.sqrt(weight)[:, None]
    return np.asarray(scipy.linalg.qr(rooted, mode="r", check_finite=False)[0][:p])


def _block_triangle(columns: Floats, weight: Floats | None) -> Floats:
    used = columns.any(axis=0)
    r = triangle(columns[:, used], weight) if used.any() else np.empty((0, 0))
    whole = np.zeros((len(r), columns.shape[1]))
    whole[:, used] = r
    return whole


def lengths(columns: Floats, weight: Floats) -> Floats:
    """Return the lengths of columns times the root of the weights, (p,).

    Args:
        columns: (m, p).
        weight: (m,).
    """
    return np.sqrt([weight @ np.square(column) for column in columns.T])


def independent(columns: Floats, length: Floats, weight: Floats) -> Bools:
    """Find the columns that the columns before them leave something of.

    The triangle of some of the columns is that of these columns of the whole triangle, so that the
    rows are looked at once, however many columns are left out one after the other.

    Args:
        columns: Columns (m, p) with the effects taken out.
        length: Lengths (p,) of the raw columns, as :func:`lengths`.
        weight: (m,).
    """
    return independent_triangle(columns, length, weight)[0]


def independent_triangle(columns: Floats, length: Floats, weight: Floats) -> tuple[Bools, Floats]:
    """Find the independent columns as :func:`independent`, and the triangle of these alone.

    Args:
        columns: (m, p), as there.
        length: (p,), as there.
        weight: (m,).
    """
    kept = np.ones(columns.shape[1], dtype=bool)
    whole = r = triangle(columns, weight)
    for _ in range(columns.shape[1]):
        left = np.zeros(len(kept))
        size = min(r.shape)
        left[np.flatnonzero(kept)[:size]] = np.abs(np.diag(r))
        gone = np.flatnonzero(kept & (left <= RANK_TOLERANCE * length))
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
    columns = side_by_side([regression.covariates, regression.terms], len(regression.value))
    length = lengths(columns, regression.weight)
    absorber.take_out(columns)
    kept = independent(columns, length, regression.weight)
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
    scores = group_sums(columns, regression.cluster, regression.weight * residuals)
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
        r = triangle(columns, weight)
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
