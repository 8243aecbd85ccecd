"""A paper, book or specification that a method rests on."""

from __future__ import annotations

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
