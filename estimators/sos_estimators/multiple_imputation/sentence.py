"""What a manuscript says of an imputation."""

from __future__ import annotations

from sos_estimators.multiple_imputation.layout import Category, Layout, Variable
from sos_estimators.multiple_imputation.settings import ChainedEquationsSettings
from sos_plugins.errors import listing


def sentence_of(layout: Layout, settings: ChainedEquationsSettings) -> str:
    """Say what was imputed, by which models, and what they hold.

    Args:
        layout: The cases.
        settings: Of the imputation.
    """
    if not layout.targets:
        return "No covariate has gaps: nothing was imputed."
    named = [f"{name} ({_share(layout, name)}, {_method(layout, name)})" for name in layout.targets]
    return (
        f"Gaps in {listing(named)} were filled {settings.sets} times by chained equations of "
        f"{settings.iterations} rounds; each model holds the outcome, the other covariates, every "
        "authority and year, and the pilots' cases within and after their embedding windows."
    )


def _share(layout: Layout, name: str) -> str:
    return f"{layout.variables[name].gaps.mean():.1%} missing"


def _method(layout: Layout, name: str) -> str:
    variable: Variable = layout.variables[name]
    if not isinstance(variable, Category):
        return "predictive mean matching"
    return "logit" if len(variable.levels) <= 2 else "multinomial logit"
