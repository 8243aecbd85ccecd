"""What untreated cases say of the treated: unit and period effects, covariates, and influence.

The regression of the cases that are not treated (yet) on unit effects, period effects and
covariates imputes what the treated cases would have been. Sources: Borusyak, Jaravel and Spiess
(2024), Review of Economic Studies 91(6), 3253-3285; Gardner (2022), Two-stage differences in
differences, arXiv:2207.05943.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_estimators.did.least_squares import (
    Codes,
    Floats,
    group_sums,
    independent,
    side_by_side,
    solve,
)
from sos_estimators.did.staggered.averages import list_effects
from sos_estimators.did.staggered.cells import Bools, Cells, join
from sos_estimators.did.staggered.saturated import collinear
from sos_plugins.errors import EstimationError

SAME = 1e-6
"""A treated case is beyond what the untreated say when the part of a column that is collinear
among them departs from that combination by more than this share of the column's largest value."""


@dataclass(frozen=True)
class FirstStage:
    """The regression of the m0 untreated among m cells, unit effects taken out of everything.

    Attributes:
        residual: Value less what is imputed: residuals of the untreated, effects of treated, (m,).
        untreated: (m,).
        owner: Codes of whose effects are taken out, (m,).
        owner_weight: Summed weight of the untreated cells of each owner.
        columns: Period dummies and covariates, less the owner's mean over untreated cells; the
            independent ones, (m, r).
        bread: Inverse of their weighted cross products over untreated cells, (r, r).
        told_apart: Whether a cell can be imputed, (m,).
        dropped: Names of covariates that are collinear among the untreated.
    """

    residual: Floats
    untreated: Bools
    owner: Codes
    owner_weight: Floats
    columns: Floats
    bread: Floats
    told_apart: Bools
    dropped: tuple[str, ...]

    def influence(self, weights: Floats, weight: Floats) -> Floats:
        """What the residuals of untreated cells add to weighted sums of imputed effects.

        Args:
            weights: How much each cell's effect counts in each sum, (m, J).
            weight: Summed weights of the cells, (m,).

        Returns:
            Factors of the residuals, (m, J): zero for treated cells; for untreated ones
            -W0 Z0 (Z0' W0 Z0)^-1 Z' weights, with Z the dummies and covariates (equation 6 of
            Borusyak, Jaravel and Spiess).
        """
        by_owner = group_sums(weights, self.owner) / self.owner_weight[:, None]
        by_column = self.columns @ (self.bread @ (self.columns.T @ weights))
        factor = np.where(self.untreated, weight, 0.0)
        return np.asarray(-factor[:, None] * (by_owner[self.owner] + by_column))


def first_stage(cells: Cells) -> FirstStage:
    """Regress the untreated cells, and impute all.

    Every owner must have an untreated cell.
    """
    untreated, owner = ~cells.treated, cells.codes("owner")
    weight = np.where(untreated, cells.weight, 0.0)
    owner_weight = np.asarray(np.bincount(owner, weight), dtype=float)
    made, names = cells.covariate_columns()
    raw = side_by_side([_period_dummies(cells), made], len(owner))
    n_periods = raw.shape[1] - len(names)

    def within(columns: Floats) -> Floats:
        means = group_sums(columns * weight[:, None], owner) / owner_weight[:, None]
        return np.asarray(columns - means[owner])

    left = within(raw)
    root = np.sqrt(cells.weight[untreated])[:, None]
    lengths = np.linalg.norm(raw[untreated] * root, axis=0)
    kept = independent(left[untreated] * root, lengths)
    columns = np.asfortranarray(left[:, kept])
    value = within(cells.value[:, None])[:, 0]
    bread, gamma = solve(columns[untreated], value[untreated], cells.weight[untreated])
    of_dropped = bread @ (columns[untreated].T @ (left[:, ~kept][untreated] * root**2))
    beyond = np.abs(left[:, ~kept] - columns @ of_dropped)
    largest = np.abs(raw[:, ~kept]).max(axis=0, initial=1.0)
    return FirstStage(
        residual=value - columns @ gamma,
        untreated=untreated,
        owner=owner,
        owner_weight=owner_weight,
        columns=columns,
        bread=bread,
        told_apart=untreated | (beyond <= SAME * largest).all(axis=1),
        dropped=tuple(np.array(names, dtype=object)[~kept[n_periods:]]),
    )


def _period_dummies(cells: Cells) -> Floats:
    period = cells.codes("period")
    columns = np.zeros((len(period), int(period.max()) + 1), order="F")
    columns[np.arange(len(period)), period] = 1.0
    return columns


def imputable(cells: Cells) -> Cells:
    """Leave out treated cells of which the untreated say nothing, and tell of it.

    Raises:
        EstimationError: If no treated cell can be imputed after treatment.
    """
    cells = _with_untreated(cells)
    stage = first_stage(cells)
    told = cells.told(*collinear(", ".join(stage.dropped)))
    if stage.told_apart.all():
        return told
    effects = list_effects(cells, leads=False, reference=False)
    partly = {effects.names[k] for k in effects.of_cell[~stage.told_apart]}
    names = [name for name in effects.names if name in partly]
    n = int(cells.table.loc[~stage.told_apart, "n_cases"].sum())
    fewer = told.where(
        stage.told_apart,
        f"{n} treated cases ({', '.join(names)}) are left out: the cases that are not treated have "
        "no such level or period to compare with.",
    )
    return _require_post(fewer)


def _with_untreated(cells: Cells) -> Cells:
    """Leave out owners without a case before treatment: nothing says what they would have been."""
    owner = cells.codes("owner")
    seen = np.bincount(owner, ~cells.treated)[owner] > 0
    if seen.all():
        return cells
    gone = cells.table[~seen]
    what = "ids" if cells.panel else "units"
    fewer = cells.where(
        seen,
        f"{gone['owner'].nunique()} treated {what} of the cohorts {join(gone['cohort'])} have no "
        f"case before treatment: {int(gone['n_cases'].sum())} cases are left out.",
    )
    return _require_post(fewer)


def _require_post(cells: Cells) -> Cells:
    table = cells.table
    if not ((table["cohort"] > 0) & (table["period"] >= table["cohort"])).any():
        raise EstimationError(
            "No treated case can be imputed: "
            + (" ".join(cells.warnings) or "there is none after treatment.")
        )
    return cells
