"""``inverse-weights``: comparators' cases weighted by the odds of the propensity score."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sos_matchers import r_engines
from sos_matchers.cases.common import (
    CaseSettings,
    case_match,
    data_for,
    model_words,
    strata_words,
)
from sos_matchers.cases.data import CaseData, case_scores
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.groundwork.installed import distribution_version


class InverseWeightsSettings(CaseSettings):
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
    warn_weight: float = Field(
        10.0, gt=1, description="warn when a case weighs this many times the mean of its stratum"
    )
    warn_effective: float = Field(
        0.5,
        ge=0,
        le=1,
        description="warn when weighting leaves less than this share of the effective sample size",
    )


def weight_cases(sample: Sample, settings: InverseWeightsSettings) -> CaseMatch:
    """Weight comparators' cases by the odds of the propensity score, with scikit-learn.

    Raises:
        DesignError: If there is nothing to weight.
        SettingsError: If a covariate or column is unknown.
        EstimationError: If no propensity score exists.
    """
    data = data_for(sample, settings, InverseWeights.name)
    fitted = case_scores(data, penalty=settings.penalty, C=settings.C, models=settings.scores)
    relative = relative_odds(data, fitted.logit, settings.trim)
    software = f"scikit-learn {distribution_version('scikit-learn')}"
    return _report_weighted(sample, data, relative, settings, software)


def weight_cases_r(sample: Sample, settings: InverseWeightsSettings) -> CaseMatch:
    """Weight comparators' cases by the odds of the propensity score, with base R.

    Raises:
        EngineError: If R fails; otherwise as :func:`weight_cases`.
    """
    data = data_for(sample, settings, InverseWeights.name)
    if settings.penalty == "none":  # says in a sentence when no score exists
        case_scores(data, penalty="none", C=settings.C, models=settings.scores)
    relative = r_engines.relative_odds(data, settings)
    return _report_weighted(sample, data, relative, settings, r_engines.r_version())


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


def quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    """Return the quantile of values that stand for several cases each, as ``numpy.quantile``.

    >>> quantile(np.array([1.0, 2.0]), np.array([3, 1]), 0.5), np.median([1, 1, 1, 2])
    (1.0, np.float64(1.0))
    """
    order = np.argsort(values)
    ends = np.round(np.cumsum(counts[order]))
    place = (ends[-1] - 1) * share
    near = values[order][np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")]
    return float(near[0] + (near[1] - near[0]) * (place - np.floor(place)))


def stratum_weights(data: CaseData, relative: np.ndarray) -> np.ndarray:
    """Multiply with the weights of the sample; controls of a stratum add up to its treated."""
    weight = data.weight * relative
    control = data.treated == 0
    total = np.bincount(data.stratum, np.where(control, 0, weight))
    own = np.bincount(data.stratum, np.where(control, weight, 0))
    return np.asarray(np.where(control, weight * (total / own)[data.stratum], weight))


def effective_size(weight: np.ndarray, squares: np.ndarray) -> float:
    """Return Kish's effective sample size, ``(sum w)^2 / sum w^2``, of weights and their squares.

    >>> weight = np.array([1.0, 1.0, 2.0])
    >>> effective_size(weight, weight**2)
    2.6666666666666665
    """
    return float(weight.sum() ** 2 / squares.sum())


def _report_weighted(
    sample: Sample,
    data: CaseData,
    relative: np.ndarray,
    settings: InverseWeightsSettings,
    software: str,
) -> CaseMatch:
    control = data.treated == 0
    weight = stratum_weights(data, relative)
    squares = data.squares * (weight / data.weight) ** 2
    before = effective_size(data.weight[control], data.squares[control])
    after = effective_size(weight[control], squares[control])
    trim = f" Weights above their {settings.trim:g} quantile were cut." if settings.trim < 1 else ""
    n_controls = round(float(data.counts[control].sum()))
    sentence = (
        f"Cases of comparators were weighted by the odds of the propensity score "
        f"({model_words(data, settings)}){strata_words(data)}, so that they stand for the cases "
        f"of pilots; {software}.{trim} {plural(n_controls, 'case')} of comparators have an "
        f"effective sample size of {after:,.0f}.{''.join(f' {note}' for note in data.notes)}"
    )
    warnings = list(data.warnings)
    largest = float(relative[control].max())
    if largest > settings.warn_weight:
        warnings.append(
            f"A case of a comparator weighs {largest:.1f} times the mean of its stratum: few "
            "comparators are like some pilots' cases. Consider trim = 0.99 or fewer covariates."
        )
    if after < settings.warn_effective * before:
        warnings.append(
            f"Weighting leaves an effective sample size of {after:,.0f} of {before:,.0f} among "
            "comparators' cases: pilots and comparators overlap little."
        )
    return case_match(sample, data, weight, sentence, tuple(warnings))


class InverseWeights(Matcher):
    """Weights for the effect on the treated: the odds of the propensity score."""

    name: ClassVar[str] = "inverse-weights"
    label: ClassVar[str] = "Cases: inverse probability weights for the effect on the treated"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = InverseWeightsSettings
    citation: ClassVar[str] = "Hirano, Imbens and Ridder (2003), Econometrica 71(4), 1161-1189"
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", weight_cases, packages=("scikit-learn", "numpy"), takes_cells=True),
        Engine("r", weight_cases_r, requires=(R_BASE,)),
    )
