"""The folder of a report: HTML, JSON, CSV tables, manifest and the study file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sos_plugins.errors import SosError
from sos_plugins.report.page import render_page
from sos_plugins.report.sections import Page, index_rows, page_of
from sos_plugins.report.tables import frame_of, to_csv
from sos_plugins.result import StudyResult
from sos_plugins.types import plain
from sos_plugins.whole_files import WholeFile, clear

OWN_FILE = re.compile(r"tables/[A-Za-z0-9._-]+\.csv")
"""The files of an earlier report that a new one may take away."""


LAST = "report.html"
"""The file whose presence says that a report is whole."""


class ReportError(SosError):
    """A report cannot be written."""


def write_report(result: StudyResult, folder: Path | str) -> Path:
    """Write the report of a study into a folder and return the path of its HTML file.

    Every file is written in whole beside its place; then the earlier ``report.html`` goes, all are
    renamed, and the new ``report.html`` comes last. If nothing could be renamed, the earlier one
    comes back. So a reader never sees half a file, nor a report with the tables of another,
    wherever the writing is cut off. CSV tables of an earlier report that this one lacks are
    removed; other files in the folder stay.

    Raises:
        ReportError: If the folder cannot be made or written to.
    """
    folder = Path(folder)
    json_text = result.to_json()
    page = page_of(StudyResult.from_json(json_text))
    files = _files(page, json_text)
    try:
        stale = _earlier_tables(folder) - set(files)
        _put(folder, files)
        for name in sorted(stale):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(
            f"The report cannot be written to {folder}: {error.strerror or error}. "
            "Name a folder that can be written to."
        ) from None
    return folder / "report.html"


def _files(page: Page, json_text: str) -> dict[str, str]:
    files = {f"tables/{table.name}.csv": to_csv(table) for table in page.tables}
    index = index_rows(page)
    columns = ("file", "caption", "rows", "simulated")
    files["tables/index.csv"] = frame_of(index, columns).to_csv(index=False, lineterminator="\n")
    files["result.json"] = json_text + "\n"
    if page.study.study_toml:
        files["study.toml"] = page.study.study_toml
    html = render_page(page)
    files["manifest.json"] = _manifest(page.study, {**files, "report.html": html})
    files["report.html"] = html
    return files


def _manifest(study: StudyResult, files: dict[str, str]) -> str:
    manifest = {
        "study": study.name,
        "title": study.title,
        "simulated": study.simulated,
        **plain(dict(study.manifest)),
        "missing_checks": list(study.missing_checks),
        "report": {
            name: hashlib.sha256(_bytes(text)).hexdigest() for name, text in sorted(files.items())
        },
    }
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def _earlier_tables(folder: Path) -> set[str]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        names = manifest["report"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {str(name) for name in names if OWN_FILE.fullmatch(str(name))}


def _put(folder: Path, files: dict[str, str]) -> None:
    written: list[WholeFile] = []
    try:
        for name, text in files.items():
            clear(folder / name)
            written.append(WholeFile.written(folder / name, _bytes(text)))
        with _taken_away(folder / LAST) as replaced:
            for file in sorted(written, key=lambda file: file.place.name == LAST):
                file.appear()
                replaced.append(file.place)
    finally:
        for file in written:
            file.forget()


@contextmanager
def _taken_away(path: Path) -> Iterator[list[Path]]:
    """Take a file away; bring it back if what follows fails before it has replaced a file."""
    earlier = path.read_bytes() if path.is_file() else None
    path.unlink(missing_ok=True)
    replaced: list[Path] = []
    try:
        yield replaced
    except BaseException:
        if earlier is not None and not replaced:
            path.write_bytes(earlier)
        raise


def _bytes(text: str) -> bytes:
    """Encode text; half characters, as in file names that are no UTF-8, are written as escapes."""
    return text.encode("utf-8", "backslashreplace")
