"""Diagnostics in a study: shown and cross-checked, but no sensitivity runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import EFFECT, STUDY, write

from sos_plugins.study.study import Study

DIAGNOSTICS = """
[[estimators]]
plugin = "honest-did"
form = "stacked"
engines = ["python"]
m = [0.5]

[[estimators]]
plugin = "placebo"
form = "stacked"
engines = ["python"]
"""


@pytest.mark.slow
def test_diagnostics_stand_in_the_result_but_are_no_runs(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(STUDY + DIAGNOSTICS)
    outcome = Study.from_toml(path).run().outcome("tidy-value")
    estimates = {e.estimator: e.estimate for e in outcome.estimates}
    bounds = estimates["honest-did"].term("M=0.5")
    assert bounds["conf_low"] < EFFECT < bounds["conf_high"]
    assert "placebo 1 period earlier" in list(estimates["placebo"].tidy["term"])
    assert outcome.runs
    estimators = {run.estimator for run in outcome.runs}
    assert estimators.isdisjoint({"honest-did", "placebo"})
    assert {run.family for run in outcome.runs}.isdisjoint({"honest-bounds", "placebo"})
