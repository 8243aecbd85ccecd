"""What is made once: kept for whoever asks again, by its object alone."""

from __future__ import annotations

import pickle

import pytest

from sos_plugins.authors.testing.examples import example_sample
from sos_plugins.groundwork import remembered
from sos_plugins.groundwork.remembered import MOST_ROWS, Remembered


def test_each_thing_is_made_once() -> None:
    memory = Remembered()
    first = memory.once("list", list)
    assert memory.once("list", list) is first
    assert memory.once(("list", 2), list) is not first
    assert memory.once("nothing", lambda: None) is None
    assert memory.once("nothing", lambda: 1) is None


def test_an_error_is_not_kept() -> None:
    memory = Remembered()
    with pytest.raises(ZeroDivisionError):
        memory.once("share", lambda: 1 / 0)
    assert memory.once("share", lambda: 0.5) == 0.5


def test_of_many_rows_nothing_is_kept() -> None:
    at_most, more = Remembered(MOST_ROWS), Remembered(MOST_ROWS + 1)
    assert at_most.once("list", list) is at_most.once("list", list)
    assert more.once("list", list) is not more.once("list", list)


def test_what_was_made_stays_in_its_process() -> None:
    """Whatever cannot travel is no hindrance, and nothing travels twice."""
    memory = Remembered()
    memory.once("function", lambda: lambda: 1)
    again = pickle.loads(pickle.dumps(memory))
    assert again.once("function", lambda: "made anew") == "made anew"
    more = pickle.loads(pickle.dumps(Remembered(MOST_ROWS + 1)))
    assert more.once("list", list) is not more.once("list", list)


def test_a_large_sample_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = example_sample(n_cases=1)
    assert sample.once("list", list) is sample.once("list", list)
    monkeypatch.setattr(remembered, "MOST_ROWS", len(sample.frame) - 1)
    large = example_sample(n_cases=1)
    assert large.once("list", list) is not large.once("list", list)


def test_a_changed_sample_makes_its_own() -> None:
    sample = example_sample(n_cases=1)
    sample.once("rows", lambda: len(sample.frame))
    half = sample.where(sample.frame["period"] < 2014)
    assert half.once("rows", lambda: len(half.frame)) == len(half.frame) < len(sample.frame)
    each = sample.each(lambda one: one.where(one.frame["period"] < 2012))
    assert each.once("rows", lambda: len(each.frame)) == len(each.frame) < len(half.frame)
