"""Cases brought from where they were derived: one by one, or added up to cells.

A billion cases do not fit the machine that analyses them; what they have in common does. Cases are
alike when they have the same unit, period and covariates and lie in the same year before or after
every embedding window: the analysis cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sos_plugins.authors.derive.dates import CALENDAR
from sos_plugins.cells.build import cells
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.columns import CASE_COLUMNS
from sos_plugins.contract.session import Session
from sos_plugins.contract.types import Cases, OutcomeInfo, Pilot
from sos_plugins.errors import DataError
from sos_plugins.groundwork.own_names import OwnNames
from sos_plugins.study.design import YEAR_DAYS
from sos_plugins.study.plan import Plan

MARKS = ("date", "follow_up_end")
UNDATED, BEYOND = -1, -2
"""Classes of a case without a date, and of one outside the calendar."""
BACKWARDS = "_backwards"
FIRST_DAY = np.datetime64(f"{CALENDAR.start}-01-01", "D")
LAST_DAY = np.datetime64(f"{CALENDAR.stop - 1}-12-31", "D")
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class Collection:
    """How the cases of a study are brought to its analysis.

    Attributes:
        as_cells: Whether cells are brought in place of cases.
        pilots: Those whose windows cells must keep apart.
        matches_cases: Whether cases are matched, which cells with numeric covariates are not.
        reason: Why cases are brought though cells were to be had, or nothing.
    """

    as_cells: bool = False
    pilots: tuple[Pilot, ...] = ()
    matches_cases: bool = False
    reason: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What the cases that are brought rest on besides their outcome."""
        if not self.as_cells:
            return ()
        windows = sorted({(str(p.start), str(p.end)) for p in self.pilots})
        return ("cells", windows, self.matches_cases)


ONE_BY_ONE = Collection()


def collection(plan: Plan, pilots: Sequence[Pilot], backend: Any) -> Collection:
    """Decide how cases are brought: as the study says, by default as cells from Spark."""
    choice = plan.file.study.collect
    if choice == "cases" or (choice == "auto" and backend.name == "duckdb"):
        return ONE_BY_ONE
    matches = plan.file.matching.cases is not None
    if choice == "auto" and (reason := needs_cases(plan)):
        return Collection(reason=reason)
    return Collection(True, tuple(pilots), matches)


def needs_cases(plan: Plan) -> str:
    """Say which matcher or estimator of a study cannot work on cells, or nothing."""
    registry, choice = plan.registry, plan.file.matching.cases
    if choice is not None and not registry.engine(choice.plugin, choice.engine).takes_cells:
        return f"the matcher '{choice.plugin}' needs them"
    for planned in plan.estimators:
        engines = [
            engine
            for engine in registry.engines(planned.name)
            if planned.engines == "all" or engine.name in planned.engines
        ]
        if not any(engine.takes_cells for engine in engines):
            return f"the estimator '{planned.name}' needs them"
    return ""


def collect(cases: Cases, info: OutcomeInfo, session: Session, how: Collection) -> CollectedCases:
    """Bring cases from the backend, as cells where that is asked for and possible.

    Cells are not possible for panels, for cases with missing values, weights of 0 or dates outside
    1900-2199, and for numeric covariates where cases are matched; the cases are brought then.

    Raises:
        DataError: If a covariate has a reserved name, or dates contradict each other.
    """
    numeric = any(cases.table[c].type().is_numeric() for c in cases.covariates)
    if not how.as_cells or "id" in cases.table.columns or (numeric and how.matches_cases):
        return CollectedCases.of(cases, info)
    try:
        frame = _cells(cases, info, session, how.pilots)
    except DataError:  # said better of the cases
        frame = None
    return CollectedCases.of(cases, info, frame)


def _cells(
    cases: Cases, info: OutcomeInfo, session: Session, pilots: Sequence[Pilot]
) -> pd.DataFrame | None:
    """Return one row a cell, with dates in the place of its cases' dates; None if that loses."""
    names = OwnNames(cases.covariates)
    covariates = names.hide(cases.covariates)
    roles = {role: role for role in ("weight", "cluster") if role in cases.table.columns}
    table = cases.table.select(*CASE_COLUMNS, *roles, *cases.covariates)
    table = table.rename(dict(zip(covariates, cases.covariates, strict=True)))
    table = table.mutate(**{BACKWARDS: (table["follow_up_end"] < table["date"]).fill_null(False)})
    starts = {column: date_classes(column, pilots) for column in MARKS}
    for column in MARKS:
        table = _classified(table, session, column, starts[column])
    compressed = cells(
        table,
        covariates=covariates,
        keys={**{column: f"_{column}" for column in MARKS}, BACKWARDS: BACKWARDS},
        weight=roles.get("weight"),
        cluster=roles.get("cluster"),
    )
    frame = compressed.rows(by_value=info.binary and compressed.binary and not compressed.numbers)
    lost = compressed.n_weightless or (frame[list(MARKS)] == BEYOND).to_numpy().any()
    if lost or frame.pop(BACKWARDS).any():
        return None
    for column in MARKS:
        dates = np.array([*starts[column], "NaT"], dtype="datetime64[ns]")
        frame[column] = dates[frame[column].to_numpy(int)]
    if "cluster" not in roles:
        frame = frame.drop(columns="cluster")
    order = ["unit", "period", *MARKS, *covariates, "value"]
    frame = frame.sort_values(order, kind="stable", ignore_index=True)
    return frame.set_axis(names.show_names(frame.columns), axis=1)


def date_classes(column: str, pilots: Iterable[Pilot]) -> Days:
    """Return the first day of every class of dates that a window tells apart, in order.

    A class lasts to the day before the next. :func:`sos_plugins.study.design.label` says the same
    of every day in it.

    Args:
        column: ``date`` or ``follow_up_end``.
        pilots: Their windows count.
    """
    years = np.ceil(YEAR_DAYS * np.arange(len(CALENDAR))).astype("timedelta64[D]")
    first_days = [FIRST_DAY]
    for pilot in pilots:
        if pilot.start is not None and pilot.end is not None:
            late, early = np.datetime64(pilot.end, "D") + 1, np.datetime64(pilot.start, "D")
            first_days.extend(late + years if column == "date" else early - years)
    days = np.unique(np.array(first_days, dtype="datetime64[D]"))
    within: Days = days[(days >= FIRST_DAY) & (days <= LAST_DAY)]
    return within


def _classified(table: ibis.Table, session: Session, column: str, starts: Days) -> ibis.Table:
    """Add ``_column``: the number of the class that a date lies in."""
    name = f"_{column}"
    key = ("classes", tuple(starts.astype(int)))
    calendar = session.once("classes", key, lambda: _calendar(starts))
    joined = table.left_join(calendar, table[column].cast("date") == calendar["_day"])
    missing = ibis.ifelse(joined[column].isnull(), UNDATED, BEYOND)
    return joined.mutate(**{name: joined["_class"].fill_null(missing)}).drop("_day", "_class")


def _calendar(starts: Days) -> pa.Table:
    """Return ``_day, _class``."""
    days = np.arange(FIRST_DAY, LAST_DAY + 1)
    classes = np.searchsorted(starts, days, side="right") - 1
    return pa.table({"_day": days, "_class": classes.astype("int64")})
