"""Regressions and propensities that a comparison rests on, and what their estimation adds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NEGLIGIBLE = 1e-10
"""A column is a combination of others when this share of its sum of squares or less is its own."""
OFF_SPAN = 1e-6
"""How far, in standard deviations, a row may be from what the fitted rows span."""
MAX_ITERATIONS = 100
DEVIANCE_CHANGE = 1e-12
"""Newton steps of the logit end when the deviance changes by less than this share."""


class ComparisonError(Exception):
    """A comparison cannot be made; the text says why, as the end of a sentence."""


@dataclass(frozen=True)
class Nuisance:
    """A fitted regression or propensity.

    Attributes:
        fitted: Prediction for every row; (n,).
        residual: Weighted residual, zero outside the rows it was fitted on; (n,).
        design: Columns that have a coefficient; (n, k).
        information: Negative second derivative of the criterion; (k, k).
        kept: Where these columns stand in the full design; (k,).
    """

    fitted: FloatArray
    residual: FloatArray
    design: FloatArray
    information: FloatArray
    kept: list[int]

    def along(self, direction: FloatArray) -> FloatArray:
        """Return each row's contribution to the error of ``direction @ coefficients``; (n,)."""
        return self.residual * (
            self.design @ np.linalg.solve(self.information, direction[self.kept])
        )


def independent_columns(matrix: FloatArray) -> list[int]:
    """Return the columns that are no combination of the columns before them."""
    moments = matrix.T @ matrix
    own = np.diag(moments).copy()
    kept: list[int] = []
    for j in range(len(own)):
        with_kept = moments[kept, j]
        explained = with_kept @ np.linalg.solve(moments[np.ix_(kept, kept)], with_kept)
        if own[j] - explained > NEGLIGIBLE * own[j]:
            kept.append(j)
    return kept


def least_squares(
    y: FloatArray, design: FloatArray, weight: FloatArray, needed: BoolArray
) -> Nuisance:
    """Fit weighted least squares on the rows of positive weight.

    Columns that do not vary on their own among these rows get no coefficient.

    Args:
        y: (n,).
        design: (n, k).
        weight: (n,).
        needed: Rows whose prediction is used; (n,).

    Raises:
        ComparisonError: If a needed row is no combination of the fitted ones.
    """
    own = design[weight > 0]
    kept = independent_columns(own)
    if len(kept) < design.shape[1]:
        combination = np.linalg.lstsq(own[:, kept], own, rcond=None)[0]
        if np.abs(design[needed][:, kept] @ combination - design[needed]).max() > OFF_SPAN:
            raise ComparisonError(
                "a regression would have to predict for covariates (such as a level) that "
                "none of its own cases has"
            )
    basis = design[:, kept]
    information = basis.T @ (weight[:, None] * basis)
    fitted = basis @ np.linalg.solve(information, basis.T @ (weight * y))
    return Nuisance(fitted, weight * (y - fitted), basis, information, kept)


def logit(outcome: BoolArray, design: FloatArray, weight: FloatArray) -> Nuisance:
    """Fit a weighted logit by Newton's method.

    Args:
        outcome: (n,).
        design: Independent columns, the first of ones; (n, k).
        weight: (n,).

    Raises:
        ComparisonError: If the classes separate so far that the information matrix is singular.
    """
    scaled = weight / weight.mean()
    y = outcome.astype(float)
    share = float(np.average(y, weights=scaled))
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(share / (1 - share))
    deviance = np.inf
    for _ in range(MAX_ITERATIONS):
        index = np.clip(design @ coefficients, -30, 30)
        fitted = 1 / (1 + np.exp(-index))
        information = design.T @ ((scaled * fitted * (1 - fitted))[:, None] * design)
        before, deviance = deviance, 2 * float(scaled @ (np.logaddexp(0, index) - y * index))
        if not np.linalg.cond(information, 1) < 1 / np.finfo(float).eps:
            raise ComparisonError("the covariates tell treated from comparison cases apart")
        if abs(before - deviance) <= DEVIANCE_CHANGE * (abs(deviance) + 0.1):
            break
        step = np.linalg.solve(information, design.T @ (scaled * (y - fitted)))
        coefficients = coefficients + step
    everything = list(range(design.shape[1]))
    return Nuisance(fitted, scaled * (y - fitted), design, information, everything)
