"""Engines in R: our own script on base R, and the package ``did`` of CRAN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_estimators.arrays import Floats
from sos_estimators.callaway_santanna.aggregation import missing_sentences, no_effect
from sos_estimators.callaway_santanna.covariates import levels
from sos_estimators.callaway_santanna.group_time import rank_limit
from sos_estimators.callaway_santanna.preparation import GroupTimeSample, prepare
from sos_estimators.callaway_santanna.result import build_estimate, undrawn
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.sample.prepare import is_category
from sos_plugins.contract.types import Estimate, Sample
from sos_plugins.r import client as r

FOLDER = Path(__file__).resolve().parents[1] / "r"
TIMEOUT = 600.0
"""Seconds after which R is ended."""

DRDID_EXACT = [1, 4]
"""From this version on drdid_rc of DRDID has the exact derivative."""
DID_OVERLAP, DID_TRIM = 0.999, 0.995
"""Cut-offs that are fixed inside the R packages did and DRDID."""


def fit(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with ``callaway_santanna.R``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    prepared = prepare(sample, options)
    frame = prepared.frame
    covariates = {name: _covariate(frame[name]) for name in prepared.covariates}
    answer = r.call(
        FOLDER / "callaway_santanna.R",
        "callaway_santanna",
        {**_columns(prepared), **covariates},
        {
            **_arguments(options),
            "covariates": list(prepared.covariates),
            "overlap": options.overlap,
            "trim": options.trim,
            "scores": options.scores,
        },
        timeout=TIMEOUT,
    )
    missing = dict(zip(answer["missing"], answer["reason"], strict=True))
    planned = {comparison.term for comparison in prepared.plan.comparisons}
    warnings = missing_sentences({term: why for term, why in missing.items() if term in planned})
    if not answer["term"]:
        raise no_effect(missing)
    return _estimate(answer, prepared, options, warnings)


def fit_did(sample: Sample, options: CallawaySantAnnaSettings) -> Estimate:
    """Estimate with ``att_gt`` and ``aggte`` of the R package ``did``.

    Raises:
        EngineError: If R fails.
        DataError, EstimationError: As :func:`prepare`.
    """
    prepared = prepare(sample, options)
    names = prepared.design.names
    design = {name: prepared.design.matrix[:, j] for j, name in enumerate(names, 1)}
    answer = r.call(
        FOLDER / "callaway_santanna_did.R",
        "callaway_santanna_did",
        {**_columns(prepared), **design},
        {**_arguments(options), "covariates": list(names)},
        timeout=TIMEOUT,
    )
    estimate = _estimate(answer, prepared, options, [])
    version = r.versions(["DRDID"])["DRDID"]
    known = scores_of_drdid(version)
    if options.scores != known and prepared.rests_on_scores(options):
        return estimate.without_std_errors(f"DRDID {version} has scores = '{known}' only")
    return estimate


def scores_of_drdid(version: str) -> str:
    """Return the value of ``scores`` that a version of the R package DRDID computes.

    >>> scores_of_drdid("1.2.3"), scores_of_drdid("1.10.0")
    ('published', 'exact')
    """
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    return "exact" if numbers >= DRDID_EXACT else "published"


def did_limits(sample: Sample, options: CallawaySantAnnaSettings) -> str | None:
    """Say what the R package ``did`` cannot do of what is asked."""
    if options.method != "reg" and (options.overlap, options.trim) != (DID_OVERLAP, DID_TRIM):
        return f"did has the fixed cut-offs overlap={DID_OVERLAP} and trim={DID_TRIM}"
    return rank_limit(sample, options)


def _columns(prepared: GroupTimeSample) -> dict[str, Any]:
    frame = prepared.frame
    names = ["period", "cohort", "value", "weight", "cluster"]
    columns = {name: frame[name].to_numpy() for name in names}
    return {**columns, "id": frame["_key"].to_numpy()} if prepared.panel else columns


def _covariate(values: pd.Series) -> Any:
    if is_category(values):
        return pd.Categorical(values.astype(str), categories=levels(values))
    return values.to_numpy(dtype=float)


def _arguments(options: CallawaySantAnnaSettings) -> dict[str, Any]:
    arguments = options.model_dump(
        include={"control", "method", "base", "anticipation", "aggregate", "min_event", "max_event"}
    )
    return {name: value for name, value in arguments.items() if value is not None}


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
    estimate = build_estimate(
        [answer["term"][j] for j in kept],
        _quiet(answer["estimate"])[kept],
        _quiet(answer["std_error"])[kept],
        prepared.plan,
        options,
        [*warnings, *(f"R warns: {' '.join(sentence.split())}" for sentence in answer["warnings"])],
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
