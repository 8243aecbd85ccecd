"""Chained equations in R: ``chained_equations.R``, on the package mice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.multiple_imputation.layout import GAP, Category, Layout, Number, Variable
from sos_estimators.multiple_imputation.sentence import sentence_of
from sos_estimators.multiple_imputation.settings import ChainedEquationsSettings
from sos_estimators.multiple_imputation.told import warnings_of
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_plugins import ImputationTask, Imputed
from sos_plugins.r import client as r

MOST_SEEDS = 2**31 - 1
"""R's seeds are integers below this."""


def fit(task: ImputationTask, settings: ChainedEquationsSettings) -> Imputed:
    """Impute by mice.

    Args:
        task: Cases with gaps in their covariates.
        settings: The settings.

    Raises:
        DataError: If all values of a covariate are missing.
        EngineError: If R fails.
    """
    layout = Layout.of(task)
    sentence, told = sentence_of(layout, settings), warnings_of(layout)
    if not layout.targets:
        return Imputed({}, settings.sets, sentence, told)
    names = {name: f"x{j}" for j, name in enumerate(layout.variables, 1)}
    answer = r.call(
        FOLDER / "chained_equations.R",
        "impute",
        _columns(layout, names),
        {
            "covariates": list(names.values()),
            "levels": [_n_levels(variable) for variable in layout.variables.values()],
            "sets": settings.sets,
            "iterations": 1 if len(layout.targets) == 1 else settings.iterations,
            "donors": settings.donors,
            "seed": task.seed % MOST_SEEDS,
        },
        timeout=TIMEOUT,
    )
    values = {
        name: _frame(layout, name, answer["values"][names[name]], settings.sets)
        for name in layout.targets
    }
    warnings = (*told, *map(str, np.atleast_1d(answer["warnings"])))
    return Imputed(values, settings.sets, sentence, warnings)


def _columns(layout: Layout, names: dict[str, str]) -> dict[str, Any]:
    places: dict[str, Any] = {"unit": layout.unit, "period": layout.period.codes}
    covariates = {names[name]: _numbers(v) for name, v in layout.variables.items()}
    return {**places, **layout.marks, **covariates}


def _numbers(variable: Variable) -> np.ndarray:
    if isinstance(variable, Number):
        return variable.values
    return np.where(variable.codes == GAP, np.nan, variable.codes + 1.0)


def _n_levels(variable: Variable) -> int:
    return len(variable.levels) if isinstance(variable, Category) else 0


def _frame(layout: Layout, name: str, drawn: Any, n_sets: int) -> pd.DataFrame:
    variable = layout.variables[name]
    columns: Any = np.asarray(drawn, dtype=float).reshape(n_sets, -1).T
    if isinstance(variable, Category):
        columns = np.array(variable.levels, dtype=object)[columns.astype(int) - 1]
    places = pd.Index(layout.order[variable.gaps])
    return pd.DataFrame(columns, index=places).sort_index()
