"""Numbers imputed by predictive mean matching on a Bayesian linear regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from sos_estimators.arrays import Floats, Ints
from sos_estimators.multiple_imputation.predictors import Predictors, unseen_replaced

RIDGE = 1e-5
"""Share of each sum of squares added to it, so that collinear terms have a solution (van Buuren
2018, Flexible Imputation of Missing Data, algorithm 3.1)."""


@dataclass(frozen=True)
class Line:
    """A linear regression: what its terms are estimated as, and what a draw of them needs.

    Attributes:
        terms: Authorities, then dense columns, (k,).
        root: Lower Cholesky root of the cross products, (k, k).
        residual_squares: Sum of squared residuals.
        df: Rows less terms, at least 1.
        seen: Authorities with an observed value.
    """

    terms: Floats
    root: Floats
    residual_squares: float
    df: int
    seen: Ints

    def drawn(self, rng: np.random.Generator, predictors: Predictors) -> Floats:
        """Draw the terms from their posterior under a flat prior.

        Args:
            rng: Draws.
            predictors: The model.
        """
        sigma = np.sqrt(self.residual_squares / rng.chisquare(self.df))
        noise = linalg.solve_triangular(
            self.root, rng.standard_normal(len(self.terms)), lower=True, trans="T"
        )
        return with_unseen(self.terms + sigma * noise, self.seen, predictors, rng)


def with_unseen(
    terms: Floats, seen: Ints, predictors: Predictors, rng: np.random.Generator
) -> Floats:
    """Return terms with those of authorities that nothing was observed of drawn from the others'.

    Args:
        terms: Authorities, then dense columns, (k,).
        seen: Authorities with an observed value.
        predictors: The model.
        rng: Draws.
    """
    n_units = predictors.layout.n_units
    own = unseen_replaced(terms[:n_units], seen, rng)
    return np.concatenate([own, terms[n_units:]])


def fitted_line(predictors: Predictors, rows: Ints, values: Floats) -> Line:
    """Regress observed values on the terms of a model.

    Args:
        predictors: The model.
        rows: Where they are observed, rising, (n,).
        values: The values there, (n,).
    """
    n_units, n_terms = predictors.layout.n_units, predictors.n_terms
    products, moments, at = np.zeros((n_terms, n_terms)), np.zeros(n_terms), 0
    for block in predictors.blocks(rows):
        y, X = values[at : at + len(block.rows)], block.columns
        at += len(y)
        counts = np.diff(np.r_[block.starts, len(y)])
        products[block.units, block.units] += counts
        products[block.units, n_units:] += block.by_unit(X)
        products[n_units:, n_units:] += X.T @ X
        moments[block.units] += block.by_unit(y)
        moments[n_units:] += X.T @ y
    products[n_units:, :n_units] = products[:n_units, n_units:].T
    seen = np.flatnonzero(products.diagonal()[:n_units])
    diagonal = products.diagonal()
    products[np.diag_indices(n_terms)] += np.where(diagonal > 0, RIDGE * diagonal, 1.0)
    root = linalg.cholesky(products, lower=True)
    terms = linalg.cho_solve((root, True), moments)
    left = values - linear(predictors, rows, terms)
    return Line(terms, root, float(left @ left), max(len(rows) - n_terms, 1), seen)


def linear(predictors: Predictors, rows: Ints, terms: Floats) -> Floats:
    """Return the linear predictor of rows.

    Args:
        predictors: The model.
        rows: Places of rows, rising, (n,).
        terms: Authorities, then dense columns, (k,) or (k, c).

    Returns:
        Of shape (n,) or (n, c).
    """
    n_units = predictors.layout.n_units
    parts = [b.columns @ terms[n_units:] + terms[b.unit] for b in predictors.blocks(rows)]
    return np.concatenate(parts)


def matched_means(observed: Floats, wanted: Floats, donors: int, rng: np.random.Generator) -> Ints:
    """Choose for each wanted mean one of the observed rows whose means are nearest.

    Little (1988), Journal of Business and Economic Statistics 6(3); van Buuren (2018), algorithm
    3.3, with matching of type 1.

    Args:
        observed: Predicted means of rows with a value, (n,).
        wanted: Of those without, (m,).
        donors: From how many of the nearest one is drawn.
        rng: Draws.

    Returns:
        Places among the observed, (m,).
    """
    order = np.argsort(observed, kind="stable")
    means = observed[order]
    donors = min(donors, len(means))
    first = np.searchsorted(means, wanted) - donors
    window = first[:, None] + np.arange(2 * donors)
    far = np.abs(means[np.clip(window, 0, len(means) - 1)] - wanted[:, None])
    far[(window < 0) | (window >= len(means))] = np.inf
    nearest = np.argpartition(far, donors - 1, axis=1)[:, :donors]
    chosen = nearest[np.arange(len(wanted)), rng.integers(0, donors, len(wanted))]
    return np.asarray(order[window[np.arange(len(wanted)), chosen]])
