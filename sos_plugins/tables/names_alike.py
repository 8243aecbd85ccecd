"""Names of units that differ in capitals or blanks only, which are often one unit written twice."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

MOST_PAIRS = 5
"""Pairs that a warning names; of more it gives the number."""


def folded(name: str) -> str:
    """Return a name without capitals, and without blanks around it or repeated in it.

    >>> folded("  North  Kent ")
    'north kent'
    """
    return " ".join(name.split()).casefold()


def warn_of_names_alike(names: Iterable[str]) -> tuple[str, ...]:
    """Return a warning on the names that differ in capitals or blanks only; none where none do.

    >>> warn_of_names_alike(["Kent", "Bath", "Kent"])
    ()
    """
    by_form: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        by_form.setdefault(folded(name), []).append(name)
    pairs = [f"'{a}' and '{b}'" for same in by_form.values() for a, b in pairwise(same)]
    if not pairs:
        return ()
    rest = len(pairs) - MOST_PAIRS
    more = f", and {rest} more {'pair' if rest == 1 else 'pairs'}" if rest > 0 else ""
    return (
        "Units whose names differ in capitals or blanks only are taken for different ones: "
        f"{', '.join(pairs[:MOST_PAIRS])}{more}. Where they are one unit, write its name in one "
        "way, in the records and in the study.",
    )
