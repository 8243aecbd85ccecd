"""``overlap-weights``: every case weighted by the probability of being on the other side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

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
from sos_matchers.cases.weighted import (
    EffectiveSettings,
    effective_sizes,
    effective_warnings,
    weigh,
)
from sos_matchers.classifiers import ScoreModel
from sos_matchers.propensity import Scores
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Engine, Matcher, Sample, Settings
from sos_plugins.contract.interfaces import R_BASE
from sos_plugins.errors import DesignError

Trim = Literal["none", "crump"] | Annotated[float, Field(gt=0, lt=0.5)]


class OverlapSettings(CaseSettings, EffectiveSettings):
    """Settings of ``overlap-weights``."""

    trim: Trim = Field(
        "none",
        description=(
            "cases with a score below this, or above 1 less this, are left out and the score is "
            "fitted again; crump takes the bound of least variance, none leaves nobody out"
        ),
    )


@dataclass(frozen=True)
class Overlap:
    """Cases, scores and weights after trimming.

    Attributes:
        data: The cases that are left.
        scores: Their scores.
        bound: The bound of scores; 0 where none were left out.
        trimmed: How many cases of comparators and of pilots were left out.
        software: What computed it, with its version.
    """

    data: CaseData
    scores: Scores
    bound: float
    trimmed: tuple[int, int]
    software: str

    @property
    def factor(self) -> np.ndarray:
        """Factors on the weights: 1 - e for pilots' cases, e for comparators'."""
        e = self.scores.probability
        return np.where(self.data.treated == 1, 1 - e, e)


def weight_by_overlap(sample: Sample, settings: OverlapSettings) -> CaseMatch:
    """Give overlap weights, with scikit-learn.

    Raises:
        DesignError: If there is nothing to weight.
        SettingsError: If a covariate, column or classifier is unknown.
        EstimationError: If no propensity score exists.
    """
    data = data_for(sample, settings, OverlapWeights.name, settings.seed)
    model = ScoreModel(settings)
    scores = case_scores(data, model, settings.scores)
    bound = trim_bound(scores.probability, data.counts, settings.trim)
    kept = np.minimum(scores.probability, 1 - scores.probability) >= bound - AT_BOUND
    left, trimmed = _trimmed(data, kept)
    if not kept.all():
        scores = case_scores(left, model, settings.scores)
    return _report(sample, Overlap(left, scores, bound, trimmed, model.software), settings)


def weight_by_overlap_r(sample: Sample, settings: OverlapSettings) -> CaseMatch:
    """Give overlap weights, with base R.

    Raises:
        EngineError: If R fails; otherwise as :func:`weight_by_overlap`.
    """
    data = data_for_r(sample, settings, OverlapWeights.name)
    bound, kept, logit = r_engines.overlap_scores(data, settings)
    left, trimmed = _trimmed(data, kept)
    scores = Scores.of(logit[np.isfinite(logit)])
    found = Overlap(left, scores, bound, trimmed, r_engines.r_version())
    return _report(sample, found, settings)


def trim_bound(score: np.ndarray, counts: np.ndarray, trim: Trim) -> float:
    """Return the bound of scores beyond which cases are left out.

    That of Crump, Hotz, Imbens and Mitnik (2009) makes the variance of the effect on the cases that
    are left least, errors having the same variance everywhere: with ``g = 1 / (e (1 - e))`` cases
    stay whose ``g`` is at most twice the mean of those that stay.

    Args:
        score: Array (rows,) of scores.
        counts: Array (rows,) of how many cases each row stands for.
        trim: ``"none"``, ``"crump"`` or the bound.
    """
    if trim == "none":
        return 0.0
    if trim != "crump":
        return float(trim)
    cost = 1 / (score * (1 - score))
    order = np.argsort(cost)
    means = np.cumsum((cost * counts)[order]) / np.cumsum(counts[order])
    last = int(np.flatnonzero(cost[order] <= 2 * means)[-1])
    if last == len(cost) - 1:
        return 0.0
    return 0.5 - float(np.sqrt(0.25 - 1 / cost[order][last]))


AT_BOUND = 1e-12
"""Rounding of a score that is the bound itself, and stays."""


def _trimmed(data: CaseData, kept: np.ndarray) -> tuple[CaseData, tuple[int, int]]:
    """Leave cases out, and strata that lose a side with them; count both sides."""
    if kept.all():
        return data, (0, 0)
    sides = [
        np.bincount(data.stratum[kept & (data.treated == side)], minlength=len(data.strata)) > 0
        for side in (0, 1)
    ]
    both = sides[0] & sides[1]
    if not both.any():
        raise DesignError(
            f"Matcher '{OverlapWeights.name}': after trimming no stratum has cases of both pilots "
            "and comparators. Trim less, or match on fewer covariates."
        )
    staying = kept & both[data.stratum]
    gone = ~staying
    n = [round(float(data.counts[gone & (data.treated == side)].sum())) for side in (0, 1)]
    lost = [data.strata[s] for s in np.flatnonzero(~both)]
    warnings = tuple(f"Trimming left one side alone in the stratum {s}: left out." for s in lost)
    left = data.of_rows(staying)
    return replace(left, warnings=(*data.warnings, *warnings)), (n[0], n[1])


def _report(sample: Sample, found: Overlap, settings: OverlapSettings) -> CaseMatch:
    data = found.data
    weighted = weigh(data, found.factor)
    before, after = effective_sizes(data, weighted.weight, data.treated == 1)
    support = common_support(data, found.scores, weighted.weight)
    sentence = (
        f"Cases were weighted by the probability of being on the other side, from a propensity "
        f"score ({model_words(data, settings)}){strata_words(data.within)}; {found.software}. "
        f"The effect is that on the cases that could be on either side."
        f"{_trim_words(found, settings)} Pilots' cases have an effective sample size of "
        f"{after:,.0f}; {weighted.effective_words}{support.words}{notes_words(data)}"
    )
    warnings = (
        *data.warnings,
        *support.warnings(settings.warn_outside),
        *effective_warnings(before, after, settings, side="pilots'"),
        *effective_warnings(weighted.before, weighted.after, settings),
    )
    return case_match(sample, data, weighted.weight, sentence, warnings, overlap=support.frame)


def _trim_words(found: Overlap, settings: OverlapSettings) -> str:
    if settings.trim == "none":
        return ""
    if not found.bound or not sum(found.trimmed):
        return " No case was trimmed."
    controls, own = found.trimmed
    return (
        f" {plural(own, 'case')} of pilots and {plural(controls, 'case')} of comparators with "
        f"scores below {found.bound:.3f} or above {1 - found.bound:.3f} were trimmed."
    )


class OverlapWeights(Matcher):
    """Weights for the effect on the cases that could be on either side."""

    name: ClassVar[str] = "overlap-weights"
    label: ClassVar[str] = "Cases: overlap weights of the propensity score"
    short_label: ClassVar[str] = "overlap weights"
    level: ClassVar[Literal["units", "cases"]] = "cases"
    Settings: ClassVar[type[Settings]] = OverlapSettings
    citation: ClassVar[str] = (
        "Li, Morgan and Zaslavsky (2018), Journal of the American Statistical Association 113, "
        "390-400; Crump, Hotz, Imbens and Mitnik (2009), Biometrika 96(1), 187-199"
    )
    engines: ClassVar[tuple[Engine, ...]] = (
        Engine("python", weight_by_overlap, packages=("scikit-learn", "numpy"), takes_cells=True),
        Engine("r", weight_by_overlap_r, requires=(R_BASE,), limits=score_limits("r")),
    )
