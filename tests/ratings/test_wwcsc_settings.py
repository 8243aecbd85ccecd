"""The thresholds of the rating as settings: what they are, and what a study may set."""

from __future__ import annotations

import pytest
from sos_ratings.wwcsc import WwcscSettings

from sos_plugins.errors import SettingsError
from sos_plugins.host.settings import validate

SHARES = (
    *("usable", "worst", "covered", "same_direction", "significant", "pilots_parallel"),
    *("families_same", "families_significant"),
)
MOST = ("shift", "faulty")
NUMBERS = ("runs", "pilots", "families")
SIZES = ("change", "engines", "imbalance_units", "imbalance_cases", "above_pool")
"""What has no upper bound: sizes relative to another."""


def test_the_thresholds_are_those_of_the_documentation() -> None:
    assert WwcscSettings().model_dump() == {
        "style": "second-edition", "significance": 0.05, "leads_level": 0.05, "leads_power": 0.8,
        "breakdown_high": 1.0,
        "tipping_moderate": 0.5, "tipping_high": 0.8, "families_moderate": 3, "families_high": 5,
        "families_same_moderate": 0.75, "families_same_high": 1.0,
        "families_significant_moderate": 0.75, "families_significant_high": 1.0,
        "engines_moderate": 0.5, "engines_high": 0.1,
        "imbalance_units_moderate": 0.5, "imbalance_units_high": 0.25,
        "imbalance_cases_moderate": 0.25, "imbalance_cases_high": 0.1,
        "above_pool_moderate": 1.0, "above_pool_high": 0.5,
        "usable_moderate": 0.75, "usable_high": 0.95, "worst_moderate": 0.5, "worst_high": 0.9,
        "shift_moderate": 0.1, "shift_high": 0.02, "faulty_moderate": 0.25, "faulty_high": 0.05,
        "covered_moderate": 0.6, "covered_high": 0.9, "runs_moderate": 3, "runs_high": 10,
        "same_direction_moderate": 0.9, "same_direction_high": 1.0,
        "significant_moderate": 0.8, "significant_high": 1.0,
        "change_moderate": 0.5, "change_high": 0.25,
        "pilots_parallel_moderate": 0.6, "pilots_parallel_high": 0.9,
        "pilots_moderate": 4, "pilots_high": 20,
    }  # fmt: skip


def accepted(**values: float) -> bool:
    try:
        validate(WwcscSettings, values, where="[rating]")
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("name", [*SHARES, *MOST])
def test_shares_run_from_0_to_1(name: str) -> None:
    moderate, high = f"{name}_moderate", f"{name}_high"
    assert accepted(**{moderate: 0, high: 0})
    assert accepted(**{moderate: 1, high: 1})
    assert not accepted(**{moderate: -0.01, high: 0})
    assert not accepted(**{moderate: 1.01, high: 1})
    assert not accepted(**{moderate: 0, high: -0.01})
    assert not accepted(**{moderate: 1, high: 1.01})
    assert not accepted(**{moderate: -0.01, high: -0.01})
    assert not accepted(**{moderate: 1.01, high: 1.01})


@pytest.mark.parametrize("value", [-0.01, 1.01])
@pytest.mark.parametrize("level", ["moderate", "high"])
@pytest.mark.parametrize("name", [*SHARES, *MOST])
def test_a_share_out_of_bounds_is_said_to_be_so(name: str, level: str, value: float) -> None:
    """And not that high and moderate are out of order, which is true too."""
    other = {"moderate": "high", "high": "moderate"}[level]
    between = min(max(value, 0), 1)
    with pytest.raises(SettingsError) as told:
        validate(WwcscSettings, {f"{name}_{level}": value, f"{name}_{other}": between}, where="x")
    assert f"'{name}_{level}'" in str(told.value)
    assert "must be at" not in str(told.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_below_1_is_said_to_be_so(name: str) -> None:
    with pytest.raises(SettingsError) as told:
        validate(WwcscSettings, {f"{name}_moderate": 1, f"{name}_high": 0}, where="x")
    assert f"'{name}_high'" in str(told.value)
    assert "must be at" not in str(told.value)


def test_a_change_below_0_is_said_to_be_so() -> None:
    with pytest.raises(SettingsError) as told:
        validate(WwcscSettings, {"change_moderate": -0.01, "change_high": 0}, where="x")
    assert "'change_moderate'" in str(told.value)
    assert "must be at" not in str(told.value)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_begin_at_1(name: str) -> None:
    assert accepted(**{f"{name}_moderate": 1, f"{name}_high": 1})
    assert not accepted(**{f"{name}_moderate": 0, f"{name}_high": 1})
    assert not accepted(**{f"{name}_moderate": 0, f"{name}_high": 0})


def test_a_power_runs_from_0_to_1() -> None:
    assert [accepted(leads_power=v) for v in (-0.1, 0, 1, 1.1)] == [False, True, True, False]


@pytest.mark.parametrize("name", ["significance", "leads_level"])
def test_levels_lie_between_0_and_1(name: str) -> None:
    assert [accepted(**{name: v}) for v in (0, 0.001, 0.999, 1)] == [False, True, True, False]
    assert not accepted(**{name: -0.5})
    assert not accepted(**{name: 1.5})


@pytest.mark.parametrize("name", [*SIZES, "tipping"])
def test_a_size_has_no_upper_bound(name: str) -> None:
    moderate, high = f"{name}_moderate", f"{name}_high"
    assert accepted(**{moderate: 0, high: 0})
    assert accepted(**{moderate: 9, high: 9})
    assert not accepted(**{moderate: 0.5, high: -0.01})
    assert not accepted(**{moderate: -0.01, high: -0.01})
    assert not accepted(**{moderate: -0.01, high: 0.5})


def test_a_style_is_one_of_two() -> None:
    assert accepted(style="wwcsc-2021")  # type: ignore[arg-type]
    assert not accepted(style="wwcsc-2022")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*SHARES, *NUMBERS, "tipping"])
def test_high_asks_for_no_less_than_moderate(name: str) -> None:
    low, much = (2, 3) if name in NUMBERS else (0.4, 0.5)
    assert accepted(**{f"{name}_moderate": much, f"{name}_high": much})
    assert not accepted(**{f"{name}_moderate": much, f"{name}_high": low})


@pytest.mark.parametrize("name", [*MOST, *SIZES])
def test_high_allows_no_more_than_moderate(name: str) -> None:
    assert accepted(**{f"{name}_moderate": 0.4, f"{name}_high": 0.4})
    assert not accepted(**{f"{name}_moderate": 0.4, f"{name}_high": 0.5})
