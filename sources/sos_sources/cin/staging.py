"""Where census returns are put together: tables in DuckDB, for as long as the reading takes.

On a session of DuckDB they lie in a database beside the records, within the same limit of memory,
and what goes beyond it on disk; on another backend in a DuckDB of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import ibis
import pyarrow as pa

from sos_plugins import Session
from sos_plugins.backends import duckdb_backend
from sos_sources.cin.rows import RAW, SCHEMAS

FILE_NO = "file_no"
_BATCH = 122_880
"""Rows that DuckDB stores together."""
_TOGETHER = 20_000
"""Rows of a table that are put into it together: one by one, small files take long to put."""


@dataclass(frozen=True)
class Workspace:
    """A connection to DuckDB.

    Attributes:
        con: The connection, its own database being current.
        name: Name of that database.
        session: The session that gets the records.
        waiting: Rows that are not yet in a table.
    """

    con: Any
    name: str
    session: Session
    waiting: Waiting

    def sink(self, number: int) -> FileSink:
        """Return where the rows of a file go; they are in the tables after :meth:`complete`."""
        return FileSink(self.waiting, number)

    def complete(self) -> None:
        """Put what still waits into the tables: every file is read."""
        for table in RAW:
            self.waiting.put(table)

    def give(self, name: str, columns: str, relation: str, order: str) -> ibis.Table:
        """Put what a relation holds on the session's backend as a record table.

        Args:
            name: Name of the record table.
            columns: SQL of its columns.
            relation: Name of the relation.
            order: SQL of the columns that decide the order of rows.
        """
        if self.session.backend.name == "duckdb":
            query = f"SELECT {columns} FROM {self.name}.main.{relation} ORDER BY {order}"
            return self.session.table(self.session.backend.sql(query), name)
        rows = self.con.sql(f"SELECT {columns} FROM {relation} ORDER BY {order}")
        return self.session.table(rows.to_arrow_table(), name)


@dataclass
class Waiting:
    """Gathers the rows of small files, and puts those of many into ``<table>_raw`` at once.

    Attributes:
        con: The connection.
        rows: What waits, by table and number of the file.
        n_rows: How many wait, by table.
        put_of: Numbers of the files that have rows in a table.
    """

    con: Any
    rows: dict[str, dict[int, list[pa.Table]]] = field(
        default_factory=lambda: {table: {} for table in RAW}
    )
    n_rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RAW, 0))
    put_of: set[int] = field(default_factory=set)

    def add(self, table: str, number: int, rows: pa.Table) -> None:
        """Take rows of a file."""
        self.rows[table].setdefault(number, []).append(rows)
        self.n_rows[table] += rows.num_rows
        if self.n_rows[table] >= _TOGETHER:
            self.put(table)

    def put(self, table: str) -> None:
        """Put what waits for a table into it."""
        parts = [_of_file(part, n) for n, each in self.rows[table].items() for part in each]
        if not parts:
            return
        # A reader is taken as it is; a registered table goes through a scan that takes longer.
        together = pa.concat_tables(parts).combine_chunks()
        self.con.register("incoming", together.to_reader(max_chunksize=_BATCH))
        self.con.execute(f"INSERT INTO {table}_raw SELECT * FROM incoming")
        self.con.unregister("incoming")
        self.put_of.update(self.rows[table])
        self.rows[table].clear()
        self.n_rows[table] = 0

    def forget(self, number: int) -> None:
        """Remove the rows of a file."""
        for table in RAW:
            gone = self.rows[table].pop(number, [])
            self.n_rows[table] -= sum(part.num_rows for part in gone)
            if number in self.put_of:
                self.con.execute(f"DELETE FROM {table}_raw WHERE {FILE_NO} = {number}")


def _of_file(rows: pa.Table, number: int) -> pa.Table:
    return rows.append_column(FILE_NO, pa.repeat(pa.scalar(number, pa.int64()), rows.num_rows))


@dataclass
class FileSink:
    """Takes the rows of one file."""

    waiting: Waiting
    number: int

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        self.waiting.add(table, self.number, rows)

    def forget(self) -> None:
        """Remove the rows of the file."""
        self.waiting.forget(self.number)


@contextmanager
def workspace(session: Session) -> Iterator[Workspace]:
    """Open a connection with empty tables ``<table>_raw`` for rows as read; all is gone after."""
    name = f"cin_{uuid4().hex[:8]}"
    backend: Any = session.backend if session.backend.name == "duckdb" else duckdb_backend()
    con = backend.con.cursor()
    before = con.execute("SELECT current_database()").fetchone()[0]
    con.execute(f"ATTACH ':memory:' AS {name}")
    con.execute(f"USE {name}")
    try:
        for table, schema in SCHEMAS.items():
            con.register("incoming", schema.empty_table())
            con.execute(
                f"CREATE TABLE {table}_raw AS SELECT *, 0::BIGINT AS {FILE_NO} FROM incoming"
            )
            con.unregister("incoming")
        yield Workspace(con, name, session, Waiting(con))
    finally:
        con.execute(f'USE "{before}"')
        con.execute(f"DETACH {name}")
        con.close()
