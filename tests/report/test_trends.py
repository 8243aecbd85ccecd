"""The chart of trends: years with few cases are marked and not told, gaps are weighted."""

import re
from dataclasses import replace

import pandas as pd
import pytest
import result_factory
from lxml import html as lxml_html

from sos_plugins.report import render_html

YEARS = range(2008, 2020)
WINDOWS = "the years wholly before"

pytestmark = pytest.mark.pictures


def shown(cases, means, *, binary=True):
    """Return the page of one outcome with these cases and means of pilots by year."""
    study = result_factory.make_result()
    name = "kinship-care" if binary else "assessment-duration"
    rows = [
        {"series": series, "period": y, "mean": mean, "n_cases": n}
        for y, pilots, n_pilots in zip(YEARS, means, cases, strict=True)
        for series, mean, n in (("comparators", 0.5, 1000), ("pilots", pilots, n_pilots))
    ]
    outcome = replace(study.outcome(name), trends=pd.DataFrame(rows))
    tree = lxml_html.document_fromstring(render_html(replace(study, outcomes=(outcome,))))
    return tree, tree.xpath(f'//*[@id="{name}_trends-desc"]')[0].text_content()


def test_a_last_year_of_one_case_is_marked_and_not_told():
    _, told = shown([200] * 11 + [1], [0.4] * 11 + [1.0])
    assert "Pilots: 40.0% in 2008/09, 40.0% in 2018/19." in told
    assert "100" not in told.replace("1000", "")
    assert "left out of this text (cases in brackets): pilots 2019/20 (1)." in told


@pytest.mark.parametrize(
    ("n", "binary", "marked"),
    [(99, False, True), (100, False, False), (9, True, True), (101, True, False)],
)
def test_half_of_the_usual_cases_are_enough(n, binary, marked):
    _, told = shown([200] * 11 + [n], [0.4] * 12, binary=binary)
    assert (f"({n})" in told) is marked


def test_few_figures_of_whole_authorities_are_told_and_few_children_are_not():
    _, figures = shown([2] * 12, [0.4] * 12, binary=False)
    assert "few" not in figures
    _, children = shown([2] * 12, [0.4] * 12)
    assert "Pilots: too few cases in every year." in children
    assert WINDOWS not in children


def test_the_gaps_are_weighted_by_the_cases_of_pilots():
    # Windows run from April 2014 to March 2017: six years lie before, three after.
    means = [0.4, 0.2] * 3 + [0.3] * 3 + [0.4, 0.2, 0.4]
    cases = [300, 200] * 3 + [250] * 3 + [300, 200, 300]
    _, told = shown(cases, means)
    before = (300 * -10 + 200 * -30) / 500
    after = (300 * -10 + 200 * -30 + 300 * -10) / 800
    figures = re.findall(r"−[\d.]+ percentage points", told)
    assert figures == [f"−{abs(v):.1f} percentage points" for v in (before, after)]


def test_the_table_says_which_years_have_few_cases():
    tree, _ = shown([200] * 11 + [1], [0.4] * 11 + [1.0])
    rows = tree.xpath('//*[contains(@id, "kinship-care_trends")]//tbody/tr')
    cells = [[c.text_content().strip() for c in row.xpath("./td | ./th")] for row in rows]
    assert [row[4] for row in cells if row[0] == "2019/20"] == ["no", "yes"]
    assert {row[4] for row in cells if row[0] != "2019/20"} == {"no"}


def test_a_result_without_numbers_of_cases_is_told_as_it_is():
    study = result_factory.make_result()
    outcome = study.outcome("kinship-care")
    trends = outcome.trends.assign(n_cases=None)
    page = render_html(replace(study, outcomes=(replace(outcome, trends=trends),)))
    tree = lxml_html.document_fromstring(page)
    assert WINDOWS in tree.xpath('//*[@id="kinship-care_trends-desc"]')[0].text_content()
