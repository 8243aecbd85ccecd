"""The arguments of the method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sos_estimators.staggered.settings import Aggregate, StaggeredSettings
from sos_plugins.contract.settings import Settings


class GroupTimeSettings(Settings):
    """How a single effect of a cohort and period is estimated."""

    control: Literal["nevertreated", "notyettreated"] = Field(
        "nevertreated",
        description="who is compared with: units never treated, or all not treated yet",
    )
    method: Literal["dr", "reg", "ipw"] = Field(
        "dr",
        description="doubly robust, outcome regression, or inverse probability weighting",
    )


class CallawaySantAnnaSettings(GroupTimeSettings, StaggeredSettings):
    """Arguments of ``callaway-santanna``, the same for every engine."""

    base: Literal["varying", "universal"] = Field(
        "varying",
        description="base of effects before treatment: the period before each, "
        "or the last before treatment for all",
    )
    aggregate: Aggregate = Field(
        "group-time", description=StaggeredSettings.model_fields["aggregate"].description
    )
    cluster: Literal["cluster", "unit-of-observation"] = Field(
        "cluster",
        description="what standard errors take as independent: the sample's clusters, "
        "or each case (in a panel each id)",
    )
    overlap: float = Field(
        0.999,
        gt=0,
        le=1,
        description="with dr and ipw: an effect is missing where a propensity reaches this",
    )
    trim: float = Field(
        0.995,
        gt=0,
        le=1,
        description="with dr and ipw: comparison cases of this propensity or above get no weight",
    )
    scores: Literal["exact", "published"] = Field(
        "exact",
        description="standard errors of dr with covariates on repeated cross-sections: from the "
        "exact derivative of the estimator, or as the R package DRDID computes them up to 1.3.0",
    )
