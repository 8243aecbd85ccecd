"""Estimates of many deals added up: shares with their Monte Carlo errors, and what is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

LEVEL, WANTED = 0.05, 0.8
"""Level of the tests, and the power at which an effect counts as one that is found."""
ROOM = 0.01
"""Part of an effect that may be missing before it is said that a rate had no room for it."""
FIGURES = ("estimate", "std_error", "p_value", "conf_low", "conf_high")
TABLE_COLUMNS = (
    *("outcome", "estimator", "effect", "n", "n_failed", "power", "power_error"),
    *("coverage", "coverage_error", "mean_estimate", "mean_std_error", "sd_estimate"),
)


def summarised(rows: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Add up estimates to shares.

    Args:
        rows: One row an outcome, estimator, deal and effect: the effect that was asked for and the
            one planted, and the figures of the estimate or a reason.

    Returns:
        Frame of :data:`TABLE_COLUMNS`, and sentences on deals that gave no p value and on effects
        for which a rate had no room.
    """
    frame = pd.DataFrame(list(rows))
    frame = frame.reindex(columns=list(dict.fromkeys([*frame, *FIGURES, "reason"])))
    frame[list(FIGURES)] = frame[list(FIGURES)].apply(pd.to_numeric, errors="coerce")
    lines: list[dict[str, Any]] = []
    notes: list[str] = []
    for _, part in frame.groupby(["outcome", "estimator", "effect"], sort=False):
        lines.append(_line(part))
        notes.extend(_notes(part))
    return pd.DataFrame(lines, columns=list(TABLE_COLUMNS)), tuple(dict.fromkeys(notes))


def _line(part: pd.DataFrame) -> dict[str, Any]:
    known = part[part["p_value"].notna()]
    inside = (known["conf_low"] <= known["planted"]) & (known["conf_high"] >= known["planted"])
    power, power_error = share_with_error(known["p_value"] < LEVEL)
    coverage, coverage_error = share_with_error(inside)
    return {
        "outcome": part["outcome"].iloc[0],
        "estimator": part["estimator"].iloc[0],
        "effect": mean_planted(part),
        "n": len(known),
        "n_failed": len(part) - len(known),
        "power": power,
        "power_error": power_error,
        "coverage": coverage,
        "coverage_error": coverage_error,
        "mean_estimate": float(known["estimate"].mean()),
        "mean_std_error": float(known["std_error"].mean()),
        "sd_estimate": float(known["estimate"].std()),
    }


def _notes(part: pd.DataFrame) -> Iterator[str]:
    first = part.iloc[0]
    effect, planted = float(first["effect"]), mean_planted(part)
    if abs(planted) < abs(effect) * (1 - ROOM):
        yield (
            f"{first['outcome']}: a rate has no room for {effect:.3g} in every pilot; "
            f"{planted:.3g} was planted on average."
        )
    lost = part[part["p_value"].isna()]
    if len(lost) and effect == 0:
        reasons = lost["reason"].dropna()
        why = next((str(reason) for reason in reasons if reason), "it has no standard error.")
        yield (
            f"{first['outcome']}: {first['estimator']} gave no p value in {len(lost)} of "
            f"{len(part)} deals, such as: {why}"
        )


def mean_planted(part: pd.DataFrame) -> float:
    """Return the effect that was planted on average: exactly the one asked for where all were."""
    planted = part["planted"]
    return float(planted.iloc[0] if planted.nunique() == 1 else planted.mean())


def share_with_error(values: pd.Series[bool]) -> tuple[float, float]:
    """Return a share and its Monte Carlo standard error.

    With none or all of n, the error is that of one in n: nobody knows that the share is 0.

    Args:
        values: Whether it was so, (n,).
    """
    n = len(values)
    if not n:
        return float("nan"), float("nan")
    share = float(values.mean())
    inner = min(max(share, 1 / n), 1 - 1 / n) if n > 1 else share
    return share, float(np.sqrt(inner * (1 - inner) / n))


def smallest_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row an outcome and estimator: size, coverage, smallest effect that is found.

    Args:
        table: Frame of :data:`TABLE_COLUMNS` in which every estimator has a row without effect.
    """
    lines = []
    for _, part in table.groupby(["outcome", "estimator"], sort=False):
        none = part[part["effect"] == 0].iloc[0]
        found = detectable(part["effect"].to_numpy(), part["power"].to_numpy())
        size = {"size": none["power"], "size_error": none["power_error"]}
        kept = ("outcome", "estimator", "coverage", "coverage_error")
        lines.append({**{name: none[name] for name in kept}, **size, "detectable": found})
    return pd.DataFrame(lines)


def detectable(
    effects: np.ndarray[Any, Any], power: np.ndarray[Any, Any], wanted: float = WANTED
) -> float:
    """Return the smallest effect that is found with the power that is wanted.

    Args:
        effects: Effects that were planted, (k,), in any order and of one sign, with 0.
        power: Share of deals that found each, (k,).
        wanted: Power between 0 and 1.

    Returns:
        The effect, with its sign, where the line between two neighbours first reaches the power;
        nan where it does not, or is there without an effect.

    >>> round(detectable(np.array([0.0, -1.0, -2.0]), np.array([0.05, 0.60, 1.0])), 3)
    -1.5
    """
    order = np.argsort(np.abs(effects), kind="stable")
    sizes, shares = np.abs(effects)[order], power[order]
    reached = np.flatnonzero(shares >= wanted)
    if not len(reached) or reached[0] == 0:
        return float("nan")
    at = reached[0]
    low, high = shares[at - 1], shares[at]
    size = sizes[at - 1] + (wanted - low) / (high - low) * (sizes[at] - sizes[at - 1])
    return float(np.sign(effects[order][at]) * size)
