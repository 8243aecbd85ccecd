"""The arguments that both estimators take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sos_plugins.contract.settings import BRIDGES_EMPTY_PERIODS, Settings

Errors = Literal["auto", "placebo", "own-effects", "jackknife"]
Aggregate = Literal["event", "simple", "cohort", "calendar", "pilot"]
Shape = Literal["level", "trend", "none"]
ABOUT_SHAPE = (
    "what is taken out of each authority before others are weighted to follow it: its level, or "
    "its own straight line through the periods before treatment, continued"
)
FEWEST_OWN = 4
"""With fewer treated authorities their own effects say too little of how far effects vary."""


class SyntheticSettings(Settings):
    """Arguments of ``synthetic-did`` and ``augmented-synthetic-control``."""

    aggregate: Aggregate = Field(
        "event",
        description="which effects to give beside the overall one: by time since treatment, none, "
        "by cohort, by period, or of each treated authority",
    )
    shape: Shape = Field("level", description=ABOUT_SHAPE)
    average: Literal["cases", "authorities"] = Field(
        "cases",
        description="whether effects are averaged over treated cases or over treated authorities "
        "and periods",
    )
    anticipation: int = Field(
        0,
        ge=0,
        description="periods before the first treated one that may already be affected",
        json_schema_extra=BRIDGES_EMPTY_PERIODS,
    )
    min_event: int | None = Field(
        None, description="earliest event time to give (with aggregate=event); none: all"
    )
    max_event: int | None = Field(
        None, ge=0, description="latest event time to give, in the overall effect too; none: all"
    )
    errors: Errors = Field(
        "auto",
        description="standard errors. placebo: how far the same estimate spreads over pilots "
        "dealt out to the authorities that were never treated; own-effects: from the treated "
        "authorities' own effects; jackknife: without each authority in turn, weights fixed; auto: "
        f"own-effects with {FEWEST_OWN} treated authorities or more, else placebo",
    )
    poor_fit: Literal["tell", "withhold"] = Field(
        "tell",
        description="what becomes of the overall effect where the treated were followed worse "
        "before treatment than placebo pilots are: a warning, or no figure",
    )
    fit_level: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="the fit before is poor where at most this share of placebo pilots fits worse",
    )
    draws: int = Field(
        499, ge=99, description="placebo assignments, unless all there are are fewer"
    )
    seed: int = Field(1, ge=0, description="seed of these assignments")
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the confidence intervals")

    @model_validator(mode="after")
    def _check_event_window(self) -> SyntheticSettings:
        first, last = self.min_event, self.max_event
        if first is not None and self.aggregate != "event":
            raise ValueError("min_event needs aggregate = 'event'")
        if first is not None and last is not None and first > last:
            raise ValueError(f"max_event = {last} is earlier than min_event = {first}")
        return self


class SyntheticDidSettings(SyntheticSettings):
    """Arguments of ``synthetic-did``."""

    shape: Literal["level", "trend"] = Field("level", description=ABOUT_SHAPE)
    by: Literal["cohort", "pilot"] = Field(
        "cohort",
        description="whether weights follow the mean of those who adopt at a time, or each treated "
        "authority",
    )


class AugmentedSettings(SyntheticSettings):
    """Arguments of ``augmented-synthetic-control``."""

    shape: Shape = Field("level", description=f"{ABOUT_SHAPE}; or nothing (none)")
    pooling: float | None = Field(
        None,
        ge=0,
        le=0.999,
        description="how much following the mean of the treated counts against following each "
        "(nu); none: the ratio of both imbalances when each is followed by itself",
    )
    augment: Literal["ridge", "none"] = Field(
        "ridge",
        description="whether what the weights do not follow is taken off by ridge regression of "
        "later on earlier values in the pool",
    )
    penalty: float = Field(
        0.1,
        ge=0.01,
        description="how much squared weights count: share of the variance of yearly changes in "
        "the pool",
    )
    lags: int | None = Field(
        None, ge=1, description="periods before treatment to follow; none: all there are"
    )
    draws: int = Field(199, ge=99, description=SyntheticSettings.model_fields["draws"].description)
    poor_fit: Literal["tell", "withhold"] = Field(
        "withhold", description=SyntheticSettings.model_fields["poor_fit"].description
    )
