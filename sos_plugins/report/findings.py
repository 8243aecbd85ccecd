"""What was found, in sentences written from the figures."""

from __future__ import annotations

import re

from sos_plugins.contract.types import Run
from sos_plugins.report.formatting import (
    clean,
    confidence,
    end_sentence,
    excludes_zero,
    figure,
    plural,
    scale_of,
    to_float,
)
from sos_plugins.study.result import OutcomeResult


def effect_sentence(result: OutcomeResult, run: Run) -> str:
    """Write what was found: the change in pilots beyond that in comparators, and its interval."""
    scale = scale_of(result)
    phrase = clean(result.info.phrase or result.info.label)
    estimate = to_float(run.estimate)
    if estimate is None:
        return end_sentence(
            f"No estimate could be made for {phrase}: {run.reason or 'no reason was given'}"
        )
    change = scale.change(estimate)
    start = f"Compared with the comparator authorities, the pilots show {change} in {phrase}"
    certain = excludes_zero(run.conf_low, run.conf_high)
    if certain is None:
        return f"{start}; no confidence interval could be computed for it."
    low, high = to_float(run.conf_low) or 0.0, to_float(run.conf_high) or 0.0
    span = f"from {scale.change(low)} to {scale.change(high)}"
    if certain:
        return f"{start}. The data fit anything {span} ({confidence(result)})."
    level = confidence(result)
    return (
        f"{start}, but the data are also compatible with no effect: they allow anything {span} "
        f"({level})."
    )


def pooled_sentence(result: OutcomeResult) -> str:
    """Write what the next authority may expect, and what it is on average; empty if not pooled."""
    pooled, scale = result.pooled, scale_of(result)
    if pooled is None:
        return ""
    level = f"{figure(round(100 * pooled.conf_level, 6))}%"
    average = (
        f"{scale.change(pooled.estimate)} ({level} confidence interval "
        f"{scale.interval(pooled.conf_low, pooled.conf_high)})"
    )
    low, high = pooled.prediction_low, pooled.prediction_high
    if low is None or high is None:
        return f"On average over {plural(pooled.n_pilots, 'pilot')} the change is {average}."
    return (
        f"In the next authority like these the change would be expected between "
        f"{scale.change(low)} and {scale.change(high)} ({level} prediction interval); on average "
        f"over such authorities it is {average}."
    )


def expectation_sentence(result: OutcomeResult) -> str:
    """Write how the direction found compares with the theory of change."""
    expected, rating = result.info.expected, result.rating
    if rating is None:
        return ""
    if expected == "unclear":
        return "The theory of change does not say clearly which direction to expect."
    name = "an increase" if expected == "increase" else "a decrease"
    if rating.direction == expected:
        return f"The theory of change expected {name}, and the direction found is the same."
    if rating.direction in ("increase", "decrease"):
        return f"The theory of change expected {name}: the direction found is the opposite."
    if rating.direction == "no effect that matters":
        return f"The theory of change expected {name}; the data leave no room for one that matters."
    main = result.main
    if main is not None and excludes_zero(main.conf_low, main.conf_high):
        return (
            f"The theory of change expected {name}. Although this interval lies apart from zero, "
            "the rating does not put the change down to the programme; the verdict says why."
        )
    if rating.direction == "no clear impact":
        return f"The theory of change expected {name}; no clear impact was shown."
    return f"The theory of change expected {name}; whether it came the data cannot tell."


def plain_reason(sentence: str) -> str:
    """Take the figures in brackets, and what follows them, from the end of a reason.

    The table of reasons has them; a paragraph reads better without.

    >>> plain_reason("71% could be judged (moderate needs at least 0.75, high 0.95): low.")
    '71% could be judged.'
    """
    return end_sentence(re.sub(r"\s*\([^()]*\)(:[^:]*)?\.?\s*$", "", sentence) or sentence)


def finding_in_words(result: OutcomeResult) -> str:
    """Write one plain paragraph: what was found, and what was expected."""
    if result.error:
        return f"This outcome could not be analysed. {end_sentence(result.error)}"
    if result.main is None:
        return "No estimate was made for this outcome."
    parts = [effect_sentence(result, result.main)]
    if result.main.estimate is not None:
        parts.append(expectation_sentence(result))
    return " ".join(part for part in parts if part)
