"""Records of two sources as one: tables of the same name below each other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sos_plugins.contract.record_tables import RECORD_TABLES
from sos_plugins.contract.types import Records
from sos_plugins.errors import DataError

if TYPE_CHECKING:
    import ibis


def merged(first: Records, second: Records) -> Records:
    """Join the records of two sources: tables of the same name are stacked.

    ``children`` of both are kept once per unit and child: the first source with a value wins.
    A column that only one of two tables has is empty in the rows of the other. Coverage is
    what both sources cover.

    Args:
        first: The records of one source.
        second: Those of another, on the same backend.

    Raises:
        DataError: If a column is of different types in two tables.
    """
    tables = dict(first.tables)
    for name, table in second.tables.items():
        if name not in tables:
            tables[name] = table
        elif name == "children":
            key = RECORD_TABLES[name].key
            tables[name] = _first_known(name, key, tables[name], table)
        else:
            tables[name] = _stacked(name, tables[name], table)
    starts = [d for d in (first.start, second.start) if d]
    ends = [d for d in (first.end, second.end) if d]
    digest = hashlib.sha256((first.data_hash + second.data_hash).encode()).hexdigest()
    return Records(
        tables=tables,
        quality=first.quality + second.quality,
        start=max(starts) if starts else None,
        end=min(ends) if ends else None,
        files=first.files + second.files,
        data_hash=digest,
        unit_names={**second.unit_names, **first.unit_names},
        simulated=first.simulated or second.simulated,
        truth=first.truth if first.truth is not None else second.truth,
        notes=tuple(dict.fromkeys(first.notes + second.notes)),
    )


def _stacked(name: str, first: ibis.Table, second: ibis.Table) -> ibis.Table:
    """Put one table below another, by the names of their columns.

    Args:
        name: What the tables are called, for the error.
        first: Rows of the first source.
        second: Rows of the second, on the same backend.

    Returns:
        All rows; a column that one of them lacks is null there.

    Raises:
        DataError: If a column is of different types in the two.
    """
    import ibis

    types: dict[str, Any] = {}
    for column in dict.fromkeys((*first.columns, *second.columns)):
        kinds = [t[column].type() for t in (first, second) if column in t.columns]
        same = all(kind.copy(nullable=True) == kinds[0].copy(nullable=True) for kind in kinds)
        if not same and not all(kind.is_numeric() for kind in kinds):
            raise DataError(
                f"Two sources give the table '{name}', and its column '{column}' holds {kinds[0]} "
                f"in one and {kinds[1]} in the other. Make them the same, or name other columns."
            )
        types[column] = kinds[0] if same else "float64"
    made = [
        table.select(
            **{
                column: (table[column] if column in table.columns else ibis.null()).cast(kind)
                for column, kind in types.items()
            }
        )
        for table in (first, second)
    ]
    return ibis.union(*made)


def _first_known(
    name: str, key: Sequence[str], first: ibis.Table, second: ibis.Table
) -> ibis.Table:
    """Keep one row a key of two tables, each column from the first table that has a value.

    Args:
        name: What the tables are called, for the error.
        key: Columns that tell one thing from another.
        first: The table whose values win.
        second: Another, on the same backend.

    Returns:
        The columns of both, one row a key.

    Raises:
        DataError: If a column is of different types in the two.
    """
    import ibis

    ordered = (first.mutate(_order=ibis.literal(0)), second.mutate(_order=ibis.literal(1)))
    both = _stacked(name, *ordered)
    values = {
        column: both[column].argmin(both["_order"], where=both[column].notnull())
        for column in both.columns
        if column not in (*key, "_order")
    }
    return both.group_by([*key]).aggregate(**values)
