"""Precision: how many pilots there are, and whether the data settle the question."""

from __future__ import annotations

from sos_plugins import Evidence, Reason
from sos_ratings.claims import Claim
from sos_ratings.wording import amount, counted, p_text
from sos_ratings.wwcsc.judging import HIGH, LOW, Criterion, judge
from sos_ratings.wwcsc.settings import WwcscSettings

METRIC = "precision"


def pilots_analysed(evidence: Evidence, s: WwcscSettings) -> Criterion:
    """Judge the number of pilots.

    Args:
        evidence: All that may be looked at.
        s: The thresholds.
    """
    n = evidence.main.n_treated_units or 0
    sentence = f"{counted(n, 'pilot')} {'was' if n == 1 else 'were'} analysed"
    thresholds = (s.pilots_moderate, s.pilots_high)
    clause = f"only {counted(n, 'pilot')}"
    return judge(METRIC, sentence, float(n), thresholds, clause=clause)


def told_from_zero(claim: Claim, s: WwcscSettings) -> Reason:
    """Say whether the estimate can be told from zero; that it cannot is no failed check.

    Args:
        claim: What the main estimate says.
        s: The thresholds.
    """
    can = "can" if claim.p_value < s.significance else "cannot"
    among = f", adjusted for {claim.n_outcomes} outcomes" if claim.n_outcomes > 1 else ""
    text = (
        f"The main estimate {can} be told from zero ({p_text(claim.p_value)}{among}, threshold "
        f"{s.significance:g})."
    )
    return Reason(METRIC, text, claim.p_value, s.significance)


def settled(evidence: Evidence, claim: Claim) -> Criterion:
    """Judge whether the data settle the question: by an effect, or by none that matters.

    Args:
        evidence: All that may be looked at.
        claim: What the main estimate says.
    """
    found = f"An effect of {amount(claim.detectable, evidence.info)} would be found four times in"
    text = f"{_interval(evidence, claim)}. {found} five."
    if claim.direction != "cannot tell":
        return Criterion(HIGH, Reason(METRIC, text, claim.detectable, claim.smallest))
    reason = Reason(
        METRIC, f"The data cannot tell. {text}", claim.detectable, claim.smallest, met=False
    )
    return Criterion(LOW, reason)


def _interval(evidence: Evidence, claim: Claim) -> str:
    """Say where the interval of the two one-sided tests lies."""
    info = evidence.info
    if claim.smallest is None:
        return (
            "No smallest effect that matters is set for this outcome, so no interval could show "
            "that there is none: give smallest_effect and its reason under [[outcomes]]"
        )
    span = f"from {amount(claim.low, info, signed=True)} to {amount(claim.high, info, signed=True)}"
    if claim.direction == "no effect that matters":
        inside = "lies within"
    else:
        beyond = claim.low > claim.smallest or claim.high < -claim.smallest
        inside = "lies beyond" if beyond else "reaches beyond"
    return (
        f"The interval of the two one-sided tests, {span}, {inside} the smallest effect that "
        f"matters, {amount(claim.smallest, info)}"
    )
