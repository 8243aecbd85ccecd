"""From matched pairs of authorities to the result of a matcher, with its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sos_matchers.features import Candidates
from sos_matchers.nearest import Pairs
from sos_plugins import MatchedGroup, UnitMatch, UnitTask
from sos_plugins.authors.results import balance_table

DISTANCE_COLUMNS = ("pilot", "comparator", "distance", "rank")
SCORE_COLUMNS = ("unit", "treated", "score")


@dataclass(frozen=True)
class Matches:
    """What an engine found.

    Attributes:
        pairs: Positions of pilots and of comparators (in ``Candidates.pilots`` and ``pool``).
        distance: Array (pairs,), in the units of the distance.
        score: Array (pilots then pool,) of propensity scores, or None.
        software: What computed it, with its version, such as ``"scikit-learn 1.5.0"``.
    """

    pairs: Pairs
    distance: np.ndarray
    software: str
    score: np.ndarray | None = None


@dataclass(frozen=True)
class Sentences:
    """The parts of a description that do not follow from the pairs."""

    first: str
    ratio: int | None = None
    further: Sequence[str] = field(default_factory=tuple)


def pair_rows(given: Candidates, matches: Matches) -> pd.DataFrame:
    """Return ``pilot, comparator, distance, rank`` of pairs."""
    return pd.DataFrame(
        {
            "pilot": [given.pilots[i] for i in matches.pairs.treated],
            "comparator": [given.pool[j] for j in matches.pairs.control],
            "distance": matches.distance,
            "rank": matches.pairs.rank,
        },
        columns=list(DISTANCE_COLUMNS),
    )


def scores_frame(given: Candidates, matches: Matches) -> pd.DataFrame:
    """Return ``unit, treated, score``, empty where there is no propensity score."""
    if matches.score is None:
        return pd.DataFrame(columns=list(SCORE_COLUMNS))
    return pd.DataFrame({"unit": given.units, "treated": given.treated, "score": matches.score})


def assemble(
    task: UnitTask,
    rows: pd.DataFrame,
    unmatched: Mapping[str, str],
    words: Sentences,
    *,
    scores: pd.DataFrame | None = None,
    compared: tuple[str, ...] = (),
) -> UnitMatch:
    """Make groups, balance and the description from ``pilot, comparator, distance, rank``."""
    order = [p.unit for p in task.pilots]
    members = {code: tuple(part["comparator"]) for code, part in rows.groupby("pilot", sort=False)}
    groups = tuple(MatchedGroup(code, members[code]) for code in order if code in members)
    left = {code: unmatched[code] for code in order if code in unmatched}
    description = [words.first, _counts(task, groups, left, words.ratio), *words.further]
    return UnitMatch(
        groups=groups,
        distances=rows.sort_values(["pilot", "rank"], ignore_index=True),
        scores=pd.DataFrame(columns=list(SCORE_COLUMNS)) if scores is None else scores,
        balance=unit_balance(task, groups),
        unmatched=left,
        sentence=" ".join(description),
        compared=compared,
    )


def unit_balance(task: UnitTask, groups: Sequence[MatchedGroup]) -> pd.DataFrame:
    """Compare pilots with the pool and with comparators on every numeric feature without gaps.

    A comparator counts ``1 / (number of comparators)`` for each group it serves.
    """
    numbers = task.features.select_dtypes("number").sort_index()
    numbers = numbers.loc[:, np.isfinite(numbers.to_numpy(float)).all(axis=0)]
    weight = pd.Series(0.0, index=numbers.index)
    for group in groups:
        for code in (group.pilot, *group.comparators):
            if code in weight.index:
                weight[code] += 1.0 if code == group.pilot else 1 / len(group.comparators)
    treated = numbers.index.isin([p.unit for p in task.pilots]).astype(int)
    return balance_table(numbers, treated, weight_after=weight.to_numpy())


def _counts(
    task: UnitTask,
    groups: Sequence[MatchedGroup],
    unmatched: Mapping[str, str],
    ratio: int | None,
) -> str:
    comparators = {code for group in groups for code in group.comparators}
    text = (
        f"{plural(len(groups), 'pilot')} of {len(task.pilots)} {_was(len(groups))} matched to "
        f"{plural(len(comparators), 'different comparator')}."
    )
    fewer = sum(len(group.comparators) < (ratio or 0) for group in groups)
    if fewer:
        text += f" {plural(fewer, 'pilot')} got fewer than {ratio}."
    for reason in dict.fromkeys(unmatched.values()):
        named = [_named(task, code) for code, why in unmatched.items() if why == reason]
        pilots = "Pilot" if len(named) == 1 else "Pilots"
        text += f" {pilots} {', '.join(named)} {_was(len(named))} not matched: {reason}."
    return text


def _named(task: UnitTask, code: str) -> str:
    name = next((p.name for p in task.pilots if p.unit == code), "")
    return f"{code} ({name})" if name else code


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def plural(number: int, noun: str) -> str:
    """Write a number with its noun.

    >>> plural(1, "pilot"), plural(1200, "case")
    ('1 pilot', '1,200 cases')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
