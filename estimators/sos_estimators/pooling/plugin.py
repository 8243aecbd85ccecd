"""Pooling by random effects, as a plugin."""

from __future__ import annotations

from collections.abc import Callable

from sos_estimators.pooling import engine_r, fit, pooled
from sos_estimators.pooling.settings import RandomEffectsSettings
from sos_plugins.contract.hookspecs import hookimpl
from sos_plugins.contract.interfaces import Engine, Pooling
from sos_plugins.contract.types import Tolerance

ITERATED = Tolerance(
    1e-6, 1e-10, "metafor iterates to the variance between pilots, and to the ends of its interval"
)


class RandomEffects(Pooling):
    """Effects of pilots pooled by random effects: REML, Hartung-Knapp, a prediction interval.

    The true effects of pilots are taken as draws with a common mean and a variance between pilots.
    It gives the average effect over authorities like these, how far effects differ, the interval
    in which the effect in a further authority is expected, and each pilot's effect in the light of
    all.
    """

    name = pooled.NAME
    label = "Random effects: REML, Hartung-Knapp, prediction interval"
    short_label = "random effects"
    citation = pooled.CITATION
    Settings = RandomEffectsSettings
    engines = (
        Engine("python", fit.fit),
        Engine(
            "r",
            engine_r.fit,
            requires=(engine_r.R_METAFOR,),
            tolerance_estimate=ITERATED,
            tolerance_std_error=ITERATED,
        ),
    )


@hookimpl
def register_poolings(register: Callable[[Pooling], None]) -> None:
    """Register pooling by random effects."""
    register(RandomEffects())
