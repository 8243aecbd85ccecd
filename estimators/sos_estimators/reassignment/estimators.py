"""The evaluators of the estimators of staggered adoption, by their settings."""

from __future__ import annotations

from typing import Any

import numpy as np

from sos_estimators.arrays import Bools, Ints
from sos_estimators.reassignment.averages import Evaluate, Masks, masks
from sos_estimators.reassignment.group_time import GroupTimeUnits, bases
from sos_estimators.reassignment.imputed import ImputedUnits, treated_effects
from sos_estimators.reassignment.randomise import statistics_by_lot
from sos_estimators.reassignment.saturated import SaturatedUnits
from sos_estimators.reassignment.stacked import StackedUnits
from sos_estimators.reassignment.table import UnitTable
from sos_estimators.staggered.cohort_cells import CohortCells
from sos_plugins.contract.types import AssignmentDraws, DrawnStatistics


def _masks(table: UnitTable, options: Any, effects: Bools) -> Masks:
    cohorts = np.unique(table.cohort[table.cohort > 0])
    event = table.periods - cohorts[:, None]
    return masks(table, options.aggregate, effects, window=options.in_window(event))


def by_lot(
    cells: CohortCells, made: tuple[Evaluate, Ints], draws: AssignmentDraws
) -> DrawnStatistics:
    """Return the t statistic of the overall effect, and those under assignments by common lots.

    Args:
        cells: Checked cells.
        made: The evaluator and the observed cohorts, (G,).
        draws: The lots.
    """
    units = cells.frame.groupby(cells.codes("owner"))["unit"].first()
    return statistics_by_lot(*made, [str(unit) for unit in units], draws)


def imputed(cells: CohortCells, options: Any) -> tuple[Evaluate, Ints]:
    """Evaluate ``imputation`` or ``two-stage``; also return the observed cohorts, (G,).

    Args:
        cells: Checked cells.
        options: Settings.
    """
    table = UnitTable.of(cells)
    effects = treated_effects(table, before=options.effects_before)
    chosen = _masks(table, options, effects)
    never_only = options.control == "nevertreated"
    return ImputedUnits.of(table, chosen, never_only=never_only), table.cohort


def saturated(cells: CohortCells, options: Any, *, leads: bool) -> tuple[Evaluate, Ints]:
    """Evaluate ``sun-abraham`` or ``extended-twfe``; also return the observed cohorts, (G,).

    Args:
        cells: Checked cells.
        options: Settings.
        leads: Whether periods before treatment have effects, but for the last, the reference.
    """
    table = UnitTable.of(cells)
    chosen = _masks(table, options, treated_effects(table, before=leads))
    reference = np.zeros(len(chosen.cohort), dtype=bool)
    if leads:
        reference = bases(table, chosen.cohort, chosen.period, "universal") == chosen.period
    return SaturatedUnits.of(table, chosen, reference), table.cohort


def group_time(cells: CohortCells, options: Any) -> tuple[GroupTimeUnits, Ints]:
    """Evaluate ``callaway-santanna`` without covariates; also return the observed cohorts, (G,).

    Args:
        cells: Checked cells.
        options: Settings.
    """
    table = UnitTable.of(cells)
    effects = np.ones((len(np.unique(table.cohort[table.cohort > 0])), table.shape[1]), dtype=bool)
    if (table.cohort > 0).all():
        effects[-1] = False  # the last cohort serves for comparison only
    chosen = _masks(table, options, effects)
    base = bases(table, chosen.cohort, chosen.period, options.base)
    there = base >= 0
    chosen = Masks(
        chosen.cohort[there], chosen.period[there], chosen.names, chosen.chosen[:, there]
    )
    some: Bools = np.asarray(chosen.chosen.any(axis=1))
    names = tuple(name for name, yes in zip(chosen.names, some, strict=True) if yes)
    chosen = Masks(chosen.cohort, chosen.period, names, chosen.chosen[some])
    after = [
        j
        for j, name in enumerate(names)
        if name.startswith("calendar=") or (name.startswith("event=") and "=-" not in name)
    ]
    evaluate = GroupTimeUnits(
        table,
        chosen,
        base[there],
        options.control == "notyettreated",
        options.aggregate == "cohort",
        np.array(after, dtype=np.int64),
    )
    return evaluate, table.cohort


def stacked(cells: CohortCells, options: Any, cohorts: list[int]) -> tuple[Evaluate, Ints]:
    """Evaluate ``stacked`` without covariates: the overall effect, and effects by event time.

    Also return the observed cohorts, (G,).

    Args:
        cells: Checked cells.
        options: Settings.
        cohorts: Of the sub-experiments.
    """
    table = UnitTable.of(cells)
    evaluate = StackedUnits(
        table,
        np.array(cohorts, dtype=np.int64),
        np.arange(-options.before, options.after + 1),
        options.reference,
        options.control == "notyettreated",
        options.weights == "corrective",
        options.aggregate == "event",
    )
    return evaluate, table.cohort
