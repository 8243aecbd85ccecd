"""From averages to the result that every engine returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sos_estimators.did.inference import NEGLIGIBLE, tidy_rows
from sos_estimators.did.least_squares import Floats
from sos_estimators.did.staggered.cells import Cells
from sos_estimators.did.staggered.settings import CommonSettings
from sos_plugins.types import Estimate

OVERALL = "average effect on the treated cases over their treated periods"


def build_estimate(
    names: Sequence[str],
    estimates: npt.ArrayLike,
    std_errors: npt.ArrayLike,
    cells: Cells,
    options: CommonSettings,
    *,
    vcov: str,
    df: float,
    warnings: Sequence[str] = (),
    further: Mapping[str, Any] | None = None,
    covariance: Floats | None = None,
    of: Sequence[str] | None = None,
) -> Estimate:
    """Complete estimates and standard errors to an ``Estimate``.

    A standard error that is zero but for rounding is missing; unless the effect is zero by
    definition, a warning says so. ``covariance`` is that of the terms ``of``, all unless given.
    """
    values = np.array(estimates, dtype=float)
    errors = np.array(std_errors, dtype=float)
    none = ~(errors > NEGLIGIBLE * float(cells.value.std()))
    told = list(warnings)
    lost = [name for name, gone, value in zip(names, none, values, strict=True) if gone and value]
    if lost:
        told.append(
            f"{', '.join(lost)}: the clusters are too few for a standard error, which would be "
            "zero. It is left missing."
        )
    return Estimate(
        tidy=tidy_rows(
            names,
            values,
            np.where(none, np.nan, errors),
            df=df,
            conf_level=options.conf_level,
        ),
        glance={
            **cells.counts(),
            "estimand": OVERALL,
            "vcov": vcov,
            "conf_level": options.conf_level,
            **(further or {}),
        },
        warnings=(*cells.warnings, *told),
        covariance=None
        if covariance is None
        else pd.DataFrame(covariance, index=list(of or names), columns=list(of or names)),
    )
