"""Columns as whole numbers, against pandas; what is kept of a sample changes no estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sos_estimators.did import Did
from sos_estimators.event_study import EventStudy
from sos_estimators.sample import coded
from sos_estimators.sample.coded import Coded, Combined
from sos_estimators.sample.prepare import prepare

from sos_plugins import Estimator, Sample
from sos_plugins.authors.testing.examples import example_sample
from sos_plugins.groundwork import remembered


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "text": rng.choice(["b", "a", "d", "c"], 200),
            "number": rng.integers(-3, 4, 200),
            "real": rng.choice([0.5, -1.5, 2.0], 200),
        }
    )


def columns(frame: pd.DataFrame) -> list[Coded]:
    return [Coded.of(frame[name]) for name in frame]


def test_levels_are_those_of_pandas(frame: pd.DataFrame) -> None:
    some = frame["number"].to_numpy() > 0
    for name, made in zip(frame, columns(frame), strict=True):
        category = frame[name].astype("category").cat
        assert made.codes.tolist() == category.codes.tolist()
        assert list(made.levels) == list(category.categories)
        assert made.have(some).tolist() == frame[name].isin(frame[name][some]).tolist()
        assert made.texts(some) == sorted(frame[name][some].astype(str).unique())


@pytest.mark.parametrize("largest", [coded.LARGEST, 20])
def test_combinations_are_the_groups_of_pandas(
    frame: pd.DataFrame, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So too where numbers of combinations would be too large, of which 20 stands for the limit."""
    monkeypatch.setattr(coded, "LARGEST", largest)
    made = Combined.of(columns(frame))
    groups = frame.groupby([*frame], sort=True)
    assert made.codes.tolist() == groups.ngroup().tolist()
    first = frame.reset_index().groupby([*frame], sort=True)["index"].min()
    assert made.first.tolist() == first.tolist()


# What a sample keeps -----------------------------------------------------------------------------

FITS: tuple[tuple[Estimator, dict[str, Any]], ...] = (
    (Did(), {"form": "stacked"}),
    (Did(), {"form": "twfe"}),
    (EventStudy(), {}),
    (Did(), {"form": "pilot-post"}),
    (Did(), {"form": "stacked", "always_treated": "keep"}),
    (EventStudy(), {"vcov": "CR1"}),
    (Did(), {"form": "stacked", "vcov": "fixest"}),
)


def fitted(sample: Sample, estimator: Estimator, settings: dict[str, Any]) -> pd.DataFrame:
    return estimator.engines[0].fit(sample, estimator.Settings(**settings)).tidy


def always_treated(sample: Sample) -> Sample:
    """Let one pilot have no case before its adoption, so that settings differ in their rows."""
    pilot = sample.frame.loc[sample.frame["treated"] == 1, "unit"].iloc[0]
    early = (sample.frame["unit"] == pilot) & (sample.frame["post"] == 0)
    return sample.where(~early)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return always_treated(example_sample(effect=1.0, n_cases=4))


@pytest.fixture(scope="module")
def alone(sample: Sample) -> list[pd.DataFrame]:
    """The result of each on a sample of its own, where nothing at all is kept."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(remembered, "MOST_ROWS", 0)
        return [fitted(replace(sample), *fit) for fit in FITS]


@pytest.mark.parametrize("step", [1, -1], ids=["in order", "in reverse"])
def test_whoever_asks_again_gets_the_same_answer(
    sample: Sample, alone: list[pd.DataFrame], step: int
) -> None:
    shared = replace(sample)
    for fit, expected in list(zip(FITS, alone, strict=True))[::step]:
        assert_frame_equal(fitted(shared, *fit), expected, check_exact=True)


def test_settings_that_keep_other_rows_are_kept_apart(sample: Sample) -> None:
    shared = replace(sample)
    dropped, kept = prepare(shared, "stacked"), prepare(shared, "stacked", "keep")
    assert len(dropped.frame) < len(kept.frame)
    assert prepare(shared, "stacked") is dropped
    assert prepare(replace(sample), "stacked") is not dropped


def test_nothing_of_a_sample_is_left_in_one_made_of_it(sample: Sample) -> None:
    """Values times 2: effects and errors times 2, exactly, and not those of before."""
    shared = replace(sample)
    before = fitted(shared, *FITS[0])
    doubled = replace(shared, frame=shared.frame.assign(value=2 * shared.frame["value"]))
    after = fitted(doubled, *FITS[0])
    for column in ("estimate", "std_error"):
        assert after[column].tolist() == (2 * before[column]).tolist()


def test_event_times_leave_the_numbers_of_other_columns_as_they_are(sample: Sample) -> None:
    made = prepare(replace(sample), "stacked")
    event = np.arange(len(made.frame)) % 3
    changed = made.with_event(event, "Said.")
    assert changed.coded("unit") is made.coded("unit")
    assert changed.coded("event").codes.tolist() == event.tolist()
    assert made.coded("event").levels.tolist() == sorted(made.frame["event"].unique())
    assert changed.warnings[-1] == "Said."
