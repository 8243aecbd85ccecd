"""From what an engine measures to the estimate that users get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sos_estimators.inference.inference_table import COLUMNS
from sos_estimators.inference.own_effects import DESCRIBED, about_lone
from sos_estimators.synthetic.assignments import Assignments, number_of_placebos, placebos
from sos_estimators.synthetic.followed import Terms, list_terms
from sos_estimators.synthetic.inference import Errors, by_errors, by_placebos
from sos_estimators.synthetic.measured import Measured, Weigh
from sos_estimators.synthetic.panel import Panel, make_panel
from sos_estimators.synthetic.settings import FEWEST_OWN, SyntheticSettings
from sos_plugins import Estimate, Sample
from sos_plugins.authors.results import without_std_errors
from sos_plugins.contract.columns import ON_THE_TREATED
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.plain import plain

Measure = Callable[[Panel, Terms, Assignments | None, Any], Measured]
NAMES: Mapping[str, str] = {
    "own-effects": DESCRIBED,
    "placebo": "spread of placebo pilots dealt out to the pool",
    "jackknife": "jackknife over authorities, weights fixed",
}
FEW_POOL = 10
"""Fewer authorities never treated than this are few to be weighted."""


@dataclass(frozen=True)
class Method:
    """An estimator of this folder, by one engine.

    Attributes:
        measure: Of the engine.
        weigh: Of numpy: where an engine spares placebo pilots, it says how closely these are
            followed.
        every: Whether the engine estimates placebo pilots whatever the standard errors are.
        lacks: Why an engine has no placebo pilots at all.
    """

    measure: Measure
    weigh: Weigh
    every: bool = True
    lacks: str = ""


def estimate(sample: Sample, options: SyntheticSettings, method: Method) -> Estimate:
    """Check a sample, have an engine measure it, and judge what it finds.

    Args:
        sample: Cases in calendar periods, or rows that stand for many.
        options: Settings.
        method: Estimator and engine.

    Returns:
        The term ``overall`` and those of ``aggregate``, in units of the value.

    Raises:
        DataError: If the sample contradicts itself.
        EstimationError: If there is no estimate; the sentence says why.
        EngineError: If a package or R fails.
    """
    panel = make_panel(sample, options)
    terms = list_terms(panel, options)
    assignments = None
    if number_of_placebos(panel):
        assignments = placebos(panel, draws=options.draws, seed=options.seed)
    kind = _kind(panel, options)
    if kind == "placebo" and assignments is None:
        raise EstimationError(_no_placebos(panel))
    asked = assignments if method.every or kind == "placebo" else None
    measured = method.measure(panel, terms, asked, options)
    if assignments is not None and not len(measured.placebo_rmse):
        others = method.weigh(panel, assignments.units, options)
        measured = replace(measured, placebo_rmse=others.fit.rmse)
    methods = _methods(measured, assignments, options, panel.least)
    made = _estimate(panel, terms, measured, methods, kind, options)
    return made if kind in methods else without_std_errors(made, method.lacks)


def _kind(panel: Panel, options: SyntheticSettings) -> str:
    if options.errors != "auto":
        return options.errors
    few = len(panel.pilots) < FEWEST_OWN
    return "placebo" if few and number_of_placebos(panel) else "own-effects"


def _no_placebos(panel: Panel) -> str:
    pool, pilots = int(panel.pool.sum()), len(panel.pilots)
    return (
        f"There are {pool} authorities never treated and {pilots} treated: too few would remain to "
        "be weighted once placebo pilots are taken from the pool. Choose errors = 'own-effects' or "
        "'jackknife', or add authorities."
    )


def _methods(
    measured: Measured,
    assignments: Assignments | None,
    options: SyntheticSettings,
    least: float,
) -> dict[str, Errors]:
    """Return what each method says of the averages."""
    estimates, given = measured.estimates, {"conf_level": options.conf_level, "least": least}
    own = measured.own
    made = {
        "own-effects": by_errors(estimates, own.std_errors, own.df, **given),
        "jackknife": by_errors(estimates, measured.jackknife, own.df, **given),
    }
    if assignments is None or not len(measured.placebos):
        return made
    complete = assignments.complete
    return {
        "placebo": by_placebos(estimates, measured.placebos, complete=complete, **given),
        **made,
    }


def _estimate(
    panel: Panel,
    terms: Terms,
    measured: Measured,
    methods: Mapping[str, Errors],
    kind: str,
    options: SyntheticSettings,
) -> Estimate:
    told = [*panel.cells.warnings, *_about_pool(panel), *_about_fit(measured, options)]
    errors = methods.get(kind)
    tidy = _tidy(terms.names, measured.estimates, errors)
    if errors is not None:
        told += errors.warnings
        known = np.abs(measured.estimates) > panel.least
        lost = np.isnan(errors.std_errors) & known
        told += _about_lost([n for n, gone in zip(terms.names, lost, strict=True) if gone], kind)
    if _is_poor(measured, options) and options.poor_fit == "withhold":
        headline = tidy["term"] == "overall"
        tidy.loc[headline, tidy.columns != "term"] = np.nan
    glance = {
        **panel.cells.counts(),
        "estimand": _estimand(options),
        "vcov": NAMES[kind],
        "conf_level": options.conf_level,
        "fit_before_rmse": float(measured.fit.rmse[0]),
        "fit_before_rmse_equal": float(measured.fit.rmse_equal[0]),
        "fit_before_explained": float(measured.fit.explained[0]),
        "fit_before_p": measured.poorer,
        "n_placebos": len(measured.placebo_rmse),
        **measured.further,
        "inference": plain(_table(terms.names, measured.estimates, methods)),
    }
    return Estimate(tidy, glance, warnings=tuple(dict.fromkeys(told)))


def _tidy(names: tuple[str, ...], estimates: Any, errors: Errors | None) -> pd.DataFrame:
    missing = np.full(len(names), np.nan)
    return pd.DataFrame(
        {
            "term": list(names),
            "estimate": estimates,
            "std_error": missing if errors is None else errors.std_errors,
            "statistic": missing if errors is None else estimates / errors.std_errors,
            "p_value": missing if errors is None else errors.p_values,
            "conf_low": missing if errors is None else errors.conf_low,
            "conf_high": missing if errors is None else errors.conf_high,
            "df": missing if errors is None else errors.df,
        }
    )


def _table(names: tuple[str, ...], estimates: Any, methods: Mapping[str, Errors]) -> pd.DataFrame:
    rows = [row for method, e in methods.items() for row in e.rows(method, names, estimates)]
    return pd.DataFrame(rows, columns=["term", *COLUMNS])


def _estimand(options: SyntheticSettings) -> str:
    who = ON_THE_TREATED
    if options.average == "authorities":
        who = "average over treated authorities and periods"
    return who if options.max_event is None else f"{who} up to event time {options.max_event}"


def _is_poor(measured: Measured, options: SyntheticSettings) -> bool:
    return bool(measured.poorer <= options.fit_level)


def _about_pool(panel: Panel) -> list[str]:
    told, pool = [], int(panel.pool.sum())
    if pool < FEW_POOL:
        told.append(f"There are few authorities to be weighted ({pool}, fewer than {FEW_POOL}).")
    if len(panel.pilots) == 1:
        told.append(
            "One authority is treated: what befell it alone since cannot be told from the effect."
        )
    return told


def _about_fit(measured: Measured, options: SyntheticSettings) -> list[str]:
    fit = measured.fit
    if not _is_poor(measured, options):
        return []
    becomes = "it is withheld" if options.poor_fit == "withhold" else "do not rest a headline on it"
    return [
        "The weighted authorities follow the treated poorly before treatment: the root mean "
        f"square of what is left is {fit.rmse[0]:.3g} ({fit.rmse_equal[0]:.3g} with equal "
        f"weights), and only {measured.poorer:.1%} of placebo pilots are followed as badly. The "
        f"overall effect rests on authorities like the treated, and there are none: {becomes}."
    ]


def _about_lost(names: list[str], kind: str) -> tuple[str, ...]:
    if not names:
        return ()
    if kind == "own-effects":
        return tuple(
            told.replace("'analytic'", "'placebo'").replace(
                "that of the comparison clusters alone", "that of placebo pilots"
            )
            for told in about_lone(names)
        )
    return (
        f"{', '.join(names)}: there is no standard error by {kind}, for without some authority "
        "there is no such average, or nothing varies: it is left missing.",
    )
