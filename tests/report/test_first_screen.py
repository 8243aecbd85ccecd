"""The first screen: the answer in plain English, and a card for each outcome."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
import reading_ease as reading
from lxml import html as lxml_html
from result_factory import make_result

from sos_plugins.contract.types import Rating, Reason
from sos_plugins.report import everyday, first_screen, render_html
from sos_plugins.report.everyday import Everyday, levels_of
from sos_plugins.report.interval_bar import LEFT, RIGHT, WIDTH, Bar, interval_bar
from sos_plugins.study.result import OutcomeResult, StudyResult

LEAST_EASE = 50.0
"""Flesch's reading ease that the first screen must have: "fairly difficult" begins below it."""

MOST_WORDS = 1200
"""Of all that is open when a report of five outcomes is opened."""


@pytest.fixture
def study() -> StudyResult:
    return make_result()


def tree_of(study: StudyResult) -> lxml_html.HtmlElement:
    return lxml_html.document_fromstring(render_html(study))


def text_of(element: lxml_html.HtmlElement) -> str:
    return re.sub(r"\s+", " ", element.text_content()).strip()


def sample(n_pre: list[int], pre: list[float], n_post: list[int], post: list[float]) -> Any:
    rows = [
        {"group": str(i), "role": "pilot", "unit": str(i)}
        | {"n_pre": a, "n_post": b, "mean_pre": x, "mean_post": y}
        for i, (a, x, b, y) in enumerate(zip(n_pre, pre, n_post, post, strict=True))
    ]
    other = {"group": "0", "role": "comparator", "unit": "9", "n_pre": 999, "n_post": 999}
    return pd.DataFrame([*rows, other | {"mean_pre": 0.99, "mean_post": 0.99}])


def outcome(name: str = "kinship-care", **changes: Any) -> OutcomeResult:
    return replace(make_result().outcome(name), **changes)


# In everyday units


def test_levels_are_means_of_the_pilots_cases_and_expected_is_after_less_the_estimate() -> None:
    given = sample([100, 300], [0.4, 0.8], [50, 150], [0.2, 0.6])
    main = replace(make_result().outcome("kinship-care").main, estimate=-0.1)
    levels = levels_of(outcome(sample=given, main=main))
    assert levels.before == pytest.approx(0.7)
    assert levels.after == pytest.approx(0.5)
    assert levels.expected == pytest.approx(0.6)


def test_no_level_is_expected_that_no_share_can_have() -> None:
    given = sample([100], [0.1], [100], [0.05])
    main = replace(make_result().outcome("kinship-care").main, estimate=0.13)
    card = first_screen.card(outcome(sample=given, main=main), "a", {})
    assert levels_of(outcome(sample=given, main=main)).expected is None
    assert card.size == "Best guess: 13 more in 100 cases."


@pytest.mark.parametrize(
    ("start", "effect", "shown"),
    [
        (0.40, -0.14, "from 40 to 26 in 100 children"),
        (0.404, -0.129, "from 41 to 28 in 100 children"),
        (0.060, -0.004, "from 60 to 56 in 1,000 children"),
    ],
)
def test_shares_are_counted_in_a_hundred_or_a_thousand_and_differ_by_the_effect(
    start: float, effect: float, shown: str
) -> None:
    told = outcome()
    assert told.main is not None
    told = replace(
        told, info=replace(told.info, each="children"), main=replace(told.main, estimate=effect)
    )
    assert Everyday.of(told).change(start, effect) == shown


def test_other_values_keep_their_unit() -> None:
    told = Everyday.of(outcome("assessment-duration"))
    assert told.change(32.4, -0.4) == "from 32.4 to 32.0 working days"
    assert told.effect(-2.6) == "2.6 working days less"
    assert told.short_effect(-2.6) == "2.6 less"
    assert told.effect(0.0) == told.short_effect(0.0) == "no change"
    assert told.unit == ""


@pytest.mark.parametrize("module", [everyday, reading])
def test_examples_in_docstrings_hold(module: Any) -> None:
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


# The answer


def rated(name: str, direction: str, level: str = "low") -> OutcomeResult:
    told = make_result().outcome(name)
    assert told.rating is not None
    return replace(told, rating=replace(told.rating, direction=direction, level=level))


def answer(*outcomes: OutcomeResult) -> str:
    return first_screen.answer(replace(make_result(), outcomes=outcomes))


def test_the_answer_says_what_was_compared_what_was_found_and_what_is_not_known() -> None:
    told = first_screen.answer(make_result())
    assert told == (
        "We looked at children in nine places that took up Signs of Safety, before and after, and "
        "at children in similar places that did not. We found moderate evidence of a fall in "
        "kinship care (13 fewer in 100 cases), the reverse of what was hoped for. For the other "
        "three outcomes we cannot tell."
    )


def test_a_change_that_was_hoped_for_is_not_called_the_reverse() -> None:
    told = answer(rated("kinship-care", "increase", "high"))
    assert "high evidence of a rise in kinship care" in told
    assert "reverse" not in told
    assert "cannot" not in told


def test_no_effect_that_matters_is_something_that_is_known() -> None:
    told = answer(rated("kinship-care", "no effect that matters"), rated("rereferral", "decrease"))
    assert "There was no effect that matters on kinship care." in told
    assert "cannot" not in told


def test_where_nothing_is_known_that_is_the_answer() -> None:
    both = (rated("kinship-care", "cannot tell"), rated("rereferral", "no clear impact"))
    assert answer(*both).endswith("We cannot say that it changed any outcome.")
    assert "We found" not in answer(*both)
    failed = OutcomeResult(make_result().outcome("rereferral").info, error="no case is left")
    assert answer(failed).endswith("We cannot say that it changed re-referral.")


def test_the_answer_is_two_or_three_sentences(study: StudyResult) -> None:
    sentences = re.findall(r"[.!?](?=\s|$)", first_screen.answer(study))
    assert 2 <= len(sentences) <= 3


# The cards


def test_every_outcome_has_a_card_with_verdict_size_base_interval_and_strength(
    study: StudyResult,
) -> None:
    cards = tree_of(study).xpath('//section[@class="first"]//li[@class="card"]')
    assert len(cards) == len(study.outcomes)
    for card, result in zip(cards, study.outcomes, strict=True):
        told = text_of(card)
        assert result.info.label in told
        assert re.search(
            r"Best guess: from [\d.,]+ to [\d.,]+ (in 1?,?[01]+ cases|working days)", told
        )
        assert re.search(r"Before: [\d.,]+\.", told)
        assert card.xpath('.//svg[@class="bar"]/title')
        assert card.xpath('.//p[@class="strength"]//svg[@class="sign"]')
        assert re.search(r"(Low|Moderate) strength\. .+\.$", told)


def test_the_reason_on_a_card_is_what_holds_the_level_lowest() -> None:
    reasons = (
        Reason("a", "Met and of no weight", met=True),
        Reason(
            "b", "Allows what was given (moderate needs 3): moderate", met=False, allows="moderate"
        ),
        Reason("c", "Holds it down; in detail (x)", met=False, allows="low"),
        Reason("d", "by sun-abraham it changes", met=True, allows="low"),
    )
    rating = Rating("rule", "low", "cannot tell", "x", reasons)
    held = first_screen.limiting_reasons(rating, {"sun-abraham": "Sun and Abraham"})
    assert held == [
        "Holds it down.",
        "By Sun and Abraham it changes.",
        "Allows what was given.",
    ]


def test_an_outcome_that_failed_has_a_card_that_says_so(study: StudyResult) -> None:
    failed = OutcomeResult(study.outcomes[0].info, error="no case is left at step window")
    card = first_screen.card(failed, "a", {})
    assert card.verdict == "Not analysed."
    assert card.why == "No case is left at step window."
    assert (card.size, card.base, card.bar, card.level) == ("", "", None, None)


# The interval as a bar


def shapes(bar: Bar) -> tuple[lxml_html.HtmlElement, list[tuple[str, float, float]]]:
    tree = lxml_html.fromstring(str(interval_bar(bar, "x")))
    labels = [
        (text.text, float(text.get("x")), 3.8 * len(text.text)) for text in tree.xpath(".//text")
    ]
    return tree, labels


def test_a_bar_is_drawn_to_scale_with_zero_and_what_is_too_small_to_matter() -> None:
    tree, _ = shapes(Bar(-2.0, -3.0, -1.0, 0.5, ("3 fewer", "1 fewer"), "t", "f"))
    span, small = (tree.xpath(f'.//rect[@class="{kind}"]')[0] for kind in ("span", "small"))
    zero = float(re.search(r"M([\d.]+) ", tree.xpath('.//path[@class="zero"]/@d')[0]).group(1))
    middle = float(small.get("x")) + float(small.get("width")) / 2
    assert middle == pytest.approx(zero, abs=0.2)
    # The interval is 2 wide, the small effects 1, and it ends 1 left of zero.
    assert float(span.get("width")) == pytest.approx(2 * float(small.get("width")), abs=0.3)
    end = float(span.get("x")) + float(span.get("width"))
    assert zero - end == pytest.approx(float(small.get("width")), abs=0.3)


@pytest.mark.parametrize("low", [-1000.0, -1.0, -0.001, 0.5])
@pytest.mark.parametrize("width", [1e-9, 0.4, 30.0])
def test_labels_of_a_bar_stay_on_it_and_apart(low: float, width: float) -> None:
    labels = ("113.4 less", "112.4 more")
    bar = Bar(low + width / 2, low, low + width, 3.0, labels, "t", "f")
    tree, placed = shapes(bar)
    for _, x, half in placed:
        assert x - half >= -0.2
        assert x + half <= WIDTH + 0.2
    ordered = sorted(placed, key=lambda item: item[1])
    for (_, x, half), (_, y, other) in pairwise(ordered):
        assert y - x >= half + other
    for rect in tree.xpath(".//rect"):
        assert float(rect.get("x")) >= LEFT
        assert float(rect.get("x")) + float(rect.get("width")) <= RIGHT + 2


def test_a_bar_without_an_interval_shows_the_estimate_alone() -> None:
    tree, placed = shapes(Bar(1.0, None, None, None, ("", ""), "t", "f"))
    assert not tree.xpath('.//rect[@class="span"]')
    assert tree.xpath('.//path[@class="point"]')
    assert [label for label, _, _ in placed] == ["0"]


# Plain, and short


@pytest.mark.parametrize(
    ("text", "ease"),
    [
        # 6 words, 1 sentence, 6 syllables: 206.835 - 1.015 * 6 - 84.6.
        ("The cat sat on the mat.", 116.145),
        # 10 words, 2 sentences, 12 syllables: 206.835 - 1.015 * 5 - 84.6 * 1.2.
        ("The children went home again. It was late at night.", 100.24),
    ],
)
def test_reading_ease_is_flesch_s(text: str, ease: float) -> None:
    assert reading.reading_ease(text) == pytest.approx(ease, abs=0.01)


def first_words(study: StudyResult) -> str:
    """The words of the first screen as sentences; headings and verdicts end like those."""
    section = tree_of(study).xpath('//section[@class="first"]')[0]
    for element in section.xpath(".//svg"):
        element.drop_tree()
    parts = [text_of(element) for element in section.xpath(".//p | .//h2 | .//h3")]
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts if part)


def test_the_first_screen_is_plain_english(study: StudyResult) -> None:
    told = first_words(study)
    assert len(told.split()) > 100
    assert reading.reading_ease(told) >= LEAST_EASE
    assert reading.reading_ease(first_screen.answer(study)) >= LEAST_EASE


def test_engines_that_are_not_installed_stand_in_the_annex(study: StudyResult) -> None:
    tree = tree_of(replace(study, missing_checks=("R was not available",), warnings=("Look out",)))
    for told in ("R was not available.", "Look out."):
        (place,) = [e for e in tree.iter("li") if text_of(e) == told]
        assert place.xpath("ancestor::section/@class") == ["annex"]
        assert place.xpath("ancestor::details[not(@open)]")


def test_the_open_part_is_short_and_everything_else_opens_on_demand(study: StudyResult) -> None:
    tree = tree_of(study)
    assert not tree.xpath("//details[@open]")
    for element in tree.xpath("//style | //svg | //head"):
        element.drop_tree()
    for details in tree.xpath("//details"):
        for child in list(details):
            if child.tag != "summary":
                child.drop_tree()
    assert len(re.findall(r"\w[^\s]*", tree.text_content())) <= MOST_WORDS
    assert not tree.xpath("//table")
