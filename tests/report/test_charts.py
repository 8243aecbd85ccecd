"""Charts that do not mislead: each point once, words for names, marks on what rests on one."""

from __future__ import annotations

import doctest
import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from lxml import html as lxml_html
from matplotlib.figure import Figure
from result_factory import make_result

from sos_plugins.report import events, formatting, labels, render_html
from sos_plugins.report.events import Effects, draw_effects, drawn_once, event_study
from sos_plugins.report.forest import forest
from sos_plugins.report.labels import Labels
from sos_plugins.report.matched import matched_diagram
from sos_plugins.report.sections import page_of
from sos_plugins.report.svg import chart_style
from sos_plugins.report.trends import Trends, Uptake, draw_trends, trend_chart, with_few
from sos_plugins.study.provenance import called_of
from sos_plugins.study.result import LONGEST_MATCH_TABLE, OutcomeResult, StudyResult

CALLED = {"callaway-santanna": "Callaway and Sant'Anna"}


def effects(**engines: list[float]) -> list[dict[str, Any]]:
    return [
        {"engine": engine, "event": e, "estimate": v, "conf_low": v - 1.0, "conf_high": v + 1.0}
        for engine, values in engines.items()
        for e, v in enumerate(values, start=-2)
    ]


def axes_of(draw: Any, *given: Any) -> Any:
    with chart_style("x"):
        figure = Figure(figsize=(4.3, 2.5))
        draw(figure, *given)
        return figure.axes[0]


def words_of(svg: object) -> str:
    tree = lxml_html.fromstring(str(svg))
    return " ".join(" ".join(text.text_content().split()) for text in tree.iter("text"))


# Engines


@pytest.mark.parametrize("module", [events, labels])
def test_examples_in_docstrings_hold(module: Any) -> None:
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


def test_engines_whose_points_lie_on_each_other_are_drawn_once() -> None:
    same, other = [0.0, 1.0, 4.0], [0.0, 1.0, 4.5]
    rows = effects(python=same, r=[v + 1e-9 for v in same], differences=other)
    assert drawn_once(rows) == [["python", "r"], ["differences"]]
    axes = axes_of(draw_effects, Effects(rows, formatting.Scale(1.0, 1, "", "")))
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["Python and R", "differences"]
    alone = axes_of(
        draw_effects, Effects(effects(python=same, r=same), formatting.Scale(1.0, 1, "", ""))
    )
    assert alone.get_legend() is None


def test_an_engine_without_intervals_is_the_same_where_its_estimates_are() -> None:
    rows = effects(python=[0.0, 1.0, 4.0], r=[0.0, 1.0, 4.0])
    bare = [r | {"conf_low": None, "conf_high": None} if r["engine"] == "r" else r for r in rows]
    assert drawn_once(bare) == [["python", "r"]]


def test_an_engine_with_other_years_is_drawn_by_itself() -> None:
    rows = effects(python=[0.0, 1.0, 4.0], r=[0.0, 1.0])
    assert drawn_once(rows) == [["python"], ["r"]]


def test_the_table_of_the_page_has_each_figure_once_and_the_file_has_all() -> None:
    outcome = make_result().outcome("kinship-care")
    chart = event_study(outcome, "event-study", "x")
    assert chart is not None
    assert chart.table.raw is not None
    assert set(chart.table.raw["engine"]) == {"python", "r"}
    shown = drawn_once(chart.table.raw.dropna(subset=["estimate"]).to_dict("records"))
    assert set(chart.table.frame["engine"]) == {names[0] for names in shown}


# Event time, wide intervals, lone pilots


@pytest.mark.parametrize(
    ("windows", "years", "axis"),
    [
        (True, True, "Years from the window (0 = first after it)"),
        (False, False, "Periods from the start (0 = first treated)"),
    ],
)
def test_event_time_is_named_as_it_is_counted(windows: bool, years: bool, axis: str) -> None:
    rows = effects(python=[0.0, 1.0, 4.0])
    data = Effects(rows, formatting.Scale(1.0, 1, "", ""), windows=windows, years=years)
    assert axes_of(draw_effects, data).get_xlabel() == axis


def test_an_interval_too_wide_is_cut_and_said_to_go_on() -> None:
    rows = effects(python=[0.0, 1.0, 2.0])
    rows[0] |= {"conf_low": -900.0, "conf_high": 900.0}
    axes = axes_of(draw_effects, Effects(rows, formatting.Scale(1.0, 1, "", "")))
    low, high = axes.get_ylim()
    assert high - low < 20
    assert {"v", "^"} <= {line.get_marker() for line in axes.lines}
    assert "Arrow" in events._note(Effects(rows, formatting.Scale(1.0, 1, "", "")))
    assert "Arrow" not in events._note(
        Effects(effects(python=[0.0, 1.0, 2.0]), formatting.Scale(1.0, 1, "", ""))
    )


def test_what_rests_on_one_authority_is_hollow_and_said() -> None:
    rows = effects(python=[0.0, 1.0, 4.0])
    data = Effects(rows, formatting.Scale(1.0, 1, "", ""), lone=frozenset({-2}))
    hollow = [
        line for line in axes_of(draw_effects, data).lines if line.get_markerfacecolor() == "white"
    ]
    assert [list(line.get_xdata()) for line in hollow] == [[-2]]
    assert "Hollow: one authority." in events._note(data)


# Trends


def trend_rows(cases: list[int], means: list[float]) -> list[dict[str, Any]]:
    return [
        {"series": "pilots", "period": 2010 + i, "mean": m, "n_cases": n}
        for i, (n, m) in enumerate(zip(cases, means, strict=True))
    ]


def test_a_year_of_one_child_is_not_drawn_and_does_not_stretch_the_axis() -> None:
    rows = trend_rows([200, 200, 200, 1], [0.3, 0.32, 0.31, 1.0])
    data = Trends(rows, True, formatting.Scale(100.0, 1, "percentage points", "%"), "Share")
    axes = axes_of(draw_trends, with_few(rows, binary=True), data)
    drawn = [y for line in axes.lines for y in line.get_ydata() if not math.isnan(y)]
    assert max(drawn) == 0.32
    assert axes.get_ylim()[1] < 0.6
    chart = trend_chart(data, "x", "X")
    assert chart is not None
    assert "Years of fewer than 10 cases are left out." in chart.note
    assert chart.table.frame["mean"].max() == 1.0


def test_a_year_cut_short_is_hollow_and_no_line_runs_to_it() -> None:
    rows = trend_rows([200, 60, 200, 200], [0.3, 0.5, 0.31, 0.32])
    data = Trends(rows, True, formatting.Scale(100.0, 1, "percentage points", "%"), "Share")
    line, hollow = axes_of(draw_trends, with_few(rows, binary=True), data).lines
    assert math.isnan(line.get_ydata()[1])
    assert list(hollow.get_ydata()) == [0.5]


def test_trends_are_drawn_from_plain_figures_alone() -> None:
    rows = trend_rows([200, 200], [0.3, 0.4])
    others = [row | {"series": "comparators", "mean": 0.25} for row in rows]
    scale = formatting.Scale(100.0, 1, "percentage points", "%")
    when = Uptake(2010.5, 2010.5, windows=False)
    chart = trend_chart(Trends([*rows, *others], True, scale, "Share", when), "x", "X")
    assert chart is not None
    assert chart.note == "Pilots less comparators: 5.0 points before, 15.0 after."


# The reference


def test_the_reference_is_hollow_at_zero_with_its_name() -> None:
    rows = effects(python=[2.0, 0.0, 4.0])
    rows[1] |= {"conf_low": None, "conf_high": None}
    axes = axes_of(draw_effects, Effects(rows, formatting.Scale(1.0, 1, "", "")))
    points = [line for line in axes.lines if line.get_marker() == "o"]
    filled, hollow = points
    assert list(filled.get_xdata()) == [-2, 0]
    assert (*hollow.get_xdata(), *hollow.get_ydata()) == (-1, 0)
    assert hollow.get_markerfacecolor() == "white"
    assert [text.get_text() for text in axes.texts] == ["reference"]


def test_an_effect_that_was_estimated_at_zero_is_no_reference() -> None:
    rows = effects(python=[2.0, 0.0, 4.0])
    axes = axes_of(draw_effects, Effects(rows, formatting.Scale(1.0, 1, "", "")))
    assert not axes.texts


# Words for names


@pytest.mark.pictures
def test_charts_and_runs_say_what_plugins_are_called() -> None:
    study = replace(make_result(), called=CALLED)
    outcome = study.outcome("kinship-care")
    chart = forest(outcome, "x", CALLED)
    assert chart is not None
    told = words_of(chart.svg)
    assert "Callaway and Sant'Anna, not yet treated" in told
    assert "callaway-santanna" not in told
    page = page_of(replace(study, outcomes=(outcome,)))
    titles = [chart.title for chart in page.outcomes[0].charts]
    assert "Before and after the start (Callaway and Sant'Anna): " in " ".join(titles)


def test_every_estimator_and_matcher_of_authorities_says_what_it_is_called() -> None:
    from sos_plugins.host.registry import load_plugins

    registry = load_plugins()
    called = called_of(registry)
    of_units = {o.name for o in registry.offers("matcher") if o.obj.level == "units"}
    named = {offer.name for offer in registry.offers("estimator")} | of_units
    assert named <= set(called)
    assert all("-" not in word.split(" ")[0] or word[0].isupper() for word in called.values())


# Who is matched with whom


@pytest.mark.pictures
def test_the_diagram_has_every_pair_a_title_words_and_its_figures() -> None:
    outcome = make_result().outcome("kinship-care")
    chart = matched_diagram(outcome, Labels({}), "x")
    assert chart is not None
    told = words_of(chart.svg)
    for side in ("pilot_name", "comparator_name"):
        for name in outcome.groups[side]:
            assert name in told
    n_pilots, n_others = (outcome.groups[c].nunique() for c in ("pilot", "comparator"))
    assert f"{n_pilots} pilots are compared with {n_others} authorities" in chart.finding
    assert len(chart.table.frame) >= len(outcome.groups)


def test_a_pool_too_large_to_be_drawn_stands_in_its_table() -> None:
    study = make_result()
    outcome = study.outcome("kinship-care")
    groups = pd.DataFrame(
        [{"pilot": "304", "comparator": str(i), "distance": None} for i in range(100, 200)]
    )
    outcome = replace(outcome, groups=groups)
    assert matched_diagram(outcome, Labels({}), "x") is None
    (section,) = page_of(replace(study, outcomes=(outcome,))).outcomes
    assert section.groups is not None


# Tables of matchers of cases


def with_tables(n: int) -> StudyResult:
    study = make_result()
    strata = pd.DataFrame({"stratum": [f"s{i}" for i in range(n)], "n_pilots": range(n)})
    outcome = OutcomeResult(study.outcomes[0].info, match_tables={"strata": strata})
    return replace(study, outcomes=(outcome,))


def test_tables_of_a_matcher_are_files_and_small_ones_stand_in_the_annex() -> None:
    name = "assessment-duration_match-strata"
    small, large = with_tables(3), with_tables(300)
    for study in (small, large):
        assert name in [table.name for table in page_of(study).tables]
        assert StudyResult.from_json(study.to_json()).to_json() == study.to_json()
    assert f'id="{name}-table"' in render_html(small)
    page = render_html(large)
    assert f'id="{name}-table"' not in page
    assert f"tables/{name}.csv" in page


def test_a_table_that_lists_cases_is_no_result() -> None:
    from types import SimpleNamespace

    from sos_plugins.study.analysis import _match_tables

    tables = {
        "few": pd.DataFrame({"a": [1]}),
        "pairs": pd.DataFrame({"a": range(LONGEST_MATCH_TABLE + 1)}),
    }
    prepared: Any = SimpleNamespace(case_match=SimpleNamespace(tables=tables))
    assert list(_match_tables(prepared)) == ["few"]
    assert _match_tables(SimpleNamespace(case_match=None)) == {}  # type: ignore[arg-type]
