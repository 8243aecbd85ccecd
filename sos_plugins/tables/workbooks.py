"""Sheets of an Excel workbook as typed columns.

The names of the columns stand in the first row that has a cell; rows without any are left out.
A column of numbers, dates or truth values is typed; of several kinds of cells it becomes text,
dates in it as 2019-12-31, so that whoever reads it sees the mixture.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sos_plugins.errors import DataError, did_you_mean, listing
from sos_plugins.tables.readable import WORKBOOK, readable, refuse_unreadable
from sos_plugins.tables.typed_tables import TypedTable, moment, needs

WORKBOOK_SUFFIXES = (".xlsx", ".xlsm")
_ERROR = re.compile(rb'<c [^>]*?r="([A-Z]+\d+)"[^>]*?\bt="e"')
_UNCALCULATED = re.compile(
    rb'<c [^>]*?r="([A-Z]+\d+)"[^>]*>\s*<f(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>'
)
_CHUNK = 1 << 22
_LONGEST_CELL = 1 << 16
"""Bytes that are looked at again at the end of a piece: a cell may lie on both sides."""
SHOWN = 3


def read_workbook(path: Path, sheet: str | None, used: Collection[str] | None) -> TypedTable:
    """Read a sheet.

    Args:
        path: The workbook.
        sheet: Name of the sheet; None for the only one that has cells.
        used: Columns that will be asked for; all if None.

    Raises:
        DataError: If the workbook cannot be read, has no such sheet or several and none is named,
            or a cell holds an error or a formula that was never calculated.
    """
    name, rows, first = _sheet(path, sheet)
    _refuse_broken_cells(path, name)
    names = tuple(_text(cell).strip() for cell in rows[0])
    body = [
        (number, row) for number, row in enumerate(rows[1:], first + 1) if any(map(_there, row))
    ]
    columns = tuple(
        _typed([row[i] for _, row in body]) if used is None or label in used else None
        for i, label in enumerate(names)
    )
    numbers = np.array([number for number, _ in body], dtype=np.int64)
    return TypedTable(names, columns, len(body), rows=numbers)


def sheet_header(path: Path, sheet: str | None) -> tuple[str, ...]:
    """Return the names of the columns of a sheet; errors as of :func:`read_workbook`."""
    return tuple(_text(cell).strip() for cell in _sheet(path, sheet)[1][0])


def _sheet(path: Path, sheet: str | None) -> tuple[str, list[list[Any]], int]:
    """Return the name of a sheet, its rows, the header first, and the number of that row."""
    refuse_unreadable(path, expected=WORKBOOK)
    calamine = needs("python_calamine", "python-calamine", path)
    try:
        with readable(path):
            book = calamine.CalamineWorkbook.from_path(str(path))
        if sheet is not None and sheet not in book.sheet_names:
            raise DataError(
                f"{path} has no sheet '{sheet}'.{did_you_mean(sheet, book.sheet_names)} Sheets: "
                f"{listing(book.sheet_names)}."
            )
        visible = calamine.SheetVisibleEnum.Visible
        shown = [s.name for s in book.sheets_metadata if s.visible == visible]
        there = {name: book.get_sheet_by_name(name) for name in ([sheet] if sheet else shown)}
        filled = [name for name, one in there.items() if one.start is not None]
        if len(filled) != 1:
            raise _no_one_sheet(path, sheet, filled)
        one = there[filled[0]]
        rows = one.to_python(skip_empty_area=True)
    except calamine.PasswordError:
        raise DataError(f"{path} is protected by a password. Save it without one.") from None
    except calamine.CalamineError as error:
        raise DataError(f"{path} cannot be read as an Excel workbook: {error}.") from None
    return filled[0], rows, one.start[0] + 1


def _no_one_sheet(path: Path, sheet: str | None, filled: Sequence[str]) -> DataError:
    if sheet is not None:
        return DataError(f"The sheet '{sheet}' of {path} is empty.")
    if not filled:
        return DataError(f"{path} has no sheet with cells that is shown.")
    return DataError(
        f"{path} has {len(filled)} sheets with cells: {listing(filled)}. Say which holds the table "
        "(in a study, the setting 'sheet' of a source, or pilot_sheet or authority_sheet of "
        "[design]; on the command line --sheet)."
    )


def _there(cell: Any) -> bool:
    return cell != "" and cell is not None and not (isinstance(cell, str) and not cell.strip())


def _typed(cells: Sequence[Any]) -> pa.ChunkedArray:
    """Make a column of cells: of one kind if they are, else text."""
    filled = [cell if _there(cell) else None for cell in cells]
    kinds = {type(cell) for cell in filled if cell is not None}
    if kinds <= {float, int}:
        array = pa.array(filled, pa.float64()) if kinds else pa.nulls(len(filled), pa.string())
    elif kinds == {bool}:
        array = pa.array(filled, pa.bool_())
    elif kinds <= {dt.date, dt.datetime}:
        array = pa.array([c and moment(c) for c in filled], pa.timestamp("us"))
    else:
        array = pa.array([None if c is None else _text(c) for c in filled], pa.string())
    return pa.chunked_array([array])


def _text(cell: Any) -> str:
    """Write a cell as the sheet shows it without a format."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, (dt.datetime, dt.date)):
        at = moment(cell)
        return at.date().isoformat() if at.time() == dt.time() else at.isoformat(" ")
    return "" if cell is None else str(cell)


def _refuse_broken_cells(path: Path, sheet: str) -> None:
    """Refuse cells that would be read as empty though they hold something.

    Raises:
        DataError: If a cell shows an error such as #REF!, or has a formula and no value.
    """
    with readable(path), zipfile.ZipFile(path) as archive:
        part = _part_of(archive, sheet)
        if part is None:
            return
        for pattern, what in (
            (_ERROR, "an error such as #N/A or #REF!"),
            (_UNCALCULATED, "a formula that was never calculated"),
        ):
            cells, n = _found(archive, part, pattern)
            if n:
                more = f" and {n - len(cells)} more" if n > len(cells) else ""
                raise DataError(
                    f"{path}, sheet '{sheet}': {what} stands in {', '.join(cells)}{more}, which "
                    "would be read as an empty cell. Mend or empty the cells, open the workbook "
                    "once in a spreadsheet program and save it."
                )


def _found(
    archive: zipfile.ZipFile, part: str, pattern: re.Pattern[bytes]
) -> tuple[list[str], int]:
    """Return the first cells that a pattern finds, and how many it finds."""
    cells: dict[str, None] = {}
    with archive.open(part) as file:
        before = b""
        while piece := file.read(_CHUNK):
            text = before + piece
            cells |= dict.fromkeys(found[1].decode() for found in pattern.finditer(text))
            before = text[-_LONGEST_CELL:]
    return list(cells)[:SHOWN], len(cells)


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the file within a workbook that holds a sheet."""
    from lxml import etree  # which other tables need not wait for

    try:
        book = etree.fromstring(archive.read("xl/workbook.xml"))
        links = etree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    except (KeyError, etree.XMLSyntaxError):
        return None
    wanted = [s for s in book.iter("{*}sheet") if s.get("name") == sheet]
    ids = {value for s in wanted for key, value in s.attrib.items() if str(key).endswith("}id")}
    targets = [str(link.get("Target")) for link in links if link.get("Id") in ids]
    parts = [t.lstrip("/") if t.startswith("/") else f"xl/{t}" for t in targets]
    return next((part for part in parts if part in archive.namelist()), None)
