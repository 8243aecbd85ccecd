"""Who is treated, when, and who may be compared with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sos_plugins.cache.codec import travels
from sos_plugins.contract.types import MatchedGroup, Pilot
from sos_plugins.errors import DesignError, listing


@travels
@dataclass(frozen=True)
class Design:
    """Who is treated, when, and who may be compared with them.

    Attributes:
        pilots: The treated authorities.
        pool: Codes of authorities that may serve as comparators.
        groups: Matched groups, once matching has been done or given; empty before.
        adopted: First treated period of authorities that the records say are treated though they
            are no pilots: they are in no pool.
        contaminated: Authorities that used the approach in some form without being pilots, with the
            reason: they are in no pool either.
    """

    pilots: tuple[Pilot, ...]
    pool: tuple[str, ...]
    groups: tuple[MatchedGroup, ...] = ()
    adopted: Mapping[str, int] = field(default_factory=dict)
    contaminated: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        codes = [pilot.unit for pilot in self.pilots]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise DesignError(f"The design names the pilots {listing(twice)} more than once.")
        for unit in sorted(set(self.contaminated) & set(self.pool)):
            raise DesignError(
                f"The authority {unit} is in the pool of comparators and contaminated by the "
                f"approach ({self.contaminated[unit]})."
            )
        both = sorted({*codes, *self.adopted} & set(self.pool))
        if both:
            raise DesignError(
                f"The authorities {listing(both)} are both treated and in the pool of comparators."
            )
        for pilot in self.pilots:
            if pilot.start and pilot.end and pilot.end < pilot.start:
                raise DesignError(
                    f"Pilot {pilot.unit}: the embedding window ends ({pilot.end}) before it "
                    f"starts ({pilot.start})."
                )

    def pilot(self, unit: str) -> Pilot:
        """Return the pilot with this code.

        Args:
            unit: Code of an authority.

        Raises:
            DesignError: If it is no pilot; the message lists those there are.
        """
        for pilot in self.pilots:
            if pilot.unit == unit:
                return pilot
        raise DesignError(f"'{unit}' is no pilot. Pilots: {listing(p.unit for p in self.pilots)}.")

    def keep(self, units: Sequence[str]) -> Design:
        """Return the design with these pilots only; groups of the others go, the pool stays.

        Args:
            units: Codes of pilots; a code of none changes nothing.
        """
        wanted = set(units)
        return replace(
            self,
            pilots=tuple(p for p in self.pilots if p.unit in wanted),
            groups=tuple(g for g in self.groups if g.pilot in wanted),
        )
