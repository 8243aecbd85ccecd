"""The function ``did2s`` of the Python package pyfixest."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.regression import engine_pyfixest
from sos_estimators.regression.design import Fitted
from sos_estimators.staggered.averages import Averages, Effects
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.first_stage import first_stage
from sos_estimators.staggered.plugin import Fit
from sos_plugins import Engine, Sample, Tolerance
from sos_plugins.errors import DataError, EstimationError

ALTERNATING = Tolerance(
    1e-4, 1e-5, "did2s of pyfixest finds unit and period effects by iteration, to six digits"
)
MAX_ENTRIES = 50_000_000
"""pyfixest makes a dense matrix of a dummy for every unit and period; beyond this many entries it
takes gigabytes."""


def engine(
    fit: Fit, prepare: Callable[[Sample, Any], tuple[CohortCells, Effects, Averages]]
) -> Engine:
    """Declare the engine of an estimator that prepares its sample so.

    Args:
        fit: Fits.
        prepare: Gives cells, effects and averages of a sample.
    """

    def limits(sample: Sample, options: Any) -> str | None:
        if options.control != "notyettreated":
            return "did2s of pyfixest compares with all cases that are not treated yet"
        try:
            cells = prepare(sample, options)[0]
        except (DataError, EstimationError):
            return None  # the fit says why
        return _beyond(cells)

    return engine_pyfixest.engine(fit, limits, ALTERNATING)


def _beyond(cells: CohortCells) -> str | None:
    """Say what pyfixest cannot do with these cells."""
    rows, owner, period = len(cells.frame), cells.codes("owner"), cells.codes("period")
    n_dummies = int(owner.max()) + int(period.max()) + 2
    if rows * n_dummies > MAX_ENTRIES:
        return f"pyfixest would need a matrix of {rows} rows and {n_dummies} dummies in memory"
    for codes in (owner, period):
        if (np.bincount(codes, ~cells.treated) == 1).any():
            return "pyfixest leaves out units and periods with a single row of untreated cases"
    return None


def two_stage(cells: CohortCells, effects: Effects, averages: Averages) -> Fitted:
    """Estimate averages as coefficients of their indicators in a second stage.

    The overall effect has a second stage of its own: its indicator overlaps with the others.
    Standard errors are without small-sample correction.

    Args:
        cells: The cells, m of them.
        effects: Effects by cohort and period.
        averages: The J averages of effects.
    """
    indicators = averages.cell_weights(effects, cells) > 0
    estimates, errors = [], []
    for columns in (indicators[:, :1], indicators[:, 1:]):
        if columns.shape[1]:
            fitted = _did2s(cells, columns.astype(float))
            with np.errstate(divide="ignore", invalid="ignore"):  # its t values, of errors of 0
                estimates.append(fitted.coef().to_numpy())
            errors.append(np.sqrt(np.diag(fitted._vcov)))
    return Fitted(
        averages.names,
        np.concatenate(estimates),
        np.concatenate(errors),
        cells.n_clusters - 1.0,
        iterated=True,
    )


def _did2s(cells: CohortCells, indicators: Floats) -> Any:
    import pyfixest

    owner, period = engine_pyfixest.names_of_effects(2)
    names = [f"indicator_{j}" for j in range(indicators.shape[1])]
    made, of_columns = cells.covariate_columns()
    made = made[:, ~np.isin(of_columns, first_stage(cells).dropped)]
    covariates = [f"covariate_{j}" for j in range(made.shape[1])]
    table = pd.DataFrame(
        {
            "value": cells.value,
            "weight": cells.weight,
            owner: cells.codes("owner"),
            period: cells.codes("period"),
            "cluster": cells.codes("cluster"),
            "affected": cells.treated,
            **dict(zip(names, indicators.T, strict=True)),
            **dict(zip(covariates, made.T, strict=True)),
        }
    )
    try:
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
            warnings.simplefilter("ignore")
            return pyfixest.did2s(
                table,
                yname="value",
                first_stage=f"~ {' + '.join(covariates) or '0'} | {owner} + {period}",
                second_stage=f"~ {' + '.join(names)}",
                treatment="affected",
                cluster="cluster",
                weights="weight",
            )
    except Exception as error:
        raise engine_pyfixest.failed(error) from error
