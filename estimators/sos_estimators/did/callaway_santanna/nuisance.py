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
BLOCK = 8192
"""Rows of a logit that are worked on at a time."""
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
    return independent(matrix.T @ matrix)


def independent(moments: FloatArray) -> list[int]:
    """Return the same, given the cross products of the columns; (k, k)."""
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
    deviance, fitted = np.inf, np.empty(len(y))
    for _ in range(MAX_ITERATIONS):
        before = deviance
        deviance, gradient, information = _derivatives(y, design, scaled, coefficients, fitted)
        if not np.linalg.cond(information, 1) < 1 / np.finfo(float).eps:
            raise ComparisonError("the covariates tell treated from comparison cases apart")
        if abs(before - deviance) <= DEVIANCE_CHANGE * (abs(deviance) + 0.1):
            break
        coefficients = coefficients + np.linalg.solve(information, gradient)
    everything = list(range(design.shape[1]))
    return Nuisance(fitted, scaled * (y - fitted), design, information, everything)


def _derivatives(
    y: FloatArray,
    design: FloatArray,
    weight: FloatArray,
    coefficients: FloatArray,
    fitted: FloatArray,
) -> tuple[float, FloatArray, FloatArray]:
    """Return deviance, gradient and information of a logit, and fill ``fitted``.

    Some rows at a time, so that what is made on the way stays in the processor's cache.
    """
    deviance, k = 0.0, design.shape[1]
    gradient, information = np.zeros(k), np.zeros((k, k))
    for start in range(0, len(y), BLOCK):
        rows = slice(start, start + BLOCK)
        x, w = design[rows], weight[rows]
        index = np.clip(x @ coefficients, -30, 30)
        p = 1 / (1 + np.exp(-index))
        fitted[rows] = p
        deviance += 2 * float(w @ (index - np.log(p) - y[rows] * index))
        gradient += x.T @ (w * (y[rows] - p))
        information += x.T @ ((w * p * (1 - p))[:, None] * x)
    return deviance, gradient, information
