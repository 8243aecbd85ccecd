"""What must hold for a matcher, of authorities or of cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    Given,
    NotApplicableError,
    check,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.engines import (
    assert_engines_agree,
    demand_frame_left_alone,
    first_runnable,
    run_or_error,
)
from sos_plugins.authors.testing.examples import example_sample, example_unit_task
from sos_plugins.contract.interfaces import (
    BALANCE_COLUMNS,
    CaseMatch,
    Engine,
    Matcher,
    UnitMatch,
    UnitTask,
)
from sos_plugins.contract.types import Sample
from sos_plugins.errors import SettingsError, SosError

CLOSE = 1e-6
"""Relative difference of weights that another order of summation, or a solver, may cause."""


def check_matcher(
    matcher: Matcher, settings: Given = None, *, data: Any = None, engine: Engine | None = None
) -> None:
    """Check that a matcher keeps its contract.

    Args:
        matcher: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        data: A UnitTask (``level = "units"``) or a Sample (``"cases"``); an example unless given.
        engine: The engine to check; the first that can run here unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(matcher_checks(matcher, settings, data=data, engine=engine))


def matcher_checks(
    matcher: Matcher, settings: Given = None, *, data: Any = None, engine: Engine | None = None
) -> list[Check]:
    """Return the checks of a matcher one by one, for ``pytest.mark.parametrize``.

    Args:
        matcher: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        data: A UnitTask (``level = "units"``) or a Sample (``"cases"``); an example unless given.
        engine: The engine to check; the first that can run here unless given.
    """
    subject = MatcherSubject(matcher, settings, data, engine)
    level = getattr(matcher, "level", None)
    return checks_of(subject, (*BOTH, *(UNITS if level == "units" else CASES)))


@dataclass
class MatcherSubject:
    """A matcher under check; engines run when first needed.

    Attributes:
        plugin: The matcher.
        given: The settings that its author gave.
        chosen: The engine to check; the first that can run here unless given.
    """

    plugin: Matcher
    given: Given = None
    _data: Any = None
    chosen: Engine | None = None
    kind: str = "matcher"

    @cached_property
    def engine(self) -> Engine:
        """The engine under check."""
        return self.chosen or first_runnable(self.plugin)

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    @cached_property
    def data(self) -> Any:
        """What is matched."""
        if self._data is not None:
            return self._data
        return example_unit_task() if self.plugin.level == "units" else example_sample("stacked")

    def fit(self, data: Any) -> Any:
        """Run the engine.

        Args:
            data: The task or the sample that it is run on.

        Returns:
            A UnitMatch or a CaseMatch, as its level demands.

        Raises:
            CheckFailedError: If it fails or returns something else.
            NotApplicableError: If it needs settings and none were given.
        """
        result = run_or_error(self.engine, data, self.settings)
        if isinstance(result, SettingsError) and self.given is None:
            raise NotApplicableError(f"It needs settings to run: {result}")
        if isinstance(result, SosError):
            raise CheckFailedError(f"Engine '{self.engine.name}' finds no match: {result}")
        expected = UnitMatch if self.plugin.level == "units" else CaseMatch
        demand(
            isinstance(result, expected),
            f"It returned a {type(result).__name__}, expected a {expected.__name__}.",
        )
        return result

    @cached_property
    def match(self) -> Any:
        """The match of the example."""
        return self.fit(self.data)


@check
def says_what_was_done(subject: MatcherSubject) -> None:
    """The match has a sentence for a manuscript."""
    demand(bool(subject.match.sentence.strip()), "sentence is empty.")


@check
def gives_balance(subject: MatcherSubject) -> None:
    """Balance has its columns and at least one row; differences are numbers."""
    balance = subject.match.balance
    absent = [c for c in BALANCE_COLUMNS if c not in balance]
    demand(not absent, f"The balance lacks the columns {', '.join(absent)}.")
    demand(len(balance) > 0, "The balance has no row.")
    demand(not balance["covariate"].duplicated().any(), "A covariate stands twice in the balance.")
    for column in ("mean_treated", "mean_control_before"):
        demand(bool(balance[column].notna().all()), f"{column} is missing for some covariate.")


@check
def has_engines_that_agree(subject: MatcherSubject) -> None:
    """Every engine that can run here finds the same match as the first."""
    if len(subject.plugin.engines) < 2:
        raise NotApplicableError("It has one engine.")
    assert_engines_agree(subject.plugin, subject.data, subject.settings)


BOTH: tuple[Callable[[Any], None], ...] = (
    says_what_was_done,
    gives_balance,
    has_engines_that_agree,
)

# Matchers of authorities --------------------------------------------------------------------------


@check
def matches_pilots_with_the_pool(subject: MatcherSubject) -> None:
    """Groups belong to pilots of the task; comparators come from the pool and are no pilots."""
    task, pilots = subject.data, {p.unit for p in subject.data.pilots}
    named = [g.pilot for g in subject.match.groups]
    demand(set(named) <= pilots, f"There are groups of {sorted(set(named) - pilots)}, no pilots.")
    demand(len(set(named)) == len(named), "A pilot has two groups.")
    for group in subject.match.groups:
        demand(bool(group.comparators), f"The group of {group.pilot} is empty; leave it out.")
        foreign = sorted(set(group.comparators) - set(task.pool))
        demand(not foreign, f"The comparators {foreign} of {group.pilot} are not in the pool.")
        twice = len(set(group.comparators)) < len(group.comparators)
        demand(not twice, f"The group of {group.pilot} has a comparator twice.")


@check
def accounts_for_every_pilot(subject: MatcherSubject) -> None:
    """Every pilot has a group or stands in unmatched with a reason, never both."""
    grouped = {g.pilot for g in subject.match.groups}
    unmatched = dict(subject.match.unmatched)
    lost = sorted({p.unit for p in subject.data.pilots} - grouped - set(unmatched))
    demand(not lost, f"The pilots {lost} have no group and no reason in unmatched.")
    demand(not grouped & set(unmatched), "A pilot has a group and stands in unmatched.")
    demand(all(unmatched.values()), "A pilot stands in unmatched without a reason.")


@check
def gives_distances(subject: MatcherSubject) -> None:
    """Distances have a row for every pilot and comparator, numbered 1, 2 ... by pilot."""
    distances = subject.match.distances
    absent = [c for c in ("pilot", "comparator", "distance", "rank") if c not in distances]
    demand(not absent, f"distances lacks the columns {', '.join(absent)}.")
    pairs = {(g.pilot, c) for g in subject.match.groups for c in g.comparators}
    listed = set(zip(distances["pilot"], distances["comparator"], strict=True))
    demand(pairs == listed, "The pairs in distances are not those of the groups.")
    for pilot, rows in distances.groupby("pilot"):
        ranks = sorted(rows["rank"])
        demand(ranks == list(range(1, len(rows) + 1)), f"The ranks of {pilot} are {ranks}.")


@check
def repeats_groups(subject: MatcherSubject) -> None:
    """The same task gives the same groups."""
    _demand_same_groups(subject.match, subject.fit(subject.data), "a second run")


@check
def ignores_the_order_of_units(subject: MatcherSubject) -> None:
    """The pool in another order gives the same groups."""
    task = subject.data
    pilots = [p.unit for p in task.pilots]
    shuffled = task.features.drop(index=pilots).sample(frac=1, random_state=1)
    features = pd.concat([task.features.loc[pilots], shuffled])
    other = subject.fit(replace(task, features=features))
    _demand_same_groups(subject.match, other, "the pool in another order")


@check
def refuses_an_empty_pool(subject: MatcherSubject) -> None:
    """Without a pool there is an error in a sentence, or every pilot is unmatched."""
    task = subject.data
    alone = replace(task, features=task.features.loc[[p.unit for p in task.pilots]])
    result = run_or_error(subject.engine, alone, subject.settings)
    demand(isinstance(result, SosError) or not result.groups, "It found comparators in no pool.")


@check
def leaves_the_task_alone(subject: MatcherSubject) -> None:
    """Matching changes nothing in the task."""
    task: UnitTask = subject.data
    copy = task.features.copy(deep=True)
    subject.fit(task)
    demand(copy.equals(task.features), "The features of the task were changed; work on a copy.")


def _demand_same_groups(mine: UnitMatch, other: UnitMatch, situation: str) -> None:
    groups = [{g.pilot: tuple(sorted(g.comparators)) for g in m.groups} for m in (mine, other)]
    apart = sorted(
        p for p in groups[0].keys() | groups[1].keys() if groups[0].get(p) != groups[1].get(p)
    )
    demand(not apart, f"The groups of {apart} differ with {situation}. Break ties by the code.")


UNITS: tuple[Callable[[Any], None], ...] = (
    matches_pilots_with_the_pool,
    accounts_for_every_pilot,
    gives_distances,
    repeats_groups,
    ignores_the_order_of_units,
    refuses_an_empty_pool,
    leaves_the_task_alone,
)

# Matchers of cases --------------------------------------------------------------------------------


@check
def keeps_cases_as_they_are(subject: MatcherSubject) -> None:
    """The matched sample has the cases of the sample, with other weights and nothing else new."""
    before, after = subject.data, subject.match.sample
    demand(after.covariates == before.covariates, "The covariates of the sample have changed.")
    columns = [c for c in before.frame.columns if c != "weight"]
    absent = [c for c in columns if c not in after.frame]
    demand(not absent, f"The sample has lost the columns {', '.join(absent)}.")
    left = before.frame[columns].value_counts(dropna=False)
    kept = after.frame[columns].value_counts(dropna=False)
    more = kept.sub(left.reindex(kept.index, fill_value=0))
    demand(bool((more <= 0).all()), "The matched sample has cases that the sample has not.")


@check
def gives_positive_weights(subject: MatcherSubject) -> None:
    """Weights are positive and finite; pilots and comparators are both left."""
    frame = subject.match.sample.frame
    demand(set(frame["treated"]) == {0, 1}, "Pilots or comparators have no case left.")
    weights = frame["weight"].to_numpy(float)
    fine = bool((np.isfinite(weights) & (weights > 0)).all())
    demand(fine, "A weight is not positive and finite; leave out cases without weight.")


@check
def counts_dropped_cases(subject: MatcherSubject) -> None:
    """n_dropped is how many cases of the sample are not in the matched sample."""
    dropped = len(subject.data.frame) - len(subject.match.sample.frame)
    demand(
        subject.match.n_dropped == dropped,
        f"n_dropped is {subject.match.n_dropped}, but {dropped} cases are gone.",
    )


@check
def repeats_weights(subject: MatcherSubject) -> None:
    """The same sample gives the same weights."""
    other = subject.fit(subject.data)
    mine, others = subject.match.sample.frame["weight"], other.sample.frame["weight"]
    same = len(mine) == len(others) and bool((mine.to_numpy() == others.to_numpy()).all())
    demand(same, "A second run gives other weights.")


@check
def ignores_the_order_of_cases(subject: MatcherSubject) -> None:
    """A sample in another order gives the same total weight by authority and side of the window.

    Of two cases that are alike in every covariate either may be taken.
    """
    sample: Sample = subject.data
    shuffled = sample.frame.sample(frac=1, random_state=1, ignore_index=True)
    other = subject.fit(replace(sample, frame=shuffled))
    keys = [c for c in ("group", "treated", "post") if c in sample.frame]
    mine, others = (m.sample.frame.groupby(keys)["weight"].sum() for m in (subject.match, other))
    same = mine.index.equals(others.index) and np.allclose(mine, others, rtol=CLOSE)
    demand(bool(same), f"The total weights by {', '.join(keys)} differ with the rows shuffled.")


@check
def leaves_the_sample_alone(subject: MatcherSubject) -> None:
    """Matching changes nothing in the sample."""
    demand_frame_left_alone(subject.engine, subject.data, subject.settings)


@check
def refuses_cases_without_comparators(subject: MatcherSubject) -> None:
    """With cases of pilots only there is an error in a sentence."""
    sample: Sample = subject.data
    alone = sample.where(sample.frame["treated"] == 1)
    result = run_or_error(subject.engine, alone, subject.settings)
    demand(isinstance(result, SosError), "It matched cases of pilots without any comparator.")


CASES: tuple[Callable[[Any], None], ...] = (
    keeps_cases_as_they_are,
    gives_positive_weights,
    counts_dropped_cases,
    repeats_weights,
    ignores_the_order_of_cases,
    leaves_the_sample_alone,
    refuses_cases_without_comparators,
)
