"""The figures of an engine as pooled effects, with the sentences that belong to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sos_estimators.pooling.settings import RandomEffectsSettings
from sos_plugins.contract.columns import PILOT_EFFECT_COLUMNS, POOLED_PILOT_COLUMNS
from sos_plugins.contract.types import PilotEffects, PooledEffects

NAME = "random-effects"
CITATION = (
    "Viechtbauer (2005), JEBS 30(3); Hartung and Knapp (2001), Statistics in Medicine 20(24); "
    "IntHout, Ioannidis and Borm (2014), BMC Medical Research Methodology 14:25; Higgins, Thompson "
    "and Spiegelhalter (2009), JRSS A 172(1); Viechtbauer (2007), Statistics in Medicine 26(1)"
)
IN_WORDS = {
    "hartung-knapp": "Hartung-Knapp",
    "adhoc": "Hartung-Knapp, at least Wald",
    "wald": "Wald",
}
FIGURES_OF_PILOTS = tuple(c for c in POOLED_PILOT_COLUMNS if c not in PILOT_EFFECT_COLUMNS)
"""Figures that an engine gives for each pilot."""
FEW = 5
"""Fewer pilots hardly tell the variance between them. Where errors are equal and small, its
interval reaches to (k - 1) / q times the estimate, q the 2.5% quantile of chi-square on k - 1
degrees of freedom: 8 times with five pilots, 14 with four, 40 with three, 1,000 with two."""


def pooled_effects(
    data: PilotEffects,
    settings: RandomEffectsSettings,
    figures: Mapping[str, Any],
    engine: str,
    told: tuple[str, ...] = (),
) -> PooledEffects:
    """Make pooled effects of the figures that an engine gave.

    Args:
        data: The effects of k pilots.
        settings: The settings.
        figures: Figures of :class:`PooledEffects` by name, and those of each pilot, (k,).
        engine: Name of the engine.
        told: What the engine warned of.
    """
    single = {name: value for name, value in figures.items() if name not in FIGURES_OF_PILOTS}
    pilots = data.frame[list(PILOT_EFFECT_COLUMNS)].reset_index(drop=True)
    return PooledEffects(
        plugin=NAME,
        engine=engine,
        n_pilots=len(pilots),
        conf_level=settings.conf_level,
        pilots=pilots.assign(**{name: figures[name] for name in FIGURES_OF_PILOTS}),
        method=f"random effects (REML, {IN_WORDS[settings.errors]})",
        citation=CITATION,
        warnings=(*_warnings(len(pilots), single, settings), *told),
        **single,
    )


def _warnings(n: int, figures: Mapping[str, Any], settings: RandomEffectsSettings) -> Iterator[str]:
    if n == 2:
        yield "Two pilots hardly tell how far effects differ between authorities."
    elif n < FEW:
        yield f"{n} pilots hardly tell how far effects differ between authorities."
    if figures["prediction_df"] is None:
        yield (
            "There is no interval for the next authority: with two pilots it has no degrees of "
            "freedom."
        )
    if figures["tau2"] == 0:
        yield (
            "The effects differ no more than their errors make them, so the variance between "
            "pilots is estimated as zero. It may still be above zero: see its interval."
        )
    if figures["tau2_high"] == 0:
        yield "The effects are more alike than their standard errors say; these may be too large."
    if settings.errors != "wald" and np.isinf(figures["df"]):
        yield (
            "The pilots are so alike that the interval after Hartung and Knapp would be narrower "
            "than if all effects were the same; that of a common effect is given."
        )
