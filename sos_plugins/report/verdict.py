"""Verdicts as readers see them: the level and direction as sign and words, the summary table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from sos_plugins.contract.types import Rating
from sos_plugins.report import formatting as words
from sos_plugins.report.tables import Column, Row, Table, column, frame_of
from sos_plugins.study.result import OutcomeResult, StudyResult

EXPECTED = {"increase": "Increase", "decrease": "Decrease", "unclear": "Unclear"}

LEVEL_BARS = {"very low": 1, "low": 1, "moderate": 2, "high": 3}
"""Bars of the sign beside a level; a level of another scheme stands without a sign."""

DIRECTIONS = {
    "increase": ("M8 2 14 9H10V14H6V9H2Z", "Increase"),
    "decrease": ("M8 14 14 7H10V2H6V7H2Z", "Decrease"),
    "no effect that matters": ("M2 4H14V7H2ZM2 9H14V12H2Z", "No effect that matters"),
    "cannot tell": ("M2 6H5V9H2ZM6.5 6H9.5V9H6.5ZM11 6H14V9H11Z", "Cannot tell"),
    "no clear impact": ("M2 6H14V9H2Z", "No clear impact"),
}


def level_sign(level: str) -> Markup:
    """Return the level of evidence as bars and words."""
    bars = LEVEL_BARS.get(level.lower())
    label = Markup('<span class="level">{}{}</span>')
    if bars is None:
        return label.format("", words.heading(level))
    rects = Markup("").join(
        Markup('<rect x="{}" y="{}" width="4" height="{}" class="{}"/>').format(
            1 + 5 * i, 11 - 4 * i, 4 + 4 * i, "full" if i < bars else "hollow"
        )
        for i in range(3)
    )
    sign = Markup('<svg class="sign" viewBox="0 0 16 16" aria-hidden="true">{}</svg>')
    return label.format(sign.format(rects), words.heading(level))


def direction_sign(direction: str) -> Markup:
    """Return the direction found as an arrow and words."""
    path, label = DIRECTIONS.get(direction, ("", words.heading(direction)))
    sign = Markup(
        '<svg class="sign" viewBox="0 0 16 16" aria-hidden="true"><path d="{}"/></svg>'
    ).format(path)
    return Markup('<span class="direction">{}{}</span>').format(sign if path else "", label)


def strength(rating: Rating | None) -> str:
    """Return level and direction together, as a cell."""
    if rating is None:
        return "Not rated"
    return Markup("{} {}").format(level_sign(rating.level), direction_sign(rating.direction))


def expected(result: OutcomeResult) -> str:
    """Write what the theory of change expects."""
    direction = EXPECTED.get(result.info.expected, words.heading(result.info.expected))
    note = words.clean(result.info.expected_note)
    return f"{direction}: {note}" if note else direction


def result_sentence(result: OutcomeResult) -> str:
    """Write the verdict in a sentence."""
    if result.error:
        return f"This outcome could not be analysed. {words.end_sentence(result.error)}"
    if result.rating is not None:
        return words.end_sentence(result.rating.sentence)
    return "Not rated." if result.main else "No estimate was made."


def effect_cell(result: OutcomeResult) -> str:
    """Write the main estimate with its unit and interval."""
    main = result.main
    if main is None or words.to_float(main.estimate) is None:
        return words.MISSING
    scale = words.scale_of(result)
    shown = scale.with_unit(main.estimate)
    if words.excludes_zero(main.conf_low, main.conf_high) is None:
        return f"{shown} (no interval)"
    short = words.confidence(result).replace("confidence interval", "CI")
    interval = scale.interval(main.conf_low, main.conf_high)
    return Markup('{} <span class="ci">({} {})</span>').format(shown, short, interval)


def p_values(result: OutcomeResult) -> str:
    """Write the p value of the main run, alone and among those of the confirmatory outcomes."""
    if result.main is None or words.missing(result.main.p_value):
        return words.MISSING
    alone = words.p_cell(result.main.p_value)
    together = result.adjusted
    if together is None:
        return f"{alone} (explored, not adjusted)"
    if together.method == "none" or len(together.outcomes) == 1:
        return alone
    n = words.count(len(together.outcomes))
    return f"{alone}; {words.p_cell(together.p_value)} adjusted for {n} outcomes"


def smallest_effect(result: OutcomeResult) -> str:
    """Write the smallest effect that matters and why it does, or how to set it."""
    smallest = result.smallest_effect
    if smallest is None:
        return (
            "Not set, so the report cannot say that there is no effect that matters. Give "
            "smallest_effect and smallest_effect_reason under [[outcomes]]."
        )
    size = words.scale_of(result).size(smallest.value)
    return f"{size}. {words.end_sentence(words.clean(smallest.reason))}"


def further_ratings(result: OutcomeResult, ident: str) -> Table | None:
    """Make the table of the verdicts of other rules."""
    if not result.further_ratings:
        return None
    columns = (
        column("scheme", "Scheme"),
        Column("Verdict", lambda row: words.end_sentence(str(row["sentence"]))),
        Column("Level", lambda row: level_sign(str(row["level"]))),
        Column("Direction", lambda row: direction_sign(str(row["direction"]))),
    )
    fields, main = ("rule", "level", "direction", "sentence"), result.rating
    rows = [
        {**{name: getattr(rating, name) for name in fields}, "scheme": scheme_name(rating, main)}
        for rating in result.further_ratings
    ]
    caption = f"The same evidence by other schemes: {words.clean(result.info.label)}"
    return Table(ident, caption, frame_of(rows, (*fields, "scheme")), columns)


def scheme_name(rating: Rating, main: Rating | None) -> str:
    """Name a scheme; one that is a rule again, by the settings in which it differs.

    Args:
        rating: Its verdict.
        main: The verdict by the rule that it may be again.
    """
    if main is None or rating.rule != main.rule:
        return rating.rule
    differ = [
        f"{name} = {words.setting(value)}"
        for name, value in rating.thresholds.items()
        if main.thresholds.get(name) != value
    ]
    return f"{rating.rule} with {words.joined(differ)}" if differ else rating.rule


def summary_table(study: StudyResult, anchors: Sequence[str]) -> Table:
    """Make the summary: what was expected, found, how strong the evidence is, and the effect."""
    by_anchor = dict(zip(anchors, study.outcomes, strict=True))
    rows = [_summary_row(anchor, result) for anchor, result in by_anchor.items()]

    def cell(show: Any) -> Any:
        return lambda row: show(by_anchor[row["section"]])

    columns = (
        Column("Outcome", _link),
        Column("Expected impact (theory of change)", cell(expected)),
        Column("Result", cell(result_sentence)),
        Column("Strength of the evidence", cell(lambda result: strength(result.rating))),
        Column("Effect", cell(effect_cell)),
        Column("p value", cell(p_values)),
    )
    return Table(
        "summary",
        "What was expected, what was found and how strong the evidence is",
        frame_of(rows, list(rows[0]) if rows else ["section"]),
        columns,
        missing_note="no estimate could be made; the outcome's section says why",
    )


def _link(row: Row) -> Markup:
    return Markup('<a href="#outcome-{}">{}</a>').format(row["section"], words.clean(row["label"]))


def _summary_row(anchor: str, result: OutcomeResult) -> dict[str, Any]:
    rating, main = result.rating, result.main
    return {
        "section": anchor,
        "outcome": result.info.name,
        "label": result.info.label,
        "expected": result.info.expected,
        "expected_note": result.info.expected_note,
        "result": result_sentence(result),
        "level": rating.level if rating else None,
        "direction": rating.direction if rating else None,
        "rule": rating.rule if rating else None,
        "estimate": main.estimate if main else None,
        "std_error": main.std_error if main else None,
        "conf_low": main.conf_low if main else None,
        "conf_high": main.conf_high if main else None,
        "p_value": main.p_value if main else None,
        "p_value_adjusted": result.adjusted.p_value if result.adjusted else None,
        "smallest_effect": result.smallest_effect.value if result.smallest_effect else None,
        "binary": result.info.binary,
        "measure": result.info.measure,
    }
