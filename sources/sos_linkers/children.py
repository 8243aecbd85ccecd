"""The children to link, in a DuckDB of their own, and groups of those that are one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sos_plugins import Records, Session
from sos_plugins.backends import scratch_database

Ints = npt.NDArray[np.int64]
FACTS = ("birth_date", "sex", "ethnicity")
"""What is known of a child beside its identifiers."""


@dataclass(frozen=True)
class Children:
    """Children on a connection, in the table ``children``.

    Its columns are ``id`` (from 0, in the order of authority and identifier), ``unit``, ``child``,
    :data:`FACTS` and the further columns that were asked for.

    Attributes:
        con: A connection to DuckDB.
        n: How many there are.
        further: The further columns that the records have.
    """

    con: Any
    n: int
    further: tuple[str, ...]

    def number(self, query: str) -> int:
        """Return the one number that a query gives."""
        ((value,),) = self.con.execute(query).fetchall()
        return int(value or 0)

    def groups(self, pairs: pd.DataFrame) -> Ints:
        """Return the group of each child by ``id``: the least ``id`` of those it is linked with.

        Args:
            pairs: Frame ``a, b`` of the ``id`` of linked children.
        """
        ones = np.ones(len(pairs), dtype=bool)
        both = (pairs["a"].to_numpy(np.int64), pairs["b"].to_numpy(np.int64))
        graph = coo_matrix((ones, both), shape=(self.n, self.n))
        _, label = connected_components(graph, directed=False)
        first = np.full(label.max(initial=-1) + 1, self.n, dtype=np.int64)
        np.minimum.at(first, label, np.arange(self.n))
        groups: Ints = first[label]
        return groups

    def put(self, name: str, columns: dict[str, Any]) -> None:
        """Put a table on the connection."""
        self.con.register("incoming", pa.table(columns))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")
        self.con.unregister("incoming")

    def same(self, groups: Ints) -> pa.Table:
        """Return ``unit, child, person`` of all that are in a group with another.

        Args:
            groups: The group of each child.
        """
        self.put("groups_here", {"id": np.arange(self.n), "grp": groups})
        return self.con.sql(
            "WITH several AS (SELECT grp FROM groups_here GROUP BY grp HAVING count(*) > 1) "
            "SELECT c.unit, c.child, f.unit || '/' || f.child AS person FROM children c "
            "JOIN groups_here g USING (id) JOIN several USING (grp) "
            "JOIN children f ON f.id = g.grp ORDER BY c.id"
        ).to_arrow_table()


@contextmanager
def children_of(records: Records, further: Sequence[str], session: Session) -> Iterator[Children]:
    """Bring the children of the records into a DuckDB of their own, for as long as linking takes.

    Args:
        records: The records, on whatever backend.
        further: Further columns of the children, as text; those that the records lack are left
            out.
        session: What linking may take of memory and disk.

    Raises:
        DataError: If the records have no children.
    """
    table = records.table("children")
    there = tuple(name for name in further if name in table.columns)
    rows = table.select(
        "unit", "child", *FACTS, **{f"further_{n}": table[c] for n, c in enumerate(there)}
    )
    columns = ", ".join(f'CAST(further_{n} AS VARCHAR) AS "{c}"' for n, c in enumerate(there))
    with closing(scratch_database(session.backend)) as con:
        con.register("incoming", rows.to_pyarrow())
        con.execute(
            "CREATE TABLE children AS SELECT row_number() OVER (ORDER BY unit, child) - 1 AS id, "
            f"unit, child, {', '.join(FACTS)}{', ' if there else ''}{columns} FROM incoming "
            "ORDER BY unit, child"
        )
        con.unregister("incoming")
        ((n,),) = con.execute("SELECT count(*) FROM children").fetchall()
        yield Children(con, n, there)
