"""Engines in R: what they are sent and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sos_estimators.regression.engine_r import FOLDER, MAX_DUMMIES, TIMEOUT, covariate
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.settings import CommonSettings
from sos_plugins.cells.compression import counts
from sos_plugins.contract.types import Sample
from sos_plugins.r import client as r


def call(
    script: str,
    function: str,
    cells: CohortCells,
    options: CommonSettings,
    *,
    leave_out: Sequence[str] = (),
    **arguments: object,
) -> dict[str, Any]:
    """Call a fitting function of an R script on the cells.

    R gets a row for each cell: ``value, weight, n_cases, unit`` (whose effect is taken out),
    ``period, cohort, cluster`` and the covariates. Shared settings are passed on, but for those in
    ``leave_out``.

    Args:
        script: Name of a file in the folder of R scripts.
        function: Name of the function.
        cells: The cells, m of them.
        options: Settings.
        leave_out: Shared settings that the function does not take.
        arguments: Further arguments of the function.

    Raises:
        EngineError: If R fails.
    """
    table = cells.frame
    columns: dict[str, Any] = {
        "value": cells.value,
        "weight": cells.weight,
        "n_cases": counts(table),
        "unit": cells.codes("owner") + 1,
        "period": table["period"].to_numpy(),
        "cohort": table["cohort"].to_numpy(),
        "cluster": cells.codes("cluster") + 1,
    }
    columns |= {name: covariate(table[name]) for name in cells.covariates}
    given = options.model_dump(include={"aggregate", "anticipation", "min_event", "max_event"})
    if options.errors == "own-effects":
        given["own_effects"] = True
    known = {n: value for n, value in given.items() if value is not None and n not in leave_out}
    return r.call(
        FOLDER / script,
        function,
        columns,
        {**known, "covariates": list(cells.covariates), **arguments},
        timeout=TIMEOUT,
    )


def too_many_dummies(sample: Sample, options: object) -> str | None:  # noqa: ARG001
    """Say so when R would need too many dummy columns.

    Args:
        sample: The cases.
        options: Not used.
    """
    frame = sample.frame
    owner = "id" if sample.is_panel else "unit"
    n = frame[owner].nunique() + frame["period"].nunique()
    if n <= MAX_DUMMIES:
        return None
    return (
        f"the R engine gives every unit and period a dummy column, and these are {n}, more than "
        f"{MAX_DUMMIES}"
    )
