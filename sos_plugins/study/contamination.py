"""Contaminated comparators: authorities that used the approach in some form without being pilots.

Compared with them an effect is understated, or hidden. Who they are is known to people and not to
records, so the study says it: one by one, or in a column of its table of authorities.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from sos_plugins.errors import DesignError, listing
from sos_plugins.study.authorities import AuthorityFile
from sos_plugins.study.file import DesignTable
from sos_plugins.tables.unit_codes import KnownUnits

USED_IT = "it used the approach in some form"
"""The reason of an authority that is marked without one."""

YES = frozenset({"true", "yes", "y", "1", "1.0"})
NO = frozenset({"", "false", "no", "n", "0", "0.0", "nan", "none"})
"""What a cell of the column may say instead of a reason."""


def contaminated_of(
    table: DesignTable, base: Path, finder: KnownUnits, pilots: Collection[str]
) -> Mapping[str, str]:
    """Return who is contaminated, with the reason.

    Args:
        table: The design of a study file.
        base: Folder against which its paths are resolved.
        finder: Authorities in the records.
        pilots: Those that are pilots. The column may mark them too, which says nothing new.

    Returns:
        Reason by authority, in the order of the codes; of authorities in the records only.

    Raises:
        DesignError: If the study names one that the records do not have, or that is a pilot, or if
            its table of authorities has no such column.
        DataError: If that table cannot be read.
    """
    known, named = finder.units, dict(table.contaminated)
    for code, reason in named.items():
        where = f"[design] contaminated names the authority '{code}'"
        if code in pilots:
            raise DesignError(f"{where}, which is a pilot. Take it out of one of them.")
        if code not in known:
            near = finder.near(code)
            raise DesignError(f"{where}, which the records do not have.{near}")
        if not reason.strip():
            named[code] = USED_IT
    marked = _marked(table, base, finder)
    kept = {code: why for code, why in marked.items() if code in known and code not in pilots}
    return dict(sorted({**kept, **named}.items()))


def told_of(contaminated: Mapping[str, str], pool: Collection[str], table: DesignTable) -> str:
    """Say which authorities of the pool are contaminated; empty if none is.

    Raises:
        DesignError: If the study refuses contaminated comparators and the pool has some.
    """
    found = [code for code in contaminated if code in pool]
    if not found:
        return ""
    n = len(found)
    be = "authority of the pool is" if n == 1 else "authorities of the pool are"
    reasons = "; ".join(f"{code}: {contaminated[code]}" for code in found)
    if table.if_contaminated == "refuse":
        raise DesignError(
            f"{n} {be} contaminated by the approach ({reasons}), and [design] if_contaminated = "
            "'refuse' allows none. Take them out of the pool (exclude), or set if_contaminated = "
            "'trim'."
        )
    return f"{n} {be} contaminated by the approach and no comparator therefore: {reasons}."


def _marked(table: DesignTable, base: Path, known: KnownUnits) -> dict[str, str]:
    """Read the column of the table of authorities."""
    column = table.contaminated_column
    if column is None:
        return {}
    file = AuthorityFile.of(table, base, known)
    if file is None:
        raise DesignError(
            f"[design] contaminated_column = '{column}' is a column of the table of authorities, "
            "and the study names none ([design] authorities)."
        )
    columns = file.open()
    if column not in columns.names:
        raise DesignError(
            f"{columns.path} has no column '{column}' ([design] contaminated_column). Its columns: "
            f"{listing(columns.names)}."
        )
    cells = zip(file.units(columns), columns.texts(column).to_pylist(), strict=True)
    said = {str(unit).strip(): str(cell or "").strip() for unit, cell in cells}
    return {
        unit: USED_IT if cell.lower() in YES else cell
        for unit, cell in said.items()
        if cell.lower() not in NO
    }
