"""What the R engines of this folder share: scripts, columns, limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sos_estimators.sample.prepare import (
    EFFECT_COLUMNS,
    Form,
    Prepared,
    is_category,
)
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.interfaces import Requirement
from sos_plugins.contract.types import Sample
from sos_plugins.r import client as r

R_CLUB_SANDWICH = Requirement(
    "r", "clubSandwich", "Debian: sudo apt-get install r-cran-clubsandwich"
)
FOLDER = Path(__file__).resolve().parent.parent / "r"
MAX_DUMMIES = 2000
"""R's ``lm`` gets a dummy for every effect; beyond this it takes minutes and gigabytes."""
TIMEOUT = 600.0
"""Seconds after which a fit in R is given up."""


MAX_CASES_OF_A_CLUSTER = 2000
"""clubSandwich makes square matrices of the cases of a cluster; beyond this they take gigabytes."""


def limits(sample: Sample, form: Form, vcov: str) -> str | None:
    """Say so when R cannot do what is asked."""
    if COMPRESSED[0] in sample.frame:
        return "the R engine needs the cases, and this sample is compressed to cells"
    if vcov == "CR2-cases":
        if missing := R_CLUB_SANDWICH.missing():
            return missing
        largest = int(sample.frame["cluster"].value_counts().max())
        if largest > MAX_CASES_OF_A_CLUSTER:
            return (
                "clubSandwich makes a square matrix of the cases of each cluster for CR2-cases, "
                f"and one has {largest}, more than {MAX_CASES_OF_A_CLUSTER}"
            )
    return too_many_effects(sample, form)


def too_many_effects(sample: Sample, form: Form) -> str | None:
    """Say so when R would need too many dummy columns."""
    n = sum(len(sample.frame[list(columns)].drop_duplicates()) for columns in _known(sample, form))
    if n <= MAX_DUMMIES:
        return None
    return (
        f"the R engine gives every authority and period a dummy column, and these are {n}, more "
        f"than {MAX_DUMMIES}"
    )


def _known(sample: Sample, form: Form) -> list[tuple[str, ...]]:
    """Return the effects whose columns the sample has."""
    return [c for c in EFFECT_COLUMNS[form] if set(c) <= set(sample.frame.columns)]


def fit(
    script: str,
    function: str,
    prepared: Prepared,
    further: Sequence[str] = (),
    **arguments: object,
) -> dict[str, Any]:
    """Call a fitting function of an R script on a prepared sample.

    Args:
        script: Name of a file in the folder of R scripts.
        function: Name of the function.
        prepared: The sample.
        further: Columns to send besides those every fit needs.
        arguments: Arguments of the function.
    """
    frame = prepared.frame
    columns: dict[str, Any] = {
        name: frame[name].to_numpy(float) for name in ("value", "weight", "treated", "post")
    }
    for name in ("unit", "period", "cluster", "group"):
        if name in frame:
            columns[name] = _factor(frame[name])
    for name in prepared.covariates:
        category = is_category(frame[name])
        columns[name] = _factor(frame[name]) if category else frame[name].to_numpy(float)
    columns |= {name: frame[name].to_numpy() for name in further}
    given = {**arguments, "covariates": list(prepared.covariates)}
    return r.call(FOLDER / script, function, columns, given, timeout=TIMEOUT)


def _factor(values: pd.Series) -> pd.Categorical:
    """Number the levels as the Python engine does: sorted, the first one left out."""
    codes, levels = pd.factorize(values.astype(str), sort=True)
    return pd.Categorical.from_codes(codes, categories=pd.Index(levels))
