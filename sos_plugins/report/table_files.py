"""Tables as files for papers, slides and spreadsheets.

The same table gives the same bytes: no file has the time at which it was written, or an author.
"""

from __future__ import annotations

import datetime as dt
import importlib
import io
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sos_plugins.errors import EngineUnavailableError, SettingsError, did_you_mean, listing
from sos_plugins.groundwork.installed import missing_python
from sos_plugins.report.cells import csv_of
from sos_plugins.report.tables import Table

FIGURES = ("svg", "png", "pdf")
TABLES = ("csv", "xlsx", "docx", "tex", "md")
PACKAGES = {"xlsx": "xlsxwriter", "docx": "docx"}
"""What writes a kind of table, where Python alone does not."""
MEND = "pip install 'sos-plugins[files]'"
NO_DATE = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""What stands in a file that must have a date; none is told."""
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
A4 = (210, 297)
"""Millimetres."""
MARGIN = 20
"""Millimetres."""
UPRIGHT = 4
"""Columns of estimates that fit a page upright."""
IN_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\u2212": "$-$",
    "\u2013": "--",
    "\u00d7": r"$\times$",
}


@dataclass(frozen=True)
class TextTable:
    """A table of texts that becomes files.

    Attributes:
        title: What it shows; the title of a document.
        table: Frame of texts; its index names the rows, its columns are their headings.
        beneath: Sentences that stand beneath it.
        figures: What it shows in full precision: the second sheet of a workbook.
    """

    title: str
    table: pd.DataFrame
    beneath: tuple[str, ...]
    figures: pd.DataFrame


def in_text(table: Table, beneath: Sequence[str] = ()) -> TextTable:
    """Return a table of a report as texts; the names of its groups stand in the first column.

    Args:
        table: The table.
        beneath: Sentences beneath it.
    """
    rows = [(group, cells) for group, members in table.groups for cells in members]
    heads = [column.heading for column in table.columns]
    if table.group:
        names = [
            group if n == 0 or rows[n - 1][0] != group else "" for n, (group, _) in enumerate(rows)
        ]
        frame = pd.DataFrame([cells for _, cells in rows], columns=heads, index=names)
    else:
        body = [cells[1:] for _, cells in rows]
        frame = pd.DataFrame(body, columns=heads[1:], index=[cells[0] for _, cells in rows])
    notes = filter(None, (table.note, *beneath))
    return TextTable(
        table.caption, frame, tuple(notes), table.frame if table.raw is None else table.raw
    )


def kinds_of(asked: str | Sequence[str], there_are: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the kinds of file that were asked for, each once.

    Args:
        asked: Names, or one text with commas between them.
        there_are: The kinds that can be written.
        what: Of what, for the message: ``"figure"``.

    Raises:
        SettingsError: If a kind is unknown.

    >>> kinds_of("svg, png", FIGURES, "figure")
    ('svg', 'png')
    """
    names = asked.split(",") if isinstance(asked, str) else asked
    kinds = tuple(dict.fromkeys(filter(None, (name.strip().lower() for name in names))))
    for kind in kinds:
        if kind not in there_are:
            raise SettingsError(
                f"There is no {what} of kind '{kind}'.{did_you_mean(kind, there_are)} "
                f"Kinds: {listing(there_are)}."
            )
    return kinds


def table_files(name: str, table: TextTable, kinds: Sequence[str]) -> dict[str, bytes]:
    """Write a table as files, by their names: the same bytes for the same table.

    Args:
        name: Of the files, before their kind.
        table: The table.
        kinds: Some of :data:`TABLES`.

    Raises:
        EngineUnavailableError: If a package that writes a kind is not installed.
    """
    return {f"{name}.{kind}": WRITERS[kind](table) for kind in kinds}


def check_packages(kinds: Sequence[str]) -> None:
    """Raise an EngineUnavailableError if a package that writes a kind of table is not installed.

    Args:
        kinds: Some of :data:`TABLES`.
    """
    for kind in kinds:
        if kind in PACKAGES:
            _package(PACKAGES[kind])


def _csv(shown: TextTable) -> bytes:
    return csv_of(shown.table.rename_axis("term").reset_index()).encode()


def _markdown(shown: TextTable) -> bytes:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    rows = _rows(shown.table)
    ruler = line(["---", *["---:"] * (len(rows[0]) - 1)])
    notes = [f"\n{note}" for note in shown.beneath]
    return "\n".join([line(rows[0]), ruler, *map(line, rows[1:]), *notes, ""]).encode()


def _latex(shown: TextTable) -> bytes:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(_escaped(cell) for cell in cells) + r" \\"

    rows = _rows(shown.table)
    wide = len(rows[0])
    notes = [
        rf"\multicolumn{{{wide}}}{{p{{0.9\linewidth}}}}{{\footnotesize {_escaped(note)}}} \\"
        for note in shown.beneath
    ]
    lines = [
        "% needs the package booktabs",
        rf"\begin{{tabular}}{{l{'r' * (wide - 1)}}}",
        r"\toprule",
        line(rows[0]),
        r"\midrule",
        *map(line, rows[1:]),
        r"\bottomrule",
        *notes,
        r"\end{tabular}",
        "",
    ]
    return "\n".join(lines).encode()


def _escaped(text: str) -> str:
    return "".join(IN_LATEX.get(sign, sign) for sign in text)


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """Return the header and the rows of a table of texts."""
    body = [
        [str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return [["", *map(str, table.columns)], *body]


def _package(name: str) -> Any:
    missing = missing_python(name, MEND)
    if missing:
        raise EngineUnavailableError(f"This kind of file cannot be written here: {missing}.")
    return importlib.import_module(name)


def _workbook(shown: TextTable) -> bytes:
    """Write a sheet to read and one with the numbers; no text becomes a formula or a link."""
    buffer = io.BytesIO()
    plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = _package(PACKAGES["xlsx"]).Workbook(buffer, {"in_memory": True, **plain})
    book.set_properties({"created": NO_DATE.replace(tzinfo=None)})
    bold, right = book.add_format({"bold": True}), book.add_format({"align": "right"})
    sheet = book.add_worksheet("Table")
    rows = [*_rows(shown.table), [], *([note] for note in shown.beneath)]
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            sheet.write_string(i, j, text, bold if i == 0 else right if j else None)
    sheet.set_column(0, 0, 18)
    sheet.set_column(1, len(rows[0]), 28)
    numbers = book.add_worksheet("Figures")
    figures = shown.figures
    numbers.write_row(0, 0, list(figures.columns), bold)
    for i, values in enumerate(figures.itertuples(index=False), start=1):
        for j, value in enumerate(values):
            _write_value(numbers, i, j, value)
    book.close()
    return buffer.getvalue()


def _write_value(sheet: Any, row: int, column: int, value: Any) -> None:
    """Write a number as one, an infinite one as text, and nothing where there is none."""
    if isinstance(value, str):
        sheet.write_string(row, column, value)
    elif value is not None and math.isinf(value):
        sheet.write_string(row, column, "inf" if value > 0 else "-inf")
    elif value is not None and not math.isnan(value):
        sheet.write_number(row, column, value)


def _document(shown: TextTable) -> bytes:
    """Write a page of A4 with the table and the notes beneath it."""
    docx, shared = _package("docx"), _package("docx.shared")
    document = docx.Document()
    about = document.core_properties
    about.author = about.last_modified_by = about.comments = ""
    about.title = shown.title
    about.created = about.modified = NO_DATE.replace(tzinfo=None)
    rows = _rows(shown.table)
    page, (width, height) = document.sections[0], A4
    if len(rows[0]) - 1 > UPRIGHT:
        page.orientation, width, height = 1, height, width
    page.page_width, page.page_height = shared.Mm(width), shared.Mm(height)
    for side in ("left", "right", "top", "bottom"):
        setattr(page, f"{side}_margin", shared.Mm(MARGIN))
    table = document.add_table(rows=len(rows), cols=len(rows[0]), style="Light List")
    for cells, row in zip(table.rows, rows, strict=True):
        for j, (cell, text) in enumerate(zip(cells.cells, row, strict=True)):
            paragraph = cell.paragraphs[0]
            paragraph.add_run(text).font.size = shared.Pt(9)
            paragraph.alignment = 2 if j else 0
    for note in shown.beneath:
        document.add_paragraph().add_run(note).font.size = shared.Pt(9)
    buffer = io.BytesIO()
    document.save(buffer)
    return _without_dates(buffer.getvalue())


def _without_dates(archive: bytes) -> bytes:
    """Return a zip archive whose files have no time of their own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, old.read(name))
    return buffer.getvalue()


WRITERS: Mapping[str, Callable[[TextTable], bytes]] = {
    "csv": _csv,
    "xlsx": _workbook,
    "docx": _document,
    "tex": _latex,
    "md": _markdown,
}
