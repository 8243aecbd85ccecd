"""Designs without an R script of their own: R regresses on their terms by ``lm``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from did_samples import matched
from numpy.typing import NDArray
from sos_estimators import did as classic
from sos_estimators.did import DidSettings
from sos_estimators.inference.vcov import VARIANCES
from sos_estimators.regression.design import Design, JointHypothesis
from sos_estimators.regression.design_matrix import treatment
from sos_estimators.regression.fit import design_on_cases, fit_design
from sos_estimators.sample.prepare import Form, RegressionSample, prepare
from sos_estimators.sample.warnings_text import not_identified

from sos_plugins import Sample
from sos_plugins.errors import EngineError

pytestmark = pytest.mark.r

SAME = 1e-8  # relative; the same regression in double precision, other order of summation


def cases(seed: int = 3) -> Sample:
    """Cases with weights, a number and a category beside them."""
    made = matched(600, seed=seed, effect=0.3)
    weight = np.random.default_rng(seed).integers(1, 4, len(made.frame)) / 2
    return replace(made, frame=made.frame.assign(weight=weight))


def early_and_late(frame: pd.DataFrame) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The effect in the first two periods after adoption, and later."""
    soon = (frame["period"] - frame["cohort"] < 2).to_numpy()
    treated = frame["D"].to_numpy(float)
    return np.column_stack([treated * soon, treated * ~soon]), ("early", "late")


def two_terms(prepared: RegressionSample, form: Form, vcov: str) -> Design:
    return design_on_cases(
        prepared,
        form,
        ["D", "cohort", "period"],
        early_and_late,
        names=("early", "late", "late - early"),
        averages=np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]]),
        vcov=vcov,
        not_identified=lambda _: not_identified(prepared, form),
    )


def one_term(prepared: RegressionSample, vcov: str, joint: JointHypothesis | None = None) -> Design:
    return design_on_cases(
        prepared,
        "twfe",
        ["D"],
        treatment,
        names=("ATT",),
        averages=np.eye(1),
        vcov=vcov,
        joint=joint,
        not_identified=lambda _: not_identified(prepared, "twfe"),
    )


@pytest.mark.parametrize("vcov", VARIANCES)
@pytest.mark.parametrize("form", ["twfe", "stacked"])
def test_terms_in_r_are_those_of_numpy(form: Form, vcov: str) -> None:
    design = two_terms(prepare(cases(), form), form, vcov)
    mine, others = (fit_design(design, engine) for engine in ("python", "r"))
    assert others.names == mine.names
    for column in ("estimates", "std_errors", "df"):
        ours, theirs = (np.broadcast_to(getattr(f, column), 3) for f in (mine, others))
        assert not np.isnan(ours).any()
        np.testing.assert_allclose(theirs, ours, rtol=SAME, err_msg=column)


@pytest.mark.parametrize("vcov", ["CR1", "CR2", "CR3"])
def test_the_one_term_of_did_is_what_its_own_script_gives(vcov: str) -> None:
    sample = cases(5)
    fitted = fit_design(one_term(prepare(sample, "twfe"), vcov), "r").tidy(0.95).iloc[0]
    att = classic.fit_r(sample, DidSettings(vcov=vcov)).term("ATT")
    for column in ("estimate", "std_error", "df", "p_value"):
        assert fitted[column] == pytest.approx(att[column], rel=SAME)


def test_what_needs_a_script_of_its_own_says_so() -> None:
    prepared = prepare(cases(), "twfe")
    with pytest.raises(EngineError, match="'r-fixest' has no script for this design"):
        fit_design(one_term(prepared, "CR1"), "r-fixest")
    joint = JointHypothesis(np.array([0]), "Wald", 9.0)
    with pytest.raises(EngineError, match="without a joint test"):
        fit_design(one_term(prepared, "CR1", joint), "r")
