"""Secondary suppression: counts suppressed until no sum or difference gives a small one away.

What a reader can work out of a count is an interval, found by two linear programmes over all that
is released at once (Fischetti and Salazar, Mathematical Programming 84 (1999); Hundepool et al.,
Statistical Disclosure Control (2012), section 4.3). A count is protected when the interval reaches
from the least that a suppressed count can be to the threshold. Suppressing more only widens
intervals, so one pass over the small counts protects them all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from sos_plugins.errors import DataError
from sos_plugins.release.cells import Ledger, Relation, Sensitive, Terms
from sos_plugins.release.rules import could_be, rounded

SLACK = 1e-6
"""Ends of intervals are whole numbers up to the tolerance of the solver, which is 1e-7."""
SOLVED, UNBOUNDED = 0, 3
"""What SciPy says of a linear programme that has an end, and of one without."""


@dataclass(frozen=True)
class Protection:
    """What is suppressed.

    Attributes:
        suppressed: Keys of counts.
        unprotected: What could not be protected though all around it is suppressed.
    """

    suppressed: frozenset[str]
    unprotected: tuple[Sensitive, ...]


@dataclass(frozen=True)
class _Island:
    """Counts that hang together, and nothing else with them.

    Attributes:
        keys: Their keys.
        relations: What is known of their sums.
        parts: Pairs of a part and its whole.
        around: The counts that hang together directly with each.
    """

    keys: tuple[str, ...]
    relations: tuple[Relation, ...]
    parts: tuple[tuple[str, str], ...]
    around: Mapping[str, set[str]]


def protect(ledger: Ledger, forced: Iterable[str] = ()) -> Protection:
    """Suppress small counts, and others until none of them can be worked out.

    Args:
        ledger: All counts of the release.
        forced: Counts that are suppressed whatever they are.

    Raises:
        DataError: If what the tables give away cannot be worked out.
    """
    suppressed = set(forced) | {s.terms[0][0] for s in ledger.sensitive if len(s.terms) == 1}
    _with_parts(ledger, suppressed)
    islands = {key: island for island in _islands(ledger) for key in island.keys}
    unprotected = tuple(
        one
        for one in ledger.sensitive
        if not _protect_one(ledger, islands[one.terms[0][0]], one, suppressed)
    )
    return Protection(frozenset(suppressed), unprotected)


def _protect_one(ledger: Ledger, island: _Island, one: Sensitive, suppressed: set[str]) -> bool:
    """Suppress counts, the nearest and smallest first, until one is protected.

    Those that turn out not to be needed are shown again; what was protected before them still is.
    """
    if is_protected(ledger, island, one, suppressed):
        return True
    before, added = set(suppressed), []
    for key in _nearest(ledger, island, one):
        if key in suppressed or key in ledger.shown_before:
            continue
        added.append(key)
        suppressed.add(key)
        _with_parts(ledger, suppressed)
        if is_protected(ledger, island, one, suppressed):
            suppressed.clear()
            suppressed.update(_spared(ledger, island, one, before, added))
            return True
    return False


def _spared(
    ledger: Ledger, island: _Island, one: Sensitive, before: set[str], added: Sequence[str]
) -> set[str]:
    """Return what is suppressed without those that one is protected without."""
    needed = list(added)
    for key in added[:-1]:
        fewer = before | {other for other in needed if other != key}
        _with_parts(ledger, fewer)
        if is_protected(ledger, island, one, fewer):
            needed.remove(key)
    kept = before | set(needed)
    _with_parts(ledger, kept)
    return kept


def is_protected(ledger: Ledger, island: _Island, one: Sensitive, suppressed: set[str]) -> bool:
    """Say whether what can be worked out of a number reaches over all that it has to."""
    low, high = interval(ledger, island, one.terms, suppressed)
    rules = ledger.rules
    return low <= max(rules.least, 0) + SLACK and high >= rules.min_count - SLACK


def interval(
    ledger: Ledger, island: _Island, terms: Terms, suppressed: set[str]
) -> tuple[float, float]:
    """Return the least and the most that a sum of counts can be, as far as a reader can tell."""
    place = {key: n for n, key in enumerate(island.keys)}
    bounds = [_bounds(ledger, key, suppressed) for key in island.keys]
    goal = np.zeros(len(place))
    for key, factor in terms:
        goal[place[key]] += factor
    known = _rows([r.terms for r in island.relations], place)
    inside = _rows([((part, 1), (whole, -1)) for part, whole in island.parts], place)
    ends = []
    for sign in (1, -1):
        found = linprog(
            sign * goal,
            A_eq=known,
            b_eq=None if known is None else [r.total for r in island.relations],
            A_ub=inside,
            b_ub=None if inside is None else np.zeros(len(island.parts)),
            bounds=bounds,
            method="highs",
        )
        if found.status not in (SOLVED, UNBOUNDED):
            raise DataError(
                f"What the tables give away of {terms[0][0]} could not be worked out "
                f"({found.message}), so nothing is released. Report it, with the rules and no data."
            )
        ends.append(-sign * math.inf if found.status == UNBOUNDED else sign * float(found.fun))
    return ends[0], ends[1]


def _bounds(ledger: Ledger, key: str, suppressed: set[str]) -> tuple[float, float | None]:
    if key in suppressed and key not in ledger.shown_before:
        return ledger.rules.least, None
    return could_be(rounded(ledger.counts[key], ledger.rules.round_to), ledger.rules)


def _rows(rows: Sequence[Terms], place: dict[str, int]) -> csr_array | None:
    if not rows:
        return None
    entries = [(n, place[key], factor) for n, row in enumerate(rows) for key, factor in row]
    at, to, factors = zip(*entries, strict=True)
    return csr_array((factors, (at, to)), shape=(len(rows), len(place)))


def _with_parts(ledger: Ledger, suppressed: set[str]) -> None:
    """Suppress the parts of every whole that is suppressed."""
    suppressed.update(part for part, whole in ledger.parts.items() if whole in suppressed)


def _links(ledger: Ledger) -> Iterator[tuple[str, ...]]:
    """Yield counts that hang together directly."""
    yield from (tuple(key for key, _ in relation.terms) for relation in ledger.relations)
    yield from ledger.parts.items()
    yield from (tuple(key for key, _ in one.terms) for one in ledger.sensitive)


def _islands(ledger: Ledger) -> Iterator[_Island]:
    around = _neighbours(ledger)
    left = dict.fromkeys(ledger.counts)
    while left:
        keys = tuple(_reached(next(iter(left)), around))
        inside = set(keys)
        relations = (r for r in ledger.relations if r.terms[0][0] in inside)
        parts = ((p, w) for p, w in ledger.parts.items() if p in inside)
        yield _Island(keys, tuple(relations), tuple(parts), around)
        for key in keys:
            del left[key]


def _neighbours(ledger: Ledger) -> dict[str, set[str]]:
    around: dict[str, set[str]] = defaultdict(set)
    for link in _links(ledger):
        for key in link:
            around[key].update(link)
    return around


def _reached(start: str, around: Mapping[str, set[str]]) -> dict[str, int]:
    """Return what hangs together with a count, and over how many steps."""
    steps = {start: 0}
    edge = [start]
    while edge:
        found = {key for at in edge for key in around.get(at, ()) if key not in steps}
        steps.update(dict.fromkeys(sorted(found), 1 + steps[edge[0]]))
        edge = sorted(found)
    return steps


def _nearest(ledger: Ledger, island: _Island, one: Sensitive) -> list[str]:
    """Order the counts that may be suppressed for one: its own, then the nearest and smallest."""
    steps = _reached(one.terms[-1][0], island.around)
    own = [key for key, _ in reversed(one.terms)]
    rest = sorted(
        (key for key in island.keys if key not in own),
        key=lambda key: (steps[key], ledger.counts[key], key),
    )
    return [*own, *rest]
