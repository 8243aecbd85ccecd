"""Record tables as Parquet: one file a table, one row group an authority."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from sos_plugins.schema import TABLES
from sos_sources.simulator.parts import each
from sos_sources.simulator.settings import SimulatedSettings

if TYPE_CHECKING:
    from sos_sources.simulator import Simulation

WRITTEN = (
    "children",
    "referrals",
    "assessments",
    "section47s",
    "protection_plans",
    "episodes",
)
COMPRESSION = "zstd"


def recorded_tables(part: Simulation) -> tuple[dict[str, pa.Table], Any]:
    """Return the tables that are written of a part, faults included, and what was planted."""
    return part.tables(faults=True), part.faults


def write_tables(
    folder: Path, settings: SimulatedSettings, advance: Callable[[int], Any] = lambda _: None
) -> list[Any]:
    """Write ``<table>.parquet``; return what was planted, one element a part."""
    folder.mkdir(parents=True, exist_ok=True)
    planted = []
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                pq.ParquetWriter(folder / f"{name}.parquet", TABLES[name], compression=COMPRESSION)
            )
            for name in WRITTEN
        }
        for tables, faults in each(settings, recorded_tables):
            for name, writer in writers.items():
                if tables[name].num_rows:
                    writer.write_table(tables[name])
            planted.append(faults)
            advance(1)
    return planted
