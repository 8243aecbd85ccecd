"""Several methods of inference in R: the twin of :mod:`sos_estimators.inference.inference_table`.

``inference.R`` refits every replication and assignment, where Python works on sums by cluster.
Where all sign vectors or assignments are taken, both give the same; else R draws its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.inference.inference_table import (
    CITATIONS,
    COLUMNS,
    Inference,
    Method,
    Options,
    disagreement,
)
from sos_estimators.inference.results import ScoreErrors, drop_zero_errors
from sos_estimators.regression import engine_r
from sos_estimators.regression.design_matrix import regression, treatment
from sos_estimators.sample.prepare import RegressionSample

MOST_REFITS = 50_000_000
"""Cells times draws: about a minute of refits in R with forty columns."""
NUMBERS = ("estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high")


def too_many_refits(prepared: RegressionSample, draws: int) -> str | None:
    """Say so when R would refit for minutes what Python has in a second.

    Args:
        prepared: The sample.
        draws: Replications or assignments.
    """
    frame = prepared.frame
    known = ("unit", "period", "group", "cohort", "treated", "post", "cluster")
    keys = [name for name in known if name in frame]
    cells = len(frame[[*keys, *prepared.covariates]].drop_duplicates())
    if cells * draws <= MOST_REFITS:
        return None
    return (
        f"{draws} refits of {cells} rows are too many for R, so the table of inference is by "
        "engine python alone (fewer draws, or covariates with fewer values, would do)."
    )


def table_in_r(
    prepared: RegressionSample,
    options: Options,
    methods: Sequence[Method],
    *,
    seed: int,
    draws: int,
) -> Inference:
    """Test the effect by several methods in R.

    Args:
        prepared: The sample.
        options: Settings of ``did``; the model is linear.
        methods: Which.
        seed: Of R's draws.
        draws: Replications and assignments, unless fewer are all there are.

    Raises:
        EngineError: If R fails.
    """
    chosen = list(dict.fromkeys(methods))
    answer = engine_r.call(
        "inference.R",
        "did_inference",
        prepared,
        [name for name in ("cohort",) if name in prepared.frame],
        form=options.form,
        methods=chosen,
        conf_level=options.conf_level,
        draws=draws,
        weights=options.wild_weights,
        seed=seed,
    )
    columns = {name: np.atleast_1d(np.asarray(answer[name], float)) for name in NUMBERS}
    table = pd.DataFrame({"method": chosen, **columns})
    table["distribution"] = [_distribution(answer, i, method) for i, method in enumerate(chosen)]
    table["citation"] = [CITATIONS[method] for method in chosen]
    problem = regression(prepared, options.form, ["D"], treatment)
    _, none = drop_zero_errors(
        np.zeros(1), ("ATT",), problem.value, lambda: ScoreErrors.of(problem)
    )
    table = _with_real_errors(table[list(COLUMNS)], none)
    clusters = {
        name: np.atleast_1d(answer[name])
        for name in ("cluster", "estimate_without", "partial_leverage")
    }
    return Inference(
        table=table,
        warnings=(*disagreement(table, 1 - options.conf_level), *none, *engine_r.warnings(answer)),
        clusters=pd.DataFrame(clusters),
        effective_clusters=float(np.ravel(answer["effective_clusters"])[0]),
    )


def _with_real_errors(table: pd.DataFrame, told: tuple[str, ...]) -> pd.DataFrame:
    """Leave missing what rests on a standard error that is zero but for rounding."""
    none = pd.Series(bool(told), table.index) & table["std_error"].notna()
    gone = [name for name in NUMBERS if name != "estimate"]
    return table.assign(
        **{name: table[name].mask(none) for name in gone},
        distribution=table["distribution"].mask(none, ""),
    )


def _distribution(answer: dict[str, Any], i: int, method: str) -> str:
    df, draws = (float(np.atleast_1d(answer[name])[i]) for name in ("df", "draws"))
    if not np.isnan(df):
        return f"t with {df:.4g} degrees of freedom"
    if np.isnan(draws):
        return ""
    what = "assignments" if method.startswith("RI") else "draws"
    every = "all " if np.atleast_1d(answer["complete"])[i] == 1 else ""
    return f"{every}{draws:.0f} {what}"
