"""Samples on which our engines go on and the packages of others cannot."""

from __future__ import annotations

from sos_estimators.callaway_santanna.group_time import observations, short_of_rank
from sos_estimators.callaway_santanna.preparation import prepare
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_plugins.contract.types import Sample
from sos_plugins.errors import DataError, EstimationError

SHOWN = 3
"""Effects that the sentence names."""


def rank_limit(sample: Sample, options: CallawaySantAnnaSettings) -> str | None:
    """Say so where a covariate does not vary in a group and period of some effect.

    Our engines leave out a column that no case or no needed prediction rests on; other packages
    drop the effect, and then average over other effects.
    """
    if not sample.covariates:
        return None
    try:
        prepared = prepare(sample, options)
    except (DataError, EstimationError):
        return None  # the fit says why
    short = short_of_rank(observations(prepared), prepared.cells, options)
    if not short:
        return None
    more = f" and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
    return (
        f"the package drops {', '.join(short[:SHOWN])}{more}, where some covariate does not vary "
        "on its own within a group and period; with fewer covariates or levels it can run"
    )
