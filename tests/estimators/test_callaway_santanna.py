"""Group-time effects: stored results of the R package did, closed forms, derivatives, engines."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sos_estimators.callaway_santanna import (
    CallawaySantAnna,
    engine_differences,
    engine_python,
    engine_r,
)
from sos_estimators.callaway_santanna.aggregation import terms
from sos_estimators.callaway_santanna.group_time import (
    Observations,
    group_time,
    observations,
)
from sos_estimators.callaway_santanna.panel_effects import panel_effects
from sos_estimators.callaway_santanna.preparation import prepare
from sos_estimators.callaway_santanna.settings import CallawaySantAnnaSettings
from sos_estimators.callaway_santanna.two_by_two import TwoByTwoData, effect
from staggered_samples import NAMES, PANELS

from sos_plugins import Estimate, Sample
from sos_plugins.authors.results import without_std_errors
from sos_plugins.authors.testing import estimator_checks
from sos_plugins.errors import DataError, EstimationError, SettingsError
from sos_plugins.host.registry import load_plugins
from sos_plugins.host.settings import validate
from sos_plugins.tables.read_table import read_sample

STORED_ESTIMATE = 1e-8  # did stops its logits at a deviance change of 1e-8, ours go on
STORED_ERROR = 1e-8  # relative; the same reason
STORED_ERROR_DIFFERENCES = 1e-6  # relative; statsmodels' logit covariance is of the step before
EXACT = 1e-10  # the same sums in another order
DERIVATIVE = 1e-6  # relative to the largest score; central differences lose half the digits

AGGREGATES = {
    "att_gt": "group-time",
    "agg_simple": "simple",
    "agg_dynamic": "event",
    "agg_group": "cohort",
    "agg_calendar": "calendar",
}
NEVER = [
    f"control=nevertreated;est={est};x={x};base={base};anticipation={a}"
    for est, x in (("reg", "none"), ("reg", "x"), ("ipw", "x"), ("dr", "x"))
    for base in ("varying", "universal")
    for a in (0, 1)
]
NOT_YET = [
    f"control=notyettreated;est={est};x={x};base=varying;anticipation=0"
    for est, x in (("reg", "none"), ("reg", "x"), ("ipw", "x"), ("dr", "x"))
]
OPTION_SETS = NEVER + NOT_YET
MATRIX = [(data, options) for data in NAMES for options in OPTION_SETS]
# The package differences takes a second or two a set on cases, so there it gets fewer: every method
# and control with either base and anticipation on the first, and half of these on the second.
FEWER = {
    "cases_cont_shared": [
        *(o for o in NEVER if "varying;anticipation=0" in o or "universal;anticipation=1" in o),
        *NOT_YET,
    ],
    "cases_bin_shared": [*NEVER[7::8], *NOT_YET[:2]],
}
MATRIX_DIFFERENCES = [
    (data, options) for data, options in MATRIX if options in FEWER.get(data, OPTION_SETS)
]


def settings_of(options: str, **further: Any) -> CallawaySantAnnaSettings:
    given = dict(part.split("=") for part in options.split(";"))
    return CallawaySantAnnaSettings(
        control=given["control"],
        method=given["est"],
        base=given["base"],
        anticipation=int(given["anticipation"]),
        cluster="unit-of-observation",
        scores="published",  # the stored results are of did 2.3.1.907 with DRDID 1.2.3
        **further,
    )


@cache
def stored_frame(from_r: Path, data: str) -> pd.DataFrame:
    frame = pd.read_csv(from_r / f"{data}.csv").rename(columns=NAMES[data])
    frame["unit"] = frame["unit"].astype(str)
    if data in PANELS:
        frame["id"] = frame["unit"]
    else:
        frame["x"] = frame["x"].astype(str)
    return labelled(frame.assign(cluster=frame["unit"], weight=1.0))


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    treated = (frame["cohort"] > 0).astype(int)
    return frame.assign(treated=treated, post=treated * (frame["period"] >= frame["cohort"]))


def stored_sample(from_r: Path, data: str, options: str) -> Sample:
    return Sample(stored_frame(from_r, data), ("x",) if "x=x" in options else ())


@cache
def stored_table(from_r: Path) -> pd.DataFrame:
    table = pd.read_csv(from_r / "reference_shared.csv")
    table = table[table["method"].isin(AGGREGATES)]
    term = table["term"].str.replace("group=", "cohort=").str.replace("dynamic=", "event=")
    return table.assign(term=term)


def stored(from_r: Path, data: str, options: str) -> pd.DataFrame:
    table = stored_table(from_r)
    chosen = table["options"] == f"{options};weights=none;cluster=unit"
    return table[chosen & (table["data"] == data)]


Found = Mapping[str, Mapping[str, tuple[float, float]]]


def assert_as_stored(stored_rows: pd.DataFrame, terms_of: Found, error_tolerance: float) -> None:
    """Compare all terms of all aggregations: none absent, none more, none apart."""
    assert set(stored_rows["method"]) == set(AGGREGATES)
    for method, rows in stored_rows.groupby("method"):
        ours = dict(terms_of[AGGREGATES[str(method)]])
        if method == "att_gt":
            del ours["overall"]
        assert set(ours) == set(rows["term"])
        got = np.array([ours[term] for term in rows["term"]])
        np.testing.assert_allclose(got[:, 0], rows["estimate"], rtol=0, atol=STORED_ESTIMATE)
        np.testing.assert_allclose(got[:, 1], rows["std_error"], rtol=error_tolerance)


def test_the_stored_table_has_no_other_option_sets(from_r: Path) -> None:
    table = stored_table(from_r)
    known = {f"{options};weights=none;cluster=unit" for options in OPTION_SETS}
    assert set(table["options"]) == known
    assert len(table) == sum(len(stored(from_r, data, o)) for data, o in MATRIX) == 3808


@pytest.mark.parametrize(("data", "options"), MATRIX)
def test_python_gives_every_stored_result(from_r: Path, data: str, options: str) -> None:
    chosen = settings_of(options)
    sample = stored_sample(from_r, data, options)
    prepared = prepare(sample, chosen)
    several = [group_time(observations(prepared), prepared.plan.comparisons, chosen)]
    if data in PANELS:
        compressed = panel_effects(sample, chosen)
        assert compressed is not None
        several.append(compressed[0])
    for effects in several:
        terms_of = {
            how: {
                term.name: (term.estimate, term.std_error)
                for term in terms(effects, chosen.model_copy(update={"aggregate": how}))
            }
            for how in AGGREGATES.values()
        }
        assert_as_stored(stored(from_r, data, options), terms_of, STORED_ERROR)


class DenseColumn:
    """Stands in for the sparse column that differences fills, which takes it most of its time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.values = np.zeros(shape)

    def __setitem__(self, rows: Any, values: Any) -> None:
        self.values[rows, 0] = values

    def tocsr(self) -> Any:
        return sparse.csr_array(self.values)


@pytest.mark.parametrize(("data", "options"), MATRIX_DIFFERENCES)
def test_differences_gives_the_stored_results(
    from_r: Path, data: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("differences.models.attgt.attgt_cal.lil_array", DenseColumn)
    chosen = settings_of(options)
    sample = stored_sample(from_r, data, options)
    assert engine_differences.limits(sample, chosen) is None
    prepared = prepare(sample, chosen)
    terms_of = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = engine_differences.fit_model(prepared, chosen)
        for how in AGGREGATES.values():
            wanted = chosen.model_copy(update={"aggregate": how})
            made, missing = engine_differences.collect(model, prepared, wanted)
            assert missing == []
            terms_of[how] = {term.name: (term.estimate, term.std_error) for term in made}
    assert_as_stored(stored(from_r, data, options), terms_of, STORED_ERROR_DIFFERENCES)


ALL_AVERAGES = """
source("{script}", chdir = TRUE)
all_averages <- function(data, ...) {{
  effects <- group_time_effects(data, ...)
  sapply(c("group-time", "simple", "event", "cohort", "calendar"),
         function(how) average_effects(effects, how), simplify = FALSE)
}}
"""


@pytest.fixture(scope="module")
def averages_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = tmp_path_factory.mktemp("r") / "averages.R"
    script.write_text(ALL_AVERAGES.format(script=engine_r.FOLDER / "callaway_santanna.R"))
    return script


@pytest.mark.r
@pytest.mark.parametrize(("data", "options"), MATRIX)
def test_r_gives_every_stored_result(
    from_r: Path, averages_script: Path, data: str, options: str
) -> None:
    from sos_plugins.r import client as r

    chosen = settings_of(options)
    frame = stored_frame(from_r, data)
    covariates = ["x"] if "x=x" in options else []
    columns: dict[str, Any] = {n: frame[n].to_numpy() for n in ("period", "cohort", "value")}
    if data in PANELS:
        columns["id"] = pd.factorize(frame["id"])[0]
    if covariates:
        text = frame["x"].dtype.kind not in "fi"
        columns["x"] = pd.Categorical(frame["x"]) if text else frame["x"].to_numpy()
    arguments = chosen.model_dump(include={"control", "method", "base", "anticipation", "scores"})
    answer = r.call(
        averages_script, "all_averages", columns, {**arguments, "covariates": covariates}
    )
    terms_of = {
        how: dict(
            zip(one["term"], zip(one["estimate"], one["std_error"], strict=True), strict=True)
        )
        for how, one in answer.items()
        if how != "warnings"
    }
    assert_as_stored(stored(from_r, data, options), terms_of, STORED_ERROR)


# ---- closed forms and derivatives ----------------------------------------------------------------


def cases(seed: int = 0, *, n: int = 12, panel: bool = False, units: int = 14) -> pd.DataFrame:
    """Weighted cases of authorities, three cohorts and never treated; two authorities a cluster."""
    rng = np.random.default_rng(seed)
    cohort = np.array([0, 0, 0, 3, 4, 5, 0])[np.arange(units) % 7]
    key = np.repeat(np.arange(units * n), 6)
    period = np.tile(np.arange(1, 7), units * n)
    unit = key // n
    size = units * n if panel else len(key)
    spread = np.repeat(np.arange(size), len(key) // size)
    frame = pd.DataFrame(
        {
            "unit": [f"u{u}" for u in unit],
            "period": period,
            "cohort": cohort[unit],
            "weight": rng.uniform(0.3, 2.0, size)[spread],
            "cluster": [f"c{u // 2}" for u in unit],
            "age": rng.normal(8, 4, size)[spread] + (0.2 * period if panel else 0),
            "ethnicity": rng.choice(["a", "b", "c"], size, p=[0.5, 0.3, 0.2])[spread],
            "flag": (rng.random(size) < 0.4)[spread],
        }
    )
    treated = (frame["cohort"] > 0) & (period >= frame["cohort"])
    frame["value"] = (
        0.03 * frame["age"] * period
        + (frame["ethnicity"] == "b")
        + 0.3 * period
        + 1.5 * treated
        + rng.normal(size=len(frame))
    )
    if panel:
        frame["id"] = key
    return labelled(frame)


COVARIATES = ("age", "ethnicity", "flag")


def fit(frame: pd.DataFrame, covariates: tuple[str, ...] = (), **options: Any) -> Estimate:
    return engine_python.fit(Sample(frame, covariates), CallawaySantAnnaSettings(**options))


def weighted_mean(frame: pd.DataFrame) -> float:
    return float(np.average(frame["value"], weights=frame["weight"]))


@pytest.mark.parametrize("method", ["dr", "reg", "ipw"])
def test_without_covariates_an_effect_is_a_difference_of_weighted_means(method: str) -> None:
    frame = cases()
    estimate = fit(frame, method=method)
    for g, t, base in ((3, 2, 1), (3, 5, 2), (4, 4, 3), (5, 3, 2)):
        means = {
            (cohort, period): weighted_mean(
                frame[(frame["cohort"] == cohort) & (frame["period"] == period)]
            )
            for cohort in (0, g)
            for period in (base, t)
        }
        expected = means[g, t] - means[g, base] - means[0, t] + means[0, base]
        assert estimate.term(f"ATT({g},{t})")["estimate"] == pytest.approx(expected, rel=EXACT)


def test_a_clustered_standard_error_is_that_of_cluster_totals() -> None:
    frame = cases()
    cell = frame[frame["cohort"].isin([0, 4]) & frame["period"].isin([3, 5])]
    totals = pd.Series(0.0, index=sorted(frame["cluster"].unique()))
    for (cohort, period), rows in cell.groupby(["cohort", "period"]):
        sign = (1 if cohort == 4 else -1) * (1 if period == 5 else -1)
        departure = rows["weight"] * (rows["value"] - weighted_mean(rows)) / rows["weight"].sum()
        totals = totals.add(sign * departure.groupby(rows["cluster"]).sum(), fill_value=0)
    found = fit(frame, errors="analytic").term("ATT(4,5)")["std_error"]
    assert found == pytest.approx(float(np.sqrt((totals**2).sum())), rel=EXACT)


def test_clustering_by_the_id_of_a_panel_is_the_unit_of_observation() -> None:
    frame = cases(panel=True)
    by_id = fit(frame.assign(cluster=frame["id"]), COVARIATES).tidy
    by_unit = fit(frame, COVARIATES, cluster="unit-of-observation").tidy
    pd.testing.assert_frame_equal(by_id, by_unit)


@pytest.mark.parametrize("layout", ["changes", "cross-sections"])
@pytest.mark.parametrize("method", ["reg", "ipw", "dr"])
def test_scores_are_the_derivative_by_the_weights(method: str, layout: str) -> None:
    rng = np.random.default_rng(1)
    n = 300
    x = rng.normal(size=(n, 2))
    treated = rng.random(n) < 1 / (1 + np.exp(-0.5 * x[:, 0]))
    post = rng.random(n) < 0.5
    rows = TwoByTwoData(
        y=x[:, 0] ** 2 + post * treated + post * x[:, 1] + rng.normal(size=n),
        treated=treated,
        design=np.column_stack([np.ones(n), x]),
        weight=rng.uniform(0.5, 1.5, n),
        post=post if layout == "cross-sections" else None,
    )
    options = CallawaySantAnnaSettings(method=method, scores="exact")

    def att(i: int, step: float) -> float:
        weight = rows.weight.copy()
        weight[i] += step
        return effect(replace(rows, weight=weight), options).att

    chosen = range(0, n, 10)
    step = 1e-5
    slopes = np.array([(att(i, step) - att(i, -step)) / (2 * step) for i in chosen])
    scores = effect(rows, options).scores
    expected = rows.weight[list(chosen)] * slopes
    tolerance = DERIVATIVE * np.abs(scores).max()
    np.testing.assert_allclose(scores[list(chosen)], expected, rtol=0, atol=tolerance)
    assert abs(scores.sum()) < EXACT


@pytest.mark.parametrize("aggregate", ["simple", "event", "cohort", "calendar"])
def test_scores_of_averages_are_the_derivative_by_the_weights(aggregate: str) -> None:
    options = CallawaySantAnnaSettings(
        aggregate=aggregate, cluster="unit-of-observation", control="notyettreated"
    )
    frame = cases(n=5)

    def average(weight: pd.Series) -> Any:
        prepared = prepare(Sample(frame.assign(weight=weight)), options)
        return terms(
            group_time(observations(prepared), prepared.plan.comparisons, options), options
        )

    averages = average(frame["weight"])
    step = 1e-5
    for i in range(0, len(frame), 41):
        changed = [frame["weight"].where(frame.index != i, frame["weight"][i] + s) for s in (1, -1)]
        up, down = (average(frame["weight"] + step * (c - frame["weight"])) for c in changed)
        for term, more, less in zip(averages, up, down, strict=True):
            slope = (more.estimate - less.estimate) / (2 * step)
            tolerance = DERIVATIVE * np.abs(term.scores).max()
            assert term.scores[i] == pytest.approx(frame["weight"][i] * slope, abs=tolerance)


def test_published_scores_differ_on_doubly_robust_cross_sections_only() -> None:
    frame = cases()
    for panel in (False, True):
        frame = cases(panel=panel)
        for method in ("dr", "reg", "ipw"):
            both = [
                fit(frame, COVARIATES, method=method, scores=scores).tidy
                for scores in ("published", "exact")
            ]
            np.testing.assert_array_equal(both[0]["estimate"], both[1]["estimate"])
            same = np.allclose(both[0]["std_error"], both[1]["std_error"], equal_nan=True)
            assert same == (panel or method != "dr")


CSDID = 0.400807
"""Standard error by csdid 0.4.3 with drdid 1.1.7, "aligned with R DRDID 1.4.0", on that table."""


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_the_default_scores_are_those_of_the_python_port(from_r: Path, engine: str) -> None:
    folder = from_r.parent / "cases" / "doubly-robust-scores-of-cross-sections"
    columns = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
    given = {"covariates": ("need",), "cluster": "row"}
    sample = read_sample(folder / "data.csv", **columns, **given).sample
    fitted = {
        name: ENGINES[engine].fit(sample, CallawaySantAnnaSettings(aggregate="simple", **scores))
        for name, scores in (("default", {}), ("old", {"scores": "published"}))
    }
    error = {name: estimate.term("overall")["std_error"] for name, estimate in fitted.items()}
    assert error["default"] == pytest.approx(CSDID, abs=5e-7)
    assert error["old"] == pytest.approx(0.405748, abs=5e-7)


def test_sums_of_cells_give_what_cases_give() -> None:
    """Rows of one cluster, period, cohort and covariate pattern may be merged beforehand."""
    frame = cases()
    options = CallawaySantAnnaSettings(aggregate="event")
    prepared = prepare(Sample(frame, ("ethnicity", "flag")), options)
    rows = observations(prepared)
    merged = merge_rows(rows)
    assert len(merged.value) < len(rows.value) / 2
    for ours, theirs in zip(
        terms(group_time(rows, prepared.plan.comparisons, options), options),
        terms(group_time(merged, prepared.plan.comparisons, options), options),
        strict=True,
    ):
        assert ours.name == theirs.name
        assert ours.estimate == pytest.approx(theirs.estimate, rel=EXACT)
        assert ours.std_error == pytest.approx(theirs.std_error, rel=EXACT)


def merge_rows(rows: Observations) -> Observations:
    table = (
        pd.DataFrame(rows.design)
        .add_prefix("x")
        .assign(cluster=rows.cluster, period=rows.period, cohort=rows.cohort)
    )
    keys = list(table.columns)
    table = table.assign(weight=rows.weight, total=rows.weight * rows.value)
    cells = table.groupby(keys, as_index=False).sum()
    return replace(
        rows,
        period=cells["period"].to_numpy(),
        cohort=cells["cohort"].to_numpy(),
        cluster=cells["cluster"].to_numpy(),
        weight=cells["weight"].to_numpy(),
        value=(cells["total"] / cells["weight"]).to_numpy(),
        design=cells[[k for k in keys if k.startswith("x")]].to_numpy(),
    )


# ---- engines -------------------------------------------------------------------------------------

ESTIMATOR = CallawaySantAnna()
ENGINES = {engine.name: engine for engine in ESTIMATOR.engines}
OTHERS = [
    "differences",
    pytest.param("r", marks=pytest.mark.r),
    pytest.param("r-did", marks=(pytest.mark.r, pytest.mark.cran("did"))),
]
SPECIFICATIONS: list[dict[str, Any]] = [
    {},
    {"method": "reg", "control": "notyettreated", "base": "universal", "anticipation": 1},
    {"method": "ipw", "control": "notyettreated", "aggregate": "cohort"},
    {"control": "notyettreated", "base": "universal", "aggregate": "calendar"},
    {"method": "ipw", "base": "universal", "aggregate": "event", "anticipation": 1},
    {"aggregate": "event", "cluster": "unit-of-observation", "conf_level": 0.9},
    {"aggregate": "simple", "cluster": "unit-of-observation"},
]


def assert_engine_agrees(
    name: str, frame: pd.DataFrame, covariates: tuple[str, ...] = (), **options: Any
) -> Estimate | None:
    """Compare an engine with the reference; return None when it cannot run, saying why."""
    engine, chosen = ENGINES[name], CallawaySantAnnaSettings(**options)
    if missing := engine.missing():
        pytest.skip(missing[0])
    sample = Sample(frame.reset_index(drop=True), covariates)
    if engine.limits(sample, chosen) is not None:
        return None
    other: Estimate = engine.fit(sample, chosen)
    reference = engine_python.fit(sample, chosen)
    if why := other.glance.get("no_std_error"):
        assert other.tidy["std_error"].isna().all()
        reference = without_std_errors(reference, why)
    assert list(other.tidy["term"]) == list(reference.tidy["term"])
    for column, tolerance in (
        ("estimate", engine.tolerance_estimate),
        ("std_error", engine.tolerance_std_error),
    ):
        np.testing.assert_allclose(
            other.tidy[column],
            reference.tidy[column],
            rtol=tolerance.relative,
            atol=tolerance.absolute,
        )
    assert other.glance == reference.glance
    assert set(reference.warnings) <= set(other.warnings)
    return other


def unbalanced() -> pd.DataFrame:
    frame = cases(panel=True)
    return frame[np.random.default_rng(1).random(len(frame)) < 0.9]


def a_weight_of_nothing() -> pd.DataFrame:
    frame = cases(panel=True).assign(weight=1.0)
    frame.loc[frame.index[5], "weight"] = 0.0
    return frame


def weights_that_change() -> pd.DataFrame:
    frame = cases(panel=True)
    return frame.assign(weight=np.random.default_rng(3).uniform(0.5, 2, len(frame)))


SAMPLES = {
    "cases": cases,
    "panel": lambda: cases(panel=True),
    "weights that change": weights_that_change,
    "unbalanced": unbalanced,
    "a weight of 0": a_weight_of_nothing,
}


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("engine", OTHERS)
def test_engines_agree(engine: str, sample: str, specification: dict[str, Any]) -> None:
    """With the scores that all of them have, and with the exact ones where these differ."""
    for scores in (
        ("published", "exact") if specification.get("method", "dr") == "dr" else ("exact",)
    ):
        other = assert_engine_agrees(
            engine, SAMPLES[sample](), COVARIATES, **specification, scores=scores
        )
        if engine == "differences" and other is not None:
            rests = scores == "exact" and "method" not in specification and sample == "cases"
            assert rests == ("no_std_error" in other.glance)
    gaps = sample in ("unbalanced", "a weight of 0")
    assert (other is None) == (engine == "differences" and gaps)


def without_never() -> pd.DataFrame:
    frame = cases()
    return frame[frame["cohort"] > 0]


def early_and_late() -> pd.DataFrame:
    frame = cases()
    return labelled(frame.assign(cohort=frame["cohort"].replace({3: 1, 5: 9})))


def gaps_in_time() -> pd.DataFrame:
    frame = cases()
    cohort = np.where(frame["cohort"] > 0, 2 * frame["cohort"] + 1999, 0)
    return labelled(frame.assign(period=2 * frame["period"] + 2000, cohort=cohort))


def without_cases(cohort: int, period: int) -> pd.DataFrame:
    frame = cases()
    return frame[~((frame["cohort"] == cohort) & (frame["period"] == period))]


def in_groups() -> pd.DataFrame:
    frame = cases(panel=True)
    return pd.concat([frame.assign(group="a"), frame[frame["cohort"] == 0].assign(group="b")])


def only_among_comparators() -> pd.DataFrame:
    """The level "c" occurs among comparison cases only: no treated case needs its coefficient."""
    frame = cases()
    rare = (frame["cohort"] == 0) & (frame["ethnicity"] == "c")
    return frame.assign(ethnicity=np.where(rare, "c", "a"))


EDGES: dict[str, tuple[pd.DataFrame, tuple[str, ...], dict[str, Any]]] = {
    "no never": (without_never(), ("age",), {"control": "notyettreated", "aggregate": "cohort"}),
    "no never, anticipation": (
        without_never(),
        (),
        {"control": "notyettreated", "anticipation": 1, "base": "universal"},
    ),
    "early and late": (early_and_late(), (), {"aggregate": "event"}),
    "gaps": (gaps_in_time(), ("age",), {"aggregate": "event", "base": "universal"}),
    "no treated": (without_cases(3, 4), (), {"control": "notyettreated", "aggregate": "calendar"}),
    "no base": (without_cases(3, 2), (), {"base": "universal"}),
    "no comparison": (without_cases(0, 5), (), {}),
    "groups": (in_groups(), ("age",), {"aggregate": "event"}),
    "window": (cases(), (), {"aggregate": "event", "min_event": -2, "max_event": 1}),
    "level": (only_among_comparators(), ("ethnicity",), {}),
    "published": (cases(), COVARIATES, {"scores": "published"}),
}
NOT_RUN = {
    "differences": {"no never", "no never, anticipation", "window", "level"},
    "r": set(),
    "r-did": {"level"},
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("engine", OTHERS)
def test_engines_agree_at_the_edges(engine: str, edge: str) -> None:
    frame, covariates, options = EDGES[edge]
    other = assert_engine_agrees(engine, frame, covariates, **options)
    assert (other is None) == (edge in NOT_RUN[engine])


@pytest.mark.r
def test_the_r_file_is_sourced_by_hand(tmp_path: Path) -> None:
    frame = cases()
    frame.to_csv(tmp_path / "cases.csv", index=False)
    code = (
        f'source("{engine_r.FOLDER / "callaway_santanna.R"}", chdir = TRUE); '
        'd <- read.csv("cases.csv"); '
        'e <- group_time_effects(d, c("age", "ethnicity"), control = "notyettreated"); '
        'write.csv(as.data.frame(average_effects(e, "event")), "found.csv", row.names = FALSE)'
    )
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = pd.read_csv(tmp_path / "found.csv")
    options = {"control": "notyettreated", "aggregate": "event", "errors": "analytic"}
    ours = fit(frame, ("age", "ethnicity"), **options).tidy
    assert list(found["term"]) == list(ours["term"])
    np.testing.assert_allclose(found["estimate"], ours["estimate"], rtol=EXACT)
    np.testing.assert_allclose(found["std_error"], ours["std_error"], rtol=EXACT)


@pytest.mark.parametrize(
    "check",
    [
        check
        for settings in (None, {"aggregate": "event", "method": "reg"})
        for check in estimator_checks(ESTIMATOR, settings)
        if "agree" not in str(check)
    ],
    ids=str,
)
def test_the_estimator_keeps_its_contract(check: Any) -> None:
    check()


def test_it_is_registered_with_the_reference_engine_first() -> None:
    registry = load_plugins()
    estimator = registry.estimator("callaway-santanna")
    assert [e.name for e in estimator.engines] == ["python", "differences", "r", "r-did"]
    assert estimator.headline(CallawaySantAnnaSettings()) == "overall"
    assert registry.engine("callaway-santanna", "r").language == "R"


# ---- what a reader is told -----------------------------------------------------------------------


def test_reference_rows_are_zero_without_a_standard_error() -> None:
    for options, names in (
        ({"base": "universal"}, ["ATT(3,2)", "ATT(4,3)", "ATT(5,4)"]),
        ({"base": "universal", "aggregate": "event"}, ["event=-1"]),
        ({"base": "universal", "aggregate": "event", "anticipation": 1}, ["event=-2"]),
    ):
        tidy = fit(cases(), **options).tidy
        assert list(tidy.loc[tidy["std_error"].isna(), "term"]) == names
        assert (tidy.loc[tidy["std_error"].isna(), "estimate"] == 0).all()


def test_terms_are_named_and_ordered() -> None:
    frame = cases()
    expected = {
        "simple": ["overall"],
        "cohort": ["overall", "cohort=3", "cohort=4", "cohort=5"],
        "calendar": ["overall", "calendar=3", "calendar=4", "calendar=5", "calendar=6"],
        "event": ["overall", *(f"event={e}" for e in range(-3, 4))],
    }
    for aggregate, names in expected.items():
        assert list(fit(frame, aggregate=aggregate).tidy["term"]) == names
    several = list(fit(frame).tidy["term"])
    assert several == ["overall", *(f"ATT({g},{t})" for g in (3, 4, 5) for t in range(2, 7))]


def test_an_interval_has_the_level_that_is_asked_for() -> None:
    row = fit(cases(), conf_level=0.8, errors="analytic").term("overall")
    reach = 1.2815515655446004 * row["std_error"]  # the 90% point of the normal distribution
    assert row["conf_high"] - row["estimate"] == pytest.approx(reach)
    assert row["df"] == np.inf


def test_an_event_window_restricts_the_overall_effect_too() -> None:
    frame = cases()
    whole = fit(frame, aggregate="event")
    part = fit(frame, aggregate="event", min_event=-1, max_event=1)
    assert list(part.tidy["term"]) == ["overall", "event=-1", "event=0", "event=1"]
    mean = np.mean([whole.term(f"event={e}")["estimate"] for e in (0, 1)])
    assert part.term("overall")["estimate"] == pytest.approx(float(mean))


def test_a_separated_effect_is_missing_and_named_and_the_others_stay() -> None:
    frame = cases()
    apart = (frame["cohort"] == 4) & (frame["period"] == 5)
    frame["place"] = np.where(apart, "only here", "elsewhere")
    for method, why in (("dr", "apart"), ("ipw", "apart"), ("reg", "none of its own cases has")):
        estimate = fit(frame, ("place",), method=method)
        tidy = estimate.tidy
        assert list(tidy.loc[tidy["estimate"].isna(), "term"]) == ["ATT(4,5)"]
        assert np.isfinite(estimate.term("overall")["estimate"])
        told = [w for w in estimate.warnings if w.startswith("ATT(4,5) is missing") and why in w]
        assert len(told) == 1
        without = fit(frame, method=method)
        others = tidy["term"] != "ATT(4,5)"
        singles = others & (tidy["term"] != "overall")
        np.testing.assert_allclose(
            tidy.loc[singles, "estimate"], without.tidy.loc[singles, "estimate"], rtol=1e-6
        )


def test_nothing_left_is_an_error_that_names_the_effects() -> None:
    frame = cases()
    frame["treated_text"] = np.where(frame["cohort"] > 0, "yes", "no")
    with pytest.raises(EstimationError, match=r"No effect after treatment.*ATT\(3,2\), ATT\(3,3\)"):
        fit(frame, ("treated_text",))


@pytest.mark.parametrize(
    ("frame", "options", "sentence"),
    [
        (without_cases(0, 5), {}, r"ATT\(3,5\), ATT\(4,5\), ATT\(5,5\): there are no comparison"),
        (without_cases(3, 4), {}, r"ATT\(3,4\): there are no treated cases"),
        (
            early_and_late(),
            {},
            r"cohorts 9 are treated after the last period \(6\) and count as never",
        ),
        (
            early_and_late(),
            {},
            r"cohorts 1 \(2 units, 144 cases\) have no case before treatment, and are left out",
        ),
        (
            without_never(),
            {"control": "notyettreated"},
            r"cohort 5, the last to be treated, .* 144 cases of the periods 5, 6 are left out",
        ),
        (cases().assign(weight=lambda d: d["weight"].where(d.index > 8, 0)), {}, "9 cases of wei"),
        (unbalanced(), {}, r"unbalanced: 8\d of 168 ids lack some of the 6 periods"),
        (cases(), {}, r"few treated clusters \(4, fewer than 10\)"),
        (cases(), {}, r"few never-treated clusters \(5, fewer"),
        (cases(units=7), {"errors": "analytic"}, r"cohorts 3, 4, 5 are one cluster each"),
        (cases(units=7), {}, r"ATT\(3,2\), .*ATT\(5,6\) rest on one treated cluster"),
        (
            in_groups().drop(columns="id"),
            {"cluster": "unit-of-observation"},
            "comparators that serve several matched groups count as different",
        ),
    ],
)
def test_what_is_left_out_or_doubtful_is_told(
    frame: pd.DataFrame, options: dict[str, Any], sentence: str
) -> None:
    estimate = fit(frame.reset_index(drop=True), **options)
    assert any(pd.Series(estimate.warnings).str.contains(sentence)), estimate.warnings


def test_enough_clusters_and_a_complete_sample_give_no_warning() -> None:
    frame = cases(units=7 * 25, n=3)
    assert fit(frame.assign(cluster=frame["unit"]), ("age",)).warnings == ()


def test_covariates_that_do_not_vary_or_repeat_others_are_left_out_and_named() -> None:
    frame = cases().assign(same=1.0, twice=lambda d: 2 * d["age"] + 3, word="w")
    estimate = fit(frame, ("same", "age", "twice", "word", "ethnicity"))
    pd.testing.assert_frame_equal(estimate.tidy, fit(frame, ("age", "ethnicity")).tidy)
    told = " ".join(estimate.warnings)
    for sentence in (
        "'same' has one value in all cases",
        "'word' has one value in all cases",
        "'twice' is a combination of other covariates",
    ):
        assert sentence in told


def test_the_scale_and_place_of_a_covariate_change_nothing() -> None:
    frame = cases()
    plain = fit(frame, ("age",)).tidy
    moved = fit(frame.assign(age=1e6 + 1e-3 * frame["age"]), ("age",)).tidy
    np.testing.assert_allclose(moved["estimate"], plain["estimate"], rtol=1e-6)
    np.testing.assert_allclose(moved["std_error"], plain["std_error"], rtol=1e-5)


def test_a_panel_uses_covariates_and_weights_of_the_earlier_period() -> None:
    frame = weights_that_change()
    first_period = frame["period"] == 1
    later = frame.assign(
        age=frame["age"].where(first_period, 0.0), weight=frame["weight"].where(first_period, 1.0)
    )
    two = [f[f["period"].isin([1, 3]) & f["cohort"].isin([0, 3])] for f in (frame, later)]
    ours, theirs = (fit(f.reset_index(drop=True), ("age",)).term("ATT(3,3)") for f in two)
    assert ours["estimate"] == pytest.approx(theirs["estimate"], rel=EXACT)
    assert ours["std_error"] == pytest.approx(theirs["std_error"], rel=EXACT)


@pytest.mark.parametrize(
    ("change", "options", "error", "sentence"),
    [
        (lambda d: d[d["cohort"] > 0], {}, EstimationError, "Set control=notyettreated"),
        (lambda d: d[d["cohort"] == 4], {"control": "notyettreated"}, EstimationError, "no period"),
        (lambda d: d.assign(cohort=0), {}, EstimationError, "no treated case"),
        (lambda d: d.assign(cluster="a"), {}, EstimationError, "one cluster"),
        (lambda d: d.assign(value=2.0), {}, EstimationError, "no variation: it is 2 in all"),
        (lambda d: d.assign(weight=0.0), {}, EstimationError, "no case of positive weight"),
        (lambda d: d.assign(weight=-1.0), {}, DataError, "not be negative"),
        (
            lambda d: d[d["period"] >= 5],
            {},
            EstimationError,
            "No treated unit has a case before treatment: the data start in 5",
        ),
        (lambda d: d[d["period"] < 3], {}, EstimationError, "No treated|no treated|No effect"),
        (lambda d: d.assign(value=d["value"].where(d.index > 4)), {}, DataError, "'value' has 5"),
        (
            lambda d: d.assign(cohort=d["cohort"].where(d.index > 0, 5)),
            {},
            DataError,
            "'cohort' changes within the unit 'u0'",
        ),
        (
            lambda d: d,
            {"aggregate": "event", "min_event": 9},
            EstimationError,
            "event times -3 to 3; change min_event",
        ),
    ],
)
def test_what_cannot_be_estimated_is_a_sentence(
    change: Any, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    frame = change(cases()).reset_index(drop=True)
    with pytest.raises(error, match=sentence):
        fit(frame, **options)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: pd.concat([d, d[:1]]), "id '0' occurs more than once in period 1"),
        (
            lambda d: d.assign(cluster=d["cluster"].where(d.index > 0, "z")),
            "'cluster' changes within the id '0'",
        ),
    ],
)
def test_a_panel_that_contradicts_itself_is_a_sentence(change: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        fit(change(cases(panel=True)).reset_index(drop=True))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"control": "nevertreatd"}, "setting 'control': .*'nevertreated' or 'notyettreated'"),
        ({"anticipation": -1}, "setting 'anticipation': .*greater than or equal to 0"),
        ({"aggregate": "cohort", "min_event": 1}, "setting 'min_event': needs aggregate=event"),
        (
            {"aggregate": "event", "min_event": 3, "max_event": 1},
            "setting 'max_event': is earlier than min_event=3",
        ),
        ({"bass": "universal"}, "unknown setting 'bass'. Did you mean 'base'"),
    ],
)
def test_a_wrong_setting_is_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        validate(CallawaySantAnnaSettings, given, where="callaway-santanna")


def test_prepared_rows_are_the_same_for_every_engine() -> None:
    frame = early_and_late()
    prepared = prepare(Sample(frame), CallawaySantAnnaSettings())
    assert prepared.plan.counts["n_cases"] == len(frame) - 144
    assert prepared.plan.counts["n_treated_units"] == 2
    assert [one.cohort for one in prepared.plan.comparisons] == [4] * 5


def test_the_page_names_every_setting_and_engine() -> None:
    page = (Path(__file__).parents[2] / "docs" / "callaway-santanna.md").read_text()
    for name in (*CallawaySantAnnaSettings.model_fields, *ENGINES):
        assert f"`{name}`" in page


# ---- draws ---------------------------------------------------------------------------------------

SPREAD_OF_DRAWS = 0.06  # relative: 4 standard deviations of an interquartile range of 9,999 draws


@pytest.mark.parametrize("aggregate", AGGREGATES.values())
def test_errors_of_draws_come_to_those_by_formula(aggregate: str) -> None:
    frame = cases(units=56)
    by_formula = fit(frame, aggregate=aggregate, method="reg").tidy
    asked = {"errors": "bootstrap", "multiplier": "gaussian", "draws": 9999}  # signs of the two
    # clusters of a cohort are far from normal
    drawn = fit(frame, aggregate=aggregate, method="reg", **asked)
    np.testing.assert_array_equal(drawn.tidy["estimate"], by_formula["estimate"])
    np.testing.assert_allclose(
        drawn.tidy["std_error"], by_formula["std_error"], rtol=SPREAD_OF_DRAWS
    )
    assert "multiplier bootstrap (gaussian)" in drawn.glance["vcov"]


def test_a_band_holds_the_effects_and_not_their_mean_or_a_reference() -> None:
    estimate = fit(cases(), aggregate="event", base="universal", band=True)
    tidy = estimate.tidy.set_index("term")
    out = tidy.index[tidy["band_low"].isna()]
    assert set(out) == {"overall", "event=-1"}
    half = (tidy["band_high"] - tidy["estimate"]) / tidy["std_error"]
    assert np.allclose(half.drop(out), estimate.glance["band_critical"])
    assert estimate.glance["band_critical"] > 1.96
    alone = fit(cases(), aggregate="simple", band=True)
    assert alone.tidy["band_low"].notna().all()


def test_a_seed_repeats_draws() -> None:
    first, again, other = (
        fit(cases(), errors="bootstrap", multiplier="webb", seed=s).tidy for s in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["std_error"], other["std_error"])


def test_differences_draws_what_python_draws() -> None:
    sample = Sample(cases())
    options = CallawaySantAnnaSettings(errors="bootstrap", band=True, aggregate="event")
    ours, theirs = (ENGINES[name].fit(sample, options) for name in ("python", "differences"))
    assert list(ours.tidy["term"]) == list(theirs.tidy["term"])
    for column in ("std_error", "band_low", "band_high"):
        np.testing.assert_allclose(theirs.tidy[column], ours.tidy[column], rtol=1e-5, atol=1e-7)


@pytest.mark.r
def test_r_does_not_draw_and_its_estimates_are_compared_all_the_same() -> None:
    sample = Sample(cases())
    banded = CallawaySantAnnaSettings(band=True)
    ours, r = (ENGINES[name].fit(sample, banded) for name in ("python", "r"))
    np.testing.assert_allclose(r.tidy["std_error"], ours.tidy["std_error"], rtol=1e-6)
    drawn = ENGINES["r"].fit(sample, CallawaySantAnnaSettings(errors="bootstrap"))
    np.testing.assert_allclose(drawn.tidy["estimate"], ours.tidy["estimate"], rtol=1e-7)
    assert drawn.tidy["std_error"].isna().all()
    assert "nothing to draw" in drawn.glance["no_std_error"]
