"""``propensity-cases``: nearest neighbours on the propensity score, within strata."""

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
    strata_words,
)
from sos_matchers.cases.data import CaseData, case_scores
from sos_matchers.cases.support import common_support
from sos_matchers.classifiers import ScoreModel, only_logistic
from sos_matchers.nearest import MOST_PAIRS, Order, Pairs, in_steps, match_on_scores
from sos_matchers.propensity import Scores
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings
from sos_plugins.errors import DesignError, SosError


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


@dataclass(frozen=True)
class CasePairs:
    """What an engine of ``propensity-cases`` found.

    Attributes:
        pairs: Rows of ``CaseData``: pilots' cases and comparators' cases.
        scores: The scores of the cases.
        software: What computed it, with its version.
    """

    pairs: Pairs
    scores: Scores
    software: str


def match_cases(sample: Sample, settings: PropensityCasesSettings) -> CaseMatch:
    """Match cases on the propensity score with scikit-learn and numpy.

    Raises:
        DesignError: If there is nothing to match, or no match.
        SettingsError: If a covariate or column is unknown.
        EstimationError: If no propensity score exists.
    """
    data = data_for(sample, settings, PropensityCases.name, settings.seed)
    model = ScoreModel(settings)
    fitted = case_scores(data, model, settings.scores)
    score = fitted.on(settings.distance)
    limit = settings.caliper
    if limit is not None and settings.std_caliper:
        limit *= sd_within(score, data.stratum)
    pairs = match_strata(data, score, settings, limit)
    matches = CasePairs(pairs, fitted, model.software)
    return _report_matched(sample, data, matches, settings)


def match_cases_r(sample: Sample, settings: PropensityCasesSettings) -> CaseMatch:
    """Match cases on the propensity score with R's ``glm`` (or its ridge) and MatchIt.

    Raises:
        EngineError: If R fails; otherwise as :func:`match_cases`.
    """
    data = data_for_r(sample, settings, PropensityCases.name)
    pairs, logit = r_engines.cases_on_score(data, settings)
    matches = CasePairs(pairs, Scores.of(logit), r_engines.matchit_version())
    return _report_matched(sample, data, matches, settings)


def matchit_limits(sample: Sample, settings: PropensityCasesSettings) -> str | None:
    """Say when a stratum is too large for a matrix of distances, or a score is not logistic."""
    if reason := only_logistic(settings, "r-matchit"):
        return reason
    try:
        data = data_for(sample, settings, PropensityCases.name, settings.seed)
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
    parts = []
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
        parts.append((treated[pairs.treated], control[pairs.control], pairs.rank))
    return Pairs.of(*(np.concatenate(part) for part in zip(*parts, strict=True)))


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
    sample: Sample, data: CaseData, matches: CasePairs, settings: PropensityCasesSettings
) -> CaseMatch:
    side = data.treated == 1
    new = pair_weights(matches.pairs, len(side))
    matched = new > 0
    n_side, n_matched = int(side.sum()), int((side & matched).sum())
    if not n_matched:
        raise DesignError(
            f"Matcher '{PropensityCases.name}': none of the {n_side:,} cases of pilots has a "
            "comparator's case within the caliper. Use a larger caliper."
        )
    weight = data.weight * new
    support = common_support(data, matches.scores, weight)
    warnings = [*data.warnings, *support.warnings(settings.warn_outside)]
    if n_matched < n_side:
        warnings.append(
            f"{n_side - n_matched:,} of {n_side:,} cases of pilots found no comparator's case and "
            "were left out: the effect is that on the matched."
        )
    sizes = np.bincount(matches.pairs.treated)
    fewer = int(((sizes > 0) & (sizes < settings.ratio)).sum())
    if fewer:
        warnings.append(
            f"{fewer:,} of {n_matched:,} matched cases of pilots got fewer than {settings.ratio} "
            "cases of comparators: no more were free, or within the caliper."
        )
    n_controls = int((~side).sum())
    sentence = (
        f"{_method(data, settings)}; {matches.software}. {n_matched:,} of "
        f"{plural(n_side, 'case')} of pilots were matched to {int((~side & matched).sum()):,} of "
        f"{plural(n_controls, 'case')} of comparators. Of cases equally far the first in a fixed "
        f"arbitrary order (seed {settings.seed}) was taken."
        f"{support.words}{notes_words(data)}"
    )
    return case_match(sample, data, weight, sentence, tuple(warnings), overlap=support.frame)


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
        f"comparators{strata_words(data.within)} by nearest neighbours on the {scale} "
        f"({model_words(data, settings)}), {reuse} replacement{turn}{caliper}"
    )


class PropensityCases(Matcher):
    """Nearest neighbours on the propensity score, within strata."""

    name: ClassVar[str] = "propensity-cases"
    label: ClassVar[str] = "Cases: nearest neighbours on the propensity score"
    short_label: ClassVar[str] = "the propensity score of cases"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = PropensityCasesSettings
    citation: ClassVar[str] = (
        "Rosenbaum and Rubin (1983), Biometrika 70, 41-55; "
        "Ho, Imai, King and Stuart (2011), Journal of Statistical Software 42(8)"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", match_cases, packages=("scikit-learn", "numpy")),
        r_engines.matchit_engine(match_cases_r, matchit_limits),
    )
