"""Robustness: every family of runs has one vote, and that is its worst run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sos_plugins import Evidence, Run
from sos_ratings.claims import Claim
from sos_ratings.facts import PART_FAMILY, families, signed, significant, unlike
from sos_ratings.wording import counted, listing, percent
from sos_ratings.wwcsc.judging import LOW, Criterion, at_most, judge, note
from sos_ratings.wwcsc.settings import WwcscSettings

METRIC = "robustness"
Families = Mapping[str, Sequence[Run]]


def robustness(evidence: Evidence, claim: Claim, s: WwcscSettings) -> list[Criterion]:
    """Judge whether what is claimed holds when the analysis is varied.

    Nothing is claimed where the data cannot tell: then only the number of families counts.

    Args:
        evidence: All that may be looked at.
        claim: What the main estimate says.
        s: The thresholds.
    """
    voting = families(evidence)
    if not any(run.estimate is not None for runs in voting.values() for run in runs):
        text = "No sensitivity run gave an estimate, so robustness is not known"
        return [at_most(LOW, METRIC, text, "no sensitivity run gave an estimate")]
    criteria = [_number(voting, s), *_apart(evidence)]
    if claim.direction == "cannot tell":
        return criteria
    if claim.is_effect:
        criteria += [_direction(evidence, voting, s), _significant(evidence, voting, s)]
    else:
        criteria += [_within(voting, claim, s)]
    return [*criteria, _change(evidence.main, voting, claim, s)]


def _number(voting: Families, s: WwcscSettings) -> Criterion:
    runs = sum(len(of) for of in voting.values())
    n = len(voting)
    sentence = f"The main run was varied in {counted(runs, 'run')} of {counted(n, 'kind')}"
    thresholds = (s.families_moderate, s.families_high)
    clause = f"the analysis was varied in {counted(n, 'way')} only"
    return judge(METRIC, sentence, float(n), thresholds, clause=clause)


def _apart(evidence: Evidence) -> list[Criterion]:
    """Tell of the runs that do not count, since they estimate something else."""
    others = unlike(evidence)
    if not others:
        return []
    labels = listing(tuple(dict.fromkeys(run.label for run in others)))
    do = (
        "estimates something else and does"
        if len(others) == 1
        else "estimate something else and do"
    )
    text = f"{counted(len(others), 'run')} {do} not count: {labels}."
    return [note(METRIC, text, float(len(others)))]


def _vote(
    voting: Families, holds: Mapping[str, bool], what: str, thresholds: tuple[float, float]
) -> Criterion:
    """Judge the share of families in which something holds in every run."""
    against = tuple(name for name in voting if not holds[name])
    share = 1 - len(against) / len(holds)
    kinds = f"{len(holds) - len(against)} of {len(holds)}"
    but = f"; not {listing(against)}" if against else ""
    sentence = f"{percent(share)} of the kinds of run, {kinds}, {what}{but}"
    clause = f"it fails in the runs {listing(against)}" if against else ""
    return judge(METRIC, sentence, share, thresholds, clause=clause, written=percent)


def _direction(evidence: Evidence, voting: Families, s: WwcscSettings) -> Criterion:
    sign = signed(evidence.main)
    holds = {name: all(signed(run) == sign for run in runs) for name, runs in voting.items()}
    parts = [r for r in evidence.runs if r.family == PART_FAMILY and r.p_value is not None]
    against = [
        r for r in parts if signed(r) != sign and significant(r, s.significance / len(parts))
    ]
    every = {**voting, PART_FAMILY: parts} if parts else voting
    holds[PART_FAMILY] = not against
    holds = {name: holds[name] for name in every}
    what = "have the direction of the main run throughout"
    return _vote(every, holds, what, (s.families_same_moderate, s.families_same_high))


def _significant(evidence: Evidence, voting: Families, s: WwcscSettings) -> Criterion:
    sign = signed(evidence.main)
    holds = {
        name: all(signed(run) == sign and significant(run, s.significance) for run in runs)
        for name, runs in voting.items()
    }
    thresholds = (s.families_significant_moderate, s.families_significant_high)
    return _vote(voting, holds, "show a significant effect in it throughout", thresholds)


def _within(voting: Families, claim: Claim, s: WwcscSettings) -> Criterion:
    assert claim.smallest is not None
    limit = claim.smallest
    holds = {
        name: all(run.estimate is not None and abs(run.estimate) < limit for run in runs)
        for name, runs in voting.items()
    }
    thresholds = (s.families_same_moderate, s.families_same_high)
    return _vote(voting, holds, "estimate no effect that matters throughout", thresholds)


def _change(main: Run, voting: Families, claim: Claim, s: WwcscSettings) -> Criterion:
    """Judge the largest change of the estimate, in units of what is claimed."""
    assert main.estimate is not None
    base = main.estimate
    done = [run for runs in voting.values() for run in runs if run.estimate is not None]
    worst = max(done, key=lambda run: abs((run.estimate or 0.0) - base))
    unit, of_what = _unit(main, claim)
    change = abs((worst.estimate or 0.0) - base) / unit
    moved = f"by {percent(change)} of {of_what}"
    sentence = f"The estimate changes most, {moved}, in: {worst.label}"
    bounds = (s.change_moderate, s.change_high)
    clause = f"the estimate changes {moved} {worst.label}"
    return judge(METRIC, sentence, change, bounds, at_least=False, clause=clause, written=percent)


def _unit(main: Run, claim: Claim) -> tuple[float, str]:
    if not claim.is_effect:
        assert claim.smallest is not None
        return claim.smallest, "the smallest effect that matters"
    size, error = abs(main.estimate or 0.0), main.std_error or 0.0
    return (size, "its size") if size >= error else (error, "its standard error")
