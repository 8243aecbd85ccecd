"""Authorities that gave way to others, and what can be made of their figures all the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reorganisation:
    """Authorities that gave way to others on 1 April of ``year``.

    The published figures to March of ``year`` carry the old codes, later ones the new.
    """

    year: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    names: str

    @property
    def joined(self) -> str:
        """The code of the area as a whole, before and after: ``940+941``."""
        return "+".join(self.new)


REORGANISATIONS: tuple[Reorganisation, ...] = (
    Reorganisation(
        2009,
        ("820",),
        ("822", "823"),
        "Bedfordshire: Bedford, and Central Bedfordshire",
    ),
    Reorganisation(
        2009,
        ("875",),
        ("895", "896"),
        "Cheshire: Cheshire East, and Cheshire West and Chester",
    ),
    Reorganisation(
        2019,
        ("835", "836", "837"),
        ("838", "839"),
        "Dorset, Poole and Bournemouth: Dorset, and Bournemouth, Christchurch and Poole",
    ),
    Reorganisation(
        2021, ("928",), ("940", "941"), "Northamptonshire: North and West Northamptonshire"
    ),
    Reorganisation(
        2023, ("909",), ("942", "943"), "Cumbria: Cumberland, and Westmorland and Furness"
    ),
)
"""Every change of authorities with children's services in England since 2008 that split or merged
codes. The outer borders did not move, so that the area as a whole is the same before and after.

Sources: the Bedfordshire (Structural Changes) Order 2008, the Cheshire (Structural Changes) Order
2008, the Bournemouth, Dorset and Poole (Structural Changes) Order 2018, the Northamptonshire
(Structural Changes) Order 2020 and the Cumbria (Structural Changes) Order 2022.
"""
