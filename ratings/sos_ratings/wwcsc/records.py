"""Data quality: how different the unusable records would have to be to undo the finding."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sos_plugins import Evidence
from sos_ratings.claims import Claim
from sos_ratings.wording import amount, percent, points
from sos_ratings.wwcsc.judging import MODERATE, Criterion, at_most, judge, note
from sos_ratings.wwcsc.settings import WwcscSettings

METRIC = "data quality"


def data_quality(evidence: Evidence, claim: Claim, s: WwcscSettings) -> list[Criterion]:
    """Judge the records of one outcome.

    Args:
        evidence: All that may be looked at.
        claim: What the main estimate says, which unusable records might undo.
        s: The thresholds.
    """
    quality = evidence.quality
    return [
        _tipping(evidence, claim, s),
        *covered(quality, s),
        *shift(quality, s),
        *rows_at_fault(quality, s),
    ]


def _known(quality: Mapping[str, float], name: str) -> float | None:
    value = quality.get(name, math.nan)
    return value if math.isfinite(value) else None


def _tipping(evidence: Evidence, claim: Claim, s: WwcscSettings) -> Criterion:
    """Judge how different the pilots' unusable records would have to be to undo the claim."""
    unusable = _known(evidence.quality, "unusable_after")
    spread = _known(evidence.quality, "value_sd")
    if unusable is None or not spread:
        unknown = "The share of the pilots' records that could be judged is not known"
        return at_most(MODERATE, METRIC, unknown, "it is not known how many records are unusable")
    share = f"{percent(unusable)} of the pilots' records after their windows could not be judged"
    if unusable <= 0:
        return note(METRIC, "All of the pilots' records after their windows could be judged.", 0.0)
    if claim.direction == "cannot tell":
        return note(METRIC, f"{share}.", unusable)
    away, to = _to_undo(claim)
    different = away / unusable
    size = amount(different, evidence.info)
    return judge(
        METRIC,
        f"{share}; to {to} they would have to differ from the others by {size} on average, "
        f"{different / spread:.2g} standard deviations of the value",
        different / spread,
        (s.tipping_moderate, s.tipping_high),
        clause=f"{percent(unusable)} of the pilots' records are unusable, and a difference of "
        f"{size} in them would undo it",
    )


def _to_undo(claim: Claim) -> tuple[float, str]:
    """Return how far the estimate must move to undo the claim, and what that does."""
    if claim.is_effect:
        return abs(claim.estimate), "take the estimate to zero"
    assert claim.smallest is not None
    return claim.smallest - abs(claim.estimate), "take it to an effect that matters"


def covered(quality: Mapping[str, float], s: WwcscSettings) -> list[Criterion]:
    """Judge how many of the planned pilots could be analysed, where that is known.

    Args:
        quality: Figures by name.
        s: The thresholds.
    """
    share = _known(quality, "pilots_covered")
    if share is None:
        return []
    sentence = f"{percent(share)} of the pilots of the design could be analysed"
    thresholds = (s.covered_moderate, s.covered_high)
    clause = f"only {sentence}"
    return [judge(METRIC, sentence, share, thresholds, clause=clause, written=percent)]


def shift(quality: Mapping[str, float], s: WwcscSettings) -> list[Criterion]:
    """Judge whether records began or ceased to be usable when the programme did, if known.

    Args:
        quality: Figures by name.
        s: The thresholds.
    """
    moved = _known(quality, "usable_shift")
    if moved is None:
        return []
    sentence = (
        f"The share of usable records moved by {points(moved, signed=True)} in the pilots after "
        "their windows, compared with their comparators"
    )
    clause = f"the share of usable records moved by {points(moved, signed=True)} with the programme"
    bounds, size = (s.shift_moderate, s.shift_high), abs(moved)
    return [judge(METRIC, sentence, size, bounds, at_least=False, clause=clause, written=points)]


def rows_at_fault(quality: Mapping[str, float], s: WwcscSettings) -> list[Criterion]:
    """Judge the share of rows at fault in the pilots, before or after, whichever is larger.

    Args:
        quality: Figures by name.
        s: The thresholds.
    """
    names = {
        "faulty_share_before": "before their windows",
        "faulty_share_after": "from then on",
    }
    shares = {when: _known(quality, name) for name, when in names.items()}
    known = {when: share for when, share in shares.items() if share is not None}
    if not known:
        return []
    told = " and ".join(f"{percent(share)} {when}" for when, share in known.items())
    sentence = f"Of the rows that the outcome reads in the pilots, at fault are {told}"
    worst = max(known.values())
    bounds = (s.faulty_moderate, s.faulty_high)
    clause = f"{percent(worst)} of the pilots' rows are at fault"
    return [judge(METRIC, sentence, worst, bounds, at_least=False, clause=clause, written=percent)]
