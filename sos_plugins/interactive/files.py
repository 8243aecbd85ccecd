"""Estimates as files: a figure, a table of regressions, and every term in full precision.

The same estimates give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sos_plugins.interactive.figures import effect_figure
from sos_plugins.report.cells import csv_of
from sos_plugins.report.regression import full_figures, printed
from sos_plugins.report.svg import as_file, chart_style
from sos_plugins.report.table_files import table_files
from sos_plugins.study.result import NamedEstimate


def files_of(
    estimates: Sequence[NamedEstimate],
    called: Mapping[str, str],
    notes: Sequence[str],
    figures: Sequence[str],
    tables: Sequence[str],
) -> dict[str, bytes]:
    """Return files by their names, which begin with the name of the first estimator.

    Args:
        estimates: What is shown; at least one.
        called: What estimators are called, by their names.
        notes: Whether engines agree, and what a reader must see beside the figures.
        figures: Kinds of :data:`sos_plugins.report.table_files.FIGURES`.
        tables: Kinds of :data:`sos_plugins.report.table_files.TABLES`; with any of them comes a
            CSV of all figures in full precision.

    Raises:
        EngineUnavailableError: If a package that writes a kind is not installed.
    """
    name = estimates[0].estimator
    title = called.get(name, name)
    files = {}
    for kind in figures:
        with chart_style(name):
            files[f"{name}.{kind}"] = as_file(effect_figure(estimates, called), kind, title)
    if tables:
        files |= table_files(f"{name}-table", printed(estimates, called, title, notes), tables)
        files[f"{name}-figures.csv"] = csv_of(full_figures(estimates)).encode()
    return files
