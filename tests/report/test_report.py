"""The report: figures in words, what every section says, files, and results with holes in them."""

from __future__ import annotations

import csv
import doctest
import functools
import hashlib
import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lxml import html as lxml_html
from result_factory import NAMES, PILOTS, make_result, pictures

from sos_plugins.contract.types import LeadTest, OutcomeInfo, Reason, Run
from sos_plugins.errors import SosError
from sos_plugins.report import ReportError, findings, first_screen, render_html, write_report
from sos_plugins.report import formatting as words
from sos_plugins.report import labels as names
from sos_plugins.report.charts import Chart, in_lines
from sos_plugins.report.findings import finding_in_words
from sos_plugins.report.forest import forest
from sos_plugins.report.heat import heat_colour, heat_ink, luminance
from sos_plugins.report.outcome_tables import quality_figure
from sos_plugins.report.page import SIMULATED_SHORT, SIMULATED_TAG
from sos_plugins.report.sections import page_of
from sos_plugins.report.study_tables import thresholds_table, true_effect
from sos_plugins.report.trends import april_position
from sos_plugins.report.verdict import further_ratings
from sos_plugins.study.result import OutcomeResult, StudyResult

LARGEST_REPORT = 5_000_000
"""Bytes: a report is mailed, so it must stay below what mail servers take."""


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return replace(
        make_result(),
        missing_checks=("R was not available: the following checks were not run: did by R",),
        warnings=("The engine r-did cannot run here",),
    )


@pytest.fixture(scope="module")
def page(result: StudyResult) -> str:
    with pictures():
        return render_html(result)


@pytest.fixture(scope="module")
def tree(page: str) -> lxml_html.HtmlElement:
    return lxml_html.document_fromstring(page)


def only(result: StudyResult, outcome: OutcomeResult) -> StudyResult:
    return replace(result, outcomes=(outcome,))


def text_of(page: str) -> str:
    body = lxml_html.document_fromstring(page)
    for element in body.xpath("//style | //svg"):
        element.drop_tree()
    return re.sub(r"\s+", " ", body.text_content())


def table_rows(tree: lxml_html.HtmlElement, name: str) -> list[list[str]]:
    rows = tree.xpath(f'//table[@id="{name}-table"]/tbody/tr[not(@class="group")]')
    return [[re.sub(r"\s+", " ", c.text_content()).strip() for c in row] for row in rows]


# Figures in words


@pytest.mark.parametrize("module", [words, names, findings])
def test_examples_in_docstrings_hold(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (-13.04, 1, "−13.0"),
        (-0.04, 1, "0.0"),
        (-0.06, 1, "−0.1"),
        (1234567, 0, "1,234,567"),
        (math.nan, 1, "–"),
        (None, 0, "–"),
        (math.inf, 1, "infinite"),
        ("inf", 1, "infinite"),
        ("0.5", 1, "0.5"),
    ],
)
def test_numbers_have_true_minus_signs_and_separators(
    value: object, decimals: int, shown: str
) -> None:
    assert words.number(value, decimals) == shown


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0009999, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.05, "p = 0.050"),
        (1.0, "p > 0.999"),
        (0.0, "p < 0.001"),
    ],
)
def test_p_values(p: float, shown: str) -> None:
    assert words.p_value(p) == shown


def test_binary_effects_are_percentage_points_with_one_decimal(result: StudyResult) -> None:
    scale = words.scale_of(result.outcome("kinship-care"))
    assert scale.with_unit(-0.13) == "−13.0 percentage points"
    assert scale.interval(-0.1816, -0.079) == "−18.2 to −7.9"
    assert scale.level(0.4412) == "44.1%"


@pytest.mark.parametrize(
    ("std_error", "shown"), [(1.1, "−0.4"), (0.11, "−0.40"), (14.0, "0"), (None, "−0.40")]
)
def test_other_effects_show_two_digits_of_their_error(
    result: StudyResult, std_error: float | None, shown: str
) -> None:
    outcome = result.outcome("assessment-duration")
    assert outcome.main is not None
    scale = words.scale_of(replace(outcome, main=replace(outcome.main, std_error=std_error)))
    assert scale.effect(-0.4) == shown
    assert scale.unit == "working days"


def test_a_measure_in_per_cent_is_not_multiplied_but_has_percentage_points() -> None:
    info = OutcomeInfo("x", "X", "x", "", binary=False, measure="per cent")
    scale = words.scale_of(OutcomeResult(info, main=Run("main", "", estimate=1.6, std_error=1.9)))
    assert scale.with_unit(1.58) == "1.6 percentage points"


def test_every_count_passes_one_function(
    result: StudyResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "count", lambda value: "few")
    outcome = result.outcome("kinship-care")
    tree = lxml_html.document_fromstring(render_html(only(result, outcome)))
    for row in table_rows(tree, "kinship-care_groups"):
        assert row[2:4] == ["few", "few"]
    assert {row[3] for row in table_rows(tree, "kinship-care_trends")} == {"few"}
    assert {row[4] for row in table_rows(tree, "record-quality")} == {"few"}


def test_days_lie_within_the_april_year_they_belong_to() -> None:
    day = words.to_date("2014-04-01")
    last = words.to_date("2015-03-31")
    assert day is not None
    assert last is not None
    assert april_position(day) == 2013.5
    assert 2014.49 < april_position(last) < 2014.5


# What was found


def test_in_words_a_clear_effect(result: StudyResult) -> None:
    text = finding_in_words(result.outcome("kinship-care"))
    assert "a decrease of 13.0 percentage points in kinship care" in text
    assert "from a decrease of 18.1 percentage points to a decrease of 7.9" in text
    assert "95% confidence interval" in text
    assert "the direction found is the opposite" in text


def test_in_words_an_unclear_effect_names_what_was_not_met(result: StudyResult) -> None:
    text = finding_in_words(result.outcome("assessment-duration"))
    assert "also compatible with no effect" in text
    assert "a decrease of 2.6 working days to an increase of 1.8 working days" in text
    held = first_screen.limiting_reasons(result.outcome("assessment-duration").rating, {})
    assert "Bristol alone changes the sign of the estimate." in held


def test_in_words_an_interval_apart_from_zero_that_is_rated_no_effect(result: StudyResult) -> None:
    text = finding_in_words(result.outcome("rereferral"))
    assert "the rating does not put the change down to the programme" in text


def test_a_check_that_is_met_may_keep_a_rating_from_the_next_level(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    few = Reason("precision", "9 pilots were analysed", 9.0, 4.0, True, "moderate")
    assert outcome.rating is not None
    rating = replace(outcome.rating, reasons=(*outcome.rating.reasons, few))
    assert first_screen.limiting_reasons(outcome.rating, {}) == []
    assert first_screen.limiting_reasons(rating, {}) == ["9 pilots were analysed."]


def test_the_confidence_level_is_the_one_of_the_estimates(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    named = outcome.estimates[0]
    ninety = replace(named.estimate, glance={**named.estimate.glance, "conf_level": 0.9})
    changed = replace(outcome, estimates=(replace(named, estimate=ninety),))
    assert words.confidence(changed) == "90% confidence interval"
    assert words.confidence(replace(outcome, estimates=())) == "confidence interval"


def test_the_summary_has_the_columns_and_verdicts(result: StudyResult) -> None:
    summary = page_of(result).summary
    assert [column.heading for column in summary.columns] == [
        "Outcome",
        "Expected impact (theory of change)",
        "Result",
        "Strength of the evidence",
        "Effect",
        "p value",
    ]
    ((_, shown),) = summary.groups
    rows = {r[0]: r[1:] for r in ([plain_text(cell) for cell in row] for row in shown)}
    assert rows["Kinship rather than other care"] == [
        "Increase",
        "Moderate strength evidence of decreased kinship care.",
        "Moderate Decrease",
        "−13.0 percentage points (95% CI −18.1 to −7.9)",
        "< 0.001; < 0.001 adjusted for 4 outcomes",
    ]
    assert rows["Duration of assessments"][0] == "Unclear: shorter is better if quality holds"


def plain_text(cell: str) -> str:
    return " ".join(lxml_html.fromstring(f"<p>{cell}</p>").text_content().split())


def test_reasons_that_hold_a_rating_down_are_shown_and_all_are_in_the_file(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    outcome = result.outcome("rereferral")
    assert outcome.rating is not None
    rows = table_rows(tree, "rereferral_reasons")
    held = [reason for reason in outcome.rating.reasons if not reason.met]
    assert [row[1:] for row in rows] == [["✗ not met"]] * len(held)
    assert [row[0] for row in rows] == [words.end_sentence(reason.sentence) for reason in held]
    (table,) = [t for t in page_of(result).tables if t.name == "rereferral_reasons"]
    assert table.raw is not None
    assert list(table.raw["figure"]) == [reason.figure for reason in outcome.rating.reasons]
    left = len(outcome.rating.reasons) - len(held)
    assert f"{left} further check" in table.note


def test_failed_runs_are_listed_with_their_reasons(tree: lxml_html.HtmlElement) -> None:
    rows = table_rows(tree, "assessment-duration_runs-without-estimate")
    assert [row[1] for row in rows] == [
        "✗ failed: the R package 'did' is not installed",
        "○ does not apply: the value is not binary",
    ]


def test_every_run_is_in_the_file(result: StudyResult) -> None:
    (table,) = [t for t in page_of(result).tables if t.name == "assessment-duration_runs"]
    assert len(table.frame) == 1 + 9 + 9 + 8
    assert {"estimator", "engine", "std_error", "n_cases", "estimand"} <= set(table.frame)


def test_crosschecks_are_counted_and_those_that_disagree_are_shown(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    rows = table_rows(tree, "kinship-care_crosscheck")
    assert [row[1] for row in rows] == ["✗ disagree: differs in the smallest cohort"]
    agreements = result.outcome("kinship-care").agreements
    n = [a.verdict for a in agreements]
    told = tree.xpath('string(//details[@id="all-kinship-care"])')
    run = len(n) - n.count("not run")
    assert f"{n.count('agree')} of {run} comparisons agree; {n.count('not run')} more" in told
    (table,) = [t for t in page_of(result).tables if t.name == "kinship-care_crosscheck"]
    assert table.raw is not None
    assert list(table.raw["tolerance_estimate_reason"]) == [
        a.tolerance_estimate.reason for a in agreements
    ]


def test_the_event_study_has_its_reference_and_other_estimators_are_in_files(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    rows = table_rows(tree, "kinship-care_event-study")
    reference = [row for row in rows if row[0] == "−1"]
    assert reference[0][3:] == ["–no figure"]
    names = {table.name for table in page_of(result).tables}
    assert "kinship-care_event-study-callaway-santanna" in names


def gaps_with_enough_cases(trends: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the yearly gaps of pilots over comparators, and the pilots' cases."""
    usual = trends.groupby("series")["n_cases"].transform("median")
    enough = trends[trends["n_cases"] >= usual / 2]
    wide = enough.pivot_table(index="period", columns="series", values=["mean", "n_cases"]).dropna()
    return wide["mean"]["pilots"] - wide["mean"]["comparators"], wide["n_cases"]["pilots"]


def test_the_text_alternative_of_the_trends_is_written_from_the_data(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    gap, weights = gaps_with_enough_cases(result.outcome("kinship-care").trends)
    trends = result.outcome("kinship-care").trends.set_index(["series", "period"])["mean"]
    text = tree.xpath('//*[@id="kinship-care_trends-desc"]')[0].text_content()
    assert f"Pilots: {100 * trends['pilots', 2008]:.1f}% in 2008/09" in text
    # Windows run from April 2014 to March 2017.
    years = gap.index[gap.index >= 2017]
    after = f"{abs(100 * np.average(gap[years], weights=weights[years])):.1f}"
    assert re.search(rf"−?{re.escape(after)} percentage points in those wholly after", text)


def test_the_text_alternative_of_the_forest_counts_signs(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    outcome = result.outcome("rereferral")
    estimates = [run.estimate for run in outcome.runs if run.estimate is not None]
    text = tree.xpath('//*[@id="rereferral_runs-desc"]')[0].text_content()
    assert f"{len(estimates)} of {len(outcome.runs)} analyses" in text
    assert f"{sum(e < 0 for e in estimates)} below zero" in text


def test_the_text_alternative_of_balance_names_the_largest_difference(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    balance = result.outcome("kinship-care").balance.query("level == 'units'")
    beyond = (balance["smd_before"].abs() > 0.1).sum()
    text = tree.xpath('//*[@id="kinship-care_balance-units-desc"]')[0].text_content()
    assert f"Before matching, {beyond} of {len(balance)} characteristics" in text
    assert f"{balance['smd_before'].abs().max():.2f}" in text


@pytest.mark.pictures
def test_characteristics_that_may_be_measured_late_are_marked() -> None:
    study = make_result()
    outcome = study.outcome("kinship-care")
    info = replace(outcome.info, measured_after=("disabled", "ethnicity"))
    page = render_html(only(study, replace(outcome, info=info)))
    tree = lxml_html.document_fromstring(page)
    (table,) = [
        t
        for t in page_of(only(study, replace(outcome, info=info))).tables
        if t.name == "kinship-care_balance-cases"
    ]
    rows = [row[0] for _, group in table.groups for row in group]
    late = {c for c in outcome.balance["covariate"] if c.split("=")[0] in info.measured_after}
    assert len(late) == 7
    assert sum(row.endswith("*") for row in rows) == len(late)
    assert "Disabled*" in rows
    assert "Age" in rows
    text = tree.xpath('//*[@id="kinship-care_balance-cases-desc"]')[0].text_content()
    assert "after the programme began" in text
    units = tree.xpath('//*[@id="kinship-care_balance-units-desc"]')[0].text_content()
    assert "*" not in units


def test_record_quality_adds_up_over_authorities(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    rows = table_rows(tree, "record-quality")
    assert rows[0][0] == "Duplicate"  # dropped rows come first
    assert rows[0][4] == f"{31 * len(NAMES):,}"
    checks = result.record_quality
    assert len(rows) == checks[checks["n_flagged"] > 0].groupby(["table", "check"]).ngroups


def test_truth_beside_estimate_only_when_simulated(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    rows = {row[0]: row[1:] for row in table_rows(tree, "truth")}
    assert rows["Kinship rather than other care"][:2] == ["−13.0 percentage points"] * 2
    assert rows["Kinship rather than other care"][3] == "✓ yes"
    real = replace(result, outcomes=(), simulated=False, truth=None)
    assert 'id="truth-table"' not in render_html(real)


def test_what_else_the_simulation_put_in_is_told(result: StudyResult) -> None:
    told = {
        "effect": -0.03,
        "parallel_trends_hold": ["801", "926"],
        "parallel_trends_violated": ["304"],
        "confounder": {"meaning": "changes at the same time", "by_pilot": {"304": 0.1}},
    }
    outcome = OutcomeResult(result.outcome("rereferral").info)
    study = replace(only(result, outcome), truth={"outcomes": {"rereferral": told}})
    row = table_rows(lxml_html.document_fromstring(render_html(study)), "truth")[0]
    assert row[1] == "−3.0 percentage points"
    assert row[5] == "Trends diverge in 1 of 3 pilots. Changes at the same time."


def test_warnings_of_engines_are_said_once(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    warned = tuple(
        replace(n, estimate=replace(n.estimate, tidy=n.estimate.tidy.head(0), warnings=("Odd.",)))
        for n in outcome.estimates[:2]
    )
    bare = replace(OutcomeResult(outcome.info), estimates=warned)
    shown = text_of(render_html(only(result, bare)))
    assert shown.count("Odd.") == 1
    assert "Odd. (Engine: event-study, python; event-study, r.)" in shown
    told = replace(bare, warnings=("Odd.",))
    assert "(Engine:" not in text_of(render_html(only(result, told)))


def test_records_that_are_all_usable_have_no_worst_authority(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    complete = outcome.completeness.assign(n_usable=outcome.completeness["n_candidates"])
    shown = text_of(render_html(only(result, replace(outcome, completeness=complete))))
    assert "records that could be used: all of them, everywhere" in shown
    assert "least complete authority" not in shown


def test_a_warning_names_its_estimator_where_the_study_has_others(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    first, second = outcome.estimates[:2]
    odd = replace(first, estimate=replace(first.estimate, warnings=("Odd.",)))
    other = replace(second, estimator="another", estimate=replace(second.estimate, warnings=()))
    bare = replace(OutcomeResult(outcome.info), warnings=("Odd.", "Of the study."))
    shown = text_of(render_html(only(result, replace(bare, estimates=(odd, other)))))
    assert f"Odd. (Estimator: {first.estimator}.)" in shown
    assert "Of the study. (Estimator" not in shown
    alone = text_of(render_html(only(result, replace(bare, estimates=(odd,)))))
    assert "(Estimator" not in alone


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("usable_share", 0.7312, "73.1%"),
        ("usable_shift", -0.0421, "−4.2 points"),
        ("imbalance_units", 0.0626, "0.06 SD"),
        ("pilots_above_pool", 3.75, "3.75 SD"),
        ("n_cases", 48211.0, "48,211"),
        ("pilots_covered", 1.0, "100.0%"),
        ("days_between", 0.5, "0.5"),
        ("own_figure", 12.5, "12.5"),
        ("unknown", math.nan, "–"),
    ],
)
def test_quality_figures_are_shares_unless_their_name_says_otherwise(
    name: str, value: float, shown: str
) -> None:
    assert quality_figure(name, value) == shown


@pytest.mark.parametrize(
    "truth",
    [
        {"kinship-care": -0.13},
        {"effects": {"kinship-care": -0.13}},
        {"outcomes": {"kinship-care": {"effect": -0.13, "since": 2014}}},
    ],
)
def test_true_effects_are_found_where_simulators_put_them(
    result: StudyResult, truth: dict[str, object]
) -> None:
    study = replace(result, truth=truth)
    assert true_effect(study, study.outcome("kinship-care")) == -0.13
    assert true_effect(study, study.outcome("rereferral")) is None


# Simulated, self-contained, accessible


def test_simulated_is_said_in_every_section_chart_and_printed_page(
    page: str, tree: lxml_html.HtmlElement
) -> None:
    for section in tree.xpath("//main/section"):
        assert SIMULATED_TAG in section.text_content()
    for part in tree.xpath('//details[@class="part"]'):
        assert SIMULATED_TAG in part.text_content()
    captions = tree.xpath("//figcaption")
    assert len(captions) == 4 * 10 + 1
    assert all(SIMULATED_TAG in caption.text_content() for caption in captions)
    assert f'@bottom-left {{ content: "{SIMULATED_SHORT}"' in page
    assert "The records in this report are simulated" in tree.text_content()
    assert "(simulated records)" in tree.xpath("//title")[0].text


def test_real_records_are_not_called_simulated(result: StudyResult) -> None:
    outcome = replace(result.outcome("kinship-care"), estimates=())
    real = render_html(replace(only(result, outcome), simulated=False, truth=None))
    assert "simulated" not in text_of(real).lower()
    assert SIMULATED_SHORT not in real


def test_nothing_is_loaded_from_elsewhere(page: str, tree: lxml_html.HtmlElement) -> None:
    assert not tree.xpath("//script | //iframe | //img | //object | //embed")
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    for target in tree.xpath("//@href | //@src"):
        assert target.startswith(("#", "data:")), target
    assert set(re.findall(r"url\(([^#])", page)) == set()


def test_ids_are_unique_and_every_reference_finds_its_target(
    page: str, tree: lxml_html.HtmlElement
) -> None:
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    wanted = {target[1:] for target in tree.xpath("//@href") if target.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page))
    for labels in tree.xpath("//@aria-labelledby | //@aria-describedby"):
        wanted |= set(labels.split())
    assert wanted <= set(ids)


def test_every_chart_is_named_and_has_its_figures_in_a_table(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    names = {table.name for table in page_of(result).tables}
    figures = tree.xpath('//figure[@class="chart"]')
    assert figures
    for figure in figures:
        (svg,) = figure.xpath('.//svg[@role="img"]')
        assert svg.xpath("./title")[0].text_content()
        assert svg.xpath("./desc")[0].text_content()
        filed = re.findall(r"Figures: tables/([\w.-]+)\.csv\.", figure.text_content())
        assert figure.xpath(".//details//table/tbody/tr") or names.issuperset(filed or {""})


def test_headings_go_down_one_step_at_a_time(tree: lxml_html.HtmlElement) -> None:
    levels = [int(h.tag[1]) for h in tree.xpath("//h1 | //h2 | //h3 | //h4 | //h5 | //h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_figures_on_the_heat_map_stand_out_at_every_depth() -> None:
    for step in range(101):
        colour, ink = heat_colour(step / 100), heat_ink(step / 100)
        light, dark = sorted((luminance(colour), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour


def test_the_report_stays_small(page: str) -> None:
    assert len(page.encode()) < LARGEST_REPORT


# Names that try to break out


@pytest.mark.pictures
def test_everything_is_escaped() -> None:
    evil = "<script>alert('x')</script> & $x_1$ \x00\x1b"
    study = make_result()
    outcome = study.outcome("kinship-care")
    info = replace(outcome.info, label=evil, question=evil, phrase=evil, expected_note=evil)
    main = replace(outcome.runs[0], label=evil)
    assert outcome.rating is not None
    rating = replace(outcome.rating, sentence=evil, reasons=(Reason(evil, evil, 1.0, 2.0, False),))
    balance = outcome.balance.assign(covariate=evil)
    leads = (LeadTest("801", None, None, None, None, "failed", evil),)
    outcome = replace(
        outcome,
        info=info,
        runs=(main, *outcome.runs[1:]),
        main=main,
        rating=rating,
        balance=balance,
        leads=leads,
        warnings=(evil,),
        settings={evil: evil},
        quality={evil: 0.5},
    )
    study = replace(
        only(study, outcome),
        title=evil,
        programme=evil,
        unit_names={unit: f"{evil}{unit}" for unit in NAMES},
        missing_checks=(evil,),
        manifest={"created": evil, "files": [evil], "versions": {evil: evil}},
        study_toml=evil,
    )
    tree = lxml_html.document_fromstring(render_html(study))
    assert not tree.xpath("//script")
    assert "<script>alert('x')</script> & $x_1$" in tree.xpath("//h1")[0].text_content()
    chart = tree.xpath('//*[@id="kinship-care_completeness-figure"] | //svg')
    assert any("<script>" in svg.text_content() for svg in chart)
    assert "\x00" not in tree.text_content()


def test_two_outcomes_of_one_plugin_and_names_shared_by_authorities_stay_apart() -> None:
    study = make_result()
    outcome = replace(study.outcome("kinship-care"), completeness=pd.DataFrame())
    study = replace(
        study, outcomes=(outcome, outcome), unit_names=dict.fromkeys(NAMES, "Somewhere")
    )
    files = [table.name for table in page_of(study).tables]
    assert len(files) == len(set(files))
    assert "kinship-care.2_runs" in files
    shown = text_of(render_html(study))
    assert "Somewhere (801)" in shown
    assert "Somewhere (304)" in shown


# Results with holes


@functools.cache
def holes() -> dict[str, StudyResult]:
    """Results that lack something, by what they lack."""
    full = make_result(simulated=False)
    kinship, duration = full.outcome("kinship-care"), full.outcome("assessment-duration")
    bare = OutcomeResult(info=kinship.info)
    pilot = full.pilots.head(1)
    unit = str(pilot["unit"].iloc[0])
    no_columns = pd.DataFrame()
    return {
        "no outcomes": replace(full, outcomes=()),
        "an error": only(full, OutcomeResult(kinship.info, error="no case is left at step window")),
        "nothing found": only(full, bare),
        "no runs": only(full, replace(kinship, runs=(), main=None, rating=None)),
        "no rating": only(full, replace(kinship, rating=None)),
        "all runs failed": only(
            full,
            replace(
                bare,
                main=Run("main", "Main", status="failed", reason="no variation"),
                runs=(Run("main", "Main", status="failed", reason="no variation"),),
            ),
        ),
        "no pilots, names or checks": replace(
            only(full, kinship),
            pilots=no_columns,
            unit_names={},
            record_quality=no_columns,
            manifest={},
        ),
        "one pilot": replace(
            only(full, replace(kinship, leads=kinship.leads[:1], groups=kinship.groups.head(2))),
            pilots=pilot,
            unit_names={unit: PILOTS[unit]},
        ),
        "windows without dates": replace(
            only(full, duration), pilots=full.pilots.assign(start=None, end=None)
        ),
        "no cases anywhere": only(
            full,
            replace(
                duration,
                trends=duration.trends.assign(mean=math.nan),
                completeness=duration.completeness.assign(n_candidates=0, n_usable=0),
                sample=duration.sample.assign(mean_pre=None, mean_post=None, n_pre=0, n_post=0),
                scores=duration.scores.assign(treated=False),
                balance=duration.balance.assign(smd_before=None, smd_after=None),
            ),
        ),
        "one period, no interval": only(
            full,
            replace(
                duration,
                trends=duration.trends.query("period == 2012"),
                main=Run("main", "Main", estimate=0.0),
                runs=(Run("main", "Main", estimate=0.0, std_error=math.inf),),
            ),
        ),
    }


HOLES = sorted(holes())


@pytest.mark.parametrize("hole", HOLES)
def test_a_result_with_holes_is_still_a_report(hole: str) -> None:
    study = holes()[hole]
    page = render_html(study)
    shown = text_of(page)
    assert "Pilots and design" in shown
    assert not re.search(r"\b(nan|None|NaT|NaN|Undefined)\b", shown)
    # The page is made from the JSON form alone, so a stable form gives a stable page.
    assert StudyResult.from_json(study.to_json()).to_json() == study.to_json()


def test_an_outcome_with_an_error_says_so_in_summary_and_section() -> None:
    tree = lxml_html.document_fromstring(render_html(holes()["an error"]))
    sentence = "This outcome could not be analysed. No case is left at step window."
    (card,) = tree.xpath('//li[@class="card"]')
    told = " ".join(card.text_content().split())
    assert "Not analysed." in told
    assert told.endswith("No case is left at step window.")
    assert sentence in tree.xpath('string(//details[@id="all-kinship-care"])')


def test_an_outcome_without_runs_says_so() -> None:
    assert "No estimate was made for this outcome." in text_of(render_html(holes()["no runs"]))
    assert "No estimate could be made for kinship care: no variation." in text_of(
        render_html(holes()["all runs failed"])
    )


def test_authorities_without_names_show_their_codes() -> None:
    study = holes()["no pilots, names or checks"]
    outcome = study.outcome("kinship-care")
    groups = outcome.groups.drop(columns=["pilot_name", "comparator_name"])
    tree = lxml_html.document_fromstring(render_html(only(study, replace(outcome, groups=groups))))
    assert {row[0] for row in table_rows(tree, "kinship-care_groups")} >= set(PILOTS)


def test_periods_without_dated_windows_are_no_april_years() -> None:
    shown = text_of(render_html(holes()["windows without dates"]))
    assert "2008/09" not in shown
    assert "Year from April" not in shown


@pytest.mark.pictures
def test_periods_of_published_figures_are_april_years_and_starts_are_marked() -> None:
    study = holes()["windows without dates"]
    study = replace(study, settings={"sources": [{"plugin": "published"}]})
    outcome = replace(study.outcomes[0], estimates=(), completeness=pd.DataFrame())
    tree = lxml_html.document_fromstring(render_html(only(study, outcome)))
    text = tree.xpath('//*[@id="assessment-duration_trends-desc"]')[0].text_content()
    gap, weights = gaps_with_enough_cases(outcome.trends)
    # Cohorts 2014 to 2016: 2008-2013 lie before the first start, 2016-2019 after the last.
    before, after = (
        np.average(gap[years], weights=weights[years])
        for years in (gap.index[gap.index < 2014], gap.index[gap.index >= 2016])
    )
    assert "in 2008/09" in text
    assert f"{before:.1f} working days in the years wholly before the first start" in text
    assert f"{after:.1f} working days in those wholly after the last" in text


@pytest.mark.pictures
def test_many_authorities_draw_the_least_complete_and_file_all() -> None:
    study = make_result()
    outcome = study.outcome("kinship-care")
    frame = pd.DataFrame(
        [
            {"unit": f"{u}", "period": p, "n_candidates": 1000, "n_usable": 1000 - u}
            for u in range(100, 252)
            for p in (2012, 2013)
        ]
    )
    study = only(study, replace(outcome, completeness=frame))
    (table,) = [t for t in page_of(study).tables if t.name == "kinship-care_completeness"]
    assert table.raw is not None
    assert len(table.raw) == 2 * 152
    tree = lxml_html.document_fromstring(render_html(study))
    text = tree.xpath('//*[@id="kinship-care_completeness-desc"]')[0].text_content()
    assert "The lowest is 74.9%, in 251 in 2012/13" in text
    assert "Of 152 authorities, the 20 least complete are drawn" in text


# The folder


@pytest.fixture(scope="module")
def folder(result: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report, written from the result as it is read back from JSON."""
    again = StudyResult.from_json(result.to_json())
    with pictures():
        return write_report(again, tmp_path_factory.mktemp("report") / "new" / "folder").parent


@pytest.mark.pictures
def test_a_result_read_back_gives_the_same_page(folder: Path, page: str) -> None:
    assert (folder / "report.html").read_text(encoding="utf-8") == page


@pytest.mark.pictures
def test_of_many_authorities_only_the_incomplete_are_drawn() -> None:
    study = make_result()
    outcome = OutcomeResult(study.outcome("kinship-care").info)
    frame = pd.DataFrame({"unit": [str(u) for u in range(100, 252)], "period": 2012})
    frame = frame.assign(n_candidates=10, n_usable=[7, 8, *[10] * 150])
    page = render_html(only(study, replace(outcome, completeness=frame)))
    tree = lxml_html.document_fromstring(page)
    drawn = tree.xpath('//svg[@aria-labelledby="kinship-care_completeness-title"]//text')
    assert [t.text for t in drawn if t.text and len(t.text) == 3] == ["100", "101"]


def test_the_folder_has_page_result_tables_manifest_and_study(
    result: StudyResult, folder: Path
) -> None:
    assert StudyResult.read(folder).to_json() == result.to_json()
    assert (folder / "study.toml").read_text(encoding="utf-8") == result.study_toml
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["simulated"] is True
    assert manifest["data_hash"] == result.manifest["data_hash"]
    for name, digest in manifest["report"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert not [p for p in folder.rglob("*") if p.name.startswith(".")]


def test_every_table_is_a_csv_file_with_raw_values(
    result: StudyResult, folder: Path, tree: lxml_html.HtmlElement
) -> None:
    tables = folder / "tables"
    shown = {name.removesuffix("-table") for name in tree.xpath("//table/@id")}
    assert shown <= {path.stem for path in tables.iterdir()}
    runs = pd.read_csv(tables / "kinship-care_runs.csv")
    expected = result.outcome("kinship-care").runs
    assert sorted(runs["label"]) == sorted(run.label for run in expected)
    assert runs.loc[runs["family"] == "main", "estimate"].item() == pytest.approx(-0.13, abs=0)
    with (tables / "index.csv").open(encoding="utf-8", newline="") as file:
        index = {row["file"]: row for row in csv.DictReader(file)}
    assert set(index) == {path.name for path in tables.iterdir()} - {"index.csv"}
    assert {row["simulated"] for row in index.values()} == {"True"}
    for name, row in index.items():
        with (tables / name).open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == int(row["rows"]), name
    usable = pd.read_csv(tables / "kinship-care_completeness.csv", dtype={"unit": str})
    pd.testing.assert_frame_equal(usable, result.outcome("kinship-care").completeness)


def test_writing_again_takes_away_old_tables_and_nothing_else(
    result: StudyResult, tmp_path: Path
) -> None:
    kinship = replace(result.outcome("kinship-care"), estimates=(), completeness=pd.DataFrame())
    rereferral = OutcomeResult(result.outcome("rereferral").info, settings={"days": 183})
    write_report(only(result, kinship), tmp_path)
    assert (tmp_path / "tables" / "kinship-care_runs.csv").exists()
    (tmp_path / "tables" / "mine.csv").write_text("a\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    write_report(only(result, rereferral), tmp_path)
    left = {path.name for path in (tmp_path / "tables").iterdir()}
    assert "mine.csv" in left
    assert "rereferral_settings.csv" in left
    assert not [name for name in left if name.startswith("kinship-care")]
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_manifest_cannot_make_the_report_delete_outside_its_tables(
    result: StudyResult, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.csv"
    victim.write_text("a\n", encoding="utf-8")
    folder = tmp_path / "report"
    folder.mkdir()
    names = {"../victim.csv": "", "tables/../../victim.csv": "", "/victim.csv": ""}
    (folder / "manifest.json").write_text(json.dumps({"report": names}), encoding="utf-8")
    write_report(replace(result, outcomes=()), folder)
    assert victim.exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(result: StudyResult, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(ReportError, match=r"cannot be written to .*file.*Name a folder") as caught:
        write_report(replace(result, outcomes=()), blocked)
    assert isinstance(caught.value, SosError)


def test_nothing_half_written_when_a_write_fails(
    result: StudyResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(result, outcomes=())
    path = write_report(study, tmp_path)
    before = path.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ReportError, match="No space left"):
        write_report(replace(study, title="Other"), tmp_path)
    assert path.read_bytes() == before
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_the_smallest_effect_that_matters_stands_with_its_reason(
    result: StudyResult, tree: lxml_html.HtmlElement
) -> None:
    told = {
        part.xpath("string(summary)").strip(): part.xpath(
            'string(.//dt[text()="Smallest effect that matters"]/../dd)'
        )
        for part in tree.xpath('//details[starts-with(@id, "all-")]')
    }
    assert told["Kinship rather than other care"] == (
        "5.0 percentage points. Below five points no budget changes."
    )
    assert told["Duration of assessments"].startswith("Not set, so the report cannot say")


def test_other_schemes_stand_beside_the_rating(tree: lxml_html.HtmlElement) -> None:
    rows = table_rows(tree, "kinship-care_other-schemes")
    assert rows == [
        ["another-scheme", "Level 3: decreased kinship care; one <pilot> only.", "3", "Decrease"]
    ]
    assert not tree.xpath('//table[@id="rereferral_other-schemes-table"]')


def test_the_same_rule_again_is_named_by_the_settings_that_differ(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    assert outcome.rating is not None
    again = replace(outcome.rating, thresholds={**outcome.rating.thresholds, "lead_p_value": 0.1})
    table = further_ratings(replace(outcome, further_ratings=(again,)), "again")
    assert table is not None
    assert list(table.frame["scheme"]) == ["wwcsc with lead_p_value = 0.1"]
    one = replace(result, outcomes=(replace(outcome, further_ratings=(again,)),))
    thresholds = thresholds_table(one)
    assert thresholds is not None
    named = thresholds.frame.groupby("rule", sort=False)["threshold"].agg(list)
    assert list(named.index) == ["wwcsc", "wwcsc with lead_p_value = 0.1"]
    assert named["wwcsc with lead_p_value = 0.1"] == ["lead_p_value"]


LONG = (
    "comparators chosen by the propensity score of earlier outcomes, sizes and deprivation, three "
    "to each pilot, with replacement and without a caliper"
)


def shown_text(chart: Chart) -> list[str]:
    """The words of a picture, one entry a text; lines of one text are joined."""
    tree = lxml_html.fromstring(str(chart.svg))
    return [" ".join(text.text_content().split()) for text in tree.iter("text")]


@pytest.mark.pictures
def test_the_names_of_runs_are_never_cut(result: StudyResult) -> None:
    outcome = result.outcome("kinship-care")
    assert outcome.main is not None
    runs = (outcome.main, *(replace(outcome.main, family="x", label=f"{LONG} {n}") for n in "ab"))
    chart = forest(replace(outcome, runs=runs), "long")
    assert chart is not None
    words = " ".join(shown_text(chart))
    assert words.count("without a caliper") == 2
    assert "…" not in words


@pytest.mark.parametrize("length", [10, 32, 33, 35, 36, 80, 400])
def test_a_label_is_set_smaller_or_in_lines_and_never_cut(length: int) -> None:
    label = ("authority of the north and the west " * 20)[:length].strip()
    text, size = in_lines(label, 32)
    lines = text.split("\n")
    assert " ".join(lines) == label
    assert max(map(len, lines)) * size <= 32 + 1e-9
    assert len(lines) * size <= 2 * 0.78 + 1e-9


@pytest.mark.parametrize(
    ("direction", "sign"),
    [("no effect that matters", "No effect that matters"), ("cannot tell", "Cannot tell")],
)
def test_every_direction_has_its_sign(direction: str, sign: str) -> None:
    from sos_plugins.report.verdict import direction_sign

    shown = direction_sign(direction)
    assert sign in shown
    assert "<svg" in shown
