"""What must hold for a plugin that pools the effects of pilots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    Given,
    NotApplicableError,
    checks_of,
    demand,
    run_all,
    settings_of,
)
from sos_plugins.authors.testing.engines import first_runnable, run_or_error
from sos_plugins.authors.testing.examples import example_effects
from sos_plugins.contract.interfaces import Engine, Pooling
from sos_plugins.contract.types import PilotEffects, PooledEffects
from sos_plugins.errors import SosError
from sos_plugins.study.estimate import agreement
from sos_plugins.study.pooling import as_estimate

CLOSE = 1e-6
"""How far figures of the same effects, in other order or units, may lie apart, relative."""
UNITS = 100.0
"""Shares as per cents."""
SCALED = ("estimate", "std_error", "conf_low", "conf_high", "prediction_low", "prediction_high")
SQUARED = ("tau2", "tau2_low", "tau2_high")


def check_pooling(
    pooling: Pooling, settings: Given = None, *, engine: Engine | None = None
) -> None:
    """Check that a pooling keeps its contract, on effects that differ, that do not, and too few.

    Args:
        pooling: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        engine: The engine under check; the first that can run here unless given.

    Raises:
        CheckFailedError: Naming every check that fails, what must hold and what was found.
    """
    run_all(pooling_checks(pooling, settings, engine=engine))


def pooling_checks(
    pooling: Pooling, settings: Given = None, *, engine: Engine | None = None
) -> list[Check]:
    """Return the checks of a pooling one by one, for ``pytest.mark.parametrize``.

    Args:
        pooling: The plugin object.
        settings: Settings by name, or an object; the defaults unless given.
        engine: The engine under check; the first that can run here unless given.
    """
    return checks_of(PoolingSubject(pooling, settings, engine), CHECKS)


@dataclass
class PoolingSubject:
    """A pooling under check.

    Attributes:
        plugin: The pooling.
        given: The settings that its author gave.
        engine: The engine under check; None for the first that can run here.
    """

    plugin: Pooling
    given: Given = None
    engine: Engine | None = None
    kind: str = "pooling"

    @cached_property
    def settings(self) -> Any:
        """The validated settings."""
        return settings_of(self)

    @cached_property
    def chosen(self) -> Engine:
        """The engine under check."""
        return self.engine or first_runnable(self.plugin)

    def pool(self, data: PilotEffects) -> PooledEffects:
        """Pool effects that can be pooled.

        Args:
            data: The effects of the pilots.

        Raises:
            CheckFailedError: If the engine fails, or returns no PooledEffects.
        """
        pooled = run_or_error(self.chosen, data, self.settings)
        if isinstance(pooled, SosError):
            raise CheckFailedError(f"Engine '{self.chosen.name}' refused {len(data.frame)} pilots.")
        demand(isinstance(pooled, PooledEffects), f"It returned a {type(pooled).__name__}.")
        return pooled  # type: ignore[no-any-return]


def gives_an_effect_with_its_error(subject: PoolingSubject) -> None:
    """The pooled effect lies among those of the pilots, in its interval, with an error above zero.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    data = example_effects()
    pooled, values = subject.pool(data), data.frame["estimate"]
    demand(
        values.min() <= pooled.estimate <= values.max(),
        f"The pooled effect {pooled.estimate:g} lies beyond those of all pilots.",
    )
    demand(pooled.std_error > 0, f"Its standard error is {pooled.std_error}.")
    ends = (pooled.conf_low, pooled.conf_high)
    demand(ends[0] < pooled.estimate < ends[1], f"It lies outside its interval {ends}.")


def says_how_far_effects_differ(subject: PoolingSubject) -> None:
    """The variance between pilots is 0 or more and larger where effects lie further apart.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    alike, apart = (subject.pool(example_effects(spread)).tau2 for spread in (0.0, 3.0))
    demand(0 <= alike <= apart, f"It is {alike:g} where effects are alike, {apart:g} where apart.")


def keeps_every_pilot(subject: PoolingSubject) -> None:
    """Every pilot has a row, with a weight; weights are 0 or more and add up to 1.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    data = example_effects()
    pooled = subject.pool(data)
    units, weights = list(pooled.pilots["unit"]), pooled.pilots["weight"].astype(float)
    demand(units == list(data.frame["unit"]), f"The rows of pilots are {units}.")
    demand(pooled.n_pilots == len(units), f"n_pilots is {pooled.n_pilots} of {len(units)}.")
    whole = bool(np.isclose(weights.sum(), 1, rtol=CLOSE) and (weights >= 0).all())
    demand(whole, f"Weights are {weights.round(3).tolist()}.")


def ignores_the_order_of_pilots(subject: PoolingSubject) -> None:
    """The order of the pilots does not matter.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    data = example_effects()
    turned = PilotEffects(data.frame.iloc[::-1].reset_index(drop=True))
    _demand_same(subject.pool(data), subject.pool(turned), 1.0, "in other order")


def measures_in_the_units_of_the_value(subject: PoolingSubject) -> None:
    """Effects in per cent give the figures of shares, a hundred times as large.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    data = example_effects()
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    larger = data.frame.assign(**{name: UNITS * data.frame[name] for name in columns})
    _demand_same(subject.pool(data), subject.pool(PilotEffects(larger)), UNITS, "in per cent")


def _demand_same(one: PooledEffects, other: PooledEffects, units: float, what: str) -> None:
    for name in (*SCALED, *SQUARED, "i2", "q"):
        factor = units if name in SCALED else units**2 if name in SQUARED else 1.0
        a, b = getattr(one, name), getattr(other, name)
        if a is None and b is None:
            continue
        same = None not in (a, b) and np.isclose(factor * a, b, rtol=CLOSE, atol=CLOSE**2)
        demand(bool(same), f"{name} is {b} for effects {what}, expected {factor:g} times {a}.")


def refuses_too_few(subject: PoolingSubject) -> None:
    """One pilot, or none, is an error in a sentence.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    for n in (0, 1):
        few = PilotEffects(example_effects().frame.head(n))
        found = run_or_error(subject.chosen, few, subject.settings)
        demand(isinstance(found, SosError), f"{n} pilots gave {found}, expected an error.")


def leaves_the_effects_alone(subject: PoolingSubject) -> None:
    """The effects that were given are as before, and pooling them again gives the same.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
    """
    data = example_effects()
    before = data.frame.copy()
    _demand_same(subject.pool(data), subject.pool(data), 1.0, "once more")
    demand(data.frame.equals(before), "It wrote into the effects that it was given.")


def agrees_with_the_reference(subject: PoolingSubject) -> None:
    """Engines that can run here give the figures of the first, within their tolerances.

    Args:
        subject: The pooling under check, with its settings.

    Raises:
        CheckFailedError: If it does not hold.
        NotApplicableError: If fewer than two engines can run here.
    """
    engines = [e for e in (*subject.plugin.engines, subject.chosen) if not e.missing()]
    others = [e for e in engines if e.name != engines[0].name]
    if not others:
        raise NotApplicableError("Fewer than two engines can run here.")
    first = replace(subject, engine=engines[0]).pool(example_effects())
    for engine in others:
        second = replace(subject, engine=engine).pool(example_effects())
        found = agreement("example", engine, as_estimate(first), as_estimate(second))
        demand(
            found.verdict == "agree",
            f"Engine '{engine.name}' does not agree with '{engines[0].name}': {found.reason}",
        )


CHECKS: tuple[Callable[[Any], None], ...] = (
    gives_an_effect_with_its_error,
    says_how_far_effects_differ,
    keeps_every_pilot,
    ignores_the_order_of_pilots,
    measures_in_the_units_of_the_value,
    refuses_too_few,
    leaves_the_effects_alone,
    agrees_with_the_reference,
)
