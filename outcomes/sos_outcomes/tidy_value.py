"""A user's own table of cases: the value is already there."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import ibis
from ibis import _
from pydantic import Field

from sos_plugins import Cases, Outcome, OutcomeInfo, Records, Session, Settings, hookimpl
from sos_plugins.authors import derive
from sos_plugins.contract.columns import CASE_COLUMNS
from sos_plugins.contract.settings import KEEPS_MISSING_NUMBERS
from sos_plugins.contract.types import Expected
from sos_plugins.errors import DataError, listing

ROLES = ("id", "weight", "cohort", "cluster", "group", "treated", "post")
"""Columns that have a role in the analysis and are no covariates."""


class TidyValueSettings(Settings):
    """Settings of the outcome."""

    label: str = Field("Value", description="Name of the outcome in tables.")
    phrase: str = Field("outcome", description="Name of the outcome in a sentence.")
    question: str = Field("", description="The research question.")
    binary: bool = Field(False, description="Whether the value is 0 or 1.")
    measure: str = Field("units", description="Unit of the value.")
    expected: Expected = Field("unclear", description="Direction that the theory expects.")
    expected_note: str = Field("", description="Words beside the expected direction.")
    covariates: tuple[str, ...] | None = Field(
        None, description="Covariate columns; none given means every further column."
    )
    max_missing_covariate: float = Field(
        0.3,
        gt=0,
        le=1,
        description="A further column that is missing in this share of the rows or more is left "
        "out, unless covariates names it.",
    )
    missing_numbers: Literal["drop", "keep"] = Field(
        "drop",
        json_schema_extra=KEEPS_MISSING_NUMBERS,
        description="Whether cases without a number in a covariate are left out; a study with "
        "[imputation] keeps them unless told otherwise.",
    )


class TidyValue(Outcome):
    """The value, period and covariates of a table with one row a case.

    Text and true/false covariates get the level "Missing"; a case without a value, or without a
    number in a numeric covariate, is dropped and counted. Columns that are mostly missing are no
    covariates, and the attrition names them.
    """

    name = "tidy-value"
    label = "A value from the user's own table of cases"
    needs = ("cases",)
    Settings = TidyValueSettings

    def info(self, settings: TidyValueSettings) -> OutcomeInfo:
        """Describe the outcome as the user does."""
        return OutcomeInfo(
            name=self.name,
            label=settings.label,
            phrase=settings.phrase,
            question=settings.question,
            binary=settings.binary,
            measure=settings.measure,
            expected=settings.expected,
            expected_note=settings.expected_note,
        )

    def derive(self, records: Records, settings: TidyValueSettings, session: Session) -> Cases:
        """Take the cases as they are.

        Raises:
            DataError: If a column is missing or no covariate type, a covariate that is named has no
                value, or a binary value is not 0/1.
        """
        table = records.table("cases")
        demand_columns(table)
        candidates = chosen_covariates(table, settings)
        missing = missing_shares(table, candidates)
        covariates = tuple(c for c in candidates if not _left_out(c, missing[c], settings))
        texts = [c for c in covariates if not table[c].type().is_numeric()]
        numbers = [c for c in covariates if c not in texts]
        table = table.mutate(
            *(_category(table[name]).name(name) for name in texts),
            unit=table.unit.cast("string"),
            period=table.period.cast("int64"),
            value=table.value.cast("float64"),
            **{name: _typed(table, name) for name in ("child", "date", "follow_up_end")},
        )
        steps = derive.Attrition(session.table(table), "rows", "all in the table of cases")
        steps.keep("unit and period known", _.unit.notnull() & _.period.notnull(), "neither known")
        known = {"value": "no value"}
        if settings.missing_numbers == "drop":
            known |= {c: f"covariate {c} missing" for c in numbers}
        usable = functools.reduce(operator.and_, [_[name].notnull() for name in known])
        complete = derive.completeness(steps.table, usable)
        left_out = {
            name: f"covariate {name} left out: missing in {missing[name]:.0%} of rows"
            for name in candidates
            if name not in covariates
        }
        for name, reason in left_out.items():
            steps.keep(f"without {name}", ibis.literal(True), reason)
        for name, reason in known.items():
            steps.keep(f"{name} known", _[name].notnull(), reason)
        if settings.binary:
            _demand_binary(steps.table)
        cases = derive.to_cases(
            steps,
            info=self.info(settings),
            settings=settings,
            covariates=covariates,
            completeness=complete,
            extra=ROLES,
        )
        told = (f"The {reason}." for reason in left_out.values())
        return replace(cases, warnings=(*cases.warnings, *told))


def demand_columns(table: ibis.Table) -> None:
    """Raise a DataError unless the table has units, whole-numbered periods and numbers."""
    absent = [c for c in ("unit", "period", "value") if c not in table.columns]
    if absent:
        raise DataError(
            f"The table of cases lacks the columns {listing(absent)}. "
            f"Columns: {listing(table.columns)}."
        )
    period, value = table.period.type(), table.value.type()
    fits = {
        "period": (period, period.is_integer(), "whole numbers"),
        "value": (value, value.is_numeric() or value.is_boolean(), "numbers"),
    }
    for name, (kind, fit, wanted) in fits.items():
        if not fit:
            raise DataError(
                f"The column '{name}' of the table of cases holds {kind}, not {wanted}."
            )


def chosen_covariates(table: ibis.Table, settings: TidyValueSettings) -> tuple[str, ...]:
    """Return the covariate columns: those named, or every further number, text or true/false."""
    roles = {*CASE_COLUMNS, *ROLES}
    fit = [
        name
        for name, kind in table.schema().items()
        if name not in roles and (kind.is_numeric() or kind.is_string() or kind.is_boolean())
    ]
    if settings.covariates is None:
        return tuple(fit)
    wrong = [name for name in settings.covariates if name not in fit]
    if wrong:
        raise DataError(
            f"The table of cases has no covariate {listing(wrong)}: a covariate is a further "
            f"column of numbers, text or true/false. Such columns: {listing(fit)}."
        )
    return settings.covariates


def missing_shares(table: ibis.Table, names: Sequence[str]) -> dict[str, float]:
    """Return for each column the share of the rows with a unit, period and value that lack it."""
    if not names:
        return {}
    rows = table.filter(_.unit.notnull() & _.period.notnull() & _.value.notnull())
    counts = {f"n{i}": rows[name].count() for i, name in enumerate(names)}
    n_filled = rows.aggregate(n=rows.count(), **counts).to_pandas().iloc[0]
    n = int(n_filled["n"])
    return {c: 1 - int(n_filled[f"n{i}"]) / n if n else 0.0 for i, c in enumerate(names)}


def _left_out(name: str, share: float, settings: TidyValueSettings) -> bool:
    if settings.covariates is None:
        return share >= settings.max_missing_covariate
    if share == 1:
        raise DataError(
            f"The covariate '{name}' has no value in any row of the table of cases. Take it out of "
            "'covariates', or fill the column."
        )
    return False


def _typed(table: ibis.Table, name: str) -> Any:
    kind = "string" if name == "child" else "date"
    return table[name].cast(kind) if name in table.columns else ibis.null(kind)


def _category(column: Any) -> Any:
    if column.type().is_boolean():
        return derive.yes_no(column)
    return column.fill_null(derive.MISSING)


def _demand_binary(table: ibis.Table) -> None:
    other = table.filter(~_.value.isin([0.0, 1.0])).limit(1).to_pandas()
    if len(other):
        row = other.iloc[0]
        raise DataError(
            f"The outcome is set as binary, but unit {row['unit']}, period {row['period']} has the "
            f"value {row['value']:g}. Give 0 or 1, or set binary = false."
        )


@hookimpl
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Register the outcome."""
    register(TidyValue())
