"""Matchers of cases: nearest neighbours on the propensity score, and inverse probability weights.

Both work within strata, by default matched group x before/after the embedding window, as the
matching of children did in the 2021 analysis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sos_estimators.matching import r_engines
from sos_estimators.matching.balance import balance_table
from sos_estimators.matching.case_data import CaseData, ScoreModels, case_data, case_scores
from sos_estimators.matching.nearest import Order, Pairs, in_steps, match_on_scores
from sos_estimators.matching.propensity import Penalty
from sos_estimators.matching.report import plural
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings, hookimpl
from sos_plugins.errors import DesignError, SosError
from sos_plugins.kinds import R_BASE, R_MATCHIT, distribution_version


class CaseSettings(Settings):
    """What both matchers of cases take."""

    covariates: tuple[str, ...] | None = Field(
        None, description="covariates of the score; all of the outcome unless given"
    )
    within: tuple[str, ...] | None = Field(
        None,
        description=(
            "columns that make the strata, within which cases are compared; unless given: group "
            "and post, as far as the cases have them"
        ),
    )
    scores: ScoreModels = Field(
        "pooled",
        description=(
            "one logistic regression with an intercept for every stratum (pooled), or one in each "
            "stratum (separate)"
        ),
    )
    penalty: Penalty = Field(
        "ridge", description="penalty of the logistic regression; none = maximum likelihood"
    )
    C: float = Field(
        1.0, gt=0, description="inverse strength of the ridge penalty on standardised covariates"
    )
    seed: int = Field(
        0, ge=0, description="seed of the order in which equally near cases are taken"
    )


class PropensityCasesSettings(CaseSettings):
    """Settings of ``propensity-cases``."""

    ratio: int = Field(1, ge=1, description="comparators' cases for each case of a pilot, at most")
    replacement: bool = Field(
        False, description="whether a comparator's case may serve several cases"
    )
    distance: Literal["logit", "probability"] = Field(
        "logit", description="scale on which scores are compared"
    )
    caliper: float | None = Field(
        None, gt=0, description="largest distance allowed; 0.2 SD of the logit is a common choice"
    )
    std_caliper: bool = Field(
        True, description="whether the caliper counts in SDs of the score within strata"
    )
    order: Order = Field(
        "largest",
        description="whose turn is first without replacement: largest or smallest score, or data",
    )


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


@dataclass(frozen=True)
class CasesFound:
    """What an engine of ``propensity-cases`` found.

    Attributes:
        pairs: Rows of ``CaseData``: pilots' cases and comparators' cases.
        software: What computed it, with its version.
    """

    pairs: Pairs
    software: str


def _case_data(sample: Sample, settings: CaseSettings, matcher: str) -> CaseData:
    return case_data(
        sample,
        covariates=settings.covariates,
        within=settings.within,
        seed=settings.seed,
        matcher=matcher,
    )


def match_cases(sample: Sample, settings: PropensityCasesSettings) -> CaseMatch:
    """Match cases on the propensity score with scikit-learn and numpy.

    Raises:
        DesignError: If there is nothing to match, or no match.
        SettingsError: If a covariate or column is unknown.
        EstimationError: If no propensity score exists.
    """
    data = _case_data(sample, settings, PropensityCases.name)
    fitted = case_scores(data, penalty=settings.penalty, C=settings.C, models=settings.scores)
    score = fitted.on(settings.distance)
    limit = None if settings.caliper is None else settings.caliper
    if limit is not None and settings.std_caliper:
        limit *= sd_within(score, data.stratum)
    pairs = match_strata(data, score, settings, limit)
    software = f"scikit-learn {distribution_version('scikit-learn')}"
    found = CasesFound(pairs, software)
    return _report_matched(sample, data, found, settings)


def match_cases_r(sample: Sample, settings: PropensityCasesSettings) -> CaseMatch:
    """Match cases on the propensity score with R's ``glm`` (or its ridge) and MatchIt.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_cases`.
    """
    data = _case_data(sample, settings, PropensityCases.name)
    if settings.penalty == "none":  # says in a sentence when no score exists
        case_scores(data, penalty="none", C=settings.C, models=settings.scores)
    found = CasesFound(r_engines.cases_on_score(data, settings), r_engines.matchit_version())
    return _report_matched(sample, data, found, settings)


MOST_PAIRS = 20_000_000
"""Pilots' x comparators' cases of a stratum that MatchIt gets: a matrix of 160 megabytes."""


def matchit_limits(sample: Sample, settings: PropensityCasesSettings) -> str | None:
    """Say when a stratum is too large for a matrix of distances."""
    try:
        data = _case_data(sample, settings, PropensityCases.name)
    except SosError:
        return None  # said in full by the match itself
    treated = np.bincount(data.stratum, data.treated)
    pairs = treated * (np.bincount(data.stratum) - treated)
    if pairs.max() <= MOST_PAIRS:
        return None
    return (
        f"the stratum {data.strata[int(pairs.argmax())]} has {pairs.max():,.0f} pairs of cases, "
        f"but a matrix of distances may have {MOST_PAIRS:,}. Match within more columns, or use "
        "the engine 'python'."
    )


def match_strata(
    data: CaseData, score: np.ndarray, settings: PropensityCasesSettings, limit: float | None
) -> Pairs:
    """Match within every stratum; rows of the result are rows of ``data``."""
    steps = in_steps(score)
    found = []
    by_stratum = np.argsort(data.stratum, kind="stable")
    ends = np.cumsum(np.bincount(data.stratum))[:-1]
    for rows in np.split(by_stratum, ends):
        treated, control = rows[data.treated[rows] == 1], rows[data.treated[rows] == 0]
        pairs = match_on_scores(
            steps[treated],
            steps[control],
            ratio=settings.ratio,
            caliper=None if limit is None else float(in_steps(limit)),
            replacement=settings.replacement,
            order=settings.order,
        )
        found.append((treated[pairs.treated], control[pairs.control], pairs.rank))
    return Pairs.of(*(np.concatenate(part) for part in zip(*found, strict=True)))


def sd_within(score: np.ndarray, stratum: np.ndarray) -> float:
    """Return the SD of scores about the means of their strata, with n - strata."""
    size = np.bincount(stratum)
    centred = score - (np.bincount(stratum, score) / size)[stratum]
    return float(np.sqrt((centred**2).sum() / max(len(score) - len(size), 1)))


def pair_weights(pairs: Pairs, n_rows: int) -> np.ndarray:
    """Return weights as MatchIt gives them.

    1 for matched cases of pilots; for a comparator's case the sum of 1 / (controls of the case it
    serves), scaled so that these weights add up to the number of comparators' cases used.
    """
    controls_of = np.bincount(pairs.treated, minlength=n_rows)
    served = np.bincount(pairs.control, 1 / controls_of[pairs.treated], minlength=n_rows)
    used = np.count_nonzero(served)
    weight = served * used / served.sum() if used else served
    return np.asarray(np.where(controls_of > 0, 1.0, weight))


def _report_matched(
    sample: Sample, data: CaseData, found: CasesFound, settings: PropensityCasesSettings
) -> CaseMatch:
    side = data.treated == 1
    new = pair_weights(found.pairs, len(side))
    matched = new > 0
    n_side, n_matched = int(side.sum()), int((side & matched).sum())
    if not n_matched:
        raise DesignError(
            f"Matcher '{PropensityCases.name}': none of the {n_side:,} cases of pilots has a "
            "comparator's case within the caliper. Use a larger caliper."
        )
    warnings = list(data.warnings)
    if n_matched < n_side:
        warnings.append(
            f"{n_side - n_matched:,} of {n_side:,} cases of pilots found no comparator's case and "
            "were left out: the effect is that on the matched."
        )
    n_controls = int((~side).sum())
    sentence = (
        f"{_method(data, settings)}; {found.software}. {n_matched:,} of "
        f"{plural(n_side, 'case')} of pilots were matched to {int((~side & matched).sum()):,} of "
        f"{plural(n_controls, 'case')} of comparators. Of cases equally far the first in a fixed "
        f"arbitrary order (seed {settings.seed}) was taken."
        f"{''.join(f' {note}' for note in data.notes)}"
    )
    weight = data.weight * new
    return _case_match(sample, data, weight, sentence, tuple(warnings))


def _method(data: CaseData, settings: PropensityCasesSettings) -> str:
    scale = "logit of the propensity score" if settings.distance == "logit" else "propensity score"
    caliper = ""
    if settings.caliper is not None:
        unit = " SD of the score within strata" if settings.std_caliper else ""
        caliper = f" and within a caliper of {settings.caliper:g}{unit}"
    firsts = {
        "largest": "the largest score first",
        "smallest": "the smallest score first",
        "data": "in the same arbitrary order as ties",
    }
    reuse = "with" if settings.replacement else "without"
    turn = "" if settings.replacement else f", {firsts[settings.order]}"
    return (
        f"Each case of a pilot was matched to up to {plural(settings.ratio, 'case')} of its "
        f"comparators{_strata_words(data)} by nearest neighbours on the {scale} "
        f"({_model_words(data, settings)}), {reuse} replacement{turn}{caliper}"
    )


def _strata_words(data: CaseData) -> str:
    return f" within {' x '.join(data.within)}" if data.within else ""


def _model_words(data: CaseData, settings: CaseSettings) -> str:
    ridge = f", ridge penalty with C = {settings.C:g}" if settings.penalty == "ridge" else ""
    models = "in each stratum" if settings.scores == "separate" else "and the strata"
    names = ", ".join(str(c) for c in data.covariates.columns)
    return f"logistic regression on {names}{f' {models}' if data.within else ''}{ridge}"


def _case_match(
    sample: Sample,
    data: CaseData,
    weight: np.ndarray,
    sentence: str,
    warnings: tuple[str, ...],
) -> CaseMatch:
    """Give the sample its new weights; rows without weight are dropped."""
    new = np.zeros(len(sample.frame))
    new[data.positions] = weight
    frame = sample.frame.assign(weight=new)[new > 0].reset_index(drop=True)
    balance = balance_table(
        sample.frame[list(data.covariates.columns)],
        sample.frame["treated"].to_numpy(),
        weight_before=sample.frame["weight"].to_numpy(float),
        weight_after=new,
    )
    dropped = int((new <= 0).sum())
    return CaseMatch(
        sample=replace(sample, frame=frame),
        balance=balance,
        n_dropped=dropped,
        sentence=f"{sentence} {plural(dropped, 'case')} {'was' if dropped == 1 else 'were'} "
        "left out.",
        warnings=warnings,
    )


def weight_cases(sample: Sample, settings: InverseWeightsSettings) -> CaseMatch:
    """Weight comparators' cases by the odds of the propensity score, with scikit-learn.

    Raises:
        DesignError: If there is nothing to weight.
        SettingsError: If a covariate or column is unknown.
        EstimationError: If no propensity score exists.
    """
    data = _case_data(sample, settings, InverseWeights.name)
    fitted = case_scores(data, penalty=settings.penalty, C=settings.C, models=settings.scores)
    relative = relative_odds(data, fitted.logit, settings.trim)
    software = f"scikit-learn {distribution_version('scikit-learn')}"
    return _report_weighted(sample, data, relative, settings, software)


def weight_cases_r(sample: Sample, settings: InverseWeightsSettings) -> CaseMatch:
    """Weight comparators' cases by the odds of the propensity score, with base R.

    Raises:
        EngineError: If R fails; otherwise as :func:`weight_cases`.
    """
    data = _case_data(sample, settings, InverseWeights.name)
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
    result = np.ones(len(logit))
    result[control] = np.minimum(relative, np.quantile(relative, trim)) if trim < 1 else relative
    return result


def stratum_weights(data: CaseData, relative: np.ndarray) -> np.ndarray:
    """Multiply with the weights of the sample; controls of a stratum add up to its treated."""
    weight = data.weight * relative
    control = data.treated == 0
    total = np.bincount(data.stratum, np.where(control, 0, weight))
    own = np.bincount(data.stratum, np.where(control, weight, 0))
    return np.asarray(np.where(control, weight * (total / own)[data.stratum], weight))


def effective_size(weight: np.ndarray) -> float:
    """Return Kish's effective sample size, ``(sum w)^2 / sum w^2``.

    >>> effective_size(np.array([1.0, 1.0, 2.0]))
    2.6666666666666665
    """
    return float(weight.sum() ** 2 / (weight**2).sum())


def _report_weighted(
    sample: Sample,
    data: CaseData,
    relative: np.ndarray,
    settings: InverseWeightsSettings,
    software: str,
) -> CaseMatch:
    control = data.treated == 0
    weight = stratum_weights(data, relative)
    before, after = effective_size(data.weight[control]), effective_size(weight[control])
    trim = f" Weights above their {settings.trim:g} quantile were cut." if settings.trim < 1 else ""
    n_controls = int(control.sum())
    sentence = (
        f"Cases of comparators were weighted by the odds of the propensity score "
        f"({_model_words(data, settings)}){_strata_words(data)}, so that they stand for the cases "
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
    return _case_match(sample, data, weight, sentence, tuple(warnings))


class PropensityCases(Matcher):
    """Nearest neighbours on the propensity score, within strata."""

    name: ClassVar[str] = "propensity-cases"
    label: ClassVar[str] = "Cases: nearest neighbours on the propensity score"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = PropensityCasesSettings
    citation: ClassVar[str] = (
        "Rosenbaum and Rubin (1983), Biometrika 70, 41-55; "
        "Ho, Imai, King and Stuart (2011), Journal of Statistical Software 42(8)"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_cases, packages=("scikit-learn", "numpy")),
        Engine(
            "r-matchit",
            match_cases_r,
            requires=(R_BASE, R_MATCHIT),
            limits=matchit_limits,
            packages=("MatchIt",),
        ),
    )


class InverseWeights(Matcher):
    """Weights for the effect on the treated: the odds of the propensity score."""

    name: ClassVar[str] = "inverse-weights"
    label: ClassVar[str] = "Cases: inverse probability weights for the effect on the treated"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = InverseWeightsSettings
    citation: ClassVar[str] = "Hirano, Imbens and Ridder (2003), Econometrica 71(4), 1161-1189"
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", weight_cases, packages=("scikit-learn", "numpy")),
        Engine("r", weight_cases_r, requires=(R_BASE,)),
    )


@hookimpl
def register_matchers(register: Any) -> None:
    """Offer the matchers of cases."""
    register(PropensityCases())
    register(InverseWeights())
