"""What the plugins of this family declare alike: their kind and their engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sos_estimators.regression.fit import python_engine as python_engine
from sos_estimators.staggered.engine_r import too_many_dummies
from sos_plugins import Engine, Estimate, Estimator, Sample
from sos_plugins.contract.interfaces import R_BASE, R_SANDWICH

Fit = Callable[[Sample, Any], Estimate]


class StaggeredEstimator(Estimator):
    """An estimator of staggered adoption, which has every case once, in calendar periods."""

    sample = "calendar"
    family = "staggered"

    def headline(self, options: Any) -> str:  # noqa: ARG002
        """Return ``overall``, which every aggregation has.

        Args:
            options: Not used.
        """
        return "overall"


def r_engine(fit: Fit) -> Engine:
    """Declare the engine on base R and ``sandwich``.

    Args:
        fit: Fits.
    """
    return Engine(
        name="r",
        fit=fit,
        requires=(R_BASE, R_SANDWICH),
        limits=too_many_dummies,
        packages=("sandwich",),
        takes_cells=True,
    )
