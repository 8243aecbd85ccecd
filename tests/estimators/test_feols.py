"""``did`` and ``event-study`` by feols: stored results, the other engines, what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from did_samples import matched, results, stored, with_columns
from sos_estimators import did as classic
from sos_estimators import event_study
from sos_estimators.did import DidSettings
from sos_estimators.event_study import EventStudySettings

from sos_plugins import Estimate, Sample
from sos_plugins.cells.compression import compress
from sos_plugins.errors import EstimationError
from sos_plugins.study.estimate import agreement
from sos_plugins.study.result import NamedEstimate

STORED_ESTIMATE = 1e-8  # fixest takes effects out by iteration; asked for are 1e-6
STORED_ERROR = 2e-8  # relative, the same reason; asked for are 1e-4
SAME = 1e-8  # relative; both packages iterate

DATA = ("mpdta", "panel_shared", "cases_cont_shared", "cases_bin_shared")
FORMS = ("twfe", "stacked", "pilot-post")
CRAN = (pytest.mark.r, pytest.mark.cran("fixest"))

DID = [classic.fit_pyfixest, pytest.param(classic.fit_r_fixest, marks=CRAN)]
EVENTS = [event_study.fit_pyfixest, pytest.param(event_study.fit_r_fixest, marks=CRAN)]
Fit = Callable[[Sample, Any], Estimate]


def assert_same(ours: Estimate, theirs: Estimate) -> None:
    assert list(ours.tidy["term"]) == list(theirs.tidy["term"])
    for column in ("estimate", "std_error"):
        np.testing.assert_allclose(
            theirs.tidy[column], ours.tidy[column], rtol=SAME, atol=SAME, err_msg=column
        )


@pytest.mark.parametrize("fit", DID)
@pytest.mark.parametrize("data", DATA)
def test_two_way_fixed_effects_are_those_stored_of_fixest(
    from_r: Path, data: str, fit: Fit
) -> None:
    rows = results(from_r, data, "twfe")
    assert len(rows) in (1, 4)
    for row in rows.to_dict("records"):
        sample = stored(from_r, data, weights=row.get("weights") == "w", x=row.get("x") == "x")
        att = fit(sample, DidSettings(vcov="fixest")).term("ATT")
        assert att["estimate"] == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
        assert att["std_error"] == pytest.approx(row["std_error"], rel=STORED_ERROR)


@pytest.mark.parametrize("fit", EVENTS)
@pytest.mark.parametrize("data", ["cases_cont_shared", "cases_bin_shared"])
def test_leads_and_lags_are_those_stored_of_fixest(from_r: Path, data: str, fit: Fit) -> None:
    rows = results(from_r, data, "event_study")
    estimate = fit(stored(from_r, data), EventStudySettings(vcov="fixest"))
    assert len(rows) == 11
    for row in rows.to_dict("records"):
        term = estimate.term(row["term"].replace("rel::", "event="))
        assert term["estimate"] == pytest.approx(row["estimate"], abs=STORED_ESTIMATE)
        assert term["std_error"] == pytest.approx(row["std_error"], rel=STORED_ERROR)


@pytest.mark.parametrize("data", ["cases_cont_shared", "cases_bin_shared"])
def test_the_jackknife_of_pyfixest_is_that_stored(from_r: Path, data: str) -> None:
    rows = results(from_r, data, "twfe_jackknife")
    rows = rows[rows["type"].str.startswith("CR3(")]
    assert len(rows) == 4
    for row in rows.to_dict("records"):
        sample = stored(from_r, data, weights=row.get("weights") == "w", x=row.get("x") == "x")
        att = classic.fit_pyfixest(sample, DidSettings(vcov="CR3")).term("ATT")
        assert att["std_error"] == pytest.approx(row["std_error"], rel=STORED_ERROR)


@pytest.mark.parametrize("fit", DID)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("vcov", ["CR0", "CR1", "fixest"])
def test_it_agrees_on_weighted_matched_cases(form: Any, vcov: Any, fit: Fit) -> None:
    sample, options = matched(700), DidSettings(form=form, vcov=vcov)
    assert_same(classic.fit_python(sample, options), fit(sample, options))


@pytest.mark.parametrize("form", FORMS)
def test_pyfixest_has_the_jackknife_and_counts_every_effect(form: Any) -> None:
    sample = matched(700)
    for vcov in ("CR3", "CR1S"):
        options = DidSettings(form=form, vcov=vcov)
        theirs = classic.fit_pyfixest(sample, options)
        if (form, vcov) == ("stacked", "CR1S"):
            assert "hung together" in theirs.glance["no_std_error"]
        else:
            assert_same(classic.fit_python(sample, options), theirs)


@pytest.mark.parametrize("fit", EVENTS)
@pytest.mark.parametrize("form", ["twfe", "stacked"])
@pytest.mark.parametrize("lags_only", [False, True])
def test_leads_lags_and_their_mean_agree(form: Any, lags_only: bool, fit: Fit) -> None:
    sample = matched(700)
    options = EventStudySettings(
        form=form, vcov="CR1", lags_only=lags_only, leads_df="clusters", min_lead_clusters=1
    )
    ours, theirs = event_study.fit_python(sample, options), fit(sample, options)
    assert_same(ours, theirs)
    if ours.glance["leads_statistic"] is not None:
        assert theirs.glance["leads_statistic"] == pytest.approx(
            ours.glance["leads_statistic"], rel=1e-6
        )


def test_it_takes_cells() -> None:
    sample, options = matched(700), DidSettings(vcov="CR1")
    cells = compress(sample)
    (engine,) = [e for e in classic.Did.engines if e.name == "pyfixest"]
    assert engine.takes_cells
    assert_same(classic.fit_pyfixest(sample, options), engine.fit(cells, options))
    (other,) = [e for e in classic.Did.engines if e.name == "r-fixest"]
    assert "compressed to cells" in str(other.limits(cells, options))


def checked(fit: Fit, **options: Any) -> Any:
    sample, settings = matched(700), DidSettings(**options)
    (engine,) = [e for e in classic.Did.engines if e.name == "pyfixest"]
    ours = NamedEstimate("did", "python", classic.fit_python(sample, settings))
    return agreement("x", engine, ours, NamedEstimate("did", "pyfixest", fit(sample, settings)))


def test_under_the_default_variance_estimates_are_compared_and_it_says_that_errors_are_not() -> (
    None
):
    agreement = checked(classic.fit_pyfixest)
    assert agreement.verdict == "agree"
    assert agreement.reason == "Standard errors are not compared: pyfixest has no CR2."
    assert agreement.max_difference_estimate is not None
    assert agreement.max_difference_std_error is None


def test_a_wrong_estimate_disagrees_all_the_same() -> None:
    def wrong(sample: Sample, options: DidSettings) -> Estimate:
        moved = with_columns(sample, value=1.01 * sample.frame["value"])
        return classic.fit_pyfixest(moved, options)

    agreement = checked(wrong)
    assert agreement.verdict == "disagree"
    assert agreement.reason.startswith("The estimate of ATT differs by")
    assert agreement.reason.endswith("pyfixest has no CR2.")


def test_leads_are_not_tested_where_the_test_is_missing() -> None:
    estimate = event_study.fit_pyfixest(matched(700), EventStudySettings(vcov="CR1"))
    assert estimate.glance["leads_p_value"] is None
    assert "No joint test of the leads: feols has no AHT test." in estimate.warnings
    assert estimate.tidy["std_error"].notna().any()


def test_the_jackknife_of_an_event_time_of_one_cluster_is_left_missing() -> None:
    estimate = event_study.fit_pyfixest(matched(700), EventStudySettings(vcov="CR3"))
    assert estimate.glance["no_std_error"].startswith("the jackknife of pyfixest stops")
    assert estimate.tidy["std_error"].isna().all()


def test_a_logit_is_declined() -> None:
    sample = matched(700, binary=True)
    for engine in classic.Did.engines:
        if "fixest" in engine.name:
            limit = engine.limits(sample, DidSettings(model="logit"))
            assert limit == "feols has no logit"


def test_an_effect_that_cannot_be_told_is_the_same_error() -> None:
    sample = matched(700)
    frame = sample.frame.assign(copy=sample.frame["treated"] * sample.frame["post"] * 2.0)
    wider = Sample(frame, (*sample.covariates, "copy"))
    told = []
    for fit in (classic.fit_python, classic.fit_pyfixest):
        with pytest.raises(EstimationError) as error:
            fit(wider, DidSettings())
        told.append(str(error.value))
    assert told[0] == told[1]


def test_covariates_left_out_and_the_table_of_python_alone_are_told() -> None:
    sample = matched(700)
    wider = Sample(
        sample.frame.assign(twice=2 * sample.frame["age"]), (*sample.covariates, "twice")
    )
    estimate = classic.fit_pyfixest(wider, DidSettings(vcov="CR1", inference=("CR3",)))
    told = " ".join(estimate.warnings)
    assert "the covariates before them: twice." in told
    assert "computed by engines python and r only" in told
