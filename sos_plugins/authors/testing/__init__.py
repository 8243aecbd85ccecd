"""The plugin author's kits: what must hold for a plugin, and small data to see whether it does.

Each kind of plugin has a list of named checks. ``check_outcome(MyOutcome())`` runs them all and
fails with a sentence for each that does not hold; ``outcome_checks(MyOutcome())`` gives them one
by one for ``pytest.mark.parametrize``. The built-in plugins pass the same checks.
"""

from collections.abc import Callable
from typing import Any

from sos_plugins.authors.testing.core import (
    Check,
    CheckFailedError,
    CheckResult,
    Given,
    NotApplicableError,
    plugin_beside,
)
from sos_plugins.authors.testing.earlier import records_as_known
from sos_plugins.authors.testing.engines import assert_engines_agree
from sos_plugins.authors.testing.estimators import check_estimator, estimator_checks
from sos_plugins.authors.testing.examples import (
    example_effects,
    example_evidence,
    example_imputation_task,
    example_moved_children,
    example_panel,
    example_records,
    example_run,
    example_sample,
    example_unit_task,
    records_of,
)
from sos_plugins.authors.testing.imputers import check_imputer, imputer_checks
from sos_plugins.authors.testing.linkers import check_linker, linker_checks
from sos_plugins.authors.testing.matchers import check_matcher, matcher_checks
from sos_plugins.authors.testing.outcomes import check_outcome, outcome_checks
from sos_plugins.authors.testing.poolings import check_pooling, pooling_checks
from sos_plugins.authors.testing.ratings import check_rating_rule, rating_rule_checks
from sos_plugins.authors.testing.rules import check_rule_set, rule_set_checks
from sos_plugins.authors.testing.sources import check_source, source_checks
from sos_plugins.contract.interfaces import Estimator, Imputer, Matcher, Pooling

CHECKS_OF: dict[str, Callable[..., list[Check]]] = {
    "source": source_checks,
    "linker": linker_checks,
    "outcome": outcome_checks,
    "matcher": matcher_checks,
    "estimator": estimator_checks,
    "pooling": pooling_checks,
    "imputer": imputer_checks,
    "rating-rule": rating_rule_checks,
    "rule-set": rule_set_checks,
}
"""The lists of checks by kind of plugin: ``checks(plugin, settings=...)``."""


def run_checks(
    kind: str,
    plugin: Any,
    settings: Given = None,
    *,
    host: Estimator | Matcher | Pooling | Imputer | None = None,
) -> list[CheckResult]:
    """Run every check of a kind on a plugin object with example data.

    Nothing is raised by a check: one that has nothing to look at is ``skipped`` and says why.

    Args:
        kind: A kind of plugin, or ``engine``.
        plugin: The plugin object, or the engine.
        settings: Settings by name, or an object, of the plugin (of its host, for an engine); the
            defaults unless given. Paths start at the folder worked in.
        host: The estimator, matcher, pooling or imputer that an engine was added to.

    Returns:
        How each check went, in their order.
    """
    if isinstance(host, Estimator):
        checks = estimator_checks(host, settings, engine=plugin)
    elif isinstance(host, Matcher):
        checks = matcher_checks(host, settings, engine=plugin)
    elif isinstance(host, Pooling):
        checks = pooling_checks(host, settings, engine=plugin)
    elif isinstance(host, Imputer):
        checks = imputer_checks(host, settings, engine=plugin)
    else:
        checks = CHECKS_OF[kind](plugin, settings=settings)
    return [check.result() for check in checks]


__all__ = [
    "CHECKS_OF",
    "Check",
    "CheckFailedError",
    "CheckResult",
    "NotApplicableError",
    "assert_engines_agree",
    "check_estimator",
    "check_imputer",
    "check_linker",
    "check_matcher",
    "check_outcome",
    "check_pooling",
    "check_rating_rule",
    "check_rule_set",
    "check_source",
    "estimator_checks",
    "example_effects",
    "example_evidence",
    "example_imputation_task",
    "example_moved_children",
    "example_panel",
    "example_records",
    "example_run",
    "example_sample",
    "example_unit_task",
    "imputer_checks",
    "linker_checks",
    "matcher_checks",
    "outcome_checks",
    "plugin_beside",
    "pooling_checks",
    "rating_rule_checks",
    "records_as_known",
    "records_of",
    "rule_set_checks",
    "run_checks",
    "source_checks",
]
