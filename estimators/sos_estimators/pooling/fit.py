"""Random effects: the average effect over pilots, its error, and what the next pilot may expect.

Hartung, J. and Knapp, G. (2001), A refined method for the meta-analysis of controlled clinical
trials with binary outcome, Statistics in Medicine 20(24), 3875-3889; IntHout, J., Ioannidis, J. and
Borm, G. (2014), The Hartung-Knapp-Sidik-Jonkman method for random effects meta-analysis is
straightforward and considerably outperforms the standard DerSimonian-Laird method, BMC Medical
Research Methodology 14, 25; Higgins, J., Thompson, S. and Spiegelhalter, D. (2009), A re-evaluation
of random-effects meta-analysis, Journal of the Royal Statistical Society A 172(1), 137-159.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import chdtrc

from sos_estimators.pooling import check
from sos_estimators.pooling.between import Effects, q_profile, reml
from sos_estimators.pooling.pooled import pooled_effects
from sos_estimators.pooling.settings import Errors, PredictionDf, RandomEffectsSettings
from sos_plugins.authors.results import t_quantile, t_two_sided
from sos_plugins.contract.types import PilotEffects, PooledEffects

FURTHER_LOST = {"k-1": 1, "k-2": 2}
"""Pilots that the degrees of freedom of a prediction interval are fewer by."""


def random_effects(
    effects: npt.ArrayLike,
    std_errors: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    errors: Errors = "hartung-knapp",
    safeguard: bool = True,
    prediction_df: PredictionDf = "k-2",
    conf_level: float = 0.95,
) -> PooledEffects:
    """Pool the effects of pilots by random effects.

    >>> pooled = random_effects([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], names=["A", "B", "C"])
    >>> round(pooled.estimate, 6), round(pooled.std_error, 6), round(pooled.tau2, 6)
    (2.0, 0.57735, 0.75)

    Args:
        effects: Effect in each of k pilots, (k,), in the units of the value.
        std_errors: Their standard errors, (k,), above zero and taken as known.
        names: Names of the pilots, k; numbered unless given.
        errors: ``hartung-knapp`` with t(k - 1), ``adhoc`` (the same, its factor at least 1) or
            ``wald`` with the normal distribution.
        safeguard: Never give an interval that is narrower than that of a common effect.
        prediction_df: Degrees of freedom of the prediction interval, of k pilots.
        conf_level: Level of the intervals, between 0 and 1.

    Returns:
        The pooled effect, the variance between pilots, and the pilots in the light of all.

    Raises:
        DataError: If effects and errors differ in length.
        EstimationError: If there are fewer than two pilots, or an error is missing or not above 0.
        SettingsError: If an option is none of those above.
    """
    data = _as_pilots(effects, std_errors, names)
    chosen = {"errors": errors, "safeguard": safeguard, "conf_level": conf_level}
    return fit(data, RandomEffectsSettings.of(**chosen, prediction_df=prediction_df))


def _as_pilots(
    effects: npt.ArrayLike, std_errors: npt.ArrayLike, names: Sequence[str] | None
) -> PilotEffects:
    values, given = np.atleast_1d(np.asarray(effects, float)), np.asarray(std_errors, float)
    named = [str(n) for n in (range(1, len(values) + 1) if names is None else names)]
    check.same_length(values, np.atleast_1d(given), named)
    frame = pd.DataFrame({"unit": named, "name": named, "estimate": values, "std_error": given})
    return PilotEffects(frame.assign(conf_low=np.nan, conf_high=np.nan))


def fit(data: PilotEffects, settings: RandomEffectsSettings) -> PooledEffects:
    """Pool by the engine ``python``.

    Args:
        data: The effects of at least two pilots.
        settings: The settings.

    Raises:
        EstimationError: If there are fewer than two pilots, or an error is missing or not above 0.
    """
    values, errors = check.usable(data)
    return pooled_effects(data, settings, _figures(Effects(values, errors**2), settings), "python")


def _figures(effects: Effects, settings: RandomEffectsSettings) -> dict[str, Any]:
    """Return the figures of :class:`PooledEffects` by name."""
    tau2, df = reml(effects), len(effects.values) - 1
    low, high = q_profile(effects, settings.conf_level)
    mean, q = Average.of(effects, tau2, settings), effects.distance(0.0)
    return {
        **mean.figures(settings.conf_level),
        "tau2": tau2,
        "tau2_low": low,
        "tau2_high": high,
        "i2": _i2(effects, tau2),
        "q": q,
        "q_df": df,
        "q_p_value": float(chdtrc(df, q)),
        **mean.prediction(df + 1 - FURTHER_LOST[settings.prediction_df], settings.conf_level),
        **mean.shrunken(settings.conf_level),
    }


def _i2(effects: Effects, tau2: float) -> float:
    """Return the share of the variance between pilots by that of a typical pilot's error."""
    weights = effects.weights(0.0)
    typical = (len(weights) - 1) / (weights.sum() - (weights**2).sum() / weights.sum())
    return float(tau2 / (tau2 + typical))


@dataclass(frozen=True)
class Average:
    """The pooled effect with its error, and the effects it was made of."""

    effects: Effects
    tau2: float
    estimate: float
    std_error: float
    df: float

    @classmethod
    def of(cls, effects: Effects, tau2: float, settings: RandomEffectsSettings) -> Average:
        """Average the effects and measure the error as the settings say.

        Args:
            effects: Effects of k pilots.
            tau2: Variance between pilots.
            settings: The settings.
        """
        df = len(effects.values) - 1
        wald = 1 / np.sqrt(effects.weights(tau2).sum())
        common = 1 / np.sqrt(effects.weights(0.0).sum())
        factor = effects.distance(tau2) / df
        factor = max(factor, 1.0) if settings.errors == "adhoc" else factor
        error = (wald, np.inf) if settings.errors == "wald" else (wald * np.sqrt(factor), df)
        share = (1 + settings.conf_level) / 2
        narrower = error[0] * t_quantile(share, error[1]) < common * t_quantile(share, np.inf)
        chosen = (common, np.inf) if settings.safeguard and narrower else error
        return cls(effects, tau2, effects.mean(tau2), float(chosen[0]), float(chosen[1]))

    def figures(self, conf_level: float) -> dict[str, Any]:
        """Return the pooled effect, its error, test and interval.

        Args:
            conf_level: Level of the interval.
        """
        half = float(t_quantile((1 + conf_level) / 2, self.df)) * self.std_error
        check.some_error(self.std_error)
        return {
            "estimate": self.estimate,
            "std_error": self.std_error,
            "df": self.df,
            "p_value": float(t_two_sided(self.estimate / self.std_error, self.df)),
            "conf_low": self.estimate - half,
            "conf_high": self.estimate + half,
        }

    def prediction(self, df: int, conf_level: float) -> dict[str, Any]:
        """Return the interval for the effect in a further authority; None without freedom.

        Args:
            df: Its degrees of freedom.
            conf_level: Its level.
        """
        if df < 1:
            return dict.fromkeys(("prediction_low", "prediction_high", "prediction_df"))
        error = float(np.hypot(self.std_error, np.sqrt(self.tau2)))
        half = float(t_quantile((1 + conf_level) / 2, df)) * error
        ends = {"prediction_low": self.estimate - half, "prediction_high": self.estimate + half}
        return {**ends, "prediction_df": float(df)}

    def shrunken(self, conf_level: float) -> dict[str, Any]:
        """Return weights, and the best linear unbiased predictions of the pilots' true effects.

        Args:
            conf_level: Level of their intervals.
        """
        weights = self.effects.weights(self.tau2)
        own = self.tau2 * weights
        values = own * self.effects.values + (1 - own) * self.estimate
        error = np.sqrt(own * self.effects.variances + ((1 - own) * self.std_error) ** 2)
        half = t_quantile((1 + conf_level) / 2, self.df) * error
        return {
            "weight": weights / weights.sum(),
            "shrunken": values,
            "shrunken_std_error": error,
            "shrunken_low": values - half,
            "shrunken_high": values + half,
        }
