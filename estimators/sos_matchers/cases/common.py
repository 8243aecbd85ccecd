"""What matchers of cases share: settings, words, and the result with its balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from sos_matchers.cases.data import CaseData, ScoreModels, case_data
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


def strata_words(data: CaseData) -> str:
    """Write what the strata are, with a space before; empty without strata."""
    return f" within {' x '.join(data.within)}" if data.within else ""


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
    frame = reweighted(sample.frame, new)[new > 0].reset_index(drop=True)
    balance = balance_table(
        sample.frame[list(data.covariates.columns)],
        sample.frame["treated"].to_numpy(),
        weight_before=sample.frame["weight"].to_numpy(float),
        weight_after=new,
    )
    dropped = count(sample.frame) - count(frame)
    return CaseMatch(
        sample=replace(sample, frame=frame),
        balance=balance,
        n_dropped=dropped,
        sentence=f"{sentence} {plural(dropped, 'case')} {'was' if dropped == 1 else 'were'} "
        "left out.",
        warnings=warnings,
        overlap=pd.DataFrame(columns=list(OVERLAP_COLUMNS)) if overlap is None else overlap,
    )
