"""What an event study estimates: its settings, event times, and which leads are tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sos_estimators.inference.vcov import VCOV, Variance
from sos_estimators.sample.adoption import ABOUT_ALWAYS_TREATED, AlwaysTreated
from sos_estimators.sample.prepare import ABOUT_YEARS, Form, RegressionSample, Years
from sos_plugins.cells.compression import count
from sos_plugins.contract.settings import TAKES_CASE_WEIGHTS, Settings
from sos_plugins.errors import EstimationError


class EventStudySettings(Settings):
    """Arguments of ``event-study``."""

    form: Form = Field(
        "twfe",
        description="twfe: unit and period effects; stacked: both within each matched group; "
        "pilot-post: period effects, pilot and post terms, no unit effects",
    )
    years: Years = Field("window", description=ABOUT_YEARS)
    reference: int = Field(-1, lt=0, description="event time that the others are compared with")
    min_event: int | None = Field(
        None, description="earlier event times are counted as this one; none: all are kept"
    )
    max_event: int | None = Field(
        None, ge=0, description="later event times are counted as this one; none: all are kept"
    )
    min_lead_clusters: int = Field(
        5,
        ge=1,
        description="the joint test leaves out leads that fewer treated clusters have (or fewer "
        "than all, if less are treated), and AHT those of a single one: too little says how far "
        "they differ by chance",
    )
    leads_df: Literal["AHT", "clusters", "treated-clusters"] = Field(
        "AHT",
        description="joint test of the leads: AHT, with CR2 and its own degrees of freedom, or "
        "Wald's with the variance 'vcov' on clusters - 1 or treated clusters - 1, which rejects "
        "parallel trends far too often where few are treated",
    )
    lags_only: bool = Field(
        False, description="no leads: every period before adoption is the reference"
    )
    vcov: Variance = Field("CR2", json_schema_extra=TAKES_CASE_WEIGHTS, description=VCOV)
    always_treated: AlwaysTreated = Field("drop", description=ABOUT_ALWAYS_TREATED)
    conf_level: float = Field(0.95, gt=0, lt=1, description="level of confidence intervals")
    few_clusters: int = Field(
        10, ge=0, description="warn when fewer clusters than this are treated"
    )

    @property
    def lead_clusters(self) -> int:
        """Least treated clusters of a lead that is tested; AHT would take one for certain."""
        return max(2, self.min_lead_clusters) if self.leads_df == "AHT" else self.min_lead_clusters

    @model_validator(mode="after")
    def _ends_hold_the_reference(self) -> EventStudySettings:
        if self.min_event is not None and self.min_event > self.reference:
            raise ValueError(
                f"min_event = {self.min_event} comes after reference = {self.reference}"
            )
        return self


@dataclass(frozen=True)
class Plan:
    """What is estimated and tested.

    Attributes:
        events: Event times that get a coefficient, in order.
        thin: Those that too few treated clusters have.
    """

    events: tuple[int, ...]
    thin: tuple[int, ...]

    @property
    def tested(self) -> tuple[int, ...]:
        """The leads that are tested jointly: those that are not thin."""
        return tuple(e for e in self.events if e < 0 and e not in self.thin)


def with_events(prepared: RegressionSample, options: EventStudySettings) -> RegressionSample:
    """Add the column ``event``: period minus cohort, for treated cases; else the reference.

    With embedding windows the first treated period may hold cases that ended before the window:
    they are not treated, so they count as the last lead (-1), and cases after it as lag 0 at least.

    Args:
        prepared: The checked sample.
        options: ``reference``, ``min_event`` and ``max_event`` are used.

    Raises:
        EstimationError: If a treated case has no cohort.
    """
    frame = prepared.frame
    treated = frame["treated"].to_numpy() == 1
    without = treated & (frame["cohort"].to_numpy() <= 0)
    if without.any():
        orphans = frame[without]
        raise EstimationError(
            f"{count(orphans)} cases of treated units have no first treated period "
            f"(cohort 0): units {', '.join(sorted({str(u) for u in orphans['unit']}))}."
        )
    event = (frame["period"].to_numpy() - frame["cohort"].to_numpy()).astype(np.int64, copy=False)
    after = frame["post"].to_numpy() == 1
    early, late = treated & ~after & (event >= 0), treated & after & (event < 0)
    warnings = []
    for rows, count_as, why in ((early, -1, "before the window"), (late, 0, "after the window")):
        if rows.any():
            event = np.where(rows, count_as, event)
            warnings.append(
                f"{count(frame[rows])} treated cases that fall {why} by date but not by "
                f"period count as event time {count_as}."
            )
    event = np.clip(
        event,
        options.min_event if options.min_event is not None else event.min(),
        options.max_event if options.max_event is not None else event.max(),
    )
    return prepared.with_event(np.where(treated, event, options.reference), *warnings)


def plan(prepared: RegressionSample, options: EventStudySettings) -> Plan:
    """Choose the event times that get a coefficient, and the leads for the joint test.

    Args:
        prepared: The sample with the column ``event``.
        options: Settings.

    Raises:
        EstimationError: If no treated case is observed at the reference.
    """
    treated = prepared.frame["treated"].to_numpy() == 1
    event, cluster = prepared.coded("event"), prepared.coded("cluster")
    there = np.zeros((len(event), len(cluster)), dtype=bool)
    there[event.codes[treated], cluster.codes[treated]] = True
    clusters = {int(e): int(n) for e, n in zip(event.levels, there.sum(axis=1), strict=True) if n}
    seen = list(clusters)
    if not options.lags_only and options.reference not in seen:
        raise EstimationError(
            f"No treated case is observed at the reference event time {options.reference}. "
            f"Observed: {', '.join(map(str, seen))}; choose one of those below 0 as reference."
        )
    left_out = {e for e in seen if e < 0} if options.lags_only else {options.reference}
    events = tuple(e for e in seen if e not in left_out)
    enough = min(options.lead_clusters, int(there.any(axis=0).sum()))
    return Plan(events, tuple(e for e in events if clusters[e] < enough))
