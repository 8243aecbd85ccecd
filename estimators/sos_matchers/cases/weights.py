"""``inverse-weights``: comparators' cases weighted by the odds of the propensity score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sos_matchers import r_engines
from sos_matchers.cases.common import (
    CaseSettings,
    case_match,
    data_for,
    data_for_r,
    model_words,
    notes_words,
    score_limits,
    strata_words,
)
from sos_matchers.cases.data import CaseData, case_scores
from sos_matchers.cases.support import common_support
from sos_matchers.cases.weighted import WarnSettings, quantile, weigh, weight_warnings
from sos_matchers.classifiers import ScoreModel
from sos_matchers.propensity import Scores
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings
from sos_plugins.contract.interfaces import R_BASE


class InverseWeightsSettings(CaseSettings, WarnSettings):
    """Settings of ``inverse-weights``."""

    trim: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "quantile of the comparators' weights (each relative to the mean of its stratum) at "
            "which larger ones are cut; 1 = none is cut"
        ),
    )


@dataclass(frozen=True)
class RelativeOdds:
    """What an engine of ``inverse-weights`` found.

    Attributes:
        scores: The scores of the cases.
        relative: Array (rows,) of odds relative to the mean of the stratum, 1 for pilots' cases.
        software: What computed it, with its version.
    """

    scores: Scores
    relative: np.ndarray
    software: str


def weight_cases(sample: Sample, settings: InverseWeightsSettings) -> CaseMatch:
    """Weight comparators' cases by the odds of the propensity score, with scikit-learn.

    Raises:
        DesignError: If there is nothing to weight.
        SettingsError: If a covariate or column is unknown.
        EstimationError: If no propensity score exists.
    """
    data = data_for(sample, settings, InverseWeights.name, settings.seed)
    model = ScoreModel(settings)
    scores = case_scores(data, model, settings.scores)
    relative = relative_odds(data, scores.logit, settings.trim)
    return _report_weighted(sample, data, RelativeOdds(scores, relative, model.software), settings)


def weight_cases_r(sample: Sample, settings: InverseWeightsSettings) -> CaseMatch:
    """Weight comparators' cases by the odds of the propensity score, with base R.

    Raises:
        EngineError: If R fails; otherwise as :func:`weight_cases`.
    """
    data = data_for_r(sample, settings, InverseWeights.name)
    relative, logit = r_engines.relative_odds(data, settings)
    found = RelativeOdds(Scores.of(logit), relative, r_engines.r_version())
    return _report_weighted(sample, data, found, settings)


def relative_odds(data: CaseData, logit: np.ndarray, trim: float) -> np.ndarray:
    """Return weights p / (1 - p) of controls, relative to the mean of their stratum; treated 1.

    Weights for the effect on the treated (Hirano, Imbens and Ridder 2003), normalised within
    strata. Larger ones than the ``trim`` quantile (of all controls) are cut there.
    """
    control = data.treated == 0
    stratum, weight = data.stratum[control], data.weight[control]
    highest = np.full(len(data.strata), -np.inf)
    np.maximum.at(highest, stratum, logit[control])
    odds = np.exp(logit[control] - highest[stratum])  # a constant of the stratum cancels
    mean = np.bincount(stratum, weight * odds) / np.bincount(stratum, weight)
    relative = odds / mean[stratum]
    if trim < 1:
        relative = np.minimum(relative, quantile(relative, data.counts[control], trim))
    result = np.ones(len(logit))
    result[control] = relative
    return result


def _report_weighted(
    sample: Sample,
    data: CaseData,
    found: RelativeOdds,
    settings: InverseWeightsSettings,
) -> CaseMatch:
    trim = f" Weights above their {settings.trim:g} quantile were cut." if settings.trim < 1 else ""
    weighted = weigh(data, found.relative)
    support = common_support(data, found.scores, weighted.weight)
    sentence = (
        f"Cases of comparators were weighted by the odds of the propensity score "
        f"({model_words(data, settings)}){strata_words(data.within)}, so that they stand for the "
        f"cases of pilots; {found.software}.{trim} {weighted.effective_words}{support.words}"
        f"{notes_words(data)}"
    )
    warnings = (
        *data.warnings,
        *weight_warnings(weighted, settings, "Consider trim = 0.99 or fewer covariates."),
        *support.warnings(settings.warn_outside),
    )
    return case_match(sample, data, weighted.weight, sentence, warnings, overlap=support.frame)


class InverseWeights(Matcher):
    """Weights for the effect on the treated: the odds of the propensity score."""

    name: ClassVar[str] = "inverse-weights"
    label: ClassVar[str] = "Cases: inverse probability weights for the effect on the treated"
    short_label: ClassVar[str] = "inverse probability weights"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = InverseWeightsSettings
    citation: ClassVar[str] = "Hirano, Imbens and Ridder (2003), Econometrica 71(4), 1161-1189"
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", weight_cases, packages=("scikit-learn", "numpy"), takes_cells=True),
        Engine("r", weight_cases_r, requires=(R_BASE,), limits=score_limits("r")),
    )
