"""Assumptions: parallel trends, likeness after matching, and engines that agree."""

from __future__ import annotations

import math

from sos_plugins import Agreement, Evidence, LeadTest, Reason
from sos_ratings.claims import claim_of
from sos_ratings.facts import Leads, in_errors, leads_of, pilots_held
from sos_ratings.wording import counted, listing, p_text, percent
from sos_ratings.wwcsc.judging import HIGH, LOW, MODERATE, Criterion, at_most, judge, note
from sos_ratings.wwcsc.settings import WwcscSettings

METRIC = "assumptions"


def assumptions(evidence: Evidence, s: WwcscSettings) -> list[Criterion]:
    """Judge what an effect rests on beside the data.

    Args:
        evidence: All that may be looked at.
        s: The thresholds.
    """
    leads = leads_of(evidence)
    return [
        *trends(leads, s),
        *_breakdown(evidence, leads, s),
        *_alike(evidence, s),
        *_engines(evidence, s),
    ]


def trends(leads: Leads, s: WwcscSettings) -> list[Criterion]:
    """Judge whether trends were parallel before the programme.

    Args:
        leads: The tests that count.
        s: The thresholds.
    """
    criteria = [_overall(test, leads, s) for test in leads.overall]
    if leads.each:
        criteria.append(pilots_parallel(leads, s))
    if criteria:
        return criteria
    if leads.matched:
        text = "Comparators were chosen by the outcome before, so its trends are no test of them"
        clause = "trends before were matched on, so they test nothing"
    else:
        text = "Parallel trends before the programme could not be tested"
        clause = "parallel trends could not be tested"
    return [at_most(MODERATE, METRIC, text, clause)]


def _overall(test: LeadTest, leads: Leads, s: WwcscSettings) -> Criterion:
    assert test.p_value is not None
    parallel = test.p_value >= s.leads_level
    against = "not against" if parallel else "against"
    power = "an unknown share" if test.power is None else percent(test.power)
    text = (
        f"The joint test of all leads has {p_text(test.p_value)}, {against} parallel trends at "
        f"{s.leads_level:g}"
    )
    if not parallel:
        grade = MODERATE if leads.each else LOW
        reason = Reason(METRIC, f"{text}.", test.p_value, s.leads_level, met=False)
        return Criterion(grade, reason, "trends before were not parallel")
    found = (
        f"; it would find {power} of the drifts that matter (high needs {percent(s.leads_power)})."
    )
    sharp = test.power is not None and test.power >= s.leads_power
    reason = Reason(METRIC, text + found, test.p_value, s.leads_level)
    clause = f"the test of trends would find {power} of the drifts that matter"
    return Criterion(HIGH if sharp else MODERATE, reason, clause)


def _breakdown(evidence: Evidence, leads: Leads, s: WwcscSettings) -> list[Criterion]:
    """Judge how far trends would have to diverge to undo an effect, where bounds say so.

    Bounds of few pilots are wide, so they hold a level down from high only; those of leads that
    were matched on are no evidence, nor is there an effect to undo where none is claimed. Rambachan
    and Roth (2023), Review of Economic Studies 90(5), take 1 as the natural benchmark.
    """
    times = evidence.quality.get("breakdown_relative", math.nan)
    claim = claim_of(evidence, s.significance)
    if math.isnan(times) or leads.matched or claim is None or not claim.is_effect:
        return []
    diverging = (
        "however fast trends diverge"
        if math.isinf(times)
        else f"until trends diverge {times:.2g} times as fast as at worst before"
    )
    text = f"Bounds show the effect {diverging} (high needs at least {s.breakdown_high:g})."
    reason = Reason(METRIC, text, times, s.breakdown_high, times >= s.breakdown_high)
    clause = f"trends that diverge {times:.2g} times as fast as at worst before would undo it"
    return [Criterion(HIGH if times >= s.breakdown_high else MODERATE, reason, clause)]


def pilots_parallel(leads: Leads, s: WwcscSettings) -> Criterion:
    """Judge the share of pilots with parallel trends; untested ones count as without.

    Args:
        leads: The tests that count, some of single pilots.
        s: The thresholds.
    """
    held = pilots_held(leads.each, s.leads_level)
    n = len(leads.each) + leads.n_untested
    sentence = f"Parallel trends hold for {held} of {n} pilots with their comparators"
    if leads.n_untested:
        sentence += f"; {leads.n_untested} could not be tested and count against it"
    thresholds = (s.pilots_parallel_moderate, s.pilots_parallel_high)
    clause = f"trends before were parallel in {held} of {n} pilots"
    return judge(METRIC, sentence, held / n, thresholds, clause=clause, written=percent)


def _alike(evidence: Evidence, s: WwcscSettings) -> list[Criterion]:
    """Judge how like the compared are, and how unlike the pilots and the pool."""
    asked = (
        (
            "imbalance_units",
            "After matching, the pilots differ from their comparators by {} standard deviations in "
            "the mean outcome before any began",
            "the matched authorities differ by {} standard deviations before",
            (s.imbalance_units_moderate, s.imbalance_units_high),
        ),
        (
            "imbalance_cases",
            "After matching, their cases differ by at most {} standard deviations in a covariate",
            "the matched cases differ by {} standard deviations",
            (s.imbalance_cases_moderate, s.imbalance_cases_high),
        ),
        (
            "pilots_above_pool",
            "Before any pilot began, the pilots lay {} standard deviations from the pool: who is "
            "chosen when far out comes back by itself",
            "the pilots lay {} standard deviations from the pool before they began",
            (s.above_pool_moderate, s.above_pool_high),
        ),
    )
    return [
        judge(
            METRIC,
            sentence.format(f"{figure:.2f}"),
            figure,
            thresholds,
            at_least=False,
            clause=clause.format(f"{figure:.2f}"),
        )
        for name, sentence, clause, thresholds in asked
        if math.isfinite(figure := abs(evidence.quality.get(name, math.nan)))
    ]


def _engines(evidence: Evidence, s: WwcscSettings) -> list[Criterion]:
    """Judge how far engines of the main estimator differ; others are told of."""
    ran = [a for a in evidence.agreements if a.verdict != "not run"]
    own = [a for a in ran if a.estimator == evidence.main.estimator]
    criteria = []
    if own:
        criteria.append(_main_engines(own, evidence.main.std_error or math.nan, s))
    else:
        text = "No second engine ran the main estimator, so it is not checked"
        criteria.append(at_most(MODERATE, METRIC, text, "no second engine checked the estimate"))
    side = [a for a in ran if a.estimator != evidence.main.estimator and a.verdict == "disagree"]
    if side:
        which = listing(tuple(sorted({a.estimator for a in side})))
        text = f"Engines of {which}, which is not the main estimator, differ beyond tolerance."
        criteria.append(note(METRIC, text, float(len(side))))
    return criteria


def _main_engines(own: list[Agreement], std_error: float, s: WwcscSettings) -> Criterion:
    apart = max(in_errors(a, std_error) for a in own)
    sentence = (
        f"{counted(len(own), 'other engine')} of the main estimator "
        f"{'differs' if len(own) == 1 else 'differ'} by at most {apart:.2g} standard errors"
    )
    thresholds = (s.engines_moderate, s.engines_high)
    clause = f"engines differ by {apart:.2g} standard errors"
    return judge(METRIC, sentence, apart, thresholds, at_least=False, clause=clause)
