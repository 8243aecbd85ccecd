"""Levels and effects in everyday units: from 40 to 26 in 100 children."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sos_plugins.report import formatting as words
from sos_plugins.report.tables import rows_of
from sos_plugins.study.result import OutcomeResult

HUNDRED, THOUSAND = 100, 1000

NUMBERS = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


@dataclass(frozen=True)
class Levels:
    """Means of the pilots' cases, in the units of the value.

    Attributes:
        before: Before their windows; None where there are no cases.
        after: After their windows.
        expected: What it would have been after them without the programme: ``after`` less the
            estimate; None where there is no estimate, or where it would be no share.
    """

    before: float | None
    after: float | None
    expected: float | None


def levels_of(result: OutcomeResult) -> Levels:
    """Return the levels of an outcome, over the pilots by their cases."""
    rows = [row for row in rows_of(result.sample) if row.get("role") == "pilot"]
    before, after = (_mean(rows, half) for half in ("pre", "post"))
    estimate = words.to_float(result.main.estimate) if result.main else None
    if after is None or estimate is None:
        return Levels(before, after, None)
    expected = after - estimate
    possible = not result.info.in_points or 0.0 <= expected <= 1.0
    return Levels(before, after, expected if possible else None)


def _mean(rows: list[dict[str, object]], half: str) -> float | None:
    known = [
        (n, mean)
        for row in rows
        if (n := words.to_float(row[f"n_{half}"])) is not None
        and (mean := words.to_float(row[f"mean_{half}"])) is not None
    ]
    total = math.fsum(n for n, _ in known)
    return math.fsum(n * mean for n, mean in known) / total if total else None


def number_in_words(n: int) -> str:
    """Write a small number as a word.

    >>> number_in_words(9), number_in_words(31)
    ('nine', '31')
    """
    return NUMBERS[n] if 0 <= n < len(NUMBERS) else words.count(n)


@dataclass(frozen=True)
class Everyday:
    """How values and effects of an outcome are said to whoever works with children.

    Attributes:
        scale: How its figures are shown elsewhere.
        each: What cases are, in the plural.
        binary: Whether cases are counted.
        base: 100 or 1,000 cases, of a share.
    """

    scale: words.Scale
    each: str
    binary: bool
    base: int

    @classmethod
    def of(cls, result: OutcomeResult) -> Everyday:
        """Choose the units: 1,000 cases where in 100 less than one would differ."""
        estimate = words.to_float(result.main.estimate) if result.main else None
        small = estimate is not None and 0 < abs(estimate) * HUNDRED < 1
        return cls(
            words.scale_of(result),
            words.clean(result.info.each),
            result.info.in_points,
            THOUSAND if small else HUNDRED,
        )

    def level(self, value: float) -> str:
        """Write a level: ``41 in 100 children``, ``32.1 working days``."""
        if not self.binary:
            return self.scale.level(value)
        return f"{words.count(round(self.base * value))} {self._in_base}"

    def short_level(self, value: float) -> str:
        """Write a level whose unit has been said: ``41``."""
        if not self.binary:
            return self.scale.effect(value)
        return words.count(round(self.base * value))

    def change(self, start: float, effect: float) -> str:
        """Write a change: ``from 40 to 27 in 100 children``."""
        if not self.binary:
            return f"from {self.scale.effect(start)} to {self.scale.level(start + effect)}"
        end = round(self.base * (start + effect))
        begin = end - round(self.base * effect)
        return f"from {words.count(begin)} to {words.count(end)} {self._in_base}"

    def effect(self, value: float) -> str:
        """Write an effect: ``13 fewer``, ``2 more``, ``0.5 working days less``, ``no change``."""
        size = self.size(value)
        if size == self.size(0.0):
            return "no change"
        if self.binary:
            return f"{size} {'more' if value > 0 else 'fewer'}"
        unit = f" {self.scale.unit}" if self.scale.unit else ""
        return f"{size}{unit} {'more' if value > 0 else 'less'}"

    def short_effect(self, value: float) -> str:
        """Write an effect without its unit: ``13 fewer``, ``0.5 less``."""
        told = self.effect(value)
        return (
            told if self.binary or not self.scale.unit else told.replace(f" {self.scale.unit}", "")
        )

    def size(self, value: float) -> str:
        """Write the size of an effect: ``13``, ``0.5``."""
        if self.binary:
            return words.count(abs(round(self.base * value)))
        return words.number(abs(self.scale.factor * value), self.scale.decimals)

    @property
    def unit(self) -> str:
        """What effects are counted in: ``in 100 children``; empty where effects have their unit."""
        return self._in_base if self.binary else ""

    @property
    def _in_base(self) -> str:
        return f"in {words.count(self.base)} {self.each}"
