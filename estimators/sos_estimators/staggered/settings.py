"""Arguments that all estimators of this folder take, named as those of ``callaway-santanna``."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from sos_estimators.arrays import Bools, Ints
from sos_estimators.inference.multiplier import BootstrapSettings
from sos_estimators.reassignment.methods import FewMethod, listed
from sos_plugins.contract.settings import BRIDGES_EMPTY_PERIODS
from sos_plugins.errors import EstimationError

Aggregate = Literal["group-time", "simple", "event", "cohort", "calendar"]


class CommonSettings(BootstrapSettings):
    """What checking a sample and giving a result need, draws included."""

    anticipation: int = Field(
        0,
        ge=0,
        description="periods before the first treated one that may already be affected",
        json_schema_extra=BRIDGES_EMPTY_PERIODS,
    )
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of the confidence intervals")
    few_clusters: int = Field(
        10, ge=2, description="fewer treated or comparison clusters than this give a warning"
    )
    inference: tuple[FewMethod, ...] = Field(
        (),
        description="engine python: methods for few treated authorities to put side by side, for "
        f"every average: {listed()}",
    )


class AggregateSettings(CommonSettings):
    """What to average effects by."""

    aggregate: Aggregate = Field(
        "event",
        description="which effects to give beside the overall one: of each cohort and period, "
        "none, by time since treatment, by cohort, or by period",
    )


class StaggeredSettings(AggregateSettings):
    """Arguments of the estimators that average effects by cohort and period."""

    min_event: int | None = Field(
        None, description="earliest event time to give (with aggregate=event); none: all"
    )
    max_event: int | None = Field(
        None,
        ge=0,
        description="latest event time to give, in the overall effect too (with aggregate=event); "
        "none: all",
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

    def in_window(self, event: Ints) -> Bools:
        """Say which event times are to be given, (n,).

        Args:
            event: Periods since treatment, (n,).
        """
        first = -np.inf if self.min_event is None else self.min_event
        last = np.inf if self.max_event is None else self.max_event
        return np.asarray((event >= first) & (event <= last))


def no_event_left(event: Ints) -> EstimationError:
    """Say that no effect after treatment is inside the window.

    Args:
        event: Event times of all effects, (n,).
    """
    return EstimationError(
        "No event time from treatment on is left to average: the cases give the event times "
        f"{event.min()} to {event.max()}; change min_event or max_event."
    )
