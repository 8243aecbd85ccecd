"""The pilots of a study file, read and checked before any record is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sos_plugins.contract.types import Pilot
from sos_plugins.errors import DataError, DesignError, listing
from sos_plugins.host.settings import validate
from sos_plugins.study.file import DesignTable, PilotRow, dated
from sos_plugins.tables.names_alike import folded
from sos_plugins.tables.period_codes import april_year
from sos_plugins.tables.small_tables import read_small_table
from sos_plugins.tables.unit_codes import codes_meant


def read_pilots(table: DesignTable, base: Path) -> tuple[Pilot, ...]:
    """Read the pilots of a study file, from their file or its list.

    Raises:
        DesignError: If the file is missing, a row has neither a window nor a cohort, or its dates
            can be read in more than one way; with file and line.
        SettingsError: If a value does not fit.
    """
    if not isinstance(table.pilots, str):
        rows = [(f"[design] pilots {n}", row) for n, row in enumerate(table.pilots, 1)]
    else:
        rows = _pilot_rows(base / Path(table.pilots).expanduser(), table)
    if not rows:
        raise DesignError("The design names no pilots. Give [design] pilots at least one row.")
    return tuple(_pilot(row, where, table.support) for where, row in rows)


def _pilot_rows(path: Path, table: DesignTable) -> list[tuple[str, PilotRow]]:
    if not path.exists():
        raise DesignError(f"There is no file of pilots at {path} ([design] pilots).")
    try:
        frame = read_small_table(
            path, names=("unit",), sheet=table.pilot_sheet, columns=table.pilot_columns
        )
    except DataError as error:
        raise DesignError(f"The file of pilots cannot be read: {error}") from None
    if "unit" not in frame:
        raise DesignError(
            f"{path} has no column 'unit'. Its columns: {listing(frame.columns)}. Expected: unit, "
            "start, end, and optionally name, cohort and columns of your own; say which is which "
            'with pilot_columns = { unit = "..." }.'
        )
    numbers, rows = [], []
    for n, record in zip(frame.index, frame.to_dict("records"), strict=True):
        values = {str(k): v.strip() for k, v in record.items() if str(v).strip()}
        if values:
            numbers.append(f"{frame.index.name} {n}")
            rows.append(values)
    try:
        rows = dated(rows, numbers, table.dates)
    except ValueError as error:
        raise DesignError(
            f"{path}: {error}. In [design], dates = ... says it of the pilots."
        ) from None
    return [
        (where, validate(PilotRow, row, where=where))
        for where, row in zip((f"{path}, {number}" for number in numbers), rows, strict=True)
    ]


def _pilot(row: PilotRow, where: str, support: str) -> Pilot:
    if (row.start is None) != (row.end is None):
        raise DesignError(f"{where}: pilot {row.unit} has only one of start and end; give both.")
    if row.end is None and row.cohort is None:
        raise DesignError(
            f"{where}: pilot {row.unit} has neither an embedding window (start, end) nor a cohort."
        )
    cohort = row.cohort
    if cohort is None:
        assert row.end is not None
        cohort = april_year(row.end + dt.timedelta(days=1))
    attributes = dict(row.model_extra or {})
    if support in attributes:
        attributes[support] = _yes_or_no(attributes[support], support, where)
    return Pilot(row.unit, row.start, row.end, cohort, row.name, attributes)


def _yes_or_no(value: Any, column: str, where: str) -> bool:
    words = {"true": True, "yes": True, "y": True, "1": True}
    words |= {"false": False, "no": False, "n": False, "0": False, "": False}
    answer = words.get(str(value).strip().lower())
    if answer is None:
        raise DesignError(f"{where}: column '{column}' has {value!r}; expected true or false.")
    return answer


def refuse_contradictions(table: DesignTable, pilots: Sequence[Pilot]) -> None:
    """Refuse pilots that contradict each other or the design, whatever the records hold.

    Args:
        table: The design of a study file.
        pilots: Its pilots.

    Raises:
        DesignError: If a pilot stands twice, under two names or codes of one authority too, or is
            in the pool, excluded or contaminated as well.
    """
    codes = [pilot.unit for pilot in pilots]
    for n, code in enumerate(codes):
        if (twin := _same(code, codes[:n])) is not None:
            said = f"{code} more than once" if code == twin else f"{twin} and {code}, one authority"
            raise DesignError(f"[design] pilots names the pilots {said}. Leave one row for each.")
    named = {
        "pool": () if table.pool == "all" else table.pool,
        "exclude": table.exclude,
        "contaminated": tuple(table.contaminated),
    }
    for key, others in named.items():
        for code in codes:
            if (other := _same(code, others)) is not None:
                also = "" if other == code else f" (as {other})"
                raise DesignError(
                    f"[design]: {code} is a pilot and stands in {key} too{also}. Take it out of "
                    "one of them."
                )


def _same(code: str, others: Iterable[str]) -> str | None:
    """Return the other that is the same authority for certain, by its text or its codes."""
    meant = codes_meant(code)
    for other in others:
        if folded(other) == folded(code) or (len(meant) == 1 and codes_meant(other) == meant):
            return other
    return None


def told_of_names(found: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Say which authorities of the study are called otherwise in the records.

    Args:
        found: What the study calls them, and what the records do.
    """
    pairs = [f"{text} ({unit})" for text, unit in dict.fromkeys(found) if text != unit]
    if not pairs:
        return ()
    return (
        "Authorities that the study names otherwise than the records were taken for those in "
        f"brackets: {listing(pairs)}.",
    )
