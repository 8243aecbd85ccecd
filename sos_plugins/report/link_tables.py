"""The tables of linked children: how good the links are, and what they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sos_plugins.report import formatting as words
from sos_plugins.report.tables import Table, column, counts
from sos_plugins.study.linking import LinkResult
from sos_plugins.study.result import StudyResult


def link_tables(study: StudyResult) -> tuple[Table, ...]:
    """Make the tables of a study's link, those with rows; none where it links no children."""
    link = study.link
    if link is None:
        return ()
    labels = {outcome.info.name: outcome.info.label for outcome in study.outcomes}
    made = (_effect(link, labels), _figures(link), _merged(link), _weights(link))
    return tuple(table for table in made if len(table.frame))


def _effect(link: LinkResult, labels: Mapping[str, str]) -> Table:
    columns = (
        column("outcome", "Outcome", lambda name: labels.get(name, words.text(name))),
        counts("cases_without", "Cases, children not linked"),
        counts("cases_with", "Cases, linked"),
        column("mean_without", "Mean, not linked", _number, numeric=True),
        column("mean_with", "Mean, linked", _number, numeric=True),
        counts("cells_changed", "Authorities' years that differ"),
        column("reason", "Why there is no figure"),
    )
    return Table(
        "link-effect",
        "What the link changes in the outcomes",
        link.effect,
        columns,
        note="The estimates without the link are among the sensitivity runs of each outcome.",
    )


def _figures(link: LinkResult) -> Table:
    columns = (column("figure", "Figure"), column("value", "Value", _number, numeric=True))
    return Table("link-figures", "How many links, and how good they are", link.figures, columns)


def _merged(link: LinkResult) -> Table:
    columns = (
        column("table", "Table"),
        counts("n_before", "Rows before"),
        counts("n_merged", "Merged"),
        counts("n_after", "Rows after"),
    )
    caption = "Rows that were the same thing once their children were one"
    return Table("link-merged", caption, link.merged, columns)


def _weights(link: LinkResult) -> Table:
    columns = (
        column("comparison", "Compared"),
        column("level", "How it agrees"),
        column("m", "Share among pairs of one child", _number, numeric=True),
        column("u", "Share among pairs of two children", _number, numeric=True),
        column("weight", "Match weight", _number, numeric=True),
    )
    return Table(
        "link-weights",
        "What the link has learnt: match weights",
        link.weights,
        columns,
        note="The weight is log2 of the ratio of both shares: 10 speaks a thousandfold for one "
        "child, -10 a thousandfold for two.",
    )


def _number(value: Any) -> str:
    """Show a count as it is and other numbers by three figures."""
    number = words.to_float(value)
    if number is None:
        return words.MISSING
    return words.count(number) if number == int(number) else f"{number:.3g}"
