"""Figures in words, alike in every rule."""

from __future__ import annotations

import math

from sos_plugins import OutcomeInfo


def p_text(value: float) -> str:
    """Write a p value: ``p = 0.031``.

    Args:
        value: 0 to 1.
    """
    if value > 0.999:
        return "p > 0.999"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def percent(share: float) -> str:
    """Write a share in whole per cent, or to one decimal where that would round to 100.

    Args:
        share: 0 to 1; anything that is not finite is unknown.
    """
    if not math.isfinite(share):
        return "an unknown share"
    return f"{100 * share:.1f}%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


def points(share: float, *, signed: bool = False) -> str:
    """Write a difference between shares: ``4.8 points``, ``+4.8 points``.

    Args:
        share: -1 to 1.
        signed: Whether a rise has its plus.
    """
    return f"{100 * share:{'+' if signed else ''}.1f} points"


def amount(value: float, info: OutcomeInfo, *, signed: bool = False) -> str:
    """Write an effect with its unit: ``13.0 points``, ``-1.2 working days``.

    Args:
        value: In the units of the value of the outcome.
        info: The outcome, which says what they are.
        signed: Whether a rise has its plus.
    """
    if info.in_points:
        return points(value, signed=signed)
    sign = "+" if signed else ""
    unit = f" {info.measure}" if info.measure.strip() else ""
    return f"{value:{sign}.3g}{unit}"


def more_or_less(value: float, info: OutcomeInfo) -> str:
    """Say in a word where an estimate points: ``more`` or ``fewer``, ``higher`` or ``lower``.

    Args:
        value: The estimate; 0 is neither.
        info: The outcome: one of yes and no is counted.
    """
    if value == 0:
        return "no change"
    if info.binary:
        return "more" if value > 0 else "fewer"
    return "higher" if value > 0 else "lower"


def listing(parts: tuple[str, ...]) -> str:
    """Join clauses: ``a, b and c``.

    Args:
        parts: At least one.
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 pilot``, ``3 pilots``.

    Args:
        number: How many.
        noun: For one.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
