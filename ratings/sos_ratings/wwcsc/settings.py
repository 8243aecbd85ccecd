"""The thresholds of the rating; that evaluation published none, so all are ours."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sos_plugins import Settings

AT_LEAST = (
    "usable",
    "worst",
    "covered",
    "runs",
    "same_direction",
    "significant",
    "pilots_parallel",
    "pilots",
    "tipping",
    "families",
    "families_same",
    "families_significant",
)
"""Figures that must be at least their threshold."""
AT_MOST = (
    "shift",
    "faulty",
    "change",
    "engines",
    "imbalance_units",
    "imbalance_cases",
    "above_pool",
)
"""Figures that must be at most their threshold."""


class WwcscSettings(Settings):
    """Thresholds, all of them ours; shares run from 0 to 1."""

    style: Literal["second-edition", "wwcsc-2021"] = Field(
        "second-edition",
        description="second-edition, or the criteria and sentences of the first edition, which "
        "speaks as the evaluation of 2021 did",
    )
    significance: float = Field(
        0.05, gt=0, lt=1, description="p value below which an effect counts"
    )
    usable_moderate: float = Field(
        0.75, ge=0, le=1, description="(2021) least share of records that can be judged: moderate"
    )
    usable_high: float = Field(
        0.95, ge=0, le=1, description="(2021) least share of records that can be judged: high"
    )
    worst_moderate: float = Field(
        0.5, ge=0, le=1, description="(2021) the same in the worst authority: moderate"
    )
    worst_high: float = Field(
        0.9, ge=0, le=1, description="(2021) the same in the worst authority: high"
    )
    shift_moderate: float = Field(
        0.1, ge=0, le=1, description="largest shift of that share in the pilots: moderate"
    )
    shift_high: float = Field(
        0.02, ge=0, le=1, description="largest shift of that share in the pilots: high"
    )
    faulty_moderate: float = Field(
        0.25, ge=0, le=1, description="largest share of rows at fault in the pilots: moderate"
    )
    faulty_high: float = Field(
        0.05, ge=0, le=1, description="largest share of rows at fault in the pilots: high"
    )
    covered_moderate: float = Field(
        0.6, ge=0, le=1, description="least share of the planned pilots analysed: moderate"
    )
    covered_high: float = Field(
        0.9, ge=0, le=1, description="least share of the planned pilots analysed: high"
    )
    runs_moderate: int = Field(
        3, ge=1, description="(2021) least number of sensitivity runs: moderate"
    )
    runs_high: int = Field(10, ge=1, description="(2021) least number of sensitivity runs: high")
    same_direction_moderate: float = Field(
        0.9, ge=0, le=1, description="(2021) least share of runs with the main direction: moderate"
    )
    same_direction_high: float = Field(
        1.0, ge=0, le=1, description="(2021) least share of runs with the main direction: high"
    )
    significant_moderate: float = Field(
        0.8, ge=0, le=1, description="(2021) least share of runs that are significant: moderate"
    )
    significant_high: float = Field(
        1.0, ge=0, le=1, description="(2021) least share of runs that are significant: high"
    )
    change_moderate: float = Field(
        0.5, ge=0, description="largest change of the estimate, relative to the main: moderate"
    )
    change_high: float = Field(
        0.25, ge=0, description="largest change of the estimate, relative to the main: high"
    )
    leads_level: float = Field(
        0.05, gt=0, lt=1, description="p value below which leads speak against parallel trends"
    )
    pilots_parallel_moderate: float = Field(
        0.6, ge=0, le=1, description="least share of pilots with parallel trends: moderate"
    )
    pilots_parallel_high: float = Field(
        0.9, ge=0, le=1, description="least share of pilots with parallel trends: high"
    )
    pilots_moderate: int = Field(4, ge=1, description="least number of pilots analysed: moderate")
    pilots_high: int = Field(20, ge=1, description="least number of pilots analysed: high")

    tipping_moderate: float = Field(
        0.5,
        ge=0,
        description="how different the pilots' unusable records must at least be to undo the "
        "finding, in standard deviations of the value: moderate",
    )
    tipping_high: float = Field(0.8, ge=0, description="the same: high")
    families_moderate: int = Field(
        3, ge=1, description="least number of kinds of sensitivity run: moderate"
    )
    families_high: int = Field(
        5, ge=1, description="least number of kinds of sensitivity run: high"
    )
    families_same_moderate: float = Field(
        0.75, ge=0, le=1, description="least share of kinds with the main direction: moderate"
    )
    families_same_high: float = Field(
        1.0, ge=0, le=1, description="least share of kinds with the main direction: high"
    )
    families_significant_moderate: float = Field(
        0.75, ge=0, le=1, description="least share of kinds that are significant: moderate"
    )
    families_significant_high: float = Field(
        1.0, ge=0, le=1, description="least share of kinds that are significant: high"
    )
    leads_power: float = Field(
        0.8,
        ge=0,
        le=1,
        description="least share of the drifts that matter which the test of trends must find: "
        "high",
    )
    breakdown_high: float = Field(
        1.0,
        ge=0,
        description="how many times as fast as at worst before trends would have to diverge, at "
        "least, to undo an effect, where the study bounds that: high",
    )
    engines_moderate: float = Field(
        0.5, ge=0, description="how far engines may differ, in standard errors: moderate"
    )
    engines_high: float = Field(
        0.1, ge=0, description="how far engines may differ, in standard errors: high"
    )
    imbalance_units_moderate: float = Field(
        0.5,
        ge=0,
        description="largest standardised difference in the mean outcome before, between matched "
        "authorities: moderate",
    )
    imbalance_units_high: float = Field(0.25, ge=0, description="the same: high")
    imbalance_cases_moderate: float = Field(
        0.25,
        ge=0,
        description="largest standardised difference in a covariate, between matched cases: "
        "moderate",
    )
    imbalance_cases_high: float = Field(0.1, ge=0, description="the same: high")
    above_pool_moderate: float = Field(
        1.0,
        ge=0,
        description="how far the pilots may lie from the pool before they begin, in its standard "
        "deviations: moderate",
    )
    above_pool_high: float = Field(0.5, ge=0, description="the same: high")

    @model_validator(mode="after")
    def _ordered(self) -> WwcscSettings:
        """High may never ask for less than moderate."""
        for name in AT_LEAST:
            if getattr(self, f"{name}_high") < getattr(self, f"{name}_moderate"):
                raise ValueError(f"{name}_high must be at least {name}_moderate")
        for name in AT_MOST:
            if getattr(self, f"{name}_high") > getattr(self, f"{name}_moderate"):
                raise ValueError(f"{name}_high must be at most {name}_moderate")
        return self
