"""Event-study coefficients with their covariance: what bounds and power of pre-tests start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sos_estimators.arrays import Floats
from sos_plugins.contract.types import Estimate
from sos_plugins.errors import EstimationError, listing

REFERENCE = -1
"""Event time with which the others are compared: the last period before adoption."""
PREFIX = "event="
SYMMETRY = 1e-8
"""Share of the largest variance by which a covariance may be asymmetric, or have a negative
eigenvalue: rounding, of numbers that were printed or stored too."""


@dataclass(frozen=True)
class EventCoefficients:
    """Coefficients of consecutive event times about the reference -1, which is left out.

    Attributes:
        estimates: Leads in order of time (-n_pre - 1, ..., -2), then lags (0, 1, ...), (p,).
        covariance: Of the estimates, (p, p).
        n_pre: Number of leads, at least one.

    Raises:
        EstimationError: If shapes do not fit, a number is missing, or the matrix is no covariance.
    """

    estimates: Floats
    covariance: Floats
    n_pre: int

    def __post_init__(self) -> None:
        estimates = np.asarray(self.estimates, float)
        covariance = np.asarray(self.covariance, float)
        p = estimates.size
        if estimates.ndim != 1 or covariance.shape != (p, p) or not 0 < self.n_pre < p:
            raise EstimationError(
                f"{p} coefficients, {self.n_pre} of them leads, and a covariance of shape "
                f"{covariance.shape} do not fit: there must be at least one lead and one lag, and "
                "a row and a column of the covariance for each."
            )
        if not (np.isfinite(estimates).all() and np.isfinite(covariance).all()):
            raise EstimationError(
                "Event-study coefficients or their covariance have missing or infinite values."
            )
        scale = float(np.abs(covariance).max())
        lowest = float(np.linalg.eigvalsh((covariance + covariance.T) / 2).min())
        if (
            not (np.diag(covariance) > 0).all()
            or np.abs(covariance - covariance.T).max() > SYMMETRY * scale
            or lowest < -SYMMETRY * scale
        ):
            raise EstimationError(
                "The matrix given is no covariance of event-study coefficients: it must be "
                "symmetric, with positive variances and no negative eigenvalue."
            )
        object.__setattr__(self, "estimates", estimates)
        object.__setattr__(self, "covariance", (covariance + covariance.T) / 2)

    @classmethod
    def of(
        cls, events: Sequence[int], estimates: ArrayLike, covariance: ArrayLike
    ) -> EventCoefficients:
        """Order coefficients by event time, the reference -1 not among them.

        Raises:
            EstimationError: If event times are missing between the first and the last.
        """
        order = np.argsort(events, kind="stable")
        times = [int(events[i]) for i in order]
        if not times or times[0] >= REFERENCE or times[-1] < 0:
            raise EstimationError(
                "Bounds and power need coefficients before and after the reference -1. Event "
                f"times: {listing(str(t) for t in times)}."
            )
        expected = [e for e in range(times[0], times[-1] + 1) if e != REFERENCE]
        if times != expected:
            absent = [str(e) for e in expected if e not in times]
            raise EstimationError(
                "Event times must follow each other without a gap about the reference -1. "
                f"Missing: {', '.join(absent) or 'none'}; given: {', '.join(map(str, times))}. "
                "Bin the ends with min_event and max_event."
            )
        values, matrix = np.asarray(estimates, float), np.asarray(covariance, float)
        n_pre = sum(t < 0 for t in times)
        if values.shape != (len(times),) or matrix.shape != (len(times), len(times)):
            return cls(values, matrix, n_pre)
        return cls(values[order], matrix[np.ix_(order, order)], n_pre)

    @classmethod
    def from_estimate(cls, estimate: Estimate) -> EventCoefficients:
        """Take the terms ``event=...`` of an estimate that carries their covariance.

        Raises:
            EstimationError: If it carries none, or the reference is not -1.
        """
        if estimate.covariance is None:
            raise EstimationError(
                "The estimate carries no covariance of its event-study terms: use an engine of "
                "'event-study', or give coefficients and covariance to EventCoefficients.of."
            )
        reference = estimate.glance.get("reference", REFERENCE)
        if reference != REFERENCE:
            raise EstimationError(
                f"The reference of the event study is {reference}; bounds and power need -1, the "
                "same for all leads and lags (in callaway-santanna: base = 'universal' and no "
                "anticipation)."
            )
        terms = [str(t) for t in estimate.covariance.columns if str(t).startswith(PREFIX)]
        without = estimate.tidy.set_index("term").loc[terms, "std_error"].isna()
        if without.any():
            raise EstimationError(
                f"{', '.join(without.index[without])} of the event study have no standard error, "
                "and bounds and power rest on their covariance. " + " ".join(estimate.warnings)
            )
        values = estimate.tidy.set_index("term")["estimate"]
        return cls.of(
            [int(t.removeprefix(PREFIX)) for t in terms],
            values.loc[terms].to_numpy(float),
            estimate.covariance.loc[terms, terms].to_numpy(float),
        )

    @property
    def n_post(self) -> int:
        """Number of lags."""
        return len(self.estimates) - self.n_pre

    @property
    def times(self) -> Floats:
        """Periods since the reference, (p,): -1 for event time -2, 1 for event time 0."""
        return np.concatenate([np.arange(-self.n_pre, 0.0), np.arange(1.0, self.n_post + 1)])

    @property
    def pre(self) -> slice:
        """Places of the leads."""
        return slice(0, self.n_pre)

    @property
    def post(self) -> slice:
        """Places of the lags."""
        return slice(self.n_pre, len(self.estimates))

    @property
    def is_singular(self) -> bool:
        """Whether the covariance has no inverse, as with fewer clusters than coefficients."""
        scale = np.sqrt(np.diag(self.covariance))
        correlation = self.covariance / np.outer(scale, scale)
        return int(np.linalg.matrix_rank(correlation, hermitian=True)) < len(scale)

    def weights(self, target: str) -> Floats:
        """Return the weights (n_post,) of lags that make up a target.

        Args:
            target: ``"average"`` of all lags, or one of them such as ``"event=0"``.

        Raises:
            EstimationError: If there is no such lag.
        """
        if target == "average":
            return np.full(self.n_post, 1 / self.n_post)
        lags = [f"{PREFIX}{e}" for e in range(self.n_post)]
        if target not in lags:
            raise EstimationError(
                f"The target '{target}' is no lag of the event study: average, {', '.join(lags)}."
            )
        chosen = np.zeros(self.n_post)
        chosen[lags.index(target)] = 1.0
        return chosen
