"""Settings of ``coarsened-exact``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sos_matchers.cases.common import WithinSettings
from sos_matchers.cases.exact.bins import Rule
from sos_matchers.cases.weighted import EffectiveSettings
from sos_plugins.contract.settings import NAMES_COLUMNS
from sos_plugins.errors import listing

CutPoints = (
    Rule
    | Literal["exact"]
    | Annotated[int, Field(ge=2)]
    | Annotated[tuple[float, ...], Field(min_length=1)]
)
"""How one number is cut."""


class CoarsenedExactSettings(WithinSettings, EffectiveSettings):
    """What ``coarsened-exact`` takes."""

    cutpoints: dict[str, CutPoints] = Field(
        {},
        description=(
            "by covariate: a list of cut points (a value at a cut point lies above it), a number "
            "of bins of equal width, a rule (sturges, scott, fd), or exact for no bins"
        ),
        json_schema_extra=NAMES_COLUMNS,
    )
    groupings: dict[str, dict[str, tuple[str, ...]]] = Field(
        {},
        description=(
            "by covariate: names of groups, each with the levels that count as one; levels in no "
            "group stay on their own"
        ),
        json_schema_extra=NAMES_COLUMNS,
    )
    coarsening: Rule = Field(
        "sturges", description="rule for the bins of numbers that have no cut points of their own"
    )
    weights: Literal["cem", "composite"] = Field(
        "cem",
        description=(
            "what each case starts with: its own weight (cem), or that divided by the times that "
            "the same authority, child and date is matched (composite, as in the 2021 analysis)"
        ),
    )
    k2k: bool = Field(
        False, description="whether each stratum keeps as many cases of pilots as of comparators"
    )
    k2k_distance: Literal["mahalanobis", "random"] = Field(
        "mahalanobis",
        description=(
            "which cases stay: each pilot's nearest on the covariates before coarsening, or any, "
            "by the seed"
        ),
    )
    histogram: Rule = Field(
        "scott", description="rule for the bins in which imbalance (L1) is measured"
    )
    seed: int = Field(
        0, ge=0, description="seed of the order in which equally near cases are taken"
    )

    @model_validator(mode="after")
    def _a_level_in_one_group(self) -> CoarsenedExactSettings:
        for name, groups in self.groupings.items():
            levels = [level for group in groups.values() for level in group]
            twice = sorted({level for level in levels if levels.count(level) > 1})
            if twice:
                raise ValueError(
                    f"the groups of '{name}' have {listing(twice)} more than once; a level belongs "
                    "to one group"
                )
        return self

    @model_validator(mode="after")
    def _one_way_to_coarsen(self) -> CoarsenedExactSettings:
        both = sorted(set(self.cutpoints) & set(self.groupings))
        if both:
            raise ValueError(
                f"{listing(both)} has both cut points and a grouping; numbers have cut points, "
                "categories have groupings"
            )
        return self
