"""The engine ``r-matchit``: what goes to ``matching.R`` and what comes back.

Authorities are sent pilots first, then the pool, each in the order of the codes, so that MatchIt,
which breaks ties by row, breaks them by code. Cases are sent in the order of ``CaseData``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sos_matchers.cases.data import CaseData, text_levels, tie_order
from sos_matchers.cases.exact.coarsen import CutNumber
from sos_matchers.cases.exact.sample import ExactData
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.features import Candidates
from sos_matchers.nearest import STEPS, Pairs
from sos_matchers.summaries import Matches
from sos_plugins.r import client as r

SCRIPT = Path(__file__).resolve().parent / "r" / "matching.R"


def units_on_score(given: Candidates, settings: Any) -> Matches:
    """Match authorities on the propensity score; ``settings`` are those of propensity-units."""
    arguments = {
        "penalty": settings.penalty,
        "C": settings.C,
        "scale": settings.distance,
        "std_caliper": settings.std_caliper,
    }
    return _units("match_units_on_score", given, settings, arguments)


def units_on_outcomes(given: Candidates, settings: Any) -> Matches:
    """Match authorities on pre-period outcomes; ``settings`` are those of pre-outcomes-units."""
    return _units("match_units_on_outcomes", given, settings, {"kind": settings.distance})


def _units(function: str, given: Candidates, settings: Any, arguments: dict[str, Any]) -> Matches:
    columns = {"treated": given.treated} | {
        f"x{j}": given.values[:, j] for j in range(len(given.names))
    }
    shared = {
        "ratio": settings.ratio,
        "caliper": settings.caliper,
        "replacement": settings.replacement,
        "order_by": settings.order,
        "steps": STEPS,
    }
    answer = r.call(SCRIPT, function, columns, {**arguments, **shared})
    return Matches(
        pairs_of(answer),
        np.asarray(answer["distance"], dtype=float),
        matchit_version(),
        None if answer.get("score") is None else np.asarray(answer["score"], dtype=float),
    )


def cases_on_score(data: CaseData, settings: Any) -> Pairs:
    """Match cases; ``settings`` are those of propensity-cases."""
    arguments = {
        **_model(settings),
        "scale": settings.distance,
        "ratio": settings.ratio,
        "caliper": settings.caliper,
        "std_caliper": settings.std_caliper,
        "replacement": settings.replacement,
        "order_by": settings.order,
        "steps": STEPS,
    }
    return pairs_of(r.call(SCRIPT, "match_cases", _case_columns(data), arguments))


def relative_odds(data: CaseData, settings: Any) -> np.ndarray:
    """Weight cases; ``settings`` are those of inverse-weights. Relative odds, treated 1."""
    arguments = {**_model(settings), "trim": settings.trim}
    answer = r.call(SCRIPT, "relative_odds", _case_columns(data), arguments)
    return np.asarray(answer["relative"], dtype=float)


def cases_exactly(
    data: ExactData, settings: CoarsenedExactSettings
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Match cases exactly; weights by row, 0 for the unmatched, and the rows that were paired.

    Only rows with a weight go to R, in the order that breaks ties.
    """
    rows = tie_order(data.frame, settings.seed)
    rows = rows[data.present[rows]]
    columns: dict[str, Any] = {
        "treated": data.treated[rows].astype(int),
        "weight": data.weight[rows],
        "occasion": data.occasion[rows],
        "stratum": pd.Categorical(data.stratum[rows].astype(str)),
    }
    cuts: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    for j, covariate in enumerate(data.coarsened):
        values, name = data.frame[covariate.name].iloc[rows], f"x{j}"
        cut = settings.cutpoints.get(covariate.name, settings.coarsening)
        if isinstance(covariate, CutNumber) and cut != "exact":
            columns[name] = values.to_numpy(float, na_value=np.nan)
            cuts[name] = {"points": list(cut)} if isinstance(cut, tuple) else cut
            continue
        columns[name] = text_levels(values.astype(str))
        if grouping := settings.groupings.get(covariate.name):
            groups[name] = {group: list(levels) for group, levels in grouping.items() if levels}
    arguments = {
        "cutpoints": cuts,
        "grouping": groups,
        "composite": settings.weights == "composite",
        "k2k": settings.k2k_distance if settings.k2k else "none",
        "steps": STEPS,
    }
    answer = r.call(SCRIPT, "match_exactly", columns, arguments)
    weight = np.zeros(len(data.treated))
    weight[rows] = np.asarray(answer["weight"], dtype=float)
    if not settings.k2k:
        return weight, None
    pilots, others = (np.atleast_1d(np.asarray(answer[k], dtype=int)) for k in ("pilot", "other"))
    return weight, (rows[pilots - 1], rows[others - 1])


def _model(settings: Any) -> dict[str, Any]:
    return {"penalty": settings.penalty, "C": settings.C, "models": settings.scores}


def _case_columns(data: CaseData) -> dict[str, Any]:
    """Treated, weight and stratum first, then covariates: numbers as such, text as factors."""
    levels = [str(s) for s in range(len(data.strata))]
    columns: dict[str, Any] = {
        "treated": data.treated,
        "weight": data.weight,
        "stratum": pd.Categorical(data.stratum.astype(str), categories=levels),
    }
    for j, name in enumerate(data.covariates.columns):
        values = data.covariates[name]
        number = pd.api.types.is_numeric_dtype(values)
        columns[f"x{j}"] = values.to_numpy(float) if number else text_levels(values)
    return columns


def pairs_of(answer: dict[str, Any]) -> Pairs:
    """Make pairs of R's row numbers, which count from one."""
    treated, control, rank = (
        np.asarray(answer[key], dtype=int).reshape(-1) for key in ("treated", "control", "rank")
    )
    return Pairs(treated - 1, control - 1, rank)


def matchit_version() -> str:
    """Return ``"MatchIt 4.5.1 in R 4.2.2"``, with the versions that are installed."""
    versions = r.versions(["MatchIt"])
    return f"MatchIt {versions['MatchIt']} in R {versions['R']}"


def r_version() -> str:
    """Return ``"R 4.2.2"``, with the version that is installed."""
    return f"R {r.versions([])['R']}"
