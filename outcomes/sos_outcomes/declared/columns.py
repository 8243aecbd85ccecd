"""Record tables that a declaration may name, and when their columns are known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import ibis
import pyarrow as pa

from sos_plugins import Records
from sos_plugins.authors import derive
from sos_plugins.authors.derive.referrals import LATEST
from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.errors import DataError, did_you_mean, listing

PERIODS = "periods_of_care"
"""One row a period of care, from its first episode: no table of the records, but made of one."""
OF_A_PERIOD = (
    *derive.KEY, "period_of_care", "start_date", "reason_start", "legal_status", "placement",
)  # fmt: skip
TABLES = (
    *(name for name, table in RECORD_TABLES.items() if table.dates and "child" in table.key),
    PERIODS,
)
"""Names of the tables of events of a child."""
WORDS = {
    "section47s": "section 47 enquiries",
    "protection_plans": "protection plans",
    "episodes": "episodes of care",
    PERIODS: "periods of care",
}
"""What rows of a table are called, where that is not the table's name."""


def record_table(table: str) -> str:
    """Return the table of the records that a declared table is made of."""
    return "episodes" if table == PERIODS else table


def schema(table: str) -> pa.Schema:
    """Return the columns of a table, as the contract has them."""
    columns = RECORD_TABLES[record_table(table)].columns
    if table == PERIODS:
        return pa.schema([columns.field(name) for name in OF_A_PERIOD])
    return columns


def dates(table: str) -> tuple[str, ...]:
    """Return the columns of dates of what has happened."""
    about = RECORD_TABLES[record_table(table)]
    return tuple(n for n in schema(table).names if about.sorts.get(n) == "event")


def learnt(table: str, columns: Iterable[str]) -> dict[str, str]:
    """Return those of some columns that are written into a row later, with their dates."""
    if table == PERIODS:
        return {}
    wanted = set(columns)
    about = RECORD_TABLES[table].learnt
    return {c: date for date, known in about.items() for c in known if c in wanted}


def key(table: str) -> tuple[str, ...]:
    """Return what a row shares with its repeats: the child, and the day on which it began."""
    if table == PERIODS:
        return (*derive.KEY, "period_of_care")
    return (*derive.KEY, RECORD_TABLES[table].dates[0])


def latest(table: str) -> tuple[str, ...]:
    """Return the columns that choose among repeated rows, the first that differs deciding."""
    if table == PERIODS:
        return ()
    about = RECORD_TABLES[table]
    first = LATEST if table == "referrals" else tuple(about.learnt)
    return tuple(dict.fromkeys([*first, *about.columns.names]))


def refuse_column(table: str, column: str) -> None:
    """Refuse a name that can be no column of a table.

    Names with capitals may be further columns of a return, which only the records can tell.

    Raises:
        ValueError: With the columns there are.
    """
    names = schema(table).names
    if column not in names and column == column.lower():
        raise ValueError(
            f"{table} has no column '{column}'.{did_you_mean(column, names)} "
            f"Columns: {listing(names)}; further ones are those that a source reads with "
            "'extra', in the spelling of the return"
        )


def rows(records: Records, table: str, columns: Sequence[str]) -> ibis.Table:
    """Return a table with the contract's columns and some further ones.

    Args:
        records: The records.
        table: One of :data:`TABLES`.
        columns: Columns that a declaration names.

    Raises:
        DataError: If the records lack the table, or one of the columns.
    """
    known = schema(table).names
    further = sorted(set(columns) - set(known))
    found = records.table(record_table(table))
    if absent := [name for name in further if name not in found.columns]:
        raise DataError(
            f"The table {record_table(table)} of these records has no column '{absent[0]}'."
            f"{did_you_mean(absent[0], found.columns)} Columns: {listing(found.columns)}. A column "
            f'of the return that is not among them comes with extra = ["{absent[0]}"] of the '
            "source."
        )
    if table == PERIODS:
        found = derive.periods_of_care(found, further=further)
    return found.select(*known, *further)
