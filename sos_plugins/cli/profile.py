"""What is wrong with records, before any analysis."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from sos_plugins.backends import as_backend
from sos_plugins.cli.console import Terminal
from sos_plugins.cli.text_tables import render
from sos_plugins.contract.session import Session
from sos_plugins.errors import StudyError
from sos_plugins.groundwork.plain import plain
from sos_plugins.report.cells import csv_of
from sos_plugins.report.formatting import plural, share
from sos_plugins.study.file import NO_SIZE
from sos_plugins.study.study import Study
from sos_plugins.study.study_profile import StudyProfile, profile_source, profile_study
from sos_plugins.system.memory import SIZE
from sos_plugins.system.output_folder import (
    Content,
    OutputError,
    Owner,
    cannot_write,
    check_ours,
    check_writable,
    claimed,
    refuse_other_owner,
    replacing,
)
from sos_plugins.system.whole_files import put

Row = Mapping[str, Any]

PROFILE = Content(
    what="The profile",
    manifest="profile-files.json",
    key="files",
    last="profile.html",
    removable=re.compile(r"[a-z-]+\.csv"),
)
FILES = ("profile.html", "profile.json", *(f"{name}.csv" for name in StudyProfile.TABLES))


def profile(
    terminal: Terminal,
    path: Path | None,
    source: str | None,
    values: Mapping[str, Any],
    *,
    data: Path | None,
    memory: str | None,
    backend: str | None,
    outcomes: bool,
    out: Path | None,
    html: Path | None,
    most: int,
    force: bool = False,
) -> None:
    """Profile a study or a source, print the findings and write the files asked for.

    Raises:
        StudyError: If neither a study nor a source is named, or both.
        DataError: If nothing can be read.
        OutputError: If a file cannot be written, or one of the user's would be replaced; before
            anything is read.
    """
    if (path is None) == (source is None):
        raise StudyError("Name a study file, or a source with --source, and not both.")
    study, owner = None, None
    if path is not None:
        study = Study.from_toml(
            path, plugins=terminal.plugins, data=data, memory=memory, backend=backend
        )
        terminal.note(study.plan.registry)
        owner = None if out is None else Owner.of(study.plan.file.study.name, path, out)
    with _claimed(out, html, None if force else owner), terminal.progress() as progress:
        if study is not None:
            made = profile_study(study, progress, outcomes=outcomes)
        else:
            assert source is not None
            if memory is not None and not SIZE.fullmatch(memory):
                raise StudyError(f"--memory: {memory!r} {NO_SIZE}.")
            chosen = as_backend(backend or "duckdb", memory=memory)
            session = Session(backend=chosen, base=data or Path.cwd(), progress=progress)
            registry = terminal.registry()
            made = profile_source(registry, source, values, session, memory=memory)
        written = _write(made, out, html, owner)
    answer = {**made.to_dict(), "files": [str(file) for file in written]}
    text = "\n\n".join([*_tables(made, most), *(f"Written: {file}" for file in written)])
    terminal.answer(answer, text)


@contextmanager
def _claimed(out: Path | None, html: Path | None, owner: Owner | None) -> Iterator[None]:
    """Find out whether the files can be written before anything is read."""
    if html is not None:
        if html.is_dir():
            raise OutputError(f"--html: {html} is a folder. Name a file.")
        check_writable(html.parent, PROFILE.what)
    with nullcontext() if out is None else claimed(out):
        if out is not None:
            check_writable(out, PROFILE.what)
            if owner is not None:
                refuse_other_owner(out, PROFILE, owner)
            check_ours(out, PROFILE, FILES)
        yield


def _write(
    study: StudyProfile, out: Path | None, html: Path | None, owner: Owner | None
) -> list[Path]:
    """Write the profile: a page, its figures as JSON and its tables as CSV, none of them half."""
    files: dict[str, str] = {}
    if out is not None:
        files["profile.html"] = _page(study)
        files["profile.json"] = json.dumps(study.to_dict(), indent=1, ensure_ascii=False)
        for name, frame in study.frames().items():
            files[f"{name}.csv"] = csv_of(frame)
        with replacing(out, PROFILE, owner=owner) as place:
            for name, text in files.items():
                (place / name).write_text(text, encoding="utf-8")
    if html is not None:
        try:
            put(html, _page(study).encode("utf-8"))
        except OSError as error:
            raise cannot_write(PROFILE.what, html, error) from None
    return [*(out / name for name in files if out), *([html] if html else [])]


def _tables(study: StudyProfile, most: int) -> list[str]:
    """Lay out the findings, each table cut to its first rows."""
    profile = study.profile
    years = "no year"
    if profile.first_year is not None and profile.last_year is not None:
        years = f"April {profile.first_year} to March {profile.last_year + 1}"
    units = profile.cells["unit"].nunique() if len(profile.cells) else 0
    head = f"{study.title}: {plural(units, 'authority', 'authorities')}, {years}."
    if study.simulated:
        head += " Simulated records."
    parts = [
        _table("Rows", _rows(profile.rows), most),
        _table("Read = given + merged + dropped", _plain(study.accounts), most),
        _table("Faults", _faults(profile.summary()), most),
        _table("Found and handled by the sources", _plain(study.handled()), most),
        _table("How far columns are filled", _filled(profile.filling()), most),
        _table("Authorities, the worst first", _units(study), most),
        _table("Pilots", _coverage(study.coverage), most),
        _table("Rows dropped on the way to cases", _plain(study.steps), most),
    ]
    left_out = profile.rules.loc[~profile.rules["judged"].astype(bool), "fault"].unique()
    notes = [*study.notes]
    if len(left_out):
        names = ", ".join(left_out)
        notes.append(f"Not judged, since the records lack a table that they need: {names}.")
    return [head, *(part for part in parts if part), *notes]


def _table(title: str, rows: Sequence[Row], most: int) -> str:
    if not rows:
        return ""
    columns = list(rows[0])
    text = render(columns, [[row[c] for c in columns] for row in rows[:most]], title)
    rest = len(rows) - most
    return (
        f"{text}\n... and {rest:,} more (--rows {len(rows)}, or --out FOLDER)" if rest > 0 else text
    )


def _plain(frame: pd.DataFrame) -> list[Row]:
    rows: list[Row] = plain(frame)
    return rows


def _rows(rows: pd.DataFrame) -> list[Row]:
    if rows.empty:
        return []
    sums = rows.groupby("table", sort=False)[["n", "n_faulty"]].sum()
    return [
        {
            "table": table,
            "rows": int(part["n"]),
            "at fault": int(part["n_faulty"]),
            "share": share(part["n_faulty"] / part["n"] if part["n"] else None),
        }
        for table, part in sums.iterrows()
    ]


def _faults(summary: pd.DataFrame) -> list[Row]:
    return [
        {
            "fault": row["fault"],
            "table": row["table"],
            "column": row["column"],
            "rows": row["n_flagged"],
            "authorities": row["n_units"],
            "worst": _place(row),
            "what": row["sentence"],
        }
        for row in _plain(summary)
    ]


def _place(row: Row) -> str:
    if row["worst_share"] is None or row["worst_unit"] is None:
        return ""
    year = "" if row["worst_period"] is None else f" {row['worst_period']}"
    return f"{row['worst_unit']}{year} {share(row['worst_share'])}"


def _filled(filling: pd.DataFrame) -> list[Row]:
    """Return one row a column: its share of filled values, and its worst authority and year."""
    return [
        {
            "table": row["table"],
            "column": row["column"],
            "filled": share(row["share"]),
            "lowest": _place(row) if row["share"] < 1 else "",
        }
        for row in _plain(filling)
    ]


def _units(study: StudyProfile) -> list[Row]:
    cells = study.profile.cells
    if cells.empty:
        return []
    sums = cells.groupby("unit")[["n", "n_faulty", "missing", "breaks"]].sum()
    sums["share"] = sums["n_faulty"] / sums["n"].where(sums["n"] > 0)
    ordered = sums.sort_values(["missing", "share", "breaks"], ascending=False)
    return [
        {
            "authority": study.unit_names.get(str(unit), unit),
            "rows": int(row["n"]),
            "at fault": share(row["share"]),
            "missing years": int(row["missing"]),
            "breaks": int(row["breaks"]),
        }
        for unit, row in ordered.iterrows()
    ]


def _coverage(coverage: pd.DataFrame) -> list[Row]:
    return [
        {
            "pilot": row["name"] or row["unit"],
            "from": row["cohort"],
            "years before": row["years_before"],
            "years after": row["years_after"],
            "years missing": row["years_missing"],
            "at fault before": share(row["share_before"]),
            "at fault after": share(row["share_after"]),
            "breaks": row["breaks"],
        }
        for row in _plain(coverage)
    ]


def _page(profiled: StudyProfile) -> str:
    """Return the page of a profile; its charts are loaded only where a page is asked for."""
    from sos_plugins.report.profile_page import profile_page

    return profile_page(profiled)
