"""The first screen: what happened over all in a few sentences, and a card for each outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sos_plugins.contract.types import Rating
from sos_plugins.report import formatting as words
from sos_plugins.report.everyday import Everyday, levels_of, number_in_words
from sos_plugins.report.findings import plain_reason
from sos_plugins.report.interval_bar import Bar, interval_bar
from sos_plugins.report.labels import in_plain_words
from sos_plugins.report.verdict import level_sign
from sos_plugins.study.result import OutcomeResult, StudyResult

CLAIMS = {"increase": "rise", "decrease": "fall"}
"""Directions that say that the programme did something, and what they are called."""

UNKNOWN = ("cannot tell", "no clear impact")

VERDICTS = {
    "increase": "It rose.",
    "decrease": "It fell.",
    "no effect that matters": "No effect that matters.",
    "cannot tell": "We cannot tell.",
    "no clear impact": "No clear impact.",
}

MOST_HELD = 2
"""Reasons against a higher rating that stand beside an outcome; the annex has all."""


@dataclass(frozen=True)
class Card:
    """What the card of an outcome says.

    Attributes:
        anchor: Anchor of its section.
        label: The outcome.
        verdict: In words.
        size: In everyday units; empty without an estimate.
        base: What it was before; empty where nobody knows.
        bar: The interval as a picture, or None.
        level: The strength as a symbol and a word.
        why: One sentence on the strength.
        expected: What the theory of change expects.
    """

    anchor: str
    label: str
    verdict: str
    size: str
    base: str
    bar: Markup | None
    level: Markup | None
    why: str
    expected: str


def answer(study: StudyResult) -> str:
    """Say in two or three sentences what was compared and what was found over all."""
    if not study.outcomes:
        return "The study names no outcome, so there is nothing to report."
    sentences = [_compared(study), *_claimed(study.outcomes), *_of_no_size(study.outcomes)]
    return " ".join([*sentences, *_not_known(study.outcomes)])


def _compared(study: StudyResult) -> str:
    n = len(study.pilots)
    programme = words.clean(study.programme) or "the programme"
    if not n:
        return f"This study asks what {programme} changed for children."
    places = f"{number_in_words(n)} {'place' if n == 1 else 'places'}"
    return (
        f"We looked at children in {places} that took up {programme}, before and after, and at "
        "children in similar places that did not."
    )


def _claimed(outcomes: Sequence[OutcomeResult]) -> list[str]:
    told = [_claim(result) for result in outcomes if _direction(result) in CLAIMS]
    return [f"We found {words.joined(told)}."] if told else []


def _claim(result: OutcomeResult) -> str:
    rating, expected = result.rating, result.info.expected
    assert rating is not None
    told = (
        f"{words.clean(rating.level)} evidence of a {CLAIMS[rating.direction]} in {_phrase(result)}"
    )
    estimate = words.to_float(result.main.estimate) if result.main else None
    if estimate is not None:
        everyday = Everyday.of(result)
        told += f" ({everyday.effect(estimate)} {everyday.unit})".replace(" )", ")")
    if expected in CLAIMS and expected != rating.direction:
        told += ", the reverse of what was hoped for"
    return told


def _of_no_size(outcomes: Sequence[OutcomeResult]) -> list[str]:
    told = [_phrase(r) for r in outcomes if _direction(r) == "no effect that matters"]
    return [f"There was no effect that matters on {words.joined(told)}."] if told else []


def _not_known(outcomes: Sequence[OutcomeResult]) -> list[str]:
    known = (*CLAIMS, "no effect that matters")
    rest = [result for result in outcomes if _direction(result) not in known]
    if not rest:
        return []
    if len(rest) == len(outcomes):
        which = "any outcome" if len(rest) > 1 else _phrase(rest[0])
        return [f"We cannot say that it changed {which}."]
    if len(rest) > 2:
        return [f"For the other {number_in_words(len(rest))} outcomes we cannot tell."]
    return [f"We cannot tell what it did to {words.joined(_phrase(r) for r in rest)}."]


def _direction(result: OutcomeResult) -> str:
    return result.rating.direction if result.rating and not result.error else ""


def _phrase(result: OutcomeResult) -> str:
    return words.clean(result.info.phrase or result.info.label)


def card(result: OutcomeResult, anchor: str, called: Mapping[str, str]) -> Card:
    """Make the card of an outcome.

    Args:
        result: The outcome.
        anchor: Anchor of its section.
        called: What plugins are called, by their names.
    """
    return Card(
        anchor=anchor,
        label=words.clean(result.info.label),
        verdict=short_verdict(result),
        size=_size(result),
        base=_base(result),
        bar=_bar(result, f"{anchor}_interval"),
        level=level_sign(result.rating.level) if result.rating and not result.error else None,
        why=_why(result, called),
        expected={"increase": "Hoped for: a rise.", "decrease": "Hoped for: a fall."}.get(
            result.info.expected, ""
        ),
    )


def short_verdict(result: OutcomeResult) -> str:
    """Write the verdict in a few words."""
    if result.error:
        return "Not analysed."
    if result.rating is None:
        return "Not rated." if result.main else "No estimate."
    direction = result.rating.direction
    return VERDICTS.get(direction, words.end_sentence(words.heading(direction)))


def _estimate(result: OutcomeResult) -> float | None:
    if result.error or result.main is None:
        return None
    estimate = words.to_float(result.main.estimate)
    return estimate if estimate is not None and math.isfinite(estimate) else None


def _size(result: OutcomeResult) -> str:
    estimate = _estimate(result)
    if estimate is None:
        return ""
    everyday, levels = Everyday.of(result), levels_of(result)
    if levels.expected is None:
        return f"Best guess: {everyday.effect(estimate)} {everyday.unit}."
    if everyday.effect(estimate) == "no change":
        return f"Best guess: no change, at {everyday.level(levels.expected)}."
    return f"Best guess: {everyday.change(levels.expected, estimate)}."


def _base(result: OutcomeResult) -> str:
    before = levels_of(result).before
    return "" if before is None else f"Before: {Everyday.of(result).short_level(before)}."


def _bar(result: OutcomeResult, ident: str) -> Markup | None:
    estimate = _estimate(result)
    if estimate is None or result.main is None:
        return None
    everyday = Everyday.of(result)
    low, high = (_finite(end) for end in (result.main.conf_low, result.main.conf_high))
    labels = ("", "") if None in (low, high) else (_end(everyday, low), _end(everyday, high))
    return interval_bar(
        Bar(
            estimate,
            *((None, None) if None in (low, high) else (low, high)),
            smallest=result.smallest_effect.value if result.smallest_effect else None,
            labels=labels,
            title=f"Effect on {_phrase(result)} with its interval",
            finding=_bar_in_words(result, everyday, estimate, labels),
        ),
        ident,
    )


def _end(everyday: Everyday, value: float | None) -> str:
    return everyday.short_effect(value or 0.0)


def _finite(value: float | None) -> float | None:
    number = words.to_float(value)
    return number if number is not None and math.isfinite(number) else None


def _bar_in_words(
    result: OutcomeResult, everyday: Everyday, estimate: float, labels: tuple[str, str]
) -> str:
    start = f"The estimate is {everyday.effect(estimate)} {everyday.unit}".strip()
    if not labels[0]:
        return f"{start}; there is no interval."
    told = f"{start}; the {words.confidence(result)} runs from {labels[0]} to {labels[1]}."
    if result.smallest_effect is None:
        return told
    size = everyday.size(result.smallest_effect.value)
    return f"{told} Effects of less than {size} either way are too small to matter."


def _why(result: OutcomeResult, called: Mapping[str, str]) -> str:
    if result.error:
        return words.end_sentence(result.error)
    if result.rating is None:
        return "The evidence was not rated."
    held = limiting_reasons(result.rating, called)
    return held[0] if held else "Nothing that was checked speaks against it."


def found(result: OutcomeResult) -> str:
    """Say in a sentence what the data fit, beside the verdict."""
    if result.error:
        return words.end_sentence(result.error)
    estimate = _estimate(result)
    if estimate is None or result.main is None:
        return words.end_sentence(result.main.reason) if result.main else ""
    everyday = Everyday.of(result)
    low, high = (_finite(end) for end in (result.main.conf_low, result.main.conf_high))
    if low is None or high is None:
        return f"The estimate is {everyday.effect(estimate)} {everyday.unit}, with no interval."
    return (
        f"The data fit anything from {everyday.effect(low)} to {everyday.effect(high)} "
        f"{everyday.unit}".rstrip()
        + "."
    )


def limiting_reasons(rating: Rating, called: Mapping[str, str]) -> list[str]:
    """Return what keeps a rating from being higher, what holds it lowest first.

    What was not met and allows no more than the level that was given comes before what was not met
    otherwise, and that before what was met and still allows no more.
    """

    def weight(place: int) -> tuple[bool, bool, int]:
        reason = rating.reasons[place]
        return reason.allows not in ("", rating.level), reason.met, place

    places = [
        n
        for n, reason in enumerate(rating.reasons)
        if not reason.met or (reason.allows and reason.allows == rating.level)
    ]
    return [_in_short(rating.reasons[n].sentence, called) for n in sorted(places, key=weight)]


def _in_short(sentence: str, called: Mapping[str, str]) -> str:
    """Write the first clause of a reason without its figures in brackets."""
    return words.end_sentence(in_plain_words(plain_reason(sentence).split(";")[0], called))
