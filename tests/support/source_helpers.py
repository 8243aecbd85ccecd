"""What tests of sources share: rows of a table, counts of a check, files with random damage."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import strategies as st

from sos_plugins import Records

Changes = list[tuple[int, bytes]]


def rows(records: Records, table: str) -> list[dict[str, Any]]:
    """The rows of a record table, in order."""
    return cast("list[dict[str, Any]]", records.tables[table].to_pyarrow().to_pylist())


def flagged(records: Records, table: str, column: str, check: str) -> int:
    """How many rows a check found over all authorities and years; the check must be listed."""
    frame = records.quality.checks
    hit = (frame["table"] == table) & (frame["column"] == column) & (frame["check"] == check)
    assert hit.any(), f"no row {table}/{column}/{check}"
    return int(frame.loc[hit, "n_flagged"].sum())


def faults(records: Records) -> dict[tuple[str, str, str], int]:
    """Every check that found something, with how much."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in records.quality.checks.query("n_flagged > 0").itertuples():
        key = (str(row.table), str(row.column), str(row.check))
        counts[key] = counts.get(key, 0) + int(cast("int", row.n_flagged))
    return counts


def changes(data: bytes) -> st.SearchStrategy[Changes]:
    """Up to six places in the data, each with up to three bytes to write there."""
    return st.lists(st.tuples(st.integers(0, len(data) - 1), st.binary(max_size=3)), max_size=6)


def damaged(data: bytes, changed: Changes) -> bytes:
    """Write the changes over the data."""
    result = bytearray(data)
    for place, replacement in changed:
        result[place : place + len(replacement)] = replacement
    return bytes(result)
