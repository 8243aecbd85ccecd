"""A realistic result of a study, made in memory from a seed: no source, estimator or rule runs."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.contract.types import (
    AdjustedP,
    Agreement,
    Estimate,
    Expected,
    LeadTest,
    OutcomeInfo,
    PooledEffects,
    Rating,
    Reason,
    Run,
    SmallestEffect,
    Tolerance,
)
from sos_plugins.profile.record_profile import RecordProfile
from sos_plugins.report.charts import CHARTS
from sos_plugins.study.result import MatchingStep, NamedEstimate, OutcomeResult, StudyResult

YEARS = range(2008, 2020)
PILOTS = {
    "304": "Brent",
    "801": "Bristol, City of",
    "855": "Leicestershire",
    "925": "Lincolnshire",
    "926": "Norfolk",
    "935": "Suffolk",
    "384": "Wakefield",
    "938": "West Sussex",
    "872": "Wokingham",
}
OTHERS = {
    "839": "Bournemouth, Christchurch and Poole",
    "330": "Birmingham",
    "380": "Bradford",
    "846": "Brighton and Hove",
    "305": "Bromley",
    "825": "Buckinghamshire",
    "873": "Cambridgeshire",
    "830": "Derbyshire",
    "878": "Devon",
    "307": "Ealing",
    "845": "East Sussex",
    "308": "Enfield",
    "881": "Essex",
    "916": "Gloucestershire",
    "850": "Hampshire",
    "919": "Hertfordshire",
    "886": "Kent",
    "382": "Kirklees",
    "383": "Leeds",
    "888": "Lancashire",
    "892": "Nottingham",
    "891": "Nottinghamshire",
    "931": "Oxfordshire",
    "870": "Reading",
    "357": "Tameside",
    "933": "Somerset",
    "860": "Staffordshire",
    "936": "Surrey",
    "866": "Swindon",
    "865": "Wiltshire",
    "937": "Warwickshire",
}
NAMES = {**PILOTS, **OTHERS}
STUDY = '[study]\nname = "demo"\ntitle = "Signs of Safety <draft>"\n\n[design]\nratio = 2\n'
EXACT = Tolerance(1e-8, 1e-10, "the same least squares in double precision")
LOOSE = Tolerance(1e-6, 1e-8, "the other engine maximises iteratively")


@dataclass(frozen=True)
class Story:
    """What one outcome of the made-up study shows."""

    info: OutcomeInfo
    sentence: str
    base: float
    effect: float
    error: float
    usable: float
    level: str = "low"
    direction: str = "no clear impact"
    pilots: Sequence[str] = tuple(PILOTS)


def rate(
    name: str, label: str, phrase: str, likelihood_of: str, expected: Expected = "decrease"
) -> OutcomeInfo:
    """Make an outcome that is 0 or 1."""
    return OutcomeInfo(
        name=name,
        label=label,
        phrase=phrase,
        question=f"What, if any, is the impact on {likelihood_of}?",
        binary=True,
        measure="proportion",
        expected=expected,
    )


STORIES = (
    Story(
        OutcomeInfo(
            name="assessment-duration",
            label="Duration of assessments",
            phrase="the duration of assessments",
            question="What, if any, is the impact on the duration of assessments?",
            binary=False,
            measure="working days",
            expected="unclear",
            expected_note="shorter is better if quality holds",
        ),
        "No clear evidence of an impact on the duration of assessments",
        base=32.0,
        effect=-0.4,
        error=1.1,
        usable=0.93,
    ),
    Story(
        rate(
            "rereferral",
            "Re-referral after no further action",
            "re-referral",
            "the likelihood of being referred again",
        ),
        "No moderate or high strength evidence of a clear impact on re-referral",
        base=0.21,
        effect=-0.031,
        error=0.011,
        usable=0.71,
    ),
    Story(
        rate(
            "escalation",
            "Re-referral that leads to a plan or to care",
            "re-referral that escalates",
            "re-referrals that lead to a plan or to care",
        ),
        "No moderate or high strength evidence of a clear impact on escalation",
        base=0.06,
        effect=-0.004,
        error=0.012,
        usable=0.78,
        pilots=("801", "926"),
    ),
    Story(
        rate(
            "kinship-care",
            "Kinship rather than other care",
            "kinship care",
            "the likelihood of kinship care",
            "increase",
        ),
        "Moderate strength evidence of decreased kinship care",
        base=0.44,
        effect=-0.13,
        error=0.026,
        usable=0.97,
        level="moderate",
        direction="decrease",
    ),
)


SMALLEST = SmallestEffect(0.05, "below five points no budget changes")
FURTHER = Rating(
    "another-scheme", "3", "decrease", "Level 3: decreased kinship care; one <pilot> only"
)


@contextmanager
def pictures() -> Iterator[None]:
    """Let reports have pictures, for a fixture that several tests share."""
    before = os.environ.pop(CHARTS, "")
    try:
        yield
    finally:
        os.environ[CHARTS] = before


def result_without_outcomes() -> StudyResult:
    """Make a result whose report has every kind of file and is written in a moment."""
    return replace(make_result(), outcomes=())


def make_result(*, simulated: bool = True, seed: int = 4) -> StudyResult:
    """Make a result with four outcomes, nine pilots and thirty-one other authorities."""
    return StudyResult(
        name="demo",
        title="Signs of Safety: did outcomes for children change?",
        programme="Signs of Safety",
        simulated=simulated,
        outcomes=tuple(
            make_outcome(story, np.random.default_rng([seed, i])) for i, story in enumerate(STORIES)
        ),
        pilots=make_pilots(),
        record_quality=make_record_quality(),
        profile=make_profile(),
        coverage=make_coverage(),
        truth={"effects": {s.info.name: s.effect for s in STORIES}, "seed": seed}
        if simulated
        else None,
        unit_names=NAMES,
        manifest=make_manifest(seed),
        study_toml=STUDY,
        settings={"study": {"name": "demo"}},
    )


def make_truth(seed: int) -> dict[str, Any]:
    return {"effects": {story.info.name: story.effect for story in STORIES}, "seed": seed}


def make_pilots() -> pd.DataFrame:
    rows = []
    for i, (unit, name) in enumerate(PILOTS.items()):
        start = dt.date(2014 + i % 3, 4 + 2 * (i % 3), 1)
        rows.append(
            {
                "unit": unit,
                "name": name,
                "start": start,
                "end": dt.date(start.year + 1, 3, 31),
                "cohort": start.year,
                "external_support": i % 4 == 0,
            }
        )
    return pd.DataFrame(rows)


def make_record_quality() -> pd.DataFrame:
    checks = (
        ("referrals", None, "duplicate", "dropped", lambda code: 31),
        ("referrals", "closure_reason", "unknown-code", "set to missing", lambda code: code % 7),
        ("children", "birth_date", "missing", "kept", lambda code: code % 40),
        ("assessments", "start_date", "out-of-order", "kept", lambda code: 0),
    )
    rows = [
        {
            "source": "cin-census",
            "table": table,
            "column": column,
            "check": check,
            "unit": unit,
            "period": 2014,
            "n": 2400,
            "n_flagged": flagged(int(unit)),
            "action": action,
        }
        for unit in NAMES
        for table, column, check, action, flagged in checks
    ]
    return pd.DataFrame(rows)


def make_profile() -> RecordProfile:
    """Make a profile in which two authorities lack a year and one breaks its series."""
    years, units = range(2009, 2020), sorted(NAMES)
    rows = [
        {
            "table": "referrals",
            "unit": unit,
            "period": year,
            "n": 0 if (place, year) == (20, 2012) else 800 + 7 * place,
            "n_faulty": 0 if (place, year) == (20, 2012) else (37 * place + 11 * (year % 7)) % 300,
        }
        for place, unit in enumerate(units)
        for year in years
    ]
    cells = pd.DataFrame(rows)[["unit", "period", "n", "n_faulty"]]
    place = cells["unit"].map({unit: i for i, unit in enumerate(units)})
    rule = {"column": "closure_reason", "table": "referrals", "query": False, "judged": True}
    return RecordProfile(
        completeness=pd.DataFrame(rows)[["table", "unit", "period", "n"]].assign(
            column="ethnicity", n_filled=lambda t: (0.9 * t["n"]).astype(int)
        )[lambda t: t["n"] > 0],
        faults=pd.DataFrame(rows)[["table", "unit", "period", "n"]].assign(
            fault="cin:8805", column="closure_reason", n_flagged=[r["n_faulty"] for r in rows]
        )[lambda t: t["n_flagged"] > 0],
        cells=cells.assign(
            share=cells["n_faulty"] / cells["n"].where(cells["n"] > 0),
            missing=((place == 30) & (cells["period"] == 2018)).astype(int) + (cells["n"] == 0),
            breaks=((place == 5) & (cells["period"] == 2015)).astype(int),
        ),
        rows=pd.DataFrame(rows),
        rules=pd.DataFrame(
            [
                {"fault": "cin:8805", "sentence": "The case is closed and no reason is given.",
                 "source": "The census, rule 8805", "note": "", **rule},
            ]
        )[["fault", "table", "column", "sentence", "query", "judged", "source", "note"]],
        first_year=years[0],
        last_year=years[-1],
        settings={"covered_share": 0.5},
    )  # fmt: skip


def make_coverage() -> pd.DataFrame:
    pilots = make_pilots()
    return pd.DataFrame(
        {
            "unit": pilots["unit"],
            "name": pilots["name"],
            "cohort": pilots["cohort"],
            "years_before": 6,
            "years_after": 5,
            "years_missing": 0,
            "share_before": 0.11,
            "share_after": 0.09,
            "breaks": 0,
        }
    )


def make_manifest(seed: int) -> dict[str, Any]:
    return {
        "created": "2026-01-15T10:00:00+00:00",
        "seed": seed,
        "data_hash": "9f2c" * 16,
        "study_hash": "07ab" * 16,
        "platform": "Linux 6.1, x86_64",
        "files": ["cin/304_2014.xml", "cin/801_2014.xml", "ssda903/304/episodes.csv"],
        "versions": {"python": "3.11.2", "r": "4.2.2", "numpy": "2.1.0", "sandwich": "3.0-2"},
        "plugins": [
            {"name": "did", "version": "0.1.0", "distribution": "sos-plugins"},
            {"name": "wwcsc", "version": "0.1.0", "distribution": "sos-plugins"},
        ],
    }


def make_outcome(story: Story, rng: np.random.Generator) -> OutcomeResult:
    """Make the result of one outcome from its story."""
    groups = make_groups(story, rng)
    main = make_run(story, "main", "Main analysis", 0.0, 1.0)
    runs = make_runs(story, rng)
    return OutcomeResult(
        info=story.info,
        settings={"follow_up_days": 365, "placements": ("U1", "U2", "U3"), "definition": "strict"},
        warnings=("Two authorities have fewer than ten cases a year.",),
        rating=make_rating(story),
        main=main,
        runs=(main, *runs),
        leads=make_leads(story, rng),
        pooled=make_pooled(story, runs),
        estimates=make_estimates(story, rng),
        agreements=make_agreements(story),
        trends=make_trends(story, rng),
        groups=groups,
        matching=(
            MatchingStep("nearest-units", "python", "units", "Two nearest neighbours a pilot."),
            MatchingStep("cases-propensity", "python", "cases", "Children weighted by the score."),
        ),
        scores=make_scores(rng),
        balance=make_balance(rng),
        attrition=make_attrition(),
        completeness=make_completeness(story, rng),
        quality={"share_usable": story.usable, "share_duplicates": 0.013, "n_authorities": 27},
        sample=make_sample(story, groups, rng),
        smallest_effect=SMALLEST if story.info.name == "kinship-care" else None,
        adjusted=AdjustedP(
            min(1.0, len(STORIES) * (main.p_value or 0.0)),
            "holm",
            tuple(other.info.name for other in STORIES),
        ),
        further_ratings=(FURTHER,) if story.info.name == "kinship-care" else (),
    )


def make_run(
    story: Story, family: str, label: str, shift: float, wider: float, **changes: Any
) -> Run:
    """Make a run whose estimate lies ``shift`` standard errors from the story's effect."""
    estimate, error = story.effect + shift * story.error, wider * story.error
    values: dict[str, Any] = {
        "family": family,
        "label": label,
        "estimator": "did",
        "engine": "python",
        "estimate": estimate,
        "std_error": error,
        "p_value": math.erfc(abs(estimate / error) / math.sqrt(2)),
        "conf_low": estimate - 1.96 * error,
        "conf_high": estimate + 1.96 * error,
        "n_cases": 48211,
        "n_units": 27,
        "n_treated_units": len(story.pilots),
    }
    return Run(**(values | changes))


def make_runs(story: Story, rng: np.random.Generator) -> tuple[Run, ...]:
    names = [PILOTS[unit] for unit in story.pilots]
    drop, alone, stagger = "drop-one-pilot", "single-pilot", "staggered"
    runs = [make_run(story, drop, f"without {n}", rng.normal(0, 0.4), 1.1) for n in names]
    runs += [make_run(story, alone, f"{n} alone", rng.normal(0, 1.5), 3.0) for n in names]
    runs += [
        make_run(story, "no-external-support", "without externally supported pilots", 0.8, 1.3),
        make_run(story, "no-covariates", "without covariates", 0.3, 1.05),
        make_run(story, "other-engine", "did, engine r", 0.0, 1.0, engine="r"),
        make_run(story, "other-definition", "definition wwcsc-2021", -0.2, 1.0),
        make_run(story, stagger, "callaway-santanna, not yet treated", 0.4, 1.4),
        make_run(story, stagger, "callaway-santanna, never treated", 0.5, 1.5),
        Run(
            family="other-engine",
            label="callaway-santanna, engine r-did",
            status="failed",
            reason="the R package 'did' is not installed",
        ),
    ]
    logit = make_run(story, "logit", "logit, average marginal effect", 0.1, 1.0)
    if not story.info.binary:
        reason = "the value is not binary"
        logit = Run(family="logit", label="logit", status="not applicable", reason=reason)
    return (*runs, logit)


def make_pooled(story: Story, runs: Sequence[Run]) -> PooledEffects:
    """Make pooled effects whose average is the story's, every pilot counting alike."""
    alone = [run for run in runs if run.family == "single-pilot"]
    n, error = len(alone), 1.2 * story.error
    pilots = pd.DataFrame(
        {
            "unit": list(story.pilots),
            "name": [PILOTS[unit] for unit in story.pilots],
            "estimate": [run.estimate for run in alone],
            "std_error": [run.std_error for run in alone],
            "conf_low": [run.conf_low for run in alone],
            "conf_high": [run.conf_high for run in alone],
            "weight": 1 / n,
            "shrunken": [((run.estimate or 0.0) + story.effect) / 2 for run in alone],
            "shrunken_std_error": 2 * story.error,
            "shrunken_low": [((run.estimate or 0.0) + story.effect) / 2 - error for run in alone],
            "shrunken_high": [((run.estimate or 0.0) + story.effect) / 2 + error for run in alone],
        }
    )
    return PooledEffects(
        plugin="a-pooling",
        engine="python",
        n_pilots=n,
        estimate=story.effect,
        std_error=error,
        df=n - 1,
        p_value=0.04,
        conf_low=story.effect - 2 * error,
        conf_high=story.effect + 2 * error,
        conf_level=0.95,
        tau2=(2 * story.error) ** 2,
        tau2_low=0.0,
        tau2_high=math.inf,
        i2=0.3,
        q=11.0,
        q_df=n - 1,
        q_p_value=0.2,
        prediction_low=story.effect - 5 * error,
        prediction_high=story.effect + 5 * error,
        prediction_df=n - 2,
        pilots=pilots,
        method="every pilot counts alike",
        warnings=("Nine pilots tell little of how far effects differ.",),
    )


def make_leads(story: Story, rng: np.random.Generator) -> tuple[LeadTest, ...]:
    overall = LeadTest("", 1.21, 8, 26.0, 0.33)
    each = [
        LeadTest(unit, float(rng.uniform(0.3, 3)), 5, 2.0, float(rng.uniform()))
        for unit in story.pilots[:-1]
    ]
    reason = "too few years before the start"
    return (overall, *each, LeadTest(story.pilots[-1], None, None, None, None, "failed", reason))


def make_estimates(story: Story, rng: np.random.Generator) -> tuple[NamedEstimate, ...]:
    noise = rng.normal(0, 0.6, 13)
    estimates = []
    for estimator, engines in (
        ("event-study", ("python", "r")),
        ("callaway-santanna", ("differences", "r", "r-did")),
    ):
        for k, engine in enumerate(engines):
            jitter = 0.02 * k * story.error
            estimate = event_estimate(story, noise, jitter)
            estimates.append(NamedEstimate(estimator, engine, estimate, event_study=True))
    return tuple(estimates)


def event_estimate(story: Story, noise: np.ndarray, jitter: float) -> Estimate:
    """Make an estimate with the terms event=-9 ... event=3 and the reference event=-1."""
    rows = []
    for i, event in enumerate(range(-9, 4)):
        value = noise[i] * story.error + (story.effect if event >= 0 else 0.0) + jitter
        error = 1.6 * story.error
        if event == -1:
            value, error = 0.0, math.nan
        rows.append(
            {
                "term": f"event={event}",
                "estimate": value,
                "std_error": error,
                "statistic": value / error,
                "p_value": math.erfc(abs(value / error) / math.sqrt(2)),
                "conf_low": value - 1.96 * error,
                "conf_high": value + 1.96 * error,
                "df": math.inf,
            }
        )
    glance = {"n_cases": 48211, "n_units": 27, "conf_level": 0.95, "vcov": "CR1"}
    return Estimate(pd.DataFrame(rows), glance, {"engine": "python"})


def make_agreements(story: Story) -> tuple[Agreement, ...]:
    terms = pd.DataFrame({"term": ["ATT"], "reference": [story.effect], "other": [story.effect]})
    agree = Agreement(
        outcome=story.info.name,
        estimator="did",
        engine="r",
        reference="python",
        verdict="agree",
        max_difference_estimate=3.1e-15,
        max_difference_std_error=4.2e-16,
        worst_term="ATT",
        tolerance_estimate=EXACT,
        tolerance_std_error=EXACT,
        terms=terms,
    )
    return (
        agree,
        replace(agree, estimator="event-study", worst_term="event=-4"),
        replace(
            agree,
            estimator="callaway-santanna",
            reference="differences",
            verdict="disagree",
            max_difference_estimate=2e-4,
            tolerance_estimate=LOOSE,
            reason="differs in the smallest cohort",
        ),
        replace(
            agree,
            estimator="callaway-santanna",
            engine="r-did",
            reference="differences",
            verdict="not run",
            max_difference_estimate=None,
            max_difference_std_error=None,
            worst_term="",
            reason="the R package 'did' is not installed",
            terms=pd.DataFrame(),
        ),
    )


def make_trends(story: Story, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for series, gap in (("comparators", 0.0), ("pilots", 0.05 * story.base)):
        for year in YEARS:
            phase = min(1.0, max(0.0, (year - 2014) / 2)) if series == "pilots" else 0.0
            mean = story.base + gap + 0.006 * story.base * (year - 2008) + phase * story.effect
            mean += rng.normal(0, 0.3) * story.error
            n_cases = int(rng.integers(900, 4000))
            rows.append({"series": series, "period": year, "mean": mean, "n_cases": n_cases})
    return pd.DataFrame(rows)


def make_groups(story: Story, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for pilot in story.pilots:
        for k, other in enumerate(rng.choice(list(OTHERS), 2, replace=False)):
            rows.append(
                {
                    "pilot": pilot,
                    "pilot_name": PILOTS[pilot],
                    "comparator": str(other),
                    "comparator_name": OTHERS[str(other)],
                    "distance": 0.01 * (k + 1) + float(rng.uniform(0, 0.02)),
                }
            )
    return pd.DataFrame(rows)


def make_sample(story: Story, groups: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for pilot in story.pilots:
        units = [(pilot, "pilot")]
        units += [(u, "comparator") for u in groups.loc[groups["pilot"] == pilot, "comparator"]]
        for unit, role in units:
            before = story.base + rng.normal(0, story.error)
            rows.append(
                {
                    "group": pilot,
                    "role": role,
                    "unit": unit,
                    "n_pre": int(rng.integers(300, 5000)),
                    "n_post": int(rng.integers(100, 2500)),
                    "mean_pre": before,
                    "mean_post": before + (story.effect if role == "pilot" else 0.0),
                }
            )
    return pd.DataFrame(rows)


def make_scores(rng: np.random.Generator) -> pd.DataFrame:
    treated = [unit in PILOTS for unit in NAMES]
    scores = [float(rng.beta(3.0 if pilot else 1.2, 6.0)) for pilot in treated]
    return pd.DataFrame({"unit": list(NAMES), "treated": treated, "score": scores})


HALVES = (("before", 0.3), ("after", 0.1))
"""What distances of distributions are, as shares of the difference before."""


def make_balance(rng: np.random.Generator) -> pd.DataFrame:
    ethnic = ("White", "Mixed", "Asian", "Black", "refused or not obtained", "Missing")
    names = {
        "units": ["outcome_pre_mean", *[f"outcome_pre_{y}" for y in range(2008, 2014)], "n_cases"],
        "cases": ["age", "sex=female", "disabled", "uasc", *[f"ethnicity={e}" for e in ethnic]],
    }
    rows = []
    for level, covariates in names.items():
        for name in covariates:
            before = float(rng.normal(0, 0.35))
            rows.append(
                {
                    "level": level,
                    "covariate": name,
                    "mean_treated": 0.4,
                    "mean_control_before": 0.4 - 0.1 * before,
                    "mean_control_after": 0.4 - 0.02 * before,
                    "smd_before": before,
                    "smd_after": 0.2 * before,
                    "variance_ratio_before": math.nan if "=" in name else 1.2,
                    "variance_ratio_after": math.nan if "=" in name else 1.05,
                    **{f"{d}_{time}": abs(f * before) for d in ("ks", "l1") for time, f in HALVES},
                }
            )
    return pd.DataFrame(rows)


def make_attrition() -> pd.DataFrame:
    steps = (
        ("candidates", "children who start a period of care", 131204, 0),
        ("legal status", "not under an interim or full care order", 131204, 60188),
        ("follow-up", "less than 365 days of follow-up in the data", 71016, 8120),
        ("window", "inside the embedding window", 62896, 14685),
    )
    rows = [
        {"step": s, "reason": r, "n_before": n, "n_dropped": d, "n_after": n - d}
        for s, r, n, d in steps
    ]
    return pd.DataFrame(rows)


def make_completeness(story: Story, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for unit in NAMES:
        level = min(0.995, max(0.3, rng.normal(story.usable, 0.05)))
        for year in YEARS:
            n = int(rng.integers(60, 900))
            share = min(1.0, max(0.0, rng.normal(level, 0.02)))
            rows.append(
                {"unit": unit, "period": year, "n_candidates": n, "n_usable": round(n * share)}
            )
    return pd.DataFrame(rows)


def make_rating(story: Story) -> Rating:
    good = story.usable > 0.9
    thresholds = {"share_usable_moderate": 0.9, "same_sign_moderate": 0.9, "lead_p_value": 0.05}
    return Rating(
        rule="wwcsc",
        level=story.level,
        direction=story.direction,
        sentence=story.sentence,
        thresholds=thresholds,
        reasons=(
            Reason(
                "data quality",
                f"{story.usable:.0%} of the records of the population could be used",
                story.usable,
                0.9,
                good,
            ),
            Reason(
                "robustness",
                "Bristol alone changes the sign of the estimate"
                if story.level == "low"
                else "Every other specification has the sign of the main estimate",
                0.82 if story.level == "low" else 1.0,
                0.9,
                story.level != "low",
            ),
            Reason(
                "assumptions",
                "The leads are jointly zero as far as the data tell",
                0.33,
                0.05,
                True,
            ),
            Reason("precision", "The estimate has a confidence interval", None, None, True),
        ),
    )
