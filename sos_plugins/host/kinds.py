"""The kinds of plugin by the names that the command line has for them."""

from __future__ import annotations

from sos_plugins.contract.interfaces import (
    Estimator,
    Imputer,
    Linker,
    Matcher,
    Outcome,
    Plugin,
    Pooling,
    RatingRule,
    RuleSet,
    Source,
)

KINDS: dict[str, type[Plugin]] = {
    "source": Source,
    "linker": Linker,
    "outcome": Outcome,
    "matcher": Matcher,
    "estimator": Estimator,
    "pooling": Pooling,
    "imputer": Imputer,
    "rating-rule": RatingRule,
    "rule-set": RuleSet,
}
"""Kinds of plugin by the name used on the command line; engines belong to an estimator, a matcher,
a pooling or an imputer."""
WITH_ENGINES: tuple[str, ...] = ("estimator", "matcher", "pooling", "imputer")
"""Kinds whose plugins have engines."""
