"""Engines in R: what they are sent and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.regression.engine_r import FOLDER, MAX_DUMMIES, TIMEOUT
from sos_estimators.sample.prepare import is_category
from sos_estimators.staggered.adjustment import Adjustment
from sos_estimators.staggered.averages import Averages
from sos_estimators.staggered.cohort_cells import Cells
from sos_estimators.staggered.result import Found
from sos_estimators.staggered.saturated import collinear, not_identified
from sos_estimators.staggered.settings import CommonSettings
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EngineError, listing
from sos_plugins.r import client as r


def call(
    script: str,
    function: str,
    cells: Cells,
    options: CommonSettings,
    *,
    leave_out: Sequence[str] = (),
    **arguments: object,
) -> dict[str, Any]:
    """Call a fitting function of an R script on the cells.

    R gets a row for each cell: ``value, weight, n_cases, unit`` (whose effect is taken out),
    ``period, cohort, cluster`` and the covariates. Shared settings are passed on, but for those in
    ``leave_out``.

    Raises:
        EngineError: If R fails.
    """
    table = cells.frame
    columns: dict[str, Any] = {
        "value": cells.value,
        "weight": cells.weight,
        "n_cases": table["n_cases"].to_numpy(),
        "unit": cells.codes("owner") + 1,
        "period": table["period"].to_numpy(),
        "cohort": table["cohort"].to_numpy(),
        "cluster": cells.codes("cluster") + 1,
    }
    for name in cells.covariates:
        columns[name] = _covariate(table[name])
    given = options.model_dump(include={"aggregate", "anticipation", "min_event", "max_event"})
    known = {n: value for n, value in given.items() if value is not None and n not in leave_out}
    return r.call(
        FOLDER / script,
        function,
        columns,
        {**known, "covariates": list(cells.covariates), **arguments},
        timeout=TIMEOUT,
    )


def _covariate(values: pd.Series) -> Any:
    if not is_category(values):
        return values.to_numpy(dtype=float)
    codes, levels = pd.factorize(values.astype(str), sort=True)
    return pd.Categorical.from_codes(codes, categories=pd.Index(levels))


def too_many_dummies(sample: Sample, options: object) -> str | None:  # noqa: ARG001
    """Say so when R would need too many dummy columns."""
    frame = sample.frame
    owner = "id" if sample.is_panel else "unit"
    n = frame[owner].nunique() + frame["period"].nunique()
    if n <= MAX_DUMMIES:
        return None
    return (
        f"the R engine gives every unit and period a dummy column, and these are {n}, more than "
        f"{MAX_DUMMIES}"
    )


def warnings(found: dict[str, Any]) -> list[str]:
    """What R warned of, as sentences."""
    return [f"R warns: {' '.join(sentence.split())}" for sentence in found["warnings"]]


def in_order(found: dict[str, Any], names: Sequence[str], told: Sequence[str] = ()) -> Found:
    """Return what R found in the order of the names.

    Raises:
        EngineError: If R gives other terms.
    """
    place = {name: j for j, name in enumerate(found["term"])}
    if set(place) != set(names):
        raise EngineError(f"R gives the terms {listing(place)}, expected {listing(names)}.")
    order = [place[name] for name in names]
    estimates, std_errors = (
        np.asarray(found[key], dtype=float)[order] for key in ("estimate", "std_error")
    )
    scores = rows(found["scores"], len(place))[:, order] if "scores" in found else None
    if scores is not None:  # free of the rounding of a variance
        std_errors = np.sqrt(np.square(scores).sum(axis=0))
    told = (*told, *warnings(found))
    return Found(tuple(names), estimates, std_errors, scores, told)


def rows(values: Any, n_columns: int) -> Floats:
    """Make a matrix of what R gives row by row."""
    return np.asarray(values, dtype=float).reshape(-1, n_columns)


def averaged(
    found: dict[str, Any],
    cells: Cells,
    averages: Averages,
    adjustment: Adjustment,
    absorb: tuple[str, str],
) -> Found:
    """Return what ``fit_saturated`` of R found.

    Raises:
        EstimationError: If an effect cannot be told from the rest.
    """
    if found["aliased"][0]:
        raise not_identified(list(found["collinear"]))
    dropped = adjustment.dropped(np.atleast_1d(found["kept"]), cells, absorb)
    return in_order(found, averages.names, collinear(dropped))
