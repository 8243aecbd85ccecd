"""The first edition: the criteria and the sentences in the manner of the 2021 evaluation.

That evaluation rated strength by two metrics, the quality of the data and how far results change
under sensitivity analysis. A null reads as "no clear impact" here, however wide its interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from sos_plugins import Evidence, Rating, Reason, Run
from sos_ratings.facts import ENGINE_FAMILY, PART_FAMILY, leads_of, signed, significant
from sos_ratings.wording import p_text, percent
from sos_ratings.wwcsc.assumptions import pilots_parallel
from sos_ratings.wwcsc.judging import (
    HIGH,
    LEVELS,
    LOW,
    MODERATE,
    Criterion,
    at_most,
    judge,
    lowest,
)
from sos_ratings.wwcsc.precision import pilots_analysed
from sos_ratings.wwcsc.records import covered, rows_at_fault, shift
from sos_ratings.wwcsc.settings import WwcscSettings

UNCLEAR = "no clear impact"


def rate(evidence: Evidence, settings: WwcscSettings) -> Rating:
    """Rate one outcome; without a main estimate the evidence is low.

    Args:
        evidence: All that may be looked at.
        settings: The thresholds.
    """
    thresholds = settings.model_dump()
    if evidence.main.estimate is None or evidence.main.p_value is None:
        text = f"There is no main estimate: {evidence.main.reason}"
        sentence = f"No evidence on {evidence.info.phrase}: it could not be estimated"
        reasons = (Reason("precision", text, met=False),)
        return Rating("wwcsc", "low", UNCLEAR, sentence, reasons, thresholds)
    criteria = [
        *_data_quality(evidence, settings),
        *_robustness(evidence, settings),
        *_assumptions(evidence, settings),
        pilots_analysed(evidence, settings),
    ]
    level = LEVELS[lowest(criteria)]
    told = significant(evidence.main, settings.significance)
    return Rating(
        rule="wwcsc",
        level=level,
        direction=_direction(evidence.main, level, told=told),
        sentence=_sentence(evidence, level, criteria, told=told),
        reasons=(_precision(evidence, settings), *(c.told() for c in criteria)),
        thresholds=thresholds,
    )


def _data_quality(evidence: Evidence, s: WwcscSettings) -> list[Criterion]:
    quality, metric = evidence.quality, "data quality"
    if "usable_share" not in quality:
        return [at_most(MODERATE, metric, "The share of records that could be judged is not known")]
    whole, worst = quality["usable_share"], quality["usable_share_worst"]
    return [
        judge(
            metric,
            f"{percent(whole)} of the records of the population could be judged",
            whole,
            (s.usable_moderate, s.usable_high),
            written=percent,
        ),
        judge(
            metric,
            f"{percent(worst)} in the authority where it is lowest",
            worst,
            (s.worst_moderate, s.worst_high),
            written=percent,
        ),
        *covered(quality, s),
        *shift(quality, s),
        *rows_at_fault(quality, s),
    ]


def _robustness(evidence: Evidence, s: WwcscSettings) -> list[Criterion]:
    main, metric = evidence.main, "robustness"
    tried = [r for r in evidence.runs if r.status != "not applicable"]
    tried = [r for r in tried if r.family != ENGINE_FAMILY]
    wholes = [r for r in tried if r.family != PART_FAMILY]
    if not any(r.estimate is not None for r in wholes):
        text = "No sensitivity run gave an estimate, so robustness is not known"
        return [at_most(LOW, metric, text)]
    number = judge(
        metric,
        f"The main specification was varied in {len(wholes)} runs",
        float(len(wholes)),
        (s.runs_moderate, s.runs_high),
    )
    parts = [r for r in tried if r.family == PART_FAMILY and significant(r, s.significance)]
    criteria = [number, _same(main, [*wholes, *parts], wholes, s)]
    if significant(main, s.significance):
        criteria.append(_significant(main, wholes, s))
    return [*criteria, _change(main, [r for r in wholes if r.estimate is not None], s)]


def _same(main: Run, runs: Sequence[Run], wholes: Sequence[Run], s: WwcscSettings) -> Criterion:
    same = sum(signed(r) == signed(main) for r in runs) / len(runs)
    failed = sum(r.estimate is None for r in wholes)
    lost = f" ({failed} failed and count against it)" if failed else ""
    sentence = f"{percent(same)} of {len(runs)} runs have the direction of the main run{lost}"
    bounds = (s.same_direction_moderate, s.same_direction_high)
    return judge("robustness", sentence, same, bounds, written=percent)


def _significant(main: Run, wholes: Sequence[Run], s: WwcscSettings) -> Criterion:
    told = [significant(r, s.significance) and signed(r) == signed(main) for r in wholes]
    share = sum(told) / len(wholes)
    sentence = f"{percent(share)} of {len(wholes)} runs show a significant effect in it"
    bounds = (s.significant_moderate, s.significant_high)
    return judge("robustness", sentence, share, bounds, written=percent)


def _change(main: Run, runs: Sequence[Run], s: WwcscSettings) -> Criterion:
    """Judge the largest change, in units of the main estimate (or of its SE, if larger)."""
    assert main.estimate is not None
    error = main.std_error or 0.0
    unit = max(abs(main.estimate), error) or 1.0
    of_what = "its size" if abs(main.estimate) >= error else "its standard error"
    worst = max(runs, key=lambda r: abs((r.estimate or 0.0) - (main.estimate or 0.0)))
    change = abs((worst.estimate or 0.0) - main.estimate) / unit
    sentence = f"The estimate changes most, by {percent(change)} of {of_what}, in: {worst.label}"
    bounds = (s.change_moderate, s.change_high)
    return judge("robustness", sentence, change, bounds, at_least=False, written=percent)


def _assumptions(evidence: Evidence, s: WwcscSettings) -> list[Criterion]:
    leads, metric = leads_of(evidence, weigh_matched=True), "assumptions"
    criteria = []
    for test in leads.overall:
        assert test.p_value is not None
        parallel = test.p_value >= s.leads_level
        against = "not against" if parallel else "against"
        text = (
            f"The joint test of all leads has {p_text(test.p_value)}, {against} parallel trends at "
            f"{s.leads_level:g}."
        )
        grade = HIGH if parallel else (MODERATE if leads.each else LOW)
        reason = Reason(metric, text, test.p_value, s.leads_level, parallel)
        criteria.append(Criterion(grade, reason))
    if leads.each:
        criteria.append(pilots_parallel(leads, s))
    if not criteria:
        text = "Parallel trends before the programme could not be tested"
        criteria.append(at_most(MODERATE, metric, text))
    return [*criteria, *_engines(evidence)]


def _engines(evidence: Evidence) -> list[Criterion]:
    ran = [a for a in evidence.agreements if a.verdict != "not run"]
    disagree = [a for a in ran if a.verdict == "disagree"]
    if disagree:
        text = f"{len(disagree)} of {len(ran)} cross-checks between engines disagree: low."
        reason = Reason("assumptions", text, float(len(disagree)), 0.0, met=False)
        return [Criterion(LOW, reason)]
    if not any(a.estimator == evidence.main.estimator for a in ran):
        text = "No second engine ran the main estimator, so it is not checked: moderate at most."
        return [Criterion(MODERATE, Reason("assumptions", text, 0.0, 1.0, met=False))]
    return []


def _precision(evidence: Evidence, s: WwcscSettings) -> Reason:
    p_value = evidence.main.p_value
    assert p_value is not None
    clear = p_value < s.significance
    verb = "differs" if clear else "cannot be told"
    text = f"The main estimate {verb} from zero ({p_text(p_value)}, threshold {s.significance:g})."
    return Reason("precision", text, p_value, s.significance, clear)


def _direction(main: Run, level: str, *, told: bool) -> str:
    if level == "low" or not told:
        return UNCLEAR
    return "increase" if signed(main) > 0 else "decrease"


def _sentence(evidence: Evidence, level: str, criteria: Sequence[Criterion], *, told: bool) -> str:
    """Write the verdict as the 2021 summary table would."""
    phrase = evidence.info.phrase
    if level != "low" and told:
        verb = "increased" if signed(evidence.main) > 0 else "decreased"
        return f"{level.capitalize()} strength evidence of {verb} {phrase}"
    if level != "low":
        return f"{level.capitalize()} strength evidence of no clear impact on {phrase}"
    low = {c.reason.metric for c in criteria if c.grade == LOW}
    if {"data quality", "assumptions"} <= low:
        return f"No moderate or high strength evidence of clear impact on {phrase}"
    if low & {"data quality", "assumptions"}:
        return f"No moderate or high strength evidence, with no clear impact on {phrase}"
    return f"No clear evidence on the impact on {phrase}"
