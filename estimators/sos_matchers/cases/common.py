"""What matchers of cases share: settings, words, and the result with its balance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from sos_matchers.cases.data import CaseData, ScoreModels, case_data
from sos_matchers.propensity import Penalty
from sos_matchers.summaries import plural
from sos_plugins import CaseMatch, Sample, Settings
from sos_plugins.authors.results import balance_table
from sos_plugins.cells.compression import count, reweighted
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


class CaseSettings(WithinSettings):
    """What matchers of cases on the propensity score take."""

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


def data_for(sample: Sample, settings: CaseSettings, matcher: str) -> CaseData:
    """Collect the cases that these settings ask for: see :func:`case_data`."""
    return case_data(
        sample,
        covariates=settings.covariates,
        within=settings.within,
        seed=settings.seed,
        matcher=matcher,
    )


def strata_words(data: CaseData) -> str:
    """Write what the strata are, with a space before; empty without strata."""
    return f" within {' x '.join(data.within)}" if data.within else ""


def model_words(data: CaseData, settings: CaseSettings) -> str:
    """Describe the logistic regression."""
    ridge = f", ridge penalty with C = {settings.C:g}" if settings.penalty == "ridge" else ""
    models = "in each stratum" if settings.scores == "separate" else "and the strata"
    names = ", ".join(str(c) for c in data.covariates.columns)
    return f"logistic regression on {names}{f' {models}' if data.within else ''}{ridge}"


def case_match(
    sample: Sample,
    data: CaseData,
    weight: np.ndarray,
    sentence: str,
    warnings: tuple[str, ...],
) -> CaseMatch:
    """Give the sample its new weights; rows without weight are dropped."""
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
    )
