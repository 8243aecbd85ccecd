"""How a report is cited, and what its methods rest on."""

from __future__ import annotations

import re
from dataclasses import replace

from lxml import html as lxml_html
from result_factory import make_result

from sos_plugins import Reference
from sos_plugins.host.registry import load_plugins
from sos_plugins.report import render_html
from sos_plugins.report.references import how_to_cite, references_table
from sos_plugins.study.provenance import publications, references_of
from sos_plugins.study.result import StudyResult

SUN = (
    "Sun, L. and Abraham, S. (2021). Estimating dynamic treatment effects in event studies with "
    "heterogeneous treatment effects. Journal of Econometrics 225(2), 175-199. "
    "https://doi.org/10.1016/j.jeconom.2020.09.006"
)


def test_a_reference_is_written_as_lists_of_references_are() -> None:
    one = Reference("Gardner, J.", 2022, "Two-stage differences in differences", "arXiv:2207.05943")
    assert str(one) == (
        "Gardner, J. (2022). Two-stage differences in differences. arXiv:2207.05943."
    )
    registry = load_plugins()
    assert publications(registry.estimator("sun-abraham")) == (SUN,)
    assert len(publications(registry.matcher("overlap-weights"))) == 2


def test_what_was_used_is_listed_once_with_what_it_was_used_for() -> None:
    study = replace(make_result(), called={"event-study": "Event study"})
    known = references_of(load_plugins(), study.outcomes, ["splink", "chained-equations"])
    assert {"event-study", "callaway-santanna"} <= set(known)
    known["callaway-santanna"] = (*known["callaway-santanna"], known["event-study"][0])
    table = references_table(StudyResult.from_json(replace(study, references=known).to_json()))
    assert table is not None
    rows = table.frame.set_index("reference")["method"]
    assert rows[known["event-study"][0]] == "callaway-santanna and Event study"
    assert {"splink", "chained-equations"} <= set(rows)
    assert not [name for name in rows.index if not re.search(r"\(\d{4}\)", name)]
    assert not [name for name in rows.index if name.startswith("Sun, L.")]


def test_the_annex_says_how_to_cite_and_an_older_result_can_be_shown() -> None:
    study = make_result()
    tree = lxml_html.fromstring(render_html(study))
    (part,) = tree.xpath('//*[@id="references-section"]')
    assert how_to_cite(study) in part.text_content()
    outcome = study.outcomes[0]
    cited = [
        replace(one, estimate=replace(one.estimate, provenance={"citation": "A (2001); B (2002)"}))
        for one in outcome.estimates
    ]
    table = references_table(
        replace(study, outcomes=(replace(outcome, estimates=tuple(cited)),), references={})
    )
    assert table is not None
    assert list(table.frame["reference"]) == ["A (2001)", "B (2002)"]
    made = replace(study, manifest={"versions": {"sos-plugins": "9.9"}})
    assert "Version 9.9." in how_to_cite(made)
