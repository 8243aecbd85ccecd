"""Counts that a release shows, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sos_plugins.release.profiles import ReleaseRules
from sos_plugins.release.rules import too_small

Terms = tuple[tuple[str, int], ...]
"""A sum of counts by their keys, each times a whole number."""


@dataclass(frozen=True)
class Relation:
    """A sum of counts whose value everybody knows, or may know.

    Attributes:
        terms: The counts.
        total: Their sum.
    """

    terms: Terms
    total: int


@dataclass(frozen=True)
class Sensitive:
    """A number of children that nobody may learn: a count, or a difference of counts.

    Attributes:
        terms: The counts that make it; what is suppressed for it first comes last.
        value: What it is.
    """

    terms: Terms
    value: int


@dataclass
class Ledger:
    """All counts of a release.

    Attributes:
        rules: The rules of the room.
        counts: Their values by key.
        relations: What is known of sums of them.
        parts: Numerators with their denominators: a part is no more than its whole, and is not
            shown without it.
        sensitive: What must not be learnt.
        shown_before: Counts that an earlier release showed.
    """

    rules: ReleaseRules
    counts: dict[str, int] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    sensitive: list[Sensitive] = field(default_factory=list)
    shown_before: set[str] = field(default_factory=set)

    def count(self, key: str, value: int) -> str:
        """Take in a count and return its key."""
        if key not in self.counts:
            self.counts[key] = value
            if too_small(value, self.rules):
                self.sensitive.append(Sensitive(((key, 1),), value))
        return key

    def part(self, key: str, value: int, whole: str) -> str:
        """Take in a numerator; it and what is left of the whole may be too small."""
        self.count(key, value)
        self.parts[key] = whole
        self.difference(whole, key)
        return key

    def difference(self, more: str, less: str) -> None:
        """Take in a difference of two counts: a number of children, perhaps a small one.

        Nothing is learnt from one that is zero, but that the same children are counted; of a part
        and its whole it is a count like any other.
        """
        value = self.counts[more] - self.counts[less]
        same = value == 0 and less not in self.parts
        if value >= 0 and not same and too_small(value, self.rules):
            self.sensitive.append(Sensitive(((more, 1), (less, -1)), value))

    def known_total(self, keys: Iterable[str]) -> None:
        """Assume that everybody knows the sum of counts, unless the rules suppress it too."""
        named = tuple(dict.fromkeys(keys))
        total = sum(self.counts[key] for key in named)
        if len(named) > 1 and total >= self.rules.min_count:
            self.relations.append(Relation(tuple((key, 1) for key in named), total))

    def equation(self, terms: Terms) -> None:
        """Take in an equation between counts, if it holds."""
        if sum(factor * self.counts[key] for key, factor in terms) == 0:
            self.relations.append(Relation(terms, 0))
