"""The report's table of several methods of inference on one estimate."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from did_samples import matched
from lxml import html as lxml_html
from result_factory import make_result
from sos_estimators.did import DidSettings, fit_python

from sos_plugins.contract.types import Estimate
from sos_plugins.report import inference, render_html, write_report
from sos_plugins.report.inference import FEW_TREATED, agreement_sentence
from sos_plugins.study.result import NamedEstimate, StudyResult

NAME = "kinship-care"
CR1 = {
    "method": "CR1",
    "estimate": -0.13,
    "std_error": 0.026,
    "statistic": -5.0,
    "df": 26.0,
    "p_value": 0.00003,
    "conf_low": -0.183,
    "conf_high": -0.077,
    "distribution": "t with 26 degrees of freedom",
    "citation": "Liang & Zeger <1986>",
}
WCR = CR1 | {
    "method": "WCR",
    "df": None,
    "p_value": 0.0712,
    "conf_low": "-inf",
    "conf_high": 0.021,
    "distribution": "999 draws",
}
RANDOM = {
    "method": "RI-beta",
    "estimate": -0.13,
    "std_error": None,
    "statistic": -0.13,
    "df": None,
    "p_value": 0.031,
    "conf_low": None,
    "conf_high": None,
    "distribution": "999 assignments",
    "citation": None,
}


def with_methods(
    rows: list[dict[str, Any]], *, engine: str = "python", conf_level: float = 0.95
) -> StudyResult:
    result = make_result()
    outcome = result.outcome(NAME)
    tidy = outcome.estimates[0].estimate.tidy
    estimate = Estimate(tidy, {"conf_level": conf_level, "inference": rows})
    named = NamedEstimate("did", engine, estimate)
    changed = replace(outcome, estimates=(*outcome.estimates, named))
    return replace(result, outcomes=(changed,))


def table_of(page: str) -> lxml_html.HtmlElement:
    return lxml_html.document_fromstring(page).get_element_by_id(f"{NAME}_inference-table")


def rows_of(page: str) -> list[list[str]]:
    return [
        [re.sub(r"\s+", " ", cell.text_content()).strip() for cell in row]
        for row in table_of(page).xpath("./tbody/tr")
    ]


def test_every_method_has_its_row_with_its_figures() -> None:
    first, second, third = rows_of(render_html(with_methods([CR1, WCR, RANDOM])))
    assert first == [
        "CR1",
        "2.6",
        "−5",
        "26",
        "< 0.001",
        "−18.3 to −7.7",
        "t with 26 degrees of freedom",
        "Liang & Zeger <1986>",
    ]
    nothing = "–no figure"
    assert second[3:6] == [nothing, "0.071", "−infinite to 2.1"]
    assert third[1:6] == [nothing, "−13.0", nothing, "0.031", nothing]
    assert third[7] == nothing


def test_the_table_is_escaped_and_accessible() -> None:
    page = render_html(with_methods([CR1 | {"method": "<b>CR1</b>"}, WCR]))
    assert "Liang &amp; Zeger &lt;1986&gt;" in page
    assert "<b>CR1</b>" not in page
    table = table_of(page)
    (caption,) = table.xpath("./caption")
    assert "one estimate (did, python)" in caption.text_content()
    heads = table.xpath("./thead/tr/th")
    assert [head.get("scope") for head in heads] == ["col"] * 8
    assert [row[0].get("scope") for row in table.xpath("./tbody/tr")] == ["row", "row"]
    assert "95% confidence interval, percentage points" in [h.text_content() for h in heads]


@pytest.mark.parametrize("rows", [None, [], "nonsense", {}])
def test_without_methods_there_is_no_table(rows: Any) -> None:
    page = render_html(with_methods(rows))
    assert f"{NAME}_inference" not in page
    assert FEW_TREATED not in page


def test_the_sentence_says_whether_methods_agree() -> None:
    weak = CR1 | {"method": "CR2", "p_value": 0.02}
    agree = render_html(with_methods([CR1, weak]))
    assert "All 2 methods agree: the effect is significant at the 5% level." in agree
    differ = render_html(with_methods([CR1, WCR, RANDOM]))
    told = (
        "The methods disagree at the 5% level: significant by CR1 (p &lt; 0.001) and RI-beta "
        "(p = 0.031); not by WCR (p = 0.071)."
    )
    assert told in differ
    assert "methods agree" not in differ
    assert FEW_TREATED in agree
    assert FEW_TREATED in differ
    none = render_html(with_methods([WCR, WCR | {"method": "CR3", "p_value": None}, WCR]))
    assert "All 2 methods agree: the effect is not significant at the 5% level." in none
    assert "No p value by CR3." in none


def test_a_disagreement_is_told_once() -> None:
    sample = matched(240, effect=1.0)
    options = DidSettings(form="stacked", inference=("CR0", "RI-t"))
    estimate = fit_python(sample.where(sample.frame["group"] != "P3"), options)
    told = [warning for warning in estimate.warnings if warning.startswith(inference.DISAGREE)]
    assert len(told) == 1
    result = make_result()
    outcome = result.outcome(NAME)
    assert outcome.main is not None
    main = NamedEstimate(outcome.main.estimator, outcome.main.engine, estimate)
    again = replace(main, engine="another")
    changed = replace(outcome, estimates=(main, again), warnings=estimate.warnings)
    page = render_html(replace(result, outcomes=(changed,)))
    assert page.count(inference.DISAGREE) == 1
    assert "standard errors (CR0) tend to be too small" in page


def test_the_level_is_that_of_the_estimate() -> None:
    page = render_html(with_methods([CR1, WCR], conf_level=0.9))
    assert "All 2 methods agree: the effect is significant at the 10% level." in page
    assert "90% confidence interval, percentage points" in page


def test_one_or_no_p_value_is_no_agreement() -> None:
    assert agreement_sentence([CR1], 0.05).startswith("By the one method that gave a p value")
    assert agreement_sentence([CR1 | {"p_value": None}], 0.05).startswith("None of the methods")


def test_the_main_estimate_goes_first() -> None:
    result = with_methods([CR1], engine="r")
    outcome = result.outcomes[0]
    python = replace(outcome.estimates[-1], engine="python")
    both = replace(outcome, estimates=(*outcome.estimates, python))
    caption = table_of(render_html(replace(result, outcomes=(both,)))).xpath("./caption")[0]
    assert "(did, python)" in caption.text_content()
    assert rows_of(render_html(result))[0][0] == "CR1"


def test_the_table_is_in_the_files_and_the_page_comes_from_json(tmp_path: Path) -> None:
    result = with_methods([CR1, WCR, RANDOM])
    page = write_report(result, tmp_path).read_text(encoding="utf-8")
    assert render_html(StudyResult.read(tmp_path)) == page
    frame = pd.read_csv(tmp_path / "tables" / f"{NAME}_inference.csv")
    assert frame["method"].tolist() == ["CR1", "WCR", "RI-beta"]
    assert frame["p_value"].tolist() == [0.00003, 0.0712, 0.031]


def test_examples_in_docstrings_hold() -> None:
    tested = doctest.testmod(inference)
    assert tested.attempted > 0
    assert tested.failed == 0


def test_randomisation_on_the_coefficient_is_not_advised() -> None:
    """It rejects a fifth of samples without an effect where treated authorities are the small."""
    advised, warned = FEW_TREATED.split("before them")
    assert "RI-t" in advised
    assert "RI-beta" not in advised
    assert "RI-beta" in warned
