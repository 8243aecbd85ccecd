"""Rows of small files are put into tables together, and those of a file can be taken back."""

import pyarrow as pa
import pytest
from sos_sources.cin import staging
from sos_sources.cin.rows import SCHEMAS

from sos_plugins import Session

TABLE = "section47s"


def rows(*lines: int) -> pa.Table:
    return pa.Table.from_pylist([{"row_no": n, "line": n} for n in lines], SCHEMAS[TABLE])


@pytest.mark.parametrize("together", [1, 3, 100], ids=["at once", "in the middle", "at the end"])
def test_rows_of_a_file_are_taken_back_wherever_they_are(
    monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(staging, "_TOGETHER", together)
    with staging.workspace(Session()) as space:
        first, second = space.sink(0), space.sink(1)
        first.add(TABLE, rows(1, 2))
        second.add(TABLE, rows(3))
        first.add(TABLE, rows(4))
        first.forget()
        first.add(TABLE, rows(5))
        second.add(TABLE, rows(6))
        space.complete()
        kept = space.con.execute(f"SELECT file_no, line FROM {TABLE}_raw ORDER BY line").fetchall()
    assert kept == [(1, 3), (0, 5), (1, 6)]
