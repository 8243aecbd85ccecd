"""Strength of evidence: low, moderate or high, in two editions.

The first spoke as the 2021 Signs of Safety evaluation did. The second, the default, tells a null
from an answer that the data do not give.
"""

from __future__ import annotations

from typing import ClassVar

from sos_plugins import Evidence, Rating, RatingRule, Settings, hookimpl
from sos_ratings.wwcsc import edition_2021, second_edition
from sos_ratings.wwcsc.judging import LEVELS as LEVELS
from sos_ratings.wwcsc.settings import WwcscSettings as WwcscSettings

STYLES = {"second-edition": second_edition.rate, "wwcsc-2021": edition_2021.rate}


class Wwcsc(RatingRule):
    """Strength of evidence: low, moderate or high.

    The level is the lowest that any criterion allows: data quality, robustness, assumptions and
    precision. With ``style = "second-edition"`` the verdict is "increased", "decreased", "no effect
    that matters" or "cannot tell", each with its reason; with ``style = "wwcsc-2021"`` criteria and
    sentences are those of the first edition.
    """

    name: ClassVar[str] = "wwcsc"
    label: ClassVar[str] = "Strength of evidence from data quality and robustness"
    Settings: ClassVar[type[Settings]] = WwcscSettings
    citation: ClassVar[str] = (
        "What Works for Children's Social Care (2021), Signs of Safety evaluation (thresholds ours)"
    )
    levels: ClassVar[tuple[str, ...]] = LEVELS

    def rate(self, evidence: Evidence, settings: WwcscSettings) -> Rating:
        """Rate one outcome; without a main estimate the evidence is low."""
        return STYLES[settings.style](evidence, settings)


@hookimpl
def register_rating_rules(register):  # type: ignore[no-untyped-def]
    """Register the rule."""
    register(Wwcsc())
