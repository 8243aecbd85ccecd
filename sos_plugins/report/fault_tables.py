"""Tables of a data-quality profile: its faults, its rules, the pilots' coverage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.report import formatting as words
from sos_plugins.report.labels import Labels, period_name
from sos_plugins.report.tables import Column, Row, Table, column, counts


def faults_table(profile: RecordProfile, names: Labels, ident: str) -> Table | None:
    """Make the table of what was found, one row a fault and column; the file has every cell."""
    if profile.faults.empty:
        return None

    def worst(row: Row) -> str:
        if row["worst_share"] is None or row["worst_unit"] is None:
            return words.MISSING
        year = row["worst_period"]
        when = "" if year is None else f", {period_name(int(year), april=True)}"
        return f"{names(row['worst_unit'])}{when}: {words.share(row['worst_share'])}"

    columns = (
        column("fault", "Fault"),
        Column("What is wrong", lambda row: words.text(row["sentence"]), wide=True),
        column("table", "Table"),
        column("column", "Column"),
        counts("n_flagged", "Rows, or years"),
        counts("n_units", "Authorities"),
        Column("Worst authority and year", worst, wide=True),
    )
    return Table(
        ident,
        "What is wrong with the records, by rule",
        profile.summary(),
        columns,
        missing_note="the fault concerns whole tables, or no single authority and year stands out",
        raw=profile.faults,
    )


def rules_table(profile: RecordProfile, ident: str) -> Table | None:
    """Make the table of the published rules, found broken or not."""
    if profile.rules.empty:
        return None
    published = profile.rules[profile.rules["source"] != ""]
    columns = (
        column("fault", "Rule"),
        Column("A row breaks it when", lambda row: words.text(row["sentence"]), wide=True),
        column("table", "Table"),
        Column("Rows that break it", lambda row: _broken(profile, row), numeric=True),
        Column("What the records cannot tell", lambda row: words.text(row["note"]), wide=True),
    )
    return Table(ident, "Published validation rules", published, columns, raw=profile.rules)


def _broken(profile: RecordProfile, row: Row) -> str:
    if not row["judged"]:
        return "not judged"
    return words.count(profile.found(str(row["fault"]), str(row["table"])))


def filling_table(profile: RecordProfile, names: Labels, ident: str) -> Table | None:
    """Make the table of columns: how far filled, and where least; the file has every cell."""
    filling = profile.filling()
    if filling.empty:
        return None

    def where(key: str, show: Callable[[Any], str]) -> Callable[[Row], str]:
        def cell(row: Row) -> str:
            even = row["share"] == row["worst_share"]
            return words.MISSING if even or row[key] is None else show(row[key])

        return cell

    columns = (
        column("table", "Table"),
        column("column", "Column"),
        column("share", "Filled", words.share, numeric=True),
        Column("Lowest in an authority and year", where("worst_share", words.share), numeric=True),
        Column("Authority", where("worst_unit", names)),
        Column("Year", where("worst_period", lambda v: period_name(int(v), april=True))),
    )
    return Table(
        ident,
        "How far the columns are filled",
        filling,
        columns,
        missing_note="the column is filled, or empty, everywhere",
        raw=profile.completeness,
    )


def coverage_table(coverage: pd.DataFrame, ident: str) -> Table | None:
    """Make the table of the pilots: years with records before and after, and their faults."""
    if coverage.empty:
        return None

    def pilot(row: Row) -> str:
        return words.text(row["name"] or row["unit"])

    def year(value: Any) -> str:
        return str(int(value))

    columns = (
        Column("Pilot", pilot),
        column("cohort", "First treated year", year),
        counts("years_before", "Years before"),
        counts("years_after", "Years from then on"),
        counts("years_missing", "Years without rows"),
        column("share_before", "At fault before", words.share, numeric=True),
        column("share_after", "At fault from then on", words.share, numeric=True),
        counts("breaks", "Breaks in series"),
    )
    return Table(ident, "Whether the records cover the pilots", coverage, columns)
