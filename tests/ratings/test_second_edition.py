"""The second edition: each criterion lowers the level alone, and the line says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rating_evidence import FAMILIES, QUALITY, a_run, an_agreement, the_evidence
from sos_ratings.wwcsc import Wwcsc, WwcscSettings

from sos_plugins import AdjustedP, Evidence, LeadTest, Rating, SmallestEffect

STEP = 1e-9
"""How far to either side of a threshold a figure is put."""
NULL = (0.0, 0.01)
"""An estimate and its error that leave no room for an effect of five points."""


def rate(evidence: Evidence | None = None, **settings: Any) -> Rating:
    return Wwcsc().rate(evidence or the_evidence(), WwcscSettings(**settings))


def with_quality(**figures: float) -> Evidence:
    return replace(the_evidence(), quality={**QUALITY, **figures})


def without(name: str) -> Evidence:
    return replace(the_evidence(), quality={k: v for k, v in QUALITY.items() if k != name})


def runs_but(family: str, *others: Any) -> Evidence:
    """Every family as the main run, but one."""
    kept = tuple(run for run in the_evidence().runs if run.family != family)
    return replace(the_evidence(), runs=(*kept, *others))


def test_an_effect_that_meets_everything_is_high() -> None:
    rating = rate()
    assert (rating.level, rating.direction) == ("high", "decrease")
    assert rating.sentence == "Decreased kinship care: 13.0 points, high strength evidence"
    assert all(reason.met for reason in rating.reasons)
    assert rate(the_evidence(0.13)).sentence.startswith("Increased kinship care: 13.0 points")


def test_a_null_that_meets_everything_is_high_and_no_failed_check() -> None:
    rating = rate(the_evidence(*NULL))
    assert (rating.level, rating.direction) == ("high", "no effect that matters")
    assert rating.sentence == (
        "No effect that matters on kinship care: less than 5.0 points either way, high strength "
        "evidence"
    )
    assert all(reason.met for reason in rating.reasons)
    assert "cannot be told from zero" in rating.reasons[0].sentence
    assert not any("does not differ" in reason.sentence for reason in rating.reasons)


@pytest.mark.parametrize("effect", [0.0, -0.05, -0.10])
def test_an_interval_of_a_hundred_points_is_never_strong_evidence(effect: float) -> None:
    rating = rate(the_evidence(effect, 0.5))
    assert (rating.level, rating.direction) == ("low", "cannot tell")
    half = 100 * 2.178813 * 0.5  # qt(0.975, 12), tabled
    span = f"from {100 * effect - half:+.1f} points to {100 * effect + half:+.1f} points"
    assert f"the data fit anything {span}, and would find only changes of" in rating.sentence


def test_an_interval_apart_from_zero_that_is_not_enough_says_why() -> None:
    main = replace(the_evidence(-0.13, 0.055).main, conf_low=-0.25, conf_high=-0.01)
    five = AdjustedP(0.18, "holm", ("kinship", "b", "c", "d", "e"))
    sentence = rate(replace(the_evidence(), main=main, adjusted=five)).sentence
    assert "fit from -25.0 points to -1.0 points, but cannot be told from zero" in sentence
    assert "(p = 0.180, adjusted for 5 outcomes)" in sentence
    assert "anything" not in sentence


def test_a_reason_says_which_level_it_allows_though_it_is_met() -> None:
    rating = rate(with_quality(pilots_covered=0.7))
    assert rating.level == "moderate"
    (covered,) = [reason for reason in rating.reasons if "could be analysed" in reason.sentence]
    assert covered.met
    assert covered.allows == "moderate"
    assert [r for r in rating.reasons if r.allows] == [covered]
    assert "(moderate needs at least 60%, high 90%)" in covered.sentence


def test_no_null_is_told_without_a_smallest_effect() -> None:
    rating = rate(replace(the_evidence(*NULL), smallest_effect=None))
    assert (rating.level, rating.direction) == ("low", "cannot tell")
    (settled,) = [r for r in rating.reasons if "smallest_effect" in r.sentence]
    assert not settled.met


def test_one_of_five_nulls_at_five_per_cent_is_no_finding() -> None:
    evidence = the_evidence(-0.13, 0.055)
    assert rate(evidence).direction == "decrease"
    five = AdjustedP(0.18, "holm", ("kinship", "b", "c", "d", "e"))
    rating = rate(replace(evidence, adjusted=five))
    assert (rating.level, rating.direction) == ("low", "cannot tell")
    assert "p = 0.180, adjusted for 5 outcomes" in rating.reasons[0].sentence


THRESHOLDS = [
    ("usable_shift", 0.1, 0.02),
    ("faulty_share_after", 0.25, 0.05),
    ("imbalance_units", 0.5, 0.25),
    ("imbalance_cases", 0.25, 0.1),
    ("pilots_above_pool", 1.0, 0.5),
]


@pytest.mark.parametrize(("name", "moderate", "high"), THRESHOLDS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_figure_may_be_at_most_its_threshold(
    name: str, moderate: float, high: float, sign: int
) -> None:
    if name.startswith(("faulty", "imbalance")) and sign < 0:
        sign = 1  # shares and sizes have no sign
    levels = {
        high: "high",
        high + STEP: "moderate",
        moderate: "moderate",
        moderate + STEP: "low",
    }
    for figure, level in levels.items():
        assert rate(with_quality(**{name: sign * figure})).level == level, figure


@pytest.mark.parametrize(("share", "level"), [(0.9, "high"), (0.6, "moderate"), (0.59, "low")])
def test_pilots_of_the_design_that_are_missing_count(share: float, level: str) -> None:
    assert rate(with_quality(pilots_covered=share)).level == level


@pytest.mark.parametrize(
    ("unusable", "level"), [(0.0, "high"), (0.32, "high"), (0.33, "moderate"), (0.53, "low")]
)
def test_unusable_records_count_by_what_would_undo_the_finding(unusable: float, level: str) -> None:
    """13 points / 0.33 = 39.4 points = 0.79 SD of 0.5; / 0.32 is 0.81; / 0.53 is 0.49."""
    rating = rate(with_quality(unusable_after=unusable))
    assert rating.level == level
    if level == "low":
        assert rating.direction == "cannot tell"
        assert rating.sentence == (
            "Cannot tell the effect on kinship care: fewer, but the records cannot carry it (53% "
            "of the pilots' records are unusable, and a difference of 24.5 points in them would "
            "undo it)"
        )


def test_a_null_is_undone_where_it_reaches_an_effect_that_matters() -> None:
    null = the_evidence(*NULL)
    for unusable, level in ((0.12, "high"), (0.13, "moderate"), (0.21, "low")):
        quality = {**QUALITY, "unusable_after": unusable}
        assert rate(replace(null, quality=quality)).level == level, unusable


@pytest.mark.parametrize("name", ["unusable_after", "value_sd"])
def test_unknown_records_are_moderate_at_most(name: str) -> None:
    assert rate(without(name)).level == "moderate"


def test_all_leave_one_outs_are_one_vote() -> None:
    """One of nine that turns round costs its family's vote, and no more than that."""
    nine = tuple(a_run(family="drop-one-pilot") for _ in range(8))
    odd = a_run(-0.10, 0.06, "drop-one-pilot")
    rating = rate(runs_but("drop-one-pilot", *nine, odd))
    (vote,) = [r for r in rating.reasons if "significant" in r.sentence]
    assert "83% of the kinds of run, 5 of 6, show" in vote.sentence
    assert "not drop-one-pilot" in vote.sentence
    more = runs_but("drop-one-pilot", *nine * 5, odd)
    (again,) = [r for r in rate(more).reasons if "significant" in r.sentence]
    assert again.figure == vote.figure


def test_families_that_fail_or_turn_round_lower_the_level() -> None:
    turned = a_run(0.02, 0.06, "logit")
    lax = {"change_moderate": 9.0, "change_high": 9.0}
    assert rate(runs_but("logit", turned), **lax).level == "moderate"
    two = replace(runs_but("logit", turned), runs=(
        *(r for r in the_evidence().runs if r.family not in ("logit", "whole-pool")),
        turned, a_run(None, family="whole-pool"),
    ))  # fmt: skip
    rating = rate(two, **lax)
    assert (rating.level, rating.direction) == ("low", "cannot tell")
    assert "fewer, but it does not hold when the analysis is varied" in rating.sentence


def test_runs_of_another_estimand_do_not_count() -> None:
    """An average over event times that shows nothing says nothing about the main average."""
    other = a_run(-0.01, 0.06, "staggered", estimand="average over event times")
    rating = rate(runs_but("none", other))
    assert rating.level == "high"
    assert any("1 run estimates something else" in r.sentence for r in rating.reasons)
    same = rate(runs_but("none", replace(other, estimand=the_evidence().main.estimand)))
    assert same.level == "low"


@pytest.mark.parametrize(
    ("estimate", "level"), [(-0.0976, "high"), (-0.0974, "moderate"), (-0.0649, "low")]
)
def test_the_largest_change_counts(estimate: float, level: str) -> None:
    """A quarter of 13 points is 3.25, half is 6.5."""
    assert rate(runs_but("logit", a_run(estimate, 0.01, "logit"))).level == level


def test_a_null_may_not_grow_to_half_of_what_matters() -> None:
    null = the_evidence(*NULL)
    for estimate, level in ((0.0124, "high"), (0.0126, "moderate"), (0.0251, "low")):
        runs = (*null.runs, a_run(estimate, 0.01, "staggered"))
        assert rate(replace(null, runs=runs)).level == level, estimate


@pytest.mark.parametrize(("kinds", "level"), [(5, "high"), (4, "moderate"), (2, "low")])
def test_kinds_of_run_are_counted_and_not_runs(kinds: int, level: str) -> None:
    names = list(dict.fromkeys(FAMILIES))[:kinds]
    runs = tuple(a_run(family=name) for name in names for _ in range(4))
    assert rate(replace(the_evidence(), runs=runs)).level == level


def test_engines_vary_nothing_and_no_runs_are_low() -> None:
    engines = tuple(a_run(family="other-engine") for _ in range(9))
    for runs in ((), engines, tuple(a_run(None, family=f) for f in FAMILIES)):
        assert rate(replace(the_evidence(), runs=runs)).level == "low"


def test_single_pilots_count_against_only_where_they_contradict() -> None:
    noise = tuple(a_run(0.1, 0.06, "single-pilot") for _ in range(9))
    assert rate(runs_but("none", *noise)).level == "high"
    against = tuple(a_run(0.3, 0.06, "single-pilot") for _ in range(9))
    assert rate(runs_but("none", *against)).level == "moderate"


def leads(overall: float | None, each: float = 0.4, **changes: Any) -> Evidence:
    tests = tuple(LeadTest(str(n), 1.0, 3, 99.0, each) for n in range(9))
    whole = () if overall is None else (LeadTest("", 1.0, 3, 20.0, overall, **changes),)
    return replace(the_evidence(), leads=(*whole, *tests))


@pytest.mark.parametrize(
    ("power", "level"), [(0.8, "high"), (0.8 - STEP, "moderate"), (None, "moderate")]
)
def test_a_test_of_trends_that_would_find_nothing_is_no_evidence(
    power: float | None, level: str
) -> None:
    assert rate(leads(0.5, power=power)).level == level


def test_trends_that_were_not_parallel_lower_the_level() -> None:
    assert rate(leads(0.05, power=0.9)).level == "high"
    assert rate(leads(0.049, power=0.9)).level == "moderate"
    broken = rate(leads(0.049, each=0.001, power=0.9))
    assert (broken.level, broken.direction) == ("low", "cannot tell")
    assert "the comparison cannot carry it" in broken.sentence
    alone = replace(the_evidence(), leads=(LeadTest("", 9.0, 3, 20.0, 0.01, power=0.9),))
    assert rate(alone).level == "low"


def test_leads_that_were_matched_on_carry_no_weight() -> None:
    for p_value in (0.9, 0.0001):
        matched = tuple(
            LeadTest(str(n), 1.0, 3, 99.0, p_value, used_for_matching=True) for n in range(9)
        )
        rating = rate(replace(the_evidence(), leads=matched))
        assert rating.level == "moderate"
        assert any("chosen by the outcome before" in r.sentence for r in rating.reasons)


@pytest.mark.parametrize(
    ("times", "level"),
    [(0.0, "moderate"), (1 - STEP, "moderate"), (1.0, "high"), (float("inf"), "high")],
)
def test_bounds_that_trends_would_break_hold_down_from_high(times: float, level: str) -> None:
    rating = rate(with_quality(breakdown_relative=times))
    assert rating.level == level
    (told,) = [r for r in rating.reasons if r.sentence.startswith("Bounds show the effect")]
    assert (told.figure, told.threshold, told.met) == (times, 1.0, level == "high")
    if level == "moderate":
        assert "as fast as at worst before would undo it" in rating.sentence


def test_bounds_count_for_effects_only_and_not_where_leads_were_matched_on() -> None:
    null = replace(the_evidence(*NULL), quality={**QUALITY, "breakdown_relative": 0.0})
    matched = tuple(replace(t, used_for_matching=True) for t in the_evidence().leads)
    figures = {**QUALITY, "breakdown_relative": 0.0}
    for evidence in (null, replace(the_evidence(), leads=matched, quality=figures)):
        told = [r.sentence for r in rate(evidence).reasons]
        assert not any("Bounds show" in sentence for sentence in told)
    assert rate(null).level == "high"
    smooth = with_quality(breakdown=0.0)
    assert rate(smooth).level == "high"


@pytest.mark.parametrize(
    ("apart", "level"), [(1e-4, "high"), (0.0021, "moderate"), (0.0101, "low")]
)
def test_engines_are_compared_in_standard_errors(apart: float, level: str) -> None:
    """The standard error is two points: a tenth is 0.2 points, a half is one point."""
    differ = an_agreement("disagree", apart=apart)
    assert rate(replace(the_evidence(), agreements=(differ,))).level == level


def test_a_side_estimator_that_differs_is_a_note() -> None:
    side = an_agreement("disagree", apart=9.0, estimator="callaway-santanna")
    both = (an_agreement(), side)
    rating = rate(replace(the_evidence(), agreements=both))
    assert rating.level == "high"
    assert any("callaway-santanna" in r.sentence and r.met for r in rating.reasons)
    assert rate(replace(the_evidence(), agreements=(side,))).level == "moderate"


@pytest.mark.parametrize(
    ("n", "level"), [(20, "high"), (19, "moderate"), (4, "moderate"), (3, "low")]
)
def test_few_pilots_carry_little(n: int, level: str) -> None:
    main = replace(the_evidence().main, n_treated_units=n)
    assert rate(replace(the_evidence(), main=main)).level == level


def test_what_keeps_it_from_high_stands_in_the_line() -> None:
    main = replace(the_evidence().main, n_treated_units=9)
    rating = rate(replace(the_evidence(), main=main))
    assert rating.sentence == (
        "Decreased kinship care: 13.0 points, moderate strength evidence, not high: only 9 pilots"
    )
    assert rating.reason in rating.sentence


def test_without_an_estimate_it_cannot_tell() -> None:
    rating = rate(replace(the_evidence(), main=replace(a_run(None), reason="One cluster.")))
    assert (rating.level, rating.direction) == ("low", "cannot tell")
    assert rating.reason == "no estimate could be made (One cluster)"


def test_days_are_told_as_days() -> None:
    days = replace(
        the_evidence(-4.0, 0.5).info, binary=False, measure="working days", phrase="duration"
    )
    evidence = replace(the_evidence(-4.0, 0.5), info=days, smallest_effect=SmallestEffect(2.0, "x"))
    quality = {**QUALITY, "value_sd": 10.0, "unusable_after": 0.9}
    assert rate(evidence).sentence.startswith("Decreased duration: 4 working days, high")
    assert "lower, but the records" in rate(replace(evidence, quality=quality)).sentence
