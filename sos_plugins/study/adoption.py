"""When authorities are treated, as the records say: tables with a column ``cohort``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ibis
import pandas as pd

from sos_plugins.contract.types import Records

NEVER = 0
"""Cohort of an authority that is never treated."""


@dataclass(frozen=True)
class Adoption:
    """First treated periods of authorities, as far as record tables have a column of them.

    Attributes:
        cohorts: Authority to its first treated period, :data:`NEVER` for never; authorities of
            which the records do not say it are absent.
        last_period: Last period of the tables that say so, or None.
        warnings: A sentence for each authority of which the records say different things.
    """

    cohorts: Mapping[str, int] = field(default_factory=dict)
    last_period: int | None = None
    warnings: tuple[str, ...] = ()

    def treated_by(self, period: int | None) -> dict[str, int]:
        """Return the authorities treated in the data, with their first treated period.

        Who is treated after the last period is not treated in any case, so it is not among them.

        Args:
            period: Last period that is used; that of the tables by default.
        """
        ends = [p for p in (period, self.last_period) if p is not None]
        return {
            unit: cohort
            for unit, cohort in sorted(self.cohorts.items())
            if cohort != NEVER and all(cohort <= end for end in ends)
        }


def adoption_of(records: Records) -> Adoption:
    """Read when authorities are treated from every record table that says it."""
    tables = [table for table in records.tables.values() if _says(table)]
    said: dict[str, set[int]] = {}
    for table in tables:
        for unit, cohort in _pairs(table):
            said.setdefault(unit, set()).add(cohort)
    warnings = []
    for unit, cohorts in sorted(said.items()):
        if len(cohorts) > 1:
            told = " and ".join(cohort_in_words(c) for c in sorted(cohorts))
            earliest = min(cohorts - {NEVER})
            warnings.append(
                f"The records say of {unit} that it is treated {told}; {earliest} is taken."
            )
    return Adoption(
        {unit: min(cohorts - {NEVER}, default=NEVER) for unit, cohorts in said.items()},
        max((p for table in tables if (p := _last_period(table)) is not None), default=None),
        tuple(warnings),
    )


def cohort_in_words(cohort: int) -> str:
    """Say when an authority is treated.

    >>> cohort_in_words(2014), cohort_in_words(0)
    ('from 2014', 'never')
    """
    return "never" if cohort == NEVER else f"from {cohort}"


def _says(table: ibis.Table) -> bool:
    columns = table.columns
    return "unit" in columns and "cohort" in columns and table["cohort"].type().is_numeric()


def _pairs(table: ibis.Table) -> Iterator[tuple[str, int]]:
    """Yield authorities and first treated periods; a period that is no finite number is never."""
    pairs = table.select("unit", "cohort").distinct().to_pandas()
    for unit, cohort in pairs.dropna(subset=["unit"]).itertuples(index=False, name=None):
        if not pd.isna(cohort):
            yield str(unit), _whole(cohort)


def _whole(cohort: Any) -> int:
    return int(cohort) if abs(float(cohort)) != float("inf") else NEVER


def _last_period(table: ibis.Table) -> int | None:
    if "period" not in table.columns:
        return None
    last = table["period"].max().to_pandas()
    return None if pd.isna(last) else int(last)
