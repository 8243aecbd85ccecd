"""Errors of what a study tells of one pilot, taken from the authorities of its pool."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import fdtrc, fdtri, ncfdtr  # scipy.stats takes half a second to import

from sos_plugins.authors.results import t_quantile, t_two_sided
from sos_plugins.contract.types import Pilot, Run
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.remembered import Remembered
from sos_plugins.study import placebos
from sos_plugins.study.pilots_and_pool import Design
from sos_plugins.study.placebos import (
    Baseline,
    Chance,
    Contrasts,
    Floats,
    Part,
    Path,
    Pool,
    Shocks,
    chance,
)
from sos_plugins.study.preparation import PreparedOutcome

Window = tuple[dt.date | None, dt.date | None, int]
LEVEL = 0.05
"""Level at which the power of a test of leads is told."""


@dataclass(frozen=True)
class Seen:
    """A pilot with its comparators beside the pool, at the pilot's event times.

    Attributes:
        own: Path of the pilot, first, and of its comparators.
        pool: Path of the authorities of the pool.
    """

    own: Path
    pool: Path

    def effect(self, baseline: Baseline) -> Part:
        """Return the changes of all from the baseline, of which k = 1."""
        return self._part(*(placebos.effect_weights(p, baseline) for p in (self.pool, self.own)))

    def leads(self, weights: Floats) -> Part:
        """Return differences of all with weights (k, e) of event times."""
        return self._part(
            *(
                np.broadcast_to(weights, (len(p.units), *weights.shape))
                for p in (self.pool, self.own)
            )
        )

    def _part(self, of_pool: Floats, of_own: Floats) -> Part:
        return Part(
            Shocks.of(Contrasts.of(self.pool, of_pool)),
            Contrasts.of(self.own, of_own),
            placebos.shares_of(self.own),
            self.own.units[1:],
        )

    def years_to_effect(self, baseline: Baseline) -> float:
        """Return the mean event time after the window less that of the baseline, of the pilot."""
        weights = placebos.effect_weights(self.own, baseline)[0, 0]
        return float(weights @ self.own.events)


@dataclass(frozen=True)
class Drift:
    """The drift whose discovery is a test's power: a straight line that feigns the main estimate.

    Attributes:
        effect: The main estimate; None where there is none, and then no power is told.
        baseline: What it is measured from.
    """

    effect: float | None
    baseline: Baseline


@dataclass(frozen=True)
class LeadFigures:
    """The joint test that a pilot's leads are zero.

    Attributes:
        statistic: F.
        df_num: Number of leads.
        df_den: Denominator degrees of freedom.
        p_value: Of the F distribution.
        power: Probability of rejecting at :data:`LEVEL` what the drift of the test would be.
        n_placebos: Authorities that the covariance rests on.
        pooled: Event times of the first lead, where it is the mean of several.
    """

    statistic: float
    df_num: int
    df_den: float
    p_value: float
    power: float | None
    n_placebos: int
    pooled: tuple[float, ...] = ()


@dataclass(frozen=True)
class PoolErrors:
    """Tells the errors of single pilots of one outcome.

    Attributes:
        prepared: Its cases, weighted and labelled.
    """

    prepared: PreparedOutcome

    @property
    def design(self) -> Design:
        """Pilots, their comparators, and the pool."""
        return self.prepared.design

    @property
    def binary(self) -> bool:
        """Whether values are 0 or 1."""
        return self.prepared.cases.info.binary

    @cached_property
    def pool(self) -> Pool:
        """Sums of the cases of the pool."""
        design = self.design
        return placebos.pool_of(self.prepared.frame, design.pool, design.pilots, binary=self.binary)

    def seen(self, pilot: str) -> Seen:
        """Return what is known of a pilot, its comparators and the pool by event time.

        Raises:
            EstimationError: If the pool has no cases around the pilot's window.
        """
        pool = self._paths[_window(self.design.pilot(pilot))]
        if pool is None:
            raise EstimationError(
                f"The pool has no cases before or after the window of pilot {pilot}, so nothing "
                "tells what chance does to one authority."
            )
        return self._remembered.once(pilot, lambda: self._beside(pilot, pool))

    def _beside(self, pilot: str, pool: Path) -> Seen:
        own = self._path(self._own_sums[pilot]).first(pilot)
        events = own.events[~np.isnan(own.means[0])]
        return Seen(own.at(events), pool.at(events))

    @cached_property
    def _remembered(self) -> Remembered:
        return Remembered()

    @cached_property
    def _own_sums(self) -> Mapping[str, pd.DataFrame]:
        """Sums of the rows of each matched group that have weight."""
        stacked = self.prepared.stacked.frame
        used = stacked[stacked["weight"].to_numpy() > 0]
        sums = placebos.own_sums(used, binary=self.binary)
        return {
            str(group): sums.iloc[places]
            for group, places in used.groupby("group", sort=False).indices.items()
        }

    @cached_property
    def _paths(self) -> Mapping[Window, Path | None]:
        """Path of the pool in each window; None without cases."""
        found = {}
        for pilot in self.design.pilots:
            if _window(pilot) not in found:
                sums = placebos.event_sums(self.pool, pilot)
                found[_window(pilot)] = None if sums.empty else self._path(sums)
        return found

    def years_to_effect(self, baseline: Baseline) -> float:
        """Return the mean event time of all pilots' cases after less that of the baseline."""
        rows = self.prepared.stacked.frame
        rows = rows[(rows["treated"] == 1) & (rows["weight"] > 0)]
        after, before = (rows[rows["post"] == n] for n in (1, 0))
        if baseline == "last":
            return float(after["event"].drop_duplicates().mean()) + 1.0
        return _mean_event(after) - _mean_event(before)

    def _path(self, sums: pd.DataFrame) -> Path:
        return Path.of(sums, panel="id" in self.prepared.frame)

    def judged(self, run: Run, pilot: str, baseline: Baseline, conf_level: float) -> Run:
        """Return the run of a single pilot with its error from the pool, or without any.

        Args:
            run: What the estimator gave.
            pilot: The pilot.
            baseline: What its effect is measured from.
            conf_level: Level of the interval.
        """
        if run.estimate is None:
            return run
        try:
            found = chance([self.seen(pilot).effect(baseline)])
        except EstimationError as why:
            return _without_error(run, str(why))
        if not found.covariance[0, 0] > 0:
            return _without_error(run, "The authorities of the pool do not move at all.")
        error = float(np.sqrt(found.covariance[0, 0]))
        half = float(t_quantile((1 + conf_level) / 2, found.df)) * error
        return replace(
            run,
            std_error=error,
            df=found.df,
            p_value=float(t_two_sided(run.estimate / error, found.df)),
            conf_low=run.estimate - half,
            conf_high=run.estimate + half,
            error_from=from_placebos(found.n_placebos),
            n_placebos=found.n_placebos,
        )

    def test_leads(
        self, leads: Mapping[str, pd.Series], reference: int, drift: Drift
    ) -> LeadFigures:
        """Test jointly that the mean leads of some pilots are zero: Hotelling's test.

        Args:
            leads: Estimates by pilot and event time, the reference not among them; the earliest of
                a pilot may stand for all that came before it. Those that all pilots have are
                tested.
            reference: Event time that they are compared with.
            drift: Of which the power is told.

        Raises:
            EstimationError: If there is no common lead, or the pool is too small or does not move.
        """
        seen = {pilot: self.seen(pilot) for pilot in leads}
        terms = _common(seen, leads)
        most = _complete(list(seen.values()), max(terms)) // placebos.PLACEBOS_PER_LEAD
        tested, found = _as_many_as_can_be_told(seen, leads, terms, reference, most)
        values, line = (
            np.mean([getattr(t, n) for t in tested], axis=0) for n in ("values", "line")
        )
        years = float(np.mean([s.years_to_effect(drift.baseline) for s in seen.values()]))
        statistic, df_den = hotelling(values, found)
        groups = tested[0].groups
        return LeadFigures(
            statistic=statistic,
            df_num=len(groups),
            df_den=df_den,
            p_value=float(fdtrc(len(groups), df_den, statistic)),
            power=_power(found, line, years, drift.effect),
            n_placebos=found.n_placebos,
            pooled=groups[0] if len(groups[0]) > 1 else (),
        )


def hotelling(values: Floats, found: Chance) -> tuple[float, float]:
    """Return the F statistic of differences (k,) and its denominator degrees of freedom.

    Hotelling (1931), Annals of Mathematical Statistics 2(3).

    Raises:
        EstimationError: If the pool does not tell the covariance of so many.
    """
    k = len(values)
    df_den = found.df - k + 1
    if df_den < 1 or np.linalg.matrix_rank(found.covariance, hermitian=True) < k:
        raise EstimationError(
            f"{found.n_placebos} authorities of the pool do not tell how {k} leads move by "
            "chance; fewer leads can be tested."
        )
    distance = float(values @ np.linalg.solve(found.covariance, values))
    return distance * df_den / (found.df * k), df_den


def _window(pilot: Pilot) -> Window:
    return pilot.start, pilot.end, pilot.cohort


def _mean_event(rows: pd.DataFrame) -> float:
    return float(np.average(rows["event"], weights=rows["weight"]))


def from_placebos(n: int) -> str:
    """Say where the error of one pilot is from."""
    return f"error from {n} placebo pilots of the pool"


def _without_error(run: Run, reason: str) -> Run:
    why = f"The error of one authority is not known. {reason}"
    return replace(
        run,
        std_error=None,
        p_value=None,
        conf_low=None,
        conf_high=None,
        df=None,
        warnings=(*run.warnings, why),
    )


Groups = tuple[tuple[float, ...], ...]


def _common(seen: Mapping[str, Seen], leads: Mapping[str, pd.Series]) -> list[float]:
    """Return the event times of which every pilot has a lead, in order.

    Raises:
        EstimationError: If there are none.
    """
    shared = set.intersection(*({float(e) for e in leads[pilot].index} for pilot in seen))
    if not shared:
        raise EstimationError("The pilots have no lead in common that could be tested.")
    return sorted(shared)


def _complete(seen: Sequence[Seen], last: float) -> int:
    """Return how many authorities have cases at every event time up to the last lead."""
    paths = [s.pool for s in seen]
    return min(
        int(np.isfinite(path.means[:, path.events <= last]).all(axis=1).sum()) for path in paths
    )


@dataclass(frozen=True)
class TestedLeads:
    """The leads of one pilot that are tested, some of them as one.

    Attributes:
        groups: The event times of the estimates that each is the mean of.
        part: How they move by chance.
        values: Their estimates, (k,).
        line: What they are on a line of slope 1, (k,).
    """

    groups: Groups
    part: Part
    values: Floats
    line: Floats


def _as_many_as_can_be_told(
    seen: Mapping[str, Seen],
    leads: Mapping[str, pd.Series],
    terms: Sequence[float],
    reference: int,
    most: int,
) -> tuple[list[TestedLeads], Chance]:
    """Return the leads of which the pool tells how they move: the fewer, the less it tells."""
    for number in range(min(len(terms), max(1, most)), 0, -1):
        groups = placebos.pooled_leads(terms, number)
        tested = [_tested(seen[p], leads[p], groups, terms, reference) for p in leads]
        found = chance([t.part for t in tested])
        if number == 1 or found.df - number + 1 >= placebos.LEAST_DF:
            break
    return tested, found


def _tested(
    seen: Seen, leads: pd.Series, groups: Groups, terms: Sequence[float], reference: int
) -> TestedLeads:
    """Group the leads of a pilot.

    Its first estimate stands for all its event times up to its own; estimates that are tested as
    one are averaged by the pilot's cases.
    """
    events, weight = seen.own.events, np.nan_to_num(seen.own.weight[0])
    first = float(leads.index.min())
    of_term = {e: events[events <= e] if e == first else np.array([e]) for e in terms}
    cases = {e: float(weight[np.isin(events, of_term[e])].sum()) for e in terms}
    times = [np.concatenate([of_term[e] for e in group]) for group in groups]
    values = [
        np.average([leads[int(e)] for e in group], weights=[cases[e] for e in group])
        for group in groups
    ]
    weights = placebos.lead_weights(seen.own, reference, times)
    return TestedLeads(groups, seen.leads(weights), np.array(values), weights @ events)


def _power(found: Chance, line: Floats, years: float, effect: float | None) -> float | None:
    """Return the power against a straight line that feigns an effect over so many years."""
    if effect is None or not years > 0:
        return None
    shift = effect / years * line
    noncentral = float(shift @ np.linalg.solve(found.covariance, shift))
    return joint_power(noncentral, len(line), found.df - len(line) + 1)


def joint_power(noncentral: float, df_num: float, df_den: float, level: float = LEVEL) -> float:
    """Return the probability that a joint test at a level rejects.

    Args:
        noncentral: What is there, squared, in units of its covariance.
        df_num: Numerator degrees of freedom of F.
        df_den: Denominator degrees of freedom.
        level: Level of the test.
    """
    critical = fdtri(df_num, df_den, 1 - level)
    return 1 - float(ncfdtr(df_num, df_den, noncentral, critical))
