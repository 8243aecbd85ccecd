"""The rules of research rooms by name, each figure with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sos_plugins.errors import SettingsError, listing


@dataclass(frozen=True)
class ReleaseRules:
    """What a room asks of figures that leave it.

    Attributes:
        min_count: Counts of cases below this, and what rests on fewer, are suppressed.
        round_to: Counts are rounded to the nearest multiple of this; 1 leaves them.
        suppress_zeros: Whether a zero is suppressed as a small count is.
        min_df: Least residual degrees of freedom of a regression.
        nk_n: Number of largest contributors whose share of a sum is judged.
        nk_k: Share of a sum, from 0 to 1, at which they dominate it.
        p_ratio: Share of the largest contribution, from 0 to 1, that all contributions but the
            two largest must reach together.
    """

    min_count: int = 10
    round_to: int = 5
    suppress_zeros: bool = True
    min_df: int = 10
    nk_n: int = 2
    nk_k: float = 0.9
    p_ratio: float = 0.1

    @property
    def least(self) -> int:
        """The least that a suppressed count can be: 1 where zeros are shown."""
        return 0 if self.suppress_zeros else 1


@dataclass(frozen=True)
class Profile:
    """The rules of one room.

    Attributes:
        name: As the command line names it.
        room: Whose rules they are.
        rules: The rules.
        source: Where they are written.
        unconfirmed: Fields of the rules that the source does not say, and what stands there.
    """

    name: str
    room: str
    rules: ReleaseRules
    source: str
    unconfirmed: Mapping[str, str] = field(default_factory=dict)


_OF_ACRO = "not in the source; the default of acro 1.0.2"
_FROM_ACRO = dict.fromkeys(("min_df", "nk_n", "nk_k", "p_ratio"), _OF_ACRO)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "acro",
            "rooms that check with SACRO/ACRO",
            ReleaseRules(),
            "acro 1.0.2, acro/default.yaml (github.com/AI-SDC/ACRO); rounding is a choice there",
        ),
        Profile(
            "ons-10-5",
            "Office for National Statistics, the 10-5 rule of the Integrated Data Service",
            ReleaseRules(),
            "ONS, Comparison of post-tabular statistical disclosure control methods, section 1: "
            "counts below ten suppressed, others rounded to the nearest five",
            {
                **_FROM_ACRO,
                "suppress_zeros": "the source does not say; the stricter way",
                "all": "that the Secure Research Service asks the same is not confirmed",
            },
        ),
        Profile(
            "uk-llc",
            "UK Longitudinal Linkage Collaboration",
            ReleaseRules(),
            "UK LLC Guidebook, Statistical Disclosure Control (last modified 30 January 2026), "
            "https://guidebook.ukllc.ac.uk/docs/user_guide/sdc: fewer than ten, zero included",
            {**_FROM_ACRO, "round_to": "rounding is not asked for; 5 protects more with less lost"},
        ),
        Profile(
            "dfe-publication",
            "Department for Education, published statistics (no room's rules)",
            ReleaseRules(min_count=6, round_to=10, suppress_zeros=False),
            "DfE, Methodology of Children looked after: a focus on placement location, Rounding, "
            "suppression and grossing: nearest 10 for England and regions, zeros shown",
            {
                **_FROM_ACRO,
                "min_count": "the source names no threshold; 1 to 5 is the custom of its tables",
            },
        ),
    )
}


def rules_of(name: str = "acro", **changed: Any) -> ReleaseRules:
    """Return the rules of a profile, with those that were given in their place.

    Args:
        name: A name of :data:`PROFILES`.
        changed: Fields of :class:`ReleaseRules`; None leaves what the profile says.

    Raises:
        SettingsError: If there is no such profile, or a rule cannot be kept.
    """
    if name not in PROFILES:
        known = listing(sorted(PROFILES))
        raise SettingsError(f"There is no profile '{name}' of a research room. There are {known}.")
    given = {key: value for key, value in changed.items() if value is not None}
    rules = replace(PROFILES[name].rules, **given)
    if rules.min_count < 2 or rules.round_to < 1:
        raise SettingsError(
            f"Counts below {rules.min_count} cannot be suppressed and others rounded to "
            f"{rules.round_to}: the threshold is at least 2, the base of rounding at least 1."
        )
    return rules
