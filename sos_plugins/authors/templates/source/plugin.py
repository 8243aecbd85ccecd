"""Source new-source: referrals from a CSV file.

A working example to change: the columns of the file, how they become a record table, and how
faults are counted. A fault in a row is counted, never raised; a file that cannot be read is an
error.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import Field

from sos_plugins import QualityProfile, Records, Session, Settings, Source, hookimpl
from sos_plugins.contract.record_tables import TABLES
from sos_plugins.errors import DataError, listing
from sos_plugins.tables.csv_text import read_frame

STILL_THE_EXAMPLE = "referrals from a CSV file"  # take this line out when it is yours
COLUMNS = {"authority": "unit", "child": "child", "referred": "referral_date", "nfa": "nfa"}
"""Columns of the file, and what they become."""


class NewSourceSettings(Settings):
    """Settings of the source."""

    path: str = Field(description="The CSV file.")
    date_format: str = Field("%d/%m/%Y", description="How dates are written.")
    start: dt.date = Field(description="First day that the file covers.")
    end: dt.date = Field(description="Last day that the file covers.")


def read_file(settings: NewSourceSettings, session: Session) -> tuple[pd.DataFrame, bytes]:
    """Return the file as text columns, and its content.

    Raises:
        DataError: If the file is missing, no CSV, or lacks a column.
    """
    path = session.path(settings.path)
    frame = read_frame(path)
    absent = [c for c in COLUMNS if c not in frame]
    if absent:
        raise DataError(
            f"{path} lacks the columns {listing(absent)}. Its columns: {listing(frame.columns)}."
        )
    return frame[list(COLUMNS)].rename(columns=COLUMNS), path.read_bytes()


class NewSource(Source):
    """Referrals from one CSV file with the columns authority, child, referred and nfa."""

    name = "new-source"
    label = "New source"
    gives = ("referrals",)
    Settings = NewSourceSettings
    citation = ""

    def read(self, settings: NewSourceSettings, session: Session) -> Records:
        """Read the file; rows without authority, child or date are dropped and counted."""
        text, content = read_file(settings, session)
        text = text.apply(lambda column: column.str.strip()).replace("", None)
        dates = pd.to_datetime(text["referral_date"], format=settings.date_format, errors="coerce")
        rows = text.assign(
            referral_date=dates.dt.date.where(dates.notna(), None),
            nfa=text["nfa"].str.lower().map({"1": True, "true": True, "0": False, "false": False}),
        )
        key = ["unit", "child", "referral_date"]
        usable = rows[key].notna().all(axis=1)
        repeated = usable & rows.duplicated(key)
        kept = rows[usable & ~repeated].astype(object)
        kept = kept.where(kept.notna(), None)

        def counted(column: str, check: str, flagged: Any, action: str) -> dict[str, Any]:
            return {
                "source": self.name,
                "table": "referrals",
                "column": column,
                "check": check,
                "n": len(rows),
                "n_flagged": int(flagged.sum()),
                "action": action,
            }

        quality = [
            counted("unit, child, referral_date", "missing", ~usable, "dropped"),
            counted("unit, child, referral_date", "duplicate", repeated, "dropped"),
            counted("nfa", "missing", rows["nfa"].isna(), "kept"),
        ]
        columns = {name: kept.get(name, [None] * len(kept)) for name in TABLES["referrals"].names}
        table = pa.table({k: list(v) for k, v in columns.items()}, schema=TABLES["referrals"])
        return Records(
            tables={"referrals": session.table(table, "referrals")},
            quality=QualityProfile.of(quality),
            start=settings.start,
            end=settings.end,
            files=(settings.path,),
            data_hash=hashlib.sha256(content).hexdigest(),
        )


@hookimpl
def register_sources(register: Callable[[Source], None]) -> None:
    """Register the source."""
    register(NewSource())
