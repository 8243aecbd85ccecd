"""Outcomes and their cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from sos_plugins.contract.columns import CASE_COLUMNS, ROLE_COLUMNS
from sos_plugins.errors import DataError, listing
from sos_plugins.groundwork.names_alike import refuse_alike

if TYPE_CHECKING:
    import ibis

Expected = Literal["increase", "decrease", "unclear"]


@dataclass(frozen=True)
class OutcomeInfo:
    """How an outcome is named and read.

    Attributes:
        name: The plugin's name, such as ``"kinship-care"``.
        label: As in a table, such as ``"Kinship rather than other care"``.
        phrase: As in a sentence after an adjective: ``"kinship care"`` gives
            "Moderate strength evidence of decreased kinship care".
        question: The research question.
        binary: True when the value is 0 or 1; effects are then shown in percentage points.
        measure: Unit of the value: ``"proportion"``, ``"working days"``, ...
        expected: Direction expected by the theory of change.
        expected_note: Words beside the direction, such as "shorter is better if quality holds".
        measured_after: Covariates that may be recorded, or come about, after the case began or a
            programme did: adjusting for them may take away part of an effect, and reports mark
            them.
        cautions: Sentences about these settings that a reader must see beside every figure.
        each: What cases are in everyday words, in the plural: ``"children"`` gives "13 in 100
            children".
    """

    name: str
    label: str
    phrase: str
    question: str
    binary: bool
    measure: str
    expected: Expected = "unclear"
    expected_note: str = ""
    measured_after: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    each: str = "cases"

    @property
    def in_points(self) -> bool:
        """Whether values are shares from 0 to 1, so that effects are in percentage points."""
        return self.binary or self.measure.strip().lower() in ("proportion", "share")


@dataclass(frozen=True)
class Cases:
    """One row a case.

    Attributes:
        table: Ibis table with :data:`sos_plugins.contract.columns.CASE_COLUMNS` and the covariates,
            and any of :data:`sos_plugins.contract.columns.ROLE_COLUMNS`.
        info: The outcome.
        covariates: Names of the covariate columns, numeric or text.
        attrition: Frame ``step, reason, n_before, n_dropped, n_after``, from the first candidate
            record to the cases.
        completeness: Frame ``unit, period, n_candidates, n_usable``: how many records of the
            population could be judged at all.
        settings: The settings the cases were derived with.
        warnings: Sentences for the result, such as a covariate that was left out.
    """

    table: ibis.Table
    info: OutcomeInfo
    covariates: tuple[str, ...] = ()
    attrition: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(
            columns=["step", "reason", "n_before", "n_dropped", "n_after"]
        )
    )
    completeness: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["unit", "period", "n_candidates", "n_usable"])
    )
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        absent = [c for c in (*CASE_COLUMNS, *self.covariates) if c not in self.table.columns]
        if absent:
            raise DataError(
                f"The cases of outcome '{self.info.name}' lack the columns {listing(absent)}; "
                f"an outcome must give {', '.join(CASE_COLUMNS)} and its covariates."
            )
        roles = [c for c in ROLE_COLUMNS if c in self.table.columns]
        where = f"Outcome '{self.info.name}'"
        refuse_alike(self.covariates, [*CASE_COLUMNS, *roles], where=where)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The cases in memory, in a fixed order whatever the backend."""
        roles = [c for c in ROLE_COLUMNS if c in self.table.columns]
        columns = [*CASE_COLUMNS, *self.covariates, *roles]
        frame: pd.DataFrame = self.table.select(columns).to_pandas()
        for column in ("date", "follow_up_end"):
            frame[column] = pd.to_datetime(frame[column])
        order = ["unit", "period", "date", "child", "value", *self.covariates, *roles]
        return frame.sort_values(order, kind="stable", ignore_index=True)
