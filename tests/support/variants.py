"""Variants of a test that wait for ``--long``, so that a run before each change stays short."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


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
