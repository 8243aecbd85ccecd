"""Errors from treated clusters' own effects: clubSandwich, Student, known truth, engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sos_estimators.callaway_santanna import CallawaySantAnna
from sos_estimators.extended_twfe import ExtendedTwfe
from sos_estimators.imputed import Imputation, TwoStage
from sos_estimators.inference.own_effects import OwnEffects
from sos_estimators.stacked import Stacked
from sos_estimators.staggered.leads import Leads
from sos_estimators.sun_abraham import SunAbraham
from variants import some_now

from sos_plugins import Estimate, Estimator, Sample
from sos_plugins.r import client as r

ENGINES = 1e-9  # relative; the same sums in another order
CLOSED = 1e-12  # relative; the same algebra
SIMULATED = 0.05  # of a size of 5% from 120 samples: 2.5 standard errors of chance
STAGGERED: tuple[Estimator, ...] = (
    SunAbraham(),
    ExtendedTwfe(),
    Imputation(),
    TwoStage(),
    Stacked(),
    CallawaySantAnna(),
)
BY_NAME = pytest.mark.parametrize("plugin", STAGGERED, ids=lambda plugin: plugin.name)
SCRIPT = """
weighted_mean <- function(data, arguments) {
  fit <- lm(tau ~ 1, weights = w, data = data)
  n <- nrow(data)
  as.list(clubSandwich::coef_test(fit, vcov = "CR2", cluster = seq_len(n), target = rep(1, n),
                                  test = "Satterthwaite")[1, c("beta", "SE", "df_Satt")])
}
"""


def cells(
    rng: np.random.Generator, *, n_units: int = 24, dates: tuple[int, ...] = (3, 4, 5, 6, 7)
) -> Sample:
    """One authority a date of adoption; shocks of authorities and years, unequal sizes, 8 years."""
    years = 8
    shocks = rng.normal(0, 0.5, (n_units, years)).cumsum(axis=1)
    weight = rng.integers(20, 200, (n_units, years)).astype(float)
    cohort = np.zeros(n_units, dtype=np.int64)
    cohort[: len(dates)] = dates
    unit = np.repeat([f"E{u:02}" for u in range(n_units)], years)
    frame = pd.DataFrame({"unit": unit, "cluster": unit})
    frame["period"] = np.tile(np.arange(1, years + 1), n_units)
    frame["cohort"] = np.repeat(cohort, years)
    frame["treated"] = (frame["cohort"] > 0).astype(int)
    frame["post"] = ((frame["cohort"] > 0) & (frame["period"] >= frame["cohort"])).astype(int)
    frame["value"] = shocks.ravel()
    frame["weight"] = weight.ravel()
    return Sample(frame)


def fit(plugin: Estimator, sample: Sample, engine: str = "python", **settings: object) -> Estimate:
    chosen = next(one for one in plugin.engines if one.name == engine)
    return chosen.fit(sample, plugin.Settings(**settings))


def effects(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    shares = rng.uniform(0.5, 3.0, n)
    return rng.normal(size=n), shares / shares.sum()


def test_alike_shares_are_students_t() -> None:
    tau = np.random.default_rng(1).normal(size=7)
    share = np.full((7, 1), 1 / 7)
    own = OwnEffects(tau[:, None] / 7, share).errors(np.array([tau.mean()]))
    expected = stats.ttest_1samp(tau, 0.0)
    assert own.std_errors[0] == pytest.approx(tau.std(ddof=1) / np.sqrt(7), rel=CLOSED)
    assert own.df[0] == pytest.approx(6, rel=CLOSED)
    p = 2 * stats.t.sf(abs(tau.mean() / own.std_errors[0]), own.df[0])
    assert p == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.r
def test_unlike_shares_are_cr2_of_a_weighted_mean(tmp_path: Path) -> None:
    script = tmp_path / "mean.R"
    script.write_text(SCRIPT, encoding="utf-8")
    for seed, n in ((1, 3), (2, 5), (3, 9)):
        tau, share = effects(np.random.default_rng(seed), n)
        answer = r.call(script, "weighted_mean", {"tau": tau, "w": share}, {})
        own = OwnEffects((tau * share)[:, None], share[:, None])
        errors = own.errors(np.array([share @ tau]))
        assert errors.std_errors[0] == pytest.approx(float(answer["SE"][0]), rel=ENGINES)
        assert errors.df[0] == pytest.approx(float(answer["df_Satt"][0]), rel=ENGINES)


def test_the_variance_is_unbiased_where_effects_vary_alike() -> None:
    """The expected variance is the sum over effects of one unit each: that of a weighted mean."""
    _, share = effects(np.random.default_rng(4), 6)
    variance = 0.0
    for one in np.eye(6):
        errors = OwnEffects((one * share)[:, None], share[:, None]).errors(np.array([share @ one]))
        variance += float(errors.std_errors[0] ** 2)
    assert variance == pytest.approx(np.square(share).sum(), rel=CLOSED)


def test_the_parts_of_treated_and_others_have_the_degrees_of_welch() -> None:
    rng = np.random.default_rng(5)
    tau, others = rng.normal(size=4), rng.normal(size=9) / 20
    share = np.append(np.full(4, 0.25), np.zeros(9))[:, None]
    own = OwnEffects(np.append(tau / 4, others)[:, None], share)
    errors = own.errors(np.array([tau.mean()]))
    first, second = tau.var(ddof=1) / 4, np.square(others).sum()
    assert errors.std_errors[0] ** 2 == pytest.approx(first + second, rel=CLOSED)
    welch = (first + second) ** 2 / (first**2 / 3 + second**2 / 8)
    assert errors.df[0] == pytest.approx(welch, rel=CLOSED)


@BY_NAME
def test_own_effects_add_up_to_the_estimate(plugin: Estimator) -> None:
    """Adding a constant to one authority's treated values moves the estimate by its share of it."""
    sample = cells(np.random.default_rng(6))
    options = {"aggregate": "simple"}
    before = fit(plugin, sample, **options).term("overall")["estimate"]
    frame = sample.frame
    moved = frame["value"] + 1.0 * (frame["post"] == 1)
    after = fit(plugin, Sample(frame.assign(value=moved)), **options).term("overall")["estimate"]
    assert after - before == pytest.approx(1.0, rel=1e-9)


@pytest.mark.r
@BY_NAME
@pytest.mark.parametrize("aggregate", ["event", "cohort", "calendar"])
def test_engines_agree(plugin: Estimator, aggregate: str) -> None:
    sample = cells(np.random.default_rng(7), dates=(3, 3, 4, 4, 6))
    python = fit(plugin, sample, aggregate=aggregate)
    other = fit(plugin, sample, "r", aggregate=aggregate)
    assert "own effects" in python.glance["vcov"]
    assert python.tidy["std_error"].notna().any()
    columns = ["estimate", "std_error", "df", "p_value", "conf_low"]
    pd.testing.assert_frame_equal(
        python.tidy[["term", *columns]], other.tidy[["term", *columns]], rtol=1e-8, atol=1e-10
    )
    for one in (python, other):
        assert one.covariance is not None
        known = one.tidy.set_index("term")["std_error"].reindex(one.covariance.index)
        diagonal = np.sqrt(np.diag(one.covariance))
        there = known.notna().to_numpy()
        np.testing.assert_allclose(diagonal[there], known[there], rtol=ENGINES)


def test_differences_has_them_too() -> None:
    sample = cells(np.random.default_rng(7))
    for aggregate in ("event", "cohort", "calendar", "simple"):
        ours = fit(CallawaySantAnna(), sample, aggregate=aggregate).tidy
        theirs = fit(CallawaySantAnna(), sample, "differences", aggregate=aggregate).tidy
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-8, atol=1e-10)


@BY_NAME
def test_many_treated_have_the_errors_of_the_method(plugin: Estimator) -> None:
    sample = cells(np.random.default_rng(8), n_units=40, dates=(4,) * 6 + (6,) * 6)
    default = fit(plugin, sample)
    pd.testing.assert_frame_equal(default.tidy, fit(plugin, sample, errors="analytic").tidy)
    assert "own effects" not in default.glance["vcov"]
    chosen = fit(plugin, sample, errors="own-effects")
    assert "own effects" in chosen.glance["vcov"]


@BY_NAME
def test_one_treated_authority_has_no_error_of_its_own(plugin: Estimator) -> None:
    estimate = fit(plugin, cells(np.random.default_rng(9), dates=(5,)))
    row = estimate.term("overall")
    assert np.isfinite(row["estimate"])
    assert np.isnan(row["std_error"])
    assert np.isnan(row["p_value"])
    assert any("rest" in w and "one treated cluster" in w for w in estimate.warnings)


@pytest.mark.parametrize(
    "plugin",
    [p for p in STAGGERED if any(engine.name == "pyfixest" for engine in p.engines)],
    ids=lambda plugin: plugin.name,
)
def test_an_engine_that_cannot_says_so(plugin: Estimator) -> None:
    sample = cells(np.random.default_rng(10))
    estimate = fit(plugin, sample, "pyfixest", aggregate="simple")
    assert estimate.tidy["std_error"].isna().all()
    formula = fit(plugin, sample, "pyfixest", aggregate="simple", errors="analytic")
    told = [w for w in estimate.warnings if w.startswith("Standard errors are left missing")]
    assert told == [f"Standard errors are left missing: {estimate.glance['no_std_error']}."]
    has_its_own = "errors = 'analytic' gives its own" in estimate.glance["no_std_error"]
    assert has_its_own == formula.tidy["std_error"].notna().all()
    assert has_its_own == (plugin.name != "imputation")


def test_a_band_is_of_the_same_errors() -> None:
    sample = cells(np.random.default_rng(11))
    plain = fit(Imputation(), sample)
    banded = fit(Imputation(), sample, band=True)
    np.testing.assert_allclose(plain.tidy["std_error"], banded.tidy["std_error"])
    known = banded.tidy["band_low"].notna()
    assert (banded.tidy["band_low"] <= banded.tidy["conf_low"] + 1e-12)[known].all()


@pytest.mark.slow
@pytest.mark.parametrize("plugin", some_now(STAGGERED, 0, 2), ids=lambda plugin: plugin.name)
def test_size_with_a_date_each(plugin: Estimator) -> None:
    """No effect, five authorities that adopt one by one: found in about 5% of samples."""
    own, formula = [], []
    for seed in range(120):
        sample = cells(np.random.default_rng((12, seed)), n_units=30)
        own.append(fit(plugin, sample, aggregate="simple").term("overall")["p_value"] < 0.05)
        plain = fit(plugin, sample, aggregate="simple", errors="analytic")
        formula.append(plain.term("overall")["p_value"] < 0.05)
    assert np.mean(own) == pytest.approx(0.05, abs=SIMULATED)
    assert np.mean(formula) > 0.05 + SIMULATED


CR2_SCRIPT = """
cr2_of_lm <- function(data, arguments) {
  data$effect <- ifelse(data$cohort > 0 & data$period >= data$cohort,
                        paste(data$cohort, data$period), "none")
  data$effect <- relevel(factor(data$effect), "none")
  X <- model.matrix(~ effect + factor(unit) + factor(period), data)
  root <- sqrt(data$weight)
  fit <- lm(I(value * root) ~ 0 + I(X * root), data = data)
  of_effect <- tapply(data$weight, data$effect, sum)
  names_of <- levels(data$effect)
  contrast <- rep(0, ncol(X))
  contrast[seq_along(names_of)[-1]] <- (of_effect / sum(of_effect[names_of != "none"]))[-1]
  answer <- clubSandwich::linear_contrast(fit, vcov = "CR2", cluster = data$unit,
                                          contrasts = matrix(contrast, 1))
  list(estimate = answer$Est, error = answer$SE, df = answer$df)
}
"""


@pytest.mark.r
def test_cr2_of_extended_twfe_is_that_of_clubsandwich_on_lm(tmp_path: Path) -> None:
    script = tmp_path / "cr2.R"
    script.write_text(CR2_SCRIPT, encoding="utf-8")
    sample = cells(np.random.default_rng(13), dates=(3, 3, 4, 4, 4, 6, 6))
    frame = sample.frame
    columns = {name: frame[name].to_numpy() for name in ("period", "cohort", "value", "weight")}
    answer = r.call(script, "cr2_of_lm", {**columns, "unit": pd.factorize(frame["unit"])[0]}, {})
    settings = {"aggregate": "simple", "errors": "analytic", "vcov": "CR2"}
    for engine in ("python", "r"):
        row = fit(ExtendedTwfe(), sample, engine, **settings).term("overall")
        ours = [row[name] for name in ("estimate", "std_error", "df")]
        theirs = [float(np.ravel(answer[name])[0]) for name in ("estimate", "error", "df")]
        assert ours == pytest.approx(theirs, rel=1e-7)


@pytest.mark.r
def test_leave_one_out_errors_measure_each_unit_from_the_others() -> None:
    sample = cells(np.random.default_rng(14), dates=(3, 3, 4, 4, 4, 6, 6))
    options = {"aggregate": "cohort", "errors": "analytic"}
    plain = fit(Imputation(), sample, **options).tidy
    left = fit(Imputation(), sample, leave_one_out=True, **options).tidy
    other = fit(Imputation(), sample, "r", leave_one_out=True, **options).tidy
    pd.testing.assert_frame_equal(left, other, rtol=1e-8)
    assert (left["std_error"] > plain["std_error"]).all()
    assert (left["estimate"] == plain["estimate"]).all()
    alone = fit(Imputation(), cells(np.random.default_rng(14)), leave_one_out=True, **options)
    assert alone.tidy["std_error"].isna().all()


def test_leads_without_noise_of_others_have_hotellings_test() -> None:
    """Own leads of alike shares are vectors of one sample: Hotelling (1931)."""
    rng = np.random.default_rng(15)
    n, q = 9, 3
    own = rng.normal(0.3, 1.0, (n, q)) @ rng.normal(size=(q, q))
    shares = np.full((n, q), 1 / n)
    mean = own.mean(axis=0)
    errors = OwnEffects(own / n, shares).errors(mean)
    leads = Leads(-1, (-4, -3, -2), mean, errors.scores, own=errors)
    test = leads.hotelling(errors, n, 0.0)
    t_squared = n * mean @ np.linalg.solve(np.cov(own.T), mean)
    assert test.df_den == pytest.approx(n - q, rel=CLOSED)
    assert test.statistic == pytest.approx((n - q) / (q * (n - 1)) * t_squared, rel=ENGINES)


def test_one_lead_is_its_t_test_squared() -> None:
    sample = cells(np.random.default_rng(16), dates=(4, 4, 5, 6, 7, 7))
    estimate = fit(Imputation(), sample, aggregate="event", min_event=-2)
    row = estimate.term("event=-2")
    assert estimate.glance["leads_statistic"] == pytest.approx(row["statistic"] ** 2, rel=ENGINES)
    assert estimate.glance["leads_p_value"] == pytest.approx(row["p_value"], rel=1e-7)
