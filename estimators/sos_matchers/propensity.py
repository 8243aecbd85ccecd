"""Propensity scores by logistic regression (scikit-learn), and when they do not exist.

Rosenbaum and Rubin (1983) define the propensity score; the ridge penalty keeps its estimate finite
where few pilots are told apart from the pool by several features.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import qr
from scipy.optimize import linprog
from scipy.special import expit

from sos_plugins.errors import EstimationError

Penalty = Literal["ridge", "none"]

SOLVER_TOLERANCE = 1e-12
"""Largest gradient of the mean log loss at which the solver stops: scores are then good to more
than the eight decimals at which distances are compared."""

MAX_ITERATIONS = 100
"""Newton steps; a fit that exists needs about ten."""

CONVERGED = 1e-9
"""Largest gradient of a fit that is taken, whatever the solver says of its last step."""

PLAUSIBLE_LOGIT = 12.0
"""A fitted logit beyond this (odds of 160,000) is checked for separation."""

RANK_TOLERANCE = 1e-9
"""A column with less than this share of the largest pivot is a combination of the others."""

SEPARATION_TOLERANCE = 1e-5
"""The linear programme's optimum is zero when nothing separates, up to its feasibility tolerance of
1e-7 a row (rows are scaled to one), and of the order of one otherwise."""


@dataclass(frozen=True)
class Scores:
    """Fitted propensity scores.

    Attributes:
        logit: Array (rows,), the linear predictor.
        probability: Array (rows,), the score itself.
    """

    logit: np.ndarray
    probability: np.ndarray

    @classmethod
    def of(cls, logit: np.ndarray) -> Scores:
        """Make scores of logits."""
        return cls(logit, expit(logit))

    def on(self, scale: Literal["logit", "probability"]) -> np.ndarray:
        """Return the scores on the scale of the distance."""
        return self.logit if scale == "logit" else self.probability


def fit_scores(
    design: np.ndarray,
    treated: np.ndarray,
    *,
    penalty: Penalty,
    C: float,
    weights: np.ndarray | None = None,
    what: str = "authorities",
) -> Scores:
    """Fit a logistic regression of ``treated`` on ``design``.

    With the ridge penalty it minimises ``|b|^2 / 2 + C * (sum of weight * log loss)``, the
    intercept unpenalised.

    Args:
        design: Array (rows, columns) without an intercept.
        treated: Array (rows,) of 0 and 1.
        penalty: ``"ridge"`` or ``"none"`` (maximum likelihood).
        C: Inverse strength of the ridge penalty.
        weights: Array (rows,) of case weights, or None.
        what: What the rows are, for messages.

    Raises:
        EstimationError: If, without a penalty, the columns separate the treated from the others,
            so that no maximum likelihood estimate exists, or if the solver does not converge.
    """
    if penalty == "none":
        design, C = design[:, independent_columns(design)], np.inf
    weight = np.ones(len(treated)) if weights is None else weights
    from sklearn.linear_model import LogisticRegression  # a second to import: only when asked for

    model = LogisticRegression(
        C=C, solver="newton-cholesky", tol=SOLVER_TOLERANCE, max_iter=MAX_ITERATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is judged by the gradient
        model.fit(design, treated, sample_weight=weight)
    scores = Scores.of(np.asarray(model.decision_function(design), dtype=float))
    residual = weight * (scores.probability - treated)
    gradient = np.append(design.T @ residual + model.coef_[0] / C, residual.sum())
    converged = bool(np.abs(gradient).max() <= CONVERGED * weight.sum())
    suspicious = not converged or np.abs(scores.logit).max() > PLAUSIBLE_LOGIT
    if penalty == "none" and suspicious and separated(design, treated):
        raise EstimationError(separation_message(what))
    if not converged:
        raise EstimationError(
            f"The logistic regression for the propensity score of {what} did not converge. Use a "
            "stronger penalty (penalty = 'ridge', a smaller C) or fewer features."
        )
    return scores


def separation_message(what: str) -> str:
    """Say that the treated are separated from the others, and what to do."""
    return (
        f"The features separate the pilots' {what} from the others (perfectly or nearly so), and "
        "an unpenalised propensity score then does not exist. Set penalty = 'ridge' (with C, its "
        "inverse strength), or use fewer features."
    )


def independent_columns(design: np.ndarray) -> np.ndarray:
    """Return the positions of columns that, with an intercept, are linearly independent."""
    centred = design - design.mean(axis=0)
    if not centred.size:
        return np.arange(design.shape[1])
    r, order = qr(centred, mode="r", pivoting=True)
    pivots = np.abs(np.diag(r))
    if not pivots.size or pivots[0] == 0:
        return np.arange(0)
    return np.sort(order[: len(pivots)][pivots > RANK_TOLERANCE * pivots[0]])


def separated(design: np.ndarray, treated: np.ndarray) -> bool:
    """Whether a direction exists along which no row is on the wrong side (Konis 2007).

    True for complete and for quasi-complete separation: exactly when the maximum likelihood
    estimate does not exist (Albert and Anderson 1984). ``design`` has independent columns.
    """
    sign = np.where(treated == 1, 1.0, -1.0)
    signed = np.unique(sign[:, None] * np.column_stack([np.ones(len(design)), design]), axis=0)
    scale = np.abs(signed).max(axis=0)
    signed = signed / np.where(scale > 0, scale, 1.0)
    optimum = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(signed)), bounds=(-1, 1))
    return bool(optimum.status == 0 and -optimum.fun > SEPARATION_TOLERANCE)
