"""What matchers of cases compare: strata, covariates, and a fixed order of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from sos_matchers.classifiers import ScoreModel
from sos_matchers.features import standardised
from sos_matchers.propensity import Scores
from sos_plugins import Sample
from sos_plugins.cells.compression import counts, is_compressed, squares
from sos_plugins.errors import DataError, DesignError, SettingsError, did_you_mean, listing

WITHIN = ("group", "post")
"""Strata of the 2021 analysis: matched group x before or after the embedding window."""

ScoreModels = Literal["pooled", "separate"]


@dataclass(frozen=True)
class CaseData:
    """Cases that can be matched: those of strata with pilots' and comparators' cases.

    Rows are those of ``positions``: pilots' cases first, then comparators', each in the order in
    which ties are broken.

    Attributes:
        positions: Array (rows,), the row numbers in ``sample.frame``.
        treated: Array (rows,) of 1 and 0.
        weight: Array (rows,) of the weights that the sample came with.
        squares: Array (rows,) of their squares, summed over the cases a row stands for.
        counts: Array (rows,) of how many cases a row stands for.
        stratum: Array (rows,) of numbers of strata, from 0 without gaps.
        strata: What the strata are, in words.
        covariates: Frame (rows, covariates that vary).
        within: The columns that make the strata.
        notes: Sentences on covariates left out.
        warnings: Sentences on strata without comparators.
    """

    positions: np.ndarray
    treated: np.ndarray
    weight: np.ndarray
    squares: np.ndarray
    counts: np.ndarray
    stratum: np.ndarray
    strata: tuple[str, ...]
    covariates: pd.DataFrame
    within: tuple[str, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def of_rows(self, rows: np.ndarray) -> CaseData:
        """Return some of the rows, by a mask; strata without any go."""
        codes, numbers = np.unique(self.stratum[rows], return_inverse=True)
        return replace(
            self,
            positions=self.positions[rows],
            treated=self.treated[rows],
            weight=self.weight[rows],
            squares=self.squares[rows],
            counts=self.counts[rows],
            stratum=numbers,
            strata=tuple(self.strata[code] for code in codes),
            covariates=self.covariates[rows].reset_index(drop=True),
        )


def case_data(
    sample: Sample,
    *,
    covariates: tuple[str, ...] | None,
    within: tuple[str, ...] | None,
    seed: int,
    matcher: str,
) -> CaseData:
    """Collect what is to be matched.

    Args:
        sample: Labelled cases.
        covariates: Covariates to match on; None for all of the sample.
        within: Columns that make the strata; None for matched group and before/after, as far as
            the sample has them.
        seed: Seed of the order in which ties are broken.
        matcher: Name of the matcher, for messages.

    Raises:
        DesignError: If the sample is a panel, has only one side, or nothing varies.
        SettingsError: If a covariate or column is unknown.
        DataError: If a covariate has missing values.
    """
    frame = sample.frame.reset_index(drop=True)
    names = matchable_covariates(sample, covariates, matcher)
    _refuse_gaps(frame[list(names)], matcher)
    columns = known_names(
        within, [str(c) for c in frame.columns], "column of strata", matcher, WITHIN
    )
    stratum, labels = strata_of(frame, columns)
    usable, warnings = _usable(frame, stratum, labels, matcher)
    rows = np.flatnonzero(usable)
    rows = rows[tie_order(frame.iloc[rows], seed)]
    rows = rows[np.argsort(frame["treated"].to_numpy()[rows] != 1, kind="stable")]
    codes, numbers = np.unique(stratum[rows], return_inverse=True)
    kept, notes = _varying(frame[list(names)].iloc[rows].reset_index(drop=True), matcher)
    return CaseData(
        positions=rows,
        treated=(frame["treated"].to_numpy()[rows] == 1).astype(int),
        weight=frame["weight"].to_numpy(float)[rows],
        squares=squares(frame)[rows],
        counts=counts(frame)[rows],
        stratum=numbers,
        strata=tuple(labels[code] for code in codes),
        covariates=kept,
        within=columns,
        notes=notes,
        warnings=warnings,
    )


def matchable_covariates(
    sample: Sample, covariates: tuple[str, ...] | None, matcher: str
) -> tuple[str, ...]:
    """Return the covariates to match on.

    Args:
        sample: Labelled cases.
        covariates: Those that are asked for; None for all of the sample.
        matcher: Name of the matcher, for messages.

    Raises:
        DesignError: If the sample is a panel or has no covariates, or cells have numbers.
        SettingsError: If a covariate is unknown.
    """
    if sample.is_panel:
        raise DesignError(
            f"Matcher '{matcher}': these cases are a panel, whose units are followed over time; "
            "single cases cannot be matched without breaking it. Match authorities instead."
        )
    names = known_names(covariates, sample.covariates, "covariate", matcher)
    if is_compressed(sample.frame):
        levels = sample.frame[list(names)].select_dtypes(exclude="number").columns
        numeric = [c for c in names if c not in levels]
        if numeric:
            raise DesignError(
                f"Matcher '{matcher}': cases compressed to cells cannot be matched on the numeric "
                f"covariates {listing(numeric)}; leave them out, or give the cases."
            )
    if not names:
        raise DesignError(f"Matcher '{matcher}': the sample has no covariates to match on.")
    return names


def known_names(
    chosen: tuple[str, ...] | None,
    known: tuple[str, ...] | list[str],
    what: str,
    matcher: str,
    default: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """Return the names that were chosen, or the default; refuse one that is not known."""
    if chosen is None:
        return tuple(known) if default is None else tuple(c for c in default if c in known)
    for name in chosen:
        if name not in known:
            raise SettingsError(
                f"Matcher '{matcher}': unknown {what} '{name}'.{did_you_mean(name, known)} "
                f"Known: {listing(known)}."
            )
    return chosen


def _refuse_gaps(covariates: pd.DataFrame, matcher: str) -> None:
    missing = covariates.isna().sum()
    found = [f"{name} ({n:,})" for name, n in missing.items() if n]
    if found:
        raise DataError(
            f"Matcher '{matcher}': values are missing of {', '.join(found)} in {len(covariates):,} "
            "rows. Make a level 'Missing' of text, impute numbers, or leave the covariate out."
        )


def strata_of(frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Number the strata that columns make, (rows,), and write what each is."""
    if not columns:
        return np.zeros(len(frame), dtype=int), ["all cases"]
    grouped = frame.groupby(list(columns), sort=True, observed=True)
    first = frame.loc[grouped.head(1).index, list(columns)]
    order = grouped.ngroup().loc[first.index].to_numpy().argsort()
    labels = [
        ", ".join(f"{name} {value}" for name, value in row.items())
        for row in first.iloc[order].to_dict("records")
    ]
    return grouped.ngroup().to_numpy(), labels


def _usable(
    frame: pd.DataFrame, stratum: np.ndarray, labels: list[str], matcher: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find the rows of strata with both sides; say which pilots' cases have no comparators."""
    side = frame["treated"].to_numpy() == 1
    n = counts(frame)
    n_treated = np.bincount(stratum[side], n[side], minlength=len(labels))
    n_control = np.bincount(stratum[~side], n[~side], minlength=len(labels))
    both = (n_treated > 0) & (n_control > 0)
    if not both.any():
        raise DesignError(
            f"Matcher '{matcher}': no stratum has cases of both pilots and comparators, so there "
            "is nothing to match. Check the matched groups, or match within fewer columns."
        )
    warnings = tuple(
        without_comparators(n_treated[s], labels[s])
        for s in np.flatnonzero((n_treated > 0) & (n_control == 0))
    )
    return both[stratum], warnings


def without_comparators(n: float, stratum: str) -> str:
    """Say how many pilots' cases are in a stratum without comparators."""
    return (
        f"{n:,.0f} cases of pilots have no comparators' cases in their stratum ({stratum}) and "
        "were left out."
    )


def tie_order(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """Return an order of rows that is arbitrary but fixed by what the rows say.

    The order follows a hash of every column but the value, the weight and the date, so that neither
    the outcome nor the place of a row in the table decides which of two equal cases is taken; rows
    that agree in all those columns keep their order.
    """
    columns = sorted(c for c in frame.columns if c not in ("value", "weight", "date"))
    keys = pd.util.hash_pandas_object(frame[columns], index=False).to_numpy()
    return np.argsort(_mixed(keys, seed), kind="stable")


def _mixed(keys: np.ndarray, seed: int) -> np.ndarray:
    """Scramble 64-bit keys by a seed (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(seed % 2**32) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def _varying(frame: pd.DataFrame, matcher: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    flat = [name for name in frame.columns if not (frame[name] != frame[name].iloc[0]).any()]
    if len(flat) == len(frame.columns):
        raise DesignError(
            f"Matcher '{matcher}': none of the covariates {listing(frame.columns)} varies among "
            "the cases, so no case is nearer than another."
        )
    if not flat:
        return frame, ()
    what = f"covariate {flat[0]} does" if len(flat) == 1 else f"covariates {', '.join(flat)} do"
    was = "was" if len(flat) == 1 else "were"
    return frame.drop(columns=flat), (f"The {what} not vary and {was} left out.",)


def design_matrix(covariates: pd.DataFrame, counts: np.ndarray | None = None) -> np.ndarray:
    """Return the array (rows, columns): numbers standardised, text as dummies but the first.

    ``counts`` (rows,) says how many cases each row stands for.
    """
    parts = []
    for name in covariates.columns:
        values = covariates[name]
        if pd.api.types.is_numeric_dtype(values):
            parts.append(standardised(values.to_numpy(float)[:, None], counts))
        else:
            levels = text_levels(values)
            parts.append(np.asarray(levels.codes[:, None] == np.arange(1, len(levels.categories))))
    return np.column_stack(parts).astype(float)


def text_levels(values: pd.Series) -> pd.Categorical:
    """Return text with its levels in sorted order, only those that occur."""
    text = values.astype(str)
    return pd.Categorical(text, categories=sorted(text.unique()))


def case_scores(data: CaseData, model: ScoreModel, models: ScoreModels) -> Scores:
    """Fit the propensity score of cases, weighted by the weights of the sample.

    Args:
        data: The cases.
        model: What estimates the score.
        models: ``"pooled"`` for one model with an intercept for every stratum, ``"separate"`` for
            a model in each stratum.

    Raises:
        EstimationError: If a score does not exist or the fit does not converge.
    """
    if model.logistic:  # whose likelihood is the same for rows that are alike, added up
        alike, one_each = alike_rows(data)
        scores = _scores_of_rows(one_each, model, models)
        return Scores(scores.logit[alike], scores.probability[alike])
    return _scores_of_rows(data, model, models)


def alike_rows(data: CaseData) -> tuple[np.ndarray, CaseData]:
    """Add up rows of one stratum with the same covariates, pilots' and comparators' apart.

    Returns:
        Which row of the second each row has become, (rows,), and the rows that there then are:
        weights, their squares and counts are sums, positions those of the first of each.
    """
    alike = data.stratum * 2 + data.treated
    for name in data.covariates.columns:
        codes, levels = pd.factorize(data.covariates[name], use_na_sentinel=False)
        alike = pd.factorize(alike * len(levels) + codes)[0]
    first = np.unique(alike, return_index=True)[1]
    return alike, replace(
        data,
        positions=data.positions[first],
        treated=data.treated[first],
        weight=np.bincount(alike, data.weight),
        squares=np.bincount(alike, data.squares),
        counts=np.bincount(alike, data.counts),
        stratum=data.stratum[first],
        covariates=data.covariates.iloc[first].reset_index(drop=True),
    )


def _scores_of_rows(data: CaseData, model: ScoreModel, models: ScoreModels) -> Scores:
    design = design_matrix(data.covariates, data.counts)
    weight = data.weight
    n_strata = len(data.strata)
    if models == "pooled":
        dummies = data.stratum[:, None] == np.arange(1, n_strata)
        full = np.column_stack([design, dummies])
        return model.fit(full, data.treated, weights=weight, what="cases")
    parts = Scores(np.empty(len(weight)), np.empty(len(weight)))
    for s in range(n_strata):
        rows = data.stratum == s
        what = f"cases in the stratum {data.strata[s]}"
        found = model.fit(design[rows], data.treated[rows], weights=weight[rows], what=what)
        parts.logit[rows], parts.probability[rows] = found.logit, found.probability
    return parts
