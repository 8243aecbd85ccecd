"""The arguments of the method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from sos_plugins.settings import Settings


class CallawaySantAnnaSettings(Settings):
    """Arguments of ``callaway-santanna``, the same for every engine."""

    control: Literal["nevertreated", "notyettreated"] = Field(
        "nevertreated",
        description="who is compared with: units never treated, or all not treated yet",
    )
    method: Literal["dr", "reg", "ipw"] = Field(
        "dr",
        description="doubly robust, outcome regression, or inverse probability weighting",
    )
    base: Literal["varying", "universal"] = Field(
        "varying",
        description="base of effects before treatment: the period before each, "
        "or the last before treatment for all",
    )
    anticipation: int = Field(
        0, ge=0, description="periods before the first treated one that may already be affected"
    )
    aggregate: Literal["group-time", "simple", "event", "cohort", "calendar"] = Field(
        "group-time",
        description="which effects to give beside the overall one: of each cohort and period, "
        "none, by time since treatment, by cohort, or by period",
    )
    min_event: int | None = Field(
        None, description="earliest event time to give (with aggregate=event); none: all"
    )
    max_event: int | None = Field(
        None, ge=0, description="latest event time to give (with aggregate=event); none: all"
    )
    cluster: Literal["cluster", "unit-of-observation"] = Field(
        "cluster",
        description="what standard errors take as independent: the sample's clusters, "
        "or each case (in a panel each id)",
    )
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the confidence intervals")
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
    scores: Literal["published", "exact"] = Field(
        "published",
        description="standard errors of dr on repeated cross-sections: as the R package did "
        "computes them, or from the exact derivative of the estimator",
    )
    few_clusters: int = Field(
        10, ge=2, description="fewer treated or comparison clusters than this give a warning"
    )

    @field_validator("min_event", "max_event")
    @classmethod
    def _check_event_window(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("aggregate", "event") != "event":
            raise ValueError("needs aggregate=event")
        first = info.data.get("min_event")
        later = value is not None and first is not None and first > value
        if info.field_name == "max_event" and later:
            raise ValueError(f"is earlier than min_event={first}")
        return value
