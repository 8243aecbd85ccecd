"""The data-quality profile as one HTML file that needs nothing else."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sos_plugins.report import formatting as words
from sos_plugins.report.fault_tables import (
    coverage_table,
    faults_table,
    filling_table,
    rules_table,
)
from sos_plugins.report.labels import Labels
from sos_plugins.report.page import environment
from sos_plugins.report.tables import Column, Table, column, counts
from sos_plugins.report.trust import trust_map
from sos_plugins.study.study_profile import StudyProfile


def profile_page(study: StudyProfile) -> str:
    """Write a profile as one self-contained HTML page."""
    names = Labels.of_units(study.unit_names)
    pilots = list(study.coverage["unit"]) if len(study.coverage) else []
    profile = study.profile
    template = environment().get_template("profile.html.j2")
    return template.render(
        study=study,
        simulated=study.simulated,
        title=words.clean(study.title),
        map=trust_map(profile, names, "trust", pilots),
        faults=faults_table(profile, names, "faults"),
        rules=rules_table(profile, "rules"),
        coverage=coverage_table(study.coverage, "coverage"),
        completeness=filling_table(profile, names, "completeness"),
        checks=_checks(study.handled()),
        steps=_steps(study.steps),
    )


def _checks(checks: pd.DataFrame) -> Table | None:
    if checks.empty:
        return None
    columns: tuple[Column, ...] = (
        Column("Fault", lambda row: words.heading(row["check"])),
        column("source", "Source"),
        column("table", "Table"),
        column("column", "Column"),
        counts("n_flagged", "Rows"),
        counts("n", "Rows looked at"),
        column("action", "What was done", words.heading),
    )
    return Table("source-checks", "Found and handled by the sources", checks, columns)


def _steps(steps: pd.DataFrame) -> Table | None:
    if steps.empty:
        return None
    columns: tuple[Column, ...] = (
        column("step", "Step"),
        Column("What goes", lambda row: _text(row["reason"]), wide=True),
        counts("n_before", "Rows before"),
        counts("n_dropped", "Dropped"),
        counts("n_after", "Left"),
    )
    caption = "Rows dropped on the way to cases, by outcome"
    return Table("steps", caption, steps, columns, group="of")


def _text(value: Any) -> str:
    return words.text(value)
