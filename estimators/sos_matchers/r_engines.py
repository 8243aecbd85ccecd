"""The engine ``r-matchit``: what goes to ``matching.R`` and what comes back.

Authorities are sent pilots first, then the pool, each in the order of the codes, so that MatchIt,
which breaks ties by row, breaks them by code. Cases are sent in the order of ``CaseData``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from sos_plugins import Engine, Requirement
from sos_plugins.contract.interfaces import R_BASE, no_limits
from sos_plugins.r import client as r

R_MATCHIT = Requirement("r", "MatchIt", "Debian: sudo apt-get install r-cran-matchit")
SCRIPT = Path(__file__).resolve().parent / "r" / "matching.R"


def matchit_engine(
    fit: Callable[[Any, Any], Any], limits: Callable[[Any, Any], str | None] = no_limits
) -> Engine:
    """Return the engine ``r-matchit`` of a matcher.

    Args:
        fit: What matches, as of :class:`~sos_plugins.Engine`.
        limits: What says that it cannot do what is asked.
    """
    return Engine(
        "r-matchit", fit, requires=(R_BASE, R_MATCHIT), limits=limits, packages=("MatchIt",)
    )


def units_on_score(given: Candidates, settings: Any, forbidden: np.ndarray) -> Matches:
    """Match authorities on the propensity score; ``settings`` are those of propensity-units.

    ``forbidden`` says of pairs (pilots, pool) whether calipers of single features part them.
    """
    arguments = {
        "penalty": settings.penalty,
        "C": settings.C,
        "scale": settings.distance,
        "std_caliper": settings.std_caliper,
    }
    return _units("match_units_on_score", given, given.values, settings, forbidden, arguments)


def units_on_outcomes(given: Candidates, settings: Any, forbidden: np.ndarray) -> Matches:
    """Match authorities on pre-period outcomes; ``settings`` are those of pre-outcomes-units."""
    arguments = {"kind": settings.distance}
    return _units("match_units_on_outcomes", given, given.values, settings, forbidden, arguments)


def units_on_mix(
    given: Candidates,
    parts: Mapping[str, Candidates | np.ndarray],
    weights: Mapping[str, float],
    settings: Any,
    forbidden: np.ndarray,
) -> Matches:
    """Match authorities on a mix of distances; ``settings`` are those of mixed-units.

    Args:
        given: Pilots and pool.
        parts: By name the candidates of each part, or its array (pilots, pool) of distances.
        weights: What each part counts.
        settings: The settings.
        forbidden: Array (pilots, pool), whether calipers of single features part a pair.
    """
    measured = {name: part for name, part in parts.items() if isinstance(part, Candidates)}
    values = [part.values for part in measured.values()]
    widths = [value.shape[1] for value in values]
    ready = [name for name in parts if name not in measured]
    arguments = {
        "kind": settings.distance,
        "part": np.repeat(np.arange(len(values)) + 1, widths) if values else None,
        "weights": np.array([weights[name] for name in [*measured, *ready]], dtype=float),
        "ready": np.asarray(parts[ready[0]], dtype=float).ravel("F") if ready else None,
    }
    columns = np.column_stack(values) if values else np.zeros((len(given.units), 0))
    return _units("match_units_on_mix", given, columns, settings, forbidden, arguments)


def _units(
    function: str,
    given: Candidates,
    values: np.ndarray,
    settings: Any,
    forbidden: np.ndarray,
    arguments: dict[str, Any],
) -> Matches:
    columns = {"treated": given.treated} | {f"x{j}": column for j, column in enumerate(values.T)}
    shared = {
        "ratio": settings.ratio,
        "caliper": settings.caliper,
        "replacement": settings.replacement,
        "order_by": settings.order,
        "forbidden": forbidden.ravel("F") if forbidden.any() else None,
        "steps": STEPS,
    }
    answer = r.call(SCRIPT, function, columns, {**arguments, **shared})
    return Matches(
        pairs_of(answer),
        np.asarray(answer["distance"], dtype=float),
        matchit_version(),
        None if answer.get("score") is None else np.asarray(answer["score"], dtype=float),
    )


def cases_on_score(data: CaseData, settings: Any) -> tuple[Pairs, np.ndarray]:
    """Match cases; ``settings`` are those of propensity-cases. Pairs, and the logits of scores."""
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
    answer = r.call(SCRIPT, "match_cases", _case_columns(data), arguments)
    return pairs_of(answer), np.asarray(answer["logit"], dtype=float)


def relative_odds(data: CaseData, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight cases; ``settings`` are those of inverse-weights. Relative odds, and logits."""
    arguments = {**_model(settings), "trim": settings.trim}
    answer = r.call(SCRIPT, "relative_odds", _case_columns(data), arguments)
    return np.asarray(answer["relative"], float), np.asarray(answer["logit"], float)


def overlap_scores(data: CaseData, settings: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """Score cases, trim them and score those that are left; settings of overlap-weights.

    Returns:
        The bound of scores; whether each row is within it; the logits, missing for rows that are
        left out, be it with their stratum.
    """
    arguments = {**_model(settings), "trim": settings.trim}
    answer = r.call(SCRIPT, "overlap_scores", _case_columns(data), arguments)
    kept = np.asarray(answer["kept"], dtype=bool)
    return float(np.ravel(answer["bound"])[0]), kept, np.asarray(answer["logit"], dtype=float)


def entropy_weights(data: CaseData, settings: Any) -> tuple[np.ndarray, float]:
    """Balance cases; ``settings`` are those of entropy-balancing.

    Returns:
        Relative weights, treated 1; and the largest difference of means that they leave.
    """
    arguments = {
        "highest": settings.moments,
        "interactions": settings.interactions,
        "balance": settings.balance,
    }
    answer = r.call(SCRIPT, "entropy_weights", _case_columns(data), arguments)
    return np.asarray(answer["relative"], dtype=float), float(np.ravel(answer["largest"])[0])


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
