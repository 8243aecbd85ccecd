"""Regressions and propensities that a comparison rests on, and what their estimation adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sos_estimators.arrays import Bools, Floats

NEGLIGIBLE = 1e-10
"""A column is a combination of others when this share of its sum of squares or less is its own."""
OFF_SPAN = 1e-6
"""How far, in standard deviations, a row may be from what the fitted rows span."""
MAX_ITERATIONS = 100
BLOCK = 8192
"""Rows of a logit that are worked on at a time."""
DEVIANCE_CHANGE = 1e-12
"""A Newton step of the logit is halved while it raises the deviance by more than this share."""
HALVINGS = 30
CONVERGED = 1e-10
"""Newton steps end when no row's weighted fitted value changes by more; they square the error."""
SPENT, PERFECT = 1e-9, 1e-5
"""A row is fitted perfectly whose weighted variance and distance from its outcome are below these.
Rows that the covariates separate come there by a factor of about e a step."""
WELL_CONDITIONED = 1e6
"""Condition number up to which the normal equations give a Newton step."""


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

    fitted: Floats
    residual: Floats
    design: Floats
    information: Floats
    kept: Sequence[int]

    def along(self, direction: Floats) -> Floats:
        """Return each row's contribution to the error of ``direction @ coefficients``; (n,).

        Args:
            direction: In the space of the coefficients; (k,).
        """
        return self.residual * (
            self.design @ np.linalg.solve(self.information, direction[self.kept])
        )

    def solved(self, directions: Floats) -> Floats:
        """Divide directions (k, m) by the information; zero where there is no coefficient.

        Args:
            directions: In the space of the coefficients; (k, m).
        """
        solved = np.zeros_like(directions)
        solved[self.kept] = np.linalg.solve(self.information, directions[self.kept])
        return solved


def independent_columns(matrix: Floats) -> list[int]:
    """Return the columns that are no combination of the columns before them.

    Args:
        matrix: (n, k).
    """
    return independent(matrix.T @ matrix)


def independent(moments: Floats) -> list[int]:
    """Return the same, given the cross products of the columns; (k, k).

    Args:
        moments: Cross products of the columns; (k, k).
    """
    own = np.diag(moments).copy()
    kept: list[int] = []
    for j in range(len(own)):
        with_kept = moments[kept, j]
        explained = with_kept @ np.linalg.solve(moments[np.ix_(kept, kept)], with_kept)
        if own[j] - explained > NEGLIGIBLE * own[j]:
            kept.append(j)
    return kept


def least_squares(y: Floats, design: Floats, weight: Floats, needed: Bools) -> Nuisance:
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


def logit(outcome: Bools, design: Floats, weight: Floats) -> Nuisance:
    """Fit a weighted logit by Newton steps that are halved until the deviance falls.

    Where covariates separate some rows from the others, the likelihood has no maximum and the
    fitted values of these rows tend to their outcomes. Near them (:data:`SPENT`) rows of outcome 0
    get the fitted value 0 and no part in the fit, which is the limit; columns that do not vary
    among the rest get no coefficient.

    Args:
        outcome: (n,).
        design: Independent columns, the first of ones; (n, k).
        weight: (n,).

    Raises:
        ComparisonError: If a row of outcome 1 is predicted perfectly, or steps do not end.
    """
    scaled = weight / weight.mean()
    y = outcome.astype(float)
    share = float(np.average(y, weights=scaled))
    index = np.full(len(y), np.log(share / (1 - share)))
    at = _likelihood(y, design, scaled, index)
    for _ in range(MAX_ITERATIONS):
        move = design @ _newton_step(at, y, design, scaled)
        index, at, largest = _moved(at, y, design, scaled, index, move)
        if largest <= CONVERGED:
            break
    else:
        raise ComparisonError("the logit of being treated does not converge")
    distance = np.where(outcome, 1 - at.fitted, at.fitted)
    perfect = (distance < PERFECT) & (scaled * distance < SPENT)
    if (perfect & outcome).any():
        raise ComparisonError("the covariates tell treated from comparison cases apart")
    fitted = np.where(perfect, 0.0, at.fitted)
    information = at.information
    if perfect.any():
        information = design.T @ ((scaled * fitted * (1 - fitted))[:, None] * design)
    kept = independent(information)
    basis = design if len(kept) == design.shape[1] else design[:, kept]
    return Nuisance(fitted, scaled * (y - fitted), basis, information[np.ix_(kept, kept)], kept)


@dataclass(frozen=True)
class _Likelihood:
    """A logit at given coefficients: deviance, fitted values (n,), derivatives (k,) and (k, k)."""

    deviance: float
    fitted: Floats
    gradient: Floats
    information: Floats


def _newton_step(at: _Likelihood, y: Floats, design: Floats, weight: Floats) -> Floats:
    """Return the change of the coefficients; (k,)."""
    if np.linalg.cond(at.information, 1) < WELL_CONDITIONED:
        return np.asarray(np.linalg.solve(at.information, at.gradient))
    root = np.sqrt(weight * at.fitted * (1 - at.fitted))
    there = root > 0
    target = (weight * (y - at.fitted))[there] / root[there]
    step = np.linalg.lstsq(design[there] * root[there, None], target, rcond=None)[0]
    return np.asarray(step)


def _moved(
    at: _Likelihood,
    y: Floats,
    design: Floats,
    weight: Floats,
    index: Floats,
    move: Floats,
) -> tuple[Floats, _Likelihood, float]:
    """Take a step, halved while it leads uphill; return the largest change of a fitted value."""
    allowed = at.deviance + DEVIANCE_CHANGE * (at.deviance + 0.1)
    for _ in range(HALVINGS):
        new = _likelihood(y, design, weight, index + move)
        if new.deviance <= allowed:
            break
        move = move / 2
    else:
        return index, at, 0.0
    changed = weight * new.fitted * (1 - new.fitted) * np.abs(move)
    return index + move, new, float(changed.max())


def _likelihood(y: Floats, design: Floats, weight: Floats, index: Floats) -> _Likelihood:
    """Evaluate a logit, some rows at a time, so that what is made stays in the cache."""
    deviance, k = 0.0, design.shape[1]
    gradient, information = np.zeros(k), np.zeros((k, k))
    fitted = expit(index)
    for start in range(0, len(y), BLOCK):
        rows = slice(start, start + BLOCK)
        x, w, p = design[rows], weight[rows], fitted[rows]
        towards = np.where(y[rows] == 1, index[rows], -index[rows])
        deviance += 2 * float(w @ np.logaddexp(0.0, -towards))
        gradient += x.T @ (w * (y[rows] - p))
        information += x.T @ ((w * p * (1 - p))[:, None] * x)
    return _Likelihood(deviance, fitted, gradient, information)
