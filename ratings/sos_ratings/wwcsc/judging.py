"""A criterion: a figure, its thresholds, and the level that it allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sos_plugins import Reason

LEVELS = ("low", "moderate", "high")
LOW, MODERATE, HIGH = range(3)


@dataclass(frozen=True)
class Criterion:
    """What one criterion found.

    Attributes:
        grade: The highest level that it allows, as its place among :data:`LEVELS`.
        reason: The sentence of the report.
        clause: The same as a clause that says what holds the level down.
    """

    grade: int
    reason: Reason
    clause: str = ""

    def told(self) -> Reason:
        """Return the reason with the level that it allows, where that is not the highest."""
        return replace(self.reason, allows="" if self.grade == HIGH else LEVELS[self.grade])


def grade_of(figure: float, moderate: float, high: float, *, at_least: bool) -> int:
    """Return the highest level whose threshold a figure meets; low where it is not known.

    Args:
        figure: The figure.
        moderate: Its threshold for moderate.
        high: Its threshold for high.
        at_least: Whether the figure must be at least, or at most, its threshold.
    """
    if math.isnan(figure):
        return LOW
    met = [(figure >= t) if at_least else (figure <= t) for t in (moderate, high)]
    return HIGH if met[1] else MODERATE if met[0] else LOW


def judge(
    metric: str,
    sentence: str,
    figure: float,
    thresholds: tuple[float, float],
    *,
    at_least: bool = True,
    clause: str = "",
    written: Callable[[float], str] = "{:g}".format,
) -> Criterion:
    """Grade a figure and say so.

    Args:
        metric: ``data quality``, ``robustness``, ``assumptions`` or ``precision``.
        sentence: What the figure is, without its stop.
        figure: The figure.
        thresholds: For moderate and for high.
        at_least: Whether the figure must be at least, or at most, its threshold.
        clause: What holds the level down, where it does.
        written: How a threshold is written: as the sentence writes the figure.
    """
    moderate, high = thresholds
    grade = grade_of(figure, moderate, high, at_least=at_least)
    bound = "at least" if at_least else "at most"
    needs = f"moderate needs {bound} {written(moderate)}, high {written(high)}"
    text = f"{sentence} ({needs}): {LEVELS[grade]}."
    return Criterion(grade, Reason(metric, text, figure, moderate, grade > LOW), clause)


def note(metric: str, sentence: str, figure: float | None = None) -> Criterion:
    """Return what is told and holds no level down.

    Args:
        metric: What it is about.
        sentence: The sentence.
        figure: The figure it rests on, if any.
    """
    return Criterion(HIGH, Reason(metric, sentence, figure))


def at_most(grade: int, metric: str, sentence: str, clause: str = "") -> Criterion:
    """Return what is not known, and allows no more than a level.

    Args:
        grade: The level as its place among :data:`LEVELS`.
        metric: What it is about.
        sentence: What is not known, without its stop.
        clause: The same as a clause.
    """
    ends = "low" if grade == LOW else f"{LEVELS[grade]} at most"
    return Criterion(grade, Reason(metric, f"{sentence}: {ends}.", met=False), clause)


def lowest(criteria: Sequence[Criterion]) -> int:
    """Return the level that all criteria allow.

    Args:
        criteria: At least one.
    """
    return min(criterion.grade for criterion in criteria)
