"""The folder of a report: HTML, JSON, tables, figures, manifest and the study file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sos_plugins.groundwork.plain import plain
from sos_plugins.report.cells import csv_of
from sos_plugins.report.page import render_page
from sos_plugins.report.sections import Page, index_rows, may_be_table, page_of
from sos_plugins.report.study_files import FIGURES, TABLES, figure_files, regression_files
from sos_plugins.report.table_files import FIGURES as KINDS_OF_FIGURES
from sos_plugins.report.table_files import TABLES as KINDS_OF_TABLES
from sos_plugins.report.table_files import check_packages, kinds_of
from sos_plugins.report.tables import frame_of, to_csv
from sos_plugins.study.result import StudyResult
from sos_plugins.system.output_folder import (
    Content,
    OutputError,
    Owner,
    check_ours,
    check_writable,
    refuse_other_owner,
    replacing,
)

LAST = "report.html"
"""The file whose presence says that a report is whole."""

REPORT = Content(
    what="The report",
    manifest="manifest.json",
    key="report",
    last=LAST,
    removable=re.compile(
        rf"{TABLES}/[A-Za-z0-9._-]+\.({'|'.join(KINDS_OF_TABLES)})"
        rf"|{FIGURES}/[A-Za-z0-9._-]+\.({'|'.join((*KINDS_OF_FIGURES, 'csv'))})"
    ),
)
ALWAYS = (LAST, "result.json", "study.toml", "tables/index.csv")
"""Files of every report, whatever its outcomes."""

ReportError = OutputError
"""A report cannot be written."""


@dataclass(frozen=True)
class Further:
    """Which files a report has for papers and slides beside its own.

    Attributes:
        figures: Kinds of its charts: ``svg``, ``png``, ``pdf``.
        tables: Kinds of its tables of regressions: ``csv``, ``xlsx``, ``docx``, ``tex``, ``md``.
    """

    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    @classmethod
    def of(cls, figures: str | Sequence[str] = (), tables: str | Sequence[str] = ()) -> Further:
        """Read the kinds that are asked for.

        Args:
            figures: Names, or one text with commas between them.
            tables: Likewise.

        Raises:
            SettingsError: If a kind is unknown.
            EngineUnavailableError: If a package that writes a kind is not installed.
        """
        kinds = cls(
            kinds_of(figures, KINDS_OF_FIGURES, "figure"),
            kinds_of(tables, KINDS_OF_TABLES, "table"),
        )
        check_packages(kinds.tables)
        return kinds


NOTHING_FURTHER = Further()


def check_folder(
    folder: Path,
    study_toml: str | None = None,
    outcomes: Sequence[str] = (),
    owner: Owner | None = None,
    further: Further = NOTHING_FURTHER,
) -> None:
    """Find out before a study is run whether its report can be written to a folder.

    Args:
        folder: The folder; it may be absent.
        study_toml: Text of the study; None where it is not known yet.
        outcomes: Names of its outcomes, in their order.
        owner: The study; None allows the report of any other to be replaced.
        further: Files for papers and slides that it will have.

    Raises:
        ReportError: If the folder cannot be written to, holds the report of another study, or has
            files that are not of a report and have the name of one that the report may have.
    """
    check_writable(folder, REPORT.what)
    if owner is not None:
        refuse_other_owner(folder, REPORT, owner)
    for part in (TABLES, FIGURES):
        if (folder / part).is_dir():
            check_writable(folder / part, REPORT.what)
    names = [name for name in ALWAYS if name != "study.toml" or study_toml is not None]
    same = {"study.toml": hashlib.sha256(_bytes(study_toml or "")).hexdigest()}
    check_ours(folder, REPORT, [*names, *_possible_files(folder, outcomes, further)], same=same)


def _possible_files(folder: Path, outcomes: Sequence[str], further: Further) -> list[str]:
    """Return what a folder has under the names of files that a report of outcomes may have."""
    kinds = {TABLES: {"csv", *further.tables}, FIGURES: set(further.figures)}
    return [
        f"{part}/{path.name}"
        for part in kinds
        for path in sorted((folder / part).glob("*"))
        if path.suffix.removeprefix(".") in kinds[part] and may_be_table(path.stem, outcomes)
    ]


def write_report(
    result: StudyResult,
    folder: Path | str,
    *,
    also: Sequence[str] = (),
    owner: Owner | None = None,
    force: bool = False,
    further: Further = NOTHING_FURTHER,
) -> Path:
    """Write the report of a study into a folder and return the path of its HTML file.

    Every file is written in whole in a folder of its own; then the earlier ``report.html`` goes,
    all are moved to their place, and the new ``report.html`` comes last. If nothing could be moved,
    the earlier one comes back. So a reader never sees half a file, nor a report with the tables of
    another, wherever the writing is cut off. Tables and figures of an earlier report that this one
    lacks are removed; other files in the folder stay, and those that no report has written are
    never replaced.

    Args:
        result: What is reported.
        folder: Where; made if needed.
        also: Files that may be replaced whoever wrote them.
        owner: The study with its file; by default what the result tells of it.
        force: Whether the report of another study may be replaced.
        further: Files for papers and slides that are written too.

    Raises:
        ReportError: If the folder cannot be made or written to, another process is writing there,
            it holds the report of another study, or a file of the user would be replaced.
    """
    folder = Path(folder)
    owner = owner or Owner(result.name)
    if not force:
        refuse_other_owner(folder, REPORT, owner)
    json_text = result.to_json()
    files = _files(page_of(StudyResult.from_json(json_text)), json_text, further)
    with replacing(folder, REPORT, also=also, owner=owner) as place:
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    return folder / LAST


def _files(page: Page, json_text: str, further: Further) -> dict[str, bytes]:
    texts = {f"{TABLES}/{table.name}.csv": to_csv(table) for table in page.tables}
    index = index_rows(page)
    columns = ("file", "caption", "rows", "simulated")
    texts[f"{TABLES}/index.csv"] = csv_of(frame_of(index, columns))
    texts["result.json"] = json_text + "\n"
    if page.study.study_toml:
        texts["study.toml"] = page.study.study_toml
    html = _bytes(render_page(page))
    files = {name: _bytes(text) for name, text in texts.items()}
    files |= regression_files(page, further.tables) | figure_files(page, further.figures)
    manifest = _bytes(_manifest(page.study, {**files, LAST: html}))
    return {**files, REPORT.manifest: manifest, LAST: html}


def _manifest(study: StudyResult, files: dict[str, bytes]) -> str:
    manifest = {
        "study": study.name,
        "title": study.title,
        "simulated": study.simulated,
        **plain(dict(study.manifest)),
        "missing_checks": list(study.missing_checks),
        "report": {
            name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())
        },
    }
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def _bytes(text: str) -> bytes:
    """Encode text; half characters, as in file names that are no UTF-8, are written as escapes."""
    return text.encode("utf-8", "backslashreplace")
