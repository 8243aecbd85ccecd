"""Flesch's reading ease, by its closed formula."""

from __future__ import annotations

import re

SENTENCE, WORD, ZERO = 1.015, 84.6, 206.835
"""Flesch (1948), A new readability yardstick, Journal of Applied Psychology 32(3), 221-233."""


def syllables(word: str) -> int:
    """Count the syllables of an English word: groups of vowels, less a silent e, at least one.

    A number is read out in three syllables, which is what most of two digits have.

    >>> [syllables(w) for w in ("children", "moderate", "place", "table", "started", "evidence")]
    [2, 3, 1, 2, 2, 3]
    """
    letters = re.sub(r"[^a-z]", "", word.lower())
    if not letters:
        return 3
    groups = len(re.findall(r"[aeiouy]+", re.sub(r"(?<=[iu])(?=a|o[^u])", " ", letters)))
    silent = re.search(r"[^aeiouyl]e$|[aeiouy]le$|[^td]ed$|[^aeiouysxzcg]es$", letters)
    return max(1, groups - bool(silent))


def reading_ease(text: str) -> float:
    """Return the reading ease of a text: 100 is very easy, 60 plain English, 30 hard."""
    sentences = [s for s in re.split(r"[.!?:](?:\s|$)", text) if re.search(r"\w", s)]
    words = re.findall(r"[\w'’.,-]*\w", text)
    per_word = sum(map(syllables, words)) / len(words)
    return ZERO - SENTENCE * len(words) / len(sentences) - WORD * per_word
