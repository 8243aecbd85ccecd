"""The engine on ``feols`` of the R package ``fixest``: what it needs, and lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sos_estimators.inference.vcov import VARIANCES
from sos_plugins import Engine, Estimate, Requirement, Sample, Tolerance
from sos_plugins.cells.build import COMPRESSED
from sos_plugins.contract.interfaces import R_BASE

R_FIXEST = Requirement("r", "fixest", 'in R: install.packages("fixest")')
FIXEST_STOPS = Tolerance(
    1e-5, 1e-7, "fixest takes effects out by alternating projections, which end at a tolerance"
)


def fixest_lacks(vcov: str) -> str:
    """Say which variance fixest does not have, as a clause; empty if it has.

    Args:
        vcov: Name of the variance.
    """
    if "r-fixest" in VARIANCES[vcov].engines:
        return ""
    if vcov == "CR1S":
        return "fixest counts effects nested in clusters as one intercept"
    return f"fixest has no {vcov}"


def known_to_fixest(vcov: str) -> str:
    """Return a variance that fixest has: this one, or CR1 in its place.

    Args:
        vcov: Name of the variance.
    """
    return "CR1" if fixest_lacks(vcov) else vcov


def needs_cases(sample: Sample) -> str | None:
    """Say so where the rows of a sample are no cases.

    Args:
        sample: The cases.
    """
    if COMPRESSED[0] in sample.frame:
        return "fixest counts cases, and this sample is compressed to cells"
    return None


def r_fixest_engine(
    fit: Callable[[Sample, Any], Estimate],
    limits: Callable[[Sample, Any], str | None],
    *,
    takes_cells: bool = False,
) -> Engine:
    """Declare the engine of an estimator.

    Args:
        fit: Fits.
        limits: Says what it cannot do.
        takes_cells: Whether it takes compressed samples.
    """
    return Engine(
        name="r-fixest",
        fit=fit,
        requires=(R_BASE, R_FIXEST),
        limits=limits,
        tolerance_estimate=FIXEST_STOPS,
        tolerance_std_error=FIXEST_STOPS,
        packages=("fixest",),
        takes_cells=takes_cells,
    )
