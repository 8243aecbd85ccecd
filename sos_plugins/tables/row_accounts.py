"""Whether every row and file that a source found is given, merged or dropped."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sos_plugins.contract.types import QualityProfile
from sos_plugins.errors import DataError

READ, GIVEN = "rows-read", "rows-given"
"""Checks that count what was found and what was handed on; they flag nothing."""
MERGING = ("duplicate", "recurrence", "joined")
"""Checks whose rows become one with others; a ``conflict`` is of values, not of rows."""
FILES = "files"
"""The table in which a source counts the files that its settings cover."""
COLUMNS = ("source", "table", "n_read", "n_given", "n_merged", "n_dropped")


def account(
    quality: QualityProfile,
    *,
    source: str,
    table: str,
    n_read: int,
    n_given: int,
    beside: Sequence[str] = (),
) -> QualityProfile:
    """Count the rows of a table that were read and those that were given.

    Args:
        quality: What the source counted; rows merged and dropped must be among it.
        source: Name of the source.
        table: The table.
        n_read: Rows in the files.
        n_given: Rows of those that are in the record table.
        beside: Other names under which rows of the table are counted.

    Raises:
        DataError: If rows are missing that no check counts.
    """
    label = {"source": source, "table": table, "column": "", "n_flagged": 0, "action": "kept"}
    rows = [
        {**label, "check": READ, "n": n_read},
        {**label, "check": GIVEN, "n": n_given},
    ]
    checks = quality.checks
    here = checks[(checks["source"] == source) & checks["table"].isin((table, *beside))]
    n_merged, n_dropped = _gone(here)
    lost = n_read - n_given - n_merged - n_dropped
    if lost:
        raise DataError(
            f"Source {source}, table '{table}': of {n_read} rows {n_given} are given, {n_merged} "
            f"merged and {n_dropped} dropped, which leaves {lost} unexplained. This is a fault of "
            "the source; please report it with the counts of its quality profile."
        )
    return QualityProfile(QualityProfile.of(rows).checks.astype({"period": "Int64"}))


def accounts(checks: pd.DataFrame) -> pd.DataFrame:
    """Return one row a source and table, with :data:`COLUMNS`; rows read = the other three.

    Args:
        checks: Columns as :data:`sos_plugins.contract.types.QUALITY_COLUMNS`.
    """
    rows: list[tuple[object, ...]] = []
    if checks.empty:
        return pd.DataFrame(rows, columns=list(COLUMNS))
    counted = checks[checks["check"] == READ]
    for source, table in counted[["source", "table"]].drop_duplicates().itertuples(index=False):
        here = checks[(checks["source"] == source) & (checks["table"] == table)]
        n_read, n_given = (int(here.loc[here["check"] == c, "n"].sum()) for c in (READ, GIVEN))
        n_merged, _ = _gone(here)
        rows.append((source, table, n_read, n_given, n_merged, n_read - n_given - n_merged))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def files_left_out(checks: pd.DataFrame) -> tuple[str, ...]:
    """Return a sentence a source that left out files which a reader might miss."""
    if checks.empty:
        return ()
    hit = checks[(checks["table"] == FILES) & checks["check"].isin(("out-of-scope", "unreadable"))]
    sentences = []
    for source, part in hit.groupby("source", sort=False):
        names = [str(name) for name in part["column"]]
        shown = ", ".join(names[:SHOWN])
        rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        sentences.append(
            f"Source {source} left out {len(names)} "
            f"{'path' if len(names) == 1 else 'paths'} that its settings cover: {shown}{rest}. "
            "The checks of the records say why."
        )
    return tuple(sentences)


SHOWN = 5
"""Paths that a sentence names."""


def _gone(checks: pd.DataFrame) -> tuple[int, int]:
    """Return how many rows were merged and dropped."""
    merged = checks[checks["check"].isin(MERGING) & (checks["action"] == "merged")]
    dropped = checks[checks["action"] == "dropped"]
    return int(merged["n_flagged"].sum()), int(dropped["n_flagged"].sum())
