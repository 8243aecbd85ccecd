"""Names of census elements, recognised in a block of bytes all at once.

A name is known by its length and the words of eight bytes that cover it; words are read wherever
they start, for all tags of a block in one operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sos_sources.cin.rows import N_KEYS, RAW
from sos_sources.cin.xml import (
    CHARACTERISTICS,
    DETAILS,
    DISABILITIES,
    IDENTIFIERS,
    IGNORED,
    MODULES,
)

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.uint8]

WORD = 8
LONGEST = 4 * WORD
"""Names up to this long can be known."""
PADDING = b"\0" * (LONGEST + WORD)
"""What follows a block, so that words can be read at its end."""
UNKNOWN = 0
"""Number of a name that is not known."""
NOT_HERE, CONTAINER, LIST = -3, -2, 1 << 10
"""What becomes of an element at its place, besides :data:`IGNORED` and the number of a column."""
COLUMNS_BITS = 4
"""Bits of the number of a column within its table; the bits above are the table."""

_IGNORED_INSIDE = {
    "FactorsIdentifiedAtAssessment": ("AssessmentFactors",),
    "Reviews": ("CPPreviewDate",),
    "CINPlanDates": ("CINPlanStartDate", "CINPlanEndDate"),
}
_TABLE_BITS = 12
_CANDIDATES = 64 - _TABLE_BITS


def _grammar() -> dict[tuple[str, str], int]:
    """Return what becomes of each element by the name of what it stands in, "" for a child."""
    tables = list(RAW)
    grammar = {("", "Child"): CONTAINER}
    parts = (
        ("ChildIdentifiers", "children", IDENTIFIERS),
        ("ChildCharacteristics", "children", CHARACTERISTICS),
        ("CINdetails", "referrals", DETAILS),
        *((name, table, slots) for name, (table, slots) in MODULES.items()),
    )
    for part, table, slots in parts:
        grammar[("CINdetails" if part in MODULES else "Child", part)] = CONTAINER
        for tag, slot in slots.items():
            column = (tables.index(table) << COLUMNS_BITS) + slot - N_KEYS
            grammar[(part, tag)] = IGNORED if slot == IGNORED else column
            if slots is CHARACTERISTICS and slot == DISABILITIES:
                grammar[(part, tag)] = CONTAINER
                grammar[(tag, "Disability")] = LIST
    for outer, inside in _IGNORED_INSIDE.items():
        grammar |= {(outer, tag): IGNORED for tag in inside}
    return grammar


_GRAMMAR = _grammar()
NAMES = ("", *sorted({tag for _, tag in _GRAMMAR}))
ID = {name: number for number, name in enumerate(NAMES)}
TOP = len(NAMES)
"""Number of what a child stands in."""


def _actions() -> npt.NDArray[np.int16]:
    table = np.full((TOP + 1, TOP), NOT_HERE, dtype=np.int16)
    for (outer, tag), action in _GRAMMAR.items():
        table[ID[outer] if outer else TOP, ID[tag]] = action
    return table


ACTIONS = _actions()
"""What becomes of an element: by the number of the name it stands in, and of its own."""


def _word(name: bytes, start: int) -> int:
    return int.from_bytes(name[start : start + WORD].ljust(WORD, b"\0"), "little")


def _known(start: Any) -> Words:
    """Return a word of each name, 0 where the name does not have it."""
    names = [name.encode() for name in NAMES]
    return np.array(
        [_word(n, start(len(n))) if start(len(n)) >= 0 else 0 for n in names], np.uint64
    )


_LENGTH = np.array([len(name) for name in NAMES], dtype=np.int64)
_FIRST = _known(lambda _: 0)
_LAST = _known(lambda n: max(n - WORD, 0))
_SECOND = _known(lambda n: WORD if n > 2 * WORD else -1)
_THIRD = _known(lambda n: 2 * WORD if n > 3 * WORD else -1)
_SHORT = np.array([(1 << (8 * n)) - 1 for n in range(WORD)], dtype=np.uint64)


def _hash(first: Words, last: Words, factor: np.uint64) -> Ints:
    mixed = (first ^ (last * factor)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(_CANDIDATES)).astype(np.int64)


def _candidates() -> tuple[np.uint64, Ids]:
    """Return a factor with which no two names meet, and the number of the name at each place."""
    for odd in range(3, 1 << 16, 2):
        factor = np.uint64(odd * 0x100000001B3)
        places = _hash(_FIRST[1:], _LAST[1:], factor)
        if len(np.unique(places)) == len(places):
            table = np.zeros(1 << _TABLE_BITS, dtype=np.uint8)
            table[places] = np.arange(1, TOP)
            return factor, table
    raise AssertionError("no factor keeps the names apart")


_FACTOR, _TABLE = _candidates()


def name_ids(data: bytes, starts: Ints, lengths: Ints) -> Ids:
    """Return the number of each name in :data:`NAMES`, :data:`UNKNOWN` for others.

    Args:
        data: The block, followed by :data:`PADDING`.
        starts: Where each name starts.
        lengths: How long each is.
    """
    words: Words = np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))
    first = words[starts]
    last = words[np.maximum(starts + lengths - WORD, 0)]
    short = np.flatnonzero(lengths < WORD)
    first[short] &= _SHORT[np.maximum(lengths[short], 0)]
    last[short] = first[short]
    ids = _TABLE[_hash(first, last, _FACTOR)]
    same = (first == _FIRST[ids]) & (last == _LAST[ids]) & (lengths == _LENGTH[ids])
    for known, start in ((_SECOND, WORD), (_THIRD, 2 * WORD)):
        longer = np.flatnonzero(same & (lengths > start + WORD))
        same[longer] = words[starts[longer] + start] == known[ids[longer]]
    ids[~same] = UNKNOWN
    return ids
