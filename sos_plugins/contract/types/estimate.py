"""Estimates, and how far those of two engines may differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from sos_plugins.contract.columns import TIDY_COLUMNS
from sos_plugins.errors import DataError, listing
from sos_plugins.groundwork.plain import plain


@dataclass(frozen=True)
class Estimate:
    """The result of one engine: one row a term, one row a fit, and where it came from.

    Attributes:
        tidy: Frame with the columns of :data:`sos_plugins.contract.columns.TIDY_COLUMNS`.
        glance: The keys of :data:`sos_plugins.contract.columns.GLANCE_COLUMNS`, and an estimator's
            own.
        provenance: Estimator, engine, versions, settings, seed, hash of the sample; an engine may
            leave it empty, a study fills it.
        warnings: Sentences that a reader must see beside the figures.
        covariance: Covariance matrix of terms, rows and columns named like them, where an engine
            hands it out; None otherwise.
    """

    tidy: pd.DataFrame
    glance: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    covariance: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        absent = [c for c in TIDY_COLUMNS if c not in self.tidy]
        if absent:
            raise DataError(f"An estimate lacks the columns {listing(absent)}.")
        if self.covariance is not None:
            object.__setattr__(self, "covariance", self._with_terms(self.covariance))

    def _with_terms(self, covariance: pd.DataFrame) -> pd.DataFrame:
        """Name the rows like the columns: a stored result keeps the names of columns only."""
        unknown = set(covariance.columns) - set(self.tidy["term"])
        named = list(covariance.index) in (list(covariance.columns), list(range(len(covariance))))
        if unknown or not named or len(covariance) != len(covariance.columns):
            raise DataError(
                "The covariance of an estimate must have the same terms as rows and columns, all "
                f"of them in tidy. Not in tidy: {listing(unknown)}."
            )
        return covariance.set_axis(covariance.columns, axis=0)

    def term(self, name: str) -> Mapping[str, Any]:
        """Return the row of one term: a value for each column of ``tidy``.

        Args:
            name: The term, such as ``"ATT"``.

        Raises:
            DataError: If there is no such term; the message lists those there are.
        """
        places = np.flatnonzero(self.tidy["term"].to_numpy(object) == name)
        if not len(places):
            raise DataError(
                f"The estimate has no term '{name}'. Terms: {listing(self.tidy['term'])}."
            )
        return {str(c): self.tidy[c].iloc[places[0]] for c in self.tidy}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: missing and infinite numbers become null and ``"inf"``."""
        values = {
            "tidy": [plain(row) for row in self.tidy.to_dict("records")],
            "glance": plain(dict(self.glance)),
            "provenance": plain(dict(self.provenance)),
            "warnings": list(self.warnings),
        }
        if self.covariance is not None:
            values["covariance"] = {
                "terms": [str(term) for term in self.covariance.index],
                "values": plain(self.covariance.to_numpy()),
            }
        return values


@dataclass(frozen=True)
class Tolerance:
    """How far two engines may differ: ``|a - b| <= absolute + relative * max(|a|, |b|)``.

    Attributes:
        relative: A share of the larger of the two.
        absolute: In the units of what is compared.
        reason: Why they may differ so far.
    """

    relative: float
    absolute: float
    reason: str


@dataclass(frozen=True)
class Agreement:
    """One cross-check: an estimator, its reference engine and another engine, on the same cases.

    Attributes:
        verdict: ``agree``, ``disagree`` or ``not run``.
        max_difference_estimate: Over the terms, in units of the value; None if none is compared.
        max_difference_std_error: Likewise, of standard errors.
        worst_term: The term that differs most, measured by what is allowed.
        reason: Why it was not run, which terms differ, or why standard errors are not compared.
        terms: Frame ``term, estimate, std_error``, the last two also with ``_reference``, and
            ``difference_estimate, difference_std_error``.
    """

    outcome: str
    estimator: str
    engine: str
    reference: str
    verdict: Literal["agree", "disagree", "not run"]
    max_difference_estimate: float | None
    max_difference_std_error: float | None
    worst_term: str
    tolerance_estimate: Tolerance
    tolerance_std_error: Tolerance
    reason: str = ""
    terms: pd.DataFrame = field(default_factory=pd.DataFrame)
