"""Goodman-Bacon decomposition: identities, published weights and estimates, R, the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from did_samples import stored
from sos_estimators.diagnostics import decompose, panel_means
from sos_estimators.diagnostics.goodman_bacon import Bacon, BaconSettings, fit_python, fit_r
from sos_estimators.did import DidSettings
from sos_estimators.did import fit_python as fit_did

from sos_plugins import Estimate, Sample
from sos_plugins.authors.testing import assert_engines_agree, estimator_checks
from sos_plugins.authors.testing.examples import example_panel
from sos_plugins.errors import EstimationError

EXACT = 1e-11  # means and sums in double precision
PRINTED = 5e-6  # the README of bacondecomp prints five or six digits after the point

Fit = Callable[[Sample, BaconSettings], Estimate]
ENGINE = [fit_python, pytest.param(fit_r, marks=pytest.mark.r)]

# States by year of adoption in a data set of bacondecomp, and the weights that its README prints.
MATH_REFORM = {1984: 1, 1985: 4, 1986: 1, 1987: 9, 0: 11}
MATH_REFORM_YEARS = range(1975, 1995)
MATH_REFORM_WEIGHTS = {
    "1987 vs 1985": 0.031655309,
    "1986 vs 1985": 0.001978457,
    "1984 vs 1985": 0.001978457,
    "1985 vs 1987": 0.039569136,
    "1986 vs 1987": 0.005440756,
    "1984 vs 1987": 0.013354583,
}
MATH_REFORM_SHARES = {
    "earlier vs later": 0.06353,
    "later vs earlier": 0.05265,
    "treated vs never": 0.88382,
}


def panel(cohorts: list[int], periods: list[int], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"u{i:02d}", t, g, rng.normal()) for i, g in enumerate(cohorts) for t in periods]
    return pd.DataFrame(rows, columns=["unit", "period", "cohort", "value"])


def as_sample(frame: pd.DataFrame) -> Sample:
    treated = (frame["cohort"] > 0).astype(int)
    post = treated * (frame["period"] >= frame["cohort"])
    columns = {"weight": 1.0, "cluster": frame["unit"], "treated": treated, "post": post}
    return Sample(frame.assign(**columns))


def test_weights_are_those_that_bacondecomp_prints() -> None:
    """Weights rest on who adopts when alone, so made-up values do."""
    cohorts = [g for g, n in MATH_REFORM.items() for _ in range(n)]
    parts = decompose(panel(cohorts, list(MATH_REFORM_YEARS)))
    weights = {c.term: c.weight for c in parts.comparisons}
    for term, weight in MATH_REFORM_WEIGHTS.items():
        assert weights[term] == pytest.approx(weight, abs=1e-9)  # nine digits are printed
    for kind, share in MATH_REFORM_SHARES.items():
        assert parts.share(kind) == pytest.approx(share, abs=PRINTED)  # type: ignore[arg-type]
    assert parts.average("treated vs always") is None


@pytest.mark.parametrize("cohorts", [[0, 0, 3, 3, 4, 6], [1, 3, 4, 4, 6, 9], [2, 3, 5, 5, 6, 1, 0]])
@pytest.mark.parametrize("periods", [[1, 2, 3, 4, 5, 6], [1, 2, 4, 6, 7]])
def test_comparisons_add_up_to_the_regression(cohorts: list[int], periods: list[int]) -> None:
    frame = panel(cohorts, periods)
    parts = decompose(frame)
    d = (frame["cohort"] > 0) & (frame["period"] >= frame["cohort"])
    dummies = pd.get_dummies(frame[["unit", "period"]].astype(str)).to_numpy(float)
    x = np.column_stack([d.to_numpy(float), dummies])
    regression = np.linalg.lstsq(x, frame["value"].to_numpy(), rcond=None)[0][0]
    assert sum(c.weight for c in parts.comparisons) == pytest.approx(1, abs=EXACT)
    assert all(c.weight > 0 for c in parts.comparisons)
    assert parts.weighted_sum == pytest.approx(regression, abs=EXACT)
    assert parts.estimate == pytest.approx(regression, abs=EXACT)


def test_comparisons_are_the_differences_that_their_names_say() -> None:
    """Two early, one late, one never treated; four periods: computed by hand."""
    values = {"a": [1.0, 2, 5, 6], "b": [3.0, 4, 9, 6], "c": [0.0, 1, 1, 8], "d": [2.0, 2, 3, 3]}
    cohort = {"a": 3, "b": 3, "c": 4, "d": 0}
    rows = [(u, t, cohort[u], v) for u, vs in values.items() for t, v in enumerate(vs, 1)]
    parts = decompose(pd.DataFrame(rows, columns=["unit", "period", "cohort", "value"]))
    comparisons = {c.term: (c.estimate, c.kind) for c in parts.comparisons}
    assert comparisons == {
        "3 vs never": (4.0 - 1.0, "treated vs never"),  # 6.5 - 2.5, 3 - 2
        "4 vs never": (pytest.approx(8 - 2 / 3 - (3 - 7 / 3)), "treated vs never"),
        "3 vs 4": (7 - 2.5 - (1 - 0.5), "earlier vs later"),  # periods 1 to 3
        "4 vs 3": (7 - (6 - 7), "later vs earlier"),  # periods 3 and 4
    }


def test_the_stored_panel_adds_up_to_its_stored_regression(from_r: Path) -> None:
    sample = stored(from_r, "mpdta")
    estimate = fit_python(sample, BaconSettings())
    parts = estimate.tidy[estimate.tidy["term"] != "overall"]
    overall = estimate.term("overall")
    assert (parts["weight"] * parts["estimate"]).sum() == pytest.approx(overall["estimate"])
    assert parts["weight"].sum() == pytest.approx(1, abs=EXACT)
    assert len(parts) == 9  # three cohorts with each other and with the never treated
    regression = fit_did(replace(sample, covariates=()), DidSettings()).term("ATT")
    assert overall["estimate"] == pytest.approx(regression["estimate"], abs=EXACT)
    assert overall["std_error"] == pytest.approx(regression["std_error"], rel=1e-9)


@pytest.mark.parametrize("fit", ENGINE)
def test_growing_effects_mislead_where_treated_units_compare(fit: Fit) -> None:
    frame = panel([2, 2, 5, 5, 0], [1, 2, 3, 4, 5, 6, 7, 8])
    since = (frame["period"] - frame["cohort"] + 1).clip(lower=0).where(frame["cohort"] > 0, 0)
    estimate = fit(as_sample(frame.assign(value=since.astype(float))), BaconSettings())
    row = estimate.tidy.set_index("term")
    assert row.loc["5 vs 2", "estimate"] < 0 < row.loc["2 vs 5", "estimate"]
    assert any("units treated earlier" in warning for warning in estimate.warnings)
    assert estimate.glance["weight_later_vs_earlier"] == pytest.approx(row.loc["5 vs 2", "weight"])


@pytest.mark.r
def test_r_gives_the_same_components(from_r: Path) -> None:
    for sample in (stored(from_r, "mpdta"), as_sample(panel([1, 3, 0, 5, 6, 9], [1, 2, 4, 6, 7]))):
        assert_engines_agree(Bacon(), sample, BaconSettings())
        ours, theirs = fit_python(sample, BaconSettings()), fit_r(sample, BaconSettings())
        assert list(ours.tidy["term"]) == list(theirs.tidy["term"])
        assert list(ours.tidy["kind"]) == list(theirs.tidy["kind"])
        assert theirs.tidy["weight"].to_numpy() == pytest.approx(ours.tidy["weight"], abs=EXACT)


def test_units_that_lack_a_period_are_an_error_or_left_out_with_a_warning() -> None:
    frame = panel([0, 0, 3, 4, 4], [1, 2, 3, 4, 5])
    gap = as_sample(frame.drop(index=2).reset_index(drop=True))
    with pytest.raises(EstimationError, match="1 units lack some: u00"):
        fit_python(gap, BaconSettings())
    estimate = fit_python(gap, BaconSettings(incomplete="drop"))
    whole = fit_python(as_sample(frame[frame["unit"] != "u00"]), BaconSettings())
    assert estimate.term("overall")["estimate"] == whole.term("overall")["estimate"]
    assert any("1 units lack a period" in warning for warning in estimate.warnings)


def test_samples_collapse_to_weighted_means() -> None:
    sample = as_sample(panel([0, 3], [1, 2, 3]))
    double = pd.concat([sample.frame, sample.frame.assign(value=10.0, weight=3.0)])
    means = panel_means(Sample(double.reset_index(drop=True)))
    expected = (sample.frame["value"] + 30) / 4
    assert means["value"].to_numpy() == pytest.approx(expected.to_numpy(), abs=EXACT)


def test_what_cannot_be_decomposed_is_an_error() -> None:
    with pytest.raises(EstimationError, match="nothing to decompose"):
        decompose(panel([3, 3], [1, 2, 3, 4]))
    with pytest.raises(EstimationError, match="nothing to decompose"):
        decompose(panel([0, 1], [1, 2, 3, 4]))
    sample = as_sample(panel([0, 3], [1, 2, 3]))
    two = sample.frame["cohort"].where(sample.frame["period"] > 1, 2)
    with pytest.raises(EstimationError, match="more than one cohort: u01"):
        panel_means(Sample(sample.frame.assign(cohort=two)))


@pytest.mark.parametrize("check", estimator_checks(Bacon()), ids=str)
def test_bacon_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_panels_with_identifiers_work_too() -> None:
    estimate = fit_python(example_panel(effect=1.0), BaconSettings())
    assert estimate.glance["n_cells"] == 18 * 8
