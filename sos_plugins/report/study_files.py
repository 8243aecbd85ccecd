"""What people take from a report into papers and slides: its charts, and tables of regressions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from sos_plugins.report import formatting as words
from sos_plugins.report.cells import csv_of
from sos_plugins.report.charts import Chart, chart_files
from sos_plugins.report.outcome_tables import agreement_sentence
from sos_plugins.report.page import SIMULATED_SHORT, SIMULATED_TAG
from sos_plugins.report.regression import effect_cells, full_figures, printed
from sos_plugins.report.sections import OutcomeSection, Page
from sos_plugins.report.table_files import TextTable, table_files
from sos_plugins.report.tables import frame_of
from sos_plugins.study.result import NamedEstimate, OutcomeResult

FIGURES, TABLES = "figures", "tables"
"""Folders, within that of the report."""
EFFECTS, REGRESSION = "effects", "regression"
"""Names of the tables: outcomes side by side, and the estimators of one of them."""
HEADLINE = "Effect"


def figure_files(page: Page, kinds: Sequence[str]) -> dict[str, bytes]:
    """Draw every chart of a report as files, and a list that says what each shows.

    Args:
        page: What the report shows.
        kinds: Some of :data:`sos_plugins.report.table_files.FIGURES`.
    """
    if not kinds:
        return {}
    mark = SIMULATED_TAG if page.study.simulated else ""
    files: dict[str, bytes] = {}
    rows = []
    for chart in _charts(page):
        made = chart_files(chart, kinds, mark=mark)
        files |= {f"{FIGURES}/{name}": content for name, content in made.items()}
        told = {"title": chart.title, "finding": chart.finding, "simulated": page.study.simulated}
        rows += [{"file": name} | told for name in made]
    index = frame_of(rows, ("file", "title", "finding", "simulated"))
    return {**files, f"{FIGURES}/index.csv": csv_of(index).encode()}


def regression_files(page: Page, kinds: Sequence[str]) -> dict[str, bytes]:
    """Write the tables of regressions of a report as files.

    Args:
        page: What the report shows.
        kinds: Some of :data:`sos_plugins.report.table_files.TABLES`.

    Returns:
        ``tables/effects``, every outcome by every estimator, and for each outcome
        ``tables/OUTCOME_regression``, its estimators side by side; empty without kinds.
    """
    files: dict[str, bytes] = {}
    sections = [section for section in page.outcomes if section.result.estimates]
    if not kinds or not sections:
        return files
    for section in sections:
        name = f"{TABLES}/{section.anchor}_{REGRESSION}"
        files |= table_files(name, _regression(page, section), kinds)
    return files | table_files(f"{TABLES}/{EFFECTS}", _effects(page, sections), kinds)


def _charts(page: Page) -> Iterator[Chart]:
    if page.trust is not None:
        yield page.trust
    for section in page.outcomes:
        yield from section.charts


def first_of_each(result: OutcomeResult) -> list[NamedEstimate]:
    """Return the estimate of each estimator by its first engine, which others are compared with."""
    first: dict[str, NamedEstimate] = {}
    for named in result.estimates:
        first.setdefault(named.estimator, named)
    return list(first.values())


def _regression(page: Page, section: OutcomeSection) -> TextTable:
    result, scale = section.result, words.scale_of(section.result)
    shown = first_of_each(result)
    warnings = dict.fromkeys(text for named in shown for text in named.estimate.warnings)
    notes = (
        _units(scale),
        f"Engines: {agreement}" if (agreement := agreement_sentence(result)) else "",
        *map(words.end_sentence, warnings),
        SIMULATED_SHORT if page.study.simulated else "",
    )
    title = f"Effects by estimator: {section.label}"
    kept = tuple(filter(None, notes))
    table = printed(shown, page.study.called, title, kept, scale.effect, HEADLINE)
    return replace(table, table=table.table.rename(index=_row_name))


def _row_name(term: str) -> str:
    """Write the name of a term in words.

    >>> _row_name("event=-2"), _row_name("Cases")
    ('Event time −2', 'Cases')
    """
    name, _, time = term.partition("=")
    return f"Event time {words.number(time)}" if name == "event" else term


def _units(scale: words.Scale) -> str:
    unit = f"Effects in {scale.unit}" if scale.unit else "Effects in units of the outcome"
    return f"{unit}; standard errors in brackets."


def _effects(page: Page, sections: Sequence[OutcomeSection]) -> TextTable:
    """Lay out every outcome by every estimator: a column an outcome, two rows an estimator."""
    every = [first_of_each(section.result) for section in sections]
    estimators = dict.fromkeys(named.estimator for shown in every for named in shown)
    index = [text for name in estimators for text in (page.study.called.get(name, name), "")]
    columns = {}
    for place, (section, shown) in enumerate(zip(sections, every, strict=True), start=1):
        by_name = {named.estimator: named for named in shown}
        scale = words.scale_of(section.result)
        cells = [cell for name in estimators for cell in _headline(by_name.get(name), scale)]
        unit = f", {scale.unit}" if scale.unit else ""
        columns[f"({place}) {section.label}{unit}"] = cells
    figures = pd.concat(
        [
            full_figures(shown).assign(outcome=section.result.info.name)
            for section, shown in zip(sections, every, strict=True)
        ],
        ignore_index=True,
    )
    figures = figures[["outcome", *figures.columns.drop("outcome")]]
    notes = ["Standard errors in brackets; what each estimates stands in the table of its outcome."]
    notes += [SIMULATED_SHORT] if page.study.simulated else []
    frame = pd.DataFrame(columns, index=index)
    return TextTable(f"Effects: {page.title}", frame, tuple(notes), figures)


def _headline(named: NamedEstimate | None, scale: words.Scale) -> tuple[str, str]:
    if named is None or named.headline not in set(named.estimate.tidy["term"]):
        return "", ""
    return effect_cells(named.estimate.term(named.headline), scale.effect)
