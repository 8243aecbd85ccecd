"""Honest bounds in R: ``honest_bounds.R``, written apart from the bounds in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sos_estimators.diagnostics.coefficients import REFERENCE, EventCoefficients
from sos_estimators.diagnostics.honest import Delta, HonestBounds, RobustInterval
from sos_estimators.diagnostics.relative_magnitudes import DRAWS, draw_noise
from sos_estimators.diagnostics.smoothness import refuse_singular
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_plugins.r import client as r


def honest_bounds_in_r(
    path: EventCoefficients,
    *,
    delta: Delta = "relative-magnitudes",
    m: Sequence[float],
    target: str = "average",
    conf_level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> HonestBounds:
    """Bound an effect as :func:`honest_bounds` does, in R.

    R gets the draws that Python would take, so that both give the same numbers.

    Raises:
        EngineError: If R fails, as for a negative m.
        EstimationError: If there is no such lag, or, under smoothness, the covariance is singular.
    """
    path.weights(target)
    if delta == "smoothness":
        refuse_singular(path)
    given: dict[str, Any] = {
        "covariance": path.covariance,
        "delta": delta,
        "m": np.array(m, float),
        "target": target,
        "conf_level": conf_level,
    }
    if delta == "relative-magnitudes":
        given["noise"] = draw_noise(path, draws=draws, seed=seed)
    events = path.times + REFERENCE
    columns = {"estimate": path.estimates, "event": events}
    answer = r.call(FOLDER / "honest_bounds.R", "honest_bounds_of", columns, given, timeout=TIMEOUT)
    parallel = _intervals(answer["parallel"])[0]
    breakdown = float(answer["breakdown"][0])
    return HonestBounds(
        delta, target, conf_level, parallel, _intervals(answer["intervals"]), breakdown
    )


def _intervals(columns: Mapping[str, Any]) -> tuple[RobustInterval, ...]:
    names = ("m", "estimate", "std_error", "p_value", "conf_low", "conf_high")
    rows = zip(*(columns[name] for name in names), strict=True)
    return tuple(RobustInterval(*map(float, row)) for row in rows)
