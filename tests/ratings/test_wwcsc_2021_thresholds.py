"""The first edition of the rating of a study, at each threshold and one step to either side.

The evidence is what a study gives; only the figure that a threshold is about is moved. The
thresholds are those of docs/rating.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import study_helpers
from sos_ratings.wwcsc import LEVELS, Wwcsc, WwcscSettings

from sos_plugins import Agreement, Evidence, LeadTest, Rating, Reason, Run, Tolerance
from sos_plugins.host.settings import validate
from sos_plugins.study.result import OutcomeResult
from sos_plugins.study.study import Study

SEED = 11
"""Seed of cases in which one pilot's leads have a p value between 0.05 / 5 and 0.05."""
FAMILIES = '[sensitivity]\nfamilies = ["drop-one-pilot", "single-pilot", "no-covariates"]\n\n'
STAGGERED = """[[estimators]]
plugin = "callaway-santanna"
aggregate = "event"
engines = ["python"]
covariates = "none"
"""
RATING = f'{FAMILIES}[rating]\nstyle = "wwcsc-2021"'
TEXT = study_helpers.STUDY.replace(STAGGERED, "").replace("[rating]", RATING)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> OutcomeResult:
    cases = study_helpers.table(cases=6, seed=SEED)
    path = study_helpers.write(tmp_path_factory.mktemp("study"), TEXT, cases)
    (found,) = Study.from_toml(path).run(workers=1).outcomes
    assert not found.error
    return found


@pytest.fixture(scope="module")
def evidence(outcome: OutcomeResult) -> Evidence:
    """The evidence of the study, with the pilots, runs and engines that "high" asks for."""
    assert outcome.main is not None
    main = replace(outcome.main, n_treated_units=25)
    wholes = tuple(r for r in outcome.runs[1:] if r.family == "drop-one-pilot") * 2
    tolerance = Tolerance(1e-8, 1e-10, "test")
    agrees = Agreement(
        "tidy-value", "did", "r", "python", "agree", 0.0, 0.0, "ATT", tolerance, tolerance
    )
    return Evidence(outcome.info, main, wholes, outcome.leads, outcome.quality, (agrees,))


def rate(evidence: Evidence, **settings: Any) -> Rating:
    values = {"style": "wwcsc-2021", **settings}
    return Wwcsc().rate(evidence, validate(WwcscSettings, values, where="test"))


def reason_with(rating: Rating, words: str) -> Reason:
    (found,) = [reason for reason in rating.reasons if words in reason.sentence]
    return found


def test_the_evidence_of_the_study_itself(outcome: OutcomeResult) -> None:
    """Five pilots whose outcome falls by two, and one engine."""
    rating = outcome.rating
    assert rating is not None
    assert rating.level == "moderate"
    said = [reason.sentence for reason in rating.reasons]
    wholes = [r for r in outcome.runs[1:] if r.family != "single-pilot"]
    parts = [r for r in outcome.runs[1:] if r.family == "single-pilot" and r.p_value < 0.05]
    for words in (
        "The main estimate differs from zero (p < 0.001, threshold 0.05).",
        "100% of the records of the population could be judged",
        f"The main specification was varied in {len(wholes)} runs",
        f"100% of {len(wholes) + len(parts)} runs have the direction of the main run (",
        f"100% of {len(wholes)} runs show a significant effect in it",
        "No second engine ran the main estimator",
        "5 pilots were analysed (moderate needs at least 4, high 20): moderate.",
    ):
        assert any(words in sentence for sentence in said), words


def test_the_level_is_shared_among_the_pilots(outcome: OutcomeResult) -> None:
    """One of five pilots rejects at 0.05 but not at 0.05 / 5: by chance, one of five may."""
    of_pilots = {test.pilot: test.p_value for test in outcome.leads if test.pilot}
    assert set(of_pilots) == set(study_helpers.PILOTS)
    assert [p for p in of_pilots.values() if p is not None and 0.01 < p < 0.05]
    assert all(p is not None and p > 0.01 for p in of_pilots.values())
    assert outcome.rating is not None
    reason = reason_with(outcome.rating, "Parallel trends hold")
    assert "hold for 5 of 5 pilots" in reason.sentence
    assert reason.figure == 1.0


def test_pilots_that_move_before_the_programme_count_against_it(tmp_path: Path) -> None:
    cases = study_helpers.table(cases=6, seed=SEED)
    early = cases["unit"].isin(["901", "902"]) & (cases["period"] < 2012)
    cases.loc[early, "value"] += 3.0
    path = study_helpers.write(tmp_path, TEXT, cases)
    (found,) = Study.from_toml(path).run(workers=1).outcomes
    assert found.rating is not None
    reason = reason_with(found.rating, "Parallel trends hold for 3 of 5 pilots")
    assert (reason.figure, reason.met) == (0.6, True)
    assert reason.sentence.endswith(": moderate.")


# One criterion at a time --------------------------------------------------------------------------

Change = Callable[[Evidence, float], Evidence]


def quality(*names: str) -> Change:
    return lambda e, value: replace(e, quality={**e.quality, **dict.fromkeys(names, value)})


def shift_down(e: Evidence, value: float) -> Evidence:
    return quality("usable_shift")(e, -value)


def number_of_runs(e: Evidence, value: float) -> Evidence:
    return replace(e, runs=(e.runs * 2)[: int(value)])


def of_a_hundred(e: Evidence, n: float, **other: Any) -> Evidence:
    """Runs of which so many are as the main run, the others otherwise."""
    like_main = replace(e.runs[0], estimate=e.main.estimate, p_value=0.01)
    changed = replace(like_main, **other)
    return replace(e, runs=(like_main,) * round(n) + (changed,) * (100 - round(n)))


def near_zero(e: Evidence) -> Evidence:
    """An estimate so small beside its standard error that the other sign is no large change."""
    return replace(e, main=replace(e.main, estimate=-0.1, std_error=1.0, p_value=0.9))


def same_direction(e: Evidence, percent: float) -> Evidence:
    return of_a_hundred(near_zero(e), percent, estimate=0.1)


def not_zero(e: Evidence, percent: float) -> Evidence:
    return of_a_hundred(near_zero(e), percent, estimate=0.0)


def significant(e: Evidence, percent: float) -> Evidence:
    return of_a_hundred(e, percent, p_value=0.05)


def moved(e: Evidence, change: float) -> Evidence:
    """The estimates are -2, with a run that is nearer to 0."""
    main = replace(e.main, estimate=-2.0, std_error=0.1, p_value=0.001)
    runs = [
        replace(r, estimate=-2.0 + 2.0 * c) for r, c in zip(e.runs, (change, 0.01) * 5, strict=True)
    ]
    return replace(e, main=main, runs=tuple(runs))


def moved_out(e: Evidence, change: float) -> Evidence:
    """The estimates are 0.5, the standard error 2, and a run lies further out."""
    main = replace(e.main, estimate=0.5, std_error=2.0, p_value=0.8)
    runs = [
        replace(r, estimate=0.5 + 2.0 * c) for r, c in zip(e.runs, (-0.01, change) * 5, strict=True)
    ]
    return replace(e, main=main, runs=tuple(runs))


def parallel(e: Evidence, tenths: float) -> Evidence:
    """Ten pilots, so many of them on the shared level and the others just below it."""
    test = next(t for t in e.leads if t.pilot)
    held, broken = (replace(test, p_value=p) for p in (0.05 / 10, math.nextafter(0.05 / 10, 0)))
    n = round(tenths)
    return replace(e, leads=(held,) * n + (broken,) * (10 - n))


def parallel_or_untested(e: Evidence, tenths: float) -> Evidence:
    """Ten pilots, of which some could not be tested."""
    test = next(t for t in e.leads if t.pilot)
    untested = LeadTest("9", None, None, None, None, "failed", "r")
    n = round(tenths)
    return replace(e, leads=(replace(test, p_value=0.5),) * n + (untested,) * (10 - n))


def pilots(e: Evidence, n: float) -> Evidence:
    return replace(e, main=replace(e.main, n_treated_units=round(n)))


STEP = 1e-9
CRITERIA: dict[str, tuple[str, Change, float, float, float]] = {
    # words of the reason, what moves, moderate, high, one step to the better side
    "usable": ("of the records of the", quality("usable_share"), 0.75, 0.95, STEP),
    "worst": ("where it is lowest", quality("usable_share_worst"), 0.5, 0.9, STEP),
    "covered": ("of the pilots of the design", quality("pilots_covered"), 0.6, 0.9, STEP),
    "shift": ("usable records moved", quality("usable_shift"), 0.1, 0.02, -STEP),
    "shift down": ("usable records moved", shift_down, 0.1, 0.02, -STEP),
    "faulty before": ("at fault are", quality("faulty_share_before"), 0.25, 0.05, -STEP),
    "faulty after": ("at fault are", quality("faulty_share_after"), 0.25, 0.05, -STEP),
    "runs": ("was varied in", number_of_runs, 3, 10, 1),
    "same direction": ("have the direction", same_direction, 90, 100, 1),
    "no direction": ("have the direction", not_zero, 90, 100, 1),
    "significant": ("show a significant effect", significant, 80, 100, 1),
    "change": ("changes most", moved, 0.5, 0.25, -STEP),
    "change in errors": ("changes most", moved_out, 0.5, 0.25, -STEP),
    "parallel": ("Parallel trends hold", parallel, 6, 9, 1),
    "untested": ("Parallel trends hold", parallel_or_untested, 6, 9, 1),
    "pilots": ("pilots were analysed", pilots, 4, 20, 1),
}


def grades(name: str) -> list[tuple[float, int]]:
    _, _, moderate, high, step = CRITERIA[name]
    return [
        (moderate - step, 0), (moderate, 1), (moderate + step, 1),
        (high - step, 1), (high, 2),
        *([(high + step, 2)] if high + step <= 1 or (step == 1 and high < 100) else []),
    ]  # fmt: skip


AT = [(name, value, grade) for name in CRITERIA for value, grade in grades(name)]


@pytest.mark.parametrize(("name", "value", "grade"), AT)
def test_each_threshold_is_met_where_it_lies(
    evidence: Evidence, name: str, value: float, grade: int
) -> None:
    words, change, _, _, _ = CRITERIA[name]
    rating = rate(change(evidence, value))
    reason = reason_with(rating, words)
    assert reason.sentence.endswith(f": {LEVELS[grade]}.")
    assert reason.met == (grade > 0)
    others = {r.sentence.rsplit(": ", 1)[-1] for r in rating.reasons if r is not reason}
    assert not others & {"low.", "moderate."}, "only the criterion asked may speak against it"
    assert rating.level == LEVELS[grade]


def test_the_evidence_is_otherwise_high(evidence: Evidence) -> None:
    rating = rate(evidence)
    assert rating.level == "high"
    assert rating.sentence == "High strength evidence of decreased the score"
    assert all(reason.met for reason in rating.reasons)


@pytest.mark.parametrize("family", ["main", "runs"])
def test_a_p_value_on_the_level_is_not_significant(evidence: Evidence, family: str) -> None:
    for p, is_so in ((math.nextafter(0.05, 0), True), (0.05, False), (0.06, False)):
        if family == "main":
            rating = rate(replace(evidence, main=replace(evidence.main, p_value=p)))
            verb = "differs" if is_so else "cannot be told"
            first = rating.reasons[0]
            assert first.sentence.startswith(f"The main estimate {verb} from zero (p = 0.0")
            assert (first.figure, first.threshold, first.met) == (p, 0.05, is_so)
            judged = any("show a significant effect" in r.sentence for r in rating.reasons)
            assert judged == is_so
            assert rating.direction == ("decrease" if is_so else "no clear impact")
        else:
            runs = tuple(replace(r, p_value=p) for r in evidence.runs)
            reason = reason_with(rate(replace(evidence, runs=runs)), "show a significant effect")
            assert reason.figure == float(is_so)


@pytest.mark.parametrize(
    ("with_pilots", "p", "grade"),
    [
        (True, 0.06, 2), (True, 0.05, 2), (True, math.nextafter(0.05, 0), 1),
        (False, 0.05, 2), (False, math.nextafter(0.05, 0), 0),
    ],
)  # fmt: skip
def test_the_joint_test_of_all_leads(
    evidence: Evidence, with_pilots: bool, p: float, grade: int
) -> None:
    joint = LeadTest("", 1.0, 3, 20.0, p)
    each = tuple(t for t in evidence.leads if t.pilot) if with_pilots else ()
    rating = rate(replace(evidence, leads=(joint, *each)))
    assert rating.level == LEVELS[grade]
    reason = reason_with(rating, "The joint test")
    assert (reason.figure, reason.threshold, reason.met) == (p, 0.05, grade == 2)
    against = "not against" if grade == 2 else "against"
    assert f"has p = 0.0{'6' if p > 0.055 else '5'}0, {against} parallel" in reason.sentence


def test_single_pilots_that_are_significant_count_for_the_direction(evidence: Evidence) -> None:
    """Ten runs and one significant pilot the other way: 10 of 11; two: 10 of 12."""
    against = replace(evidence.runs[0], family="single-pilot", estimate=1.0)
    for n, p, share, of in ((1, 0.04, 10 / 11, 11), (2, 0.04, 10 / 12, 12), (2, 0.05, 1.0, 10)):
        runs = (*evidence.runs, *(replace(against, p_value=p),) * n)
        rating = rate(replace(evidence, runs=runs))
        reason = reason_with(rating, "have the direction")
        assert reason.figure == share
        assert f"of {of} runs" in reason.sentence
        assert reason_with(rating, "was varied in").figure == 10.0
        assert reason_with(rating, "show a significant").figure == 1.0


def test_a_significant_run_the_other_way_is_no_significant_effect_in_it(
    evidence: Evidence,
) -> None:
    other_way = replace(evidence.runs[0], estimate=0.5)
    rating = rate(replace(evidence, runs=(*evidence.runs[:9], other_way)))
    assert reason_with(rating, "show a significant").figure == 0.9
    assert reason_with(rating, "have the direction").figure == 0.9


def test_failed_runs_count_against_and_what_does_not_apply_is_left_out(evidence: Evidence) -> None:
    failed = Run("logit", "x", status="failed", reason="r")
    moot = Run("logit", "x", status="not applicable", reason="r")
    engine = replace(evidence.runs[0], family="other-engine", estimate=5.0)
    rating = rate(replace(evidence, runs=(*evidence.runs, failed, moot, engine)))
    assert reason_with(rating, "was varied in").figure == 11.0
    direction = reason_with(rating, "have the direction")
    assert direction.figure == 10 / 11
    assert "(1 failed and count against it)" in direction.sentence
    assert "failed" not in reason_with(rate(evidence), "have the direction").sentence
    assert reason_with(rating, "show a significant").figure == 10 / 11
    rating = rate(replace(evidence, runs=(failed, moot, engine)))
    assert reason_with(rating, "No sensitivity run gave an estimate").met is False
    assert rating.level == "low"


def test_the_run_that_changes_most_is_named(evidence: Evidence) -> None:
    further = replace(evidence.runs[0], estimate=(evidence.main.estimate or 0.0) * 1.2, label="far")
    nearer = replace(evidence.runs[0], estimate=(evidence.main.estimate or 0.0) * 0.9, label="near")
    for runs in ((further, nearer), (nearer, further)):
        reason = reason_with(rate(replace(evidence, runs=(*evidence.runs, *runs))), "changes most")
        assert ", by 20% of its size, in: far (" in reason.sentence
        assert reason.figure == pytest.approx(0.2)
    main = replace(evidence.main, estimate=0.5, std_error=0.5)
    reason = reason_with(rate(replace(evidence, main=main)), "changes most")
    assert "of its size, in" in reason.sentence
    none = replace(evidence.main, estimate=0.0, std_error=None)
    runs = tuple(replace(r, estimate=0.25) for r in evidence.runs)
    assert reason_with(rate(replace(evidence, main=none, runs=runs)), "changes most").figure == 0.25
    without_error = replace(evidence.main, estimate=0.5, std_error=None)
    found = rate(replace(evidence, main=without_error, runs=runs))
    assert reason_with(found, "changes most").figure == 0.5


@pytest.mark.parametrize(
    ("main", "runs", "figure", "worst"),
    [
        (-2.0, {"zero": 0.0, "far": -4.5}, 1.25, "far"),
        (-2.0, {"zero": 0.0, "near": -2.5}, 1.0, "zero"),
        (0.0, {"near": 0.25, "far": 0.75}, 0.75, "far"),
    ],
)
def test_an_estimate_of_zero_is_a_number(
    evidence: Evidence, main: float, runs: dict[str, float], figure: float, worst: str
) -> None:
    changed = [replace(evidence.runs[0], label=n, estimate=e) for n, e in runs.items()]
    of_main = replace(evidence.main, estimate=main, std_error=0.5 if main else 1.0, p_value=0.9)
    found = reason_with(rate(replace(evidence, main=of_main, runs=tuple(changed))), "changes most")
    assert found.figure == figure
    assert f"in: {worst} (" in found.sentence


@pytest.mark.parametrize("estimate", [-2.0, 2.0])
def test_a_run_without_an_estimate_or_direction_has_not_the_direction_of_the_main_run(
    evidence: Evidence, estimate: float
) -> None:
    main = replace(evidence.main, estimate=estimate)
    like_main = replace(evidence.runs[0], estimate=estimate)
    failed = Run("logit", "x", status="failed", reason="r")
    for other in (failed, replace(like_main, estimate=0.0)):
        rating = rate(replace(evidence, main=main, runs=(like_main,) * 3 + (other,)))
        assert reason_with(rating, "have the direction").figure == 0.75


def test_cross_checks_that_disagree_are_counted_among_those_that_ran(evidence: Evidence) -> None:
    (agrees,) = evidence.agreements
    disagrees, absent = replace(agrees, verdict="disagree"), replace(agrees, verdict="not run")
    rating = rate(replace(evidence, agreements=(agrees, disagrees, absent)))
    reason = reason_with(rating, "cross-checks")
    assert reason.sentence == "1 of 2 cross-checks between engines disagree: low."
    assert (reason.figure, reason.threshold, reason.met) == (1.0, 0.0, False)
    rating = rate(replace(evidence, agreements=(absent,)))
    assert rating.level == "moderate"
    reason = reason_with(rating, "No second engine")
    assert (reason.figure, reason.threshold, reason.met) == (0.0, 1.0, False)


def test_what_is_not_known_is_not_judged_and_never_high(evidence: Evidence) -> None:
    share = {"usable_share": 1.0, "usable_share_worst": 1.0}
    rating = rate(replace(evidence, quality=share))
    assert rating.level == "high"
    for words in ("of the pilots of the design", "usable records moved", "at fault are"):
        assert not any(words in reason.sentence for reason in rating.reasons)
    assert rate(replace(evidence, quality={})).level == "moderate"
    rating = rate(replace(evidence, leads=()))
    assert rating.level == "moderate"
    assert not reason_with(rating, "could not be tested").met
    one_side = rate(replace(evidence, quality={**share, "faulty_share_after": 0.3}))
    assert "at fault are 30% from then on (" in reason_with(one_side, "at fault").sentence
    unknown = rate(replace(evidence, quality={**share, "usable_share_worst": math.nan}))
    assert reason_with(unknown, "an unknown share in the authority").sentence.endswith(": low.")


@pytest.mark.parametrize(
    ("estimate", "p", "pilots", "direction", "sentence"),
    [
        (-2.0, 0.01, 25, "decrease", "High strength evidence of decreased the score"),
        (2.0, 0.01, 5, "increase", "Moderate strength evidence of increased the score"),
        (2.0, 0.3, 25, "no clear impact",
         "High strength evidence of no clear impact on the score"),
        (-2.0, 0.01, 3, "no clear impact", "No clear evidence on the impact on the score"),
    ],
)  # fmt: skip
def test_direction_and_sentence(
    evidence: Evidence, estimate: float, p: float, pilots: int, direction: str, sentence: str
) -> None:
    main = replace(evidence.main, estimate=estimate, p_value=p, n_treated_units=pilots)
    runs = tuple(replace(r, estimate=estimate) for r in evidence.runs)
    rating = rate(replace(evidence, main=main, runs=runs))
    assert (rating.direction, rating.sentence) == (direction, sentence)


POOR = {"usable_share": 0.5, "usable_share_worst": 0.5}
NONE_WITH = "No moderate or high strength evidence, with no clear impact on the score"


@pytest.mark.parametrize(
    ("poor", "broken", "sentence"),
    [
        (True, False, NONE_WITH), (False, True, NONE_WITH),
        (True, True, "No moderate or high strength evidence of clear impact on the score"),
    ],
)  # fmt: skip
def test_what_makes_evidence_low_is_said(
    evidence: Evidence, poor: bool, broken: bool, sentence: str
) -> None:
    changed = parallel(evidence, 5 if broken else 10)
    rating = rate(replace(changed, quality=POOR if poor else evidence.quality))
    assert rating.level == "low"
    assert rating.sentence == sentence


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100% of"), (0.999, "99.9% of"), (0.995, "99.5% of"), (0.994, "99% of"), (0.8, "80% o")],
)
def test_a_share_is_100_per_cent_only_if_it_is(
    evidence: Evidence, share: float, words: str
) -> None:
    reason = reason_with(rate(quality("usable_share")(evidence, share)), "of the records of the")
    assert reason.sentence.startswith(words)


@pytest.mark.parametrize(
    ("p", "words"), [(0.0009, "(p < 0.001,"), (0.001, "(p = 0.001,"), (0.0014, "(p = 0.001,")]
)
def test_p_values_are_told_to_three_places(evidence: Evidence, p: float, words: str) -> None:
    assert (
        words in rate(replace(evidence, main=replace(evidence.main, p_value=p))).reasons[0].sentence
    )


def test_an_outcome_without_a_p_value_is_low(evidence: Evidence) -> None:
    for gone in ({"p_value": None}, {"estimate": None}):
        main = replace(evidence.main, reason="Nothing varies.", **gone)
        rating = rate(replace(evidence, main=main))
        assert (rating.level, rating.direction) == ("low", "no clear impact")
        (reason,) = rating.reasons
        assert reason.sentence == "There is no main estimate: Nothing varies."
        assert not reason.met
    unknown = replace(evidence.main, n_treated_units=None)
    assert reason_with(rate(replace(evidence, main=unknown)), "0 pilots were").figure == 0.0
