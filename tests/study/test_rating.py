"""From a study file to its verdicts: what is compared, adjusted together, and told."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study_helpers
from scipy.stats import t as student

from sos_plugins.cache.store import StepCache
from sos_plugins.errors import SettingsError, StudyError
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.multiplicity import holm
from sos_plugins.study.quality import tipping_difference
from sos_plugins.study.result import OutcomeResult, StudyResult
from sos_plugins.study.study import Study

SAME_CASES = 1e-9  # relative; the same regression of the same cases in another order
SECOND = """
[[outcomes]]
plugin = "tidy-value"
name = "again"
label = "Score again"
phrase = "the score again"
smallest_effect = 0.5
smallest_effect_reason = "half a point is one visit"

[[estimators]]
plugin = "did"
"""
TWO = study_helpers.STUDY.replace('[[estimators]]\nplugin = "did"\n', SECOND.lstrip())


def run(folder: Path, text: str, cases: pd.DataFrame | None = None) -> StudyResult:
    small = study_helpers.table(cases=6) if cases is None else cases
    return Study.from_toml(study_helpers.write(folder, text, small)).run(workers=1)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    further = '\n[[further_ratings]]\nplugin = "wwcsc"\nstyle = "wwcsc-2021"\n'
    return run(tmp_path_factory.mktemp("two"), TWO + further)


@pytest.fixture(scope="module")
def outcome(result: StudyResult) -> OutcomeResult:
    assert [o.error for o in result.outcomes] == ["", ""]
    return result.outcomes[1]


def test_a_study_finds_its_effect_and_says_so(outcome: OutcomeResult) -> None:
    rating = outcome.rating
    assert rating is not None
    assert outcome.main is not None
    assert (rating.level, rating.direction) == ("moderate", "decrease")
    size = f"{abs(outcome.main.estimate or 0):.3g}"
    assert rating.sentence.startswith(f"Decreased the score again: {size}")
    assert "moderate strength evidence, not high: " in rating.sentence
    assert outcome.smallest_effect is not None
    assert outcome.smallest_effect.value == 0.5


def test_the_words_of_2021_stand_beside_it(outcome: OutcomeResult) -> None:
    (other,) = outcome.further_ratings
    assert other.sentence == "Moderate strength evidence of decreased the score again"


def test_both_outcomes_are_tested_together(result: StudyResult) -> None:
    single = [o.main.p_value for o in result.outcomes if o.main and o.main.p_value is not None]
    together = [o.adjusted for o in result.outcomes]
    assert [a.p_value for a in together if a] == holm(single)
    assert all(a is not None and a.outcomes == ("tidy-value", "again") for a in together)


def test_the_same_outcome_twice_costs_nothing_by_romano_and_wolf(
    tmp_path: Path, result: StudyResult
) -> None:
    found = run(tmp_path, TWO + '\n[multiplicity]\nmethod = "romano-wolf"\ndraws = 499\n')
    first, second = (o.adjusted for o in found.outcomes)
    assert first is not None
    assert second is not None
    assert (first.method, first.outcomes) == ("romano-wolf", ("tidy-value", "again"))
    assert first.p_value == second.p_value
    main = found.outcomes[0].main
    assert main is not None
    assert main.p_value is not None
    assert main.p_value <= first.p_value <= 0.05
    assert [o.main for o in found.outcomes] == [o.main for o in result.outcomes]
    assert StudyResult.from_json(found.to_json()).outcomes[0].adjusted == first


def test_an_outcome_that_is_explored_is_not_adjusted(tmp_path: Path) -> None:
    text = TWO + '\n[multiplicity]\nconfirmatory = ["again"]\n'
    explored, decided = run(tmp_path, text).outcomes
    assert explored.adjusted is None
    assert decided.adjusted is not None
    assert decided.adjusted.outcomes == ("again",)
    assert decided.main is not None
    assert decided.adjusted.p_value == decided.main.p_value


def test_a_run_knows_what_it_estimates_and_its_degrees_of_freedom(outcome: OutcomeResult) -> None:
    main = outcome.main
    assert main is not None
    assert main.df is not None
    assert main.estimate is not None
    assert main.std_error is not None
    p_value = 2 * student.sf(abs(main.estimate / main.std_error), main.df)
    assert main.p_value == pytest.approx(p_value, rel=1e-9)  # the same formula, another library
    staggered = [run for run in outcome.runs if run.family == "staggered"]
    assert [run.estimand == main.estimand for run in staggered] == [False, True]
    for run in (run for run in staggered if run.std_error and run.df is not None):
        assert 0 < run.df < math.inf  # few pilots: errors from own effects
        assert run.estimate is not None
        p_value = 2 * student.sf(abs(run.estimate / run.std_error), run.df)
        assert run.p_value == pytest.approx(p_value, rel=1e-9)
    assert all(run.estimand for run in outcome.runs if run.estimate is not None)


def test_averages_of_another_kind_do_not_change_the_verdict(tmp_path: Path) -> None:
    """The same data, whether group-time effects are averaged over events or over the treated."""
    told = []
    for aggregate in ("event", "simple"):
        text = study_helpers.STUDY.replace('aggregate = "event"', f'aggregate = "{aggregate}"')
        (outcome,) = run(tmp_path / aggregate, text).outcomes
        assert outcome.rating is not None
        told.append((outcome.rating.level, outcome.rating.direction, outcome.rating.sentence))
        alike = [
            run.estimate
            for run in outcome.runs
            if run.family == "staggered" and outcome.main and run.estimand == outcome.main.estimand
        ]
        assert len(alike) == 1
        told.append(alike)
    assert told[0] == told[2]
    assert told[1] == pytest.approx(told[3], rel=SAME_CASES)


def test_the_whole_pool_is_that_of_the_matcher_which_takes_it(tmp_path: Path) -> None:
    (matched,) = run(tmp_path / "matched", study_helpers.STUDY).outcomes
    whole = next(r for r in matched.runs if r.family == "entire-pool")
    text = study_helpers.STUDY.replace(
        '{ plugin = "pre-outcomes-units", ratio = 2 }', '{ plugin = "whole-pool" }'
    )
    (everyone,) = run(tmp_path / "everyone", text).outcomes
    assert everyone.main is not None
    figures = [(r.estimate, r.std_error, r.df) for r in (whole, everyone.main)]
    assert figures[0] == pytest.approx(figures[1], rel=SAME_CASES)
    assert (whole.n_units, whole.n_treated_units) == (17, 5)
    moot = next(r for r in everyone.runs if r.family == "entire-pool")
    assert (moot.status, moot.estimate) == ("not applicable", None)


def test_a_result_reads_back_as_it_was(result: StudyResult) -> None:
    again = StudyResult.from_json(result.to_json())
    for one, other in zip(result.outcomes, again.outcomes, strict=True):
        assert one.adjusted == other.adjusted
        assert one.smallest_effect == other.smallest_effect
        assert one.rating == other.rating
        assert one.further_ratings == other.further_ratings
        assert one.runs == other.runs


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("smallest_effect = 2", SettingsError, "smallest_effect and smallest_effect_reason go"),
        ('smallest_effect_reason = "x"', SettingsError, "smallest_effect and smallest"),
        ('smallest_effect = 0\nsmallest_effect_reason = "x"', SettingsError, "smallest_effect"),
    ],
)
def test_a_size_needs_its_reason(
    given: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    text = study_helpers.STUDY.replace('label = "Score"', f'label = "Score"\n{given}')
    with pytest.raises(error, match=said):
        Study.from_toml(study_helpers.write(tmp_path, text))


def test_an_unknown_confirmatory_outcome_is_told(tmp_path: Path) -> None:
    text = study_helpers.STUDY + '\n[multiplicity]\nconfirmatory = ["tidy-valeu"]\n'
    with pytest.raises(StudyError, match=r"the study has no outcome 'tidy-valeu'.*tidy-value"):
        Study.from_toml(study_helpers.write(tmp_path, text))


def test_points_are_hundredths_of_a_share(tmp_path: Path) -> None:
    given = 'smallest_effect = 3\nsmallest_effect_reason = "x"'
    text = study_helpers.STUDY.replace('label = "Score"', f'label = "Score"\n{given}')
    study = Study.from_toml(study_helpers.write(tmp_path, text))
    (choice,) = study.plan.file.outcomes
    info = (
        load_plugins()
        .outcome("rereferral")
        .info(load_plugins().settings("outcome", "rereferral", {}, "test"))
    )
    share, days = (
        choice.smallest(info),
        choice.smallest(replace(info, binary=False, measure="days")),
    )
    assert share is not None
    assert days is not None
    assert (share.value, days.value) == (0.03, 3.0)


def test_another_size_makes_no_estimate_again(tmp_path: Path) -> None:
    given = 'smallest_effect = {}\nsmallest_effect_reason = "x"'
    path = study_helpers.write(tmp_path / "s", study_helpers.STUDY, study_helpers.table(cases=6))
    plain = path.read_text()
    folder, verdicts, kept = tmp_path / "stations", [], []
    for size in (0.5, 50):
        path.write_text(plain.replace('label = "Score"', f'label = "Score"\n{given.format(size)}'))
        stations = StepCache.at(folder)
        (outcome,) = Study.from_toml(path).run(workers=1, stations=stations).outcomes
        assert outcome.rating is not None
        verdicts.append(outcome.rating.direction)
        kept.append(sorted(file.name for file in folder.rglob("*") if file.is_file()))
    assert verdicts == ["decrease", "no effect that matters"]
    assert kept[0] == kept[1]
    assert len(kept[0]) > 10


def test_the_spread_and_the_distance_from_the_pool_are_those_of_the_cases(tmp_path: Path) -> None:
    cases = study_helpers.table(cases=6)
    above = cases["unit"].isin(study_helpers.PILOTS)
    cases.loc[above, "value"] += 5.0
    (outcome,) = run(tmp_path, study_helpers.STUDY, cases).outcomes
    before = cases[cases["period"] < min(study_helpers.PILOTS.values())]
    means = before.groupby("unit")["value"].mean()
    pilots = means.index.isin(list(study_helpers.PILOTS))
    expected = (means[pilots].mean() - means[~pilots].mean()) / means[~pilots].std()
    assert outcome.quality["pilots_above_pool"] == pytest.approx(expected, rel=SAME_CASES)
    assert expected > 1
    assert outcome.quality["value_sd"] == pytest.approx(
        float(np.std(cases.loc[above, "value"])), rel=SAME_CASES
    )
    assert outcome.rating is not None
    assert outcome.rating.level == "low"
    assert any("standard deviations from the pool" in r.sentence for r in outcome.rating.reasons)


def test_records_that_differ_by_the_tipping_difference_take_the_estimate_to_zero() -> None:
    """Counted: 200 of 1,000 records unusable; the pilots fell by 6 points against the others."""
    usable, unusable, rate = 800, 200, 0.40
    effect = -0.06
    different = tipping_difference(effect, unusable / (usable + unusable))
    hidden = (usable * rate + unusable * (rate + different)) / (usable + unusable)
    assert hidden - rate == pytest.approx(-effect)
