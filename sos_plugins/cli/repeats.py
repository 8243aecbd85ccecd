"""Power and calibration of a study on its own records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sos_plugins.cli.console import Terminal
from sos_plugins.cli.text_tables import render
from sos_plugins.errors import SettingsError, StudyError
from sos_plugins.report import Further
from sos_plugins.report import formatting as words
from sos_plugins.report.cells import csv_of
from sos_plugins.report.charts import Chart, chart_files
from sos_plugins.report.page import SIMULATED_SHORT, SIMULATED_TAG
from sos_plugins.report.repeats_page import (
    CALIBRATION_NOTE,
    POWER_NOTE,
    calibration_charts,
    calibration_page,
    claims_table,
    power_charts,
    power_page,
    scale_in,
    smallest_table,
    truth_name,
    verdict_name,
    with_error,
)
from sos_plugins.report.table_files import TABLES, in_text, table_files
from sos_plugins.report.tables import Table, rows_of
from sos_plugins.study.calibrate import CalibrationResult
from sos_plugins.study.power import PowerResult
from sos_plugins.study.study import Study
from sos_plugins.system.output_folder import (
    Content,
    Owner,
    check_ours,
    check_writable,
    claimed,
    refuse_other_owner,
    replacing,
)

CHARTS = re.compile(r"(power|verdicts)-[a-z0-9-]+\.(svg|png|pdf)")
"""Names of charts: one an outcome, of each kind."""
DRAWN = ("svg", "png")
"""Kinds of charts that are written unless others are named."""
Result = TypeVar("Result", PowerResult, CalibrationResult)


@dataclass(frozen=True)
class Repeats:
    """What the options of both commands say.

    Attributes:
        data: Folder of the data.
        outcomes: Names of outcomes; none for all.
        effects: Sizes, separated by commas, or nothing.
        repeats: Deals.
        seed: Seed of the deals, or None for that of the study.
        workers: Processes, or None for one a processor.
        out: Folder to write to, or None.
        force: Whether what another study has written there may be replaced.
        figures: Kinds of the charts, separated by commas; None for SVG and PNG.
        tables: Kinds of the table, separated by commas; None for CSV alone.
    """

    data: Path | None
    outcomes: tuple[str, ...]
    effects: str
    repeats: int
    seed: int | None
    workers: int | None
    out: Path | None
    force: bool = False
    figures: str | None = None
    tables: str | None = None

    def further(self) -> Further:
        """Return the kinds of files that are asked for.

        Raises:
            SettingsError: If a kind is unknown, or there is no folder for them.
            EngineUnavailableError: If a package that writes a kind is not installed.
        """
        if self.out is None and not (self.figures is None and self.tables is None):
            raise SettingsError("--figures and --tables name kinds of files: add --out FOLDER.")
        return Further.of(DRAWN if self.figures is None else self.figures, self.tables or ())


@dataclass(frozen=True)
class Kind(Generic[Result]):
    """One of the two commands: what it calls, and how its result is written and shown."""

    name: str
    files: tuple[str, ...]
    measure: Callable[..., Result]
    page: Callable[[Result], str]
    charts: Callable[[Result], list[Chart]]
    lay_out: Callable[[Result], list[str]]
    table: Callable[[Result], Table]
    note: str

    @property
    def own_table(self) -> str:
        """Name of its table for papers and slides, before the kind of file."""
        return f"{self.name}-table"

    @property
    def content(self) -> Content:
        """What its folder is written with."""
        return Content(
            what=f"The {self.name}",
            manifest=f"{self.name}-files.json",
            key="files",
            last=f"{self.name}.html",
            removable=re.compile(rf"[a-z-]+\.({'|'.join(TABLES)})|{CHARTS.pattern}"),
        )


def sizes(text: str) -> tuple[float, ...] | None:
    """Read effects that are separated by commas; nothing when there are none.

    Raises:
        StudyError: If one is no number.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(float(part) for part in parts) or None
    except ValueError:
        raise StudyError(
            f"--effects: {text!r} holds something that is no number. Give sizes separated by "
            'commas, such as --effects="-2,-5": percentage points of a rate, else in the units of '
            "the value."
        ) from None


def show(terminal: Terminal, path: Path, kind: Kind[Result], given: Repeats) -> None:
    """Measure something on re-dealt pilots, print it and write the files asked for.

    Raises:
        StudyError: If an option or the study is wrong.
        DesignError: If no outcome can be dealt.
        OutputError: If the folder cannot be written to; before anything is read.
    """
    effects, further = sizes(given.effects), given.further()
    study = Study.from_toml(path, plugins=terminal.plugins, data=given.data)
    terminal.note(study.plan.registry)
    result: Result
    owner = None
    if given.out is not None:
        owner = Owner.of(study.plan.file.study.name, path, given.out)
    with _claimed(given.out, kind, None if given.force else owner), terminal.progress() as progress:
        result = kind.measure(
            study,
            progress,
            outcomes=given.outcomes or None,
            effects=effects,
            repeats=given.repeats,
            seed=given.seed,
            workers=given.workers,
        )
        written: list[Path] = _write(result, kind, given.out, owner, further)
    lines = [*kind.lay_out(result), *result.notes, *(f"Written: {file}" for file in written)]
    answer = {**result.to_dict(), "files": [str(file) for file in written]}
    terminal.answer(answer, "\n".join(lines))


@contextmanager
def _claimed(out: Path | None, kind: Kind[Any], owner: Owner | None) -> Iterator[None]:
    """Find out whether the folder can be written before anything is read."""
    if out is None:
        yield
        return
    with claimed(out):
        check_writable(out, kind.content.what)
        there = [file.name for file in out.iterdir()] if out.is_dir() else []
        if owner is not None:
            refuse_other_owner(out, kind.content, owner)
        own = [name for name in there if CHARTS.fullmatch(name) or _stem(name) == kind.own_table]
        check_ours(out, kind.content, [*kind.files, *own])
        yield


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _write(
    result: Result,
    kind: Kind[Result],
    out: Path | None,
    owner: Owner | None,
    further: Further,
) -> list[Path]:
    if out is None:
        return []
    figures = json.dumps(result.to_dict(), indent=1, ensure_ascii=False)
    texts = {f"{kind.name}.html": kind.page(result), f"{kind.name}.json": figures}
    texts |= {f"{name}.csv": csv_of(frame) for name, frame in result.frames().items()}
    files = {name: text.encode() for name, text in texts.items()}
    mark: str = SIMULATED_TAG if result.simulated else ""
    for chart in kind.charts(result):
        files |= chart_files(chart, further.figures, mark=mark)
    table = in_text(kind.table(result), [kind.note, *([SIMULATED_SHORT] if mark else [])])
    files |= table_files(kind.own_table, table, further.tables)
    with replacing(out, kind.content, owner=owner) as place:
        for name, content in files.items():
            (place / name).write_bytes(content)
    return [out / name for name in files]


def _power_lines(result: PowerResult) -> list[str]:
    smallest = [
        [
            row["outcome"],
            row["estimator"],
            with_error(row["size"], row["size_error"]),
            with_error(row["coverage"], row["coverage_error"]),
            scale_in(result, row["outcome"]).with_unit(row["detectable"]),
        ]
        for row in rows_of(result.smallest)
    ]
    columns = ["outcome", "estimator", "size at 5%", "95% intervals", "found in 80% of deals"]
    power = [
        [
            row["outcome"],
            row["estimator"],
            scale_in(result, row["outcome"]).with_unit(row["effect"]),
            with_error(row["power"], row["power_error"]),
        ]
        for row in rows_of(result.table)
    ]
    title = f"{_title(result)}: {result.repeats} deals, errors of Monte Carlo"
    shown = render(["outcome", "estimator", "effect", "found"], power)
    return [render(columns, smallest, title), shown]


def _verdict_lines(result: CalibrationResult) -> list[str]:
    rows = [
        [
            row["outcome"],
            scale_in(result, row["outcome"]).with_unit(row["effect"]),
            verdict_name(row),
            with_error(row["share"], row["share_error"]),
        ]
        for row in rows_of(result.verdicts)
    ]
    claims = [
        [truth_name(result, int(row["truth"])), _share_of(row)] for row in rows_of(result.claims)
    ]
    title = f"{_title(result)}: {result.repeats} whole studies a truth, errors of Monte Carlo"
    shown = render(["what is true", "studies that claim an effect on any outcome"], claims)
    return [render(["outcome", "effect", "verdict", "share"], rows, title), shown]


def _share_of(row: Any) -> str:
    return with_error(row["share"], row["share_error"])


def _title(result: PowerResult | CalibrationResult) -> str:
    simulated = " (simulated records)" if result.simulated else ""
    return f"{words.clean(result.title)}{simulated}"


def _files(name: str, tables: Sequence[str]) -> tuple[str, ...]:
    return (f"{name}.html", f"{name}.json", *(f"{table}.csv" for table in tables))


POWER = Kind(
    "power",
    _files("power", ("power", "smallest", "windows")),
    Study.power,
    power_page,
    power_charts,
    _power_lines,
    smallest_table,
    POWER_NOTE,
)
CALIBRATION = Kind(
    "calibration",
    _files("calibration", ("verdicts", "claims")),
    Study.calibrate,
    calibration_page,
    calibration_charts,
    _verdict_lines,
    claims_table,
    CALIBRATION_NOTE,
)
