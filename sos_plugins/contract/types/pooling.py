"""Effects of pilots, each estimated alone, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sos_plugins.contract.columns import PILOT_EFFECT_COLUMNS, POOLED_PILOT_COLUMNS
from sos_plugins.errors import DataError, listing


@dataclass(frozen=True)
class PilotEffects:
    """The effects of pilots, one row a pilot.

    Attributes:
        frame: Frame with the columns of
            :data:`sos_plugins.contract.columns.PILOT_EFFECT_COLUMNS`. Standard errors are above
            zero and nothing but the interval is missing.
        left_out: Pilots that have no such row, with the reason.
    """

    frame: pd.DataFrame
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _demand_columns(self.frame, PILOT_EFFECT_COLUMNS, "Effects of pilots")


@dataclass(frozen=True)
class PooledEffects:
    """What the effects of pilots have in common, and how far they differ.

    Effects, errors and the ends of intervals are in the units of the value, ``tau2`` and its ends
    in squared units.

    Attributes:
        plugin: What pooled them.
        engine: Which of its engines.
        n_pilots: How many pilots are pooled.
        estimate: The average effect over authorities like these.
        std_error: Its standard error.
        df: Degrees of freedom of its test and interval; infinite for the normal.
        p_value: Two-sided p value of an average effect of zero.
        conf_low: Lower end of its confidence interval.
        conf_high: Upper end.
        conf_level: Level of every interval.
        tau2: Variance of the true effects between pilots.
        tau2_low: Lower end of its confidence interval.
        tau2_high: Upper end; infinite where the data set none.
        i2: Share of the variation between estimates that is between pilots, 0 to 1.
        q: Cochran's Q, the test of equal effects.
        q_df: Its degrees of freedom.
        q_p_value: Its p value.
        prediction_low: Lower end of the interval for the effect in a further authority like these;
            None where there is none.
        prediction_high: Upper end.
        prediction_df: Degrees of freedom of that interval.
        pilots: Frame with the columns of
            :data:`sos_plugins.contract.columns.POOLED_PILOT_COLUMNS`, one row a pilot.
        method: How, in words: "random effects (REML, Hartung-Knapp)".
        citation: The papers.
        provenance: Plugin, version, engine, settings, packages; the host fills it.
        warnings: Sentences that a reader must see.
    """

    plugin: str
    engine: str
    n_pilots: int
    estimate: float
    std_error: float
    df: float
    p_value: float
    conf_low: float
    conf_high: float
    conf_level: float
    tau2: float
    tau2_low: float
    tau2_high: float
    i2: float
    q: float
    q_df: int
    q_p_value: float
    prediction_low: float | None
    prediction_high: float | None
    prediction_df: float | None
    pilots: pd.DataFrame
    method: str = ""
    citation: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _demand_columns(self.pilots, POOLED_PILOT_COLUMNS, "Pooled effects")


def _demand_columns(frame: pd.DataFrame, columns: Mapping[str, str], what: str) -> None:
    if absent := [name for name in columns if name not in frame]:
        raise DataError(f"{what} lack the columns {listing(absent)}.")
