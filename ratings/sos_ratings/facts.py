"""What rules ask of the evidence: who votes, which leads count, how far engines differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sos_plugins import Agreement, Evidence, LeadTest, Run

ENGINE_FAMILY = "other-engine"
"""The same estimate once more: it varies nothing."""
PART_FAMILY = "single-pilot"
"""Each pilot alone, too small to be precise: not the estimand of the main run."""
DIGITS = 12
"""Of shares that are compared with a limit: 1 - 0.7 is a little above 0.3."""


def signed(run: Run) -> int:
    """Return the sign of an estimate: 1, 0 or -1; 0 without one.

    Args:
        run: The run.
    """
    value = run.estimate or 0.0
    return (value > 0) - (value < 0)


def significant(run: Run, level: float) -> bool:
    """Whether the estimate of a run is told from zero, by itself.

    Args:
        run: The run.
        level: p value below which it is.
    """
    return run.p_value is not None and run.p_value < level


def alike(run: Run, main: Run) -> bool:
    """Whether a run estimates what the main run does; one that failed might have.

    Args:
        run: The run.
        main: The main run.
    """
    return run.estimate is None or run.estimand == main.estimand


def unusable_share(evidence: Evidence) -> float:
    """Return the share of the pilots' records that could not be judged; NaN if it is not known.

    Args:
        evidence: All that may be looked at.
    """
    return round(1 - evidence.quality.get("usable_share_pilots", math.nan), DIGITS)


def families(evidence: Evidence) -> dict[str, list[Run]]:
    """Return the runs that have a vote, by family: those that vary the main run and are alike it.

    Args:
        evidence: All that may be looked at.
    """
    voting: dict[str, list[Run]] = {}
    for run in evidence.runs:
        apart = run.family in ("main", ENGINE_FAMILY, PART_FAMILY)
        if not apart and run.status != "not applicable" and alike(run, evidence.main):
            voting.setdefault(run.family, []).append(run)
    return voting


def unlike(evidence: Evidence) -> list[Run]:
    """Return the runs that estimate something else than the main run.

    Args:
        evidence: All that may be looked at.
    """
    return [run for run in evidence.runs if not alike(run, evidence.main)]


@dataclass(frozen=True)
class Leads:
    """The tests of the leads that count.

    Attributes:
        overall: Tests of all pilots together, with their p values.
        each: Tests of single pilots, with their p values.
        n_untested: Pilots whose leads could not be tested.
        matched: Whether tests were left out since comparators were chosen by what they test.
    """

    overall: tuple[LeadTest, ...]
    each: tuple[LeadTest, ...]
    n_untested: int
    matched: bool

    @property
    def known(self) -> bool:
        """Whether there is any test."""
        return bool(self.overall or self.each)


def leads_of(evidence: Evidence, *, weigh_matched: bool = False) -> Leads:
    """Return the tests of the leads that count.

    Args:
        evidence: All that may be looked at.
        weigh_matched: Whether tests count whose leads comparators were chosen by.
    """
    kept = [t for t in evidence.leads if weigh_matched or not t.used_for_matching]
    return Leads(
        overall=tuple(t for t in kept if not t.pilot and t.p_value is not None),
        each=tuple(t for t in kept if t.pilot and t.p_value is not None),
        n_untested=sum(bool(t.pilot) and t.p_value is None for t in kept),
        matched=len(kept) < len(evidence.leads),
    )


def pilots_held(each: Sequence[LeadTest], level: float) -> int:
    """Return for how many pilots trends were parallel; the level is shared among them.

    With k pilots tested at level a, chance alone rejects one of them with probability near k * a,
    so each pilot's p value is compared with a / k (Bonferroni).

    Args:
        each: Tests of single pilots, with their p values.
        level: p value below which leads speak against parallel trends.
    """
    return sum(t.p_value is not None and t.p_value >= level / len(each) for t in each)


def in_errors(agreement: Agreement, std_error: float) -> float:
    """Return how far two engines differ, in standard errors; the largest over the terms.

    Each term is measured by its own standard error, or by the other given where it has none; a
    difference of standard errors by the standard error itself.

    Args:
        agreement: A cross-check that was run.
        std_error: The main run's, above 0.
    """
    terms = agreement.terms
    if "difference_estimate" not in terms or terms.empty:
        return (agreement.max_difference_estimate or 0.0) / std_error
    unit = terms["std_error_reference"].astype(float)
    unit = unit.where(unit > 0, std_error)
    apart = [
        float((terms[column].astype(float) / unit).max())
        for column in ("difference_estimate", "difference_std_error")
    ]
    return max((size for size in apart if math.isfinite(size)), default=0.0)
