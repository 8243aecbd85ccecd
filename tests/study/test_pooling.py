"""A study pools the runs of its single pilots, compares engines, and says why where it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from study_helpers import EFFECT, PILOTS, STUDY, write

from sos_plugins import Engine, PilotEffects, PooledEffects
from sos_plugins.authors import testing
from sos_plugins.contract.types import Pilot, Run
from sos_plugins.errors import SosError
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.report import sections
from sos_plugins.report.caterpillar import caterpillar
from sos_plugins.report.findings import pooled_sentence
from sos_plugins.study.plan import PlannedPooling
from sos_plugins.study.pooling import Pooled, pilot_effects, pool, why_not
from sos_plugins.study.result import OutcomeResult, StudyResult
from sos_plugins.study.study import Study

ALONE = STUDY.replace(
    "[rating]",
    '[sensitivity]\nfamilies = ["single-pilot"]\n\n[pooling]\nplugin = "NAME"\n\n[rating]',
)
NAME = "random-effects"
PLANNED = PlannedPooling(NAME, ("python",), load_plugins().pooling(NAME).Settings())


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    text = ALONE.replace('"NAME"', f'"{NAME}"\nengines = ["python"]')
    return Study.from_toml(write(tmp_path_factory.mktemp("pooled"), text)).run()


def test_what_is_pooled_are_the_runs_of_single_pilots(result: StudyResult) -> None:
    (outcome,) = result.outcomes
    assert outcome.pooled is not None
    alone = [run for run in outcome.runs if run.family == "single-pilot"]
    assert outcome.pooled.pilots["estimate"].tolist() == [run.estimate for run in alone]
    assert outcome.pooled.pilots["std_error"].tolist() == [run.std_error for run in alone]
    assert outcome.pooled.pilots["unit"].tolist() == sorted(PILOTS)
    assert not outcome.not_pooled


def test_the_true_effect_lies_in_both_intervals(result: StudyResult) -> None:
    pooled = result.outcomes[0].pooled
    assert pooled is not None
    assert pooled.conf_low < EFFECT < pooled.conf_high
    assert pooled.prediction_low is not None
    assert pooled.prediction_high is not None
    assert pooled.prediction_low < EFFECT < pooled.prediction_high
    assert pooled.prediction_low < pooled.conf_low
    assert pooled.provenance["plugin"] == NAME


@pytest.mark.pictures
def test_the_result_survives_json_and_the_page_says_it(result: StudyResult) -> None:
    again = StudyResult.from_json(result.to_json())
    before, after = result.outcomes[0].pooled, again.outcomes[0].pooled
    assert before is not None
    assert after is not None
    assert after.pilots.to_dict() == before.pilots.to_dict()
    assert replace(after, pilots=before.pilots) == before
    section = sections.page_of(again).outcomes[0]
    sentence = pooled_sentence(again.outcomes[0])
    assert sentence.startswith("In the next authority like these the change would be expected")
    assert section.in_common[0] == sentence
    assert section.pilots is not None
    assert section.pilots.table.frame["estimate"].is_monotonic_increasing
    assert all(f"Pilot {unit}" in section.pilots.svg for unit in PILOTS)
    assert "Average effect" in section.pilots.svg
    assert "Next authority" in section.pilots.svg


def test_without_runs_of_single_pilots_nothing_is_pooled(tmp_path: Path) -> None:
    text = ALONE.replace('"NAME"', f'"{NAME}"').replace('"single-pilot"', '"no-covariates"')
    outcome = Study.from_toml(write(tmp_path, text)).run().outcomes[0]
    assert outcome.pooled is None
    assert "'single-pilot'" in outcome.not_pooled


def test_a_wrong_name_is_refused_before_data_are_read(tmp_path: Path) -> None:
    with pytest.raises(SosError, match="'random-effect' is not registered"):
        Study.from_toml(write(tmp_path, ALONE.replace('"NAME"', '"random-effect"')))


def test_of_several_poolings_the_study_has_to_name_one(tmp_path: Path) -> None:
    path = write(tmp_path)
    text = Path(testing.__file__).parents[1] / "templates" / "pooling" / "plugin.py"
    (tmp_path / "another.py").write_text(text.read_text())
    (tmp_path / "plugins.toml").write_text('[plugins]\npaths = ["another.py"]\n')
    with pytest.raises(SosError, match=r"Several plugins pool .*: new-pooling, random-effects"):
        Study.from_toml(path)


# One by one ---------------------------------------------------------------------------------------


def pilots(n: int) -> list[Pilot]:
    return [Pilot(f"90{i}", None, None, 2014, f"Pilot {i}") for i in range(1, n + 1)]


def run(estimate: float | None, std_error: float | None, **further: Any) -> Run:
    return Run("single-pilot", "alone", estimate=estimate, std_error=std_error, **further)


RUNS = [run(1.0, 0.5), run(2.0, None), run(3.0, 0.0), run(None, None, reason="It is singular.")]


def test_pilots_without_an_error_are_left_out_with_the_reason() -> None:
    data = pilot_effects([Run("main", "all", estimate=9.0), *RUNS, run(2.0, 0.5)], pilots(5))
    assert data.frame["unit"].tolist() == ["901", "905"]
    assert dict(data.left_out) == {
        "Pilot 2 (902)": "its effect has no standard error",
        "Pilot 3 (903)": "the standard error of its effect is zero",
        "Pilot 4 (904)": "It is singular.",
    }
    found = pool(load_plugins(), PLANNED, data, "an outcome")
    assert found.effects is not None
    assert "Pilot 4 (904): It is singular." in found.effects.warnings[-1]


def test_fewer_than_two_effects_are_not_pooled_and_the_reason_names_the_others() -> None:
    reason = why_not(pilot_effects(RUNS, pilots(4)), PLANNED, 4)
    assert reason.startswith("1 of 4 pilots has an effect with a standard error")
    assert "Pilot 3 (903): the standard error of its effect is zero." in reason
    assert "one pilot" in why_not(pilot_effects(RUNS[:1], pilots(1)), PLANNED, 1)
    assert "installed" in why_not(testing.example_effects(), None, 6)
    assert not why_not(testing.example_effects(), PLANNED, 6)


class Doctored(Registry):
    """The registry with an engine more, which is wrong."""

    def engines(self, name: str) -> list[Engine]:
        own = super().engines(name)

        def wrong(data: PilotEffects, settings: Any) -> PooledEffects:
            right = own[0].fit(data, settings)
            return replace(right, tau2=right.tau2 * (1 + 1e-4))

        def fails(data: PilotEffects, settings: Any) -> PooledEffects:
            raise ZeroDivisionError("by zero")

        return [own[0], Engine("wrong", wrong), Engine("fails", fails)]


def test_engines_that_disagree_or_fail_are_told() -> None:
    known = load_plugins()
    registry = Doctored(**vars(known))
    found = pool(registry, replace(PLANNED, engines="all"), testing.example_effects(2.0), "outcome")
    wrong, fails = found.agreements
    assert (wrong.engine, wrong.verdict, wrong.worst_term) == ("wrong", "disagree", "tau2")
    assert (fails.engine, fails.verdict) == ("fails", "not run")
    assert "ZeroDivisionError" in fails.reason
    assert found.effects is not None
    assert found.effects.engine == "python"


def test_where_no_engine_runs_the_reason_is_given() -> None:
    known = load_plugins()
    registry = Doctored(**vars(known))
    found = pool(registry, replace(PLANNED, engines=("fails",)), testing.example_effects(), "x")
    assert isinstance(found, Pooled)
    assert found.effects is None
    assert "ZeroDivisionError" in found.reason


@pytest.mark.pictures
def test_the_sentence_of_two_pilots_is_of_the_average_alone(result: StudyResult) -> None:
    data = PilotEffects(testing.example_effects().frame.head(2))
    pooled = pool(load_plugins(), PLANNED, data, "x").effects
    outcome: OutcomeResult = replace(result.outcomes[0], pooled=pooled)
    assert pooled_sentence(outcome).startswith("On average over 2 pilots the change is")
    chart = caterpillar(outcome, "pilots")
    assert chart is not None
    assert "Average effect" in chart.svg
    assert "Next authority" not in chart.svg
