"""What planting a fault takes: who can be struck, who is, and a line about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sos_simulator.children import Children
from sos_simulator.dates import NEVER, Flags, Ints, Objects, april_year, generator
from sos_simulator.fault_kinds import rate
from sos_simulator.population import Population
from sos_simulator.settings import SimulatedSettings

FAULTS = pa.schema(
    [
        ("fault", pa.string()),
        ("table", pa.string()),
        ("unit", pa.string()),
        ("year", pa.int64()),  # April-year of the last return that shows the row
        ("child", pa.string()),  # null: the fault is of the authority
        ("record", pa.string()),  # dates of the row's key as written, joined with "/"
        ("column", pa.string()),
        ("planted", pa.string()),  # what is written; LEFT_OUT; null: follows from another fault
    ]
)
LEFT_OUT = "left out"


def iso(days: Ints) -> Objects:
    """Return days as ISO text; :data:`LEFT_OUT` for NEVER."""
    known = np.where(days == NEVER, 0, days).astype("datetime64[D]")
    text = np.datetime_as_string(known).astype(object)
    return np.where(days == NEVER, LEFT_OUT, text)


@dataclass
class Log:
    """Collects the lines of the table of faults of one part.

    Attributes:
        codes: Codes of the authorities.
        children: The children.
        struck: By fault, how many rows were struck by its own rate, and how many could be.
    """

    codes: Objects
    children: Children
    struck: dict[str, tuple[int, int]] = field(default_factory=dict)
    _tables: list[pa.Table] = field(default_factory=list)

    def of_children(
        self,
        fault: str,
        where: tuple[str, str],
        *,
        child: Ints,
        year: Ints,
        record: tuple[Ints, ...] = (),
        planted: Any = None,
    ) -> None:
        """Add a line a row.

        Args:
            fault: Kind of the fault.
            where: Record table and column.
            child: Index of each child.
            year: April-year of the last return that shows the row.
            record: Days of the key of the row beside unit and child.
            planted: What is written: texts, days, one text for all, or None.
        """
        n = len(child)
        if not n:
            return
        keys = [iso(days) for days in record]
        text = keys[0] if keys else np.full(n, "", dtype=object)
        for further in keys[1:]:
            text = text + "/" + further
        if isinstance(planted, np.ndarray) and planted.dtype.kind == "i":
            planted = iso(planted)
        if planted is None or isinstance(planted, str):
            planted = np.full(n, planted, dtype=object)
        same = {"fault": fault, "table": where[0], "column": where[1]}
        columns = {
            **{name: pa.array(np.full(n, value, dtype=object)) for name, value in same.items()},
            "unit": pa.array(self.codes[self.children.unit[child]]),
            "year": pa.array(year.astype(np.int64)),
            "child": pa.array(self.children.identifier[child].astype(str).astype(object)),
            "record": pa.array(text),
            "planted": pa.array(planted, pa.string()),
        }
        self._tables.append(pa.table({name: columns[name] for name in FAULTS.names}, FAULTS))

    def of_authority(self, fault: str, table: str, unit: int, year: int, planted: str) -> None:
        """Add a line about an authority."""
        row = {"fault": fault, "table": table, "unit": self.codes[unit], "year": year}
        row |= {"child": None, "record": "", "column": "", "planted": planted}
        self._tables.append(pa.Table.from_pylist([row], schema=FAULTS))

    def count(self, fault: str, struck: int, of: int) -> None:
        """Add to the number of rows struck, and of those that could be."""
        before = self.struck.get(fault, (0, 0))
        self.struck[fault] = (before[0] + struck, before[1] + of)

    def table(self) -> pa.Table:
        """Return all lines."""
        return pa.concat_tables([FAULTS.empty_table(), *self._tables])


@dataclass(frozen=True)
class Striker:
    """Decides which rows a fault strikes; each fault draws its own random numbers."""

    settings: SimulatedSettings
    population: Population
    log: Log

    def random(self, fault: str) -> np.random.Generator:
        """Return the random numbers of a fault."""
        return generator(self.settings.seed, self.population.stream(f"fault {fault}"))

    def rows(
        self, fault: str, eligible: Flags, table: str = ""
    ) -> tuple[Ints, np.random.Generator]:
        """Return the rows struck, and random numbers for what is planted there."""
        rng = self.random(f"{fault} {table}".rstrip())
        share = rate(self.settings.faults, fault)
        if not share:
            return np.zeros(0, dtype=np.int64), rng
        rows = np.flatnonzero(eligible & (rng.random(len(eligible)) < share))
        self.log.count(fault, len(rows), int(eligible.sum()))
        return rows, rng


def last_year(days: Ints, years: range) -> Ints:
    """Return the April-year of the last return that shows what ends on these days."""
    return np.minimum(april_year(days), years[-1])


def summed(parts: list[Mapping[str, tuple[int, int]]]) -> dict[str, dict[str, int]]:
    """Return, over all parts, how many rows each fault struck, and of how many."""
    total: dict[str, dict[str, int]] = {}
    for part in parts:
        for fault, (struck, of) in part.items():
            line = total.setdefault(fault, {"planted": 0, "of": 0})
            line["planted"] += struck
            line["of"] += of
    return total
