"""A paper, book or specification that a method rests on."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """What a reader needs to find a publication.

    Attributes:
        authors: All of them, as in a list of references: ``"Sun, L. and Abraham, S."``.
        year: Of publication.
        title: Its title.
        where: Journal with volume and pages, or publisher.
        doi: Its identifier without an address; empty where it has none.
    """

    authors: str
    year: int
    title: str
    where: str
    doi: str = ""

    def __str__(self) -> str:
        found = f" https://doi.org/{self.doi}" if self.doi else ""
        return f"{self.authors} ({self.year}). {self.title}. {self.where}.{found}"


def publications_in(citation: str) -> tuple[str, ...]:
    """Return the publications that a citation names, with semicolons between them.

    Args:
        citation: Of a plugin, or of a method of inference.

    >>> publications_in("Stuart (2010), Statistical Science 25(1); Rubin (1980), Biometrics 36")
    ('Stuart (2010), Statistical Science 25(1)', 'Rubin (1980), Biometrics 36')
    """
    return tuple(part for part in re.split(r";\s+", citation) if part)
