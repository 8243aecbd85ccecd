"""``entropy-balancing``: comparators' cases weighted to have the moments of pilots' cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sos_matchers import r_engines
from sos_matchers.cases.common import (
    WithinSettings,
    case_match,
    data_for,
    notes_words,
    strata_words,
)
from sos_matchers.cases.data import CaseData
from sos_matchers.cases.moments import Moments, moments_of
from sos_matchers.cases.tilting import Problem, Tilt, tilt
from sos_matchers.cases.weighted import WarnSettings, weigh, weight_warnings
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import EstimationError
from sos_plugins.groundwork.installed import distribution_version


class EntropySettings(WithinSettings, WarnSettings):
    """Settings of ``entropy-balancing``."""

    moments: int = Field(
        1, ge=1, le=3, description="highest power of numeric covariates whose means are made equal"
    )
    interactions: bool = Field(
        False, description="whether means of products of any two covariates are made equal too"
    )
    balance: Literal["separate", "pooled"] = Field(
        "separate",
        description=(
            "means are made equal in each stratum by itself (separate), or over all strata "
            "together, of which each keeps its share (pooled)"
        ),
    )
    tolerance: float = Field(
        1e-8,
        ge=1e-12,
        le=1e-2,
        description="largest difference of means that may be left, in standard deviations",
    )


POLISHED = 1e-11
"""Differences of means, in standard deviations, at which the solver stops: weights are then good to
more than the eight decimals that engines are compared at."""


@dataclass(frozen=True)
class Part:
    """Cases that are balanced together: one stratum, or all.

    Attributes:
        rows: Positions of the comparators' cases in ``CaseData``.
        problem: What their weights have to reach.
        where: Which cases these are, in words, with a space before; empty for all.
    """

    rows: np.ndarray
    problem: Problem
    where: str


def balance_cases(sample: Sample, settings: EntropySettings) -> CaseMatch:
    """Weight comparators' cases by entropy balancing, with numpy.

    Raises:
        DesignError: If there is nothing to weight.
        SettingsError: If a covariate or column is unknown.
        EstimationError: If no weights make the moments equal; the message names the moment.
    """
    data = data_for(sample, settings, EntropyBalancing.name)
    moments = moments_for(data, settings)
    relative = relative_weights(data, moments, settings)
    software = f"numpy {distribution_version('numpy')}"
    return _report(sample, data, moments, relative, settings, software)


def balance_cases_r(sample: Sample, settings: EntropySettings) -> CaseMatch:
    """Weight comparators' cases by entropy balancing, with base R's ``nlminb`` on the dual.

    Raises:
        EngineError: If R fails; otherwise as :func:`balance_cases`.
    """
    data = data_for(sample, settings, EntropyBalancing.name)
    moments = moments_for(data, settings)
    relative, largest = r_engines.entropy_weights(data, settings)
    if not largest <= settings.tolerance:
        relative_weights(data, moments, settings)  # says in a sentence what cannot be reached
    return _report(sample, data, moments, relative, settings, r_engines.r_version())


def moments_for(data: CaseData, settings: EntropySettings) -> Moments:
    """Make the moments that these settings ask for."""
    return moments_of(
        data.covariates, settings.moments, interactions=settings.interactions, counts=data.counts
    )


def relative_weights(data: CaseData, moments: Moments, settings: EntropySettings) -> np.ndarray:
    """Return weights of controls, relative to the mean of their stratum; treated 1.

    Raises:
        EstimationError: If no weights make the moments equal.
    """
    relative = np.ones(len(data.treated))
    for part in parts(data, moments.values, settings.balance):
        found = tilt(part.problem, POLISHED)
        if found.largest_gap > settings.tolerance:
            raise EstimationError(_unreachable(part, moments, settings))
        relative[part.rows] = _relative(part.problem, found)
    return relative


def parts(
    data: CaseData, values: np.ndarray, balance: Literal["separate", "pooled"]
) -> Iterator[Part]:
    """Yield what is balanced together, with the means of pilots' cases as those sought."""
    if balance == "pooled":
        yield _part(data, values, np.arange(len(data.treated)), "")
        return
    for s, label in enumerate(data.strata):
        where = f" in the stratum {label}" if len(data.strata) > 1 else ""
        yield _part(data, values, np.flatnonzero(data.stratum == s), where)


def _part(data: CaseData, values: np.ndarray, rows: np.ndarray, where: str) -> Part:
    own, other = rows[data.treated[rows] == 1], rows[data.treated[rows] == 0]
    sought = np.average(values[own], axis=0, weights=data.weight[own])
    codes, stratum = np.unique(data.stratum[other], return_inverse=True)
    totals = np.bincount(data.stratum[own], data.weight[own], minlength=len(data.strata))[codes]
    gaps = values[other]
    gaps -= sought
    problem = Problem(gaps, data.weight[other], stratum, totals / totals.sum())
    return Part(other, problem, where)


def _relative(problem: Problem, found: Tilt) -> np.ndarray:
    """Factors on the weights that cases came with, relative to the mean of the stratum."""
    factor = found.weights / problem.base
    given = np.bincount(problem.stratum, problem.base)
    return np.asarray(factor * (given / problem.shares)[problem.stratum])


def _unreachable(part: Part, moments: Moments, settings: EntropySettings) -> str:
    """Say which moment of the pilots' cases no weighting of comparators' cases has."""
    advice = "Leave that covariate out, ask for fewer moments or no interactions"
    if settings.balance == "separate" and part.where:
        advice += ", or set balance = 'pooled'"
    head = f"Matcher '{EntropyBalancing.name}': no weights balance the cases{part.where}."
    alone = _alone_outside(part.problem)
    if alone is not None:
        column, gap, side = alone
        return (
            f"{head} The mean of {moments.names[column]} among pilots' cases lies {gap:.2g} "
            f"standard deviations {side} every weighted mean that comparators' cases can have. "
            f"{advice}."
        )
    last = _first_too_many(part.problem, settings.tolerance)
    if last == 0:
        return f"{head} The solver did not converge. {advice}."
    return (
        f"{head} The mean of {moments.names[last]} among pilots' cases cannot be reached together "
        f"with {plural(last, 'mean')} that can ({_few(moments.names[:last])}): the combination "
        f"lies outside of what comparators' cases have. {advice}."
    )


def _few(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _alone_outside(problem: Problem) -> tuple[int, float, str] | None:
    """The moment whose mean is farthest from what comparators can have, if one is."""
    low, high = (
        problem.shares @ _extremes(problem, pick, start)
        for pick, start in ((np.minimum, np.inf), (np.maximum, -np.inf))
    )
    beyond = np.maximum(low, -high)
    column = int(beyond.argmax())
    if beyond[column] <= FAR:
        return None
    return column, float(beyond[column]), "below" if low[column] > 0 else "above"


def _extremes(problem: Problem, pick: np.ufunc, start: float) -> np.ndarray:
    """Smallest or largest value of every moment in every stratum, (strata, moments)."""
    extreme = np.full((len(problem.shares), problem.gaps.shape[1]), start)
    pick.at(extreme, problem.stratum, problem.gaps)
    return extreme


FAR = 1e-9
"""Standard deviations beyond rounding."""


def _first_too_many(problem: Problem, tolerance: float) -> int:
    """Position of the first moment that cannot be reached together with all before it.

    Reachable with it is reachable without it, so the place is found by halving.
    """
    low, high = 0, problem.gaps.shape[1]  # the first `low` moments can be reached, `high` cannot
    while high - low > 1:
        middle = (low + high) // 2
        if tilt(problem.of_moments(np.arange(middle)), POLISHED).largest_gap <= tolerance:
            low = middle
        else:
            high = middle
    return low


def _report(
    sample: Sample,
    data: CaseData,
    moments: Moments,
    relative: np.ndarray,
    settings: EntropySettings,
    software: str,
) -> CaseMatch:
    weighted = weigh(data, relative)
    sentence = (
        f"Cases of comparators were weighted by entropy balancing{_where_words(data, settings)}: "
        f"their weights are as near as can be to those that they came with while "
        f"{plural(len(moments.names), 'mean')} ({', '.join(moments.names)}) equal those of "
        f"pilots' cases to {settings.tolerance:g} standard deviations; {software}. "
        f"{weighted.effective_words}{_zero_words(weighted.weight)}{notes_words(data)}"
    )
    advice = "Consider fewer moments or covariates."
    warnings = (*data.warnings, *weight_warnings(weighted, settings, advice))
    return case_match(sample, data, weighted.weight, sentence, warnings)


def _where_words(data: CaseData, settings: EntropySettings) -> str:
    if settings.balance == "separate" or not data.within:
        return strata_words(data.within)
    return f" over all strata together, each of which ({' x '.join(data.within)}) keeps its share"


def _zero_words(weight: np.ndarray) -> str:
    gone = int((weight == 0).sum())
    if not gone:
        return ""
    return f" {plural(gone, 'case')} unlike every case of a pilot got no weight."


class EntropyBalancing(Matcher):
    """Weights under which moments of comparators' cases equal those of pilots' cases."""

    name: ClassVar[str] = "entropy-balancing"
    label: ClassVar[str] = "Cases: entropy balancing for the effect on the treated"
    short_label: ClassVar[str] = "entropy balancing"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = EntropySettings
    citation: ClassVar[str] = "Hainmueller (2012), Political Analysis 20(1), 25-46"
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", balance_cases, packages=("numpy", "scipy"), takes_cells=True),
        Engine("r", balance_cases_r, requires=(R_BASE,)),
    )
