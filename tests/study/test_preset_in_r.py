"""The preset of 2021 on simulated records, against a script in R that shares no code with us."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clean_environment import REPOSITORY

from sos_plugins import Sample, Session
from sos_plugins.authors.scaffold import scaffold
from sos_plugins.host.registry import load_plugins
from sos_plugins.study.estimate import run_engine
from sos_plugins.study.exported import exported_cases
from sos_plugins.study.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.r]

SAME = 1e-6
"""Both solve least squares in double precision; the logit in R stops at a tolerance of its own."""
SCRIPT = REPOSITORY / "examples" / "wwcsc-2021" / "analysis.R"
OUTCOME = "rereferral"
CHILD = "age,sex,ethnic_group,disabled,previous_plan,holiday_referral"
AUTHORITY = "assessments,ofsted,population_density"
LEADS = {"event=-2", "event=0", "event=3"}
SIMULATED = {
    "first_year": 2011,
    "last_year": 2018,
    "authorities": 9,
    "pilots": 3,
    "external_pilots": 1,
    "escalation_pretrend_pilots": 1,
    "referrals_per_year": 90,
    "care_starts_per_year": 5,
}


def characteristics(units: list[str]) -> pd.DataFrame:
    """Made-up characteristics of authorities, by year."""
    rng = np.random.default_rng(8)
    words = ["good", "inadequate", "requires improvement"]
    rows = [
        (unit, year, rng.normal(900, 300), words[rng.integers(3)], rng.normal(20, 8))
        for unit in units
        for year in range(2007, 2021)
    ]
    return pd.DataFrame(rows, columns=["unit", "year", *AUTHORITY.split(",")])


def one_outcome(text: str) -> str:
    """The preset with one outcome and the characteristics that there are."""
    head, *tables = text.split("[[outcomes]]\n")
    (kept,) = (t for t in tables if t.startswith(f'plugin = "{OUTCOME}"'))
    last = tables[-1]
    tail = last[last.index("[[estimators]]") :]
    start, end = head.index("authority_covariates"), head.index("standardise")
    names = ", ".join(f'"{name}"' for name in AUTHORITY.split(","))
    head = f"{head[:start]}authority_covariates = [{names}]\n{head[end:]}"
    return f"{head}[[outcomes]]\n{kept}\n{tail}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset") / "data"
    registry = load_plugins()
    simulator: Any = registry.source("simulated")
    settings = registry.settings("source", "simulated", SIMULATED, "test")
    folder.mkdir()
    simulator.write(settings, folder, Session())
    known = pd.read_csv(folder / "authorities.csv", dtype={"unit": str})
    characteristics(list(known["unit"])).to_csv(folder / "authorities.csv", index=False)
    (folder / "true_groups.csv").rename(folder / "groups.csv")
    (file,) = scaffold("study", "published", folder, preset="wwcsc-2021")
    file.write_text(one_outcome(file.read_text()))
    return folder


def ours(study: Study, sample: Sample) -> pd.DataFrame:
    """What the study's estimators give, and the logit of its sensitivity analysis."""
    assert len(sample.completed) == 5
    registry, planned = study.plan.registry, study.plan.estimators
    logit = registry.settings("estimator", "did", {**planned[0].given, "model": "logit"}, "test")
    tables = [
        run_engine(registry, one.name, "python", sample, one.options).estimate.tidy
        for one in planned
    ]
    of_logit = run_engine(registry, "did", "python", sample, logit).estimate.tidy
    tables.append(of_logit.assign(term=of_logit["term"].replace({"ATT": "logit AME"})))
    return pd.concat(tables).set_index("term")


def test_r_gives_the_same_from_the_same_cases(folder: Path) -> None:
    study = Study.from_toml(folder / "published.toml")
    prepared = study.prepared(OUTCOME)
    cases, results = folder.parent / "cases.csv", folder.parent / "results.csv"
    exported_cases(prepared).to_csv(cases, index=False)
    command = ["Rscript", "--vanilla", str(SCRIPT), str(cases), str(results), CHILD, AUTHORITY]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    in_r, own = pd.read_csv(results).set_index("term"), ours(study, prepared.stacked)
    assert set(in_r.index) >= {"ATT", "logit AME", "rho", "fixed", *LEADS}
    for column in ("estimate", "std_error", "df"):
        assert in_r[column].to_dict() == pytest.approx(
            own.loc[in_r.index, column].to_dict(), rel=SAME, abs=SAME
        )
