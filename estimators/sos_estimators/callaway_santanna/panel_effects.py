"""Group-time effects of a balanced panel, from its moments where these do, else from its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sos_estimators.arrays import Floats
from sos_estimators.callaway_santanna.group_time import GroupTime
from sos_estimators.callaway_santanna.moments import (
    Moments,
    moments,
    scores_of_moments,
    suits,
)
from sos_estimators.callaway_santanna.nuisance import ComparisonError
from sos_estimators.callaway_santanna.panel import Panel, compact
from sos_estimators.callaway_santanna.panel_comparisons import (
    RowsNeededError,
    Sums,
    fit_propensity,
    keys,
    refuse_no_overlap,
    solve,
)
from sos_estimators.callaway_santanna.preparation import Plan
from sos_estimators.callaway_santanna.scoring import Fitted, scores_of_units
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_plugins.contract.types import Sample


@dataclass(frozen=True)
class PanelEffects:
    """Effects, and what a reader must know."""

    effects: GroupTime
    plan: Plan


def panel_effects(sample: Sample, options: CallawaySantAnnaSettings) -> PanelEffects | None:
    """Estimate the effects of a balanced panel; None where only rows will do.

    Raises:
        EstimationError: If no effect can be estimated; the sentence says why.
    """
    panel = compact(sample, options)
    if panel is None:
        return None
    try:
        return PanelEffects(_estimate(panel, options), panel.plan)
    except RowsNeededError:
        return None


def _estimate(panel: Panel, options: CallawaySantAnnaSettings) -> GroupTime:
    products = panel.by_unit and not options.needs_draws
    alone = panel.design.shape[2] == 1
    chosen = options.model_copy(update={"method": "reg"}) if alone else options
    wanted = keys(panel, options)
    found: Moments | None = None
    by_draws = panel.by_unit and options.needs_draws
    if chosen.method == "reg" and not by_draws and suits(panel, by_unit=products):
        found = moments(panel, wanted, by_unit=products)
    sums = Sums.of(panel, wanted) if found is None else found.sums
    fitted: list[Fitted] = []
    missing: dict[int, str] = {}
    for key in wanted:
        sums.refuse_short_rank(key, chosen)
        try:
            if alone and options.method != "reg":
                refuse_no_overlap(key, sums, options)
            propensity = None if chosen.method == "reg" else fit_propensity(panel, key, options)
        except ComparisonError as error:
            missing |= dict.fromkeys(key.places.tolist(), str(error))
            continue
        fitted.append((key, solve(key, sums, propensity, chosen), propensity))
    made = _scores(panel, found, fitted, products=products)
    return _group_time(panel, fitted, missing, factor(made) if products else made)


def _scores(
    panel: Panel, found: Moments | None, fitted: Sequence[Fitted], *, products: bool
) -> Floats:
    cohorts = _cohorts(panel)
    made = None
    if found is not None:
        solved = [(key, one) for key, one, _ in fitted]
        made = scores_of_moments(panel, found, solved, cohorts)
    return scores_of_units(panel, fitted, cohorts, products=products) if made is None else made


def _cohorts(panel: Panel) -> list[int]:
    return sorted({cell.cohort for cell in panel.plan.cells})


def _group_time(
    panel: Panel, fitted: Sequence[Fitted], missing: dict[int, str], scores: Floats
) -> GroupTime:
    cells, cohorts = panel.plan.cells, _cohorts(panel)
    att = np.array([0.0 if cell.is_reference else np.nan for cell in cells])
    for key, solved, _ in fitted:
        att[key.places] = solved.att
    return GroupTime(
        cells=cells,
        att=att,
        scores=scores[:, : len(cells)],
        cohorts=np.array(cohorts, dtype=np.int64),
        cohort_weight=scores[:, len(cells) :],
        cohort_size=np.array([panel.weight[panel.slices[g], 0].sum() for g in cohorts]),
        missing={cells[j].term: missing[j] for j in sorted(missing)},
    )


def factor(products: Floats) -> Floats:
    """Return rows with the given cross products; (r, r), a column of zeros where there are none."""
    size = np.sqrt(np.diag(products))
    scale = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    rows = np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T
    return np.where(size > 0, rows * scale, 0.0)
