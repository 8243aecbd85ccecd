"""Outcomes and their cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import ibis
import pandas as pd

from sos_plugins.contract.columns import CASE_COLUMNS, RESERVED_COLUMNS, ROLE_COLUMNS
from sos_plugins.contract.types.plain import plain
from sos_plugins.errors import DataError, listing

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


@dataclass(frozen=True)
class CollectedCases:
    """Cases in memory, away from the backend: what the analysis of an outcome works on.

    Attributes are those of :class:`Cases`, with ``frame`` in place of ``table``.
    """

    frame: pd.DataFrame
    info: OutcomeInfo
    covariates: tuple[str, ...]
    attrition: pd.DataFrame
    completeness: pd.DataFrame
    settings: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, cases: Cases, info: OutcomeInfo | None = None, frame: pd.DataFrame | None = None
    ) -> CollectedCases:
        """Collect cases, perhaps under another name of the outcome.

        Args:
            cases: The cases.
            info: The outcome under its other name.
            frame: Rows that stand for them, made and checked by the caller
                (:mod:`sos_plugins.study.collect`); the cases themselves unless given.

        Raises:
            DataError: If a covariate has a reserved name, or dates contradict each other.
        """
        _refuse_reserved_names(cases)
        if frame is None:
            _refuse_contradictions(cases)
        return cls(
            frame=cases.frame if frame is None else frame,
            info=info or cases.info,
            covariates=cases.covariates,
            attrition=cases.attrition,
            completeness=cases.completeness,
            settings=plain(dict(cases.settings)),
            warnings=cases.warnings,
        )


def refuse_alike(names: Iterable[str], taken: Iterable[str], *, where: str) -> None:
    """Refuse a user's columns that a database cannot tell from others: it has no capitals.

    Args:
        names: Columns of a user.
        taken: Columns that are there beside them.
        where: What the sentence starts with.

    Raises:
        DataError: With the two names and what to do.
    """
    known = {name.lower(): name for name in taken}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"{where}: the columns '{other}' and '{name}' differ in capitals only, which a "
                f"database does not tell apart; rename the column '{name}', or leave it out of the "
                "covariates."
            )


def _refuse_reserved_names(cases: Cases) -> None:
    taken = [c for c in cases.covariates if c in RESERVED_COLUMNS]
    if taken:
        raise DataError(
            f"Outcome '{cases.info.name}': a covariate may not be named {listing(taken)}, since "
            "the analysis makes a column of that name. Rename the column, or leave it out."
        )


def _refuse_contradictions(cases: Cases) -> None:
    frame = cases.frame
    backwards = frame[frame["follow_up_end"] < frame["date"]]
    if len(backwards):
        row = backwards.iloc[0]
        raise DataError(
            f"Outcome '{cases.info.name}': {len(backwards)} cases have a follow_up_end before "
            f"their date, such as one of unit {row['unit']} on {row['date']:%Y-%m-%d}."
        )
