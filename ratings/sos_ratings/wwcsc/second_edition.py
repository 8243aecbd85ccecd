"""The second edition of the rating: what the main estimate claims, and how far it can be trusted.

Absence of evidence is not evidence of absence, like is compared with like, and a reader learns why
in the same line.
"""

from __future__ import annotations

from collections.abc import Sequence

from sos_plugins import Evidence, Rating, Reason
from sos_ratings.claims import Claim, claim_of
from sos_ratings.wording import amount, counted, more_or_less, p_text
from sos_ratings.wwcsc.assumptions import assumptions
from sos_ratings.wwcsc.judging import LEVELS, LOW, MODERATE, Criterion, lowest
from sos_ratings.wwcsc.precision import pilots_analysed, settled, told_from_zero
from sos_ratings.wwcsc.records import data_quality
from sos_ratings.wwcsc.settings import WwcscSettings
from sos_ratings.wwcsc.votes import robustness

CANNOT_CARRY = {
    "data quality": "the records cannot carry it",
    "assumptions": "the comparison cannot carry it",
    "robustness": "it does not hold when the analysis is varied",
    "precision": "too few pilots carry it",
}
"""Why a finding is none, by the metric that makes its evidence low; the first that does is said."""


def rate(evidence: Evidence, settings: WwcscSettings) -> Rating:
    """Rate one outcome.

    Args:
        evidence: All that may be looked at.
        settings: The thresholds.
    """
    claim = claim_of(evidence, settings.significance)
    if claim is None:
        return _without_estimate(evidence, settings)
    criteria = [
        *data_quality(evidence, claim, settings),
        *robustness(evidence, claim, settings),
        *assumptions(evidence, settings),
        pilots_analysed(evidence, settings),
        settled(evidence, claim),
    ]
    level = LEVELS[lowest(criteria)]
    held = claim.direction if level != "low" else "cannot tell"
    reason = _why(evidence, claim, criteria)
    return Rating(
        rule="wwcsc",
        level=level,
        direction=held,
        sentence=f"{_verdict(held)} {evidence.info.phrase}: {reason}",
        reasons=(told_from_zero(claim, settings), *(c.told() for c in criteria)),
        thresholds=settings.model_dump(),
        reason=reason,
    )


def _without_estimate(evidence: Evidence, settings: WwcscSettings) -> Rating:
    why = evidence.main.reason.rstrip(".") or "the main run has no estimate with an error"
    reason = Reason("precision", f"There is no main estimate: {why}.", met=False)
    text = f"no estimate could be made ({why})"
    sentence = f"{_verdict('cannot tell')} {evidence.info.phrase}: {text}"
    thresholds = settings.model_dump()
    return Rating("wwcsc", "low", "cannot tell", sentence, (reason,), thresholds, text)


def _verdict(direction: str) -> str:
    return {
        "increase": "Increased",
        "decrease": "Decreased",
        "no effect that matters": "No effect that matters on",
        "cannot tell": "Cannot tell the effect on",
    }[direction]


def _why(evidence: Evidence, claim: Claim, criteria: Sequence[Criterion]) -> str:
    """Say in one line what was found and what holds the level where it is."""
    info, level = evidence.info, lowest(criteria)
    if claim.direction == "cannot tell":
        found = f"changes of {amount(claim.detectable, info)} or more"
        return f"{_fits(evidence, claim)}, and would find only {found} four times in five"
    if claim.is_effect:
        size, word = amount(abs(claim.estimate), info), more_or_less(claim.estimate, info)
    else:
        assert claim.smallest is not None
        size, word = (
            f"less than {amount(claim.smallest, info)} either way",
            "no change that matters",
        )
    if level == LOW:
        return f"{word}, but {_cannot_carry(criteria)}"
    strength = f"{LEVELS[level]} strength evidence"
    return f"{size}, {strength}{_not_high(criteria) if level == MODERATE else ''}"


def _fits(evidence: Evidence, claim: Claim) -> str:
    """Write the confidence interval, or that of the two one-sided tests where there is none.

    One that leaves out zero would contradict the verdict, were it not said why it does not count.
    """
    main, info = evidence.main, evidence.info
    low = claim.low if main.conf_low is None else main.conf_low
    high = claim.high if main.conf_high is None else main.conf_high
    span = f"from {amount(low, info, signed=True)} to {amount(high, info, signed=True)}"
    if low <= 0.0 <= high:
        return f"the data fit anything {span}"
    among = f", adjusted for {claim.n_outcomes} outcomes" if claim.n_outcomes > 1 else ""
    return (
        f"the data by themselves fit {span}, but cannot be told from zero "
        f"({p_text(claim.p_value)}{among})"
    )


def _cannot_carry(criteria: Sequence[Criterion]) -> str:
    lows = [c for c in criteria if c.grade == LOW]
    metric = next(name for name in CANNOT_CARRY if any(c.reason.metric == name for c in lows))
    clauses = [c.clause for c in lows if c.reason.metric == metric and c.clause]
    return f"{CANNOT_CARRY[metric]} ({_first_of(clauses)})" if clauses else CANNOT_CARRY[metric]


def _first_of(clauses: Sequence[str]) -> str:
    """Write the first reason, and how many more there are: the report lists them all."""
    more = len(clauses) - 1
    return clauses[0] + (f", and {counted(more, 'more reason')}" if more else "")


def _not_high(criteria: Sequence[Criterion]) -> str:
    clauses = [c.clause for c in criteria if c.grade == MODERATE and c.clause]
    return f", not high: {_first_of(clauses)}" if clauses else ""
