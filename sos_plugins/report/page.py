"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sos_plugins.report import formatting as words
from sos_plugins.report.balance import BALANCE_LINE
from sos_plugins.report.sections import Page, page_of
from sos_plugins.study.result import StudyResult

SIMULATED = (
    "The records in this report are simulated. They describe no real child, family or authority, "
    "and its findings say nothing about the programme."
)
SIMULATED_SHORT = "Simulated records: no finding here is about real children or authorities."
SIMULATED_TAG = "Simulated records."
"""What stands in every section and caption."""

LONGEST_MATCH_TABLE = 20
"""Rows of a table of a matcher of cases that the page shows; longer ones are files alone."""


def render_html(result: StudyResult) -> str:
    """Write the report as one self-contained HTML page.

    The page is made from the JSON form of the result, so a result that was written and read back
    gives the same bytes.
    """
    return render_page(page_of(StudyResult.from_json(result.to_json())))


def render_page(page: Page) -> str:
    """Write a page that is already gathered."""
    template = environment().get_template("report.html.j2")
    return template.render(page=page, study=page.study)


@cache
def environment() -> Environment:
    """Return the templates with what every page uses."""
    loader = PackageLoader("sos_plugins.report", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, _, _ = loader.get_source(environment, "style.css")
    environment.globals.update(
        style=Markup(style),
        words=words,
        balance_line=BALANCE_LINE,
        simulated_notice=SIMULATED,
        simulated_short=SIMULATED_SHORT,
        simulated_tag=SIMULATED_TAG,
        longest_match_table=LONGEST_MATCH_TABLE,
    )
    return environment
