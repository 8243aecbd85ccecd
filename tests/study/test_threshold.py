"""A threshold on an outcome: what it says, its values, and what cannot have one."""

from __future__ import annotations

from pathlib import Path

import pytest
import study_helpers
from declared_outcomes import CHOICES

from sos_plugins.cache.store import StepCache
from sos_plugins.cells.collected import CollectedCases
from sos_plugins.contract.types import OutcomeInfo
from sos_plugins.errors import SettingsError, StudyError
from sos_plugins.study.study import OutcomeStep, Read, Study
from sos_plugins.study.threshold import Threshold

DAYS = OutcomeInfo(
    name="duration",
    label="Duration",
    phrase="duration",
    question="How long?",
    binary=False,
    measure="days",
    expected="decrease",
    expected_note="shorter is better",
)


def with_threshold(bound: str) -> str:
    return study_helpers.STUDY.replace('phrase = "the score"', f"threshold = {bound}")


def cases_of(path: Path, cache: StepCache) -> CollectedCases:
    study = Study.from_toml(path)
    session = study.session()
    read = Read(study.read(session), key="the same records")
    cases = OutcomeStep(study.plan, session, read, study.plan.file.outcomes[0], cache).cases()
    assert isinstance(cases, CollectedCases), cases
    return cases


@pytest.mark.parametrize(
    ("bound", "beyond"),
    [
        ("above", lambda value, at: value > at),
        ("at_least", lambda value, at: value >= at),
        ("below", lambda value, at: value < at),
        ("at_most", lambda value, at: value <= at),
    ],
)
def test_cases_are_yes_or_no_by_the_value(tmp_path, bound, beyond):
    cache = StepCache.at(tmp_path / "stations")
    plain = cases_of(study_helpers.write(tmp_path / "plain"), cache).frame
    at = float(
        plain["value"].iloc[0]
    )  # a value that a case has, so that "at" is told from "beyond"
    text = with_threshold(f"{{ {bound} = {at!r} }}")
    cases = cases_of(study_helpers.write(tmp_path / "cut", text), cache)
    assert not cache.reused  # a threshold is part of what the cases rest on
    plain["value"] = [float(beyond(value, at)) for value in plain["value"]]
    key = ["unit", "period", "value"]
    assert cases.frame.groupby(key).size().equals(plain.groupby(key).size())
    assert (cases.info.binary, cases.info.measure) == (True, "proportion")


def test_the_direction_turns_round_below():
    above, below = Threshold(above=45).info(DAYS, "x"), Threshold(below=45).info(DAYS, "x")
    assert (above.expected, below.expected) == ("decrease", "increase")
    assert (above.label, below.phrase) == ("Duration above 45 days", "duration below 45 days")
    assert (above.expected_note, below.expected_note) == ("shorter is better", "")


def test_the_page_has_one_of_another_plugin():
    choice = CHOICES["assessment-above-35"]
    assert (choice.plugin, choice.threshold.bound) == ("assessment-duration", ("above", 35.0))


def test_an_outcome_of_yes_and_no_has_none(tmp_path):
    text = with_threshold("{ above = 0.5 }\nbinary = true")
    with pytest.raises(StudyError, match=r"\[\[outcomes\]\] 1: .* outcome of yes and no"):
        Study.from_toml(study_helpers.write(tmp_path, text))


@pytest.mark.parametrize("bound", ["{}", "{ above = 1, below = 2 }"])
def test_there_is_one_bound(tmp_path, bound):
    with pytest.raises(SettingsError, match="expected one of above, at_least, at_most, below"):
        Study.from_toml(study_helpers.write(tmp_path, with_threshold(bound)))
