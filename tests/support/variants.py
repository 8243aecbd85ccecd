"""Variants of a test that wait for ``--long``, so that a run before each change stays short."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

AT_NIGHT = "SOS_TESTS_AT_NIGHT"
"""Environment variable, set by ``--long``."""
SHARE = 3
"""One in so many examples is tried now: others each time, so that they add up."""


def examples(at_night: int) -> int:
    """Return how many random examples to try, of those that are tried with ``--long``."""
    return at_night if os.environ.get(AT_NIGHT) else max(at_night // SHARE, 2)


def some_now(variants: Iterable[Any], *now: int) -> list[Any]:
    """Return variants of a test as parameters: those at these places now, the others at night."""
    return [
        variant if place in now else _at_night(variant) for place, variant in enumerate(variants)
    ]


def _at_night(variant: Any) -> Any:
    values, marks, name = (variant,), (), None
    if isinstance(variant, type(pytest.param())):
        values, marks, name = variant.values, tuple(variant.marks), variant.id
    elif isinstance(variant, tuple):
        values = variant
    return pytest.param(*values, marks=[*marks, pytest.mark.long], id=name)
