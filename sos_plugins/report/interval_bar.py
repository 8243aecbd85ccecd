"""An interval as a bar beside zero: drawn by hand, small enough to stand on every card."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 300, 58
"""Units of the picture, about pixels where it is on a telephone."""

LEFT, RIGHT = 8, 292
BAR_TOP, BAR_HEIGHT = 18, 14
BASELINE = 53

WIDTH_OF_A_LETTER = 7.6
"""Of text of 12 units, at most on average: labels that would touch are set apart by it."""


@dataclass(frozen=True)
class Bar:
    """What the bar shows, in any unit.

    Attributes:
        estimate: The estimate.
        low: Lower end of the interval, or None.
        high: Upper end.
        smallest: The smallest effect that matters, or None.
        labels: What stands beneath the lower and the upper end.
        title: What the picture shows.
        finding: The same in words.
    """

    estimate: float
    low: float | None
    high: float | None
    smallest: float | None
    labels: tuple[str, str]
    title: str
    finding: str


def interval_bar(bar: Bar, ident: str) -> Markup:
    """Draw an interval with its estimate, zero, and what is too small to matter.

    Args:
        bar: What is shown.
        ident: Anchor, unique on the page.
    """
    scale = _Scale.of(bar)
    parts = [_small_effects(bar, scale), _interval(bar, scale), _zero(scale)]
    parts += [_estimate(bar, scale), _labels(bar, scale)]
    return Markup(
        '<svg class="bar" viewBox="0 0 {} {}" role="img" focusable="false" '
        'aria-labelledby="{}-title" aria-describedby="{}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>'
        '<g aria-hidden="true">{}</g></svg>'
    ).format(
        *(WIDTH, HEIGHT, ident, ident, ident, bar.title, ident, bar.finding),
        Markup("").join(parts),
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    span: float

    @classmethod
    def of(cls, bar: Bar) -> _Scale:
        smallest = bar.smallest or 0.0
        ends = [0.0, bar.estimate, bar.low, bar.high, smallest, -smallest]
        known = [end for end in ends if end is not None and math.isfinite(end)]
        span = (max(known) - min(known)) or 1.0
        return cls(min(known) - 0.06 * span, 1.12 * span)

    def __call__(self, value: float) -> float:
        """Return where a value lies, kept on the picture."""
        place = LEFT + (RIGHT - LEFT) * (value - self.low) / self.span
        return round(min(RIGHT, max(LEFT, place)), 1)


def _small_effects(bar: Bar, scale: _Scale) -> Markup:
    if not bar.smallest:
        return Markup("")
    left, right = scale(-bar.smallest), scale(bar.smallest)
    return Markup('<rect class="small" x="{}" y="8" width="{}" height="34"/>').format(
        left, round(right - left, 1)
    )


def _interval(bar: Bar, scale: _Scale) -> Markup:
    if bar.low is None or bar.high is None:
        return Markup("")
    left, right = scale(bar.low), scale(bar.high)
    return Markup('<rect class="span" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
        left, BAR_TOP, round(max(2.0, right - left), 1), BAR_HEIGHT
    )


def _zero(scale: _Scale) -> Markup:
    return Markup('<path class="zero" d="M{} 6V42"/>').format(scale(0.0))


def _estimate(bar: Bar, scale: _Scale) -> Markup:
    x, middle = scale(bar.estimate), BAR_TOP + BAR_HEIGHT / 2
    return Markup('<path class="point" d="M{} {}L{} {}L{} {}L{} {}Z"/>').format(
        *(round(x - 6, 1), middle, x, middle - 8, round(x + 6, 1), middle, x, middle + 8)
    )


def _labels(bar: Bar, scale: _Scale) -> Markup:
    """Write what the ends are, and zero where it does not touch them."""
    if bar.low is None or bar.high is None:
        placed = [(scale(0.0), "0")]
    else:
        left, right = _apart(scale(bar.low), scale(bar.high), bar.labels)
        placed = [(left, bar.labels[0]), (right, bar.labels[1])]
        zero = scale(0.0)
        if all(abs(zero - x) > _half(label) + 12 for x, label in placed):
            placed.append((zero, "0"))
    return Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x, BASELINE, label)
        for x, label in placed
    )


def _half(label: str) -> float:
    return WIDTH_OF_A_LETTER * len(label) / 2


def _apart(left: float, right: float, labels: tuple[str, str]) -> tuple[float, float]:
    """Keep the middles of two labels so far apart, and from the edges, that they do not touch."""
    one, other = (_half(label) for label in labels)
    lack = max(0.0, one + other + 10 - (right - left)) / 2
    left, right = max(left - lack, one), min(right + lack, WIDTH - other)
    left = max(one, min(left, right - one - other - 10))
    right = min(WIDTH - other, max(right, left + one + other + 10))
    return round(left, 1), round(right, 1)
