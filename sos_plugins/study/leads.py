"""Tests that trends were parallel before the programme: of all pilots together, and of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from sos_plugins.contract.interfaces import UnitMatch
from sos_plugins.contract.types import Estimate, LeadTest
from sos_plugins.errors import EstimationError, SosError
from sos_plugins.groundwork.plain import plain
from sos_plugins.host.registry import Registry
from sos_plugins.study.estimate import run_engine
from sos_plugins.study.pool_errors import Drift, LeadFigures, PoolErrors, from_placebos, joint_power
from sos_plugins.study.sensitivity import Specification

TERM = "event="
"""How the terms of event times begin."""
EARLIER_OUTCOMES = "outcome_pre_"
"""How the features of authorities begin that are their outcomes of one earlier period ..."""
LEVELS = ("outcome_pre_mean",)
"""... but for those that say nothing of their path."""
TREATED_PER_LEAD = 3
"""Least pilots for each lead of Wald's joint test: the variance of many leads rests on few treated
clusters. On 60 simulated samples with parallel trends, 6 pilots and 12 comparators, the test of 4
leads at 5% rejects 32% of the time with the degrees of freedom of all clusters, 10% with those of
the treated."""
LEAST_DF = 4.0
"""Least degrees of freedom of an AHT test of all leads. With fewer it finds next to nothing: with
nine pilots of 30 authorities and four leads it has about 2.7, and rejects 3% of the time at 5% when
pilots drift away by a tenth of a case's standard deviation a year; see docs/benchmarks.md."""


NO_DRIFT = Drift(None, "all")


def matched_on(match: UnitMatch) -> bool:
    """Return whether comparators were chosen by the outcomes of single earlier periods."""
    names = [str(name) for name in match.balance["covariate"]] if len(match.balance) else []
    compared = names if match.compared is None else match.compared
    return any(
        n.startswith(EARLIER_OUTCOMES) and n.partition(" of ")[0] not in LEVELS for n in compared
    )


@dataclass(frozen=True)
class LeadTests:
    """Tests the leads of one outcome.

    Attributes:
        registry: Who offers what.
        setup: What the estimator that tests leads works on.
        errors: What the pool tells of single pilots.
        drift: Of which the power is told.
    """

    registry: Registry
    setup: Specification
    errors: PoolErrors
    drift: Drift = NO_DRIFT

    def of_all(self) -> LeadTest:
        """Test jointly that all leads are zero.

        By the estimator's own errors where there are enough pilots for that, else the mean of the
        pilots' leads by the pool's.
        """
        try:
            estimate = self._estimate(self.setup)
        except SosError as error:
            return untested("", "failed", str(error))
        test = joint_test(estimate)
        if test.p_value is not None:
            return replace(test, used_for_matching=self.matched, power=self._power(estimate))
        found = self._by_the_pool("", [p.unit for p in self.errors.design.pilots])
        return found if found.p_value is not None else test

    def of_pilot(self, pilot: str) -> LeadTest:
        """Test jointly that the leads of one pilot are zero, by the pool's error."""
        return self._by_the_pool(pilot, [pilot])

    def _by_the_pool(self, name: str, pilots: Sequence[str]) -> LeadTest:
        """Test the mean leads of some pilots; of several, those without leads are left out."""
        told = {pilot: self._leads[pilot] for pilot in pilots}
        found = {p: leads for p, leads in told.items() if not isinstance(leads, LeadTest)}
        if not found:
            return replace(_why_none(told.values()), pilot=name)
        reference = next(iter(found.values())).reference
        try:
            figures = self.errors.test_leads(
                {p: leads.estimates for p, leads in found.items()}, reference, self.drift
            )
        except EstimationError as error:
            return untested(name, "not applicable", str(error))
        return replace(as_test(name, figures), used_for_matching=self.matched)

    @cached_property
    def _leads(self) -> Mapping[str, Leads | LeadTest]:
        """The leads of each pilot with its comparators, or why there are none."""
        return {p.unit: self._leads_of(p.unit) for p in self.errors.design.pilots}

    def _leads_of(self, pilot: str) -> Leads | LeadTest:
        try:
            estimate = self._estimate(self.setup.only([pilot]))
        except SosError as error:
            return untested(pilot, "failed", str(error))
        leads = leads_of(estimate)
        if leads.estimates.empty:
            reason = " ".join(estimate.warnings) or "There are no leads to test."
            return untested(pilot, "not applicable", reason)
        return leads

    @property
    def matched(self) -> bool:
        """Whether comparators were chosen by these outcomes."""
        return matched_on(self.errors.prepared.units)

    def _estimate(self, setup: Specification) -> Estimate:
        return run_engine(
            self.registry,
            setup.estimator,
            setup.engine,
            setup.sample,
            setup.options,
            seed=setup.seed,
            provenance=False,
            cells=setup.cells,
        ).estimate

    def _power(self, estimate: Estimate) -> float | None:
        """Return the power of the joint test of all pilots, where the covariance is known."""
        if self.drift.effect is None:
            return None
        years = self.errors.years_to_effect(self.drift.baseline)
        return power_of(estimate, self.drift.effect / years) if years > 0 else None


def joint_test(estimate: Estimate) -> LeadTest:
    """Read the joint test of all leads, unless it would mislead with so few pilots."""
    glance = estimate.glance
    statistic, p_value = plain(glance["leads_statistic"]), plain(glance["leads_p_value"])
    if p_value is None:
        reason = " ".join(estimate.warnings) or "There are no leads to test."
        return untested("", "not applicable", reason)
    df_den = float(glance["leads_df_den"])
    n_leads = int(glance["leads_df_num"])
    if why := _misleading(glance):
        reason = (
            f"{n_leads} leads of {int(glance['n_treated_units'])} pilots are not tested jointly: "
            f"{why} (it would give p = {p_value:.3f}). The pilots are tested one by one."
        )
        return LeadTest("", statistic, n_leads, df_den, None, "not applicable", reason)
    return LeadTest("", statistic, n_leads, df_den, p_value)


def _misleading(glance: Mapping[str, Any]) -> str:
    """Say why a joint test of all leads cannot be used with so few pilots, if it cannot."""
    if glance.get("leads_test") in ("AHT", "Hotelling"):
        df_den = float(glance["leads_df_den"])
        if df_den >= LEAST_DF:
            return ""
        return (
            f"with {df_den:.1f} degrees of freedom, fewer than {LEAST_DF:g}, such a test finds "
            "next to nothing; fewer leads find more, and min_event counts earlier ones as one"
        )
    if int(glance["leads_df_num"]) * TREATED_PER_LEAD <= int(glance["n_treated_units"]):
        return ""
    return f"with fewer than {TREATED_PER_LEAD} pilots for each lead such a test rejects too often"


def _why_none(told: Iterable[Leads | LeadTest]) -> LeadTest:
    return next(test for test in told if isinstance(test, LeadTest))


@dataclass(frozen=True)
class Leads:
    """Estimates of leads by event time, and the event time that they are compared with."""

    estimates: pd.Series
    reference: int


def leads_of(estimate: Estimate) -> Leads:
    """Read the leads of an estimate, the reference not among them."""
    reference = int(estimate.glance.get("reference", -1))
    found = {
        int(str(term).removeprefix(TERM)): float(value)
        for term, value in zip(estimate.tidy["term"], estimate.tidy["estimate"], strict=True)
        if str(term).startswith(TERM)
    }
    leads = {e: v for e, v in found.items() if e < 0 and e != reference and np.isfinite(v)}
    return Leads(pd.Series(leads, dtype=float), reference)


def power_of(estimate: Estimate, slope: float) -> float | None:
    """Return the power of an estimator's joint test against a slope of the leads a period.

    None where there is no test, or no covariance of the leads that are tested.
    """
    glance, covariance = estimate.glance, estimate.covariance
    tested = [f"{TERM}{e}" for e in glance.get("leads_tested") or ()]
    if joint_test(estimate).p_value is None or covariance is None or not tested:
        return None
    reference = int(glance.get("reference", -1))
    shift = slope * np.array([int(t.removeprefix(TERM)) - reference for t in tested], float)
    matrix = covariance.loc[tested, tested].to_numpy(float)
    noncentral = float(shift @ np.linalg.pinv(matrix, hermitian=True) @ shift)
    return joint_power(noncentral, len(tested), float(glance["leads_df_den"]))


def untested(pilot: str, status: Literal["failed", "not applicable"], reason: str) -> LeadTest:
    """Say why there is no test."""
    return LeadTest(pilot, None, None, None, None, status, reason)


def as_test(pilot: str, found: LeadFigures) -> LeadTest:
    """Return the test of one pilot's leads as a study shows it."""
    pooled = ""
    if found.pooled:
        pooled = (
            f"The event times {min(found.pooled):g} to {max(found.pooled):g} are tested as one "
            f"lead: {found.n_placebos} placebo pilots allow {found.df_num}."
        )
    return LeadTest(
        pilot,
        found.statistic,
        found.df_num,
        found.df_den,
        found.p_value,
        reason=pooled,
        power=found.power,
        error_from=from_placebos(found.n_placebos),
        n_placebos=found.n_placebos,
    )
