"""Further columns of a return, carried as text into the record table of their part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, did_you_mean, listing
from sos_sources.sql.sql_columns import SqlColumn, identifier

EXTRA = (
    "Further {what}, carried as text into the record table of their part, under the name in the "
    "return: conditions of declared outcomes and outcomes in Python may use them."
)
"""Description of the setting ``extra``; ``what`` are the columns of the source."""


@dataclass(frozen=True)
class ExtraColumn:
    """A further column.

    Attributes:
        name: Its name in the return and in the record table.
        column: Its name while tables are put together: fit for SQL, whatever the other is.
    """

    name: str
    column: str

    @property
    def typed(self) -> SqlColumn:
        """The column as text, without a check: it may be empty, and no value of it is listed."""
        return SqlColumn(self.column, (f"r.{self.column} AS {self.column}",))

    @property
    def given(self) -> str:
        """SQL of the column under its own name."""
        return f"{self.column} AS {identifier(self.name)}"


Extras = Mapping[str, tuple[ExtraColumn, ...]]
"""Further columns by record table."""


def extra_columns(names: Iterable[str]) -> tuple[ExtraColumn, ...]:
    """Return columns of these names, in order."""
    return tuple(ExtraColumn(name, f"extra_{n}") for n, name in enumerate(dict.fromkeys(names)))


def labels(extras: Iterable[ExtraColumn]) -> dict[str, str]:
    """Return what the columns are called, by their names while tables are put together."""
    return {one.column: one.name for one in extras}


def with_extras(table: str, extras: Iterable[ExtraColumn]) -> pa.Schema:
    """Return the columns of a record table, the further ones after those of the contract."""
    return pa.schema([*TABLES[table], *(pa.field(one.name, pa.string()) for one in extras)])


def refuse_extra(name: str, *, read: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse a further column that is read anyway, or that nothing has.

    Args:
        name: The name.
        read: Names that the source reads by itself.
        known: Further names that there are.
        where: In what they are, as in a sentence.

    Raises:
        DataError: With the further names there are.
    """
    if name in read:
        raise DataError(
            f"extra: '{name}' is read without it, and is a column of the records under the "
            "contract's name. Leave it out."
        )
    if name not in known:
        raise DataError(
            f"extra: there is no '{name}' in {where}.{did_you_mean(name, known)} What is there and "
            f"is not read without it: {listing(known)}."
        )


def refuse_name_of_contract(name: str, table: str) -> None:
    """Refuse a further column whose name would be that of another column of the record table.

    Raises:
        DataError: If it is, capitals apart.
    """
    if name.lower() in {other.lower() for other in TABLES[table].names}:
        raise DataError(
            f"extra: the record table {table} has a column '{name.lower()}' already, so '{name}' "
            "cannot be one. Rename the column in the files."
        )
