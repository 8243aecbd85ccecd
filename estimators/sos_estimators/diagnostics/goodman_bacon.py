"""Goodman-Bacon decomposition of the two-way fixed effects estimate: estimator ``bacon``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from sos_estimators import did as classic
from sos_estimators.diagnostics.bacon import (
    ALWAYS,
    Comparison,
    Decomposition,
    Kind,
    decompose,
    panel_means,
)
from sos_estimators.did import DidSettings
from sos_estimators.inference.vcov import Variance
from sos_estimators.references import GOODMAN_BACON_2021
from sos_estimators.regression.engine_r import FOLDER, TIMEOUT
from sos_estimators.sample.adoption import AlwaysTreated
from sos_estimators.sample.prepare import prepare
from sos_plugins import Engine, Estimate, Estimator, Sample, Settings, hookimpl
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import EstimationError
from sos_plugins.r import client as r

KINDS: tuple[Kind, ...] = (
    "treated vs never",
    "treated vs always",
    "earlier vs later",
    "later vs earlier",
)


class BaconSettings(Settings):
    """Arguments of ``bacon``."""

    incomplete: Literal["error", "drop"] = Field(
        "error", description="units that lack a period: an error, or left out with a warning"
    )
    vcov: Variance = Field("CR2", description="variance of 'overall', as in did")
    always_treated: AlwaysTreated = Field(
        "keep",
        description="units without a case before treatment: kept, as in the regression on the "
        "table as it is, and their weight as comparators told; or left out, as in did",
    )
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the confidence interval")
    few_clusters: int = Field(
        10, ge=0, description="warn when fewer clusters than this are treated"
    )
    misleading: float = Field(
        0.1,
        ge=0,
        le=1,
        description="warn when comparisons with units treated earlier weigh more than this",
    )


def fit_python(sample: Sample, options: BaconSettings) -> Estimate:
    """Decompose with numpy."""
    return _fit(sample, options, decompose)


def fit_r(sample: Sample, options: BaconSettings) -> Estimate:
    """Decompose with base R; ``overall`` is the weighted sum of the comparisons."""
    return _fit(sample, options, _in_r)


def _fit(
    sample: Sample, options: BaconSettings, how: Callable[[pd.DataFrame], Decomposition]
) -> Estimate:
    whole = prepare(Sample(sample.frame, binary=sample.binary), "twfe", options.always_treated)
    used = Sample(whole.frame, binary=sample.binary)
    panel = panel_means(used, drop_incomplete=options.incomplete == "drop")
    parts = how(panel)
    regression = _regression(panel, options)
    overall = _overall(dict(regression.term("ATT")), parts.estimate)
    return Estimate(
        pd.DataFrame([overall, *(_row(c) for c in parts.comparisons)]),
        {**regression.glance, **_glance(used, panel, parts)},
        warnings=(
            *whole.warnings,
            *regression.warnings,
            *_warnings(used, panel, parts, options, bool(sample.covariates)),
        ),
    )


def _regression(panel: pd.DataFrame, options: BaconSettings) -> Estimate:
    """Estimate on unit and period effects, every unit and period with the same weight."""
    cohort = panel["cohort"]
    treated = (cohort > 0).astype("int64")
    post = treated * (panel["period"] >= cohort)
    cells = Sample(panel.assign(weight=1.0, treated=treated, post=post.astype("int64")))
    estimate = classic.fit_python(
        cells,
        DidSettings(
            vcov=options.vcov,
            conf_level=options.conf_level,
            few_clusters=options.few_clusters,
            always_treated="keep",
        ),
    )
    of_sample = prepare(cells, "twfe", "keep").warnings
    own = (w.replace("ATT", "overall") for w in estimate.warnings if w not in of_sample)
    return replace(estimate, warnings=tuple(own))


def _overall(row: dict[str, Any], estimate: float) -> dict[str, Any]:
    """Put the engine's own estimate, which differs by rounding at most, into the regression's."""
    shift = estimate - row["estimate"]
    return {
        **row,
        "term": "overall",
        "estimate": estimate,
        "statistic": estimate / row["std_error"],
        "conf_low": row["conf_low"] + shift,
        "conf_high": row["conf_high"] + shift,
        "weight": 1.0,
        "kind": "all",
    }


def _in_r(panel: pd.DataFrame) -> Decomposition:
    columns = {
        "unit": pd.Categorical(panel["unit"].astype(str)),
        "period": panel["period"].to_numpy(float),
        "cohort": panel["cohort"].to_numpy(float),
        "value": panel["value"].to_numpy(float),
    }
    answer = r.call(FOLDER / "bacon.R", "bacon_decompose", columns, {}, timeout=TIMEOUT)
    if not len(answer["treated"]):
        decompose(panel)
        raise EstimationError("R found nothing to decompose.")
    comparisons = [
        Comparison(int(t), int(c), KINDS[int(k) - 1], float(e), float(w))
        for t, c, k, e, w in zip(
            *(answer[name] for name in ("treated", "control", "kind", "estimate", "weight")),
            strict=True,
        )
    ]
    comparisons.sort(key=lambda c: (c.treated, c.control))
    total = float(answer["overall"][0])
    return Decomposition(
        tuple(comparisons), total, panel["unit"].nunique(), panel["period"].nunique()
    )


def _row(comparison: Comparison) -> dict[str, Any]:
    missing = ("std_error", "statistic", "p_value", "conf_low", "conf_high", "df")
    return {
        "term": comparison.term,
        "estimate": comparison.estimate,
        **dict.fromkeys(missing, np.nan),
        "weight": comparison.weight,
        "kind": comparison.kind,
    }


def _glance(sample: Sample, panel: pd.DataFrame, parts: Decomposition) -> dict[str, Any]:
    kept = sample.frame["unit"].isin(panel["unit"]) & (sample.frame["weight"] > 0)
    shares = {f"weight_{kind.replace(' ', '_')}": parts.share(kind) for kind in KINDS}
    averages = {f"average_{kind.replace(' ', '_')}": parts.average(kind) for kind in KINDS}
    return {
        "n_cases": int(kept.sum()),
        "n_cells": len(panel),
        "estimand": "weighted average of all differences-in-differences of two cohorts, each unit "
        "and period with the same weight",
        **shares,
        **averages,
    }


def _warnings(
    sample: Sample,
    panel: pd.DataFrame,
    parts: Decomposition,
    options: BaconSettings,
    covariates: bool,
) -> tuple[str, ...]:
    told = []
    left_out = sample.frame["unit"].nunique() - panel["unit"].nunique()
    if left_out:
        told.append(f"{left_out} units lack a period and are left out.")
    if covariates:
        told.append("Covariates play no part in the decomposition.")
    late = parts.share("later vs earlier")
    if late > options.misleading:
        told.append(
            f"{late:.0%} of the weight is on comparisons with units treated earlier: where effects "
            "grow or fade, the two-way fixed effects estimate is misleading."
        )
    always = parts.share("treated vs always")
    if any(c.control == ALWAYS for c in parts.comparisons):
        told.append(
            f"{always:.0%} of the weight is on comparisons with units treated in every period, "
            "which serve as comparators although they are treated: where effects grow or fade, "
            "these comparisons are misleading too. always_treated = 'drop' leaves them out."
        )
    return tuple(told)


class Bacon(Estimator):
    """What the two-way fixed effects estimate is made of."""

    name = "bacon"
    label = "Goodman-Bacon decomposition of two-way fixed effects"
    short_label = "Goodman-Bacon decomposition"
    Settings = BaconSettings
    sample = "calendar"
    family = "decomposition"
    diagnostic = True
    citation = "Goodman-Bacon (2021), Journal of Econometrics 225(2)"
    references = (GOODMAN_BACON_2021,)
    engines = (
        Engine(name="python", fit=fit_python, packages=("numpy", "pandas")),
        Engine(name="r", fit=fit_r, requires=(R_BASE,)),
    )

    def headline(self, options: BaconSettings) -> str:  # noqa: ARG002
        """Return ``overall``, the two-way fixed effects estimate."""
        return "overall"


@hookimpl
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer ``bacon``."""
    register(Bacon())
