"""Categories imputed by a multinomial logit, flags by its case of two levels.

Terms have the prior log-F(1, 1) (Greenland and Mansournia 2015, Statistics in Medicine 34(23)), as
weak as one case with and one without for each: levels that predict a category perfectly have finite
terms. Authorities are drawn towards the share of all cases, other terms towards nought.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import expit

from sos_estimators.arrays import Floats, Ints
from sos_estimators.multiple_imputation.numbers import linear, with_unseen
from sos_estimators.multiple_imputation.predictors import Block, Predictors
from sos_plugins.errors import EstimationError

ENOUGH = 1e-6
"""Newton's decrement at which terms are taken as found: a thousandth of their standard error."""
SLOWER = 0.1
"""A step with an older matrix must take the decrement to this share, else the matrix is renewed."""
MANY = 50_000
"""From so many cases on the curvature of the last round serves the next: what was drawn anew moves
it by less than a hundredth."""
MOST_STEPS = 50
"""Newton's method needs fewer than ten; a step is halved where the posterior falls."""


@dataclass(frozen=True)
class Curvature:
    """Lower Cholesky root of the posterior's curvature, (c k, c k)."""

    root: Floats

    def step(self, gradient: Floats) -> Floats:
        """Return the Newton step of a gradient, (c k,)."""
        return np.asarray(linalg.cho_solve((self.root, True), gradient))


@dataclass(frozen=True)
class Logits:
    """A fitted multinomial logit of c + 1 levels against the first.

    Attributes:
        terms: Authorities, then dense columns, (k, c).
        curvature: Of the posterior there.
        seen: Authorities with an observed level.
    """

    terms: Floats
    curvature: Curvature
    seen: Ints

    def drawn(self, rng: np.random.Generator, predictors: Predictors) -> Floats:
        """Draw the terms from the normal approximation of their posterior, (k, c).

        Args:
            rng: Draws.
            predictors: The model.
        """
        noise = linalg.solve_triangular(
            self.curvature.root, rng.standard_normal(self.terms.size), lower=True, trans="T"
        )
        drawn = self.terms + noise.reshape(self.terms.shape[::-1]).T
        columns = [with_unseen(column, self.seen, predictors, rng) for column in drawn.T]
        return np.column_stack(columns)


@dataclass(frozen=True)
class Problem:
    """The posterior of a multinomial logit.

    Attributes:
        predictors: The model.
        rows: Where the level is observed, rising, (n,).
        codes: The levels there, (n,).
        n_levels: L.
    """

    predictors: Predictors
    rows: Ints
    codes: Ints
    n_levels: int

    @property
    def centres(self) -> Floats:
        """Log odds of each further level among all cases, (L - 1,)."""
        counts = np.bincount(self.codes, minlength=self.n_levels).astype(float)
        return np.asarray(np.log(counts[1:] / counts[0]))

    def start(self) -> Floats:
        """Return terms of no association, (k, L - 1)."""
        terms = np.zeros((self.predictors.n_terms, self.n_levels - 1))
        terms[: self.predictors.layout.n_units] = self.centres
        return terms

    def gradient(self, terms: Floats) -> tuple[float, Floats]:
        """Return the log posterior and its gradient, (c k,), level by level.

        Args:
            terms: (k, c).
        """
        total, gradient = 0.0, np.zeros_like(terms)
        n_units = self.predictors.layout.n_units
        for block, codes, logs in self._blocks(terms):
            total += float(logs[np.arange(len(codes)), codes].sum())
            left = (codes[:, None] == np.arange(1, self.n_levels)) - np.exp(logs[:, 1:])
            gradient[block.units] += block.by_unit(left)
            gradient[n_units:] += block.columns.T @ left
        away = self._away(terms)
        total += float((0.5 * away - np.logaddexp(0, away)).sum())
        return total, (gradient + 0.5 - expit(away)).T.ravel()

    def curvature(self, terms: Floats) -> Curvature:
        """Return the curvature of the log posterior.

        Args:
            terms: (k, c).
        """
        k, c = terms.shape
        whole = np.zeros((c, k, c, k))
        for block, _, logs in self._blocks(terms):
            shares = np.exp(logs[:, 1:])
            for i in range(c):
                for j in range(i + 1):
                    weight = shares[:, i] * ((i == j) - shares[:, j])
                    self._add(whole[i, :, j, :], block, weight)
        matrix = whole.reshape(c * k, c * k)
        matrix = np.tril(matrix) + np.tril(matrix, -1).T
        pull = expit(self._away(terms))
        matrix[np.diag_indices(c * k)] += (pull * (1 - pull)).T.ravel()
        return Curvature(linalg.cholesky(matrix, lower=True))

    def _add(self, products: Floats, block: Block, weight: Floats) -> None:
        """Add the cross products of a block, weighted, to those of two levels, (k, k)."""
        n_units = self.predictors.layout.n_units
        weighted = block.columns * weight[:, None]
        products[block.units, block.units] += block.by_unit(weight)
        sums = block.by_unit(weighted)
        products[block.units, n_units:] += sums
        products[n_units:, block.units] += sums.T
        products[n_units:, n_units:] += block.columns.T @ weighted

    def _away(self, terms: Floats) -> Floats:
        """Return how far terms are from what the prior draws them to, (k, c)."""
        away = terms.copy()
        away[: self.predictors.layout.n_units] -= self.centres
        return away

    def _blocks(self, terms: Floats) -> Iterator[tuple[Block, Ints, Floats]]:
        """Yield blocks with their levels and the log shares of every level, (b, L)."""
        n_units, at = self.predictors.layout.n_units, 0
        for block in self.predictors.blocks(self.rows):
            codes = self.codes[at : at + len(block.rows)]
            at += len(codes)
            yield block, codes, log_shares(block.columns @ terms[n_units:] + terms[block.unit])


def log_shares(logits: Floats) -> Floats:
    """Return log probabilities of all levels, (n, L).

    Args:
        logits: Of the further levels against the first, (n, L - 1).
    """
    whole = np.concatenate([np.zeros((len(logits), 1)), logits], axis=1)
    whole -= whole.max(axis=1, keepdims=True)
    return np.asarray(whole - np.log(np.exp(whole).sum(axis=1, keepdims=True)))


def fitted_logits(problem: Problem, start: Floats, known: Curvature | None = None) -> Logits:
    """Find the mode of the posterior by Newton's method, keeping the matrix while it serves.

    Args:
        problem: The posterior.
        start: Terms to begin with, (k, c).
        known: The curvature of a posterior like this one, to begin with.

    Raises:
        EstimationError: If the mode is not found.
    """
    terms = start
    height, gradient = problem.gradient(terms)
    curvature = known or problem.curvature(terms)
    step = curvature.step(gradient)
    for _ in range(MOST_STEPS):
        before = float(gradient @ step)
        if before <= ENOUGH:
            seen = np.unique(problem.predictors.layout.unit[problem.rows])
            return Logits(terms, curvature, seen)
        terms, height, gradient = _risen(problem, terms, height, step)
        step = curvature.step(gradient)
        if float(gradient @ step) > max(SLOWER * before, ENOUGH):
            curvature = problem.curvature(terms)
            step = curvature.step(gradient)
    raise EstimationError(
        f"The model of a category with {problem.n_levels} levels has no mode after {MOST_STEPS} "
        "steps. Put rare levels together, or leave the covariate out of the imputation."
    )


def _risen(
    problem: Problem, terms: Floats, height: float, step: Floats
) -> tuple[Floats, float, Floats]:
    """Go one step up, half as far until the posterior does not fall."""
    move = step.reshape(terms.shape[::-1]).T
    for halvings in range(MOST_STEPS):
        new = terms + move / 2**halvings
        there, gradient = problem.gradient(new)
        if there >= height - ENOUGH:
            return new, there, gradient
    return terms, height, gradient


def drawn_levels(
    predictors: Predictors, rows: Ints, terms: Floats, rng: np.random.Generator
) -> Ints:
    """Draw levels of rows under the terms of a logit, (m,).

    Args:
        predictors: The model.
        rows: Places of rows, rising, (m,).
        terms: (k, c).
        rng: Draws.
    """
    up_to = np.exp(log_shares(linear(predictors, rows, terms))).cumsum(axis=1)
    return np.asarray((rng.random((len(rows), 1)) > up_to[:, :-1]).sum(axis=1))
