"""The contract of the estimators by weights on the pool, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sos_estimators.synthetic.plugins import AUGMENTED, SYNTHETIC_DID

from sos_plugins import Estimator
from sos_plugins.authors.testing import estimator_checks

SETTINGS: tuple[tuple[Estimator, dict[str, Any]], ...] = (
    (SYNTHETIC_DID, {"draws": 99}),
    (SYNTHETIC_DID, {"draws": 99, "by": "pilot", "errors": "jackknife", "aggregate": "cohort"}),
    (AUGMENTED, {"draws": 99, "errors": "own-effects"}),
)


@pytest.mark.r
@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{plugin.name}-{number}-{check}")
        for number, (plugin, given) in enumerate(SETTINGS)
        for check in estimator_checks(plugin, given)
    ],
)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
