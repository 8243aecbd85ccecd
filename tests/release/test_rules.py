"""The rules of rooms: against closed forms, and against records drawn at random."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from sos_plugins.errors import SettingsError
from sos_plugins.release import PROFILES, ReleaseRules, drafts, rules, rules_of

RULES = ReleaseRules()


@pytest.mark.parametrize("module", [rules, drafts])
def test_examples_run(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]  # it is a module


@pytest.mark.parametrize("zeros", [True, False])
def test_a_count_is_too_small_below_the_threshold_and_a_zero_as_the_room_says(zeros: bool) -> None:
    room = ReleaseRules(suppress_zeros=zeros)
    assert [rules.too_small(n, room) for n in (0, 1, 9, 10)] == [zeros, True, True, False]


@pytest.mark.parametrize("base", [1, 2, 3, 5, 10])
def test_a_rounded_count_could_be_exactly_the_counts_that_round_to_it(base: int) -> None:
    room = ReleaseRules(round_to=base)
    for shown in {rules.rounded(n, base) for n in range(10, 80)}:
        those = [n for n in range(10, 120) if rules.rounded(n, base) == shown]
        assert rules.could_be(shown, room) == (those[0], those[-1])


def test_the_largest_two_dominate_from_nine_tenths_of_the_sum() -> None:
    assert rules.nk_dominant([60, 30, 10], RULES)
    assert not rules.nk_dominant([59, 30, 11], RULES)


def test_the_others_must_reach_a_tenth_of_the_largest() -> None:
    assert rules.p_ratio_dominant([100, 50, 9], RULES)
    assert not rules.p_ratio_dominant([100, 50, 10], RULES)
    assert not rules.p_ratio_dominant([0, 0], RULES)


def test_dominance_says_nothing_of_negative_contributions() -> None:
    with pytest.raises(ValueError, match="negative"):
        rules.nk_dominant([5, -1], RULES)


def test_no_value_is_larger_than_samuelson_allows_and_one_can_be_as_large() -> None:
    rng = np.random.default_rng(1)
    for n in range(2, 40):
        for values in (rng.lognormal(0, 2, n), np.eye(n)[0]):
            most = rules.largest_possible(values.mean(), values.std(ddof=1), n)
            assert values.max() <= most * (1 + 1e-12)
    assert most == pytest.approx(1.0)  # a single one among zeros is the extreme case


def test_what_cannot_be_dominated_never_is() -> None:
    rng = np.random.default_rng(2)
    proven = 0
    for _ in range(300):
        values = rng.lognormal(0, rng.uniform(0.1, 1.5), int(rng.integers(3, 60)))
        if rules.cannot_be_dominated(values.sum(), values.max(), RULES):
            proven += 1
            assert not rules.nk_dominant(values.tolist(), RULES)
            assert not rules.p_ratio_dominant(values.tolist(), RULES)
    assert 50 < proven < 300


def test_freedom_that_is_not_known_is_not_enough() -> None:
    assert rules.enough_freedom(30, 20, RULES)
    assert not rules.enough_freedom(29, 20, RULES)
    assert not rules.enough_freedom(None, 0, RULES)


def test_every_profile_has_a_source_and_names_fields_that_there_are() -> None:
    fields = {*ReleaseRules.__dataclass_fields__, "all"}
    for profile in PROFILES.values():
        assert profile.source
        assert set(profile.unconfirmed) <= fields


def test_what_is_given_goes_before_the_profile() -> None:
    assert rules_of("dfe-publication", min_count=12, round_to=None) == ReleaseRules(
        min_count=12, round_to=10, suppress_zeros=False
    )


def test_a_room_that_is_not_known_and_a_rule_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"no profile 'home'.*acro"):
        rules_of("home")
    with pytest.raises(SettingsError, match="at least 2"):
        rules_of(min_count=1)
