"""The contract of an estimator, and a figure worked out by hand."""

import pandas as pd
import pytest

from sos_plugins import Sample
from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")


@pytest.mark.parametrize("check", testing.estimator_checks(plugin.NewEstimator()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_two_groups_by_hand() -> None:
    # Group a: the pilot goes from 1 to 5, its comparator from 2 to 3: 4 - 1 = 3.
    # Group b: the pilot goes from 0 to 2, its comparator from 1 to 2: 2 - 1 = 1.
    values = {"a": (1, 5), "ca": (2, 3), "b": (0, 2), "cb": (1, 2)}
    rows = [
        {
            "unit": unit,
            "group": unit[-1],
            "cluster": unit,
            "period": 2010 + post,
            "cohort": 2011 if len(unit) == 1 else 0,
            "treated": int(len(unit) == 1),
            "post": post,
            "value": float(value),
            "weight": 1.0,
        }
        for unit, both in values.items()
        for post, value in enumerate(both)
    ]
    estimate = plugin.fit_python(Sample(pd.DataFrame(rows)), plugin.NewEstimatorSettings())
    term = estimate.term("ATT")
    assert (term["estimate"], term["std_error"], term["df"]) == (2.0, 1.0, 1)
