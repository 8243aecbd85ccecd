"""Where census returns are put together: tables in DuckDB, for as long as the reading takes.

On a session of DuckDB they lie in a database beside the records, within the same limit of memory,
and what goes beyond it on disk; on another backend in a DuckDB of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Workspace:
    """A connection to DuckDB.

    Attributes:
        con: The connection, its own database being current.
        name: Name of that database.
        session: The session that gets the records.
    """

    con: Any
    name: str
    session: Session

    def sink(self, number: int) -> FileSink:
        """Return where the rows of a file go."""
        return FileSink(self.con, number)

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


@dataclass(frozen=True)
class FileSink:
    """Puts the rows of one file into the tables ``<table>_raw``."""

    con: Any
    number: int

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        # A reader is taken as it is; a registered table goes through a scan that takes longer.
        self.con.register("incoming", rows.to_reader(max_chunksize=_BATCH))
        self.con.execute(f"INSERT INTO {table}_raw SELECT *, {self.number} FROM incoming")
        self.con.unregister("incoming")

    def forget(self) -> None:
        """Remove the rows of the file."""
        for table in RAW:
            self.con.execute(f"DELETE FROM {table}_raw WHERE {FILE_NO} = {self.number}")


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
        yield Workspace(con, name, session)
    finally:
        con.execute(f'USE "{before}"')
        con.execute(f"DETACH {name}")
        con.close()
