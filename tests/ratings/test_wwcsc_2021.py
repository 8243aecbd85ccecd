"""The first edition of the rating: each criterion can lower the level, in the words of 2021."""

from dataclasses import replace

import pytest
from sos_ratings.wwcsc import Wwcsc, WwcscSettings

from sos_plugins import Agreement, Evidence, LeadTest, OutcomeInfo, Run, Tolerance
from sos_plugins.errors import SettingsError
from sos_plugins.host.settings import validate

INFO = OutcomeInfo(
    "kinship-care", "Kinship care", "kinship care", "?", True, "proportion", "increase"
)
TOLERANCE = Tolerance(1e-8, 1e-10, "test")
SETTINGS = WwcscSettings(style="wwcsc-2021")
GOOD = {"usable_share": 0.99, "usable_share_worst": 0.95, "usable_shift": 0.01}
BROKEN = tuple(LeadTest(str(i), 9.0, 3, 99.0, 1e-4 if i < 7 else 0.4) for i in range(9))


def a_run(estimate=-0.13, p=0.001, family="drop-one-pilot", label="x", n=9):
    return Run(
        family, label, "did", "python", estimate, abs(estimate) / 3 or 0.01, p, n_treated_units=n
    )


def agreement(verdict="agree"):
    return Agreement("o", "did", "r", "python", verdict, 0.0, 0.0, "ATT", TOLERANCE, TOLERANCE)


def evidence(**changes):
    strong = Evidence(
        INFO,
        a_run(family="main"),
        tuple(a_run() for _ in range(10)),
        (LeadTest("", 1.0, 3, 20.0, 0.5), *(LeadTest(str(i), 1.0, 3, 99.0, 0.4) for i in range(9))),
        GOOD,
        (agreement(),),
    )
    return replace(strong, **changes)


def rate(**changes):
    return Wwcsc().rate(evidence(**changes), SETTINGS)


def test_robust_evidence_from_nine_pilots_is_moderate_and_has_a_direction():
    rating = rate()
    assert rating.level == "moderate"
    assert rating.direction == "decrease"
    assert rating.sentence == "Moderate strength evidence of decreased kinship care"


def test_the_same_from_many_pilots_is_high():
    assert rate(main=a_run(family="main", n=25)).level == "high"


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [(0.0, 0.05, "high"), (0.06, 0.0, "moderate"), (0.1, 0.25, "moderate"), (0.3, 0.0, "low")],
)
def test_rows_at_fault_in_the_pilots_lower_the_level(before, after, level):
    faulty = {"faulty_share_before": before, "faulty_share_after": after}
    rating = rate(main=a_run(family="main", n=25), quality={**GOOD, **faulty})
    assert rating.level == level
    reason = next(r for r in rating.reasons if "at fault" in r.sentence)
    assert reason.figure == max(before, after)
    assert f"{before:.0%} before their windows and {after:.0%} from then on" in reason.sentence


def test_an_increase_is_called_an_increase():
    rating = rate(main=a_run(0.1, family="main"), runs=tuple(a_run(0.1) for _ in range(10)))
    assert rating.sentence == "Moderate strength evidence of increased kinship care"


def test_an_insignificant_estimate_is_not_said_to_be_zero():
    for p, sentence in ((0.3, "cannot be told from zero"), (0.01, "differs from zero")):
        (found,) = [
            r
            for r in rate(main=a_run(p=p, family="main")).reasons
            if "threshold" in r.sentence and "main" in r.sentence and "zero" in r.sentence
        ]
        assert found.sentence.startswith(f"The main estimate {sentence} (")
        assert "does not differ" not in found.sentence


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({"quality": {"usable_share": 0.6, "usable_share_worst": 0.55}}, "data quality"),
        ({"quality": {"usable_share": 0.9, "usable_share_worst": 0.2}}, "data quality"),
        ({"quality": {**GOOD, "usable_shift": -0.3}}, "data quality"),
        ({"quality": {**GOOD, "pilots_covered": 0.5}}, "data quality"),
        ({"quality": {**GOOD, "faulty_share_after": 0.26}}, "data quality"),
        ({"quality": {**GOOD, "faulty_share_before": 0.26}}, "data quality"),
        ({"runs": tuple(a_run(0.1 if i < 4 else -0.13) for i in range(10))}, "robustness"),
        ({"runs": tuple(a_run(p=0.3 if i < 4 else 0.01) for i in range(10))}, "robustness"),
        ({"runs": (*(a_run() for _ in range(9)), a_run(-0.01, label="odd"))}, "robustness"),
        ({"runs": ()}, "robustness"),
        ({"leads": BROKEN}, "assumptions"),
        ({"agreements": (agreement("disagree"),)}, "assumptions"),
        ({"main": a_run(family="main", n=2)}, "precision"),
    ],
)  # fmt: skip
def test_each_criterion_alone_can_make_evidence_low(changes, metric):
    rating = rate(**changes)
    assert rating.level == "low"
    assert rating.direction == "no clear impact"
    assert metric in {reason.metric for reason in rating.reasons if not reason.met}


def test_missing_checks_leave_moderate_at_most():
    many = a_run(family="main", n=25)
    assert rate(main=many, agreements=()).level == "moderate"
    other = replace(agreement(), estimator="callaway-santanna")
    assert rate(main=many, agreements=(other,)).level == "moderate"
    assert rate(main=many, leads=()).level == "moderate"
    assert rate(main=many, quality={}).level == "moderate"


def test_engines_do_not_count_as_variations_and_failed_runs_count_against():
    engines = tuple(a_run(family="other-engine") for _ in range(10))
    assert rate(runs=engines).level == "low"
    failed = tuple(Run("no-covariates", "x", status="failed", reason="r") for _ in range(3))
    assert rate(runs=(*evidence().runs, *failed)).level == "low"
    moot = tuple(Run("logit", "x", status="not applicable", reason="r") for _ in range(3))
    assert rate(runs=(*evidence().runs, *moot)).level == "moderate"


def test_pilots_whose_leads_could_not_be_tested_count_against():
    untested = LeadTest("9", None, None, None, None, "failed", "r")
    leads = (*evidence().leads[:5], *(untested for _ in range(5)))
    rating = rate(leads=leads)
    assert rating.level == "low"
    assert any(
        "4 of 9 pilots" in r.sentence and "5 could not" in r.sentence for r in rating.reasons
    )


def test_a_change_is_in_units_of_what_the_sentence_says():
    small = replace(a_run(0.01, 0.7, "main"), std_error=0.04)
    rating = rate(main=small, runs=tuple(replace(small, family="logit") for _ in range(10)))
    change = next(r for r in rating.reasons if "changes most" in r.sentence)
    assert "of its standard error" in change.sentence


def test_no_significant_effect_is_no_clear_impact():
    rating = rate(
        main=a_run(-0.001, 0.8, "main"), runs=tuple(a_run(-0.001, 0.8) for _ in range(10))
    )
    assert rating.direction == "no clear impact"
    assert "no clear impact" in rating.sentence


def test_poor_data_and_broken_trends_read_as_in_the_seed():
    poor = {"usable_share": 0.6, "usable_share_worst": 0.3}
    assert rate(quality=poor).sentence == (
        "No moderate or high strength evidence, with no clear impact on kinship care"
    )
    assert rate(quality=poor, leads=BROKEN).sentence == (
        "No moderate or high strength evidence of clear impact on kinship care"
    )
    fragile = tuple(a_run(0.1 if i < 4 else -0.13) for i in range(10))
    assert rate(runs=fragile).sentence == "No clear evidence on the impact on kinship care"


def test_an_outcome_without_an_estimate_is_low_and_says_why():
    rating = rate(main=Run("main", "main", status="failed", reason="One cluster."))
    assert rating.level == "low"
    assert "One cluster." in rating.reasons[0].sentence


def test_single_pilots_count_for_the_direction_only_when_significant():
    noise = tuple(a_run(0.2, 0.5, "single-pilot") for _ in range(9))
    assert rate(runs=(*evidence().runs, *noise)).level == "moderate"
    against = tuple(a_run(0.2, 0.01, "single-pilot") for _ in range(9))
    assert rate(runs=(*evidence().runs, *against)).level == "low"


def test_every_reason_has_its_figure_and_threshold_in_the_sentence():
    for reason in rate().reasons:
        assert reason.sentence.endswith(".")
        assert reason.figure is not None


def test_high_may_not_ask_for_less_than_moderate():
    with pytest.raises(SettingsError, match="usable_high must be at least usable_moderate"):
        validate(WwcscSettings, {"usable_high": 0.5}, where="[rating]")


def test_thresholds_are_settings():
    lenient = WwcscSettings(style="wwcsc-2021", pilots_high=5)
    assert Wwcsc().rate(evidence(), lenient).level == "high"
    assert Wwcsc().rate(evidence(), lenient).thresholds["pilots_high"] == 5
