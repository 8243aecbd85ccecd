"""What a profile is: frames that a report, a table or a file can show."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from sos_plugins.cache.codec import travels
from sos_plugins.groundwork.plain import plain

if TYPE_CHECKING:
    from sos_plugins.profile.counts import Counted

RULE_COLUMNS = ("fault", "table", "column", "sentence", "query", "judged", "source", "note")


@travels
@dataclass(frozen=True)
class RecordProfile:
    """What is wrong with records, by authority and April-year.

    Attributes:
        completeness: Frame ``table, column, unit, period, n, n_filled``.
        faults: Frame ``fault, table, column, unit, period, n, n_flagged``: what was found. For
            a missing year ``n`` is the median of the other years, for a break the year's rows.
        cells: Frame ``unit, period, n, n_faulty, share, missing, breaks``: how far each authority
            and covered year can be trusted.
        rows: Frame ``table, unit, period, n, n_faulty``.
        rules: Frame ``fault, table, column, sentence, query, judged, source, note``.
        first_year: First April-year that the records cover, None without any.
        last_year: Last one.
        settings: The cut-offs.
    """

    completeness: pd.DataFrame = field(default_factory=pd.DataFrame)
    faults: pd.DataFrame = field(default_factory=pd.DataFrame)
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    rules: pd.DataFrame = field(default_factory=pd.DataFrame)
    first_year: int | None = None
    last_year: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def found(self, fault: str, table: str | None = None) -> int:
        """Return how many rows have a fault, over all authorities and years."""
        if self.faults.empty:
            return 0
        hit = self.faults["fault"] == fault
        if table is not None:
            hit &= self.faults["table"] == table
        return int(self.faults.loc[hit, "n_flagged"].sum())

    def compact(self) -> RecordProfile:
        """Leave out the cells of columns that are always filled, or never."""
        frame = self.completeness
        if frame.empty:
            return self
        sums = frame.groupby(["table", "column"])[["n", "n_filled"]].transform("sum")
        partly = (sums["n_filled"] > 0) & (sums["n_filled"] < sums["n"])
        return replace(self, completeness=frame[partly].reset_index(drop=True))

    def at_fault(self, tables: Collection[str]) -> pd.DataFrame:
        """Return rows and rows at fault of some tables together: ``unit, period, n, n_faulty``."""
        if self.rows.empty:
            return pd.DataFrame(columns=["unit", "period", "n", "n_faulty"])
        own = self.rows[self.rows["table"].isin(list(tables))].dropna(subset=["unit", "period"])
        return own.groupby(["unit", "period"], as_index=False)[["n", "n_faulty"]].sum()

    def summary(self) -> pd.DataFrame:
        """Return one row a fault, table and column: rows at fault, authorities, worst share.

        Frame ``fault, table, column, n_flagged, n, n_units, worst_unit, worst_period, worst_share,
        sentence``, published rules first, by number.
        """
        if self.faults.empty:
            return pd.DataFrame(columns=list(SUMMARY_COLUMNS))
        rows = [
            self._summed(key, part)
            for key, part in self.faults.groupby(["fault", "table", "column"], sort=False)
        ]
        rows.sort(key=_by_number)
        return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))

    def _within(self, part: pd.DataFrame) -> pd.DataFrame:
        """Keep the years that the records cover, if there are any."""
        if self.first_year is None or self.last_year is None:
            return part
        inside = part["period"].between(self.first_year, self.last_year).fillna(False)
        return part[inside] if inside.any() else part

    def _summed(self, key: Any, part: pd.DataFrame) -> dict[str, Any]:
        fault, table, column = key
        inside = self._within(part)
        share = (inside["n_flagged"] / inside["n"].where(inside["n"] > 0)).astype(float)
        worst = inside.iloc[int(share.fillna(-1.0).to_numpy().argmax())]
        known = share.notna().any() and fault not in OF_YEARS
        total = int(self.rows.loc[self.rows["table"] == table, "n"].sum())
        return {
            "fault": fault,
            "table": table,
            "column": column,
            "n_flagged": int(part["n_flagged"].sum()),
            "n": total,
            "n_units": int(part["unit"].nunique()),
            "worst_unit": worst["unit"],
            "worst_period": worst["period"],
            "worst_share": float(share.max()) if known else None,
            "sentence": self._sentence(fault, table, column),
        }

    def filling(self) -> pd.DataFrame:
        """Return one row a column: how far it is filled, and where least.

        Frame ``table, column, n, n_filled, share, worst_unit, worst_period, worst_share``.
        """
        rows = []
        for (table, column), part in self._filled():
            inside = self._within(part)
            shares = (inside["n_filled"] / inside["n"]).to_numpy()
            worst = inside.iloc[int(shares.argmin())]
            n, n_filled = int(part["n"].sum()), int(part["n_filled"].sum())
            place = (worst["unit"], worst["period"], float(shares.min()))
            rows.append((table, column, n, n_filled, n_filled / n, *place))
        return pd.DataFrame(rows, columns=list(FILLING_COLUMNS))

    def _filled(self) -> Iterable[tuple[Any, pd.DataFrame]]:
        if self.completeness.empty:
            return ()
        return self.completeness.groupby(["table", "column"], sort=False)

    def _sentence(self, fault: str, table: str, column: str) -> str:
        hit = self.rules[
            (self.rules["fault"] == fault)
            & (self.rules["table"] == table)
            & (self.rules["column"] == column)
        ]
        return str(hit["sentence"].iloc[0]) if len(hit) else SENTENCES.get(fault, "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "first_year": self.first_year,
            "last_year": self.last_year,
            "settings": dict(self.settings),
            "summary": plain(self.summary()),
            **{name: plain(getattr(self, name)) for name in FRAMES},
        }


PROFILE_COLUMNS: dict[str, str] = {
    "fault": "name of the fault; of a published rule: cin:NUMBER or ssda903:NUMBER",
    "table": "record table",
    "n": "rows looked at; of a missing year the median of the others",
    "n_flagged": "rows at fault",
    "n_filled": "rows in which the column is filled",
    "n_faulty": "rows with at least one fault",
    "share": "n_faulty / n",
    "missing": "record tables without rows in that year",
    "breaks": "breaks in series in that year",
}
"""Glossary of the columns of a profile beside unit and period."""
COVERAGE_COLUMNS: dict[str, str] = {
    "years_before": "covered years with rows before the first treated period",
    "years_after": "covered years with rows from the first treated period on",
    "years_missing": "covered years without rows",
    "share_before": "share of rows at fault before",
    "share_after": "share of rows at fault from then on",
}
"""Glossary of the coverage of pilots."""

SUMMARY_COLUMNS = (
    *("fault", "table", "column", "n_flagged", "n", "n_units"),
    *("worst_unit", "worst_period", "worst_share", "sentence"),
)
FILLING_COLUMNS = (
    *("table", "column", "n", "n_filled", "share"),
    *("worst_unit", "worst_period", "worst_share"),
)
FRAMES = ("completeness", "faults", "cells", "rows", "rules")

OF_YEARS = ("missing-year", "series-break")
"""Faults of an authority's year as a whole, not of rows."""
PUBLISHED = re.compile(r"([a-z0-9]+):(\d+)")

SENTENCES = {
    "duplicate": "The same thing stands in several rows of one return.",
    "conflicting-birth-date": "Rows of one child give different birth dates.",
    "conflicting-gender": "Rows of one child give different sexes.",
    "conflicting-ethnicity": "Rows of one child give different ethnicities.",
    "conflict-between-years": "Returns of different years contradict each other.",
    "missing-year": "The authority has no rows in a year that the records cover.",
    "series-break": "The year jumps out of the authority's series.",
}
"""What the faults that no rule describes mean."""


def _by_number(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Put published rules first, by number; then the faults of most rows."""
    published = PUBLISHED.fullmatch(str(row["fault"]))
    if published:
        return (0, published[1], int(published[2]), str(row["table"]))
    return (1, "", -int(row["n_flagged"]), str(row["fault"]))


def rule_table(counted: Sequence[Counted]) -> pd.DataFrame:
    """List every rule, and whether the records have what it needs."""
    rows = [
        {
            "fault": rule.name,
            "table": rule.table,
            "column": rule.column,
            "sentence": rule.sentence,
            "query": rule.query,
            "judged": judged,
            "source": rule.source,
            "note": rule.note,
        }
        for c in counted
        for judged, rules in ((True, c.rules), (False, c.left_out))
        for rule in rules
    ]
    return pd.DataFrame(rows, columns=list(RULE_COLUMNS))
