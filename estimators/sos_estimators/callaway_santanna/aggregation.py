"""Averages of group-time effects, with their standard errors.

Source: Callaway and Sant'Anna (2021), section 3. Cohorts are weighted by the weight of their
cases (of their ids in a panel); that these weights are estimated too enters the scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_estimators.arrays import Floats, Ints
from sos_estimators.callaway_santanna.comparisons_2x2 import TwoByTwo
from sos_estimators.callaway_santanna.group_time import GroupTime, Observations
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.staggered.settings import no_event_left
from sos_plugins.errors import EstimationError

RELATIVE_ZERO = 1e-12
"""A standard error this small beside the effects is rounding: there is none."""


@dataclass(frozen=True)
class Term:
    """An effect or an average of effects, and what each cluster contributes to its error.

    Attributes:
        name: ``overall``, ``event=0``, ``ATT(2004,2006)`` ...
        estimate: In units of the value.
        scores: What each of G clusters adds to the error, (G,).
        shares: How much each treated cluster counts, adding up to one, (G,); None if not known.
        levels: What scores are centred on: shares times the averages that are part of it, (G,).
    """

    name: str
    estimate: float
    scores: Floats
    shares: Floats | None = None
    levels: Floats | None = None

    @classmethod
    def centred(cls, name: str, estimate: float, scores: Floats, size: Floats) -> Term:
        """Make a term whose scores are centred on itself.

        Args:
            name: Of the term.
            estimate: In units of the value.
            scores: (G,).
            size: Weight of each cluster in it, (G,).
        """
        shares = size / size.sum()
        return cls(name, estimate, scores, shares, shares * estimate)

    @property
    def std_error(self) -> float:
        """Standard error; missing where there is none, as in a reference period."""
        se = float(np.sqrt(self.scores @ self.scores))
        largest = float(np.abs(self.scores).sum())
        return se if se > 0 and largest > RELATIVE_ZERO * abs(self.estimate) else np.nan


def covariance(terms: Sequence[Term]) -> pd.DataFrame:
    """Return the covariance of the terms that have a standard error, named by them.

    Args:
        terms: Effects and averages.
    """
    known = [term for term in terms if not np.isnan(term.std_error)]
    names = [term.name for term in known]
    scores = np.column_stack([term.scores for term in known]) if known else np.zeros((1, 0))
    return pd.DataFrame(scores.T @ scores, index=names, columns=names)


def own_effects(terms: Sequence[Term]) -> OwnEffects | None:
    """Return what clusters add before it is centred, where shares are known.

    Args:
        terms: J of them.
    """
    parts = [
        (term.scores + term.levels, term.shares)
        for term in terms
        if term.shares is not None and term.levels is not None
    ]
    if len(parts) < len(terms):
        return None
    contributions, shares = zip(*parts, strict=True)
    return OwnEffects(np.column_stack(contributions), np.column_stack(shares))


def missing_sentences(missing: Mapping[str, str]) -> list[str]:
    """Name the effects that are missing, together where the reason is the same.

    Args:
        missing: Why an effect is missing, by its name.
    """
    reasons = dict.fromkeys(missing.values())
    together = {why: [name for name in missing if missing[name] == why] for why in reasons}
    return [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} missing: {why}."
        for why, names in together.items()
    ]


def no_effect(missing: Mapping[str, str]) -> EstimationError:
    """Say that no effect after treatment is left, and why each is missing.

    Args:
        missing: Why an effect is missing, by its name.
    """
    return EstimationError(
        " ".join(["No effect after treatment could be estimated.", *missing_sentences(missing)])
    )


def terms(effects: GroupTime, options: CallawaySantAnnaSettings) -> list[Term]:
    """Return the overall effect and those that ``aggregate`` asks for.

    Args:
        effects: Group-time effects.
        options: ``aggregate``, ``min_event`` and ``max_event`` are used.

    Raises:
        EstimationError: If no effect after treatment could be estimated.
    """
    if not _post(effects).size:
        raise no_effect(effects.missing)
    if options.aggregate == "event":
        return _events(effects, options)
    if options.aggregate == "cohort":
        return _cohorts(effects)
    if options.aggregate == "calendar":
        return _calendar(effects)
    overall = _weighted("overall", effects, _post(effects))
    if options.aggregate == "simple":
        return [overall]
    single = [
        Term.centred(
            comparison.term, float(effects.att[j]), effects.scores[:, j], _size(effects, comparison)
        )
        for j, comparison in enumerate(effects.comparisons)
    ]
    return [overall, *single]


def after_treatment(name: str) -> bool:
    """Say whether a term is of the time from treatment on.

    Args:
        name: Such as ``event=-1`` or ``calendar=2010``.
    """
    kind, _, number = name.partition("=")
    return kind != "event" or int(number) >= 0


def shares_by_term(
    rows: Observations, comparisons: tuple[TwoByTwo, ...], options: CallawaySantAnnaSettings
) -> dict[str, Floats]:
    """Return how much each treated cluster counts in each term, (G,), whatever the effects are.

    Args:
        rows: The rows.
        comparisons: What gives the effects, m of them, none of them missing.
        options: ``aggregate``, ``min_event`` and ``max_event`` are used.
    """
    m, size = len(comparisons), rows.cohort_weight.sum(axis=0)
    none = GroupTime(
        comparisons,
        np.zeros(m),
        np.zeros((rows.n_clusters, m)),
        rows.cohorts,
        rows.cohort_weight,
        size,
    )
    return {term.name: term.shares for term in terms(none, options) if term.shares is not None}


def _size(effects: GroupTime, comparison: TwoByTwo) -> Floats:
    place = np.searchsorted(effects.cohorts, comparison.cohort)
    return np.asarray(effects.cohort_weight[:, place])


def _post(effects: GroupTime) -> Ints:
    return _where(effects, (c.is_post for c in effects.comparisons))


def _where(effects: GroupTime, wanted: Iterable[bool]) -> Ints:
    """Positions of the wanted effects that are not missing."""
    return np.flatnonzero(
        np.fromiter(wanted, bool, len(effects.comparisons)) & ~np.isnan(effects.att)
    )


def _weighted(name: str, effects: GroupTime, chosen: Ints) -> Term:
    """Average chosen effects by the weight of their cohorts."""
    cohorts = np.array([effects.comparisons[j].cohort for j in chosen])
    return _average_over_cohorts(
        name, effects.att[chosen], effects.scores[:, chosen], cohorts, effects
    )


def _average_over_cohorts(
    name: str, att: Floats, scores: Floats, cohorts: Ints, effects: GroupTime
) -> Term:
    place = np.searchsorted(effects.cohorts, cohorts)
    size = effects.cohort_size[place]
    share = size / size.sum()
    estimate = float(share @ att)
    departure = np.zeros(len(effects.cohorts))
    np.add.at(departure, place, att - estimate)
    from_weights = effects.cohort_weight @ departure / size.sum()
    of_clusters = effects.cohort_weight[:, place].sum(axis=1)
    return Term.centred(name, estimate, scores @ share + from_weights, of_clusters)


def _plain_average(name: str, parts: list[Term]) -> Term:
    estimate = float(np.mean([part.estimate for part in parts]))
    scores = np.mean([part.scores for part in parts], axis=0)
    shares, levels = (_mean_of([p.shares for p in parts]), _mean_of([p.levels for p in parts]))
    return Term(name, estimate, scores, shares, levels)


def _mean_of(each: Sequence[Floats | None]) -> Floats | None:
    known = [values for values in each if values is not None]
    return np.asarray(np.mean(known, axis=0)) if len(known) == len(each) else None


def _events(effects: GroupTime, options: CallawaySantAnnaSettings) -> list[Term]:
    """Effects by time since treatment; overall is the mean of those from treatment on."""
    since = np.array([c.period - c.cohort for c in effects.comparisons])
    times = np.unique(since[~np.isnan(effects.att) & options.in_window(since)])
    by_event = {
        int(e): _weighted(f"event={e}", effects, _where(effects, since == e)) for e in times
    }
    after = [term for e, term in by_event.items() if e >= 0]
    if not after:
        raise no_event_left(since)
    return [_plain_average("overall", after), *by_event.values()]


def _cohorts(effects: GroupTime) -> list[Term]:
    """Mean effect of each cohort over its treated periods; overall by the weight of cohorts."""
    parts = []
    for g in effects.cohorts:
        chosen = _where(effects, (c.is_post and c.cohort == g for c in effects.comparisons))
        if chosen.size:
            estimate = float(effects.att[chosen].mean())
            scores = effects.scores[:, chosen].mean(axis=1)
            size = _size(effects, effects.comparisons[chosen[0]])
            parts.append((g, Term.centred(f"cohort={g}", estimate, scores, size)))
    overall = _average_over_cohorts(
        "overall",
        np.array([part.estimate for _, part in parts]),
        np.column_stack([part.scores for _, part in parts]),
        np.array([g for g, _ in parts]),
        effects,
    )
    return [overall, *(part for _, part in parts)]


def _calendar(effects: GroupTime) -> list[Term]:
    """Effects by period over the cohorts treated by then; overall is their mean."""
    periods = sorted({effects.comparisons[j].period for j in _post(effects)})
    parts = [
        _weighted(
            f"calendar={t}",
            effects,
            _where(effects, (c.is_post and c.period == t for c in effects.comparisons)),
        )
        for t in periods
    ]
    return [_plain_average("overall", parts), *parts]
