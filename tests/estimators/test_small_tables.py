"""The smallest tables through every engine: one effect, one lead, one level, one cluster."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sos_estimators.callaway_santanna.engine_r import scores_of_drdid

from sos_plugins.cli import main
from sos_plugins.contract.interfaces import Engine
from sos_plugins.contract.types import Sample
from sos_plugins.errors import EngineError, EstimationError, SosError
from sos_plugins.host.registry import Registry, load_plugins
from sos_plugins.study.estimate import agreement, run_engine, run_engines
from sos_plugins.tables.read_table import read_sample

COLUMNS = {"unit": "area", "period": "year", "cohort": "adopted", "value": "score"}
STAGGERED = (
    "callaway-santanna",
    "sun-abraham",
    "imputation",
    "two-stage",
    "extended-twfe",
    "stacked",
)
ESTIMATORS = ("did", "event-study", "bacon", "placebo", "honest-did", *STAGGERED)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def table(case: str) -> pd.DataFrame:
    (folder,) = (Path(__file__).parents[1] / "cases").glob(f"{case}*")
    return pd.read_csv(folder / "data.csv")


def sample_of(frame: pd.DataFrame, folder: Path, **further: Any) -> Sample:
    frame.to_csv(folder / "data.csv", index=False)
    return read_sample(folder / "data.csv", **COLUMNS, **further).sample


def random_table(seed: int, cohorts: list[int], periods: int, *, n: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{u}", t, g, u + 0.3 * t + 2 * (0 < g <= t) + rng.normal(), rng.normal(), "ab"[u % 2])
        for u, g in enumerate(cohorts)
        for t in range(1, periods + 1)
        for _ in range(n)
    ]
    return pd.DataFrame(rows, columns=["area", "year", "adopted", "score", "x", "kind"])


def every_engine(registry: Registry, name: str, sample: Sample, **options: Any) -> dict[str, Any]:
    """Run all engines that can; none ends in anything but an estimate or a sentence."""
    chosen = registry.settings("estimator", name, options, "test")
    by_engine = {}
    for engine in registry.engines(name):
        if engine.missing():
            continue
        try:
            by_engine[engine.name] = run_engine(
                registry, name, engine.name, sample, chosen, provenance=False
            )
        except SosError as error:
            words = str(error)
            for raw in ("failed with", "R raised an error", "R stopped", "The package"):
                assert raw not in words, words
            by_engine[engine.name] = words
    return by_engine


def assert_alike(registry: Registry, name: str, by_engine: dict[str, Any]) -> None:
    engines = {e.name: e for e in registry.engines(name)}
    first = by_engine["python"]
    for engine, other in by_engine.items():
        if "Engine '" in str(other)[:8]:  # it says what it cannot do
            continue
        assert isinstance(other, str) == isinstance(first, str), f"{engine}: {other} / {first}"
        if not isinstance(first, str):
            compared = agreement("o", engines[engine], first, other)
            assert compared.verdict == "agree", f"{engine}: {compared.reason}"


@pytest.mark.r
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("aggregate", ["event", "group-time", "simple", "cohort", "calendar"])
def test_two_periods_and_one_cohort(
    registry: Registry, tmp_path: Path, name: str, aggregate: str
) -> None:
    options = {"aggregate": aggregate} if name in STAGGERED else {}
    if not options and aggregate != "event":
        return
    for further in ({}, {"id": "area"}):
        by_engine = every_engine(
            registry, name, sample_of(table("two-areas"), tmp_path, **further), **options
        )
        assert_alike(registry, name, by_engine)


@pytest.mark.r
def test_one_effect_is_the_difference_of_differences_in_every_engine(
    registry: Registry, tmp_path: Path
) -> None:
    frame = table("two-areas")
    mean = frame.groupby([frame["adopted"] > 0, "year"])["score"].mean()
    by_hand = (mean[True, 2] - mean[True, 1]) - (mean[False, 2] - mean[False, 1])
    sample = sample_of(frame, tmp_path)
    found = every_engine(registry, "extended-twfe", sample, errors="analytic")
    assert {"python", "r"} <= set(found)
    for named in found.values():
        row = named.estimate.term("overall")
        assert row["estimate"] == pytest.approx(by_hand)
        assert row["std_error"] == pytest.approx(0.256472, abs=5e-7)


@pytest.mark.r
def test_one_pilot_and_one_comparator_in_every_engine(registry: Registry, tmp_path: Path) -> None:
    sample = sample_of(table("one-pilot"), tmp_path)
    by_hand = ((12.3 - 10.6 - 0.2) + (12.9 - 10.6 - 0.9)) / 2
    for aggregate in ("group-time", "simple", "event", "cohort", "calendar"):
        by_engine = every_engine(registry, "callaway-santanna", sample, aggregate=aggregate)
        assert_alike(registry, "callaway-santanna", by_engine)
        for engine in ("python", "r"):
            row = by_engine[engine].estimate.term("overall")
            assert row["estimate"] == pytest.approx(by_hand)
            assert np.isnan(row["std_error"])


@pytest.mark.r
def test_where_no_effect_can_be_estimated_every_engine_says_so(
    registry: Registry, tmp_path: Path
) -> None:
    """A covariate that tells treated from comparison cases apart."""
    frame = random_table(1, [2, 2, 0, 0], 3, n=3)
    frame["apart"] = (frame["adopted"] > 0) * 5.0 + 0.01 * frame["x"]
    sample = sample_of(frame, tmp_path, covariates=("apart",))
    by_engine = every_engine(registry, "callaway-santanna", sample, method="ipw")
    assert {"python", "r"} <= set(by_engine)
    for words in by_engine.values():
        assert "effect" in words
        assert "could be estimated" in words


@pytest.mark.parametrize("engine", ["python", pytest.param("r", marks=pytest.mark.r)])
def test_bacon_without_a_complete_unit_is_a_sentence(
    registry: Registry, tmp_path: Path, engine: str
) -> None:
    chosen = registry.settings("estimator", "bacon", {"incomplete": "drop"}, "test")
    with pytest.raises(EstimationError, match="No unit has a case in each of the 4 periods"):
        run_engine(registry, "bacon", engine, sample_of(table("bacon-drop"), tmp_path), chosen)


@pytest.mark.r
@pytest.mark.parametrize("options", [{}, {"min_event": -1}, {"min_event": 0}, {"leads": False}])
def test_the_reference_stands_in_every_engine_where_the_window_holds_it(
    registry: Registry, tmp_path: Path, options: dict[str, Any]
) -> None:
    sample = sample_of(table("imputation-ref"), tmp_path)
    shown = options in ({}, {"min_event": -1})
    for named in every_engine(registry, "imputation", sample, **options).values():
        if isinstance(named, str):
            continue
        terms = list(named.estimate.tidy["term"])
        assert terms == (["overall", "event=-1", "event=0"] if shown else ["overall", "event=0"])


@pytest.mark.r
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("covariates", [("x", "twice"), ("area_number",), ("area_number", "x")])
def test_collinear_covariates_are_left_out_by_every_engine(
    registry: Registry, tmp_path: Path, name: str, covariates: tuple[str, ...]
) -> None:
    frame = random_table(2, [3, 3, 4, 0, 0, 0], 5, n=2)
    frame["twice"] = 2 * frame["x"]
    frame["area_number"] = frame["area"].str[1:].astype(int)
    sample = sample_of(frame, tmp_path, covariates=covariates)
    options = {"method": "reg"} if name == "callaway-santanna" else {}
    by_engine = every_engine(registry, name, sample, **options)
    assert_alike(registry, name, by_engine)


@pytest.mark.r
def test_a_level_that_only_the_treated_have_leaves_a_factor_of_one_level(
    registry: Registry, tmp_path: Path
) -> None:
    """Among the untreated cases the text covariate then has one level, which R cannot contrast."""
    frame = random_table(3, [3, 3, 0, 0, 0], 4, n=2)
    affected = (frame["adopted"] > 0) & (frame["year"] >= 3)
    frame["kind"] = np.where(affected & (frame["x"] > 0), "b", "a")
    sample = sample_of(frame, tmp_path, covariates=("kind",))
    for name in ("imputation", "two-stage", "did", "extended-twfe"):
        assert_alike(registry, name, every_engine(registry, name, sample))


@pytest.mark.r
@pytest.mark.parametrize("vcov", ["CR3", "CR3J"])
def test_a_jackknife_of_two_authorities_is_missing_in_every_engine(
    registry: Registry, tmp_path: Path, vcov: str
) -> None:
    sample = sample_of(random_table(4, [2, 0], 4), tmp_path)
    for name in ("did", "event-study"):
        by_engine = every_engine(registry, name, sample, vcov=vcov)
        assert_alike(registry, name, by_engine)
        assert by_engine["python"].estimate.tidy["std_error"].isna().all()


@pytest.mark.r
@pytest.mark.parametrize("seed", range(12))
def test_random_small_tables(registry: Registry, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    periods = int(rng.integers(2, 6))
    cohorts = rng.choice([0, 0, 1, 2, 3, 4, 9999], int(rng.integers(2, 8))).tolist()
    frame = random_table(seed, [2, *cohorts], periods).sample(frac=0.9, random_state=seed)
    sample = sample_of(frame, tmp_path, covariates=[(), ("x",), ("kind",)][seed % 3])
    for name in ("did", "event-study", "imputation", "extended-twfe", "stacked", "bacon"):
        assert_alike(registry, name, every_engine(registry, name, sample))


@pytest.mark.r
@pytest.mark.parametrize("seed", range(6))
def test_bounds_on_fewer_clusters_than_coefficients(
    registry: Registry, tmp_path: Path, seed: int
) -> None:
    """The covariance is singular, and sums of variances are below zero by rounding."""
    frame = random_table(seed, [3, 0, 0, 1], 5, n=2)
    by_engine = every_engine(
        registry, "honest-did", sample_of(frame, tmp_path), always_treated="keep", draws=1000
    )
    assert {"python", "r"} <= set(by_engine)
    assert isinstance(by_engine["python"], str) == isinstance(by_engine["r"], str)


# ---- engines that fail -------------------------------------------------------------------------


def failing(name: str, where: str) -> Engine:
    def stop(sample: Sample, options: Any) -> Any:
        raise ZeroDivisionError("float division by zero")

    if where == "limits":
        return Engine(name=name, fit=lambda sample, options: None, limits=stop)
    return Engine(name=name, fit=stop)


@pytest.mark.parametrize("where", ["limits", "fit"])
def test_an_engine_that_stops_is_a_reason_and_the_others_go_on(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    sample = sample_of(table("two-areas"), tmp_path)
    python = registry.engine("did", "python")
    both = (failing("first", where), python)
    monkeypatch.setattr(type(registry), "engines", lambda self, name: both)
    monkeypatch.setattr(
        type(registry),
        "engine",
        lambda self, name, chosen: both[chosen == "python"],
    )
    options = registry.settings("estimator", "did", {}, "test")
    with pytest.raises(EngineError, match="Engine 'first' of 'did' failed with ZeroDivisionError"):
        run_engine(registry, "did", "first", sample, options, provenance=False)
    monkeypatch.setattr("sos_plugins.study.estimate._provenance", lambda *_: {})
    done, reasons = run_engines(registry, "did", "all", sample, options)
    assert [named.engine for named in done] == ["python"]
    assert "float division by zero" in reasons["first"]


@pytest.mark.r
def test_estimate_with_all_engines_never_ends_in_a_traceback(tmp_path: Path) -> None:
    for seed, name in itertools.product(range(3), ("two-stage", "imputation", "did")):
        frame = random_table(seed, [1, 2, 2], 2)
        frame.to_csv(tmp_path / "d.csv", index=False)
        arguments = ["estimate", name, "--data", str(tmp_path / "d.csv"), "--engine", "all"]
        for option, column in COLUMNS.items():
            arguments += [f"--{option}", column]
        done = CliRunner().invoke(main, [*arguments, "--covariates", "x"])
        assert done.exception is None or isinstance(done.exception, (SystemExit, SosError))
        assert "Traceback" not in done.output


# ---- the same whatever PYTHONHASHSEED ------------------------------------------------------------

EVERYTHING = """
import json, pathlib, sys
from sos_plugins.errors import SosError
from sos_plugins.study.estimate import run_engine
from sos_plugins.host.registry import load_plugins
from sos_plugins.tables.read_table import read_sample

registry, found = load_plugins(), {}
for covariates in ((), ("x", "kind")):
    sample = read_sample(
        pathlib.Path(sys.argv[1]), unit="area", period="year", cohort="adopted", value="score",
        covariates=covariates,
    ).sample
    for name in sys.argv[2].split(","):
        options = {"vcov": "CR1"} if name in ("did", "event-study") else {}
        chosen = registry.settings("estimator", name, options, "test")
        for engine in registry.engines(name):
            if not engine.missing():
                try:
                    made = run_engine(registry, name, engine.name, sample, chosen, provenance=False)
                    found[f"{name} {engine.name} {len(covariates)}"] = made.estimate.to_dict()
                except SosError as error:
                    found[f"{name} {engine.name} {len(covariates)}"] = str(error)
json.dump(found, sys.stdout)
"""


@pytest.mark.long
@pytest.mark.r
def test_results_do_not_hang_on_the_hash_seed(tmp_path: Path) -> None:
    """Seeds 0 and 1 differ in the order of a set of two short names."""
    data = tmp_path / "d.csv"
    random_table(5, [3, 3, 4, 4, 0, 0, 0], 6).to_csv(data, index=False)
    results = []
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", EVERYTHING, str(data), ",".join(ESTIMATORS)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        results.append(json.loads(done.stdout))
    assert len(results[0]) > 2 * len(ESTIMATORS)
    for other in results[1:]:
        for name, estimate in results[0].items():
            assert other[name] == estimate, name


def test_versions_of_drdid_and_their_scores() -> None:
    known = {"1.2.3": "published", "1.3.0": "published", "1.4.0": "exact", "1.10.1": "exact"}
    assert {version: scores_of_drdid(version) for version in known} == known
