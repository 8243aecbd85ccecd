"""Engines in R: our own script on base R, and the package ``did`` of CRAN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.callaway_santanna.aggregation import missing_sentences, no_effect
from sos_estimators.callaway_santanna.group_time import rank_limit
from sos_estimators.callaway_santanna.preparation import GroupTimeSample, prepare
from sos_estimators.callaway_santanna.result import build_estimate, estimate_of_own, undrawn
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.own_effects import OwnErrors
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT, covariate, rows
from sos_plugins.authors.results import without_std_errors
from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.r import client as r

DRDID_EXACT = [1, 4]
"""From this version on drdid_rc of DRDID has the exact derivative."""
DID_OVERLAP, DID_TRIM = 0.999, 0.995
"""Cut-offs that are fixed inside the R packages did and DRDID."""


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with ``callaway_santanna.R``.

    Args:
        sample: Cases in calendar periods.
        options: Arguments of the method.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    prepared = prepare(sample, options)
    columns = {name: covariate(prepared.frame[name]) for name in prepared.covariates}
    options = options.decided(few=prepared.plan.few)
    cut_offs = options.model_dump(include={"overlap", "trim", "scores"})
    cut_offs["own_effects"] = options.errors == "own-effects"
    answer = _call("callaway_santanna", prepared, options, columns, cut_offs)
    missing = dict(zip(answer["missing"], answer["reason"], strict=True))
    planned = {comparison.term for comparison in prepared.plan.comparisons}
    warnings = missing_sentences({term: why for term, why in missing.items() if term in planned})
    if not answer["term"]:
        raise no_effect(missing)
    return _estimate(answer, prepared, options, warnings)


def fit_did(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with ``att_gt`` and ``aggte`` of the R package ``did``.

    Args:
        sample: Cases in calendar periods.
        options: Arguments of the method.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    prepared = prepare(sample, options)
    options = options.decided(few=prepared.plan.few)
    design = prepared.design
    columns = {name: design.matrix[:, j] for j, name in enumerate(design.names, 1)}
    answer = _call("callaway_santanna_did", prepared, options, columns, {})
    estimate = _estimate(answer, prepared, options, [])
    version = r.versions(["DRDID"])["DRDID"]
    known = scores_of_drdid(version)
    if options.scores != known and prepared.rests_on_scores(options):
        return without_std_errors(estimate, f"DRDID {version} has scores = '{known}' only")
    return estimate


def _call(
    function: str,
    prepared: GroupTimeSample,
    options: CallawaySantAnnaSettings,
    covariates: Mapping[str, Any],
    further: Mapping[str, Any],
) -> dict[str, Any]:
    """Call a function of the script of its name; settings that are none are left to R."""
    frame = prepared.frame
    names = ["period", "cohort", "value", "weight", "cluster"]
    columns = {name: frame[name].to_numpy() for name in names}
    if prepared.panel:
        columns["id"] = frame["_key"].to_numpy()
    given = options.model_dump(
        include={"control", "method", "base", "anticipation", "aggregate", "min_event", "max_event"}
    )
    known = {name: value for name, value in given.items() if value is not None}
    return r.call(
        FOLDER / f"{function}.R",
        function,
        {**columns, **covariates},
        {**known, "covariates": list(covariates), **further},
        timeout=TIMEOUT,
    )


def scores_of_drdid(version: str) -> str:
    """Return the value of ``scores`` that a version of the R package DRDID computes.

    Args:
        version: Such as ``1.2.3``.

    >>> scores_of_drdid("1.2.3"), scores_of_drdid("1.10.0")
    ('published', 'exact')
    """
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    return "exact" if numbers >= DRDID_EXACT else "published"


def did_limits(sample: Sample, options: CallawaySantAnnaSettings) -> str | None:
    """Say what the R package ``did`` cannot do of what is asked.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Arguments of the estimator.
    """
    if options.method != "reg" and (options.overlap, options.trim) != (DID_OVERLAP, DID_TRIM):
        return f"did has the fixed cut-offs overlap={DID_OVERLAP} and trim={DID_TRIM}"
    return rank_limit(sample, options)


def _estimate(
    answer: Mapping[str, Any],
    prepared: GroupTimeSample,
    options: CallawaySantAnnaSettings,
    warnings: list[str],
) -> Estimate:
    """Order terms; leave out effects that the cases cannot give, which R names without a value."""
    place = {c.term: (j,) for j, c in enumerate(prepared.plan.comparisons)}
    names = list(answer["term"])
    kept = [j for j, term in enumerate(names) if term in place or "ATT" not in term]
    kept.sort(key=lambda j: (names[j] != "overall", place.get(names[j]) or _number(names[j])))
    ordered = [names[j] for j in kept]
    values = _quiet(answer["estimate"])[kept]
    told = [f"R warns: {' '.join(sentence.split())}" for sentence in answer["warnings"]]
    if "own_df" in answer:
        scores = rows(_quiet(answer["own_scores"]), len(names))[:, kept]
        errors = OwnErrors(scores, np.atleast_1d(_quiet(answer["own_df"]))[kept])
        return estimate_of_own(ordered, values, errors, prepared.plan, options, [*warnings, *told])
    estimate = build_estimate(
        ordered,
        values,
        _quiet(answer["std_error"])[kept],
        prepared.plan,
        options,
        [*warnings, *told],
        covariance=_covariance(answer),
    )
    return undrawn(estimate, options)


def _covariance(answer: Mapping[str, Any]) -> pd.DataFrame | None:
    """Name the covariance of the terms that have a standard error; did gives none."""
    if "covaried" not in answer:
        return None
    names = list(answer["covaried"] or ())
    values = np.asarray(answer["covariance"], dtype=float).reshape(len(names), len(names))
    return pd.DataFrame(values, index=names, columns=names)


def _quiet(numbers: npt.ArrayLike) -> Floats:
    """Replace R's NA, a nan that makes arithmetic warn, by a plain one."""
    values = np.array(numbers, dtype=float)
    values[np.isnan(values)] = np.nan
    return values


def _number(term: str) -> tuple[int, ...]:
    """The number of ``event=-1``; none of ``overall``."""
    _, _, number = term.partition("=")
    return (int(number),) if number else ()
