"""The R twin of the table of inference, which refits where Python works on sums by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from did_samples import matched, stored
from sos_estimators import did as classic
from sos_estimators.did import DidSettings
from sos_estimators.inference import inference_table_r
from sos_estimators.inference.inference_table import Inference, inference
from sos_estimators.inference.vcov import VARIANCES, Vcov
from sos_estimators.regression import engine_r as r_engine
from sos_estimators.sample.prepare import prepare

from sos_plugins import Sample

pytestmark = pytest.mark.r

SAME = 1e-9  # relative; both are exact where all sign vectors and assignments are taken
ENDS = 1e-6  # ends of confidence sets, relative to their width: the p value has a step there
DEVIATIONS = 4.0  # of the difference of two p values of independent draws: 1 in 16,000 is beyond
ALL = ("CR0", "CR1", "CR1S", "fixest", "CR2", "CR3", "CR3J", "WCR", "WCU", "RI-beta", "RI-t")
NUMBERS = ["std_error", "statistic", "df", "p_value"]


def in_r(sample: Sample, options: DidSettings, methods: Sequence[str], draws: int) -> Any:
    prepared = prepare(sample, options.form)
    return r_engine.call(
        "inference.R",
        "did_inference",
        prepared,
        [name for name in ("cohort",) if name in prepared.frame],
        form=options.form,
        methods=list(methods),
        conf_level=options.conf_level,
        draws=draws,
        weights=options.wild_weights,
        seed=1,
    )


def both(
    sample: Sample, options: DidSettings, methods: Sequence[Any], draws: int
) -> tuple[Inference, pd.DataFrame, pd.DataFrame, Any]:
    python = inference(sample, options, methods, seed=1, draws=draws)
    answer = in_r(sample, options, methods, draws)
    columns = ["estimate", *NUMBERS, "conf_low", "conf_high"]
    r = pd.DataFrame({name: answer[name] for name in columns}, index=list(methods))
    return python, python.table.set_index("method")[columns].astype(float), r, answer


def dated(n: int) -> Sample:
    """Make cases whose treatment starts with the period ``cohort``, without matched groups."""
    frame = matched(n, seed=4, effect=0.3).frame.drop(columns="group")
    return Sample(frame, ("age",))


def grouped(n: int) -> Sample:
    return Sample(matched(n, seed=4, effect=0.3).frame, ("age", "ethnicity"))


@pytest.mark.parametrize(("form", "make"), [("twfe", dated), ("stacked", grouped)])
def test_all_sign_vectors_and_assignments(form: Any, make: Any) -> None:
    options = DidSettings(form=form)
    python, here, there, answer = both(make(400), options, ALL, 9999)
    pd.testing.assert_frame_equal(
        here[["estimate", *NUMBERS]], there[["estimate", *NUMBERS]], rtol=SAME, check_names=False
    )
    width = (here["conf_high"] - here["conf_low"]).fillna(1.0)
    for end in ("conf_low", "conf_high"):
        assert (here[end].isna() == there[end].isna()).all()
        assert ((here[end] - there[end]).abs().fillna(0) <= ENDS * width).all()
    assert answer["complete"][list(ALL).index("WCR")] == 1
    assert answer["complete"][list(ALL).index("RI-t")] == 1
    clusters = python.clusters.set_index("cluster").loc[list(answer["cluster"])]
    for name in ("estimate_without", "partial_leverage"):
        np.testing.assert_allclose(clusters[name], answer[name], rtol=SAME)
    assert python.effective_clusters == pytest.approx(answer["effective_clusters"][0], rel=SAME)


@pytest.mark.parametrize("weights", ["rademacher", "webb"])
def test_draws_of_their_own(from_r: Path, weights: Any) -> None:
    """With 24 authorities neither takes all: p values differ by chance alone."""
    sample = stored(from_r, "cases_cont_shared", weights=True)
    frame = sample.frame.assign(value=sample.frame["value"] + 1.9 * sample.frame["post"])
    methods, draws = ("WCR", "WCU", "RI-beta", "RI-t"), 999
    options = DidSettings(wild_weights=weights)
    _, here, there, answer = both(Sample(frame), options, methods, draws)
    assert not np.any(answer["complete"])
    assert np.all(answer["draws"] == draws)
    p = (here["p_value"] + there["p_value"]) / 2
    assert (p.between(0.02, 0.98)).all(), "the draws would tell nothing apart"
    apart = (here["p_value"] - there["p_value"]).abs()
    assert (apart <= DEVIATIONS * np.sqrt(2 * p * (1 - p) / draws)).all()


def test_a_pilot_that_the_jackknife_needs() -> None:
    frame = matched(400, seed=4).frame
    alone = Sample(frame[frame["group"] == "P1"].reset_index(drop=True), ())
    _, here, there, _ = both(alone, DidSettings(form="stacked"), ("CR1", "CR3", "WCR"), 999)
    assert np.isnan(here.loc["CR3", "std_error"])
    assert np.isnan(there.loc["CR3", "std_error"])
    np.testing.assert_allclose(here["p_value"], there["p_value"], rtol=SAME)


def test_both_engines_hand_out_the_table() -> None:
    options = DidSettings(form="stacked", inference=("CR2", "WCR", "RI-t"), draws=999)
    here, there = (fit(grouped(400), options) for fit in (classic.fit_python, classic.fit_r))
    ours, theirs = (pd.DataFrame(fitted.glance["inference"]) for fitted in (here, there))
    assert list(ours) == list(theirs)
    np.testing.assert_allclose(ours["p_value"], theirs["p_value"], rtol=SAME)
    assert theirs["distribution"].tolist()[1:] == ["all 128 draws", "all 27 assignments"]
    disagree = [w for w in there.warnings if w.startswith("The methods disagree")]
    assert disagree == [w for w in here.warnings if w.startswith("The methods disagree")]


def test_what_r_cannot_do_is_said() -> None:
    pilots = DidSettings(form="pilot-post", inference=("WCR", "RI-t"), draws=999)
    estimate = classic.fit_r(grouped(400), pilots)
    assert any("there is no RI-t: form = 'pilot-post'" in w for w in estimate.warnings)
    assert pd.isna(pd.DataFrame(estimate.glance["inference"])["p_value"][1])
    many = DidSettings(inference=("WCR",), draws=inference_table_r.MOST_REFITS)
    estimate = classic.fit_r(grouped(400), many)
    assert "inference" not in estimate.glance
    assert any("too many for R" in w for w in estimate.warnings)


def test_a_variance_that_r_lacks_is_left_to_the_engines_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = replace(VARIANCES["CR2"], name="CR2-alone", engines=("python", "pyfixest"))
    monkeypatch.setitem(cast("dict[str, Vcov]", VARIANCES), "CR2-alone", alone)
    told = r_engine.limits(grouped(400), "twfe", "CR2-alone")
    assert told == "the R engine has no CR2-alone; engines that have it: pyfixest, python"
    assert r_engine.limits(grouped(400), "twfe", "CR2") is None
