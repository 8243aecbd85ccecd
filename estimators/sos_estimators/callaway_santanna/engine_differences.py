"""Engine on the Python package ``differences`` (version 0.3.0).

The package gives its influence functions; standard errors are taken from them here, because its
own have no clusters: it stops at a cluster column.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.aggregation import (
    Term,
    after_treatment,
    missing_sentences,
    no_effect,
    shares_by_term,
)
from sos_estimators.callaway_santanna.group_time import observations, rank_limit
from sos_estimators.callaway_santanna.nuisance import ComparisonError
from sos_estimators.callaway_santanna.preparation import GroupTimeSample, prepare
from sos_estimators.callaway_santanna.result import estimate_of_terms
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.callaway_santanna.two_by_two import (
    NONE_LEFT,
    TwoByTwoData,
    full_rank,
    propensity,
)
from sos_plugins.authors.results import without_std_errors
from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.errors import EngineError, EngineUnavailableError, EstimationError

CONTROL = {"nevertreated": "never_treated", "notyettreated": "not_yet_treated"}
FUNCTION = {"dr": ("dr", "mle"), "ipw": ("std_ipw", "mle"), "reg": ("reg", None)}
AGGREGATE = {"simple": "simple", "event": "event", "cohort": "cohort", "calendar": "time"}
DONE = "estimated"
FIELD = {"event": "relative_period", "cohort": "cohort", "calendar": "time"}
CONVERGED = 1e-4
"""How far variances of the coefficients of a propensity may be from ours, as a share. The package
takes them from the fitted values of the step before the last."""


class _BeyondError(Exception):
    """The package cannot make a comparison that can be made."""


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with ``differences.ATTgt``.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.

    Raises:
        EngineError: If the package fails, or is of another version than its results are read by.
        EngineUnavailableError: If it would have to trim, or does not fit a propensity well.
        DataError, EstimationError: As :func:`prepare`.
    """
    prepared = prepare(sample, options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            terms, missing = collect(fit_model(prepared, options), prepared, options)
    except EstimationError:
        raise
    except Exception as error:
        raise EngineError(f"The package 'differences' failed: {error}") from error
    shared = with_shares(terms, prepared, options)
    estimate = estimate_of_terms(shared, prepared.plan, options, missing)
    if options.scores != "published" and prepared.rests_on_scores(options):
        return without_std_errors(estimate, "differences has scores = 'published' only")
    return estimate


def with_shares(
    terms: Sequence[Term], prepared: GroupTimeSample, options: CallawaySantAnnaSettings
) -> list[Term]:
    """Add how much each treated cluster counts in the terms of the package.

    Args:
        terms: Of the package.
        prepared: The checked sample.
        options: ``aggregate`` is used.
    """
    shares = shares_by_term(observations(prepared), prepared.plan.comparisons, options)
    if any(term.name not in shares for term in terms):
        return list(terms)
    placed = [replace(t, shares=shares[t.name], levels=shares[t.name] * t.estimate) for t in terms]
    first, *rest = placed
    parts = [shares[t.name] * t.estimate for t in rest if after_treatment(t.name)]
    if options.aggregate not in ("event", "calendar") or not parts:
        return placed
    return [replace(first, levels=np.mean(parts, axis=0)), *rest]


def limits(sample: Sample, options: CallawaySantAnnaSettings) -> str | None:
    """Say what the package cannot do of what is asked.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
    """
    if options.min_event is not None or options.max_event is not None:
        return "differences averages over all event times; it has no min_event and max_event"
    frame = sample.frame
    if not (frame["cohort"] == 0).any():
        return "differences needs a never-treated unit here: it drops the last cohort otherwise"
    beyond = frame["cohort"] - frame["period"].max()
    if sample.is_panel and beyond.between(1, options.anticipation).any():
        return (
            "differences takes cohorts treated after the last period for never treated, "
            "even within the anticipation"
        )
    return (_panel_limit(sample) if sample.is_panel else None) or rank_limit(sample, options)


def _panel_limit(sample: Sample) -> str | None:
    keys = ["id", "group"] if sample.has_groups else ["id"]
    used = sample.frame[sample.frame["weight"] > 0]
    if (used.groupby(keys).size() != used["period"].nunique()).any():
        return "differences weights the cohorts of unbalanced panels in another way than did"
    return None


def fit_model(prepared: GroupTimeSample, options: CallawaySantAnnaSettings) -> Any:
    """Return the fitted ``differences.ATTgt``.

    Args:
        prepared: The checked sample.
        options: Arguments of the estimator.
    """
    from differences import ATTgt

    data, formula = _data(prepared)
    model = ATTgt(
        data,
        cohort_column="cohort",
        base_period=options.base,
        anticipation=options.anticipation,
    )
    outcomes: list[str] = []
    beyond: list[str] = []
    try:
        model.fit(
            formula,
            est_method=_function(prepared, options, outcomes, beyond),
            control_group=CONTROL[options.control],
            weights_column="weight",
            n_jobs=1,
            progress_bar=False,
        )
    except Exception:
        if beyond:
            raise _unable(beyond) from None
        if DONE in outcomes:
            raise
        why = "; ".join(dict.fromkeys(outcomes))
        raise EstimationError(f"No effect could be estimated: {why}.") from None
    if beyond:
        raise _unable(beyond)
    return model


def _unable(beyond: list[str]) -> EngineUnavailableError:
    why = "; ".join(dict.fromkeys(beyond))
    return EngineUnavailableError(f"Engine 'differences' of 'callaway-santanna': {why}.")


def collect(
    model: Any, prepared: GroupTimeSample, options: CallawaySantAnnaSettings
) -> tuple[list[Term], list[str]]:
    """Return the terms of a fitted model, and sentences on those that are missing.

    Args:
        model: A fitted ``differences.ATTgt``.
        prepared: The checked sample.
        options: Arguments of the estimator.
    """
    results, missing = _group_time(model, prepared)
    if not any(c.is_post and c.term not in missing for c in prepared.plan.comparisons):
        raise no_effect(missing)
    clusters = _clusters(prepared)
    if options.aggregate == "group-time":
        terms = _aggregated(model, "simple", clusters)
        terms += [_term(name, nt, clusters) for name, nt in results.items()]
    else:
        terms = _aggregated(model, options.aggregate, clusters)
    return terms, missing_sentences(missing)


def _data(prepared: GroupTimeSample) -> tuple[pd.DataFrame, str]:
    names = prepared.design.names
    frame = _rows(prepared).drop(columns="cluster")
    frame["cohort"] = frame["cohort"].astype(float).replace(0, np.nan)
    formula = f"value ~ {' + '.join(names)}" if names else "value"
    return frame.set_index(["_key", "period"]), formula


def _rows(prepared: GroupTimeSample) -> pd.DataFrame:
    """Rows for the package, with covariates as numbers; cross-sections' that are alike added up.

    Its estimators of repeated cross-sections are made of weighted sums, and its influence functions
    are summed by cluster here: cases of one period, cohort and cluster with the same covariates may
    be one row with their weight and their mean.
    """
    names = list(prepared.design.names)
    frame = prepared.frame[["_key", "period", "cohort", "cluster", "value", "weight"]].copy()
    frame[names] = prepared.design.matrix[:, 1:]
    if prepared.balanced:
        return frame
    keys = ["period", "cohort", "cluster", *names]
    frame["value"] *= frame["weight"]
    rows = frame.groupby(keys, as_index=False)[["value", "weight"]].sum()
    rows["value"] /= rows["weight"]
    return rows.assign(_key=np.arange(len(rows)))


def _clusters(prepared: GroupTimeSample) -> Ints:
    """Cluster of each entity of the package, in the order of its influence functions."""
    first = _rows(prepared).groupby("_key", sort=True)["cluster"].first()
    return np.asarray(first.to_numpy(), dtype=np.int64)


def _function(
    prepared: GroupTimeSample,
    options: CallawaySantAnnaSettings,
    outcomes: list[str],
    beyond: list[str],
) -> Callable[..., Mapping[str, Any]]:
    """The package's estimator of one comparison, after the checks that it lacks.

    What becomes of each is noted in ``outcomes``: the package stops when none is left. What only
    the package cannot do is noted in ``beyond``: an average over the rest would be another one.
    """
    from differences.models.did.did_cal import did_cal_funcs

    layout = "panel" if prepared.balanced else "rc"
    compute = did_cal_funcs[(*FUNCTION[options.method], layout)]

    def checked(
        endog: Floats,
        exog: Floats,
        treated: Floats,
        weights: Floats,
        post: Floats | None,
    ) -> Mapping[str, Any]:
        later = None if post is None else post == 1
        rows = TwoByTwoData(endog, treated == 1, exog.astype(float), weights, later)
        try:
            _check(rows, options)
        except ComparisonError as error:
            outcomes.append(str(error))
            raise
        except _BeyondError as error:
            beyond.append(str(error))
            raise
        outcomes.append(DONE)
        result: Mapping[str, Any] = compute(
            endog=endog, exog=exog, treated=treated, weights=weights, post=post
        )
        return result

    return checked


def _check(rows: TwoByTwoData, options: CallawaySantAnnaSettings) -> None:
    _require_rows(rows)
    if not full_rank(rows, options):
        raise ComparisonError("some covariates do not vary on their own in a group and period")
    if options.method != "reg":
        _require_overlap(rows, options)


def _require_rows(rows: TwoByTwoData) -> None:
    periods = [slice(None)] if rows.post is None else [rows.post, ~rows.post]
    if not all(0 < rows.treated[p].sum() < len(rows.treated[p]) for p in periods):
        raise ComparisonError("there are no treated or no comparison cases")


def _require_overlap(rows: TwoByTwoData, options: CallawaySantAnnaSettings) -> None:
    from differences.models.did.pscore_cal import pscore_mle

    fit = propensity(rows.treated, rows.design, rows.weight, options.overlap)
    ours = fit.fitted
    trimmed = ours[~rows.treated] >= options.trim
    if trimmed.all():
        raise ComparisonError(NONE_LEFT)
    if trimmed.any():
        raise _BeyondError(
            f"a comparison case has a propensity of {options.trim:g} or more, and differences "
            "does not trim"
        )
    _, theirs = pscore_mle(rows.treated.astype(float), rows.design, rows.weight)
    information = rows.design.T @ ((rows.weight * ours * (1 - ours))[:, None] * rows.design)
    short = len(fit.kept) < len(information)
    if short or not np.allclose(
        np.diag(theirs), np.diag(np.linalg.inv(information)), rtol=CONVERGED, atol=0
    ):
        raise _BeyondError(
            "the covariates nearly tell treated from comparison cases apart, and the logit of "
            "differences stops before it has converged; method = 'reg' needs no propensity"
        )


def _group_time(model: Any, prepared: GroupTimeSample) -> tuple[dict[str, Any], dict[str, str]]:
    """The package's effects by name, and why one is missing."""
    results = {
        (int(nt.cohort), int(nt.time)): nt for nt in model._result_dict["full_sample"]["ATTgt_ntl"]
    }
    of_terms = {c.term: results[c.cohort, c.period] for c in prepared.plan.comparisons}
    missing = {
        name: str(nt.exception or "differences gives no number")
        for name, nt in of_terms.items()
        if np.isnan(nt.ATT)
    }
    return of_terms, missing


def _aggregated(model: Any, kind: str, clusters: Ints) -> list[Term]:
    model.aggregate(AGGREGATE[kind], overall=kind != "simple")
    instance = model._result_dict["full_sample"]["aggregate_inst"]
    if kind == "simple":
        return [_term("overall", instance.simple[0], clusters)]
    name = AGGREGATE[kind]
    overall = _term("overall", getattr(instance, f"{name}_overall")[0], clusters)
    parts = [
        _term(f"{kind}={getattr(nt, FIELD[kind])}", nt, clusters) for nt in getattr(instance, name)
    ]
    return [overall, *parts]


def _term(name: str, result: Any, clusters: Ints) -> Term:
    """Sum an influence function, scaled as the package does, over clusters."""
    influence = result.influence_func
    if influence is None or np.isnan(result.ATT):
        return Term(name, np.nan, np.zeros(int(clusters.max()) + 1))
    dense = influence.toarray() if hasattr(influence, "toarray") else np.asarray(influence)
    scores = np.bincount(clusters, dense.ravel() / len(clusters)).astype(float)
    return Term(name, float(result.ATT), scores)
