"""Random effects in R: ``random_effects.R``, on the package metafor."""

from __future__ import annotations

from typing import Any

import numpy as np

from sos_estimators.pooling import check
from sos_estimators.pooling.pooled import FIGURES_OF_PILOTS, pooled_effects
from sos_estimators.pooling.settings import RandomEffectsSettings
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_plugins.contract.interfaces import Requirement
from sos_plugins.contract.types import PilotEffects, PooledEffects
from sos_plugins.r import client as r

R_METAFOR = Requirement("r", "metafor", "Debian: sudo apt-get install r-cran-metafor")


def fit(data: PilotEffects, settings: RandomEffectsSettings) -> PooledEffects:
    """Pool by the engine ``r``.

    Args:
        data: The effects of at least two pilots.
        settings: The settings.

    Raises:
        EstimationError: If there are fewer than two pilots, or an error is missing or not above 0.
        EngineError: If R fails.
    """
    values, errors = check.usable(data)
    answer = r.call(
        FOLDER / "random_effects.R",
        "random_effects_of",
        {"estimate": values, "std_error": errors},
        settings.model_dump(),
        timeout=TIMEOUT,
    )
    told = answer.pop("warnings")
    figures = {name: _figure(name, value) for name, value in answer.items()}
    check.some_error(figures["std_error"])
    return pooled_effects(data, settings, figures, "r", tuple(map(str, told)))


def _figure(name: str, value: Any) -> Any:
    """Return figures of pilots as they are, of others the number, None where there is none."""
    if name in FIGURES_OF_PILOTS:
        return value
    number = float(np.ravel(value)[0])
    if name == "q_df":
        return int(number)
    return None if np.isnan(number) and name.startswith("prediction") else number
