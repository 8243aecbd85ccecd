"""Group-time effects by our own computation, on numpy.

Source: Callaway, B. and Sant'Anna, P. H. C. (2021), Difference-in-differences with multiple time
periods, Journal of Econometrics 225(2), 200-230.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sos_estimators.arrays import Bools, Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import TwoByTwo, control_cohorts
from sos_estimators.callaway_santanna.nuisance import ComparisonError
from sos_estimators.callaway_santanna.preparation import GroupTimeSample, prepare
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.callaway_santanna.two_by_two import TwoByTwoData, effect, full_rank
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, EstimationError

SHOWN = 3
"""Effects that a sentence names."""


@dataclass(frozen=True)
class Observations:
    """What the computation needs of the rows; rows that stand for many cases do as well as cases.

    Attributes:
        period: (n,). A balanced panel is sorted by period, ids in the same order in each.
        cohort: (n,); 0 = never treated.
        value: Outcome, or the weighted mean outcome of a row; (n,).
        weight: Weight, or the sum of weights of a row; (n,).
        design: Covariates with a column of ones first; (n, k).
        cluster: What is taken as independent, numbered from 0; (n,).
        n_clusters: How many there are.
        balanced: Whether the rows are a balanced panel.
        cohorts: Cohorts with an effect; (c,).
        cohort_weight: Weight of each cluster in each of those cohorts; (n_clusters, c). Periods of
            a panel count once.
    """

    period: Ints
    cohort: Ints
    value: Floats
    weight: Floats
    design: Floats
    cluster: Ints
    n_clusters: int
    balanced: bool
    cohorts: Ints
    cohort_weight: Floats


@dataclass(frozen=True)
class GroupTime:
    """Group-time effects.

    Attributes:
        comparisons: What gives the effects, in the order of the arrays.
        att: Estimates, missing where none could be made; (m,).
        scores: Contribution of each cluster to each estimation error; (n_clusters, m). Zero where
            missing. Fewer rows with the same cross products, those of ``cohort_weight`` included,
            give the same standard errors.
        cohorts: Cohorts with an effect; (c,).
        cohort_weight: Weight of each cluster in each cohort; (n_clusters, c).
        cohort_size: Sum of the weights in each cohort; (c,).
        missing: Why an effect is missing, by its name.
    """

    comparisons: tuple[TwoByTwo, ...]
    att: Floats
    scores: Floats
    cohorts: Ints
    cohort_weight: Floats
    cohort_size: Floats
    missing: Mapping[str, str] = field(default_factory=dict)


def observations(prepared: GroupTimeSample) -> Observations:
    """Take from prepared rows what the computation needs.

    Args:
        prepared: The checked sample.
    """
    frame, cohorts = prepared.frame, np.array(prepared.plan.cohorts, dtype=np.int64)
    n_clusters = int(frame["cluster"].max()) + 1
    return Observations(
        period=frame["period"].to_numpy(),
        cohort=frame["cohort"].to_numpy(),
        value=frame["value"].to_numpy(),
        weight=frame["weight"].to_numpy(),
        design=prepared.design.matrix,
        cluster=frame["cluster"].to_numpy(),
        n_clusters=n_clusters,
        balanced=prepared.balanced,
        cohorts=cohorts,
        cohort_weight=_cohort_weight(prepared, cohorts, n_clusters),
    )


def _cohort_weight(prepared: GroupTimeSample, cohorts: Ints, n_clusters: int) -> Floats:
    """Weigh each key once: by its first period in a balanced panel, by its mean in another."""
    frame = prepared.frame
    if prepared.panel:
        how = "first" if prepared.balanced else "mean"
        frame = frame.groupby("_key").agg({"weight": how, "cohort": "first", "cluster": "first"})
    cohort, weight = frame["cohort"].to_numpy(), frame["weight"].to_numpy()
    cluster = frame["cluster"].to_numpy()
    return np.column_stack(
        [np.bincount(cluster, weight * (cohort == g), minlength=n_clusters) for g in cohorts]
    )


def group_time(
    rows: Observations, comparisons: tuple[TwoByTwo, ...], options: CallawaySantAnnaSettings
) -> GroupTime:
    """Estimate all effects, each from its own rows.

    Args:
        rows: The rows.
        comparisons: What gives the effects, m of them.
        options: Arguments of the method.

    Returns:
        The effects; one that cannot be estimated is missing, and ``missing`` says why.
    """
    att = np.full(len(comparisons), np.nan)
    scores = np.zeros((rows.n_clusters, len(comparisons)))
    missing = {}
    for j, (data, chosen) in enumerate(_data_of_each(rows, comparisons, options)):
        if comparisons[j].is_reference:
            att[j] = 0.0
            continue
        try:
            estimated = effect(data, options)
        except ComparisonError as error:
            missing[comparisons[j].term] = str(error)
            continue
        att[j] = estimated.att
        clusters = rows.cluster[chosen]
        scores[:, j] = np.bincount(clusters, estimated.scores, minlength=rows.n_clusters)
    size = rows.cohort_weight.sum(axis=0)
    return GroupTime(comparisons, att, scores, rows.cohorts, rows.cohort_weight, size, missing)


def rank_limit(sample: Sample, options: CallawaySantAnnaSettings) -> str | None:
    """Say so where a covariate does not vary in a group and period of some effect.

    Our engines leave out a column that no case or no needed prediction rests on; the packages of
    others drop the effect, and then average over other effects.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
    """
    if not sample.covariates:
        return None
    try:
        prepared = prepare(sample, options)
    except (DataError, EstimationError):
        return None  # the fit says why
    comparisons = prepared.plan.comparisons
    each = zip(
        comparisons, _data_of_each(observations(prepared), comparisons, options), strict=True
    )
    short = [
        comparison.term
        for comparison, (data, _) in each
        if not (comparison.is_reference or full_rank(data, options))
    ]
    if not short:
        return None
    more = f" and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
    return (
        f"the package drops {', '.join(short[:SHOWN])}{more}, where some covariate does not vary "
        "on its own within a group and period; with fewer covariates or levels it can run"
    )


def _data_of_each(
    rows: Observations, comparisons: tuple[TwoByTwo, ...], options: CallawaySantAnnaSettings
) -> Iterator[tuple[TwoByTwoData, Ints]]:
    """Yield the rows of each comparison, and where its scores belong."""
    at = {int(p): np.flatnonzero(rows.period == p) for p in np.unique(rows.period)}
    data_of = _changes if rows.balanced else _cross_sections
    for one in comparisons:
        used = (rows.cohort == one.cohort) | control_cohorts(rows.cohort, one, options)
        yield data_of(rows, one, at, used)


def _changes(
    rows: Observations, comparison: TwoByTwo, at: dict[int, Ints], used: Bools
) -> tuple[TwoByTwoData, Ints]:
    """Changes of a balanced panel; weights and covariates are those of the earlier period."""
    now, base = at[comparison.period], at[comparison.base]
    here = used[now]
    now, base = now[here], base[here]
    earlier = now if comparison.period < comparison.base else base
    data = TwoByTwoData(
        y=rows.value[now] - rows.value[base],
        treated=rows.cohort[now] == comparison.cohort,
        design=rows.design[earlier],
        weight=rows.weight[earlier],
    )
    return data, now


def _cross_sections(
    rows: Observations, comparison: TwoByTwo, at: dict[int, Ints], used: Bools
) -> tuple[TwoByTwoData, Ints]:
    chosen = np.concatenate([at[comparison.base], at[comparison.period]])
    chosen = chosen[used[chosen]]
    data = TwoByTwoData(
        y=rows.value[chosen],
        treated=rows.cohort[chosen] == comparison.cohort,
        design=rows.design[chosen],
        weight=rows.weight[chosen],
        post=rows.period[chosen] == comparison.period,
    )
    return data, chosen
