"""Steps from records to cases, each counted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis
import pandas as pd
from ibis import _

from sos_plugins.authors.derive.children import ChildSettings
from sos_plugins.contract.columns import CASE_COLUMNS
from sos_plugins.contract.settings import Settings
from sos_plugins.contract.types import Cases, OutcomeInfo, Records
from sos_plugins.errors import DataError


class Attrition:
    """Keeps records step by step and counts what each step drops.

    All steps are counted in one pass when :meth:`frame` is called, or :meth:`go_on`.

    >>> steps = Attrition(ibis.memtable({"n": [1, 2, 3]}), "numbers", "all of them")
    >>> steps.keep("odd", _.n % 2 == 1, "even numbers")
    >>> steps.frame()[["step", "n_before", "n_dropped", "n_after"]].to_dict("split")["data"]
    [['numbers', 3, 0, 3], ['odd', 3, 1, 2]]

    Args:
        table: The candidates, one row each.
        step: What the candidates are.
        reason: Where they come from, for the first row of the count.
    """

    def __init__(self, table: ibis.Table, step: str, reason: str) -> None:
        self._all = table
        self._names = [(step, reason)]
        self._conditions: list[Any] = []
        self._earlier: list[tuple[str, str, int]] = []

    def keep(self, step: str, condition: Any, reason: str) -> None:
        """Add a step.

        Args:
            step: What the records that stay are.
            condition: Boolean expression, usually with ``ibis._``; null drops the record.
            reason: Which records go, and why.
        """
        self._names.append((step, reason))
        self._conditions.append(self._all.bind(condition)[0].fill_null(False))

    def go_on(self, table: ibis.Table) -> None:
        """Go on with a table of the records kept so far that has more columns.

        What is costly is then computed for these records alone. The steps so far are counted now.

        Args:
            table: As many rows as :attr:`table`.
        """
        self._earlier = self._counted()
        self._all, self._names, self._conditions = table, [], []

    @property
    def table(self) -> ibis.Table:
        """The records that all steps so far keep."""
        return self._all.filter(self._conditions) if self._conditions else self._all

    def frame(self) -> pd.DataFrame:
        """Return a frame ``step, reason, n_before, n_dropped, n_after``, one row a step."""
        counted = self._counted()
        after = [n for _step, _reason, n in counted]
        before = [after[0], *after[:-1]]
        return pd.DataFrame(
            {
                "step": [step for step, _reason, _n in counted],
                "reason": [reason for _step, reason, _n in counted],
                "n_before": before,
                "n_dropped": [b - a for b, a in zip(before, after, strict=True)],
                "n_after": after,
            }
        )

    def _counted(self) -> list[tuple[str, str, int]]:
        """Return the name, the reason and what is left after each step."""
        sums = {} if self._earlier else {"start": self._all.count()}
        kept = ibis.literal(True)
        for number, condition in enumerate(self._conditions):
            kept = kept & condition
            sums[str(number)] = kept.cast("int64").sum().fill_null(0)
        if not sums:
            return self._earlier
        after = self._all.aggregate(**sums).to_pandas().iloc[0]
        names = zip(self._names, after, strict=True)
        return self._earlier + [(step, reason, int(n)) for (step, reason), n in names]


def data_end(records: Records, settings: ChildSettings) -> dt.date:
    """Return the last day that the records cover.

    Args:
        records: Records that may say it.
        settings: Settings whose ``data_end`` comes first.

    Raises:
        DataError: If neither the records nor the settings say.
    """
    end = settings.data_end or records.end
    if end is None:
        raise DataError(
            "The records do not say on which day they end, so nobody can tell whose follow-up is "
            "complete. Set 'data_end' of the outcome to the last day that the records cover."
        )
    return end


def keep_observed(
    steps: Attrition, records: Records, settings: ChildSettings, *, until: str = "follow_up_end"
) -> None:
    """Keep records of a known child and date whose follow-up lies within the data.

    Args:
        steps: Steps over a table with ``unit``, ``child``, ``date`` and the column ``until``.
        records: Give the first and last day.
        settings: Of the outcome.
        until: Column with the day up to which a record must be observed.

    Raises:
        DataError: If neither the records nor the settings say when the records end.
    """
    end = data_end(records, settings)
    steps.keep(
        "authority, child and date known",
        _.unit.notnull() & _.child.notnull() & _.date.notnull(),
        "no authority, child identifier or date",
    )
    if settings.entered_in_data and records.start is not None:
        steps.keep(
            "dated within the records",
            _.date >= records.start,
            f"dated before the records start on {records.start}",
        )
    steps.keep(
        "follow-up complete", _[until] <= end, f"follow-up not complete when the data end on {end}"
    )


def keep_ages(steps: Attrition, settings: ChildSettings) -> None:
    """Keep children within the age bounds; those of unknown age go where age is a covariate.

    With ``missing_numbers = "keep"`` they stay all the same, for an imputation.

    Args:
        steps: Steps over a table with the column ``age``, in completed years.
        settings: Give the youngest and the oldest age, and whether age is a covariate.
    """
    low, high = settings.min_age, settings.max_age
    steps.keep(
        "age within bounds",
        _.age.isnull() | _.age.between(low, high),
        f"age in completed years below {low} or above {high}; an unknown age stays",
    )
    if "age" in settings.covariates and settings.missing_numbers == "drop":
        steps.keep("age known", _.age.notnull(), "age unknown, and age is a covariate")


def completeness(candidates: ibis.Table, usable: Any) -> pd.DataFrame:
    """Count, by authority and period, the candidates and those that can be judged.

    Args:
        candidates: Table with ``unit`` and ``period``, one row a candidate.
        usable: Boolean expression; null is false.

    Returns:
        Frame ``unit, period, n_candidates, n_usable``, ordered by unit and period.
    """
    flagged = candidates.mutate(_usable=usable).mutate(_usable=_._usable.fill_null(False))
    counted = flagged.group_by(["unit", "period"]).aggregate(
        n_candidates=_.count(), n_usable=_._usable.cast("int64").sum()
    )
    frame: pd.DataFrame = counted.order_by(["unit", "period"]).to_pandas()
    return frame.astype({"period": "int64", "n_candidates": "int64", "n_usable": "int64"})


def to_cases(
    steps: Attrition,
    *,
    info: OutcomeInfo,
    settings: Settings,
    covariates: Sequence[str],
    completeness: pd.DataFrame,
    extra: Sequence[str] = (),
) -> Cases:
    """Return what the steps keep as cases.

    Args:
        steps: Their table has the columns of :data:`sos_plugins.contract.columns.CASE_COLUMNS`.
        info: The outcome.
        settings: The settings used.
        covariates: Columns that are covariates; those that the table lacks are left out.
        completeness: Of :func:`completeness`.
        extra: Columns that are kept without being covariates.

    Raises:
        DataError: If no case is left; the message names the step that dropped the last.
    """
    attrition = steps.frame()
    if attrition["n_after"].iloc[-1] == 0:
        raise DataError(_nothing_left(info.name, attrition))
    table = steps.table
    listed = tuple(c for c in covariates if c in table.columns)
    wanted = [*CASE_COLUMNS, *listed, *(c for c in extra if c in table.columns)]
    return Cases(
        table=table.mutate(value=_.value.cast("float64")).select(list(dict.fromkeys(wanted))),
        info=info,
        covariates=listed,
        attrition=attrition,
        completeness=completeness,
        settings=settings.model_dump(),
    )


def _nothing_left(name: str, attrition: pd.DataFrame) -> str:
    first = attrition.iloc[0]
    if first["n_after"] == 0:
        return f"Outcome '{name}' has no cases: there are no {first['step']}."
    last = attrition[attrition["n_after"] == 0].iloc[0]
    return (
        f"Outcome '{name}' has no cases: of {first['n_after']:,} {first['step']}, the last "
        f"{last['n_dropped']:,} were dropped at the step '{last['step']}' ({last['reason']}). "
        "Look at the records or change the settings of that step."
    )
