"""Runs one engine on one sample, and compares engines."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from sos_plugins.backends import refuse_interrupted
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.columns import GLANCE_COLUMNS
from sos_plugins.contract.interfaces import R_BASE, Engine
from sos_plugins.contract.types import Agreement, Estimate, Sample, Tolerance
from sos_plugins.errors import (
    DataError,
    EngineError,
    EngineUnavailableError,
    EstimationError,
    SosError,
)
from sos_plugins.groundwork.installed import distribution_version
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.distributions import distribution_of
from sos_plugins.host.registry import Registry
from sos_plugins.r import client as r
from sos_plugins.study.result import NamedEstimate
from sos_plugins.study.rubin import pooled_estimate
from sos_plugins.system.library_warnings import record_warnings

PROVENANCE_COLUMNS: dict[str, str] = {
    "estimator": "name of the estimator",
    "engine": "name of the engine",
    "plugin": "plugin that offers the engine",
    "version": "version of the distribution that ships the plugin",
    "options": "every argument of the method, defaults filled in",
    "packages": "versions of Python, R and the packages the engine used",
    "seed": "seed of random draws, or null",
    "data_hash": "SHA-256 of the sample",
    "citation": "the paper of the method",
}
"""Glossary of ``Estimate.provenance``, which an engine may leave to this module."""


def run_engine(
    registry: Registry,
    estimator: str,
    engine: str | None,
    sample: Sample,
    options: BaseModel,
    *,
    seed: int | None = None,
    provenance: bool = True,
    cells: Sample | None = None,
) -> NamedEstimate:
    """Run one engine of an estimator and fill in the provenance.

    Args:
        registry: Who offers what.
        estimator: Name of the estimator.
        engine: Name of the engine; None for the first that can run here.
        sample: The cases.
        options: Validated settings of the estimator.
        seed: Seed, where the method draws at random.
        provenance: False leaves it out, which saves the hash of the sample.
        cells: The same sample compressed (:func:`sos_plugins.cells.compression.compress`), for
            engines that take cells; with settings that need the cases, such as errors that are not
            clustered, those are taken.

    Raises:
        EngineUnavailableError: If the engine lacks something.
        EstimationError: If no estimate exists on these cases, or the engine failed.
    """
    chosen = registry.engine(estimator, engine)
    if COMPRESSED[0] in sample.frame and not chosen.takes_cells:
        raise EngineUnavailableError(
            f"Engine '{chosen.name}' of '{estimator}' needs the cases, and this sample is "
            "compressed to cells."
        )
    plugin = registry.estimator(estimator)
    named = f"Engine '{chosen.name}' of '{estimator}'"
    try:
        if reason := chosen.limits(sample, options):
            raise EngineUnavailableError(f"{named}: {reason}")
        with record_warnings(named) as told:
            estimate = _fit_each(chosen, sample, cells, options, named)
            headline = plugin.headline(options)
    except Exception as error:
        refuse_interrupted(error)
        if isinstance(error, SosError):
            raise
        raise EngineError(f"{named} failed with {type(error).__name__}: {error}") from error
    absent = [key for key in GLANCE_COLUMNS if key not in estimate.glance]
    if absent:
        raise EngineError(
            f"Engine '{chosen.name}' of '{estimator}' leaves out of glance: {', '.join(absent)}."
        )
    filled_in = (
        _provenance(registry, estimator, chosen, sample, options, seed) if provenance else {}
    )
    filled = Estimate(
        tidy=estimate.tidy.reset_index(drop=True),
        glance=dict(estimate.glance),
        provenance={**filled_in, **estimate.provenance},
        warnings=tuple(dict.fromkeys((*sample.notes, *estimate.warnings, *told))),
        covariance=estimate.covariance,
    )
    return NamedEstimate(estimator, chosen.name, filled, headline, plugin.event_study)


def _fit_each(
    engine: Engine, sample: Sample, cells: Sample | None, options: BaseModel, named: str
) -> Estimate:
    """Fit a sample; of completed data sets fit each, and pool what they give."""
    samples = sample.completed or (sample,)
    of_cells = (cells.completed or (cells,)) if cells is not None else (None,) * len(samples)
    estimates = []
    for one, its_cells in zip(samples, of_cells, strict=True):
        estimate = _fit(engine, one, its_cells, options)
        if not isinstance(estimate, Estimate):
            raise EngineError(
                f"{named} returned a {type(estimate).__name__}, expected a sos_plugins.Estimate."
            )
        estimates.append(estimate)
    return pooled_estimate(estimates) if sample.completed else estimates[0]


def _fit(engine: Engine, sample: Sample, cells: Sample | None, options: BaseModel) -> Any:
    if cells is None or not engine.takes_cells or engine.limits(cells, options):
        return engine.fit(sample, options)
    try:
        return engine.fit(cells, options)
    except EstimationError as error:  # what the cells lack, or the cases too and say better
        refuse_interrupted(error)
        return engine.fit(sample, options)


def _provenance(
    registry: Registry,
    estimator: str,
    engine: Engine,
    sample: Sample,
    options: BaseModel,
    seed: int | None,
) -> dict[str, Any]:
    info = registry.engine_plugin(estimator, engine.name)
    return {
        "estimator": estimator,
        "engine": engine.name,
        "plugin": info.name,
        "version": info.version,
        "options": plain(options.model_dump()),
        "packages": engine_versions(engine),
        "seed": seed,
        "data_hash": sample.data_hash,
        "citation": registry.estimator(estimator).citation,
    }


def engine_versions(engine: Engine) -> dict[str, str]:
    """Return the versions of Python, R and the packages that an engine uses."""
    needs = (*engine.requires, *engine.decides)
    in_r = [need.name for need in needs if need.language == "r" and need.name != R_BASE.name]
    in_python = [distribution_of(need.name) for need in needs if need.language == "python"]
    versions = {
        name: distribution_version(name)
        for name in (*in_python, *engine.packages)
        if name not in in_r
    }
    if engine.language == "R":
        versions |= r.versions(in_r)
    there = {name: version for name, version in versions.items() if version != "not installed"}
    return {"Python": platform.python_version(), "numpy": np.__version__, **there}


def run_engines(
    registry: Registry,
    estimator: str,
    engines: str | Sequence[str],
    sample: Sample,
    options: BaseModel,
    *,
    seed: int | None = None,
    cells: Sample | None = None,
    keep: Callable[[str, Callable[[], NamedEstimate]], NamedEstimate] = lambda _, make: make(),
) -> tuple[list[NamedEstimate], dict[str, str]]:
    """Run several engines on the same sample.

    ``engines`` is ``"all"`` or names; the other arguments are those of :func:`run_engine`.
    ``keep`` gets the name of an engine and what runs it, and may know the estimate already.

    Returns:
        The estimates in the order of the engines, and a reason for every engine that did not run.
    """
    names = [e.name for e in registry.engines(estimator)] if engines == "all" else list(engines)
    done, reasons = [], {}
    for name in names:
        try:
            make = functools.partial(
                run_engine, registry, estimator, name, sample, options, seed=seed, cells=cells
            )
            done.append(keep(name, make))
        except (EstimationError, DataError) as error:
            reasons[name] = str(error)
    return done, reasons


def compare(
    registry: Registry,
    outcome: str,
    estimator: str,
    estimates: Sequence[NamedEstimate],
    reasons: Mapping[str, str],
) -> tuple[Agreement, ...]:
    """Compare every engine with the first that ran, term by term.

    Estimates and standard errors are compared by name of the term, within the tolerance that the
    engine declares (or ``plugins.toml`` sets). A term that one engine lacks, or gives a standard
    error for where the other has none, is a disagreement. Of an engine that says it cannot give the
    standard errors that are asked for
    (:func:`sos_plugins.authors.results.without_std_errors`) estimates are compared.
    """
    engines = {e.name: e for e in registry.engines(estimator)}
    reference = estimates[0] if estimates else None
    agreements = []
    for named in estimates[1:]:
        assert reference is not None
        agreements.append(agreement(outcome, engines[named.engine], reference, named))
    for name, reason in reasons.items():
        agreements.append(
            Agreement(
                outcome=outcome,
                estimator=estimator,
                engine=name,
                reference=reference.engine if reference else "",
                verdict="not run",
                max_difference_estimate=None,
                max_difference_std_error=None,
                worst_term="",
                tolerance_estimate=engines[name].tolerance_estimate,
                tolerance_std_error=engines[name].tolerance_std_error,
                reason=reason,
            )
        )
    return tuple(agreements)


def agreement(
    outcome: str, engine: Engine, reference: NamedEstimate, other: NamedEstimate
) -> Agreement:
    """Compare the estimate of one engine with that of the reference, within its tolerances."""
    columns = ["term", "estimate", "std_error"]
    without = _without_std_errors(reference, other)
    terms = reference.estimate.tidy[columns].merge(
        other.estimate.tidy[columns], on="term", how="outer", suffixes=("_reference", "")
    )
    problems = []
    largest: dict[str, float | None] = {}
    worst = ("", -1.0)
    for column, tolerance in (
        ("estimate", engine.tolerance_estimate),
        ("std_error", engine.tolerance_std_error),
    ):
        a, b = terms[f"{column}_reference"].astype(float), terms[column].astype(float)
        difference = (a - b).abs()
        terms[f"difference_{column}"] = difference
        if without and column == "std_error":
            largest[column] = None
            continue
        largest[column] = float(difference.max()) if difference.notna().any() else None
        problems += _problems(terms["term"], a, b, column, tolerance)
        relative = (difference / _allowed(a, b, tolerance)).fillna(-1.0)
        if len(relative) and relative.max() > worst[1]:
            worst = (str(terms["term"].iloc[int(relative.argmax())]), float(relative.max()))
    return Agreement(
        outcome=outcome,
        estimator=other.estimator,
        engine=other.engine,
        reference=reference.engine,
        verdict="disagree" if problems else "agree",
        max_difference_estimate=largest["estimate"],
        max_difference_std_error=largest["std_error"],
        worst_term=worst[0],
        tolerance_estimate=engine.tolerance_estimate,
        tolerance_std_error=engine.tolerance_std_error,
        reason=" ".join([*problems[:3], *without]),
        terms=terms,
    )


def _without_std_errors(*estimates: NamedEstimate) -> list[str]:
    """Say that standard errors are not compared, and why, where an engine gives none."""
    reasons = [str(named.estimate.glance.get("no_std_error") or "") for named in estimates]
    return [f"Standard errors are not compared: {why}." for why in dict.fromkeys(reasons) if why]


def _allowed(a: pd.Series[float], b: pd.Series[float], tolerance: Tolerance) -> pd.Series[float]:
    size = a.abs().combine(b.abs(), max)
    allowed = tolerance.absolute + tolerance.relative * size
    return allowed.where(allowed > 0, float(np.finfo(float).tiny))


def _problems(
    names: pd.Series[str],
    a: pd.Series[float],
    b: pd.Series[float],
    column: str,
    tolerance: Tolerance,
) -> list[str]:
    one_sided = a.isna() != b.isna()
    apart = (a - b).abs() > _allowed(a, b, tolerance)
    word = column.replace("_", " ")
    sentences = [f"Only one engine gives the {word} of {name}." for name in names[one_sided]]
    for i in names.index[apart]:
        sentences.append(f"The {word} of {names[i]} differs by {abs(a[i] - b[i]):.3g}.")
    return sentences


def unavailable(registry: Registry, estimators: Iterable[str]) -> tuple[str, ...]:
    """Say which engines cannot run here and what mends it: one sentence an engine."""
    sentences = []
    for name in estimators:
        for engine in registry.engines(name):
            if missing := engine.missing():
                sentences.append(f"{name}, engine {engine.name}: {'; '.join(missing)}.")
    return tuple(sentences)
