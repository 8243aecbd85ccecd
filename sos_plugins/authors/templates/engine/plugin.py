"""Engine new-engine: another way to compute what the estimator ``did`` computes.

A working example to change. It shows that an engine is one function with a declaration of what it
needs, what it cannot do, and how far it may differ from the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins import Engine, Estimate, Sample, Tolerance, hookimpl
from sos_plugins.authors.results import glance, tidy_rows
from sos_plugins.errors import EstimationError

STILL_THE_EXAMPLE = "least squares on dummies, for 'did'"  # take this line out when it is yours
HOST = "did"
TOLERANCE = Tolerance(
    1e-7, 1e-9, "least squares on explicit dummies by singular values, not on centred columns"
)


def limits(sample: Sample, options: Any) -> str | None:  # noqa: ARG001
    """Say what this engine cannot do, or None."""
    if (options.form, options.model, options.vcov) != ("twfe", "linear", "CR2"):
        return "it computes form = 'twfe', model = 'linear', vcov = 'CR2' only."
    return None


def design_matrix(sample: Sample) -> np.ndarray:
    """Return the treatment, an intercept, dummies of units and periods, and covariates."""
    frame = sample.frame
    levels = [c for c in sample.covariates if not pd.api.types.is_numeric_dtype(frame[c])]
    numbers = [c for c in sample.covariates if c not in levels]
    dummies = pd.get_dummies(frame[["unit", "period", *levels]].astype(str), drop_first=True)
    treatment = frame["treated"] * frame["post"]
    ones = np.ones(len(frame))
    return np.column_stack([treatment, ones, dummies.to_numpy(float), frame[numbers]])


def reduced_error(
    x: np.ndarray, direction: np.ndarray, residual: np.ndarray, cluster: np.ndarray
) -> tuple[float, float]:
    """Return the bias-reduced standard error and its degrees of freedom.

    Bell and McCaffrey (2002), Survey Methodology 28(2), by their definition on rows.
    """
    basis, lengths, _ = np.linalg.svd(x, full_matrices=False)
    basis = basis[:, lengths > TOLERANCE.relative * lengths[0]]
    left = np.eye(len(x)) - basis @ basis.T
    scores, reach = [], []
    for name in np.unique(cluster):
        rows = np.flatnonzero(cluster == name)
        values, vectors = np.linalg.eigh(left[np.ix_(rows, rows)])
        told = values > TOLERANCE.relative  # the others are fitted exactly
        power = np.where(told, 1 / np.sqrt(np.where(told, values, 1.0)), 0.0)
        adjusted = vectors @ (power * (vectors.T @ direction[rows]))
        scores.append(adjusted @ residual[rows])
        reach.append(left[:, rows] @ adjusted)
    under_model = np.array(reach) @ np.array(reach).T
    df = np.trace(under_model) ** 2 / np.square(under_model).sum()
    return float(np.linalg.norm(scores)), float(df)


def fit(sample: Sample, options: Any) -> Estimate:
    """Fit by weighted least squares on explicit dummies; variance CR2 by cluster.

    Raises:
        EstimationError: If the effect cannot be told from the dummies, or there is one cluster.
    """
    frame = sample.frame
    if min(frame["cluster"].nunique(), frame["value"].nunique(), frame["treated"].nunique()) < 2:
        raise EstimationError("It needs pilots, comparators, two clusters, and values that differ.")
    root = np.sqrt(frame["weight"].to_numpy(float))
    x = root[:, None] * design_matrix(sample)
    y = root * frame["value"].to_numpy(float)
    others = np.linalg.lstsq(x[:, 1:], x[:, 0], rcond=None)[0]
    treatment = x[:, 0] - x[:, 1:] @ others  # what the other columns leave of the treatment
    square = treatment @ treatment
    if square < TOLERANCE.relative * (x[:, 0] @ x[:, 0]) or square == 0:
        raise EstimationError("The effect cannot be told from units, periods and covariates.")
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    estimate = treatment @ y / square
    std_error, df = reduced_error(x, treatment / square, residual, frame["cluster"].to_numpy())
    facts = glance(
        sample,
        estimand="average treatment effect on the treated",
        vcov="CR2",
        conf_level=options.conf_level,
    )
    warnings = ("Only one unit is treated.",) if facts["n_treated_units"] == 1 else ()
    tidy = tidy_rows(["ATT"], [estimate], [std_error], df=df, conf_level=options.conf_level)
    return Estimate(tidy, facts, warnings=warnings)


ENGINE = Engine(
    name="new-engine",
    fit=fit,
    limits=limits,
    tolerance_estimate=TOLERANCE,
    tolerance_std_error=TOLERANCE,
    packages=("numpy", "pandas"),
)


@hookimpl
def register_engines(register: Callable[[str, Engine], None]) -> None:
    """Offer the engine to the estimator."""
    register(HOST, ENGINE)
