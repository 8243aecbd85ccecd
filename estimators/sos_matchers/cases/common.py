"""What matchers of cases share: settings, words, and the result with its balance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from sos_matchers.cases.data import CaseData, ScoreModels, case_data, case_scores
from sos_matchers.classifiers import ScoreModel, ScoreSettings, only_logistic
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Sample, Settings
from sos_plugins.authors.results import balance_table
from sos_plugins.cells.compression import count, reweighted
from sos_plugins.contract.interfaces import OVERLAP_COLUMNS
from sos_plugins.contract.settings import NAMES_COLUMNS


class WithinSettings(Settings):
    """What is compared, and within what."""

    covariates: tuple[str, ...] | None = Field(
        None,
        description="covariates that are compared; all of the outcome unless given",
        json_schema_extra=NAMES_COLUMNS,
    )
    within: tuple[str, ...] | None = Field(
        None,
        description=(
            "columns that make the strata, within which cases are compared; unless given: group "
            "and post, as far as the cases have them"
        ),
        json_schema_extra=NAMES_COLUMNS,
    )


class CaseSettings(WithinSettings, ScoreSettings):
    """What matchers of cases on the propensity score take."""

    scores: ScoreModels = Field(
        "pooled",
        description=(
            "one model of the score with an intercept for every stratum (pooled), or one in each "
            "stratum (separate)"
        ),
    )
    warn_outside: float = Field(
        0.05,
        ge=0,
        le=1,
        description=(
            "warn when more than this share of pilots' cases have a score outside the range of "
            "comparators' cases in their stratum"
        ),
    )


def data_for(sample: Sample, settings: WithinSettings, matcher: str, seed: int = 0) -> CaseData:
    """Collect the cases that these settings ask for: see :func:`case_data`."""
    return case_data(
        sample,
        covariates=settings.covariates,
        within=settings.within,
        seed=seed,
        matcher=matcher,
    )


def data_for_r(sample: Sample, settings: CaseSettings, matcher: str) -> CaseData:
    """Collect the cases whose score R is to fit, as :func:`data_for`.

    Raises:
        EstimationError: If no score exists, which R does not tell.
    """
    data = data_for(sample, settings, matcher, settings.seed)
    if settings.penalty == "none":
        case_scores(data, ScoreModel(settings), settings.scores)
    return data


def strata_words(within: Sequence[str]) -> str:
    """Write what the columns of strata are, with a space before; empty without strata."""
    return f" within {' x '.join(within)}" if within else ""


def left_out_words(dropped: int) -> str:
    """Count the cases that are gone.

    >>> left_out_words(1)
    '1 case was left out.'
    """
    return f"{plural(dropped, 'case')} {'was' if dropped == 1 else 'were'} left out."


def with_weights(sample: Sample, weight: np.ndarray) -> tuple[Sample, int]:
    """Give a sample new weights, (rows,); rows without any are dropped, and their cases counted."""
    frame = reweighted(sample.frame, weight)[weight > 0].reset_index(drop=True)
    return replace(sample, frame=frame), count(sample.frame) - count(frame)


def notes_words(data: CaseData) -> str:
    """Write what was left out, with a space before each sentence."""
    return "".join(f" {note}" for note in data.notes)


def model_words(data: CaseData, settings: CaseSettings) -> str:
    """Describe the model of the score."""
    models = "in each stratum" if settings.scores == "separate" else "and the strata"
    names = ", ".join(str(c) for c in data.covariates.columns)
    return ScoreModel(settings).words(f"{names}{f' {models}' if data.within else ''}")


def score_limits(engine: str) -> Callable[[Any, CaseSettings], str | None]:
    """Return what says that an engine of R fits no other classifier."""

    def limits(sample: Any, settings: CaseSettings) -> str | None:  # noqa: ARG001
        return only_logistic(settings, engine)

    return limits


def case_match(
    sample: Sample,
    data: CaseData,
    weight: np.ndarray,
    sentence: str,
    warnings: tuple[str, ...],
    *,
    overlap: pd.DataFrame | None = None,
) -> CaseMatch:
    """Give the sample its new weights; rows without weight are dropped.

    ``overlap`` has the scores on both sides, where there are scores.
    """
    new = np.zeros(len(sample.frame))
    new[data.positions] = weight
    matched, dropped = with_weights(sample, new)
    balance = balance_table(
        sample.frame[list(data.covariates.columns)],
        sample.frame["treated"].to_numpy(),
        weight_before=sample.frame["weight"].to_numpy(float),
        weight_after=new,
    )
    return CaseMatch(
        sample=matched,
        balance=balance,
        n_dropped=dropped,
        sentence=f"{sentence} {left_out_words(dropped)}",
        warnings=warnings,
        overlap=pd.DataFrame(columns=list(OVERLAP_COLUMNS)) if overlap is None else overlap,
    )
