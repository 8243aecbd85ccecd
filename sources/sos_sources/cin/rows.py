"""Rows of census returns as read: their columns, and where they go.

Rows leave the reading some hundred thousand at a time, so that memory does not grow with a file.
"""

from __future__ import annotations

from typing import Any, Protocol

import pyarrow as pa

HELD = 2 * 122_880
"""Rows of a table that are gathered before they are handed on: DuckDB stores 122,880 together."""

RAW: dict[str, tuple[str, ...]] = {
    "children": ("id", "birth", "expected", "sex", "ethnicity", "disabilities"),
    "referrals": ("referral", "source", "need", "closure", "reason", "icpc", "nfa"),
    "assessments": ("start", "review", "authorised"),
    "section47s": ("start", "target", "icpc", "not_required"),
    "protection_plans": ("start", "end", "initial", "latest", "previous"),
}
"""Columns of each table; before them stand the numbers of row, child, referral and line."""
DATES: dict[str, frozenset[str]] = {
    "children": frozenset(("birth", "expected")),
    "referrals": frozenset(("referral", "closure", "icpc")),
    "assessments": frozenset(("start", "review", "authorised")),
    "section47s": frozenset(("start", "target", "icpc")),
    "protection_plans": frozenset(("start", "end")),
}
"""Columns of dates. Each is two: dates read already, and under ``TEXT`` the text of the others."""
TEXT = "_text"
EXTRA = "extra"
"""Column with the texts of further elements, null where none are asked for: as many texts as are
asked for, in their order, with :data:`BETWEEN` between them."""
BETWEEN = "\x1f"
"""A character that no XML may hold."""
KEYS = ("row_no", "child_no", "referral_no", "line")
N_KEYS = len(KEYS)


def _schema(table: str) -> pa.Schema:
    """Return the columns of rows as read: keys, whose they are, then those of :data:`RAW`."""
    fields = [(key, pa.int64()) for key in KEYS]
    if table != "children":
        fields.append(("child", pa.string()))
    if table not in ("children", "referrals"):
        fields += [("referral", pa.date32()), ("referral" + TEXT, pa.string())]
    for column in RAW[table]:
        if column in DATES[table]:
            fields += [(column, pa.date32()), (column + TEXT, pa.string())]
        else:
            fields.append((column, pa.string()))
    return pa.schema([*fields, (EXTRA, pa.string())])


SCHEMAS = {table: _schema(table) for table in RAW}


def pack(
    name: str, rows: list[list[Any]], ids: dict[int, str | None], dates: dict[int, str | None]
) -> pa.Table:
    """Return rows as a table; their dates stay text, and further texts are joined."""
    names = (*KEYS, *RAW[name], EXTRA)
    columns: dict[str, Any] = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns[EXTRA] = [None if texts is None else BETWEEN.join(texts) for texts in columns[EXTRA]]
    columns |= {column + TEXT: columns.pop(column) for column in DATES[name]}
    columns["child"] = [ids[number] for number in columns["child_no"]]
    columns["referral" + TEXT] = [dates.get(number) for number in columns["referral_no"]]
    nothing = [None] * len(rows)
    return pa.table(
        [pa.array(columns.get(f.name, nothing), f.type) for f in SCHEMAS[name]], SCHEMAS[name]
    )


class Sink(Protocol):
    """Where the rows of one file go."""

    def add(self, table: str, rows: pa.Table) -> None:
        """Take rows of a table, in the columns of :data:`SCHEMAS`."""

    def forget(self) -> None:
        """Forget all rows of the file: it is read again from its start."""


class Rows:
    """Gathers rows and hands them on, many at a time.

    Attributes:
        n: How many rows of each table there were.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._start()

    def _start(self) -> None:
        self.n = dict.fromkeys(RAW, 0)
        self._held: dict[str, list[pa.Table]] = {name: [] for name in RAW}
        self._n_held = dict.fromkeys(RAW, 0)

    def add(self, table: str, rows: pa.Table) -> None:
        """Take rows of a table."""
        self.n[table] += rows.num_rows
        self._n_held[table] += rows.num_rows
        self._held[table].append(rows)
        if self._n_held[table] >= HELD:
            self._hand_on(table)

    def finish(self) -> None:
        """Hand on what is left."""
        for table in RAW:
            if self._n_held[table]:
                self._hand_on(table)

    def forget(self) -> None:
        """Start again."""
        self._start()
        self.sink.forget()

    def _hand_on(self, table: str) -> None:
        self.sink.add(table, pa.concat_tables(self._held[table]).combine_chunks())
        self._held[table], self._n_held[table] = [], 0


class MemorySink:
    """A sink that keeps all rows in memory."""

    def __init__(self) -> None:
        self.forget()

    def add(self, table: str, rows: pa.Table) -> None:
        """Keep rows."""
        self.tables[table] = pa.concat_tables([self.tables[table], rows])

    def forget(self) -> None:
        """Forget them."""
        self.tables = {table: schema.empty_table() for table, schema in SCHEMAS.items()}
