"""What must hold for a plugin that fills gaps in covariates."""

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
    check,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.engines import (
    demand_frame_left_alone,
    first_runnable,
    run_or_error,
)
from sos_plugins.authors.testing.examples import example_imputation_task
from sos_plugins.contract.interfaces import Engine, Imputer
from sos_plugins.contract.types import ImputationTask, Imputed
from sos_plugins.errors import SosError


def check_imputer(
    imputer: Imputer, settings: Given = None, *, engine: Engine | None = None
) -> None:
    """Check that an imputer keeps its contract, on cases with gaps in a number and in categories.

    Args:
        imputer: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        engine: The engine under check; the first that can run here unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(imputer_checks(imputer, settings, engine=engine))


def imputer_checks(
    imputer: Imputer, settings: Given = None, *, engine: Engine | None = None
) -> list[Check]:
    """Return the checks of an imputer one by one, for ``pytest.mark.parametrize``.

    Args:
        imputer: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        engine: The engine under check; the first that can run here unless given.
    """
    return checks_of(ImputerSubject(imputer, settings, engine), CHECKS)


@dataclass
class ImputerSubject:
    """An imputer under check; what it draws for the example is kept.

    Attributes:
        plugin: The imputer.
        given: The settings that its author gave.
        engine: The engine under check; None for the first that can run here.
    """

    plugin: Imputer
    given: Given = None
    engine: Engine | None = None
    kind: str = "imputer"

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    @cached_property
    def task(self) -> ImputationTask:
        """The example."""
        return example_imputation_task()

    @cached_property
    def drawn(self) -> Imputed:
        """What is drawn for the example."""
        return self.impute(self.task)

    def impute(self, task: ImputationTask) -> Imputed:
        """Impute cases that can be imputed.

        Args:
            task: Cases with gaps.

        Raises:
            CheckFailedError: If the engine fails, or returns no Imputed.
        """
        imputed = run_or_error(self.engine or first_runnable(self.plugin), task, self.settings)
        if isinstance(imputed, SosError):
            raise CheckFailedError(f"The engine refused {len(task.frame)} cases: {imputed}")
        demand(isinstance(imputed, Imputed), f"It returned a {type(imputed).__name__}.")
        return imputed  # type: ignore[no-any-return]


@check
def fills_every_gap(subject: ImputerSubject) -> None:
    """Each gap, and nothing else, has a value in every data set, and there are two or more."""
    task, drawn = subject.task, subject.drawn
    demand(drawn.n_sets >= 2, f"It has {drawn.n_sets} data sets, expected two or more.")
    demand(set(drawn.values) == set(task.targets), f"It imputed {sorted(drawn.values)}.")
    for name, values in drawn.values.items():
        gaps = set(np.flatnonzero(task.frame[name].isna()))
        demand(set(values.index) == gaps, f"The rows of '{name}' are not those with gaps.")
        demand(not values.isna().to_numpy().any(), f"'{name}' still has gaps.")
        demand(
            [int(c) for c in values.columns] == list(range(drawn.n_sets)),
            "Columns must be 0, 1, ...",
        )


@check
def draws_what_is_possible(subject: ImputerSubject) -> None:
    """Categories are levels that were observed."""
    for name, values in subject.drawn.values.items():
        column = subject.task.frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            new = set(values.to_numpy().ravel()) - set(column.dropna())
            demand(not new, f"'{name}' has levels that no case has: {sorted(map(str, new))}.")


@check
def draws_differ(subject: ImputerSubject) -> None:
    """Completed data sets differ: gaps are uncertain."""
    for name, values in subject.drawn.values.items():
        alike = (values.nunique(axis=1) == 1).all()
        demand(not alike, f"All data sets have the same values of '{name}'.")


@check
def rests_on_the_seed(subject: ImputerSubject) -> None:
    """The same seed gives the same values in any order of the rows, another seed others."""
    task, drawn = subject.task, subject.drawn
    order = np.random.default_rng(5).permutation(len(task.frame))
    shuffled = replace(task, frame=task.frame.iloc[order].reset_index(drop=True))
    again, other = subject.impute(shuffled), subject.impute(replace(task, seed=task.seed + 1))
    for name, values in drawn.values.items():
        there = again.values[name].set_axis(order[again.values[name].index], axis=0).sort_index()
        demand(there.equals(values), f"'{name}' depends on the order of the rows.")
        demand(not other.values[name].equals(values), f"'{name}' does not depend on the seed.")


@check
def refuses_what_is_all_missing(subject: ImputerSubject) -> None:
    """A covariate without any value is an error in a sentence that names it."""
    frame = subject.task.frame.assign(age=np.nan)
    engine = subject.engine or first_runnable(subject.plugin)
    found = run_or_error(engine, replace(subject.task, frame=frame), subject.settings)
    demand(isinstance(found, SosError), "It imputed a covariate of which nothing is known.")
    demand("age" in str(found), f"The error does not name the covariate: {found}")


@check
def leaves_the_cases_alone(subject: ImputerSubject) -> None:
    """The cases that were given are as before."""
    engine = subject.engine or first_runnable(subject.plugin)
    demand_frame_left_alone(engine, example_imputation_task(), subject.settings)


CHECKS: tuple[Callable[[Any], None], ...] = (
    fills_every_gap,
    draws_what_is_possible,
    draws_differ,
    rests_on_the_seed,
    refuses_what_is_all_missing,
    leaves_the_cases_alone,
)
