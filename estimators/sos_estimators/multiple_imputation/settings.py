"""Settings of multiple imputation by chained equations."""

from __future__ import annotations

from pydantic import Field

from sos_plugins import Settings


class ChainedEquationsSettings(Settings):
    """How many completed data sets, and how they are drawn."""

    sets: int = Field(
        20,
        ge=2,
        description="completed data sets; a result warns where their number makes it uncertain by "
        "more than a tenth of its standard error",
    )
    iterations: int = Field(
        5, ge=1, description="rounds of each chain; one is enough if one covariate has gaps"
    )
    donors: int = Field(
        5, ge=1, description="predictive mean matching draws from so many cases with near means"
    )
