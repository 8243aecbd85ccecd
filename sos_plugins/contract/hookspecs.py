"""The hooks: one a kind of plugin, all in callback style.

A plugin is a module (or any object) with one or more of these functions, marked with
``sos_plugins.hookimpl``. The host calls each once, at start-up; ``register`` validates the object
at once and knows which plugin is calling. No order of registration decides a result.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from sos_plugins.contract.interfaces import (
    Engine,
    Estimator,
    Matcher,
    Outcome,
    RatingRule,
    RuleSet,
    Source,
)

PROJECT = "sos_plugins"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_sources(register: Callable[[Source], None]) -> None:
    """Offer sources of records.

    Called once when plugins are loaded. Call ``register(source)`` once for each source; return
    nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_sources(register):
    ...     register(MySource())
    """


@hookspec
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Offer outcomes.

    Called once when plugins are loaded. Call ``register(outcome)`` once for each outcome; return
    nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_outcomes(register):
    ...     register(SecondPlan())
    """


@hookspec
def register_matchers(register: Callable[[Matcher], None]) -> None:
    """Offer matchers of authorities or of cases.

    Called once when plugins are loaded. Call ``register(matcher)`` once for each matcher; return
    nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_matchers(register):
    ...     register(NearestByRegion())
    """


@hookspec
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer estimators, each with its engines.

    Called once when plugins are loaded. Call ``register(estimator)`` once for each estimator;
    return nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_estimators(register):
    ...     register(SyntheticControl())
    """


@hookspec
def register_engines(register: Callable[[str, Engine], None]) -> None:
    """Offer further engines for an estimator or matcher that another plugin registers.

    Called once, after all estimators and matchers are registered. Call
    ``register("did", engine)`` with the name of the estimator or matcher; return nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_engines(register):
    ...     register("did", sos_plugins.Engine(name="mine", fit=my_fit))
    """


@hookspec
def register_rating_rules(register: Callable[[RatingRule], None]) -> None:
    """Offer rules that rate evidence.

    Called once when plugins are loaded. Call ``register(rule)`` once for each rule; return
    nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_rating_rules(register):
    ...     register(MarylandScale())
    """


@hookspec
def register_rule_sets(register: Callable[[RuleSet], None]) -> None:
    """Offer sets of rules that records must keep.

    Called once when plugins are loaded. Call ``register(rules)`` once for each set; return
    nothing.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_rule_sets(register):
    ...     register(LocalRules())
    """
