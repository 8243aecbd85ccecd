"""Cases in memory, away from the backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sos_plugins.contract.columns import RESERVED_COLUMNS
from sos_plugins.contract.types import Cases, OutcomeInfo
from sos_plugins.errors import DataError, listing
from sos_plugins.groundwork.plain import plain


@dataclass(frozen=True)
class CollectedCases:
    """Cases in memory, away from the backend: what the analysis of an outcome works on.

    Attributes are those of :class:`sos_plugins.contract.types.Cases`, with ``frame`` in place of
    ``table``.
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
