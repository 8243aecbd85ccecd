"""Whether the engines of an estimator or a matcher agree."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.authors.testing.core import CheckFailedError, Given, NotApplicableError, demand
from sos_plugins.authors.testing.examples import example_sample, example_unit_task
from sos_plugins.contract.interfaces import (
    CaseMatch,
    Engine,
    Estimator,
    Imputer,
    Matcher,
    Pooling,
    UnitMatch,
)
from sos_plugins.contract.types import Estimate, ImputationTask, Sample, Tolerance
from sos_plugins.errors import SosError
from sos_plugins.host.settings import validate
from sos_plugins.study.estimate import agreement
from sos_plugins.study.result import NamedEstimate


def assert_engines_agree(
    plugin: Estimator | Matcher,
    sample: Any = None,
    options: Given = None,
    *,
    engines: Sequence[Engine] | None = None,
    tolerance_estimate: Tolerance | None = None,
    tolerance_std_error: Tolerance | None = None,
) -> tuple[str, ...]:
    """Run every engine that can run here on the same data and compare each with the first.

    Estimates and standard errors are compared term by term; matched groups must be the same and
    weights close. Each engine's own tolerance holds unless another is given.

    Args:
        plugin: The estimator, matcher, pooling or imputer.
        sample: The sample (or the task, for a matcher of authorities); an example unless given.
        options: Settings by name, or an object; the defaults unless given.
        engines: Engines to compare; the plugin's own unless given. Put the reference first.
        tolerance_estimate: Instead of the engines' own.
        tolerance_std_error: Instead of the engines' own.

    Returns:
        The names of the engines that were compared.

    Raises:
        CheckFailedError: If two engines disagree; the text names the terms.
        NotApplicableError: If fewer than two engines can run here, with what each lacks.
    """
    settings = (
        options
        if isinstance(options, plugin.Settings)
        else validate(plugin.Settings, dict(options or {}), where=plugin.name)
    )
    data = example_for(plugin) if sample is None else sample
    chosen = runnable(plugin.engines if engines is None else engines, data, settings)
    results = [(engine, engine.fit(data, settings)) for engine in chosen]
    reference, first = results[0]
    for engine, result in results[1:]:
        engine = replace(
            engine,
            tolerance_estimate=tolerance_estimate or engine.tolerance_estimate,
            tolerance_std_error=tolerance_std_error or engine.tolerance_std_error,
        )
        if isinstance(first, Estimate):
            _compare_estimates(plugin.name, reference, first, engine, result)
        elif isinstance(first, UnitMatch):
            _compare_groups(reference, first, engine, result)
        else:
            _compare_weights(reference, first, engine, result)
    return tuple(engine.name for engine in chosen)


def demand_frame_left_alone(engine: Engine, data: Sample | ImputationTask, settings: Any) -> None:
    """Fail if an engine writes into the cases that it is given.

    Args:
        engine: An engine of an estimator, of a matcher of cases, or of an imputer.
        data: What it is given, as it is and no copy.
        settings: The validated settings.

    Raises:
        CheckFailedError: If the frame has changed.
    """
    before = data.frame.copy(deep=True)
    given_as_it_is = inspect.unwrap(engine.fit)  # columns have other names otherwise
    given_as_it_is(data, settings)
    demand(before.equals(data.frame), "The frame of the sample was changed; work on a copy.")


def example_for(plugin: Estimator | Matcher) -> Any:
    """Return example data of the kind that a plugin takes: a sample, or a task with a pool.

    Args:
        plugin: The estimator or matcher.
    """
    if isinstance(plugin, Estimator):
        return example_sample(plugin.sample, effect=1.0)
    return example_unit_task() if plugin.level == "units" else example_sample("stacked")


def runnable(engines: Sequence[Engine], data: Any, settings: Any) -> list[Engine]:
    """Return the engines that can run here on these data.

    Args:
        engines: Engines of one estimator or matcher.
        data: The sample or the task.
        settings: The validated settings.

    Raises:
        NotApplicableError: If there are fewer than two, with what the others lack.
    """
    able, lacking = [], []
    for engine in engines:
        limit = engine.limits(data, settings)
        if problem := [*engine.missing(), *([limit] if limit else [])]:
            lacking.append(f"{engine.name}: {'; '.join(problem)}")
        else:
            able.append(engine)
    if len(able) < 2:
        told = f" ({'. '.join(lacking)})" if lacking else ""
        raise NotApplicableError(f"Fewer than two engines can run here{told}.")
    return able


def _compare_estimates(
    name: str, reference: Engine, first: Estimate, engine: Engine, second: Estimate
) -> None:
    verdict = agreement(
        "example",
        engine,
        NamedEstimate(name, reference.name, first),
        NamedEstimate(name, engine.name, second),
    )
    demand(
        verdict.verdict == "agree",
        f"Engine '{engine.name}' does not agree with '{reference.name}': {verdict.reason}",
    )


def _compare_groups(reference: Engine, first: UnitMatch, engine: Engine, second: UnitMatch) -> None:
    mine, other = ({g.pilot: set(g.comparators) for g in match.groups} for match in (first, second))
    apart = sorted(p for p in mine.keys() | other.keys() if mine.get(p) != other.get(p))
    demand(
        not apart,
        f"Engine '{engine.name}' matches the pilots {', '.join(apart)} with others than "
        f"'{reference.name}' does.",
    )
    _compare_frames(reference, first.distances, engine, second.distances, "distance")


def _compare_weights(
    reference: Engine, first: CaseMatch, engine: Engine, second: CaseMatch
) -> None:
    mine, other = first.sample.frame, second.sample.frame
    demand(
        len(mine) == len(other),
        f"Engine '{engine.name}' keeps {len(other)} cases, '{reference.name}' {len(mine)}.",
    )
    _compare_frames(reference, mine, engine, other, "weight")


def _compare_frames(
    reference: Engine, mine: pd.DataFrame, engine: Engine, other: pd.DataFrame, column: str
) -> None:
    a, b = mine[column].to_numpy(float), other[column].to_numpy(float)
    tolerance = engine.tolerance_estimate
    allowed = tolerance.absolute + tolerance.relative * np.maximum(np.abs(a), np.abs(b))
    apart = np.abs(a - b) > allowed
    if apart.any():
        raise CheckFailedError(
            f"Engine '{engine.name}' and '{reference.name}' differ in {column} by up to "
            f"{np.abs(a - b).max():.3g} in {int(apart.sum())} rows."
        )


def first_runnable(plugin: Estimator | Matcher | Pooling | Imputer) -> Engine:
    """Return the first engine that can run here.

    Args:
        plugin: The estimator or matcher.

    Raises:
        NotApplicableError: If none can, with what each lacks.
    """
    lacking = []
    for engine in plugin.engines:
        missing = engine.missing()
        if not missing:
            return engine
        lacking.append(f"{engine.name}: {'; '.join(missing)}")
    raise NotApplicableError(f"No engine can run here ({'. '.join(lacking)}).")


def run_or_error(engine: Engine, data: Any, settings: Any) -> Any:
    """Run an engine; return its result, or its error where that is a sentence for the user.

    Args:
        engine: The engine.
        data: The sample or the task.
        settings: The validated settings.

    Raises:
        CheckFailedError: If it fails with another error, which a user would see as a traceback.
    """
    if limit := engine.limits(data, settings):
        return SosError(limit)
    try:
        return engine.fit(data, settings)
    except SosError as error:
        return error
    except Exception as error:
        raise CheckFailedError(
            f"Engine '{engine.name}' failed with {type(error).__name__}: {error}. Raise "
            "sos_plugins.errors.EstimationError with a sentence for the user."
        ) from error


__all__ = ["Sample", "assert_engines_agree", "example_for", "first_runnable", "run_or_error"]
