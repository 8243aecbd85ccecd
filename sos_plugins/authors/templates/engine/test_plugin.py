"""The engine gives what the reference engine of the estimator gives."""

import pytest

from sos_plugins.authors import testing
from sos_plugins.host.registry import load_plugins

plugin = testing.plugin_beside(__file__, "plugin.py")
HOST = load_plugins().estimator(plugin.HOST)


@pytest.mark.parametrize("check", testing.estimator_checks(HOST, engine=plugin.ENGINE), ids=str)
def test_contract_of_the_estimator(check: testing.Check) -> None:
    check()


def test_agreement_with_the_reference() -> None:
    sample = testing.example_sample(HOST.sample, effect=0.5, seed=7)
    compared = testing.assert_engines_agree(HOST, sample, engines=(HOST.engines[0], plugin.ENGINE))
    assert compared == (HOST.engines[0].name, "new-engine")


def test_it_says_what_it_cannot_do() -> None:
    options = HOST.Settings.model_validate({"vcov": "CR0"})
    assert "CR2" in plugin.ENGINE.limits(testing.example_sample(), options)
