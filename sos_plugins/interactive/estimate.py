"""``sos_plugins.estimate``: one estimator on one table, in one line."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sos_plugins.contract.types import Sample
from sos_plugins.errors import EngineUnavailableError
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.interactive.fit import Fit
from sos_plugins.study.estimate import compare, run_engine, run_engines
from sos_plugins.tables.read_table import read_sample


def estimate(
    data: Any,
    estimator: str,
    *,
    unit: str,
    period: str,
    cohort: str,
    value: str,
    id: str | None = None,
    covariates: str | Sequence[str] = (),
    weights: str | None = None,
    cluster: str | None = None,
    missing: str | Sequence[str] = (),
    sheet: str | None = None,
    engine: str | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Fit:
    """Estimate the effect of a programme from a tidy table.

    Args:
        data: A frame of pandas or Polars, an Arrow table, a relation of DuckDB, an Ibis table, a
            mapping of names to columns, or the path of a file (CSV, Parquet, Excel, Stata, SPSS):
            one row a case, or a unit and period of a panel.
        estimator: Name of the estimator, such as ``"callaway-santanna"``; ``sos-plugins list``
            shows them.
        unit: Column of the unit that is treated.
        period: Column of the period: whole numbers or financial years such as 2014/15.
        cohort: Column of the first treated period of the row's unit; 0, empty and infinite mean
            never.
        value: Column of the outcome.
        id: Column that identifies the observed unit of a panel; None for repeated cross-sections.
        covariates: Columns of covariates; ``factor(x)`` makes numbers categories.
        weights: Column of weights, not negative.
        cluster: Column that standard errors are clustered by; the unit unless given.
        missing: Texts that stand for a missing value besides empty cells.
        sheet: Sheet of a workbook; the only one with cells if none is named.
        engine: Name of the engine, ``"all"`` to run and compare all of them, None for the first
            that can run here.
        registry: Plugins; those that are installed unless given.
        settings: Settings of the estimator by name, such as ``aggregate="event"``;
            ``sos-plugins show ESTIMATOR`` lists them.

    Returns:
        The fit, with :attr:`Fit.tidy`, :attr:`Fit.glance`, :meth:`Fit.plot`, :meth:`Fit.table` and
        :meth:`Fit.summary`.

    Raises:
        DataError: If the table has a fault that would change a result.
        SettingsError: If a setting is unknown or has a value that does not fit.
        PluginError: If there is no such estimator.
        EngineUnavailableError: If no engine that was asked for can run here.
        EstimationError: If no estimate exists on these cases.
    """
    known = registry or _installed()
    options = known.settings("estimator", estimator, settings, f"estimate('{estimator}')")
    sample = read_sample(
        Path(data) if isinstance(data, str) else data,
        unit=unit,
        period=period,
        cohort=cohort,
        value=value,
        id=id,
        covariates=_names(covariates),
        weights=weights,
        cluster=cluster,
        missing=_names(missing),
        sheet=sheet,
    ).sample
    return fit_sample(known, estimator, engine, sample, options, value)


def fit_sample(
    registry: Registry,
    estimator: str,
    engine: str | None,
    sample: Sample,
    options: BaseModel,
    outcome: str,
) -> Fit:
    """Run one engine on a sample, or all and compare them.

    Args:
        registry: Plugins.
        estimator: Name of the estimator.
        engine: Name of the engine, ``"all"``, or None for the first that can run here.
        sample: Cases, as :func:`sos_plugins.tables.read_table.read_sample` gives them.
        options: Settings of the estimator, validated.
        outcome: Name of what was measured, for the comparison.

    Raises:
        EngineUnavailableError: If no engine that was asked for can run here.
        EstimationError: If no estimate exists on these cases.
    """
    label = registry.estimator(estimator).short_label
    called = {estimator: label} if label else {}
    if engine != "all":
        return Fit((run_engine(registry, estimator, engine, sample, options),), called=called)
    done, reasons = run_engines(registry, estimator, "all", sample, options)
    if not done:
        raise EngineUnavailableError(
            f"No engine of '{estimator}' gave an estimate. " + " ".join(reasons.values())
        )
    agreements = compare(registry, outcome, estimator, done, reasons)
    return Fit(tuple(done), agreements, reasons, called)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


@functools.cache
def _installed() -> Registry:
    return load_plugins()
