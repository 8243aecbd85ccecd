"""Strength of evidence in the manner of the 2021 Signs of Safety evaluation.

That evaluation rated strength by two metrics, the quality of the data and how far results change
under sensitivity analysis, and did not publish thresholds. The thresholds here are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from sos_plugins import Evidence, LeadTest, Rating, RatingRule, Reason, Run, Settings, hookimpl

LEVELS = ("low", "moderate", "high")
ENGINE_FAMILY = "other-engine"
PART_FAMILIES = frozenset({"single-pilot"})


class WwcscSettings(Settings):
    """Thresholds; shares run from 0 to 1."""

    significance: float = Field(
        0.05, gt=0, lt=1, description="p value below which an effect counts"
    )
    usable_moderate: float = Field(
        0.75, ge=0, le=1, description="least share of records that can be judged: moderate"
    )
    usable_high: float = Field(
        0.95, ge=0, le=1, description="least share of records that can be judged: high"
    )
    worst_moderate: float = Field(
        0.5, ge=0, le=1, description="the same in the worst authority: moderate"
    )
    worst_high: float = Field(0.9, ge=0, le=1, description="the same in the worst authority: high")
    shift_moderate: float = Field(
        0.1, ge=0, le=1, description="largest shift of that share in the pilots: moderate"
    )
    shift_high: float = Field(
        0.02, ge=0, le=1, description="largest shift of that share in the pilots: high"
    )
    faulty_moderate: float = Field(
        0.25, ge=0, le=1, description="largest share of rows at fault in the pilots: moderate"
    )
    faulty_high: float = Field(
        0.05, ge=0, le=1, description="largest share of rows at fault in the pilots: high"
    )
    covered_moderate: float = Field(
        0.6, ge=0, le=1, description="least share of the planned pilots analysed: moderate"
    )
    covered_high: float = Field(
        0.9, ge=0, le=1, description="least share of the planned pilots analysed: high"
    )
    runs_moderate: int = Field(3, ge=1, description="least number of sensitivity runs: moderate")
    runs_high: int = Field(10, ge=1, description="least number of sensitivity runs: high")
    same_direction_moderate: float = Field(
        0.9, ge=0, le=1, description="least share of runs with the main direction: moderate"
    )
    same_direction_high: float = Field(
        1.0, ge=0, le=1, description="least share of runs with the main direction: high"
    )
    significant_moderate: float = Field(
        0.8, ge=0, le=1, description="least share of runs that are significant: moderate"
    )
    significant_high: float = Field(
        1.0, ge=0, le=1, description="least share of runs that are significant: high"
    )
    change_moderate: float = Field(
        0.5, ge=0, description="largest change of the estimate, relative to the main: moderate"
    )
    change_high: float = Field(
        0.25, ge=0, description="largest change of the estimate, relative to the main: high"
    )
    leads_level: float = Field(
        0.05, gt=0, lt=1, description="p value below which leads speak against parallel trends"
    )
    pilots_parallel_moderate: float = Field(
        0.6, ge=0, le=1, description="least share of pilots with parallel trends: moderate"
    )
    pilots_parallel_high: float = Field(
        0.9, ge=0, le=1, description="least share of pilots with parallel trends: high"
    )
    pilots_moderate: int = Field(4, ge=1, description="least number of pilots analysed: moderate")
    pilots_high: int = Field(20, ge=1, description="least number of pilots analysed: high")

    @model_validator(mode="after")
    def _ordered(self) -> WwcscSettings:
        """High may never ask for less than moderate."""
        for name in (
            "usable",
            "worst",
            "covered",
            "runs",
            "same_direction",
            "significant",
            "pilots_parallel",
            "pilots",
        ):
            if getattr(self, f"{name}_high") < getattr(self, f"{name}_moderate"):
                raise ValueError(f"{name}_high must be at least {name}_moderate")
        for name in ("shift", "faulty", "change"):
            if getattr(self, f"{name}_high") > getattr(self, f"{name}_moderate"):
                raise ValueError(f"{name}_high must be at most {name}_moderate")
        return self


class Wwcsc(RatingRule):
    """Strength of evidence: low, moderate or high.

    The level is the lowest that any criterion allows: data quality (share of records that can be
    judged, overall and in the worst authority, and its shift; rows at fault in the pilots),
    robustness (runs with the same
    direction, significant runs, largest change), assumptions (leads, pilots with parallel trends,
    engines that agree) and the number of pilots. Runs of single pilots count for the direction
    only when they are significant, since each is too small to be precise.
    """

    name: ClassVar[str] = "wwcsc"
    label: ClassVar[str] = "Strength of evidence from data quality and robustness"
    Settings: ClassVar[type[Settings]] = WwcscSettings
    citation: ClassVar[str] = (
        "What Works for Children's Social Care (2021), Signs of Safety evaluation; thresholds ours"
    )
    levels: ClassVar[tuple[str, ...]] = LEVELS

    def rate(self, evidence: Evidence, settings: WwcscSettings) -> Rating:
        """Rate one outcome; without a main estimate the evidence is low."""
        thresholds = settings.model_dump()
        if evidence.main.estimate is None or evidence.main.p_value is None:
            reason = Reason(
                "precision", f"There is no main estimate: {evidence.main.reason}", met=False
            )
            sentence = f"No evidence on {evidence.info.phrase}: it could not be estimated"
            return Rating(self.name, "low", "no clear impact", sentence, (reason,), thresholds)
        judged = [
            *_data_quality(evidence, settings),
            *_robustness(evidence, settings),
            *_assumptions(evidence, settings),
            *_size(evidence, settings),
        ]
        level = LEVELS[min(grade for grade, _ in judged)]
        significant = evidence.main.p_value < settings.significance
        return Rating(
            rule=self.name,
            level=level,
            direction=_direction(evidence.main, level, significant=significant),
            sentence=_sentence(evidence, level, _groups(judged), significant=significant),
            reasons=tuple(reason for _, reason in [_precision(evidence, settings), *judged]),
            thresholds=thresholds,
        )


Judged = tuple[int, Reason]


def _grade(figure: float, moderate: float, high: float, *, at_least: bool) -> int:
    """Return 0, 1 or 2: the highest level whose threshold the figure meets."""
    if not math.isfinite(figure):
        return 0
    met = [(figure >= t) if at_least else (figure <= t) for t in (moderate, high)]
    return 2 if met[1] else 1 if met[0] else 0


def _judge(
    metric: str,
    sentence: str,
    figure: float,
    moderate: float,
    high: float,
    *,
    at_least: bool = True,
) -> Judged:
    grade = _grade(figure, moderate, high, at_least=at_least)
    bound = "at least" if at_least else "at most"
    needs = f"moderate needs {bound} {moderate:g}, high {high:g}"
    text = f"{sentence} ({needs}): {LEVELS[grade]}."
    return grade, Reason(metric, text, figure, moderate, grade > 0)


def _data_quality(evidence: Evidence, s: WwcscSettings) -> list[Judged]:
    quality = evidence.quality
    if "usable_share" not in quality:
        text = "The share of records that could be judged is not known: moderate at most."
        return [(1, Reason("data quality", text))]
    found = [
        _judge(
            "data quality",
            f"{_percent(quality['usable_share'])} of the records of the population could be judged",
            quality["usable_share"],
            s.usable_moderate,
            s.usable_high,
        ),
        _judge(
            "data quality",
            f"{_percent(quality['usable_share_worst'])} in the authority where it is lowest",
            quality["usable_share_worst"],
            s.worst_moderate,
            s.worst_high,
        ),
    ]
    covered = quality.get("pilots_covered", math.nan)
    if math.isfinite(covered):
        sentence = f"{_percent(covered)} of the pilots of the design could be analysed"
        found.append(_judge("data quality", sentence, covered, s.covered_moderate, s.covered_high))
    shift = quality.get("usable_shift", math.nan)
    if math.isfinite(shift):
        sentence = (
            f"That share moved by {100 * shift:+.1f} points in the pilots after their windows, "
            "compared with their comparators"
        )
        found.append(
            _judge(
                "data quality", sentence, abs(shift), s.shift_moderate, s.shift_high, at_least=False
            )
        )
    return [*found, *_rows_at_fault(quality, s)]


def _rows_at_fault(quality: Mapping[str, float], s: WwcscSettings) -> list[Judged]:
    """Judge the share of rows at fault in the pilots, before or after, whichever is larger."""
    names = {
        "faulty_share_before": "before their windows",
        "faulty_share_after": "from then on",
    }
    shares = {
        when: quality[n] for n, when in names.items() if math.isfinite(quality.get(n, math.nan))
    }
    if not shares:
        return []
    told = " and ".join(f"{_percent(share)} {when}" for when, share in shares.items())
    sentence = f"Of the rows that the outcome reads in the pilots, at fault are {told}"
    worst = max(shares.values())
    judged = _judge(
        "data quality", sentence, worst, s.faulty_moderate, s.faulty_high, at_least=False
    )
    return [judged]


def _robustness(evidence: Evidence, s: WwcscSettings) -> list[Judged]:
    main = evidence.main
    tried = [r for r in evidence.runs if r.status != "not applicable"]
    tried = [r for r in tried if r.family != ENGINE_FAMILY]
    wholes = [r for r in tried if r.family not in PART_FAMILIES]
    if not any(r.estimate is not None for r in wholes):
        text = "No sensitivity run gave an estimate, so robustness is not known: low."
        return [(0, Reason("robustness", text, met=False))]
    parts = [r for r in tried if r.family in PART_FAMILIES and _significant(r, s)]
    signed = [*wholes, *parts]
    same = sum(_sign(r) == _sign(main) for r in signed) / len(signed)
    significant = sum(_significant(r, s) and _sign(r) == _sign(main) for r in wholes) / len(wholes)
    failed = sum(r.estimate is None for r in wholes)
    lost = f" ({failed} failed and count against it)" if failed else ""
    found = [
        _judge(
            "robustness",
            f"The main specification was varied in {len(wholes)} runs",
            float(len(wholes)),
            s.runs_moderate,
            s.runs_high,
        ),
        _judge(
            "robustness",
            f"{_percent(same)} of {len(signed)} runs have the direction of the main run{lost}",
            same,
            s.same_direction_moderate,
            s.same_direction_high,
        ),
    ]
    if _significant(main, s):
        found.append(
            _judge(
                "robustness",
                f"{_percent(significant)} of {len(wholes)} runs show a significant effect in it",
                significant,
                s.significant_moderate,
                s.significant_high,
            )
        )
    return [*found, _change(main, [r for r in wholes if r.estimate is not None], s)]


def _change(main: Run, runs: Sequence[Run], s: WwcscSettings) -> Judged:
    """Judge the largest change, in units of the main estimate (or of its SE, if larger)."""
    assert main.estimate is not None
    error = main.std_error or 0.0
    unit = max(abs(main.estimate), error) or 1.0
    of_what = "its size" if abs(main.estimate) >= error else "its standard error"
    worst = max(runs, key=lambda r: abs((r.estimate or 0.0) - (main.estimate or 0.0)))
    change = abs((worst.estimate or 0.0) - main.estimate) / unit
    sentence = f"The estimate changes most, by {_percent(change)} of {of_what}, in: {worst.label}"
    return _judge("robustness", sentence, change, s.change_moderate, s.change_high, at_least=False)


def _assumptions(evidence: Evidence, s: WwcscSettings) -> list[Judged]:
    found: list[Judged] = []
    overall = [t for t in evidence.leads if not t.pilot and t.p_value is not None]
    each = [t for t in evidence.leads if t.pilot and t.p_value is not None]
    for test in overall:
        assert test.p_value is not None
        parallel = test.p_value >= s.leads_level
        text = (
            f"The joint test of all leads has {_p(test.p_value)}, "
            + ("not against" if parallel else "against")
            + f" parallel trends at {s.leads_level:g}."
        )
        grade = 2 if parallel else (1 if each else 0)
        found.append((grade, Reason("assumptions", text, test.p_value, s.leads_level, parallel)))
    if each:
        untested = [t for t in evidence.leads if t.pilot and t.p_value is None]
        found.append(_pilots_parallel(each, len(untested), s))
    if not found:
        text = "Parallel trends before the programme could not be tested: moderate at most."
        found.append((1, Reason("assumptions", text, met=False)))
    disagree = [a for a in evidence.agreements if a.verdict == "disagree"]
    ran = [
        a
        for a in evidence.agreements
        if a.verdict != "not run" and a.estimator == evidence.main.estimator
    ]
    if disagree:
        n = len([a for a in evidence.agreements if a.verdict != "not run"])
        text = f"{len(disagree)} of {n} cross-checks between engines disagree: low."
        found.append((0, Reason("assumptions", text, float(len(disagree)), 0.0, met=False)))
    elif not ran:
        text = "No second engine ran the main estimator, so it is not checked: moderate at most."
        found.append((1, Reason("assumptions", text, 0.0, 1.0, met=False)))
    return found


def _pilots_parallel(each: Sequence[LeadTest], n_untested: int, s: WwcscSettings) -> Judged:
    """Judge the share of pilots with parallel trends; the level is shared among the pilots.

    With k pilots tested at level a, chance alone rejects one of them with probability near k * a,
    so each pilot's p value is compared with a / k (Bonferroni).
    """
    level = s.leads_level / len(each)
    held = [t for t in each if t.p_value is not None and t.p_value >= level]
    n = len(each) + n_untested
    share = len(held) / n
    sentence = f"Parallel trends hold for {len(held)} of {n} pilots with their comparators"
    if n_untested:
        sentence += f"; {n_untested} could not be tested and count against it"
    return _judge(
        "assumptions", sentence, share, s.pilots_parallel_moderate, s.pilots_parallel_high
    )


def _size(evidence: Evidence, s: WwcscSettings) -> list[Judged]:
    n = evidence.main.n_treated_units or 0
    return [
        _judge("precision", f"{n} pilots were analysed", float(n), s.pilots_moderate, s.pilots_high)
    ]


def _precision(evidence: Evidence, s: WwcscSettings) -> Judged:
    main = evidence.main
    assert main.p_value is not None
    clear = main.p_value < s.significance
    verb = "differs" if clear else "cannot be told"
    text = f"The main estimate {verb} from zero ({_p(main.p_value)}, threshold {s.significance:g})."
    return (0, Reason("precision", text, main.p_value, s.significance, clear))


def _groups(judged: Sequence[Judged]) -> dict[str, int]:
    """Return the lowest grade by metric."""
    lowest: dict[str, int] = {}
    for grade, reason in judged:
        lowest[reason.metric] = min(grade, lowest.get(reason.metric, 2))
    return lowest


def _direction(main: Run, level: str, *, significant: bool) -> str:
    if level == "low" or not significant:
        return "no clear impact"
    return "increase" if _sign(main) > 0 else "decrease"


def _sentence(evidence: Evidence, level: str, lowest: dict[str, int], *, significant: bool) -> str:
    """Write the verdict as the 2021 summary table would."""
    phrase = evidence.info.phrase
    if level != "low" and significant:
        verb = "increased" if _sign(evidence.main) > 0 else "decreased"
        return f"{level.capitalize()} strength evidence of {verb} {phrase}"
    if level != "low":
        return f"{level.capitalize()} strength evidence of no clear impact on {phrase}"
    if lowest.get("data quality") == 0 and lowest.get("assumptions") == 0:
        return f"No moderate or high strength evidence of clear impact on {phrase}"
    if lowest.get("data quality") == 0 or lowest.get("assumptions") == 0:
        return f"No moderate or high strength evidence, with no clear impact on {phrase}"
    return f"No clear evidence on the impact on {phrase}"


def _sign(run: Run) -> int:
    value = run.estimate or 0.0
    return (value > 0) - (value < 0)


def _significant(run: Run, s: WwcscSettings) -> bool:
    return run.p_value is not None and run.p_value < s.significance


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _percent(share: float) -> str:
    """Write a share in whole per cent, or to one decimal where that would round to 100."""
    if not math.isfinite(share):
        return "an unknown share"
    return f"{100 * share:.1f}%" if 0.995 <= share < 1 else f"{100 * share:.0f}%"


@hookimpl
def register_rating_rules(register):  # type: ignore[no-untyped-def]
    """Register the rule."""
    register(Wwcsc())
