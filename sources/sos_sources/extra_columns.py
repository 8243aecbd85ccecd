"""Further columns of a return, carried as text into the record table of their part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, did_you_mean, listing
from sos_sources.sql.merging import Merge
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

    def typed(self, raw: str) -> SqlColumn:
        """Return the column as text, without a check: it may be empty, no value of it is listed.

        Args:
            raw: SQL of the text.
        """
        return SqlColumn(self.column, (f"{raw} AS {self.column}",))

    @property
    def given(self) -> str:
        """SQL of the column under its own name."""
        return f"{self.column} AS {identifier(self.name)}"


Extras = Mapping[str, tuple[ExtraColumn, ...]]
"""Further columns by record table, or by the kind of file that becomes one."""


def refuse_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse further columns of one name, capitals apart; for settings.

    Raises:
        ValueError: That names the one that stands there twice.
    """
    lower = [name.lower() for name in names]
    if twice := [name for name in names if lower.count(name.lower()) > 1]:
        raise ValueError(f"'{twice[-1]}' stands there twice, capitals apart")
    return names


def extra_columns(names: Iterable[str]) -> tuple[ExtraColumn, ...]:
    """Return columns of these names, in order."""
    return tuple(ExtraColumn(name, f"extra_{n}") for n, name in enumerate(dict.fromkeys(names)))


def with_extras(plan: Merge, extras: Iterable[ExtraColumn]) -> Merge:
    """Return a merge that takes the latest value of the further columns too."""
    called = {one.column: one.name for one in extras}
    return replace(plan, values=(*plan.values, *called), called=called)


def schema_with_extras(table: str, extras: Iterable[ExtraColumn]) -> pa.Schema:
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
