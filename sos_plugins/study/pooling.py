"""What the effects of the pilots have in common: the runs of single pilots, pooled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from pydantic import BaseModel

from sos_plugins.backends import refuse_interrupted
from sos_plugins.contract.columns import PILOT_EFFECT_COLUMNS, TIDY_COLUMNS
from sos_plugins.contract.types import Agreement, Estimate, Pilot, PilotEffects, PooledEffects, Run
from sos_plugins.errors import (
    DataError,
    EngineError,
    EngineUnavailableError,
    EstimationError,
    SosError,
)
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.registry import Registry
from sos_plugins.study.estimate import compare, engine_versions
from sos_plugins.study.plan import PlannedPooling
from sos_plugins.study.result import NamedEstimate
from sos_plugins.system.library_warnings import record_warnings

FAMILY = "single-pilot"
"""Family of the runs that are pooled."""
LEAST = 2
"""Fewest pilots whose effects are pooled."""
NOT_INSTALLED = "No plugin that pools the effects of the pilots is installed."

Keep = Callable[[str, Callable[[], PooledEffects]], PooledEffects]


@dataclass(frozen=True)
class Pooled:
    """What pooling gave for one outcome.

    Attributes:
        effects: What the reference engine gave; None where effects are not pooled.
        reason: Why they are not; empty where they are.
        agreements: The other engines compared with it.
    """

    effects: PooledEffects | None = None
    reason: str = ""
    agreements: tuple[Agreement, ...] = ()


def pilot_effects(runs: Iterable[Run], pilots: Sequence[Pilot]) -> PilotEffects:
    """Gather the effects of single pilots, and say which have none.

    Args:
        runs: The runs of an outcome; those of single pilots in the order of the pilots.
        pilots: The pilots that have a matched group.

    Returns:
        The pilots whose run gave an estimate with a standard error above zero.
    """
    alone = [run for run in runs if run.family == FAMILY and run.status != "not applicable"]
    named = list(zip(pilots, alone, strict=True)) if len(alone) == len(pilots) else []
    rows = [
        {**vars(run), "unit": pilot.unit, "name": pilot.name or pilot.unit}
        for pilot, run in named
        if not _unusable(run)
    ]
    frame = pd.DataFrame(rows, columns=list(PILOT_EFFECT_COLUMNS))
    numbers = dict.fromkeys(list(PILOT_EFFECT_COLUMNS)[2:], float)
    left_out = {_label(pilot): why for pilot, run in named if (why := _unusable(run))}
    return PilotEffects(frame.astype(numbers), left_out)


def _label(pilot: Pilot) -> str:
    return f"{pilot.name} ({pilot.unit})" if pilot.name else pilot.unit


def _unusable(run: Run) -> str:
    if run.estimate is None:
        return run.reason or "it has no estimate"
    if run.std_error is None:
        return "its effect has no standard error"
    return "" if run.std_error > 0 else "the standard error of its effect is zero"


def why_not(data: PilotEffects, planned: PlannedPooling | None, n_pilots: int) -> str:
    """Say why the effects of the pilots cannot be pooled; empty if they can.

    Args:
        data: The effects there are.
        planned: What would pool them.
        n_pilots: How many pilots there are.
    """
    if planned is None:
        return NOT_INSTALLED
    if n_pilots < LEAST:
        return "There is one pilot: what pilots have in common takes at least two."
    if len(data.frame) >= LEAST:
        return ""
    if not data.left_out:
        return f"Effects of single pilots were not estimated: sensitivity has no '{FAMILY}' runs."
    return (
        f"{len(data.frame) or 'None'} of {n_pilots} pilots has an effect with a standard error, "
        f"and pooling takes at least {LEAST}. {_left_out(data)}"
    )


def _left_out(data: PilotEffects) -> str:
    return " ".join(f"{name}: {why.rstrip('.')}." for name, why in data.left_out.items())


def pool(
    registry: Registry,
    planned: PlannedPooling,
    data: PilotEffects,
    outcome: str,
    keep: Keep = lambda _, make: make(),
) -> Pooled:
    """Pool effects by every engine that was chosen, and compare each with the first that ran.

    Args:
        registry: Who offers what.
        planned: What pools, and by which engines.
        data: The effects of at least two pilots.
        outcome: Name of the outcome.
        keep: Gets the name of an engine and what runs it, and may know its answer already.
    """
    names = [e.name for e in registry.engines(planned.name)]
    done, reasons = [], {}
    for name in names if planned.engines == "all" else planned.engines:
        make = functools.partial(_run, registry, planned.name, name, data, planned.options)
        try:
            done.append(keep(name, make))
        except (EstimationError, DataError) as error:
            reasons[name] = str(error)
    estimates = [as_estimate(pooled) for pooled in done]
    agreements = compare(registry, outcome, planned.name, estimates, reasons)
    if not done:
        return Pooled(None, " ".join(dict.fromkeys(reasons.values())), agreements)
    told = (f"Not pooled: {_left_out(data)}",) if data.left_out else ()
    return Pooled(replace(done[0], warnings=(*done[0].warnings, *told)), "", agreements)


def _run(
    registry: Registry, name: str, engine: str, data: PilotEffects, options: BaseModel
) -> PooledEffects:
    chosen, named = registry.engine(name, engine), f"Engine '{engine}' of '{name}'"
    try:
        if reason := chosen.limits(data, options):
            raise EngineUnavailableError(f"{named}: {reason}")
        with record_warnings(named) as told:
            pooled = chosen.fit(data, options)
    except Exception as error:
        refuse_interrupted(error)
        if isinstance(error, SosError):
            raise
        raise EngineError(f"{named} failed with {type(error).__name__}: {error}") from error
    if not isinstance(pooled, PooledEffects):
        raise EngineError(
            f"{named} returned a {type(pooled).__name__}, expected a sos_plugins.PooledEffects."
        )
    warnings = tuple(dict.fromkeys((*pooled.warnings, *told)))
    provenance = {**_provenance(registry, name, engine, options), **pooled.provenance}
    return replace(pooled, plugin=name, engine=engine, warnings=warnings, provenance=provenance)


def _provenance(registry: Registry, name: str, engine: str, options: BaseModel) -> dict[str, Any]:
    info = registry.engine_plugin(name, engine)
    return {
        "plugin": info.name,
        "version": info.version,
        "options": plain(options.model_dump()),
        "packages": engine_versions(registry.engine(name, engine)),
    }


def as_estimate(pooled: PooledEffects) -> NamedEstimate:
    """Return the figures as an estimate, which engines are compared by.

    Args:
        pooled: What an engine gave.
    """
    terms = compared_terms(pooled)
    absent = [name for name in TIDY_COLUMNS if name not in terms]
    tidy = terms.assign(**dict.fromkeys(absent, float("nan")))
    return NamedEstimate(pooled.plugin, pooled.engine, Estimate(tidy, {}), "pooled")


def compared_terms(pooled: PooledEffects) -> pd.DataFrame:
    """Return every figure that a cross-check compares.

    Args:
        pooled: What an engine gave.

    Returns:
        Frame ``term, estimate, std_error``.
    """
    alone = {
        "tau2": pooled.tau2,
        "tau2 low": pooled.tau2_low,
        "tau2 high": pooled.tau2_high,
        "I2": pooled.i2,
        "Q": pooled.q,
        "pooled p value": pooled.p_value,
        "pooled low": pooled.conf_low,
        "pooled high": pooled.conf_high,
        "next low": pooled.prediction_low,
        "next high": pooled.prediction_high,
    }
    figures = pd.DataFrame({"term": list(alone), "estimate": list(alone.values())}, dtype=object)
    average = pd.DataFrame(
        {"term": ["pooled"], "estimate": [pooled.estimate], "std_error": [pooled.std_error]}
    )
    shrunken = pooled.pilots[["unit", "shrunken", "shrunken_std_error"]].set_axis(
        ["term", "estimate", "std_error"], axis=1
    )
    rows = pd.concat([average.astype(object), figures, shrunken.astype(object)])
    numbers = {"estimate": float, "std_error": float}
    return rows.reset_index(drop=True).astype(numbers)
