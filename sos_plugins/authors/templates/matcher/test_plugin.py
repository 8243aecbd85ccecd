"""The contract of a matcher, and a twin that must be found."""

from dataclasses import replace

import pandas as pd
import pytest

from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")


@pytest.mark.parametrize("check", testing.matcher_checks(plugin.NewMatcher()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_a_twin_in_the_pool_is_the_nearest() -> None:
    task = testing.example_unit_task()
    twin = task.features.loc[["P1"]].rename(index={"P1": "Twin"})
    task = replace(task, features=pd.concat([task.features, twin]))
    matched = plugin.match(task, plugin.NewMatcherSettings())
    first = matched.distances.query("pilot == 'P1' and rank == 1").iloc[0]
    assert (first["comparator"], first["distance"]) == ("Twin", 0.0)
