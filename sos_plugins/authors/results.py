"""Tables of results as the contract wants them: ``tidy``, ``glance`` and the balance of a matching.

What authors of estimators, engines and matchers write with; the built-in ones use the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # scipy.stats takes half a second to import

from sos_plugins.cells.compression import count
from sos_plugins.contract.columns import TIDY_COLUMNS
from sos_plugins.contract.interfaces import BALANCE_COLUMNS
from sos_plugins.contract.types import Estimate, Sample

EQUAL = 1e-12
"""Means closer than this share of the larger one are equal: a rounding error is no imbalance."""


def tidy_rows(
    terms: Sequence[str],
    estimates: npt.ArrayLike,
    std_errors: npt.ArrayLike,
    *,
    df: npt.ArrayLike = np.inf,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return the rows of ``Estimate.tidy``: t statistics, p values and intervals of estimates.

    >>> tidy_rows(["ATT"], [2.0], [1.0], df=1)[["statistic", "p_value", "conf_low"]].round(3)
       statistic  p_value  conf_low
    0        2.0    0.295   -10.706

    Args:
        terms: Names of the terms, p.
        estimates: Their estimates, (p,), in the units of the value.
        std_errors: Their standard errors, (p,). One that is zero is made missing, since no
            estimate is certain; where one is missing there is no statistic, p value or interval.
        df: Degrees of freedom, one for all or (p,); infinite for the normal distribution.
        conf_level: Level of the intervals, between 0 and 1.

    Returns:
        A frame with the columns of :data:`sos_plugins.contract.columns.TIDY_COLUMNS`, one row a
        term.
    """
    effects, given = np.asarray(estimates, dtype=float), np.asarray(std_errors, dtype=float)
    errors = np.where(given > 0, given, np.nan)
    freedom = np.asarray(df, dtype=float)
    statistic = effects / errors
    half = t_quantile((1 + conf_level) / 2, freedom) * errors
    return pd.DataFrame(
        {
            "term": list(terms),
            "estimate": effects,
            "std_error": errors,
            "statistic": statistic,
            "p_value": t_two_sided(statistic, freedom),
            "conf_low": effects - half,
            "conf_high": effects + half,
            "df": np.where(np.isnan(errors), np.nan, freedom),
        }
    )


def t_quantile(share: npt.ArrayLike, df: npt.ArrayLike) -> Any:
    """Return the value below which a share of Student's t lies; normal with infinite ``df``.

    Args:
        share: Between 0 and 1.
        df: Degrees of freedom, of the same shape or one.

    Returns:
        A number, or an array of their shape.
    """
    return np.where(np.isinf(df), ndtri(share), stdtrit(df, share))[()]


def t_two_sided(statistic: npt.ArrayLike, df: npt.ArrayLike) -> Any:
    """Return the share of Student's t that is as far from zero; normal with infinite ``df``.

    Args:
        statistic: Of any shape.
        df: Degrees of freedom, of the same shape or one.

    Returns:
        A number, or an array of their shape.
    """
    far = -np.abs(statistic)
    return 2 * np.where(np.isinf(df), ndtr(far), stdtr(df, far))[()]


def glance(sample: Sample, *, estimand: str, vcov: str, conf_level: float = 0.95) -> dict[str, Any]:
    """Return the facts that every estimator gives: an estimator may add its own.

    Args:
        sample: The sample that was used, of cases or of cells; each case is counted once.
        estimand: What the headline term estimates, in words.
        vcov: The variance estimator, such as ``"CR2"``.
        conf_level: Level of the intervals, between 0 and 1.

    Returns:
        The keys of :data:`sos_plugins.contract.columns.GLANCE_COLUMNS`.
    """
    frame = sample.frame
    return {
        "n_cases": count(frame),
        "n_units": int(frame["unit"].nunique()),
        "n_treated_units": int(frame.loc[frame["treated"] == 1, "unit"].nunique()),
        "n_clusters": int(frame["cluster"].nunique()),
        "n_periods": int(frame["period"].nunique()),
        "estimand": estimand,
        "vcov": vcov,
        "conf_level": conf_level,
    }


def balance_table(
    covariates: pd.DataFrame,
    treated: np.ndarray,
    *,
    weight_before: np.ndarray | None = None,
    weight_after: np.ndarray,
) -> pd.DataFrame:
    """Compare the treated with controls, before and after matching or weighting.

    The definitions are those of MatchIt's ``summary()`` for an effect on the treated (Stuart 2010;
    Austin 2009): differences are divided by the SD of the treated before matching, which is
    ``sqrt(p (1 - p))`` for a column of zeros and ones; where that SD is zero or cannot be computed
    (one pilot), by the SD pooled within both groups. Beside means and variances whole distributions
    are compared: by the largest difference of the cumulative shares (Kolmogorov and Smirnov's
    distance, MatchIt's "eCDF Max"), and by the imbalance L1 of Iacus, King and Porro (2011) of each
    covariate by itself, numbers in bins of equal width over all rows, as many as Sturges' rule has.

    Args:
        covariates: Frame (rows, covariates) without missing values: numbers and booleans are
            compared as they are, everything else level by level.
        treated: Array (rows,) of 1 for the treated and 0 for controls.
        weight_before: Array (rows,) of weights before matching; None for 1 each.
        weight_after: Array (rows,) of weights after matching; 0 for rows that were left out.

    Returns:
        A frame with the columns of :data:`sos_plugins.contract.interfaces.BALANCE_COLUMNS`, one row
        a covariate or level, in the order of the covariates.
    """
    before = np.ones(len(covariates)) if weight_before is None else np.asarray(weight_before, float)
    after = np.asarray(weight_after, float)
    side = np.asarray(treated) == 1
    columns = spread_levels(covariates)
    rows = [_row(name, values, side, before, after) for name, values in columns.items()]
    return pd.DataFrame(rows, columns=list(BALANCE_COLUMNS))


def love_plot_data(balance: pd.DataFrame) -> pd.DataFrame:
    """Return ``covariate, smd_before, smd_after``, the largest absolute difference before first.

    Equal ones stand in the order of their names; missing differences come last.

    Args:
        balance: Frame of :data:`sos_plugins.contract.interfaces.BALANCE_COLUMNS`.
    """
    data = balance[["covariate", "smd_before", "smd_after"]].copy()
    data["_size"] = data["smd_before"].abs()
    data = data.sort_values(["_size", "covariate"], ascending=[False, True], ignore_index=True)
    return data.drop(columns="_size")


def spread_levels(covariates: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return numeric columns by name; a category becomes one 0/1 column a level, sorted.

    Args:
        covariates: Frame of (n,) columns, numbers or text.
    """
    columns: dict[str, np.ndarray] = {}
    for name in covariates.columns:
        values = covariates[name]
        if pd.api.types.is_numeric_dtype(values):
            columns[str(name)] = values.to_numpy(float)
            continue
        text = values.astype(str).to_numpy()
        for level in sorted(set(text)):
            columns[f"{name}={level}"] = (text == level).astype(float)
    return columns


def _row(
    name: str, values: np.ndarray, side: np.ndarray, before: np.ndarray, after: np.ndarray
) -> dict[str, str | float]:
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    means = {
        (group, time): _mean(values[rows], weights[rows])
        for group, rows in (("treated", side), ("control", ~side))
        for time, weights in (("before", before), ("after", after))
    }
    sd = _sd_of_treated(values, side, before, binary=binary)
    return {
        "covariate": name,
        "mean_treated": means["treated", "before"],
        "mean_treated_after": means["treated", "after"],
        "mean_control_before": means["control", "before"],
        "mean_control_after": means["control", "after"],
        "smd_before": _difference(means["treated", "before"], means["control", "before"], sd),
        "smd_after": _difference(means["treated", "after"], means["control", "after"], sd),
        "variance_ratio_before": np.nan if binary else _variance_ratio(values, side, before),
        "variance_ratio_after": np.nan if binary else _variance_ratio(values, side, after),
        **_distances(values, side, before, after, binary=binary),
    }


def _distances(
    values: np.ndarray, side: np.ndarray, before: np.ndarray, after: np.ndarray, *, binary: bool
) -> dict[str, float]:
    """Compare distributions; of a column of zeros and ones both distances are that of the means."""
    if binary:
        gaps = {
            time: abs(_mean(values[side], w[side]) - _mean(values[~side], w[~side]))
            for time, w in (("before", before), ("after", after))
        }
        return {f"{name}_{time}": gaps[time] for name in ("ks", "l1") for time in gaps}
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))
    bins = np.digitize(values, np.histogram_bin_edges(values, "sturges")[1:-1])
    found = {}
    for time, w in (("before", before), ("after", after)):
        gap = _signed_shares(side, w)
        found[f"ks_{time}"] = float(np.abs(np.cumsum(gap[order])[ends]).max())
        found[f"l1_{time}"] = float(np.abs(np.bincount(bins, gap)).sum() / 2)
    return found


def _signed_shares(side: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shares of rows in the weight of their group, negative for controls; missing without any."""
    treated, control = weights[side].sum(), weights[~side].sum()
    if treated <= 0 or control <= 0:
        return np.full(len(weights), np.nan)
    return np.asarray(np.where(side, weights / treated, -weights / control))


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    total = weights.sum()
    return float((weights * values).sum() / total) if total > 0 else np.nan


def _variance(values: np.ndarray, weights: np.ndarray, *, binary: bool) -> float:
    """Variance with reliability weights; with equal weights the usual one with n - 1."""
    if weights.sum() <= 0:
        return np.nan
    share = weights / weights.sum()
    mean = (share * values).sum()
    if binary:
        return float(mean * (1 - mean))
    left = 1 - (share**2).sum()
    return float((share * (values - mean) ** 2).sum() / left) if left > 1e-12 else np.nan


def _sd_of_treated(
    values: np.ndarray, side: np.ndarray, weights: np.ndarray, *, binary: bool
) -> float:
    variance = _variance(values[side], weights[side], binary=binary)
    if np.isfinite(variance) and np.sqrt(variance) > EQUAL * np.abs(values).max(initial=0):
        return float(np.sqrt(variance))
    centred = values.copy()
    for group in (side, ~side):
        centred[group] -= _mean(values[group], weights[group])
    share = weights / weights.sum()
    left = 1.0 if binary else 1 - (share**2).sum()
    return float(np.sqrt((share * centred**2).sum() / left)) if left > 1e-12 else np.nan


def _difference(treated: float, control: float, sd: float) -> float:
    if abs(treated - control) <= EQUAL * max(abs(treated), abs(control)):
        return 0.0
    return (treated - control) / sd if sd > EQUAL * abs(treated - control) else np.nan


def _variance_ratio(values: np.ndarray, side: np.ndarray, weights: np.ndarray) -> float:
    treated = _variance(values[side], weights[side], binary=False)
    control = _variance(values[~side], weights[~side], binary=False)
    return treated / control if control > 0 else np.nan


def without_std_errors(estimate: Estimate, reason: str) -> Estimate:
    """Return the estimates alone, where an engine cannot give the errors that are asked for.

    Whatever rests on standard errors is missing, ``vcov`` in ``glance`` is ``none``, a warning and
    ``no_std_error`` say why, and a cross-check compares estimates only.

    Args:
        estimate: With or without standard errors; it is left as it is.
        reason: Why, as a clause: "pyfixest has no CR2".
    """
    gone = [c for c in TIDY_COLUMNS if c not in ("term", "estimate")]
    return Estimate(
        tidy=estimate.tidy[list(TIDY_COLUMNS)].assign(**dict.fromkeys(gone, float("nan"))),
        glance={**estimate.glance, "vcov": "none", "no_std_error": reason},
        provenance=estimate.provenance,
        warnings=(*estimate.warnings, f"Standard errors are left missing: {reason}."),
    )
