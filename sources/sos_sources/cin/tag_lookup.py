"""Names of census elements, recognised in a block of bytes all at once.

A name is known by its length and the words of eight bytes that cover it; words are read wherever
they start, for all tags of a block in one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sos_sources.cin.rows import N_KEYS, RAW
from sos_sources.cin.xml import (
    CHARACTERISTICS,
    DISABILITIES,
    IGNORED,
    PARTS,
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
FURTHER, INSIDE = 1 << 11, 1 << 12
"""What becomes of a further element and of those inside it; its place is added to both."""
MOST = 1 << 8
"""More names than this have no numbers of their own."""
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
    for part, (table, slots) in PARTS.items():
        grammar[("Child" if table in WHOLE else "CINdetails", part)] = CONTAINER
        for tag, slot in slots.items():
            column = (tables.index(table) << COLUMNS_BITS) + slot - N_KEYS
            grammar[(part, tag)] = IGNORED if slot == IGNORED else column
            if slots is CHARACTERISTICS and slot == DISABILITIES:
                grammar[(part, tag)] = CONTAINER
                grammar[(tag, "Disability")] = LIST
    for outer, inside in _IGNORED_INSIDE.items():
        grammar |= {(outer, tag): IGNORED for tag in inside}
    return grammar


WHOLE = ("children", "referrals")
"""Tables of which a part stands in the child itself."""
_GRAMMAR = _grammar()
NAMES = ("", *sorted({tag for _, tag in _GRAMMAR}))
ID = {name: number for number, name in enumerate(NAMES)}
"""Number of each name of the census; those of further elements come after them."""


def _word(name: bytes, start: int) -> int:
    return int.from_bytes(name[start : start + WORD].ljust(WORD, b"\0"), "little")


def _known(names: Sequence[bytes], start: Callable[[int], int]) -> Words:
    """Return a word of each name, 0 where the name does not have it."""
    return np.array(
        [_word(n, start(len(n))) if start(len(n)) >= 0 else 0 for n in names], np.uint64
    )


_SHORT = np.array([(1 << (8 * n)) - 1 for n in range(WORD)], dtype=np.uint64)


def _hash(first: Words, last: Words, factor: np.uint64) -> Ints:
    mixed = (first ^ (last * factor)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(_CANDIDATES)).astype(np.int64)


def _candidates(first: Words, last: Words) -> tuple[np.uint64, Ids]:
    """Return a factor with which no two names meet, and the number of the name at each place."""
    for odd in range(3, 1 << 16, 2):
        factor = np.uint64(odd * 0x100000001B3)
        places = _hash(first[1:], last[1:], factor)
        if len(np.unique(places)) == len(places):
            table = np.zeros(1 << _TABLE_BITS, dtype=np.uint8)
            table[places] = np.arange(1, len(first))
            return factor, table
    raise AssertionError("no factor keeps the names apart")


@dataclass(frozen=True)
class Vocabulary:
    """The names that are recognised, and what becomes of an element.

    Attributes:
        names: The names; the place of each is its number.
        top: Number of what a child stands in.
        actions: What becomes of an element: by the number of the name it stands in, and of its own.
        further: The further elements that were asked for, recognised or not.
    """

    names: tuple[str, ...]
    top: int
    actions: npt.NDArray[np.int16]
    further: tuple[str, ...]
    _length: Ints
    _words: tuple[Words, Words, Words, Words]
    _factor: np.uint64
    _table: Ids

    def ids(self, data: bytes, starts: Ints, lengths: Ints) -> Ids:
        """Return the number of each name, :data:`UNKNOWN` for others.

        Args:
            data: The block, followed by :data:`PADDING`.
            starts: Where each name starts.
            lengths: How long each is.
        """
        words: Words = np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))
        first_known, last_known, second, third = self._words
        first = words[starts]
        last = words[np.maximum(starts + lengths - WORD, 0)]
        short = np.flatnonzero(lengths < WORD)
        first[short] &= _SHORT[np.maximum(lengths[short], 0)]
        last[short] = first[short]
        ids = self._table[_hash(first, last, self._factor)]
        same = (first == first_known[ids]) & (last == last_known[ids])
        same &= lengths == self._length[ids]
        for known, start in ((second, WORD), (third, 2 * WORD)):
            longer = np.flatnonzero(same & (lengths > start + WORD))
            same[longer] = words[starts[longer] + start] == known[ids[longer]]
        ids[~same] = UNKNOWN
        return ids


@lru_cache
def vocabulary(further: tuple[str, ...] = ()) -> Vocabulary | None:
    """Return the names of the census and of further elements, None where the parser must read.

    A further element whose name cannot be told apart by its words stays unknown.

    Args:
        further: Names of elements that are wanted, in any part of a child.
    """
    used = {tag for (_, tag), action in _GRAMMAR.items() if action != IGNORED}
    if used & set(further) or "" in further or len(further) > MOST:
        return None
    names = list(NAMES)
    ends = {_ends(name) for name in names}
    for name in further:
        long = len(name.encode()) > LONGEST
        if name not in ID and not long and _ends(name) not in ends and len(names) < MOST:
            names.append(name)
            ends.add(_ends(name))
    grammar = dict(_GRAMMAR)
    for place, name in enumerate(further):
        grammar |= {(part, name): FURTHER + place for part in PARTS}
        grammar |= {(name, tag): INSIDE + place for tag in _IGNORED_INSIDE.get(name, ())}
    written = [name.encode() for name in names]
    first = _known(written, lambda _: 0)
    last = _known(written, lambda n: max(n - WORD, 0))
    second = _known(written, lambda n: WORD if n > 2 * WORD else -1)
    third = _known(written, lambda n: 2 * WORD if n > 3 * WORD else -1)
    return Vocabulary(
        tuple(names),
        len(names),
        _actions(names, grammar),
        further,
        np.array([len(name) for name in written], dtype=np.int64),
        (first, last, second, third),
        *_candidates(first, last),
    )


def _ends(name: str) -> tuple[int, int]:
    """Return the first and the last word of a name, by which it is looked up."""
    written = name.encode()
    return _word(written, 0), _word(written, max(len(written) - WORD, 0))


def _actions(names: Sequence[str], grammar: Mapping[tuple[str, str], int]) -> npt.NDArray[np.int16]:
    number = {name: place for place, name in enumerate(names)}
    table = np.full((len(names) + 1, len(names)), NOT_HERE, dtype=np.int16)
    for (outer, tag), action in grammar.items():
        if tag in number and (not outer or outer in number):
            table[number[outer] if outer else len(names), number[tag]] = action
    return table
