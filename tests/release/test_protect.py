"""Secondary suppression, against every table of whole numbers that fits what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from sos_plugins.errors import DataError
from sos_plugins.release import ReleaseRules
from sos_plugins.release.cells import Ledger, Relation
from sos_plugins.release.protect import protect
from sos_plugins.release.rules import could_be, rounded

EXACT = ReleaseRules(min_count=4, round_to=1)
"""A low threshold, so that small tables have cells on both sides of it."""
MOST = 1000
"""More than any count here: nothing else ends a count that no sum bounds."""


def two_way(cells: np.ndarray, rules: ReleaseRules) -> Ledger:
    """Make a table whose margins are known."""
    ledger = Ledger(rules)
    keys = [
        [ledger.count(f"{i},{j}", int(n)) for j, n in enumerate(r)] for i, r in enumerate(cells)
    ]
    for row in (*keys, *zip(*keys, strict=True)):
        ledger.known_total(row)
    return ledger


def extremes(ledger: Ledger, suppressed: frozenset[str], key: str) -> tuple[int, int]:
    """Return the least and the most that a count is in tables of whole numbers that fit."""
    names = list(ledger.counts)
    known = {
        k: could_be(rounded(v, ledger.rules.round_to), ledger.rules)
        for k, v in ledger.counts.items()
    }
    spans = [(0, MOST) if name in suppressed else known[name] for name in names]
    sums = np.zeros((len(ledger.relations), len(names)))
    for n, relation in enumerate(ledger.relations):
        for name, factor in relation.terms:
            sums[n, names.index(name)] = factor
    totals = [relation.total for relation in ledger.relations]
    goal = np.array([float(name == key) for name in names])
    ends = [
        milp(
            sign * goal,
            integrality=np.ones(len(names)),
            bounds=Bounds(*zip(*spans, strict=True)),
            constraints=LinearConstraint(sums, totals, totals) if totals else (),
        )
        for sign in (1, -1)
    ]
    return round(ends[0].fun), round(-ends[1].fun)


@pytest.mark.parametrize("seed", range(6))
def test_no_small_cell_of_a_two_way_table_can_be_told(seed: int) -> None:
    cells = np.random.default_rng(seed).integers(0, 9, (2, 3))
    ledger = two_way(cells, EXACT)
    protection = protect(ledger)
    lost = {one.terms[0][0] for one in protection.unprotected}
    for key, value in ledger.counts.items():
        if value < EXACT.min_count:
            assert key in protection.suppressed
            least, most = extremes(ledger, protection.suppressed, key)
            assert (least == 0 and most >= EXACT.min_count) == (key not in lost)


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
    ledger.difference(more, less)
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
    ledger.shown_before.add("20")
    assert protect(ledger).suppressed == {"3", "40"}
    ledger.shown_before.add("40")
    assert [one.value for one in protect(ledger).unprotected] == [3]


def test_figures_that_cannot_be_are_a_sentence_and_no_release() -> None:
    ledger = Ledger(EXACT)
    for key, value in (("small", 2), ("large", 20)):
        ledger.count(key, value)
    ledger.relations.append(Relation((("small", 1), ("large", 1)), 5))
    with pytest.raises(DataError, match=r"give away of small could not be .* nothing is released"):
        protect(ledger)
