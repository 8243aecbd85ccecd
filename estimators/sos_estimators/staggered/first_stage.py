"""What untreated cases say of the treated: unit and period effects, covariates, and influence.

The regression of the cases that are not treated (yet) on unit effects, period effects and
covariates imputes what the treated cases would have been. Sources: Borusyak, Jaravel and Spiess
(2024), Review of Economic Studies 91(6), 3253-3285; Gardner (2022), Two-stage differences in
differences, arXiv:2207.05943.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.regression.least_squares import (
    group_sums,
    independent,
    lengths,
    side_by_side,
    solve,
)
from sos_estimators.sample.adoption import numbers
from sos_estimators.staggered.averages import list_effects
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_estimators.staggered.saturated import collinear
from sos_plugins.cells.compression import count
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.text_codes import is_category

Compared = Literal["notyettreated", "nevertreated"]

SAME = 1e-6
"""A treated case is beyond what the untreated say when the part of a column that is collinear
among them departs from that combination by more than this share of the column's largest value."""


@dataclass(frozen=True)
class FirstStage:
    """The regression of the m0 untreated among m cells, unit effects taken out of everything.

    Attributes:
        residual: Value less what is imputed: residuals of the untreated, effects of treated, (m,).
        untreated: Cells that unit effects are found of, (m,).
        compared: Those of them that period effects and covariates are found of, (m,).
        owner: Ints of whose effects are taken out, (m,).
        owner_weight: Summed weight of the untreated cells of each owner.
        columns: Period dummies and covariates, less the owner's mean over untreated cells; the
            independent ones, (m, r).
        bread: Inverse of their weighted cross products over the compared cells, (r, r).
        identified: Whether a cell can be imputed, (m,).
        dropped: Names of covariates that are collinear among the compared.
    """

    residual: Floats
    untreated: Bools
    compared: Bools
    owner: Ints
    owner_weight: Floats
    columns: Floats
    bread: Floats
    identified: Bools
    dropped: tuple[str, ...]

    def influence(self, weights: Floats, weight: Floats) -> Floats:
        """What the residuals of untreated cells add to weighted sums of imputed effects.

        Args:
            weights: How much each cell's effect counts in each sum, (m, J).
            weight: Summed weights of the cells, (m,).

        Returns:
            Factors of the residuals, (m, J): zero for treated cells; for untreated ones
            -W0 Z0 (Z0' W0 Z0)^-1 Z' weights, with Z the dummies and covariates (equation 6 of
            Borusyak, Jaravel and Spiess). Where the never treated alone give period effects and
            covariates, other untreated cells have the part of their own unit effect.
        """
        by_owner = group_sums(weights, self.owner) / self.owner_weight[:, None]
        by_column = self.columns @ (self.bread @ (self.columns.T @ weights))
        own = by_owner[self.owner] * self.untreated[:, None]
        return np.asarray(-weight[:, None] * (own + by_column * self.compared[:, None]))


def first_stage(cells: CohortCells, control: Compared = "notyettreated") -> FirstStage:
    """Regress the untreated cells, and impute all.

    Every owner must have an untreated cell. With ``control = "nevertreated"`` period effects and
    covariates come from units never treated; the effect of a treated unit is the mean of what these
    leave of its own untreated cells.

    Args:
        cells: The cells, m of them.
        control: Which untreated cells give period effects and covariates.
    """
    untreated, owner = ~cells.treated, cells.codes("owner")
    compared = untreated.copy()
    if control == "nevertreated":
        compared &= (cells.frame["cohort"] == 0).to_numpy()
    weight = np.where(untreated, cells.weight, 0.0)
    owner_weight = np.asarray(np.bincount(owner, weight), dtype=float)
    made, names = cells.covariate_columns()
    raw = side_by_side([_period_dummies(cells), made], len(owner))
    n_periods = raw.shape[1] - len(names)

    def within(columns: Floats) -> Floats:
        means = group_sums(columns, owner, weight) / owner_weight[:, None]
        return np.asarray(columns - means[owner])

    left = within(raw)
    weight_compared = cells.weight[compared]
    length = lengths(raw[compared], weight_compared)
    kept = independent(left[compared], length, weight_compared)
    columns = np.asfortranarray(left[:, kept])
    value = within(cells.value[:, None])[:, 0]
    bread, gamma = solve(columns[compared], value[compared], weight_compared)
    dropped = left[:, ~kept][compared] * weight_compared[:, None]
    of_dropped = bread @ (columns[compared].T @ dropped)
    beyond = np.abs(left[:, ~kept] - columns @ of_dropped)
    largest = np.abs(raw[:, ~kept]).max(axis=0, initial=1.0)
    return FirstStage(
        residual=value - columns @ gamma,
        untreated=untreated,
        compared=compared,
        owner=owner,
        owner_weight=owner_weight,
        columns=columns,
        bread=bread,
        identified=compared | (beyond <= SAME * largest).all(axis=1),
        dropped=tuple(np.array(names, dtype=object)[~kept[n_periods:]]),
    )


def _period_dummies(cells: CohortCells) -> Floats:
    period = cells.codes("period")
    columns = np.zeros((len(period), int(period.max()) + 1), order="F")
    columns[np.arange(len(period)), period] = 1.0
    return columns


def imputable(cells: CohortCells, control: Compared = "notyettreated") -> CohortCells:
    """Leave out cells of which the compared say nothing, and tell of it.

    Args:
        cells: The cells, m of them.
        control: Which untreated cells give period effects and covariates.

    Raises:
        EstimationError: If no treated cell can be imputed after treatment.
    """
    if control == "nevertreated":
        cells = _with_known_levels(cells)
    cells = _with_untreated(cells)
    stage = first_stage(cells, control)
    told = cells.told(*collinear(", ".join(stage.dropped)))
    if stage.identified.all():
        return told
    fewer = told.where(stage.identified, _about_left_out(cells, ~stage.identified))
    return _require_post(_with_untreated(fewer))


def _about_left_out(cells: CohortCells, gone: Bools) -> str:
    effects = list_effects(cells, leads=False, reference=False)
    numbers = effects.of_cell[gone & (effects.of_cell >= 0)]
    names = [effects.names[k] for k in np.unique(numbers)] or ["before treatment"]
    return (
        f"{count(cells.frame[gone])} treated cases ({', '.join(names)}) are left "
        "out: the cases that are not treated have no such level or period to compare with."
    )


def _with_known_levels(cells: CohortCells) -> CohortCells:
    """Leave out cases with levels that no never-treated case has."""
    table, never = cells.frame, cells.frame["cohort"] == 0
    known = np.ones(len(table), dtype=bool)
    for name in cells.covariates:
        if is_category(table[name]):
            known &= table[name].isin(table.loc[never, name].unique()).to_numpy()
    if known.all():
        return cells
    return _require_post(cells.where(known, _about_left_out(cells, ~known)))


def _with_untreated(cells: CohortCells) -> CohortCells:
    """Leave out owners without a case before treatment: nothing says what they would have been."""
    owner = cells.codes("owner")
    seen = np.bincount(owner, ~cells.treated)[owner] > 0
    if seen.all():
        return cells
    gone = cells.frame[~seen]
    what = "ids" if cells.panel else "units"
    fewer = cells.where(
        seen,
        f"{gone['owner'].nunique()} treated {what} of the cohorts {numbers(gone['cohort'])} have "
        f"no case before treatment: {count(gone)} cases are left out.",
    )
    return _require_post(fewer)


def _require_post(cells: CohortCells) -> CohortCells:
    table = cells.frame
    if not ((table["cohort"] > 0) & (table["period"] >= table["cohort"])).any():
        raise EstimationError(
            "No treated case can be imputed: "
            + (" ".join(cells.warnings) or "there is none after treatment.")
        )
    return cells
