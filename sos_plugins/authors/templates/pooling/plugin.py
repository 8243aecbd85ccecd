"""Pooling new-pooling: one effect that all pilots share.

A working example to change: the pilots are averaged by the precision of their effects, as if the
true effect were the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field
from scipy.special import chdtrc, ndtr, ndtri

from sos_plugins import Engine, PilotEffects, PooledEffects, Pooling, Settings, hookimpl
from sos_plugins.errors import EstimationError

STILL_THE_EXAMPLE = "one effect for all pilots"  # take this line out when it is yours


class NewPoolingSettings(Settings):
    """How wide intervals are."""

    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the intervals")


def fit(data: PilotEffects, settings: NewPoolingSettings) -> PooledEffects:
    """Average the effects of at least two pilots by their precision."""
    frame, n = data.frame, len(data.frame)
    if n < 2:
        raise EstimationError(f"Effects are pooled from at least two pilots; there are {n}.")
    precision = 1 / frame["std_error"].to_numpy(float) ** 2
    values = frame["estimate"].to_numpy(float)
    estimate = float(np.average(values, weights=precision))
    error = float(1 / np.sqrt(precision.sum()))
    half = float(ndtri((1 + settings.conf_level) / 2)) * error
    q = float(precision @ (values - estimate) ** 2)
    shared = {"shrunken": estimate, "shrunken_std_error": error}
    return PooledEffects(
        plugin="new-pooling",
        engine="python",
        n_pilots=n,
        estimate=estimate,
        std_error=error,
        df=float("inf"),
        p_value=float(2 * ndtr(-abs(estimate / error))),
        conf_low=estimate - half,
        conf_high=estimate + half,
        conf_level=settings.conf_level,
        tau2=0.0,
        tau2_low=0.0,
        tau2_high=0.0,
        i2=0.0,
        q=q,
        q_df=n - 1,
        q_p_value=float(chdtrc(n - 1, q)),
        prediction_low=None,
        prediction_high=None,
        prediction_df=None,
        pilots=frame.assign(
            weight=precision / precision.sum(),
            **shared,
            shrunken_low=estimate - half,
            shrunken_high=estimate + half,
        ),
        method="a common effect",
        warnings=("Effects are taken to be the same in all pilots.",),
    )


class NewPooling(Pooling):
    """One effect for all pilots, the more certain ones counting more."""

    name = "new-pooling"
    label = "New pooling"
    Settings = NewPoolingSettings
    citation = ""
    engines = (Engine("python", fit),)


@hookimpl
def register_poolings(register: Callable[[Pooling], None]) -> None:
    """Register the pooling."""
    register(NewPooling())
