"""The hooks: one a kind of plugin, all in callback style.

A plugin is a module (or any object) with one or more of these functions, marked with
``sos_plugins.hookimpl``, that call ``register`` and return nothing. The host calls each once, when
plugins are loaded; ``register`` validates the object at once and knows which plugin is calling. No
order of registration decides a result.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from sos_plugins.contract.interfaces import (
    Engine,
    Estimator,
    Imputer,
    Linker,
    Matcher,
    Outcome,
    Pooling,
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

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_sources(register):
    ...     register(MySource())

    Args:
        register: Takes one source; call it once for each.
    """


@hookspec
def register_linkers(register: Callable[[Linker], None]) -> None:
    """Offer ways to tell which identifiers in the records are one child.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_linkers(register):
    ...     register(ByPupilNumber())

    Args:
        register: Takes one linker; call it once for each.
    """


@hookspec
def register_outcomes(register: Callable[[Outcome], None]) -> None:
    """Offer outcomes.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_outcomes(register):
    ...     register(SecondPlan())

    Args:
        register: Takes one outcome; call it once for each.
    """


@hookspec
def register_matchers(register: Callable[[Matcher], None]) -> None:
    """Offer matchers of authorities or of cases.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_matchers(register):
    ...     register(NearestByRegion())

    Args:
        register: Takes one matcher; call it once for each.
    """


@hookspec
def register_estimators(register: Callable[[Estimator], None]) -> None:
    """Offer estimators, each with its engines.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_estimators(register):
    ...     register(SyntheticControl())

    Args:
        register: Takes one estimator; call it once for each.
    """


@hookspec
def register_engines(register: Callable[[str, Engine], None]) -> None:
    """Offer further engines for an estimator, matcher, pooling or imputer of another plugin.

    It is called when all of these are registered.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_engines(register):
    ...     register("did", sos_plugins.Engine(name="mine", fit=my_fit))

    Args:
        register: Takes the name of what the engine is for and one engine; call it once for each.
    """


@hookspec
def register_poolings(register: Callable[[Pooling], None]) -> None:
    """Offer ways to pool the effects of pilots.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_poolings(register):
    ...     register(CommonEffect())

    Args:
        register: Takes one pooling; call it once for each.
    """


@hookspec
def register_imputers(register: Callable[[Imputer], None]) -> None:
    """Offer ways to fill gaps in covariates.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_imputers(register):
    ...     register(FromTheSameYear())

    Args:
        register: Takes one imputer; call it once for each.
    """


@hookspec
def register_rating_rules(register: Callable[[RatingRule], None]) -> None:
    """Offer rules that rate evidence.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_rating_rules(register):
    ...     register(MarylandScale())

    Args:
        register: Takes one rule; call it once for each.
    """


@hookspec
def register_rule_sets(register: Callable[[RuleSet], None]) -> None:
    """Offer sets of rules that records must keep.

    >>> import sos_plugins
    >>> @sos_plugins.hookimpl
    ... def register_rule_sets(register):
    ...     register(LocalRules())

    Args:
        register: Takes one set; call it once for each.
    """
