"""The contract of a pooling, and an average worked out by hand."""

import pytest

from sos_plugins import PilotEffects
from sos_plugins.authors import testing

plugin = testing.plugin_beside(__file__, "plugin.py")
SETTINGS = plugin.NewPoolingSettings()


@pytest.mark.parametrize("check", testing.pooling_checks(plugin.NewPooling()), ids=str)
def test_contract(check: testing.Check) -> None:
    check()


def test_twice_the_error_counts_a_quarter() -> None:
    frame = testing.example_effects().frame.head(2)
    frame = frame.assign(estimate=[1.0, 6.0], std_error=[1.0, 2.0])
    pooled = plugin.fit(PilotEffects(frame), SETTINGS)
    assert pooled.estimate == pytest.approx((4 * 1.0 + 1 * 6.0) / 5)
    assert pooled.pilots["weight"].tolist() == pytest.approx([0.8, 0.2])
