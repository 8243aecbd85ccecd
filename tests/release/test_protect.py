"""Secondary suppression, against every table of whole numbers that fits what is shown."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sos_plugins.release import ReleaseRules
from sos_plugins.release.cells import Ledger
from sos_plugins.release.protect import protect
from sos_plugins.release.rules import could_be, rounded

EXACT = ReleaseRules(min_count=4, round_to=1)
"""A low threshold, so that all tables can be counted through."""


def two_way(cells: np.ndarray, rules: ReleaseRules) -> Ledger:
    """Make a table whose margins are known."""
    ledger = Ledger(rules)
    keys = [
        [ledger.count(f"{i},{j}", int(n)) for j, n in enumerate(r)] for i, r in enumerate(cells)
    ]
    for row in (*keys, *zip(*keys, strict=True)):
        ledger.known_total(row)
    return ledger


def possible(ledger: Ledger, suppressed: frozenset[str]) -> dict[str, set[int]]:
    """Return what each count can be in some table of whole numbers that fits what is known."""
    most = max((r.total for r in ledger.relations), default=20)
    ranges = []
    for key, value in ledger.counts.items():
        low, high = could_be(rounded(value, ledger.rules.round_to), ledger.rules)
        ranges.append(range(most + 1) if key in suppressed else range(low, high + 1))
    found: dict[str, set[int]] = {key: set() for key in ledger.counts}
    names = list(ledger.counts)
    for values in itertools.product(*ranges):
        table = dict(zip(names, values, strict=True))
        if all(sum(f * table[k] for k, f in r.terms) == r.total for r in ledger.relations):
            for key, value in table.items():
                found[key].add(value)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_no_small_cell_of_a_two_way_table_can_be_told(seed: int) -> None:
    cells = np.random.default_rng(seed).integers(0, 9, (2, 3))
    ledger = two_way(cells, EXACT)
    protection = protect(ledger)
    lost = {one.terms[0][0] for one in protection.unprotected}
    found = possible(ledger, protection.suppressed)
    for key, value in ledger.counts.items():
        if value < EXACT.min_count:
            assert key in protection.suppressed
            safe = min(found[key]) == 0 and max(found[key]) >= EXACT.min_count
            assert safe == (key not in lost)


def test_a_single_small_cell_takes_three_others_with_it() -> None:
    ledger = two_way(np.array([[2, 30, 40], [30, 50, 60], [40, 60, 70]]), ReleaseRules(round_to=1))
    protection = protect(ledger)
    assert protection.unprotected == ()
    assert "0,0" in protection.suppressed
    rows = [key.split(",")[0] for key in protection.suppressed]
    columns = [key.split(",")[1] for key in protection.suppressed]
    assert all(rows.count(n) != 1 for n in set(rows))
    assert all(columns.count(n) != 1 for n in set(columns))


def test_two_small_cells_that_share_a_small_sum_need_a_third() -> None:
    ledger = Ledger(ReleaseRules(round_to=1))
    keys = [ledger.count(str(n), n) for n in (3, 5, 20, 40)]
    ledger.known_total(keys)
    assert protect(ledger).suppressed == {"3", "5", "20"}


def test_rounding_alone_can_protect_a_cell() -> None:
    ledger = Ledger(ReleaseRules(round_to=10))
    keys = [ledger.count(f"{n}/{i}", n) for i, n in enumerate((3, 40, 50, 60))]
    ledger.known_total(keys)
    assert protect(ledger).suppressed == {"3/0"}


def test_a_difference_of_few_children_takes_one_of_the_two_counts() -> None:
    ledger = Ledger(ReleaseRules())
    more, less = ledger.count("all", 1003), ledger.count("most", 1000)
    ledger.must_differ(more, less)
    assert protect(ledger).suppressed == {"most"}


def test_a_share_goes_with_its_whole_and_when_its_rest_is_small() -> None:
    ledger = Ledger(ReleaseRules())
    for name, part, whole in (("rest", 95, 100), ("whole", 5, 8), ("fine", 40, 100)):
        ledger.part(f"{name}/part", part, ledger.count(f"{name}/n", whole))
    assert protect(ledger).suppressed == {"rest/part", "whole/part", "whole/n"}


def test_what_was_shown_before_is_no_help() -> None:
    ledger = Ledger(ReleaseRules(round_to=1))
    keys = [ledger.count(str(n), n) for n in (3, 20, 40)]
    ledger.known_total(keys)
    ledger.out.add("20")
    assert protect(ledger).suppressed == {"3", "40"}
    ledger.out.add("40")
    assert [one.value for one in protect(ledger).unprotected] == [3]
