"""Schemes of others: the contract, and each question from both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from rating_evidence import QUALITY, a_run, the_evidence
from sos_ratings.eef_padlocks import EefPadlocks
from sos_ratings.grade import Grade
from sos_ratings.maryland import Maryland
from sos_ratings.robins_i import RobinsI
from sos_ratings.wwcsc import Wwcsc

from sos_plugins import Evidence, LeadTest, RatingRule
from sos_plugins.authors import testing

RULES = (Maryland(), EefPadlocks(), RobinsI(), Grade(), Wwcsc())
STYLES: dict[str, tuple[dict[str, Any], ...]] = {"wwcsc": ({}, {"style": "wwcsc-2021"})}
CHECKS = [
    (rule, style, check)
    for rule in RULES
    for style in STYLES.get(rule.name, ({},))
    for check in testing.rating_rule_checks(rule, style)
]
BROKEN = (
    LeadTest("", 9.0, 3, 20.0, 0.001),
    *(LeadTest(str(n), 9.0, 3, 99.0, 0.0001) for n in range(9)),
)
ANSWERED = dict.fromkeys(
    ("selection", "classification", "deviations", "measurement", "reporting"), "low"
)
JUDGED = {"indirectness": "none", "publication_bias": "none"}


@pytest.mark.parametrize(
    "check", [c for *_, c in CHECKS], ids=[f"{r.name} {s or ''} {c}" for r, s, c in CHECKS]
)
def test_contract(check: testing.Check) -> None:
    check()


def level(rule: RatingRule, evidence: Evidence, **settings: Any) -> str:
    return rule.rate(evidence, rule.Settings(**settings)).level


def with_quality(**figures: float) -> Evidence:
    return replace(the_evidence(), quality={**QUALITY, **figures})


def with_main(**changes: Any) -> Evidence:
    return replace(the_evidence(), main=replace(the_evidence().main, **changes))


def with_leads(*leads: LeadTest) -> Evidence:
    return replace(the_evidence(), leads=leads)


class TestMaryland:
    rule = Maryland()

    def test_differences_of_differences_are_level_3(self) -> None:
        assert level(self.rule, the_evidence()) == "3"
        assert level(self.rule, the_evidence(), as_good_as_chance=True) == "4"
        assert level(self.rule, the_evidence(), randomised=True) == "5"
        rating = self.rule.rate(the_evidence(), self.rule.Settings())
        assert "differences of differences reach level 3" in rating.sentence

    def test_level_3_asks_for_evidence_that_the_compared_are_alike(self) -> None:
        bare = {k: v for k, v in QUALITY.items() if not k.startswith("imbalance")}
        assert level(self.rule, with_leads()) == "3"
        assert level(self.rule, replace(with_leads(), quality=bare)) == "2"
        assert level(self.rule, replace(the_evidence(), quality=bare)) == "3"
        assert level(self.rule, with_leads(*BROKEN), randomised=True) == "2"
        rating = self.rule.rate(with_leads(*BROKEN), self.rule.Settings())
        assert rating.direction == "cannot tell"

    def test_without_comparators_controls_make_level_2(self) -> None:
        assert level(self.rule, with_main(n_units=25)) == "2"
        bare = replace(with_main(n_units=25), runs=(a_run(family="logit"),), quality={})
        assert level(self.rule, bare) == "1"


class TestMarylandOf2002:
    rule = Maryland()
    edition: ClassVar[dict[str, str]] = {"edition": "farrington-2002"}

    def test_several_pilots_and_comparators_with_controls_are_level_4(self) -> None:
        assert level(self.rule, the_evidence(), **self.edition) == "4"
        assert level(self.rule, the_evidence(), randomised=True, **self.edition) == "5"

    def test_one_pilot_or_nothing_controlled_is_level_3(self) -> None:
        assert level(self.rule, with_main(n_treated_units=1), **self.edition) == "3"
        bare = replace(the_evidence(), runs=(a_run(family="logit"),), quality={})
        assert level(self.rule, bare, **self.edition) == "3"
        assert level(self.rule, with_leads(), **self.edition) == "3"

    def test_no_comparator_or_trends_apart_are_level_2(self) -> None:
        assert level(self.rule, with_main(n_units=25), **self.edition) == "2"
        assert level(self.rule, with_leads(*BROKEN), **self.edition) == "2"


class TestPadlocks:
    rule = EefPadlocks()

    def fine(self, **figures: float) -> Evidence:
        return with_quality(**{"imbalance_units": 0.0, "value_sd": 0.5, **figures})

    def test_differences_have_four_padlocks_and_a_trial_five(self) -> None:
        assert level(self.rule, self.fine(), threats="low") == "4"
        assert level(self.rule, self.fine(), threats="low", randomised=True) == "5"

    @pytest.mark.parametrize(
        ("size", "padlocks"),
        [(0.19, "5"), (0.21, "4"), (0.31, "3"), (0.41, "2"), (0.51, "1"), (0.61, "0")],
    )
    def test_precision(self, size: float, padlocks: str) -> None:
        """The effect that 12 degrees of freedom find: (2.178813 + 0.872609) errors of 0.02."""
        spread = (2.178813 + 0.872609) * 0.02 / size
        known = {"threats": "low", "randomised": True}
        assert level(self.rule, self.fine(value_sd=spread), **known) == padlocks

    @pytest.mark.parametrize(
        ("lost", "padlocks"),
        [(0.1, "5"), (0.11, "4"), (0.2, "4"), (0.21, "3"), (0.3, "3"), (0.31, "2"), (0.4, "2"),
         (0.41, "1"), (0.5, "1"), (0.51, "0")],
    )  # fmt: skip
    def test_attrition(self, lost: float, padlocks: str) -> None:
        known = {"threats": "low", "randomised": True}
        evidence = self.fine(usable_share_pilots=1 - lost)
        assert level(self.rule, evidence, **known) == padlocks

    def test_imbalance_and_threats_cost_padlocks(self) -> None:
        assert level(self.rule, self.fine(imbalance_units=0.06), threats="low") == "3"
        assert level(self.rule, self.fine(), threats="moderate") == "3"
        assert level(self.rule, self.fine(), threats="high") == "2"
        assert level(self.rule, self.fine(imbalance_units=0.06), threats="high") == "1"

    def test_what_is_not_judged_or_known_leaves_three(self) -> None:
        assert level(self.rule, self.fine()) == "3"
        unknown = {k: v for k, v in QUALITY.items() if k != "usable_share_pilots"}
        evidence = replace(the_evidence(), quality={**unknown, "imbalance_units": 0.0})
        assert level(self.rule, evidence, threats="low") == "3"
        rating = self.rule.rate(self.fine(), self.rule.Settings())
        assert "threats to validity were not judged (setting threats)" in rating.sentence


class TestRobins:
    rule = RobinsI()

    def test_without_chance_the_risk_is_moderate_at_best(self) -> None:
        assert level(self.rule, the_evidence(), **ANSWERED) == "moderate"

    @pytest.mark.parametrize("domain", list(ANSWERED))
    def test_an_unanswered_domain_leaves_no_information(self, domain: str) -> None:
        rest = {k: v for k, v in ANSWERED.items() if k != domain}
        rating = self.rule.rate(the_evidence(), self.rule.Settings(**rest))
        assert rating.level == "no information"
        assert f"(setting {domain})" in rating.sentence
        assert level(self.rule, the_evidence(), **{**ANSWERED, domain: "serious"}) == "serious"

    @pytest.mark.parametrize(
        ("lost", "shift", "risk"),
        [
            (0.05, 0.5, "low"), (0.06, 0.05, "moderate"), (0.06, -0.05, "moderate"),
            (0.5, 0.05, "moderate"), (0.51, 0.05, "serious"), (0.06, 0.06, "serious"),
            (0.06, -0.2, "serious"), (0.06, 0.21, "critical"), (0.6, 0.21, "critical"),
        ],
    )  # fmt: skip
    def test_missing_data(self, lost: float, shift: float, risk: str) -> None:
        """Reasonably complete, or how differently they are missing."""
        evidence = with_quality(usable_share_pilots=1 - lost, usable_shift=shift)
        rating = self.rule.rate(evidence, self.rule.Settings(**ANSWERED))
        assert rating.level == ("moderate" if risk == "low" else risk)
        (missing,) = [r for r in rating.reasons if r.metric == "missing data"]
        assert missing.met == (risk == "low")

    def test_missing_data_that_nobody_compared_are_no_information(self) -> None:
        figures = {k: v for k, v in QUALITY.items() if k != "usable_shift"}
        evidence = replace(the_evidence(), quality={**figures, "usable_share_pilots": 0.9})
        assert level(self.rule, evidence, **ANSWERED) == "no information"
        none = replace(the_evidence(), quality={**figures, "usable_share_pilots": 0.96})
        assert level(self.rule, none, **ANSWERED) == "moderate"

    def test_confounding(self) -> None:
        assert level(self.rule, with_leads(*BROKEN), **ANSWERED) == "critical"
        overall = (BROKEN[0], *the_evidence().leads[1:])
        assert level(self.rule, with_leads(*overall), **ANSWERED) == "serious"
        pilots = (the_evidence().leads[0], *BROKEN[1:])
        assert level(self.rule, with_leads(*pilots), **ANSWERED) == "serious"
        assert level(self.rule, with_leads(), **ANSWERED) == "no information"


class TestGrade:
    rule = Grade()

    def test_evidence_without_chance_starts_low_and_a_trial_high(self) -> None:
        assert level(self.rule, the_evidence(), **JUDGED) == "low"
        assert level(self.rule, the_evidence(), randomised=True, **JUDGED) == "high"
        assert level(self.rule, the_evidence(), randomised=True) == "moderate"

    def test_it_is_raised_only_without_a_concern(self) -> None:
        raised = {"large_effect": "large", **JUDGED}
        assert level(self.rule, the_evidence(), **raised) == "moderate"
        assert level(self.rule, the_evidence(), dose_response=True, **raised) == "high"
        assert level(self.rule, with_leads(*BROKEN), **raised) == "very low"
        assert level(self.rule, the_evidence(), large_effect="very large", **JUDGED) == "high"

    def test_an_interval_with_effects_that_matter_either_way_costs_two_levels(self) -> None:
        """The smallest effect that matters is five points, the interval 2.18 errors wide."""
        known = {"randomised": True, **JUDGED}
        one, two = the_evidence(-0.03, 0.02), the_evidence(0.0001, 0.03)
        assert level(self.rule, one, **known) == "moderate"
        assert level(self.rule, two, **known) == "low"
        assert level(self.rule, replace(two, smallest_effect=None), **known) == "moderate"

    def test_a_share_at_its_limit_is_no_concern(self) -> None:
        """1 - 0.7 is a little above 0.3 in floating point."""
        known = {"missing_serious": 0.3, "randomised": True, **JUDGED}
        assert level(self.rule, with_quality(usable_share_pilots=0.7), **known) == "high"
        assert level(self.rule, with_quality(usable_share_pilots=0.69), **known) == "moderate"

    @pytest.mark.parametrize(
        ("evidence", "metric"),
        [
            (with_leads(*BROKEN), "risk of bias"),
            (with_leads(), "risk of bias"),
            (with_quality(usable_share_pilots=0.7), "risk of bias"),
            (replace(the_evidence(), runs=tuple(
                a_run(0.1, family=name) for name in ("a", "b", "c"))), "inconsistency"),
            (the_evidence(-0.13, 0.07), "imprecision"),
        ],
    )  # fmt: skip
    def test_each_concern_costs_a_level(self, evidence: Evidence, metric: str) -> None:
        rating = self.rule.rate(evidence, self.rule.Settings(randomised=True, **JUDGED))
        assert rating.level == "moderate"
        assert [r.metric for r in rating.reasons if not r.met] == [metric]

    def test_a_null_is_consistent_where_the_runs_find_none_that_matters(self) -> None:
        """Six runs of either sign within five points; three of nine beyond are one in three."""
        runs = tuple(a_run(0.02 * (-1) ** n, family=str(n)) for n in range(6))
        null = replace(the_evidence(0.001, 0.01), runs=runs)
        two = (*runs, a_run(0.2, family="a"), a_run(-0.2, family="b"))
        three = (*two, a_run(0.2, family="c"))
        for tried, certainty in ((runs, "high"), (two, "high"), (three, "moderate")):
            evidence = replace(null, runs=tried)
            assert level(self.rule, evidence, randomised=True, **JUDGED) == certainty

    @pytest.mark.parametrize(
        ("concern", "certainty"), [("serious", "moderate"), ("very serious", "low")]
    )
    @pytest.mark.parametrize("name", list(JUDGED))
    def test_what_people_judge_counts(self, name: str, concern: str, certainty: str) -> None:
        known = {**JUDGED, name: concern}
        assert level(self.rule, the_evidence(), randomised=True, **known) == certainty
