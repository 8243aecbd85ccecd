"""Commands on what a study rests on: two studies compared, cases written for other programs."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from sos_plugins.cache.store import StepCache
from sos_plugins.cli.console import Terminal
from sos_plugins.cli.text_tables import render
from sos_plugins.groundwork.plain import plain
from sos_plugins.report.comparison_page import comparison_page, difference_text, setting_text
from sos_plugins.study.compare import compare_studies
from sos_plugins.study.exported import exported_cases
from sos_plugins.study.study import Study
from sos_plugins.system.output_folder import cannot_write
from sos_plugins.system.whole_files import put

OWNER_ALONE = 0o077
"""Mask under which the file of cases is made."""


def compare(
    terminal: Terminal,
    before: Path,
    after: Path,
    data: Path | None,
    out: Path | None,
    page: Path | None,
    stations: StepCache,
) -> None:
    """Print what differs between two studies and what each difference does.

    Raises:
        SosError: If a study is wrong, they read other records, or no records can be read.
    """
    first, second = (
        Study.from_toml(path, plugins=terminal.plugins, data=data) for path in (before, after)
    )
    if stations.news:
        terminal.say(stations.news)
    with terminal.progress() as progress:
        found = compare_studies(first, second, progress, stations=stations)
    rows = found.rows()
    if out is not None:
        _write(out, _csv(rows), "The comparison")
    if page is not None:
        _write(page, comparison_page(found), "The page")
    shown = [[row["outcome"], *_what(row), *_numbers(row), row["reason"]] for row in rows]
    head = [
        *("outcome", "setting", "from", "to"),
        *("estimate (SE)", "with it (SE)", "change", "why not"),
    ]
    notes = [f"Other difference: {difference_text(one)}" for one in found.others]
    answer = {"rows": plain(rows), "others": [difference_text(one) for one in found.others]}
    terminal.answer(answer, "\n".join([render(head, shown), *notes]))


def _what(row: dict[str, Any]) -> list[str]:
    setting = f"{row['where']} {row['setting']}".strip()
    return [setting, setting_text(row["before"]), setting_text(row["after"])]


def _numbers(row: dict[str, Any]) -> list[Any]:
    sides = [(row[f"estimate_{side}"], row[f"std_error_{side}"]) for side in ("before", "after")]
    both = [
        None if estimate is None else f"{estimate:.4g} ({error:.3g})" for estimate, error in sides
    ]
    return [*both, row["change"]]


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {**row, "before": setting_text(row["before"]), "after": setting_text(row["after"])}
        )
    return text.getvalue()


def export(terminal: Terminal, path: Path, outcome: str, out: Path, data: Path | None) -> None:
    """Write the cases of one outcome, for its owner alone to read.

    Raises:
        SosError: If the study or the outcome is wrong, or the file cannot be written.
    """
    study = Study.from_toml(path, plugins=terminal.plugins, data=data)
    with terminal.progress() as progress:
        cases = exported_cases(study.prepared(outcome, progress))
    mask = os.umask(OWNER_ALONE)
    try:
        _write(out, cases.to_csv(index=False, lineterminator="\n"), "The cases")
    finally:
        os.umask(mask)
    terminal.answer(
        {"file": str(out), "rows": len(cases)},
        f"{len(cases)} rows of individuals are in {out}, which its owner alone can read.",
    )


def _write(out: Path, text: str, what: str) -> None:
    try:
        put(out, text.encode("utf-8"))
    except OSError as error:
        raise cannot_write(what, out.parent, error) from None
