"""``coarsened-exact``: cases matched exactly on coarsened covariates, within strata."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from sos_matchers import r_engines
from sos_matchers.cases.exact.pairs import Pairs, paired
from sos_matchers.cases.exact.report import ExactMatches, refuse_no_match, report
from sos_matchers.cases.exact.sample import NAME, ExactData, exact_data
from sos_matchers.cases.exact.settings import CoarsenedExactSettings
from sos_matchers.cases.exact.weights import (
    Flags,
    Floats,
    matched_weights,
    start_weights,
)
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings
from sos_plugins.groundwork.installed import distribution_version


def match_exactly(sample: Sample, settings: CoarsenedExactSettings) -> CaseMatch:
    """Match cases exactly on coarsened covariates with numpy.

    Raises:
        DesignError: If there is nothing to match, or no match.
        SettingsError: If a covariate, column or level is unknown or coarsened in the wrong way.
    """
    data = exact_data(sample, settings)
    kept = data.matched
    if not kept.any():
        refuse_no_match(data)
    pairs: Pairs | None = None
    if settings.k2k:
        pairs = paired(data, kept, settings)
        kept = np.zeros_like(kept)
        kept[np.concatenate(pairs)] = True
    weight = matched_weights(
        data.pattern, data.treated, starts(data, kept, settings), data.n_patterns
    )
    software = f"numpy {distribution_version('numpy')}"
    return report(sample, data, ExactMatches(kept, weight, software, pairs), settings)


def match_exactly_r(sample: Sample, settings: CoarsenedExactSettings) -> CaseMatch:
    """Match cases exactly on coarsened covariates with MatchIt; weights by its formula in R.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_exactly`.
    """
    data = exact_data(sample, settings)
    weight, pairs = r_engines.cases_exactly(data, settings)
    if not (weight > 0).any():
        refuse_no_match(data)
    found = ExactMatches(weight > 0, weight, r_engines.matchit_version(), pairs)
    return report(sample, data, found, settings)


def starts(data: ExactData, kept: Flags, settings: CoarsenedExactSettings) -> Floats:
    """Return what each row starts with, 0 for rows that are not matched, (rows,).

    Args:
        data: The cases.
        kept: Whether a row is matched, (rows,).
        settings: What is asked for.
    """
    if settings.weights == "composite":
        return start_weights(data.weight, data.occasion, kept)
    return np.where(kept, data.weight, 0.0)


class CoarsenedExact(Matcher):
    """Coarsened exact matching, within strata."""

    name: ClassVar[str] = NAME
    label: ClassVar[str] = "Cases: coarsened exact matching"
    short_label: ClassVar[str] = "coarsened exact matching"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = CoarsenedExactSettings
    citation: ClassVar[str] = "Iacus, King and Porro (2012), Political Analysis 20(1), 1-24"
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_exactly, packages=("numpy", "pandas"), takes_cells=True),
        r_engines.matchit_engine(match_exactly_r),
    )
