"""Evidence that gives every criterion of a rating what it asks for, to take one thing away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from scipy.stats import t as student

from sos_plugins import (
    AdjustedP,
    Agreement,
    Evidence,
    LeadTest,
    OutcomeInfo,
    Run,
    SmallestEffect,
    Tolerance,
)

INFO = OutcomeInfo("kinship", "Kinship care", "kinship care", "?", True, "proportion", "increase")
TREATED = "average effect on the treated"
DF = 12.0
FAMILIES = (
    *("drop-one-pilot",) * 3,
    *("no-covariates", "unweighted", "logit", "other-matching", "whole-pool"),
)
QUALITY = {
    "usable_share": 0.99,
    "usable_share_pilots": 0.99,
    "usable_share_worst": 0.95,
    "usable_shift": 0.01,
    "unusable_after": 0.01,
    "value_sd": 0.5,
    "pilots_covered": 1.0,
    "pilots_above_pool": 0.1,
    "imbalance_units": 0.1,
    "imbalance_cases": 0.01,
    "faulty_share_before": 0.0,
    "faulty_share_after": 0.01,
}


def a_run(
    estimate: float | None = -0.13,
    error: float = 0.02,
    family: str = "no-covariates",
    **changes: Any,
) -> Run:
    """A run of 25 pilots; its p value is Student's with 12 degrees of freedom."""
    if estimate is None:
        return Run(family, "failed", status="failed", reason="singular")
    p_value = float(2 * student.sf(abs(estimate) / error, DF))
    half = float(student.ppf(0.975, DF)) * error
    values: dict[str, Any] = {
        "estimator": "did", "engine": "python", "estimate": estimate, "std_error": error,
        "p_value": p_value, "conf_low": estimate - half, "conf_high": estimate + half,
        "n_units": 60, "n_treated_units": 25, "df": DF, "estimand": TREATED,
    }  # fmt: skip
    return Run(family, f"run of {family}", **(values | changes))


def an_agreement(
    verdict: Any = "agree", *, apart: float = 0.0, estimator: str = "did", error: float = 0.02
) -> Agreement:
    """A cross-check of two engines whose estimates differ by ``apart`` in units of the value."""
    tolerance = Tolerance(1e-8, 1e-10, "test")
    terms = pd.DataFrame(
        {"term": ["ATT"], "estimate_reference": [-0.13], "std_error_reference": [error],
         "estimate": [-0.13 + apart], "std_error": [error], "difference_estimate": [apart],
         "difference_std_error": [0.0]}
    )  # fmt: skip
    return Agreement(
        "kinship", estimator, "r", "python", verdict, apart, 0.0, "ATT", tolerance, tolerance,
        terms=terms,
    )  # fmt: skip


def the_evidence(effect: float = -0.13, error: float = 0.02, **changes: Any) -> Evidence:
    """Evidence that is high in every respect, of an effect and its standard error."""
    main = a_run(effect, error, "main")
    strong = Evidence(
        INFO,
        main,
        tuple(a_run(effect, error, family) for family in FAMILIES),
        (
            LeadTest("", 1.0, 3, 20.0, 0.5, power=0.9),
            *(LeadTest(str(n), 1.0, 3, 99.0, 0.4) for n in range(9)),
        ),
        QUALITY,
        (an_agreement(error=error),),
        smallest_effect=SmallestEffect(0.05, "below five points nothing would change"),
        adjusted=AdjustedP(main.p_value or 0.0, "holm", ("kinship",)),
    )
    return replace(strong, **changes)
