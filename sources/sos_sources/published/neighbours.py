"""Statistical neighbours of authorities, as the published models give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sos_plugins.contract.record_tables import TABLES
from sos_plugins.contract.types import QualityProfile
from sos_plugins.errors import DataError
from sos_plugins.tables.csv_text import TextTable, read_text
from sos_sources.published.measures import plain_name

CODE = ("oldlacode", "lanum", "lanumber", "lacode")
RANK = re.compile(r"sn(\d+)")
AUTHORITY = re.compile(r"\d{3}")


@dataclass(frozen=True)
class NeighbourModel:
    """One file of neighbours: ``table`` as in the schema, ``quality`` counts rows left out."""

    path: Path
    text: TextTable
    table: pa.Table
    quality: QualityProfile

    def covers(self, units: Iterable[str]) -> int:
        """Return how many of these authorities have neighbours here."""
        return len(set(self.table["unit"].to_pylist()) & set(units))


def is_model(plain_names: Sequence[str]) -> bool:
    """Whether a header names an authority and neighbours SN1, SN2 ..."""
    return any(name in CODE for name in plain_names) and "sn1" in plain_names


def read_neighbours(path: Path, *, source: str, file: str) -> NeighbourModel:
    """Read a file with one row an authority: its code, SN1, how close, SN2, how close ...

    The column after a neighbour says how close it is. Rows without a code (headings between parts
    of the file) are left out and counted.

    Raises:
        DataError: If an authority stands twice, or no row names one.
    """
    text = read_text(path)
    names = [plain_name(name) for name in text.names]
    if not is_model(names):
        raise DataError(
            f"{path} holds no statistical neighbours: expected a column such as old_la_code and "
            "columns SN1 to SN10."
        )
    code = next(names.index(name) for name in CODE if name in names)
    ranks = [(int(m[1]), i) for i, name in enumerate(names) if (m := RANK.fullmatch(name))]
    columns = [column.to_pylist() for column in text.columns]
    rows, seen, skipped = [], set(), 0
    for row in range(text.n_rows):
        unit = columns[code][row]
        if unit is None or not AUTHORITY.fullmatch(unit):
            skipped += any(column[row] is not None for column in columns)
            continue
        if unit in seen:
            raise DataError(f"{path}, line {text.lines([row])[0]}: {unit} stands here twice.")
        seen.add(unit)
        for rank, i in sorted(ranks):
            if columns[i][row] is not None:
                close = columns[i + 1][row] if i + 1 < len(columns) else None
                rows.append((unit, columns[i][row], rank, close and close.lower()))
    if not rows:
        raise DataError(f"{path} names no authority with a neighbour.")
    schema = TABLES["neighbours"]
    table = pa.table(
        [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), schema.types, strict=True)],
        schema=schema,
    )
    counted = {"source": source, "table": "neighbours", "column": file, "check": "out-of-scope"}
    counts = {"n": text.n_rows, "n_flagged": skipped + len(text.misfits), "action": "dropped"}
    return NeighbourModel(path, text, table, QualityProfile.of([{**counted, **counts}]))


def of_areas(table: pa.Table, areas: Mapping[str, str]) -> pa.Table:
    """Put authorities that were joined to an area in the place of which the area stands.

    An area has the neighbours of the first of its authorities (by code) that has any; as a
    neighbour it has the best of their ranks.
    """
    if not areas:
        return table
    whose: dict[str, str] = {}
    best: dict[tuple[str, str], tuple[int, str | None]] = {}
    for row in sorted(table.to_pylist(), key=lambda r: (r["unit"], r["rank"])):
        unit = areas.get(row["unit"], row["unit"])
        if whose.setdefault(unit, row["unit"]) != row["unit"]:
            continue
        near = areas.get(row["neighbour"], row["neighbour"])
        if near != unit:
            best.setdefault((unit, near), (row["rank"], row["closeness"]))
    rows = [(*pair, *nearness) for pair, nearness in best.items()]
    return pa.table(
        [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), table.schema.types, strict=True)],
        schema=table.schema,
    )
